# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every edit of the inventory: check mode says what the run does, the run does it, and then nothing is left to do.

A stack runs all the while, and its services keep what their own update settings promise. The tests are in order: each
begins with the members that BASE lists, and leaves them so.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from drive import PREFIX, reimage, ssh, stopped
from members import (
    BASE,
    Inventory,
    back_to_base,
    begin_with_base,
    carried_out,
    labels_of,
    leader,
    members,
    members_anywhere,
    node_of,
    promises_kept,
    refused,
    remarks,
    rows,
    settled,
    state_of,
    tail,
    wait_until,
)


@pytest.fixture(scope="module", autouse=True)
def swarm() -> None:
    begin_with_base()


@pytest.fixture(autouse=True)
def base(swarm: None) -> Iterator[None]:
    """What a test that failed has left behind is not the next one's business."""
    yield
    if members_anywhere() != BASE:
        begin_with_base()


def test_hosts_are_added() -> None:
    inventory = Inventory().add("w3", "worker").add("w4", "worker")
    with promises_kept():
        plan = carried_out(inventory)
    assert [line.split(" ")[:3] for line in plan] == [["+", "join", "w3"], ["+", "join", "w4"]]
    assert members() == {**BASE, "w3": "worker", "w4": "worker"}
    assert labels_of("w3") == {"zone": "c"}


def test_live_workers_are_removed() -> None:
    """The work is elsewhere before the nodes go."""
    Inventory().add("w3", "worker").add("w4", "worker").run()
    # Two of seven: more than one in five.
    refused(Inventory(), "2 of 7 nodes", "w3, w4", "swarm_removal_limit")
    with promises_kept():
        plan = carried_out(Inventory(), swarm_removal_limit=0.3)
    assert all("line deleted: drain" in line and line.endswith("leave, remove") for line in plan)
    assert members() == BASE
    assert state_of("w3") == state_of("w4") == "inactive"


def test_roles_are_swapped() -> None:
    inventory = Inventory().drop("m3").add("m3", "worker").drop("w1").add("w1", "manager")
    refused(inventory, "zone a would hold 2 of 3 managers", "uneven_zones")
    with promises_kept():
        plan = carried_out(inventory, swarm_accepted_risks=["uneven_zones"])
    assert plan == [
        "~ promote w1 worker -> manager managers 3 -> 4, may lose 1",
        "~ demote m3 manager -> worker managers 4 -> 3, may lose 1",
    ]
    assert members() == {**BASE, "w1": "manager", "m3": "worker"}
    with promises_kept():
        back_to_base(swarm_accepted_risks=["uneven_zones"])
    assert members() == BASE


def test_the_leader_is_deleted_and_another_manager_takes_its_place() -> None:
    first = leader()
    zone = {"m1": "a", "m2": "b", "m3": "c"}[first]
    watcher = next(name for name in ("m1", "m2", "m3") if name != first)
    inventory = Inventory().drop(first).add("w4", "manager").set("w4", swarm_zone=zone)
    with promises_kept(on=watcher):
        plan = carried_out(inventory)
    assert [line.split(" ")[:3] for line in plan] == [["+", "join", "w4"], ["-", "remove", first]]
    assert "drain" in plan[1]
    assert "demote, leave, remove managers 4 -> 3, may lose 1" in plan[1]
    assert state_of(first) == "inactive"
    expected = {name: role for name, role in BASE.items() if name != first}
    assert members(watcher) == {**expected, "w4": "manager"}
    with promises_kept(on=watcher):
        plan = carried_out(Inventory())
    assert members() == BASE
    assert plan[0].startswith(f"+ join {first} manager")


def test_all_managers_are_replaced_in_one_edit() -> None:
    """Whoever acts gives up its role too, so that another one has to finish."""
    changed = {"m1": "worker", "m2": "worker", "m3": "worker", "w1": "manager", "w2": "manager"}
    inventory = Inventory({**changed, "w3": "manager"})
    carried_out(inventory)
    assert members("w1") == {**changed, "w3": "manager"}
    back_to_base(swarm_removal_limit=0.5)
    assert members() == BASE


