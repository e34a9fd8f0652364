# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Where the scheduler could put a task: what a guard must know before nodes change. Pure.

The rules are the scheduler's filters (swarmkit: manager/scheduler/filter.go): ready and active, reservations,
constraints, platforms, host ports, replicas per node. Not considered: generic resources, plugins, cluster volumes.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._model.documents import dig
from .._model.services import JOBS, REPLICATED, REPLICATED_JOB, mode_of
from .._model.tasks import ABANDONED_STATES, ENDED_STATES

# A constraint's two halves (swarmkit: manager/constraint/constraint.go).
_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE | re.ASCII)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE | re.ASCII)
NODE_LABEL = "node.labels."
ENGINE_LABEL = "engine.labels."

# The scheduler takes these names as equal in platforms, but not in constraints (swarmkit: manager/scheduler/filter.go).
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class PlacementNode:
    """A node as the scheduler sees it. The resources of a host that has not joined yet are unknown."""

    id: str
    hostname: str = ""
    role: str = "worker"
    addr: str = ""
    os: str = ""
    arch: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    engine_labels: dict[str, str] = field(default_factory=dict)
    availability: str = "active"
    state: str = "ready"
    nano_cpus: int | None = None
    memory_bytes: int | None = None

    @property
    def usable(self) -> bool:
        """Whether it takes new tasks."""
        # A new leader reports all nodes as unknown for some seconds, until it has heard from them.
        return self.state in ("ready", "unknown") and self.availability == "active"


def parse_placement_node(document: dict[str, Any]) -> PlacementNode:
    """The node in one document of GET /nodes."""
    return PlacementNode(
        id=str(document.get("ID") or ""),
        hostname=str(dig(document, "Description", "Hostname") or ""),
        role=str(dig(document, "Spec", "Role") or "worker"),
        addr=str(dig(document, "Status", "Addr") or ""),
        os=str(dig(document, "Description", "Platform", "OS") or ""),
        arch=str(dig(document, "Description", "Platform", "Architecture") or ""),
        labels=dict(dig(document, "Spec", "Labels") or {}),
        engine_labels=dict(dig(document, "Description", "Engine", "Labels") or {}),
        availability=str(dig(document, "Spec", "Availability") or "unknown"),
        state=str(dig(document, "Status", "State") or "unknown"),
        nano_cpus=dig(document, "Description", "Resources", "NanoCPUs"),
        memory_bytes=dig(document, "Description", "Resources", "MemoryBytes"),
    )


@dataclass(frozen=True)
class PlacementService:
    """What a service requires of a node."""

    id: str
    name: str
    mode: str = "replicated"  # replicated, global, replicated-job or global-job
    replicas: int = 1
    constraints: tuple[str, ...] = ()
    max_replicas: int = 0  # on one node; 0 is no limit
    platforms: tuple[tuple[str, str], ...] = ()  # (os, architecture), each empty for any
    nano_cpus: int = 0
    memory_bytes: int = 0
    host_ports: tuple[tuple[str, int], ...] = ()  # (protocol, port) on the node itself
    spread: tuple[str, ...] = ()  # labels over whose values tasks are spread, the first one first
    volumes: tuple[str, ...] = ()  # named volumes that are on the node itself

    @property
    def replicated(self) -> bool:
        """Whether it has a number of tasks, instead of one on each node."""
        return self.mode in (REPLICATED, REPLICATED_JOB)

    @property
    def job(self) -> bool:
        """Whether its tasks end by themselves."""
        return self.mode in JOBS


