# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Removing all that a stack owns: what that is, who else uses it, and the removal itself.

A stack owns what carries its label. External networks, secrets and configs do not, and volumes are no objects
of the swarm: they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import KINDS
from ansible_collections.flotilla.swarm.plugins.module_utils._client import (
    PASSING,
    EngineClient,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    NAMESPACE,
    Live,
    Step,
    spec_in,
    summary,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll

# States that a task does not leave any more (swarmkit: api/types.proto, TaskState).
ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")

# --- Plan ---------------------------------------------------------------------------------------------


def owned(stack: str, live: Live) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Kind, name, ID and spec of everything that carries the stack's label, in the order in which it can be removed.

    Services go first, for they use the rest, and networks last, for tasks that are ending are still on them.
    """
    for kind, documents in reversed(live.by_kind().items()):
        for document in sorted(documents, key=lambda found: str(spec_in(kind, found).get("Name"))):
            spec = spec_in(kind, document)
            if (spec.get("Labels") or {}).get(NAMESPACE) == stack:
                object_id = document.get("Id") or document.get("ID")
                yield kind, str(spec.get("Name")), str(object_id), spec


def plan_removal(stack: str, live: Live) -> list[Step]:
    """What goes, in that order, or a refusal where a service of somebody else would lose something."""
    used = users(live, but=stack)
    steps, refusals = [], []
    for kind, name, object_id, spec in owned(stack, live):
        steps.append(Step("remove", kind, name, summary(kind, spec)))
        for service in used.get((kind, object_id), []):
            refusals.append(f"{kind} {name} is used by service {service}")
    if refusals:
        raise SwarmError(
            "in_use",
            f"Could not remove stack {stack}: {'; '.join(sorted(refusals))}, which is not of this stack."
            " Take it out of there first.",
            used=sorted(refusals),
        )
    return steps


def users(live: Live, but: str) -> dict[tuple[str, str], list[str]]:
    """Networks, secrets and configs by kind and ID, and the services that use them, without those of a stack."""
    found: dict[tuple[str, str], list[str]] = {}
    for service in live.services:
        spec = service.get("Spec") or {}
        if (spec.get("Labels") or {}).get(NAMESPACE) == but:
            continue
        template = spec.get("TaskTemplate") or {}
        container = template.get("ContainerSpec") or {}
        uses = {("network", str(n.get("Target"))) for n in template.get("Networks") or []}
        uses |= {("secret", str(s.get("SecretID"))) for s in container.get("Secrets") or []}
        uses |= {("config", str(c.get("ConfigID"))) for c in container.get("Configs") or []}
        for key in uses:
            found.setdefault(key, []).append(str(spec.get("Name")))
    return found


def still_running(
    tasks: list[dict[str, Any]], nodes: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """The nodes on which tasks have not ended: those that are ready, and those that cannot be asked.

    A task on a node that is down has no end that anybody could wait for: its container stops when the node is back.
    """
    states = {str(n.get("ID")): str((n.get("Status") or {}).get("State")) for n in nodes}
    names = {
        str(n.get("ID")): str((n.get("Description") or {}).get("Hostname") or n.get("ID"))
        for n in nodes
    }
    answering, silent = set(), set()
    for task in tasks:
        node = str(task.get("NodeID") or "")
        if node and (task.get("Status") or {}).get("State") not in ENDED:
            (answering if states.get(node) == "ready" else silent).add(names.get(node, node))
    return sorted(answering), sorted(silent)


# --- Apply and verify -----------------------------------------------------------------------------------


class Removal:
    """Carries a removal out on a manager, and waits until nothing is left."""

    def __init__(
        self,
        stack: str,
        engine: EngineClient,
        observe: Callable[[], Live],
        applied: list[str],
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        self.stack = stack
        self.engine = engine
        self.observe = observe
        self.applied = applied
        self.timeout = timeout
        self.clock = clock or Clock()

    def run(self) -> None:
        deadline = self.clock.now() + self.timeout
        self._remove("service")
        running, ended = self._poll(self._running, deadline)
        if not ended:
            raise self._late(f"tasks still run on {', '.join(running)}")
        left, gone = self._poll(lambda: self._remove(*KINDS), deadline)
        if not gone:
            raise self._late("; ".join(left))

    def _poll(self, probe: Callable[[], list[str]], deadline: float) -> tuple[list[str], bool]:
        left = max(0.0, deadline - self.clock.now())
        return poll(probe, lambda seen: not seen, left, interval=0.5, clock=self.clock)

    def _running(self) -> list[str]:
        tasks = self.engine.tasks(label=f"{NAMESPACE}={self.stack}")
        return still_running(tasks, self.engine.nodes())[0]

    def _remove(self, *kinds: str) -> list[str]:
        """Remove what is there of these kinds, and say what that was: only what is not found again is gone."""
        seen = []
        for kind, name, object_id, _spec in owned(self.stack, self.observe()):
            if kind not in kinds:
                continue
            entry = f"{kind} {name}"
            try:
                self.engine.remove(kind, object_id, name)
            except SwarmError as error:
                # The engine lets go of a network a moment after the last task on it has ended.
                if error.code not in (*PASSING, "not_found") and "in use by" not in error.message:
                    raise
                seen.append(error.message.rstrip("."))
                continue
            seen.append(f"{entry} is still there")
            if entry not in self.applied:
                self.applied.append(entry)
        return seen

    def _late(self, why: str) -> SwarmError:
        return SwarmError(
            "timeout",
            f"Could not remove stack {self.stack} within {self.timeout:g} s: {why}."
            " What is left is removed by the next run.",
        )
