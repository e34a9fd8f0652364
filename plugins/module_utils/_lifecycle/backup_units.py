# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a manager has for its backups: the code, its settings, the services of systemd and the timer. Pure.

The services start again when they are killed, and then put right what the killed run has left. Systemd keeps the unlock key for that
in a descriptor of memory that only root can read (FileDescriptorStoreMax), so that it is in no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CODE_DIR = "/usr/local/lib/flotilla.swarm"
CODE = f"{CODE_DIR}/backup.pyz"
CONFIG = "/etc/flotilla.swarm/backup.json"
UNIT_DIR = "/etc/systemd/system"
# The service of the timer, and that of a playbook. A lock on the host keeps them from running together.
TIMER = "flotilla-swarm-backup.timer"
TIMER_SERVICE = "flotilla-swarm-backup.service"
NOW_SERVICE = "flotilla-swarm-backup-now.service"
# All that is on a manager beside its backups.
FILES = (
    CODE,
    CONFIG,
    *(f"{UNIT_DIR}/{unit}" for unit in (TIMER, TIMER_SERVICE, NOW_SERVICE)),
)
# Seconds: the longest backup, and the time to bring the engine back after the end of the service is asked for.
_LONGEST, _TO_STOP = 7200, 420


def service_text(python: str, mode: str) -> str:
    """The service that runs the code; `mode` is timer or now."""
    reason = "its timer" if mode == "timer" else "a playbook"
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description=Backup of the swarm, for {reason} (flotilla.swarm)
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart="{_quoted(python)}" -I {CODE} {mode}
UMask=0077
# After a kill, the next start brings the engine back.
Restart=on-abnormal
RestartSec=1
NotifyAccess=main
FileDescriptorStoreMax=1
RuntimeMaxSec={_LONGEST}
TimeoutStopSec={_TO_STOP}
"""


def _quoted(path: str) -> str:
    return path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")


def timer_text(schedule: str) -> str:
    """The timer. All managers have it, and one of them acts."""
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description=Schedule of the backups of the swarm (flotilla.swarm)

[Timer]
OnCalendar={schedule.strip()}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def config_text(options: Mapping[str, Any]) -> str:
    """The settings of the timer. They have no secret: recipients are public keys."""
    return json.dumps(dict(options), indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True)
class HostFile:
    """The content and mode of a file; without content, it must not exist."""

    content: bytes | None
    mode: int = 0o644


@dataclass(frozen=True)
class InstallPlan:
    """What changes on a manager. The files are in the order in which they are written."""

    write: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    reload: bool = False  # systemd must read its units again
    timer: str = ""  # start, restart, stop, or nothing

    @property
    def steps(self) -> list[str]:
        """The changes as text, in order."""
        steps = [f"write {path}" for path in self.write] + [
            f"remove {path}" for path in self.remove
        ]
        return steps + ([f"{self.timer} {TIMER}"] if self.timer else [])

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.write or self.remove or self.reload or self.timer)


def wanted_files(
    code: bytes, options: Mapping[str, Any], schedule: str, python: str
) -> dict[str, HostFile]:
    """The files by path."""
    units = {
        TIMER_SERVICE: service_text(python, "timer"),
        NOW_SERVICE: service_text(python, "now"),
    }
    timer = timer_text(schedule).encode() if schedule.strip() else None
    return {
        CODE: HostFile(code, 0o600),
        CONFIG: HostFile(config_text(options).encode(), 0o600),
        **{f"{UNIT_DIR}/{name}": HostFile(text.encode()) for name, text in units.items()},
        f"{UNIT_DIR}/{TIMER}": HostFile(timer),
    }


def plan_install(
    found: Mapping[str, HostFile],
    wanted: Mapping[str, HostFile],
    timer_runs: bool,
    needs_reload: bool,
) -> InstallPlan:
    """What changes, given the files that are there, and whether the timer is active and enabled. Also after a killed run."""
    write = tuple(
        path for path, file in wanted.items() if file.content is not None and found[path] != file
    )
    remove = tuple(
        path
        for path, file in wanted.items()
        if file.content is None and found[path].content is not None
    )
    timer_path = f"{UNIT_DIR}/{TIMER}"
    is_wanted = wanted[timer_path].content is not None
    timer = ""
    if is_wanted and not timer_runs:
        timer = "start"
    elif is_wanted and (timer_path in write or needs_reload):
        timer = "restart"
    elif not is_wanted and (timer_runs or remove):
        timer = "stop"
    units = any(path.startswith(UNIT_DIR) for path in (*write, *remove))
    return InstallPlan(write, remove, units or needs_reload, timer)
