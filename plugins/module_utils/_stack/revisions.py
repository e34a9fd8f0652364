# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The history of a stack: the revision that each converged deploy leaves, and the way back to it. No I/O.

A revision is a config of the swarm: every manager has it, it is removed with the stack, and who can read it can read the
services' specs as well. It holds those specs and what is needed to recreate their networks. Secrets and configs are in it
by name; as long as the revision is kept, pruning leaves them alone.
"""

from __future__ import annotations

import base64
import binascii
import copy
import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError
from .._model.labels import REVISION_LABEL, REVISION_TURN_LABEL, STACK_LABEL, stack_of
from .._model.services import attachments, container_of, restart_count
from .._spec.band import within_band
from .._spec.changes import VXLAN_IDS_OPTION, Change, service_changes
from .._spec.display import summary
from .plan import StackSnapshot, StackStep, plan_service, replacing_tasks
from .rotation import LIMITS, LONGEST_NAME
from .writes import KINDS, Spec

# What creates a network, without what the engine adds by itself (moby: api/types/network, CreateOptions).
_NETWORK = ("Name", "Driver", "Internal", "Attachable", "EnableIPv6", "IPAM", "Options", "Labels")


@dataclass(frozen=True)
class RevisionContent:
    """The services of a stack and the networks that it owns, by name."""

    services: dict[str, Spec]
    networks: dict[str, Spec]


@dataclass(frozen=True)
class Revision:
    """What the stack was after one deploy."""

    number: int  # never changes
    turn: int  # the highest is that of the revision that ran last
    created: str  # as the engine writes times
    content: RevisionContent

    @property
    def title(self) -> str:
        """The revision in the title of a plan."""
        return f"revision {self.number} ({self.created[:19].replace('T', ' ')})"

    def as_dict(self) -> dict[str, Any]:
        """The revision as data, for a module's result."""
        services = {name: summary("service", spec) for name, spec in self.content.services.items()}
        return {"number": self.number, "created": self.created, "services": services}


# Taking and reading ------------------------------------------------------------------------------------


def content_of(stack: str, live: StackSnapshot) -> RevisionContent:
    """What the stack is now, with networks by name: one that is recreated has another ID."""
    names = live.network_names()
    services = copy.deepcopy(live.services_of(stack))
    for spec in services.values():
        for network in _all_attachments(spec):
            network["Target"] = names.get(str(network.get("Target")), network.get("Target"))
    networks = {}
    for network in live.networks:
        if stack_of(network) == stack:
            spec = {key: network[key] for key in _NETWORK if network.get(key) not in (None, {}, "")}
            options = {
                k: v for k, v in (spec.get("Options") or {}).items() if k != VXLAN_IDS_OPTION
            }
            networks[str(network.get("Name"))] = {**spec, "Options": options}
    return RevisionContent(services, networks)


def revisions(stack: str, live: StackSnapshot) -> list[Revision]:
    """The stack's revisions; the one that ran last comes first."""
    found = []
    for config in live.configs:
        spec = config.get("Spec") or {}
        labels = spec.get("Labels") or {}
        number, turn = (
            str(labels.get(label) or "") for label in (REVISION_LABEL, REVISION_TURN_LABEL)
        )
        if stack_of(spec) != stack or not (number.isdigit() and turn.isdigit()):
            continue
        content = _unpack(str(spec.get("Data") or ""))
        if content is not None:
            created = str(config.get("CreatedAt") or "")
            found.append(Revision(int(number), int(turn), created, content))
    return sorted(found, key=lambda revision: -revision.turn)


def config_of(stack: str, number: int, turn: int, content: RevisionContent) -> Spec:
    """The body of POST /configs/create for the config that holds a revision."""
    return {
        "Name": config_name(stack, number),
        "Labels": {STACK_LABEL: stack, REVISION_LABEL: str(number), REVISION_TURN_LABEL: str(turn)},
        "Data": _pack(content),
    }


def next_turn(found: list[Revision]) -> int:
    """The turn of the revision that runs next."""
    return max((revision.turn for revision in found), default=0) + 1


def config_name(stack: str, number: int) -> str:
    """The name of the config that holds a revision."""
    return f"{stack}_revision.{number}"


def obstacle(stack: str, number: int, content: RevisionContent) -> str | None:
    """Why the engine would refuse a revision, as a clause; None if it would not."""
    name = config_name(stack, number)
    if len(name) > LONGEST_NAME:
        return f"the name of its config, {name}, would be longer than {LONGEST_NAME} characters"
    size = len(base64.b64decode(_pack(content)))
    if size >= LIMITS["configs"]:
        return f"it would have {size} bytes, and a config must have less than {LIMITS['configs']}"
    return None


