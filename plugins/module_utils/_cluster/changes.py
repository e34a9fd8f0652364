# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The managers' part of a membership: observe the nodes, plan, take the steps, wait until the nodes are ready.

Every step may have been taken already, by an interrupted run or by one that runs elsewhere: taking it again does no
harm.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from itertools import groupby
from typing import Any, Callable

from .._common.errors import TRANSIENT, SwarmError
from .._common.waiting import Clock, poll, retry
from .._model.documents import Node, all_heard, parse_member, parse_node
from .._model.labels import LEAVING_LABEL, MOVING_LABEL, RESTARTING_LABEL, labels_after
from .._nodes.drain import drain
from .._nodes.services import clean_up_interrupted
from .._nodes.specs import change_node
from .._scheduler.placement import (
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
)
from .identity import DesiredMember
from .membership import Cluster, Membership, Rules, plan_membership
from .outcome import NodesOutcome
from .rounds import managers_part
from .steps import MemberStep

# What becomes of the spec of a node.
SpecChange = Callable[[dict[str, Any]], dict[str, Any]]


def observe(client: Any, services: bool) -> Cluster:
    """What the manager behind `client` sees: two requests, and two more with `services`, however large the swarm."""
    member = parse_member(client.info())
    documents = client.nodes()
    cluster = Cluster(
        nodes=tuple(parse_node(document) for document in documents),
        acting=member.node_id,
        now=time.time(),
    )
    if not services:
        return cluster
    return replace(
        cluster,
        places=tuple(parse_placement_node(document) for document in documents),
        services=tuple(parse_placement_service(document) for document in client.services()),
        tasks=tuple(parse_placement_task(document) for document in client.tasks()),
    )


def change_nodes(
    client: Any,
    desired: list[DesiredMember],
    rules: Rules,
    check_mode: bool,
    wait_timeout: float = 0,
    drain_timeout: float = 0,
    clock: Clock | None = None,
) -> NodesOutcome:
    """Everything that managers can do for the desired membership now; in check mode, what that is.

    `wait_timeout` is in seconds for a step and for the nodes to be ready, `drain_timeout` in seconds for a drain. A
    failure of a step, with the code timeout or one of `drain` or the engine, is in the outcome. What keeps the nodes
    from being read, such as not_manager, is raised.
    """
    outcome = NodesOutcome()
    expected = {host.node_id for host in desired if host.node_id and not host.silent}

    def settled(seen: Cluster) -> bool:
        # A node that has just joined may be missing yet.
        return expected <= {node.id for node in seen.nodes} and all_heard(seen.nodes)

    cluster, _done = poll(
        lambda: observe(client, services=False),
        lambda seen: check_mode or settled(seen),
        wait_timeout,
        0.5,
        clock,
    )
    outcome.plan = plan_membership(cluster, desired, rules)
    if outcome.plan.steps:
        cluster = observe(client, services=True)
        outcome.plan = plan_membership(cluster, desired, rules)
    outcome.nodes = list(cluster.nodes)
    outcome.steps = managers_part(outcome.plan.steps, cluster.acting)
    staying = _staying(desired, outcome.plan)
    if check_mode or outcome.plan.refusals:
        outcome.late = _late(outcome.nodes, staying)
        return outcome
    try:
        stays = outcome.plan.left_behind
        updater = NodeUpdater(client, desired, stays, wait_timeout, drain_timeout, clock)
        updater.take(outcome.steps, outcome.done)
    except SwarmError as error:
        outcome.error = error
    nodes, _done = poll(
        lambda: _read_nodes(client),
        lambda seen: not _late(seen, staying) and all_heard(seen),
        wait_timeout if outcome.error is None else 0,
        0.5,
        clock,
    )
    # One that was not ready before is waited for and named, but is no reason to leave the rest of a run undone.
    sick = {staying.get(node.id) for node in outcome.nodes if not node.ready}
    outcome.nodes, outcome.late = nodes, _late(nodes, staying)
    outcome.lost = [name for name in outcome.late if name not in sick]
    return outcome


