# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's own membership where its engine says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.member import (
    change_member,
    needs_restart,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import Member


def wish(state: str, socket: Path, **more: Any) -> dict[str, Any]:
    return {
        "state": state,
        "docker_host": f"unix://{socket}",
        "timeout": 5,
        "role": "worker",
        "remote_addrs": [],
        "cluster_id": None,
        "unlock_key": "key",
        "node_id": None,
        "force": False,
        "wait_timeout": 1,
        **more,
    }


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("node_id", "words"),
    [("x", "does not say whether it is node x"), (None, "does not say whether it is in one")],
)
def test_a_silent_engine_is_not_taken_for_one_in_no_swarm(
    check_mode: bool, node_id: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SwarmError) as caught:
        change_member(wish("left", tmp_path / "none.sock", node_id=node_id), check_mode)
    assert caught.value.code == "engine_unreachable"
    assert words in caught.value.message
    assert "is in no swarm" not in caught.value.message


def test_what_is_to_be_unlocked_must_answer_in_check_mode_too(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as caught:
        change_member(wish("unlocked", tmp_path / "none.sock"), True)
    assert caught.value.code == "engine_unreachable"


def test_a_host_that_gets_its_engine_in_the_run_is_planned_for_in_check_mode(
    tmp_path: Path,
) -> None:
    assert change_member(wish("joined", tmp_path / "none.sock"), True)[2] == ["join as worker"]


@pytest.mark.parametrize(
    ("state", "member", "check_mode", "wait_timeout"),
    [
        ("joined", "active", False, 30),
        ("unlocked", "locked", False, 30),
        ("unlocked", "active", True, 30),
        # The key was only handed over.
        ("unlocked", "active", False, 0),
    ],
)
def test_the_overlay_networks_are_looked_for_only_after_an_unlock(
    state: str, member: str, check_mode: bool, wait_timeout: int, tmp_path: Path
) -> None:
    # The engine does not answer: a question would be answered with True.
    params = wish(state, tmp_path / "none.sock", wait_timeout=wait_timeout)
    assert needs_restart(params, Member(state=member), check_mode) is None


def test_an_engine_that_is_not_in_them_within_the_time_needs_a_restart(tmp_path: Path) -> None:
    params = wish("unlocked", tmp_path / "none.sock")
    assert needs_restart(params, Member(state="active"), False) is True
