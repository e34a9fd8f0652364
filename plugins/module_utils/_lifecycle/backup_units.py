# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a manager has for its backups: the code, its settings, the services of systemd and the timer. Pure.

The services start again when they are killed, and then put right what the killed run has left. Systemd keeps the unlock key for that
in a descriptor of memory that only root can read (FileDescriptorStoreMax), so that it is in no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._host.units import (
    CODE_DIR,
    CONFIG_DIR,
    UNIT_DIR,
    HostFile,
    calendar_timer,
    config_text,
    quoted,
)

CODE = f"{CODE_DIR}/backup.pyz"
CONFIG = f"{CONFIG_DIR}/backup.json"
# The service of the timer, and that of a playbook. A lock on the host keeps them from running together.
TIMER = "flotilla-swarm-backup.timer"
TIMER_SERVICE = "flotilla-swarm-backup.service"
NOW_SERVICE = "flotilla-swarm-backup-now.service"
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
ExecStart={quoted(python)} -I {CODE} {mode}
UMask=0077
# After a kill, the next start brings the engine back.
Restart=on-abnormal
RestartSec=1
NotifyAccess=main
FileDescriptorStoreMax=1
RuntimeMaxSec={_LONGEST}
TimeoutStopSec={_TO_STOP}
"""


def wanted_files(
    code: bytes, options: Mapping[str, Any], schedule: str, python: str
) -> dict[str, HostFile]:
    """The files by path."""
    units = {
        TIMER_SERVICE: service_text(python, "timer"),
        NOW_SERVICE: service_text(python, "now"),
    }
    timer = (
        calendar_timer("Schedule of the backups of the swarm", schedule).encode()
        if schedule.strip()
        else None
    )
    return {
        CODE: HostFile(code, 0o600),
        CONFIG: HostFile(config_text(options).encode(), 0o600),
        **{f"{UNIT_DIR}/{name}": HostFile(text.encode()) for name, text in units.items()},
        f"{UNIT_DIR}/{TIMER}": HostFile(timer),
    }
