# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine would refuse; molecule/stack/tests/test_refusals.py holds the same against the engine itself."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import (
    StackSnapshot,
    stack_state,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.refusals import (
    LONGEST_CHANGE,
    MARK,
    bad_data,
    bad_name,
    local_networks,
    network_probe,
    objection,
    secret_plugins,
    service_probe,
    shared_ports,
    taken_subnets,
    too_long,
    unknown_drivers,
    without,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.removal import created_only

STACK = {"com.docker.stack.namespace": "s"}


@pytest.mark.parametrize("name", ["a", "A-1_b", "a" * 63, "a--__b"])
def test_names_that_are_good(name: str) -> None:
    assert bad_name(name) is None


@pytest.mark.parametrize("name", ["", "_a", "a_", "a.b", "a b", "a/b", "ü", "a\n", "a" * 64])
def test_names_that_are_bad(name: str) -> None:
    assert bad_name(name) is not None


@pytest.mark.parametrize(
    ("name", "size", "driver", "good"),
    [
        ("a" * 64, 1, False, True),
        ("a.b-c_d", 1023999, False, True),
        ("a" * 65, 1, False, False),
        (".a", 1, False, False),
        ("a", 0, False, False),
        ("a", 0, True, True),
        ("a", 1024000, False, False),
    ],
)
def test_data(name: str, size: int, driver: bool, good: bool) -> None:
    assert (bad_data("config", name, size, driver) is None) == good


def test_a_probe_is_the_service_with_what_cannot_be_and_leaves_the_spec_alone() -> None:
    spec: dict[str, Any] = {
        "Name": "s_web",
        "TaskTemplate": {
            "ContainerSpec": {"Image": "x", "Secrets": [{"SecretID": "planned1"}]},
            "Networks": [{"Target": "s_new"}, {"Target": "there"}],
        },
    }
    probe = service_probe(spec, {"s_new", "planned1"})
    assert probe["TaskTemplate"]["Networks"] == [{"Target": "there"}]
    secrets = [one["SecretID"] for one in probe["TaskTemplate"]["ContainerSpec"]["Secrets"]]
    assert secrets == ["planned1", MARK]
    left = without(spec, {"s_new", "planned1"})["TaskTemplate"]
    assert left["ContainerSpec"] == {"Image": "x", "Secrets": []}
    assert len(spec["TaskTemplate"]["Networks"]) == 2
    network = network_probe({"Name": "n", "IPAM": {"Config": [{"Subnet": "10.0.0.0/8"}]}})
    assert network["Name"] == MARK
    assert network["IPAM"]["Config"] == [{"Subnet": "10.0.0.0/8"}, {"Subnet": MARK}]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("rpc error: code = Unknown desc = update out of sequence", None),
        (f"rpc error: code = InvalidArgument desc = secret not found: {MARK}", None),
        (f"rpc error: desc = secrets not found: s_key, {MARK}", None),
        (f"rpc error: desc = secrets not found: gone, {MARK}", "secret not found: gone"),
        ("rpc error: desc = config not found: s_key", None),
        (f"Invalid subnet {MARK} : invalid CIDR address: {MARK}", None),
        (
            f"invalid network config:\ninvalid subnet a: no\ninvalid subnet {MARK}",
            "invalid subnet a: no",
        ),
        ("name must be valid", "name must be valid"),
    ],
)
def test_what_the_engine_has_against_it_apart_from_what_cannot_be(
    message: str, words: str | None
) -> None:
    assert objection(message, {"s_key"}) == words


def publishes(*ports: tuple[int, str]) -> dict[str, Any]:
    listed = [
        {"PublishedPort": port, "PublishMode": mode, "Protocol": "tcp"} for port, mode in ports
    ]
    return {"EndpointSpec": {"Ports": listed}}


@pytest.mark.parametrize(
    ("one", "other", "bad"),
    [
        ((80, "ingress"), (80, "ingress"), True),
        ((80, "ingress"), (80, "host"), True),
        ((80, "host"), (80, "ingress"), True),
        ((80, "host"), (80, "host"), False),
        ((80, "ingress"), (81, "ingress"), False),
        ((0, "ingress"), (0, "ingress"), False),
    ],
)
def test_ports_within_a_stack(one: tuple[int, str], other: tuple[int, str], bad: bool) -> None:
    found = list(shared_ports({"b": publishes(other), "a": publishes(one)}))
    assert [name for name, _words in found] == ["b"] * bad


