# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Words that messages share: numbers of things, and lists of names. Pure."""

from __future__ import annotations


def abbreviate(names: list[str], most: int = 6) -> str:
    """The first `most` names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def count_of(number: int, noun: str, nouns: str = "") -> str:
    """A number of things, such as `1 task` or `2 tasks`; `nouns` is an irregular plural."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def tolerates(managers: int) -> str:
    """The words for how many managers can fail before the swarm loses its quorum."""
    return f"tolerates {count_of(managers, 'failure')}"


def size_text(size: float) -> str:
    """Bytes in words, as the docker command shows them."""
    value, unit = float(size), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, bigger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.3g} {unit}"
