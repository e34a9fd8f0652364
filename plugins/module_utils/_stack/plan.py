# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The steps of a deploy, and the table that shows them. No I/O.

A plan compares what the CLI would write with what the engine has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from .._common.errors import SwarmError
from .._common.words import count_of
from .._model.documents import id_of
from .._model.labels import stack_of
from .._model.services import attachments, restart_count
from .._services.restart import restarted
from .._spec.changes import Change, label_changes, network_changes, service_changes
from .._spec.display import short_image, summary
from .._spec.redaction import HIDDEN
from .writes import KINDS, Spec, Write


@dataclass(frozen=True)
class StackStep:
    """What happens to one object of the stack, or to one of its revisions."""

    action: str  # create, update, replace, remove or none
    kind: str  # one of KINDS, or revision
    name: str
    summary: str = ""
    changes: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The step as data, for a module's result."""
        return {
            "action": self.action,
            "kind": self.kind,
            "name": self.name,
            "summary": self.summary,
            "changes": [change.as_dict() for change in self.changes],
        }


@dataclass
class StackSnapshot:
    """What the engine has now: the documents of its lists."""

    networks: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[dict[str, Any]] = field(default_factory=list)
    configs: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)

    def network_names(self) -> dict[str, str]:
        """The names of networks by ID."""
        return {str(n.get("Id")): str(n.get("Name")) for n in self.networks if n.get("Id")}

    def unlisted_networks(self, stack: str) -> list[str]:
        """IDs of networks that the stack's services use and no list has: the swarm's own host and bridge.

        Their IDs differ from those of the host's networks of that name.
        """
        used = {
            str(network.get("Target"))
            for spec in self.services_of(stack).values()
            for network in attachments(spec)
        }
        return sorted(used - set(self.network_names()))

    def services_of(self, stack: str) -> dict[str, Spec]:
        """The specs of the stack's services, by name."""
        specs = (service.get("Spec") or {} for service in self.services)
        return {str(spec.get("Name")): spec for spec in specs if stack_of(spec) == stack}

    def spec_of(self, kind: str, name: str) -> Spec | None:
        """The spec of an object; None if it does not exist."""
        document = self.document_of(kind, name)
        return None if document is None else spec_in(kind, document)

    def document_of(self, kind: str, name: str) -> dict[str, Any] | None:
        """The document of an object; None if it does not exist."""
        found = (d for d in self.by_kind()[kind] if spec_in(kind, d).get("Name") == name)
        return next(found, None)

    def id_of(self, kind: str, name: str) -> str | None:
        """The ID of an object; None if it does not exist."""
        document = self.document_of(kind, name)
        return id_of(document) if document else None

    def by_kind(self) -> dict[str, list[dict[str, Any]]]:
        """The documents by kind, in the order of KINDS."""
        return dict(zip(KINDS, (self.networks, self.secrets, self.configs, self.services)))


def stack_state(stack: str, live: StackSnapshot) -> dict[tuple[str, str], Any]:
    """The ID and version of each object of the stack, by kind and name: a concurrent change shows here."""
    return {
        (kind, str(spec_in(kind, document).get("Name"))): (
            id_of(document),
            # A network gets its addresses a moment after it was created.
            document.get("IPAM") if kind == "network" else document.get("Version"),
        )
        for kind, documents in live.by_kind().items()
        for document in documents
        if stack_of(spec_in(kind, document)) == stack
    }


def others_wrote(
    before: dict[tuple[str, str], Any], now: dict[tuple[str, str], Any], mine: Iterable[Write] = ()
) -> bool:
    """Whether anything but the writes in `mine` changed the stack between two states of `stack_state`."""
    written = {(write.kind, write.name) for write in mine if write.action != "remove"}
    # What this run wrote may have been removed by another one.
    return not written <= now.keys() or any(
        before.get(key) != now.get(key) for key in (before.keys() | now) - written
    )


def spec_in(kind: str, document: dict[str, Any]) -> Spec:
    """The spec in a document; a network's document is its own spec."""
    return document if kind == "network" else document.get("Spec") or {}


