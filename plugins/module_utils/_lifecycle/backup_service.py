# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What systemd runs on a manager to back up the swarm: for the timer, or for the module swarm_backup.

The module only starts the service, so that nothing depends on it or on the connection of the controller: the backup ends and the
engine runs, whoever is killed. The module listens on a socket, gives the service what is asked for, and gets the result.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from .._common.errors import SwarmError, failure_of
from .._host import locks
from .._host.files import write_whole
from .._host.journal import say
from .._model.documents import parse_member, parse_node
from .._model.labels import name_of
from .backup import (
    RUN_DIR,
    STATE_DIR,
    BackupRun,
    Stopped,
    connect,
    find_record,
    observe,
    read_note,
    stop_on_term,
)
from .backup_plan import (
    CLAIM,
    SKIP,
    Wanted,
    candidates,
    margin_objection,
    next_move,
    parse_wanted,
    plan_backup,
)
from .backup_units import CONFIG

LOCK = f"{RUN_DIR}/backup.lock"
# Held by the module that waits for the service.
ASKING = f"{RUN_DIR}/backup-asking.lock"
MEETING = f"{RUN_DIR}/backup.sock"
LAST = f"{STATE_DIR}/backup-last.json"
# Seconds: between two looks at the record; to answer the service; bytes of a request.
_LOOK, _ANSWER, _LARGEST = 2.0, 30.0, 1 << 20


def main(mode: str) -> int:
    """Run as a service; returns the exit code. `mode` is timer or now."""
    stop_on_term()
    os.makedirs(RUN_DIR, mode=0o755, exist_ok=True)
    key = _kept_key()
    try:
        if mode == "now":
            return _for_module(key)
        with alone():
            return _for_timer(key)
    except SwarmError as error:
        say(error.message)
        return 1
    except OSError as error:
        say(failure_of("back up the swarm", error).message)
        return 1
    except Stopped:
        say("stopped before the backup was complete; the engine runs")
        return 1


def alone(lock: str = "") -> AbstractContextManager[None]:
    """Hold the lock of this host, or another one. Raises in_progress."""
    otherwise = SwarmError(
        "in_progress",
        "Could not back up the swarm: another backup is in progress on this host. Wait until it has ended, and run again.",
    )
    return locks.alone(lock or LOCK, otherwise)


# For the timer


def _for_timer(key: str) -> int:
    wanted = _settings()
    run = BackupRun(wanted, say, _keep_key)
    slot = time.time()
    run.resume(key)
    while True:
        move, why, cluster_id = _look(wanted, slot)
        if move == SKIP:
            say(f"nothing to do: {why}")
            if cluster_id:
                run.prune(cluster_id)
            return 0
        if move == CLAIM:
            try:
                return _act(run, wanted)
            except SwarmError as error:
                # Another manager was quicker.
                if error.code != "in_progress":
                    raise
        time.sleep(_LOOK)


def _settings() -> Wanted:
    try:
        with open(CONFIG, encoding="utf-8") as file:
            return parse_wanted(json.load(file))
    except (ValueError, TypeError, KeyError):
        raise SwarmError(
            "bad_option",
            f"Could not back up the swarm: {CONFIG} cannot be read. Run the role flotilla.swarm.swarm_backup on all managers.",
        ) from None


def _look(wanted: Wanted, slot: float) -> tuple[str, str, str]:
    """What to do now and why, and the ID of the swarm where this is a manager of one."""
    client = connect(wanted.docker_host)
    member = parse_member(client.info())
    if member.role != "manager" or member.state != "active":
        return SKIP, f"this host is {member.state}, and no manager that can act", ""
    nodes = [parse_node(document) for document in client.nodes()]
    record = find_record(client)[1]
    self_id = member.node_id or ""
    order = [node.id for node in candidates(nodes)]
    move = next_move(record, self_id, order, time.time(), slot)
    acting = {node.id: name_of(node) for node in nodes}
    if record is not None:
        why = f"the latest backup is by {record.name} and {record.state}"
    else:
        why = f"{acting.get(order[0]) if order else 'no manager'} makes the backup"
    return move, why, member.cluster_id or ""


