# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scaling, restarting and rolling back: what is planned, and how it is carried out on a swarm in memory."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import Clock
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._services.rebalance import Rebalance
from ansible_collections.flotilla.swarm.plugins.module_utils._services.restart import ServiceRestart
from ansible_collections.flotilla.swarm.plugins.module_utils._services.rollback import Rollback
from ansible_collections.flotilla.swarm.plugins.module_utils._services.rollout import Rollout
from ansible_collections.flotilla.swarm.plugins.module_utils._services.scale import (
    Scale,
    batches,
    expected_of,
    goal_of,
    no_room,
    plan_steps,
    with_replicas,
)

COUNT = st.integers(0, 60)
SIZE = st.one_of(st.none(), st.integers(1, 20))
NAMES = ("web", "api", "mail")

# What the numbers mean


@pytest.mark.parametrize(
    ("asked", "now", "goal"),
    [
        (10, 2, 10),
        ("10", 2, 10),
        (0, 2, 0),
        ("+2", 3, 5),
        ("-2", 3, 1),
        ("-3", 3, 0),
        ("150%", 2, 3),
        ("50%", 3, 2),
        ("0%", 3, 0),
        ("100%", 7, 7),
        (" 4 ", 1, 4),
    ],
)
def test_numbers(asked: Any, now: int, goal: int) -> None:
    assert goal_of("web", asked, now) == goal


@pytest.mark.parametrize(
    "asked", ["two", "", "-4", -1, 1.5, True, None, "+50%", "1e3", "99999999", [1], {"a": 1}, "٣"]
)
def test_numbers_that_are_none(asked: Any) -> None:
    with pytest.raises(SwarmError) as error:
        goal_of("web", asked, 3)
    assert error.value.code == "bad_replicas"
    assert "web" in error.value.message


@pytest.mark.parametrize(
    ("asked", "found"),
    [(None, None), (3, 3), ("3", 3), ({"web": "4"}, {"web": 4}), ({}, {})],
)
def test_expected(asked: Any, found: Any) -> None:
    assert expected_of(asked, ["web", "api"]) == found


@pytest.mark.parametrize("asked", [-1, "many", True, [2], {"web": None}, {"other": 2}, "+1"])
def test_expected_that_is_none(asked: Any) -> None:
    with pytest.raises(SwarmError) as error:
        expected_of(asked, ["web"])
    assert error.value.code == "bad_expected"


# Steps


@given(COUNT, COUNT, SIZE)
def test_steps_reach_the_goal_never_beyond_and_none_is_too_large(
    now: int, goal: int, size: int | None
) -> None:
    steps = batches(now, goal, size)
    at = now
    for before, after in steps:
        assert before == at
        assert after != before
        assert abs(after - before) <= (size or abs(goal - now))
        # Always nearer, and never past it.
        assert abs(goal - after) < abs(goal - before)
        assert (after - goal) * (now - goal) >= 0
        at = after
    assert at == goal
    assert len(steps) == (math.ceil(abs(goal - now) / size) if size else int(goal != now))


@given(
    st.dictionaries(st.sampled_from(NAMES), st.tuples(COUNT, COUNT)),
    SIZE,
    st.booleans(),
)
def test_several_services_each_in_its_steps(
    numbers: dict[str, tuple[int, int]], size: int | None, together: bool
) -> None:
    steps = plan_steps(
        {name: now for name, (now, _goal) in numbers.items()},
        {name: goal for name, (_now, goal) in numbers.items()},
        size,
        together,
    )
    for name, (now, goal) in numbers.items():
        own = [(step["before"], step["after"]) for step in steps if step["service"] == name]
        assert own == batches(now, goal, size)
    counted = sorted({step["step"] for step in steps})
    assert counted == list(range(1, len(counted) + 1))
    assert [step["step"] for step in steps] == sorted(step["step"] for step in steps)
    if not together:
        assert len(steps) == len(counted)
        order = list(dict.fromkeys(step["service"] for step in steps))
        assert order == [name for name in numbers if name in order]


@given(st.integers(0, 9), st.integers(0, 9))
def test_only_the_number_is_written(before: int, after: int) -> None:
    spec = {"Name": "web", "Mode": {"Replicated": {"Replicas": before}}, "TaskTemplate": {"x": 1}}
    kept = copy.deepcopy(spec)
    changed = with_replicas(spec, after)
    assert spec == kept
    assert changed.pop("Mode") == {"Replicated": {"Replicas": after}}
    kept.pop("Mode")
    assert changed == kept


