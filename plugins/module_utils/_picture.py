# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What one manager tells of its swarm, in six requests however large it is, and what each service is doing.

Of services and tasks only those parts are kept that a verdict is made of: whole, 20,000 tasks would not fit on a
small manager.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import ZONE_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Member,
    Node,
    dig,
    moment,
    parse_member,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import CONVERGED, judge

# What a task is no more when it is over: it holds no address and counts nowhere (moby: api/types/swarm, TaskState).
OVER = frozenset(("complete", "shutdown", "failed", "rejected", "remove", "orphaned"))


@dataclass
class Picture:
    """What one manager told us. With `trouble` nothing but the member can be relied on."""

    member: Member = field(default_factory=Member)
    version: str | None = None
    cluster: dict[str, Any] = field(default_factory=dict)
    root: str | None = None
    now: float | None = (
        None  # by the clock of the engine that was asked, as the times of its tasks are
    )
    nodes: list[Node] = field(default_factory=list)
    # What constraints can name beside that, by the ID of the node.
    descriptions: dict[str, dict[str, Any]] = field(default_factory=dict)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    current: set[str] | None = None  # tasks of the spec that their service has now; None for all
    networks: list[dict[str, Any]] = field(default_factory=list)
    trouble: SwarmError | None = None

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        return [] if self.trouble else service_rows(self)


def look(client: Any) -> Picture:
    """Six requests, however large the swarm is, and one more if the SDK asks for the version of the API before."""
    picture = Picture()
    try:
        info = client.info()
        picture.member = parse_member(info)
        picture.version = info.get("ServerVersion") or None
        picture.cluster = _dict(dig(info, "Swarm", "Cluster"))
        picture.root = info.get("DockerRootDir") or None
        picture.now = moment(info.get("SystemTime"))
        if picture.member.state == "active" and picture.member.role == "manager":
            documents = client.nodes()
            picture.nodes = [parse_node(document) for document in documents]
            picture.descriptions = {
                str(document.get("ID")): {
                    "Platform": dig(document, "Description", "Platform"),
                    "Engine": {"Labels": dig(document, "Description", "Engine", "Labels")},
                }
                for document in documents
            }
            picture.services = [
                parse_service(document)
                for document in client.each("/services", "list the services")
            ]
            picture.tasks = [
                parse_task(document) for document in client.each("/tasks", "list the tasks")
            ]
            # In this order: a task that is made in between is then not yet there, instead of being of an old spec.
            fresh = {"_up-to-date": ["true"]}
            picture.current = {
                str(document.get("ID"))
                for document in client.each("/tasks", "list the tasks", filters=fresh)
            }
            swarms = {"scope": "swarm", "driver": "overlay"}
            picture.networks = client.get("/networks", "list the networks", filters=swarms)
    except SwarmError as error:
        picture.trouble = error
    return picture


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _known(value: Any) -> str:
    """A text that many tasks share, once in memory."""
    return sys.intern(str(value or ""))


def parse_service(document: dict[str, Any]) -> dict[str, Any]:
    """The parts of a service that are looked at, in the engine's own shape."""
    spec = _dict(document.get("Spec"))
    template = _dict(spec.get("TaskTemplate"))
    return {
        "ID": document.get("ID"),
        "Spec": {
            "Name": str(spec.get("Name") or document.get("ID")),
            "Mode": {
                mode: settings
                for mode, settings in _dict(spec.get("Mode")).items()
                if isinstance(settings, dict)
            },
            "TaskTemplate": {
                "ContainerSpec": {"Image": dig(template, "ContainerSpec", "Image")},
                "RestartPolicy": _dict(template.get("RestartPolicy")),
                "Placement": {"Constraints": _list(dig(template, "Placement", "Constraints"))},
            },
            "EndpointSpec": {"Ports": _list(dig(spec, "EndpointSpec", "Ports"))},
        },
        "Endpoint": {
            name: _list(dig(document, "Endpoint", name)) for name in ("Ports", "VirtualIPs")
        },
        "UpdateStatus": {
            name: _known(dig(document, "UpdateStatus", name)) for name in ("State", "Message")
        },
        "JobStatus": _dict(document.get("JobStatus")),
        # Whether there is one, is enough: the spec itself may be large.
        "PreviousSpec": bool(document.get("PreviousSpec")),
    }


