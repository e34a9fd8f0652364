# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every edit of the inventory: check mode says what the run does, the run does it, and then nothing is left to do.

A stack runs all the while, and its services keep what their own update settings promise. A test says with which members it
begins. The order is such that mostly the one before has left these, and no run has to make them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import (
    ENVIRONMENT,
    PREFIX,
    SITE,
    Run,
    command,
    hang_up,
    lab,
    on_each,
    reimage,
    soak,
    ssh,
    stopped,
    wait_until,
)
from members import (
    BASE,
    EVERYBODY,
    ZONES,
    Inventory,
    at_rest,
    begin_with,
    carried_out,
    labels_of,
    leader,
    leave,
    members,
    node_of,
    promises_kept,
    ready_members,
    refused,
    remarks,
    rows,
    settled,
    state_of,
    tail,
)


def test_hosts_are_added() -> None:
    begin_with(BASE)
    with promises_kept():
        plan = carried_out(Inventory(EVERYBODY))
    # Their engines can still be as in the image. The run then configures them first.
    joins = [line.split(" ")[:3] for line in plan if not line.startswith("~ engine w3, w4 ")]
    assert joins == [["+", "join", "w3"], ["+", "join", "w4"]]
    assert members() == EVERYBODY
    assert labels_of("w3") == {"zone": "c"}


def test_live_workers_are_removed() -> None:
    """The tasks run on other nodes before the nodes are removed."""
    begin_with(EVERYBODY)
    # Two of seven: more than one in five.
    refused(Inventory(), "2 of 7 nodes", "w3, w4", "swarm_removal_limit")
    with promises_kept():
        plan = carried_out(Inventory(), swarm_removal_limit=0.3)
    removals = [line.split(" ")[:3] for line in plan]
    assert removals == [["-", "remove", "w3"], ["-", "remove", "w4"]]
    assert all("line deleted: drain" in line and line.endswith("leave, remove") for line in plan)
    assert members() == BASE
    assert state_of("w3") == state_of("w4") == "inactive"


def test_another_manager_goes_on_where_the_acting_one_is_lost() -> None:
    """Its power fails while two workers join."""
    begin_with(BASE)
    run, acting, found = acting_lost_at("Read the join tokens", Inventory(EVERYBODY))
    # Engines that are not configured yet come first.
    done = [row.split(" ")[1:3] for row in rows(run, "DONE") if "engine" not in row.split(" ")]
    left = [row.split(" ")[1:3] for row in rows(run, "NOT DONE")]
    # Hosts that already had the token try to join through the lost manager, and can wait too long for it.
    assert sorted(done + left) == [["join", "w3"], ["join", "w4"]], tail(run)
    assert found.pop(acting).startswith("manager down")
    if left:
        assert Inventory(EVERYBODY).run().code == 0
    else:
        assert found == {name: role for name, role in EVERYBODY.items() if name != acting}
    wait_until(lambda: members(other_than(acting)) == EVERYBODY)
    settled(Inventory(EVERYBODY))


def acting_lost_at(
    task: str, inventory: Inventory, **extra: Any
) -> tuple[Run, str, dict[str, str]]:
    """Run, and cut the power of the acting manager at the named task. Returns the run, the manager and the members at that time."""
    with run_at(task, inventory, **extra) as (process, said):
        acting = str(re.findall(r"^PLAN .* acting on (\S+)", said.read_text(), re.MULTILINE)[0])
        subprocess.run(["docker", "kill", f"{PREFIX}-{acting}"], check=True, capture_output=True)
        try:
            code = process.wait(150)
            run = Run(code, said.read_text())
            found = ready_members(other_than(acting), but=acting)
        finally:
            hang_up(acting)
            lab("up")
    assert run.code != 0, tail(run)
    assert "Traceback" not in run.text
    assert re.search(rf"^VERDICT .*\n(.*\n)*.*{acting}", run.text, re.MULTILINE), tail(run)
    return run, acting, found


def other_than(manager: str) -> str:
    return "m2" if manager != "m2" else "m3"


