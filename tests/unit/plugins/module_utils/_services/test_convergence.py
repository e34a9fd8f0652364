# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a service runs as asked, and why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._services.convergence import (
    CONVERGED,
    FAILED,
    WAITING,
    Verdict,
    Watch,
    cause_of,
    judge,
    log_lines,
    not_converged,
    overdue,
    uncompleted,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._spec.display import hide_credentials
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import HIDDEN

NODES = [
    {"ID": "n1", "Description": {"Hostname": "m1"}, "Status": {"State": "ready"}},
    {"ID": "n2", "Description": {"Hostname": "w1"}, "Status": {"State": "ready"}},
    {"ID": "n3", "Status": {"State": "down"}},
]


def service(mode: Any = None, update: Any = None, policy: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ID": "s1",
        "Spec": {
            "Name": "s_web",
            "Mode": mode or {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"RestartPolicy": policy or {}},
        },
    }
    if update:
        found["UpdateStatus"] = {"State": update, "Message": "because of task t1"}
    return found


def task(
    number: int, state: str = "running", wanted: str = "running", **rest: Any
) -> dict[str, Any]:
    status = {
        "State": state,
        "Timestamp": f"2026-01-01T00:00:{number:02d}.123Z",
        "Err": rest.pop("err", ""),
    }
    return {
        "ID": f"t{number}",
        "ServiceID": "s1",
        "Slot": rest.pop("slot", number),
        "NodeID": rest.pop("node", "n1"),
        "CreatedAt": f"2026-01-01T00:00:{number:02d}Z",
        "DesiredState": wanted,
        "Status": status,
        **rest,
    }


def verdict(
    tasks: list[dict[str, Any]], old: tuple[str, ...] = (), overruled: bool = False, **kwargs: Any
) -> Verdict:
    current = {t["ID"] for t in tasks} - set(old)
    return judge(service(**kwargs), tasks, current, NODES, overruled)


def test_all_tasks_run() -> None:
    found = verdict([task(1), task(2, node="n2")])
    assert (found.state, found.running, found.desired, found.cause) == (CONVERGED, 2, 2, None)


@pytest.mark.parametrize(
    ("tasks", "cause", "node"),
    [
        ([task(1), task(2, node="n3")], "node_down", "n3"),
        ([task(1)], None, None),
        ([task(1), task(2, "starting")], None, "m1"),
        (
            [task(1), task(2, "failed", "shutdown", err="task: non-zero exit (1)", slot=2)],
            "crash",
            "m1",
        ),
        (
            [task(1), task(2, "rejected", "shutdown", err="No such image: x", node="n2")],
            "image",
            "w1",
        ),
        (
            [
                task(1),
                task(
                    2, "pending", node="", err="no suitable node (insufficient resources on 1 node)"
                ),
            ],
            "resources",
            None,
        ),
    ],
)
def test_waiting_has_a_cause(
    tasks: list[dict[str, Any]], cause: str | None, node: str | None
) -> None:
    found = verdict(tasks)
    assert (found.state, found.running, found.cause, found.node) == (WAITING, 1, cause, node)
    assert found.reason


def test_tasks_of_the_spec_before_do_not_count() -> None:
    found = verdict([task(1), task(2)], old=("t2",))
    assert (found.state, found.running) == (WAITING, 1)
    assert verdict([task(1), task(2), task(3, slot=1)], old=("t3",)).state == WAITING
    assert (
        verdict([task(1), task(2), task(3, "running", "shutdown")], old=("t3",)).state == CONVERGED
    )


def test_an_update_is_over_when_the_engine_says_so() -> None:
    assert verdict([task(1), task(2)], update="updating").state == WAITING
    assert verdict([task(1), task(2)], update="completed").state == CONVERGED


@pytest.mark.parametrize("update", ["rollback_started", "rollback_completed", "rollback_paused"])
def test_a_rollback_is_a_failure_of_the_run_that_caused_it(update: str) -> None:
    broken = task(3, "failed", "shutdown", err="task: non-zero exit (4)", node="n2")
    found = verdict([task(1), task(2), broken], old=("t3",), update=update, overruled=True)
    # A run that ended before the engine has would leave the next one a swarm in motion.
    assert found.state == (WAITING if update == "rollback_started" else FAILED)
    assert (found.cause, found.node) == ("rolled_back", "w1")
    assert "because of task t1" in found.reason
    assert "exit (4)" in found.reason


