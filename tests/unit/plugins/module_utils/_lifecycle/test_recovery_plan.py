# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what every host has on its disk to one manager and its steps, or to a refusal with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.recovery_plan import (
    HostState,
    RecoveryPlan,
    confirmation,
    host_state,
    plan_recovery,
    survivor_steps,
)

CLUSTER = "vuimnu900ys1hf3yqn8q7avfn"
COPIES = "/var/lib/flotilla.swarm/recover"
PEERS = tuple((f"node{n}", f"192.0.2.1{n}:2377") for n in (1, 2, 3))


def manager(number: int, **more: Any) -> HostState:
    """A manager that runs without a leader."""
    values: dict[str, Any] = dict(
        name=f"m{number}",
        answered=True,
        engine_active=True,
        engine_answers=True,
        state="active",
        control=True,
        cluster_id=CLUSTER,
        node_id=f"node{number}",
        manager=True,
        peers=PEERS,
        commit=70,
        term=3,
        index=70,
        size_bytes=100,
        free_bytes=1000,
        addresses=(f"192.0.2.1{number}",),
    )
    return HostState(**{**values, **more})


def locked(number: int, **more: Any) -> HostState:
    return manager(number, **{"state": "locked", "control": False, "sealed": True, **more})


def fresh(number: int, **more: Any) -> HostState:
    """A host with a new disk, at the address of a manager that was there."""
    values = dict(engine_active=True, engine_answers=True, state="inactive")
    return HostState(
        f"m{number}", answered=True, addresses=(f"192.0.2.1{number}",), **{**values, **more}
    )


def worker(name: str = "w1") -> HostState:
    return HostState(
        name,
        answered=True,
        engine_active=True,
        engine_answers=True,
        state="active",
        cluster_id=CLUSTER,
        node_id="nodew",
        addresses=("192.0.2.21",),
    )


def silent(number: int) -> HostState:
    return HostState(f"m{number}", addresses=(f"192.0.2.1{number}",))


def plan(*hosts: HostState, **more: Any) -> RecoveryPlan:
    return plan_recovery(hosts, COPIES, **more)


def refusal(*hosts: HostState, **more: Any) -> str:
    found = plan(*hosts, **more)
    assert found.refusals
    assert found.lines()[-len(found.refusals) - 1] == "PLAN  refused"
    return "; ".join(found.refusals)


def test_two_of_three_disks_are_gone_and_the_last_manager_runs() -> None:
    found = plan(manager(1), fresh(2), fresh(3), worker())
    assert not found.refusals
    assert (found.cluster_id, found.survivor, found.others) == (CLUSTER, "m1", ())
    assert found.steps == ("copy", "force", "remove")
    assert found.lost == ("m2 (node2)", "m3 (node3)")
    assert not found.wait
    assert found.lines() == [
        f"DIAGNOSIS  swarm {CLUSTER}: 1 of 3 managers have their raft logs, a quorum needs 2",
        "  m1  manager, running  raft log: entry 70 committed, term 3, the newest",
        "  m2  in no swarm       its address was that of manager node2, whose raft log is lost",
        "  m3  in no swarm       its address was that of manager node3, whose raft log is lost",
        "  w1  worker, running",
        f"PLAN  recover swarm {CLUSTER}, from the raft log of m1",
        f"  1  m1      copy the files of the swarm to {COPIES}",
        "  2  m1      force a new swarm: one manager, the same ID, services and secrets; its tasks restart",
        "  3  m1      remove the nodes of the managers that are lost or join again",
        "  4  m2, m3  join again, as the inventory says, by the plan of site.yml",
        "  ! lost: every change of the swarm that m1 does not have as committed, that is after entry 70 of its raft log",
        "  ! lost: the tasks and the volumes on the disks that are gone",
    ]


