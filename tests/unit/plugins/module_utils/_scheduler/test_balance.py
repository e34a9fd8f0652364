# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes a service even. That the engine does it this way is tested on real ones."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.balance import (
    TaskMove,
    plan_move,
    skew_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
)

ZONES = ("node.labels.zone",)


def nodes_of(*zones: str, **more: Any) -> list[PlacementNode]:
    return [
        PlacementNode(f"id{number}", f"n{number}", labels={"zone": zone}, **more)
        for number, zone in enumerate(zones)
    ]


def moved(
    counts: list[int], nodes: list[PlacementNode], budget: int = 99, **more: Any
) -> TaskMove | None:
    service = PlacementService("s", "web", replicas=sum(counts), **more)
    tasks = [
        PlacementTask(f"t{number}.{one}", "s", f"id{number}", "running", "running")
        for number, count in enumerate(counts)
        for one in range(count)
    ]
    return plan_move(service, tasks, nodes, budget)


def counts_after(move: TaskMove | None) -> list[int]:
    assert move is not None
    return list(move.after.values())


@pytest.mark.parametrize(
    ("counts", "zones", "after", "tasks"),
    [
        ([3, 3, 0], "aaa", [2, 2, 2], 2),
        ([6, 0], "ab", [3, 3], 3),
        ([5, 0, 0, 0], "aabb", [2, 1, 1, 1], 3),
    ],
)
def test_a_node_that_has_come_gets_its_share(
    counts: list[int], zones: str, after: list[int], tasks: int
) -> None:
    move = moved(counts, nodes_of(*zones))
    assert sorted(counts_after(move)) == sorted(after)
    assert move is not None
    assert move.tasks == tasks


def test_it_is_said_in_one_line() -> None:
    move = moved([4, 0], nodes_of("a", "b"))
    assert move is not None
    assert move.text == "2 of 4 tasks   n0 4, n1 0 -> n0 2, n1 2"


@pytest.mark.parametrize("counts", [[1, 0], [2, 1, 1], [3, 3, 3], [0, 0]])
def test_what_is_even_is_left_alone(counts: list[int]) -> None:
    assert moved(counts, nodes_of(*"abc"[: len(counts)])) is None


def test_zones_count_where_the_service_says_so() -> None:
    zones = nodes_of("a", "a", "b", "b")
    assert sorted(counts_after(moved([3, 3, 0, 0], zones, spread=ZONES))) == [1, 1, 2, 2]
    # What is even by zones is not made uneven for the sake of nodes.
    zones = nodes_of("a", "a", "a", "b")
    assert moved([1, 1, 1, 3], zones, spread=ZONES) is None
    assert moved([1, 1, 1, 3], zones) is not None


def test_a_part_of_it_where_the_budget_is_small() -> None:
    move = moved([8, 0], nodes_of("a", "b"), budget=1)
    assert counts_after(move) == [7, 1]


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "global"},
        {"max_replicas": 2},
        {"constraints": ("node.hostname==n0",)},
        {"nano_cpus": 9 * 10**9},
    ],
)
def test_what_cannot_move_does_not(more: dict[str, Any]) -> None:
    assert moved([4, 0], nodes_of("a", "b", nano_cpus=10**9), **more) is None or "max" in str(more)


def test_a_service_that_is_not_as_asked_is_left_alone() -> None:
    nodes = nodes_of("a", "b")
    tasks = [PlacementTask(f"t{n}", "s", "id0", "running", "running") for n in range(3)]
    assert plan_move(PlacementService("s", "web", replicas=4), tasks, nodes, 9) is None


@given(
    counts=st.lists(st.integers(0, 9), min_size=2, max_size=7),
    zones=st.lists(st.sampled_from("abc"), min_size=7, max_size=7),
    budget=st.integers(0, 12),
    most=st.sampled_from([0, 0, 4, 9]),
    spread=st.sampled_from([(), ZONES]),
    closed=st.sets(st.integers(0, 6), max_size=2),
)
def test_it_never_gets_less_even_and_ends(
    counts: list[int],
    zones: list[str],
    budget: int,
    most: int,
    spread: tuple[str, ...],
    closed: set[int],
) -> None:
    nodes = [
        PlacementNode(
            f"id{number}",
            f"n{number}",
            labels={"zone": zone},
            availability="pause" if number in closed else "active",
        )
        for number, zone in enumerate(zones[: len(counts)])
    ]
    open_to = [node for node in nodes if node.usable]
    for _round in range(100):
        move = moved(counts, nodes, budget, max_replicas=most, spread=spread)
        if move is None:
            break
        after = [move.after.get(node.hostname, 0) for node in nodes]
        assert sum(after) == sum(counts)
        assert min(after) >= 0
        assert move.tasks <= budget
        before_skew, after_skew = (
            skew_of(Counter({node.id: n for node, n in zip(nodes, side)}), open_to, spread)
            for side in (counts, after)
        )
        assert after_skew != before_skew
        assert after_skew.groups <= max(before_skew.groups, 1)
        assert after_skew.nodes <= max(before_skew.nodes, 1)
        counts = after
    else:
        raise AssertionError("it never ends")
