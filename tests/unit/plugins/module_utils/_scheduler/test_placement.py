# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the scheduler could put a task: constraints, room, and what is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    assign,
    could_run,
    homeless,
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
    satisfies,
    unplaceable,
)

GIB = 2**30
CPU = 10**9

NODE = PlacementNode(
    id="Abc123",
    hostname="Web-1",
    role="manager",
    addr="192.0.2.17",
    os="linux",
    arch="x86_64",
    labels={"zone": "A", "Disk": "ssd", "empty": ""},
    engine_labels={"com.example.rack": "7"},
)


@pytest.mark.parametrize(
    ("constraint", "met"),
    [
        ("node.id==abc123", True),
        ("node.id != Abc123", False),
        ("NODE.ID == ABC123", True),
        ("node.hostname==web-1", True),
        ("node.hostname!=web-2", True),
        ("node.role==Manager", True),
        ("node.role==worker", False),
        ("node.role != worker", True),
        ("node.ip==192.0.2.17", True),
        ("node.ip!=192.0.2.17", False),
        ("node.ip==::ffff:192.0.2.17", True),
        ("node.ip==192.0.2.0/24", True),
        ("node.ip==192.0.2.99/24", True),
        ("node.ip!=192.0.2.0/24", False),
        ("node.ip==198.51.100.0/24", False),
        ("node.ip!=198.51.100.0/24", True),
        ("node.ip==2001:db8::/32", False),
        ("node.ip!=2001:db8::/32", True),
        # Malformed: no node meets it, with either operator.
        ("node.ip==192.0.2", False),
        ("node.ip!=192.0.2", False),
        ("node.ip!=192.0.2.0/255.255.255.0", False),
        ("node.ip!=192.0.2.0/64", False),
        ("node.platform.os==Linux", True),
        # Platforms of images know that these are one; constraints do not.
        ("node.platform.arch==amd64", False),
        ("node.platform.arch==x86_64", True),
        ("node.labels.zone==a", True),
        ("Node.Labels.zone==a", True),
        # The name of a label keeps its case.
        ("node.labels.Zone==a", False),
        ("node.labels.disk==ssd", False),
        ("node.labels.Disk==SSD", True),
        ("node.labels.gone!=x", True),
        ("node.labels.gone==x", False),
        ("node.labels.empty!=x", True),
        ("engine.labels.com.example.rack==7", True),
        ("engine.labels.com.example.rack!=7", False),
        # Keys that do not exist.
        ("node.labels.==x", False),
        ("node.name==web-1", False),
        ("node.name!=web-1", False),
        # The first operator that occurs splits; == is looked for before !=.
        ("node.labels.zone!=b==c", True),
    ],
)
def test_one_constraint(constraint: str, met: bool) -> None:
    assert satisfies([constraint], NODE) is met


def test_no_constraint_and_all_of_several() -> None:
    assert satisfies([], NODE)
    assert satisfies(["node.role==manager", "node.labels.zone==a"], NODE)
    assert not satisfies(["node.role==manager", "node.labels.zone==b"], NODE)


def test_a_constraint_that_nobody_can_read_switches_all_off() -> None:
    for unreadable in ("zone", "node.labels.zone==", "node.labels.zone=>b", "1x==b"):
        assert satisfies(["node.labels.zone==b", unreadable], NODE)


def test_a_node_that_has_said_nothing() -> None:
    node = parse_placement_node({"ID": "n1"})
    assert (node.availability, node.state, node.usable) == ("unknown", "unknown", False)
    assert not satisfies(["node.ip==192.0.2.1"], node)
    assert satisfies(["node.ip!=192.0.2.1", "node.hostname!=x", "node.labels.a!=b"], node)
    assert not parse_placement_node({}).usable


words = st.text("abcXYZ019-_.", min_size=2, max_size=6).filter(lambda text: text[0] in "abcXYZ")
some_nodes = st.builds(
    PlacementNode,
    id=st.sampled_from(["n1", "n2", "N3"]),
    hostname=words,
    role=st.sampled_from(["manager", "worker"]),
    addr=st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", ""]),
    labels=st.dictionaries(words, words, max_size=3),
)