@pytest.mark.parametrize(
    "back",
    [
        task(4, "starting", slot=2, node="n2"),
        task(4, "pending", slot=2, node="", err="no suitable node (1 node not available)"),
        task(4, "failed", "shutdown", slot=2, node="n2", err="task: non-zero exit (137)"),
        task(4, slot=2, node="n3"),
    ],
    ids=lambda back: str(back["Status"]["State"]) + back["NodeID"],
)
def test_a_rollback_has_its_cause_whatever_becomes_of_the_task_that_is_put_back(
    back: dict[str, Any],
) -> None:
    broken = task(3, "failed", "shutdown", err="task: non-zero exit (4)", slot=2, node="n2")
    for update in ("rollback_started", "rollback_completed"):
        found = verdict([task(1), broken, back], old=("t3",), update=update, overruled=True)
        assert (found.cause, found.node) == ("rolled_back", "w1")
        assert "exit (4)" in found.reason, found.reason


def test_an_old_rollback_is_history() -> None:
    found = verdict([task(1), task(2)], update="rollback_completed")
    assert found.state == CONVERGED


def test_a_spec_that_is_not_the_one_that_was_written_never_counts() -> None:
    found = service(update="completed")
    tasks = [task(1), task(2)]
    ids = {"t1", "t2"}
    assert judge(found, tasks, ids, NODES, overruled=True).cause == "rolled_back"
    found["PreviousSpec"] = found["Spec"]
    verdict = judge(found, tasks, ids, NODES, overruled=True)
    assert (verdict.state, verdict.cause) == (FAILED, "overwritten")


def test_a_paused_update_does_not_go_on_by_itself() -> None:
    assert verdict([task(1)], update="paused").cause == "paused"
    assert verdict([task(1)], update="paused").state == FAILED


def test_zero_replicas() -> None:
    nothing: Any = {"Replicated": {"Replicas": 0}}
    assert verdict([], mode=nothing).state == CONVERGED
    assert verdict([task(1)], mode=nothing).state == WAITING
    assert verdict([task(1, "running", "remove")], mode=nothing).state == CONVERGED


def test_a_global_service_is_on_every_node_that_is_ready() -> None:
    everywhere: Any = {"Global": {}}
    tasks = [task(1, slot=0), task(2, slot=0, node="n2"), task(3, slot=0, node="n3")]
    found = verdict(tasks, mode=everywhere)
    assert (found.state, found.desired) == (CONVERGED, 2)
    assert (
        verdict([*tasks[:1], task(2, "preparing", slot=0, node="n2")], mode=everywhere).state
        == WAITING
    )
    assert verdict([], mode=everywhere).state == CONVERGED


def test_tasks_that_end_and_are_not_started_again() -> None:
    once = {"Condition": "none"}
    done, broken = (
        task(1, "complete", "shutdown"),
        task(2, "failed", "shutdown", err="non-zero exit (1)"),
    )
    assert verdict([done, task(2, "complete", "shutdown")], policy=once).state == CONVERGED
    found = verdict([done, broken], policy=once)
    assert (found.state, found.cause, found.running) == (FAILED, "crash", 1)
    assert (
        verdict([done, broken, task(3, slot=2)], policy={"Condition": "on-failure"}).state
        == CONVERGED
    )


def test_jobs() -> None:
    job: Any = {"ReplicatedJob": {"TotalCompletions": 2}}
    done = [task(1, "complete", "complete"), task(2, "complete", "complete")]
    assert verdict(done, mode=job).state == CONVERGED
    assert verdict([done[0], task(2, "running", "complete")], mode=job).state == WAITING
    assert verdict(done, mode={"GlobalJob": {}}).state == CONVERGED


@st.composite
def sick(draw: st.DrawFn, document: Any) -> Any:
    """The document with parts missing, as a sick cluster gives it."""
    if isinstance(document, dict):
        kept = {key: draw(sick(value)) for key, value in document.items() if draw(st.booleans())}
        return kept if draw(st.integers(0, 9)) else None
    return document


@given(
    sick(service(update="updating")),
    st.lists(sick(task(1, err="x", ContainerStatus={"ExitCode": 1}))),
    st.lists(sick(NODES[0])),
    st.booleans(),
)
def test_no_document_breaks_the_verdict(
    found: Any, tasks: list[Any], nodes: list[Any], overruled: bool
) -> None:
    tasks, nodes = [t for t in tasks if t], [n for n in nodes if n]
    ids = {str(t.get("ID")) for t in tasks}
    assert judge(found or {}, tasks, ids, nodes, overruled).state in (CONVERGED, WAITING, FAILED)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("no suitable node (scheduling constraints not satisfied on 2 nodes)", "constraint"),
        ("no suitable node (host-mode port already in use on 1 node)", "port"),
        ("no suitable node (unsupported platform on 1 node)", "platform"),
        ("no suitable node (max replicas per node limit exceed)", "replicas_per_node"),
        ("no suitable node (1 node not available for new tasks)", "availability"),
        ("task: non-zero exit (137): dockerexec: unhealthy container", "unhealthy"),
        ("No such image: x:1", "image"),
        ("starting container failed: OCI runtime create failed", "start"),
        ("something new", "task_failed"),
    ],
)
def test_causes(text: str, cause: str) -> None:
    assert cause_of(text) == cause


