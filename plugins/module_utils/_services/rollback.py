# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Rolls services back to the spec before their latest change, one after the other."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from .._common.errors import SwarmError
from .._spec.changes import Change, service_changes
from .._spec.display import short_image
from .rollout import Problem, Rollout, RolloutStep, find_services, refuse, runs_again


def spec_hash(spec: dict[str, Any] | None, salt: str) -> str:
    """A hash that tells specs apart within a run and reveals nothing of them: specs hold credentials."""
    text = salt + json.dumps(spec, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Rollback(Rollout):
    """A rollback; the value that steps change is a hash of the spec."""

    attempt = "roll back"
    # A rollback is how an operator ends an update that is stuck.
    waits_for_updates = False

    def plan(self, documents: list[dict[str, Any]]) -> list[RolloutStep]:
        found, missing = find_services(self.names, documents)
        problems: list[SwarmError] = list(missing)
        for name, service in found.items():
            problem = runs_again(service)
            if problem is None and not service.get("PreviousSpec"):
                problem = Problem(
                    "no_previous_spec",
                    name,
                    f"{name} has no previous spec: it was never changed, or the engine rolled it back itself",
                )
            if problem is not None:
                problems.append(problem)
        refuse(self.attempt, problems)
        networks = {str(n["Id"]): str(n.get("Name")) for n in self.client.networks() if n.get("Id")}
        changes = {
            name: service_changes(service["Spec"], service["PreviousSpec"], networks)
            for name, service in found.items()
        }
        self.kept = {"salt": os.urandom(16).hex()}
        changing = [name for name in self.names if changes[name]]
        return [
            {
                "step": number,
                "service": name,
                "before": self._hash(found[name]["Spec"]),
                "after": self._hash(found[name]["PreviousSpec"]),
                "changes": [change.as_dict() for change in changes[name]],
            }
            for number, name in enumerate(changing, 1)
        ]

    def lines(self, steps: list[RolloutStep], found: dict[str, dict[str, Any]]) -> list[str]:
        width = max((len(step["service"]) for step in steps), default=0)
        lines = []
        for step in steps:
            first = f"  ~ rollback  {step['service']:<{width}}  "
            fields = [Change(c["field"], c["before"], c["after"]) for c in step["changes"]]
            field_width = max(len(change.name) for change in fields)
            for change in fields:
                before, after = short_image(change.before), short_image(change.after)
                lines.append(f"{first}{change.name:<{field_width}}  {before} -> {after}")
                first = " " * len(first)
        return lines

    def current_value(self, service: dict[str, Any]) -> Any:
        return self._hash(service.get("Spec"))

    def _hash(self, spec: dict[str, Any] | None) -> str:
        return spec_hash(spec, self.kept["salt"])

    def send(self, service: dict[str, Any], step: RolloutStep) -> None:
        if self._hash(service.get("PreviousSpec")) != step["after"]:
            raise SwarmError(
                "out_of_sequence",
                f"Could not roll back: something else changed {step['service']} after the plan was made. Run again.",
                service=step["service"],
            )
        self.client.update_service(
            service["ID"], service["Version"]["Index"], service["Spec"], rollback=True
        )
