# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who makes a backup, when it is refused, when a timer acts, and which files stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.backup_files import (
    BackupName,
    complete_backups,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.backup_plan import (
    CLAIM,
    DONE,
    FAILED,
    LOST_AFTER,
    PATIENCE,
    RUNNING,
    SAME_SLOT,
    SKIP,
    TURN,
    WAIT,
    HostView,
    Record,
    Wanted,
    candidates,
    check_form,
    choose,
    done_lines,
    expired,
    margin_objection,
    name_for,
    next_move,
    parse_record,
    parse_wanted,
    plan_backup,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    Node,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.maintenance import (
    MaintenancePlan,
    MaintenanceStep,
)

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
WANTED = Wanted("/backups", (RECIPIENT,))
NOW = 1_796_000_000.0
DAY = 86400.0


def node(name: str, **more: Any) -> Node:
    """A manager, or with role=worker a worker."""
    reach = more.pop("reachability", "reachable")
    manager = {"Addr": f"{name}:2377", "Reachability": reach, "Leader": more.pop("leader", False)}
    is_manager = more.get("role", "manager") == "manager"
    return parse_node(
        {
            "ID": f"id-{name}",
            "Description": {"Hostname": name, "Engine": {"EngineVersion": "26.1.5"}},
            "Spec": {
                "Role": more.get("role", "manager"),
                "Availability": more.get("availability", "active"),
                "Labels": {"flotilla.swarm.host": name, **more.get("labels", {})},
            },
            "Status": {"State": more.get("state", "ready"), "Addr": "192.0.2.1"},
            **({"ManagerStatus": manager} if is_manager else {}),
        }
    )


THREE = [node("m1", leader=True), node("m2"), node("m3"), node("w1", role="worker")]


def view(nodes: list[Node], me: str, **more: Any) -> HostView:
    given: dict[str, Any] = dict(autolock=True, drain=MaintenancePlan())
    return HostView("4wyc7i0q9iegkhgbnx6ydrzjv", f"id-{me}", tuple(nodes), **{**given, **more})


# Who


def test_a_manager_that_is_not_the_leader_makes_it() -> None:
    assert [found.hostname for found in candidates(THREE)] == ["m2", "m3"]
    assert choose(THREE).node == THREE[1]


def test_a_drained_manager_comes_first_because_it_has_no_task_to_move() -> None:
    nodes = [node("m1", leader=True), node("m2"), node("m3", availability="drain")]
    assert choose(nodes).node == nodes[2]


def test_a_manager_in_maintenance_comes_last() -> None:
    label = {"flotilla.swarm.drained": "active"}
    nodes = [node("m1", leader=True), node("m2", availability="drain", labels=label), node("m3")]
    assert [found.hostname for found in candidates(nodes)] == ["m3", "m2"]


@pytest.mark.parametrize("gone", [{"state": "down"}, {"reachability": "unreachable"}])
def test_a_manager_that_is_not_ready_is_passed_over(gone: dict[str, Any]) -> None:
    nodes = [node("m1", leader=True), node("m2", **gone), node("m3")]
    assert choose(nodes).node == nodes[2]


def test_only_nodes_that_the_caller_reaches_are_chosen() -> None:
    assert choose(THREE, ["id-m1", "id-m3"]).node == THREE[2]
    only_the_leader = choose(THREE, ["id-m1"])
    assert only_the_leader.node is None
    assert "no manager apart from the leader" in only_the_leader.refusal


def test_the_leader_makes_it_where_it_is_the_only_manager() -> None:
    nodes = [node("m1", leader=True), node("w1", role="worker")]
    assert choose(nodes).node == nodes[0]
    assert choose([node("m1", leader=True), node("m2", state="down")]).node is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ready", "down", "unknown"]),
            st.sampled_from(["reachable", "unreachable"]),
            st.sampled_from(["active", "drain", "pause"]),
        ),
        min_size=1,
        max_size=7,
    ),
    st.integers(0, 6),
)
def test_all_managers_choose_the_same_one_and_never_the_leader_of_several(
    states: list[tuple[str, str, str]], leader: int
) -> None:
    nodes = [
        node(f"m{n}", leader=n == leader % len(states), state=s, reachability=r, availability=a)
        for n, (s, r, a) in enumerate(states)
    ]
    choice = choose(nodes).node
    assert choice == choose(nodes[::-1]).node
    if choice is not None:
        assert choice.ready
        assert len(nodes) == 1 or not choice.leader