AT_HOME = {"Availability": "active", "Role": "worker", "Labels": {"zone": "a"}}


@pytest.mark.parametrize(
    ("text", "constraint", "worker", "cause", "node"),
    [
        # The scheduler counts a node that is down under all services, whatever they ask for.
        ("1 node not available; scheduling constraints not satisfied on 1", "zone == x", {"State": "down"}, "constraint", None),
        ("1 node not available for new tasks; scheduling constraints not", "zone == a", {"State": "down"}, "node_down", "w1"),
        ("1 node not available for new tasks; scheduling constraints not", "zone == a", {"Availability": "drain"}, "availability", "w1"),
        ("scheduling constraints not satisfied on 1; host-mode port already in use on 1", "zone == a", {}, "port", None),
        ("scheduling constraints not satisfied on 1; insufficient resources on 1", "zone == a", {}, "resources", None),
        ("scheduling constraints not satisfied on 1; insufficient resources on 1", "zone == x", {}, "constraint", None),
        ("scheduling constraints not satisfied on 2 nodes", "zone == a", {}, "constraint", None),
        ("no reason known", "zone == a", {}, "no_node", None),
    ],
)  # fmt: skip
def test_of_several_reasons_the_one_that_counts(
    text: str, constraint: str, worker: dict[str, str], cause: str, node: str | None
) -> None:
    nodes = [
        {
            "ID": "n1",
            "Description": {"Hostname": "m1"},
            "Status": {"State": "ready"},
            "Spec": {**AT_HOME, "Labels": {}},
        },
        {
            "ID": "n2",
            "Description": {"Hostname": "w1"},
            "Status": {"State": worker.get("State", "ready")},
            "Spec": {**AT_HOME, "Availability": worker.get("Availability", "active")},
        },
    ]
    asked = service()
    asked["Spec"]["TaskTemplate"]["Placement"] = {"Constraints": [f"node.labels.{constraint}"]}
    stuck = task(1, "pending", node="", err=f"no suitable node ({text})")
    found = judge(asked, [stuck], {"t1"}, nodes)
    assert (found.cause, found.node) == (cause, node)


def test_a_job_that_ended_badly_for_good() -> None:
    job: Any = {"ReplicatedJob": {"TotalCompletions": 2}}
    done = task(1, "complete", "complete")
    broken = task(2, "failed", "shutdown", err="task: non-zero exit (6)")
    again = task(3, "running", "complete", slot=2)
    assert verdict([done, broken], mode=job, policy={"Condition": "none"}).state == FAILED
    assert verdict([done, broken, again], mode=job, policy={"MaxAttempts": 3}).state == WAITING
    assert verdict([done, broken], mode=job, policy={"Condition": "any"}).state == WAITING


def test_a_service_that_others_wait_for_to_end() -> None:
    once, runs, done = {"Condition": "none"}, task(1), task(2, "complete", "shutdown")
    found = verdict([runs, done], policy=once)
    assert (found.state, uncompleted(found).state) == (CONVERGED, WAITING)
    found = verdict([task(1, "complete", "shutdown"), done], policy=once)
    assert uncompleted(found) == found
    assert uncompleted(verdict([runs])).reason == verdict([runs]).reason


def test_only_a_task_with_a_container_has_a_log() -> None:
    broken = task(2, "failed", "shutdown", err="x")
    assert verdict([broken]).log_task is None
    broken["Status"]["ContainerStatus"] = {"ContainerID": "c"}
    assert verdict([broken]).log_task == "t2"
    assert verdict([task(1), task(2), broken], old=("t2",)).log_task is None


def test_a_service_that_starts_slowly_says_so() -> None:
    slow = service()
    slow["Spec"]["TaskTemplate"]["ContainerSpec"] = {"Healthcheck": {"StartPeriod": 90 * 10**9}}
    assert judge(slow, [], set(), NODES).start_period == 90
    assert verdict([]).start_period == 0


