# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The state of all sources, from what each builder says, as a table for people and as data for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .plan import BUILDING, BUILT, ENDS, ERROR, FAILED, INVALID, UNCHANGED, WAITING

# What is wrong, and needs somebody.
WRONG = (FAILED, ERROR, INVALID)
_COLUMNS = ("source", "state", "commit", "image", "builder", "when", "took", "cause")
_LONGEST_CAUSE = 120


@dataclass(frozen=True)
class Report:
    """The states of all sources, and the lines to print."""

    sources: tuple[dict[str, Any], ...]
    wrong: tuple[str, ...]  # the names of the sources that need somebody
    notes: tuple[str, ...]
    lines: tuple[str, ...]


def report(found: Mapping[str, Mapping[str, Any]], silent: Sequence[str], now: float) -> Report:
    """The report. `found` has the result of each builder that answers, and `silent` has the names of the others."""
    by_source: dict[str, list[Mapping[str, Any]]] = {}
    for result in found.values():
        for row in result.get("sources") or []:
            by_source.setdefault(str(row["source"]), []).append(row)
    sources = tuple(merge(rows) for _name, rows in sorted(by_source.items()))
    notes = [f"{name} does not answer: its builds are not known" for name in sorted(silent)]
    for name, result in sorted(found.items()):
        failure = result.get("failure")
        if failure:
            notes.append(f"{name}: {result.get('msg')}")
        elif not result.get("looked_at"):
            notes.append(
                f"{name} has not looked for commits since it was started; see systemctl status flotilla-swarm-builder.timer on it"
            )
    wrong = tuple(row["source"] for row in sources if row["state"] in WRONG)
    rows = [_cells(row, now) for row in sources]
    table = _table([tuple(name.upper() for name in _COLUMNS), *rows]) if rows else ["no sources"]
    return Report(sources, wrong, tuple(notes), (*table, *(f"note: {note}" for note in notes)))


def merge(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of one source, from the rows of all builders. What concerns the newest commit counts, and of that the furthest."""
    all_rows = list(rows)
    first_seen: dict[str, float] = {}
    for row in all_rows:
        head, seen = str(row.get("commit") or ""), float(row.get("seen_at") or 0.0)
        first_seen[head] = min(first_seen.get(head, seen), seen)
    newest = max(first_seen, key=lambda head: (first_seen[head], head))
    rank = {BUILDING: 0, **dict.fromkeys(ENDS, 1), ERROR: 2, WAITING: 3, INVALID: 4}

    def order(row: Mapping[str, Any]) -> tuple[Any, ...]:
        state = str(row.get("state"))
        # A build that somebody has asked for again replaces the one before it.
        return rank.get(state, 5), -float(row.get("at") or 0.0), str(row.get("reporter"))

    return dict(
        sorted((row for row in all_rows if str(row.get("commit") or "") == newest), key=order)[0]
    )


def _cells(row: Mapping[str, Any], now: float) -> tuple[str, ...]:
    state = str(row.get("state"))
    ended = state in ENDS
    at = row.get("at") if ended else row.get("since")
    cause = str(row.get("cause") or "")
    return (
        str(row.get("source")),
        state,
        str(row.get("commit") or "")[:12] or "-",
        str(row.get("image") or "-"),
        str(row.get("builder") or "-"),
        ago(now - float(at)) if at else "-",
        f"{float(row.get('seconds') or 0.0):.0f} s" if state in (BUILT, FAILED) else "-",
        cause if len(cause) <= _LONGEST_CAUSE else f"{cause[:_LONGEST_CAUSE]}...",
    )


def ago(seconds: float) -> str:
    """A time in the past, in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]


def verdict(result: Mapping[str, Any]) -> list[str]:
    """The lines for a build that a playbook has asked for."""
    if not result.get("state"):
        return []
    steps = result.get("steps") or {}
    took = ", ".join(f"{name} {seconds:g} s" for name, seconds in steps.items())
    if result["state"] in (BUILT, UNCHANGED):
        lines = [
            f"OK    {result['source']}: {result['image']}@{result['digest']}, by {result['builder']}"
        ]
    else:
        lines = [f"FAIL  {result['source']}: {result['cause']}"]
    lines.append(f"      commit {result['commit'][:12]} {result.get('subject') or ''}".rstrip())
    if took:
        lines.append(f"      {took}")
    return lines + [f"      | {line}" for line in result.get("log") or []]
