# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the module swarm_backup does on each manager: decide whether this is the one, and ask the service for the backup.

All managers decide at the same time, by the same rules, as their timers do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._host.files import text_of
from .._model.documents import parse_member, parse_node
from .._model.labels import name_of
from .backup import (
    RUN_DIR,
    BackupRun,
    check_key_given,
    connect,
    data_root_of,
    find_record,
    observe,
    preflight,
    read_note,
    refuse,
)
from .backup_files import EXPORT, RAFT
from .backup_plan import BackupPlan, Wanted, choose, name_for, plan_backup
from .backup_service import ASKING, LAST, MEETING, alone
from .backup_units import CODE, NOW_SERVICE, TIMER_SERVICE, UNIT_DIR

# Seconds: until the service asks for its work; the longest backup; until a killed service has put things right.
_MEET, _LONGEST, _PUT_RIGHT = 90.0, 7200.0, 420.0
# Seconds until systemd answers.
_SYSTEMD = 60


@dataclass
class Outcome:
    """What the module returns."""

    acting: str = ""  # the manager that makes the backup
    changed: bool = False
    cluster_id: str = ""
    plan: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    raft: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    seconds: float | None = None
    stopped_seconds: float | None = None


def back_up(
    options: Mapping[str, Any],
    wanted: Wanted,
    among: Collection[str] | None,
    key: str,
    check: bool,
    outcome: Outcome,
    clock: Clock | None = None,
) -> None:
    """Fill in the outcome. `options` is what the service gets, and `among` has the IDs of the nodes that the caller reaches."""
    # Before the note: the backup in progress can end between two looks.
    last = _last()
    if read_note() is not None:
        if _at_work():
            _adopt(last, check, outcome, clock)
            return
        _put_right(wanted, key, check, outcome)
    client = connect(wanted.docker_host)
    member = parse_member(client.info())
    if member.role != "manager" or member.state != "active":
        outcome.notes.append(f"this host is {member.state}, and no manager that can act")
        return
    nodes = [parse_node(document) for document in client.nodes()]
    outcome.cluster_id = member.cluster_id or ""
    self_id = member.node_id or ""
    choice = choose(nodes, among)
    if choice.node is None:
        usable = sorted(node.id for node in nodes if node.ready and (not among or node.id in among))
        if self_id == (usable or [self_id])[0]:
            refuse(BackupPlan(refusals=(choice.refusal,)))
        return
    outcome.acting = name_of(choice.node)
    if choice.node.id != self_id:
        return
    record = find_record(client)[1]
    if record and record.fresh(time.time()) and record.node_id != self_id:
        raise SwarmError(
            "in_progress",
            f"Could not back up the swarm: {record.name} is making a backup. Wait until it has ended, and run again.",
            node_id=record.node_id,
            name=record.name,
        )
    view, info = observe(client, wanted)
    plan = plan_backup(view, wanted, time.time())
    outcome.plan = plan.lines()
    outcome.steps = [dict(vars(step)) for step in plan.steps]
    outcome.notes += plan.warnings
    refuse(plan)
    try:
        preflight(wanted, data_root_of(info))
        if key and view.autolock:
            check_key_given(key, data_root_of(info))
    except SwarmError as error:
        # A run installs the packages before.
        if not check or error.code not in ("no_age", "no_crypto"):
            raise
    outcome.changed = True
    if check:
        place = os.path.join(wanted.folder, view.cluster_id)
        names = [name_for(kind, outcome.acting, time.time()) for kind in (RAFT, EXPORT)]
        outcome.digests = dict.fromkeys([name.data for name in names], "")
        outcome.files = [os.path.join(place, f) for name in names for f in (name.data, name.meta)]
        outcome.deleted = [each.name for each in plan.expired]
        return
    outcome.changed = False
    _take(_ask({"wanted": dict(options), "unlock_key": key}, clock), outcome)


def _take(answer: Mapping[str, Any], outcome: Outcome) -> None:
    """The answer of the service, in the outcome; raises its failure."""
    outcome.applied = list(answer["done"])
    outcome.changed = bool(outcome.applied)
    if "failure" in answer:
        failure = answer["failure"]
        raise SwarmError(failure["code"], answer["msg"], **failure["details"])
    result = answer["result"]
    for kind in (RAFT, EXPORT):
        found = result.get(kind)
        if found:
            outcome.files += [found["path"], found["meta_path"]]
            outcome.digests[os.path.basename(found["path"])] = found["meta"]["sha256"]
            summary = {"path": found["path"], **found["meta"]}
            if kind == RAFT:
                outcome.raft = summary
            else:
                outcome.export = summary
    outcome.deleted = list(result["deleted"])
    outcome.seconds, outcome.stopped_seconds = result["seconds"], result["stopped_seconds"]


