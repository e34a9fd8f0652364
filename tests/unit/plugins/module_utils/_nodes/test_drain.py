# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moving work off nodes: what is written, what stops it, and that nothing of it stays.

The swarm here replaces tasks as swarmkit does, one a tick and the new one first. That the real one does so, is shown by
molecule/membership/tests/test_drain.py.
"""

from __future__ import annotations

import copy
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import Clock
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import MOVING_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.drain import drain
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.marks import (
    frozen,
    is_frozen,
    is_stalled,
    marked,
    marks_of,
    paused,
    released,
    stalled,
    unmarked,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.moves import (
    ServiceMove,
    parse_moving_service,
    plan_moves,
    tasks_by_service,
    why_not,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.services import (
    clean_up_interrupted,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementTask,
    parse_placement_node,
    parse_placement_task,
    satisfies,
)


class Killed(Exception):
    """The module is gone; so is its way to the engine."""


class Swarm(Clock):
    """As much of a swarm as a move sees, and its clock."""

    def __init__(self, nodes: int = 3) -> None:
        self._nodes: dict[str, dict[str, Any]] = {
            f"n{number}": {
                "ID": f"n{number}",
                "Version": {"Index": 1},
                "Spec": {"Role": "worker", "Availability": "active", "Labels": {"zone": "a"}},
                "Status": {"State": "ready"},
                "Description": {"Hostname": f"w{number}"},
            }
            for number in range(1, nodes + 1)
        }
        self._services: dict[str, dict[str, Any]] = {}
        self._tasks: list[dict[str, Any]] = []
        self.time = 0.0
        self.requests = 0
        self.kill_at: int | None = None
        self.writes: list[str] = []
        self.written: list[dict[str, Any]] = []
        self.stuck: set[str] = set()  # services whose new tasks never run
        self.events: dict[int, Callable[[], None]] = {}  # by tick
        self.ticks = 0
        self.lowest: dict[str, int] = {}

    # What there is

    def add(self, name: str, places: list[str], **spec: Any) -> str:
        self._services[name] = {
            "ID": name,
            "Version": {"Index": 1},
            "Spec": {
                "Name": name,
                "Labels": {},
                "Mode": {"Replicated": {"Replicas": len(places)}},
                "TaskTemplate": {"ContainerSpec": {"Image": "hello:1"}},
                **spec,
            },
        }
        for slot, node in enumerate(places, 1):
            self.start(name, slot, node)
        return name

    def start(self, name: str, slot: int, node: str, state: str = "running") -> dict[str, Any]:
        task = {
            "ID": f"t{len(self._tasks)}",
            "ServiceID": name,
            "Slot": slot,
            "NodeID": node,
            "DesiredState": "running",
            "Status": {"State": state, "Timestamp": f"{len(self._tasks):06}"},
            "Spec": copy.deepcopy(self._services[name]["Spec"]["TaskTemplate"]),
        }
        self._tasks.append(task)
        return task

    def on(self, node: str) -> list[str]:
        return sorted(task["ServiceID"] for task in self._tasks if self._live(task, node))

    @staticmethod
    def _live(task: dict[str, Any], node: str) -> bool:
        return (
            task["NodeID"] == node
            and task["DesiredState"] == "running"
            and task["Status"]["State"] == "running"
        )

    def specs(self) -> dict[str, Any]:
        return {
            name: copy.deepcopy(item["Spec"])
            for name, item in {**self._services, **self._nodes}.items()
        }

    def traces(self) -> list[str]:
        return [
            name
            for name, item in {**self._services, **self._nodes}.items()
            if MOVING_LABEL in str(item)
        ]

    def fits(self, name: str, node: str) -> bool:
        template = self._services[name]["Spec"]["TaskTemplate"]
        wants = (template.get("Placement") or {}).get("Constraints") or []
        return satisfies(wants, parse_placement_node(self._nodes[node]))

    # Time

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.tick()

    def tick(self) -> None:
        self.ticks += 1
        if self.ticks in self.events:
            self.events[self.ticks]()
        for name, service in self._services.items():
            if "Replicated" not in service["Spec"]["Mode"]:
                continue
            if (service.get("UpdateStatus") or {}).get("State") == "paused":
                continue
            own = [task for task in self._tasks if task["ServiceID"] == name]
            nowhere = [task for task in own if not task["NodeID"]]
            if is_frozen(service["Spec"]) and not nowhere:
                self.start(name, 1, "", "pending")["Status"]["Err"] = "no suitable node"
            elif nowhere and not is_stalled(service["Spec"]):
                nowhere[-1]["DesiredState"] = "shutdown"
            for task in own:
                if not task["NodeID"]:
                    continue
                drained = self._nodes[task["NodeID"]]["Spec"]["Availability"] == "drain"
                if not self._live(task, task["NodeID"]) or not (
                    drained or not self.fits(name, task["NodeID"])
                ):
                    continue
                if name in self.stuck:
                    service["UpdateStatus"] = {"State": "paused", "Message": "a task failed"}
                    failed = self.start(name, task["Slot"], "n2", "failed")
                    failed["Status"]["Err"] = "unhealthy container"
                    failed["DesiredState"] = "shutdown"
                    break
                free = [
                    node
                    for node, item in self._nodes.items()
                    if item["Spec"]["Availability"] == "active" and self.fits(name, node)
                ]
                if free:
                    self.start(name, task["Slot"], min(free, key=lambda node: len(self.on(node))))
                    task["DesiredState"] = "shutdown"
                    break
            count = sum(len([one for one in self.on(node) if one == name]) for node in self._nodes)
            self.lowest[name] = min(self.lowest.get(name, count), count)

    # The client

    def _request(self) -> None:
        self.requests += 1
        if self.kill_at is not None and self.requests >= self.kill_at:
            raise Killed

    def services(self) -> list[dict[str, Any]]:
        self._request()
        return copy.deepcopy(list(self._services.values()))

    def nodes(self) -> list[dict[str, Any]]:
        self._request()
        return copy.deepcopy(list(self._nodes.values()))

    def node(self, node_id: str) -> dict[str, Any]:
        self._request()
        return copy.deepcopy(self._nodes[node_id])

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        self._request()
        return [
            copy.deepcopy(task)
            for task in self._tasks
            if task["ServiceID"] in (filters.get("service") or task["ServiceID"])
            and filters.get("desired-state") in (None, task["DesiredState"])
        ]

    def _write(
        self, found: dict[str, Any] | None, name: str, version: int, spec: dict[str, Any]
    ) -> None:
        self._request()
        if found is None:
            raise SwarmError("not_found", "gone")
        if found["Version"]["Index"] != version:
            raise SwarmError("out_of_sequence", "update out of sequence")
        found["Version"]["Index"] += 1
        if name in self._services:
            found["PreviousSpec"] = found["Spec"]
            found.pop("UpdateStatus", None)
        found["Spec"] = copy.deepcopy(spec)
        self.writes.append(name)
        self.written.append(spec)

    def update_service(self, service_id: str, version: int, spec: dict[str, Any]) -> None:
        self._write(self._services.get(service_id), service_id, version, spec)

    def update_node(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        self._write(self._nodes.get(node_id), node_id, version, spec)

    def set_drained(self, *node_ids: str) -> Callable[[], None]:
        def write() -> None:
            for node_id in node_ids:
                document = self.node(node_id)
                document["Spec"]["Availability"] = "drain"
                self.update_node(node_id, document["Version"]["Index"], document["Spec"])

        return write

    def drain(self, *node_ids: str, timeout: float = 60) -> list[ServiceMove]:
        return drain(self, node_ids, self.set_drained(*node_ids), timeout, self)


# What is written

ids = st.lists(st.sampled_from(["n1", "n2", "n3"]), unique=True)
own = st.lists(
    st.sampled_from(
        ["node.role==worker", "node.id!=n1", "node.id != n2", "node.id!=n9", "node.labels.a==b"]
    ),
    unique=True,
    min_size=1,
)
placements = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "Constraints": own,
            "MaxReplicas": st.just(2),
            "Platforms": st.lists(
                st.sampled_from(
                    [
                        {"OS": "linux", "Architecture": "amd64"},
                        {"OS": "linux"},
                        {"Architecture": "arm64"},
                    ]
                ),
                min_size=1,
            ),
            "Preferences": st.just([{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]),
        },
    ),
)
configs = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"Parallelism": st.integers(0, 3), "Order": st.sampled_from(["start-first", "stop-first"])},
        optional={
            "FailureAction": st.sampled_from(["pause", "continue", "rollback"]),
            "MaxFailureRatio": st.sampled_from([0, 0.25, 1]),
        },
    ),
)


@st.composite
def specs(draw: Any) -> dict[str, Any]:
    task: dict[str, Any] = {"ContainerSpec": {"Image": "hello:1"}, "ForceUpdate": 3}
    placement, config = draw(placements), draw(configs)
    if placement is not None:
        task["Placement"] = placement
    spec: dict[str, Any] = {"Name": "web", "TaskTemplate": task}
    spec["Labels"] = draw(st.sampled_from([{}, {"a": "b"}]))
    if config is not None:
        spec["UpdateConfig"] = config
    return spec


@given(specs(), ids, ids)
def test_what_is_put_in_can_be_taken_out(
    spec: dict[str, Any], node_ids: list[str], more: list[str]
) -> None:
    before = copy.deepcopy(spec)
    once = marked(spec, node_ids)
    assert unmarked(once) == spec == before
    assert marked(once, node_ids) == once
    assert unmarked(marked(once, more)) == spec
    assert unmarked(unmarked(once)) == spec
    wanted = (once["TaskTemplate"].get("Placement") or {}).get("Constraints") or []
    assert {f"node.id!={node}" for node in node_ids} <= set(wanted)
    if marks_of(once) and "UpdateConfig" in spec:
        assert once["UpdateConfig"].get("FailureAction", "pause") == "pause"
        assert not once["UpdateConfig"].get("MaxFailureRatio")
    if more:
        ended = stalled(once, more)
        assert unmarked(ended) == spec
        assert ended["TaskTemplate"]["Placement"]["Platforms"]
    stopped = frozen(once)
    assert unmarked(stopped) == spec
    assert marks_of(once) <= marks_of(stopped)
    assert is_stalled(stopped)
    assert is_frozen(stopped)
    nowhere = stalled(once, [""])
    assert stalled(stopped, [""]) == nowhere
    assert not is_frozen(nowhere)
    assert marks_of(nowhere)
    assert unmarked(nowhere) == spec
    assert stalled(nowhere, [""]) == nowhere


@given(specs(), ids)
def test_only_placement_labels_and_the_update_are_touched(
    spec: dict[str, Any], node_ids: list[str]
) -> None:
    def rest(spec: dict[str, Any]) -> dict[str, Any]:
        task = {key: item for key, item in spec["TaskTemplate"].items() if key != "Placement"}
        touched = ("Labels", "UpdateConfig")
        return {key: item for key, item in spec.items() if key not in touched} | {
            "TaskTemplate": task
        }

    for after in (marked(spec, node_ids), stalled(spec, ["", *node_ids]), frozen(spec)):
        assert rest(after) == rest(spec)


def test_a_constraint_of_the_users_own_is_not_ours() -> None:
    spec = {"Labels": {}, "TaskTemplate": {"Placement": {"Constraints": ["node.id!=n1"]}}}
    once = marked(spec, ["n1", "n2"])
    assert marks_of(once) == {"n2"}
    assert once["TaskTemplate"]["Placement"]["Constraints"] == ["node.id!=n1", "node.id!=n2"]
    assert marked(spec, ["n1"]) == spec


def test_what_the_user_changes_meanwhile_stays() -> None:
    once = marked({"Labels": {}, "TaskTemplate": {}}, ["n1"])
    once["TaskTemplate"]["Placement"]["Constraints"].append("node.role==worker")
    once["Labels"]["a"] = "b"
    assert unmarked(once) == {
        "Labels": {"a": "b"},
        "TaskTemplate": {"Placement": {"Constraints": ["node.role==worker"]}},
    }


@given(st.sampled_from(["active", "pause"]), st.sampled_from(["active", "pause", "drain"]))
def test_a_node_is_given_back_as_it_was(before: str, later: str) -> None:
    spec = {"Availability": before, "Role": "worker", "Labels": {"zone": "a"}}
    there = paused(spec)
    assert there["Availability"] == "pause"
    assert paused(there) == there
    assert released(there) == spec
    assert released(spec) == spec
    there["Availability"] = later
    assert released(there)["Availability"] == (before if later == "pause" else later)


# What has to move


def parsed(tasks: list[dict[str, Any]]) -> list[PlacementTask]:
    return [parse_placement_task(task) for task in tasks]


def plan(
    services: list[dict[str, Any]], tasks: list[dict[str, Any]], node_ids: set[str]
) -> list[ServiceMove]:
    found = map(parse_moving_service, services)
    return plan_moves(found, tasks_by_service(parsed(tasks)), node_ids)


def test_only_running_tasks_of_replicated_services_move() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n1", "n2"])
    swarm.add("elsewhere", ["n2"])
    swarm.add("agent", ["n1"], Mode={"Global": {}})
    swarm.add("job", ["n1"], Mode={"ReplicatedJob": {}})
    swarm.add("none", [])
    swarm.add("crashing", [])
    swarm.start("crashing", 1, "n1", "failed")
    swarm._services["web"]["UpdateStatus"] = {"State": "completed"}
    moves = plan(swarm.services(), swarm.tasks(), {"n1", "n3"})
    assert [move.as_dict() for move in moves] == [
        {"service_id": "web", "service": "web", "nodes": ("n1",), "tasks": 2, "update": "completed"}
    ]
    assert plan([{"ID": "x"}], [{}], {"n1"}) == []
    # Nothing of the others is written.
    swarm.drain("n1")
    assert set(swarm.writes) == {"web", "n1"}


# Moving


def test_work_runs_elsewhere_before_the_node_is_drained() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n1", "n2"])
    swarm.add("db", ["n1"])
    before = swarm.specs()
    seen: list[list[str]] = []
    drained = swarm.set_drained("n1")

    def set_drained() -> None:
        seen.append(swarm.on("n1"))
        drained()

    told: list[str] = []
    moves = drain(swarm, ["n1"], set_drained, 60, swarm, told.append)
    assert seen == [[]]
    assert [(move.service, move.tasks) for move in moves] == [("db", 1), ("web", 2)]
    assert swarm.lowest == {"web": 3, "db": 1}
    assert told[-1] in ("web: 3 of 3 run elsewhere", "db: 1 of 1 run elsewhere")
    before["n1"]["Availability"] = "drain"
    assert swarm.specs() == before
    # What a rollback would return to is clean as well.
    assert swarm.traces() == []


def test_several_nodes_are_one_update_of_a_service() -> None:
    swarm = Swarm(4)
    swarm.add("web", ["n1", "n2", "n3"])
    swarm.drain("n1", "n2")
    assert swarm.writes.count("web") == 3
    assert swarm.on("n1") == swarm.on("n2") == swarm.traces() == []


def test_a_node_that_is_down_or_drained_has_nothing_to_give() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    swarm._nodes["n1"]["Status"] = {"State": "down"}
    swarm._nodes["n2"]["Spec"] = {"Availability": "drain", "Labels": {}}
    assert swarm.drain("n1", "n2") == []
    assert swarm.writes == ["n1", "n2"]


def test_what_did_not_run_before_is_not_waited_for() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    swarm._services["web"]["Spec"]["Mode"]["Replicated"]["Replicas"] = 4
    swarm.drain("n1")
    assert swarm.lowest == {"web": 2}


def test_a_service_that_is_scaled_removed_or_deployed_meanwhile() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n1", "n1", "n1"])
    swarm.add("gone", ["n1", "n1", "n1"])

    def change() -> None:
        web = swarm._services["web"]
        spec = unmarked(web["Spec"])
        spec["Mode"]["Replicated"]["Replicas"] = 3
        spec["Labels"]["deployed"] = "now"
        swarm.update_service("web", web["Version"]["Index"], spec)
        swarm._services.pop("gone")
        swarm._tasks = [task for task in swarm._tasks if task["ServiceID"] != "gone"]

    swarm.events[1] = change
    swarm.drain("n1")
    assert swarm.on("n1") == swarm.traces() == []
    assert swarm.specs()["web"]["Labels"] == {"deployed": "now"}


def test_an_update_of_the_users_is_waited_for_before_and_after() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    swarm._services["web"]["UpdateStatus"] = {"State": "updating"}

    def over() -> None:
        swarm._services["web"]["UpdateStatus"] = {"State": "completed"}

    def deploy() -> None:
        web = swarm._services["web"]
        spec = copy.deepcopy(web["Spec"])
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = "hello:2"
        swarm.update_service("web", web["Version"]["Index"], spec)
        web["UpdateStatus"] = {"State": "updating"}

    swarm.events = {3: over, 4: deploy, 20: over}
    swarm.drain("n1")
    assert swarm.ticks >= 20
    assert swarm.traces() == []
    assert swarm.specs()["web"]["TaskTemplate"]["ContainerSpec"]["Image"] == "hello:2"


def test_a_paused_update_is_not_set_going() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    swarm._services["web"]["UpdateStatus"] = {"State": "paused", "Message": "task x failed"}
    before = swarm.specs()
    with pytest.raises(SwarmError) as caught:
        swarm.drain("n1")
    assert caught.value.code == "update_paused"
    assert "web off w1: its latest update is paused (task x failed)" in caught.value.message
    assert swarm.writes == []
    assert swarm.specs() == before


def test_no_place_elsewhere_ends_at_the_limit_with_everything_put_back() -> None:
    swarm = Swarm()
    spec = {"Placement": {"Constraints": ["node.id==n1"]}}
    swarm.add("web", ["n1", "n1"], TaskTemplate=spec)
    swarm.add("db", ["n1", "n2"])
    before = swarm.specs()
    with pytest.raises(SwarmError) as caught:
        swarm.drain("n1", timeout=20)
    assert caught.value.code == "drain_timeout"
    assert caught.value.message == (
        "Could not drain w1 within 20 s: 0 of 2 tasks of service web run on other nodes; no task reports a reason. Add"
        " capacity or relax the constraints of the service, or allow more time."
    )
    assert "left" not in caught.value.details
    assert swarm.specs() == before
    assert swarm.traces() == []
    assert swarm.lowest == {"web": 2, "db": 2}


def test_a_move_that_the_engine_pauses_ends_at_once() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    swarm.stuck = {"web"}
    before = swarm.specs()
    with pytest.raises(SwarmError) as caught:
        swarm.drain("n1")
    assert caught.value.code == "drain_failed"
    assert "paused the move of service web" in caught.value.message
    assert "unhealthy container" in caught.value.message
    assert swarm.time < 5
    assert swarm.specs() == before
    assert swarm.traces() == []


def test_the_newest_error_of_a_task_that_moves_is_told() -> None:
    ours = {"Placement": {"Constraints": ["node.id!=n1"]}}
    tasks: list[dict[str, Any]] = [
        {"Status": {"Err": "older", "Timestamp": "1"}, "Spec": ours},
        {"Status": {"Err": "no suitable node.", "Timestamp": "2"}, "Spec": ours},
        {"Status": {"State": "starting", "Timestamp": "3"}, "Spec": ours, "DesiredState": "ready"},
        {"Status": {"Err": "not of this move", "Timestamp": "4"}, "Spec": {}},
    ]
    assert why_not(parsed(tasks), {"n1"}) == "no suitable node"
    assert why_not(parsed(tasks[2:]), {"n1"}) == "a new task is starting"
    assert why_not([], {"n1"}) is None


# The rest of a killed run


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), max_size=4),
            specs(),
            st.sampled_from([{"Replicated": {}}, {"Global": {}}]),
        ),
        max_size=4,
    ),
    st.sets(st.sampled_from(["n1", "n2"]), min_size=1),
    st.integers(1, 60),
    st.booleans(),
)
def test_killed_at_any_request_and_tidied(
    services: Any, leaving: set[str], kill_at: int, again: bool
) -> None:
    swarm = Swarm(4)
    for number, (places, spec, mode) in enumerate(services):
        spec = copy.deepcopy(spec)
        mode = {"Replicated": {"Replicas": len(places)}} if "Replicated" in mode else mode
        name = f"s{number}"
        fitting = [
            place
            for place in places
            if satisfies(
                (spec["TaskTemplate"].get("Placement") or {}).get("Constraints") or [],
                parse_placement_node(swarm._nodes[place]),
            )
        ]
        if "Replicated" in mode:
            mode["Replicated"]["Replicas"] = len(fitting)
        swarm.add(name, fitting, **{**spec, "Name": name, "Mode": mode})
    before = swarm.specs()
    swarm.kill_at = kill_at
    ended = ""
    try:
        swarm.drain(*leaving)
    except Killed:
        ended = "killed"
    except SwarmError as error:
        ended = error.code
    assert ended in ("", "killed", "drain_timeout")
    swarm.kill_at = None
    drained = {name for name in leaving if swarm.specs()[name]["Availability"] == "drain"}
    if ended != "killed":
        assert swarm.traces() == []
    if again:
        # What the next run is about to move again is left to it.
        marks = swarm.traces()
        assert clean_up_interrupted(swarm, leaving, swarm) == []
        assert swarm.traces() == marks
    changed = clean_up_interrupted(swarm, clock=swarm)
    if ended != "killed":
        assert changed == []
    assert swarm.traces() == []
    for name in drained:
        before[name]["Availability"] = "drain"
    assert swarm.specs() == before
    assert clean_up_interrupted(swarm, clock=swarm) == []


def test_the_next_run_takes_up_what_a_killed_one_began() -> None:
    for kill_at in range(1, 40):
        swarm = Swarm()
        swarm.add("web", ["n1", "n1", "n2"])
        before = swarm.specs()
        swarm.kill_at = kill_at
        try:
            swarm.drain("n1")
        except Killed:
            swarm.kill_at = None
            swarm.drain("n1")
            clean_up_interrupted(swarm, clock=swarm)
        before["n1"]["Availability"] = "drain"
        assert swarm.specs() == before
        assert swarm.traces() == []
        assert swarm.lowest["web"] == 3


def test_a_move_that_got_stuck_before_the_run_was_killed_is_begun_anew() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n1", "n2"])
    before = swarm.specs()
    web = swarm._services["web"]
    swarm.update_service("web", 1, marked(web["Spec"], ["n1"]))
    web["UpdateStatus"] = {"State": "paused"}
    swarm.drain("n1")
    before["n1"]["Availability"] = "drain"
    assert swarm.specs() == before
    assert swarm.on("n1") == swarm.traces() == []


@pytest.mark.parametrize(
    ("order", "state", "stops"),
    [
        ("start-first", None, True),
        ("start-first", "updating", True),
        ("start-first", "completed", False),
        ("start-first", "paused", False),
        ("stop-first", "updating", False),
    ],
)
def test_an_update_that_goes_on_is_stopped_before_its_spec_is_cleaned(
    order: str, state: str | None, stops: bool
) -> None:
    """Otherwise the engine may start the next task in between, which fits the cleaned spec, and stop the running one."""
    swarm = Swarm()
    swarm.add("web", ["n1", "n1", "n2"], UpdateConfig={"Order": order})
    before = swarm.specs()
    web = swarm._services["web"]
    swarm.update_service("web", 1, marked(web["Spec"], ["n1"]))
    web["UpdateStatus"] = {"State": state}
    assert clean_up_interrupted(swarm, clock=swarm) == ["web"]
    # The clean spec is written twice, for a rollback to find it as well.
    stalls = [is_stalled(spec) for spec in swarm.written[1:]]
    assert stalls == [True] * stops + [False, False]
    assert swarm.specs() == before


class Updating(Swarm):
    """An engine that starts one more task of a move just before the next write, or a moment after it, and keeps of two tasks
    in a slot the newer one if its spec fits both."""

    def __init__(self, late: int) -> None:
        super().__init__()
        self._late = late  # in ticks

    def tick(self) -> None:
        if not self._late:
            super().tick()
            return
        self._late -= 1
        web = self._services["web"]
        web["UpdateStatus"] = {"State": "updating"}
        if not self._late:
            self.start("web", 1, "n2", "starting")["Spec"] = web["PreviousSpec"]["TaskTemplate"]

    def update_service(self, service_id: str, version: int, spec: dict[str, Any]) -> None:
        slot = [task for task in self._tasks if task["Slot"] == 1 and task["NodeID"]]
        if len(slot) == 1 and not (self._late and is_stalled(spec)):
            slot.append(self.start(service_id, 1, "n2", "starting"))
        super().update_service(service_id, version, spec)
        old, *new = slot
        if new and new[0]["DesiredState"] == "running":
            if self.fits(service_id, "n2"):
                old["DesiredState"] = "shutdown"
            elif self.fits(service_id, old["NodeID"]):
                new[0]["DesiredState"] = "shutdown"


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_task_that_the_engine_starts_while_an_update_is_stopped_is_not_kept(late: int) -> None:
    swarm = Updating(late)
    swarm.add("web", ["n1", "n1", "n3"])
    web = swarm._services["web"]
    web["Spec"]["UpdateConfig"] = {"Order": "start-first"}
    before = swarm.specs()
    web["Spec"] = marked(web["Spec"], ["n1"])
    web["UpdateStatus"] = {"State": "updating"}
    assert clean_up_interrupted(swarm, clock=swarm) == ["web"]
    assert swarm.specs() == before
    assert swarm.on("n1") + swarm.on("n3") == ["web"] * 3


def test_an_election_is_waited_out() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    real = swarm.services

    def services() -> list[dict[str, Any]]:
        if 1 <= swarm.ticks < 5 or 8 <= swarm.ticks < 12:
            raise SwarmError("no_quorum", "the swarm has lost its quorum")
        return real()

    swarm.services = services  # type: ignore[method-assign]
    swarm.drain("n1")
    assert swarm.on("n1") == swarm.traces() == []


def test_an_update_of_the_users_on_top_of_ours_is_not_cut_short() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    web = swarm._services["web"]
    swarm.update_service("web", 1, marked(web["Spec"], ["n1"]))
    spec = copy.deepcopy(web["Spec"])
    spec["TaskTemplate"]["ForceUpdate"] = 1
    swarm.update_service("web", 2, spec)
    web["UpdateStatus"] = {"State": "paused"}
    assert clean_up_interrupted(swarm, clock=swarm) == []
    web["UpdateStatus"] = {"State": "completed"}
    assert clean_up_interrupted(swarm, clock=swarm) == ["web"]
    assert swarm.traces() == []


def test_somebody_is_quicker() -> None:
    swarm = Swarm()
    swarm.add("web", ["n1", "n2"])
    real = swarm.update_service
    refused = iter([True, False] * 20)

    def update(service_id: str, version: int, spec: dict[str, Any]) -> None:
        real(service_id, version - 1 if next(refused) else version, spec)

    swarm.update_service = update  # type: ignore[method-assign]
    swarm.drain("n1")
    assert swarm.on("n1") == swarm.traces() == []
