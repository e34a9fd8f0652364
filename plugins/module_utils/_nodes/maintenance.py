# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Takes nodes out of service and gives them back: what moves, what stops, and what speaks against it.

`drain.py` moves the work. A label keeps the availability that a node had before, so that it gets that one back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll, retry
from .._common.words import count_of
from .._model.documents import Node, parse_node
from .._model.labels import DRAINED_LABEL, HOST_LABEL, name_of
from .._model.services import REPLICATED
from .._scheduler.losses import Loss, homeless_losses, room_losses
from .._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
)
from .drain import drain
from .services import clean_up_interrupted
from .specs import change_node

MAINTENANCE_RISKS = ("homeless_services", "lack_of_room", "local_data")
DRAINED, BACK = "drained", "active"


@dataclass(frozen=True)
class MaintenanceSnapshot:
    """The nodes, as the managers and as the scheduler see them, and what runs on them."""

    nodes: list[Node]
    places: list[PlacementNode]
    services: list[PlacementService]
    tasks: list[PlacementTask]


@dataclass(frozen=True)
class MaintenanceStep:
    """One node whose availability changes, and what becomes of its tasks."""

    action: str  # drain or activate
    node_id: str
    name: str
    before: str
    after: str
    # Numbers of tasks by service: those that run elsewhere then, and those that do not, which are of global services,
    # of jobs, and of services without another place.
    moves: dict[str, int] = field(default_factory=dict)
    stops: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def text(self) -> str:
        """The change in words."""
        words = [f"{self.before} -> {self.after}"]
        for verb, tasks in (("moves", self.moves), ("stops", self.stops)):
            if tasks:
                listed = ", ".join(f"{name} {count}" for name, count in sorted(tasks.items()))
                words.append(f"{verb} {listed}")
        return "   ".join(words)


