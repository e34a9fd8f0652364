# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the steps of a plan are taken on an engine that is slow, that somebody else changes too, or that never gets there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.changes import (
    _drained_with,
    change_nodes,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.identity import DesiredMember
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.membership import Rules
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.outcome import NodesOutcome
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    HOST_LABEL,
    LEAVING_LABEL,
    MOVING_LABEL,
    RESTARTING_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.marks import paused
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._cluster.simulated_engine import (
    SimulatedClient,
    SimulatedNode,
    Swarm,
)


def swarm(names: str, lag: float = 0.0) -> Swarm:
    made = Swarm(lag)
    for name in names.split():
        manager = name.startswith("m")
        made.nodes[name] = SimulatedNode(
            name,
            name,
            f"192.0.2.{len(made.nodes)}",
            "manager" if manager else "worker",
            labels={HOST_LABEL: name},
            raft="reachable" if manager else None,
        )
    return made


def hosts(names: str, **roles: str) -> list[DesiredMember]:
    usual = {"m": "manager", "w": "worker"}
    return [
        DesiredMember(name, roles.get(name, usual[name[0]]), node_id=name) for name in names.split()
    ]


def change(
    engine: Swarm,
    wanted: list[DesiredMember],
    rules: Rules | None = None,
    turn: Callable[[str], None] = lambda request: None,
    check: bool = False,
) -> NodesOutcome:
    client = SimulatedClient(engine, "m1", turn)
    return change_nodes(client, wanted, rules or Rules(), check, 60, 60, engine)


def taken(outcome: NodesOutcome) -> list[str]:
    assert outcome.error is None, outcome.error
    return [f"{step.action} {step.host}" for step in outcome.done]


@pytest.mark.parametrize("lag", [0, 5, 50])
def test_a_change_of_role_is_waited_for(lag: float) -> None:
    engine = swarm("m1 m2 m3 w1", lag)
    outcome = change(engine, hosts("m1 m2 m3 w1", m3="worker", w1="manager"))
    assert taken(outcome) == ["promote w1", "demote m3"]
    assert {node.id for node in engine.members} == {"m1", "m2", "w1"}
    assert outcome.late == []


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [("w1", "manager", "check 2377/tcp"), ("m4", "worker", "still counted as a manager")],
)
def test_a_change_of_role_that_never_comes_is_an_error(name: str, role: str, words: str) -> None:
    engine = swarm("m1 m2 m3 m4 w1", lag=100)
    outcome = change(engine, hosts("m1 m2 m3 m4 w1", **{name: role}))
    assert outcome.error is not None
    assert outcome.error.code == "timeout"
    assert words in outcome.error.message
    assert (outcome.done, len(outcome.steps)) == ([], 1)
    # The next run finds it done meanwhile.
    engine.sleep(60)
    assert change(engine, hosts("m1 m2 m3 m4 w1", **{name: role})).steps == []


@pytest.mark.parametrize("alive", [True, False])
def test_a_new_leader_is_given_time_to_hear_from_the_nodes(alive: bool) -> None:
    """A node that is to be removed is not held back only because an election was just over."""
    engine = swarm("m1 m2 m3 w1 w2")
    leaving = engine.nodes["w2"]
    leaving.alive, leaving.state = alive, "unknown"
    engine.later(20, lambda: engine.seen(leaving))
    rules = Rules(remove_unlisted=True, removal_down_after=0)
    outcome = change(engine, hosts("m1 m2 m3 w1"), rules)
    assert outcome.plan.held == []
    assert outcome.steps


def test_what_somebody_else_changes_at_the_same_time_is_read_and_written_again() -> None:
    engine = swarm("m1 w1")
    others = 3

    def turn(request: str) -> None:
        nonlocal others
        if request == "update_node" and others:
            others -= 1
            engine.nodes["w1"].labels[f"theirs-{others}"] = "kept"
            engine.nodes["w1"].version += 1

    wanted = [*hosts("m1"), DesiredMember("w1", "worker", {"disk": "ssd"}, "pause", "w1")]
    assert taken(change(engine, wanted, turn=turn)) == ["labels w1", "availability w1"]
    labels = engine.nodes["w1"].labels
    assert (labels["disk"], engine.nodes["w1"].availability) == ("ssd", "pause")
    assert [key for key in labels if key.startswith("theirs")] == [
        "theirs-2",
        "theirs-1",
        "theirs-0",
    ]


def test_somebody_who_never_stops_is_named() -> None:
    engine = swarm("m1 w1")

    def turn(request: str) -> None:
        if request == "update_node":
            engine.nodes["w1"].version += 1

    outcome = change(
        engine, [*hosts("m1"), DesiredMember("w1", "worker", {"a": "b"}, None, "w1")], turn=turn
    )
    assert outcome.error is not None
    assert outcome.error.code == "out_of_sequence"