def test_a_service_that_leaves_its_number_out() -> None:
    assert with_replicas({"Mode": {"Replicated": {}}}, 3) == {
        "Mode": {"Replicated": {"Replicas": 3}}
    }
    assert with_replicas({"Mode": {"Replicated": None}}, 3)["Mode"]["Replicated"] == {"Replicas": 3}


# Room


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 6),
    st.integers(1, 30),
)
def test_room_is_counted_exactly_for_one_service(
    memory: list[int], size: int, most: int, port: bool, have: int, goal: int
) -> None:
    nodes = [PlacementNode(f"n{i}", memory_bytes=m, nano_cpus=1) for i, m in enumerate(memory)]
    service = PlacementService(
        "s", "web", memory_bytes=size, max_replicas=most, host_ports=(("tcp", 80),) if port else ()
    )
    room = [min(m // size, most or 99, 1 if port else 99) for m in memory]
    # The tasks that run already, spread as they fit.
    places = [f"n{i}" for i, count in enumerate(room) for _task in range(count)][:have]
    tasks = [
        PlacementTask(f"t{i}", "s", node, "running", "running") for i, node in enumerate(places)
    ]
    short = no_room({"web": goal}, [service], tasks, nodes)
    if goal <= sum(room) or goal <= len(places):
        assert not short
    else:
        assert [(one.service, goal - one.tasks) for one in short] == [("web", sum(room))]
        assert short[0].missing


def test_room_that_tasks_of_others_wait_for_or_hold() -> None:
    nodes = [PlacementNode("n", memory_bytes=10, nano_cpus=1)]
    web = PlacementService("s", "web", memory_bytes=3)
    big = PlacementService("b", "big", memory_bytes=6)
    tasks = [PlacementTask("t", "b", "n", "running", "running")]
    assert not no_room({"web": 1}, [web, big], tasks, nodes)
    short = no_room({"web": 2}, [web, big], tasks, nodes)
    assert [(one.service, one.tasks) for one in short] == [("web", 1)]
    # One that waits for a node is not told of: it is not what was asked for.
    tasks = [PlacementTask("t", "b", "", "pending", "running")]
    assert [one.service for one in no_room({"web": 2}, [web, big], tasks, nodes)] == ["web"]
    gone = [PlacementTask("t", "b", "n", "shutdown", "shutdown")]
    assert not no_room({"web": 3}, [web, big], gone, nodes)


# A swarm in memory: tasks start after a while, unless there is something about them.


class Swarm(Clock):
    def __init__(self, start: float = 1.0) -> None:
        self.time = 1_700_000_000.0
        self.start = start
        self.services_: dict[str, dict[str, Any]] = {}
        self.tasks_: list[dict[str, Any]] = []
        self.writes: list[tuple[str, int | None]] = []
        self.sick: set[str] = set()  # services whose new tasks are rejected
        self.meddle: list[Any] = []  # what somebody else does before each of the next writes
        self.memory = 10**12
        self.asked = 0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def add(self, name: str, replicas: int, **mode: Any) -> None:
        self.services_[name] = {
            "ID": f"id-{name}",
            "Version": {"Index": 1},
            "Spec": {
                "Name": name,
                "Mode": mode or {"Replicated": {"Replicas": replicas}},
                "TaskTemplate": {"ContainerSpec": {"Image": "hello:1"}, "ForceUpdate": 0},
            },
        }
        self._follow(name)
        self.time += 100

    def replicas(self, name: str) -> int:
        return int(self.services_[name]["Spec"]["Mode"]["Replicated"]["Replicas"])

    def set(self, name: str, replicas: int) -> None:
        spec = with_replicas(self.services_[name]["Spec"], replicas)
        self._store(name, spec)

    def _store(self, name: str, spec: dict[str, Any]) -> None:
        service = self.services_[name]
        service["PreviousSpec"], service["Spec"] = service["Spec"], spec
        service["Version"]["Index"] += 1
        service.pop("UpdateStatus", None)
        self._follow(name)

    def _follow(self, name: str) -> None:
        service = self.services_[name]
        spec = service["Spec"]
        if "Replicated" not in spec["Mode"]:
            return
        old = [task for task in self.tasks_ if task["ServiceID"] == service["ID"]]
        same = [task for task in old if task["Spec"] == spec["TaskTemplate"]]
        self.tasks_ = [task for task in self.tasks_ if task not in old]
        count = self.replicas(name)
        while len(same) < count:
            same.append(
                {
                    "ID": f"{name}-{len(self.tasks_)}-{len(same)}-{self.time}",
                    "ServiceID": service["ID"],
                    "Spec": copy.deepcopy(spec["TaskTemplate"]),
                    "Slot": len(same) + 1,
                    "NodeID": "n",
                    "DesiredState": "running",
                    "at": self.time + self.start,
                    "sick": name in self.sick,
                }
            )
        self.tasks_ += same[:count]

    # The client

    def services(self, **filters: Any) -> list[dict[str, Any]]:
        self.asked += 1
        ids = filters.get("id")
        return [
            copy.deepcopy(service)
            for service in self.services_.values()
            if ids is None or service["ID"] in ids
        ]

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "ID": "n",
                "Status": {"State": "ready"},
                "Spec": {"Availability": "active"},
                "Description": {"Hostname": "w1", "Resources": {"MemoryBytes": self.memory}},
            }
        ]

    def networks(self) -> list[dict[str, Any]]:
        return []

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        found = []
        for task in self.tasks_:
            if filters.get("service") and task["ServiceID"] not in filters["service"]:
                continue
            state = "running" if self.time >= task["at"] else "starting"
            status: dict[str, Any] = {"State": state, "Timestamp": _stamp(task["at"])}
            if task["sick"]:
                status = {
                    "State": "rejected",
                    "Err": "No such image: hello:2",
                    "Timestamp": _stamp(0),
                }
            found.append({**task, "Status": status})
        return found

    def update_service(
        self, service_id: str, version: int, spec: dict[str, Any], rollback: bool = False
    ) -> None:
        if self.meddle:
            self.meddle.pop(0)()
        service = next(s for s in self.services_.values() if s["ID"] == service_id)
        if version != service["Version"]["Index"]:
            raise SwarmError("out_of_sequence", "Could not change it: update out of sequence.")
        name = service["Spec"]["Name"]
        self._store(name, copy.deepcopy(service["PreviousSpec"] if rollback else spec))
        mode = service["Spec"]["Mode"]
        self.writes.append((name, (mode.get("Replicated") or {}).get("Replicas")))