@given(some_nodes, words, words)
def test_a_constraint_and_its_opposite_exclude_each_other(
    node: PlacementNode, label: str, value: str
) -> None:
    for key in (f"node.labels.{label}", "node.id", "node.hostname", "node.role"):
        assert satisfies([f"{key}=={value}"], node) != satisfies([f"{key}!={value}"], node)
        assert satisfies([f"{key}=={value}"], node) == satisfies([f" {key} == {value} "], node)


@given(some_nodes, st.lists(words, max_size=3))
def test_one_more_constraint_never_admits_a_node(node: PlacementNode, values: list[str]) -> None:
    constraints = [f"node.labels.zone!={value}" for value in values]
    for count in range(len(constraints)):
        if satisfies(constraints[: count + 1], node):
            assert satisfies(constraints[:count], node)


def test_documents_of_the_engine() -> None:
    node = parse_placement_node(
        {
            "ID": "n1",
            "Spec": {"Role": "worker", "Availability": "drain", "Labels": {"zone": "a"}},
            "Description": {
                "Hostname": "w1",
                "Platform": {"Architecture": "x86_64", "OS": "linux"},
                "Resources": {"NanoCPUs": 2 * CPU, "MemoryBytes": GIB},
                "Engine": {"Labels": {"rack": "1"}},
            },
            "Status": {"State": "ready", "Addr": "192.0.2.1"},
        }
    )
    assert node == PlacementNode(
        "n1",
        "w1",
        "worker",
        "192.0.2.1",
        "linux",
        "x86_64",
        {"zone": "a"},
        {"rack": "1"},
        "drain",
        "ready",
        2 * CPU,
        GIB,
    )
    service = parse_placement_service(
        {
            "ID": "s1",
            "Spec": {
                "Name": "web",
                "Mode": {"Replicated": {"Replicas": 3}},
                "TaskTemplate": {
                    "Placement": {
                        "Constraints": ["node.role==worker"],
                        "MaxReplicas": 2,
                        "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
                    },
                    "Resources": {"Reservations": {"NanoCPUs": CPU, "MemoryBytes": GIB}},
                },
                "EndpointSpec": {
                    "Ports": [
                        {"Protocol": "tcp", "PublishedPort": 80, "PublishMode": "host"},
                        {"Protocol": "tcp", "PublishedPort": 81, "PublishMode": "ingress"},
                        {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"},
                    ]
                },
            },
        }
    )
    assert service == PlacementService(
        "s1",
        "web",
        "replicated",
        3,
        ("node.role==worker",),
        2,
        (("linux", "amd64"),),
        CPU,
        GIB,
        (("tcp", 80),),
    )
    task = parse_placement_task(
        {
            "ID": "t1",
            "ServiceID": "s1",
            "NodeID": "n1",
            "Status": {"State": "running"},
            "DesiredState": "running",
        }
    )
    assert task == PlacementTask("t1", "s1", "n1", "running", "running")
    assert task.active


@pytest.mark.parametrize(
    ("mode", "name", "replicas", "job"),
    [
        ({"Replicated": {}}, "replicated", 1, False),
        ({"Global": {}}, "global", 1, False),
        ({"ReplicatedJob": {"MaxConcurrent": 4, "TotalCompletions": 9}}, "replicated-job", 4, True),
        ({"GlobalJob": {}}, "global-job", 1, True),
        (None, "replicated", 1, False),
    ],
)
def test_modes(mode: Any, name: str, replicas: int, job: bool) -> None:
    service = parse_placement_service({"Spec": {"Mode": mode}})
    assert (service.mode, service.replicas, service.job) == (name, replicas, job)


@pytest.mark.parametrize(
    ("state", "desired", "active"),
    [
        ("running", "running", True),
        ("running", "complete", True),  # a job that is at it
        ("complete", "complete", False),
        ("pending", "running", True),
        ("running", "shutdown", False),
        ("failed", "running", False),
        ("running", "remove", False),
    ],
)
def test_tasks_that_hold_a_place(state: str, desired: str, active: bool) -> None:
    assert PlacementTask("t", "s", "n", state, desired).active is active
    assert not parse_placement_task({}).node_id


# Homeless services


def test_a_service_whose_last_node_goes_is_named() -> None:
    before = [
        PlacementNode("n1", labels={"disk": "ssd"}),
        PlacementNode("n2", labels={"disk": "ssd"}),
        PlacementNode("n3"),
    ]
    services = [
        PlacementService("s1", "db", constraints=("node.labels.disk==ssd",)),
        PlacementService("s2", "web"),
        PlacementService("s3", "never", constraints=("node.labels.disk==tape",)),
        PlacementService("s4", "job", "replicated-job", constraints=("node.labels.disk==ssd",)),
        PlacementService("s5", "agent", "global", constraints=("node.labels.disk==ssd",)),
    ]
    after = [before[2]]
    assert homeless(services, before, after) == [
        ("agent", "node.labels.disk==ssd", 2),
        ("db", "node.labels.disk==ssd", 2),
    ]
    assert homeless(services, before, before[1:]) == []
    # A label that moves, a node that is drained, a node that is down.
    assert not homeless(services, before, [replace(before[2], labels={"disk": "ssd"})])
    assert homeless(services, before, [replace(node, availability="drain") for node in before])
    assert homeless(services, before, [replace(node, state="down") for node in before])


def test_a_service_for_a_platform_or_too_large_for_what_stays() -> None:
    large = PlacementNode("n1", os="linux", arch="aarch64", memory_bytes=8 * GIB)
    small = PlacementNode("n2", os="linux", arch="x86_64", memory_bytes=GIB)
    arm = PlacementService("s1", "arm", platforms=(("linux", "arm64"),))
    fat = PlacementService("s2", "fat", memory_bytes=4 * GIB)
    assert could_run(arm, large)
    assert not could_run(arm, small)
    assert homeless([arm, fat], [large, small], [small]) == [
        ("arm", "linux/arm64", 1),
        ("fat", "any ready and active node", 1),
    ]
    # A host that is still to join: nothing is known, so nothing is missing.
    assert homeless([arm, fat], [large, small], [small, PlacementNode("new")]) == []


@given(st.lists(some_nodes, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5), words)
def test_homeless_means_some_before_and_none_after(
    before: list[PlacementNode], kept: list[bool], label: str
) -> None:
    service = PlacementService("s1", "web", constraints=(f"node.labels.{label}!=x", "node.id!=n2"))
    after = [node for node, stays in zip(before, kept) if stays]
    could = [node for node in before if could_run(service, node)]
    found = homeless([service], before, after)
    assert bool(found) == (bool(could) and not any(could_run(service, node) for node in after))
    assert homeless([service], before, before) == []
    if found:
        assert found[0].nodes_before == len(could)


# Room


def running(service: str, node: str, count: int, start: int = 0) -> list[PlacementTask]:
    return [
        PlacementTask(f"{service}.{node}.{number}", service, node, "running", "running")
        for number in range(start, start + count)
    ]


def test_what_is_reserved_has_to_fit() -> None:
    nodes = [
        PlacementNode("n1", nano_cpus=4 * CPU, memory_bytes=4 * GIB),
        PlacementNode("n2", nano_cpus=4 * CPU, memory_bytes=4 * GIB),
    ]
    service = PlacementService("s1", "db", memory_bytes=3 * GIB // 2)
    tasks = running("s1", "n1", 2) + running("s1", "n2", 1)
    assert unplaceable([service], tasks, nodes, {"n1"}) == [
        ("db", 1, "1.5 GiB of memory (one node has up to 1.0 GiB free)")
    ]
    assert unplaceable([service], tasks[1:], nodes, {"n1"}) == []
    assert unplaceable([service], tasks, [*nodes, PlacementNode("new")], {"n1"}) == []
    cpus = PlacementService("s1", "db", nano_cpus=CPU * 5 // 2)
    assert unplaceable([cpus], tasks, nodes, {"n1"}) == [
        ("db", 2, "2.5 CPUs (one node has up to 1.5 CPUs free)")
    ]


def test_what_does_not_run_or_is_not_replicated_needs_no_room() -> None:
    nodes = [PlacementNode("n1", memory_bytes=GIB), PlacementNode("n2", memory_bytes=GIB)]
    service = PlacementService("s1", "db", memory_bytes=GIB)
    dead = [
        PlacementTask("t1", "s1", "n1", "failed", "shutdown"),
        PlacementTask("t2", "s1", "n2", "running", "shutdown"),
    ]
    assert unplaceable([service], dead, nodes, {"n1"}) == []
    assert unplaceable([service], [*dead, *running("s1", "n1", 1)], nodes, {"n1"}) == []
    agent = replace(service, mode="global")
    tasks = running("s1", "n1", 1) + running("s1", "n2", 1)
    assert unplaceable([agent], tasks, nodes, {"n1"}) == []
    job = replace(service, mode="replicated-job")
    assert len(unplaceable([job], tasks, nodes, {"n1"})) == 1
    # A task of a service that is gone.
    assert unplaceable([], tasks, nodes, {"n1"}) == []


def test_replicas_a_node_ports_and_constraints() -> None:
    nodes = [PlacementNode("n1"), PlacementNode("n2"), PlacementNode("n3", availability="pause")]
    one_each = PlacementService("s1", "web", max_replicas=1)
    tasks = running("s1", "n1", 1) + running("s1", "n2", 1)
    assert unplaceable([one_each], tasks, nodes, {"n1"}) == [
        ("web", 1, "a node with fewer than 1 of its tasks")
    ]
    port = PlacementService("s1", "web", host_ports=(("tcp", 80),))
    assert unplaceable([port], tasks, nodes, {"n1"}) == [
        ("web", 1, "a node where port 80/tcp is free")
    ]
    bound = PlacementService("s1", "web", constraints=("node.id==n1",))
    assert unplaceable([bound], tasks, nodes, {"n1"}) == [("web", 1, "a node for node.id==n1")]
    assert unplaceable([bound], tasks, [], {"n1"}) == [("web", 1, "a node for node.id==n1")]
    free = PlacementService("s1", "web")
    assert unplaceable([free], tasks, nodes, {"n1"}) == []
    assert unplaceable([free], tasks, nodes, {"n1", "n2"}) == [
        ("web", 2, "a node for any ready and active node")
    ]


def test_the_largest_goes_first_and_to_the_tightest_place() -> None:
    nodes = [PlacementNode("a", memory_bytes=4 * GIB), PlacementNode("b", memory_bytes=3 * GIB)]
    services = [
        PlacementService("s1", "small", memory_bytes=GIB),
        PlacementService("s2", "large", memory_bytes=3 * GIB),
    ]
    tasks = running("s1", "x", 4) + running("s2", "x", 1)
    placed, missing = assign(services, tasks, nodes, {"x"})
    assert not missing
    assert placed["s2.x.0"] == "b"
    assert [placed[f"s1.x.{number}"] for number in range(4)] == ["a"] * 4


sizes = st.integers(0, 6)
clusters = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 12)),
        st.one_of(st.none(), st.integers(0, 12)),
        st.sampled_from(["ssd", "hdd"]),
        st.sampled_from(["active", "active", "active", "pause", "drain"]),
        st.sampled_from(["ready", "ready", "ready", "down"]),
    ),
    min_size=1,
    max_size=6,
)
loads = st.lists(
    st.tuples(
        sizes,
        sizes,
        st.integers(0, 2),
        st.sampled_from([(), ("node.labels.disk==ssd",), ("node.labels.disk!=ssd",)]),
        st.sampled_from([(), (("tcp", 80),)]),
        st.lists(st.integers(0, 6), max_size=5),
    ),
    max_size=5,
)


