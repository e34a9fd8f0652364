# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What this collection runs on a host by a timer: the code, its settings, the services of systemd and the timer. Pure.

A part of the collection says which files a host must have. Here is what changes on the host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CODE_DIR = "/usr/local/lib/flotilla.swarm"
CONFIG_DIR = "/etc/flotilla.swarm"
UNIT_DIR = "/etc/systemd/system"
# The limits of a service that looks by a timer. It writes into its own folders alone; everything else goes through the engine.
CONFINED = """\
MemoryMax=1G
TasksMax=512
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
StateDirectory=flotilla.swarm
RuntimeDirectory=flotilla.swarm
RuntimeDirectoryPreserve=yes
"""


@dataclass(frozen=True)
class HostFile:
    """The content and mode of a file; without content, it must not exist."""

    content: bytes | None
    mode: int = 0o644


@dataclass(frozen=True)
class InstallPlan:
    """What changes on a host. The files are in the order in which they are written."""

    timer: str  # the name of the unit
    write: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    reload: bool = False  # systemd must read its units again
    timer_action: str = ""  # start, restart, stop, or nothing

    @property
    def steps(self) -> list[str]:
        """The changes as text, in order."""
        steps = [f"write {path}" for path in self.write] + [
            f"remove {path}" for path in self.remove
        ]
        return steps + ([f"{self.timer_action} {self.timer}"] if self.timer_action else [])

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.write or self.remove or self.reload or self.timer_action)


# The files


def quoted(text: str) -> str:
    """A word of ExecStart= (systemd.service(5))."""
    escaped = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("$", "$$") + '"'


def calendar_timer(description: str, schedule: str) -> str:
    """A timer for a calendar event of systemd.time(7)."""
    return _timer(description, f"OnCalendar={schedule.strip()}")


def interval_timer(description: str, seconds: int) -> str:
    """A timer that elapses so many seconds after its service has ended, and a few seconds after the host has started."""
    return _timer(description, f"OnActiveSec=5s\nOnUnitInactiveSec={seconds}s")


def _timer(description: str, when: str) -> str:
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description={description} (flotilla.swarm)

[Timer]
{when}
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def config_text(options: Mapping[str, Any]) -> str:
    """The settings of a service as its configuration file."""
    return json.dumps(dict(options), indent=2, sort_keys=True) + "\n"


def with_keys(
    files: Mapping[str, HostFile], keys: Mapping[str, bytes], present: Iterable[str]
) -> dict[str, HostFile]:
    """The files by path, with keys that only root can read. Of the keys in `present`, those that nobody uses any more are removed.

    The keys come first, so that a run that is killed leaves no settings without them.
    """
    return {
        **{path: HostFile(data, 0o600) for path, data in sorted(keys.items())},
        **files,
        **{path: HostFile(None) for path in sorted(present) if path not in keys},
    }


# Plan


def plan_install(
    found: Mapping[str, HostFile],
    wanted: Mapping[str, HostFile],
    timer: str,
    timer_runs: bool,
    needs_reload: bool,
) -> InstallPlan:
    """What changes, given the files that are there, and whether the timer is active and enabled. Also after a killed run. Pure."""
    write = tuple(
        path for path, file in wanted.items() if file.content is not None and found[path] != file
    )
    remove = tuple(
        path
        for path, file in wanted.items()
        if file.content is None and found[path].content is not None
    )
    path_of_timer = f"{UNIT_DIR}/{timer}"
    is_wanted = wanted[path_of_timer].content is not None
    action = ""
    if is_wanted and not timer_runs:
        action = "start"
    elif is_wanted and (path_of_timer in write or needs_reload):
        action = "restart"
    elif not is_wanted and (timer_runs or path_of_timer in remove):
        action = "stop"
    units = any(path.startswith(UNIT_DIR) for path in (*write, *remove))
    return InstallPlan(timer, write, remove, units or needs_reload, action)


def diff_of(plan: InstallPlan, wanted: Mapping[str, HostFile], config: str = "") -> dict[str, Any]:
    """What changes in words, with the new settings if `config` is the path of a file without secrets. Pure."""
    lines = []
    for path in plan.write:
        lines.append(f"write {path}")
        if path == config:
            lines += [f"  {line}" for line in (wanted[path].content or b"").decode().splitlines()]
    lines += [f"remove {path}" for path in plan.remove]
    if plan.timer_action:
        lines.append(f"{plan.timer_action} {plan.timer}")
    return {"prepared": "\n".join(lines) + "\n"} if lines else {}