def test_an_autolocked_manager_is_opened_and_locked_again() -> None:
    found = plan(locked(1), fresh(2), fresh(3), key_given=True)
    assert found.steps == (
        *("stop", "copy", "open", "start"),
        *("force", "restart", "lock", "remove"),
    )
    assert found.locks
    assert found.needs_libraries
    assert "the old unlock key will not fit any more" in found.lines()[-1]
    # One that still runs is stopped as well: its key file is locked, and the engine would not find the key.
    running = plan(manager(1, sealed=True, libraries=True), fresh(2), fresh(3), key_given=True)
    assert running.steps == found.steps
    assert not running.needs_libraries


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        (
            dict(engine_active=False, engine_answers=False, control=False),
            "copy start force restart remove",
        ),
        (dict(engine_answers=False, control=False), "stop copy start force restart remove"),
        (dict(state="error", control=False), "stop copy start force restart remove"),
        (dict(state="inactive", control=False), "stop copy start force restart remove"),
        (dict(state="pending"), "copy force restart remove"),
    ],
)
def test_an_engine_that_does_not_take_part_is_started_anew(
    more: dict[str, Any], steps: str
) -> None:
    assert plan(manager(1, **more), fresh(2), fresh(3)).steps == tuple(steps.split())


def test_the_manager_with_the_most_committed_entries_is_taken_and_the_others_leave() -> None:
    peers = tuple((f"node{n}", f"192.0.2.1{n}:2377") for n in range(1, 6))
    # The second one has more entries, but they are not committed, and a forced new swarm drops them.
    found = plan(
        manager(1, peers=peers, commit=70, index=71),
        manager(2, peers=peers, commit=69, index=99, term=9),
        *(fresh(3), fresh(4), fresh(5)),
    )
    assert not found.refusals
    assert (found.survivor, found.others) == ("m1", ("m2",))
    assert ("m2", f"copy the files of the swarm to {COPIES}, leave it") in found.actions
    assert found.lost == ("m3 (node3)", "m4 (node4)", "m5 (node5)")
    named = plan(
        manager(1, peers=peers), manager(2, peers=peers, commit=69), fresh(3), survivor="m2"
    )
    assert named.survivor == "m2"
    assert "lost: entries 70 to 70, which m1 has" in named.warnings


def test_nothing_is_recovered_while_there_is_a_leader() -> None:
    led = manager(1, leader=True, nodes=("node1", "node2", "node3"))
    assert "m1 sees a leader" in refusal(led, replace(led, name="m2", node_id="node2"), fresh(3))
    assert "m2 sees a leader" in refusal(
        manager(1, commit=99), replace(led, name="m2", node_id="node2")
    )


def test_nothing_is_recovered_while_enough_managers_have_their_disks() -> None:
    assert "Unlock m1, m2: run site.yml with swarm_unlock_key" in refusal(
        locked(1), locked(2), fresh(3), key_given=True
    )
    stopped = manager(2, engine_active=False, engine_answers=False)
    text = refusal(manager(1), stopped, fresh(3))
    assert "Start the engine of m2" in text
    assert "Check that m1 reaches the other managers on port 2377" in text
    hangs = manager(2, engine_answers=False)
    assert "Restart the engine of m2" in refusal(manager(1), hangs, fresh(3))


def test_managers_that_may_live_elsewhere_are_named() -> None:
    text = refusal(manager(1), silent(2), silent(3))
    assert "2 managers did not answer and may live" in text
    assert "m2, 192.0.2.12:2377 (node node2)" in text
    assert "swarm_recover_lost=192.0.2.12,192.0.2.13" in text
    # One of them is enough for a quorum, together with the one that is left.
    assert "1 manager did not answer" in refusal(manager(1), fresh(2), silent(3))
    # Managers that are not in the inventory count as well.
    assert "swarm_recover_lost=192.0.2.12,192.0.2.13" in refusal(manager(1))
    assert plan(manager(1), silent(2), silent(3)).wait


