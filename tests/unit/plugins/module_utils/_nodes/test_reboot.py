# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of reboots, and that a run that stops anywhere is finished by the next one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.reboot import (
    RebootPlan,
    plan_reboots,
)

ZONES = {"m1": "a", "m2": "b", "m3": "c", "w1": "a", "w2": "b", "w3": "b", "w4": "c"}


def swarm(zones: dict[str, str] | None = None, leader: str = "m1") -> dict[str, dict[str, Any]]:
    """What swarm_host_info says on each host of a swarm that is well."""
    zones = ZONES if zones is None else zones
    nodes = [
        {
            "id": f"id-{name}",
            "role": "manager" if name.startswith("m") else "worker",
            "leader": name == leader,
            "availability": "active",
            "labels": {"zone": zone} if zone else {},
        }
        for name, zone in zones.items()
    ]
    return {
        name: {
            "host": {"boot_id": "1", "reboot_required": False, "reboot_note": None},
            "swarm": {
                "node_id": f"id-{name}",
                "cluster_id": "c" if name.startswith("m") else None,
                "nodes": nodes if name.startswith("m") else None,
            },
        }
        for name, zone in zones.items()
    }


def node(world: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        n for n in world["m1"]["swarm"]["nodes"] if n["id"] == f"id-{name}"
    )
    return found


def begin(world: dict[str, Any], plan: RebootPlan, before: int | None = None) -> None:
    """Write the notes; with `before`, so many of them, as if the run were killed then."""
    for name, note in list(plan.notes().items())[:before]:
        world[name]["host"]["reboot_note"] = note


def names(plan: RebootPlan) -> list[list[str]]:
    assert not plan.refusals
    return [[host.name for host in batch] for batch in plan.batches]


def test_zone_by_zone_workers_first_and_the_leader_last() -> None:
    plan = plan_reboots(swarm(), ["all"])
    assert names(plan) == [["w2"], ["w3"], ["m2"], ["w4"], ["m3"], ["w1"], ["m1"]]
    assert plan.lines() == [
        "PLAN  reboots, one zone at a time, acting on m1",
        "  1  zone b  w2  worker",
        "  2  zone b  w3  worker",
        "  3  zone b  m2  manager",
        "  4  zone c  w4  worker",
        "  5  zone c  m3  manager",
        "  6  zone a  w1  worker",
        "  7  zone a  m1  leader, so the last one",
    ]
    assert names(plan_reboots(swarm(leader="m2"), ["all"]))[-1] == ["m2"]


def test_workers_of_one_zone_go_together_where_that_is_asked() -> None:
    assert names(plan_reboots(swarm(), ["all"], batch=3)) == [
        ["w2", "w3"], ["m2"], ["w4"], ["m3"], ["w1"], ["m1"],
    ]  # fmt: skip
    alone = swarm({"m1": "", "m2": "", "m3": "", "w1": "", "w2": ""})
    assert names(plan_reboots(alone, ["w1", "w2", "m1"], batch=9)) == [["w1", "w2"], ["m1"]]


def test_without_names_those_that_ask_for_it() -> None:
    world = swarm()
    plan = plan_reboots(world, None)
    assert names(plan) == []
    assert plan.lines()[-1] == "  = no host requires a reboot"
    world["w3"]["host"]["reboot_required"] = True
    assert names(plan_reboots(world, None)) == [["w3"]]


def test_a_run_that_stopped_is_gone_on_with() -> None:
    world = swarm()
    begin(world, plan_reboots(world, ["w1", "w2", "w3"]))
    # w2 is done, w3 has been rebooted and is still drained, w1 has been drained.
    world["w2"]["host"].update(boot_id="2", reboot_note=None)
    world["w3"]["host"].update(boot_id="2")
    for name in ("w3", "w1"):
        node(world, name)["availability"] = "drain"
    for asked in (None, ["w1", "w2", "w3"]):
        plan = plan_reboots(world, asked)
        assert names(plan) == [["w3"], ["w1"]]
        assert [host.rebooted for host in plan.hosts] == [True, False]
        assert all(host.comes_back for host in plan.hosts)
        assert plan.notes() == {}
        assert "  = w2: already rebooted by the interrupted run" in plan.lines()
        assert "worker: already rebooted, only goes back into service" in plan.lines()[1]
    other = plan_reboots(world, ["m2"])
    assert names(other) == [["m2"]]
    assert "  ! w1, w3: pending from an interrupted run, but not selected" in other.lines()


def test_a_run_that_was_killed_before_all_notes_were_written_has_done_nothing() -> None:
    world = swarm()
    begin(world, plan_reboots(world, ["w1", "w2", "w3"]), 1)
    for asked in (None, ["w1", "w2", "w3"]):
        plan = plan_reboots(world, asked)
        assert names(plan) == [["w1"], ["w2"], ["w3"]]
        assert "already rebooted" not in "\n".join(plan.lines())
        assert len(plan.notes()) == 2


def test_a_host_of_the_run_that_does_not_answer_is_not_taken_for_done() -> None:
    world = swarm()
    begin(world, plan_reboots(world, ["w1", "w2"]))
    world["w2"] = {"unreachable": True}
    plan = plan_reboots(world, None)
    assert names(plan) == [["w1"]]
    assert "  ! w2: may be pending from an interrupted run, but cannot be observed" in plan.lines()
    assert "already rebooted" not in "\n".join(plan.lines())


def test_a_node_that_was_drained_by_hand_stays_drained() -> None:
    world = swarm()
    node(world, "w1")["availability"] = "drain"
    plan = plan_reboots(world, ["w1"])
    assert [host.comes_back for host in plan.hosts] == [False]
    assert plan.lines()[1].endswith("worker: drained, stays drained")
    begin(world, plan)
    assert [host.comes_back for host in plan_reboots(world, None).hosts] == [False]


