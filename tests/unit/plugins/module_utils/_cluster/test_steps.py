# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps as data: what users and playbooks see of them, and that nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.membership import (
    Membership,
    parse_membership,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.rounds import next_round
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.steps import (
    HeldBack,
    MemberStep,
    parse_held,
    parse_step,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import (
    Text,
    count_of,
    text,
)

LEAVE = MemberStep("leave", "w2", "line deleted", "id2", addr="192.0.2.2")
STEPS: list[tuple[MemberStep, dict[str, Any]]] = [
    # What is about no node has no node_id, and a host that is no node yet has none.
    (
        MemberStep("engine", "m1", "install", details=({"what": "install"},)),
        {"action": "engine", "host": "m1", "text": "install", "details": [{"what": "install"}]},
    ),
    (
        MemberStep("init", "m1", "manager", why="no swarm"),
        {"action": "init", "host": "m1", "text": "manager", "why": "no swarm"},
    ),
    (
        MemberStep("join", "w1", "worker", role="worker"),
        {"action": "join", "host": "w1", "text": "worker", "node_id": None, "role": "worker"},
    ),
    # What does not apply is left out; labels that are added have none before.
    (
        MemberStep("labels", "w1", "a=1", "id1", before={}, after={"a": "1"}),
        {
            "action": "labels",
            "host": "w1",
            "text": "a=1",
            "node_id": "id1",
            "before": {},
            "after": {"a": "1"},
        },
    ),
    (
        MemberStep("drain", "w1", "", "id1", "note", "promote id1", mark="m", left_behind=("db",)),
        {
            "action": "drain",
            "host": "w1",
            "text": "",
            "node_id": "id1",
            "note": "note",
            "row": "promote id1",
            "mark": "m",
            "left_behind": ["db"],
        },
    ),
    (
        MemberStep("demote", "m2", "left over", "id2", row="remove id2", dead=True),
        {
            "action": "demote",
            "host": "m2",
            "text": "left over",
            "node_id": "id2",
            "row": "remove id2",
            "dead": True,
        },
    ),
]


@pytest.mark.parametrize(("step", "data"), STEPS, ids=[step.action for step, _data in STEPS])
def test_a_step_is_the_same_data_as_ever_and_comes_back_whole(
    step: MemberStep, data: dict[str, Any]
) -> None:
    assert step.as_data() == data
    assert parse_step(json.loads(json.dumps(data))) == step


def test_a_plan_comes_back_whole() -> None:
    plan = Membership(
        [step for step, _data in STEPS],
        warnings=["an even number"],
        held=[HeldBack("w3", "remove", "run again")],
        unlisted=["w4"],
        left_behind=["db"],
    )
    data = json.loads(json.dumps(plan.as_data()))
    assert data["held"] == [{"name": "w3", "action": "remove", "why": "run again"}]
    assert parse_membership(data) == plan


def test_a_round_is_what_the_playbooks_read() -> None:
    assert next_round([LEAVE], "id1").as_data() == {
        "nodes": False,
        "restart": [],
        "leave": [{"host": "w2", "node_id": "id2", "addr": "192.0.2.2", "comes_back": False}],
        "join_managers": [],
        "join_workers": [],
        "more": False,
    }


def test_texts_can_be_said_in_another_language_after_the_way_through_data() -> None:
    words = text("line deleted, down for {time}", time="2 h")
    step = MemberStep("remove", "w2", words, "id2", note=count_of(2, "manager"))
    data = json.loads(json.dumps(step.as_data()))
    assert type(step.as_data()["text"]) is str
    back = parse_step(data)
    assert back == step
    assert isinstance(back.text, Text)
    assert (back.text.template, back.text.values) == (words.template, words.values)
    assert isinstance(back.note, Text)
    held = HeldBack("w2", "remove", text("not demoted: {why}", why="x"))
    again = parse_held(json.loads(json.dumps(held.as_data())))
    assert again == held
    assert isinstance(again.why, Text)
    refused = Membership(refusals=[text("{fault}; or add", fault="a")], warnings=["plain"])
    there = parse_membership(json.loads(json.dumps(refused.as_data())))
    assert there == refused
    assert isinstance(there.refusals[0], Text)
    assert not isinstance(there.warnings[0], Text)