def parse_placement_service(document: dict[str, Any]) -> PlacementService:
    """The service in one document of GET /services."""
    mode = mode_of(document.get("Spec"))
    placement = dig(document, "Spec", "TaskTemplate", "Placement") or {}
    reserved = dig(document, "Spec", "TaskTemplate", "Resources", "Reservations") or {}
    ports = dig(document, "Spec", "EndpointSpec", "Ports") or []
    return PlacementService(
        id=str(document.get("ID") or ""),
        name=str(dig(document, "Spec", "Name") or document.get("ID") or "?"),
        mode=mode["Mode"],
        replicas=int(mode.get("Replicas", mode.get("MaxConcurrent", 1))),
        constraints=tuple(placement.get("Constraints") or ()),
        max_replicas=int(placement.get("MaxReplicas") or 0),
        spread=tuple(
            str(dig(preference, "Spread", "SpreadDescriptor") or "")
            for preference in placement.get("Preferences") or ()
        ),
        platforms=tuple(
            (str(platform.get("OS") or ""), str(platform.get("Architecture") or ""))
            for platform in placement.get("Platforms") or ()
        ),
        nano_cpus=int(reserved.get("NanoCPUs") or 0),
        memory_bytes=int(reserved.get("MemoryBytes") or 0),
        host_ports=tuple(
            (str(port.get("Protocol") or "tcp"), int(port["PublishedPort"]))
            for port in ports
            if port.get("PublishMode") == "host" and port.get("PublishedPort")
        ),
        volumes=tuple(
            str(mount["Source"])
            for mount in dig(document, "Spec", "TaskTemplate", "ContainerSpec", "Mounts") or ()
            if _is_on_the_node(mount)
        ),
    )


def _is_on_the_node(mount: dict[str, Any]) -> bool:
    """Whether a mount is a named volume with data on the node. The local driver with options mounts something, which may
    be on the network."""
    driver = dig(mount, "VolumeOptions", "DriverConfig") or {}
    return bool(
        mount.get("Type", "volume") == "volume"
        and mount.get("Source")
        and (driver.get("Name") or "local") == "local"
        and not driver.get("Options")
    )


@dataclass(frozen=True)
class PlacementTask:
    """A task, where it is, and why it is not further."""

    id: str
    service_id: str
    node_id: str  # empty: it has none yet
    state: str
    desired_state: str
    slot: int | None = None  # of a replicated service
    constraints: tuple[str, ...] = ()  # those of its own spec
    error: str = ""
    timestamp: str = ""  # of its state, as the engine writes it

    @property
    def active(self) -> bool:
        """It holds its place on its node, or is to get one."""
        return self.state not in ENDED_STATES and self.desired_state not in ABANDONED_STATES

    @property
    def to_run(self) -> bool:
        """It runs, or is on its way to."""
        return self.active and self.desired_state == "running"

    @property
    def running(self) -> bool:
        """It runs, and is to go on. A task with a health check runs once that has passed."""
        return self.state == "running" and self.desired_state == "running"


def parse_placement_task(document: dict[str, Any]) -> PlacementTask:
    return PlacementTask(
        id=str(document.get("ID") or ""),
        service_id=str(document.get("ServiceID") or ""),
        node_id=str(document.get("NodeID") or ""),
        state=str(dig(document, "Status", "State") or "unknown"),
        desired_state=str(document.get("DesiredState") or "unknown"),
        slot=document.get("Slot"),
        constraints=tuple(dig(document, "Spec", "Placement", "Constraints") or ()),
        error=str(dig(document, "Status", "Err") or ""),
        timestamp=str(dig(document, "Status", "Timestamp") or ""),
    )


# Constraints


def satisfies(constraints: list[str] | tuple[str, ...], node: PlacementNode) -> bool:
    """Whether a node meets all constraints, as the scheduler reads them.

    A constraint that it cannot parse disables all of them (swarmkit: ConstraintFilter.SetTask). The API refuses such a list.
    """
    parsed = [_parse(constraint) for constraint in constraints]
    if None in parsed:
        return True
    return all(_meets(*one, node) for one in parsed if one is not None)


def is_constraint(text: str) -> bool:
    """Whether the scheduler can parse a constraint."""
    return _parse(text) is not None


def _parse(constraint: str) -> tuple[str, bool, str] | None:
    """Key, whether the value must be equal, value; None if the scheduler cannot parse the constraint."""
    for operator in ("==", "!="):
        if operator in constraint:
            key, _operator, value = constraint.partition(operator)
            key, value = key.strip(), value.strip()
            if _KEY.fullmatch(key) and _VALUE.fullmatch(value):
                return key, operator == "==", value
            return None
    return None


