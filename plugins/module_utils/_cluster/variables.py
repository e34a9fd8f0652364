# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What is wrong with the variables of our roles, in sentences: their types, choices, ranges and names. Pure.

A value is valid if Ansible itself accepts it for the type, so that -e name=5 works; but a list or a dictionary is no
text. A value is shown only where it cannot be a secret.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

from ansible.module_utils.common.validation import check_type_dict

from .._common.errors import shown, sort_of
from .._model.mtu import LARGEST_MTU, LEAST_MTU

# The least and the most that a number may be, by the name of its variable; argument specs cannot say it.
RANGES: dict[str, tuple[float, float]] = {
    "swarm_removal_limit": (0, 1),
    "swarm_removal_down_after": (0, math.inf),
    "swarm_observe_timeout": (1, math.inf),
    "swarm_wait_timeout": (0, math.inf),
    "swarm_drain_timeout": (1, math.inf),
    "swarm_ingress.mtu": (LEAST_MTU, LARGEST_MTU),
    "docker_engine_lock_timeout": (0, math.inf),
    "docker_engine_log_max_files": (1, math.inf),
    "docker_engine_restart_batch": (1, math.inf),
    "docker_engine_restart_timeout": (1, math.inf),
    "docker_engine_disk_free_mb": (0, math.inf),
    "docker_engine_clock_skew_limit": (0, math.inf),
    "docker_engine_address_pools.size": (1, 128),
    "swarm_stack_wait_timeout": (1, math.inf),
    "swarm_stack_settle": (0, math.inf),
    "swarm_stack_log_lines": (0, math.inf),
    "swarm_stack_stacks.keep_revisions": (0, math.inf),
    "swarm_stack_stacks.wait_timeout": (1, math.inf),
}
# What people look for and is no variable, and what to do instead.
ELSEWHERE = {
    "swarm_role": "a host is a manager or a worker by its group, swarm_managers or swarm_workers",
    "swarm_state": "a host is in the swarm by its line in the inventory, and leaves it with swarm_remove_unlisted",
}
OURS = ("swarm_", "docker_engine_")
_TRUTHS = {"true", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "1", "0"}


def check_values(options: dict[str, Any], values: dict[str, Any], inside: str = "") -> list[str]:
    """What is wrong with the values of variables, a sentence each. `options` is from the argument spec of a role, and
    `inside` the path to a nested value, such as swarm_stack_stacks[web]."""
    wrong = []
    for name, option in options.items():
        if values.get(name) is not None:
            wrong += _check(f"{inside}{name}", name, option, values[name])
        elif option.get("required"):
            wrong.append(f"{inside}{name} is missing: set it")
        elif name in values and option.get("default") is not None:
            wrong.append(f"{inside}{name} has no value: set one, or remove the line")
    return wrong


def _check(path: str, name: str, option: dict[str, Any], value: Any) -> list[str]:
    kind = option.get("type", "str")
    fault = _fault(kind, value)
    if fault:
        return [f"{path} is {fault}"]
    if kind == "list":
        return _check_elements(path, name, option, _items(value))
    if kind == "dict" and option.get("options"):
        return _check_keys(path, name, option, check_type_dict(value))
    if kind in ("int", "float"):
        return _check_range(path, _range_of(path), float(value), value)
    choices = option.get("choices")
    if choices and str(value) not in map(str, choices):
        return [f"{path} is {shown(value)}: it must be {_one_of(choices)}"]
    return []


def _check_elements(path: str, name: str, option: dict[str, Any], items: list[Any]) -> list[str]:
    element = {**option, "type": option.get("elements", "raw")}
    if element["type"] in ("raw", "list"):
        return []
    wrong = []
    for number, item in enumerate(items):
        named = item.get("name") if isinstance(item, dict) else None
        place = f"{path}[{named if isinstance(named, str) else number}]"
        wrong += (
            [f"{place} is empty: give it a value, or remove it"]
            if item is None
            else _check(place, name, element, item)
        )
    return wrong