@pytest.mark.parametrize("lost", [["m2", "m3"], ["node2", "192.0.2.13"], ["192.0.2.12:2377", "m3"]])
def test_managers_that_are_named_as_lost_must_not_come_back(lost: list[str]) -> None:
    found = plan(manager(1), silent(2), silent(3), lost=lost)
    assert not found.refusals
    assert found.wait
    assert any(
        text
        == "m2, 192.0.2.12:2377 (node node2) did not answer: it must not come back with its disk"
        for text in found.warnings
    )
    assert "1 manager did not answer" in refusal(manager(1), silent(2), silent(3), lost=lost[:1])


def test_a_name_that_is_no_lost_manager_is_told() -> None:
    found = plan(manager(1), fresh(2), silent(3), lost=["m3", "m7"])
    assert not found.refusals
    assert found.warnings[-1] == (
        "swarm_recover_lost names m7, which is no manager that did not answer"
    )


def test_a_locked_manager_needs_the_right_key() -> None:
    assert "set swarm_unlock_key" in refusal(locked(1), fresh(2), fresh(3))
    others = (fresh(2), fresh(3))
    text = refusal(locked(1, key="wrong"), *others, key_given=True)
    assert "swarm_unlock_key does not open the key file of m1" in text
    text = refusal(locked(1, key="it uses Fernet"), *others, key_given=True)
    assert "cannot be opened (it uses Fernet)" in text
    for key in ("opens", "no_crypto", ""):
        assert not plan(locked(1, key=key), *others, key_given=True).refusals


def test_what_cannot_be_recovered_is_refused() -> None:
    assert "no host answers" in refusal(silent(1), silent(2))
    assert "can be read only by root" in refusal(manager(1, root=False), fresh(2))
    assert "no host has any: restore a backup" in refusal(fresh(1), worker())
    damaged = manager(1, problem="its raft log cannot be read")
    assert "m1 (its raft log cannot be read) are damaged" in refusal(damaged, fresh(2), fresh(3))
    other = manager(2, cluster_id="another")
    assert "managers of 2 swarms (another on m2; vuimnu900ys1hf3yqn8q7avfn on m1)" in refusal(
        manager(1), other
    )
    text = refusal(manager(1, size_bytes=2_000_000_000), fresh(2), fresh(3))
    assert "needs 2.0 GB" in text
    text = refusal(manager(1), fresh(2), fresh(3), survivor="m2")
    assert "swarm_recover_survivor is m2: it must be one of m1" in text


def test_a_damaged_manager_is_passed_over_and_leaves() -> None:
    found = plan(manager(1), manager(2, problem="its key file is damaged"), fresh(3))
    assert not found.refusals
    assert (found.survivor, found.others) == ("m1", ("m2",))
    assert "not considered: m2 (its key file is damaged)" in found.warnings


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        # The key file is in clear, and the engine stopped.
        (
            dict(note=dict(copy="/c", locks=True), engine_active=False, engine_answers=False),
            "start force restart lock remove",
        ),
        # The engine has started.
        (dict(note=dict(copy="/c", locks=True), state="pending"), "force restart lock remove"),
        # A new swarm was forced, and the engine did not restart yet; state.json has lost the other managers.
        (
            dict(
                note=dict(copy="/c", locks=True, forced=True, restart=True),
                leader=True,
                peers=(("node1", "192.0.2.11:2377"),),
                nodes=("node1", "node2", "node3"),
            ),
            "restart lock remove",
        ),
        (
            dict(
                note=dict(copy="/c", locks=True, forced=True),
                engine_active=False,
                engine_answers=False,
                peers=(("node1", "192.0.2.11:2377"),),
            ),
            "start force restart lock remove",
        ),
    ],
)
def test_a_killed_run_is_resumed(more: dict[str, Any], steps: str) -> None:
    found = plan(manager(1, **more), fresh(2), fresh(3))
    assert not found.refusals
    assert found.resumes
    assert found.locks
    assert found.steps == tuple(steps.split())
    assert "PLAN  resume the recovery" in "\n".join(found.lines())


