# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Recreates the ingress network. Every part looks at the swarm as it is, so that a run that was killed is finished by the next."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Callable

from .._cluster.settings import change_settings
from .._common.errors import SwarmError
from .._common.waiting import Clock, poll, retry
from .._common.words import abbreviate, count_of
from .._model.documents import Node, dig, id_of, parse_node
from .._model.labels import INGRESS_LABEL, name_of
from .._model.services import service_name
from .._model.tasks import is_desired, networks_of, reason_of, state_of
from .._nodes.specs import change_node_unless_gone
from .ingress_plan import (
    IngressPlan,
    IngressSnapshot,
    as_note,
    ingress_ports,
    not_in,
    note_of,
    paused,
    resumed,
    runs_of,
    still_on,
)

# Seconds: between two looks, for a write that meets an election or another one, and in which an engine gets into the network, of
# several attempts.
INTERVAL, PATIENCE, ATTACH = 0.5, 60, 6
ATTEMPTS = 6


def observe_ingress(client: Any) -> IngressSnapshot:
    """Five requests, however large the swarm."""
    labels = dig(client.swarm(), "Spec", "Labels") or {}
    return IngressSnapshot(
        labels.get(INGRESS_LABEL),
        client.networks(),
        client.services(),
        client.tasks(),
        [parse_node(each) for each in client.nodes()],
    )