def _stamp(seconds: float) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat()


def run(
    swarm: Swarm, kind: type[Rollout], services: Any, check: bool = False, **params: Any
) -> dict[str, Any]:
    """A module from beginning to end, in one call."""
    result: dict[str, Any] = _empty()
    given = {**DEFAULTS, "services": services, **params}
    try:
        kind(swarm, given, result, swarm, swarm.now).run(check)
    except SwarmError as error:
        result.update(failure=error.code, msg=error.message, details=error.details)
    return result


def in_parts(swarm: Swarm, kind: type[Rollout], services: Any, **params: Any) -> tuple[Any, Any]:
    """The same as the action plugin does it; also what it shows."""
    given = {**DEFAULTS, "services": services, **params}
    state: Any = {}
    shown = []
    while True:
        result = _empty()
        state = kind(swarm, given, result, swarm, swarm.now).run(False, state, 7)
        state = json.loads(json.dumps(state))
        shown.append(state["progress"])
        swarm.time += 0.4
        if state["over"]:
            return result, shown


def _empty() -> dict[str, Any]:
    return dict(changed=False, plan=[], steps=[], done=[], reverted=[], services=[], diff={})


DEFAULTS: dict[str, Any] = dict(
    batch_size=None,
    order="sequential",
    expected_replicas=None,
    on_failure="stop",
    pause=0,
    wait_timeout=60,
    settle=5,
    canary=None,
)


@pytest.fixture
def swarm() -> Swarm:
    found = Swarm()
    found.add("web", 2)
    found.add("api", 3)
    return found


def test_steps_and_pauses(swarm: Swarm) -> None:
    started = swarm.time
    result = run(swarm, Scale, {"web": 6, "api": 1}, batch_size=2, pause=100)
    assert swarm.writes == [("web", 4), ("web", 6), ("api", 1)]
    assert result["done"] == result["steps"]
    assert result["changed"]
    # Two pauses between three steps. What only stops tasks is not watched for long.
    assert 200 + 2 * 5 < swarm.time - started < 200 + 2 * 8
    assert result["plan"][1:] == [
        "  ~ scale  web  2 -> 6 in 2 steps of 2",
        "  ~ scale  api  3 -> 1",
    ]
    assert [s["state"] for s in result["services"]] == ["converged"] * 2


