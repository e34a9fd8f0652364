# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Stop and start the engine of this host, each within a limit."""

from __future__ import annotations

import contextlib
import os
import signal

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import INTERVAL, Clock, bounded, poll
from .._host.engine import engine_is_active, engine_pid
from .config import Runner

UNIT, SOCKET = "docker.service", "docker.socket"
# Seconds that the engine has to stop: systemd kills it after 90 (systemd-system.conf(5), DefaultTimeoutStopSec), and one without a
# leader takes 60.
STOPS = 120
# Seconds that a killed process has to end, and a start to be accepted.
_ENDS = 20
# Seconds until an engine answers after its start. With a swarm that has no leader, it takes 20.
STARTS = 120


class EngineUnit:
    """The systemd units of the engine. `run` runs a command, and returns its exit code, output and errors."""

    def __init__(self, run: Runner, clock: Clock | None = None) -> None:
        self._run, self._clock = run, clock

    def stop(self, patience: int = STOPS) -> None:
        """Stop the engine, by kill -9 if it takes longer than `patience` seconds: its raft log is made for that. Raises not_stopped."""
        # The socket first, or the next request would start the engine again. Without systemd, this fails and the engine runs on.
        stop = ["systemctl", "stop", SOCKET, UNIT]
        bounded(self._run, patience)(stop)
        pid = engine_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            bounded(self._run, _ENDS)(stop)
        _active, ended = poll(
            engine_is_active, lambda active: not active, _ENDS, INTERVAL, self._clock
        )
        if not ended:
            raise SwarmError(
                "not_stopped",
                "Could not stop the engine of this host: its process does not end, also after kill -9. See journalctl -u docker on the"
                " host, or reboot it, and run again.",
            )

    def start(self) -> None:
        """Have systemd start the engine; when it answers is for the caller to see. Raises systemctl_failed."""
        run = bounded(self._run, _ENDS)
        # After some starts within a minute, systemd refuses the next one until the units are reset.
        run(["systemctl", "reset-failed", UNIT, SOCKET])
        # Some installations have no socket.
        run(["systemctl", "start", SOCKET])
        code, _output, errors = run(["systemctl", "start", "--no-block", UNIT])
        if code != 0:
            raise SwarmError(
                "systemctl_failed",
                f"Could not start the engine of this host: {errors.strip().rstrip('.')}. See journalctl -u docker on the host, and run"
                " again.",
            )

    def start_and_wait(self, docker_host: str, limit: float = STARTS) -> None:
        """Start the engine, and wait until it says what it is. Raises systemctl_failed and not_back."""
        self.start()
        reader = EngineReader(docker_host, _ENDS)

        def problem() -> str:
            try:
                reader.info()
            except SwarmError as error:
                return error.message
            return ""

        why, back = poll(problem, lambda seen: not seen, limit, INTERVAL, self._clock)
        if not back:
            raise SwarmError(
                "not_back",
                f"Could not start the engine of this host: it does not answer within {limit:g} s ({why.rstrip('.')}). See journalctl -u"
                " docker on the host, and run again.",
            )