def test_a_worker_takes_the_place_of_the_dead_manager_by_which_it_joined() -> None:
    """Its engine would ask that one, and nobody else, to let it in as a manager, and go down over it."""
    Inventory().add("w3", "worker").run()
    note = json.loads(ssh("w3", "cat /var/lib/docker/swarm/docker-state.json"))
    gone = next(
        name
        for name, values in Inventory().hosts.items()
        if note["RemoteAddr"].startswith(f"{values['ansible_host']}:")
    )
    on = "m2" if gone != "m2" else "m3"
    inventory = Inventory().drop(gone).add("w3", "manager")
    rules = {"swarm_removal_down_after": 1, "swarm_accepted_risks": ["uneven_zones"]}
    with stopped(gone):
        wait_until(lambda: "down" in members(on)[gone])
        plan = carried_out(inventory, **rules)
        assert [line.split(" ")[:3] for line in plan] == [
            ["-", "remove", gone],
            ["~", "promote", "w3"],
        ]
        assert f"its engine restarted first (it joined by {note['RemoteAddr']})" in plan[1]
        assert members(on)["w3"] == "manager"
    ssh(gone, "docker swarm leave --force")
    back_to_base()
    assert members() == BASE


def test_a_dead_worker_is_removed_once_it_has_been_down_long_enough() -> None:
    Inventory().add("w4", "worker").run()
    with stopped("w4"):
        wait_until(lambda: "down" in members()["w4"])
        early = Inventory().run("--check", swarm_removal_down_after=3600)
        assert "held back" in remarks(early)
        assert "swarm_removal_down_after" in remarks(early)
        assert rows(early, "PLAN") == []
        plan = carried_out(Inventory(), swarm_removal_down_after=1)
        assert len(plan) == 1
        assert plan[0].startswith("- remove w4 line deleted, down for")
        assert members() == BASE
    # It comes back to a swarm that does not know it.
    ssh("w4", "docker swarm leave --force")


@pytest.mark.parametrize("name", ["w2", "leader"])
def test_a_reimaged_host_joins_anew(name: str) -> None:
    name = leader() if name == "leader" else name
    on = "m2" if name != "m2" else "m3"
    ssh(on, f"docker node update --label-add foreign=lost {name}")
    inventory = Inventory().set("w2", swarm_labels={"disk": "ssd"})
    inventory.run()
    before = node_of(name, on)["ID"]
    reimage(name)
    plan = carried_out(inventory)
    remove, join = plan[-2:]
    assert remove.startswith(f"- remove {name} left behind when the host began anew")
    assert join.startswith(f"+ join {name} ")
    assert members(on) == BASE
    assert node_of(name, on)["ID"] != before
    expected = (
        {"zone": "b", "disk": "ssd"}
        if name == "w2"
        else {"zone": {"m1": "a", "m2": "b", "m3": "c"}[name]}
    )
    assert labels_of(name, on) == expected
    back_to_base()


def test_labels_and_zones_follow_and_foreign_ones_stay() -> None:
    ssh("m2", "docker node update --label-add foreign=stays w1")
    inventory = Inventory().set("w1", swarm_labels={"disk": "ssd", "empty": ""}, swarm_zone="b")
    plan = carried_out(inventory)
    assert plan == ["~ labels w1 disk=ssd, empty=, zone=b (was a)"]
    assert labels_of("w1") == {"disk": "ssd", "empty": "", "zone": "b", "foreign": "stays"}
    plan = carried_out(Inventory())
    assert plan == ["~ labels w1 disk removed, empty removed, zone=a (was b)"]
    assert labels_of("w1") == {"zone": "a", "foreign": "stays"}


def test_availability_is_set_and_an_operators_stays() -> None:
    drained = Inventory().set("w1", swarm_availability="drain")
    with promises_kept():
        assert carried_out(drained) == ["~ availability w1 active -> drain"]
    assert members()["w1"] == "worker drain"
    assert ssh("m2", "docker node ps w1 --filter desired-state=running -q").strip() == ""
    # The setting is taken out: what is there stays, as what an operator does by hand does.
    settled(Inventory())
    assert members()["w1"] == "worker drain"
    ssh("m2", "docker node update --availability pause w1")
    settled(Inventory())
    assert members()["w1"] == "worker pause"
    assert carried_out(Inventory().set("w1", swarm_availability="active")) == [
        "~ availability w1 pause -> active"
    ]


