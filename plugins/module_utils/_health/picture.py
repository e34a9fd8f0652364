# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a page of the swarm shows besides the verdict's result, as plain data for the way from a host to the controller. Pure.

It is made of the same snapshot as the verdict, and has nothing of what containers get: no command, no variable, no label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from .._common.words import Text, packed
from .._model.documents import dig
from .._model.labels import stack_of
from .._model.tasks import has_ended, has_failed, is_abandoned, state_of
from .._scheduler.placement import parse_placement_service
from .check import Check
from .snapshot import SwarmSnapshot

# What a task does, in the order from good to bad.
RUNNING, OUTDATED, STARTING, WAITING, UNHEARD, FAILED = "roswuf"
TASK_KINDS = (RUNNING, OUTDATED, STARTING, WAITING, UNHEARD, FAILED)


def picture_of(snapshot: SwarmSnapshot, checks: Iterable[Check]) -> dict[str, Any]:
    """The picture: what nodes have, what services reserve and publish, and where their tasks are."""
    member = snapshot.member
    return {
        "now": snapshot.now,
        "cluster_id": snapshot.cluster.get("ID") or member.cluster_id,
        "node_id": member.node_id,
        "capacity": {
            node: [
                dig(description, "Resources", "NanoCPUs"),
                dig(description, "Resources", "MemoryBytes"),
                dig(description, "Platform", "OS"),
                dig(description, "Platform", "Architecture"),
                dig(description, "Engine", "Labels") or {},
            ]
            for node, description in snapshot.descriptions.items()
        },
        "services": {} if snapshot.trouble else _services(snapshot),
        "tasks": {} if snapshot.trouble else _tasks(snapshot),
        "texts": [[packed(check.message), packed(check.advice)] for check in checks],
    }


def _services(snapshot: SwarmSnapshot) -> dict[str, dict[str, Any]]:
    reasons = {row["id"]: row["trouble"] for row in snapshot.service_states}
    return {
        str(service["ID"]): _service(service, reasons.get(service["ID"]))
        for service in snapshot.services
    }


def _service(service: dict[str, Any], reason: str | None) -> dict[str, Any]:
    requires = parse_placement_service(service)
    found = {
        "stack": stack_of(service["Spec"]),
        "updated_at": service["UpdatedAt"],
        "ports": [
            [
                port.get("PublishedPort"),
                port.get("TargetPort"),
                port.get("Protocol"),
                port.get("PublishMode"),
            ]
            for port in service["Endpoint"]["Ports"] or service["Spec"]["EndpointSpec"]["Ports"]
            if isinstance(port, dict)
        ],
        "nano_cpus": requires.nano_cpus,
        "memory_bytes": requires.memory_bytes,
        "constraints": requires.constraints,
        "platforms": requires.platforms,
        # Only our own words can be said in another language.
        "reason": packed(reason) if isinstance(reason, Text) else None,
    }
    return {key: value for key, value in found.items() if value}


def _tasks(snapshot: SwarmSnapshot) -> dict[str, list[list[Any]]]:
    """By service: [place of the node in the list of nodes or -1, kind, number of such tasks]."""
    places = {node.id: place for place, node in enumerate(snapshot.nodes)}
    ready = {node.id for node in snapshot.nodes if node.state == "ready"}
    counts: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for task in snapshot.tasks:
        # The orchestrator has given up what is on a node that is down, but it may still run there.
        unheard = state_of(task) == "running" and task["NodeID"] not in ready
        ended = has_ended(task) and not has_failed(task)
        if (is_abandoned(task) and not unheard) or ended:
            continue
        kind = UNHEARD if unheard else _kind(task, ready, snapshot.current)
        counts[task["ServiceID"]][places.get(task["NodeID"], -1), kind] += 1
    return {
        service: [[place, kind, count] for (place, kind), count in sorted(found.items())]
        for service, found in counts.items()
    }


def _kind(task: dict[str, Any], ready: set[str], current: set[str] | None) -> str:
    if has_failed(task):
        return FAILED
    if not task["NodeID"]:
        return WAITING
    if task["NodeID"] not in ready:
        return UNHEARD
    if state_of(task) != "running":
        return STARTING
    return RUNNING if current is None or task["ID"] in current else OUTDATED