# A backup that is in progress on this host, or was interrupted


def _at_work(*units: str) -> bool:
    """Whether a service runs, or systemd is about to start it again after a kill; of both, unless one is named."""
    done = _systemctl("is-active", "--", *(units or (NOW_SERVICE, TIMER_SERVICE)))
    return not set(done.stdout.split()) <= {"inactive", "failed", "unknown"}


def _systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Raises systemctl_failed where systemd does not answer."""
    try:
        return subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SYSTEMD,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failed(words[0], f"systemd does not answer within {_SYSTEMD} s") from None


def _failed(verb: str, why: str) -> SwarmError:
    return SwarmError(
        "systemctl_failed",
        f"Could not back up the swarm: systemctl {verb} {NOW_SERVICE}: {why}. See the journal of this host.",
    )


def _adopt(
    before: dict[str, Any] | None, check: bool, outcome: Outcome, clock: Clock | None
) -> None:
    """The backup in progress, which the controller has lost, is the one of this run."""
    outcome.acting = os.uname().nodename
    outcome.notes.append(
        "a backup is in progress on this host: the run waits for it, and begins no other one"
    )
    outcome.plan = ["PLAN  wait for the backup that is in progress"]
    if check:
        return
    _wait_for_end(_LONGEST, clock)
    answer = _last()
    if answer is None or answer == before:
        raise _interrupted()
    _take(answer, outcome)
    outcome.cluster_id = str(
        outcome.raft.get("cluster_id") or outcome.export.get("cluster_id") or ""
    )


def _last() -> dict[str, Any] | None:
    try:
        return dict(json.loads(text_of(LAST)))
    except ValueError:
        return None


def _wait_for_end(seconds: float, clock: Clock | None, *units: str) -> None:
    _seen, done = poll(lambda: not _at_work(*units), bool, seconds, 1.0, clock)
    if not done:
        raise SwarmError(
            "timeout",
            f"Could not back up the swarm: a backup on this host does not end within {seconds:.0f} s. See"
            f" journalctl -u {NOW_SERVICE} on it.",
        )


def _put_right(wanted: Wanted, key: str, check: bool, outcome: Outcome) -> None:
    outcome.notes.append("an interrupted backup on this host is put right first")
    outcome.changed = True
    if not check:
        with alone():
            BackupRun(wanted, outcome.applied.append).resume(key)


def _interrupted() -> SwarmError:
    return SwarmError(
        "interrupted",
        f"Could not complete the backup: its service on this host was killed. The engine runs again. See journalctl -u {NOW_SERVICE},"
        " and run again.",
    )


# The service


def _ask(request: Mapping[str, Any], clock: Clock | None) -> dict[str, Any]:
    """Start the service, tell it what is asked for, and wait for its answer. Raises not_installed, interrupted, no_answer."""
    if not (os.path.exists(CODE) and os.path.exists(f"{UNIT_DIR}/{NOW_SERVICE}")):
        raise SwarmError(
            "not_installed",
            "Could not back up the swarm: the service of backups is not installed on this host. Run the role"
            " flotilla.swarm.swarm_backup on all managers first.",
        )
    os.makedirs(RUN_DIR, mode=0o755, exist_ok=True)
    with alone(ASKING):
        # The service for a run that was lost can be in its first or last moments, without a note. To start it then does nothing.
        _wait_for_end(_LONGEST, clock, NOW_SERVICE)
        peer = _met()
    with peer:
        peer.settimeout(_LONGEST)
        text = b""
        with contextlib.suppress(OSError):
            peer.sendall(json.dumps(request).encode() + b"\n")
            while not text.endswith(b"\n") and (piece := peer.recv(65536)):
                text += piece
    if not text.endswith(b"\n"):
        _wait_for_end(_PUT_RIGHT, clock)
        raise _interrupted()
    return dict(json.loads(text))


def _met() -> socket.socket:
    """Start the service; its connection. Raises no_answer or systemctl_failed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(MEETING)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(MEETING)
        finally:
            os.umask(before)
        listener.listen(1)
        listener.settimeout(_MEET)
        try:
            started = _systemctl("start", "--no-block", "--", NOW_SERVICE)
            if started.returncode:
                raise _failed("start", started.stderr.strip() or "it fails")
            peer, _address = listener.accept()
        except socket.timeout:
            raise SwarmError(
                "no_answer",
                f"Could not back up the swarm: {NOW_SERVICE} does not answer within {_MEET:.0f} s. See journalctl -u"
                f" {NOW_SERVICE} on this host.",
            ) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(MEETING)
    return peer