def _check_keys(path: str, name: str, option: dict[str, Any], value: dict[str, Any]) -> list[str]:
    known = option["options"]
    wrong = []
    for key in value.keys() - known.keys():
        close = _close(str(key), sorted(known), 0.6)
        hint = (
            f"did you mean {close[0]}?" if close else f"its keys can be {', '.join(sorted(known))}"
        )
        wrong.append(f"{path} has no key {shown(key)}: {hint}")
    return sorted(wrong) + check_values(known, value, f"{path}.")


def _items(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")] if value else []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _fault(kind: str, value: Any) -> str | None:
    """What a value is, and what it must be, where its type is wrong."""
    listed, mapped = isinstance(value, (list, tuple)), isinstance(value, dict)
    if kind in ("raw", "json"):
        return None
    if kind == "dict":
        if mapped:
            return None
        try:
            check_type_dict(value)
        except (TypeError, ValueError):
            return f"{sort_of(value)}: it must be a dictionary such as {{key: value}}"
        return None
    if kind == "list":
        return f"{sort_of(value)}: it must be a list such as [a, b]" if mapped else None
    if listed or mapped:
        what = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        return f"{sort_of(value)}: it must be {what.get(kind, 'a string such as a')}"
    if kind == "bool":
        good = str(value).lower() in _TRUTHS or str(value) in ("1.0", "0.0")
        return None if good else f"{shown(value)}: it must be true or false"
    if kind in ("int", "float"):
        return None if _is_number(value, kind) else f"{shown(value)}: it must be {_NUMBERS[kind]}"
    if isinstance(value, bool):
        return f"{shown(value)}: it must be a string: put it in quotes"
    return None


_NUMBERS = {"int": "a whole number", "float": "a number"}


def _is_number(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return False
    try:
        # 90.0 is a whole number for newer versions of ansible-core only (seen: not for 2.16).
        if kind == "int" and not isinstance(value, int):
            int(str(value))
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _range_of(path: str) -> tuple[float, float] | None:
    bare = ".".join(part.partition("[")[0] for part in path.split("."))
    return RANGES.get(bare)


def _check_range(
    path: str, limits: tuple[float, float] | None, number: float, value: Any
) -> list[str]:
    if limits is None or limits[0] <= number <= limits[1]:
        return []
    least, most = limits
    words = f"{least:g} or more" if most == math.inf else f"a number from {least:g} to {most:g}"
    return [f"{path} is {shown(value)}: it must be {words}"]


def _one_of(choices: Iterable[Any]) -> str:
    named = [str(choice) for choice in choices if choice != ""]
    return f"one of {', '.join(named)}{', or empty' if '' in choices else ''}"


# Names


def resembles_ours(name: str) -> bool:
    """Whether a name begins like one of our variables, or nearly so; quick, for a host has hundreds."""
    if name.startswith(OURS):
        return True
    head, line, _rest = name.partition("_")
    letters = set(head)
    return bool(line) and (
        (3 <= len(head) <= 7 and len(letters & set("swarm")) >= 4)
        or (4 <= len(head) <= 8 and len(letters & set("docker")) >= 5)
    )


def _close(name: str, known: list[str], cutoff: float) -> list[str]:
    """The known name that is most like this one, if any is."""
    # Every module imports this file, and hardly one of them meets a name that is not known.
    import difflib

    return difflib.get_close_matches(name, known, n=1, cutoff=cutoff)


def misspelt_names(names: Collection[str], known: Collection[str]) -> dict[str, str]:
    """Names that look like variables of ours and are none, each with what to do."""
    found = {}
    listed = sorted(known)
    for name in sorted(set(names) - set(known)):
        close = _close(name, listed, 0.88)
        # Cut off in the middle of a word: swarm_avail.
        cut = [full for full in listed if full.startswith(name) and full[len(name)] != "_"]
        if name in ELSEWHERE:
            found[name] = f"there is no variable {name}: {ELSEWHERE[name]}"
        elif close or (cut and name.startswith(OURS) and not name.endswith("_")):
            found[name] = f"there is no variable {name}: did you mean {(close or cut)[0]}?"
    return found