# The margin


@pytest.mark.parametrize(
    ("managers", "down", "refused"),
    [
        (1, 0, True),
        (2, 0, True),
        (3, 0, False),
        (3, 1, True),
        (4, 0, False),
        (5, 1, False),
        (5, 2, True),
    ],
)
def test_a_quorum_must_remain(managers: int, down: int, refused: bool) -> None:
    nodes = [
        node(
            f"m{n}",
            leader=n == 1,
            state="down" if n > managers - down else "ready",
            reachability="unreachable" if n > managers - down else "reachable",
        )
        for n in range(1, managers + 1)
    ]
    me = "m1" if managers == 1 else "m2"
    assert bool(margin_objection(nodes, f"id-{me}")) is refused
    plan = plan_backup(view(nodes, me), WANTED, NOW)
    assert bool(plan.refusals) is refused
    if refused:
        assert "or add quorum to swarm_backup_accepted_risks" in plan.refusals[0]
        assert plan.steps == ()
        accepted = plan_backup(view(nodes, me), replace(WANTED, accepted_risks=("quorum",)), NOW)
        assert accepted.refusals == ()
        assert accepted.warnings


# The plan


def test_the_plan_names_every_step() -> None:
    drain = MaintenancePlan(
        [MaintenanceStep("drain", "id-m2", "m2", "active", "drain", {"shop_web": 1}, {"agent": 1})]
    )
    names = ["raft-20200101T000000Z-m3.tar.age", "raft-20200101T000000Z-m3.meta.json", "other"]
    plan = plan_backup(
        view(THREE, "m2", drain=drain, names=tuple(names)), replace(WANTED, keep_count=1), NOW
    )
    actions = [(step.action, step.object) for step in plan.steps]
    assert actions == [
        ("write", "export-TIME-m2.json.age"),
        ("drain", "m2"),
        ("stop", "the engine of m2"),
        ("write", "raft-TIME-m2.tar.age"),
        ("start", "the engine of m2"),
        ("undrain", "m2"),
        ("check", "raft-TIME-m2.tar.age"),
        ("delete", "raft-20200101T000000Z-m3.tar.age"),
    ]
    text = "\n".join(plan.lines())
    assert "PLAN  backup of swarm 4wyc7i by m2 (is not the leader), into /backups/4wyc7i0q" in text
    assert "managers 3 -> 2 of 3 reachable, quorum 2" in text
    assert "unlock it: autolock stays on" in text
    assert "a restore needs it" in text
    assert "moves shop_web 1   stops agent 1" in text


def test_a_drained_manager_is_neither_drained_nor_put_back_into_service() -> None:
    plan = plan_backup(view(THREE, "m2", drain=None, autolock=False), WANTED, NOW)
    assert [step.action for step in plan.steps] == ["write", "stop", "write", "start", "check"]
    assert "a restore needs no unlock key" in plan.steps[-1].detail


def test_what_a_drain_refuses_is_refused_with_the_variable_of_the_backup() -> None:
    drain = MaintenancePlan(
        refusals=["no node for web: relax it, or add homeless_services to accepted_risks"]
    )
    plan = plan_backup(view(THREE, "m2", drain=drain), WANTED, NOW)
    assert plan.refusals == (
        "no node for web: relax it, or add homeless_services to swarm_backup_accepted_risks",
    )
    assert plan.lines()[0] == "PLAN  refused"


def test_containers_that_would_stay_stopped_are_refused_and_others_named() -> None:
    seen = view(THREE, "m2", containers=("cache", "db"), stays_stopped=("db",))
    refused = plan_backup(seen, WANTED, NOW)
    assert "db" in refused.refusals[0]
    assert "other_containers" in refused.refusals[0]
    plan = plan_backup(seen, replace(WANTED, accepted_risks=("other_containers",)), NOW)
    assert plan.refusals == ()
    assert any("1 container outside the swarm restarts: cache" in text for text in plan.warnings)


