# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Taking nodes out of service and giving them back: what has to move, what cannot, and what stands against it.

How the work leaves a node is the matter of `_drain.py`. What availability a node had before stands in a label, so that
it gets that one back.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._drain import drain, tidy
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import (
    DRAINED_LABEL,
    HOST_LABEL,
    name_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import Node, dig, parse_node
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    PlacementTask,
    homeless,
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
    unplaceable,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, patiently, poll

RISKS = ("homeless_services", "lack_of_room", "local_data")
DRAINED, BACK = "drained", "active"


@dataclass
class Picture:
    """What the managers say: raw documents."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """One node that changes: what it is available for, and what runs on it."""

    action: str  # drain or activate
    node_id: str
    name: str
    before: str
    after: str
    moves: dict[str, int] = field(
        default_factory=dict
    )  # tasks by service, which run elsewhere then
    stops: dict[str, int] = field(
        default_factory=dict
    )  # those of global services, jobs, and without another place

    def as_dict(self) -> dict[str, Any]:
        keys = ("action", "node_id", "name", "before", "after", "moves", "stops")
        return {key: getattr(self, key) for key in keys}

    @property
    def text(self) -> str:
        words = [f"{self.before} -> {self.after}"]
        for verb, tasks in (("moves", self.moves), ("stops", self.stops)):
            if tasks:
                listed = ", ".join(f"{name} {count}" for name, count in sorted(tasks.items()))
                words.append(f"{verb} {listed}")
        return "   ".join(words)


@dataclass
class Plan:
    steps: list[Step] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # Services that have no other place, which is accepted: the drain stops their tasks.
    left_behind: set[str] = field(default_factory=set)
    same: int = 0

    def lines(self, acting: str) -> list[str]:
        """As a table that a person reads in a hurry."""
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


def observe(client: Any) -> Picture:
    """Three requests, however large the swarm."""
    return Picture(client.nodes(), client.services(), client.tasks())


# Plan


def find(names: Collection[str], nodes: list[Node]) -> list[Node]:
    """The nodes of these names: an ID, the name in the inventory, or the hostname."""
    found: dict[str, Node] = {}
    problems = []
    for name in names:
        for kind in ("id", "inventory", "hostname"):
            matches = [node for node in nodes if _called(node, kind) == name]
            if matches:
                break
        if len(matches) == 1:
            found[matches[0].id] = matches[0]
        elif matches:
            ids = ", ".join(node.id for node in matches)
            problems.append(
                f"{name} is the name of {len(matches)} nodes ({ids}): name one by its ID"
            )
        else:
            there = ", ".join(sorted(map(name_of, nodes)))
            problems.append(f"there is no node {name}; there are {there}")
    if problems:
        raise SwarmError("no_such_node", f"Could not change nodes: {'; '.join(problems)}.")
    return list(found.values())


def _called(node: Node, kind: str) -> str | None:
    return {"id": node.id, "inventory": node.labels.get(HOST_LABEL), "hostname": node.hostname}[
        kind
    ]


def plan_maintenance(
    picture: Picture, names: Collection[str], state: str, accepted: Collection[str]
) -> Plan:
    """What it takes to drain nodes, or to give them back what they were available for."""
    nodes = find(names, [parse_node(document) for document in picture.nodes])
    plan = Plan()
    if state == BACK:
        for node in nodes:
            after = node.labels.get(DRAINED_LABEL) or "active"
            if node.availability == "drain":
                plan.steps.append(
                    Step("activate", node.id, name_of(node), node.availability, after)
                )
    else:
        for node in nodes:
            if node.availability != "drain":
                moves, stops = _work_on(node.id, picture)
                step = Step(
                    "drain", node.id, name_of(node), node.availability, "drain", moves, stops
                )
                plan.steps.append(step)
        _guard(plan, picture, accepted)
        plan.steps = [_without(step, plan.left_behind) for step in plan.steps]
    plan.same = len(nodes) - len(plan.steps)
    return plan


def _work_on(node_id: str, picture: Picture) -> tuple[dict[str, int], dict[str, int]]:
    services = {str(s.get("ID")): parse_placement_service(s) for s in picture.services}
    moves: Counter[str] = Counter()
    stops: Counter[str] = Counter()
    for task in map(parse_placement_task, picture.tasks):
        service = services.get(task.service_id)
        if service is not None and task.node_id == node_id and _runs(task):
            (moves if service.mode == "replicated" else stops)[service.name] += 1
    return dict(moves), dict(stops)


def _without(step: Step, left_behind: Collection[str]) -> Step:
    """The step with tasks that have no other place among those that are stopped."""
    stays = {name: count for name, count in step.moves.items() if name in left_behind}
    moves = {name: count for name, count in step.moves.items() if name not in left_behind}
    return replace(step, moves=moves, stops={**step.stops, **stays})


def _runs(task: PlacementTask) -> bool:
    return task.active and task.desired_state == "running"


def _guard(plan: Plan, picture: Picture, accepted: Collection[str]) -> None:
    """What services would lose: every node that they may run on, room, or what they have stored."""
    leaving = {step.node_id for step in plan.steps}
    if not leaving:
        return
    services = [parse_placement_service(document) for document in picture.services]
    before = [parse_placement_node(document) for document in picture.nodes]
    after = [replace(node, availability="drain") if node.id in leaving else node for node in before]
    problems = []
    for name, wants, count in homeless(services, before, after):
        text = f"no node would be left that can run the service {name} ({wants}; {count} can now): add one"
        problems.append(("homeless_services", name, text))
    if not problems:
        tasks = [parse_placement_task(document) for document in picture.tasks]
        for name, count, lack in unplaceable(services, tasks, after, leaving):
            text = (
                f"{count_of(count, 'task')} of the service {name} would find no room on the nodes that"
                f" stay ({lack}): add a node or lower the reservations"
            )
            problems.append(("lack_of_room", name, text))
    for service, volume, node in stored_on(picture, leaving):
        text = f"the service {service} keeps data in the volume {volume} on {node}, which does not go along"
        problems.append(("local_data", service, text))
    for risk, service, text in problems:
        if risk in accepted:
            plan.warnings.append(text)
            if risk != "local_data":
                plan.left_behind.add(service)
        else:
            plan.refusals.append(f"{text}; or add {risk} to accepted_risks")


def stored_on(picture: Picture, node_ids: Collection[str]) -> list[tuple[str, str, str]]:
    """Replicated services with a named volume of a node's own, for those that run on these nodes."""
    names = {node.id: name_of(node) for node in map(parse_node, picture.nodes)}
    running = {
        (task.service_id, task.node_id)
        for task in map(parse_placement_task, picture.tasks)
        if _runs(task) and task.node_id in node_ids
    }
    found = set()
    for service in picture.services:
        if "Replicated" not in (dig(service, "Spec", "Mode") or {}):
            continue
        for mount in dig(service, "Spec", "TaskTemplate", "ContainerSpec", "Mounts") or []:
            driver = dig(mount, "VolumeOptions", "DriverConfig", "Name") or "local"
            options = dig(mount, "VolumeOptions", "DriverConfig", "Options")
            # The local driver with options mounts something, which may well be on the network.
            if mount.get("Type", "volume") != "volume" or driver != "local" or options:
                continue
            if mount.get("Source"):
                for service_id, node_id in running:
                    if service_id == service.get("ID"):
                        name = str(dig(service, "Spec", "Name"))
                        found.add((name, str(mount["Source"]), names.get(node_id, node_id)))
    return sorted(found)


# Apply


def maintain(
    client: Any,
    plan: Plan,
    done: list[str],
    timeout: float,
    clock: Clock | None = None,
) -> None:
    """Carry the plan out; `done` grows as it goes."""
    draining = [step for step in plan.steps if step.action == "drain"]
    ids = [step.node_id for step in draining]
    # What a run that was killed has left, unless this one goes on with it.
    tidy(client, ids)

    def write(steps: list[Step]) -> None:
        for step in steps:
            patiently(partial(_write, client, step), timeout, 0.5, clock)

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


def _write(client: Any, step: Step) -> None:
    document = client.node(step.node_id)
    spec = copy.deepcopy(document.get("Spec") or {})
    labels = dict(spec.get("Labels") or {})
    if step.action == "drain":
        labels[DRAINED_LABEL] = step.before
    else:
        labels.pop(DRAINED_LABEL, None)
    spec.update(Labels=labels, Availability=step.after)
    if spec != document.get("Spec"):
        client.update_node(step.node_id, document["Version"]["Index"], spec)


# Verify


def _wait_until_empty(
    client: Any, steps: list[Step], timeout: float, clock: Clock | None = None
) -> None:
    """The last tasks, those that have nowhere else to run, have ended."""
    names = {step.node_id: step.name for step in steps}
    dead = {
        node["ID"] for node in client.nodes() if dig(node, "Status", "State") not in ("ready", None)
    }

    def look() -> list[str]:
        tasks = [task for task in client.tasks() if task.get("NodeID") in names.keys() - dead]
        return sorted(
            {names[t["NodeID"]] for t in tasks if parse_placement_task(t).state == "running"}
        )

    left, empty = poll(look, lambda seen: not seen, timeout, 0.5, clock)
    if not empty:
        raise SwarmError(
            "drain_timeout",
            f"Could not see {', '.join(left)} empty within {timeout:.0f} s: tasks still run there, though the node is"
            " drained. See what keeps them from stopping (docker node ps).",
            nodes=left,
        )
