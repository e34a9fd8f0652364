# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What one manager tells of its swarm, and how its services are.

Of services and tasks, a snapshot has only what a verdict needs: 20,000 whole tasks would not fit into the memory of a
small manager.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .._common.errors import SwarmError
from .._model.documents import Member, Node, dig, moment, parse_member, parse_node
from .._model.labels import STACK_LABEL, ZONE_LABEL, stack_of
from .._model.services import JOBS, container_of, update_state
from .._model.tasks import state_of
from .._services.convergence import CONVERGED, judge


@dataclass
class SwarmSnapshot:
    """What one manager tells of its swarm. With `trouble`, the manager could not be asked, and only `member` is valid."""

    member: Member = field(default_factory=Member)
    version: str | None = None
    cluster: dict[str, Any] = field(default_factory=dict)
    root: str | None = None  # the engine's data-root
    now: float | None = None  # seconds since 1970 by the clock of the engine, as the times of tasks
    nodes: list[Node] = field(default_factory=list)
    # What else constraints can name, by the ID of the node.
    descriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    current: set[str] | None = None  # IDs of up-to-date tasks; None for all
    networks: list[dict[str, Any]] = field(default_factory=list)
    trouble: SwarmError | None = None

    @cached_property
    def service_states(self) -> list[dict[str, Any]]:
        """The services as in the result of swarm_health."""
        return [] if self.trouble else service_states(self)


def observe_swarm(connect: Callable[[], Any], *readers: Callable[[Any], object]) -> SwarmSnapshot:
    """Take a snapshot over the connection that `connect` opens; then each of `readers` reads over the same one.

    A failure of any of them is the `trouble` of the snapshot.
    """
    try:
        client = connect()
        snapshot = take_snapshot(client)
        for read in readers if snapshot.trouble is None else ():
            read(client)
    except SwarmError as error:
        return SwarmSnapshot(trouble=error)
    return snapshot


def take_snapshot(client: Any) -> SwarmSnapshot:
    """Read a snapshot in six requests, however large the swarm is; one more if the SDK negotiates the API version."""
    snapshot = SwarmSnapshot()
    try:
        info = client.info()
        snapshot.member = parse_member(info)
        snapshot.version = info.get("ServerVersion") or None
        snapshot.cluster = _dict(dig(info, "Swarm", "Cluster"))
        snapshot.root = info.get("DockerRootDir") or None
        snapshot.now = moment(info.get("SystemTime"))
        if snapshot.member.state == "active" and snapshot.member.role == "manager":
            documents = client.nodes()
            snapshot.nodes = [parse_node(document) for document in documents]
            snapshot.descriptions = {
                str(document.get("ID")): {
                    "Platform": dig(document, "Description", "Platform"),
                    "Engine": {"Labels": dig(document, "Description", "Engine", "Labels")},
                    "Resources": dig(document, "Description", "Resources"),
                }
                for document in documents
            }
            snapshot.services = [
                parse_service(document)
                for document in client.each("/services", "list the services")
            ]
            snapshot.tasks = [
                parse_task(document) for document in client.each("/tasks", "list the tasks")
            ]
            # In this order: a task that is created in between is then missing, instead of being of an old spec.
            fresh = {"_up-to-date": ["true"]}
            snapshot.current = {
                str(document.get("ID"))
                for document in client.each("/tasks", "list the tasks", filters=fresh)
            }
            swarms = {"scope": "swarm", "driver": "overlay"}
            snapshot.networks = client.get("/networks", "list the networks", filters=swarms)
    except SwarmError as error:
        snapshot.trouble = error
    return snapshot


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _shared(value: Any) -> str:
    """A string that many tasks have, once in memory."""
    return sys.intern(str(value or ""))


def parse_service(document: dict[str, Any]) -> dict[str, Any]:
    """The parts of a service's document that a verdict needs, with the engine's keys."""
    spec = _dict(document.get("Spec"))
    template = _dict(spec.get("TaskTemplate"))
    return {
        "ID": document.get("ID"),
        "UpdatedAt": document.get("UpdatedAt"),
        "Spec": {
            "Name": str(spec.get("Name") or document.get("ID")),
            "Labels": {STACK_LABEL: stack_of({"Labels": _dict(spec.get("Labels"))})},
            "Mode": {
                mode: settings
                for mode, settings in _dict(spec.get("Mode")).items()
                if isinstance(settings, dict)
            },
            "TaskTemplate": {
                "ContainerSpec": {"Image": dig(template, "ContainerSpec", "Image")},
                "RestartPolicy": _dict(template.get("RestartPolicy")),
                "Placement": {
                    "Constraints": _list(dig(template, "Placement", "Constraints")),
                    "Platforms": _list(dig(template, "Placement", "Platforms")),
                },
                "Resources": {
                    "Reservations": _dict(dig(template, "Resources", "Reservations")),
                },
            },
            "EndpointSpec": {"Ports": _list(dig(spec, "EndpointSpec", "Ports"))},
        },
        "Endpoint": {
            name: _list(dig(document, "Endpoint", name)) for name in ("Ports", "VirtualIPs")
        },
        "UpdateStatus": {
            name: _shared(dig(document, "UpdateStatus", name)) for name in ("State", "Message")
        },
        "JobStatus": _dict(document.get("JobStatus")),
        # Only whether there is one: the spec itself may be large.
        "PreviousSpec": bool(document.get("PreviousSpec")),
    }


