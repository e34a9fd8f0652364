# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The number of replicas that a deploy leaves alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._band import BAND, within_band
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError


def spec(replicas: int | None, band: str | None = None) -> dict[str, Any]:
    labels = {} if band is None else {BAND: band}
    return {
        "Name": "s_web",
        "Labels": {"a": "b", **labels},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"ForceUpdate": 1},
    }


@pytest.mark.parametrize(
    ("asked", "band", "live", "kept"),
    [
        (3, "2-10", 5, 5),
        (3, "2-10", 1, 2),
        (3, "2-10", 11, 10),
        (3, " 2 - 10 ", 2, 2),
        (3, "0-4", 0, 0),
        (3, "4-4", 9, 4),
        (3, "2-10", None, 3),
        (1, "2-10", None, 2),
        (None, "2-10", 7, 7),
        (None, "2-10", None, 2),
        (3, None, 5, 3),
    ],
)
def test_the_number_that_is_kept(
    asked: int | None, band: str | None, live: int | None, kept: int
) -> None:
    wanted = spec(asked, band)
    before = copy.deepcopy(wanted)
    found = within_band(wanted, None if live is None else spec(live))
    assert found["Mode"]["Replicated"]["Replicas"] == kept
    assert {**found, "Mode": wanted["Mode"]} == before == wanted


@given(st.integers(0, 50), st.integers(0, 20), st.integers(0, 20), st.integers(0, 50))
def test_a_second_deploy_changes_nothing(asked: int, low: int, more: int, live: int) -> None:
    wanted = spec(asked, f"{low}-{low + more}")
    once = within_band(wanted, spec(live))
    assert low <= once["Mode"]["Replicated"]["Replicas"] <= low + more
    assert within_band(wanted, once) == once


@pytest.mark.parametrize("band", ["", "3", "3-", "-3", "5-2", "a-b", "2-10-20", "1.5-2", "٢-٣"])
def test_a_malformed_band_is_one_sentence(band: str) -> None:
    with pytest.raises(SwarmError, match="s_web: its label") as error:
        within_band(spec(1, band), None)
    assert error.value.code == "bad_band"


@pytest.mark.parametrize("mode", [{"Global": {}}, {"ReplicatedJob": {"TotalCompletions": 2}}])
def test_only_replicated_services_have_a_band(mode: dict[str, Any]) -> None:
    with pytest.raises(SwarmError, match="only replicated services"):
        within_band({**spec(1, "1-2"), "Mode": mode}, None)
