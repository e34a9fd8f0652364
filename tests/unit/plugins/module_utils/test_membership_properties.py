# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every plan of the members, whatever the cluster, the inventory and the moment."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from ansible_collections.flotilla.swarm.plugins.module_utils._labels import (
    LEAVING_LABEL,
    labels_after,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import may_lose
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils.simulated_world import (
    Line,
    World,
    foreign_labels,
    worlds,
)

QUICK = dict(deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def take(world: World, step: dict[str, Any]) -> None:
    """One step of a plan, as it is meant; the engine may refuse it."""
    swarm = world.swarm
    if step["action"] == "join":
        world.join(line_of(world, step["host"]))
        return
    node_id = step["node_id"]
    node = swarm.nodes[node_id]
    spec = node.document["Spec"]
    if step["action"] == "leave":
        world.leave(step)
        return
    if step["action"] == "remove":
        swarm.remove(node_id, force=True)
        return
    if step["action"] == "promote":
        spec["Role"] = "manager"
    elif step["action"] == "demote":
        spec["Role"] = "worker"
    elif step["action"] == "drain":
        spec["Labels"].setdefault(LEAVING_LABEL, spec["Availability"])
        spec["Availability"] = "drain"
    elif step["action"] == "availability":
        spec["Availability"] = step["after"]
    elif step["action"] == "labels":
        line = line_of(world, step["host"])
        spec["Labels"] = labels_after(node.labels, line.wanted_labels, line.name, bool(line.advertise))
        spec["Labels"].pop("flotilla.swarm.moving", None)
    swarm.update(node_id, node.version, spec)


def line_of(world: World, name: str) -> Line:
    return next(line for line in world.lines if line.name == name)


@settings(max_examples=2000, **QUICK)
@given(worlds())
def test_every_step_can_be_taken_and_leads_on(world: World) -> None:
    start = repr(world)
    plan = world.plan()
    refused_first = bool(plan.refusals)
    for _round in range(4):
        if not plan.steps:
            break
        world.note_marks()
        far = world.distance()
        for step in plan.steps:
            take(world, step)
            assert world.swarm.has_quorum, step
            nearer = world.distance()
            assert nearer < far, (start, step, far, nearer)
            far = nearer
        plan = world.plan()
        assert refused_first or not plan.refusals, plan.refusals
    assert plan.steps == []
    if not (plan.refusals or plan.held or plan.unreachable) and all(l.asked for l in world.lines):
        assert world.distance() == 0