def build(
    cluster: Any, load: Any
) -> tuple[list[PlacementNode], list[PlacementService], list[PlacementTask]]:
    """The moving node is n0; tasks are on it and on the others."""
    nodes = [
        PlacementNode(
            f"n{number}",
            labels={"disk": disk},
            availability=availability,
            state=state,
            nano_cpus=cpus,
            memory_bytes=memory,
        )
        for number, (cpus, memory, disk, availability, state) in enumerate(cluster)
    ]
    services = []
    tasks: list[PlacementTask] = []
    for number, (cpus, memory, most, constraints, ports, places) in enumerate(load):
        services.append(
            PlacementService(
                f"s{number}",
                f"service{number}",
                constraints=constraints,
                max_replicas=most,
                nano_cpus=cpus,
                memory_bytes=memory,
                host_ports=ports,
            )
        )
        for place in places:
            tasks += running(f"s{number}", f"n{place}", 1, start=len(tasks))
    return nodes, services, tasks


@given(clusters, loads)
def test_what_is_placed_keeps_every_rule_and_nothing_is_forgotten(cluster: Any, load: Any) -> None:
    nodes, services, tasks = build(cluster, load)
    by_id = {service.id: service for service in services}
    by_node = {node.id: node for node in nodes}
    placed, missing = assign(services, tasks, nodes, {"n0"})

    leaving = [task for task in tasks if task.node_id == "n0"]
    assert len(placed) + sum(item.tasks for item in missing.values()) == len(leaving)
    assert all(item.missing for item in missing.values())

    def is_on(node_id: str) -> list[PlacementService]:
        stays = [by_id[task.service_id] for task in tasks if task.node_id == node_id]
        comes = [by_id[task.service_id] for task in leaving if placed.get(task.id) == node_id]
        return stays + comes

    for task in leaving:
        if task.id not in placed:
            continue
        service, node = by_id[task.service_id], by_node[placed[task.id]]
        assert node.id != "n0"
        assert node.usable
        assert satisfies(service.constraints, node)
        there = is_on(node.id)
        if service.max_replicas:
            assert Counter(item.id for item in there)[service.id] <= service.max_replicas
        if service.nano_cpus and node.nano_cpus is not None:
            assert sum(item.nano_cpus for item in there) <= node.nano_cpus
        if service.memory_bytes and node.memory_bytes is not None:
            assert sum(item.memory_bytes for item in there) <= node.memory_bytes
        if service.host_ports:
            assert sum(item.host_ports == service.host_ports for item in there) == 1