@contextmanager
def run_at(task: str, inventory: Inventory, **extra: Any) -> Iterator[tuple[Any, Path]]:
    """Start a run and wait until it begins the named task. Yields its process and the file with its output."""
    # A file and not a pipe, because the connections to the hosts outlive the run and would keep a pipe open.
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command(SITE, inventory=inventory.write(), **extra),
            env=ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        said = Path(output.name)
        wait_until(lambda: task in said.read_text() or process.poll() is not None, longest=0.3)
        assert process.poll() is None, said.read_text()[-3000:]
        yield process, said


def test_dead_nodes_go_and_workers_take_the_place_of_the_dead_manager_by_which_they_joined() -> (
    None
):
    """Their engines would ask that one, and nobody else, to let them in as managers, and go down over it. So each is
    restarted, and its work is elsewhere before that; also where the run is killed while it restarts one.
    """
    begin_with(EVERYBODY)
    joined_by = joined_by_of("w3")
    assert joined_by_of("w4") == joined_by
    gone = next(
        name
        for name, values in Inventory().hosts.items()
        if joined_by.startswith(f"{values['ansible_host']}:")
    )
    on = "m2" if gone != "m2" else "m3"
    rules = {"swarm_removal_limit": 0.3, "swarm_accepted_risks": ["uneven_zones"]}
    # All that runs is on the two, so that there is work to be moved.
    others = " ".join(name for name in EVERYBODY if name not in ("w3", "w4"))
    availability = f"for name in {others}; do docker node update --availability %s $name; done"
    ssh(on, availability % "drain")
    wait_until(lambda: len(tasks_on("w3", on)) + len(tasks_on("w4", on)) == 6)
    ssh(on, availability % "active")
    with stopped(gone), stopped("w1"):
        wait_until(lambda: {state_in(on, name) for name in (gone, "w1")} == {"down"})
        wait_until(lambda: sum(len(tasks_on(name, on)) for name in EVERYBODY) == 6)
        at_rest(on)
        second, first = sorted(("w3", "w4"), key=lambda name: len(tasks_on(name, on)))
        assert tasks_on(first, on)
        inventory = Inventory(EVERYBODY).drop(gone, "w1", first).add(first, "manager")
        early = inventory.run("--check", swarm_removal_down_after=3600, **rules)
        held = " ".join(remarks(early).split())
        assert f"held back {gone}" in held, held
        assert "held back w1" in held
        assert "swarm_removal_down_after" in held
        assert not [row for row in rows(early, "PLAN") if row.startswith("- remove")]
        rules["swarm_removal_down_after"] = 1
        with promises_kept(on=on):
            plan = carried_out(inventory, **rules)
        assert [line.split(" ")[:3] for line in plan] == [
            ["-", "remove", gone],
            ["-", "remove", "w1"],
            ["~", "promote", first],
        ]
        assert plan[1].startswith("- remove w1 line deleted, down for")
        assert f"restart its engine first (it joined through {joined_by})" in plan[2]
        assert "moves shop_" in plan[2]
        expected = {**EVERYBODY, first: "manager"}
        assert ready_members(on) == {
            n: role for n, role in expected.items() if n not in (gone, "w1")
        }
        assert "flotilla.swarm.restarting" not in node_of(first, on)["Spec"]["Labels"]

        inventory.drop(second).add(second, "manager")
        with run_at("Restart the engines", inventory, **rules) as (process, _said):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        spec = node_of(second, on)["Spec"]
        assert spec["Availability"] == "drain"
        assert spec["Labels"]["flotilla.swarm.restarting"] == "active"
        run = inventory.run(**rules)
        assert run.code == 0, tail(run)
        done = [line.split(" ")[1:3] for line in rows(run, "DONE")]
        assert done == [[what, second] for what in ("promote", "labels", "availability")]
        assert members(on)[second] == "manager"
        assert "flotilla.swarm.restarting" not in node_of(second, on)["Spec"]["Labels"]
    # They come back to a swarm that does not know them.
    for name in (gone, "w1"):
        leave(name)


