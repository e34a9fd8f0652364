# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The history of a stack: what each deploy that went well has left, and the way back to it. No I/O.

A revision is a config of the swarm: every manager has it, it goes with the stack, and whoever may read it may read the
services' specs as well. It holds those specs and what is needed to make their networks anew. Secrets and configs are in
it by name; as long as the revision is kept, pruning leaves them alone.
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

from ansible_collections.flotilla.swarm.plugins.module_utils._band import within_band
from ansible_collections.flotilla.swarm.plugins.module_utils._capture import KINDS
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._rotation import LIMITS, LONGEST_NAME
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    Change,
    Live,
    Step,
    plan_service,
    service_changes,
    summary,
)

NUMBER = "flotilla.swarm.revision"
# Who has been run last has the highest: going back to a revision makes it the newest, and leaves its number alone.
TURN = "flotilla.swarm.revision.turn"

# What makes a network, apart from what the engine adds by itself (moby: api/types/network, CreateOptions).
_NETWORK = ("Name", "Driver", "Internal", "Attachable", "EnableIPv6", "IPAM", "Options", "Labels")
_ENGINES_OPTION = "com.docker.network.driver.overlay.vxlanid_list"

Spec = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """The services of a stack and the networks that it owns, by name."""

    services: dict[str, Spec]
    networks: dict[str, Spec]


@dataclass(frozen=True)
class Revision:
    number: int
    turn: int
    created: str
    snapshot: Snapshot

    @property
    def title(self) -> str:
        return f"revision {self.number} ({self.created[:19].replace('T', ' ')})"

    def as_dict(self) -> dict[str, Any]:
        services = {name: summary("service", spec) for name, spec in self.snapshot.services.items()}
        return {"number": self.number, "created": self.created, "services": services}


# Taking and reading ------------------------------------------------------------------------------------


def snapshot(stack: str, live: Live) -> Snapshot:
    """What the stack is now, with networks by name: one that is made anew has another ID."""
    names = live.network_names()
    services = {}
    for service in live.services:
        spec = copy.deepcopy(service.get("Spec") or {})
        if (spec.get("Labels") or {}).get(NAMESPACE) == stack:
            for network in _attachments(spec):
                network["Target"] = names.get(str(network.get("Target")), network.get("Target"))
            services[str(spec.get("Name"))] = spec
    networks = {}
    for network in live.networks:
        if (network.get("Labels") or {}).get(NAMESPACE) == stack:
            spec = {key: network[key] for key in _NETWORK if network.get(key) not in (None, {}, "")}
            options = {k: v for k, v in (spec.get("Options") or {}).items() if k != _ENGINES_OPTION}
            networks[str(network.get("Name"))] = {**spec, "Options": options}
    return Snapshot(services, networks)


def revisions(stack: str, live: Live) -> list[Revision]:
    """The stack's revisions; the one that ran last comes first."""
    found = []
    for config in live.configs:
        spec = config.get("Spec") or {}
        labels = spec.get("Labels") or {}
        number, turn = (str(labels.get(label) or "") for label in (NUMBER, TURN))
        if labels.get(NAMESPACE) != stack or not (number.isdigit() and turn.isdigit()):
            continue
        content = _unpack(str(spec.get("Data") or ""))
        if content is not None:
            created = str(config.get("CreatedAt") or "")
            found.append(Revision(int(number), int(turn), created, content))
    return sorted(found, key=lambda revision: -revision.turn)


def config_of(stack: str, number: int, turn: int, content: Snapshot) -> Spec:
    """The config that holds a revision."""
    return {
        "Name": config_name(stack, number),
        "Labels": {NAMESPACE: stack, NUMBER: str(number), TURN: str(turn)},
        "Data": _pack(content),
    }


def next_turn(found: list[Revision]) -> int:
    return max((revision.turn for revision in found), default=0) + 1


def config_name(stack: str, number: int) -> str:
    return f"{stack}_revision.{number}"


def obstacle(stack: str, number: int, content: Snapshot) -> str | None:
    """Why the engine would not take a revision."""
    name = config_name(stack, number)
    if len(name) > LONGEST_NAME:
        return f"its config's name, {name}, would have more than {LONGEST_NAME} characters"
    size = len(base64.b64decode(_pack(content)))
    if size >= LIMITS["configs"]:
        return f"it would have {size} bytes, and a config has less than {LIMITS['configs']}"
    return None


