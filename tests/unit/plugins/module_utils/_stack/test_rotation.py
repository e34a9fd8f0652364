# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that follow the data, and say nothing of it."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.rotation import (
    LIMITS,
    overlay,
    rotated_name,
    version_of,
)


@given(st.binary(min_size=1, max_size=20), st.binary(min_size=1, max_size=20))
def test_a_name_changes_with_the_data_and_with_nothing_else(one: bytes, other: bytes) -> None:
    names = [rotated_name("shop", "secrets", "key", data, "swarm-1") for data in (one, other)]
    assert (names[0] == names[1]) == (one == other)


def test_a_name_is_no_plain_hash_and_another_in_each_swarm() -> None:
    names = {rotated_name("shop", "secrets", "key", b"1234", swarm) for swarm in ("a", "b")}
    assert len(names) == 2
    plain = hashlib.sha256(b"1234").hexdigest()
    assert not any(name.rpartition("-")[2] in plain for name in names)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('version: "3.8"\nservices: {}', "3.8"),
        ("# first\nversion: '3.7' # why\n", "3.7"),
        ("version: 3\n", "3"),
        ('{"version": "3.9", "services": {}}', "3.9"),
        ("services:\n  web:\n    version: 7\n", ""),
    ],
)
def test_versions(text: str, version: str) -> None:
    assert version_of(text) == version


def test_an_overlay_renames_and_says_the_file_again() -> None:
    text = overlay("shop", "id", "3.8", {"secrets": {"key": ("./key", b"1")}, "configs": {}})
    document = json.loads(text)
    assert document["version"] == "3.8"
    assert document["secrets"]["key"] == {
        "name": rotated_name("shop", "secrets", "key", b"1", "id"),
        "file": "./key",
    }
    assert "1" not in document["secrets"]["key"]["file"]


@pytest.mark.parametrize(
    ("kind", "key", "size", "said"),
    [
        ("secrets", "key", 0, "the secret key (./f) is empty"),
        ("secrets", "key", LIMITS["secrets"], "512000 bytes"),
        ("configs", "conf", LIMITS["configs"], "the config conf (./f) has 1024000 bytes"),
        ("configs", "c" * 60, 1, "longer than 64 characters"),
    ],
)
def test_what_the_engine_does_not_take(kind: str, key: str, size: int, said: str) -> None:
    with pytest.raises(SwarmError) as refused:
        overlay("shop", "id", "", {kind: {key: ("./f", b"x" * size)}})
    assert said in refused.value.message


def test_the_largest_that_the_engine_takes() -> None:
    assert overlay("shop", "id", "", {"secrets": {"k": ("f", b"x" * (LIMITS["secrets"] - 1))}})
