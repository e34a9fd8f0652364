# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Scales services in steps: what the numbers mean, whether the tasks fit, and how the numbers are written."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from typing import Any, NamedTuple

from .._common.errors import SwarmError, shown
from .._common.words import count_of
from .._model.services import GLOBAL, is_job, mode_of, replicas_of, service_name
from .._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    Unplaceable,
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
    unplaceable,
)
from .convergence import CONVERGED
from .rollout import ConcurrentChange, Problem, Rollout, RolloutStep, find_services, paused, refuse

_ASKED = re.compile(r"(?P<sign>[+-]?)(?P<number>\d{1,7})(?P<percent>%?)", re.ASCII)

# Pure


def goal_of(service: str, wanted: Any, now: int) -> int:
    """The number of replicas that `wanted` means: 10, "+2", "-2" or "150%", rounded up; raises bad_replicas."""
    # YAML reads +2 without quotes as 2, so a number with a sign must be a string, also a negative one.
    invalid = isinstance(wanted, (bool, float)) or (isinstance(wanted, int) and wanted < 0)
    match = None if invalid else _ASKED.fullmatch(str(wanted).strip())
    if not match or (match["percent"] and match["sign"]):
        raise Problem(
            "bad_replicas",
            service,
            f"{shown(wanted)} is not a number of replicas for {service}: use a value such as 10, '+2', '-2' or '150%'",
        )
    number = int(match["number"])
    if match["percent"]:
        return math.ceil(now * number / 100)
    if not match["sign"]:
        return number
    goal = now + number if match["sign"] == "+" else now - number
    if goal < 0:
        raise Problem(
            "bad_replicas",
            service,
            f"{service} has {count_of(now, 'replica')}, so {wanted} would be negative",
        )
    return goal


def batches(now: int, goal: int, size: int | None) -> list[tuple[int, int]]:
    """The steps from one number to another, none larger than `size`."""
    size = size or abs(goal - now)
    steps = []
    while now != goal:
        after = min(now + size, goal) if goal > now else max(now - size, goal)
        steps.append((now, after))
        now = after
    return steps


def plan_steps(
    now: dict[str, int], goals: dict[str, int], size: int | None, together: bool
) -> list[RolloutStep]:
    """The steps in order, none larger than `size`; with `together` all services take each step at the same time."""
    steps: list[RolloutStep] = []
    for name, goal in goals.items():
        first = 1 if together or not steps else steps[-1]["step"] + 1
        steps += [
            {"step": number, "service": name, "before": before, "after": after}
            for number, (before, after) in enumerate(batches(now[name], goal, size), first)
        ]
    return sorted(steps, key=lambda step: int(step["step"]))


def no_room(
    goals: dict[str, int],
    services: list[PlacementService],
    tasks: list[PlacementTask],
    nodes: list[PlacementNode],
) -> list[Unplaceable]:
    """The services whose new tasks the scheduler would find no node for; `goals` has replicas by name.

    Tasks that are pending now need a node as well. What other services free in the same run does not count.
    """
    have = Counter(task.service_id for task in tasks if task.active)
    new = [
        PlacementTask(f"{service.id}.new{number}", service.id, "", "new", "running")
        for service in services
        for number in range(have[service.id], goals.get(service.name, 0))
    ]
    found = unplaceable(services, [*tasks, *new], nodes, {""}) if new else []
    return [one for one in found if one.service in goals]


def with_replicas(spec: dict[str, Any], replicas: int) -> dict[str, Any]:
    """The spec with another number of replicas and nothing else changed, so that no task is restarted."""
    changed = copy.deepcopy(spec)
    changed["Mode"]["Replicated"] = {
        **(changed["Mode"].get("Replicated") or {}),
        "Replicas": replicas,
    }
    return changed


def current_replicas(service: dict[str, Any]) -> int:
    """How many replicas a replicated service has now, given its document."""
    return replicas_of(service.get("Spec")) or 0


def unscalable(service: dict[str, Any]) -> Problem | None:
    """Why a service has no number of replicas: code job or global_service; None if it has one."""
    name = service_name(service)
    if is_job(service.get("Spec")):
        return Problem(
            "job", name, f"{name} is a job, which runs to completion and cannot be scaled"
        )
    if mode_of(service.get("Spec"))["Mode"] == GLOBAL:
        return Problem(
            "global_service", name, f"{name} is global: it has one task on each eligible node"
        )
    return None


def unexpected(name: str, expected: Any, now: int, goal: int) -> Problem | None:
    """A service that has neither the expected number of replicas nor the goal; code out_of_sequence."""
    want = expected.get(name) if isinstance(expected, dict) else expected
    if want is None or now in (want, goal):
        return None
    return Problem(
        "out_of_sequence",
        name,
        f"{name} has {count_of(now, 'replica')}, but expected_replicas is {want}",
        expected=want,
        found=now,
    )


def expected_of(given: Any, names: list[str]) -> Any:
    """The option expected_replicas as numbers: one for all services, or one for each; raises bad_expected."""

    def number(value: Any) -> int:
        if isinstance(value, (bool, float)) or not re.fullmatch(r"\d{1,7}", str(value).strip()):
            raise SwarmError(
                "bad_expected",
                f"Could not scale: expected_replicas has {shown(value)}, which is not a number of replicas such as 3.",
            )
        return int(value)

    if given is None:
        return None
    if not isinstance(given, dict):
        return number(given)
    unknown = sorted(set(map(str, given)) - set(names))
    if unknown:
        raise SwarmError(
            "bad_expected",
            f"Could not scale: expected_replicas names {', '.join(unknown)}, which is not in services. Remove it there, or add"
            " it to services.",
        )
    return {str(name): number(value) for name, value in given.items()}