def _act(run: BackupRun, wanted: Wanted) -> int:
    client = connect(wanted.docker_host)
    view, _info = observe(client, wanted)
    plan = plan_backup(view, wanted, time.time())
    if plan.refusals:
        # Without a raft backup, there is still the export. Where the quorum has no margin, no other manager can make one either.
        everywhere = bool(margin_objection(view.nodes, view.node_id))
        result = run.run(with_raft=False, closes_slot=everywhere)
        say(f"no raft backup: {'; '.join(plan.refusals)}")
    else:
        result = run.run()
    _write_last({"result": result, "done": run.done})
    say(
        f"backup complete in {result['seconds']} s, engine stopped for {result['stopped_seconds'] or 0} s"
    )
    return 1 if plan.refusals else 0


# For the module


def _for_module(key: str) -> int:
    request = _request()
    if request is None:
        # The module is gone, or this is the start after a kill.
        with alone():
            note = read_note()
            if note is not None:
                BackupRun(_nothing(note.docker_host), say, _keep_key).resume(key)
        say("nobody asks for a backup")
        return 1
    peer, asked = request
    try:
        with alone():
            answer = _answer(asked, key)
            _write_last(answer)
    except SwarmError as error:
        # The timer's service is at work. The module need not wait for an answer that does not come.
        answer = {"failure": error.as_failure(), "msg": error.message, "done": []}
        say(error.message)
    with contextlib.suppress(OSError), peer:
        peer.sendall(json.dumps(answer).encode() + b"\n")
    return 1 if "failure" in answer else 0


def _answer(asked: dict[str, Any], key: str) -> dict[str, Any]:
    """Make the backup that the module asks for; its result or its failure."""
    run = BackupRun(parse_wanted(asked["wanted"]), say, _keep_key)
    try:
        run.resume(key or asked["unlock_key"])
        return {"result": run.run(asked["unlock_key"]), "done": run.done}
    except (SwarmError, OSError) as caught:
        failure = failure_of("back up the swarm", caught)
        say(failure.message)
        return {"failure": failure.as_failure(), "msg": failure.message, "done": run.done}


def _nothing(docker_host: str) -> Wanted:
    return Wanted(folder="/", recipients=(), docker_host=docker_host)


def _request() -> tuple[socket.socket, dict[str, Any]] | None:
    """The module that asks, and what for; None where there is none."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    peer.settimeout(_ANSWER)
    try:
        peer.connect(MEETING)
        text = b""
        while not text.endswith(b"\n"):
            piece = peer.recv(65536)
            if not piece or len(text) > _LARGEST:
                raise ConnectionError("the module is gone")
            text += piece
        return peer, json.loads(text)
    except (OSError, ValueError):
        peer.close()
        return None


def _write_last(answer: dict[str, Any]) -> None:
    os.makedirs(STATE_DIR, mode=0o755, exist_ok=True)
    write_whole(LAST, json.dumps({**answer, "ended": time.time()}).encode())


# The unlock key, for the start after a kill


def _keep_key(key: str) -> None:
    """Give systemd a descriptor of memory with the key. It passes it on if this process is killed, and drops it at its end."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    memory = os.memfd_create("unlock-key", os.MFD_CLOEXEC)
    try:
        os.write(memory, key.encode())
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as systemd:
            systemd.connect(address)
            socket.send_fds(systemd, [b"FDSTORE=1\nFDNAME=unlock-key"], [memory])
    finally:
        os.close(memory)


def _kept_key() -> str:
    """The key that the killed process has left with systemd; empty if there is none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return ""
    found = ""
    # The first descriptor is 3 (sd_listen_fds(3)).
    for handle in range(3, 3 + int(os.environ.get("LISTEN_FDS") or 0)):
        with contextlib.suppress(OSError):
            os.set_inheritable(handle, False)
            found = os.pread(handle, 4096, 0).decode("ascii", "replace") or found
    return found


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
