# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made of the Compose files that are given."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._compose import variable
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_deploy import (
    _filters,
    compose_texts,
    write_files,
)


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
    assert compose_texts(definition, version) == texts


@pytest.mark.parametrize("definition", [7, [[]], [None], True])
def test_definitions_that_are_none(definition: Any) -> None:
    with pytest.raises(SwarmError) as error:
        compose_texts(definition, "")
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


def test_filters_are_quoted() -> None:
    assert _filters({"label": ["a=b"]}) == "filters=" + "".join(
        {
            " ": "%20",
            '"': "%22",
            "=": "%3D",
            "{": "%7B",
            "}": "%7D",
            "[": "%5B",
            "]": "%5D",
            ":": "%3A",
        }.get(c, c)
        for c in json.dumps({"label": ["a=b"]})
    )
