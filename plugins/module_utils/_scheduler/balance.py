# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How unevenly the tasks of a service are spread over nodes and zones, and how many must move. Pure.

The swarm never moves a running task. But when a service is scaled up by k, the new tasks start where it has the
fewest (swarmkit: manager/scheduler/nodeinfo.go and node_set.go, placement preferences first), and when it is scaled down
by k again, tasks stop where it has the most (manager/orchestrator/replicated/slot.go). So k tasks have moved,
new before old, whatever the service's update settings are. This module simulates that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .._common.words import count_of
from .._model.labels import name_of
from .._model.services import REPLICATED
from .placement import (
    ENGINE_LABEL,
    NODE_LABEL,
    PlacementNode,
    PlacementService,
    PlacementTask,
    could_run,
)


class Skew(NamedTuple):
    """How many more tasks the fullest has than the emptiest."""

    groups: int  # of the values that the service is spread over, such as zones
    nodes: int  # of the nodes within one such group


@dataclass(frozen=True)
class TaskMove:
    """A move of tasks that makes a service more even."""

    service: str
    tasks: int
    before: dict[str, int]  # tasks by the name of the node
    after: dict[str, int]

    @property
    def text(self) -> str:
        """The move as a plan line has it."""
        words = [
            ", ".join(f"{name} {count}" for name, count in sorted(side.items()))
            for side in (self.before, self.after)
        ]
        return f"{self.tasks} of {count_of(sum(self.before.values()), 'task')}   {words[0]} -> {words[1]}"


def group_of(node: PlacementNode, descriptor: str) -> str:
    """The value that a node has of a placement preference; nodes without the label are one group, as in the scheduler."""
    if descriptor.startswith(NODE_LABEL):
        return node.labels.get(descriptor[len(NODE_LABEL) :], "")
    if descriptor.startswith(ENGINE_LABEL):
        return node.engine_labels.get(descriptor[len(ENGINE_LABEL) :], "")
    return ""


def skew_of(count: Counter[str], open_to: Sequence[PlacementNode], spread: Sequence[str]) -> Skew:
    """The skew of a service with `count` tasks by NodeID, over the nodes that it can run on."""

    def gap(numbers: Sequence[int]) -> int:
        return max(numbers) - min(numbers) if numbers else 0

    groups: dict[tuple[str, ...], list[int]] = {}
    for node in open_to:
        key = tuple(group_of(node, descriptor) for descriptor in spread)
        groups.setdefault(key, []).append(count[node.id])
    return Skew(
        gap([sum(numbers) for numbers in groups.values()]),
        max((gap(numbers) for numbers in groups.values()), default=0),
    )


def scaled(
    count: Counter[str],
    open_to: Sequence[PlacementNode],
    spread: Sequence[str],
    most: int,
    by: int,
) -> Counter[str] | None:
    """Tasks by NodeID after scaling up and down by `by`; None if a new task finds no node. `most` is the limit per node, 0 for none."""
    count = count.copy()
    for _task in range(by):
        nodes = [node for node in open_to if not most or count[node.id] < most]
        if not nodes:
            return None
        for descriptor in spread:
            groups: Counter[str] = Counter()
            for node in nodes:
                groups[group_of(node, descriptor)] += count[node.id]
            least = min(groups, key=lambda group: (groups[group], group))
            nodes = [node for node in nodes if group_of(node, descriptor) == least]
        count[min(nodes, key=lambda node: (count[node.id], node.id)).id] += 1
    keys = {node.id: tuple(group_of(node, one) for one in spread) for node in open_to}
    for _task in range(by):
        # Of several nodes that have the most, the engine may choose any: assume the worst one.
        total: Counter[tuple[str, ...]] = Counter()
        for node_id, key in keys.items():
            total[key] += count[node_id]
        fullest = max(count, key=lambda one: (count[one], -total[keys.get(one, ())], one))
        count[fullest] -= 1
    return count


def plan_move(
    service: PlacementService,
    tasks: Sequence[PlacementTask],
    nodes: Sequence[PlacementNode],
    budget: int,
) -> TaskMove | None:
    """The smallest move of up to `budget` tasks that makes the service as even as possible; None where none helps."""
    open_to = [node for node in nodes if could_run(service, node)]
    count = Counter(
        task.node_id
        for task in tasks
        if task.service_id == service.id and task.active and task.state == "running"
    )
    total = sum(count.values())
    if service.mode != REPLICATED or total != service.replicas or len(open_to) < 2:
        return None
    best, by = count, 0
    for number in range(1, min(budget, total) + 1):
        after = scaled(count, open_to, service.spread, service.max_replicas, number)
        if after is None:
            break
        if _improves(after, best, open_to, service.spread):
            best, by = after, number
    if not by:
        return None
    names = {node.id: name_of(node) for node in nodes}
    shown = [node.id for node in nodes if node.id in count or node in open_to]
    before, then = ({names[one]: side[one] for one in shown} for side in (count, best))
    return TaskMove(service.name, by, before, then)


def _improves(
    after: Counter[str],
    before: Counter[str],
    open_to: Sequence[PlacementNode],
    spread: Sequence[str],
) -> bool:
    """Whether groups or nodes become more even and the other no less so; a skew of 1 counts as even."""
    old, new = skew_of(before, open_to, spread), skew_of(after, open_to, spread)
    if new.groups > max(old.groups, 1) or new.nodes > max(old.nodes, 1):
        return False
    return (new.groups < old.groups and old.groups > 1) or (new.nodes < old.nodes and old.nodes > 1)
