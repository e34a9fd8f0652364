# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The managers' part of a membership: observe the nodes, plan, take the steps, see that they hold.

Every step may have been taken already, by a run that was killed or by one that goes on elsewhere: taking
it again does no harm.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Callable

from ansible_collections.flotilla.swarm.plugins.module_utils._drain import drain, tidy
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import (
    LEAVING_LABEL,
    MOVING_LABEL,
    RESTARTING_LABEL,
    labels_after,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._membership import (
    Cluster,
    Membership,
    Rules,
    Wanted,
    managers_part,
    plan_membership,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Node,
    parse_member,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    parse_placement_node,
    parse_placement_service,
    parse_placement_task,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import PASSING
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import (
    Clock,
    patiently,
    poll,
)


@dataclass
class Outcome:
    nodes: list[Node] = field(default_factory=list)
    plan: Membership = field(default_factory=Membership)
    steps: list[dict[str, Any]] = field(default_factory=list)  # of the plan, what this call takes
    done: list[dict[str, Any]] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # hosts whose nodes are not ready
    lost: list[str] = field(default_factory=list)  # those of them that were when this call began
    error: SwarmError | None = None


def observe(client: Any, services: bool) -> Cluster:
    """Two requests, and two more where the services matter, however large the swarm."""
    member = parse_member(client.info())
    documents = client.nodes()
    cluster = Cluster(
        nodes=tuple(parse_node(document) for document in documents),
        acting=member.node_id,
        now=time.time(),
    )
    if not services:
        return cluster
    return Cluster(
        nodes=cluster.nodes,
        acting=cluster.acting,
        now=cluster.now,
        places=tuple(parse_placement_node(document) for document in documents),
        services=tuple(parse_placement_service(document) for document in client.services()),
        tasks=tuple(parse_placement_task(document) for document in client.tasks()),
    )


def change_nodes(
    client: Any,
    wanted: list[Wanted],
    rules: Rules,
    check_mode: bool,
    wait_timeout: float = 0,
    drain_timeout: float = 0,
    clock: Clock | None = None,
) -> Outcome:
    """Everything that managers can do for the wanted membership now."""
    outcome = Outcome()
    expected = {host.node_id for host in wanted if host.node_id and not host.silent}
    # A node that has just joined may not be known yet.
    cluster, _done = poll(
        lambda: observe(client, services=False),
        lambda seen: check_mode or expected <= {node.id for node in seen.nodes},
        wait_timeout,
        0.5,
        clock,
    )
    outcome.plan = plan_membership(cluster, wanted, rules)
    if outcome.plan.steps:
        cluster = observe(client, services=True)
        outcome.plan = plan_membership(cluster, wanted, rules)
    outcome.nodes = list(cluster.nodes)
    outcome.steps = managers_part(outcome.plan.steps, cluster.acting)
    staying = _staying(wanted, outcome.plan)
    if check_mode or outcome.plan.refusals:
        outcome.late = _late(outcome.nodes, staying)
        return outcome
    try:
        hands = _Hands(client, wanted, wait_timeout, drain_timeout, clock)
        hands.left_behind = outcome.plan.left_behind
        hands.take(outcome.steps, outcome.done)
    except SwarmError as error:
        outcome.error = error
    nodes, _done = poll(
        lambda: _look(client),
        # A new leader does not know the nodes until they have told it, and could plan nothing with them.
        lambda seen: not _late(seen, staying) and all(node.state != "unknown" for node in seen),
        wait_timeout if outcome.error is None else 0,
        0.5,
        clock,
    )
    # One that was not ready before is waited for and named, but is no reason to leave the rest of a run undone.
    sick = {staying.get(node.id) for node in outcome.nodes if not node.ready}
    outcome.nodes, outcome.late = nodes, _late(nodes, staying)
    outcome.lost = [name for name in outcome.late if name not in sick]
    return outcome


def _look(client: Any) -> list[Node]:
    """The nodes; none while the managers agree on a new leader."""
    try:
        return [parse_node(document) for document in client.nodes()]
    except SwarmError as error:
        if error.code not in PASSING:
            raise
        return []


def _staying(wanted: list[Wanted], plan: Membership) -> dict[str, str]:
    """The names of the nodes that shall be ready in the end: members that neither begin anew nor are held back."""
    held = {item["name"] for item in plan.held}
    return {
        host.node_id: host.name
        for host in wanted
        if host.node_id and not (host.silent or host.rejoin or host.joining or host.name in held)
    }


def _late(nodes: list[Node], staying: dict[str, str]) -> list[str]:
    ready = {node.id for node in nodes if node.ready}
    return [name for node_id, name in staying.items() if node_id not in ready]


class _Hands:
    """The only part that writes: one method an action."""

    def __init__(
        self,
        client: Any,
        wanted: list[Wanted],
        wait_timeout: float,
        drain_timeout: float,
        clock: Clock | None,
    ) -> None:
        self._client = client
        self._host_of = {host.node_id: host for host in wanted if host.node_id}
        self._wait_timeout = wait_timeout
        self._drain_timeout = drain_timeout
        self._clock = clock
        self.left_behind: list[str] = []

    def take(self, steps: list[dict[str, Any]], done: list[dict[str, Any]]) -> None:
        """The steps in their order; `done` grows as they are."""
        if steps:
            # What a run that was killed has left in the services, unless this one goes on with it.
            emptied = {step["node_id"] for step in steps if _empties(step)}
            tidy(self._client, emptied)
        for kind, group in groupby(steps, key=lambda step: _KINDS[step["action"]]):
            if kind == "one by one":
                for step in group:
                    getattr(self, f"_{step['action']}")(step)
                    done.append(step)
            else:
                together = list(group)
                (self._specs if kind == "specs" else self._drain)(together)
                done += together

    def _promote(self, step: dict[str, Any]) -> None:
        self._write(step["node_id"], lambda spec: spec.update(Role="manager"))
        self._wait_for(
            step,
            lambda node: node is not None and node.ready and node.reachability == "reachable",
            "its engine does not become a manager that the others reach: check 2377/tcp between the managers",
        )

    def _demote(self, step: dict[str, Any]) -> None:
        if step.get("dead"):
            self._wait_until_dead(step)
        self._write_unless_gone(step["node_id"], lambda spec: spec.update(Role="worker"))
        # Demotion goes on after the answer: the node is one of Raft's until its manager status is gone
        # (swarmkit: manager/role_manager.go).
        self._wait_for(
            step,
            lambda node: node is None or (node.reachability is None and node.role == "worker"),
            "it is still counted as a manager: see whether the managers have a quorum, and run again",
        )

    def _remove(self, step: dict[str, Any]) -> None:
        if step.get("dead"):
            self._wait_until_dead(step)
        try:
            self._patiently(lambda: self._client.remove_node(step["node_id"]))
        except SwarmError as error:
            if error.code != "not_found":
                raise

    def _wait_until_dead(self, step: dict[str, Any]) -> None:
        """A host that began anew a moment ago is seen as ready until some heartbeats are missed."""
        self._wait_for(
            step,
            lambda node: node is None or node.state != "ready",
            "its node is alive: another host may have its name; give that one a name of its own",
        )

    def _specs(self, steps: list[dict[str, Any]]) -> None:
        """Labels and availability, both in one write a node; what is to be drained is emptied first."""
        touched = list(dict.fromkeys(step["node_id"] for step in steps))
        draining = [step["node_id"] for step in steps if _empties(step)]
        becoming = {
            step["node_id"]: step["after"] for step in steps if step["action"] == "availability"
        }
        keeping = {step["node_id"] for step in steps if step.get("keep_mark")}

        def write(node_ids: list[str]) -> None:
            for node_id in node_ids:
                host, keeps = self._host_of[node_id], node_id in keeping
                self._write(node_id, _as_wanted(host, becoming.get(node_id), keeps))

        write([node_id for node_id in touched if node_id not in draining])
        if draining:
            self._empty(draining, lambda: write(draining))

    def _drain(self, steps: list[dict[str, Any]]) -> None:
        def write() -> None:
            for step in steps:
                self._write_unless_gone(
                    step["node_id"], _drained_with(step.get("mark") or LEAVING_LABEL)
                )

        stays = [name for step in steps for name in step.get("left_behind") or ()]
        self._empty([step["node_id"] for step in steps], write, stays)

    def _empty(
        self, node_ids: list[str], write: Callable[[], None], stays: Collection[str] = ()
    ) -> None:
        timeout, left = self._drain_timeout, [*self.left_behind, *stays]
        drain(self._client, node_ids, write, timeout, self._clock, left_behind=left)

    def _write(self, node_id: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """A node's whole spec with a change in it: what the engine is not sent, it resets."""

        def write() -> None:
            document = self._client.node(node_id)
            spec = copy.deepcopy(document.get("Spec") or {})
            change(spec)
            if spec != document.get("Spec"):
                self._client.update_node(node_id, document["Version"]["Index"], spec)

        self._patiently(write)

    def _patiently(self, work: Callable[[], Any]) -> None:
        patiently(work, self._wait_timeout, 0.5, self._clock)

    def _write_unless_gone(self, node_id: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """For a node on its way out: another run may have seen to it first."""
        try:
            self._write(node_id, change)
        except SwarmError as error:
            if error.code != "not_found":
                raise

    def _wait_for(
        self, step: dict[str, Any], there: Callable[[Node | None], bool], otherwise: str
    ) -> None:
        def look() -> Node | None:
            try:
                return parse_node(self._client.node(step["node_id"]))
            except SwarmError as error:
                if error.code == "not_found":
                    return None
                if error.code in PASSING:
                    # A demoted leader hands over: for a moment nobody answers.
                    return Node(
                        "",
                        "",
                        "unknown",
                        "unknown",
                        "unknown",
                        None,
                        {},
                        False,
                        "unknown",
                        None,
                        None,
                    )
                raise

        _node, done = poll(look, there, self._wait_timeout, 0.5, self._clock)
        if not done:
            raise SwarmError(
                "timeout",
                f"Could not {step['action']} {step['host']}: after {self._wait_timeout:g} s {otherwise}.",
                node_id=step["node_id"],
            )


_KINDS = {
    "promote": "one by one",
    "demote": "one by one",
    "remove": "one by one",
    "labels": "specs",
    "availability": "specs",
    "drain": "drain",
}


def _empties(step: dict[str, Any]) -> bool:
    return step["action"] == "drain" or (
        step["action"] == "availability" and step["after"] == "drain"
    )


def _as_wanted(
    host: Wanted, availability: str | None, keep_mark: bool
) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        found = dict(spec.get("Labels") or {})
        spec["Labels"] = labels_after(found, host.labels, host.name, keep_mark)
        if availability:
            spec["Availability"] = availability

    return change


def _drained_with(mark: str) -> Callable[[dict[str, Any]], None]:
    """Drained, with a label that says what the node was available for before."""

    def change(spec: dict[str, Any]) -> None:
        labels = dict(spec.get("Labels") or {})
        # Its work has just been moved, and for that the node is paused.
        before = labels.pop(RESTARTING_LABEL, None) or labels.get(MOVING_LABEL)
        labels.setdefault(mark, before or spec.get("Availability") or "active")
        spec["Labels"] = labels
        spec["Availability"] = "drain"

    return change
