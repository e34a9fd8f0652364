# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How the values of a spec are shown. No I/O.

Never shown: the data of secrets and configs, values whose name is that of a credential (environment variables, labels,
options, `--name=value` arguments), and passwords in URLs. That such a value changes is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .._common.words import count_of
from .._model.labels import STACK_IMAGE_LABEL
from .._model.services import REPLICATED, container_of, mode_of
from .redaction import HIDDEN, hide, hide_arguments, is_credential

ABSENT = "(none)"


class Mark:
    """A placeholder that equals no value of a user."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


# A variable that a service names without a value.
UNSET = Mark("(unset)")

# An empty section, such as an empty healthcheck, differs from none: the engine keeps it, and replaces tasks when it is
# added or removed.
PRESENT = Mark("(defaults)")

# Maps whose keys are the user's own: an empty value is a value.
USER_MAPS = {
    *("labels", "container_labels", "env", "options", "driver_opts", "sysctls", "ipam_options"),
}


def environment_of(entries: list[str]) -> dict[str, Any]:
    """The variables of a ContainerSpec's Env by name; UNSET for one without a value."""
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        found[name] = value if equals else UNSET
    return found


# Characters of a value that are shown, and how many of these before the first difference.
_LONGEST = 200
_LEAD = 40


def show(name: str, value: Any) -> str:
    """The value of a field as text, without credentials. Different values look different, unless they are hidden."""
    if value is None:
        return ABSENT
    own_map, own_key = _own_key(name)
    if own_map and is_credential(own_key):
        return HIDDEN
    if isinstance(value, list):
        return ", ".join(_items(value)) or ABSENT
    if isinstance(value, Mark):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _quantity(name.rpartition(".")[2], value)
    return _quoted(hide(str(value)))


_MARKS = (ABSENT, str(UNSET), str(PRESENT))


def _quoted(text: str, ambiguous: str = "") -> str:
    """The text, in quotes where it is ambiguous without."""
    plain = text.isprintable() and text == text.strip() and text[:1] not in ("", "'", '"')
    if plain and text not in _MARKS and not (ambiguous and ambiguous in text):
        return text
    return repr(text)


def show_both(name: str, before: Any, after: Any) -> tuple[str, str]:
    """Both values of a field as text; of long ones, the part where they begin to differ."""
    old, new = show(name, before), show(name, after)
    pairs = enumerate(zip(old, new))
    first = next((n for n, (one, other) in pairs if one != other), min(len(old), len(new)))
    start = max(0, first - _LEAD) if first >= _LONGEST - len("...") else 0
    return _excerpt(old, start), _excerpt(new, start)


def _excerpt(text: str, start: int) -> str:
    if len(text) <= _LONGEST:
        return text
    end = start + _LONGEST
    return f"{'...' if start else ''}{text[start:end]}{'...' if len(text) > end else ''}"


def hide_credentials(line: str, container: dict[str, Any]) -> str:
    """A line of a log without the credentials in the environment of the ContainerSpec, and without what looks like one."""
    for name, value in environment_of(container.get("Env") or []).items():
        if is_credential(name) and isinstance(value, str) and len(value) > 3:
            line = line.replace(value, HIDDEN)
    return hide(line)


def _own_key(name: str) -> tuple[bool, str]:
    parts = name.split(".")
    for number, part in enumerate(parts):
        if part in USER_MAPS:
            return True, ".".join(parts[number + 1 :])
    return False, ""


def _items(values: list[Any]) -> Iterator[str]:
    """The items of a list, each quoted if it would look like two."""
    if all(isinstance(value, str) for value in values):
        values = list(hide_arguments(values))
    for value in values:
        yield _quoted(value, ", ") if isinstance(value, str) else " ".join(_words(value))


def _words(value: Any) -> Iterator[str]:
    """The values in a preference, platform or generic resource, without the keys of the API."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    else:
        yield show("", value)


def _quantity(name: str, value: int) -> str:
    if name == "memory" or name.endswith("_bytes"):
        for unit, size in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
    if name == "cpus":
        return f"{value / 1e9:g}"
    if name in _DURATIONS:
        return f"{value / 1e9:g}s"
    if name == "mode":
        return f"{value:04o}"
    return str(value)


_DURATIONS = {
    "delay",
    "window",
    "monitor",
    "interval",
    "timeout",
    "start_period",
    "start_interval",
    "stop_grace_period",
}


def summary(kind: str, spec: dict[str, Any]) -> str:
    """A few words on an object that is created or removed."""
    if kind == "network":
        return str(spec.get("Driver") or "overlay")
    if kind in ("secret", "config"):
        return ""
    mode = mode_of(spec)
    if mode["Mode"] == REPLICATED:
        count = mode["Replicas"]
        how_many = count_of(count, "replica")
    else:
        how_many = mode["Mode"]
    # As the Compose file has it, without a digest.
    labels = spec.get("Labels") or {}
    return f"image {labels.get(STACK_IMAGE_LABEL) or container_of(spec).get('Image')}, {how_many}"


def short_image(image: str) -> str:
    """An image without most of its digest."""
    return re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]+", r"\1", image)