def joined_by_of(name: str) -> str:
    """The address at which an engine asks to become a manager, as the engine has stored it."""
    note = json.loads(ssh(name, "cat /var/lib/docker/swarm/docker-state.json"))
    return str(note["RemoteAddr"])


def state_in(on: str, name: str) -> str:
    """The state of a node as a manager knows it. If the dead node was the leader, no manager answers for a while."""
    with contextlib.suppress(AssertionError):
        return str(node_of(name, on)["Status"]["State"])
    return ""


def tasks_on(name: str, on: str) -> list[str]:
    """The services of the tasks that run on a node, one entry a task."""
    what = "--filter desired-state=running --format '{{.Name}} {{.CurrentState}}'"
    lines = ssh(on, f"docker node ps {name} {what}").splitlines()
    return [line.split(".")[0] for line in lines if " Running" in line]


@soak
def test_another_manager_goes_on_where_the_acting_one_is_lost_while_it_empties_nodes() -> None:
    """Its power fails in the middle of the one call that changes the nodes."""
    begin_with(EVERYBODY)
    run, acting, found = acting_lost_at("Change the nodes", Inventory(), swarm_removal_limit=0.3)
    done = [row.split(" ")[1:3] for row in rows(run, "DONE")]
    left = [row.split(" ")[1:3] for row in rows(run, "NOT DONE")]
    held = " ".join(remarks(run).split())
    assert sorted(done + left) == [["remove", "w3"], ["remove", "w4"]], f"{held}\n{tail(run)}"
    # Until its agent has found another manager, a worker that reported to the lost one can be down, as a dead one is.
    assert all(f"held back {name} not listed, and down for" in held for _remove, name in left)
    assert found.pop(acting).startswith("manager down")
    expected = {name: role for name, role in BASE.items() if name != acting}
    assert found == {**expected, **{name: "worker" for _remove, name in left}}
    on = other_than(acting)
    assert ready_members(on)[acting] == "manager"
    if left:
        assert Inventory().run(swarm_removal_limit=0.3).code == 0
    assert members(on) == BASE
    settled(Inventory())


def test_the_leader_is_deleted_and_another_manager_takes_its_place() -> None:
    begin_with(BASE)
    first = leader()
    watcher = next(name for name in ("m1", "m2", "m3") if name != first)
    inventory = Inventory().drop(first).add("w4", "manager").set("w4", swarm_zone=ZONES[first])
    with promises_kept(on=watcher):
        plan = carried_out(inventory)
    assert [line.split(" ")[:3] for line in plan] == [["+", "join", "w4"], ["-", "remove", first]]
    assert "drain" in plan[1]
    assert "demote, leave, remove managers 4 -> 3, tolerates 1 failure" in plan[1]
    assert state_of(first) == "inactive"
    expected = {name: role for name, role in BASE.items() if name != first}
    assert ready_members(watcher) == {**expected, "w4": "manager"}
    with promises_kept(on=watcher):
        back = Inventory().run()
    assert back.code == 0, tail(back)
    assert ready_members() == BASE
    assert rows(back, "PLAN")[0].startswith(f"+ join {first} manager")


SWAPPED = {**BASE, "w1": "manager", "m3": "worker"}


def test_roles_are_swapped() -> None:
    begin_with(BASE)
    refused(Inventory(SWAPPED), "zone a would hold 2 of 3 managers", "uneven_zones")
    with promises_kept():
        plan = carried_out(Inventory(SWAPPED), swarm_accepted_risks=["uneven_zones"])
    assert plan == [
        "~ promote w1 worker -> manager managers 3 -> 4, tolerates 1 failure",
        "~ demote m3 manager -> worker managers 4 -> 3, tolerates 1 failure",
    ]
    assert ready_members() == SWAPPED


