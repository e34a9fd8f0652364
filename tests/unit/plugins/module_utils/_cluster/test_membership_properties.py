# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for every plan of the members, whatever the cluster, the inventory and the moment."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.run_plan import RunPlan
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.steps import (
    MemberStep,
    parse_step,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import may_lose
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    LEAVING_LABEL,
    labels_after,
)
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._cluster.simulated_engine import (
    Killed,
)
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._cluster.simulated_world import (
    Line,
    Run,
    World,
    foreign_labels,
    worlds,
)


def cases(times: int) -> settings:
    """Several times what other properties get; the same cases in every run but a long one, so that what fails is what was changed."""
    return settings(
        max_examples=times * settings().max_examples,
        derandomize=settings.get_current_profile_name() != "soak",
        suppress_health_check=list(HealthCheck),
    )


def take(world: World, step: MemberStep) -> None:
    """One step of a plan, as it is meant; the engine may refuse it."""
    swarm = world.swarm
    if step.action == "join":
        world.join(line_of(world, step.host))
        return
    node_id = step.node_id
    node = swarm.nodes[node_id]
    spec = node.document["Spec"]
    if step.action == "leave":
        world.leave(step)
        return
    if step.action == "remove":
        swarm.remove(node_id, force=True)
        return
    if step.action == "promote":
        spec["Role"] = "manager"
    elif step.action == "demote":
        spec["Role"] = "worker"
    elif step.action == "drain":
        spec["Labels"].setdefault(LEAVING_LABEL, spec["Availability"])
        spec["Availability"] = "drain"
    elif step.action == "availability":
        spec["Availability"] = step.after
    elif step.action == "labels":
        line = line_of(world, step.host)
        spec["Labels"] = labels_after(
            node.labels, line.wanted_labels, line.name, bool(line.advertise)
        )
        spec["Labels"].pop("flotilla.swarm.moving", None)
    swarm.update(node_id, node.version, spec)


def line_of(world: World, name: str) -> Line:
    return next(line for line in world.lines if line.name == name)


def check_guards(world: World, plan: RunPlan) -> None:
    """What no plan may do, whatever the inventory says."""
    swarm, steps = world.swarm, plan.steps
    silent = {line.machine.node_id for line in world.lines if line.silent}
    assert not silent & {step.node_id for step in steps} - {""}
    listed = {line.machine.node_id for line in world.lines}
    doomed = world.doomed()
    gone = {step.node_id for step in steps if step.action in ("drain", "leave", "remove")}
    assert gone <= doomed.keys()
    unlisted = [swarm.nodes[node_id] for node_id in gone if doomed[node_id] == "unlisted"]
    if not world.rules["remove_unlisted"] or any(not line.asked for line in world.lines):
        assert unlisted == []
    strangers = len(swarm.nodes.keys() - listed - {key for key in doomed if doomed[key] == "ghost"})
    share = world.rules["removal_limit"] * (len(world.lines) + strangers)
    assert len(unlisted) <= max(1, math.floor(share + 1e-9))
    for node in unlisted:
        assert node.state != "unknown"
        if node.state == "down":
            rested = swarm.time - node.updated_at >= world.rules["removal_down_after"]
            assert rested or LEAVING_LABEL in node.labels


def check_order(steps: list[MemberStep]) -> None:
    """What is dead goes first, what is new comes next, and what is alive goes last."""
    order = []
    for step in steps:
        row = step.row
        if step.dead:
            order.append(0)
        elif row.startswith("rejoin"):
            order.append(5)
        elif row.startswith("remove"):
            order.append(["drain", "demote", "leave", "remove"].index(step.action) + 6)
        else:
            order.append(["join", "promote", "labels", "availability", "demote"].index(step.action))
    assert order == sorted(order)


@cases(6)
@given(worlds())
def test_every_step_can_be_taken_and_leads_on(world: World) -> None:
    start = repr(world)
    swarm = world.swarm
    plan = world.plan()
    refused_first = bool(plan.refusals)
    others = {node.id: foreign_labels(node) for node in swarm.nodes.values()}
    for _round in range(4):
        if not plan.steps:
            break
        check_guards(world, plan)
        check_order(plan.steps)
        assert [
            parse_step(json.loads(json.dumps(step.as_data()))) for step in plan.steps
        ] == plan.steps
        world.note_marks()
        far, floor = world.distance(), margin_floor(world)
        for step in plan.steps:
            take(world, step)
            assert swarm.has_quorum, (start, step)
            if not step.row.startswith("rejoin"):
                assert swarm.margin >= floor, (start, step)
            nearer = world.distance()
            assert nearer < far, (start, step, far, nearer)
            far = nearer
        came = any(step.action == "join" for step in plan.steps)
        held = {item.name: item.why for item in plan.held}
        # What the limit holds back now may be more than it allows the next time.
        refused_first |= any("one run may remove" in why for why in held.values())
        plan = world.plan()
        # Who has joined gets its labels then; what else takes a second plan was held back by the first one, and named.
        late = [step for step in plan.steps if step.host not in held]
        assert came or late == [], (start, late)
        assert refused_first or not unexpected(plan.refusals), (start, plan.refusals)
    assert plan.steps == []
    if not (plan.refusals or plan.held or any(line.silent for line in world.lines)):
        assert world.distance() == 0
    for node in swarm.nodes.values():
        ours = next((line.labels for line in world.lines if line.machine.node_id == node.id), {})
        for key, value in others.get(node.id, {}).items():
            assert key in ours or node.labels.get(key) == value, (start, node)


