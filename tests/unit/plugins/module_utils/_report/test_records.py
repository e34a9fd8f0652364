# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this collection has recorded in the swarm: revisions, applications and the last backup."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import Answers, health_of, swarm_of

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health.records import (
    read_records,
    records_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.content import (
    BAD,
    GOOD,
    UNSURE,
    WARN,
    Content,
    make_content,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.history import (
    Past,
    changes_since,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.language import explained
from ansible_collections.flotilla.swarm.plugins.module_utils._report.records import (
    read_applications,
    read_backup,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.summary import as_markdown

NOW = 1795381200.0


def page_of(answers: Answers, past: Past | None = None) -> Content:
    return make_content(health_of(answers), {}, {}, past or Past(), NOW)


def test_a_page_has_the_records() -> None:
    page = page_of(swarm_of(3, 1, 3))
    assert [(stack.name, stack.revision) for stack in page.stacks] == [("shop", "4")]
    tools, shop = page.applications
    assert (shop.name, shop.state, str(shop.sync), str(shop.health)) == (
        *("shop", GOOD),
        *("synced", "healthy"),
    )
    assert (shop.commit, shop.message, shop.deployed) == ("1e92ce43", "Shop 1.4", 1795380000.0)
    # A repository that cannot be used is no application, and has no health.
    assert (tools.name, tools.state, tools.health, tools.cause) == (
        *("tools/", UNSURE),
        *(None, "no route to host"),
    )
    assert page.backup is not None
    assert (page.backup.host, str(page.backup.words)) == ("h1", "done")
    assert "tools/ sync unknown: no route to host" in as_markdown(page, "en")


def test_the_health_of_an_application_is_that_of_its_services_now() -> None:
    answers = swarm_of(3, 1, 3)

    def lose(tasks: list[dict[str, Any]]) -> None:
        for task in tasks:
            task["Status"]["State"] = "failed"

    answers.edit("/tasks", lose)
    shop = next(each for each in page_of(answers).applications if each.name == "shop")
    assert (shop.state, str(shop.health)) == (BAD, "degraded")
    assert "shop_0000" in shop.cause


@pytest.mark.parametrize(
    ("state", "about"),
    [
        ({"sync": "Suspended", "cause": "by anna"}, "일시 중단"),
        ({"sync": "Unknown", "cause": "no route to host"}, "저장소나 파일"),
        (
            {"sync": "OutOfSync", "cause": "drift", "failed": {"desired": "x"}},
            "배포에 실패했습니다",
        ),
        ({"sync": "OutOfSync", "cause": "x", "failed": {"rolled_back": True}}, "롤백했습니다"),
        ({"sync": "OutOfSync", "cause": "a window is closed"}, "git의 내용과 다릅니다"),
        ({"sync": "Synced", "health": "Degraded", "health_cause": "x"}, "설정대로 실행되지"),
    ],
)
def test_a_cause_has_a_sentence_in_the_language_of_the_page(
    state: dict[str, Any], about: str
) -> None:
    (shop,) = read_applications({"shop": json.dumps({"format": 1, **state})}, [], {}, NOW)
    assert shop.cause
    assert about in explained(shop.cause, "ko")
    assert explained(shop.cause, "en") == shop.cause


def test_what_has_changed_since_the_last_report() -> None:
    page = page_of(swarm_of(3, 1, 3))
    before = {
        **page.state,
        "stacks": {"shop": "3", "gone": "1"},
        "applications": {"shop": "aaaaaaaa"},
    }
    assert [str(each) for each in changes_since(Past(at=1.0, state=before), page.state)] == [
        "stack shop: revision 3 → 4",
        "application shop: commit aaaaaaaa → 1e92ce43",
    ]
    # An earlier version has not written these.
    older = {key: before[key] for key in ("nodes", "services")}
    assert changes_since(Past(at=1.0, state=older), page.state) == []


@pytest.mark.parametrize(
    ("state", "started", "found"),
    [
        ("done", NOW - 60, (GOOD, "done")),
        ("running", NOW - 60, (GOOD, "in progress")),
        # A run that was lost.
        ("running", NOW - 90000, (WARN, "has failed")),
        ("failed", NOW - 60, (WARN, "has failed")),
    ],
)
def test_the_last_backup(state: str, started: float, found: tuple[str, str]) -> None:
    record = {"state": state, "node_id": "n1", "name": "m1", "started": started}
    backup = read_backup(json.dumps(record), {}, NOW)
    assert backup is not None
    assert (backup.state, str(backup.words)) == found
    assert backup.host == "m1"


@given(
    st.text()
    | st.from_regex(r'\{"(started|state|deployed|doing|sync)": [0-9NaInfity"{}.-]{0,20}\}')
)
def test_labels_that_somebody_has_written_are_unknown(label: str) -> None:
    read_backup(label, {}, NOW)
    read_applications({"shop": label, "deploy/": label}, [], {}, NOW)


@pytest.mark.parametrize("started", ["NaN", "Infinity", "-1", "1e300"])
def test_times_that_are_none(started: str) -> None:
    label = f'{{"state": "done", "node_id": "n", "name": "m", "started": {started}}}'
    assert read_backup(label, {}, NOW) is None
    text = f'{{"format": 1, "sync": "Synced", "deployed": {started}}}'
    (app,) = read_applications({"shop": text}, [], {}, NOW)
    assert app.deployed is None


def test_an_engine_that_does_not_list_its_configs() -> None:
    def connect() -> Any:
        raise SwarmError("engine_unreachable", "no")

    assert read_records(connect) == {}
    assert records_of([{}, {"Spec": None}]) == {"revisions": {}, "applications": {}, "backup": ""}
