# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compose files are read once, whatever is in them, and changed where the CLI needs it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.compose_file import (
    decoded,
    named_files,
    read,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.waves import (
    dependencies,
    without_conditions,
)

CONDITION = "{condition: service_healthy}"
# Each with the text as the CLI gets it.
TEXTS = {
    # An anchor on the dependencies of one service, which another one has too.
    f"services: {{web: {{depends_on: &d {{db: {CONDITION}}}}}, api: {{depends_on: *d}}, db: {{}}}}": (
        'services: {web: {depends_on: ["db"]}, api: {depends_on: ["db"]}, db: {}}'
    ),
    # One that is defined outside of the services.
    f"x-d: &d\n  db: {CONDITION}\nservices:\n  web:\n    depends_on: *d # waits\n  db: {{}}\n": (
        f'x-d: &d\n  db: {CONDITION}\nservices:\n  web:\n    depends_on: ["db"] # waits\n  db: {{}}\n'
    ),
    # Conditions that come with what is merged, from one mapping or several.
    f"x-s: &s\n  depends_on:\n    db: {CONDITION}\n  tty: true\nservices:\n  web:\n    <<: *s\n  api: {{<<: [*s], tty: false}}\n": (
        'x-s: &s\n  depends_on:\n    ["db"]\n  tty: true\nservices:\n  web:\n    <<: *s\n  api: {<<: [*s], tty: false}\n'
    ),
    # The whole service is another one's.
    f"services: {{web: &w {{depends_on: {{db: {CONDITION}}}}}, api: *w}}": (
        'services: {web: &w {depends_on: ["db"]}, api: *w}'
    ),
    # A merge key among the dependencies.
    f"x-d: &d {{db: {CONDITION}}}\nservices: {{web: {{depends_on: {{<<: *d, a: {CONDITION}}}}}}}": (
        f'x-d: &d {{db: {CONDITION}}}\nservices: {{web: {{depends_on: ["db", "a"]}}}}'
    ),
    # An anchor on a condition, which other conditions have too.
    f"services: {{web: {{depends_on: {{db: &c {CONDITION}}}}}, api: {{depends_on: {{db: *c}}}}}}": (
        'services: {web: {depends_on: ["db"]}, api: {depends_on: ["db"]}}'
    ),
    # Letters of more than one byte before it, and another end of line.
    f"x-t: h\u00e9 \u2713 \U0001f600\r\nservices:\r\n  web:\r\n    depends_on:\r\n      db: {CONDITION}\r\n    tty: true\r\n": (
        'x-t: h\u00e9 \u2713 \U0001f600\r\nservices:\r\n  web:\r\n    depends_on:\r\n      ["db"]\r\n    tty: true\r\n'
    ),
    "\ufeffservices: {web: {depends_on: {db: }}}": 'services: {web: {depends_on: ["db"]}}',
}


@pytest.mark.parametrize("text", TEXTS)
def test_conditions_become_lists_wherever_they_come_from(text: str) -> None:
    assert read(text).text == TEXTS[text]
    # And they are known.
    conditions = {
        c for needs in dependencies([read(text).document]).values() for c in needs.values()
    }
    assert conditions in ({"service_healthy"}, {""})


@pytest.mark.parametrize(
    "text",
    [
        "services: {web: {depends_on: &d [db]}, api: {depends_on: *d}}\n",
        "x: &x {a: 1}\nservices:\n  web: &w\n    <<: *x # comment\n    ports: [22:22, 0x10, 1_0]\n  api: *w\n",
        "services: {'<<': {depends_on: [a]}, on: {image: y}, 1.0: {image: z}}\n",
        "x: 2024-99-99\ny: !reset null\nz: ! [1]\nw: 0x_\nservices: {}\n",
        '{"services": {"web": {"image": "w", "depends_on": ["a"]}}}',
    ],
)
def test_nothing_else_changes(text: str) -> None:
    assert read(text).text == text


def test_values_are_text_as_they_stand() -> None:
    document = read("a: on\nb: 'on'\nc: ~\nd: 010\ne: 2024-01-01\non: 1\n").document
    assert document == {"a": True, "b": "on", "c": None, "d": "010", "e": "2024-01-01", "on": "1"}


