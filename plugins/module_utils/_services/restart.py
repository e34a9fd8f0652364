# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Restarts services one after the other: the engine replaces all tasks, by each service's own update_config."""

from __future__ import annotations

import copy
from typing import Any

from .._common.errors import SwarmError
from .._common.words import count_of
from .._model.documents import dig
from .._model.services import GLOBAL, mode_of, restart_count
from .rollout import Rollout, RolloutStep, find_services, paused, refuse, runs_again


def restarted(spec: dict[str, Any], count: int) -> dict[str, Any]:
    """The spec with another restart count, which makes the engine replace all tasks."""
    changed = copy.deepcopy(spec)
    changed["TaskTemplate"]["ForceUpdate"] = count
    return changed


def update_words(service: dict[str, Any]) -> str:
    """How a service replaces its tasks, such as `3 tasks, 1 at a time, stop-first`."""
    mode = mode_of(service.get("Spec"))
    config = dig(service, "Spec", "UpdateConfig") or {}
    # The default is one at a time (swarmkit: api/defaults).
    at_a_time = config.get("Parallelism", 1) or "all"
    tasks = "a task on each node" if mode["Mode"] == GLOBAL else count_of(mode["Replicas"], "task")
    return f"{tasks}, {at_a_time} at a time, {config.get('Order') or 'stop-first'}"


class ServiceRestart(Rollout):
    """A restart; the value that steps change is the restart count."""

    attempt = "restart"

    def service_names(self) -> list[str]:
        names = super().service_names()
        canary = self.params["canary"]
        if canary is None:
            return names
        if canary not in names:
            raise SwarmError(
                "bad_canary",
                f"Could not restart: canary is {canary}, which is not in services. Add it there, or choose one of them.",
            )
        return [canary, *(name for name in names if name != canary)]

    def plan(self, documents: list[dict[str, Any]]) -> list[RolloutStep]:
        found, missing = find_services(self.names, documents)
        problems = [runs_again(service) or paused(service) for service in found.values()]
        refuse(self.attempt, [*missing, *filter(None, problems)])
        running = [name for name in self.names if _has_tasks(found[name])]
        return [
            {
                "step": number,
                "service": name,
                "before": self.current_value(found[name]),
                "after": self.current_value(found[name]) + 1,
            }
            for number, name in enumerate(running, 1)
        ]

    def lines(self, steps: list[RolloutStep], found: dict[str, dict[str, Any]]) -> list[str]:
        width = max((len(step["service"]) for step in steps), default=0)
        return [
            f"  ~ restart  {step['service']:<{width}}  {update_words(found[step['service']])}"
            + (", canary" if step["service"] == self.params["canary"] else "")
            for step in steps
        ]

    def current_value(self, service: dict[str, Any]) -> Any:
        return restart_count(service.get("Spec"))

    def send(self, service: dict[str, Any], step: RolloutStep) -> None:
        spec = restarted(service["Spec"], step["after"])
        self.client.update_service(service["ID"], service["Version"]["Index"], spec)


def _has_tasks(service: dict[str, Any]) -> bool:
    mode = mode_of(service.get("Spec"))
    return mode["Mode"] == GLOBAL or mode["Replicas"] > 0
