# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dictionaries of people: what is right is taken, what is wrong is named, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.fields import Fields


def read(document: Any) -> tuple[list[Any], list[str]]:
    problems: list[str] = []
    fields = Fields(document, "", problems)
    values = [
        fields.text("name", "shop", "[a-z]+", "shop"),
        fields.texts("files", ("compose.yml",)),
        fields.number("wave", 0, -10, 10),
        fields.flag("prune", False),
        fields.choice("sync", "automatic", ("automatic", "manual")),
        fields.variables("environment"),
    ]
    fields.finish()
    return values, problems


DEFAULTS = ["shop", ("compose.yml",), 0, False, "automatic", {}]


def test_what_is_missing_has_its_default() -> None:
    assert read({}) == (DEFAULTS, [])
    assert read(None) == (DEFAULTS, [])
    assert read(dict.fromkeys(("name", "files", "wave", "prune", "sync", "environment"))) == (
        DEFAULTS,
        [],
    )


@pytest.mark.parametrize("number", [3, "3", " 3 "])
@pytest.mark.parametrize("flag", [True, "true", "True", "yes"])
def test_numbers_and_booleans_can_be_text(number: Any, flag: Any) -> None:
    given_values = {
        "name": "web",
        "files": ["a"],
        "wave": number,
        "prune": flag,
        "sync": "manual",
        "environment": {"A": 1, "B": True, "C": None},
    }
    wanted = ["web", ("a",), 3, True, "manual", {"A": "1", "B": "true", "C": ""}]
    assert read(given_values) == (wanted, [])


def test_everything_that_is_wrong_is_named() -> None:
    wrong = {
        "name": "Web",
        "files": "a",
        "wave": 11,
        "prune": 1,
        "sync": True,
        "environment": {"A-B": 1, "D": [1]},
        "prun": True,
        7: 1,
    }
    values, problems = read(wrong)
    assert values == ["shop", (), 0, False, "automatic", {}]
    assert problems == [
        "name is 'Web', which is not allowed; use one such as shop",
        "files is 'a', it must be a list",
        "wave is 11, it must be a whole number from -10 to 10",
        "prune is 1, it must be true or false",
        "sync is true, it must be automatic or manual",
        "environment has the name 'A-B', it must be one such as TAG",
        "environment.D is a list, it must be a string",
        "prun is not a key that this file can have; did you mean prune?",
        "7 is not a key that this file can have; known are name, files, wave, prune, sync, environment",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\nb", "has a control character; remove it"),
        ("a\0b", "has a control character; remove it"),
        ("a" * 300, "has 300 characters, 255 are allowed; shorten it"),
        ([], "is a list, it must be a string, such as shop"),
        (True, "is true, it must be a string, such as shop"),
    ],
)
def test_texts_are_bounded(value: Any, words: str) -> None:
    assert read({"name": value})[1] == [f"name {words}"]


def test_lists_and_dictionaries_are_bounded() -> None:
    assert read({"files": ["a"] * 1001})[1] == ["files has 1001 entries, 1000 are allowed"]
    assert len(read({"environment": {f"A{n}": 1 for n in range(1001)}})[1]) == 1
    assert read({"environment": {"A": "x" * 40000}})[1] == [
        "environment.A is too long or has a NUL character"
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = ("name", "files", "wave", "prune", "sync", "environment", "more")


@given(st.dictionaries(st.sampled_from(KEYS), anything) | anything)
def test_nothing_that_somebody_writes_raises(document: Any) -> None:
    values, problems = read(document)
    assert [type(value) for value in values] == [type(value) for value in DEFAULTS]
    assert all(len(problem) < 500 for problem in problems)
