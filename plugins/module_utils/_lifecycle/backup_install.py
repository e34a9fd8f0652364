# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Installs on a manager what its backups need: the code, its settings, the services and the timer."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from typing import Any, Callable

from .._common.errors import SwarmError, failure_of
from .backup_units import (
    CONFIG,
    NOW_SERVICE,
    TIMER,
    TIMER_SERVICE,
    HostFile,
    InstallPlan,
    plan_install,
)
from .export import write_whole

# A command and its (exit code, output, errors).
Runner = Callable[..., tuple[int, str, str]]


def check_schedule(run: Runner, schedule: str) -> None:
    """Raise bad_option unless systemd understands the schedule."""
    if any(ord(character) < 32 for character in schedule):
        raise _bad_schedule(schedule, "it has more than one line")
    if schedule.strip():
        code, _output, errors = run(["systemd-analyze", "calendar", "--", schedule.strip()])
        if code:
            raise _bad_schedule(
                schedule, errors.strip().splitlines()[-1] if errors.strip() else "it is refused"
            )


def _bad_schedule(schedule: str, why: str) -> SwarmError:
    return SwarmError(
        "bad_option",
        f"Could not set the timer of backups to {schedule!r}: {why.rstrip('.')}. Set swarm_backup_schedule to a calendar event"
        " of systemd.time(7), for example '*-*-* 02:30'.",
    )


def observe(run: Runner, wanted: Mapping[str, HostFile]) -> InstallPlan:
    """What changes on this host. Raises not_root or os_error."""
    try:
        found = {path: _file(path) for path in wanted}
    except OSError as error:
        raise failure_of("read the files of the backups", error) from error
    _code, output, _errors = run(
        [
            *("systemctl", "show", "-p", "Id,ActiveState,UnitFileState,NeedDaemonReload"),
            *(TIMER, TIMER_SERVICE, NOW_SERVICE),
        ]
    )
    units = [
        dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        for part in output.split("\n\n")
    ]
    timer: dict[str, str] = next((unit for unit in units if unit.get("Id") == TIMER), {})
    runs = timer.get("ActiveState") == "active" and timer.get("UnitFileState") == "enabled"
    reload = any(unit.get("NeedDaemonReload") == "yes" for unit in units)
    return plan_install(found, wanted, runs, reload)


def _file(path: str) -> HostFile:
    try:
        with open(path, "rb") as file:
            return HostFile(file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
    except FileNotFoundError:
        return HostFile(None)


def apply(run: Runner, plan: InstallPlan, wanted: Mapping[str, HostFile], done: list[str]) -> None:
    """Carry the plan out; `done` grows as it goes. Raises systemctl_failed, not_root or os_error."""
    try:
        for path in plan.write:
            file = wanted[path]
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            write_whole(path, file.content or b"")
            os.chmod(path, file.mode)
            done.append(f"write {path}")
        if plan.timer == "stop":
            _systemctl(run, "disable", "--now", TIMER)
            done.append(f"stop {TIMER}")
        for path in plan.remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            done.append(f"remove {path}")
    except OSError as error:
        raise failure_of("install the backups", error) from error
    if plan.reload:
        _systemctl(run, "daemon-reload")
    if plan.timer in ("start", "restart"):
        _systemctl(run, "enable", TIMER)
        _systemctl(run, "restart", TIMER)
        done.append(f"{plan.timer} {TIMER}")


def _systemctl(run: Runner, *words: str) -> None:
    code, _output, errors = run(["systemctl", *words])
    if code:
        raise SwarmError("systemctl_failed", f"Could not {words[0]} {words[-1]}: {errors.strip()}.")


def diff_of(plan: InstallPlan, wanted: Mapping[str, HostFile]) -> dict[str, Any]:
    """What changes in words, with the new settings."""
    lines = []
    for path in plan.write:
        content = wanted[path].content or b""
        lines.append(f"write {path}")
        if path == CONFIG:
            lines += [f"  {line}" for line in content.decode().splitlines()]
    lines += [f"remove {path}" for path in plan.remove]
    if plan.timer:
        lines.append(f"{plan.timer} {TIMER}")
    return {"prepared": "\n".join(lines) + "\n"} if lines else {}
