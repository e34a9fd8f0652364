# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a run, over clusters that are new, half built, sick, mixed up and as they should be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.run_plan import (
    InventoryHost,
    make_plan,
    render,
    render_done,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.settings import read_settings
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.steps import HeldBack
from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import text
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    HOST_LABEL,
    OWNED_LABEL,
    labels_after,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.language import about, say

CLUSTER = "9rneu7clusterone"


def node(name: str, role: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{name}",
        "hostname": name,
        "role": role,
        "availability": "active",
        "state": "ready",
        "addr": "192.0.2.1",
        "labels": {HOST_LABEL: name},
        "leader": False,
        "reachability": "reachable" if role == "manager" else None,
        "manager_addr": "192.0.2.1:2377" if role == "manager" else None,
        "engine_version": "26.1.5",
        "message": None,
        **more,
    }


def said(
    state: str = "inactive",
    name: str = "",
    role: str | None = None,
    nodes: list[dict[str, Any]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """What swarm_host_info returns, as far as the plan reads it."""
    swarm = {
        "state": state,
        "node_id": f"id-{name}" if state in ("active", "pending") else None,
        "role": role,
        "cluster_id": CLUSTER if nodes is not None else None,
        "remote_managers": [{"node_id": "id-x", "addr": "192.0.2.9:2377"}],
        "error": None,
        "nodes": nodes,
        "settings": read_settings({}) if nodes is not None else None,
        **more,
    }
    return {"host": {}, "engine": {"running": True}, "swarm": swarm}


def host(name: str, observed: dict[str, Any] | None = None, **more: Any) -> InventoryHost:
    roles = ("manager",) if name.startswith("m") else ("worker",)
    return InventoryHost(
        **{"name": name, "roles": roles, "observed": observed, "address": name, **more}
    )


def fresh(*names: str) -> list[InventoryHost]:
    return [host(name, said(name=name)) for name in names]


def cluster(managers: list[str], workers: list[str]) -> list[dict[str, Any]]:
    return [node(name, "manager") for name in managers] + [node(name, "worker") for name in workers]


def running(managers: list[str], workers: list[str], **inputs: Any) -> list[InventoryHost]:
    nodes = cluster(managers, workers)
    return [
        host(name, said("active", name, "manager", nodes), inputs=dict(inputs)) for name in managers
    ] + [host(name, said("active", name, "worker"), inputs=dict(inputs)) for name in workers]


def actions(plan: Any) -> list[tuple[str, str]]:
    return [(step.action, step.host) for step in plan.steps]


def test_bare_hosts_get_one_init_and_the_rest_join() -> None:
    plan = make_plan(fresh("m1", "m2", "m3", "w1", "w2"))
    assert actions(plan) == [
        ("init", "m1"),
        ("join", "m2"),
        ("join", "m3"),
        ("join", "w1"),
        ("join", "w2"),
    ]
    assert plan.init == plan.acting == "m1"
    assert plan.steps[2].note == "managers 2 -> 3, tolerates 1 failure"


def test_a_finished_swarm_needs_nothing() -> None:
    plan = make_plan(running(["m1", "m2", "m3"], ["w1"]))
    assert plan.steps == []
    assert plan.refusals == []
    assert "4 hosts as they should be" in render(plan)


def test_a_reimaged_first_manager_joins_and_makes_no_second_swarm() -> None:
    hosts = running(["m1", "m2", "m3"], ["w1"])
    hosts[0] = host("m1", said(name="m1"))
    plan = make_plan(hosts)
    assert plan.init is None
    assert plan.acting == "m2"
    # What it was before goes first: a dead manager counts in every vote.
    assert actions(plan) == [("demote", "m1"), ("remove", "m1"), ("join", "m1")]


def test_a_dead_first_manager_changes_nothing_for_the_others() -> None:
    hosts = running(["m1", "m2", "m3"], ["w1"])
    hosts[0] = host("m1", None, reached=False)
    plan = make_plan(hosts)
    assert plan.acting == "m2"
    assert plan.steps == []
    assert plan.unreachable == ["m1"]
    assert "unreachable" in render(plan)


def test_no_second_swarm_while_a_listed_manager_is_silent() -> None:
    hosts = [*fresh("m1", "m2"), host("m3", None, reached=False)]
    assert "m3 did not answer" in make_plan(hosts).refusals[0]
    assert make_plan(hosts, allow_partial_init=True).init == "m1"


def test_a_silent_worker_does_not_hold_up_the_others() -> None:
    plan = make_plan([*fresh("m1"), host("w1", None, reached=False)])
    assert plan.init == "m1"


def test_a_failed_manager_does_not_initialise() -> None:
    assert make_plan(fresh("m1", "m2", "m3"), alive=["m2", "m3", "w1"]).init == "m2"


def test_a_host_that_could_not_join_does_not_hold_up_the_others() -> None:
    def plan_when(failed: bool) -> list[tuple[str, str]]:
        members = running(["m1"], ["w1"], swarm_labels={"disk": "ssd"})
        late = host("w2", said(name="w2"), failed=failed)
        return actions(make_plan([*members, late, *fresh("w3")]))

    assert ("join", "w2") in plan_when(failed=False)
    others = [step for step in plan_when(failed=False) if step[1] != "w2"]
    assert plan_when(failed=True) == others


def test_two_swarms_stop_the_run() -> None:
    hosts = running(["m1", "m2"], [])
    hosts.append(
        host("m3", said("active", "m3", "manager", cluster(["m3"], []), cluster_id="other"))
    )
    (refusal,) = make_plan(hosts).refusals
    assert "2 swarms" in refusal
    assert "9rneu7: m1, m2" in refusal


def test_a_worker_of_another_swarm_stops_the_run() -> None:
    hosts = [*running(["m1"], []), host("w1", said("active", "w1", "worker"))]
    (refusal,) = make_plan(hosts).refusals
    assert refusal.startswith("w1 is in another swarm")
    assert "192.0.2.9:2377" in refusal


def test_workers_whose_managers_are_not_listed_stop_the_run() -> None:
    hosts = [*fresh("m1"), host("w1", said("active", "w1", "worker"))]
    (refusal,) = make_plan(hosts).refusals
    assert "a swarm that has no listed manager" in refusal


def test_a_limit_without_a_manager_says_so() -> None:
    hosts = [host("m1"), host("w1", said("active", "w1", "worker"))]
    (refusal,) = make_plan(hosts).refusals
    assert "add one to --limit" in refusal


def test_a_host_that_was_left_while_joining_is_waited_for() -> None:
    hosts = [*running(["m1"], ["w2"])[:1], host("w2", said("pending", "w2", "worker"))]
    plan = make_plan(hosts)
    assert plan.round.join_workers == ["w2"]


@pytest.mark.parametrize(
    ("state", "words"), [("locked", "docker swarm unlock"), ("error", "error state")]
)
def test_a_locked_or_broken_member_stops_the_run(state: str, words: str) -> None:
    hosts = [*fresh("m1", "m2"), host("m3", said(state, "m3", "manager"))]
    refusals = make_plan(hosts).refusals
    assert any("m3" in refusal and words in refusal for refusal in refusals)


def test_a_lost_quorum_stops_the_run() -> None:
    hosts = [
        host("m1", said("active", "m1", "manager")),
        host("m2", None, reached=False),
        host("m3", None, reached=False),
    ]
    (refusal,) = make_plan(hosts).refusals
    assert "lost its quorum" in refusal
    assert "m2, m3" in refusal


def test_a_stopped_engine_of_a_member_is_started_before_anything_is_decided() -> None:
    asleep = host(
        "m1",
        {"engine": {"running": False}, "swarm": {"state": "unknown"}},
        engine_steps=({"what": "start"},),
    )
    plan = make_plan([asleep, *fresh("m2", "m3")])
    assert plan.init is None
    assert actions(plan) == [("engine", "m1")]
    assert any("m1 was in a swarm" in warning for warning in plan.warnings)


def test_settings_and_labels_come_as_steps() -> None:
    hosts = running(["m1", "m2", "m3"], ["w1"])
    hosts[3] = host(
        "w1",
        said("active", "w1", "worker"),
        inputs={"swarm_zone": "b", "swarm_labels": {"disk": "ssd"}, "swarm_availability": "drain"},
    )
    plan = make_plan(hosts, {"task_history_retention_limit": 3})
    assert [step.action for step in plan.steps] == ["settings", "labels", "availability"]
    assert plan.steps[1].text == "disk=ssd, zone=b"
    assert plan.steps[2].text == "active -> drain"


def test_nodes_outside_the_inventory_are_reported_and_left() -> None:
    hosts = running(["m1"], ["w1", "w9"])[:-1]
    plan = make_plan(hosts)
    assert plan.unlisted == ["w9"]
    assert plan.steps == []


def test_the_node_that_a_reimaged_host_left_is_no_stranger() -> None:
    nodes = [
        *cluster(["m1", "m2", "m3"], []),
        node("m4", "manager", id="old", hostname="m1", state="down", labels={}),
    ]
    hosts = [host(name, said("active", name, "manager", nodes)) for name in ("m1", "m2", "m3")]
    plan = make_plan(hosts)
    assert plan.unlisted == []
    assert [(step.action, step.host, step.node_id) for step in plan.steps] == [
        ("demote", "m1", "old"),
        ("remove", "m1", "old"),
    ]
    assert "left over" in render(plan)


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ([], "names no host"),
        (fresh("w1"), "swarm_managers is empty"),
        ([host("m1", said(), roles=("manager", "worker"))], "in both groups"),
        ([host("m1", said()), host("m2", said(), address="m1")], "the same host"),
        ([host("m1", said(), inputs={"swarm_advertise_addr": "192.0.2.300"})], "192.0.2.300"),
        ([host("m1", said(), inputs={"swarm_labels": "ssd"})], "dictionary"),
        ([host("m1", said(), inputs={"swarm_labels": {"zone": "a"}})], "swarm_zone"),
        ([host("m1", said(), inputs={"swarm_availability": "off"})], "active, pause, drain"),
        ([host("m1", said(), inputs={"swarm_data_path_port": 80})], "1024 to 49151"),
        ([host("m1", said(), inputs={"swarm_subnet_size": 31})], "8 to 29"),
        ([host("m1", said(), inputs={"swarm_default_addr_pool": ["10.0.0.1/8"]})], "host bits"),
        (
            [host("m1", said(), inputs={"swarm_default_addr_pool": ["10.0.0.0/8", "10.1.0.0/16"]})],
            "overlap",
        ),
        ([host("m1", said(), extra_names=("swarm_zoen",))], "did you mean swarm_zone?"),
        ([host("m1", said(), mistakes=("m1: a type is wrong",))], "a type is wrong"),
    ],
)
def test_bad_inventories_are_refused_with_a_sentence(
    hosts: list[InventoryHost], words: str
) -> None:
    plan = make_plan(hosts, known_names=frozenset({"swarm_zone", "swarm_labels"}))
    assert any(words in refusal for refusal in plan.refusals), plan.refusals
    assert plan.steps == []
    assert "refused" in render(plan)


