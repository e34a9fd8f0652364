# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state in a label: what is written is what is read, whatever wrote it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.state import (
    DEGRADED,
    DEPLOYED,
    AppState,
    Attempt,
    Drift,
    Suspension,
    as_text,
    bounded,
    clean,
    from_text,
    unnotified,
    with_event,
    with_health,
)

text = st.text(max_size=30)
moments = st.floats(0, 4e9)
states = st.builds(
    AppState,
    name=st.just("shop"),
    sources=st.lists(text, max_size=3).map(tuple),
    prune=st.booleans(),
    wave=st.integers(-1000, 1000),
    cause=text,
    since=moments,
    revision=st.integers(0, 10**6),
    drift=st.none() | st.builds(Drift, text, text),
    doing=st.none() | st.builds(Attempt, text, text, moments, st.integers(1, 9)),
    failed=st.none()
    | st.builds(Attempt, text, text, moments, st.integers(1, 9), text, st.booleans()),
    suspended=st.none() | st.builds(Suspension, text, moments, text),
)


@given(states)
def test_what_is_written_is_what_is_read(state: AppState) -> None:
    assert from_text("shop", as_text(state)) == state
    assert as_text(from_text("shop", as_text(state))) == as_text(state)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*vars(AppState("")), "more"]), junk) | junk)
def test_nothing_that_others_write_stops_the_loop(document: Any) -> None:
    state = from_text("shop", json.dumps(document))
    assert state.name == "shop"
    assert from_text("shop", as_text(state)) == state


@pytest.mark.parametrize(
    "label", ["", "{", "[]", "null", "[" * 100_000, '{"since": "now", "sources": 3}']
)
def test_an_unreadable_label_is_an_unknown_state(label: str) -> None:
    assert from_text("shop", label) == AppState("shop")


@given(st.text(max_size=20000), st.text(max_size=3000))
def test_a_label_is_bounded(cause: str, other: str) -> None:
    long = AppState(
        "shop",
        cause=cause,
        health_cause=cause,
        message=other,
        author=other,
        folder=other,
        sources=(other,) * 50,
        failed=Attempt(other, other, cause=cause),
        suspended=Suspension(other, 0, other),
        drift=Drift("x", cause),
    )
    found = bounded(long)
    assert len(as_text(found)) < 20_000
    assert bounded(found) == found


def test_texts_of_others_are_one_line_without_credentials() -> None:
    assert clean("a\n\x1b[31mb\tc \u202e d", 100) == "a [31mb c d"
    assert clean("x" * 500, 10) == "xxxxxxx..."
    assert "hunter2" not in clean("could not reach https://ann:hunter2@git.example/x", 200)


def test_since_stays_while_the_status_does() -> None:
    state = AppState("shop", since=5.0)
    assert with_health(state, state.health, "other words", 9.0).since == 5.0
    assert with_health(state, DEGRADED, "", 9.0).since == 9.0


def test_an_event_is_notified_once() -> None:
    state = with_event(AppState("shop"), DEPLOYED, 5.0)
    assert unnotified(state)
    done = replace(state, notified=state.event_at)
    assert not unnotified(done)
    # A second one at the same time, or with a clock that was put back.
    assert unnotified(with_event(done, DEPLOYED, 5.0))
    assert unnotified(with_event(done, DEPLOYED, 1.0))
