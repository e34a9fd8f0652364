# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan to recreate the ingress network, and the notes from which a killed run is finished."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    Node,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import INGRESS_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._model.mtu import MTU_OPTION
from ansible_collections.flotilla.swarm.plugins.module_utils._network.ingress_plan import (
    IngressPlan,
    IngressSnapshot,
    IngressWish,
    as_note,
    body_of,
    changed_body,
    dip_of,
    ingress_ports,
    not_in,
    note_of,
    parse_note,
    paused,
    plan_ingress,
    resumed,
    runs_of,
    still_on,
    wish_differs,
    wrong_wish,
)

NETWORK: dict[str, Any] = {
    "Name": "ingress",
    "Id": "old",
    "Driver": "overlay",
    "Scope": "swarm",
    "Ingress": True,
    "IPAM": {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}],
    },
    "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4096"},
    "Labels": {},
}
OTHER = {"Name": "shop", "Id": "shop", "IPAM": {"Config": [{"Subnet": "10.0.1.0/24"}]}}


def service(name: str, *modes: str, **more: Any) -> dict[str, Any]:
    """A service with a port for each mode."""
    ports = [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8000 + number, "PublishMode": mode}
        for number, mode in enumerate(modes)
    ]
    endpoint = {"Mode": "vip", **({"Ports": ports} if ports else {})}
    spec = {
        "Name": name,
        "Labels": {"own": "1"},
        "TaskTemplate": {"ContainerSpec": {"Image": "x", "StopGracePeriod": 10**9}},
        "Mode": {"Replicated": {"Replicas": 2}},
        "UpdateConfig": {"Parallelism": 1, "Delay": 2 * 10**9},
        "EndpointSpec": endpoint,
        **more.pop("spec", {}),
    }
    return {"ID": f"id-{name}", "Version": {"Index": 7}, "Spec": spec, **more}


def task(
    name: str, state: str, network: str = "old", node: str = "n1", desired: str = "running"
) -> dict[str, Any]:
    return {
        "ServiceID": f"id-{name}",
        "NodeID": node,
        "DesiredState": desired,
        "Status": {"State": state},
        "NetworksAttachments": [{"Network": {"ID": network}}],
    }


def node(name: str, state: str = "ready", manager: str = "") -> Node:
    return parse_node(
        {
            "ID": name,
            "Status": {"State": state, "Addr": f"192.0.2.{name[1:]}"},
            "ManagerStatus": {"Addr": manager} if manager else None,
        }
    )


def snapshot(
    *services: dict[str, Any], note: str | None = None, network: dict[str, Any] | None = NETWORK
) -> IngressSnapshot:
    networks = [OTHER] if network is None else [network, OTHER]
    return IngressSnapshot(note, networks, list(services), [], [node("n1")])


def actions(plan: IngressPlan) -> list[str]:
    return [f"{step['action']} {step['object']}" for step in plan.steps()]


def test_services_with_ports_are_paused_and_resumed() -> None:
    found = snapshot(
        service("web", "ingress"),
        service("db"),
        service("agent", "host"),
        service("api", "ingress", "host"),
    )
    plan = plan_ingress(found, IngressWish(mtu=1400), True)
    assert actions(plan) == [
        "pause api",
        "pause web",
        "recreate ingress",
        "resume api",
        "resume web",
    ]
    assert plan.steps()[0]["ports"] == "8000->80/tcp"
    assert plan.changes() == ["mtu 1500 -> 1400"]
    assert "for about" in plan.lines("m1")[1]


@pytest.mark.parametrize(
    "wish",
    [
        IngressWish(),
        IngressWish(mtu=1500),
        IngressWish(subnet="10.0.0.0/24"),
        IngressWish(subnet="10.0.0.0/24", gateway="10.0.0.1"),
        IngressWish(encrypted=False),
    ],
)
def test_nothing_is_done_where_it_is_as_wished(wish: IngressWish) -> None:
    plan = plan_ingress(snapshot(service("web", "ingress")), wish, True)
    assert (plan.changed, plan.steps(), plan.refusals) == (False, [], [])
    assert plan.lines("m1")[-1].startswith("  = ")