def test_a_renamed_host_keeps_its_node() -> None:
    before = node_of("w1")["ID"]
    plan = carried_out(Inventory().rename("w1", "shelf-7"))
    assert plan == ["~ labels shelf-7 known as shelf-7 (was w1)"]
    assert node_of("w1")["ID"] == before
    back_to_base()


@pytest.mark.parametrize("name", ["w1", "m3"])
def test_a_changed_address_needs_a_rejoin_which_has_to_be_allowed(name: str) -> None:
    address = f"192.0.2.{10 + ord(name[1])}"
    ssh(name, f"ip address replace {address}/32 dev eth0")
    for other in BASE:
        if other != name:
            target = Inventory().hosts[name]["ansible_host"]
            ssh(other, f"ip route replace {address}/32 via {target}")
    inventory = Inventory().set(name, swarm_advertise_addr=address)
    said = inventory.run()
    assert said.code == 0
    assert said.changed == 0
    assert f"{name}: its advertise address is" in said.text
    assert "swarm_allow_rejoin" in said.text
    before = node_of(name)["ID"]
    with promises_kept():
        plan = carried_out(inventory.set(name, swarm_allow_rejoin=True))
    assert len(plan) == 1
    assert plan[0].startswith(f"~ rejoin {name} its address has changed: drain")
    assert members() == BASE
    assert node_of(name)["ID"] != before
    told = ssh(name, "docker info -f '{{.Swarm.NodeAddr}}'").strip()
    assert told == address
    back = Inventory().set(
        name,
        swarm_advertise_addr=Inventory().hosts[name]["ansible_host"],
        swarm_allow_rejoin=True,
    )
    assert back.run().code == 0
    ssh(name, f"ip address del {address}/32 dev eth0")


def test_everything_at_once_with_a_host_down() -> None:
    """What can be done is done; what cannot is named."""
    Inventory().add("w4", "worker").run()
    inventory = (
        Inventory()
        .drop("m3")
        .add("m3", "worker")
        .add("w3", "manager")
        .set("w3", swarm_labels={"new": "yes"})
        .set("w1", swarm_labels={"disk": "ssd"})
        .add("w2", "manager")
    )
    inventory.set("w2", ansible_timeout=5)
    with stopped("w2"):
        wait_until(lambda: "down" in members()["w2"])
        promised = inventory.run("--check", swarm_accepted_risks=["uneven_zones"])
        # So Ansible ends where a host gives no answer.
        assert promised.code == 4, tail(promised)
        with promises_kept(web=0, stock=0):
            run = inventory.run(
                swarm_accepted_risks=["uneven_zones"], swarm_health_accept=["healthy", "degraded"]
            )
        assert run.code == 4, tail(run)
        assert rows(run, "PLAN") == rows(promised, "PLAN") == rows(run, "DONE"), tail(run)
        assert "unreachable w2" in " ".join(remarks(run).split())
        found = members()
        assert found["w2"].startswith("worker down")
        assert {name: found.get(name) for name in ("m1", "m2", "m3", "w1", "w3", "w4")} == {
            "m1": "manager",
            "m2": "manager",
            "m3": "worker",
            "w1": "worker",
            "w3": "manager",
            "w4": None,
        }
        assert labels_of("w1")["disk"] == "ssd"
    wait_until(lambda: members()["w2"] == "worker")
    plan = carried_out(inventory, swarm_accepted_risks=["uneven_zones"])
    assert plan[0].startswith("~ promote w2")
    back_to_base()
    assert members() == BASE