# On a manager


class Placements(NamedTuple):
    """What the scheduler places: all services, tasks and nodes."""

    services: list[PlacementService]
    tasks: list[PlacementTask]
    nodes: list[PlacementNode]


def read_placements(client: Any, documents: list[dict[str, Any]]) -> Placements:
    """Read tasks and nodes; `documents` are those of all services."""
    return Placements(
        [parse_placement_service(document) for document in documents],
        [parse_placement_task(document) for document in client.tasks()],
        [parse_placement_node(document) for document in client.nodes()],
    )


class Scale(Rollout):
    """A change of the number of replicas."""

    attempt = "scale"

    def plan(self, documents: list[dict[str, Any]]) -> list[RolloutStep]:
        wanted = {str(name): value for name, value in self.params["services"].items()}
        expected = expected_of(self.params["expected_replicas"], self.names)
        found, missing = find_services(self.names, documents)
        problems: list[SwarmError] = list(missing)
        goals: dict[str, int] = {}
        for name, service in found.items():
            now = current_replicas(service)
            problem = unscalable(service) or paused(service)
            if problem is None:
                try:
                    goals[name] = goal_of(name, wanted[name], now)
                    problem = unexpected(name, expected, now, goals[name])
                except Problem as error:
                    problem = error
            if problem is not None:
                problems.append(problem)
        refuse(self.attempt, problems)
        self.kept = {
            "goals": goals,
            "before": {name: current_replicas(found[name]) for name in goals},
        }
        return self._steps(documents)

    def replan(
        self, documents: list[dict[str, Any]], change: ConcurrentChange
    ) -> list[RolloutStep]:
        found, _missing = find_services(self.names, documents)
        if self.params["expected_replicas"] is not None or len(found) < len(self.names):
            raise self.conflict(change)
        return self._steps(documents)

    def _steps(self, documents: list[dict[str, Any]]) -> list[RolloutStep]:
        found, _missing = find_services(self.names, documents)
        goals = self.kept["goals"]
        now = {name: current_replicas(service) for name, service in found.items()}
        growing = {name: goal for name, goal in goals.items() if goal > now[name]}
        if growing:
            self._refuse_without_room(growing, documents)
        return plan_steps(now, goals, self.params["batch_size"], self.params["order"] == "parallel")

    def _refuse_without_room(
        self, growing: dict[str, int], documents: list[dict[str, Any]]
    ) -> None:
        short = no_room(growing, *read_placements(self.client, documents))
        refuse(
            self.attempt,
            [
                Problem(
                    "no_room",
                    one.service,
                    f"there is room for {growing[one.service] - one.tasks} of {count_of(growing[one.service], 'task')} of"
                    f" {one.service}, the others need {one.missing}",
                    fits=growing[one.service] - one.tasks,
                    missing=one.missing,
                )
                for one in short
            ],
        )

    def lines(self, steps: list[RolloutStep], found: dict[str, dict[str, Any]]) -> list[str]:
        names = list(dict.fromkeys(step["service"] for step in steps))
        width = max(map(len, names), default=0)
        size = self.params["batch_size"]
        lines = []
        for name in names:
            count = sum(step["service"] == name for step in steps)
            before, goal = self.kept["before"][name], self.kept["goals"][name]
            line = f"  ~ scale  {name:<{width}}  {before} -> {goal}"
            lines.append(line + (f" in {count} steps of {size}" if count > 1 else ""))
        return lines

    def current_value(self, service: dict[str, Any]) -> Any:
        return current_replicas(service)

    def send(self, service: dict[str, Any], step: RolloutStep) -> None:
        spec = with_replicas(service["Spec"], step["after"])
        self.client.update_service(service["ID"], service["Version"]["Index"], spec)

    def goal(self, verdict: dict[str, Any]) -> int:
        return int(self.kept["goals"][verdict["name"]])

    def starts_tasks(self, step: RolloutStep) -> bool:
        return bool(step["after"] > step["before"])

    def undo(self, written: list[RolloutStep]) -> str:
        """With on_failure=rollback, roll back all that this run scaled, unless something else scaled it since."""
        last = {step["service"]: step["after"] for step in written}
        if self.params["on_failure"] == "stop":
            return f". Stopped at {_numbers(last)}."
        back = [
            {"step": 1, "service": name, "before": after, "after": self.kept["before"][name]}
            for name, after in last.items()
        ]
        reverted, left = [], []
        for step in back:
            try:
                self.write(step)
                reverted.append(step)
            except (ConcurrentChange, SwarmError):
                left.append(step["service"])
        names = [step["service"] for step in reverted]
        self.result["reverted"] = names
        wrote = any(map(self.starts_tasks, reverted))
        seen, _done = self.watch(names, wrote, reverted, self.params["wait_timeout"])
        end = ""
        if reverted:
            end = f". Rolled back to {_numbers({s['service']: s['after'] for s in reverted})}"
        late = [verdict.line() for verdict in seen if verdict.state != CONVERGED]
        if late:
            end += f", which did not converge either: {'; '.join(late)}"
        if left:
            end += f". Not rolled back, because something else changed it: {', '.join(left)}"
        return end + "."


def _numbers(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
