# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order in which services are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.waves import (
    completed_first,
    conditions,
    dependencies,
    wave_lines,
    waves,
    without_conditions,
)

NAMES = st.sampled_from("abcdefg")


def test_both_forms_of_several_files_are_added_up() -> None:
    condition = {"condition": "service_healthy"}
    documents: list[Any] = [
        {"services": {"web": {"depends_on": ["db"]}, "db": None, "job": {"depends_on": None}}},
        {"services": {"web": {"depends_on": {"cache": condition}}}, "networks": {}},
        {"services": []},
        {},
        None,
    ]
    found = dependencies(documents)
    assert found == {"web": {"cache": "service_healthy", "db": ""}}
    assert {name: conditions(listed) for name, listed in found.items()} == found


@pytest.mark.parametrize(
    ("listed", "ends"),
    [
        (["init"], set()),
        ("init", set()),
        ({"init": None}, set()),
        ({"init": {"condition": "service_healthy"}}, set()),
        ({"init": {"condition": "service_completed_successfully"}}, {"init"}),
        ({"init": "service_completed_successfully"}, {"init"}),
    ],
)
def test_what_has_to_end_first(listed: Any, ends: set[str]) -> None:
    assert completed_first({"web": conditions(listed)}) == ends
    assert waves("s", ["web", "init"], {"web": conditions(listed)}) == [["init"], ["web"]]


def test_conditions_are_taken_out_and_nothing_else() -> None:
    web = {"image": "w", "depends_on": {"db": {"condition": "service_started"}}}
    document: dict[str, Any] = {"services": {"web": web, "db": {"image": "d"}}, "x-y": 1}
    assert without_conditions(document) == {
        "services": {"web": {"image": "w", "depends_on": ["db"]}, "db": {"image": "d"}},
        "x-y": 1,
    }
    assert isinstance(web["depends_on"], dict)
    for plain in ({"services": {"web": {"depends_on": ["db"]}}}, {"services": None}, {}):
        assert without_conditions(plain) is plain


def test_waves() -> None:
    needs = {"web": ["api", "cache"], "api": ["db"], "cache": []}
    found = waves("s", ["web", "api", "db", "cache", "alone"], needs)
    assert found == [["alone", "cache", "db"], ["api"], ["web"]]
    assert wave_lines(found)[1:] == ["  wave 2  api", "  wave 3  web"]
    assert waves("s", [], {}) == []


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3)))
def test_what_is_needed_comes_before_or_there_is_a_cycle(needs: dict[str, list[str]]) -> None:
    try:
        found = waves("s", "abcdefg", needs)
    except SwarmError as error:
        cycle = error.message.split("cycle, ")[1].split(". ")[0].split(" -> ")
        assert cycle[0] == cycle[-1]
        assert all(after in needs[before] for before, after in zip(cycle, cycle[1:]))
        return
    place = {name: number for number, wave in enumerate(found) for name in wave}
    assert set(place) == set("abcdefg")
    assert all(place[name] > place[needed] for name in needs for needed in needs[name])


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(SwarmError, match="web depends on db, and there is no service db"):
        waves("s", ["web"], {"web": ["db"]})
