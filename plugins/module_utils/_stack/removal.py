# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a stack owns, and what of it can be removed. No I/O.

A stack owns what has its label. External networks, secrets and configs do not have it, and volumes are not objects of
the swarm: they stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .._common.errors import SwarmError
from .._model.documents import id_of, parse_node
from .._model.labels import REVISION_LABEL, name_of, stack_of
from .._model.services import attachments, container_of, service_name
from .._model.tasks import has_ended
from .._spec.display import summary
from .plan import StackSnapshot, StackStep, spec_in
from .revisions import Revision
from .writes import Write


class Owned(NamedTuple):
    """An object of a stack."""

    kind: str
    name: str
    object_id: str
    spec: dict[str, Any]

    @property
    def entry(self) -> str:
        """KIND NAME, as in `applied`."""
        return f"{self.kind} {self.name}"

    def step(self) -> StackStep:
        """The step that removes it."""
        return StackStep("remove", self.kind, self.name, summary(self.kind, self.spec))


def owned(stack: str, live: StackSnapshot) -> list[Owned]:
    """Everything that has the stack's label, in the order in which it can be removed.

    Services come first, because they use the rest, and networks last, because tasks that are stopping still use them.
    """
    found = []
    for kind, documents in reversed(live.by_kind().items()):
        for document in sorted(documents, key=lambda one: str(spec_in(kind, one).get("Name"))):
            spec = spec_in(kind, document)
            if stack_of(spec) == stack:
                found.append(Owned(kind, str(spec.get("Name")), id_of(document), spec))
    return found


def plan_removal(stack: str, live: StackSnapshot) -> list[StackStep]:
    """The steps that remove a stack, in that order; raises in_use where a service of another stack needs something."""
    others = [s for s in live.services if stack_of(s.get("Spec") or {}) != stack]
    used = references((service_name(s), s.get("Spec") or {}) for s in others)
    found = owned(stack, live)
    refusals = sorted(
        f"{one.kind} {one.name} is used by service {service}"
        for one in found
        for service in used.get((one.kind, one.object_id), [])
    )
    if refusals:
        raise SwarmError(
            "in_use",
            f"Could not remove stack {stack}: {'; '.join(refusals)}, which does not belong to this stack."
            " Remove the reference from that service first.",
            used=refusals,
        )
    return [one.step() for one in found]


def plan_pruning(
    stack: str,
    live: StackSnapshot,
    steps: Iterable[StackStep],
    writes: Iterable[Write],
    kept: Iterable[Revision] = (),
) -> list[StackStep]:
    """The steps that remove what the stack owns, no Compose file has, and nothing needs.

    A service needs objects to run and to roll back, and a revision needs its secrets and configs; its networks can be
    recreated.
    """
    actions = {(step.kind, step.name): step.action for step in steps}
    specs = [(write.name, write.spec) for write in writes if write.kind == "service"]
    for service in live.services:
        name = service_name(service)
        if stack_of(service.get("Spec") or {}) == stack and ("service", name) not in actions:
            continue
        specs.append((name, service.get("Spec") or {}))
        if actions.get(("service", name)) != "update":
            specs.append((name, service.get("PreviousSpec") or {}))
    used = references(specs)
    for revision in kept:
        needed = references(revision.content.services.items())
        used.update({key: names for key, names in needed.items() if key[0] != "network"})
    return [
        one.step()
        for one in owned(stack, live)
        if (one.kind, one.name) not in actions
        and REVISION_LABEL not in (one.spec.get("Labels") or {})
        and not used.get((one.kind, one.object_id))
        and not used.get((one.kind, one.name))
    ]


def created_only(
    stack: str, before: StackSnapshot, now: StackSnapshot, created: set[str]
) -> tuple[list[StackStep], list[str]]:
    """The steps that remove what a run created, given its IDs, and a sentence for each object that another service uses
    by now."""
    existed = {(one.kind, one.name) for one in owned(stack, before)}
    new = [
        one
        for one in owned(stack, now)
        if one.object_id in created and (one.kind, one.name) not in existed
    ]
    ids = {one.object_id for one in new}
    others = [service for service in now.services if service.get("ID") not in ids]
    used = references((service_name(service), service.get("Spec") or {}) for service in others)
    users = {one.entry: used.get((one.kind, one.object_id), []) for one in new}
    stays = [
        f"{entry} stays, since service {names[0]} uses it"
        for entry, names in users.items()
        if names
    ]
    return [one.step() for one in new if not users[one.entry]], stays


def references(
    specs: Iterable[tuple[str, dict[str, Any]]],
) -> dict[tuple[str, str], list[str]]:
    """The services that use networks, secrets and configs, by kind and ID; a spec of the CLI has the name of a network."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, spec in specs:
        container = container_of(spec)
        networks = attachments(spec) or spec.get("Networks") or []
        uses = {("network", str(n.get("Target"))) for n in networks}
        uses |= {("secret", str(s.get("SecretID"))) for s in container.get("Secrets") or []}
        uses |= {("config", str(c.get("ConfigID"))) for c in container.get("Configs") or []}
        for key in uses:
            found.setdefault(key, []).append(name)
    return found


def still_running(
    tasks: list[dict[str, Any]], nodes: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """The names of nodes on which tasks have not ended: those that are ready, and those that are not.

    There is no point in waiting for a task on a node that is down: its container stops when the node is back.
    """
    known = {node.id: node for node in map(parse_node, nodes)}
    ready: set[str] = set()
    down: set[str] = set()
    for task in tasks:
        node_id = str(task.get("NodeID") or "")
        if node_id and not has_ended(task):
            node = known.get(node_id)
            names = ready if node and node.state == "ready" else down
            names.add(name_of(node) if node else node_id)
    return sorted(ready), sorted(down)