def _meets(key: str, equal: bool, value: str, node: PlacementNode) -> bool:
    known = {
        "node.id": node.id,
        "node.hostname": node.hostname,
        "node.role": node.role,
        "node.platform.os": node.os,
        "node.platform.arch": node.arch,
    }
    name = key.lower()
    if name == "node.ip":
        return _meets_address(equal, value, node.addr)
    if name in known:
        found = known[name]
    # The names of labels keep their case, the words before them do not; a label that is missing is empty.
    elif name.startswith(NODE_LABEL) and len(name) > len(NODE_LABEL):
        found = node.labels.get(key[len(NODE_LABEL) :], "")
    elif name.startswith(ENGINE_LABEL) and len(name) > len(ENGINE_LABEL):
        found = node.engine_labels.get(key[len(ENGINE_LABEL) :], "")
    else:
        # A key that does not exist is met by no node, not even with !=.
        return False
    return (found.lower() == value.lower()) == equal


def _meets_address(equal: bool, value: str, addr: str) -> bool:
    """A malformed address or network is met by no node, not even with !=."""
    own = _address(addr)
    wanted = _address(value)
    if wanted is not None:
        return (own == wanted) == equal
    base, _slash, length = value.partition("/")
    if _address(base) is None or not length.isdigit():
        return False
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return (own is not None and own in network) == equal


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _runs_on(platforms: tuple[tuple[str, str], ...], node: PlacementNode) -> bool:
    if not platforms or not (node.os or node.arch):
        return True
    arch = _ARCHITECTURES.get(node.arch, node.arch)
    return any(
        system in ("", node.os) and _ARCHITECTURES.get(wanted, wanted) in ("", arch)
        for system, wanted in platforms
    )


def could_run(service: PlacementService, node: PlacementNode) -> bool:
    """Whether the scheduler would take this node for this service if nothing else ran on it."""
    return (
        node.usable
        and satisfies(service.constraints, node)
        and _runs_on(service.platforms, node)
        and (node.nano_cpus is None or service.nano_cpus <= node.nano_cpus)
        and (node.memory_bytes is None or service.memory_bytes <= node.memory_bytes)
    )


# Guards


class Homeless(NamedTuple):
    """A service that no node could run any more."""

    service: str
    requires: str  # its constraints and platforms, in words
    nodes_before: int  # how many nodes can run it now


def homeless(
    services: list[PlacementService], before: list[PlacementNode], after: list[PlacementNode]
) -> list[Homeless]:
    """Services that some node could run before, and none could afterwards.

    Jobs are left out: most have completed long ago, and their services remain.
    """
    found = []
    for service in services:
        if service.job:
            continue
        could = sum(could_run(service, node) for node in before)
        if could and not any(could_run(service, node) for node in after):
            found.append(Homeless(service.name, _requirements(service), could))
    return sorted(found)


class Unplaceable(NamedTuple):
    """Tasks of one service that would find no node with room, and what they lack, in words."""

    service: str
    tasks: int
    missing: str


class _Room:
    """A node, and what is left of it while tasks are assigned to it: NanoCPUs, bytes, ports."""

    def __init__(self, node: PlacementNode) -> None:
        self.node = node
        self.cpus = node.nano_cpus
        self.memory = node.memory_bytes
        self.count: Counter[str] = Counter()
        self.ports: set[tuple[str, int]] = set()

    def take(self, service: PlacementService) -> None:
        if self.cpus is not None:
            self.cpus -= service.nano_cpus
        if self.memory is not None:
            self.memory -= service.memory_bytes
        self.count[service.id] += 1
        self.ports.update(service.host_ports)

    def has_resources(self, service: PlacementService) -> bool:
        # The scheduler considers only what a service reserves: a node may be overcommitted.
        return (not service.nano_cpus or self.cpus is None or service.nano_cpus <= self.cpus) and (
            not service.memory_bytes or self.memory is None or service.memory_bytes <= self.memory
        )

    def has_place(self, service: PlacementService) -> bool:
        below = not service.max_replicas or self.count[service.id] < service.max_replicas
        return below and self.ports.isdisjoint(service.host_ports)

    def slack(self) -> tuple[float, float]:
        return (
            float("inf") if self.memory is None else self.memory,
            float("inf") if self.cpus is None else self.cpus,
        )


