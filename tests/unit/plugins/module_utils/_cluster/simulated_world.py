# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts, an inventory that has been edited, and the swarm that they are in: worlds to plan for, and runs through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster import changes
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.identity import DesiredMember
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.membership import (
    Membership,
    parse_membership,
    parse_rules,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.options import parse_desired
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.outcome import NodesOutcome
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.rounds import Departure
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.run_plan import (
    InventoryHost,
    RunPlan,
    make_plan,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.steps import MemberStep
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    parse_node,
    quorum_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    HOST_LABEL,
    LEAVING_LABEL,
    MOVING_LABEL,
    OWNED_LABEL,
    labels_after,
    wanted_labels,
)
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._cluster.simulated_engine import (
    SimulatedClient,
    SimulatedNode,
    Swarm,
    refuse,
)

CLUSTER = "9rneu7clusterone"


@dataclass
class Machine:
    """A real host, whatever the inventory calls it."""

    address: str
    hostname: str
    node_id: str | None = None  # as it says itself
    answers: bool = True  # over ssh
    pending: bool = False  # it has begun to join


@dataclass
class Line:
    """What the inventory says of a host."""

    name: str
    machine: Machine
    role: str
    labels: dict[str, str] = field(default_factory=dict)
    zone: str | None = None
    availability: str | None = None
    asked: bool = True  # in --limit, where there is one
    advertise: str = ""

    @property
    def silent(self) -> bool:
        return not (self.asked and self.machine.answers)

    @property
    def wanted_labels(self) -> dict[str, str]:
        return wanted_labels(self.labels, self.zone)


@dataclass(repr=False)
class World:
    swarm: Swarm
    machines: list[Machine]
    lines: list[Line]
    rules: dict[str, Any] = field(default_factory=dict)
    # By node: what it was before its removal began, as a run finds it.
    marks: dict[str, str] = field(default_factory=dict)
    # Nodes whose hosts have been asked to leave, whatever the answer.
    bidden: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        """All that was drawn, as a failing test shows it."""
        nodes = [
            f"{node.id} {node.role} raft={node.raft} {node.state} {node.availability} {node.labels}"
            + ("" if node.alive else " dead")
            for node in self.swarm.nodes.values()
        ]
        lines = [
            f"{line.name}={line.machine.node_id} at {line.machine.address}: {line.role} {line.wanted_labels}"
            f" {line.availability} {line.advertise}"
            + " silent" * line.silent
            + " limited" * (not line.asked)
            + " joining" * line.machine.pending
            for line in self.lines
        ]
        return "\n".join(["", *nodes, *lines, str(self.rules)])

    # What the hosts say

    def member(self, machine: Machine) -> SimulatedNode | None:
        return self.swarm.nodes.get(machine.node_id or "")

    def hosts(self) -> list[InventoryHost]:
        sight = None
        if self.swarm.has_quorum:
            sight = [dict(vars(parse_node(document))) for document in self.swarm.documents()]
        return [self._host(line, sight) for line in self.lines]

    def _host(self, line: Line, sight: list[dict[str, Any]] | None) -> InventoryHost:
        machine = line.machine
        node = self.member(machine)
        swarm: dict[str, Any] = {"state": "inactive"}
        if machine.node_id is not None:
            manages = bool(node and node.raft)
            swarm = {
                "state": "pending" if machine.pending else "active",
                "node_id": machine.node_id,
                "role": "manager" if manages else "worker",
                "node_addr": node.addr if node else machine.address,
                "remote_managers": [],
                "nodes": sight if manages and node and node.alive else None,
            }
            if swarm["nodes"] is not None:
                swarm["cluster_id"] = CLUSTER
        said = {
            "host": {
                "hostname": machine.hostname,
                "time": self.swarm.time,
                "addresses": [{"address": machine.address, "interface": "eth0"}],
            },
            "engine": {"running": True},
            "swarm": swarm,
        }
        return InventoryHost(
            name=line.name,
            roles=(line.role,),
            inputs={
                "swarm_labels": line.labels,
                "swarm_zone": line.zone,
                "swarm_availability": line.availability,
                "swarm_advertise_addr": line.advertise,
                "swarm_allow_rejoin": True,
            },
            observed=None if line.silent else said,
            reached=machine.answers or not line.asked,
            address=f"{machine.address}:22",
        )

    def plan(self, answer: Membership | None = None) -> RunPlan:
        return make_plan(self.hosts(), rules=self.rules, answer=answer)

    # What hosts do themselves

    def join(self, line: Line) -> None:
        machine = line.machine
        if machine.pending:
            machine.pending = False
            return
        if machine.node_id is not None:
            raise refuse("joining twice", "This node is ")
        machine.node_id = self.swarm.join(
            machine.hostname, line.advertise or machine.address, line.role
        )

    def leave(self, step: MemberStep | Departure) -> bool:
        """Whether the host that a step names has left: at its address, if it is listed no more."""
        named = [line.machine for line in self.lines if line.name == step.host]
        self.bidden.add(step.node_id)
        there = named or [m for m in self.machines if m.address == step.addr]
        for machine in there:
            if machine.answers and machine.node_id == step.node_id:
                self.swarm.leave(step.node_id)
                machine.node_id = None
                return True
        return False

    # What is left to do

    def note_marks(self) -> None:
        """The label goes with one step and the availability with another, in one write."""
        self.marks = {
            node.id: node.labels[LEAVING_LABEL]
            for node in self.swarm.nodes.values()
            if LEAVING_LABEL in node.labels
        }

    def doomed(self) -> dict[str, str]:
        """The nodes that have to go, and why."""
        there = {line.machine.node_id for line in self.lines if not line.silent}
        silent = {line.machine.node_id for line in self.lines if line.silent}
        known = {line.name for line in self.lines if not line.silent}
        found = {}
        limited = any(not line.asked for line in self.lines)
        for node in self.swarm.nodes.values():
            if node.id in silent:
                continue
            if node.id in there:
                line = next(line for line in self.lines if line.machine.node_id == node.id)
                if line.advertise and line.advertise != node.addr and not line.machine.pending:
                    found[node.id] = "rejoin"
            elif node.labels.get(HOST_LABEL) in known or self._of_a_reimaged(node):
                found[node.id] = "ghost"
            elif self.rules.get("remove_unlisted") and not limited:
                found[node.id] = "unlisted"
        return found

    def _of_a_reimaged(self, node: SimulatedNode) -> bool:
        return (
            HOST_LABEL not in node.labels
            and node.state != "ready"
            and any(line.machine.address == node.addr for line in self.lines if not line.silent)
        )

    def distance(self) -> int:
        """How far the swarm is from the inventory: what every step of a plan has to lower."""
        doomed = self.doomed()
        far = 0
        for node_id, why in doomed.items():
            node = self.swarm.nodes[node_id]
            machine = next((m for m in self.machines if m.node_id == node_id), None)
            # To be drained, demoted, left by its host and removed, of which a ghost needs less.
            far += 1 + (node.role == "manager")
            far += machine is not None and node_id not in self.bidden
            far += why != "ghost" and not (
                node.availability == "drain" and LEAVING_LABEL in node.labels
            )
        for line in self.lines:
            if line.silent:
                continue
            found = self.member(line.machine)
            if found is None:
                far += 4
            elif found.id in doomed:
                # Its name is noted all the same: by that a run that follows a cut-short one finds what was left.
                far += 4 + self.labels_due(line, found, keep_mark=True)
            elif line.machine.pending:
                far += 4
            else:
                far += found.role != line.role
                far += self.labels_due(line, found)
                far += self.availability_due(line, found)
        return far

    def labels_due(self, line: Line, node: SimulatedNode, keep_mark: bool = False) -> bool:
        after = labels_after(node.labels, line.wanted_labels, line.name, keep_mark)
        return after != node.labels or MOVING_LABEL in node.labels

    def availability_due(self, line: Line, node: SimulatedNode) -> bool:
        wanted = line.availability or self.marks.get(node.id)
        return wanted is not None and node.availability != wanted


# Runs


class Run:
    """A run of site.yml, as playbooks/tasks/members.yml drives it."""

    def __init__(self, world: World, turn: Callable[[str], None] = lambda request: None) -> None:
        self.world = world
        self.turn = turn
        self.first: RunPlan | None = None
        self.last: RunPlan | None = None
        self.rounds = 0
        self.outcomes: list[NodesOutcome] = []
        self.refused_later: list[str] = []

    def nodes(self, plan: RunPlan, check: bool = False, **more: Any) -> NodesOutcome:
        """A call of swarm_nodes on the acting manager."""
        acting = next(line for line in self.world.lines if line.name == plan.acting)
        client = SimulatedClient(self.world.swarm, acting.machine.node_id or "", self.turn)
        defaults: dict[str, Any] = {"labels": {}, "availability": None}
        wanted = [parse_desired({**defaults, **node}) for node in plan.nodes]
        rules = parse_rules({**plan.rules, **more})
        swarm = self.world.swarm
        with mock.patch.object(changes, "time", SimpleNamespace(time=swarm.now)):
            outcome = changes.change_nodes(client, wanted, rules, check, 60, 60, swarm)
        if not check:
            self.outcomes.append(outcome)
        return outcome

    def look(self) -> RunPlan:
        self.turn("look")
        plan = self.world.plan()
        if plan.ask_managers and self.first is None:
            answer = self.nodes(plan, check=True)
            plan = self.world.plan(parse_membership(answer.plan.as_data()))
        return plan

    def go(self) -> Run:
        plan = self.first = self.last = self.look()
        while plan.steps and not plan.refusals:
            self.rounds += 1
            if not self.round(plan) or not plan.round.more:
                break
            before, plan = plan.steps, self.look()
            self.last = plan
            self.refused_later += plan.refusals
            if plan.steps == before:
                break
        return self

    def round(self, plan: RunPlan) -> bool:
        if plan.round.nodes and not self._went_well(self.nodes(plan)):
            return False
        if plan.round.leave:
            for step in plan.round.leave:
                self.turn("leave")
                self.world.leave(step)
            left = [step.node_id for step in plan.round.leave]
            if not self._went_well(self.nodes(plan, left=left)):
                return False
        joining = plan.round.join_managers + plan.round.join_workers
        for line in self.world.lines:
            if line.name in joining:
                self.turn("join")
                try:
                    self.world.join(line)
                except SwarmError as error:
                    # swarm_member finds that the host is in already.
                    if error.code != "already_in_swarm":
                        raise
        return True

    @staticmethod
    def _went_well(outcome: NodesOutcome) -> bool:
        return outcome.error is None and not outcome.plan.refusals and not outcome.lost


# Worlds

ROLES = ("manager", "worker")
# What became of a host's line, or of the host, since the last run.
FATES = (
    "kept moved deleted dead silent limited reimaged renamed readdressed cut kept kept moved deleted silent reimaged"
).split()
# What an earlier run has noted on the node: everything, an old name, that it leaves, that it is emptied, or nothing.
MARKS = "known known old leaving moving none known known".split()
STATES = "ready ready ready ready ready down unknown ready".split()
LABELS: list[dict[str, str]] = [{}, {"disk": "ssd"}, {"disk": ""}, {"disk": "hdd", "gpu": "1"}]
FOREIGN: list[dict[str, str]] = [{}, {}, {"rack": "7"}, {"disk": "nvme"}]
ZONES = [None, "a", "b", "c"]
AVAILABILITIES = "active active active active active pause drain drain".split()
SETTINGS = [None, None, None, None, None, "active", "pause", "drain"]
# One of each. They are powers of two long, and a host is one number: a draw for each would take most of the time.
TRAITS: list[Any] = [FATES, MARKS, STATES, LABELS, LABELS, FOREIGN, ZONES, AVAILABILITIES, SETTINGS]
MACHINES = st.integers(0, 2**24 - 1)
RULES = st.fixed_dictionaries(
    {
        "remove_unlisted": st.sampled_from([True, True, False]),
        "removal_limit": st.sampled_from([0.2, 0.5, 1.0]),
        "removal_down_after": st.just(300),
        "accepted_risks": st.sampled_from([[], ["uneven_zones"], ["uneven_zones", "lost_margin"]]),
    }
)


def decoded(number: int) -> list[Any]:
    found = []
    for choices in TRAITS:
        found.append(choices[number % len(choices)])
        number //= len(choices)
    return found


@st.composite
def worlds(draw: st.DrawFn, managers: int = 7, workers: int = 12, lag: bool = False) -> World:
    """A swarm that has a quorum, and an inventory with at least one of its managers that answers."""
    swarm = Swarm(draw(st.sampled_from([0.0, 0.0, 3.0])) if lag else 0.0)
    world = World(swarm, [], [], draw(RULES))
    first = draw(st.lists(MACHINES, min_size=1, max_size=managers))
    for index, number in enumerate(first + draw(st.lists(MACHINES, max_size=workers))):
        _add(world, index, "manager" if index < len(first) else "worker", *decoded(number))
    for number in draw(st.lists(st.integers(0, 7), max_size=3)):
        index = len(world.machines)
        machine = Machine(f"192.0.2.{index}", f"h{index}")
        world.machines.append(machine)
        world.lines.append(Line(f"n{index}", machine, ROLES[number % 2], zone=ZONES[number // 2]))
    _give_quorum(world)
    if draw(st.integers(0, 9)) == 0 and len(world.lines) > 1:
        one, other = world.lines[:2]
        # By its label a silent host is taken for the one that had its name: nobody can know better.
        if not (one.silent or other.silent):
            one.name, other.name = other.name, one.name
    return world


def _add(
    world: World,
    index: int,
    role: str,
    fate: str,
    mark: str,
    state: str,
    before: dict[str, str],
    after: dict[str, str],
    foreign: dict[str, str],
    zone: str | None,
    availability: str,
    setting: str | None,
) -> None:
    swarm = world.swarm
    name = f"n{index}"
    machine = Machine(f"192.0.2.{index}", f"h{index}", node_id=f"id-{index}")
    node = SimulatedNode(f"id-{index}", machine.hostname, machine.address, role)
    world.machines.append(machine)
    swarm.nodes[node.id] = node
    # What was there first is not ours, unless the inventory has set it since.
    labels = {**foreign, **before, **({"zone": zone} if zone else {})}
    node.labels = labels_after(foreign, {**before, **({"zone": zone} if zone else {})}, name)
    node.availability = availability
    if mark == "none":
        node.labels = labels
    elif mark == "old":
        node.labels[HOST_LABEL] = f"was-{name}"
    elif mark == "leaving":
        node.labels[LEAVING_LABEL], node.availability = availability, "drain"
    elif mark == "moving":
        node.labels[MOVING_LABEL], node.availability = availability, "pause"
    if role == "manager":
        node.raft = "reachable"
    line = Line(name, machine, role, after, zone, setting)
    if fate == "moved":
        line.role = ROLES[role == "manager"]
    elif fate == "renamed":
        line.name = f"new-{name}"
    elif fate == "readdressed":
        line.advertise = f"198.51.100.{index}"
    elif fate == "limited":
        line.asked = False
    elif fate == "silent":
        machine.answers = False
    elif fate == "cut":
        machine.pending = True
    if fate in ("dead", "reimaged") or (fate == "silent" and state != "ready"):
        state = "down" if state == "ready" and fate == "dead" else state
        node.alive = False
        if node.raft and state != "ready":
            node.raft = "unreachable"
        machine.answers = machine.answers and fate == "reimaged"
        machine.node_id = None if fate == "reimaged" else machine.node_id
        if fate == "reimaged" and state == "ready":
            # Its heartbeats are missed only after a while.
            swarm.later(swarm.lag * 3, lambda: swarm._down(node))
            node.raft = node.raft and ("reachable" if node.state == "ready" else "unreachable")
        else:
            node.state = state
        node.updated_at = swarm.time - (1000 if index % 3 else 100)
    elif state != "ready" and role == "manager" and node.raft:
        # Its state follows an election; or only the other managers cannot reach it.
        node.raft = "unreachable" if state == "down" else "reachable"
        node.state = "unknown" if state == "unknown" else "ready"
    elif state != "ready":
        node.state = state
    if node.state == "unknown":
        swarm.later(20, lambda: swarm.seen(node))
    if fate not in ("deleted", "dead"):
        world.lines.append(line)


def _give_quorum(world: World) -> None:
    """Whatever was drawn, a manager that is listed answers, and enough others do for a swarm that can decide."""
    swarm = world.swarm
    listed = [line for line in world.lines if not line.silent and not line.machine.pending]
    seeing = [
        line
        for line in listed
        if (node := world.member(line.machine)) is not None
        and node.raft == "reachable"
        and node.alive
    ]
    if not seeing:
        first = world.machines[0]
        first.answers, first.pending, first.node_id = True, False, "id-0"
        _revive(swarm.nodes["id-0"])
        line = next((line for line in world.lines if line.machine is first), None)
        if line is None:
            line = Line("n0", first, "manager")
            world.lines.insert(0, line)
        line.asked, line.role = True, "manager"
        line.name = "n0"
    for node in list(swarm.nodes.values()):
        apparent = sum(member.raft == "reachable" for member in swarm.members)
        if swarm.has_quorum and apparent >= quorum_of(len(swarm.members)):
            break
        if node.raft and not (node.alive and node.raft == "reachable"):
            machine = next((m for m in world.machines if m.node_id == node.id), None)
            if machine is None:
                # A ghost is beyond help.
                del swarm.nodes[node.id]
            else:
                _revive(node)
    if not any(line.role == "manager" for line in world.lines):
        world.lines[0].role = "manager"


def _revive(node: SimulatedNode) -> None:
    node.alive, node.state, node.raft = True, "ready", "reachable"


def foreign_labels(node: SimulatedNode) -> dict[str, str]:
    """What somebody else has set on a node."""
    owned = set(node.labels.get(OWNED_LABEL, "").split(","))
    return {
        key: value
        for key, value in node.labels.items()
        if key not in owned and not key.startswith("flotilla.swarm.")
    }


def wanted_in(world: World) -> list[DesiredMember]:
    plan = world.plan()
    return [parse_desired({"labels": {}, "availability": None, **node}) for node in plan.nodes]
