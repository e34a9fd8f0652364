# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Semantic versions and ranges of them, in the notation of npm. Pure.

Tags are versions with fewer numbers too: 1.25 is 1.25.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NUMBER = "[0-9]{1,18}"
_PRE = r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]*)?"
_VERSION = re.compile(
    rf"[vV]?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?{_PRE}"
)
_ANY = f"{_NUMBER}|[xX*]"
_COMPARATOR = re.compile(
    rf"(?P<sign>>=|<=|[<>=~^])?[vV]?(?P<major>{_ANY})(?:\.(?P<minor>{_ANY}))?(?:\.(?P<patch>{_ANY}))?{_PRE}"
)
# Comparators in a range.
_MOST = 20


@dataclass(frozen=True)
class Version:
    """A version, and what it is ordered by."""

    numbers: tuple[int, int, int]
    pre: tuple[tuple[int, int, str], ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """A version comes after its own pre-releases."""
        return (*self.numbers, not self.pre, self.pre)


@dataclass(frozen=True)
class Comparator:
    """A sign and a version, such as >= 1.2.0."""

    sign: str  # >=, <, > or <=
    version: Version

    def holds(self, version: Version) -> bool:
        """Whether a version is on the right side."""
        one, other = version.key, self.version.key
        found = {">=": one >= other, "<": one < other, ">": one > other, "<=": one <= other}
        return found[self.sign]


@dataclass(frozen=True)
class Range:
    """Alternatives of comparators, all of which hold."""

    alternatives: tuple[tuple[Comparator, ...], ...]

    def contains(self, version: Version) -> bool:
        """Whether a version is in the range; a pre-release only if the range names one of the same version."""
        return any(
            all(each.holds(version) for each in alternative)
            and (
                not version.pre
                or any(
                    each.version.pre and each.version.numbers == version.numbers
                    for each in alternative
                )
            )
            for alternative in self.alternatives
        )


def parse_version(text: str) -> Version | None:
    """The version that a tag is; None if it is none."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    major, minor, patch = (int(match[key] or 0) for key in ("major", "minor", "patch"))
    return Version((major, minor, patch), _pre(match["pre"]))


def _pre(text: str | None) -> tuple[tuple[int, int, str], ...]:
    parts = text.split(".") if text else []
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts)


def parse_range(text: str) -> Range:
    """A range such as `>=1.2 <2`, `~1.4`, `^2`, `1.2 - 1.4`, `1.x || 3`; raises ValueError."""
    alternatives = []
    for part in text.split("||"):
        part = re.sub(r"\s+-\s+", " - ", re.sub(r"([<>=~^])\s+", r"\1", part.replace(",", " ")))
        words = part.split()
        found: list[Comparator] = []
        while words:
            if len(words) > 2 and words[1] == "-":
                found += [*_comparators(f">={words[0]}"), *_comparators(f"<={words[2]}")]
                words = words[3:]
            else:
                found += _comparators(words.pop(0))
        alternatives.append(tuple(found))
    if sum(map(len, alternatives)) > _MOST:
        raise ValueError("it has too many parts")
    return Range(tuple(alternatives))


def _comparators(word: str) -> list[Comparator]:
    match = _COMPARATOR.fullmatch(word)
    if match is None:
        raise ValueError(f"'{word[:40]}' is not a part of a range")
    sign = match["sign"] or "="
    given = []
    for key in ("major", "minor", "patch"):
        if match[key] is None or match[key] in "xX*":
            break
        given.append(int(match[key]))
    if not given:
        if sign in "<>":
            raise ValueError(f"no version is in '{word[:40]}'")
        return []
    padded = (*given, 0, 0)
    low = Version((padded[0], padded[1], padded[2]), _pre(match["pre"]) if len(given) == 3 else ())
    # Up to where the numbers that are given stay the same.
    same = _after(given, len(given) - 1)
    if sign == ">":
        return [Comparator(">", low)] if len(given) == 3 else [Comparator(">=", same)]
    if sign == ">=":
        return [Comparator(">=", low)]
    if sign == "<":
        return [Comparator("<", low)]
    if sign == "<=":
        return [Comparator("<=", low)] if len(given) == 3 else [Comparator("<", same)]
    if sign == "~":
        same = _after(given, min(len(given) - 1, 1))
    elif sign == "^":
        # The first number that is not 0 stays the same.
        same = _after(given, next((n for n, v in enumerate(given) if v), len(given) - 1))
    elif len(given) == 3:
        return [Comparator(">=", low), Comparator("<=", low)]
    return [Comparator(">=", low), Comparator("<", same)]


def _after(given: list[int], place: int) -> Version:
    """The lowest version in which the number at this place is higher."""
    numbers = [*given[:place], given[place] + 1, 0, 0]
    return Version((numbers[0], numbers[1], numbers[2]))
