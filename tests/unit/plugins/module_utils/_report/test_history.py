# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What earlier reports have left, and what is different since."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._report import history
from ansible_collections.flotilla.swarm.plugins.module_utils._report.history import (
    Past,
    Point,
    changes_since,
    next_lines,
    read_past,
)


def state(**nodes: list[str]) -> dict[str, Any]:
    return {"nodes": nodes, "services": {}}


M1 = ["manager", "ready", "active", "26.1.5", "a"]


def test_a_file_grows_by_one_line_and_keeps_one_state() -> None:
    lines: list[str] = []
    for number in range(5):
        lines = next_lines(lines, Point(float(number), "healthy"), [], state(m1=M1))
    entries = [json.loads(line) for line in lines]
    assert [entry["at"] for entry in entries] == [0, 1, 2, 3, 4]
    assert ["state" in entry for entry in entries] == [False] * 4 + [True]


def test_the_file_is_bounded() -> None:
    lines = [json.dumps({"at": n, "verdict": "healthy"}) for n in range(history.MOST_LINES + 50)]
    after = next_lines(lines, Point(1e9, "failed"), ["quorum: failed"], state(m1=M1))
    assert len(after) == history.MOST_LINES
    assert json.loads(after[-1])["reasons"] == ["quorum: failed"]
    assert len(read_past(after).points) == history.MOST_POINTS - 1


def test_a_swarm_that_does_not_answer_does_not_wipe_out_what_was_known() -> None:
    lines = next_lines([], Point(1.0, "healthy"), [], state(m1=M1))
    lines = next_lines(lines, Point(2.0, "failed"), [], state())
    past = read_past(lines)
    assert [point.verdict for point in past.points] == ["healthy", "failed"]
    assert (past.at, past.state) == (1.0, state(m1=M1))
    # Nor does a second time.
    lines = next_lines(lines, Point(3.0, "failed"), [], state())
    assert read_past(lines).state == state(m1=M1)
    assert changes_since(read_past(lines), state(m1=[*M1[:3], "28.5", "a"])) == [
        "m1: engine 26.1.5 → 28.5"
    ]


def test_what_has_changed() -> None:
    before = Past(
        at=1.0,
        state={
            "nodes": {"m1": M1, "w1": ["worker", "ready", "active", "26.1.5", "b"], "w2": M1},
            "services": {
                "shop_web": ["shop:1", 3, 3, ""],
                "shop_old": ["shop:1", 1, 1, ""],
                "shop_db": ["db:1", 1, 1, ""],
            },
        },
    )
    now = {
        "nodes": {
            "m1": M1,
            "w1": ["manager", "down", "drain", "28.5", "c"],
            "w3": M1,
        },
        "services": {
            "shop_web": ["shop:2", 5, 4, "updating"],
            "shop_new": ["shop:1", 1, 1, ""],
            "shop_db": ["db:1", 1, 1, ""],
        },
    }
    assert [str(each) for each in changes_since(before, now)] == [
        "w3 is new in the swarm",
        "w2 is no longer in the swarm",
        "w1: role worker → manager",
        "w1: state ready → down",
        "w1: availability active → drain",
        "w1: engine 26.1.5 → 28.5",
        "w1: zone b → c",
        "service shop_new is new",
        "service shop_old was removed",
        "service shop_web: image shop:1 → shop:2",
        "service shop_web: tasks 3 → 5",
        "service shop_web: 4 of 5 tasks run",
        "service shop_web: update updating",
    ]
    assert changes_since(Past(), now) == []
    assert changes_since(Past(at=1.0, state=now), now) == []


def test_a_page_shows_a_bounded_number_of_changes() -> None:
    many = {f"h{number}": M1 for number in range(300)}
    found = changes_since(Past(at=1.0, state=state(m1=M1)), state(m1=M1, **many))
    assert len(found) == history.MOST_CHANGES
    assert found[-1] == f"and {300 - history.MOST_CHANGES + 1} more"


def test_a_state_that_somebody_has_edited() -> None:
    for nodes in ({"m1": ["manager"]}, {"m1": 5}, ["m1"], "m1"):
        past = Past(at=1.0, state={"nodes": nodes})
        assert changes_since(past, state(m1=M1)) == []


@given(st.lists(st.text(max_size=40) | st.sampled_from(['{"at": 1}', "[]", "null", "[" * 5000])))
def test_lines_that_are_none_of_ours_are_dropped(lines: list[str]) -> None:
    assert read_past(lines) == Past()
    assert len(next_lines(lines, Point(1.0, "healthy"), [], state(m1=M1))) == 1