def _read_nodes(client: Any) -> list[Node]:
    """The nodes; none while the managers agree on a new leader."""
    try:
        return [parse_node(document) for document in client.nodes()]
    except SwarmError as error:
        if error.code not in TRANSIENT:
            raise
        return []


def _staying(desired: list[DesiredMember], plan: Membership) -> dict[str, str]:
    """The names of the nodes that must be ready in the end: members that neither join again nor are held back."""
    held = {item.name for item in plan.held}
    return {
        host.node_id: host.name
        for host in desired
        if host.node_id and not (host.silent or host.rejoin or host.joining or host.name in held)
    }


def _late(nodes: list[Node], staying: dict[str, str]) -> list[str]:
    ready = {node.id for node in nodes if node.ready}
    return [name for node_id, name in staying.items() if node_id not in ready]


class NodeUpdater:
    """The only part that writes: a method for each action, see _ONE_BY_ONE and _TOGETHER. Timeouts are in seconds."""

    def __init__(
        self,
        client: Any,
        desired: list[DesiredMember],
        left_behind: Collection[str],
        wait_timeout: float,
        drain_timeout: float,
        clock: Clock | None,
    ) -> None:
        self._client = client
        self._host_of = {host.node_id: host for host in desired if host.node_id}
        self._left_behind = left_behind
        self._wait_timeout = wait_timeout
        self._drain_timeout = drain_timeout
        self._clock = clock

    def take(self, steps: list[MemberStep], done: list[MemberStep]) -> None:
        """Take the steps in their order; `done` grows with them. Raises timeout, and what `drain` raises."""
        if steps:
            # What an interrupted run has left in the services, unless this one resumes it.
            emptied = {step.node_id for step in steps if _empties(step)}
            clean_up_interrupted(self._client, emptied)
        for take_together, group in groupby(steps, key=lambda step: _TOGETHER.get(step.action)):
            if take_together is None:
                for step in group:
                    _ONE_BY_ONE[step.action](self, step)
                    done.append(step)
            else:
                batch = list(group)
                take_together(self, batch)
                done += batch

    def _promote(self, step: MemberStep) -> None:
        self._write(step.node_id, lambda spec: {**spec, "Role": "manager"})
        self._wait_for(
            step,
            lambda node: node is not None and node.ready and node.reachability == "reachable",
            "its engine is not reachable by the other managers: check 2377/tcp between the managers",
        )

    def _demote(self, step: MemberStep) -> None:
        if step.dead:
            self._wait_until_dead(step)
        self._write_unless_gone(step.node_id, lambda spec: {**spec, "Role": "worker"})
        # Demotion goes on after the answer: the node is one of Raft's until its manager status is gone
        # (swarmkit: manager/role_manager.go).
        self._wait_for(
            step,
            lambda node: node is None or (node.reachability is None and node.role == "worker"),
            "it is still counted as a manager: check whether the managers have a quorum, and run again",
        )

    def _remove(self, step: MemberStep) -> None:
        if step.dead:
            self._wait_until_dead(step)
        self._unless_gone(lambda: self._client.remove_node(step.node_id))

    def _wait_until_dead(self, step: MemberStep) -> None:
        """A host that was just reinstalled is seen as ready until some heartbeats are missed."""
        self._wait_for(
            step,
            lambda node: node is None or node.state != "ready",
            "its node is still alive: another host may have its name; give that host another name",
        )

    def _write_specs(self, steps: list[MemberStep]) -> None:
        """Labels and availability, both in one write a node; what is to be drained is emptied first."""
        touched = list(dict.fromkeys(step.node_id for step in steps))
        draining = [step.node_id for step in steps if _empties(step)]
        becoming = {step.node_id: step.after for step in steps if step.action == "availability"}
        keeping = {step.node_id for step in steps if step.keep_mark}

        def write(node_ids: list[str]) -> None:
            for node_id in node_ids:
                host, keeps = self._host_of[node_id], node_id in keeping
                self._write(node_id, _as_desired(host, becoming.get(node_id), keeps))

        write([node_id for node_id in touched if node_id not in draining])
        if draining:
            self._empty(draining, lambda: write(draining))

    def _drain(self, steps: list[MemberStep]) -> None:
        def write() -> None:
            for step in steps:
                self._write_unless_gone(step.node_id, _drained_with(step.mark or LEAVING_LABEL))

        stays = [name for step in steps for name in step.left_behind]
        self._empty([step.node_id for step in steps], write, stays)

    def _empty(
        self, node_ids: list[str], write: Callable[[], None], stays: Collection[str] = ()
    ) -> None:
        timeout, left = self._drain_timeout, [*self._left_behind, *stays]
        drain(self._client, node_ids, write, timeout, self._clock, left_behind=left)

    def _write(self, node_id: str, change: SpecChange) -> None:
        self._retry(lambda: change_node(self._client, node_id, change))

    def _retry(self, work: Callable[[], Any]) -> None:
        retry(work, self._wait_timeout, 0.5, self._clock)

    def _write_unless_gone(self, node_id: str, change: SpecChange) -> None:
        self._unless_gone(lambda: change_node(self._client, node_id, change))

    def _unless_gone(self, work: Callable[[], Any]) -> None:
        """For a node on its way out: another run may have removed it first."""
        try:
            self._retry(work)
        except SwarmError as error:
            if error.code != "not_found":
                raise

    def _wait_for(
        self, step: MemberStep, reached: Callable[[Node | None], bool], otherwise: str
    ) -> None:
        def look() -> Node | None:
            try:
                return parse_node(self._client.node(step.node_id))
            except SwarmError as error:
                if error.code == "not_found":
                    return None
                if error.code in TRANSIENT:
                    # A demoted leader hands over: for a moment nobody answers.
                    return parse_node({})
                raise

        _node, done = poll(look, reached, self._wait_timeout, 0.5, self._clock)
        if not done:
            raise SwarmError(
                "timeout",
                f"Could not {step.action} {step.host}: after {self._wait_timeout:g} s {otherwise}.",
                node_id=step.node_id,
            )