def _pack(content: Snapshot) -> str:
    document = {"services": content.services, "networks": content.networks}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    # No time of day in the header: the same content makes the same config.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _unpack(data: str) -> Snapshot | None:
    try:
        document = json.loads(gzip.decompress(base64.b64decode(data)))
        return Snapshot(dict(document["services"]), dict(document["networks"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, binascii.Error):
        return None


# Plan --------------------------------------------------------------------------------------------------


def plan_history(stack: str, live: Live, writes: bool, keep: int) -> list[Step]:
    """Which revision a run leaves that writes services, or none, and which ones go then.

    One is left too where nothing is to be written but the newest is not what is there: the run that did it was killed.
    """
    found = revisions(stack, live)
    history = []
    if keep and (writes or (found and differs(found[0].snapshot, stack, live))):
        number = max((revision.number for revision in found), default=0) + 1
        history.append(Step("create", "revision", str(number)))
    for revision in found[max(0, keep - len(history)) :]:
        history.append(Step("remove", "revision", str(revision.number)))
    return history


def kept(stack: str, live: Live, history: Iterable[Step]) -> list[Revision]:
    goes = {step.name for step in history if step.action == "remove"}
    return [one for one in revisions(stack, live) if str(one.number) not in goes]


def choose(stack: str, live: Live, number: int | None) -> Revision:
    """The revision to go back to: the one that is named, or the newest that is not what runs."""
    found = revisions(stack, live)
    there = ", ".join(str(one.number) for one in found) or "none"
    if number is None:
        for revision in found:
            if differs(revision.snapshot, stack, live, replicas=True):
                return revision
        why = "what runs is the only one" if found else "it has none"
        raise SwarmError(
            "no_revision",
            f"Could not roll stack {stack} back: {why}. A deploy that goes well leaves a revision (keep_revisions).",
        )
    for revision in found:
        if revision.number == number:
            return revision
    raise SwarmError(
        "no_revision",
        f"Could not roll stack {stack} back: it has no revision {number}. There is: {there}.",
        revisions=[one.number for one in found],
    )


def differs(content: Snapshot, stack: str, live: Live, replicas: bool = False) -> bool:
    """Whether the services are others than these; a number of replicas may be an operator's or an autoscaler's."""
    now = snapshot(stack, live).services
    if now.keys() != content.services.keys():
        return True
    names = live.network_names()
    fields = {
        change.name
        for name, spec in content.services.items()
        for change in service_changes(now[name], _as_it_is(spec, now[name]), names)
    }
    return bool(fields - (set() if replicas else {"replicas"}))


def plan_turn(stack: str, live: Live, revision: Revision) -> list[Step]:
    """The one that is gone back to becomes the newest."""
    numbers = [one.number for one in revisions(stack, live)]
    place = numbers.index(revision.number) + 1
    change = Change("position", f"{place} of {len(numbers)}", f"1 of {len(numbers)}")
    return (
        [Step("update", "revision", str(revision.number), changes=(change,))] if place > 1 else []
    )


def plan_return(stack: str, target: Snapshot, live: Live) -> list[Step]:
    """From what is there to a snapshot. Refused if something that its services use is gone."""
    gone = _missing(target, live)
    if gone:
        raise SwarmError(
            "gone",
            f"Could not take stack {stack} back: {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone,"
            " and the services of that time need it. Deploy from the Compose files instead.",
            gone=gone,
        )
    steps = []
    used = {str(n.get("Target")) for spec in target.services.values() for n in _attachments(spec)}
    there = set(live.network_names().values())
    for name in sorted(used - there):
        spec = target.networks[name]
        steps.append(Step("create", "network", name, summary("network", spec)))
    current = snapshot(stack, live).services
    for name in sorted(target.services):
        steps.append(plan_service(name, wanted(name, target, live), live))
    for name in sorted(current.keys() - target.services.keys()):
        steps.append(Step("remove", "service", name, summary("service", current[name])))
    return sorted(steps, key=lambda step: (step.action == "remove", KINDS.index(step.kind)))


def wanted(name: str, target: Snapshot, live: Live) -> Spec:
    """The spec of a service in a snapshot, with the IDs that secrets and configs have now."""
    spec = _as_it_is(target.services[name], live.spec_of("service", name) or {})
    for kind, reference in _references(spec):
        reference[f"{kind}ID"] = live.id_of(kind.lower(), str(reference.get(f"{kind}Name")))
    return spec


def _as_it_is(spec: Spec, current: Spec) -> Spec:
    """A restart in between is not taken back: the count of restarts stays (as `docker stack deploy` does it).

    Nor is the number of replicas, if others set it.
    """
    spec = copy.deepcopy(within_band(spec, current or None))
    template = spec.setdefault("TaskTemplate", {})
    template["ForceUpdate"] = (current.get("TaskTemplate") or {}).get("ForceUpdate") or 0
    return spec


def _missing(target: Snapshot, live: Live) -> list[str]:
    networks = {*live.network_names().values(), *live.network_names(), *target.networks}
    missing = set()
    for spec in target.services.values():
        for network in _attachments(spec):
            if str(network.get("Target")) not in networks:
                missing.add(f"network {network.get('Target')}")
        for kind, reference in _references(spec):
            name = str(reference.get(f"{kind}Name"))
            if live.id_of(kind.lower(), name) is None:
                missing.add(f"{kind.lower()} {name}")
    return sorted(missing)


def _attachments(spec: Spec) -> list[dict[str, Any]]:
    template = spec.get("TaskTemplate") or {}
    return [*(template.get("Networks") or []), *(spec.get("Networks") or [])]


def _references(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    for kind in ("Secret", "Config"):
        for reference in container.get(f"{kind}s") or []:
            yield kind, reference
