# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of an adopted swarm, from plain dictionaries."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.identity import DesiredMember
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.membership import (
    Cluster,
    Rules,
    plan_membership,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.adopt_read import (
    outside,
    split,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.adoption import (
    Adoption,
    adopt,
    connection_of,
    engine_variables,
    host_names,
    listed_nodes,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import Node
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import StackSnapshot


def node(number: int = 1, role: str = "worker", **more: Any) -> dict[str, Any]:
    address = f"192.0.2.{number}"
    manager = role == "manager"
    return {
        "id": f"id{number}",
        "hostname": f"h{number}",
        "role": role,
        "availability": "active",
        "state": "ready",
        "addr": address,
        "labels": {},
        "leader": False,
        "reachability": "reachable" if manager else None,
        "manager_addr": f"{address}:2377" if manager else None,
        "engine_version": "26.1.5",
        **more,
    }


def data(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "cluster_id": "abcdefghij",
        "settings": {},
        "pools": [],
        "subnet_size": 0,
        "data_path_port": 0,
        "nodes": list(nodes or [node(1, "manager")]),
        "stacks": [],
        "services": [],
        "networks": [],
        "secrets": [],
        "configs": [],
        **more,
    }


PACKAGES = {"docker.io": "26.1.5+dfsg1-9", "containerd": "1.7", "python3-docker": "7.1"}


def host(**more: Any) -> dict[str, Any]:
    found = {
        "packages": PACKAGES,
        "held": ["docker.io", "containerd"],
        "os": {"family": "Debian"},
        "broken_packages": False,
        "daemon_config": None,
        **more,
    }
    return {"host": found, "engine": {"sdk_version": None}, "swarm": {}}


def made(found: dict[str, Any], **observed: Any) -> Adoption:
    return adopt(found, observed, {}, {"ansible_user": "root"})


def hosts(adoption: Adoption, group: str) -> dict[str, Any]:
    result: dict[str, Any] = adoption.inventory["all"]["children"][group]["hosts"]
    return result


def variables(adoption: Adoption) -> dict[str, Any]:
    result: dict[str, Any] = adoption.inventory["all"]["vars"]
    return result


# Hosts


def test_hosts_are_in_the_group_of_their_role_with_what_differs() -> None:
    adoption = made(
        data(
            node(1, "manager", availability="drain", manager_addr="192.0.2.1:12377"),
            node(2, labels={"zone": "b", "disk": "ssd", "flotilla.swarm.host": "old"}),
        )
    )
    assert hosts(adoption, "swarm_managers") == {
        "h1": {
            "ansible_host": "192.0.2.1",
            "swarm_availability": "drain",
            "swarm_advertise_addr": "192.0.2.1",
            "swarm_listen_addr": "0.0.0.0:12377",
        }
    }
    assert hosts(adoption, "swarm_workers") == {
        "h2": {
            "ansible_host": "192.0.2.2",
            "swarm_zone": "b",
            "swarm_labels": {"disk": "ssd"},
            "swarm_advertise_addr": "192.0.2.2",
        }
    }
    assert adoption.hosts == {"id1": "h1", "id2": "h2"}


def test_a_host_keeps_the_address_at_which_it_was_reached() -> None:
    found = {"id1": {**host(), "swarm": {"node_addr": "10.0.0.1"}}}
    adoption = adopt(data(), found, {"id1": "203.0.113.7"}, {})
    assert hosts(adoption, "swarm_managers")["h1"] == {
        "ansible_host": "203.0.113.7",
        "swarm_advertise_addr": "10.0.0.1",
    }


def test_a_leader_that_knows_no_address_of_itself_has_the_one_of_raft() -> None:
    adoption = made(data(node(1, "manager", addr="0.0.0.0")))
    assert hosts(adoption, "swarm_managers")["h1"]["ansible_host"] == "192.0.2.1"


def test_a_host_without_an_address_is_a_remark() -> None:
    adoption = made(data(node(1, "manager"), node(2, addr=None)))
    assert hosts(adoption, "swarm_workers") == {"h2": {}}
    assert any("set ansible_host" in remark for remark in adoption.remarks)


def test_labels_that_the_inventory_cannot_have_are_remarks() -> None:
    adoption = made(data(node(1, "manager", labels={"a=b": "1", " x": "2", "good": "3"})))
    assert hosts(adoption, "swarm_managers")["h1"]["swarm_labels"] == {"good": "3"}
    assert any("'a=b'" in remark for remark in adoption.remarks)


def test_what_looks_like_a_zone_is_a_remark() -> None:
    labels = {"topology.example.com/zone": "a", "timezone": "b"}
    remarks = " ".join(made(data(node(1, "manager", labels=labels))).remarks)
    assert "topology.example.com/zone of h1 looks like a zone" in remarks
    assert "timezone" not in remarks
    known = {**labels, "zone": "a"}
    assert "looks like a zone" not in " ".join(made(data(node(1, "manager", labels=known))).remarks)


def test_a_node_that_its_host_has_left_behind_is_not_listed() -> None:
    old = node(2, hostname="h3", state="down", addr="192.0.2.3")
    away = node(4, state="down")
    adoption = made(data(node(1, "manager"), old, node(3), away))
    assert set(hosts(adoption, "swarm_workers")) == {"h3", "h4"}
    assert any("node id2" in remark for remark in adoption.remarks)
    # Another machine with the same hostname that is down is a host.
    kept, left = listed_nodes([Node(**node(1)), Node(**node(2, hostname="h1", state="down"))])
    assert (len(kept), left) == (2, [])


def test_hosts_that_do_not_answer_are_a_remark() -> None:
    adoption = made(data(node(1, "manager"), node(2)), id1=host())
    assert any(remark.startswith("h2 did not answer") for remark in adoption.remarks)


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("web.example.com", "web.example.com"),
        ("grüße", "gr-e"),
        ("a b:[1]", "a-b-1"),
        ("", "node"),
        ("-", "node"),
        ("localhost", "localhost-2"),
        ("all", "all-2"),
    ],
)
def test_names_are_valid_for_ansible(hostname: str, name: str) -> None:
    assert host_names([Node(**node(hostname=hostname))]) == {"id1": name}


@given(st.lists(st.sampled_from(["a", "a-2", "a 2", "A", "", "ü", "all"]) | st.text(max_size=4)))
def test_names_are_unique_whatever_the_hostnames_are(hostnames: list[str]) -> None:
    nodes = [Node(**node(number, hostname=name)) for number, name in enumerate(hostnames)]
    names = host_names(nodes)
    assert len(set(names.values())) == len(nodes)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) for name in names.values())
    assert names == host_names(reversed(nodes))