def test_who_may_not_see_the_engine_is_told_to_become_root() -> None:
    blind = said("unknown", error="Permission denied")
    blind["host"]["root"], blind["engine"]["running"] = False, False
    steps = ({"step": "service", "what": "start the engine", "why": "it does not run"},)
    hosts = [*running(["m1"], []), host("w1", blind), host("w2", blind, engine_steps=steps)]
    (text,) = make_plan(hosts).refusals
    assert text.startswith("w1, w2: only root can see and change its engine")
    assert "ansible_become: true" in text


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"swarm_labels": {"flotilla.swarm.host": "x"}},
            "the prefix of labels that this collection sets",
        ),
        ({"swarm_labels": {"disk": ["ssd"]}}, "the label disk is a list"),
        ({"swarm_availability": "off"}, "active, pause, drain, or empty"),
    ],
)
def test_values_that_no_type_rules_out(inputs: dict[str, Any], words: str) -> None:
    (text,) = make_plan([host("m1", said(), inputs=inputs)]).refusals
    assert words in text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labels": {"x": {"y": [1]}}}, "has a dictionary for x: it must be a single value"),
        (["a"], "swarm_settings is a list"),
    ],
)
def test_settings_of_another_shape(settings: Any, words: str) -> None:
    (text,) = make_plan([host("m1", said())], settings=settings).refusals
    assert words in text


