# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A verdict calls a node what the inventory calls it, also where two hosts have exchanged their addresses."""

from __future__ import annotations

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._health.check import HostContext
from ansible_collections.flotilla.swarm.plugins.module_utils._health.checks import health_result
from ansible_collections.flotilla.swarm.plugins.module_utils._health.report import finish
from ansible_collections.flotilla.swarm.plugins.module_utils._health.snapshot import SwarmSnapshot
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    Member,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    HOST_LABEL,
    name_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.balance import plan_move
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
)


def node(name: str, hostname: str, **more: Any) -> dict[str, Any]:
    return {
        "ID": f"id-{name}",
        "Spec": {"Role": "worker", "Availability": "active", "Labels": {HOST_LABEL: name}},
        "Description": {"Hostname": hostname},
        "Status": {"State": "ready"},
        **more,
    }


def test_the_node_that_is_down_has_its_name_in_the_inventory() -> None:
    leader = {"Leader": True, "Reachability": "reachable", "Addr": "192.0.2.1:2377"}
    first = node("m1", "m1", ManagerStatus=leader)
    first["Spec"]["Role"] = "manager"
    # The engine on w2's address calls itself w1, and the other way round.
    down = node("w2", "w1", Status={"State": "down"})
    documents = [first, node("w1", "w2"), down]
    picture = SwarmSnapshot(
        member=Member("active", "id-m1", "manager", "c1"),
        nodes=[parse_node(document) for document in documents],
    )
    seen = health_result(picture, only=("nodes",))
    (check,) = [check for check in seen["checks"] if check["name"] == "nodes"]
    assert "not ready: w2" in check["message"]
    assert check["data"]["not_ready"] == ["w2"]
    report = finish(seen, ["healthy", "degraded"], "table", 1)["report"]
    assert "w2 (w1)" in report
    assert [name_of(parse_node(document)) for document in documents] == ["m1", "w1", "w2"]


def test_a_manager_that_waits_for_its_key_is_found_by_its_name_in_the_inventory() -> None:
    leader = {"Leader": True, "Reachability": "reachable", "Addr": "192.0.2.1:2377"}
    documents = [node("m1", "one"), node("m2", "two", Status={"State": "down"})]
    documents[0]["ManagerStatus"] = leader
    documents[1]["ManagerStatus"] = {"Reachability": "unreachable"}
    for document in documents:
        document["Spec"]["Role"] = "manager"
    picture = SwarmSnapshot(
        member=Member("active", "id-m1", "manager", "c1"),
        nodes=[parse_node(document) for document in documents],
    )
    disk = {"total_bytes": 100, "free_bytes": 90}
    said: dict[str, dict[str, Any]] = {
        "m1": {"swarm": {"state": "active"}, "host": {"hostname": "one", "disk": disk}},
        "m2": {"swarm": {"state": "locked"}, "host": {"hostname": "two"}},
    }
    seen = health_result(picture, HostContext(said), only=("nodes", "disk"))
    checks = {check["name"]: check for check in seen["checks"]}
    assert checks["nodes"]["advice"] == "unlock m2: docker swarm unlock"
    assert checks["disk"]["data"]["not_looked_at"] == ["m2"]


def test_a_move_is_shown_with_the_names_of_the_inventory() -> None:
    nodes = [PlacementNode(f"id{n}", f"host{n}", labels={HOST_LABEL: f"w{n}"}) for n in (1, 2)]
    tasks = [PlacementTask(f"t{n}", "s", "id1", "running", "running") for n in range(2)]
    move = plan_move(PlacementService("s", "web", replicas=2), tasks, nodes, 9)
    assert move is not None
    assert move.text == "1 of 2 tasks   w1 2, w2 0 -> w1 1, w2 1"