def test_all_managers_are_replaced_in_one_edit() -> None:
    """The acting manager is demoted too, so another manager must finish."""
    begin_with(SWAPPED)
    changed = {"m1": "worker", "m2": "worker", "m3": "manager", "w1": "worker", "w2": "manager"}
    with promises_kept(on="w2"):
        carried_out(Inventory({**changed, "w4": "manager"}))
    assert ready_members("w2") == {**changed, "w4": "manager"}


def test_reimaged_hosts_join_anew() -> None:
    """A worker, and the leader, both at once."""
    begin_with(BASE)
    first = leader()
    on = "m2" if first != "m2" else "m3"
    hosts = ("w2", first)
    before = {name: node_of(name, on)["ID"] for name in hosts}
    for name in hosts:
        ssh(on, f"docker node update --label-add foreign=lost {name}")
    reimage(*hosts)
    plan = carried_out(Inventory().set("w2", swarm_labels={"disk": "ssd"}))
    for name in hosts:
        assert any(
            row.startswith(f"- remove {name} left over from before the host was reinstalled")
            for row in plan
        ), plan
        assert any(row.startswith(f"+ join {name} ") for row in plan), plan
        assert node_of(name, on)["ID"] != before[name]
    assert ready_members(on) == BASE
    assert labels_of("w2", on) == {"zone": "b", "disk": "ssd"}
    assert labels_of(first, on) == {"zone": ZONES[first]}


def test_labels_availability_and_names_follow_and_what_others_set_stays() -> None:
    begin_with(BASE)
    ssh("m2", "docker node update --label-add foreign=stays w1")
    inventory = Inventory().set("w2", swarm_availability="drain")
    inventory.set("w1", swarm_labels={"disk": "ssd", "empty": ""}, swarm_zone="b")
    with promises_kept():
        plan = carried_out(inventory)
    assert sorted(plan) == [
        "~ availability w2 active -> drain",
        "~ labels w1 disk=ssd, empty=, zone=b (was a)",
    ]
    assert labels_of("w1") == {"disk": "ssd", "empty": "", "zone": "b", "foreign": "stays"}
    assert members()["w2"] == "worker drain"
    assert ssh("m2", "docker node ps w2 --filter desired-state=running -q").strip() == ""

    # Without the settings, the labels are removed. The availability stays, as if an operator had set it.
    node = node_of("m3")["ID"]
    plan = carried_out(Inventory().rename("m3", "shelf-7"))
    assert sorted(plan) == [
        "~ labels shelf-7 known as shelf-7 (was m3)",
        "~ labels w1 disk removed, empty removed, zone=a (was b)",
    ]
    assert labels_of("w1") == {"zone": "a", "foreign": "stays"}
    assert members()["w2"] == "worker drain"
    assert node_of("m3")["ID"] == node

    ssh("m2", "docker node update --availability pause w2")
    settled(Inventory().rename("m3", "shelf-7"))
    assert members()["w2"] == "worker pause"
    assert sorted(carried_out(Inventory().set("w2", swarm_availability="active"))) == [
        "~ availability w2 pause -> active",
        "~ labels m3 known as m3 (was shelf-7)",
    ]
    ssh("m2", "docker node update --label-rm foreign w1")


def test_a_host_that_cannot_join_does_not_hold_up_the_rest() -> None:
    begin_with(BASE)
    managers = [Inventory().hosts[name]["ansible_host"] for name in ("m1", "m2", "m3")]
    inventory = Inventory(EVERYBODY).set("w1", swarm_labels={"disk": "ssd"})
    ssh("w3", "; ".join(f"ip route add blackhole {address}/32" for address in managers))
    try:
        run = inventory.run(swarm_wait_timeout=20, swarm_health_accept=["healthy", "degraded"])
    finally:
        ssh("w3", "; ".join(f"ip route del blackhole {address}/32" for address in managers))
    assert run.code != 0
    assert [line[:12] for line in rows(run, "DONE")] == ["+ join w4 wo", "~ labels w1 "], tail(run)
    assert [line[:9] for line in rows(run, "NOT DONE")] == ["x join w3"]
    assert labels_of("w1")["disk"] == "ssd"
    # Its engine retries by itself, and can have joined meanwhile.
    carried_out(Inventory(EVERYBODY))
    assert members() == EVERYBODY


