# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The engine's documents as types. In a degraded cluster keys are missing: that is data, never an exception."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

# A swarm's managers listen here unless told otherwise (moby: daemon/cluster, defaultSwarmPort).
SWARM_PORT = 2377


def dig(document: Any, *path: str) -> Any:
    """The value at a path of keys, or None where the path ends early."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def id_of(document: dict[str, Any]) -> str:
    """The ID of an object; empty where there is none. Of networks the engine calls it `Id`, of all others `ID`."""
    return str(document.get("ID") or document.get("Id") or "")


def moment(text: Any) -> float | None:
    """One of the engine's times, such as 2026-11-23T20:14:18.514031902Z, in seconds since 1970; None if it is not one.

    Managers write UTC. An engine writes its own clock in the zone of its host, such as 05:14:18+09:00 (moby: daemon/info.go,
    SystemTime).
    """
    found = str(text)
    zone = found[19:].lstrip(".0123456789").replace("Z", "")
    try:
        return datetime.datetime.fromisoformat(found[:19] + (zone or "+00:00")).timestamp()
    except ValueError:
        return None


@dataclass(frozen=True)
class JoinNote:
    """How an engine joined, as its own files tell it; its API does not."""

    unfinished: bool = False  # the join was interrupted
    address: str | None = None  # HOST:PORT where the engine asks to become a manager


@dataclass(frozen=True)
class Member:
    """The place of one host in a swarm, as its own engine reports it."""

    state: str = "unknown"  # inactive, pending, active, locked, error or unknown
    node_id: str | None = None
    role: str | None = None  # manager or worker; None outside a swarm
    cluster_id: str | None = None  # only managers that see a leader know it
    node_addr: str | None = None
    remote_managers: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    join_failed: bool = False  # the join was interrupted, and the engine does not finish it
    joined_by: str | None = None  # HOST:PORT; only there does a worker ask to become a manager

    def as_dict(self) -> dict[str, Any]:
        """The member as data, for a module's result."""
        return asdict(self)

    @property
    def in_swarm(self) -> bool:
        """Whether the host is in a swarm, in working order or not."""
        return self.state in ("active", "pending", "locked", "error")


def parse_member(info: dict[str, Any], join: JoinNote = JoinNote()) -> Member:
    """The member in the answer to GET /info."""
    swarm = info.get("Swarm") or {}
    state = swarm.get("LocalNodeState") or "inactive"
    if str(info.get("ServerVersion") or "").startswith("swarm/"):
        return Member(
            state="unknown",
            error="this is a Swarm Classic endpoint, not an engine; let docker_host name the socket of the engine",
        )
    return Member(
        state=state,
        node_id=swarm.get("NodeID") or None,
        role=None
        if state == "inactive"
        else ("manager" if swarm.get("ControlAvailable") else "worker"),
        cluster_id=dig(swarm, "Cluster", "ID") or None,
        node_addr=swarm.get("NodeAddr") or None,
        remote_managers=[
            {"node_id": str(peer.get("NodeID") or ""), "addr": str(peer.get("Addr") or "")}
            for peer in swarm.get("RemoteManagers") or []
        ],
        error=swarm.get("Error") or None,
        join_failed=state == "error" and join.unfinished,
        joined_by=join.address if state == "active" else None,
    )


@dataclass(frozen=True)
class Node:
    """A node as the managers see it, in the engine's own words."""

    id: str
    hostname: str
    role: str
    availability: str
    state: str
    addr: str | None
    labels: dict[str, str]
    leader: bool
    reachability: str | None  # of a manager: reachable, unreachable or unknown
    manager_addr: str | None
    engine_version: str | None
    message: str | None = None
    updated_at: str | None = None  # when the managers' record of it last changed

    def as_dict(self) -> dict[str, Any]:
        """The node as data, for a module's result."""
        return asdict(self)

    @property
    def votes(self) -> bool:
        """Whether it is a member of Raft: a manager is not before its join or promotion is complete."""
        return self.role == "manager" and self.reachability is not None

    @property
    def answers(self) -> bool:
        """Whether its vote counts. A new leader reports all nodes as unknown for some seconds, and a node whose host was
        reinstalled may still be reported as reachable."""
        seen = self.state in ("ready", "unknown")
        return self.votes and seen and self.reachability == "reachable"

    @property
    def ready(self) -> bool:
        """Whether it is ready, and reachable by the other managers if it is one."""
        return self.state == "ready" and (
            self.role != "manager" or self.reachability == "reachable"
        )


def parse_node(document: dict[str, Any]) -> Node:
    """The node in one document of GET /nodes."""
    manager = document.get("ManagerStatus") or {}
    return Node(
        id=str(document.get("ID") or ""),
        hostname=str(dig(document, "Description", "Hostname") or document.get("ID") or "?"),
        role=dig(document, "Spec", "Role") or "unknown",
        availability=dig(document, "Spec", "Availability") or "unknown",
        state=dig(document, "Status", "State") or "unknown",
        addr=dig(document, "Status", "Addr") or None,
        labels=dict(dig(document, "Spec", "Labels") or {}),
        leader=bool(manager.get("Leader")),
        reachability=manager.get("Reachability") if manager else None,
        manager_addr=manager.get("Addr") or None,
        engine_version=dig(document, "Description", "Engine", "EngineVersion") or None,
        message=dig(document, "Status", "Message") or None,
        updated_at=document.get("UpdatedAt") or None,
    )


def all_heard(nodes: Iterable[Node]) -> bool:
    """Whether the leader has heard from each node or counts it as down.

    A new leader has not for up to six heartbeats, which are 30 s by default (swarmkit: manager/dispatcher/nodes.go,
    gracePeriodMultiplierUnknown). A node that has never registered may never do so. It has no description.
    """
    return all(node.state != "unknown" or node.engine_version is None for node in nodes)


def quorum_of(managers: int) -> int:
    """How many managers must be reachable for the swarm to decide anything: the majority (Raft)."""
    return managers // 2 + 1


def may_lose(managers: int, reachable: int | None = None) -> int:
    """How many more managers may fail; `reachable` is how many are reachable now, all if left out."""
    reachable = managers if reachable is None else reachable
    return max(0, reachable - quorum_of(managers)) if managers else 0