def test_a_host_that_cannot_join_does_not_hold_up_the_rest() -> None:
    managers = [Inventory().hosts[name]["ansible_host"] for name in ("m1", "m2", "m3")]
    inventory = Inventory().add("w3", "worker").add("w4", "worker")
    inventory.set("w1", swarm_labels={"disk": "ssd"})
    for address in managers:
        ssh("w3", f"ip route add blackhole {address}/32")
    try:
        run = inventory.run(swarm_wait_timeout=20, swarm_health_accept=["healthy", "degraded"])
    finally:
        for address in managers:
            ssh("w3", f"ip route del blackhole {address}/32")
    assert run.code != 0
    assert "Traceback" not in run.text
    assert [line[:12] for line in rows(run, "DONE")] == ["+ join w4 wo", "~ labels w1 "], tail(run)
    assert [line[:9] for line in rows(run, "NOT DONE")] == ["x join w3"]
    assert labels_of("w1")["disk"] == "ssd"
    # Its engine goes on trying by itself, and may have got there by now.
    carried_out(inventory)
    back_to_base(swarm_removal_limit=0.3)
    assert members() == BASE


# Guards


def test_nodes_that_nobody_lists_are_reported_and_stay() -> None:
    inventory = Inventory().drop("w2")
    run = inventory.run(swarm_remove_unlisted=False)
    assert run.code == 0
    assert run.changed == 0
    assert "not listed w2" in " ".join(remarks(run).split())
    assert members() == BASE


def test_a_limited_run_removes_nobody() -> None:
    run = Inventory().drop("w2").run("--limit", "m1,w1")
    assert run.code == 0, tail(run)
    assert run.changed == 0
    assert "without --limit" in run.text
    assert members() == BASE


def test_a_silent_host_that_cannot_be_told_from_others_stops_removals() -> None:
    ssh("m2", "docker node update --label-rm flotilla.swarm.host w1")
    inventory = Inventory().drop("w2").rename("w1", "other").set("other", ansible_timeout=5)
    inventory.set("other", ansible_host="192.0.2.99")
    run = inventory.run("--check")
    assert run.code == 4, tail(run)
    assert "other gave no answer and may be this node" in run.text
    assert rows(run, "PLAN") == []
    back_to_base()


def test_managers_are_not_given_up_below_a_margin() -> None:
    refused(
        Inventory(
            {"m1": "manager", "m2": "worker", "m3": "worker", "w1": "worker", "w2": "worker"}
        ),
        "of 3 managers 1 may be lost now",
        "lost_margin",
    )


def test_a_service_keeps_a_node_that_can_run_it() -> None:
    ssh("m2", "docker node update --label-add only=here w2")
    ssh(
        "m2",
        "docker service create --detach --name tied --constraint node.labels.only==here"
        " registry.lab:5000/hello:1",
    )
    try:
        refused(Inventory().drop("w2"), "tied", "homeless_services")
        refused(Inventory().set("w2", swarm_availability="drain"), "tied", "homeless_services")
    finally:
        ssh("m2", "docker service rm tied; docker node update --label-rm only w2")


def test_drained_work_needs_room() -> None:
    total = int(ssh("m2", "docker node inspect w1 -f '{{.Description.Resources.MemoryBytes}}'"))
    ssh(
        "m2",
        f"docker service create --detach --name big --replicas 5 --reserve-memory {int(total * 0.7)}"
        " registry.lab:5000/hello:1",
    )
    try:
        wait_until(
            lambda: (
                ssh("m2", "docker service ps big --filter desired-state=running -q").count("\n")
                == 5
            )
        )
        refused(Inventory().drop("w2"), "big", "no room", "lack_of_room")
    finally:
        ssh("m2", "docker service rm big")


def test_a_removal_that_is_called_off_leaves_nothing_behind() -> None:
    """The line comes back after the node has been drained, before it was removed."""
    ssh(
        "m2",
        "docker node update --availability drain --label-add flotilla.swarm.leaving=active w2",
    )
    plan = carried_out(Inventory())
    assert [line.split(" ")[1] for line in plan] == ["labels", "availability"]
    assert members() == BASE
    assert "flotilla.swarm.leaving" not in node_of("w2")["Spec"]["Labels"]


def test_the_shop_is_as_it_was_deployed() -> None:
    """No move has left a trace in the specs."""
    specs = ssh("m2", "docker service inspect shop_web shop_stock")
    assert "node.id" not in specs
    assert "flotilla.swarm" not in specs
    assert (
        subprocess.run(
            ["docker", "inspect", f"{PREFIX}-m1"], capture_output=True, check=False
        ).returncode
        == 0
    )
