# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import packed, unpacked
from ansible_collections.flotilla.swarm.plugins.module_utils._engine.preflight import (
    left_over,
    preflight,
)

SETTINGS: dict[str, Any] = {
    "pools": [],
    "data_path_port": None,
    "kernel_features": ["overlay", "bridge", "vxlan"],
    "disk_free_mb": 1000,
    "clock_skew_limit": 60.0,
    "ignore": [],
}
FEATURES = dict.fromkeys(("overlay", "bridge", "vxlan", "ip_vs", "esp"), True)


def host(state: str = "inactive", skew: float | None = 0.0, **changes: Any) -> dict[str, Any]:
    return {
        "host": {
            "kernel_features": FEATURES,
            "disk": {"path": "/var/lib/docker", "free_bytes": 5 * 10**9},
            "listening": {"tcp": [22], "udp": []},
            "routes": ["192.168.1.0/24"],
            **changes,
        },
        "swarm": {"state": state},
        "clock": {"skew": skew},
    }


def failures(own: dict[str, Any], **settings: Any) -> list[str]:
    found = preflight("m1", {"m1": own, "m2": host()}, {**SETTINGS, **settings})["failures"]
    # They reach the page as data.
    assert [unpacked(each) for each in json.loads(json.dumps(list(map(packed, found))))] == found
    return found


def failure(own: dict[str, Any], **settings: Any) -> str:
    found = failures(own, **settings)
    assert len(found) == 1
    assert found[0].endswith(".")
    assert "\n" not in found[0]
    return found[0]


def test_a_host_that_is_fit() -> None:
    assert preflight("m1", {"m1": host(), "m2": host()}, SETTINGS) == {
        "failures": [],
        "warnings": [],
    }


def test_nothing_known_is_nothing_found() -> None:
    unknown = {"host": {}, "swarm": {"state": "inactive"}}
    assert preflight("m1", {"m1": unknown}, SETTINGS) == {"failures": [], "warnings": []}


def test_kernel() -> None:
    lacking = host(kernel_features={**FEATURES, "vxlan": False, "overlay": None})
    found = failure(lacking)
    assert found.startswith("m1: its kernel has no vxlan")
    assert "docker_engine_kernel_features" in found


def test_what_will_not_work_is_said_once_for_all_hosts() -> None:
    lacking = {name: host(kernel_features={**FEATURES, "ip_vs": False}) for name in ("m1", "m2")}
    assert preflight("m2", lacking, SETTINGS)["warnings"] == []
    (warning,) = preflight("m1", lacking, SETTINGS)["warnings"]
    assert warning.startswith("m1, m2: no ip_vs in the kernel")
    assert (
        "ip_vs"
        in preflight("m2", lacking, {**SETTINGS, "kernel_features": ["ip_vs"]})["failures"][0]
    )


@pytest.mark.parametrize(
    ("listening", "settings", "words"),
    [
        ({"tcp": [2377], "udp": []}, {}, "port 2377/tcp"),
        ({"tcp": [], "udp": [7946]}, {}, "port 7946/udp"),
        ({"tcp": [], "udp": [4789]}, {}, "change swarm_data_path_port"),
        ({"tcp": [], "udp": [5000]}, {"data_path_port": 5000}, "port 5000/udp"),
    ],
)
def test_ports(listening: dict[str, list[int]], settings: dict[str, Any], words: str) -> None:
    assert words in failure(host(listening=listening), **settings)


HELD = {"tcp": [7946], "udp": [7946]}


def test_a_port_that_the_engine_has_kept_goes_with_its_restart() -> None:
    kept: dict[str, Any] = {"listening": HELD, "engine_listening": HELD}
    assert left_over(host(**kept))
    assert failures(host(systemd=True, **kept)) == []
    # Without systemd, nobody restarts it.
    found = failures(host(systemd=False, **kept))
    assert len(found) == 2
    assert all(text.endswith(": restart the engine.") for text in found)
    # Of a swarm that the host is in, it is the engine's own business.
    assert not left_over(host(state="active", **kept))


def test_what_the_kernel_holds_for_networks_of_a_left_swarm_is_in_nobodys_way() -> None:
    held: dict[str, Any] = {"listening": {"tcp": [], "udp": [4789]}}
    assert "port 4789/udp" in failure(host(**held))
    assert failures(host(kernel_listening={"tcp": [], "udp": [4789]}, **held)) == []


def test_a_port_that_somebody_else_holds_is_refused_with_systemd_too() -> None:
    other: dict[str, Any] = {"listening": HELD, "engine_listening": {"tcp": [2377], "udp": []}}
    assert not left_over(host(**other))
    found = failures(host(systemd=True, **other))
    assert len(found) == 2
    assert all(text.endswith(": stop what listens there.") for text in found)


def test_a_port_that_is_not_used_may_be_taken() -> None:
    assert failures(host(listening={"tcp": [], "udp": [4789]}), data_path_port=5000) == []


def test_a_member_holds_the_ports_itself() -> None:
    taken = {"tcp": [2377, 7946], "udp": [4789, 7946]}
    assert failures(host(state="active", listening=taken, routes=["10.0.0.0/24"])) == []


