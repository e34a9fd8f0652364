# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of the members: what each edit of the inventory leads to, and what each guard says."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.identity import DesiredMember
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.membership import (
    Cluster,
    Membership,
    Rules,
    plan_membership,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.rounds import (
    managers_part,
    next_round,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import Node
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    HOST_LABEL,
    LEAVING_LABEL,
    MOVING_LABEL,
    OWNED_LABEL,
    RESTARTING_LABEL,
    labels_after,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
)

NOW = 1_700_000_000.0
REMOVE = Rules(remove_unlisted=True)


def ago(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000001Z", time.gmtime(NOW - seconds))


def node(name: str, **more: Any) -> Node:
    """A node as a run before has left it: its role is in its name, and so is its ID."""
    manager = more.get("role", "manager" if name.startswith("m") else "worker") == "manager"
    given: dict[str, Any] = {
        "id": f"id-{name}",
        "hostname": name,
        "role": "manager" if manager else "worker",
        "availability": "active",
        "state": "ready",
        "addr": f"192.0.2.{sum(map(ord, name)) % 250}",
        "labels": {HOST_LABEL: name},
        "leader": name == "m1",
        "reachability": "reachable" if manager else None,
        "manager_addr": None,
        "engine_version": None,
        "updated_at": ago(10_000),
    }
    return Node(**{**given, **more})


def down(name: str, seconds: float = 10_000, **more: Any) -> Node:
    found = node(name, state="down", updated_at=ago(seconds), **more)
    return replace(found, reachability="unreachable" if found.role == "manager" else None)


def host(name: str, **more: Any) -> DesiredMember:
    role = "manager" if name.startswith("m") else "worker"
    return DesiredMember(**{"name": name, "role": role, "node_id": f"id-{name}", **more})


def new(name: str, **more: Any) -> DesiredMember:
    return host(name, node_id=None, traits=more.pop("traits", "as listed"), **more)


def silent(name: str, **more: Any) -> DesiredMember:
    return host(name, node_id=None, silent=True, **more)


def hosts(names: str, **of_one: DesiredMember) -> list[DesiredMember]:
    return [of_one.get(name, host(name)) for name in names.split()]


def cluster(*nodes: Node | str, **more: Any) -> Cluster:
    found = tuple(node(item) if isinstance(item, str) else item for item in nodes)
    return Cluster(nodes=found, **{"acting": "id-m1", "now": NOW, **more})


def actions(plan: Membership) -> list[str]:
    assert plan.refusals == []
    return [f"{step.action} {step.host}" for step in plan.steps]


def notes(plan: Membership, action: str) -> list[str]:
    return [step.note for step in plan.steps if step.action == action]


def held(plan: Membership) -> dict[str, str]:
    assert plan.refusals == []
    return {item.name: item.why for item in plan.held}


def refusal(plan: Membership) -> str:
    assert plan.steps == []
    (text,) = plan.refusals
    return text


THREE = ("m1", "m2", "m3", "w1", "w2")
FIVE = ("m1", "m2", "m3", "m4", "m5", "w1")


def test_what_is_as_listed_needs_nothing() -> None:
    plan = plan_membership(cluster(*THREE), hosts("m1 m2 m3 w1 w2"), REMOVE)
    assert (plan.steps, plan.held, plan.warnings, plan.unlisted) == ([], [], [], [])


# The edits


def test_hosts_of_both_groups_are_added_at_once_managers_first() -> None:
    wanted = [*hosts("m1 m2 m3 w1 w2"), new("w3"), new("m4"), new("w4"), new("m5")]
    plan = plan_membership(cluster(*THREE), wanted, Rules())
    assert actions(plan) == ["join m4", "join m5", "join w3", "join w4"]
    assert notes(plan, "join")[:2] == [
        "managers 3 -> 4, tolerates 1 failure",
        "managers 4 -> 5, tolerates 2 failures",
    ]
    assert next_round(plan.steps, "id-m1").as_data() == {
        "nodes": False,
        "restart": [],
        "leave": [],
        "join_managers": ["m4", "m5"],
        "join_workers": ["w3", "w4"],
        "more": True,
    }


def test_a_host_that_has_begun_to_join_is_waited_for() -> None:
    plan = plan_membership(
        cluster(*THREE), hosts("m1 m2 m3 w1 w2", w2=host("w2", joining=True)), REMOVE
    )
    assert actions(plan) == ["join w2"]
    assert "wait for it" in plan.steps[0].text


def test_roles_are_swapped_by_promoting_first() -> None:
    wanted = hosts("m1 m2 m3 w1 w2", m1=host("m1", role="worker"), w1=host("w1", role="manager"))
    plan = plan_membership(cluster(*THREE), wanted, Rules())
    assert actions(plan) == ["promote w1", "demote m1"]
    assert notes(plan, "promote") == ["managers 3 -> 4, tolerates 1 failure"]
    assert notes(plan, "demote") == ["managers 4 -> 3, tolerates 1 failure"]
    # Who acts leaves its own demotion to another manager.
    assert [step.action for step in managers_part(plan.steps, "id-m1")] == ["promote"]
    assert next_round(plan.steps, "id-m1").more
    assert len(managers_part(plan.steps, "id-m2")) == 2


def test_all_managers_are_swapped_the_leader_and_who_acts_last() -> None:
    wanted = [host(name, role="worker") for name in ("m1", "m2", "m3")] + [
        host(name, role="manager") for name in ("w1", "w2", "w3")
    ]
    nodes = cluster(*THREE, "w3", acting="id-m2")
    plan = plan_membership(nodes, wanted, Rules())
    assert actions(plan) == [
        *("promote w1", "promote w2", "promote w3"),
        *("demote m3", "demote m1", "demote m2"),
    ]
    assert [note.split()[-2] for note in notes(plan, "demote")] == ["2", "1", "1"]


def test_a_manager_that_does_not_answer_is_demoted_before_those_that_do() -> None:
    cut_off = node("m4", reachability="unreachable")
    wanted = hosts("m1 m2 m3 m4 w1", m3=host("m3", role="worker"), m4=host("m4", role="worker"))
    wanted.append(silent("m5"))
    plan = plan_membership(cluster("m1", "m2", "m3", cut_off, down("m5"), "w1"), wanted, Rules())
    assert actions(plan) == ["demote m4", "demote m3"]


def test_a_manager_is_replaced_by_a_new_one() -> None:
    plan = plan_membership(cluster(*THREE), [*hosts("m1 m2 w1 w2"), new("m4")], REMOVE)
    assert actions(plan) == [
        *("join m4", "drain m3", "demote m3", "leave m3", "remove m3"),
    ]
    assert plan.steps[-1].text == "line deleted: drain, demote, leave, remove"
    assert notes(plan, "remove") == ["managers 4 -> 3, tolerates 1 failure"]
    assert plan.unlisted == []


def test_a_deleted_host_that_is_alive_is_drained_leaves_and_is_removed() -> None:
    seen = cluster(*THREE, "w3")
    plan = plan_membership(seen, hosts("m1 m2 m3 w1 w2"), REMOVE)
    assert actions(plan) == ["drain w3", "leave w3", "remove w3"]
    around = next_round(plan.steps, "id-m1")
    assert around.nodes
    assert [item.node_id for item in around.leave] == ["id-w3"]
    assert around.leave[0].addr == seen.nodes[-1].addr
    assert not around.more
    # Once it has left, or did not answer, the rest follows.
    drained = node("w3", availability="drain", labels={HOST_LABEL: "w3", LEAVING_LABEL: "active"})
    after = replace(REMOVE, left=frozenset({"id-w3"}))
    plan = plan_membership(cluster(*THREE, drained), hosts("m1 m2 m3 w1 w2"), after)
    assert actions(plan) == ["remove w3"]


def test_what_leaves_is_drained_together_so_that_nothing_lands_on_the_next() -> None:
    rules = Rules(remove_unlisted=True, removal_limit=1)
    plan = plan_membership(cluster(*THREE, "w3"), hosts("m1 m2 m3 w1"), rules)
    assert actions(plan) == [
        f"{action} {name}" for action in ("drain", "leave", "remove") for name in ("w2", "w3")
    ]


@pytest.mark.parametrize("name", ["w2", "m3", "m1"])
def test_a_deleted_host_that_is_dead_goes_without_its_help(name: str) -> None:
    others = [other for other in THREE if other != name]
    seen = cluster(*others, down(name, 1200), acting="id-m2")
    plan = plan_membership(seen, hosts(" ".join(others)), REMOVE)
    demoted = [f"demote {name}"] if name.startswith("m") else []
    assert actions(plan) == [*demoted, f"remove {name}"]
    assert "down for 20 min" in plan.steps[0].text


def test_the_leader_is_removed_as_any_other() -> None:
    seen = cluster(*FIVE, acting="id-m2")
    plan = plan_membership(seen, hosts("m2 m3 m4 m5 w1"), REMOVE)
    assert actions(plan) == ["drain m1", "demote m1", "leave m1", "remove m1"]


@pytest.mark.parametrize("state", ["down", "ready"])
def test_a_reimaged_host_joins_anew_once_its_ghost_is_gone(state: str) -> None:
    # Until some heartbeats are missed it seems to be alive.
    ghost = replace(down("m1"), state=state, reachability="reachable")
    plan = plan_membership(
        cluster(ghost, *THREE[1:], acting="id-m2"), [new("m1"), *hosts("m2 m3 w1 w2")], Rules()
    )
    assert actions(plan) == ["demote m1", "remove m1", "join m1"]
    assert all(step.dead for step in plan.steps[:2])


def test_a_ghost_without_our_label_is_known_by_its_name_once_it_is_down() -> None:
    ghost = down("w1", id="old", labels={})
    plan = plan_membership(
        cluster(*THREE, ghost), hosts("m1 m2 m3 w1 w2", w1=host("w1", hostname="w1")), Rules()
    )
    assert [(step.action, step.node_id) for step in plan.steps] == [("remove", "old")]
    alive = replace(ghost, state="ready")
    plan = plan_membership(
        cluster(*THREE, alive), hosts("m1 m2 m3 w1 w2", w1=host("w1", hostname="w1")), Rules()
    )
    assert (plan.steps, plan.unlisted) == ([], ["w1"])


def test_labels_of_ours_change_and_those_of_others_stay() -> None:
    before = {HOST_LABEL: "w1", OWNED_LABEL: "disk,zone", "disk": "hdd", "zone": "a", "rack": "7"}
    listed = host("w1", labels={"disk": "", "zone": "b", "gpu": "1"})
    plan = plan_membership(cluster("m1", node("w1", labels=before)), [host("m1"), listed], Rules())
    (step,) = plan.steps
    assert step.text == "disk= (was hdd), gpu=1, zone=b (was a)"
    assert step.before == {"disk": "hdd", "zone": "a"}
    gone = host("w1")
    (step,) = plan_membership(
        cluster("m1", node("w1", labels=before)), [host("m1"), gone], Rules()
    ).steps
    assert step.text == "disk removed, zone removed"


def test_availability_is_set_where_it_is_listed_and_left_where_it_is_not() -> None:
    by_hand = node("w1", availability="pause")
    assert plan_membership(cluster("m1", by_hand), hosts("m1 w1"), Rules()).steps == []
    drain = hosts("m1 w1", w1=host("w1", availability="drain"))
    (step,) = plan_membership(cluster("m1", by_hand), drain, Rules()).steps
    assert (step.action, step.text) == ("availability", "pause -> drain")


def test_a_renamed_host_keeps_its_node() -> None:
    plan = plan_membership(
        cluster(*THREE), [*hosts("m1 m2 m3 w1"), host("web", node_id="id-w2")], REMOVE
    )
    assert actions(plan) == ["labels web"]
    assert plan.steps[0].text == "known as web (was w2)"


def test_two_hosts_that_exchange_their_names_keep_their_nodes() -> None:
    wanted = [
        *hosts("m1 m2 m3", w1=host("w1")),
        host("w1", node_id="id-w2"),
        host("w2", node_id="id-w1"),
    ]
    assert actions(plan_membership(cluster(*THREE), wanted, REMOVE)) == ["labels w1", "labels w2"]


def test_a_host_with_another_address_leaves_and_joins_again() -> None:
    wanted = hosts("m1 m2 m3 w1 w2", m3=host("m3", rejoin=True))
    plan = plan_membership(cluster(*THREE), wanted, Rules())
    assert actions(plan) == ["drain m3", "demote m3", "leave m3", "remove m3", "join m3"]
    assert notes(plan, "join") == ["managers 3 -> 2 -> 3 meanwhile"]
    assert len({step.row for step in plan.steps}) == 1


def test_who_acts_joins_again_last_and_one_manager_alone_never() -> None:
    wanted = [host(name, rejoin=True) for name in ("m1", "m2", "m3")]
    plan = plan_membership(cluster("m1", "m2", "m3", acting="id-m2"), wanted, Rules())
    assert [step.host for step in plan.steps if step.action == "join"] == ["m3", "m1", "m2"]
    plan = plan_membership(cluster("m1", "w1"), hosts("m1 w1", m1=host("m1", rejoin=True)), Rules())
    assert plan.steps == []
    assert "quorum" in held(plan)["m1"]


def test_a_removal_is_cancelled_by_listing_the_host_again() -> None:
    leaving = node("w1", availability="drain", labels={HOST_LABEL: "w1", LEAVING_LABEL: "pause"})
    plan = plan_membership(cluster("m1", leaving), hosts("m1 w1"), REMOVE)
    assert actions(plan) == ["labels w1", "availability w1"]
    assert plan.steps[0].text == "its removal is cancelled"
    assert plan.steps[1].text == "drain -> pause, its removal is cancelled"


def test_a_run_cleans_up_after_an_interrupted_drain() -> None:
    paused = node("w1", availability="pause", labels={HOST_LABEL: "w1", MOVING_LABEL: "active"})
    (step,) = plan_membership(cluster("m1", paused), hosts("m1 w1"), Rules()).steps
    assert step.text == "clean up after an interrupted drain"


def test_everything_at_once_is_in_the_one_order_that_is_safe() -> None:
    ghost = replace(down("w2"), id="old")
    gone = down("w9")
    seen = cluster("m1", "m2", "m3", "w1", "w3", "w4", ghost, gone, acting="id-m2")
    wanted = [
        *(host("m1", role="worker"), host("m2"), host("m3")),
        *(host("w1", role="manager"), new("w2"), new("m4"), host("w3", labels={"disk": "ssd"})),
    ]
    plan = plan_membership(seen, wanted, Rules(remove_unlisted=True, removal_limit=0.5))
    assert actions(plan) == [
        *("remove w2", "remove w9", "join m4", "join w2", "promote w1"),
        *("labels w3", "demote m1", "drain w4", "leave w4", "remove w4"),
    ]


def test_what_can_be_done_is_done_and_the_rest_is_named() -> None:
    seen = cluster("m1", "m2", "m3", down("w1"), down("w2"), "w3")
    wanted = hosts(
        "m1 m2 m3 w3", m3=host("m3", role="worker"), w3=host("w3", labels={"disk": "ssd"})
    )
    wanted += [host("w1", role="manager"), silent("w2", role="manager")]
    plan = plan_membership(seen, wanted, Rules())
    assert actions(plan) == ["labels w3"]
    assert "its node is down" in held(plan)["w1"]
    assert (
        "2 of 2 managers would answer, which tolerates 0 failures instead of 1" in held(plan)["m3"]
    )
    assert "lost_margin" in held(plan)["m3"]


# The guards


@pytest.mark.parametrize("left", [frozenset(), frozenset({"id-w3"})])
def test_what_becomes_due_while_a_run_removes_another_waits_for_the_next_run(left: Any) -> None:
    """It was not counted when the run began, and what has begun is finished."""
    leaving = node("w3", availability="drain", labels={HOST_LABEL: "w3", LEAVING_LABEL: "active"})
    if left:
        leaving = replace(leaving, state="down", labels={HOST_LABEL: "w3"})
    rules = replace(REMOVE, left=left)
    plan = plan_membership(cluster("m1", "m2", "m3", leaving, down("w4")), hosts("m1 m2 m3"), rules)
    assert {step.host for step in plan.steps} == {"w3"}
    assert "one run may remove at most 1" in held(plan)["w4"]
    # Where none has begun, it is a mistake in the inventory.
    assert "2 of 5 nodes" in refusal(
        plan_membership(cluster("m1", "m2", "m3", "w3", down("w4")), hosts("m1 m2 m3"), REMOVE)
    )


def test_the_order_in_which_the_engine_lists_nodes_is_that_of_no_plan() -> None:
    """It lists them by their IDs, which are random. The dead go first, and of these the managers."""
    nodes = [node("m1"), node("m2"), down("m3"), down("w1"), node("w3"), node("w4"), node("w2")]
    every_way = [
        actions(
            plan_membership(
                cluster(*nodes[start:], *nodes[:start]),
                hosts("m1 m2 w2"),
                replace(REMOVE, removal_limit=1, accepted_risks=frozenset({"lost_margin"})),
            )
        )
        for start in range(len(nodes))
    ]
    first = every_way[0]
    assert all(way == first for way in every_way), every_way
    removals = [action for action in first if action.startswith("remove ")]
    assert removals == ["remove m3", "remove w1", "remove w3", "remove w4"]


def test_a_quorum_is_never_given_up_whatever_is_accepted() -> None:
    rules = Rules(remove_unlisted=True, accepted_risks=frozenset({"lost_margin"}))
    seen = cluster("m1", "m2", down("m3"), "w1")
    wanted = [*hosts("m1 m2 w1", m2=host("m2", role="worker")), silent("m3")]
    plan = plan_membership(seen, wanted, rules)
    assert plan.steps == []
    assert "1 of 2 managers would answer, but a quorum needs 2" in held(plan)["m2"]


def test_the_margin_is_lost_only_where_that_is_accepted() -> None:
    wanted = hosts("m1 m2 m3", m2=host("m2", role="worker"), m3=host("m3", role="worker"))
    text = refusal(plan_membership(cluster("m1", "m2", "m3"), wanted, Rules()))
    assert (
        "fault tolerance would drop from 1 manager to 0 (3 managers now, 1 in the inventory)"
        in text
    )
    assert "lost_margin to swarm_accepted_risks" in text
    accepted = Rules(accepted_risks=frozenset({"lost_margin"}))
    plan = plan_membership(cluster("m1", "m2", "m3"), wanted, accepted)
    assert actions(plan) == ["demote m2", "demote m3"]


def test_who_acts_is_not_demoted_while_no_other_listed_manager_answers() -> None:
    wanted = [host("m1", role="worker"), silent("m2"), host("w1")]
    plan = plan_membership(cluster("m1", "m2", "w1"), wanted, Rules())
    assert plan.steps == []
    assert "no other listed manager answers" in held(plan)["m1"]
    # One that is promoted in the same run can do it.
    wanted[2] = host("w1", role="manager")
    assert actions(plan_membership(cluster("m1", "m2", "w1"), wanted, Rules())) == [
        *("promote w1", "demote m1"),
    ]


@pytest.mark.parametrize(("names", "warned"), [("m4", True), ("m4 m5", False)])
def test_an_even_number_of_managers_is_warned_of(names: str, warned: bool) -> None:
    wanted = [*hosts("m1 m2 m3"), *(new(name) for name in names.split())]
    plan = plan_membership(cluster("m1", "m2", "m3"), wanted, Rules())
    assert bool(plan.warnings) == warned
    if warned:
        assert plan.warnings[0].startswith("4 managers tolerate 1 failure, no more than 3 do")


def test_a_run_removes_no_more_than_its_limit() -> None:
    names = "m1 m2 m3 w1 w2 w3 w4 w5 w6 w7".split()
    most = plan_membership(cluster(*names), hosts(" ".join(names[:8])), REMOVE)
    assert actions(most).count("remove w7") == 1
    text = refusal(plan_membership(cluster(*names), hosts(" ".join(names[:7])), REMOVE))
    assert text.startswith(
        "3 of 10 nodes are not listed and would be removed (w5, w6, w7), but one run may remove at most 2"
    )
    assert text.endswith("set swarm_removal_limit to 0.3 (now 0.2)")
    # One may always be.
    assert actions(plan_membership(cluster("m1", "w1"), hosts("m1"), REMOVE))


def test_what_may_be_removed_does_not_shrink_while_ghosts_go_and_hosts_join_again() -> None:
    names = "m1 m2 m3 w1 w2 w3 w4 w5 w6 w7".split()
    wanted = [*hosts("m1 m2 m3 w1 w2 w3 w4"), new("w5")]
    with_ghost = cluster(*names[:8], "w6", "w7")
    assert plan_membership(with_ghost, wanted, REMOVE).refusals == []
    assert plan_membership(cluster(*names[:7], "w6", "w7"), wanted, REMOVE).refusals == []


def test_a_half_parsed_inventory_is_refused() -> None:
    names = [*THREE, "w3", "w4", "w5"]
    assert "check that the inventory is complete" in refusal(
        plan_membership(cluster(*names), hosts("m1 m2"), REMOVE)
    )


def test_what_is_not_listed_is_named_and_left_unless_asked_for() -> None:
    plan = plan_membership(cluster(*THREE, "w3", down("w4")), hosts("m1 m2 m3 w1 w2"), Rules())
    assert (plan.steps, plan.unlisted) == ([], ["w3", "w4"])


def test_a_dead_node_is_given_its_time() -> None:
    plan = plan_membership(cluster(*THREE, down("w3", 299)), hosts("m1 m2 m3 w1 w2"), REMOVE)
    assert (plan.steps, plan.unlisted) == ([], ["w3"])
    assert "down for 299 s" in held(plan)["w3"]
    assert "300 s (swarm_removal_down_after)" in held(plan)["w3"]
    plan = plan_membership(cluster(*THREE, down("w3", 300)), hosts("m1 m2 m3 w1 w2"), REMOVE)
    assert actions(plan) == ["remove w3"]


def test_a_node_whose_host_has_left_for_good_is_not_waited_for() -> None:
    left = down("w3", 5, labels={HOST_LABEL: "w3", LEAVING_LABEL: "active"})
    plan = plan_membership(cluster(*THREE, left), hosts("m1 m2 m3 w1 w2"), REMOVE)
    assert actions(plan) == ["remove w3"]
    assert "has left" in plan.steps[0].text


def test_a_node_of_unknown_state_is_asked_again() -> None:
    plan = plan_membership(
        cluster(*THREE, node("w3", state="unknown")), hosts("m1 m2 m3 w1 w2"), REMOVE
    )
    assert plan.steps == []
    assert "run again" in held(plan)["w3"]


def test_an_engine_that_would_ask_nobody_to_let_it_in_is_restarted_before_it_is_promoted() -> None:
    first = replace(host("w1", joined_by=f"{node('m3').addr}:2377"), role="manager")
    listed = [*hosts("m1 m2"), replace(host("m3"), silent=True), first, host("w2")]
    assert actions(plan_membership(cluster(*THREE), listed, Rules())) == ["promote w1"]
    dead = cluster(*THREE[:2], down("m3"), *THREE[3:])
    plan = plan_membership(dead, listed, Rules())
    assert actions(plan) == ["drain w1", "restart w1", "promote w1"]
    found = next_round(plan.steps, "id-m1")
    assert (found.nodes, found.restart, found.more) == (True, ["w1"], True)


@pytest.mark.parametrize("joined", [None, "id-w9"])
@pytest.mark.parametrize("state", ["ready", "unknown"])
def test_a_line_that_points_at_a_new_machine_while_the_old_one_lives(
    joined: str | None, state: str
) -> None:
    old = node("m3", state=state)
    moved = host("m3", node_id=joined, addresses=("192.0.2.222", "172.17.0.1"))
    seen = cluster("m1", "m2", old, *([node("w9", labels={})] if joined else []))
    text = refusal(plan_membership(seen, [*hosts("m1 m2"), moved], REMOVE))
    assert text.startswith(
        f"m3 is at 192.0.2.222 in the inventory, but the node of that name is {state} at {old.addr}:"
    )
    # Down, or at the same address, it is what the host has left behind.
    for then in (
        cluster("m1", "m2", down("m3")),
        cluster("m1", "m2", replace(old, addr="172.17.0.1")),
    ):
        plan = plan_membership(then, [*hosts("m1 m2"), replace(moved, node_id=None)], REMOVE)
        assert actions(plan) == ["demote m3", "remove m3", "join m3"]


def test_the_work_of_a_node_is_elsewhere_while_its_engine_is_restarted() -> None:
    first = replace(host("w1", joined_by="192.0.2.250:2377"), role="manager")
    listed = [*hosts("m1 m2 m3"), first, host("w2")]
    services = (
        PlacementService(id="web", name="web"),
        PlacementService(id="pinned", name="pinned", constraints=("node.hostname==w1",)),
        PlacementService(id="agent", name="agent", mode="global"),
    )
    tasks = tuple(
        PlacementTask(f"{name}-{number}", name, "id-w1", "running", "running")
        for name, count in (("web", 2), ("pinned", 1), ("agent", 1))
        for number in range(count)
    )
    places = tuple(PlacementNode(id=f"id-{name}", hostname=name, os="linux") for name in THREE)
    seen = cluster(*THREE, places=places, services=services, tasks=tasks)
    plan = plan_membership(seen, listed, Rules())
    assert actions(plan) == ["drain w1", "restart w1", "promote w1"]
    assert {step.text for step in plan.steps} == {
        (
            "worker -> manager, restart its engine first (it joined through 192.0.2.250:2377), moves web 2, stops agent 1,"
            " pinned 1"
        )
    }
    assert plan.steps[0].left_behind == ("pinned",)


@pytest.mark.parametrize("before", ["active", "pause"])
def test_a_node_gets_back_what_it_was_available_for_before_its_engine_was_restarted(
    before: str,
) -> None:
    labels = {HOST_LABEL: "w1", RESTARTING_LABEL: before}
    drained = cluster(*THREE[:3], node("w1", availability="drain", labels=labels), "w2")
    waiting = replace(host("w1", joined_by="192.0.2.250:2377"), role="manager")
    others = hosts("m1 m2 m3 w2")
    # A run was killed before the restart, after it, or the line is a worker's again.
    plan = plan_membership(drained, [*others, waiting], Rules())
    assert actions(plan) == ["restart w1", "promote w1"]
    for role, first in (("manager", ["promote w1"]), ("worker", [])):
        plan = plan_membership(
            drained, [*others, replace(waiting, role=role, joined_by=None)], Rules()
        )
        assert actions(plan) == [*first, "labels w1", "availability w1"]
        assert plan.steps[-1].text == f"drain -> {before}, as before its restart"


def test_engines_are_restarted_one_after_the_other_and_a_new_manager_serves_the_next() -> None:
    away = "192.0.2.250:2377"
    listed = [
        *hosts("m1 m2 m3"),
        *(replace(host(name, joined_by=away), role="manager") for name in ("w1", "w2")),
        replace(host("w3", joined_by=f"{node('w1').addr}:2377"), role="manager"),
        replace(host("w4"), labels={"disk": "ssd"}),
    ]
    plan = plan_membership(cluster(*THREE, "w3", "w4"), listed, Rules())
    assert actions(plan) == [
        "labels w4",
        *(
            f"{action} {name}"
            for name in ("w1", "w2")
            for action in ("drain", "restart", "promote")
        ),
        "promote w3",
    ]
    assert next_round(plan.steps, "id-m1").restart == ["w1"]


def test_who_is_promoted_first_lets_the_next_one_in() -> None:
    second = replace(host("w2", joined_by=f"{node('w1').addr}:2377"), role="manager")
    listed = [*hosts("m1 m2 m3"), replace(host("w1"), role="manager"), second]
    assert actions(plan_membership(cluster(*THREE), listed, Rules())) == [
        "promote w1",
        "promote w2",
    ]


def test_a_node_that_has_left_needs_no_known_state() -> None:
    rules = Rules(remove_unlisted=True, left=frozenset({node("w3").id}))
    nodes = cluster(*THREE, node("w3", state="unknown"))
    assert actions(plan_membership(nodes, hosts("m1 m2 m3 w1 w2"), rules)) == ["remove w3"]


# Hosts that give no answer


@pytest.mark.parametrize("state", ["ready", "down"])
def test_the_node_of_a_silent_host_is_never_touched(state: str) -> None:
    theirs = node("w2", state=state, hostname="anything", labels={HOST_LABEL: "w2"})
    plan = plan_membership(
        cluster(*THREE[:4], theirs), [*hosts("m1 m2 m3 w1"), silent("w2")], REMOVE
    )
    assert (plan.steps, plan.unlisted, plan.held) == ([], [], [])


@pytest.mark.parametrize("by", ["name", "hostname", "address"])
def test_a_silent_host_is_known_by_what_it_is_called_or_where_it_is(by: str) -> None:
    theirs = node("w2", labels={}, hostname="w2" if by == "name" else "h2", addr="192.0.2.7")
    known = {"hostname": "h2"} if by == "hostname" else {"addresses": ("192.0.2.7",)}
    plan = plan_membership(
        cluster(*THREE[:4], theirs),
        [*hosts("m1 m2 m3 w1"), silent("w2", **({} if by == "name" else known))],
        REMOVE,
    )
    assert (plan.steps, plan.unlisted, plan.held) == ([], [], [])


def test_nothing_is_removed_while_a_silent_host_might_be_it() -> None:
    plan = plan_membership(cluster(*THREE, "w3"), [*hosts("m1 m2 m3 w1 w2"), silent("web")], REMOVE)
    assert plan.steps == []
    assert "web did not answer and may be this node; bring it back first" in held(plan)["w3"]


def test_of_two_nodes_that_a_silent_host_may_be_neither_is_touched() -> None:
    ghost = replace(down("w2"), id="old")
    plan = plan_membership(cluster(*THREE, ghost), [*hosts("m1 m2 m3 w1"), silent("w2")], REMOVE)
    assert (plan.steps, plan.unlisted) == ([], [])


def test_a_silent_host_that_got_the_name_of_another_is_known_by_its_address() -> None:
    there = down("w2", addr="192.0.2.7")
    wanted = [
        *hosts("m1 m2 m3"),
        silent("w1", addresses=("192.0.2.7",)),
        host("w2", node_id="id-w1"),
    ]
    plan = plan_membership(cluster("m1", "m2", "m3", "w1", there), wanted, REMOVE)
    assert actions(plan) == ["labels w2"]
    assert plan.steps[0].node_id == "id-w1"


# Zones


def zoned(*zones: str, names: str = "m1 m2 m3 m4 m5") -> list[DesiredMember]:
    return [host(name, labels={"zone": zone}) for name, zone in zip(names.split(), zones)] + [
        host("w1", labels={"zone": "a"}),
        host("w2", labels={"zone": "b"}),
        host("w3", labels={"zone": "c"}),
    ]


def in_zone(name: str, zone: str) -> Node:
    return node(name, labels={HOST_LABEL: name, OWNED_LABEL: "zone", "zone": zone})


WORKERS = (in_zone("w1", "a"), in_zone("w2", "b"), in_zone("w3", "c"))


def test_a_zone_without_a_manager_is_told_as_it_is_where_nothing_changes() -> None:
    zones = {"m1": "b", "m2": "b", "m3": "c", "w1": "a"}
    nodes = [
        node(name, labels=labels_after({}, {"zone": zone}, name)) for name, zone in zones.items()
    ]
    listed = [host(name, labels={"zone": zone}) for name, zone in zones.items()]
    plan = plan_membership(cluster(*nodes), listed, Rules())
    assert plan.steps == []
    assert any(text.startswith("zone a has no manager") for text in plan.warnings)
    assert any(text.startswith("zone b holds 2 of 3 managers") for text in plan.warnings)


def test_a_zone_with_a_majority_is_refused() -> None:
    wanted = zoned("a", "b", "c", "a", "a")
    for index in (3, 4):
        wanted[index] = replace(wanted[index], node_id=None)
    seen = cluster(in_zone("m1", "a"), in_zone("m2", "b"), in_zone("m3", "c"), *WORKERS)
    text = refusal(plan_membership(seen, wanted, Rules()))
    assert text.startswith(
        "zone a would hold 3 of 5 managers, and losing it would lose the quorum (3)"
    )
    assert "uneven_zones to swarm_accepted_risks" in text
    plan = plan_membership(seen, wanted, Rules(accepted_risks=frozenset({"uneven_zones"})))
    assert actions(plan) == ["join m4", "join m5"]
    assert "zone a would hold 3 of 5" in plan.warnings[0]


def test_of_three_zones_none_is_left_without_a_manager() -> None:
    wanted = zoned("a", "b", "c")
    wanted[2] = replace(wanted[2], role="worker")
    wanted[3] = replace(wanted[3], role="manager")
    seen = cluster(in_zone("m1", "a"), in_zone("m2", "b"), in_zone("m3", "c"), *WORKERS)
    plan = plan_membership(seen, wanted, Rules())
    assert any(
        text.startswith("zone c would have no manager, of 3 in three zones")
        for text in plan.refusals
    )


def test_uneven_zones_that_are_there_already_are_warned_of_also_halfway_through() -> None:
    uneven = (in_zone("m1", "a"), in_zone("m2", "a"), in_zone("m3", "b"))
    wanted = zoned("a", "a", "b")
    wanted[0] = replace(wanted[0], node_id=None)
    seen = cluster(*uneven, *WORKERS, acting="id-m2")
    assert actions(plan_membership(seen, wanted, Rules())) == ["demote m1", "remove m1", "join m1"]
    halfway = cluster(*uneven[1:], *WORKERS, acting="id-m2")
    plan = plan_membership(halfway, wanted, Rules())
    assert actions(plan) == ["join m1"]
    assert len(plan.warnings) == 2


# Services


def with_services(
    *nodes: Node,
    services: tuple[PlacementService, ...],
    tasks: tuple[PlacementTask, ...] = (),
    **more: Any,
) -> Cluster:
    places = tuple(
        PlacementNode(
            id=item.id,
            hostname=item.hostname,
            role=item.role,
            labels=item.labels,
            availability=item.availability,
            state=item.state,
            memory_bytes=1000,
        )
        for item in nodes
    )
    return cluster(*nodes, places=places, services=services, tasks=tasks, **more)


SSD = PlacementService(id="s", name="db", constraints=("node.labels.disk==ssd",))


def on(name: str, count: int = 1) -> tuple[PlacementTask, ...]:
    return tuple(
        PlacementTask(f"t{i}", "s", f"id-{name}", "running", "running") for i in range(count)
    )


def test_a_service_keeps_a_node_that_it_may_run_on() -> None:
    ssd = node("w1", labels={HOST_LABEL: "w1", "disk": "ssd"})
    seen = with_services(node("m1"), node("w2"), ssd, services=(SSD,), tasks=on("w1"))
    text = refusal(plan_membership(seen, hosts("m1 w2"), REMOVE))
    assert text.startswith(
        "no remaining node could run the service db (node.labels.disk==ssd; 1 can now)"
    )
    assert "homeless_services to swarm_accepted_risks" in text
    accepted = replace(REMOVE, accepted_risks=frozenset({"homeless_services", "lack_of_room"}))
    assert actions(plan_membership(seen, hosts("m1 w2"), accepted))
    # A host that joins with the label will do.
    wanted = [*hosts("m1 w2"), new("w3", labels={"disk": "ssd"})]
    assert "drain w1" in actions(plan_membership(seen, wanted, REMOVE))


def test_what_is_drained_has_to_find_room() -> None:
    big = PlacementService(id="s", name="db", memory_bytes=400)
    seen = with_services(node("m1"), node("w1"), services=(big,), tasks=on("w1", 3))
    drain = hosts("m1 w1", w1=host("w1", availability="drain"))
    text = refusal(plan_membership(seen, drain, Rules()))
    assert text.startswith("1 task of the service db would find no room on the remaining nodes")
    assert "lack_of_room to swarm_accepted_risks" in text
    accepted = Rules(accepted_risks=frozenset({"lack_of_room"}))
    assert actions(plan_membership(seen, drain, accepted)) == ["availability w1"]


def test_a_paused_node_keeps_its_work_and_one_that_is_removed_does_not() -> None:
    big = PlacementService(id="s", name="db", memory_bytes=400)
    seen = with_services(node("m1"), node("w1"), services=(big,), tasks=on("w1", 3))
    pause = hosts("m1 w1", w1=host("w1", availability="pause"))
    assert actions(plan_membership(seen, pause, Rules())) == ["availability w1"]
    paused = with_services(
        node("m1"), node("w1", availability="pause"), services=(big,), tasks=on("w1", 3)
    )
    assert "would find no room" in refusal(plan_membership(paused, hosts("m1"), REMOVE))


def test_the_plan_says_how_many_tasks_a_drain_moves() -> None:
    small = PlacementService(id="s", name="db")
    seen = with_services(node("m1"), node("w1"), services=(small,), tasks=on("w1", 3))
    plan = plan_membership(seen, hosts("m1"), REMOVE)
    assert plan.steps[0].text == "line deleted: drain 3 tasks, leave, remove"
