# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the engine says, as types. In a sick cluster keys are missing: that is data, never a crash."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass, field
from typing import Any

# A swarm's managers listen here unless told otherwise (moby: daemon/cluster, defaultSwarmPort).
SWARM_PORT = 2377
# The label by which the CLI knows what belongs to a stack.
NAMESPACE = "com.docker.stack.namespace"


def dig(document: Any, *path: str) -> Any:
    """The value at a path of keys, or None where the path ends early."""
    for key in path:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def moment(text: Any) -> float | None:
    """One of the engine's times, such as 2026-11-23T20:14:18.514031902Z, in seconds since 1970."""
    try:
        said = datetime.datetime.fromisoformat(str(text)[:19])
    except ValueError:
        return None
    return said.replace(tzinfo=datetime.timezone.utc).timestamp()


@dataclass(frozen=True)
class JoinNote:
    """What an engine keeps to itself of how it joined."""

    unfinished: bool = False
    address: str | None = None  # where it would ask to become a manager


@dataclass(frozen=True)
class Member:
    """What one host says of its own place in a swarm."""

    state: str = "unknown"  # inactive, pending, active, locked, error or unknown
    node_id: str | None = None
    role: str | None = None  # manager or worker; None outside a swarm
    cluster_id: str | None = None  # only managers that see a leader know it
    node_addr: str | None = None
    remote_managers: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None
    join_failed: bool = False  # it began to join and never got there
    joined_by: str | None = None  # a worker asks there, and nowhere else, to become a manager

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def in_swarm(self) -> bool:
        return self.state in ("active", "pending", "locked", "error")


def parse_member(info: dict[str, Any], join: JoinNote = JoinNote()) -> Member:
    swarm = info.get("Swarm") or {}
    state = swarm.get("LocalNodeState") or "inactive"
    if str(info.get("ServerVersion") or "").startswith("swarm/"):
        return Member(
            state="unknown",
            error="this is a Swarm Classic endpoint, not an engine: Swarm Classic is not supported",
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
    """A node as the managers see it."""

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
        return asdict(self)

    @property
    def votes(self) -> bool:
        """Whether it is one of Raft's: not yet when its promotion or its joining has not got there."""
        return self.role == "manager" and self.reachability is not None

    @property
    def answers(self) -> bool:
        """Whether its vote can be counted on. A new leader calls all nodes unknown for some seconds, and one whose
        host began anew may be called reachable."""
        seen = self.state in ("ready", "unknown")
        return self.votes and seen and self.reachability == "reachable"

    @property
    def ready(self) -> bool:
        return self.state == "ready" and (
            self.role != "manager" or self.reachability == "reachable"
        )


def parse_node(document: dict[str, Any]) -> Node:
    manager = document.get("ManagerStatus") or {}
    return Node(
        id=str(document.get("ID") or ""),
        hostname=dig(document, "Description", "Hostname") or "?",
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


def quorum_of(managers: int) -> int:
    """How many managers must answer for the swarm to be able to decide anything (Raft's majority)."""
    return managers // 2 + 1


def may_lose(managers: int, reachable: int | None = None) -> int:
    """How many of the reachable managers may still be lost."""
    reachable = managers if reachable is None else reachable
    return max(0, reachable - quorum_of(managers)) if managers else 0
