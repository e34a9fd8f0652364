# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Removing what a stack owns, all of it or what is no longer asked for: what that is, who uses it, and the removal.

A stack owns what carries its label. External networks, secrets and configs do not, and volumes are no objects
of the swarm: they stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import KINDS, Write
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import PASSING
from ansible_collections.flotilla.swarm.plugins.module_utils._revisions import NUMBER, Revision
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    Live,
    Step,
    spec_in,
    summary,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import (
    hostname_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll

# States that a task does not leave any more (swarmkit: api/types.proto, TaskState).
ENDED = ("complete", "shutdown", "failed", "rejected", "remove", "orphaned")

# --- Plan ---------------------------------------------------------------------------------------------


class Owned(NamedTuple):
    kind: str
    name: str
    object_id: str
    spec: dict[str, Any]

    @property
    def entry(self) -> str:
        return f"{self.kind} {self.name}"

    def step(self) -> Step:
        return Step("remove", self.kind, self.name, summary(self.kind, self.spec))


def owned(stack: str, live: Live) -> list[Owned]:
    """Everything that carries the stack's label, in the order in which it can be removed.

    Services go first, for they use the rest, and networks last, for tasks that are ending are still on them.
    """
    found = []
    for kind, documents in reversed(live.by_kind().items()):
        for document in sorted(documents, key=lambda one: str(spec_in(kind, one).get("Name"))):
            spec = spec_in(kind, document)
            if (spec.get("Labels") or {}).get(NAMESPACE) == stack:
                object_id = str(document.get("Id") or document.get("ID"))
                found.append(Owned(kind, str(spec.get("Name")), object_id, spec))
    return found


def plan_removal(stack: str, live: Live) -> list[Step]:
    """What goes, in that order, or a refusal where a service of somebody else would lose something."""
    others = [s for s in live.services if _stack_of(s) != stack]
    used = references((_name(s), s.get("Spec") or {}) for s in others)
    found = owned(stack, live)
    refusals = sorted(
        f"{one.kind} {one.name} is used by service {service}"
        for one in found
        for service in used.get((one.kind, one.object_id), [])
    )
    if refusals:
        raise SwarmError(
            "in_use",
            f"Could not remove stack {stack}: {'; '.join(refusals)}, which is not of this stack."
            " Take it out of there first.",
            used=refusals,
        )
    return [one.step() for one in found]


def plan_pruning(
    stack: str,
    live: Live,
    steps: Iterable[Step],
    writes: Iterable[Write],
    kept: Iterable[Revision] = (),
) -> list[Step]:
    """What the stack owns, no file asks for, and nobody needs.

    A service needs things to run and to go back to what it was before, and a revision needs its secrets and configs;
    its networks can be made anew.
    """
    actions = {(step.kind, step.name): step.action for step in steps}
    specs = [(write.name, write.spec) for write in writes if write.kind == "service"]
    for service in live.services:
        name = _name(service)
        if _stack_of(service) == stack and ("service", name) not in actions:
            continue
        specs.append((name, service.get("Spec") or {}))
        if actions.get(("service", name)) != "update":
            specs.append((name, service.get("PreviousSpec") or {}))
    used = references(specs)
    for revision in kept:
        needed = references(revision.snapshot.services.items())
        used.update({key: names for key, names in needed.items() if key[0] != "network"})
    return [
        one.step()
        for one in owned(stack, live)
        if (one.kind, one.name) not in actions
        and NUMBER not in (one.spec.get("Labels") or {})
        and not used.get((one.kind, one.object_id))
        and not used.get((one.kind, one.name))
    ]


def created_only(
    stack: str, before: Live, now: Live, created: set[str]
) -> tuple[list[Step], list[str]]:
    """What a run has created and has to go again, and what stays of it, since services of others use it already."""
    existed = {(one.kind, one.name) for one in owned(stack, before)}
    new = [
        one
        for one in owned(stack, now)
        if one.object_id in created and (one.kind, one.name) not in existed
    ]
    ids = {one.object_id for one in new}
    others = [service for service in now.services if service.get("ID") not in ids]
    used = references((_name(service), service.get("Spec") or {}) for service in others)
    users = {one.entry: used.get((one.kind, one.object_id), []) for one in new}
    stays = [
        f"{entry} stays, since service {names[0]} uses it"
        for entry, names in users.items()
        if names
    ]
    return [one.step() for one in new if not users[one.entry]], stays


def _name(service: dict[str, Any]) -> str:
    return str((service.get("Spec") or {}).get("Name"))


def _stack_of(service: dict[str, Any]) -> str | None:
    labels: dict[str, str] = (service.get("Spec") or {}).get("Labels") or {}
    return labels.get(NAMESPACE)


def references(
    specs: Iterable[tuple[str, dict[str, Any]]],
) -> dict[tuple[str, str], list[str]]:
    """Networks, secrets and configs by kind and ID (in a spec of the CLI, a network's name), and who uses them."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, spec in specs:
        template = spec.get("TaskTemplate") or {}
        container = template.get("ContainerSpec") or {}
        networks = template.get("Networks") or spec.get("Networks") or []
        uses = {("network", str(n.get("Target"))) for n in networks}
        uses |= {("secret", str(s.get("SecretID"))) for s in container.get("Secrets") or []}
        uses |= {("config", str(c.get("ConfigID"))) for c in container.get("Configs") or []}
        for key in uses:
            found.setdefault(key, []).append(name)
    return found


def still_running(
    tasks: list[dict[str, Any]], nodes: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """The nodes on which tasks have not ended: those that are ready, and those that cannot be asked.

    A task on a node that is down has no end that anybody could wait for: its container stops when the node is back.
    """
    states = {str(n.get("ID")): str((n.get("Status") or {}).get("State")) for n in nodes}
    names = {str(n.get("ID")): hostname_of(n) for n in nodes}
    answering: set[str] = set()
    silent: set[str] = set()
    for task in tasks:
        node = str(task.get("NodeID") or "")
        if node and (task.get("Status") or {}).get("State") not in ENDED:
            (answering if states.get(node) == "ready" else silent).add(names.get(node, node))
    return sorted(answering), sorted(silent)


# --- Apply and verify -----------------------------------------------------------------------------------


class Removal:
    """Carries a removal out on a manager, and waits until nothing of it is left."""

    def __init__(
        self,
        stack: str,
        engine: EngineClient,
        find: Callable[[], list[Owned]],
        applied: list[str],
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        self.stack = stack
        self.engine = engine
        self.find = find
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
        """Where tasks run whose service is gone."""
        services = {service.get("ID") for service in self.engine.services()}
        tasks = self.engine.tasks(label=f"{NAMESPACE}={self.stack}")
        orphans = [task for task in tasks if task.get("ServiceID") not in services]
        return still_running(orphans, self.engine.nodes())[0]

    def _remove(self, *kinds: str) -> list[str]:
        """Remove what is there of these kinds, and say what that was: only what is not found again is gone."""
        seen = []
        for one in self.find():
            if one.kind not in kinds:
                continue
            entry = one.entry
            try:
                self.engine.remove(one.kind, one.object_id, one.name)
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
            f"Could not remove all that has to go of stack {self.stack} within {self.timeout:g} s: {why}."
            " What is left is removed by the next run.",
        )
