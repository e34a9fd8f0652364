# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Evens out where the tasks of services run, one service after the other: up by k, then down by k (see `_balance.py`).

The number that a service had stands in a label of it while it has more, so that a killed run is finished by the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.flotilla.swarm.plugins.module_utils._balance import Move, plan_move
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import (
    PAUSED,
    UNDER_WAY,
    Moved,
    Rollout,
    Step,
    name_of,
    named,
    refuse,
    update_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._scale import (
    no_room,
    replicas_of,
    unscalable,
    with_replicas,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of

OPT_OUT = "flotilla.swarm.rebalance"
# How many replicas a service has apart from those that are there for a move.
MOVING = "flotilla.swarm.rebalancing"
_NO = ("false", "no", "never", "off", "0")


def label_of(service: dict[str, Any], label: str) -> str | None:
    value = (dig(service, "Spec", "Labels") or {}).get(label)
    return None if value is None else str(value)


def exempt(service: dict[str, Any]) -> str | None:
    """Why a service is not touched; nothing is said of those that have nothing to move anyway."""
    if (label_of(service, OPT_OUT) or "").strip().lower() in _NO:
        return f"its label {OPT_OUT} says so"
    if update_of(service) in UNDER_WAY:
        return "an update of it is not over"
    if update_of(service) in PAUSED:
        return "its latest update is paused"
    return None


class Places(NamedTuple):
    services: list[PlacementService]
    tasks: list[PlacementTask]
    nodes: list[PlacementNode]


def _crowded(service: PlacementService, move: Move, places: Places) -> str | None:
    """Whether there is no room for the tasks that it has more for a while."""
    goal = {service.name: service.replicas + move.tasks}
    short = no_room(goal, places.services, places.tasks, places.nodes)
    if not short:
        return None
    return f"{short[0].tasks} of its new tasks would find no room ({short[0].missing})"


class Rebalance(Rollout):
    attempt = "rebalance"
    waits_for_updates = False

    def wanted_names(self) -> list[str]:
        return list(dict.fromkeys(self.params["services"] or []))

    def plan(self, documents: list[dict[str, Any]]) -> list[Step]:
        # An empty list is one of none.
        everything = self.params["services"] is None
        asked = [name_of(document) for document in documents] if everything else self.names
        found, missing = named(asked, documents)
        refuse(self.attempt, missing)
        candidates = {name: found[name] for name in sorted(found) if not unscalable(found[name])}
        self.moves: dict[str, Move] = {}
        self.unfinished: dict[str, int] = {}
        self.notes: list[str] = []
        steps: list[Step] = []
        for name, service in candidates.items():
            before = label_of(service, MOVING)
            if before is not None and before.isdigit():
                self.unfinished[name] = int(before)
                steps.append(self._step(steps, name, replicas_of(service), int(before)))
        places = Places(
            [parse_placement_service(document) for document in documents],
            [parse_placement_task(document) for document in self.client.tasks()],
            [parse_placement_node(document) for document in self.client.nodes()],
        )
        left = self.params["budget"]
        for name in [name for name in candidates if name not in self.unfinished]:
            move = self._move(candidates[name], places, left)
            if move is None:
                continue
            left -= move.tasks
            self.moves[name] = move
            now = replicas_of(candidates[name])
            steps.append(self._step(steps, name, now, now + move.tasks))
            steps.append(self._step(steps, name, now + move.tasks, now))
        # The others are as even as they can be, or stay as they are for a reason.
        self.names = list(candidates)
        return steps

    @staticmethod
    def _step(steps: list[Step], name: str, before: int, after: int) -> Step:
        return {"step": len(steps) + 1, "service": name, "before": before, "after": after}

    def _move(self, service: dict[str, Any], places: Places, budget: int) -> Move | None:
        own = parse_placement_service(service)
        move = plan_move(own, places.tasks, places.nodes, budget)
        if move is None:
            return None
        why = exempt(service) or _crowded(own, move, places)
        if why is not None:
            self.notes.append(f"{own.name} stays uneven: {why}")
            return None
        return move

    def again(self, documents: list[dict[str, Any]], moved: Moved) -> list[Step]:
        raise self.raced(moved)

    def lines(self, steps: list[Step], found: dict[str, dict[str, Any]]) -> list[str]:
        width = max(map(len, [*self.unfinished, *self.moves]), default=0)
        lines = [
            f"  ~ finish  {name:<{width}}  back to {count_of(number, 'replica')}, which a run that was killed has left higher"
            for name, number in self.unfinished.items()
        ]
        lines += [f"  ~ move    {name:<{width}}  {move.text}" for name, move in self.moves.items()]
        return lines + [f"  ! {note}" for note in self.notes]

    def stands(self, service: dict[str, Any]) -> Any:
        return replicas_of(service)

    def send(self, service: dict[str, Any], step: Step) -> None:
        spec = with_replicas(service["Spec"], step["after"])
        labels = dict(spec.get("Labels") or {})
        if step["after"] > step["before"]:
            spec["Labels"] = {**labels, MOVING: str(step["before"])}
            self.client.update_service(service["ID"], service["Version"]["Index"], spec)
            return
        labels.pop(MOVING, None)
        spec["Labels"] = labels
        self.client.update_service(service["ID"], service["Version"]["Index"], spec)
        # Once more, so that the spec of before, to which a rollback goes, is that of before as well.
        (now,) = self.client.services(id=[service["ID"]])
        if now["Spec"] == spec:
            self.client.update_service(now["ID"], now["Version"]["Index"], spec)

    def starts_tasks(self, step: Step) -> bool:
        return bool(step["after"] > step["before"])

    def undo(self, written: list[Step]) -> str:
        """The service that did not get its new tasks up goes without them."""
        last = written[-1]
        if last["after"] < last["before"]:
            return "."
        back = {**last, "before": last["after"], "after": last["before"]}
        try:
            self.write(back)
        except (Moved, SwarmError):
            return ". It could not be put back: run again."
        self.result["reverted"] = [last["service"]]
        return f". {last['service']} is back at {count_of(last['before'], 'replica')}."
