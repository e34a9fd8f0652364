# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands on the page, from the answers of an engine."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from recorded import Answers, health_of, swarm_of

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import Text, packed, text
from ansible_collections.flotilla.swarm.plugins.module_utils._health.check import HostContext
from ansible_collections.flotilla.swarm.plugins.module_utils._health.checks import (
    CHECKS,
    health_result,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.snapshot import SwarmSnapshot
from ansible_collections.flotilla.swarm.plugins.module_utils._report.content import (
    BAD,
    GOOD,
    UNSURE,
    WARN,
    Content,
    make_content,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.headlines import (
    CHECK_TITLES,
    headline,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.history import Past
from ansible_collections.flotilla.swarm.plugins.module_utils._report.language import (
    about,
    say,
    speaks,
)

NOW = 1795381200.0
NOTHING = Past()
GIB = 1024**3


def page_of(
    answers: Answers,
    hosts: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
    past: Past = NOTHING,
    **context: Any,
) -> Content:
    return make_content(health_of(answers, **context), hosts or {}, plan or {}, past, NOW)


def host_of(content: Content, name: str) -> Any:
    return next(host for zone in content.zones for host in zone.hosts if host.name == name)


def service_of(content: Content, name: str) -> Any:
    return next(row for stack in content.stacks for row in stack.services if row.name == name)


def spread(tasks: list[dict[str, Any]]) -> None:
    """Each service in every zone: its tasks follow each other on the nodes."""
    for number, task in enumerate(tasks):
        task["NodeID"] = f"node{(number // 3 + number) % 6:021}"


def test_a_healthy_swarm() -> None:
    answers = swarm_of(6, 3, 18)
    answers.edit("/tasks", spread)
    page = page_of(answers)
    assert page.verdict == "healthy"
    assert page.headline == "Everything runs as asked."
    assert page.reasons == ()
    assert [(str(label), str(value)) for label, value in page.facts] == [
        ("Managers", "3 of 3"),
        ("Tolerates", "1 failure"),
        ("Nodes ready", "6 of 6"),
        ("Services as asked", "3 of 3"),
        ("Tasks running", "18 of 18"),
    ]
    assert [zone.name for zone in page.zones] == ["a", "b", "c"]
    assert [[host.name for host in zone.hosts] for zone in page.zones] == [
        ["h0", "h3"],
        ["h1", "h4"],
        ["h2", "h5"],
    ]
    assert host_of(page, "h0").leader
    assert {host.state for zone in page.zones for host in zone.hosts} == {GOOD}
    assert page.tasks == (("r", 18),)
    assert [stack.name for stack in page.stacks] == ["shop"]
    assert service_of(page, "0000").image == "registry.lab:5000/service0:1"
    assert page.capacity is not None
    assert (page.capacity.cpus.total, page.capacity.reserving) == (12, 0)
    assert page.capacity.one_more == "h3"
    assert [loss.state for loss in page.losses] == [GOOD] * 3
    assert page.asked == "h0"
    assert page.previous is None
    assert page.changes == ()


def test_a_zone_that_is_lost() -> None:
    answers = swarm_of(6, 3, 18)

    def kill(nodes: list[dict[str, Any]]) -> None:
        for number in (1, 4):
            nodes[number]["Status"]["State"] = "down"
        nodes[1]["ManagerStatus"]["Reachability"] = "unreachable"

    answers.edit("/nodes", kill)
    page = page_of(answers, unreachable=["h1", "h4"])
    assert page.verdict == "failed"
    assert page.reasons[0].name == "services"
    assert page.headline == "No task of shop_0001 runs. 2 of 6 nodes not ready."
    assert [zone.state for zone in page.zones] == [GOOD, BAD, GOOD]
    # They may still run there.
    assert host_of(page, "h1").tasks == (("u", 3),)
    losses = {loss.zone: loss for loss in page.losses}
    assert losses["b"].gone
    assert not losses["a"].keeps_quorum
    assert losses["b"].keeps_quorum


def test_an_upgrade_in_the_middle() -> None:
    answers = swarm_of(6, 3, 18)

    def upgrade(nodes: list[dict[str, Any]]) -> None:
        for number in (3, 4):
            nodes[number]["Description"]["Engine"]["EngineVersion"] = "26.1.5+dfsg1"
        nodes[5]["Spec"]["Availability"] = "drain"

    answers.edit("/nodes", upgrade)
    answers.edit("/tasks", spread)
    page = page_of(answers)
    assert page.verdict == "degraded"
    assert page.headline == "The hosts run different releases of the engine."
    assert dict(page.versions) == {
        "20.10.24+dfsg1": ("h0", "h1", "h2", "h5"),
        "26.1.5+dfsg1": ("h3", "h4"),
    }
    assert (host_of(page, "h5").state, host_of(page, "h5").words) == (WARN, "drained")


@pytest.mark.parametrize(
    ("code", "verdict", "words"),
    [
        ("no_quorum", "failed", "lost their quorum"),
        ("host_unreachable", "unknown", "No manager could be asked"),
    ],
)
def test_without_an_answer_the_hosts_speak_for_themselves(
    code: str, verdict: str, words: str
) -> None:
    snapshot = SwarmSnapshot(trouble=SwarmError(code, "the engine said so"))
    health = health_result(snapshot, HostContext({}, "", ["m2", "m3"]), picture=True)
    hosts: dict[str, Any] = {
        "m1": {"zone": "a", "state": "active", "member_role": "manager", "engine": "26.1.5"},
        "m2": {"zone": "b", "role": "manager", "silent": True},
        "m3": {"zone": "", "role": "manager", "silent": True},
        "w1": {"zone": "a", "state": "locked", "member_role": "worker"},
    }
    page = make_content(health, hosts, {}, Past(), NOW)
    assert page.verdict == verdict
    assert words in page.headline
    # In Korean, what is in English only has a sentence that says what it is about.
    engine = [each.message for each in page.reasons if each.name == "engine"]
    assert [speaks(each, "ko") for each in engine] == [False] * (code != "no_quorum")
    assert all(about(each, "ko") for each in engine)
    states = {host.name: (host.state, str(host.words)) for z in page.zones for host in z.hosts}
    assert states == {
        "m1": (UNSURE, "in the swarm"),
        "m2": (BAD, "no answer"),
        "m3": (BAD, "no answer"),
        "w1": (BAD, "locked"),
    }
    assert [zone.name for zone in page.zones] == ["a", "b", ""]
    assert [str(value) for _label, value in page.facts] == ["2 of 4"]
    assert page.stacks == ()
    assert page.losses == ()
    assert page.capacity is None
    assert page.state == {"nodes": {}, "services": {}, "stacks": {}, "applications": {}}


def test_half_of_the_answers_are_missing() -> None:
    """A new leader, hosts that do not answer, and documents without most of their keys."""
    answers = swarm_of(6, 3, 18)

    def forget(nodes: list[dict[str, Any]]) -> None:
        for node in nodes[3:]:
            node["Status"] = {}
            del node["Description"]

    answers.edit("/nodes", forget)
    answers.edit("/tasks", lambda tasks: [task.pop("Status") for task in tasks[::2]])
    page = page_of(answers, hosts={"h9": {"zone": "d", "silent": True}}, unreachable=["h9"])
    assert page.verdict in ("unknown", "failed")
    assert host_of(page, "h3").state == UNSURE
    assert host_of(page, "h9").words == "no answer"


def test_reservations_are_counted_where_tasks_are() -> None:
    answers = swarm_of(6, 2, 6)

    def reserve(services: list[dict[str, Any]]) -> None:
        services[0]["Spec"]["TaskTemplate"]["Resources"] = {
            "Reservations": {"NanoCPUs": 500000000, "MemoryBytes": 2 * GIB}
        }

    answers.edit("/services", reserve)
    page = page_of(answers)
    assert page.capacity is not None
    assert (page.capacity.reserving, page.capacity.cpus.used, page.capacity.memory.used) == (
        1,
        1.5,
        6.0,
    )
    host = host_of(page, "h0")
    assert (host.cpus.used, host.memory.used) == (0.5, 2.0)
    assert host_of(page, "h1").cpus.used == 0


def test_a_zone_whose_tasks_would_find_no_room() -> None:
    answers = swarm_of(6, 2, 6)

    def reserve(services: list[dict[str, Any]]) -> None:
        for service in services:
            service["Spec"]["TaskTemplate"]["Resources"] = {
                "Reservations": {"NanoCPUs": 1_500_000_000}
            }

    answers.edit("/services", reserve)
    page = page_of(answers)
    assert [[str(each) for each in loss.short] for loss in page.losses] == [
        ["1.0 CPUs too few"]
    ] * 3
    assert {loss.state for loss in page.losses} == {WARN}


def test_a_service_that_only_one_zone_can_run() -> None:
    answers = swarm_of(6, 2, 12)

    def bind(services: list[dict[str, Any]]) -> None:
        template = services[1]["Spec"]["TaskTemplate"]
        template["Placement"]["Constraints"] = ["node.labels.zone == b"]

    answers.edit("/services", bind)
    page = page_of(answers)
    losses = {loss.zone: loss for loss in page.losses}
    assert losses["b"].homeless == ("shop_0001",)
    assert losses["b"].state == BAD
    assert losses["a"].homeless == ()


PLAN = {
    "first": {
        "steps": [
            {"action": "join", "host": "h7", "text": "worker, zone c", "role": "worker"},
            {"action": "promote", "host": "h3", "text": "worker -> manager", "node_id": "n3"},
            {"action": "demote", "host": "h0", "text": "manager -> worker", "node_id": "n0"},
            {
                "action": "drain",
                "host": "h5",
                "text": "line deleted",
                "node_id": "n5",
                "row": "remove n5",
            },
            {
                "action": "leave",
                "host": "h5",
                "text": "line deleted",
                "node_id": "n5",
                "row": "remove n5",
            },
        ]
    },
    "nodes": [
        {"name": "h0", "role": "worker", "labels": {"zone": "a"}},
        {"name": "h3", "role": "manager", "labels": {"zone": "a"}},
        {"name": "h7", "role": "worker", "labels": {"zone": "c"}},
    ],
    "held": [{"name": "h4", "action": "demote", "why": "it has to wait"}],
    "warnings_of_plan": ["one warning"],
}


def test_a_plan_is_on_the_map_before_and_after() -> None:
    answers = swarm_of(6, 3, 18)
    before = copy.deepcopy(PLAN)
    page = page_of(answers, plan=PLAN)
    assert before == PLAN
    assert page.plan is not None
    assert [(step.sign, str(step.word), step.host) for step in page.plan.steps] == [
        ("+", "join", "h7"),
        ("~", "promote", "h3"),
        ("~", "demote", "h0"),
        ("-", "remove", "h5"),
    ]
    assert page.plan.remarks == ("h4: it has to wait", "one warning")
    # What a host joins as is made of the inventory again, so that it can be said in Korean.
    assert say(page.plan.steps[0].detail, "ko") == "워커, 영역 c"
    new = host_of(page, "h7")
    assert (new.zone, new.present, str(new.after)) == ("c", False, "worker, zone c")
    assert str(host_of(page, "h3").after) == "manager"
    assert str(host_of(page, "h5").after) == "not in the swarm"
    assert host_of(page, "h1").after is None
    # What does not exist yet is not counted.
    zone = next(zone for zone in page.zones if zone.name == "c")
    assert (zone.present, len(zone.hosts)) == (2, 3)


def test_a_plan_that_is_refused() -> None:
    words = text("{fault}; or add uneven_zones to swarm_accepted_risks", fault="zone a is alone")
    plan = {
        "refusals": [str(words), "m1: plain"],
        "words": {"refusals": [packed(words), "m1: plain"], "warnings": []},
        "steps": [],
    }
    page = page_of(swarm_of(3, 1, 3), plan=plan)
    assert page.plan is not None
    assert page.plan.refusals == (str(words), "m1: plain")
    assert "감수하려면" in say(page.plan.refusals[0], "ko")
    assert [speaks(each, "ko") for each in page.plan.refusals] == [True, False]
    assert ("Plan", "refused") in [(str(label), str(value)) for label, value in page.facts]


def test_a_swarm_that_is_not_there_yet_has_its_plan_on_the_map() -> None:
    answers = swarm_of(3, 1, 3)
    idle = {"LocalNodeState": "inactive", "NodeID": "", "ControlAvailable": False}
    answers.edit("/info", lambda info: info.update(Swarm=idle))
    plan = {
        "steps": [{"action": "init", "host": "m1", "text": "manager, zone a"}],
        "nodes": [{"name": "m1", "role": "manager", "labels": {"zone": "a"}}],
    }
    hosts = {"m1": {"zone": "a", "role": "manager", "state": "inactive", "silent": False}}
    page = page_of(answers, hosts, plan)
    assert page.headline == "There is no swarm yet. A run of site.yml creates it."
    assert page_of(answers, hosts).headline == "The host that was asked is in no swarm."
    (host,) = page.zones[0].hosts
    assert (host.state, str(host.words), len(host.steps)) == (UNSURE, "in no swarm", 1)
    assert str(host.after) == "manager, zone a"


def test_an_empty_plan_is_a_plan() -> None:
    page = page_of(swarm_of(3, 1, 3), plan={"first": {"steps": []}, "nodes": []})
    assert page.plan is not None
    assert page.plan.steps == ()


def test_credentials_are_hidden_wherever_others_choose_the_words() -> None:
    answers = swarm_of(3, 1, 3)
    secret = "postgres://shop:s3cr3t-value@db/shop"

    def fail(tasks: list[dict[str, Any]]) -> None:
        for task in tasks:
            task["NodeID"] = ""
            task["Status"] = {"State": "pending", "Err": f"no suitable node ({secret})"}

    answers.edit("/tasks", fail)
    answers.edit("/services", lambda all: all[0]["Spec"].update(Name=f"x {secret}"))
    page = page_of(answers)
    assert "s3cr3t-value" not in str(page)
    assert page.waiting[0].tasks == 3


@pytest.mark.parametrize("status", ["degraded", "unknown", "failed"])
@pytest.mark.parametrize("name", CHECKS)
def test_every_check_has_a_title_and_a_sentence(name: str, status: str) -> None:
    data = {
        **dict(managers=3, reachable=2, may_lose=0, fatal=[], total=3, ready=2, unreachable=["m2"]),
        **dict(without_tasks=["x"], short=["x"], changing=[], pending=[{"tasks": 2}]),
        **dict(not_ready=["m2"], services={"x": {"looping": True}}),
    }
    if name == "services":
        data["services"] = 3
    if name == "zones":
        data["managers"] = {"a": 1}
    check = {"name": name, "status": status, "data": data}
    sentence = headline(status, [check])
    assert isinstance(sentence, Text)
    assert sentence.endswith(".")
    assert CHECK_TITLES[name]


def test_the_state_for_the_next_report_is_small_and_plain() -> None:
    page = page_of(swarm_of(3, 2, 4))
    assert json.loads(json.dumps(page.state))["nodes"]["h0"] == [
        "manager",
        "ready",
        "active",
        "20.10.24+dfsg1",
        "a",
    ]