# The plan of site.yml


LABELS = st.dictionaries(
    st.sampled_from(["zone", "disk", "a b", "x=y"]), st.sampled_from(["", "a", "b"])
)


@given(
    st.lists(
        st.tuples(LABELS, st.sampled_from(["active", "pause", "drain"])), min_size=1, max_size=5
    )
)
def test_the_plan_of_the_nodes_is_empty(rows: list[tuple[dict[str, str], str]]) -> None:
    nodes = [
        node(
            number, "manager" if number < 3 else "worker", labels=labels, availability=availability
        )
        for number, (labels, availability) in enumerate(rows)
    ]
    adoption = made(data(*nodes))
    desired = []
    for role in ("manager", "worker"):
        for name, given_variables in hosts(adoption, f"swarm_{role}s").items():
            labels = dict(given_variables.get("swarm_labels", {}))
            if given_variables.get("swarm_zone"):
                labels["zone"] = given_variables["swarm_zone"]
            node_id = next(key for key, known in adoption.hosts.items() if known == name)
            desired.append(
                DesiredMember(
                    name=name,
                    role=role,
                    labels=labels,
                    availability=given_variables.get("swarm_availability"),
                    node_id=node_id,
                )
            )
    cluster = Cluster(nodes=tuple(Node(**one) for one in nodes), acting="id0")
    plan = plan_membership(cluster, desired, Rules(adopted=True))
    assert (plan.steps, plan.refusals, plan.unlisted) == ([], [], [])
    # Without swarm_adopted, each node gets the labels of the collection and nothing else.
    later = plan_membership(cluster, desired, Rules())
    assert [step.action for step in later.steps] == ["labels"] * len(nodes)
    assert all(step.before == step.after for step in later.steps)


