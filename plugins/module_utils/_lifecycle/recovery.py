# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""One host's part of a recovery: it becomes the only manager, or it leaves. A killed run is resumed from the files and the note."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from typing import Any

from .._api.client import EngineClient, local_client
from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._engine.config import Runner
from .._engine.unit import EngineUnit
from .._host.files import text_of
from .._model.documents import parse_member, parse_node
from .raft_files import key_file
from .raft_key import is_sealed, open_key
from .recovery_info import NOTE, free_or_unknown, observe_recovery
from .recovery_plan import (
    COPY,
    FORCE,
    LEAVE,
    LOCK,
    OPEN,
    REMOVE,
    RESTART,
    START,
    STOP,
    HostState,
    host_state,
    survivor_steps,
)

# Seconds. An engine without a leader takes up to a minute to stop, and it has nothing left to do in it.
_STOP = 20
# Seconds for the engine to write a key file that is locked.
_SEAL = 30


class Recovery:
    """The work on this host; `params` are the options of swarm_recover."""

    def __init__(self, params: dict[str, Any], run: Runner, clock: Clock | None = None) -> None:
        self._params = params
        self._run = run
        self._clock = clock or Clock()
        self._unit = EngineUnit(run, self._clock)
        self.steps: list[str] = []
        self.applied: list[str] = []
        self.copy: str | None = None
        self._note: dict[str, Any] = {}

    def run(self, check_mode: bool) -> None:
        """Plan the steps of this host and carry them out.

        Raises engine_unreachable, foreign_swarm, not_in_swarm, wrong_unlock_key, bad_key_file, unsupported_encryption, no_crypto,
        no_unlock_key, copy_failed, not_stopped, not_back, systemctl_failed, no_quorum, timeout, and what the engine refuses.
        """
        host = self._observe()
        if self._params["state"] == "left":
            self.steps = self._leave_steps(host)
        else:
            self.steps = list(self._recover_steps(host))
        self.copy = self._note.get("copy")
        opened = self._open_key() if OPEN in self.steps and not check_mode else ""
        if check_mode:
            return
        if self.steps:
            self._need_sdk()
        for step in self.steps:
            if step == STOP:
                self._unit.stop(_STOP)
            elif step == COPY:
                self._copy(host)
            elif step == OPEN:
                _write(key_file(self._folder), opened)
            elif step == START:
                self._start()
            elif step == FORCE:
                self._force()
            elif step == RESTART:
                self._restart()
            elif step == LOCK:
                self._lock()
            elif step == REMOVE:
                self._remove()
            elif step == LEAVE:
                self._leave(host)
            self.applied.append(step)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(NOTE)

    def _observe(self) -> HostState:
        found = observe_recovery(
            {**self._params, "election_timeout": 0}, lambda _seconds: None, self._clock
        )
        self._note = found["note"]
        self._folder = (found["files"] or {}).get("folder") or ""
        return host_state("this host", found)

    def _recover_steps(self, host: HostState) -> tuple[str, ...]:
        attempt = "recover the swarm on this host"
        if not host.manager:
            raise SwarmError(
                "not_in_swarm",
                f"Could not {attempt}: it has no raft log of a manager. Choose another manager, or restore a backup.",
            )
        self._same_swarm(host, attempt)
        steps = survivor_steps(host, self._params["autolock"])
        if OPEN in steps and not self._params["unlock_key"]:
            raise SwarmError(
                "no_unlock_key", f"Could not {attempt}: its key file is locked. Set unlock_key."
            )
        return steps

    def _leave_steps(self, host: HostState) -> list[str]:
        if not host.manager:
            return []
        self._same_swarm(host, "make this host leave the swarm")
        if host.leader:
            raise SwarmError(
                "is_manager",
                "Could not make this host leave the swarm: it is a manager that sees a leader. Demote it instead.",
            )
        return [COPY, LEAVE]

    def _same_swarm(self, host: HostState, attempt: str) -> None:
        expected = self._params["cluster_id"]
        if host.cluster_id != expected:
            raise SwarmError(
                "foreign_swarm",
                f"Could not {attempt}: it is in swarm {host.cluster_id}, not in {expected}. Nothing was changed. Check the inventory.",
                cluster_id=host.cluster_id,
            )

    def _open_key(self) -> str:
        """The key file in clear, in memory: a wrong key is found before anything changes."""
        return open_key(text_of(key_file(self._folder)), self._params["unlock_key"])

    # The engine

    def _start(self) -> None:
        self._unit.start_and_wait(self._params["docker_host"])

    def _client(self, seconds: int) -> EngineClient:
        return local_client(self._params["docker_host"], seconds)

    def _need_sdk(self) -> None:
        """Raise no_sdk before anything changes, not when the engine has been stopped."""
        try:
            self._client(5)
        except SwarmError as error:
            if error.code == "no_sdk":
                raise

    # The manager to recover from

    def _copy(self, host: HostState) -> None:
        """Copy the folder of the swarm, complete or not at all, and note where."""
        place = self._params["copy_folder"]
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = os.path.join(place, f"swarm-{stamp}-{host.cluster_id[:12]}")
        partial = os.path.join(place, ".partial")
        os.makedirs(place, mode=0o700, exist_ok=True)
        os.chmod(place, 0o700)
        need, free = host.size_bytes, free_or_unknown(place)
        if free is not None and free <= need:
            raise SwarmError(
                "copy_failed",
                f"Could not copy {self._folder} to {place}: it needs {need // 1000000} MB, and {free // 1000000} MB are free. Free"
                " some, or set copy_folder.",
            )
        for _attempt in range(3):
            shutil.rmtree(partial, ignore_errors=True)
            before = _listing(self._folder)
            # Sparse, because the log has reserved space in it.
            code, _output, errors = self._run(
                ["cp", "--archive", "--sparse=always", "--", self._folder, partial]
            )
            if code == 0 and _listing(self._folder) == before:
                break
        else:
            shutil.rmtree(partial, ignore_errors=True)
            why = errors.strip() or "the engine keeps writing to it"
            raise SwarmError(
                "copy_failed",
                f"Could not copy {self._folder} to {place}: {why}. Nothing else was changed.",
            )
        os.chmod(partial, 0o700)
        self._run(["sync", "--file-system", "--", partial])
        # Two runs within one second do not get here; another one may not overwrite a copy.
        os.rename(partial, target)
        self.copy = target
        if self._params["state"] == "recovered":
            self._note = {
                "format": 1,
                "cluster_id": host.cluster_id,
                "copy": target,
                "locks": self._params["autolock"],
                "forced": False,
            }
            self._write_note()

    def _write_note(self) -> None:
        os.makedirs(os.path.dirname(NOTE), mode=0o755, exist_ok=True)
        _write(NOTE, json.dumps(self._note))

    def _force(self) -> None:
        self._note.update(forced=True, restart=RESTART in self.steps)
        self._write_note()
        try:
            self._init()
        except SwarmError as error:
            # A call that hangs keeps a lock of the engine, and then every other call hangs too.
            if error.code not in ("engine_unreachable", "no_answer", "timeout"):
                raise
            self._unit.stop(_STOP)
            self._start()
            if not self._leads():
                self._init()
        self._wait_for_leader()

    def _restart(self) -> None:
        self._unit.stop(_STOP)
        self._start()
        self._wait_for_leader()
        self._note["restart"] = False
        self._write_note()

    def _wait_for_leader(self) -> None:
        _seen, leads = poll(self._leads, bool, self._params["wait_timeout"], 0.5, clock=self._clock)
        if not leads:
            raise SwarmError(
                "no_quorum",
                f"Could not recover the swarm on this host: {self._params['wait_timeout']} s after it was forced, the manager has no"
                f" leader. Its files of before are in {self.copy}. See journalctl -u docker on the host, and run again.",
                copy=self.copy,
            )

    def _init(self) -> None:
        body = init_body(text_of(os.path.join(self._folder, "docker-state.json")))
        self._client(self._params["wait_timeout"]).init(body)

    def _leads(self) -> bool:
        try:
            info = EngineReader(self._params["docker_host"], self._params["timeout"]).info()
        except SwarmError:
            return False
        member = parse_member(info)
        return member.state == "active" and member.cluster_id == self._params["cluster_id"]

    def _lock(self) -> None:
        """Turn on autolock, and wait until the key file is locked. The new key stays in the engine."""
        client = self._client(self._params["timeout"])
        document = client.swarm()
        spec = document["Spec"]
        encryption = spec.setdefault("EncryptionConfig", {}) or {}
        if not encryption.get("AutoLockManagers"):
            spec["EncryptionConfig"] = {**encryption, "AutoLockManagers": True}
            client.update_swarm(document["Version"]["Index"], spec)
        path = key_file(self._folder)
        _seen, sealed = poll(lambda: is_sealed(text_of(path)), bool, _SEAL, 0.2, clock=self._clock)
        if not sealed:
            raise SwarmError(
                "timeout",
                f"Could not lock the swarm again: after {_SEAL} s, {path} on this host is still in clear. Run again, or run"
                " 'docker swarm update --autolock' there.",
            )

    def _remove(self) -> None:
        """Remove the nodes of all other managers: their hosts are lost, or join again as new nodes."""
        client = self._client(self._params["timeout"])
        own = parse_member(client.info()).node_id
        for node in map(parse_node, client.nodes()):
            if node.role == "manager" and node.id != own and node.reachability != "reachable":
                try:
                    client.remove_node(node.id)
                except SwarmError as error:
                    if error.code != "not_found":
                        raise

    # Every other manager

    def _leave(self, host: HostState) -> None:
        if not host.engine_active:
            self._start()
        try:
            self._client(self._params["wait_timeout"]).leave(force=True)
        except SwarmError as error:
            if error.code != "not_in_swarm":
                # An engine that hangs, or that cannot load its swarm: start it without the files, which have been copied.
                self._unit.stop(_STOP)
                self._discard()
                self._start()
        if os.path.isdir(os.path.join(self._folder, "raft")):
            self._unit.stop(_STOP)
            self._discard()
            self._start()

    def _discard(self) -> None:
        """Remove the files of the swarm, at once: a folder that is half removed would be a node without a key."""
        waste = f"{self._folder}.flotilla-discarded"
        shutil.rmtree(waste, ignore_errors=True)
        os.rename(self._folder, waste)
        shutil.rmtree(waste, ignore_errors=True)


def init_body(state: str) -> dict[str, Any]:
    """What `docker swarm init --force-new-cluster` sends, with the addresses in the engine's own docker-state.json. Pure.

    Without them, the engine would guess an address, and it refuses to on a host with several.
    """
    try:
        known = json.loads(state or "{}")
    except ValueError:
        known = {}
    known = known if isinstance(known, dict) else {}
    body: dict[str, Any] = {"ForceNewCluster": True, "ListenAddr": "0.0.0.0:2377"}
    for key in ("ListenAddr", "AdvertiseAddr", "DataPathAddr", "DataPathPort"):
        if known.get(key):
            body[key] = known[key]
    return body


def _listing(folder: str) -> list[tuple[str, int, int]]:
    found = []
    for place, _folders, names in os.walk(folder):
        for name in names:
            # Other processes of the engine may remove a file meanwhile.
            with contextlib.suppress(FileNotFoundError):
                stat = os.lstat(os.path.join(place, name))
                found.append((os.path.join(place, name), stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def _write(path: str, text: str) -> None:
    """Replace a file at once, readable by root alone. A run that was killed leaves a file that the next one overwrites."""
    folder, name = os.path.split(path)
    new = os.path.join(folder, f".flotilla-{name}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    os.replace(new, path)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