def test_a_note_that_cannot_be_read_is_a_reboot_that_is_due() -> None:
    world = swarm()
    world["w1"]["host"]["reboot_note"] = {}
    (host,) = plan_reboots(world, None).hosts
    assert not host.rebooted
    assert host.comes_back


@pytest.mark.parametrize(
    ("zones", "asked", "says"),
    [
        (
            {"m1": "a", "w1": "b"},
            ["all"],
            "the reboot of the only manager leaves the swarm without a quorum",
        ),
        (
            {"m1": "a", "m2": "b"},
            ["m2"],
            "the reboot of one of 2 managers leaves the swarm without a quorum",
        ),
        ({"m1": "a"}, ["w9"], "there is no host w9 in the groups"),
        ({"w1": "a"}, ["w1"], "no host of the inventory is a manager"),
    ],
)
def test_what_stands_against_it(zones: dict[str, str], asked: list[str], says: str) -> None:
    plan = plan_reboots(swarm(zones), asked)
    assert says in plan.refusals[0]
    assert plan.batches == []
    assert plan.lines()[0] == "PLAN  refused"
    if "quorum" in plan.refusals[0]:
        allowed = plan_reboots(swarm(zones), asked, accepted=["quorum"])
        assert not allowed.refusals
        assert says in allowed.warnings[0]


def test_hosts_that_cannot_be_rebooted_are_named() -> None:
    world = swarm()
    world["w1"] = {"unreachable": True}
    world["w2"]["swarm"]["node_id"] = None
    assert plan_reboots(world, ["all"]).refusals == [
        "w1 does not answer: bring it back, or leave it out",
        "w2 is not in the swarm: run site.yml first",
    ]
    assert names(plan_reboots(world, None)) == []


def test_no_worker_at_a_time_is_refused() -> None:
    (said,) = plan_reboots(swarm(), ["all"], batch=0).refusals
    assert said == "batch is 0: it must be at least 1"


def test_two_managers_of_which_none_reboots_are_no_matter() -> None:
    assert names(plan_reboots(swarm({"m1": "a", "m2": "b", "w1": "a"}), ["w1"])) == [["w1"]]


@given(
    places=st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=3, max_size=9),
    leader=st.sampled_from(["m1", "m2", "m3"]),
    drained=st.integers(0, 511),
    due=st.integers(1, 511),
    together=st.integers(1, 3),
    kills=st.lists(st.integers(0, 16), max_size=6),
)
def test_a_run_killed_anywhere_is_finished_with_one_reboot_of_each(
    places: list[str], leader: str, drained: int, due: int, together: int, kills: list[int]
) -> None:
    """Every host is rebooted once and is available for what it was before, however often the run is killed."""
    hosts = ["m1", "m2", "m3", "w1", "w2", "w3", "w4", "w5", "w6"][: len(places)]
    world = swarm(dict(zip(hosts, places)), leader)
    for number, name in enumerate(hosts):
        if drained >> number & 1:
            node(world, name)["availability"] = "drain"
    before = copy.deepcopy(world["m1"]["swarm"]["nodes"])
    asked = [name for number, name in enumerate(hosts) if due >> number & 1] or ["m1"]
    reboots: list[str] = []
    begun = False
    while True:
        # A run that is killed before it has noted anything is started again with the same names.
        plan = plan_reboots(world, None if begun else asked, together)
        if not plan.batches:
            break
        steps = kills.pop() if kills else 4 * len(plan.hosts)
        begin(world, plan, steps)
        begun = begun or steps > 0
        steps -= len(plan.notes())
        if steps <= 0:
            continue
        for batch in plan.batches:
            assert len({host.zone for host in batch}) == 1
            assert len(batch) == 1 or not any(host.manager for host in batch)
            for host in batch:
                if not host.rebooted and steps > 0:
                    if host.comes_back:
                        node(world, host.name)["availability"] = "drain"
                    steps -= 1
            for host in batch:
                if not host.rebooted and steps > 0:
                    reboots.append(host.name)
                    world[host.name]["host"]["boot_id"] += "'"
                    steps -= 1
            for host in batch:
                if world[host.name]["host"]["boot_id"] != "1" and steps > 0:
                    if host.comes_back:
                        node(world, host.name)["availability"] = "active"
                    world[host.name]["host"]["reboot_note"] = None
                    steps -= 1
            if steps <= 0:
                break
    assert sorted(reboots) == asked
    assert world["m1"]["swarm"]["nodes"] == before


def lock(world: dict[str, Any], *names: str) -> None:
    for name in names:
        world[name]["swarm"] = {
            "state": "locked",
            "node_id": None,
            "cluster_id": None,
            "nodes": None,
        }


def test_a_locked_manager_is_unlocked_first_by_the_key_that_another_one_shows() -> None:
    world = swarm()
    lock(world, "m2")
    plan = plan_reboots(world, ["m2", "w1"])
    assert names(plan) == [["w1"]]
    assert plan.unlock == ["m2"]
    assert "  ~  unlock  m2  locked: the run unlocks it first, and plans again" in plan.lines()


def test_a_swarm_that_is_locked_as_a_whole_needs_a_key() -> None:
    world = swarm()
    lock(world, "m1", "m2", "m3")
    refused = plan_reboots(world, ["all"])
    assert refused.refusals == [
        "m1, m2, m3: locked, and no manager can show the key: set swarm_unlock_key"
    ]
    plan = plan_reboots(world, ["all"], can_unlock=True)
    assert (plan.refusals, plan.batches, plan.unlock) == ([], [], ["m1", "m2", "m3"])
    assert plan.lines()[0] == "PLAN  reboots of a locked swarm"