def test_together(swarm: Swarm) -> None:
    run(swarm, Scale, {"web": 5, "api": 1}, batch_size=1, order="parallel")
    assert swarm.writes == [("web", 3), ("api", 2), ("web", 4), ("api", 1), ("web", 5)]


@settings(max_examples=settings().max_examples // 5)
@given(COUNT, COUNT, SIZE, st.integers(0, 30))
def test_in_parts_it_does_the_same_and_shows_how_far_it_is(
    now: int, goal: int, size: int | None, start: int
) -> None:
    swarms = Swarm(start), Swarm(start)
    for one in swarms:
        one.add("web", now)
    whole = run(swarms[0], Scale, {"web": goal}, batch_size=size)
    parts, shown = in_parts(swarms[1], Scale, {"web": goal}, batch_size=size)
    assert swarms[0].writes == swarms[1].writes
    assert whole == parts
    assert shown[-1] == f"web {goal}/{goal}"
    assert swarms[0].replicas("web") == goal
    assert whole["changed"] == (now != goal)


def test_check_mode_plans_the_same_and_writes_nothing(swarm: Swarm) -> None:
    checked = run(swarm, Scale, {"web": "150%", "api": "-2"}, check=True, batch_size=1)
    assert not swarm.writes
    real = run(swarm, Scale, {"web": "150%", "api": "-2"}, batch_size=1)
    for key in ("plan", "steps", "changed", "diff"):
        assert checked[key] == real[key]
    assert set(checked) == set(real)


def test_nothing_to_do_is_no_write_but_has_to_run(swarm: Swarm) -> None:
    result = run(swarm, Scale, {"web": 2})
    assert (result["changed"], result["diff"], swarm.writes) == (False, {}, [])
    swarm.sick.add("api")
    swarm.set("api", 5)
    result = run(swarm, Scale, {"api": 5})
    assert result["failure"] == "not_converged"
    assert result["changed"] is False
    assert result["details"]["services"][0]["cause"] == "image"


@settings(max_examples=settings().max_examples // 5)
@given(COUNT, COUNT, st.integers(1, 9), st.integers(0, 20))
def test_a_killed_run_is_finished_by_the_next(now: int, goal: int, size: int, kill: int) -> None:
    swarm = Swarm()
    swarm.add("web", now)
    plan = [after for _before, after in batches(now, goal, size)]
    for after in plan[:kill]:
        swarm.set("web", after)
    result = run(swarm, Scale, {"web": goal}, batch_size=size)
    assert swarm.replicas("web") == goal
    assert [number for _name, number in swarm.writes] == plan[kill:]
    assert "failure" not in result


def test_a_step_that_fails_stops(swarm: Swarm) -> None:
    swarm.sick.add("web")
    result = run(swarm, Scale, {"api": 4, "web": 6}, batch_size=2)
    assert result["failure"] == "not_converged"
    assert result["msg"].startswith(
        "Could not scale web (step 2 of 3): not converged after 60 s: web: 2 of 4"
    )
    assert "Stopped at api 4, web 4." in result["msg"]
    assert [(s["name"], s["cause"]) for s in result["details"]["services"]] == [("web", "image")]
    assert swarm.writes == [("api", 4), ("web", 4)]
    assert (result["changed"], result["reverted"]) == (True, [])
    assert result["done"] == result["steps"][:1]


def test_a_step_that_fails_is_taken_back_with_all_before_it(swarm: Swarm) -> None:
    swarm.sick.add("web")
    result = run(swarm, Scale, {"api": 4, "web": 6}, batch_size=2, on_failure="rollback")
    assert "Rolled back to api 3, web 2." in result["msg"]
    assert (swarm.replicas("api"), swarm.replicas("web")) == (3, 2)
    assert result["reverted"] == ["api", "web"]
    # What is reported is what failed.
    assert result["services"][1]["cause"] == "image"


def test_what_somebody_else_scaled_meanwhile_is_not_taken_back(swarm: Swarm) -> None:
    swarm.sick.add("web")
    swarm.meddle = [lambda: None, lambda: swarm.set("api", 9)]
    result = run(swarm, Scale, {"api": 4, "web": 6}, on_failure="rollback")
    assert "Not rolled back, because something else changed it: api" in result["msg"]
    assert (swarm.replicas("api"), swarm.replicas("web")) == (9, 2)
    assert result["reverted"] == ["web"]


def test_another_write_of_the_same_service_is_no_reason_to_stop(swarm: Swarm) -> None:
    def relabel() -> None:
        swarm._store("web", {**swarm.services_["web"]["Spec"], "Labels": {"a": "b"}})

    swarm.meddle = [relabel]
    result = run(swarm, Scale, {"web": 4})
    assert "failure" not in result
    assert swarm.services_["web"]["Spec"]["Labels"] == {"a": "b"}
    assert swarm.replicas("web") == 4


def test_a_number_that_changes_meanwhile_is_planned_from(swarm: Swarm) -> None:
    swarm.meddle = [lambda: None, lambda: swarm.set("web", 9)]
    result = run(swarm, Scale, {"web": 8}, batch_size=2)
    assert swarm.writes == [("web", 4), ("web", 8)]
    assert result["steps"] == result["done"]
    assert [(s["step"], s["before"], s["after"]) for s in result["done"]] == [(1, 2, 4), (2, 9, 8)]

    swarm.meddle = [lambda: swarm.set("web", 3)]
    result = run(swarm, Scale, {"web": 10}, expected_replicas=8)
    assert result["failure"] == "out_of_sequence"
    assert swarm.replicas("web") == 3

    # Somebody who does not give up wins.
    numbers = iter(range(20, 40))
    swarm.meddle = [lambda: swarm.set("web", next(numbers)) for _time in range(9)]
    assert run(swarm, Scale, {"web": 10})["failure"] == "out_of_sequence"


def test_somebody_who_overwrites_a_step_that_is_waited_for(swarm: Swarm) -> None:
    swarm.sick.add("web")
    sleep = swarm.sleep

    def meddling(seconds: float) -> None:
        sleep(seconds)
        if swarm.replicas("web") == 4:
            swarm.set("web", 3)

    swarm.sleep = meddling  # type: ignore[method-assign]
    result = run(swarm, Scale, {"web": 4})
    assert result["failure"] == "not_converged"
    assert result["details"]["services"][0]["cause"] == "overwritten"


def test_refusals_come_all_at_once(swarm: Swarm) -> None:
    swarm.add("all", 0, Global={})
    swarm.add("job", 0, ReplicatedJob={"MaxConcurrent": 1})
    swarm.services_["api"]["UpdateStatus"] = {"State": "paused", "Message": "a task failed."}
    services = {"web": "x", "api": 5, "all": 2, "job": 2, "none": 2}
    result = run(swarm, Scale, services)
    assert result["failure"] == "refused"
    assert [p["code"] for p in result["details"]["problems"]] == [
        "unknown_service",
        "bad_replicas",
        "update_paused",
        "global_service",
        "job",
    ]
    assert result["changed"] is False
    assert not swarm.writes
    assert set(result) - {"failure", "msg", "details"} == set(_empty())


def test_what_does_not_fit_is_refused_before_the_first_step(swarm: Swarm) -> None:
    template = swarm.services_["web"]["Spec"]["TaskTemplate"]
    template["Resources"] = {"Reservations": {"MemoryBytes": 2**30}}
    swarm.memory = 5 * 2**30
    result = run(swarm, Scale, {"web": 8}, batch_size=1)
    assert result["failure"] == "no_room"
    assert "room for 5 of 8 tasks of web, the others need 1.0 GiB of memory" in result["msg"]
    assert not swarm.writes
    assert "failure" not in run(swarm, Scale, {"web": 5})


def test_an_update_that_is_under_way_is_waited_for(swarm: Swarm) -> None:
    swarm.services_["web"]["UpdateStatus"] = {"State": "updating"}
    assert run(swarm, Scale, {"web": 4})["failure"] == "updating"
    assert not swarm.writes
    checked = run(swarm, Scale, {"web": 4}, check=True)
    assert (
        checked["plan"][-1] == "  ! web: its update is in progress, and the run waits for it first"
    )
    sleep = swarm.sleep

    def over(seconds: float) -> None:
        sleep(seconds)
        swarm.services_["web"]["UpdateStatus"] = {"State": "completed"}

    swarm.sleep = over  # type: ignore[method-assign]
    assert "failure" not in run(swarm, Scale, {"web": 4})


def test_an_election_is_waited_out(swarm: Swarm) -> None:
    answer, failing = swarm.nodes, iter([False, True, True])

    def nodes() -> list[dict[str, Any]]:
        if next(failing, False):
            raise SwarmError("no_quorum", "Could not list the nodes: no leader.")
        return answer()

    swarm.nodes = nodes  # type: ignore[method-assign]
    assert "failure" not in run(swarm, Scale, {"web": 4})


class Uneven(Swarm):
    """All tasks are on one of two nodes."""

    def nodes(self) -> list[dict[str, Any]]:
        (first,) = super().nodes()
        return [first, {**copy.deepcopy(first), "ID": "n2"}]


def test_a_list_of_no_services_is_not_one_of_all() -> None:
    swarm = Uneven()
    swarm.add("web", 4)
    assert run(swarm, Rebalance, None, check=True, budget=10)["steps"]
    kinds: list[tuple[type[Rollout], Any]] = [
        (Rebalance, []),
        (ServiceRestart, []),
        (Rollback, []),
        (Scale, {}),
    ]
    for kind, none in kinds:
        result = run(swarm, kind, none, budget=10)
        assert "failure" not in result
        assert result["steps"] == result["services"] == []
        assert not result["changed"]
    assert swarm.writes == []


# Restart


def test_a_restart_is_one_service_after_the_other(swarm: Swarm) -> None:
    swarm.add("idle", 0)
    old = {task["ID"] for task in swarm.tasks_}
    result = run(swarm, ServiceRestart, ["web", "idle", "api"], canary="api", pause=10)
    assert [step["service"] for step in result["done"]] == ["api", "web"]
    assert not old & {task["ID"] for task in swarm.tasks_}
    assert swarm.services_["web"]["Spec"]["TaskTemplate"]["ForceUpdate"] == 1
    assert swarm.services_["idle"]["Version"]["Index"] == 1
    assert result["plan"][1:] == [
        "  ~ restart  api  3 tasks, 1 at a time, stop-first, canary",
        "  ~ restart  web  2 tasks, 1 at a time, stop-first",
        "  = 1 service as it should be",
    ]


def test_what_does_not_come_up_again_keeps_the_others(swarm: Swarm) -> None:
    swarm.sick.add("api")
    result = run(swarm, ServiceRestart, ["web", "api"], canary="api")
    assert result["failure"] == "not_converged"
    assert swarm.services_["web"]["Version"]["Index"] == 1
    assert result["done"] == []


def test_a_canary_is_one_of_them(swarm: Swarm) -> None:
    with pytest.raises(SwarmError) as error:
        ServiceRestart(swarm, {**DEFAULTS, "services": ["web"], "canary": "api"}, {})
    assert error.value.code == "bad_canary"


def test_a_restart_in_parts(swarm: Swarm) -> None:
    result, shown = in_parts(swarm, ServiceRestart, ["web", "api"])
    assert result["done"] == result["steps"]
    assert shown == ["web 2/2", "api 3/3"]


# Rollback


def test_a_rollback_goes_to_the_spec_before(swarm: Swarm) -> None:
    before = copy.deepcopy(swarm.services_["web"]["Spec"])
    spec = copy.deepcopy(before)
    spec["TaskTemplate"]["ContainerSpec"].update(Image="hello:2", Env=["PASSWORD=hunter2"])
    swarm._store("web", spec)
    checked = run(swarm, Rollback, ["web"], check=True)
    result = run(swarm, Rollback, ["web"])
    assert swarm.services_["web"]["Spec"] == before
    assert "  ~ rollback  web  image         hello:2 -> hello:1" in result["plan"]
    assert checked["plan"] == result["plan"]
    assert "hunter2" not in json.dumps([checked, result])
    assert result["changed"]


def test_a_rollback_without_a_previous_spec(swarm: Swarm) -> None:
    result = run(swarm, Rollback, ["web", "api"])
    assert result["failure"] == "no_previous_spec"
    assert len(result["details"]["problems"]) == 2


def test_a_rollback_to_the_same_is_none(swarm: Swarm) -> None:
    swarm._store("web", copy.deepcopy(swarm.services_["web"]["Spec"]))
    at = swarm.services_["web"]["Version"]["Index"]
    assert run(swarm, Rollback, ["web"])["changed"] is False
    assert swarm.services_["web"]["Version"]["Index"] == at


def test_a_rollback_goes_nowhere_else_than_planned(swarm: Swarm) -> None:
    swarm.set("web", 5)
    swarm.meddle = [lambda: swarm.set("web", 7)]
    result = run(swarm, Rollback, ["web"])
    assert result["failure"] == "out_of_sequence"
    assert swarm.replicas("web") == 7
