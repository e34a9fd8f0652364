# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""Start or restart the engine of one host: observe the swarm, refuse, restart, wait until it is back."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from typing import Any

from .._api.client import local_client
from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import INTERVAL, Clock, poll
from .._host import files
from .._host.engine import (
    clear_restart_pending,
    engine_is_active,
    pause_before_unlock,
    restore_daemon_json,
    unit_is_enabled,
)
from .._model.documents import parse_member, parse_node, quorum_of
from .._model.labels import name_of
from .config import Config, Runner
from .overlays import overlays_come
from .unit import UNIT

# How often an engine is started at most until it is in its overlay networks.
_STARTS = 3


@dataclass(frozen=True)
class View:
    """What one engine reports about itself and, if it is a manager with a leader, about all managers."""

    answers: bool = False
    version: str | None = None
    state: str = "unknown"
    manager: bool = False
    node_id: str | None = None
    total: int | None = None  # managers; None if the engine cannot list them
    reachable: int | None = None  # of these
    self_reachable: bool = False
    peers_down: tuple[str, ...] = ()  # names of other managers
    problem: str = ""


def view_of(info: dict[str, Any], nodes: list[dict[str, Any]] | None, problem: str = "") -> View:
    """The view in the engine's documents; `nodes` is None if the engine could not list them. Pure."""
    member = parse_member(info)
    managers = [
        node for node in map(parse_node, nodes or []) if node.manager_addr or node.reachability
    ]
    return View(
        answers=True,
        version=info.get("ServerVersion"),
        state=member.state,
        manager=member.role == "manager",
        node_id=member.node_id,
        total=len(managers) if nodes is not None else None,
        reachable=sum(node.reachability == "reachable" for node in managers)
        if nodes is not None
        else None,
        self_reachable=any(
            node.id == member.node_id and node.reachability == "reachable" for node in managers
        ),
        peers_down=tuple(
            sorted(
                name_of(node)
                for node in managers
                if node.id != member.node_id and node.reachability != "reachable"
            )
        ),
        problem=problem or member.error or "",
    )


def objection(view: View) -> tuple[str, str] | None:
    """Why this engine must not restart now, as a code (no_quorum, quorum or peer_down) and a sentence; None if it can. Pure."""
    if not view.answers or not view.manager:
        return None
    advice = "Bring the managers back first, or set docker_engine_restart_force=true."
    if view.total is None:
        return (
            "no_quorum",
            f"Could not restart the engine of this manager: the swarm has no quorum ({view.problem}). {advice}",
        )
    left = (view.reachable or 0) - (1 if view.self_reachable else 0)
    quorum = quorum_of(view.total)
    if view.total >= 3 and left < quorum:
        return (
            "quorum",
            (
                f"Could not restart the engine of this manager: {view.reachable} of {view.total} managers are reachable;"
                f" without it {left} would remain, and a quorum needs {quorum}. {advice}"
            ),
        )
    if view.peers_down:
        return (
            "peer_down",
            (
                f"Could not restart the engine of this manager: manager {', '.join(view.peers_down)} is not reachable, and only"
                f" one manager may be down at a time. {advice}"
            ),
        )
    return None