def _pack(content: RevisionContent) -> str:
    document = {"services": content.services, "networks": content.networks}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    # No time of day in the header: the same content makes the same config.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _unpack(data: str) -> RevisionContent | None:
    try:
        document = json.loads(gzip.decompress(base64.b64decode(data)))
        return RevisionContent(dict(document["services"]), dict(document["networks"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, binascii.Error):
        return None


# Plan --------------------------------------------------------------------------------------------------


def plan_history(stack: str, live: StackSnapshot, writes: bool, keep: int) -> list[StackStep]:
    """The steps that create the revision of a run that `writes` services, and remove those beyond the newest `keep`.

    A run that writes nothing creates one too if the newest is not what the stack is: the run that changed it was interrupted.
    """
    found = revisions(stack, live)
    history = []
    if keep and (writes or (found and differs(found[0].content, stack, live))):
        number = max((revision.number for revision in found), default=0) + 1
        history.append(StackStep("create", "revision", str(number)))
    for revision in found[max(0, keep - len(history)) :]:
        history.append(StackStep("remove", "revision", str(revision.number)))
    return history


def kept_revisions(stack: str, live: StackSnapshot, history: Iterable[StackStep]) -> list[Revision]:
    """The revisions that are left after these steps."""
    removed = {step.name for step in history if step.action == "remove"}
    return [one for one in revisions(stack, live) if str(one.number) not in removed]


def choose(stack: str, live: StackSnapshot, number: int | None) -> Revision:
    """The revision to roll back to: the given one, or the newest that is not what runs; raises no_revision."""
    found = revisions(stack, live)
    if number is None:
        for revision in found:
            if differs(revision.content, stack, live, replicas=True):
                return revision
        why = "its only revision is what runs now" if found else "it has no revision"
        raise SwarmError(
            "no_revision",
            f"Could not roll back stack {stack}: {why}. A deploy that converges leaves one if keep_revisions is 1 or more.",
        )
    for revision in found:
        if revision.number == number:
            return revision
    numbers = ", ".join(str(one.number) for one in found) or "none"
    raise SwarmError(
        "no_revision",
        f"Could not roll back stack {stack}: it has no revision {number}. Its revisions are: {numbers}.",
        revisions=[one.number for one in found],
    )


def differs(
    content: RevisionContent, stack: str, live: StackSnapshot, replicas: bool = False
) -> bool:
    """Whether the stack's services differ from these; without `replicas`, their numbers do not count, because an operator or
    an autoscaler may have scaled them."""
    now = content_of(stack, live).services
    if now.keys() != content.services.keys():
        return True
    names = live.network_names()
    fields = {
        change.name
        # A revision knows secrets and configs by name. Restored swarms give them other IDs.
        for name in content.services
        for change in service_changes(now[name], restored_spec(name, content, live), names)
    }
    return bool(fields - (set() if replicas else {"replicas"}))


def plan_turn(stack: str, live: StackSnapshot, revision: Revision) -> list[StackStep]:
    """The step that makes a revision the newest; none if it is already."""
    numbers = [one.number for one in revisions(stack, live)]
    place = numbers.index(revision.number) + 1
    change = Change("position", f"{place} of {len(numbers)}", f"1 of {len(numbers)}")
    return (
        [StackStep("update", "revision", str(revision.number), changes=(change,))]
        if place > 1
        else []
    )


def plan_return(stack: str, target: RevisionContent, live: StackSnapshot) -> list[StackStep]:
    """The steps from what the stack is to a revision; raises gone if something that its services use no longer exists."""
    missing = _missing(target, live)
    if missing:
        raise SwarmError(
            "gone",
            f"Could not roll back stack {stack}: the revision needs {', '.join(missing)}, which"
            f" {'does' if len(missing) == 1 else 'do'} not exist any more. Deploy from the Compose files instead.",
            gone=missing,
        )
    steps = []
    used = {
        str(network.get("Target"))
        for spec in target.services.values()
        for network in _all_attachments(spec)
    }
    for name in sorted(used - set(live.network_names().values())):
        spec = target.networks[name]
        steps.append(StackStep("create", "network", name, summary("network", spec)))
    current = content_of(stack, live).services
    for name in sorted(target.services):
        steps.append(plan_service(name, restored_spec(name, target, live), live))
    for name in sorted(current.keys() - target.services.keys()):
        steps.append(StackStep("remove", "service", name, summary("service", current[name])))
    return sorted(steps, key=lambda step: (step.action == "remove", KINDS.index(step.kind)))


def restored_spec(name: str, target: RevisionContent, live: StackSnapshot) -> Spec:
    """The spec of a service in a revision, with the IDs that secrets and configs have now."""
    current = live.spec_of("service", name)
    spec = _with_live_counts(target.services[name], current or {})
    spec = replacing_tasks(spec, current, live.network_names())
    for kind, reference in _references(spec):
        reference[f"{kind}ID"] = live.id_of(kind.lower(), str(reference.get(f"{kind}Name")))
    return spec


def _with_live_counts(spec: Spec, current: Spec) -> Spec:
    """The spec with the restart count that the service has now, as `docker stack deploy` keeps it, and with its number of
    replicas if that is within the band of its label."""
    spec = copy.deepcopy(within_band(spec, current or None))
    template = spec.setdefault("TaskTemplate", {})
    template["ForceUpdate"] = restart_count(current)
    return spec


def _missing(target: RevisionContent, live: StackSnapshot) -> list[str]:
    networks = {*live.network_names().values(), *live.network_names(), *target.networks}
    missing = set()
    for spec in target.services.values():
        for network in _all_attachments(spec):
            if str(network.get("Target")) not in networks:
                missing.add(f"network {network.get('Target')}")
        for kind, reference in _references(spec):
            name = str(reference.get(f"{kind}Name"))
            if live.id_of(kind.lower(), name) is None:
                missing.add(f"{kind.lower()} {name}")
    return sorted(missing)


def _all_attachments(spec: Spec) -> list[dict[str, Any]]:
    """Also those of the second list, which services of old clients have."""
    return [*attachments(spec), *(spec.get("Networks") or [])]


def _references(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("Secret", "Config"):
        for reference in container_of(spec).get(f"{kind}s") or []:
            yield kind, reference
