# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a drain would move, stop and endanger. That it is done without a dip is tested on real engines."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    DRAINED_LABEL,
    HOST_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.maintenance import (
    MaintenancePlan,
    MaintenanceSnapshot,
    parse_snapshot,
    plan_maintenance,
)


def node(name: str, availability: str = "active", **labels: str) -> dict[str, Any]:
    return {
        "ID": f"id-{name}",
        "Spec": {"Role": "worker", "Availability": availability, "Labels": labels},
        "Description": {
            "Hostname": name,
            "Resources": {"NanoCPUs": 2 * 10**9, "MemoryBytes": 2**30},
        },
        "Status": {"State": "ready"},
    }


NODES = [node("w1"), node("w2", **{HOST_LABEL: "shelf"})]


def service(name: str, mode: str = "Replicated", **template: Any) -> dict[str, Any]:
    settings = {"Replicas": 2} if mode == "Replicated" else {}
    spec = {"Name": name, "Mode": {mode: settings}, "TaskTemplate": template}
    return {"ID": f"id-{name}", "Spec": spec}


def task(service: str, node: str, state: str = "running") -> dict[str, Any]:
    return {
        "ID": f"{service}-{node}",
        "ServiceID": f"id-{service}",
        "NodeID": f"id-{node}",
        "Status": {"State": state},
        "DesiredState": "running",
    }


def snapshot(
    *services: dict[str, Any],
    tasks: list[dict[str, Any]] | None = None,
    nodes: list[dict[str, Any]] | None = None,
) -> MaintenanceSnapshot:
    return parse_snapshot(nodes or NODES, list(services), tasks or [])


def planned(
    seen: MaintenanceSnapshot, *names: str, state: str = "drained", accept: str = ""
) -> MaintenancePlan:
    return plan_maintenance(seen, names, state, accept.split())


def test_what_moves_and_what_stops() -> None:
    seen = snapshot(
        service("web"),
        service("agent", "Global"),
        tasks=[task("web", "w1"), task("web", "w2"), task("agent", "w1"), task("agent", "w2")],
    )
    assert planned(seen, "w1").lines("m1") == [
        "PLAN  nodes, acting on m1",
        "  ~ drain     w1  active -> drain   moves web 1   stops agent 1",
    ]


@pytest.mark.parametrize("name", ["id-w2", "shelf", "w2"])
def test_a_node_is_found_by_each_of_its_names(name: str) -> None:
    (step,) = planned(snapshot(), name).steps
    assert step.name == "shelf"


def test_unknown_and_ambiguous_names_are_told_together() -> None:
    seen = snapshot(nodes=[*NODES, {**node("w1"), "ID": "another"}])
    with pytest.raises(SwarmError) as error:
        planned(seen, "w1", "w7")
    assert error.value.message == (
        "Could not drain nodes: 2 nodes have the name w1: use an ID instead (id-w1, another);"
        " there is no node w7: the nodes are shelf, w1, w1."
    )


def test_a_node_gets_back_what_it_had() -> None:
    drained = node("w1", "drain", **{DRAINED_LABEL: "pause"})
    seen = snapshot(nodes=[drained, node("w2", "drain"), node("w3")])
    plan = planned(seen, "w1", "w2", "w3", state="active")
    assert [(s.name, s.before, s.after) for s in plan.steps] == [
        ("w1", "drain", "pause"),
        ("w2", "drain", "active"),
    ]
    assert plan.same == 1


def test_nothing_to_do_is_a_plan_too() -> None:
    seen = snapshot(nodes=[node("w1", "drain"), NODES[1]])
    assert planned(seen, "w1").lines("m1")[1:] == ["  = 1 node as it should be"]


CASES = {
    "homeless_services": (
        service("web", Placement={"Constraints": ["node.hostname==w1"]}),
        "no remaining node could run the service web (node.hostname==w1; 1 can now)",
    ),
    "lack_of_room": (
        service("web", Resources={"Reservations": {"MemoryBytes": 2**30}}),
        "1 task of the service web would find no room",
    ),
    "local_data": (
        service("web", ContainerSpec={"Mounts": [{"Type": "volume", "Source": "data"}]}),
        "the service web keeps data in the volume data on w1, which does not move with it",
    ),
}


@pytest.mark.parametrize("risk", CASES)
def test_a_risk_is_refused_unless_it_is_accepted(risk: str) -> None:
    what, words = CASES[risk]
    tasks = [task("web", "w1"), task("web", "w2")]
    if risk == "lack_of_room":
        tasks.append({**task("web", "w2"), "ID": "another"})
    seen = snapshot(what, tasks=tasks)
    plan = planned(seen, "w1")
    assert len(plan.refusals) == 1
    assert words in plan.refusals[0]
    assert plan.refusals[0].endswith(f"or add {risk} to accepted_risks")
    assert plan.lines("m1")[0] == "PLAN  refused"
    accepted = planned(seen, "w1", accept=risk)
    assert not accepted.refusals
    assert words in accepted.warnings[0]
    assert [step.name for step in accepted.steps] == ["w1"]


@pytest.mark.parametrize(
    "mount",
    [
        {"Type": "bind", "Source": "/etc/localtime"},
        {"Type": "volume"},
        {
            "Type": "volume",
            "Source": "data",
            "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "nfs"}}},
        },
        {
            "Type": "volume",
            "Source": "data",
            "VolumeOptions": {"DriverConfig": {"Name": "somebodys"}},
        },
    ],
)
def test_what_is_no_data_of_the_node_does_not_hold_it_back(mount: dict[str, Any]) -> None:
    seen = snapshot(service("web", ContainerSpec={"Mounts": [mount]}), tasks=[task("web", "w1")])
    assert not planned(seen, "w1").refusals


def test_data_of_services_that_run_elsewhere_is_safe() -> None:
    what = service("web", ContainerSpec={"Mounts": [{"Type": "volume", "Source": "data"}]})
    assert not planned(snapshot(what, tasks=[task("web", "w2")]), "w1").refusals
