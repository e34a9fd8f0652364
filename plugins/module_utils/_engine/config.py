# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""The engine's configuration files: what differs, whether the engine accepts it, and writing it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
from typing import Any, Callable

from .._common.errors import SwarmError
from .._host import files
from .._host.engine import clear_restart_pending, engine_pid, mark_restart_pending
from .._host.logins import LOGINS, with_logins
from .content import render

# arguments -> (exit code, output, errors)
Runner = Callable[[list[str]], tuple[int, str, str]]

# The options of the modules that write the configuration.
CONFIG_ARGUMENTS: dict[str, Any] = dict(
    daemon=dict(type="dict"),
    write=dict(type="dict", default={}, no_log=True),
    remove=dict(type="list", elements="path", default=[]),
    logins=dict(type="dict", default={}, no_log=True),
)


class Config:
    """The configuration files of this host, current and desired; `params` has CONFIG_ARGUMENTS."""

    def __init__(self, params: dict[str, Any], run: Runner) -> None:
        self._run = run
        daemon = params["daemon"]
        self._before = _read(files.DAEMON_JSON)
        after = None if daemon is None else render(daemon)
        self._after = after if after != self._before else None
        self._writes = {path: text for path, text in params["write"].items() if _read(path) != text}
        self._removes = [path for path in params["remove"] if os.path.lexists(path)]
        self._logins = _logins(params["logins"])

    @property
    def files(self) -> list[str]:
        """The paths that differ."""
        daemon = [files.DAEMON_JSON] if self._after is not None else []
        logins = [LOGINS] if self._logins is not None else []
        return sorted([*daemon, *self._writes, *self._removes, *logins])

    @property
    def diff(self) -> list[dict[str, str]]:
        """The change of daemon.json for Ansible to print; the other files may hold credentials."""
        if self._after is None:
            return []
        name = files.DAEMON_JSON
        return [
            {
                "before_header": name,
                "after_header": name,
                "before": self._before or "",
                "after": self._after,
            }
        ]

    def validate(self) -> bool:
        """Have the engine check daemon.json; False if it is missing or too old for that. Raises bad_daemon_config."""
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
                f"Could not use the new {files.DAEMON_JSON}: dockerd --validate says: {reason.strip().rstrip('.')}."
                " The file has not changed. Correct docker_engine_daemon.",
            )
        return True

    def write(self, restart: bool) -> None:
        """Write what differs; `restart` says that a running engine must restart for it. Raises OSError."""
        pid = engine_pid()
        if pid is not None and restart and self.files:
            mark_restart_pending()
        if self._after is not None:
            # The copy of an earlier, interrupted run is the last file that an engine is known to have started with.
            # An empty copy means that there was no file.
            known = self._before is not None or pid is not None
            if known and not os.path.exists(files.PREVIOUS_DAEMON_JSON):
                _put(self._before or "", files.PREVIOUS_DAEMON_JSON, 0o600)
            _put(self._after, files.DAEMON_JSON, 0o644)
        for path, text in self._writes.items():
            # A drop-in can hold the password of a proxy; certificates are public.
            _put(text, path, 0o600 if path.endswith(".conf") else 0o644)
        for path in self._removes:
            os.unlink(path)
        if self._logins is not None:
            os.makedirs(os.path.dirname(LOGINS), mode=0o700, exist_ok=True)
            files.write_whole(LOGINS, self._logins)

    def reload(self) -> None:
        """Have the running engine read daemon.json again."""
        pid = engine_pid()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
        clear_restart_pending()


def configure(params: dict[str, Any], run: Runner, check_mode: bool) -> dict[str, Any]:
    """Carry out docker_engine_config, and return its result; raises bad_daemon_config and OSError."""
    config = Config(params, run)
    changed = bool(config.files)
    result = {"changed": changed, "files": config.files, "validated": config.validate()}
    if changed and not check_mode:
        config.write(params["restart"] or params["reload"])
        if params["reload"] and not params["restart"]:
            config.reload()
    return {**result, "diff": config.diff}


def _logins(logins: dict[str, str]) -> bytes | None:
    """Docker's configuration for root with these logins, None if it has them. Raises bad_login."""
    if not logins:
        return None
    try:
        return with_logins(files.read(LOGINS), logins)
    except ValueError as error:
        raise SwarmError(
            "bad_login",
            f"Could not read the logins in {LOGINS}: it is not a configuration of Docker ({error}). Correct or remove the file.",
        ) from error


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
