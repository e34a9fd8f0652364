# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Restarts services one after the other: all tasks are replaced, by each service's own update_config."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import (
    Problem,
    Rollout,
    Step,
    is_job,
    named,
    paused,
    refuse,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import mode_of


def restarts_of(service: dict[str, Any]) -> int:
    """The engine's counter of restarts that were asked for."""
    return int(dig(service, "Spec", "TaskTemplate", "ForceUpdate") or 0)


def restarted(spec: dict[str, Any], count: int) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    changed["TaskTemplate"]["ForceUpdate"] = count
    return changed


def in_words(service: dict[str, Any]) -> str:
    """How a service replaces its tasks."""
    mode = mode_of(dig(service, "Spec", "Mode") or {})
    config = dig(service, "Spec", "UpdateConfig") or {}
    # Left out, it is one at a time (swarmkit: api/defaults).
    at_a_time = config.get("Parallelism", 1) or "all"
    tasks = (
        "a task on each node" if mode["Mode"] == "global" else count_of(mode["Replicas"], "task")
    )
    return f"{tasks}, {at_a_time} at a time, {config.get('Order') or 'stop-first'}"


class Restart(Rollout):
    attempt = "restart"

    def wanted_names(self) -> list[str]:
        names = super().wanted_names()
        canary = self.params["canary"]
        if canary is None:
            return names
        if canary not in names:
            raise SwarmError(
                "bad_canary", f"Could not restart: the canary {canary} is not one of services."
            )
        return [canary, *(name for name in names if name != canary)]

    def plan(self, documents: list[dict[str, Any]]) -> list[Step]:
        found, missing = named(self.names, documents)
        problems: list[SwarmError] = list(missing)
        for name, service in found.items():
            if is_job(service):
                problems.append(Problem("job", name, f"{name} is a job, which would run once more"))
            elif (wrong := paused(service)) is not None:
                problems.append(wrong)
        refuse(self.attempt, problems)
        running = [name for name in self.names if _wants_tasks(found[name])]
        return [
            {
                "step": number,
                "service": name,
                "before": restarts_of(found[name]),
                "after": restarts_of(found[name]) + 1,
            }
            for number, name in enumerate(running, 1)
        ]

    def lines(self, steps: list[Step], found: dict[str, dict[str, Any]]) -> list[str]:
        width = max((len(step["service"]) for step in steps), default=0)
        return [
            f"  ~ restart  {step['service']:<{width}}  {in_words(found[step['service']])}"
            + (", canary" if step["service"] == self.params["canary"] else "")
            for step in steps
        ]

    def stands(self, service: dict[str, Any]) -> Any:
        return restarts_of(service)

    def send(self, service: dict[str, Any], step: Step) -> None:
        spec = restarted(service["Spec"], step["after"])
        self.client.update_service(service["ID"], service["Version"]["Index"], spec)


def _wants_tasks(service: dict[str, Any]) -> bool:
    mode = mode_of(dig(service, "Spec", "Mode") or {})
    return mode["Mode"] == "global" or mode["Replicas"] > 0