def unexpected(refusals: list[str]) -> list[str]:
    """What was allowed at first is not refused halfway, unless there is more to lose by then than there was."""
    return [text for text in refusals if "fault tolerance would drop" not in text]


def margin_floor(world: World) -> int:
    """How many managers it must be possible to lose all the time: as the start or the goal allows."""
    if "lost_margin" in world.rules["accepted_risks"]:
        return 0
    listed = {line.machine.node_id for line in world.lines}
    kept = [
        node
        for node in world.swarm.nodes.values()
        if node.role == "manager" and node.id not in listed | world.doomed().keys()
    ]
    goal = sum(line.role == "manager" for line in world.lines) + len(kept)
    members = world.swarm.members
    seen = sum(member.state == "ready" and member.raft == "reachable" for member in members)
    return min(world.swarm.margin, may_lose(len(members), seen), may_lose(goal))


# Whole runs


def settled(world: World, runs: int = 3) -> None:
    """Runs until nothing is left to do, of which none may fail."""
    for _attempt in range(runs):
        run = Run(world).go()
        for outcome in run.outcomes:
            assert outcome.error is None, outcome.error
        world.swarm.sleep(30)
        if not world.plan().steps:
            return
    plan = world.plan()
    assert plan.steps == [], (world, plan.steps, plan.held)


@cases(2)
@given(worlds(lag=True))
def test_a_run_does_what_check_mode_says_and_leaves_nothing(world: World) -> None:
    run = Run(world).go()
    assert world.swarm.has_quorum
    for outcome in run.outcomes:
        assert outcome.error is None, outcome.error
        assert outcome.done == outcome.steps
        assert not unexpected(outcome.plan.refusals), outcome.plan.refusals
    # Hosts that join again do so one by one.
    assert run.rounds <= 6 + sum(bool(line.advertise) for line in world.lines)
    settled(world)


@cases(2)
@given(worlds(managers=5, workers=4, lag=True), st.integers(0, 60))
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(world: World, moment: int) -> None:
    left = moment

    def turn(request: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    with contextlib.suppress(Killed):
        Run(world, turn).go()
    assert world.swarm.has_quorum
    world.swarm.sleep(30)
    settled(world)


@cases(1)
@given(worlds(managers=5, workers=3), st.lists(st.integers(0, 1), min_size=1, max_size=40))
def test_two_runs_at_once_end_right(world: World, order: list[int]) -> None:
    failed = at_once(world, order)
    assert world.swarm.has_quorum
    # One may find that the other has taken a step first, and says so; the cluster is whole all the same.
    for error in failed:
        assert error.code in ("out_of_sequence", "not_found", "timeout"), error
    world.swarm.sleep(30)
    settled(world)


def at_once(world: World, order: list[int]) -> list[SwarmError]:
    """Two runs that take turns with their requests, in an order that begins like `order` and goes on alternating."""
    turns = itertools.chain(order, itertools.cycle((0, 1)))
    mine = [threading.Semaphore(0), threading.Semaphore(0)]
    running = {0, 1}
    failed: list[SwarmError] = []
    broken: list[BaseException] = []

    def pass_on() -> None:
        if running:
            mine[next(who for who in turns if who in running)].release()

    def run(who: int) -> None:
        def turn(request: str) -> None:
            pass_on()
            mine[who].acquire()

        mine[who].acquire()
        try:
            run = Run(world, turn).go()
            failed.extend(outcome.error for outcome in run.outcomes if outcome.error is not None)
        except SwarmError as error:
            failed.append(error)
        except BaseException as error:
            broken.append(error)
        running.discard(who)
        pass_on()

    threads = [threading.Thread(target=run, args=(who,)) for who in (0, 1)]
    for thread in threads:
        thread.start()
    pass_on()
    for thread in threads:
        thread.join()
    if broken:
        raise broken[0]
    return failed
