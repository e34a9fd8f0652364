# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Scales services in steps: what the numbers mean, whether they fit, and how they are written."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    Unplaceable,
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
    unplaceable,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import (
    Moved,
    Problem,
    Rollout,
    Step,
    is_job,
    name_of,
    named,
    paused,
    refuse,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import CONVERGED, mode_of

_ASKED = re.compile(r"(?P<sign>[+-]?)(?P<number>\d{1,7})(?P<percent>%?)", re.ASCII)

# Pure


def goal_of(service: str, asked: Any, now: int) -> int:
    """The number that is asked for: 10, "+2", "-2" or "150%", which is rounded up."""
    # YAML reads +2 without quotes as 2: so a number with a sign has to be text, also the negative one.
    wrong = isinstance(asked, (bool, float)) or (isinstance(asked, int) and asked < 0)
    match = None if wrong else _ASKED.fullmatch(str(asked).strip())
    if not match or (match["percent"] and match["sign"]):
        raise Problem(
            "bad_replicas",
            service,
            f"{service}: {asked!r} is no number of replicas, use one like 10, '+2', '-2' or '150%'",
        )
    number = int(match["number"])
    if match["percent"]:
        return math.ceil(now * number / 100)
    if not match["sign"]:
        return number
    goal = now + number if match["sign"] == "+" else now - number
    if goal < 0:
        raise Problem(
            "bad_replicas", service, f"{service}: it has {now}, and {asked} would be less than none"
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
) -> list[Step]:
    """The writes in their order; services that go together take each step at the same time."""
    steps: list[Step] = []
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
    """The services, by name, whose new tasks the scheduler would find no node for.

    Tasks that wait for a node now want one as well. What other services give up in the same run is not counted.
    """
    have = Counter(task.service_id for task in tasks if task.active)
    new = [
        PlacementTask(f"{service.id}.new{number}", service.id, "", "new", "running")
        for service in services
        for number in range(have[service.id], goals.get(service.name, 0))
    ]
    found = unplaceable(services, [*tasks, *new], nodes, {""}) if new else []
    return [one for one in found if one.service in goals]


def replicas_of(service: dict[str, Any]) -> int:
    return int(mode_of(dig(service, "Spec", "Mode") or {}).get("Replicas") or 0)


def with_replicas(spec: dict[str, Any], replicas: int) -> dict[str, Any]:
    """The spec with another number and nothing else: tasks stay as they are."""
    changed = copy.deepcopy(spec)
    changed["Mode"]["Replicated"] = {
        **(changed["Mode"].get("Replicated") or {}),
        "Replicas": replicas,
    }
    return changed


def unscalable(service: dict[str, Any]) -> Problem | None:
    name = name_of(service)
    if is_job(service):
        return Problem("job", name, f"{name} is a job, which runs to its end and has no replicas")
    if mode_of(dig(service, "Spec", "Mode") or {})["Mode"] == "global":
        return Problem(
            "global_service", name, f"{name} is global, it has one task on each node that fits"
        )
    return None


def raced(name: str, expected: Any, now: int, goal: int) -> Problem | None:
    """One that is where it should go is no race: it is there."""
    want = expected.get(name) if isinstance(expected, dict) else expected
    if want is None or now in (want, goal):
        return None
    return Problem(
        "raced",
        name,
        f"{name} has {count_of(now, 'replica')} and not {want}",
        expected=want,
        found=now,
    )


def expected_of(asked: Any, names: list[str]) -> Any:
    """`expected_replicas` as a person wrote it: a number for all, or one for each."""

    def number(value: Any) -> int:
        if isinstance(value, (bool, float)) or not re.fullmatch(r"\d{1,7}", str(value).strip()):
            raise SwarmError(
                "bad_expected",
                f"Could not scale: expected_replicas: {value!r} is no number of replicas.",
            )
        return int(value)

    if asked is None:
        return None
    if not isinstance(asked, dict):
        return number(asked)
    unknown = sorted(set(map(str, asked)) - set(names))
    if unknown:
        raise SwarmError(
            "bad_expected",
            f"Could not scale: expected_replicas has {', '.join(unknown)}, and services has not.",
        )
    return {str(name): number(value) for name, value in asked.items()}


# On a manager


class Scale(Rollout):
    attempt = "scale"

    def plan(self, documents: list[dict[str, Any]]) -> list[Step]:
        asked = {str(name): value for name, value in self.params["services"].items()}
        expected = expected_of(self.params["expected_replicas"], self.names)
        found, missing = named(self.names, documents)
        problems: list[SwarmError] = list(missing)
        goals: dict[str, int] = {}
        for name, service in found.items():
            wrong = unscalable(service) or paused(service)
            if wrong is None:
                try:
                    goals[name] = goal_of(name, asked[name], replicas_of(service))
                    wrong = raced(name, expected, replicas_of(service), goals[name])
                except Problem as problem:
                    wrong = problem
            if wrong is not None:
                problems.append(wrong)
        refuse(self.attempt, problems)
        self.kept = {"goals": goals, "before": {name: replicas_of(found[name]) for name in goals}}
        return self._steps(documents)

    def again(self, documents: list[dict[str, Any]], moved: Moved) -> list[Step]:
        found, _missing = named(self.names, documents)
        if self.params["expected_replicas"] is not None or len(found) < len(self.names):
            raise self.raced(moved)
        return self._steps(documents)

    def _steps(self, documents: list[dict[str, Any]]) -> list[Step]:
        found, _missing = named(self.names, documents)
        goals = self.kept["goals"]
        now = {name: replicas_of(service) for name, service in found.items()}
        growing = {name: goal for name, goal in goals.items() if goal > now[name]}
        if growing:
            self._refuse_without_room(growing, documents)
        return plan_steps(now, goals, self.params["batch_size"], self.params["order"] == "parallel")

    def _refuse_without_room(
        self, growing: dict[str, int], documents: list[dict[str, Any]]
    ) -> None:
        short = no_room(
            growing,
            [parse_placement_service(document) for document in documents],
            [parse_placement_task(document) for document in self.client.tasks()],
            [parse_placement_node(document) for document in self.client.nodes()],
        )
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

    def lines(self, steps: list[Step], found: dict[str, dict[str, Any]]) -> list[str]:
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

    def stands(self, service: dict[str, Any]) -> Any:
        return replicas_of(service)

    def send(self, service: dict[str, Any], step: Step) -> None:
        spec = with_replicas(service["Spec"], step["after"])
        self.client.update_service(service["ID"], service["Version"]["Index"], spec)

    def goal(self, verdict: dict[str, Any]) -> int:
        return int(self.kept["goals"][verdict["name"]])

    def starts_tasks(self, step: Step) -> bool:
        return bool(step["after"] > step["before"])

    def undo(self, written: list[Step]) -> str:
        """Everything that this run has scaled goes back to the number before, unless somebody else has scaled it."""
        last = {step["service"]: step["after"] for step in written}
        if self.params["on_failure"] == "stop":
            return f". Stopped at {_numbers(last)}."
        back = [
            {"step": 1, "service": name, "before": after, "after": self.kept["before"][name]}
            for name, after in last.items()
        ]
        taken, left = [], []
        for step in back:
            try:
                self.write(step)
                taken.append(step)
            except (Moved, SwarmError):
                left.append(step["service"])
        names = [step["service"] for step in taken]
        self.result["reverted"] = names
        wrote = any(map(self.starts_tasks, taken))
        seen, _done = self.watch(names, wrote, taken, self.params["wait_timeout"])
        end = (
            f". Back at {_numbers({step['service']: step['after'] for step in taken})}"
            if taken
            else ""
        )
        sick = [verdict.line() for verdict in seen if verdict.state != CONVERGED]
        if sick:
            end += f", which does not run either: {'; '.join(sick)}"
        if left:
            end += f". Not put back, because somebody else has changed it: {', '.join(left)}"
        return end + "."


def _numbers(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