def test_it_refuses_without_consent_and_names_the_services() -> None:
    found = snapshot(service("web", "ingress"), service("db"))
    plan = plan_ingress(found, IngressWish(encrypted=True), False)
    (refusal,) = plan.refusals
    assert "web" in refusal
    assert "swarm_ingress_interrupt: true" in refusal
    assert "encrypted false -> true" in refusal
    assert not plan.changed
    # Nobody is without ports, so nobody has to agree.
    assert not plan_ingress(snapshot(service("db")), IngressWish(encrypted=True), False).refusals


def test_it_refuses_what_a_write_would_start_again() -> None:
    job = service("job", "ingress", spec={"Mode": {"ReplicatedJob": {}}})
    busy = service("web", "ingress", UpdateStatus={"State": "paused"})
    plan = plan_ingress(snapshot(job, busy), IngressWish(mtu=1400), True)
    assert len(plan.refusals) == 2
    assert "job is a job" in plan.refusals[0]
    assert "web" in plan.refusals[1]


@pytest.mark.parametrize(
    ("subnet", "gateway", "words"),
    [
        ("10.0.1.128/25", None, "overlaps 10.0.1.0/24 of network shop"),
        ("10.9.0.1/24", None, "must be an IPv4 network"),
        ("fd00::/64", None, "must be an IPv4 network"),
        ("10.9.0.0/30", None, "must be an IPv4 network"),
        ("10.9.0.0/24", "10.8.0.1", "the gateway"),
        (None, "10.8.0.1", "without a subnet"),
    ],
)
def test_wrong_addresses_are_named(subnet: str | None, gateway: str | None, words: str) -> None:
    plan = plan_ingress(snapshot(), IngressWish(subnet=subnet, gateway=gateway, mtu=1400), True)
    assert any(words in each for each in plan.refusals), plan.refusals
    assert not wrong_wish("10.9.0.0/24", "10.9.0.1", [OTHER, NETWORK])


def test_only_what_is_wished_for_changes() -> None:
    live = copy.deepcopy(NETWORK)
    live["Options"].update({"encrypted": "", "x": "y"})
    live["Labels"] = {"a": "b"}
    body = changed_body(body_of(live), IngressWish(mtu=1400))
    assert body["Options"] == {"encrypted": "", "x": "y", MTU_OPTION: "1400"}
    assert body["Labels"] == {"a": "b"}
    assert body["IPAM"]["Config"] == NETWORK["IPAM"]["Config"]
    assert changed_body(body, IngressWish(mtu=1500, encrypted=False))["Options"] == {"x": "y"}


# What a killed run leaves


def test_a_run_that_was_killed_before_the_network_was_removed_goes_on() -> None:
    web, api = service("web", "ingress"), service("api", "ingress")
    web["Spec"] = paused(web["Spec"], 2)
    body = changed_body(body_of(NETWORK), IngressWish(mtu=1400))
    found = snapshot(web, api, note=as_note(body, "old"))
    # Also without a wish, and without consent: half of it has been done.
    plan = plan_ingress(found, IngressWish(), False)
    assert actions(plan) == ["pause api", "recreate ingress", "resume api", "resume web"]
    assert plan.changes() == ["mtu 1500 -> 1400"]
    # Where the inventory has gone back in the meantime, the services only get their ports back.
    back = plan_ingress(found, IngressWish(mtu=1500), False)
    assert actions(back) == ["resume web"]


def test_a_run_that_was_killed_without_the_network_creates_it_from_the_note() -> None:
    web = service("web", "ingress")
    web["Spec"] = paused(web["Spec"], 2)
    live = {**NETWORK, "Labels": {"a": "b"}}
    note = as_note(changed_body(body_of(live), IngressWish(encrypted=True)), "old")
    plan = plan_ingress(snapshot(web, note=note, network=None), IngressWish(mtu=1400), False)
    assert actions(plan) == ["create ingress", "resume web"]
    assert plan.body is not None
    assert plan.body["Options"] == {"encrypted": "", MTU_OPTION: "1400"}
    assert plan.body["Labels"] == {"a": "b"}


def test_a_note_that_cannot_be_read_leaves_the_services_to_restore() -> None:
    web = service("web", "ingress")
    web["Spec"] = paused(web["Spec"], 2)
    plan = plan_ingress(snapshot(web, note="{"), IngressWish(), False)
    assert actions(plan) == ["resume web"]
    assert plan.changed
    assert parse_note("{") is None
    assert parse_note('{"body": 1}') is None