def test_an_adopted_node_still_gets_labels_that_are_new_in_the_inventory() -> None:
    cluster = Cluster(nodes=(Node(**node(1, "manager")),), acting="id1")
    desired = DesiredMember(name="h1", role="manager", labels={"disk": "ssd"}, node_id="id1")
    plan = plan_membership(cluster, [desired], Rules(adopted=True))
    assert [step.text for step in plan.steps] == ["disk=ssd"]


# The engine


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([host()], {"docker_engine_source": "distro"}),
        ([host(held=[])], {"docker_engine_source": "distro", "docker_engine_hold": False}),
        ([host(held=["docker.io"])], {"docker_engine_source": "none"}),
        ([host(), host(held=[])], {"docker_engine_source": "none"}),
        ([host(), None], {"docker_engine_source": "none"}),
        ([], {"docker_engine_source": "none"}),
        (
            [
                host(
                    packages={
                        "docker-ce": "5:28.0.0-1",
                        "containerd.io": "1.7",
                        "python3-docker": "7",
                    }
                )
            ],
            {"docker_engine_source": "none"},
        ),
        ([host(packages={**PACKAGES, "docker-cli": "28.0"})], {"docker_engine_source": "none"}),
        ([host(packages={**PACKAGES, "podman-docker": "4"})], {"docker_engine_source": "none"}),
        ([host(os={"family": "RedHat"})], {"docker_engine_source": "none"}),
        ([host(packages={})], {"docker_engine_source": "none", "docker_engine_sdk": "none"}),
    ],
)
def test_the_engines_stay_as_they_are(rows: list[Any], expected: dict[str, Any]) -> None:
    assert engine_variables(rows) == {**expected, "docker_engine_log_rotation": False}


def test_what_the_role_would_have_to_be_told_about_engines_is_in_the_remarks() -> None:
    packages = {"docker-ce": "5:28.0.0-1"}
    row = host(packages=packages, daemon_config={"debug": True})
    remarks = " ".join(made(data(), id1=row).remarks)
    assert "h1: packages of Docker" in remarks
    assert "remove docker_engine_sdk" in remarks
    assert "daemon.json of h1 stays as it is" in remarks


# The swarm


def test_labels_of_the_swarm_that_are_ours_are_no_setting_of_the_user() -> None:
    ours = {"flotilla.swarm.probed": "id1 id2"}
    assert "swarm_settings" not in variables(made(data(settings={"labels": ours})))
    found = variables(made(data(settings={"labels": {**ours, "team": "x"}})))
    assert found["swarm_settings"] == {"labels": {"team": "x"}}


def test_only_what_differs_from_a_new_swarm_is_set() -> None:
    settings = {
        "autolock_managers": False,
        "node_cert_expiry": "90d",
        "task_history_retention_limit": 3,
        "labels": {},
        "dispatcher_heartbeat_period": "5s",
    }
    plain = data(settings=settings, pools=["10.0.0.0/8"], subnet_size=24, data_path_port=4789)
    found = variables(made(plain))
    assert found["swarm_settings"] == {"task_history_retention_limit": 3}
    assert not {"swarm_default_addr_pool", "swarm_subnet_size", "swarm_data_path_port"} & set(found)
    other = data(pools=["10.30.0.0/16"], subnet_size=25, data_path_port=4790)
    found = variables(made(other))
    assert found["swarm_default_addr_pool"] == ["10.30.0.0/16"]
    assert (found["swarm_subnet_size"], found["swarm_data_path_port"]) == (25, 4790)
    assert found["swarm_adopted"] is True