def test_without_raft_there_is_the_export_alone() -> None:
    plan = plan_backup(view(THREE, "m2", stays_stopped=("db",)), WANTED, NOW, with_raft=False)
    assert [step.action for step in plan.steps] == ["write"]


def test_what_no_host_can_make_good_is_refused() -> None:
    options = dict(dir="backups", recipients=["age1x", "AGE-SECRET"])
    with pytest.raises(SwarmError) as error:
        check_form(options)
    assert error.value.code == "bad_option"
    assert "swarm_backup_dir is 'backups'" in error.value.message
    check_form(dict(dir="/backups", recipients=[RECIPIENT, "ssh-ed25519 AAAAC3Nza me@here"]))


def test_the_options_of_the_module_are_those_of_the_timer() -> None:
    options = dict(
        dir="/b",
        recipients=[f" {RECIPIENT} "],
        keep_count=3,
        keep_days=0,
        accepted_risks=["quorum"],
        drain_timeout=60,
        docker_host="unix:///run/docker.sock",
    )
    wanted = parse_wanted(options)
    assert wanted.recipients == (RECIPIENT,)
    assert (wanted.keep_count, wanted.drain_timeout) == (3, 60.0)


# The timer

A, B, C = "id-a", "id-b", "id-c"
ORDER = [A, B]


def test_the_first_begins_at_once_and_the_others_wait_their_turn() -> None:
    assert next_move(None, A, ORDER, NOW, NOW) == CLAIM
    assert next_move(None, B, ORDER, NOW, NOW) == WAIT
    assert next_move(None, B, ORDER, NOW + TURN, NOW) == CLAIM
    assert next_move(None, C, ORDER, NOW, NOW) == SKIP


def test_nobody_begins_twice_for_the_same_time() -> None:
    done = Record(DONE, A, "a", NOW + 1)
    for me in (A, B):
        assert next_move(done, me, ORDER, NOW + 40, NOW) == SKIP
    yesterday = replace(done, started=NOW - DAY)
    assert next_move(yesterday, A, ORDER, NOW, NOW) == CLAIM


def test_the_next_one_takes_over_from_one_that_failed_or_was_lost() -> None:
    running = Record(RUNNING, A, "a", NOW)
    assert next_move(running, B, ORDER, NOW + TURN, NOW) == WAIT
    assert next_move(replace(running, state=FAILED), B, ORDER, NOW + TURN, NOW) == CLAIM
    assert next_move(replace(running, state=FAILED), A, ORDER, NOW + TURN, NOW) == SKIP
    lost = replace(running, started=NOW - LOST_AFTER - 1)
    assert next_move(lost, B, ORDER, NOW + TURN, NOW) == CLAIM


def test_after_an_election_the_timers_wait_for_ready_nodes() -> None:
    assert next_move(None, A, [], NOW, NOW) == WAIT
    assert next_move(None, A, [], NOW + PATIENCE, NOW) == SKIP


@given(
    st.permutations([A, B, C]).flatmap(lambda order: st.tuples(st.just(order), st.integers(0, 2))),
    st.lists(st.floats(0, SAME_SLOT / 2), min_size=3, max_size=3),
    st.floats(1, 600),
    st.lists(st.sampled_from([A, B, C]), unique=True, max_size=2),
    st.lists(st.sampled_from([A, B, C]), unique=True, max_size=2),
)
def test_never_two_together_and_one_where_any_can(
    orders: tuple[list[str], int],
    skews: list[float],
    takes: float,
    dead: list[str],
    failing: list[str],
) -> None:
    """Timers with clocks that differ, on managers that die or fail: a record that is written only if nobody else has."""
    order, _number = orders
    alive = [each for each in order if each not in dead]
    slots = dict(zip([A, B, C], (NOW + skew for skew in skews)))
    record: Record | None = None
    ends = 0.0
    left = set(alive)
    made: list[str] = []
    now = NOW
    while left and now < NOW + 2000:
        if record is not None and record.state == RUNNING and now >= ends:
            record = replace(record, state=FAILED if record.node_id in failing else DONE)
        for each in sorted(left):
            if now < slots[each]:
                continue
            # A dead manager is in the order still, as the others see it for some time.
            move = next_move(record, each, order, now, slots[each])
            if move == SKIP:
                left.discard(each)
            elif move == CLAIM:
                assert record is None or not record.fresh(now), "two together"
                record = Record(RUNNING, each, each, now)
                ends = now + takes
                made.append(each)
                # Its process ends with its backup.
                left.discard(each)
        now += 2.0
    good = [each for each in made if each not in failing]
    assert len(good) == (1 if set(alive) - set(failing) else 0)
    assert len(made) == len(set(made))