def assign(
    services: list[PlacementService],
    tasks: list[PlacementTask],
    nodes_after: list[PlacementNode],
    moving: set[str],
) -> tuple[dict[str, str], dict[str, Unplaceable]]:
    """A NodeID by task ID for each replicated task on the nodes of `moving`, and by service ID what has no room.

    The largest task comes first, each on the node where it leaves the least room. That nearly always finds room where there
    is some. A tight case that only another arrangement would solve counts as missing; the guard can be overruled.
    """
    by_id = {service.id: service for service in services}
    rooms = {node.id: _Room(node) for node in nodes_after if node.usable and node.id not in moving}
    leaving = []
    for task in tasks:
        service = by_id.get(task.service_id)
        if service is None or not task.active:
            continue
        if task.node_id in rooms:
            rooms[task.node_id].take(service)
        elif task.node_id in moving and service.replicated:
            leaving.append((task, service))

    fits = {
        service.id: [
            room
            for room in rooms.values()
            if satisfies(service.constraints, room.node) and _runs_on(service.platforms, room.node)
        ]
        for _task, service in leaving
    }
    most_memory = max((service.memory_bytes for _task, service in leaving), default=0) or 1
    most_cpus = max((service.nano_cpus for _task, service in leaving), default=0) or 1
    leaving.sort(
        key=lambda item: (
            -(item[1].memory_bytes / most_memory + item[1].nano_cpus / most_cpus),
            len(fits[item[1].id]),
            item[1].name,
            item[0].id,
        )
    )

    placed: dict[str, str] = {}
    missing: dict[str, Unplaceable] = {}
    for task, service in leaving:
        open_to = [room for room in fits[service.id] if room.has_place(service)]
        roomy = [room for room in open_to if room.has_resources(service)]
        if roomy:
            best = min(roomy, key=lambda room: (room.slack(), room.node.id))
            best.take(service)
            placed[task.id] = best.node.id
        else:
            earlier = missing.get(service.id)
            why = earlier.missing if earlier else _missing(service, fits[service.id], open_to)
            missing[service.id] = Unplaceable(
                service.name, (earlier.tasks if earlier else 0) + 1, why
            )
    return placed, missing


def unplaceable(
    services: list[PlacementService],
    tasks: list[PlacementTask],
    nodes_after: list[PlacementNode],
    moving: set[str],
) -> list[Unplaceable]:
    """Replicated tasks on the nodes of `moving`, NodeIDs, that would find no room on the others, by service."""
    _placed, missing = assign(services, tasks, nodes_after, moving)
    return sorted(missing.values())


def _missing(service: PlacementService, fits: list[_Room], open_to: list[_Room]) -> str:
    if not fits:
        return f"a node for {_requirements(service)}"
    if not open_to:
        words = []
        if service.max_replicas:
            words.append(f"a node with fewer than {service.max_replicas} of its tasks")
        if service.host_ports:
            ports = ", ".join(f"{port}/{protocol}" for protocol, port in service.host_ports)
            words.append(f"a node where port {ports} is free")
        return " and ".join(words)
    words = []
    if service.nano_cpus:
        free = max((room.cpus for room in open_to if room.cpus is not None), default=0)
        words.append(f"{_cpus(service.nano_cpus)} (one node has up to {_cpus(max(free, 0))} free)")
    if service.memory_bytes:
        free = max((room.memory for room in open_to if room.memory is not None), default=0)
        words.append(
            f"{_memory(service.memory_bytes)} of memory (one node has up to {_memory(max(free, 0))} free)"
        )
    return " and ".join(words)


def _requirements(service: PlacementService) -> str:
    words = list(service.constraints)
    if service.platforms:
        words.append(
            " or ".join("/".join(part or "any" for part in pair) for pair in service.platforms)
        )
    return ", ".join(words) or "any ready and active node"


def _cpus(nano: int) -> str:
    number = f"{nano / 1e9:.2f}".rstrip("0").rstrip(".")
    return f"{number} {'CPU' if number == '1' else 'CPUs'}"


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