def plan_stack(stack: str, writes: Iterable[Write], live: StackSnapshot) -> list[StackStep]:
    """The steps of a deploy, in an order that does not depend on the CLI's; raises out_of_sequence and name_taken."""
    writes = [write for write in writes if write.action != "remove"]
    taken = [w for w in writes if _is_taken(w, live)]
    own = sorted(
        f"{w.kind} {w.name}" for w in taken if stack_of(live.spec_of(w.kind, w.name) or {}) == stack
    )
    if own:
        raise SwarmError(
            "out_of_sequence",
            f"Could not plan stack {stack}: something else, such as another run, changed {', '.join(own)} at the same time."
            " Wait until that has ended, and run again.",
        )
    if taken:
        names = sorted(f"{w.kind} {w.name}" for w in taken)
        raise SwarmError(
            "name_taken",
            f"Could not plan stack {stack}: {', '.join(names)} already exists and does not belong to this stack."
            " Remove it, rename the stack, or declare it external.",
            taken=names,
        )
    steps = {(write.kind, write.name): plan_write(write, live) for write in writes}
    return sorted(steps.values(), key=lambda step: (KINDS.index(step.kind), step.name))


def _is_taken(write: Write, live: StackSnapshot) -> bool:
    """Whether the engine would refuse to create it. The CLI looks only for objects of the stack."""
    existing = live.spec_of(write.kind, write.name)
    return write.action == "create" and existing is not None


def plan_write(write: Write, live: StackSnapshot) -> StackStep:
    """The step that one write of the CLI amounts to."""
    current = live.spec_of(write.kind, write.name)
    if write.action == "create" or current is None:
        return StackStep("create", write.kind, write.name, summary(write.kind, write.spec))
    if write.kind == "network":
        changes = network_changes(current, write.spec)
        return StackStep(
            "replace" if changes else "none", "network", write.name, "", tuple(changes)
        )
    if write.kind == "service":
        return plan_service(write.name, write.spec, live)
    # The engine has refused all other differences already.
    changes = label_changes(current, write.spec)
    return StackStep("update" if changes else "none", write.kind, write.name, "", tuple(changes))


def plan_service(name: str, wanted: Spec, live: StackSnapshot) -> StackStep:
    """The step that gives a service this spec."""
    current = live.spec_of("service", name)
    if current is None:
        return StackStep("create", "service", name, summary("service", wanted))
    changes = service_changes(current, wanted, live.network_names())
    return StackStep("update" if changes else "none", "service", name, "", tuple(changes))


def replacing_tasks(wanted: Spec, current: Spec | None, network_names: dict[str, str]) -> Spec:
    """The spec, with the next restart count if its published ports differ: ports alone replace no task that a drain has moved (see
    docs/architecture.md)."""
    changes = service_changes(current, wanted, network_names) if current is not None else []
    if current is None or not {"ports", "endpoint_mode"} & {change.name for change in changes}:
        return wanted
    return restarted(wanted, restart_count(current) + 1)


def with_login(step: StackStep) -> StackStep:
    """The step of a service that gets the login of its registry again."""
    if step.action != "none":
        return step
    return replace(step, action="update", changes=(Change("registry_auth", HIDDEN, HIDDEN),))


def leftovers(stack: str, writes: Iterable[Write], live: StackSnapshot) -> list[str]:
    """The stack's services that are not in the Compose files."""
    wanted = {w.name for w in writes if w.kind == "service"}
    return sorted(live.services_of(stack).keys() - wanted)


_SIGNS = {"create": "+", "update": "~", "replace": "~", "remove": "-"}


def plan_lines(
    title: str,
    steps: list[StackStep],
    acting: str,
    extra: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> list[str]:
    """The plan as lines of an aligned table; `acting` is the manager, `extra` the services that are left alone."""
    lines = [f"PLAN  stack {title}, acting on {acting}"]
    shown = [step for step in steps if step.action != "none"]
    width = max((len(step.name) for step in shown), default=0)
    kind_width = max((len(step.kind) for step in shown), default=0)
    for step in shown:
        line = f"  {_SIGNS[step.action]} {step.kind:<{kind_width}}  {step.name:<{width}}"
        if step.action in ("create", "remove"):
            lines.append(f"{line}  {step.summary}".rstrip())
            continue
        field_width = max(len(change.name) for change in step.changes)
        first, indent = f"{line}  ", " " * (len(line) + 2)
        for change in step.changes:
            before, after = short_image(change.before), short_image(change.after)
            lines.append(f"{first}{change.name:<{field_width}}  {before} -> {after}")
            first = indent
        if step.summary:
            lines.append(f"{indent}{step.summary}")
    lines += [
        f"  ! service  {name}  not in the Compose files: left alone (prune removes it)"
        for name in extra
    ]
    lines += [f"  ! {note}" for note in notes]
    same = len(steps) - len(shown)
    if same:
        lines.append(f"  = {count_of(same, 'object')} as {'it' if same == 1 else 'they'} should be")
    return lines