@given(
    st.one_of(
        st.none(),
        st.text(),
        st.sampled_from(
            [
                '{"state": 1}',
                "[]",
                "null",
                '{"state": "x", "node_id": "", "name": "", "started": "?"}',
            ]
        ),
    )
)
def test_any_label_is_read(text: str | None) -> None:
    assert parse_record(text) is None
    record = Record(RUNNING, A, "a", NOW)
    assert parse_record(record.as_text()) == record


# Files


def backup(kind: str, age_days: float, host: str = "m2") -> list[str]:
    name = name_for(kind, host, NOW - age_days * DAY)
    return [name.data, name.meta]


def test_backups_are_kept_by_count_and_age() -> None:
    raft = [backup("raft", age) for age in (0, 1, 2, 10, 40)]
    export = [backup("export", age) for age in (50,)]
    names = [name for files in (*raft, *export) for name in files]
    gone = expired(names, NOW, 4, 30)
    assert [each.files for each in gone] == [(raft[4][1], raft[4][0])]
    assert [each.why for each in expired(names, NOW, 7, 30)] == ["older than 30 days"]
    assert [each.why for each in expired(names, NOW, 4, 0)] == ["beyond the newest 4"]


NAMES = st.one_of(
    st.builds(
        lambda kind, age, host, which: backup(kind, age, host)[which],
        st.sampled_from(["raft", "export"]),
        st.sampled_from([0, 0.5, 1, 3, 3.1, 40, 400]),
        st.sampled_from(["m1", "m2", "a.b-c"]),
        st.integers(0, 1),
    ),
    st.text(max_size=12),
    st.sampled_from(
        [
            "raft-20261399T000000Z-m1.tar.age",
            "raft-x.tar.age",
            ".partial-raft-20200101T000000Z-m1.tar.age",
            "export-20200101T000000Z-m1.tar.age",
        ]
    ),
)


@given(st.lists(NAMES, max_size=30), st.integers(1, 4), st.integers(0, 60))
def test_only_our_files_are_deleted_and_never_the_newest(
    names: list[str], count: int, days: int
) -> None:
    gone = [file for each in expired(names, NOW, count, days) for file in each.files]
    assert set(gone) <= set(names)
    assert len(gone) == len(set(gone))
    for file in gone:
        assert file.startswith(("raft-2", "export-2"))
    whole = complete_backups(names)
    left = complete_backups(set(names) - set(gone))
    for kind in ("raft", "export"):
        before = [name for name in whole if name.kind == kind]
        after = [name for name in left if name.kind == kind]
        assert after[:1] == before[:1]
        assert len(after) <= max(1, count)
    # A second run deletes nothing more.
    assert expired(set(names) - set(gone), NOW, count, days) == []


def test_names_of_hosts_do_not_leave_the_folder() -> None:
    assert "/" not in name_for("raft", "../../etc/x", NOW).data
    assert name_for("raft", "m2", 0.0) == BackupName("raft", "19700101T000000Z", "m2")


def test_the_result_says_time_and_files() -> None:
    raft = {"path": "/b/c/raft.tar.age", "size": 228_698, "key_needed": True}
    result = {"seconds": 21.4, "stopped_seconds": 5.1, "raft": raft, "deleted": ["old"]}
    assert done_lines(result) == [
        "DONE  in 21.4 s, engine stopped for 5.1 s",
        "  + /b/c/raft.tar.age  229 kB; a restore needs the unlock key",
        "  - old",
    ]
    assert done_lines({}) == []
