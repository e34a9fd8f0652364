# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Installs on a host what it runs by a timer: observes the files and units, and carries out the plan of `units`."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Callable

from .._common.errors import SwarmError, failure_of
from .files import write_whole
from .units import CODE_DIR, CONFIG_DIR, UNIT_DIR, HostFile, InstallPlan, plan_install

# A command and its (exit code, output, errors).
Runner = Callable[..., tuple[int, str, str]]


def check_schedule(run: Runner, schedule: str, of: str, variable: str) -> None:
    """Raise bad_option unless systemd understands the schedule of something, which a variable sets."""
    if any(ord(character) < 32 for character in schedule):
        raise _bad_schedule(schedule, of, variable, "it has more than one line")
    if schedule.strip():
        code, _output, errors = run(["systemd-analyze", "calendar", "--", schedule.strip()])
        if code:
            why = errors.strip().splitlines()[-1] if errors.strip() else "it is refused"
            raise _bad_schedule(schedule, of, variable, why)


def _bad_schedule(schedule: str, of: str, variable: str, why: str) -> SwarmError:
    return SwarmError(
        "bad_option",
        f"Could not set the timer of {of} to {schedule!r}: {why.rstrip('.')}. Set {variable} to a calendar event"
        " of systemd.time(7), for example '*-*-* 02:30'.",
    )


def observe(run: Runner, wanted: Mapping[str, HostFile], timer: str) -> InstallPlan:
    """What changes on this host. Raises not_root or os_error."""
    try:
        found = {path: _file(path) for path in wanted}
    except OSError as error:
        raise failure_of(f"read the files of {timer}", error) from error
    names = [os.path.basename(path) for path in wanted if path.startswith(f"{UNIT_DIR}/")]
    _code, output, _errors = run(
        ["systemctl", "show", "-p", "Id,ActiveState,UnitFileState,NeedDaemonReload", "--", *names]
    )
    units = [
        dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        for part in output.split("\n\n")
    ]
    its: dict[str, str] = next((unit for unit in units if unit.get("Id") == timer), {})
    runs = its.get("ActiveState") == "active" and its.get("UnitFileState") == "enabled"
    reload = any(unit.get("NeedDaemonReload") == "yes" for unit in units)
    return plan_install(found, wanted, timer, runs, reload)


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
        if plan.timer_action == "stop":
            _systemctl(run, "disable", "--now", plan.timer)
            done.append(f"stop {plan.timer}")
        for path in plan.remove:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            done.append(f"remove {path}")
    except OSError as error:
        raise failure_of(f"install {plan.timer}", error) from error
    if plan.reload:
        _systemctl(run, "daemon-reload")
    if plan.timer_action in ("start", "restart"):
        _systemctl(run, "enable", plan.timer)
        _systemctl(run, "restart", plan.timer)
        done.append(f"{plan.timer_action} {plan.timer}")


def installed(part: str) -> list[str]:
    """The files on this host of a part of the collection, such as backup: its code, its settings and keys, its units."""
    places = (f"{CODE_DIR}/{part}.", f"{CONFIG_DIR}/{part}.", f"{UNIT_DIR}/flotilla-swarm-{part}")
    return sorted(path for place in places for path in glob.glob(f"{glob.escape(place)}*"))


def stop(run: Runner, paths: Iterable[str]) -> None:
    """Stop the timers and then the services among these files. One that does not run is no problem."""
    units = [os.path.basename(path) for path in paths if path.startswith(f"{UNIT_DIR}/")]
    for name in sorted(units, key=lambda name: not name.endswith(".timer")):
        words = ["disable", "--now"] if name.endswith(".timer") else ["stop"]
        run(["systemctl", *words, "--", name])


def _systemctl(run: Runner, *words: str) -> None:
    code, _output, errors = run(["systemctl", *words])
    if code:
        raise SwarmError("systemctl_failed", f"Could not {words[0]} {words[-1]}: {errors.strip()}.")