def test_connection_variables_without_secrets() -> None:
    kept, secret = connection_of(
        {
            "ansible_user": "deploy",
            "ansible_port": 22,
            "ansible_become": True,
            "ansible_password": "x",
            "ansible_ssh_pass": "x",
            "ansible_become_pass": "",
            "ansible_become_password": "x",
            "ansible_ssh_common_args": "-o  A=b\n-o C=d",
            "ansible_ssh_extra_args": "-o ProxyCommand='sshpass -p x ssh y' --password=x",
            "ansible_host": "192.0.2.1",
            "ansible_facts": {},
            "ansible_playbook_python": "x",
            "ansible_ssh_private_key_file": "/k",
            "ansible_ssh_private_key": "x",
            "inventory_hostname": "m1",
        }
    )
    assert kept == {
        "ansible_user": "deploy",
        "ansible_port": 22,
        "ansible_become": True,
        "ansible_ssh_common_args": "-o A=b -o C=d",
        "ansible_ssh_private_key_file": "/k",
    }
    assert secret == [
        "ansible_become_password",
        "ansible_password",
        "ansible_ssh_extra_args",
        "ansible_ssh_pass",
        "ansible_ssh_private_key",
    ]


# Stacks and services


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "folder": name,
        "compose": {"version": "3.8", "services": {name: {"image": "x"}}},
        "files": {},
        "notes": [],
        "services": [name],
        "stack": "",
        "differences": [],
        **more,
    }


def test_only_stacks_with_an_empty_plan_are_listed() -> None:
    found = data(
        stacks=[
            entry("good", files={"good/app": "YQ=="}),
            entry("bad", differences=["service bad_x: image a -> b\n| x"]),
        ],
        services=[
            entry("loose"),
            entry("odd", stack="elsewhere", differences=["service odd: group_add"]),
        ],
    )
    adoption = made(found)
    assert variables(adoption)["swarm_stack_stacks"] == [
        {"name": "good", "compose": ["stacks/good.yml"]}
    ]
    assert [(file.path, file.managed) for file in adoption.compose] == [
        ("stacks/good.yml", True),
        ("stacks/bad.yml", False),
        ("services/loose.yml", False),
        ("services/odd.yml", False),
    ]
    assert adoption.data == {"stacks/good/app": "YQ=="}
    remarks = "\n".join(adoption.remarks)
    assert "a deploy of stacks/bad.yml would change it: service bad_x: image a -> b | x" in remarks
    assert "service loose is in no stack" in remarks
    assert "The second one would differ: service odd: group_add" in remarks
    assert all(
        re.sub(r"^- ", "", line) for line in adoption.notes.splitlines() if line.startswith("- ")
    )
    lines = adoption.lines("abcdefghij", "m1", "/x")
    assert lines[0] == "PLAN  adopt swarm abcdef, read on m1, into /x"
    assert sum(line.startswith("  + ") for line in lines) == 7


def test_secrets_and_objects_outside_stacks_are_in_the_page() -> None:
    found = data(
        secrets=[{"name": "key", "used_by": ["shop_web"]}],
        configs=[{"name": "conf", "used_by": []}],
        networks=[
            {"name": "ingress", "driver": "overlay", "ingress": True},
            {"name": "edge", "driver": "overlay", "ingress": False},
        ],
    )
    page = made(found).notes
    assert "- `key`, used by `shop_web`" in page
    assert "- `conf`, used by no service" in page
    assert "- `edge`, driver overlay" in page
    assert "ingress" not in page


def test_services_are_split_by_label_and_name() -> None:
    def service(name: str, stack: str = "") -> dict[str, Any]:
        labels = {"com.docker.stack.namespace": stack} if stack else {}
        return {"Spec": {"Name": name, "Labels": labels}}

    live = StackSnapshot(
        services=[service("b_x", "b"), service("a_x", "a"), service("web"), service("odd", "a")]
    )
    stacks, loose = split(live)
    assert list(stacks) == ["a", "b"]
    assert [one["Spec"]["Name"] for one in loose] == ["odd", "web"]


def test_revisions_of_stacks_are_no_configs_of_the_user() -> None:
    live = StackSnapshot(
        configs=[
            {"Spec": {"Name": "r", "Labels": {"flotilla.swarm.revision": "1"}}},
            {"Spec": {"Name": "mine", "Labels": None}},
        ],
        secrets=[{"Spec": {"Name": "s", "Labels": {"com.docker.stack.namespace": "a"}}}],
    )
    found = outside(live)
    assert [one["name"] for one in found["configs"]] == ["mine"]
    assert [one["name"] for one in found["secrets"]] == ["s"]
