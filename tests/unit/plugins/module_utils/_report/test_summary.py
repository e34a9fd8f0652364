# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The summary in Markdown and the data beside the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import health_of, swarm_of

from ansible_collections.flotilla.swarm.plugins.module_utils._report.content import make_content
from ansible_collections.flotilla.swarm.plugins.module_utils._report.history import Past
from ansible_collections.flotilla.swarm.plugins.module_utils._report.summary import (
    LONGEST,
    MOST_LINES,
    as_data,
    as_markdown,
    escaped,
)


def sick(nodes: int, services: int) -> dict[str, Any]:
    """Many nodes are down, and most services have no task."""
    answers = swarm_of(nodes, services, services)

    def kill(found: list[dict[str, Any]]) -> None:
        for node in found[2:]:
            node["Status"]["State"] = "down"

    answers.edit("/nodes", kill)
    return health_of(answers)


PLAN = {
    "steps": [
        {"action": "join", "host": f"new{number}", "text": "worker", "role": "worker"}
        for number in range(60)
    ],
    "nodes": [],
}


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(("nodes", "services"), [(3, 1), (9, 5), (60, 300)])
@pytest.mark.parametrize("plan", [{}, PLAN])
def test_a_summary_has_at_most_forty_lines(
    language: str, nodes: int, services: int, plan: dict[str, Any]
) -> None:
    content = make_content(sick(nodes, services), {}, plan, Past(), 0.0)
    summary = as_markdown(content, language)
    lines = summary.splitlines()
    assert len(lines) <= MOST_LINES == 40
    assert max(map(len, lines)) <= LONGEST
    assert lines[0].startswith(("## ❌ ", "## ⚠️ "))
    # What is cut is counted.
    if plan:
        assert any("60" in line or "more" in line or "외" in line for line in lines)


def test_a_healthy_swarm_needs_few_lines() -> None:
    content = make_content(health_of(swarm_of(3, 1, 3)), {}, {}, Past(), 0.0)
    assert (
        as_markdown(content, "en").splitlines()[0]
        == "## ✅ Healthy: Everything runs as asked\\."[:-2] + "."
    )
    assert len(as_markdown(content, "en").splitlines()) < 10


@given(st.text())
def test_no_name_has_a_meaning_for_markdown(name: str) -> None:
    words = escaped(name)
    assert "\n" not in words
    assert "<" not in words
    assert ">" not in words
    for sign in "`*_[]|#~":
        assert words.count(sign) == words.count(f"\\{sign}")


def test_the_data_are_plain_and_english() -> None:
    content = make_content(sick(9, 5), {}, PLAN, Past(), 0.0)
    data = json.loads(json.dumps(as_data(content)))
    assert data["verdict"] == "failed"
    assert data["headline"] == str(content.headline)
    assert "state" not in data
    assert data["zones"][0]["hosts"][0]["state"] == "good"
    assert len(data["plan"]["steps"]) == 60
