# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Who carries out which steps of a plan, and how far a run gets before it has to look at the hosts again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any

from .steps import MemberStep

# What a host does itself; the rest swarm_nodes does on a manager.
HOST_ACTIONS = ("restart", "join", "leave")


@dataclass(frozen=True)
class Departure:
    """A host that leaves the swarm."""

    host: str
    node_id: str
    addr: str | None  # where it is, if the inventory does not list it
    comes_back: bool


@dataclass(frozen=True)
class Round:
    """What a run does before it looks at the hosts again, in the order of the fields. Hosts are inventory names."""

    nodes: bool = False  # whether a manager changes nodes
    restart: list[str] = field(default_factory=list)
    leave: list[Departure] = field(default_factory=list)
    join_managers: list[str] = field(default_factory=list)
    join_workers: list[str] = field(default_factory=list)
    more: bool = False  # whether something is left to do then

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


def managers_part(steps: Sequence[MemberStep], acting: str | None) -> list[MemberStep]:
    """The steps that the acting manager, a node ID, can take now: up to the first that another has to take."""

    def possible(step: MemberStep) -> bool:
        is_own_demotion = step.action == "demote" and step.node_id == acting
        return step.action not in HOST_ACTIONS and not is_own_demotion

    return list(takewhile(possible, steps))


def next_round(steps: Sequence[MemberStep], acting: str | None) -> Round:
    """What a run can do before it has to look again: the managers' part, who leaves, what that lets the
    managers do, and who joins. `acting` is a node ID."""

    def take(action: str) -> list[MemberStep]:
        return list(takewhile(lambda step: step.action == action, steps[at:]))

    first = managers_part(steps, acting)
    at = len(first)
    restart = take("restart")
    at += len(restart)
    leave = take("leave")
    at += len(leave)
    if leave:
        at += len(managers_part(steps[at:], acting))
    join = take("join")
    at += len(join)
    return Round(
        nodes=bool(first),
        restart=[step.host for step in restart],
        leave=[Departure(step.host, step.node_id, step.addr, step.comes_back) for step in leave],
        join_managers=[step.host for step in join if step.role == "manager"],
        join_workers=[step.host for step in join if step.role == "worker"],
        # Who joins gets its labels once it is a node.
        more=bool(join) or at < len(steps),
    )