def piece(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize(
    ("data", "multiplexed", "lines"),
    [
        (b"", True, []),
        (piece(b"a\n") + piece(b"b\n", 2) + piece(b"c\n"), True, ["b", "c"]),
        (piece(b"long, in ") + piece(b"pieces\r\n"), True, ["long, in pieces"]),
        (piece(b"cut short")[:12], True, ["cut"]),
        (piece(b"a\n") + b"\x01\x00", True, ["a"]),
        (b"of a terminal\r\n\x1b[31mred\x1b[0m\x07\n", False, ["of a terminal", "red"]),
        (piece(b"\xff\n\n  \n" + "gut, schön".encode()), True, ["\ufffd", "gut, schön"]),
        (piece(b"x" * 999), True, ["x" * 300]),
    ],
)
def test_the_last_lines_of_a_log(data: bytes, multiplexed: bool, lines: list[str]) -> None:
    assert log_lines(data, multiplexed, 2) == lines


@given(st.binary(), st.booleans())
def test_no_log_breaks_the_verdict(data: bytes, multiplexed: bool) -> None:
    for line in log_lines(data, multiplexed, 5):
        assert all(letter == "\t" or letter >= " " for letter in line)


def test_a_log_does_not_show_the_credentials_of_the_service() -> None:
    container = {"Env": ["API_TOKEN=abcdef", "NAME=web", "DB_PASSWORD=", "PIN_SECRET=12"]}
    line = "web: token abcdef at https://me:pw@db refused after 12 s"
    assert hide_credentials(line, container) == (
        f"web: token {HIDDEN} at https://me:{HIDDEN}@db refused after 12 s"
    )


def seen(state: str, *tasks: str, youngest: float | None = None) -> list[Verdict]:
    since = () if youngest is None else (youngest,)
    return [Verdict("s_web", "replicated", 1, 1, state, tasks=frozenset(tasks), since=since)]


def test_a_task_must_stay_to_count() -> None:
    watch = Watch(5, True, lambda: 0)
    assert not watch.final(seen(CONVERGED, "a"), 0)
    assert not watch.final(seen(WAITING), 2)
    assert not watch.final(seen(CONVERGED, "b"), 4)
    assert not watch.final(seen(CONVERGED, "b"), 8.9)
    assert watch.final(seen(CONVERGED, "b"), 9)


def test_the_time_under_the_engines_own_watch_counts() -> None:
    watch = Watch(5, True, lambda: 0)
    assert not watch.final(seen(WAITING, "a"), 0)
    assert watch.final(seen(CONVERGED, "a"), 6)


def test_what_has_been_running_for_long_is_believed_at_once_if_nothing_was_written() -> None:
    old = seen(CONVERGED, "a", youngest=100)
    assert Watch(5, False, lambda: 105).final(old, 0)
    assert not Watch(5, False, lambda: 104).final(old, 0)
    assert not Watch(5, True, lambda: 999).final(old, 0)
    assert Watch(5, False, lambda: 0).final(seen(CONVERGED), 0)


def test_tasks_that_still_come_and_go_when_the_time_is_over() -> None:
    watch = Watch(5, True, lambda: 100)
    young, old = (replace(seen(CONVERGED, "a")[0], since=(80, moment)) for moment in (98, 90))
    found = overdue(watch.unsettled(young))
    assert (found.state, found.cause, found.overdue) == (FAILED, "deadline", True)
    assert (young.running, found.running) == (1, 0)
    assert watch.unsettled(old) == old


def test_a_crash_loop_is_one_also_while_its_next_task_runs() -> None:
    broken = task(2, "failed", "shutdown", err="task: non-zero exit (3)", node="n2", slot=1)
    broken["Status"]["ContainerStatus"] = {"ContainerID": "c"}
    one: Any = {"Replicated": {"Replicas": 1}}
    now = verdict([broken, task(9, slot=1)], mode=one)
    assert now.state == CONVERGED
    watch = Watch(5, True, lambda: max(now.since) + 1)
    found = watch.unsettled(now)
    assert (found.state, found.cause, found.node, found.log_task) == (WAITING, "crash", "w1", "t2")
    assert found.line().startswith("s_web: 0 of 1 task as asked, crash on w1")
    # It has recovered.
    assert Watch(5, True, lambda: max(now.since) + 5).unsettled(now) == now


def test_a_failure_is_final() -> None:
    assert Watch(5, True, lambda: 0).final(seen(FAILED), 0)


def test_the_failure_names_each_service_and_its_cause() -> None:
    good = Verdict("s_ok", "replicated", 1, 1, CONVERGED)
    slow = Verdict("s_slow", "replicated", 2, 0, WAITING, None, "starting: x", "m1")
    error = not_converged("s", [overdue(good), overdue(slow)], 30)
    assert error.message == (
        "Stack s did not converge within 30 s: s_slow: 0 of 2 tasks as asked, deadline on m1: starting: x"
    )
    assert [entry["cause"] for entry in error.details["services"]] == ["deadline"]
    bad = Verdict("s_bad", "replicated", 1, 0, FAILED, "crash", "failed: x")
    assert not_converged("s", [bad], 3).message.startswith("Stack s failed: s_bad: 0 of 1")
