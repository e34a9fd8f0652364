# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the networks under all stacks: MTU, docker_gwbridge, checksum offload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._network.ingress_plan import (
    IngressWish,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._network.plan import (
    NetworkHost,
    NetworkPlan,
    NetworkWish,
    offload_service,
    plan_networks,
)


def overlay(name: str, mtu: int = 1500, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "mtu": mtu,
        "has_mtu": mtu != 1500,
        "encrypted": False,
        "ingress": False,
        "stack": None,
        "subnets": [],
        **more,
    }


INGRESS = overlay("ingress", ingress=True, subnets=["10.0.0.0/24"])


def host(name: str = "m1", mtu: int = 1500, **more: Any) -> NetworkHost:
    card = {
        "name": "eth0",
        "mtu": mtu,
        "addresses": [f"192.0.2.{name[1:]}"],
        "default": True,
        "driver": more.pop("driver", "virtio_net"),
        "tx_checksum": more.pop("checksum", True),
    }
    other = {
        **card,
        "name": "eth1",
        "mtu": 9000,
        "addresses": [f"198.51.100.{name[1:]}"],
        "default": False,
    }
    swarm = more.pop(
        "swarm", {"state": "active", "node_addr": f"192.0.2.{name[1:]}", "node_id": name}
    )
    address = more.pop("address", "")
    found = {
        "interfaces": [card, other],
        "gwbridge": {"mtu": 1500, "containers": 0, "ingress": True},
        "networks": None,
        "ingress_note": None,
        "offload_service": None,
        **more,
    }
    return NetworkHost(name, swarm, found, address)


def drained(*names: str) -> dict[str, Any]:
    nodes = [{"id": name, "availability": "drain"} for name in names]
    return {"state": "active", "node_addr": "192.0.2.1", "node_id": "m1", "nodes": nodes}


def plan(*hosts: NetworkHost, **wish: Any) -> NetworkPlan:
    more = {key: wish.pop(key) for key in ("missing", "joining") if key in wish}
    return plan_networks(list(hosts), NetworkWish(**wish), **more)


def test_nothing_is_managed_by_default() -> None:
    found = plan(host("m1", networks=[INGRESS]), host("w2", mtu=1400))
    assert (found.steps, found.warnings, found.mtu, found.ingress) == ([], [], None, None)


def test_the_least_mtu_counts_and_hosts_that_differ_are_named() -> None:
    found = plan(host("m1", networks=[INGRESS]), host("m2"), host("w3", mtu=1400), mtu="auto")
    assert found.mtu == 1400
    assert found.ingress == IngressWish(mtu=1400)
    assert "w3 1400, but m1 1500, m2 1500" in found.warnings[0]


@given(st.lists(st.integers(576, 9000), min_size=1, max_size=6))
def test_auto_never_exceeds_what_a_host_can_send(sizes: list[int]) -> None:
    found = plan(*(host(f"m{number + 1}", mtu) for number, mtu in enumerate(sizes)), mtu="auto")
    assert found.mtu == min(sizes)
    assert not found.refusals


def test_auto_needs_all_hosts() -> None:
    silent = NetworkHost("w2")
    for found in (plan(host(), silent, mtu="auto"), plan(host(), mtu="auto", missing=["w2"])):
        assert found.mtu is None
        assert "w2" in found.warnings[0]
        assert not found.gwbridge
    # A number needs nobody.
    assert plan(host(), silent, mtu="1400").mtu == 1400


def test_a_number_that_a_host_cannot_send_is_refused() -> None:
    found = plan(host("m1"), host("w2", mtu=1400), mtu="1500")
    assert "eth0 of w2 has 1400" in found.refusals[0]
    assert plan(host(), mtu="500").refusals
    assert plan(host(), ingress={"gateway": "10.0.0.1"}).refusals


def test_a_subnet_that_is_elsewhere_is_refused() -> None:
    away = replace(host("w2"), routes=("10.9.0.0/16", "fd00::/64"))
    found = plan(host(networks=[INGRESS]), away, ingress={"subnet": "10.9.1.0/24"})
    assert "overlaps 10.9.0.0/16, to which w2 has a route" in found.refusals[0]
    assert not plan(host(networks=[INGRESS]), away, ingress={"subnet": "10.8.1.0/24"}).refusals


@pytest.mark.parametrize(
    ("address", "swarm", "name"),
    [
        ("eth1", {}, "eth1"),
        ("198.51.100.1", {"node_addr": "192.0.2.1"}, "eth1"),
        ("", {"node_addr": "198.51.100.1"}, "eth1"),
        ("", {}, "eth0"),
        ("eth7", {}, None),
    ],
)
def test_the_interface_of_the_data_path(
    address: str, swarm: dict[str, Any], name: str | None
) -> None:
    found = host(address=address, swarm=swarm).interface()
    assert (found["name"] if found else None) == name