class EngineRestart:
    """The start or restart of the engine on this host; `params` are the options of docker_engine_restart."""

    def __init__(self, params: dict[str, Any], run: Runner, clock: Clock | None = None) -> None:
        self._params = params
        self._run = run
        self._clock = clock or Clock()
        self.managers: dict[str, int] | None = None
        self.touched = False

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Carry it out, and return the result of docker_engine_restart.

        Raises no_quorum, quorum, peer_down, bad_daemon_config, not_back and systemctl_failed.
        """
        started = self._clock.now()
        before = self.observe()
        restart, unlock_key = self._params["state"] == "restarted" and engine_is_active(), ""
        if restart:
            before = self._permitted(before)
            # Only in memory, and never part of a result.
            unlock_key = self._read_unlock_key(before)
        config = Config(self._params, self._run)
        config.validate()
        changed = bool(restart or config.files or not before.answers or not unit_is_enabled())
        if before.total is not None:
            self.managers = {"total": before.total, "reachable": before.reachable or 0}
        if changed and not check_mode:
            self.touched = True
            config.write(restart)
            self._apply(restart, before, unlock_key)
        now = self.observe() if changed and not check_mode else before
        return {
            "changed": changed,
            "files": config.files,
            "diff": config.diff,
            "version": now.version,
            "managers": self.managers,
            "seconds": round(self._clock.now() - started, 1),
        }

    def observe(self) -> View:
        """The view of this engine now, also if it does not answer."""
        reader = EngineReader(self._params["docker_host"], 10)
        try:
            info = reader.info()
        except SwarmError as error:
            return View(problem=error.message)
        if parse_member(info).role != "manager":
            return view_of(info, None)
        try:
            return view_of(info, reader.nodes())
        except SwarmError as error:
            return view_of(info, None, error.message)

    def _permitted(self, before: View) -> View:
        if self._params["force"]:
            return before
        view, fine = poll(
            self.observe,
            lambda seen: objection(seen) is None,
            self._params["timeout"],
            clock=self._clock,
        )
        found = None if fine else objection(view)
        if found is not None:
            code, sentence = found
            raise SwarmError(code, sentence, total=view.total, reachable=view.reachable)
        return view

    def _read_unlock_key(self, view: View) -> str:
        """With autolock, a manager is locked after a restart: read the key while the engine can still tell it."""
        if not view.manager or view.total is None:
            return ""
        reader = EngineReader(self._params["docker_host"], 10)
        answer = reader.get("/swarm/unlockkey", "read the key that unlocks this manager")
        return str((answer or {}).get("UnlockKey") or "")

    def _unlock(self, key: str) -> None:
        """Unlock this manager with that key; the caller sees by its state whether it worked."""
        self._clock.sleep(pause_before_unlock())
        local_client(self._params["docker_host"], 30).unlock(key)

    def _apply(self, restart: bool, before: View, unlock_key: str) -> None:
        failed = self._started(restart, before, unlock_key)
        if failed is None:
            clear_restart_pending()
            return
        reason = self._journal()
        if not os.path.exists(files.PREVIOUS_DAEMON_JSON):
            raise SwarmError(
                "not_back",
                f"Could not {'restart' if restart else 'start'} the engine: {failed}; its journal says: {reason}. See"
                " journalctl -u docker on the host.",
            )
        restore_daemon_json()
        again = self._started(True, before, unlock_key)
        state = (
            "and the engine runs with it"
            if again is None
            else f"but the engine does not start with it either ({again})"
        )
        if again is None:
            clear_restart_pending()
        raise SwarmError(
            "bad_daemon_config",
            f"Could not {'restart' if restart else 'start'} the engine with the new {files.DAEMON_JSON}: {reason}. The old"
            f" file was restored, {state}. Correct docker_engine_daemon.",
            restored=again is None,
        )

    def _started(self, restart: bool, before: View, unlock_key: str) -> str | None:
        """Start or restart it; None once everything is back, else what is missing."""
        deadline = self._clock.now() + self._params["timeout"]
        for _attempt in range(_STARTS):
            # The old engine answers until systemd stops it, on a busy host for seconds.
            old = self._invocation() if restart else ""
            self._start(restart)
            missing = self._wait(before, old, unlock_key, deadline - self._clock.now())
            reader = EngineReader(self._params["docker_host"], 10)
            if missing or not unlock_key or overlays_come(reader, self._clock):
                return missing
            if self._clock.now() >= deadline:
                break
            restart = True
        return "it has no overlay networks"

    def _invocation(self) -> str:
        """The ID that systemd gives to this run of the engine; it changes with each start (systemd.exec(5))."""
        return self._run(["systemctl", "show", "-p", "InvocationID", UNIT])[1].strip()

    def _start(self, restart: bool) -> None:
        self._systemctl("daemon-reload")
        # After a crash loop, systemd refuses to start the unit until it is reset.
        self._run(["systemctl", "reset-failed", UNIT])
        self._systemctl("enable", UNIT)
        if restart and containerd_is_replaced():
            # A restart of the engine alone would leave the old containerd running.
            self._systemctl("stop", "docker.socket", UNIT)
            self._systemctl("restart", "containerd.service")
            self._systemctl("start", "docker.socket")
        self._systemctl("restart" if restart else "start", "--no-block", UNIT)

    def _systemctl(self, *args: str) -> None:
        code, _output, errors = self._run(["systemctl", *args])
        if code != 0 and "docker.socket" not in errors:
            raise SwarmError(
                "systemctl_failed", f"Could not {args[0]} {args[-1]}: {errors.strip()}."
            )

    def _wait(self, before: View, old: str, unlock_key: str, limit: float) -> str | None:
        """None once everything is back, else what is missing; `old` is the run of the engine that must end."""
        keys = [unlock_key] if unlock_key else []

        def back(view: View) -> str | None:
            if old and self._invocation() == old:
                return "systemd has not restarted it"
            if not view.answers:
                return "it does not answer"
            if before.state == "active" and view.state != "active":
                return f"it is {view.state} in its swarm instead of active ({view.problem or 'no reason given'})"
            # Without a quorum before, none can be expected after.
            if before.manager and before.total is not None and not view.self_reachable:
                return "the managers do not see it as reachable"
            return None

        def ended(seen: View) -> bool:
            if seen.state == "locked" and keys:
                self._unlock(keys.pop())
                return False
            return back(seen) is None or (not seen.answers and self._crashes())

        view, _done = poll(self.observe, ended, limit, INTERVAL, self._clock)
        return back(view)

    def _crashes(self) -> bool:
        """Whether systemd has given up, or has restarted the unit itself, so that waiting is pointless."""
        output = self._run(["systemctl", "show", "-p", "ActiveState,SubState,NRestarts", UNIT])[1]
        shown = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        return shown.get("ActiveState") == "failed" or int(shown.get("NRestarts") or 0) >= 1

    def _journal(self) -> str:
        output = self._run(["journalctl", "-u", UNIT, "-n", "60", "-o", "cat", "--no-pager"])[1]
        return reason_in(output)


def reason_in(journal: str) -> str:
    """The line of the engine's journal that says why it did not start. Pure."""
    lines = [line.strip() for line in journal.splitlines() if line.strip()]
    for words in (r"unable to configure|failed to start daemon|level=fatal", r"level=error"):
        for line in reversed(lines):
            if re.search(words, line):
                message = re.search(r'msg="((?:[^"\\]|\\.)*)"', line)
                return (message.group(1).replace('\\"', '"') if message else line).rstrip(".")
    return lines[-1].rstrip(".") if lines else "nothing"


def containerd_is_replaced() -> bool:
    """Whether the running containerd is not the installed file any more."""
    for path in glob.glob("/proc/[0-9]*/exe"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.endswith("/containerd (deleted)"):
            return True
    return False
