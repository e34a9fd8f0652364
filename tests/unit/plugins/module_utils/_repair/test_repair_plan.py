# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found wrong in overlay networks, from what nodes say of each other, and the plan against it."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import parse_node
from ansible_collections.flotilla.swarm.plugins.module_utils._repair.carry_out import (
    carry_out,
    empty_result,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._repair.faults import (
    Fault,
    Known,
    find_faults,
    known_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._repair.plan import (
    LEVELS,
    plan_repair,
    report,
)

NET = "a" * 25
SERVICES = ("shop_db", "shop_web")


def node_document(n: int) -> dict[str, Any]:
    return {
        "ID": f"n{n}",
        "Description": {"Hostname": f"w{n}"},
        "Spec": {"Role": "worker", "Availability": "active"},
        "Status": {"State": "ready", "Addr": f"192.0.2.{n}"},
    }


def address(n: int, service: int) -> str:
    return f"10.0.{service + 1}.{n}"


def mac(ip: str) -> str:
    return "02:42:" + ":".join(f"{int(part):02x}" for part in ip.split("."))


class Swarm:
    """A swarm that is as it should be: one network, and a task of each service on each node."""

    def __init__(self, nodes: int = 3) -> None:
        self.numbers = range(1, nodes + 1)
        self.documents: dict[str, Any] = {
            "/nodes": [node_document(n) for n in self.numbers],
            "/networks": [
                {"Id": NET, "Name": "shop_default", "Driver": "overlay", "Scope": "swarm"},
                {"Id": "b" * 64, "Name": "bridge", "Driver": "bridge", "Scope": "local"},
            ],
            "/services": [{"ID": name, "Spec": {"Name": name}} for name in SERVICES],
            "/tasks": [
                {
                    "ID": f"{name}.{n}",
                    "ServiceID": name,
                    "NodeID": f"n{n}",
                    "DesiredState": "running",
                    "Status": {"State": "running"},
                    "NetworksAttachments": [
                        {"Network": {"ID": NET}, "Addresses": [f"{address(n, at)}/16"]}
                    ],
                }
                for n in self.numbers
                for at, name in enumerate(SERVICES)
            ],
            "/info": {"Swarm": {"NodeID": "n1"}},
        }
        self.reads = {f"n{n}": self._read(n) for n in self.numbers}

    def _read(self, n: int) -> dict[str, Any]:
        return {
            "node_id": f"n{n}",
            "leftovers": [],
            "unfinished": False,
            "networks": {
                NET: {
                    "own": {address(n, at): mac(address(n, at)) for at in range(2)},
                    "entries": {
                        address(m, at): [mac(address(m, at)), f"192.0.2.{m}"]
                        for m in self.numbers
                        for at in range(2)
                        if m != n
                    },
                    "names": {
                        name: {"code": "ok", "addresses": [address(m, at) for m in self.numbers]}
                        for at, name in enumerate(SERVICES)
                    },
                }
            },
        }

    def net(self, node: str) -> dict[str, Any]:
        found: dict[str, Any] = self.reads[node]["networks"][NET]
        return found

    @property
    def known(self) -> Known:
        nodes = [parse_node(each) for each in self.documents["/nodes"]]
        return known_of(
            nodes,
            self.documents["/networks"],
            self.documents["/services"],
            self.documents["/tasks"],
        )

    def faults(self) -> list[Fault]:
        return find_faults(self.known, list(self.reads.values()))

    # As the engine of a manager

    def get(self, path: str, _attempt: str) -> Any:
        return self.documents[path]

    def nodes(self) -> Any:
        return self.documents["/nodes"]

    def info(self) -> Any:
        return self.documents["/info"]

    def call(self, **options: Any) -> dict[str, Any]:
        """The result of the module."""
        result = empty_result()
        params = {"nodes": [], "confirm": None, "up_to": "entries", "tried": [], **options}
        carry_out(self, params, result)
        return result


@pytest.fixture
def swarm() -> Swarm:
    return Swarm()


def test_a_sound_swarm_has_no_fault_and_its_plan_says_what_was_read(swarm: Swarm) -> None:
    result = swarm.call(nodes=list(swarm.reads.values()))
    assert result["faults"] == []
    assert not result["changed"]
    assert result["plan"] == [
        "PLAN  repair the network, acting on w1",
        "  = 3 nodes as they should be, 12 entries and 6 answers read",
    ]
    assert result["names"] == {NET: ["shop_db", "shop_web"]}


def test_without_nodes_it_only_says_what_to_ask(swarm: Swarm) -> None:
    assert swarm.call() == {**empty_result(), "names": {NET: ["shop_db", "shop_web"]}}


@pytest.mark.parametrize(
    "entry", [["02:42:0a:00:01:02", "192.0.2.3"], None, ["02:42:0a:00:01:09", "192.0.2.2"]]
)
def test_an_entry_that_leads_elsewhere_or_is_missing_is_written(swarm: Swarm, entry: Any) -> None:
    entries = swarm.net("n1")["entries"]
    if entry is None:
        del entries[address(2, 0)]
    else:
        entries[address(2, 0)] = entry
    (fault,) = swarm.faults()
    assert (fault.kind, fault.node, fault.owner, fault.service) == ("entry", "n1", "n2", "shop_db")
    plan = plan_repair(swarm.known, [fault], "entries")
    assert plan.hosts == {
        "n1": {
            "interfaces": [],
            "entries": [
                {
                    "network": NET,
                    "address": "10.0.1.2",
                    "mac": "02:42:0a:00:01:02",
                    "host": "192.0.2.2",
                    "found_mac": entry[0] if entry else "",
                    "found_host": entry[1] if entry else "",
                }
            ],
        }
    }
    words = "has no entry" if entry is None else ""
    assert plan.lines[0].startswith(
        f"  {'+' if entry is None else '~'} entry      w1  shop_default 10.0.1.2 of w2: {words}"
    )
    assert plan.lines[0].endswith(" -> 192.0.2.2")
    assert (plan.services, plan.engines, plan.needs) == ([], [], "")


def test_the_next_steps_are_the_tasks_and_then_the_engine(swarm: Swarm) -> None:
    del swarm.net("n1")["entries"][address(2, 0)]
    faults = swarm.faults()
    plan = plan_repair(swarm.known, faults, "engines", ["entries"])
    assert (plan.hosts, plan.services, plan.engines) == ({}, ["shop_db"], [])
    last = plan_repair(swarm.known, faults, "engines", ["entries", "tasks", "engines"])
    assert (last.services, last.engines) == ([], [])
    assert last.lines == ["  x left       shop_default 10.0.1.2 of w2 has no entry on w1"]
    plan = plan_repair(swarm.known, faults, "engines", ["entries", "tasks"])
    assert (plan.hosts, plan.services, plan.engines) == ({}, [], ["n1"])
    assert (
        "~ engine     w1  is drained, its engine restarts, and it is put back: shop_default 10.0.1.2"
        in plan.lines[0]
    )


@pytest.mark.parametrize(("may", "needs"), [("entries", "tasks"), ("tasks", "")])
def test_a_name_that_lacks_a_task_renews_the_tasks_if_it_may(
    swarm: Swarm, may: str, needs: str
) -> None:
    for node in ("n1", "n3"):
        swarm.net(node)["names"]["shop_web"]["addresses"].remove(address(2, 1))
    plan = plan_repair(swarm.known, swarm.faults(), may)
    assert plan.needs == needs
    assert plan.services == ([] if needs else ["shop_web"])
    why = "tasks.shop_web in shop_default lacks 10.0.2.2 on w1, w3"
    assert plan.lines == [
        f"  x withheld   {why}   needs swarm_repair_up_to=tasks"
        if needs
        else f"  ~ service    shop_web  its tasks restart: {why}"
    ]


def test_a_node_that_nobody_hears_of_is_its_own_fault(swarm: Swarm) -> None:
    """It knows no names, and the others lack its tasks: one engine, and not all services."""
    for name in SERVICES:
        swarm.net("n3")["names"][name] = {"code": "nxdomain", "addresses": []}
        for node in ("n1", "n2"):
            swarm.net(node)["names"][name]["addresses"].pop()
    plan = plan_repair(swarm.known, swarm.faults(), "engines")
    assert (plan.services, plan.engines) == ([], ["n3"])
    assert plan_repair(swarm.known, swarm.faults(), "tasks").needs == "engines"


def test_a_resolver_that_is_silent_is_the_fault_of_the_engine(swarm: Swarm) -> None:
    for name in SERVICES:
        swarm.net("n2")["names"][name] = {"code": "timeout", "addresses": []}
    (fault,) = swarm.faults()
    assert (fault.kind, fault.found) == ("resolver", "does not answer")
    assert plan_repair(swarm.known, [fault], "engines").engines == ["n2"]


def test_an_address_that_no_task_has_is_found(swarm: Swarm) -> None:
    swarm.net("n2")["names"]["shop_db"]["addresses"].append("10.0.1.99")
    (fault,) = swarm.faults()
    assert fault.found == "has 10.0.1.99, which no task has"


def test_what_an_engine_has_left_is_removed_and_what_a_run_has_left_is_finished(
    swarm: Swarm,
) -> None:
    swarm.reads["n1"]["leftovers"] = ["vx-001001-aaaaa"]
    swarm.reads["n2"]["unfinished"] = True
    plan = plan_repair(swarm.known, swarm.faults(), "entries")
    assert plan.hosts == {"n1": {"entries": [], "interfaces": ["vx-001001-aaaaa"]}}
    assert plan.engines == ["n2"]
    assert plan.needs == ""


def test_tasks_that_begin_or_end_and_nodes_that_were_not_read_are_no_fault(swarm: Swarm) -> None:
    """The address of a task that starts may be unknown, and that of one that stops may still be known."""
    swarm.documents["/tasks"][0]["Status"]["State"] = "starting"
    swarm.documents["/tasks"][3]["DesiredState"] = "shutdown"
    for node in swarm.reads:
        swarm.net(node)["names"]["shop_db"]["addresses"].remove(address(1, 0))
    del swarm.reads["n3"]
    assert swarm.faults() == []
    lines = report(
        swarm.known, list(swarm.reads.values()), [], plan_repair(swarm.known, [], "entries"), "w1"
    )
    assert "  ! not read: w3" in lines


def test_the_host_of_an_address_is_what_most_entries_say(swarm: Swarm) -> None:
    """Data can have an address of its own, which the swarm does not show."""
    swarm = Swarm(4)
    for node in swarm.reads:
        for entry in swarm.net(node)["entries"].values():
            entry[1] = entry[1].replace("192.0.2", "198.51.100")
    assert swarm.faults() == []
    swarm.net("n1")["entries"][address(2, 0)][1] = "192.0.2.2"
    (fault,) = swarm.faults()
    assert fault.host == "198.51.100.2"


def test_only_what_two_readings_have_is_planned(swarm: Swarm) -> None:
    del swarm.net("n1")["entries"][address(2, 0)]
    first = swarm.call(nodes=list(swarm.reads.values()))
    assert (len(first["faults"]), first["plan"], first["hosts"]) == (1, [], {})
    del swarm.net("n1")["entries"][address(3, 0)]
    second = swarm.call(nodes=list(swarm.reads.values()), confirm=first["faults"])
    assert [each["what"] for each in second["faults"]] == [address(2, 0)]
    assert second["changed"]
    assert second["networks"] == ["shop_default"]
    assert second["summary"] == "shop_default 10.0.1.2 of w2 has no entry on w1"


@pytest.mark.parametrize(
    "nodes",
    [
        [{"node_id": "n1", "networks": {NET: {}}}],
        [{"node_id": "n1", "networks": [1]}],
        [{"node_id": "n1", "networks": {NET: {"own": [], "entries": None, "names": None}}}],
        [
            {
                "node_id": "n1",
                "networks": {NET: {"own": {}, "entries": None, "names": {"shop_web": {}}}},
            }
        ],
    ],
)
def test_what_is_no_reading_is_refused_in_a_sentence(swarm: Swarm, nodes: Any) -> None:
    with pytest.raises(SwarmError, match="nodes is not what swarm_repair_node returns"):
        swarm.call(nodes=nodes)


def test_a_plan_of_300_nodes_can_be_read() -> None:
    swarm = Swarm(300)
    for node in swarm.reads:
        if node != "n7":
            del swarm.net(node)["entries"][address(7, 0)]
    plan = plan_repair(swarm.known, swarm.faults(), "entries")
    assert len(plan.hosts) == 299
    assert len(plan.lines) == 31
    assert plan.lines[-1].split() == ["...", "and", "269", "lines", "like", "these"]


@given(st.integers(0, 2**32), st.sampled_from(LEVELS), st.sets(st.sampled_from(LEVELS)))
def test_each_fault_has_a_step_or_is_withheld_and_nothing_more_than_allowed_is_planned(
    seed: int, may: str, tried: set[str]
) -> None:
    swarm = Swarm(4)
    chance = random.Random(seed)
    for read in swarm.reads.values():
        net = copy.deepcopy(read["networks"][NET])
        for key in list(net["entries"]):
            if chance.random() < 0.2:
                net["entries"][key] = chance.choice(list(net["entries"].values()))
            elif chance.random() < 0.1:
                del net["entries"][key]
        for name in SERVICES:
            if chance.random() < 0.2:
                net["names"][name] = {
                    "code": chance.choice(["nxdomain", "timeout", "ok"]),
                    "addresses": [],
                }
        read["networks"][NET] = net
    faults = swarm.faults()
    plan = plan_repair(swarm.known, faults, may, tried)
    steps = plan.hosts or plan.services or plan.engines
    left = any(line.startswith("  x left ") for line in plan.lines)
    assert bool(faults) == bool(steps or plan.needs or left)
    assert left <= ("engines" in tried)
    assert "engines" not in tried or not plan.engines
    allowed = LEVELS[: LEVELS.index(may) + 1]
    assert "tasks" in allowed or not plan.services
    assert "engines" in allowed or not plan.engines
    assert plan.needs not in allowed
    assert len(set(plan.services)) == len(plan.services)
    assert len(set(plan.engines)) == len(plan.engines)
