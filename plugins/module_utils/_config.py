# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""The engine's configuration files: what differs, the engine's own judgement of it, and writing it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
from typing import Any, Callable

from ansible_collections.flotilla.swarm.plugins.module_utils import _host
from ansible_collections.flotilla.swarm.plugins.module_utils._engine import render
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError

Runner = Callable[[list[str]], tuple[int, str, str]]

# The options of a module that writes the configuration.
CONFIG_ARGUMENTS: dict[str, Any] = dict(
    daemon=dict(type="dict"),
    write=dict(type="dict", default={}, no_log=True),
    remove=dict(type="list", elements="path", default=[]),
)


class Config:
    """The files of this host, as they are and as they shall be."""

    def __init__(self, params: dict[str, Any], run: Runner) -> None:
        self._run = run
        daemon = params["daemon"]
        self._before = _read(_host.DAEMON_JSON)
        after = None if daemon is None else render(daemon)
        self._after = after if after != self._before else None
        self._writes = {path: text for path, text in params["write"].items() if _read(path) != text}
        self._removes = [path for path in params["remove"] if os.path.lexists(path)]

    @property
    def files(self) -> list[str]:
        daemon = [_host.DAEMON_JSON] if self._after is not None else []
        return sorted([*daemon, *self._writes, *self._removes])

    @property
    def diff(self) -> list[dict[str, str]]:
        """Of daemon.json alone: the other files may hold credentials."""
        if self._after is None:
            return []
        name = _host.DAEMON_JSON
        return [
            {
                "before_header": name,
                "after_header": name,
                "before": self._before or "",
                "after": self._after,
            }
        ]

    def validate(self) -> bool:
        """Have the engine judge daemon.json; False where there is none yet, or one that cannot."""
        found = [
            path for path in ("/usr/bin/dockerd", "/usr/sbin/dockerd") if os.access(path, os.X_OK)
        ]
        if self._after is None or not found:
            return False
        if "--validate" not in self._run([found[0], "--help"])[1]:
            return False
        path = _stage(self._after)
        try:
            code, output, errors = self._run([found[0], "--validate", "--config-file", path])
        finally:
            os.unlink(path)
        if code != 0:
            lines = [line for line in (errors + output).splitlines() if line.strip()]
            reason = re.sub(
                rf"\s*{re.escape(path)}:?\s*", " ", lines[-1] if lines else "no reason given"
            )
            raise SwarmError(
                "bad_daemon_config",
                f"Could not use the new {_host.DAEMON_JSON}: dockerd --validate says: {reason.strip().rstrip('.')}."
                " The old file is untouched. Correct docker_engine_daemon.",
            )
        return True

    def write(self, restart: bool) -> None:
        """Write what differs; RESTART says that a running engine needs one to take it in."""
        pid = _host.engine_pid()
        if pid is not None and restart and self.files:
            _host.ask_for_restart()
        if self._after is not None:
            # What an earlier, interrupted run kept is the last file that an engine is known to have come up with.
            # Empty stands for a file that was not there.
            known = self._before is not None or pid is not None
            if known and not os.path.exists(_host.PREVIOUS_DAEMON_JSON):
                _put(self._before or "", _host.PREVIOUS_DAEMON_JSON, 0o600)
            _put(self._after, _host.DAEMON_JSON, 0o644)
        for path, text in self._writes.items():
            # The drop-in may hold the password of a proxy; certificates are public.
            _put(text, path, 0o600 if path.endswith(".conf") else 0o644)
        for path in self._removes:
            os.unlink(path)

    def reload(self) -> None:
        """Have the running engine read daemon.json again."""
        pid = _host.engine_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
        _host.restart_is_done()


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def _stage(text: str, folder: str | None = None) -> str:
    """A temporary file with the text, readable by root alone."""
    descriptor, path = tempfile.mkstemp(prefix=".flotilla-", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    return path


def _put(text: str, path: str, mode: int) -> None:
    """Replace a file whole, or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    temporary = _stage(text, os.path.dirname(path))
    os.chmod(temporary, mode)
    os.replace(temporary, path)