@pytest.mark.parametrize(
    ("driver", "bad"), [("overlay", False), ("bridge", True), ("host", True), ("own", False)]
)
def test_networks_of_one_host(driver: str, bad: bool) -> None:
    services = {"web": {"TaskTemplate": {"Networks": [{"Target": "n"}]}}}
    assert bool(list(local_networks({"n": {"Driver": driver}}, services))) == bad


def test_the_length_of_a_change_counts_the_previous_spec() -> None:
    def long(length: int) -> dict[str, Any]:
        return {"Env": ["x" * length]}

    assert not list(too_long({"a": long(LONGEST_CHANGE - 4)}, {"a": None}))
    assert list(too_long({"a": long(LONGEST_CHANGE)}, {"a": None}))
    assert list(too_long({"a": long(LONGEST_CHANGE // 2)}, {"a": long(LONGEST_CHANGE // 2)}))


def test_secret_drivers_are_plugins_of_the_leader() -> None:
    def node(name: str, **status: Any) -> dict[str, Any]:
        plugins = [{"Type": "secretprovider", "Name": name}, {"Type": "Volume", "Name": "local"}]
        return {"Description": {"Engine": {"Plugins": plugins}}, **status}

    known = secret_plugins([node("a:latest", ManagerStatus={"Leader": True}), node("b:latest")])
    assert known == {"a:latest"}
    drivers = {"one": "a", "two": "b", "three": "local"}
    assert [name for name, _words in unknown_drivers(drivers, known)] == ["three", "two"]


def network(*subnets: str, **more: Any) -> dict[str, Any]:
    return {
        "IPAM": {"Config": [{"Subnet": subnet} for subnet in subnets]},
        "Scope": "swarm",
        **more,
    }


@pytest.mark.parametrize(
    ("wanted", "live", "bad"),
    [
        ({"a": network("10.1.0.0/24")}, [network("10.1.0.128/25", Name="x")], ["a"]),
        ({"a": network("10.1.0.0/24")}, [network("10.1.1.0/24", Name="x")], []),
        # The engine's own bridge is of another address space.
        ({"a": network("10.1.0.0/24")}, [network("10.1.0.0/16", Name="x", Scope="local")], []),
        ({"a": network("10.1.0.0/24")}, [network("10.1.0.0/24", Name="a")], []),
        # It is there, and got no addresses.
        (
            {"a": network("10.1.0.0/24")},
            [network(Name="a"), network("10.1.0.0/16", Name="x")],
            ["a"],
        ),
        ({"a": network("10.1.0.0/24"), "b": network("10.1.0.0/25")}, [], ["b"]),
        ({"a": network("fd00::/64")}, [network("10.1.0.0/16", Name="x")], []),
        ({"a": network("nonsense")}, [network("10.1.0.0/16", Name="x")], []),
        ({"a": network()}, [network("10.1.0.0/16", Name="x")], []),
    ],
)
def test_subnets(wanted: dict[str, Any], live: list[dict[str, Any]], bad: list[str]) -> None:
    assert [name for name, _words in taken_subnets(wanted, live)] == bad


def service(name: str, network_id: str = "", **labels: str) -> dict[str, Any]:
    spec = {"Name": name, "Labels": labels, "TaskTemplate": {"Networks": [{"Target": network_id}]}}
    return {"ID": f"id-{name}", "Version": {"Index": 1}, "Spec": spec}


def test_what_a_run_has_created_goes_unless_somebody_else_uses_it() -> None:
    net = {"Id": "n1", "Name": "s_net", "Labels": STACK}
    used = {"Id": "n2", "Name": "s_used", "Labels": STACK}
    before = StackSnapshot(services=[service("s_old", **STACK)])
    now = StackSnapshot(
        networks=[net, used, {"Id": "n3", "Name": "s_of_another_run", "Labels": STACK}],
        services=[
            service("s_old", **STACK),
            service("s_new", "n1", **STACK),
            service("other", "n2"),
        ],
    )
    steps, stays = created_only("s", before, now, {"n1", "n2", "id-s_new", "id-s_old"})
    assert [step.name for step in steps] == ["s_new", "s_net"]
    assert stays == ["network s_used stays, since service other uses it"]


def test_what_others_change_in_a_stack_shows() -> None:
    before = StackSnapshot(services=[service("s_a", **STACK), service("foreign")])
    after = StackSnapshot(services=[{**service("s_a", **STACK), "Version": {"Index": 2}}])
    assert stack_state("s", before) != stack_state("s", after)
    assert stack_state("s", before).keys() == {("service", "s_a")}