def test_a_swarm_without_an_ingress_network_gets_one_only_if_wished() -> None:
    assert not plan_ingress(snapshot(network=None), IngressWish(), True).changed
    plan = plan_ingress(snapshot(network=None), IngressWish(encrypted=True), False)
    assert actions(plan) == ["create ingress"]


PORTS = st.lists(
    st.fixed_dictionaries(
        {"TargetPort": st.integers(1, 9)},
        optional={
            "PublishMode": st.sampled_from(["ingress", "host", ""]),
            "PublishedPort": st.integers(1, 9),
        },
    ),
    max_size=4,
)
ENDPOINTS = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional={"Mode": st.sampled_from(["vip", "dnsrr"]), "Ports": PORTS}),
)


@given(
    ENDPOINTS,
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.integers(0, 9),
)
def test_a_service_gets_back_exactly_what_it_had(
    endpoint: Any, labels: dict[str, str], running: int
) -> None:
    spec: dict[str, Any] = {
        "Name": "web",
        "Labels": labels,
        "Mode": {"Global": {}},
        "TaskTemplate": {"ForceUpdate": 4},
    }
    if endpoint is not None:
        spec["EndpointSpec"] = endpoint
    before = copy.deepcopy(spec)
    taken = paused(spec, running)
    assert ingress_ports(taken) == []
    note = note_of({"Spec": taken})
    assert note is not None
    assert note["running"] == running
    assert spec == before
    back = resumed(taken)
    # The tasks are replaced both times, also those that the engine takes for tasks with other constraints alone.
    assert taken["TaskTemplate"]["ForceUpdate"] == 5
    assert back["TaskTemplate"].pop("ForceUpdate") == 6
    back["TaskTemplate"]["ForceUpdate"] = 4
    if endpoint is None:
        # The engine writes an empty endpoint where there was none.
        assert back.pop("EndpointSpec") == {}
    assert back == before
    assert resumed(before) == before


# What is waited for


def test_a_task_that_stops_keeps_the_network_in_use() -> None:
    nodes = [node("n1"), node("n2", "down")]
    stopping = task("web", "running", desired="shutdown")
    tasks = [
        stopping,
        task("web", "shutdown", desired="shutdown"),
        task("web", "running", network="new"),
        task("web", "running", node="n2", desired="shutdown"),
    ]
    assert still_on("old", tasks, nodes) == [stopping]
    assert runs_of("id-web", tasks) == 1


def test_the_nodes_that_are_not_in_the_network() -> None:
    nodes = [node("n1"), node("n2"), node("n3", "down"), node("n4", manager="198.51.100.4:2377")]
    peers = [{"IP": "192.0.2.1"}, {"IP": "198.51.100.4"}]
    assert [each.id for each in not_in(peers, nodes)] == ["n2"]
    assert len(not_in(None, nodes)) == 3


def test_the_time_without_ports_depends_on_the_update_settings() -> None:
    slow = service("web", "ingress")
    quick = service("web", "ingress", spec={"UpdateConfig": {"Parallelism": 0}})
    assert dip_of(slow, []) > dip_of(quick, []) > 0
    everywhere = service("web", "ingress", spec={"Mode": {"Global": {}}})
    assert dip_of(everywhere, [task("web", "running")] * 5) > dip_of(everywhere, [])


def test_what_the_controller_sees_of_a_difference() -> None:
    live = {"mtu": 1500, "encrypted": False, "subnets": ["10.0.0.0/24"]}
    assert wish_differs(live, IngressWish()) == []
    assert wish_differs(live, IngressWish("10.0.0.0/24", None, 1500, False)) == []
    found = wish_differs(live, IngressWish("10.9.0.0/24", None, 1400, True))
    assert found == [
        "mtu 1500 -> 1400",
        "subnet 10.0.0.0/24 -> 10.9.0.0/24",
        "encrypted false -> true",
    ]
    assert wish_differs(None, IngressWish()) == []
    assert wish_differs(None, IngressWish(mtu=1400)) == ["is created"]


def test_labels_of_the_note_are_ours() -> None:
    assert INGRESS_LABEL.startswith("flotilla.swarm.")
