# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Steps as people read them: one aligned line each, the same in a plan and in what came of it. Pure."""

from __future__ import annotations

from typing import Any

MARKS = {
    "init": "+",
    "join": "+",
    "engine": "~",
    "rejoin": "~",
    "promote": "~",
    "demote": "~",
    "labels": "~",
    "availability": "~",
    "settings": "~",
    "remove": "-",
}
# In the order in which they are done, but for nodes that are dead: those are removed before anybody joins.
_ORDER = (
    "engine",
    "init",
    "join",
    "settings",
    "promote",
    "labels",
    "availability",
    "demote",
    "rejoin",
    "remove",
)


def kind_of(step: dict[str, Any]) -> str:
    """The action of a step's row: a removal and a rejoin are several steps each, and one row."""
    return str(step.get("row") or step["action"]).partition(" ")[0]


def row_of(step: dict[str, Any]) -> tuple[Any, ...]:
    """What steps of one row share. Hosts that get the same done to their engine share one too."""
    if step["action"] == "engine":
        return ("engine", step["text"])
    return (step.get("row") or step["action"], step["host"], step["text"])


def _rank(step: dict[str, Any]) -> tuple[int, int]:
    kind = kind_of(step)
    # After the engines, and before anybody joins.
    return (1, 0) if step.get("dead") else (0 if kind == "engine" else 2, _ORDER.index(kind))


def rows(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for step in sorted(steps, key=_rank):
        row = found.setdefault(row_of(step), {**step, "action": kind_of(step), "hosts": []})
        if step["host"] not in row["hosts"]:
            row["hosts"].append(step["host"])
    for row in found.values():
        row["host"] = some(row["hosts"])
    return list(found.values())


def step_lines(steps: list[dict[str, Any]], others: list[str], mark: str = "") -> list[str]:
    """The steps aligned, in columns wide enough for the names of the others too."""
    found = rows(steps)
    width = max([len(name) for name in [row["host"] for row in found] + others] + [2])
    texts = max([len(row["text"]) for row in found if row.get("note")] + [0])
    lines = []
    for row in found:
        text = f"{row['text']:<{texts}}   {row['note']}" if row.get("note") else row["text"]
        head = f"  {mark or MARKS[row['action']]} {row['action']:<13}{row['host']:<{width}}   "
        for part in _folded(text):
            lines.append(head + part)
            head = " " * len(head)
    return lines


def _folded(text: str, width: int = 90) -> list[str]:
    """A text of several parts, separated by semicolons, in lines that a terminal can hold."""
    lines = [""]
    for part in text.split("; "):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += f"; {part}" if lines[-1] else part
    return [f"{line};" for line in lines[:-1]] + lines[-1:]


def remark_lines(
    unreachable: list[str],
    unlisted: list[str],
    held: list[dict[str, str]],
    warnings: list[str],
    steps: list[dict[str, Any]],
) -> list[str]:
    """What the plan leaves alone, and what it warns of."""
    waiting = [item["name"] for item in held]
    names = [row["host"] for row in rows(steps)] + unreachable + unlisted + waiting
    width = max([len(name) for name in names] + [2])
    remarks = [("unreachable", name, "no answer: left as it is") for name in unreachable]
    remarks += [
        ("not listed", name, "in the swarm, not in the inventory: left as it is")
        for name in unlisted
        if name not in waiting
    ]
    remarks += [("held back", item["name"], item["why"]) for item in held]
    lines = [f"  ! {word:<13}{name:<{width}}   {text}" for word, name, text in remarks]
    return lines + [f"  ! {'warning':<13}{text}" for text in warnings]


def some(names: list[str], most: int = 6) -> str:
    """Names, the first few of them where they are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def count_of(number: int, noun: str, nouns: str = "") -> str:
    """A number of things, in the singular where it is one."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items())) or "none"
    return "unset" if value is None else str(value)


def done_lines(steps: list[dict[str, Any]], owed: list[dict[str, Any]], because: str) -> list[str]:
    """The plan once it has been carried out, row by row; what is owed comes last."""
    late = {row_of(step) for step in owed}
    done = [step for step in steps if row_of(step) not in late]
    lines = ["DONE", *step_lines(done, [])]
    if owed:
        lines += [f"NOT DONE  {because}", *step_lines(owed, [], "x")]
    return lines
