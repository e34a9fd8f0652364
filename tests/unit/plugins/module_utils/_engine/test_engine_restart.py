# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._engine import restart

INFO = {
    "ServerVersion": "20.10.24",
    "Swarm": {"LocalNodeState": "active", "ControlAvailable": True, "NodeID": "1"},
}


def managers(*reachable: bool) -> list[dict[str, Any]]:
    """Managers 1, 2, ...; the first is the one that is asked."""
    return [
        {
            "ID": str(number),
            "Description": {"Hostname": f"m{number}"},
            "ManagerStatus": {
                "Reachability": "reachable" if up else "unreachable",
                "Addr": "x:2377",
            },
        }
        for number, up in enumerate(reachable, 1)
    ] + [{"ID": "w", "Description": {"Hostname": "w1"}}]


def objection(*reachable: bool) -> str | None:
    found = restart.objection(restart.view_of(INFO, managers(*reachable)))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("reachable", "code"),
    [
        ((True,), None),
        ((True, True), None),
        ((True, False), "peer_down"),
        ((True, True, True), None),
        ((True, True, False), "quorum"),
        ((True, True, True, True, False), "peer_down"),
        ((True, True, True, False, False), "quorum"),
        # This one is the one that is lost: its restart takes nothing away.
        ((False, True, True), None),
    ],
)
def test_when_a_manager_may_be_restarted(reachable: tuple[bool, ...], code: str | None) -> None:
    assert objection(*reachable) == code


@given(st.lists(st.booleans(), min_size=3, max_size=9))
def test_a_restart_that_is_allowed_leaves_a_quorum(others: list[bool]) -> None:
    if objection(True, *others) is None:
        assert sum(others) >= (len(others) + 1) // 2 + 1


def test_a_swarm_without_a_quorum_is_left_alone() -> None:
    found = restart.objection(restart.view_of(INFO, None, "the swarm does not have a leader"))
    assert found is not None
    assert found[0] == "no_quorum"
    assert "docker_engine_restart_force" in found[1]


def test_workers_and_engines_that_do_not_answer_may_be_restarted() -> None:
    worker = {"Swarm": {"LocalNodeState": "active", "ControlAvailable": False, "NodeID": "w"}}
    assert restart.objection(restart.view_of(worker, None)) is None
    assert restart.objection(restart.View()) is None


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        ("", "nothing"),
        (
            (
                'time="x" level=info msg="Starting up"\n'
                "failed to start daemon: error initializing graphdriver: driver not supported\n"
                "docker.service: Main process exited, code=exited\nFailed to start docker.service."
            ),
            "failed to start daemon: error initializing graphdriver: driver not supported",
        ),
        (
            "unable to configure the Docker daemon with file /etc/docker/daemon.json: no-such-key\nx",
            "unable to configure the Docker daemon with file /etc/docker/daemon.json: no-such-key",
        ),
        ('time="x" level=fatal msg="a \\"quoted\\" word." e=1', 'a "quoted" word'),
    ],
)
def test_the_reason_in_a_journal(journal: str, reason: str) -> None:
    assert restart.reason_in(journal) == reason
