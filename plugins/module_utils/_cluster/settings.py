# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The settings of a swarm: read the whole spec, change what was named, send the whole spec back."""

from __future__ import annotations

import copy
import re
from dataclasses import asdict, dataclass
from typing import Any, Callable, NamedTuple

from .._common.errors import SwarmError, shown
from .._model.labels import PREFIX

_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}


def parse_duration(text: Any) -> int:
    """Nanoseconds of a duration such as 5s, 90m, 720h, 30d or 1h30m. Raises ValueError."""
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        raise ValueError(f"'{text}' is not a duration such as 5s, 90m, 720h or 30d")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def format_duration(nanoseconds: int | None) -> str | None:
    """The shortest exact text of a duration: one unit if possible."""
    if nanoseconds is None:
        return None
    for unit in ("d", "h", "m", "s", "ms"):
        if nanoseconds and nanoseconds % _UNITS[unit] == 0:
            return f"{nanoseconds // _UNITS[unit]}{unit}"
    return "0s" if nanoseconds == 0 else f"{nanoseconds / 10**9}s"


class Setting(NamedTuple):
    """Where a setting is in the spec of a swarm, and how its value is written there and by people."""

    path: tuple[str, ...]
    kind: str
    encode: Callable[[Any], Any] = lambda value: value
    decode: Callable[[Any], Any] = lambda value: value


def _duration(*path: str) -> Setting:
    return Setting(path, "str", parse_duration, format_duration)


# The names are those of community.docker.docker_swarm, so that habits carry over.
SETTINGS: dict[str, Setting] = {
    "autolock_managers": Setting(("EncryptionConfig", "AutoLockManagers"), "bool"),
    "dispatcher_heartbeat_period": _duration("Dispatcher", "HeartbeatPeriod"),
    "election_tick": Setting(("Raft", "ElectionTick"), "int"),
    "heartbeat_tick": Setting(("Raft", "HeartbeatTick"), "int"),
    "keep_old_snapshots": Setting(("Raft", "KeepOldSnapshots"), "int"),
    "labels": Setting(("Labels",), "dict"),
    "log_entries_for_slow_followers": Setting(("Raft", "LogEntriesForSlowFollowers"), "int"),
    "node_cert_expiry": _duration("CAConfig", "NodeCertExpiry"),
    "snapshot_interval": Setting(("Raft", "SnapshotInterval"), "int"),
    "task_history_retention_limit": Setting(("Orchestration", "TaskHistoryRetentionLimit"), "int"),
}


def read_settings(spec: dict[str, Any]) -> dict[str, Any]:
    """Every setting by name, as a person writes it."""
    found = {}
    for name, setting in SETTINGS.items():
        value: Any = spec
        for key in setting.path:
            value = value.get(key) if isinstance(value, dict) else None
        found[name] = dict(value or {}) if setting.kind == "dict" else setting.decode(value)
    # Where autolock was never on, the engine leaves the key out (moby: api/types/swarm, omitempty).
    found["autolock_managers"] = bool(found["autolock_managers"])
    return found


def _desired_value(name: str, value: Any, found: Any) -> Any:
    """The desired value of a setting, in the form that read_settings returns."""
    setting = SETTINGS[name]
    if setting.kind == "dict":
        merged = dict(found)
        for key, item in value.items():
            merged.pop(key, None)
            if item is not None:
                merged[str(key)] = str(item)
        return merged
    return setting.decode(setting.encode(value))


def check_settings(desired: Any) -> list[str]:
    """What is wrong with settings as a person wrote them, a sentence each."""
    wrong: list[str] = []
    if not isinstance(desired, dict):
        return [
            f"swarm_settings is {shown(desired)}: it must be a dictionary such as {{node_cert_expiry: 90d}}"
        ]
    for name, value in desired.items():
        if name not in SETTINGS:
            wrong.append(
                f"swarm setting '{name}' does not exist: use one of {', '.join(sorted(SETTINGS))}"
            )
            continue
        kind = SETTINGS[name].kind
        if value is None:
            continue
        if kind == "bool" and not isinstance(value, bool):
            wrong.append(f"swarm setting {name} is {shown(value)}: it must be true or false")
        elif kind == "int" and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            wrong.append(
                f"swarm setting {name} is {shown(value)}: it must be a whole number, 0 or more"
            )
        elif kind == "dict" and not isinstance(value, dict):
            wrong.append(f"swarm setting {name} is {shown(value)}: it must be a dictionary")
        elif kind == "dict":
            wrong += [
                f"swarm setting {name} has {shown(item)} for {key}: it must be a single value"
                for key, item in value.items()
                if isinstance(item, (dict, list))
            ]
        elif kind == "str":
            try:
                parse_duration(value)
            except ValueError as error:
                wrong.append(f"swarm setting {name}: {error}")
    return wrong


def show_value(value: Any) -> str:
    """The value of a setting as a plan shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items())) or "none"
    return "unset" if value is None else str(value)


@dataclass(frozen=True)
class SettingChange:
    """A setting that changes, with its values as read_settings returns them."""

    setting: str
    before: Any
    after: Any

    @property
    def text(self) -> str:
        before, after = self.before, self.after
        if isinstance(before, dict) and isinstance(after, dict):
            # Our own labels can be long, and no setting of the user changes them.
            kept = {key for key in before if key.startswith(PREFIX)}
            kept = {key for key in kept if before[key] == after.get(key)}
            before = {key: value for key, value in before.items() if key not in kept}
            after = {key: value for key, value in after.items() if key not in kept}
        return f"{self.setting}: {show_value(before)} -> {show_value(after)}"

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def plan_settings(found: dict[str, Any], desired: dict[str, Any]) -> list[SettingChange]:
    """The settings to change: what was not named, or is None, stays as it is. Raises bad_setting."""
    wrong = check_settings(desired)
    if wrong:
        raise SwarmError(
            "bad_setting", "Could not change the swarm's settings: " + "; ".join(wrong) + "."
        )
    steps = []
    for name in sorted(desired):
        if desired[name] is None:
            continue
        after = _desired_value(name, desired[name], found[name])
        if after != found[name]:
            steps.append(SettingChange(name, found[name], after))
    return steps


def apply_settings(spec: dict[str, Any], steps: list[SettingChange]) -> dict[str, Any]:
    """The whole spec with the changes in it: what is left out of a spec, the engine resets."""
    changed = copy.deepcopy(spec)
    for step in steps:
        setting = SETTINGS[step.setting]
        place = changed
        for key in setting.path[:-1]:
            place = place.setdefault(key, {})
        place[setting.path[-1]] = setting.encode(step.after)
    return changed


def change_settings(
    client: Any, desired: dict[str, Any], check_mode: bool, attempts: int = 5
) -> tuple[dict[str, Any], dict[str, Any], list[SettingChange]]:
    """Settings before, settings after, and the steps between.

    The version that was read goes with the write; where somebody else was quicker, everything is read and planned
    again, up to `attempts` times. Raises bad_setting, out_of_sequence, and what the engine refuses.
    """
    while True:
        attempts -= 1
        document = client.swarm()
        spec = document.get("Spec") or {}
        before = read_settings(spec)
        steps = plan_settings(before, desired)
        after = {**before, **{step.setting: step.after for step in steps}}
        if check_mode or not steps:
            return before, after, steps
        try:
            client.update_swarm(document["Version"]["Index"], apply_settings(spec, steps))
        except SwarmError as error:
            if error.code == "out_of_sequence" and attempts > 0:
                continue
            raise
        return before, read_settings((client.swarm().get("Spec")) or {}), steps
