# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real engine refuses what the simulated engine of the unit tests refuses, in the same words.

The tests use only the API of the engine, and none of our code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(
    0, str(Path(__file__).resolve().parents[3] / "tests/unit/plugins/module_utils/_cluster")
)

from drive import ssh, stopped, wait_until
from members import BASE, begin_with, members
from refusals import REFUSALS

Answer = tuple[int, str]


def ask(host: str, method: str, path: str, body: Any = None) -> Answer:
    """One request to the engine of a host: the status, and the answer as it comes."""
    data = (
        f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'" if body is not None else ""
    )
    text = ssh(
        host,
        f"curl -sS --max-time 60 -w '\\n%{{http_code}}' --unix-socket /run/docker.sock -X {method} {data}"
        f" 'http://localhost{path}'",
    )
    said, _newline, status = text.rpartition("\n")
    return int(status), said


def document(name: str, on: str = "m1") -> dict[str, Any]:
    """The node of a host, as a manager knows it. None, while the managers elect a leader."""

    def nodes() -> list[dict[str, Any]]:
        status, said = ask(on, "GET", "/nodes")
        return json.loads(said) if status == 200 else []

    found = [node for node in wait_until(nodes) if node["Description"]["Hostname"] == name]
    assert len(found) == 1, found
    return dict(found[0])


def change(name: str, on: str = "m1", version: int | None = None, **spec: Any) -> Answer:
    node = document(name, on)
    index = node["Version"]["Index"] if version is None else version
    return ask(on, "POST", f"/nodes/{node['ID']}/update?version={index}", {**node["Spec"], **spec})


def reachability(name: str, on: str = "m1") -> str | None:
    return document(name, on).get("ManagerStatus", {}).get("Reachability")


def promote(name: str) -> None:
    # A change that came in between, such as its own of a moment ago, is read and tried again.
    wait_until(lambda: change(name, Role="manager")[0] == 200)
    wait_until(lambda: reachability(name) == "reachable")


def demote(name: str) -> None:
    wait_until(lambda: change(name, Role="worker")[0] == 200)
    wait_until(lambda: reachability(name) is None)


@contextmanager
def one_manager_away() -> Iterator[None]:
    with stopped("m3"):
        wait_until(lambda: reachability("m3") == "unreachable")
        yield
    wait_until(lambda: reachability("m3") == "reachable")


def the_last_manager_is_demoted() -> Answer:
    for name in ("m3", "m2"):
        demote(name)
    answers: list[Answer] = []

    def alone() -> bool:
        """Raft can count a host for a moment after it has gone."""
        answers.append(change("m1", Role="worker"))
        return "loss of quorum" not in answers[-1][1]

    try:
        wait_until(alone, 20)
        return answers[-1]
    finally:
        for name in ("m2", "m3"):
            promote(name)


def a_demotion_loses_the_quorum() -> Answer:
    with one_manager_away():
        return change("m2", Role="worker")


def a_manager_is_removed() -> Answer:
    return ask("m1", "DELETE", f"/nodes/{document('m2')['ID']}?force=true")


def a_ready_node_is_removed() -> Answer:
    return ask("m1", "DELETE", f"/nodes/{document('w1')['ID']}")


def an_old_version_is_sent() -> Answer:
    return change("w1", version=1, Availability="pause")


def a_node_is_asked_for_that_is_not_there() -> Answer:
    read = ask("m1", "GET", "/nodes/nosuchnode")
    removed = ask("m1", "DELETE", "/nodes/nosuchnode?force=true")
    assert read[0] == removed[0]
    return removed


def the_quorum_is_lost() -> Answer:
    answers: list[Answer] = []

    def leaderless() -> bool:
        answers.append(ask("m1", "GET", "/nodes"))
        return REFUSALS["no quorum"].words in answers[-1][1]

    with stopped("m2"), stopped("m3"):
        wait_until(leaderless, 120)
    wait_until(lambda: ask("m1", "GET", "/nodes")[0] == 200, 120)
    wait_until(lambda: members("m1") == BASE, 120)
    return answers[-1]


PROVOKED: dict[str, Callable[[], Answer]] = {
    "last manager": the_last_manager_is_demoted,
    "quorum lost by a demotion": a_demotion_loses_the_quorum,
    "removal of a manager": a_manager_is_removed,
    "removal of a ready node": a_ready_node_is_removed,
    "old version": an_old_version_is_sent,
    "no such node": a_node_is_asked_for_that_is_not_there,
    "asked on a worker": lambda: ask("w1", "GET", "/nodes"),
    "asked outside a swarm": lambda: ask("w4", "GET", "/nodes"),
    "leaving as a manager": lambda: ask("m2", "POST", "/swarm/leave"),
    "joining twice": lambda: ask(
        "w1", "POST", "/swarm/join", {"RemoteAddrs": ["192.0.2.1:2377"], "JoinToken": "none"}
    ),
    "no quorum": the_quorum_is_lost,
}


@pytest.fixture(scope="module", autouse=True)
def swarm() -> None:
    """Three managers and two workers; the other hosts are in no swarm."""
    begin_with(BASE)


def test_all_refusals_are_provoked() -> None:
    assert PROVOKED.keys() == REFUSALS.keys()


@pytest.mark.parametrize("name", REFUSALS)
def test_the_engine_refuses(name: str) -> None:
    status, said = PROVOKED[name]()
    assert status >= 400, said
    assert REFUSALS[name].words in said
    assert REFUSALS[name].status in (None, status), said
    wait_until(lambda: members("m1") == BASE)


def test_the_engine_lets_a_manager_go_that_does_not_answer() -> None:
    """As in the simulated engine, a dead manager can be demoted, and leaves Raft at once."""
    with stopped("m3"):
        wait_until(lambda: reachability("m3") == "unreachable")
        assert change("m3", Role="worker")[0] == 200
        wait_until(lambda: reachability("m3") is None)
    wait_until(lambda: document("m3")["Status"]["State"] == "ready")
    promote("m3")
    wait_until(lambda: members("m1") == BASE)
