# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._engine import versions

# Oldest first.
ORDER = [
    "1:20.10~rc1-1",
    "1:20.10-1",
    "1:20.10.5+dfsg1-1+b1",
    "1:20.10.5+dfsg1-1+b10",
    "1:20.10.24-1",
    "1:26.1.5-1",
    "2:1.0-1",
    "5:28.5.2-1~debian.12~bookworm",
    "5:28.5.2-1",
]
VERSIONS = st.from_regex(r"([0-9]:)?[0-9][0-9a-z.+~]{0,6}(-[0-9a-z.+~]{1,4})?", fullmatch=True)


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


@pytest.mark.parametrize("left", range(len(ORDER)))
@pytest.mark.parametrize("right", range(len(ORDER)))
def test_the_order_of_debian(left: int, right: int) -> None:
    assert sign(versions.compare(ORDER[left], ORDER[right])) == sign(left - right)


@given(VERSIONS, VERSIONS)
def test_the_order_is_antisymmetric(one: str, other: str) -> None:
    assert sign(versions.compare(one, other)) == -sign(versions.compare(other, one))
    assert versions.compare(one, one) == 0


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="there is no dpkg to compare with")
@given(VERSIONS, VERSIONS)
def test_dpkg_agrees(left: str, right: str) -> None:
    relation = {-1: "lt", 0: "eq", 1: "gt"}[sign(versions.compare(left, right))]
    subprocess.run(["dpkg", "--compare-versions", left, relation, right], check=True)


@pytest.mark.parametrize(
    ("version", "pin", "fits"),
    [
        ("5:28.5.2-1~debian.12~bookworm", "28", True),
        ("5:28.5.2-1~debian.12~bookworm", "28.5", True),
        ("5:28.5.2-1~debian.12~bookworm", "28.5.2", True),
        ("5:28.5.2-1~debian.12~bookworm", "5:28.5.2-1~debian.12~bookworm", True),
        ("5:28.5.2-1~debian.12~bookworm", "", True),
        ("5:28.5.2-1~debian.12~bookworm", "28.50", False),
        ("5:28.5.2-1~debian.12~bookworm", "2", False),
        ("5:28.50.2-1", "28.5", False),
        ("20.10.24+dfsg1-1+deb12u1", "20.10.24", True),
        ("1.6.20~ds1-1+b1", "1.6.20", True),
    ],
)
def test_pins(version: str, pin: str, fits: bool) -> None:
    assert versions.matches(version, pin) is fits


@pytest.mark.parametrize(
    ("version", "pin", "older"),
    [
        ("5:28.5.2-1", "29", True),
        ("5:28.5.2-1", "28.5", False),
        ("5:28.5.2-1", "28.6", True),
        ("5:28.5.2-1", "27.9", False),
        ("5:28.5.2-1", "5:28.5.2-2", True),
        ("5:28.5.2-2", "5:28.5.2-1", False),
    ],
)
def test_whether_a_pin_is_an_upgrade(version: str, pin: str, older: bool) -> None:
    assert versions.is_older(version, pin) is older
