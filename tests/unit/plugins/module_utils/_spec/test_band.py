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

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    REPLICAS_LABEL,
    STACK_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._spec.band import (
    check_band,
    within_band,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import StackSnapshot
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.revisions import (
    RevisionContent,
    differs,
    restored_spec,
)


def spec(replicas: int | None, band: str | None = None) -> dict[str, Any]:
    labels = {} if band is None else {REPLICAS_LABEL: band}
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
    with pytest.raises(
        SwarmError, match=r"s_web: its label .* set it to the least and the most"
    ) as error:
        check_band(spec(1, band))
    assert error.value.code == "bad_band"
    # Where it is not this run that brings it, it is none.
    assert within_band(spec(1, band), spec(5)) == spec(1, band)


@pytest.mark.parametrize("mode", [{"Global": {}}, {"ReplicatedJob": {"TotalCompletions": 2}}])
def test_only_replicated_services_have_a_band(mode: dict[str, Any]) -> None:
    wrong = {**spec(1, "1-2"), "Mode": mode}
    with pytest.raises(SwarmError, match="is for replicated services"):
        check_band(wrong)
    assert within_band(wrong, None) == wrong


def test_bands_that_are_right() -> None:
    for right in (spec(1), spec(1, "1-2"), {**spec(1), "Mode": {"Global": {}}}):
        check_band(right)


def test_a_number_that_others_set_is_no_difference_between_revisions() -> None:
    labels = {STACK_LABEL: "s", REPLICAS_LABEL: "2-10"}
    old, now = ({**spec(count), "Labels": labels} for count in (3, 7))
    live = StackSnapshot(services=[{"ID": "1", "Spec": now}])
    assert not differs(RevisionContent({"s_web": old}, {}), "s", live, replicas=True)
    assert restored_spec("s_web", RevisionContent({"s_web": old}, {}), live)["Mode"] == now["Mode"]
    plain = {**spec(3), "Labels": {STACK_LABEL: "s"}}
    live = StackSnapshot(services=[{"ID": "1", "Spec": {**plain, "Mode": now["Mode"]}}])
    assert differs(RevisionContent({"s_web": plain}, {}), "s", live, replicas=True)