@pytest.mark.parametrize(
    ("pools", "routes", "words"),
    [
        ([], ["10.1.0.0/16"], "the engine's default address pool 10.0.0.0/8"),
        (["192.168.0.0/16"], ["192.168.1.0/24"], "swarm_default_addr_pool 192.168.0.0/16"),
        (["nonsense"], [], "'nonsense', which is not a network"),
    ],
)
def test_pools(pools: list[str], routes: list[str], words: str) -> None:
    everybody = {"m1": host(routes=[]), "w9": host(routes=routes)}
    (found,) = preflight("m1", everybody, {**SETTINGS, "pools": pools})["failures"]
    assert words in found
    assert "swarm_default_addr_pool" in found
    # It is another host's route that is in the way, and that host is named.
    assert found.startswith("w9: ") or not routes


def test_a_pool_of_the_other_address_family_is_no_overlap() -> None:
    assert failures(host(routes=["fd00::/64"])) == []


def test_clock() -> None:
    everybody = {"m1": host(skew=3600.0), "m2": host(skew=0.1), "m3": host(skew=0.2)}
    (found,) = preflight("m1", everybody, SETTINGS)["failures"]
    assert found.startswith("m1: its clock is 3600 s ahead of")
    assert "docker_engine_clock_skew_limit" in found
    assert preflight("m2", everybody, SETTINGS)["failures"] == []


def test_a_controller_whose_clock_is_wrong_is_not_the_hosts_fault() -> None:
    everybody = {name: host(skew=9000.0) for name in ("m1", "m2")}
    assert preflight("m1", everybody, SETTINGS)["failures"] == []


def test_disk() -> None:
    found = failure(host(disk={"path": "/srv", "free_bytes": 300 * 1024 * 1024}))
    assert (
        found
        == "m1: /srv has 300 MB free, less than 1000 MB: free space, or lower docker_engine_disk_free_mb."
    )


def test_checks_can_be_ignored() -> None:
    own = host(disk={"path": "/srv", "free_bytes": 0}, listening={"tcp": [2377], "udp": []})
    assert len(failures(own)) == 2
    assert failures(own, ignore=["disk", "ports"]) == []


def warnings(observed: dict[str, dict[str, Any]], **settings: Any) -> list[str]:
    found = preflight(min(observed), observed, {**SETTINGS, **settings})
    assert found["failures"] == []
    assert [
        unpacked(each) for each in json.loads(json.dumps(list(map(packed, found["warnings"]))))
    ] == found["warnings"]
    return found["warnings"]


def test_a_host_with_ipv6_alone_cannot_be_a_node() -> None:
    addresses = [
        {"interface": "eth0", "address": "2001:db8::1", "prefix": 64},
        {"interface": "docker0", "address": "172.17.0.1", "prefix": 16},
        {"interface": "lo", "address": "127.0.0.1", "prefix": 8},
    ]
    assert failure(host(addresses=addresses)).startswith("m1: it has IPv6 addresses alone: give it")
    assert failures(host(addresses=addresses), ignore=["network"]) == []
    both = [*addresses, {"interface": "eth1", "address": "192.0.2.1", "prefix": 24}]
    assert failures(host(addresses=both)) == []
    assert failures(host(addresses=[])) == []


FILTERS = {"forwarding": True, "iptables": "nft", "legacy_tables": [], "strict": ["eth0"]}


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        (
            {"forwarding": False},
            "m1, m2: net.ipv4.ip_forward is 0 although the engine has set it to 1",
        ),
        ({"legacy_tables": ["nat", "filter"]}, "tables of legacy iptables (filter, nat) as well"),
        ({"strict": ["eth0", "eth1"]}, "m1, m2: more than one interface has rp_filter 1"),
    ],
)
def test_what_keeps_packets_from_passing_is_a_warning(filters: dict[str, Any], words: str) -> None:
    lacking = {
        name: host(filters={**FILTERS, **filters}, service={"active": True})
        for name in ("m1", "m2")
    }
    (warning,) = warnings(lacking)
    assert words in warning
    assert warnings(lacking, ignore=["network"]) == []
    # One warns for all.
    assert preflight("m2", lacking, SETTINGS)["warnings"] == []


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"forwarding": None},
        # Without nf_tables rules there is one kind.
        {"iptables": "legacy", "legacy_tables": ["filter", "nat"]},
        {"iptables": None, "legacy_tables": ["filter"]},
    ],
)
def test_filters_that_let_packets_pass(filters: dict[str, Any]) -> None:
    assert warnings({"m1": host(filters={**FILTERS, **filters}, service={"active": True})}) == []
    # An engine that starts turns forwarding on.
    stopped = host(filters={**FILTERS, "forwarding": False}, service={"active": False})
    assert warnings({"m1": stopped}) == []


def test_network_cards_that_break_overlay_networks() -> None:
    card = {"name": "eth0", "driver": "vmxnet3", "tx_checksum": True}
    machines = {"m1": host(interfaces=[card]), "m2": host(interfaces=[{**card, "driver": "ena"}])}
    (warning,) = warnings(machines)
    assert warning.startswith("m1: network cards with the driver vmxnet3")
    assert warnings(machines, fix_offload=True) == []
    assert warnings({"m1": host(interfaces=[{**card, "tx_checksum": False}])}) == []


def test_the_port_that_nsx_takes() -> None:
    machine = {"m1": host(vendor="VMware, Inc."), "m2": host(vendor="QEMU")}
    (warning,) = warnings(machine)
    assert warning.startswith("m1: where VMware NSX carries the network, it takes 4789/udp")
    assert warnings(machine, data_path_port=7789) == []
    (warning,) = warnings(machine, data_path_port=4789)
    assert warnings({"m2": host(vendor=None)}) == []