@dataclass
class MaintenancePlan:
    """The nodes that change; or, where it is refused, the reasons."""

    steps: list[MaintenanceStep] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # Services that have no other place, which is accepted: the drain stops their tasks.
    left_behind: set[str] = field(default_factory=set)
    same: int = 0  # nodes that are as desired

    def lines(self, acting: str) -> list[str]:
        """The plan as an aligned table. `acting` is the host that changes the nodes."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {text}" for text in self.refusals)]
        width = max((len(step.name) for step in self.steps), default=0)
        lines = [f"PLAN  nodes, acting on {acting}"]
        lines += [f"  ~ {step.action:<8}  {step.name:<{width}}  {step.text}" for step in self.steps]
        lines += [f"  ! {text}" for text in self.warnings]
        if self.same:
            lines.append(
                f"  = {count_of(self.same, 'node')} as {'it' if self.same == 1 else 'they'} should be"
            )
        return lines


def observe(client: Any) -> MaintenanceSnapshot:
    """Three requests, however large the swarm."""
    return parse_snapshot(client.nodes(), client.services(), client.tasks())


def parse_snapshot(
    nodes: list[dict[str, Any]], services: list[dict[str, Any]], tasks: list[dict[str, Any]]
) -> MaintenanceSnapshot:
    """A snapshot of documents of the engine."""
    return MaintenanceSnapshot(
        [parse_node(document) for document in nodes],
        [parse_placement_node(document) for document in nodes],
        [parse_placement_service(document) for document in services],
        [parse_placement_task(document) for document in tasks],
    )


# Plan


def find(names: Collection[str], nodes: list[Node], attempt: str) -> list[Node]:
    """The nodes of these names: an ID, the name in the inventory, or the hostname, in this order. Raises no_such_node
    where a name is that of no node, or of several; its message begins with `attempt`."""
    found: dict[str, Node] = {}
    problems = []
    for name in names:
        matches = (
            [node for node in nodes if node.id == name]
            or [node for node in nodes if node.labels.get(HOST_LABEL) == name]
            or [node for node in nodes if node.hostname == name]
        )
        if len(matches) == 1:
            found[matches[0].id] = matches[0]
        elif matches:
            ids = ", ".join(node.id for node in matches)
            problems.append(f"{len(matches)} nodes have the name {name}: use an ID instead ({ids})")
        else:
            known = ", ".join(sorted(map(name_of, nodes)))
            problems.append(f"there is no node {name}: the nodes are {known}")
    if problems:
        raise SwarmError("no_such_node", f"{attempt}: {'; '.join(problems)}.")
    return list(found.values())


def plan_maintenance(
    snapshot: MaintenanceSnapshot, names: Collection[str], state: str, accepted: Collection[str]
) -> MaintenancePlan:
    """What it takes to drain nodes, or to give them back the availability that they had. `accepted` has names of
    MAINTENANCE_RISKS. Raises no_such_node."""
    attempt = "Could not put nodes back into service" if state == BACK else "Could not drain nodes"
    nodes = find(names, snapshot.nodes, attempt)
    plan = MaintenancePlan()
    if state == BACK:
        for node in nodes:
            after = node.labels.get(DRAINED_LABEL) or "active"
            if node.availability == "drain":
                plan.steps.append(
                    MaintenanceStep("activate", node.id, name_of(node), node.availability, after)
                )
    else:
        for node in nodes:
            if node.availability != "drain":
                moves, stops = _work_on(node.id, snapshot)
                step = MaintenanceStep(
                    "drain", node.id, name_of(node), node.availability, "drain", moves, stops
                )
                plan.steps.append(step)
        _guard(plan, snapshot, accepted)
        plan.steps = [_without(step, plan.left_behind) for step in plan.steps]
    plan.same = len(nodes) - len(plan.steps)
    return plan


def _work_on(node_id: str, snapshot: MaintenanceSnapshot) -> tuple[dict[str, int], dict[str, int]]:
    """The tasks on a node, by service: how many run elsewhere after a drain, and how many do not."""
    services = {service.id: service for service in snapshot.services}
    moves: Counter[str] = Counter()
    stops: Counter[str] = Counter()
    for task in snapshot.tasks:
        service = services.get(task.service_id)
        if service is not None and task.node_id == node_id and task.to_run:
            (moves if service.mode == REPLICATED else stops)[service.name] += 1
    return dict(moves), dict(stops)


def _without(step: MaintenanceStep, left_behind: Collection[str]) -> MaintenanceStep:
    """The step with tasks that have no other place among those that are stopped."""
    stays = {name: count for name, count in step.moves.items() if name in left_behind}
    moves = {name: count for name, count in step.moves.items() if name not in left_behind}
    return replace(step, moves=moves, stops={**step.stops, **stays})


def _guard(plan: MaintenancePlan, snapshot: MaintenanceSnapshot, accepted: Collection[str]) -> None:
    """What services would lose: every node that they may run on, room, or what they have stored."""
    leaving = {step.node_id for step in plan.steps}
    if not leaving:
        return
    after = [
        replace(node, availability="drain") if node.id in leaving else node
        for node in snapshot.places
    ]
    losses = list(homeless_losses(snapshot.services, snapshot.places, after))
    if not losses:
        losses = list(room_losses(snapshot.services, snapshot.tasks, after, leaving))
    for service, volume, node in stored_on(snapshot, leaving):
        text = f"the service {service} keeps data in the volume {volume} on {node}, which does not move with it"
        losses.append(Loss("local_data", service, text, "move the data"))
    for loss in losses:
        if loss.risk in accepted:
            plan.warnings.append(loss.text)
            if loss.risk != "local_data":
                plan.left_behind.add(loss.service)
        else:
            plan.refusals.append(
                f"{loss.text}: {loss.advice}, or add {loss.risk} to accepted_risks"
            )


def stored_on(
    snapshot: MaintenanceSnapshot, node_ids: Collection[str]
) -> list[tuple[str, str, str]]:
    """Data on these nodes of replicated services that run there: the names of service, volume and node."""
    names = {node.id: name_of(node) for node in snapshot.nodes}
    services = {service.id: service for service in snapshot.services if service.mode == REPLICATED}
    return sorted(
        {
            (services[task.service_id].name, volume, names.get(task.node_id, task.node_id))
            for task in snapshot.tasks
            if task.to_run and task.node_id in node_ids and task.service_id in services
            for volume in services[task.service_id].volumes
        }
    )


# Apply


def maintain(
    client: Any,
    plan: MaintenancePlan,
    done: list[str],
    timeout: float,
    clock: Clock | None = None,
) -> None:
    """Carry the plan out; `done` grows as it goes. `timeout` is in seconds. Raises drain_timeout, drain_failed,
    update_paused, and what the engine refuses."""
    draining = [step for step in plan.steps if step.action == "drain"]
    ids = [step.node_id for step in draining]
    # What an interrupted run has left, unless this one resumes it.
    clean_up_interrupted(client, ids)

    def write(steps: list[MaintenanceStep]) -> None:
        for step in steps:
            retry(
                partial(change_node, client, step.node_id, partial(_spec_after, step)),
                timeout,
                0.5,
                clock,
            )

    if draining:
        moved = drain(
            client, ids, lambda: write(draining), timeout, clock, left_behind=plan.left_behind
        )
        done += [f"service {move.service}" for move in moved]
        done += [f"drain {step.name}" for step in draining]
        _wait_until_empty(client, draining, timeout, clock)
    else:
        write(plan.steps)
        done += [f"activate {step.name}" for step in plan.steps]


def _spec_after(step: MaintenanceStep, spec: dict[str, Any]) -> dict[str, Any]:
    labels = dict(spec.get("Labels") or {})
    if step.action == "drain":
        labels[DRAINED_LABEL] = step.before
    else:
        labels.pop(DRAINED_LABEL, None)
    return {**spec, "Labels": labels, "Availability": step.after}


# Verify


def _wait_until_empty(
    client: Any, steps: list[MaintenanceStep], timeout: float, clock: Clock | None = None
) -> None:
    """The last tasks, those that have nowhere else to run, have ended."""
    names = {step.node_id: step.name for step in steps}
    for node in map(parse_node, client.nodes()):
        if node.state != "ready":
            names.pop(node.id, None)

    def look() -> list[str]:
        tasks = map(parse_placement_task, client.tasks())
        return sorted(
            {
                names[task.node_id]
                for task in tasks
                if task.node_id in names and task.state == "running"
            }
        )

    left, empty = poll(look, lambda seen: not seen, timeout, 0.5, clock)
    if not empty:
        raise SwarmError(
            "drain_timeout",
            f"Could not drain {', '.join(left)} completely within {timeout:.0f} s: tasks still run there. Check with"
            f" 'docker node ps {left[0]}' why they do not stop.",
            nodes=left,
        )