def test_managers_with_old_logs_leave_after_a_recovery() -> None:
    led = manager(1, leader=True, nodes=("node1", "node7"), commit=90)
    back = manager(3, node_id="node7", leader=True, nodes=("node1", "node7"), commit=90)
    found = plan(led, manager(2), back)
    assert not found.refusals
    assert (found.survivor, found.steps, found.others) == ("m1", (), ("m2",))


def test_the_note_of_a_log_that_is_not_the_newest_does_not_count_before_it_is_forced() -> None:
    peers = tuple((f"node{n}", f"192.0.2.1{n}:2377") for n in range(1, 6))
    first = manager(1, peers=peers, note=dict(copy="/c"), commit=60)
    assert plan(first, manager(2, peers=peers), *map(fresh, (3, 4, 5))).survivor == "m2"
    forced = replace(first, note=dict(copy="/c", forced=True))
    assert plan(forced, manager(2, peers=peers), *map(fresh, (3, 4, 5))).survivor == "m1"


def test_the_id_of_the_swarm_confirms_the_plan() -> None:
    found = plan(manager(1), fresh(2), fresh(3))
    assert confirmation(found, CLUSTER) is None
    for given_id in (None, "", "another"):
        text = confirmation(found, given_id)
        assert text is not None
        assert f"swarm_recover_confirm={CLUSTER}" in text
        assert text.startswith("Nothing was changed: ")


def test_a_host_that_did_not_answer_is_only_a_name() -> None:
    assert host_state("m1", {}) == HostState("m1")
    assert host_state("m1", {"unreachable": True, "changed": False}) == HostState("m1")


def test_the_result_of_the_observation_becomes_a_state() -> None:
    found = host_state(
        "m1",
        {
            "root": True,
            "engine": {
                "active": True,
                "answers": True,
                "state": "active",
                "control": True,
                "leader": False,
                "nodes": [],
                "remote_managers": [],
                "error": None,
            },
            "files": {
                "cluster_id": CLUSTER,
                "node_id": "node1",
                "manager": True,
                "sealed": False,
                "peers": [{"node_id": node, "addr": addr} for node, addr in PEERS],
                "raft": {"commit": 70, "term": 3, "index": 70},
                "problem": None,
                "size_bytes": 100,
            },
            "key": "",
            "note": {},
            "libraries": False,
            "free_bytes": 1000,
            "addresses": ["192.0.2.11"],
        },
    )
    assert found == manager(1)


HOSTS = st.lists(
    st.one_of(
        *(
            st.builds(
                make,
                st.just(number),
                commit=st.integers(0, 3),
                sealed=st.booleans(),
                engine_active=st.booleans(),
                note=st.sampled_from([{}, {"copy": "/c"}, {"copy": "/c", "forced": True}]),
                leader=st.booleans(),
            )
            if make is manager
            else st.builds(make, st.just(number))
            for number in (1, 2, 3)
            for make in (manager, fresh, silent)
        )
    ),
    max_size=3,
    unique_by=lambda host: host.name,
)


@settings(max_examples=300, deadline=None)
@given(HOSTS, st.booleans())
def test_a_plan_is_refused_or_complete(hosts: Sequence[HostState], key_given: bool) -> None:
    found = plan(*hosts, key_given=key_given)
    assert all(found.lines())
    if found.refusals:
        return
    by_name = {host.name: host for host in hosts}
    chosen = by_name[found.survivor]
    # Nothing that is forced was not copied before, and everything that is opened was stopped before.
    if "force" in found.steps:
        assert "copy" in found.steps or chosen.note.get("copy")
        assert not any(host.leader for host in hosts if host.manager)
        # Where a swarm could live on without this one, a new one is never forced.
        if not chosen.forced:
            assert sum(host.manager for host in hosts) < 2
            assert not any(not host.answered for host in hosts)
            assert len(hosts) == 3
    if "open" in found.steps:
        assert key_given
        assert "lock" in found.steps
    # Every other manager leaves or is known to the leader.
    for host in hosts:
        if host.manager and host is not chosen:
            assert host.name in found.others or host.node_id in chosen.nodes
    assert found.steps == survivor_steps(chosen, found.locks)
