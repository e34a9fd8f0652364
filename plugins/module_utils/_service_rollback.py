# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Takes services back to the spec that they had before their latest change, one after the other."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import (
    Problem,
    Rollout,
    Step,
    is_job,
    named,
    refuse,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    Change,
    service_changes,
    short_image,
)


def fingerprint(spec: dict[str, Any] | None, salt: str) -> str:
    """What tells one spec from another within a run, and says nothing of what is in it: specs hold credentials."""
    text = salt + json.dumps(spec, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Rollback(Rollout):
    attempt = "roll back"
    # A rollback is how one ends an update that does not get on.
    waits_for_updates = False

    def plan(self, documents: list[dict[str, Any]]) -> list[Step]:
        found, missing = named(self.names, documents)
        problems: list[SwarmError] = list(missing)
        for name, service in found.items():
            if is_job(service):
                problems.append(Problem("job", name, f"{name} is a job, which would run once more"))
            elif not service.get("PreviousSpec"):
                problems.append(
                    Problem(
                        "no_previous_spec",
                        name,
                        f"{name} has no previous spec, it was never changed, or the engine has rolled it back itself",
                    )
                )
        refuse(self.attempt, problems)
        networks = {str(n["Id"]): str(n.get("Name")) for n in self.client.networks() if n.get("Id")}
        changes = {
            name: service_changes(service["Spec"], service["PreviousSpec"], networks)
            for name, service in found.items()
        }
        self.kept = {"salt": os.urandom(16).hex()}
        going = [name for name in self.names if changes[name]]
        return [
            {
                "step": number,
                "service": name,
                "before": self._print(found[name]["Spec"]),
                "after": self._print(found[name]["PreviousSpec"]),
                "changes": [change.as_dict() for change in changes[name]],
            }
            for number, name in enumerate(going, 1)
        ]

    def lines(self, steps: list[Step], found: dict[str, dict[str, Any]]) -> list[str]:
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

    def stands(self, service: dict[str, Any]) -> Any:
        return self._print(service.get("Spec"))

    def _print(self, spec: dict[str, Any] | None) -> str:
        return fingerprint(spec, self.kept["salt"])

    def send(self, service: dict[str, Any], step: Step) -> None:
        if self._print(service.get("PreviousSpec")) != step["after"]:
            raise SwarmError(
                "raced",
                f"Could not roll back: somebody else has written {step['service']} since the plan was made; run again.",
                service=step["service"],
            )
        self.client.update_service(
            service["ID"], service["Version"]["Index"], service["Spec"], rollback=True
        )
