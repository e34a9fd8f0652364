# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The steps of a run for the members of a swarm: as values, as data of results, and as the lines of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._common.words import Text, abbreviate, packed, unpacked

# Steps of hosts that are not about a node: their data has no node_id.
_OF_HOSTS = ("unlock", "engine", "init", "settings")
# Those whose hosts share a line if it has the same text.
_SHARED = ("unlock", "engine")
# The actions that a line of the plan can have, each with its sign; in the order in which they are done, but for nodes that
# are dead: those are removed before anybody joins.
SIGNS = {
    "unlock": "~",
    "engine": "~",
    "init": "+",
    "join": "+",
    "settings": "~",
    "promote": "~",
    "labels": "~",
    "availability": "~",
    "demote": "~",
    "rejoin": "~",
    "remove": "-",
}
_ORDER = tuple(SIGNS)


@dataclass(frozen=True)
class MemberStep:
    """What a run does for one host or its node: one line of the plan, or a part of one."""

    action: str  # one of SIGNS; or drain, leave or restart, which are parts of a line
    host: str  # by its name in the inventory, if it has or had one
    text: str  # the change in words
    node_id: str = ""  # empty: it has no node yet, or the step is about none
    note: str = ""  # what it means for the managers
    row: str = ""  # shared by the steps of one line: the action that the line shows, and the node
    before: Any = None
    after: Any = None
    role: str | None = None  # of a join: manager or worker
    addr: str | None = None  # of a leave: where the host is
    dead: bool = False  # the node is down, and its host is not asked to leave
    comes_back: bool = False  # of a leave: the host joins again
    keep_mark: bool = False  # of labels: the mark of a drain stays
    mark: str = ""  # of a drain: the label that keeps the availability before it
    left_behind: tuple[str, ...] = ()  # of a drain: services that have no other place
    details: tuple[dict[str, Any], ...] = ()  # of an engine: the steps of its own plan
    why: str = ""

    @property
    def kind(self) -> str:
        """The action that its line shows: a removal and a rejoin are several steps each, and one line."""
        return (self.row or self.action).partition(" ")[0]

    @property
    def line(self) -> tuple[str, ...]:
        """What the steps of one line share. Hosts that are unlocked, or whose engines get the same change, share one too."""
        if self.action in _SHARED:
            return (self.action, self.text)
        return (self.row or self.action, self.host, self.text)

    def as_data(self) -> dict[str, Any]:
        """The step in results and variables: what does not apply to it is left out."""
        data = {
            key: list(value) if isinstance(value, tuple) else _plain(value)
            for key, value in vars(self).items()
            if key in ("action", "host", "text") or value not in (None, "", False, ())
        }
        data.update(_words(text=self.text, note=self.note))
        return data if self.action in _OF_HOSTS else {**data, "node_id": self.node_id or None}


def parse_step(data: Mapping[str, Any]) -> MemberStep:
    """The step that MemberStep.as_data has made data of."""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in data.items()
        if key != "words"
    }
    said = {key: unpacked(value) for key, value in (data.get("words") or {}).items()}
    return MemberStep(**{**values, **said, "node_id": data.get("node_id") or ""})


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Text) else value


def _words(**values: Any) -> dict[str, Any]:
    """The key `words` of data: how texts were made, so that the page can say them in another language; nothing if none is one."""
    words = {key: packed(value) for key, value in values.items() if isinstance(value, Text)}
    return {"words": words} if words else {}


@dataclass(frozen=True)
class HeldBack:
    """A step that has to wait for something else."""

    name: str  # of the host
    action: str
    why: str

    def as_data(self) -> dict[str, Any]:
        """As data of results and variables."""
        plain = {key: _plain(value) for key, value in vars(self).items()}
        return {**plain, **_words(why=self.why)}


def parse_held(data: Mapping[str, Any]) -> HeldBack:
    """What HeldBack.as_data has made data of."""
    words = data.get("words") or {}
    why = unpacked(words["why"]) if "why" in words else data["why"]
    return HeldBack(data["name"], data["action"], why)


# As people read them


def _rank(step: MemberStep) -> tuple[int, int]:
    # What is dead goes after the engines, and before anybody joins.
    if step.dead:
        return 1, 0
    return (0 if step.kind in _SHARED else 2), _ORDER.index(step.kind)


def _merged(steps: Iterable[MemberStep]) -> list[MemberStep]:
    """One step a line, in the order of the plan, with the hosts of all steps of that line."""
    first: dict[tuple[str, ...], MemberStep] = {}
    hosts: dict[tuple[str, ...], dict[str, None]] = {}
    for step in sorted(steps, key=_rank):
        first.setdefault(step.line, step)
        hosts.setdefault(step.line, {})[step.host] = None
    return [
        replace(step, action=step.kind, host=abbreviate(list(hosts[line])))
        for line, step in first.items()
    ]


def step_lines(
    steps: Iterable[MemberStep], others: Iterable[str] = (), sign: str = ""
) -> list[str]:
    """The steps as aligned lines, in columns wide enough for the names of `others` too; all with `sign`, if given."""
    merged = _merged(steps)
    width = _width([*(step.host for step in merged), *others])
    texts = max([len(step.text) for step in merged if step.note] + [0])
    lines = []
    for step in merged:
        text = f"{step.text:<{texts}}   {step.note}" if step.note else step.text
        head = f"  {sign or SIGNS[step.action]} {step.action:<13}{step.host:<{width}}   "
        for part in _folded(text):
            lines.append(head + part)
            head = " " * len(head)
    return lines


def _width(names: Iterable[str]) -> int:
    return max([len(name) for name in names] + [2])


def _folded(text: str, width: int = 90) -> list[str]:
    """A text of several parts, separated by semicolons, in lines that a terminal can hold."""
    lines = [""]
    for part in text.split("; "):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += f"; {part}" if lines[-1] else part
    return [f"{line};" for line in lines[:-1]] + lines[-1:]


def remark_lines(
    steps: Iterable[MemberStep] = (),
    held: Iterable[HeldBack] = (),
    unlisted: Iterable[str] = (),
    warnings: Iterable[str] = (),
    unreachable: Iterable[str] = (),
) -> list[str]:
    """What a plan with these steps leaves as it is, and what it warns of: aligned with the lines of the steps."""
    held = list(held)
    waiting = {item.name for item in held}
    remarks = [("unreachable", name, "no answer: left as it is") for name in unreachable]
    remarks += [
        ("not listed", name, "in the swarm, not in the inventory: left as it is")
        for name in unlisted
        if name not in waiting
    ]
    remarks += [("held back", item.name, item.why) for item in held]
    names = [*(step.host for step in _merged(steps)), *(name for _word, name, _text in remarks)]
    width = _width(names)
    lines = [f"  ! {word:<13}{name:<{width}}   {text}" for word, name, text in remarks]
    return lines + [f"  ! {'warning':<13}{text}" for text in warnings]


def done_lines(steps: list[MemberStep], owed: list[MemberStep], because: str) -> list[str]:
    """The plan once it has been carried out, line by line; what is not done comes last."""
    late = {step.line for step in owed}
    lines = ["DONE", *step_lines(step for step in steps if step.line not in late)]
    if owed:
        lines += [f"NOT DONE  {because}", *step_lines(owed, sign="x")]
    return lines


def refused_lines(refusals: Iterable[str]) -> list[str]:
    """A plan that is refused, with a sentence for each reason."""
    return ["PLAN  refused", *(f"  x {'refused':<13}{text}" for text in refusals)]
