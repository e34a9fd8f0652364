# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which nodes get which images, who brings them to the others, and how many bytes leave the controller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._images.pull import pinned, pull_lines
from ansible_collections.flotilla.swarm.plugins.module_utils._images.ship_plan import (
    done_lines,
    plan_ship,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._images.targets import (
    choose_targets,
    wish_for,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import (
    PlacementNode,
)

SIZES = {"a": 10, "b": 200, "c": 3000}


def a_node(name: str, **more: Any) -> PlacementNode:
    return PlacementNode(
        id=f"id-{name}", hostname=name, os="linux", arch=more.pop("arch", "x86_64"), **more
    )


def test_an_image_goes_to_the_nodes_that_can_run_it() -> None:
    nodes = [
        a_node("m1", role="manager"),
        a_node("w1"),
        a_node("w2", availability="drain"),
        a_node("w3", state="down"),
        a_node("arm", arch="aarch64"),
    ]
    found = choose_targets([wish_for("shop:2", [("linux", "amd64")])], nodes, [], [])
    assert found.nodes == {"shop:2": ("id-m1", "id-w1")}
    assert found.left_out == {
        "w2": "its availability is drain",
        "w3": "it is down",
        "arm": "none of the images can run on it (linux/aarch64)",
    }
    of_workers = choose_targets([wish_for("x", [])], nodes, [], ["node.role == worker"])
    assert of_workers.nodes == {"x": ("id-w1", "id-arm")}
    assert choose_targets([wish_for("x", [])], nodes, ["m1"], []).nodes == {"x": ("id-m1",)}


@pytest.mark.parametrize(
    ("names", "constraints"), [(["w9"], []), ([], ["node.role"]), ([], ["--help"]), ([], [""])]
)
def test_a_selection_that_means_nothing_is_refused(
    names: list[str], constraints: list[str]
) -> None:
    with pytest.raises(SwarmError) as caught:
        choose_targets([wish_for("x", [])], [a_node("w1")], names, constraints)
    assert caught.value.code == "bad_option"


def found_on(layers: str) -> dict[str, Any]:
    """What swarm_ship says in check mode on a host that lacks these layers."""
    missing = ["shop:2"] if layers else []
    present = [] if layers else ["shop:2"]
    return {"present": present, "missing": missing, "layers": {x: SIZES[x] for x in layers}}


@given(st.dictionaries(st.sampled_from("uvwxyz"), st.sets(st.sampled_from("abc")), min_size=1))
def test_the_controller_sends_each_layer_once_at_most(lacks: dict[str, set[str]]) -> None:
    targets = {"shop:2": [f"id-{host}" for host in lacks]}
    found = {host: found_on("".join(sorted(layers))) for host, layers in lacks.items()}
    plan = plan_ship(targets, {}, {f"id-{host}": host for host in lacks}, found, {})
    assert plan.wanting == tuple(sorted(host for host, layers in lacks.items() if layers))
    assert plan.from_controller <= sum(SIZES.values())
    if not plan.wanting:
        assert not plan.seeds
        return
    seed = plan.seeds[0]
    assert plan.from_controller == min(row.size for row in plan.rows)
    others = set().union(*(lacks[host] for host in lacks if host != seed))
    assert set(plan.to_serve(seed)) == others


def test_a_node_that_does_not_answer_is_named_and_does_not_stop_the_others() -> None:
    targets = {"shop:2": ["id-m1", "id-w1", "id-w2"]}
    hosts = {"id-m1": "m1", "id-w2": "w2"}
    found = {"m1": found_on("ab"), "w2": {"unreachable": True, "msg": "timed out"}}
    plan = plan_ship(targets, {"id-w1": "w1"}, hosts, found, {"w3": "it is down"})
    assert plan.silent == ("w1", "w2")
    assert plan.seeds == ("m1",)
    assert plan.lines([{"size": 210}]) == [
        "PLAN  ship 1 image, 210 B, from the controller",
        "  + m1  shop:2: 210 B from the controller",
        "  ! w1  no host of the inventory that answers is this node",
        "  ! w2  timed out",
        "  - w3  it is down",
    ]
    assert done_lines(plan.rows, {"m1": {"loaded": ["shop:2"], "bytes": 210}}) == [
        "DONE",
        "  + m1  loaded shop:2: 210 B",
        "  ! w1  no host of the inventory that answers is this node",
        "  ! w2  timed out",
    ]


def test_a_build_host_costs_the_controller_nothing() -> None:
    plan = plan_ship(
        {"shop:2": ["id-w1"]}, {}, {"id-w1": "w1"}, {"w1": found_on("abc")}, {}, "build-a"
    )
    assert (plan.from_controller, plan.seeds) == (0, ())
    assert plan.to_serve("build-a") == SIZES
    assert "  + w1  shop:2: 3.21 kB from build-a" in plan.lines([{"size": 3210}])


def test_an_image_is_pulled_by_its_digest_and_named_by_its_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    image = pinned("registry.lab:5000/shop:2", digest)
    assert image.reference == f"registry.lab:5000/shop@{digest}"
    assert image.name == "registry.lab:5000/shop:2"
    alone = pinned(f"registry.lab:5000/shop@{digest}", "")
    assert alone.reference == alone.name == f"registry.lab:5000/shop@{digest}"


def test_the_table_of_pulls_names_who_failed() -> None:
    targets = {"shop:2": ["id-m1", "id-w1", "id-w2"]}
    hosts = {"id-m1": "m1", "id-w1": "w1", "id-w2": "w2"}
    results: dict[str, dict[str, Any]] = {
        "m1": {"pulled": ["shop:2"]},
        "w1": {"pulled": []},
        "w2": {"failed": True, "msg": "no."},
    }
    lines, failed = pull_lines(targets, {}, hosts, results, {}, done=True)
    assert lines == ["DONE", "  + m1  shop:2", "  ! w2  no.", "  = 1 node has all"]
    assert failed == ["w2"]