def test_a_worker_in_another_swarm_is_not_called_a_manager() -> None:
    hosts = running(["m1"], [])
    other = said("active", "w1", "manager", cluster(["w1"], []))
    other["swarm"]["cluster_id"] = "another"
    (text,) = make_plan([*hosts, host("w1", other)]).refusals
    assert text.startswith("the listed hosts are in 2 swarms")


def test_two_names_of_one_node_are_refused() -> None:
    hosts = running(["m1"], ["w1"])
    hosts.append(host("w2", hosts[1].observed))
    assert any("the same host (node ID" in refusal for refusal in make_plan(hosts).refusals)


def test_interfaces_and_addresses_are_accepted() -> None:
    for value in ("eth0", "bond0.100", "192.0.2.1", "192.0.2.1:2377", "2001:db8::1", ""):
        hosts = [host("m1", said(), inputs={"swarm_advertise_addr": value})]
        assert make_plan(hosts).refusals == [], value


def locked(name: str, **more: Any) -> InventoryHost:
    return host(name, said("locked", name, "worker"), **more)


def test_a_swarm_whose_managers_are_all_locked_is_unlocked_before_anything_else() -> None:
    hosts = [locked(name, unlock_key=True) for name in ("m1", "m2", "m3")]
    # A fresh worker must not make the run initialise a second swarm.
    hosts += [host("w1", said("active", "w1", "worker")), *fresh("w2")]
    plan = make_plan(hosts)
    assert plan.refusals == []
    assert (plan.unlock, plan.acting, plan.init) == (["m1", "m2", "m3"], None, None)
    text = render(plan)
    assert text.splitlines() == [
        "PLAN  locked swarm",
        "  ~ unlock       m1, m2, m3   its engine was restarted with autolock on",
        "  ! warning      the swarm is locked: the run unlocks it and plans again",
        "  = 2 hosts as they should be",
    ]