def parse_task(document: dict[str, Any]) -> dict[str, Any]:
    """The parts of a task that are looked at, in the engine's own shape, and the IDs of its networks."""
    status = _dict(document.get("Status"))
    return {
        "ID": str(document.get("ID")),
        "ServiceID": _known(document.get("ServiceID")),
        "NodeID": _known(document.get("NodeID")),
        "Slot": document.get("Slot"),
        "CreatedAt": document.get("CreatedAt"),
        "DesiredState": _known(document.get("DesiredState")),
        "JobIteration": _dict(document.get("JobIteration")),
        "Status": {
            "State": _known(status.get("State")),
            "Timestamp": status.get("Timestamp"),
            "Message": _known(status.get("Message")),
            "Err": _known(status.get("Err")),
            "ContainerStatus": {"ExitCode": dig(status, "ContainerStatus", "ExitCode")},
        },
        "Networks": tuple(
            _known(dig(attachment, "Network", "ID"))
            for attachment in _list(document.get("NetworksAttachments"))
        ),
    }


def by_service(tasks: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        found[task["ServiceID"]].append(task)
    return found


def service_rows(picture: Picture) -> list[dict[str, Any]]:
    """Each service: how many tasks it wants, how many of its current spec run on ready nodes, and why not all."""
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
                **picture.descriptions.get(node.id, {}),
                "Hostname": node.hostname,
            },
        }
        for node in picture.nodes
    }
    zones = {node.id: node.labels.get(ZONE_LABEL, "") for node in picture.nodes}
    ready = {node.id for node in picture.nodes if node.state == "ready"}
    unknown = {node.id for node in picture.nodes if node.state == "unknown"}
    tasks = by_service(picture.tasks)
    rows = []
    for service in picture.services:
        mine = tasks.get(str(service["ID"]), [])
        # Why a task has no node, lies with all of them; to go through them for every service would be slow.
        homeless = any(not task["NodeID"] and task["Status"]["Err"] for task in mine)
        names = raw if homeless else {task["NodeID"] for task in mine}
        around = [raw[name] for name in names if name in raw]
        current = picture.current if picture.current is not None else {task["ID"] for task in mine}
        verdict = judge(service, mine, current, around)
        running = [
            task
            for task in mine
            if task["Status"]["State"] == "running" and task["DesiredState"] == "running"
        ]
        here = [task for task in running if task["NodeID"] in ready]
        job = verdict.mode.endswith("-job")
        rows.append(
            {
                "name": verdict.service,
                "id": service["ID"],
                "mode": verdict.mode,
                "state": verdict.state,
                # A job is asked for nothing at the moment: done is fine, and so is running.
                "wanted": 0 if job else verdict.desired,
                "running": len(here) if job else verdict.running,
                "outdated": sum(task["ID"] not in current for task in here),
                "unheard": sum(task["NodeID"] in unknown for task in running),
                "zones": sorted({zones[task["NodeID"]] for task in here}),
                "image": str(
                    dig(service, "Spec", "TaskTemplate", "ContainerSpec", "Image") or ""
                ).partition("@")[0],
                "update": service["UpdateStatus"]["State"] or None,
                "on_request": rolled_back_on_request(service),
                "cause": None if job or verdict.state == CONVERGED else verdict.cause,
                "trouble": None if job or verdict.state == CONVERGED else (verdict.reason or None),
            }
        )
    return sorted(rows, key=lambda row: str(row["name"]))


def rolled_back_on_request(service: dict[str, Any]) -> bool:
    """Whether somebody asked for the rollback that is done. One that the engine begins itself keeps no previous spec
    (swarmkit: manager/orchestrator/update/updater.go, rollbackUpdate), one that is asked for exchanges the two.
    """
    return bool(
        service["UpdateStatus"]["State"] == "rollback_completed" and service["PreviousSpec"]
    )