_ONE_BY_ONE: dict[str, Callable[[NodeUpdater, MemberStep], None]] = {
    "promote": NodeUpdater._promote,
    "demote": NodeUpdater._demote,
    "remove": NodeUpdater._remove,
}
# Steps in a row that one method takes are taken in one call.
_TOGETHER: dict[str, Callable[[NodeUpdater, list[MemberStep]], None]] = {
    "labels": NodeUpdater._write_specs,
    "availability": NodeUpdater._write_specs,
    "drain": NodeUpdater._drain,
}


def _empties(step: MemberStep) -> bool:
    return step.action == "drain" or (step.action == "availability" and step.after == "drain")


def _as_desired(host: DesiredMember, availability: str | None, keep_mark: bool) -> SpecChange:
    def change(spec: dict[str, Any]) -> dict[str, Any]:
        found = dict(spec.get("Labels") or {})
        after = {**spec, "Labels": labels_after(found, host.labels, host.name, keep_mark)}
        return {**after, "Availability": availability} if availability else after

    return change


def _drained_with(mark: str) -> SpecChange:
    """Drained, with a label that says what the node was available for before."""

    def change(spec: dict[str, Any]) -> dict[str, Any]:
        labels = dict(spec.get("Labels") or {})
        # Its work has just been moved, and for that the node is paused.
        before = labels.pop(RESTARTING_LABEL, None) or labels.get(MOVING_LABEL)
        labels.setdefault(mark, before or spec.get("Availability") or "active")
        return {**spec, "Labels": labels, "Availability": "drain"}

    return change