def test_a_locked_manager_is_unlocked_and_its_node_left_as_it_is() -> None:
    hosts = running(["m1", "m2"], ["w1"])
    nodes = cluster(["m1", "m2", "m3"], ["w1"])
    nodes[2].update(state="down", reachability="unreachable")
    hosts = [host(h.name, said("active", h.name, "manager", nodes)) for h in hosts[:2]] + hosts[2:]
    plan = make_plan([*hosts, locked("m3", unlock_key=True)])
    assert plan.refusals == []
    assert [(step.action, step.host) for step in plan.steps if step.host == "m3"] == [
        ("unlock", "m3")
    ]
    assert plan.acting == "m1"


def test_without_a_key_or_with_a_wrong_one_nothing_is_done() -> None:
    plan = make_plan([locked("m1"), locked("m2", unlock_key=True)])
    assert "set swarm_unlock_key, or unlock it there with 'docker swarm unlock'" in plan.refusals[0]
    assert plan.steps == []
    tried = [locked(n, unlock_key=True, unlock_error="it is not its key") for n in ("m1", "m2")]
    assert make_plan(tried).refusals[0] == "m1, m2: could not be unlocked: it is not its key"


STATES = st.sampled_from(["fresh", "member", "unreachable", "locked", "foreign", "quiet"])


@st.composite
def inventories(draw: st.DrawFn) -> list[InventoryHost]:
    """Hosts in any mixture of states, over one cluster of those that are members."""
    names = [f"m{i}" for i in range(draw(st.integers(0, 5)))]
    names += [f"w{i}" for i in range(draw(st.integers(0, 5)))]
    states = {name: draw(STATES) for name in names}
    members = [name for name in names if states[name] == "member"]
    nodes = cluster(
        [name for name in members if name.startswith("m")],
        [name for name in members if name.startswith("w")],
    )
    hosts = []
    for name in names:
        manager = name.startswith("m")
        role = "manager" if manager else "worker"
        observed: dict[str, Any] | None = {
            "fresh": said(name=name),
            "member": said("active", name, role, nodes if manager else None),
            "unreachable": None,
            "locked": said("locked", name, "manager"),
            "foreign": said("active", f"other-{name}", "worker"),
            "quiet": None,
        }[states[name]]
        key = states[name] == "locked" and draw(st.booleans())
        hosts.append(host(name, observed, reached=states[name] != "unreachable", unlock_key=key))
    return hosts


@given(inventories())
def test_no_inventory_gets_a_second_swarm(hosts: list[InventoryHost]) -> None:
    plan = make_plan(hosts)
    inits = [step for step in plan.steps if step.action == "init"]
    if plan.refusals:
        assert plan.steps == []
        return
    assert len(inits) <= 1
    if inits:
        assert not any(each.member for each in hosts)
        assert all(each.observed is not None for each in hosts if each.role == "manager")
    joins = [step.host for step in plan.steps if step.action == "join"]
    assert len(set(joins)) == len(joins)
    assert plan.init not in joins
    render(plan)


@given(inventories())
def test_carrying_out_a_plan_leaves_nothing_to_plan(hosts: list[InventoryHost]) -> None:
    plan = make_plan(hosts)
    joined = {plan.init, *plan.round.join_managers, *plan.round.join_workers} - {None}
    if plan.refusals or not joined:
        return
    there = [each.name for each in hosts if each.name in joined or each.member]
    nodes = cluster(
        [name for name in there if name.startswith("m")],
        [name for name in there if name.startswith("w")],
    )
    after = [
        host(
            old.name,
            said("active", old.name, old.role, nodes if old.role == "manager" else None)
            if old.name in there
            else old.observed,
            reached=old.reached,
        )
        for old in hosts
    ]
    assert make_plan(after).steps == []