MERGES = "a: &a0 {k: v, l: w}\n" + "".join(
    f"b{n}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 10)}]}}\n" for n in range(9)
)
LAUGHS = "a: &a0 [x, x]\n" + "".join(
    f"b{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MERGES, "too many aliases of aliases"),
        (LAUGHS + "services: {web: {image: *a9}}", "too many aliases of aliases"),
        ("a: &a [*a]", "line 1: anchor a contains itself"),
        ("a: &a {<<: *a}", "contains itself"),
        ("a: *b", "line 1: unknown anchor b"),
        ("a: " + "[" * 200_000, "nested deeper than 100 levels"),
        ("a: " + "[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ("a: 1\n---\nb: 2", "more than one YAML document"),
        ("a: [", "is not YAML: line 2, column 1: "),
        ("a: 'hunter2\n", "is not YAML: line "),
        ("a: \x01", "characters that YAML forbids"),
        ("a: \ud800", "characters that YAML forbids"),
        ("", "is not a Compose file"),
        ("text", "is not a Compose file"),
        (
            f"services: {{web: {{depends_on: {{db: &c {CONDITION}}}}}}}\nx: *c",
            "uses in line 2 an anchor of a depends_on with conditions",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(text: str, words: str) -> None:
    started = time.process_time()
    with pytest.raises(SwarmError, match=words) as error:
        read(text)
    assert time.process_time() - started < 3
    assert "hunter2" not in error.value.message


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(SwarmError, match="is not UTF-8: line 3 has the byte 0xe9"):
        decoded(b"a\nb\nc\xe9")


def test_a_large_file_is_read_in_seconds() -> None:
    service = (
        f"    depends_on: {{db: {CONDITION}}}\n    environment:\n" + "      KEY: a value\n" * 20
    )
    text = "services:\n" + "".join(f"  s{n}:\n{service}" for n in range(5200))
    assert len(text) > 2_000_000
    started = time.process_time()
    found = read(text)
    assert time.process_time() - started < 20
    assert found.text.count('depends_on: ["db"]') == 5200
    assert len(found.document["services"]) == 5200
    # The same text is not read again.
    started = time.process_time()
    read(text)
    assert time.process_time() - started < 0.5


# Documents whose parts are used in more than one place, as the dumper writes them with anchors.
names = st.sampled_from(["a", "db", "web"])
needs = st.dictionaries(names, st.just({"condition": "service_healthy"}), max_size=2)


@st.composite
def documents(draw: Any) -> dict[str, Any]:
    shared = draw(st.lists(needs, min_size=1, max_size=2))
    one = st.sampled_from(shared) | needs | st.lists(names, max_size=2)
    services: dict[str, dict[str, Any]] = draw(
        st.dictionaries(
            names,
            st.fixed_dictionaries(
                {"image": st.sampled_from(["w", "22:22"])}, optional={"depends_on": one}
            ),
            max_size=3,
        )
    )
    copied = draw(st.booleans())
    if services and copied:
        services["copy"] = services[min(services)]
    first = {"x-needs": shared} if draw(st.booleans()) else {}
    return {**first, "services": services}


@given(documents(), st.booleans())
def test_of_any_document_just_the_conditions_change(document: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, sort_keys=False)
    found = read(text)
    assert yaml.safe_load(found.text) == without_conditions(document)
    assert found.document == document


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("secrets: {s: {file: a}}", ["a"]),
        ("services: {w: {env_file: [a, {path: b}]}}", ["a", "b"]),
        # Readers differ in which one wins.
        ("x: &x {file: /etc/shadow}\nsecrets: {s: {file: a, <<: *x}}", ["/etc/shadow", "a"]),
        ("secrets: {s: {file: a, file: /b}}", ["/b", "a"]),
        ("k: &k file\nsecrets: {s: {*k : /b}}", ["/b"]),
        ("secrets: {s: {!!merge '<<': {file: /b}}}", ["/b"]),
        ("x: &x /b\nsecrets: {s: {file: *x}}", ["/b"]),
    ],
)
def test_all_files_that_a_reader_could_open_are_named(text: str, found: list[str]) -> None:
    assert named_files(text) == found


@pytest.mark.parametrize(
    "text", ["secrets: {s: {file: !!binary L2V0Yy9zaGFkb3c=}}", "s: {!!binary ZmlsZQ==: /b}"]
)
def test_an_encoded_value_is_refused(text: str) -> None:
    with pytest.raises(SwarmError, match="!!binary"):
        named_files(text)
