# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Spreads the tasks of services evenly, one service after the other: up by k, then down by k (`_scheduler/balance.py`).

While a service has more replicas, a label of it holds the number before, so that the next run resumes an interrupted one.
"""

from __future__ import annotations

from typing import Any

from .._common.errors import SwarmError
from .._common.words import count_of
from .._model.documents import dig
from .._model.labels import REBALANCE_LABEL, REBALANCING_LABEL
from .._model.services import PAUSED, UPDATING, service_name, update_state
from .._scheduler.balance import TaskMove, plan_move
from .._scheduler.placement import PlacementService, parse_placement_service
from .rollout import ConcurrentChange, Rollout, RolloutStep, find_services, refuse
from .scale import Placements, current_replicas, no_room, read_placements, unscalable, with_replicas

_NO = ("false", "no", "never", "off", "0")


def label_of(service: dict[str, Any], label: str) -> str | None:
    """The value of a label of a service, as text; None if it has no such label."""
    value = (dig(service, "Spec", "Labels") or {}).get(label)
    return None if value is None else str(value)


def exempt(service: dict[str, Any]) -> str | None:
    """Why a service is left alone, as a clause; None if it is not."""
    if (label_of(service, REBALANCE_LABEL) or "").strip().lower() in _NO:
        return f"its label {REBALANCE_LABEL} says so"
    if update_state(service) in UPDATING:
        return "its update is in progress"
    if update_state(service) in PAUSED:
        return "its latest update is paused"
    return None


def _lacks_room(service: PlacementService, move: TaskMove, placements: Placements) -> str | None:
    """Why there is no room for the additional tasks of a move; None if there is."""
    goal = {service.name: service.replicas + move.tasks}
    short = no_room(goal, *placements)
    if not short:
        return None
    return f"{short[0].tasks} of its new tasks would find no room ({short[0].missing})"


class Rebalance(Rollout):
    """A rebalance; the value that steps change is the number of replicas."""

    attempt = "rebalance"
    waits_for_updates = False

    def service_names(self) -> list[str]:
        return list(dict.fromkeys(self.params["services"] or []))

    def plan(self, documents: list[dict[str, Any]]) -> list[RolloutStep]:
        # An empty list selects no service.
        everything = self.params["services"] is None
        names = [service_name(document) for document in documents] if everything else self.names
        found, missing = find_services(names, documents)
        refuse(self.attempt, missing)
        candidates = {name: found[name] for name in sorted(found) if not unscalable(found[name])}
        self.moves: dict[str, TaskMove] = {}
        self.unfinished: dict[str, int] = {}
        self.notes: list[str] = []
        steps: list[RolloutStep] = []
        for name, service in candidates.items():
            before = label_of(service, REBALANCING_LABEL)
            if before is not None and before.isdigit():
                self.unfinished[name] = int(before)
                steps.append(self._step(steps, name, current_replicas(service), int(before)))
        placements = read_placements(self.client, documents)
        left = self.params["budget"]
        for name in [name for name in candidates if name not in self.unfinished]:
            move = self._move(candidates[name], placements, left)
            if move is None:
                continue
            left -= move.tasks
            self.moves[name] = move
            now = current_replicas(candidates[name])
            steps.append(self._step(steps, name, now, now + move.tasks))
            steps.append(self._step(steps, name, now + move.tasks, now))
        # All others are as even as possible, or left alone for a reason.
        self.names = list(candidates)
        return steps

    @staticmethod
    def _step(steps: list[RolloutStep], name: str, before: int, after: int) -> RolloutStep:
        return {"step": len(steps) + 1, "service": name, "before": before, "after": after}

    def _move(
        self, service: dict[str, Any], placements: Placements, budget: int
    ) -> TaskMove | None:
        own = parse_placement_service(service)
        move = plan_move(own, placements.tasks, placements.nodes, budget)
        if move is None:
            return None
        why = exempt(service) or _lacks_room(own, move, placements)
        if why is not None:
            self.notes.append(f"{own.name} stays uneven: {why}")
            return None
        return move

    def lines(self, steps: list[RolloutStep], found: dict[str, dict[str, Any]]) -> list[str]:
        width = max(map(len, [*self.unfinished, *self.moves]), default=0)
        lines = [
            f"  ~ finish  {name:<{width}}  back to {count_of(number, 'replica')}, left over from an interrupted run"
            for name, number in self.unfinished.items()
        ]
        lines += [f"  ~ move    {name:<{width}}  {move.text}" for name, move in self.moves.items()]
        return lines + [f"  ! {note}" for note in self.notes]

    def current_value(self, service: dict[str, Any]) -> Any:
        return current_replicas(service)

    def send(self, service: dict[str, Any], step: RolloutStep) -> None:
        spec = with_replicas(service["Spec"], step["after"])
        labels = dict(spec.get("Labels") or {})
        if step["after"] > step["before"]:
            spec["Labels"] = {**labels, REBALANCING_LABEL: str(step["before"])}
            self.client.update_service(service["ID"], service["Version"]["Index"], spec)
            return
        labels.pop(REBALANCING_LABEL, None)
        spec["Labels"] = labels
        self.client.update_service(service["ID"], service["Version"]["Index"], spec)
        # Written twice, so that the previous spec, which a rollback restores, has no additional replicas either.
        (now,) = self.client.services(id=[service["ID"]])
        if now["Spec"] == spec:
            self.client.update_service(now["ID"], now["Version"]["Index"], spec)

    def starts_tasks(self, step: RolloutStep) -> bool:
        return bool(step["after"] > step["before"])

    def undo(self, written: list[RolloutStep]) -> str:
        """Remove the additional tasks of the service that did not converge with them."""
        last = written[-1]
        if last["after"] < last["before"]:
            return "."
        back = {**last, "before": last["after"], "after": last["before"]}
        try:
            self.write(back)
        except (ConcurrentChange, SwarmError):
            return f". Could not roll {last['service']} back: run again."
        self.result["reverted"] = [last["service"]]
        return f". {last['service']} was rolled back to {count_of(last['before'], 'replica')}."