LABELS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", "1", "2"]), max_size=4)


@given(foreign=LABELS, first=LABELS, second=LABELS)
def test_labels_of_others_survive_and_ours_converge(
    foreign: dict[str, str], first: dict[str, str], second: dict[str, str]
) -> None:
    once = labels_after(foreign, first)
    twice = labels_after(once, second)
    assert labels_after(twice, second) == twice
    for key, value in second.items():
        assert twice[key] == value
    for key, value in foreign.items():
        if key not in first and key not in second:
            assert twice[key] == value
    for key in set(first) - set(second):
        assert key not in twice
    assert labels_after(twice, {}).keys() == {key for key in foreign if key not in first | second}
    assert OWNED_LABEL not in labels_after(twice, {})


def test_what_was_done_and_what_failed_hosts_owe() -> None:
    plan = make_plan(fresh("m1", "m2", "w1"))
    text = render_done(plan.steps, ["m1", "m2"])
    done, owed = text.split("NOT DONE")
    assert "+ join         m2" in done
    assert "w1" not in done
    assert "x join         w1" in owed
    assert "NOT DONE" not in render_done(plan.steps, ["m1", "m2", "w1"])


def test_why_the_acting_manager_did_not_do_its_part_is_said_with_what_is_not_done() -> None:
    plan = make_plan(running(["m1"], ["w1"])[:1], rules={"remove_unlisted": True})
    why = "Could not change the nodes: m1, which acted, does not answer."
    done, owed = render_done(plan.steps, ["m1"], plan.steps, [], why).split("NOT DONE")
    assert "w1" not in done
    assert owed.startswith(f"  {why}\n")
    assert "x remove       w1" in owed


def test_what_had_to_wait_in_the_end_is_not_said_to_be_done() -> None:
    hosts = running(["m1"], ["w1"])
    plan = make_plan(hosts[:1], rules={"remove_unlisted": True})
    held = [HeldBack("w1", "remove", "its state is unknown")]
    done, owed = render_done(plan.steps, ["m1"], [], held).split("NOT DONE")
    assert "w1" not in done
    assert "x remove       w1" in owed
    assert "! held back    w1   its state is unknown" in owed


def test_hosts_with_the_same_engine_work_share_a_line() -> None:
    work = ({"what": "install docker.io"},)
    hosts = [host(f"m{i}", said(name=f"m{i}"), engine_steps=work) for i in range(1, 9)]
    text = render(make_plan(hosts))
    assert text.count("install docker.io") == 1
    assert "m1, m2, m3, m4, m5, m6 and 2 more" in text


def test_much_work_on_an_engine_is_folded_under_itself() -> None:
    work = tuple({"what": f"do thing number {number} to the engine"} for number in range(8))
    plan = make_plan([host("m1", said(name="m1"), engine_steps=work)])
    lines = [line for line in render(plan).splitlines() if "thing" in line]
    assert len(lines) > 1
    assert max(map(len, lines)) < 125
    assert len({line.index("do thing") for line in lines}) == 1


def test_the_same_mistake_on_many_hosts_is_one_sentence() -> None:
    hosts = [host(f"m{i}", said(), extra_names=("swarm_zoen",)) for i in range(1, 9)]
    (refusal,) = make_plan(hosts, known_names=frozenset({"swarm_zone"})).refusals
    assert refusal.startswith("m1, m2, m3, m4, m5, m6 and 2 more: there is no variable swarm_zoen")
    # The page says in its own language what the words are about.
    assert about(refusal, "ko").startswith("인벤토리나 변수의 값을")
    assert about(refusal, "en") == ""


def test_a_reason_that_each_of_two_hosts_gives_for_both_names_them_once() -> None:
    def overlaps(name: str) -> str:
        template = "{host}: its route to {route} overlaps {given} {network}: set swarm_default_addr_pool to networks that no host has a route to."
        return text(
            template, host=name, route="10.1.0.0/16", given="its pool", network="10.0.0.0/8"
        )

    both = (overlaps("m1"), overlaps("m2"))
    (refusal,) = make_plan([host(name, said(), refusals=both) for name in ("m1", "m2")]).refusals
    assert refusal.startswith("m1, m2: its route to 10.1.0.0/16 overlaps its pool")
    assert not refusal.endswith(".")
    assert say(refusal, "ko").startswith("m1, m2: 10.1.0.0/16 경로가")