def parse_task(document: dict[str, Any]) -> dict[str, Any]:
    """The parts of a task's document that a verdict needs, with the engine's keys, and the IDs of its networks."""
    status = _dict(document.get("Status"))
    return {
        "ID": str(document.get("ID")),
        "ServiceID": _shared(document.get("ServiceID")),
        "NodeID": _shared(document.get("NodeID")),
        "Slot": document.get("Slot"),
        "CreatedAt": document.get("CreatedAt"),
        "DesiredState": _shared(document.get("DesiredState")),
        "JobIteration": _dict(document.get("JobIteration")),
        "Status": {
            "State": _shared(status.get("State")),
            "Timestamp": status.get("Timestamp"),
            "Message": _shared(status.get("Message")),
            "Err": _shared(status.get("Err")),
            "ContainerStatus": {"ExitCode": dig(status, "ContainerStatus", "ExitCode")},
        },
        "Networks": tuple(
            _shared(dig(attachment, "Network", "ID"))
            for attachment in _list(document.get("NetworksAttachments"))
        ),
    }


def _by_service(tasks: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Tasks by the ID of their service."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        found[task["ServiceID"]].append(task)
    return found


def service_states(snapshot: SwarmSnapshot) -> list[dict[str, Any]]:
    """For each service, how many tasks are desired, how many of its current spec run on ready nodes, and why not all.

    The keys are those of `services` in the result of swarm_health.
    """
    raw = {
        node.id: {
            "ID": node.id,
            "Spec": {
                "Role": node.role,
                "Labels": node.labels,
                "Availability": node.availability,
            },
            "Status": {"State": node.state, "Addr": node.addr},
            "Description": {
                **snapshot.descriptions.get(node.id, {}),
                "Hostname": node.hostname,
            },
        }
        for node in snapshot.nodes
    }
    zones = {node.id: node.labels.get(ZONE_LABEL, "") for node in snapshot.nodes}
    ready = {node.id for node in snapshot.nodes if node.state == "ready"}
    unknown = {node.id for node in snapshot.nodes if node.state == "unknown"}
    tasks = _by_service(snapshot.tasks)
    rows = []
    for service in snapshot.services:
        own = tasks.get(str(service["ID"]), [])
        # Only why a task has no node depends on all nodes, and judging every service by all of them would be slow.
        unplaced = any(not task["NodeID"] and task["Status"]["Err"] for task in own)
        ids = raw if unplaced else {task["NodeID"] for task in own}
        nodes = [raw[node_id] for node_id in ids if node_id in raw]
        current = snapshot.current if snapshot.current is not None else {task["ID"] for task in own}
        verdict = judge(service, own, current, nodes)
        running = [
            task
            for task in own
            if state_of(task) == "running" and task["DesiredState"] == "running"
        ]
        on_ready = [task for task in running if task["NodeID"] in ready]
        job = verdict.mode in JOBS
        rows.append(
            {
                "name": verdict.service,
                "id": service["ID"],
                "mode": verdict.mode,
                "state": verdict.state,
                # Nothing is missing of a job, whether it runs or has completed.
                "wanted": 0 if job else verdict.desired,
                "running": len(on_ready) if job else verdict.running,
                "outdated": sum(task["ID"] not in current for task in on_ready),
                "unheard": sum(task["NodeID"] in unknown for task in running),
                "zones": sorted({zones[task["NodeID"]] for task in on_ready}),
                "image": str(container_of(service["Spec"]).get("Image") or "").partition("@")[0],
                "update": update_state(service) or None,
                "on_request": rolled_back_on_request(service),
                "cause": None if job or verdict.state == CONVERGED else verdict.cause,
                "trouble": None if job or verdict.state == CONVERGED else (verdict.reason or None),
            }
        )
    return sorted(rows, key=lambda row: str(row["name"]))


def rolled_back_on_request(service: dict[str, Any]) -> bool:
    """Whether a client requested the rollback that has completed. One that the engine starts itself keeps no previous spec
    (swarmkit: manager/orchestrator/update/updater.go, rollbackUpdate), a requested one swaps the two.
    """
    return update_state(service) == "rollback_completed" and bool(service["PreviousSpec"])
