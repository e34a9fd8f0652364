# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swarm in memory that does what swarmkit does with nodes, and refuses what it refuses.

For tests of plans over thousands of clusters. What it refuses is in refusals.py, and is held against a
real engine by the scenario membership.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._api.reader import code_of
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import Clock
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    may_lose,
    quorum_of,
)
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._cluster.refusals import (
    REFUSALS,
)

EPOCH = 1_700_000_000.0


class Killed(BaseException):
    """The process is gone: no handler of an error ever runs."""


def refuse(name: str, said: str = "") -> SwarmError:
    refusal = REFUSALS[name]
    text = f"{said}{refusal.words}"
    return SwarmError(code_of(text, refusal.status), f"Could not do it: {text}.", refusal=name)


@dataclass
class SimulatedNode:
    """A node as the managers have it. What is true of its host is `alive`."""

    id: str
    hostname: str
    addr: str
    role: str = "worker"  # the one that is asked for
    availability: str = "active"
    labels: dict[str, str] = field(default_factory=dict)
    state: str = "ready"
    raft: str | None = None  # of Raft's members: reachable or unreachable
    alive: bool = True
    version: int = 1
    updated_at: float = EPOCH

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "ID": self.id,
            "Version": {"Index": self.version},
            "UpdatedAt": time.strftime("%Y-%m-%dT%H:%M:%S.0Z", time.gmtime(self.updated_at)),
            "Spec": {
                "Role": self.role,
                "Availability": self.availability,
                "Labels": dict(self.labels),
            },
            "Description": {"Hostname": self.hostname, "Engine": {"EngineVersion": "26.1.5"}},
            "Status": {"State": self.state, "Addr": self.addr},
        }
        if self.raft:
            found["ManagerStatus"] = {"Reachability": self.raft, "Addr": f"{self.addr}:2377"}
        return found


class Swarm(Clock):
    """The managers' store, and the clock by which it changes by itself."""

    def __init__(self, lag: float = 0.0) -> None:
        self.nodes: dict[str, SimulatedNode] = {}
        self.time = EPOCH + 10_000
        self.lag = lag  # how long a change of role takes
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._born = 0
        # By what a change of the managers leaves: how many there are, and how many may be lost.
        self.watch: Callable[[], None] = lambda: None

    # The clock

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        due = [item for item in self._later if item[0] <= self.time]
        self._later = [item for item in self._later if item[0] > self.time]
        for _when, happens in due:
            happens()

    def later(self, seconds: float, happens: Callable[[], None]) -> None:
        if seconds <= 0:
            happens()
        else:
            self._later.append((self.time + seconds, happens))

    # What is

    @property
    def members(self) -> list[SimulatedNode]:
        return [node for node in self.nodes.values() if node.raft]

    @property
    def answering(self) -> list[SimulatedNode]:
        """Who can vote, whatever Raft believes."""
        return [node for node in self.members if node.alive and node.raft == "reachable"]

    @property
    def has_quorum(self) -> bool:
        return len(self.answering) >= quorum_of(len(self.members))

    @property
    def margin(self) -> int:
        return may_lose(len(self.members), len(self.answering))

    @property
    def leader(self) -> str:
        return self.answering[0].id

    def documents(self) -> list[dict[str, Any]]:
        found = [node.document for node in self.nodes.values()]
        for document in found:
            if document["ID"] == self.leader:
                document["ManagerStatus"]["Leader"] = True
        return found

    # What can be asked of it

    def update(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        node = self._find(node_id)
        if node.role == "manager" and spec["Role"] == "worker":
            # Roles as they are, not as they are asked for.
            if [member.id for member in self.members] == [node_id]:
                raise refuse("last manager")
            others = [member for member in self.members if member.id != node_id]
            if sum(member.raft == "reachable" for member in others) < quorum_of(len(others)):
                raise refuse("quorum lost by a demotion", "can't remove member from the raft: ")
        if version != node.version:
            raise refuse("old version")
        before = node.role
        node.role, node.availability = spec["Role"], spec["Availability"]
        node.labels = dict(spec["Labels"])
        self._touch(node)
        if node.role != before:
            self.later(self.lag, lambda: self._follow(node))

    def remove(self, node_id: str, force: bool) -> None:
        node = self._find(node_id)
        if node.role == "manager" and node.raft:
            raise refuse("removal of a manager", f"node {node_id} is a cluster manager and ")
        if node.state == "ready" and not force:
            raise refuse("removal of a ready node", f"node {node_id} ")
        del self.nodes[node_id]

    def join(self, hostname: str, addr: str, role: str) -> str:
        self._born += 1
        node = SimulatedNode(f"born-{self._born}", hostname, addr, role, updated_at=self.time)
        self.nodes[node.id] = node
        if role == "manager":
            node.raft = "reachable"
        self.watch()
        return node.id

    def leave(self, node_id: str) -> None:
        node = self.nodes.get(node_id)
        if node is None:
            return
        if node.raft:
            raise refuse("leaving as a manager")
        node.alive = False
        self.later(self.lag, lambda: self._down(node))

    def _find(self, node_id: str) -> SimulatedNode:
        if node_id not in self.nodes:
            raise refuse("no such node", f"node {node_id} ")
        return self.nodes[node_id]

    def _touch(self, node: SimulatedNode) -> None:
        node.version += 1
        node.updated_at = self.time

    def _follow(self, node: SimulatedNode) -> None:
        """Raft's members follow the roles that are asked for."""
        if self.nodes.get(node.id) is not node:
            return
        if node.role == "worker":
            node.raft = None
        elif node.alive and not node.raft:
            node.raft = "reachable"
        self._touch(node)
        self.watch()

    def seen(self, node: SimulatedNode) -> None:
        """After an election states are unknown until the next heartbeat, or until one is missed."""
        node.state = "ready" if node.alive else "down"
        self._touch(node)

    def _down(self, node: SimulatedNode) -> None:
        node.state = "down"
        self._touch(node)


class SimulatedClient:
    """What EngineClient is to an engine. `turn` comes before every request and may end or delay it."""

    def __init__(
        self, swarm: Swarm, node_id: str, turn: Callable[[str], None] = lambda request: None
    ) -> None:
        self._swarm = swarm
        self._node_id = node_id
        self._turn = turn

    def _ask(self, request: str) -> Swarm:
        self._turn(request)
        node = self._swarm.nodes.get(self._node_id)
        if node is None or not node.raft:
            raise refuse("asked on a worker", "This node ")
        if not self._swarm.has_quorum:
            raise refuse("no quorum", "The swarm ")
        return self._swarm

    def info(self) -> dict[str, Any]:
        self._turn("info")
        return {"Swarm": {"LocalNodeState": "active", "NodeID": self._node_id}}

    def nodes(self) -> list[dict[str, Any]]:
        return self._ask("nodes").documents()

    def node(self, node_id: str) -> dict[str, Any]:
        swarm = self._ask("node")
        return swarm._find(node_id).document

    def update_node(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        self._ask("update_node").update(node_id, version, copy.deepcopy(spec))

    def remove_node(self, node_id: str) -> None:
        self._ask("remove_node").remove(node_id, force=True)

    def services(self) -> list[dict[str, Any]]:
        self._ask("services")
        return []

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        self._ask("tasks")
        return []
