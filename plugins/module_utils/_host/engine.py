# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The engine of this host, answering or not: its process, its own files, and the mark of a restart that it needs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import Any

from .._model.documents import JoinNote
from .files import DAEMON_JSON, DATA_ROOT, PREVIOUS_DAEMON_JSON, RESTART_MARKER, text_of

# Seconds. An engine that is unlocked earlier after its start can come up without its overlay networks: it looks healthy, and
# rejects every task in one until it restarts. Seen one time in three within 0.1 s (20.10.24), and never after 2 s.
_UNLOCKS_SAFELY = 3.0


def daemon_config(root: str = "") -> tuple[dict[str, Any] | None, str | None]:
    """daemon.json, None if there is none, and why it cannot be used, None if it can. `root` precedes every path, for tests."""
    try:
        with open(root + DAEMON_JSON, "rb") as handle:
            raw = handle.read()
    except FileNotFoundError:
        return None, None
    except OSError as exc:
        return None, exc.strerror or str(exc)
    if not raw.strip():
        return {}, None
    try:
        config = json.loads(raw.decode("utf-8"))
    except ValueError as exc:
        return None, f"not valid JSON: {exc}"
    if not isinstance(config, dict):
        return None, "not a JSON object"
    return config, None


def engine_pid(root: str = "") -> int | None:
    """The process ID of this host's dockerd, answering or not; None if there is none."""
    config, _error = daemon_config(root)
    pidfile = (config or {}).get("pidfile")
    for path in (pidfile if isinstance(pidfile, str) else "/run/docker.pid", "/var/run/docker.pid"):
        pid = text_of(root + path).strip()
        if pid.isdigit() and text_of(f"{root}/proc/{pid}/comm").strip() == "dockerd":
            return int(pid)
    return None


def engine_is_active(root: str = "") -> bool:
    """Whether a dockerd runs on this host, answering or not."""
    return engine_pid(root) is not None


def pause_before_unlock(root: str = "") -> float:
    """Seconds to wait before this host's engine is unlocked; 0 if it has run for long enough, or if no one knows."""
    pid = engine_pid(root)
    # The fields behind the name of the program, which may have spaces: the 20th is the start, in ticks since the boot.
    fields = text_of(f"{root}/proc/{pid}/stat").rpartition(")")[2].split() if pid else []
    try:
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = float(text_of(f"{root}/proc/uptime").split()[0]) - started
    except (IndexError, ValueError):
        return 0.0
    return min(max(_UNLOCKS_SAFELY - age, 0.0), _UNLOCKS_SAFELY)


def unit_is_enabled(root: str = "") -> bool:
    """Whether systemd starts the engine at boot."""
    wants = root + "/etc/systemd/system/multi-user.target.wants/docker.service"
    masked = os.path.realpath(root + "/etc/systemd/system/docker.service") == "/dev/null"
    return os.path.lexists(wants) and not masked


def join_note(docker_root: str | None) -> JoinNote:
    """Whether a join of the engine was interrupted, and by which address it joined; `docker_root` is its data-root.

    The engine records an unfinished join (moby: daemon/cluster/utils.go, JoinInProgress), does not report it, and retries
    the one address that it was given forever. Until it restarts, a worker asks only that address to become a manager,
    whichever managers there are by then (swarmkit: node/node.go, runManager); if nobody answers there, its node goes down.
    """
    root = os.path.join(docker_root or DATA_ROOT, "swarm")
    try:
        state = json.loads(text_of(os.path.join(root, "docker-state.json")) or "{}")
        unfinished, address = bool(state.get("JoinInProgress")), state.get("RemoteAddr")
    except (ValueError, AttributeError):
        return JoinNote()
    try:
        # Written when the host joins, and when the engine starts.
        joined = os.stat(os.path.join(root, "certificates", "swarm-root-ca.crt")).st_mtime
        restarted = os.stat("/run/docker.pid").st_mtime > joined
    except OSError:
        restarted = False
    return JoinNote(unfinished, None if restarted else address or None)


def mark_restart_pending() -> None:
    """Note, before a change, that the running engine must restart for it."""
    os.makedirs(os.path.dirname(RESTART_MARKER), mode=0o755, exist_ok=True)
    with open(RESTART_MARKER, "w", encoding="utf-8"):
        pass


def restore_daemon_json() -> None:
    """Restore the daemon.json before the last change; an empty copy means that there was none."""
    if os.path.getsize(PREVIOUS_DAEMON_JSON):
        shutil.copyfile(PREVIOUS_DAEMON_JSON, DAEMON_JSON)
    else:
        os.unlink(DAEMON_JSON)


def clear_restart_pending() -> None:
    """Remove that note, and the copy of daemon.json, which is no longer needed."""
    for path in (RESTART_MARKER, PREVIOUS_DAEMON_JSON):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
