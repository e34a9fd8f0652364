# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Words that messages share: numbers of things, and lists of names; and sentences that can be said in another language. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Text(str):
    """An English text that remembers how it was made: its template, by which catalogues find its translation, and the values."""

    template: str
    values: Mapping[str, Any]


def text(template: str, **values: Any) -> Text:
    """The text of a template such as `{count} of {total} ready`. Values can be texts themselves."""
    made = Text(template.format_map(values))
    made.template = template
    made.values = values
    return made


def as_is(words: object) -> Text:
    """Words that are the same in every language, such as a name or what an engine says."""
    return text("{words}", words=words)


def quoted(words: str, about: Text) -> Text:
    """Words that exist in English only, with a sentence `about` them that can be said in any language."""
    return text("{words}", words=words, about=about)


def joined(parts: Sequence[str], separator: str = ", ") -> Text:
    """The parts with a separator between them."""
    names = [f"part{number}" for number in range(len(parts))]
    return text(separator.join(f"{{{name}}}" for name in names), **dict(zip(names, parts)))


def either(parts: Sequence[str]) -> Text:
    """The parts, the last two of them with `or` between them."""
    if len(parts) < 2:
        return joined(parts)
    return text("{parts} or {last}", parts=joined(parts[:-1]), last=parts[-1])


def packed(value: Any) -> Any:
    """A text as plain data, for the way from a host to the controller; any other value as it is."""
    if not isinstance(value, Text):
        return value
    return [value.template, {name: packed(each) for name, each in value.values.items()}]


def unpacked(value: Any) -> Any:
    """What `packed` has made data of."""
    if not isinstance(value, list):
        return value
    template, values = value
    return text(template, **{name: unpacked(each) for name, each in values.items()})


def abbreviate(names: Sequence[str], most: int = 6) -> Text:
    """The first `most` names, and how many more there are."""
    shown = joined(names[:most])
    if len(names) <= most:
        return shown
    return text("{names} and {count} more", names=shown, count=len(names) - most)


def count_of(number: int, noun: str, nouns: str = "") -> Text:
    """A number of things, such as `1 task` or `2 tasks`; `nouns` is an irregular plural."""
    return text(f"{{count}} {noun if number == 1 else nouns or f'{noun}s'}", count=number)


def tolerates(managers: int) -> Text:
    """The words for how many managers can fail before the swarm loses its quorum."""
    return text("tolerates {failures}", failures=count_of(managers, "failure"))


def size_text(size: float) -> str:
    """Bytes in words, as the docker command shows them."""
    value, unit = float(size), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.3g} {unit}"