@pytest.mark.parametrize("when", ["update_node", "remove_node", "node"])
def test_a_node_that_another_run_removes_first_is_gone_all_the_same(when: str) -> None:
    engine = swarm("m1 m2 m3 old")
    ghost = engine.nodes["old"]
    ghost.role, ghost.raft, ghost.state, ghost.alive = "manager", "unreachable", "down", False
    ghost.labels[HOST_LABEL] = "m3"

    def turn(request: str) -> None:
        if request == when:
            engine.nodes.pop("old", None)

    assert taken(change(engine, hosts("m1 m2 m3"), turn=turn)) == ["demote m3", "remove m3"]
    assert "old" not in engine.nodes


@pytest.mark.parametrize("before", ["active", "pause"])
def test_a_live_node_is_drained_and_left_to_its_host(before: str) -> None:
    engine = swarm("m1 m2 m3 w1 w2")
    engine.nodes["w2"].availability = before
    rules = Rules(remove_unlisted=True)
    outcome = change(engine, hosts("m1 m2 m3 w1"), rules)
    assert taken(outcome) == ["drain w2"]
    there = engine.nodes["w2"]
    assert (there.availability, there.labels[LEAVING_LABEL]) == ("drain", before)
    assert MOVING_LABEL not in there.labels
    engine.leave("w2")
    left = Rules(remove_unlisted=True, left=frozenset({"w2"}))
    assert taken(change(engine, hosts("m1 m2 m3 w1"), left)) == ["remove w2"]


@pytest.mark.parametrize("mark", [LEAVING_LABEL, RESTARTING_LABEL])
def test_a_mark_says_what_a_node_was_available_for_before_its_work_was_moved(mark: str) -> None:
    before_drain = paused({"Availability": "active", "Labels": {"zone": "a"}})
    assert before_drain["Availability"] == "pause"
    drained = _drained_with(mark)(before_drain)
    assert (drained["Availability"], drained["Labels"][mark]) == ("drain", "active")


def test_a_ghost_that_seems_alive_is_waited_for() -> None:
    engine = swarm("m1 w1 old")
    ghost = engine.nodes["old"]
    ghost.labels[HOST_LABEL] = "w1"
    engine.later(15, lambda: engine._down(ghost))
    assert taken(change(engine, hosts("m1 w1"))) == ["remove w1"]


def test_a_node_that_is_alive_is_no_ghost() -> None:
    engine = swarm("m1 w1 old")
    engine.nodes["old"].labels[HOST_LABEL] = "w1"
    outcome = change(engine, hosts("m1 w1"))
    assert outcome.error is not None
    assert "another host may have its name" in outcome.error.message
    assert "old" in engine.nodes


@pytest.mark.parametrize("lost", [True, False])
def test_only_a_node_that_was_ready_before_ends_the_run(lost: bool) -> None:
    engine = swarm("m1 w1 w2")
    if not lost:
        engine.nodes["w2"].state = "down"

    def turn(request: str) -> None:
        if request == "update_node":
            engine.nodes["w2"].state = "down"

    wanted = [*hosts("m1 w2"), DesiredMember("w1", "worker", {"disk": "ssd"}, None, "w1")]
    outcome = change(engine, wanted, turn=turn)
    assert taken(outcome) == ["labels w1"]
    assert outcome.late == ["w2"]
    assert outcome.lost == (["w2"] if lost else [])


def test_check_mode_writes_nothing_and_lists_what_a_run_does() -> None:
    engine = swarm("m1 m2 m3 w1 w2")
    wanted = hosts("m1 m2 m3 w1", m3="worker", w1="manager")
    rules = Rules(remove_unlisted=True)

    def turn(request: str) -> None:
        assert request not in ("update_node", "remove_node")

    checked = change(engine, wanted, rules, turn, check=True)
    assert checked.done == []
    assert change(engine, wanted, rules).done == checked.steps


def test_a_refused_plan_writes_nothing() -> None:
    engine = swarm("m1 m2 m3 w1 w2 w3")

    def turn(request: str) -> None:
        assert request not in ("update_node", "remove_node")

    outcome = change(engine, hosts("m1 m2 m3"), Rules(remove_unlisted=True), turn)
    assert "3 of 6 nodes" in outcome.plan.refusals[0]
    assert outcome.steps == []


def test_an_engine_that_is_no_manager_says_so() -> None:
    engine = swarm("m1 w1")
    client: Any = SimulatedClient(engine, "w1")
    with pytest.raises(SwarmError) as raised:
        change_nodes(client, hosts("m1 w1"), Rules(), False, 0, 0, engine)
    assert raised.value.code == "not_manager"
