# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made of the Compose files that are given."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.compose import (
    silently_ignored,
    variable,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.inputs import (
    Inputs,
    check_inputs,
    compose_texts,
    read_inputs,
    write_files,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.private import (
    without_private_paths,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.waves import dependencies, waves


def inputs(definition: Any) -> Inputs:
    nothing = {"files": None, "environment": None, "registries": None}
    return read_inputs("s", {"definition": definition, **nothing})


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("definition", "version", "texts"),
    [
        (None, "", []),
        ("services: {}", "3.9", ["services: {}"]),
        ({"services": {}}, "", ['{"services": {}}']),
        ({"services": {}}, "3.9", ['{"version": "3.9", "services": {}}']),
        ({"version": "3.7"}, "3.9", ['{"version": "3.7"}']),
        ('{"services": {}}', "3.9", ['{"version": "3.9", "services": {}}']),
        ("{services: {}}", "3.9", ["{services: {}}"]),
        (["a: 1", {"b": 2}], "", ["a: 1", '{"b": 2}']),
    ],
)
def test_definitions(definition: Any, version: str, texts: list[str]) -> None:
    assert compose_texts(inputs(definition).definitions, version) == texts


@pytest.mark.parametrize("definition", [7, [[]], [None], True])
def test_definitions_that_are_none(definition: Any) -> None:
    with pytest.raises(SwarmError) as error:
        compose_texts(inputs(definition).definitions, "")
    assert error.value.code == "bad_definition"


def test_files_lie_where_their_relative_paths_lead(tmp_path: Path) -> None:
    files = {
        "./a": packed("1"),
        "b/c": packed("2"),
        "../../up/d": packed("3"),
        "x/../e": packed("4"),
    }
    folder = Path(write_files(str(tmp_path), files))
    assert [folder.joinpath(path).read_text() for path in files if path != "x/../e"] == [
        "1",
        "2",
        "3",
    ]
    assert (folder / "e").read_text() == "4"
    assert stat.S_IMODE(os.stat(folder / "a").st_mode) == 0o600


@pytest.mark.parametrize(
    "files", [{"/etc/passwd": packed("x")}, {"a": "no base64!"}, {"..": packed("x")}, {"a": "YQ"}]
)
def test_files_that_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(SwarmError) as error:
        write_files(str(tmp_path), files)
    assert error.value.code == "bad_files"


def test_values_of_variables_are_text_as_compose_knows_it() -> None:
    assert [variable(value) for value in (True, 3, "x")] == ["true", "3", "x"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab{.", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["services", "web", "depends_on", "build", "networks", "db", "condition"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(definition=ANYTHING)
def test_no_definition_gives_a_traceback(definition: Any) -> None:
    with contextlib.suppress(SwarmError):
        compose_texts(inputs(definition).definitions, "3.9")
        documents = inputs(definition).documents()
        silently_ignored(documents)
        needs = dependencies(documents)
        waves("s", ["web"], needs)


@given(
    files=st.dictionaries(
        st.text("ab/.~\0", max_size=8), st.text("ab=", max_size=5) | st.integers(0, 1), max_size=3
    )
)
def test_no_files_give_a_traceback(files: dict[str, Any]) -> None:
    with contextlib.suppress(SwarmError, OSError), tempfile.TemporaryDirectory() as directory:
        write_files(os.path.join(directory, "files"), files)
        assert set(os.listdir(directory)) <= {"files"}


@pytest.mark.parametrize(
    ("stack", "environment", "words"),
    [
        ("--help", {}, "the name '--help' for a stack: it must begin with a letter or a digit"),
        ("-1", {}, "must begin with"),
        ("", {}, "must begin with"),
        ("s", {"A": "1", "B": "a\0b"}, "stack s the variable 'B': its value has a NUL character"),
        ("s", {"A=B": "1"}, "the variable 'A=B': its name"),
        ("s", {"A": "x" * 131072}, "the variable 'A': it has 131074 bytes"),
    ],
)
def test_what_no_command_can_be_given(stack: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(SwarmError, match=words):
        check_inputs(stack, environment)
    check_inputs("s1", {"A": "x" * 131069})


def test_private_paths_are_nobodys_business() -> None:
    said = "open /run/flotilla-stack-a1b_c2/files/d/d/x.env: no such file or directory"
    assert without_private_paths(said) == "open x.env: no such file or directory"
    assert without_private_paths("open /srv/x.env: gone") == "open /srv/x.env: gone"