def test_everything_at_once_with_a_host_down() -> None:
    """The run does what is possible and names the rest."""
    begin_with(EVERYBODY)
    # It joins again, as another node.
    leave("w3")
    wait_until(lambda: "down" in members()["w3"])
    inventory = Inventory({**BASE, "m3": "worker", "w2": "manager", "w3": "manager"})
    inventory.set("w3", swarm_labels={"new": "yes"}).set("w1", swarm_labels={"disk": "ssd"})
    inventory.set("w2", ansible_timeout=5)
    accepted = {"swarm_accepted_risks": ["uneven_zones"]}
    with stopped("w2"):
        wait_until(lambda: "down" in members()["w2"])
        promised = inventory.run("--check", **accepted)
        # This is the exit code of Ansible if a host does not answer.
        assert promised.code == 4, tail(promised)
        run = inventory.run(swarm_health_accept=["healthy", "degraded"], **accepted)
        assert run.code == 4, tail(run)
        assert rows(run, "PLAN") == rows(promised, "PLAN") == rows(run, "DONE"), tail(run)
        assert "unreachable w2" in " ".join(remarks(run).split())
        found = ready_members(but="w2")
        assert found["w2"].startswith("worker down")
        assert {name: role for name, role in found.items() if name != "w2"} == {
            "m1": "manager",
            "m2": "manager",
            "m3": "worker",
            "w1": "worker",
            "w3": "manager",
        }
        assert labels_of("w1")["disk"] == "ssd"
        assert labels_of("w3") == {"zone": "c", "new": "yes"}
    assert ready_members()["w2"] == "worker"
    at_rest()
    plan = carried_out(inventory, **accepted)
    assert plan[0].startswith("~ promote w2")
    assert members()["w2"] == "manager"


def test_changed_addresses_need_a_rejoin_which_has_to_be_allowed() -> None:
    """Of a worker, and then of a manager. This is the last edit of the file, because the new addresses stay."""
    begin_with(BASE)
    inventory = Inventory()
    for name, address in (("w1", "192.0.2.59"), ("m3", "192.0.2.61")):
        at_rest()
        ssh(name, f"ip address replace {address}/32 dev eth0")
        route = f"ip route replace {address}/32 via {inventory.hosts[name]['ansible_host']}"
        on_each(BASE.keys() - {name}, partial(ssh, script=route))
        said = inventory.set(name, swarm_advertise_addr=address).run()
        assert said.code == 0
        assert said.changed == 0
        assert f"{name}: its advertise address is" in said.text
        assert "swarm_allow_rejoin" in said.text
        before = node_of(name)["ID"]
        with promises_kept():
            plan = carried_out(inventory.set(name, swarm_allow_rejoin=True))
        assert len(plan) == 1
        assert plan[0].startswith(f"~ rejoin {name} its address has changed: drain")
        assert ready_members() == BASE
        assert node_of(name)["ID"] != before
        assert ssh(name, "docker info -f '{{.Swarm.NodeAddr}}'").strip() == address


def test_the_shop_is_as_it_was_deployed() -> None:
    """No move has left a trace in the specs, and the services kept what the file promises."""
    inspect = "docker service inspect shop_web shop_stock -f '{{json .Spec}}'"
    web, stock = (json.loads(line) for line in ssh("m2", inspect).splitlines())
    assert (web["UpdateConfig"]["Order"], stock["UpdateConfig"]["Order"]) == (
        "start-first",
        "stop-first",
    )
    assert [spec["Mode"] for spec in (web, stock)] == [
        {"Replicated": {"Replicas": 4}},
        {"Replicated": {"Replicas": 2}},
    ]
    for spec in (web, stock):
        assert not spec["TaskTemplate"]["Placement"].get("Constraints")
        assert "flotilla.swarm" not in json.dumps(spec)