class IngressRecreation:
    """Carries out a plan on a manager. `done` gets what was written, in order, also if it fails."""

    def __init__(
        self,
        client: Any,
        plan: IngressPlan,
        done: list[str],
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._plan = plan
        self._done = done
        self._timeout = timeout
        self._clock = clock or Clock()
        self.notes: list[str] = []  # what is left to a person
        self._written: set[str] = set()  # services that this run has paused
        self._ingress: dict[str, Any] = {}
        self._awaited: dict[
            str, int
        ] = {}  # how many tasks a service that was resumed must have again

    def run(self) -> None:
        """Everything that is left to do. Raises timeout, rolled_back, and what the engine refuses."""
        plan = self._plan
        if plan.recreate and plan.body is not None:
            if plan.before is not None:
                self._note(as_note(plan.body, id_of(plan.before)))
                self._release(id_of(plan.before))
            elif not plan.interrupted:
                self._note(as_note(plan.body, None))
            self._create(plan.body)
        elif plan.before is None:
            raise SwarmError(
                "not_found",
                "Could not give services their published ports back: the swarm has no ingress network, and no note says what it"
                " was. Set swarm_ingress, for example to {encrypted: false}, and run again.",
            )
        self._find()
        self._attach()
        self._resume()
        self._settle()
        self._note(None)

    def _wait(self, look: Callable[[], Any], problem: Callable[[Any], SwarmError]) -> Any:
        """Look until nothing is left; an election in between is waited for."""

        def patient() -> Any:
            try:
                return look()
            except SwarmError as error:
                if error.code != "no_quorum":
                    raise
                return [error.message]

        left, done = poll(patient, lambda seen: not seen, self._timeout, INTERVAL, self._clock)
        if not done:
            raise problem(left)

    def _note(self, text: str | None) -> None:
        retry(
            lambda: change_settings(self._client, {"labels": {INGRESS_LABEL: text}}, False),
            PATIENCE,
            clock=self._clock,
        )

    def _write(self, service: dict[str, Any], spec: dict[str, Any], verb: str) -> bool:
        """Whether it was written; if somebody was quicker, or has removed it, the caller looks again."""
        try:
            self._client.update_service(id_of(service), service["Version"]["Index"], spec)
        except SwarmError as error:
            if error.code not in ("out_of_sequence", "not_found"):
                raise
            return False
        self._done.append(f"{verb} {service_name(service)}")
        return True

    # Before the network can go

    def _release(self, network_id: str) -> None:
        """Take the ports of the services away, wait until no task is on the network, and remove it."""
        self._wait(lambda: self._pause(network_id), self._not_released)
        self._remove(network_id)

    def _pause(self, network_id: str) -> list[str]:
        tasks = self._client.tasks()
        left = []
        for service in self._client.services():
            spec = service.get("Spec") or {}
            if not ingress_ports(spec):
                continue
            name = service_name(service)
            left.append(f"service {name} still has its ports")
            if name in self._written:
                raise SwarmError(
                    "rolled_back",
                    f"Could not recreate the ingress network: the ports of service {name} were taken away, and are back"
                    f" ({dig(service, 'UpdateStatus', 'Message') or 'the engine or somebody else has changed it'}). Correct that,"
                    " and run again: the run continues.",
                    service=name,
                )
            running = runs_of(id_of(service), tasks)
            if self._write(service, paused(spec, running), "pause"):
                self._written.add(name)
        if left:
            return left
        nodes = [parse_node(each) for each in self._client.nodes()]
        names = {node.id: name_of(node) for node in nodes}
        return sorted(
            {
                f"a task on {names.get(str(task.get('NodeID')), '?')} is {state_of(task)}"
                for task in still_on(network_id, tasks, nodes)
            }
        )

    def _not_released(self, left: list[str]) -> SwarmError:
        return SwarmError(
            "timeout",
            f"Could not take all services off the ingress network within {self._timeout:g} s: {abbreviate(left)}. Nothing was"
            " removed. Run again to continue, with a larger swarm_drain_timeout if the services take longer to update.",
            left=left,
        )

    def _remove(self, network_id: str) -> None:
        def gone() -> list[str]:
            return [id_of(each) for each in self._client.networks() if id_of(each) == network_id]

        def remove() -> None:
            try:
                self._client.remove("network", network_id, "ingress")
            except SwarmError as error:
                if error.code != "not_found":
                    raise

        retry(remove, PATIENCE, clock=self._clock)
        self._done.append("remove the ingress network")
        self._wait(
            gone,
            lambda _left: SwarmError(
                "timeout",
                "Could not recreate the ingress network: the acting manager does not release the old one. Restart its engine, and"
                " run again.",
            ),
        )

    # After it is gone

    def _create(self, body: dict[str, Any]) -> None:
        """Create it, unless somebody else has."""

        def create() -> None:
            if not any(each.get("Ingress") for each in self._client.networks()):
                self._client.create("network", {**body, "CheckDuplicate": True})
                self._done.append("create the ingress network")

        retry(create, PATIENCE, clock=self._clock)

    def _find(self) -> None:
        found = [each for each in self._client.networks() if each.get("Ingress")]
        self._ingress = found[0] if found else {}

    def _attach(self) -> None:
        """Wait until the engines of all nodes are in the network.

        The managers give a node its address in a new ingress network only when something of the node changes, or with its first
        task there (swarmkit: manager/allocator/network.go, doNodeAlloc; seen with 20.10.24: without that, half of the mesh is
        dead). And an engine can fail to create it ("failed to find a load balancer IP"), and tries again only when its node
        changes (swarmkit: agent/agent.go). So each node that is late gets a label, again and again.
        """
        left = self._late()
        for attempt in range(ATTEMPTS):
            if not left:
                break
            for node in left:
                change = _with_label({INGRESS_LABEL: str(attempt)})
                change_node_unless_gone(self._client, node.id, change)
            left, _done = poll(self._late, lambda seen: not seen, ATTACH, INTERVAL, self._clock)
        if left:
            # The services must not wait for it: their ports work on the other nodes.
            self.notes.append(
                f"the engine of {abbreviate([name_of(node) for node in left])} is not in the new ingress network, and published"
                " ports do not answer there: restart it"
            )
        for node in map(parse_node, self._client.nodes()):
            if INGRESS_LABEL in node.labels:
                change_node_unless_gone(self._client, node.id, _with_label({}))

    def _late(self) -> list[Node]:
        path = f"/networks/{id_of(self._ingress)}"
        try:
            found = self._client.get(path, "read the ingress network")
            nodes = [parse_node(each) for each in self._client.nodes()]
        except SwarmError as error:
            if error.code not in ("no_quorum", "not_found"):
                raise
            return []
        return not_in(found.get("Peers"), nodes)

    def _resume(self) -> None:
        def left() -> list[str]:
            waiting = []
            for service in self._client.services():
                note = note_of(service)
                if note is None:
                    continue
                waiting.append(service_name(service))
                if self._write(service, resumed(service["Spec"]), "resume"):
                    self._awaited[id_of(service)] = int(note.get("running") or 0)
            return waiting

        self._wait(
            left,
            lambda names: SwarmError(
                "timeout",
                f"Could not give {abbreviate(names)} its ports back within {self._timeout:g} s. Run again.",
            ),
        )

    def _settle(self) -> None:
        """Wait for the tasks, and see to it that a rollback of a service does not take its ports away again."""
        self._wait(self._behind, self._not_settled)

        def unclean() -> list[str]:
            found = []
            for service in self._client.services():
                before = dig(service, "PreviousSpec", "Labels") or {}
                if INGRESS_LABEL in before and note_of(service) is None:
                    found.append(service_name(service))
                    # The spec before the last write is the one that a rollback returns to.
                    self._write(service, service["Spec"], "write again")
            return found

        self._wait(
            unclean,
            lambda names: SwarmError(
                "timeout",
                f"Could not clean up after the ingress network was recreated: {abbreviate(names)} changes all the time. Run again.",
            ),
        )

    def _behind(self) -> list[str]:
        tasks: list[dict[str, Any]] = self._client.tasks() if self._awaited else []
        names = {id_of(each): service_name(each) for each in self._client.services()}
        late = []
        for service_id, wanted in self._awaited.items():
            own = [task for task in tasks if task.get("ServiceID") == service_id]
            there = _running_on(id_of(self._ingress), own)
            if there < wanted and service_id in names:
                why = next(
                    (
                        reason_of(task)
                        for task in own
                        if is_desired(task) and state_of(task) != "running"
                    ),
                    "no task reports a reason",
                )
                late.append(
                    f"{there} of {count_of(wanted, 'task')} of {names[service_id]} run: {why}"
                )
        return late

    def _not_settled(self, late: list[str]) -> SwarmError:
        return SwarmError(
            "not_converged",
            f"The ingress network is recreated, and all services have their ports again, but after {self._timeout:g} s"
            f" {abbreviate(late)}. Correct that, and run again.",
            late=late,
        )


def _with_label(label: dict[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A change of a node's spec that sets our label, or removes it."""

    def change(spec: dict[str, Any]) -> dict[str, Any]:
        labels = spec.get("Labels") or {}
        kept = {key: value for key, value in labels.items() if key != INGRESS_LABEL}
        return {**spec, "Labels": {**kept, **label}}

    return change


def _running_on(network_id: str, tasks: Collection[dict[str, Any]]) -> int:
    return sum(
        1
        for task in tasks
        if is_desired(task) and state_of(task) == "running" and network_id in networks_of(task)
    )