def test_docker_gwbridge_changes_on_a_drained_host_only() -> None:
    manager = host("m1", swarm=drained("w2", "w3"))
    idle = host("w2")
    busy = host("w3", gwbridge={"mtu": 1500, "containers": 1, "ingress": True})
    found = plan(manager, idle, busy, mtu="1400")
    assert found.gwbridge == {"w2": 1400}
    assert found.steps[0][3] == "mtu 1500 -> 1400   restarts the engine"
    assert any(
        each.startswith("m1, w3: docker_gwbridge has an MTU of 1500") for each in found.warnings
    )
    assert found.unchanged == 0


def test_docker_gwbridge_is_created_before_a_host_joins() -> None:
    new = host("w2", swarm={"state": "inactive"}, gwbridge=None)
    left = host(
        "w3", swarm={"state": "inactive"}, gwbridge={"mtu": 1500, "containers": 0, "ingress": False}
    )
    found = plan(host("m1", networks=[INGRESS]), new, left, mtu="1400", joining=True)
    assert found.gwbridge == {"w2": 1400, "w3": 1400}
    assert [step[0] for step in found.steps] == ["+", "~"]
    # The rest waits until they have joined.
    assert found.ingress is None


def test_the_plan_of_a_new_swarm_announces_its_ingress_network() -> None:
    new = host("m1", swarm={"state": "inactive"}, gwbridge=None)
    found = plan(new, mtu="1400", ingress={"encrypted": True}, joining=True)
    assert found.ingress is None
    words = "mtu 1500 -> 1400, encrypted false -> true, after the swarm is initialised"
    assert found.steps[-1] == ("~", "ingress", "-", words)
    assert len(plan(new, mtu="1500", joining=True).steps) == 1


def test_networks_without_an_mtu_have_that_of_the_engines() -> None:
    networks = [INGRESS, overlay("shop", stack="shop")]
    small = replace(host(networks=networks), default_mtu=1400)
    assert not any("network shop" in each for each in plan(small, mtu="1400").warnings)
    assert any("network shop" in each for each in plan(small, host("w2"), mtu="1400").warnings)


def test_a_host_that_lost_its_way_out_restarts() -> None:
    half = {"mtu": 1400, "containers": 0, "ingress": False}
    found = plan(host("m1", swarm=drained("m1"), gwbridge=half, unplugged=True), mtu="1400")
    assert found.gwbridge == {"m1": 1400}
    assert "restarts the engine" in found.steps[0][3]
    assert not plan(host("m1", gwbridge=half, unplugged=True), mtu="1400").gwbridge


def test_offload_needs_consent_and_is_permanent() -> None:
    faulty = host("m1", driver="vmxnet3")
    asks = plan(faulty, host("w2"))
    assert asks.offload == {}
    assert asks.warnings[0].startswith("m1: eth0 (vmxnet3)")
    assert "swarm_fix_offload" in asks.warnings[0]
    does = plan(faulty, host("w2"), fix_offload=True)
    assert does.offload == {"m1": "eth0"}
    off_by_hand = host("m1", driver="vmxnet3", checksum=False)
    assert plan(off_by_hand, fix_offload=True).offload == {"m1": "eth0"}
    done = host("m1", driver="vmxnet3", checksum=False, offload_service="eth0")
    assert plan(done, fix_offload=True).steps == []
    assert plan(done).warnings == []
    assert plan(host("m1"), fix_offload=True, offload_drivers=("virtio_net",)).offload


def test_the_unit_of_the_service_names_its_interface() -> None:
    assert offload_service("[Service]\nExecStart=/usr/sbin/ethtool -K eth0 tx off\n") == "eth0"
    assert offload_service("") is None


def test_networks_of_stacks_that_are_too_large_are_named_with_what_to_set() -> None:
    networks = [
        INGRESS,
        overlay("shop", stack="shop"),
        overlay("own", encrypted=True),
        overlay("small", 1300),
    ]
    found = plan(host(networks=networks), mtu="1400")
    assert "network shop lets containers send 1450 bytes, and 1350 fit" in found.warnings[-2]
    assert "replace_networks: true for stack shop" in found.warnings[-2]
    assert (
        "network own lets containers send 1424 bytes, and 1324 fit: recreate it"
        in found.warnings[-1]
    )


def test_an_interrupted_recreation_is_finished_also_without_a_wish() -> None:
    found = plan(host(networks=[INGRESS], ingress_note="{}"))
    assert found.ingress == IngressWish()
    # A removed ingress network stays removed.
    assert plan(host(networks=[overlay("x")]), mtu="1500").ingress is None
    assert plan(host(networks=[overlay("x")]), ingress={"encrypted": True}).ingress is not None