@given(clusters, loads)
def test_a_task_that_asks_for_nothing_fits_where_its_constraint_does(
    cluster: Any, load: Any
) -> None:
    nodes, services, tasks = build(cluster, load)
    free = [
        replace(service, nano_cpus=0, memory_bytes=0, max_replicas=0, host_ports=())
        for service in services
    ]
    short = {item.service for item in unplaceable(free, tasks, nodes, {"n0"})}
    for service in free:
        leaves = any(task.service_id == service.id and task.node_id == "n0" for task in tasks)
        place = any(could_run(service, node) for node in nodes[1:])
        assert (service.name in short) == (leaves and not place)


@given(st.lists(st.integers(0, 12), max_size=5), st.integers(1, 6), st.integers(0, 12))
def test_for_tasks_of_one_size_the_count_is_exact(memory: list[int], size: int, count: int) -> None:
    nodes = [PlacementNode(f"n{n}", memory_bytes=free) for n, free in enumerate(memory, 1)]
    service = PlacementService("s", "s", memory_bytes=size)
    found = unplaceable([service], running("s", "n0", count), nodes, {"n0"})
    room = sum(free // size for free in memory)
    assert sum(item.tasks for item in found) == max(0, count - room)


@given(clusters, loads)
def test_a_host_of_which_nothing_is_known_has_room_for_all_that_only_needs_room(
    cluster: Any, load: Any
) -> None:
    nodes, services, tasks = build(cluster, load)
    only_room = [
        replace(service, constraints=(), max_replicas=0, host_ports=()) for service in services
    ]
    assert unplaceable(only_room, tasks, [*nodes, PlacementNode("new")], {"n0"}) == []
