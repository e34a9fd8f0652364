# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How unevenly the tasks of a service lie on nodes and zones, and how many have to move. Pure.

The swarm never moves a task that runs. But of a service that is scaled up by k, the new tasks go where it has the
fewest (swarmkit: manager/scheduler/nodeinfo.go and node_set.go, spread by preferences first), and when it is scaled down
by k again, tasks go from where it has the most (manager/orchestrator/replicated/slot.go). So k tasks have moved,
new before old, whatever the service's update settings say. This is played through here before it is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.flotilla.swarm.plugins.module_utils._labels import HOST_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    could_run,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of

NODE_LABEL = "node.labels."
ENGINE_LABEL = "engine.labels."


class Skew(NamedTuple):
    """How many tasks more the fullest has than the emptiest: of what the service is spread over, then of the nodes."""

    groups: int
    nodes: int


@dataclass(frozen=True)
class Move:
    service: str
    tasks: int
    before: dict[str, int]  # tasks by node
    after: dict[str, int]

    @property
    def text(self) -> str:
        words = [
            ", ".join(f"{name} {count}" for name, count in sorted(side.items()))
            for side in (self.before, self.after)
        ]
        return f"{self.tasks} of {count_of(sum(self.before.values()), 'task')}   {words[0]} -> {words[1]}"


def group_of(node: PlacementNode, descriptor: str) -> str:
    """The value of what a service is spread over; a node without the label is a group of its own (as the scheduler does)."""
    if descriptor.startswith(NODE_LABEL):
        return node.labels.get(descriptor[len(NODE_LABEL) :], "")
    if descriptor.startswith(ENGINE_LABEL):
        return node.engine_labels.get(descriptor[len(ENGINE_LABEL) :], "")
    return ""


def skew_of(count: Counter[str], open_to: Sequence[PlacementNode], spread: Sequence[str]) -> Skew:
    """Of the nodes that the service may run on."""

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
    """Where the tasks are after scaling up and down again; None if a new one finds no node."""
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
        # Which of several that have the most is the engine's choice: the worst one is reckoned with.
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
) -> Move | None:
    """The smallest move that makes the service as even as can be within the budget; None if it is, or cannot be."""
    open_to = [node for node in nodes if could_run(service, node)]
    count = Counter(
        task.node_id
        for task in tasks
        if task.service_id == service.id and task.active and task.state == "running"
    )
    total = sum(count.values())
    if service.mode != "replicated" or total != service.replicas or len(open_to) < 2:
        return None
    best, by = count, 0
    for number in range(1, min(budget, total) + 1):
        after = scaled(count, open_to, service.spread, service.max_replicas, number)
        if after is None:
            break
        if _worth(after, best, open_to, service.spread):
            best, by = after, number
    if not by:
        return None
    names = {node.id: node.labels.get(HOST_LABEL) or node.hostname for node in nodes}
    shown = [node.id for node in nodes if node.id in count or node in open_to]
    before, then = ({names[one]: side[one] for one in shown} for side in (count, best))
    return Move(service.name, by, before, then)


def _worth(
    after: Counter[str],
    before: Counter[str],
    open_to: Sequence[PlacementNode],
    spread: Sequence[str],
) -> bool:
    """A difference of one task is as even as it gets, and neither groups nor nodes may become less even for the other."""
    old, new = skew_of(before, open_to, spread), skew_of(after, open_to, spread)
    if new.groups > max(old.groups, 1) or new.nodes > max(old.nodes, 1):
        return False
    return (new.groups < old.groups and old.groups > 1) or (new.nodes < old.nodes and old.nodes > 1)
