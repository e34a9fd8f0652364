# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits that are refused or held back because they would cost a task, a node or the quorum, and what a drain leaves unchanged.

Each test begins with the members of BASE and leaves them so.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import ssh, wait_until
from members import (
    BASE,
    EVERYBODY,
    Inventory,
    begin_with,
    carried_out,
    members,
    node_of,
    refused,
    remarks,
    rows,
    tail,
)


@pytest.fixture(autouse=True)
def base() -> None:
    begin_with(BASE)


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
    mark = ssh(
        "m2", "docker node inspect w1 -f '{{index .Spec.Labels \"flotilla.swarm.host\"}}'"
    ).strip()
    ssh("m2", "docker node update --label-rm flotilla.swarm.host w1")
    inventory = Inventory().drop("w2").rename("w1", "other").set("other", ansible_timeout=5)
    inventory.set("other", ansible_host="192.0.2.99")
    run = inventory.run("--check")
    assert run.code == 4, tail(run)
    assert "other did not answer and may be this node" in run.text
    assert rows(run, "PLAN") == []
    ssh("m2", f"docker node update --label-add flotilla.swarm.host={mark} w1")


def test_a_line_that_points_at_another_machine_does_not_take_the_place_of_a_live_node() -> None:
    before, after = (Inventory(EVERYBODY).hosts[name]["ansible_host"] for name in ("w2", "w4"))
    edit = Inventory().set("w2", ansible_host=after)
    refused(edit, f"w2 is at {after} in the inventory", f"ready at {before}", "restore its address")
    assert members() == BASE


def test_who_may_not_see_an_engine_is_told_to_become_root() -> None:
    edit = Inventory().set(
        "w2",
        ansible_become=True,
        ansible_become_method="ansible.builtin.su",
        ansible_become_user="nobody",
        ansible_become_flags="-s /bin/sh",
    )
    refused(edit, "w2: only root can see and change its engine", "ansible_become: true")
    assert members() == BASE


def test_managers_are_not_given_up_below_a_margin() -> None:
    refused(
        Inventory(
            {"m1": "manager", "m2": "worker", "m3": "worker", "w1": "worker", "w2": "worker"}
        ),
        "fault tolerance would drop from 1 manager to 0",
        "lost_margin",
    )


def test_drained_work_keeps_a_node_that_can_run_it_and_has_room() -> None:
    """One node is removed and another is drained. Some services have no other node, and one is too large for the others."""
    total = int(ssh("m2", "docker node inspect w1 -f '{{.Description.Resources.MemoryBytes}}'"))
    image = "registry.lab:5000/hello:1"
    for number in (1, 2):
        ssh(
            "m2",
            f"docker node update --label-add only=w{number} w{number};"
            f" docker service create --detach --name tied{number}"
            f" --constraint node.labels.only==w{number} {image}",
        )
    ssh(
        "m2",
        f"docker service create --detach --name big --replicas 5 --reserve-memory {int(total * 0.7)} {image}",
    )

    def running() -> bool:
        tasks = "docker service ps -f desired-state=running --format '{{.CurrentState}}' big tied1 tied2"
        return ssh("m2", tasks).count("Running") == 7

    try:
        wait_until(running)
        edit = Inventory().drop("w2").set("w1", swarm_availability="drain")
        refused(edit, "could run the service tied1", "service tied2", "homeless_services")
        ssh("m2", "docker service rm tied1 tied2")
        refused(edit, "big", "no room", "lack_of_room")
    finally:
        ssh("m2", "docker service rm big tied1 tied2", check=False)
        for name in ("w1", "w2"):
            ssh("m2", f"docker node update --label-rm only {name}")


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
