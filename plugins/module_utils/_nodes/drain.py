# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Empties nodes without a dip: the work runs elsewhere before it stops here.

A drain alone stops tasks and then starts their replacements. So each replicated service with tasks on such a node
gets the constraint node.id!=NODE for a while: a change of constraints alone replaces those tasks whose node no longer
fits, by the service's own update_config, and leaves the others alone (swarmkit: manager/orchestrator/task.go,
IsTaskDirty). When they run elsewhere the node is drained, and the constraint is taken out again, which replaces
nothing.

Meanwhile the nodes are paused. An active node that changes in any way, be it a label, gets all of its tasks rejected at
once that do not meet the constraints of their services (swarmkit: manager/orchestrator/constraintenforcer); a paused
one does not, and takes no new work either.

`marks.py` says what is written for it, and `services.py` cleans up what an interrupted run has left.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Callable

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._common.words import count_of
from .._model.documents import parse_node
from .._model.labels import name_of
from .._model.services import PAUSED
from .._scheduler.placement import PlacementTask, parse_placement_task
from .marks import marked, paused, released
from .moves import (
    BUSY,
    MoveProgress,
    MovingService,
    ServiceMove,
    plan_moves,
    slots_that_run,
    tasks_by_service,
    why_not,
)
from .services import INTERVAL, ServiceWriter
from .specs import change_node_unless_gone


def drain(
    client: Any,
    node_ids: Collection[str],
    set_drained: Callable[[], None],
    timeout: float,
    clock: Clock | None = None,
    progress: Callable[[str], None] | None = None,
    left_behind: Collection[str] = (),
) -> list[ServiceMove]:
    """Move the work off the nodes, call `set_drained`, and leave no trace; returns what was moved, by name.

    Services of `left_behind` have no other place, which was accepted: their tasks are stopped by the drain.
    `set_drained` writes the nodes' availability, and may write more of them. `timeout` is in seconds. If the work does
    not move, the specs and the nodes are restored and the reason is raised: drain_timeout, drain_failed or
    update_paused. Its detail `left` names what could not be restored.
    """
    told = progress or (lambda text: None)
    work = _Drain(client, node_ids, left_behind, timeout, clock or Clock(), told)
    try:
        work.pause()
        work.move()
        set_drained()
    except BaseException as error:
        left = work.restore()
        if left and isinstance(error, SwarmError):
            error.details["left"] = left
        raise
    work.finish()
    return sorted(work.moves.values(), key=lambda move: (move.service, move.service_id))


class _Drain:
    """A drain in progress: what moves, and how far it is."""

    def __init__(
        self,
        client: Any,
        node_ids: Collection[str],
        left_behind: Collection[str],
        timeout: float,
        clock: Clock,
        progress: Callable[[str], None],
    ) -> None:
        self.client = client
        self.writer = ServiceWriter(client, clock)
        self.requested = set(node_ids)
        self.left_behind = set(left_behind)
        self.ids: set[str] = set()  # those of them that have work to give away
        self.names: dict[str, str] = {}  # of nodes, by ID
        self.timeout = timeout
        self.clock = clock
        self.deadline = clock.now() + timeout
        self.progress = progress
        self.moves: dict[str, ServiceMove] = {}  # by the ID of the service, as the next two
        self.target: dict[str, int] = {}  # how many slots have to run elsewhere
        self.reported: dict[str, int] = {}  # how many do, as `progress` was last told

    def _observe(self) -> tuple[list[MovingService], dict[str, list[PlacementTask]]]:
        """The services, and the tasks that are to run by the ID of their service."""
        services = self.writer.read()
        documents = self.client.tasks(**{"desired-state": "running"})
        return services, tasks_by_service(map(parse_placement_task, documents))

    def pause(self) -> None:
        """Pause the nodes that have work to give away, unless a service cannot move now."""
        for node in map(parse_node, self.client.nodes()):
            self.names[node.id] = name_of(node)
            if node.id in self.requested and node.state == "ready" and node.availability != "drain":
                self.ids.add(node.id)
        if not self.ids:
            return
        # A move that got stuck in an interrupted run starts again.
        ServiceWriter(self.client, self.clock).clean_up(
            lambda service: bool(service.marks & self.ids) and service.update in PAUSED
        )
        services, tasks = self._observe()
        by_id = {service.id: service for service in services}
        for move in plan_moves(services, tasks, self.ids, self.left_behind):
            service = by_id[move.service_id]
            if service.update in PAUSED and not service.marks:
                raise self._update_paused(service, move)
        for node_id in sorted(self.ids):
            change_node_unless_gone(self.client, node_id, paused)

    def move(self) -> None:
        """Write the constraints, and wait until the work runs elsewhere."""
        if not self.ids:
            return
        late, done = poll(self._advance, lambda seen: not seen, self.timeout, INTERVAL, self.clock)
        if not done:
            raise self._timed_out(late)

    def _advance(self) -> list[MoveProgress]:
        """One look, and what it asks for; the services that have not moved yet."""
        try:
            services, tasks = self._observe()
            nodes = [parse_node(document) for document in self.client.nodes()]
        except SwarmError as error:
            if error.code != "no_quorum":
                raise
            # An election, which the next look finds over.
            return [MoveProgress("", "the swarm", 0, 0, error.message)]
        elsewhere = {node.id for node in nodes if node.state == "ready"} - self.ids
        moves = {
            move.service_id: move
            for move in plan_moves(services, tasks, self.ids, self.left_behind)
        }
        late = []
        for service in services:
            move = moves.get(service.id)
            if move is None and service.id not in self.target:
                continue
            own = tasks[service.id]
            # No worse than it was: what did not run before need not run now.
            before = len(slots_that_run(own))
            there = len(slots_that_run(own, elsewhere))
            wanted = min(self.target.get(service.id, before), service.replicas or 0)
            state = MoveProgress(service.id, service.name, there, wanted)
            if move is not None and marked(service.spec, self.ids) != service.spec:
                late.append(state._replace(reason=self._mark(service, move, before)))
                continue
            self.target.setdefault(service.id, before)
            if move is not None:
                self.moves.setdefault(service.id, move)
            if there < wanted or any(task.active and task.node_id in self.ids for task in own):
                if service.update in PAUSED:
                    raise self._failed(service, "paused")
                late.append(state)
            if self.reported.get(service.id) != there:
                self.reported[service.id] = there
                self.progress(f"{service.name}: {there} of {wanted} run elsewhere")
        return late

    def _mark(self, service: MovingService, move: ServiceMove, before: int) -> str | None:
        """Write the constraint, unless the service must not be touched now; the reason if so."""
        if self.writer.has_written(service.id) and str(service.update).startswith("rollback"):
            raise self._failed(service, "rolled back")
        if service.update in PAUSED:
            raise self._update_paused(service, move)
        if service.update in BUSY:
            return "its update is still in progress"
        if self.writer.write(service, marked(service.spec, self.ids)):
            self.target.setdefault(service.id, before)
            self.moves.setdefault(service.id, move)
        return None

    def finish(self) -> None:
        """Take the constraints out; what is drained by now needs none."""
        left = self._clean(wait=True)
        self._release_nodes()
        if left:
            names = ", ".join(left)
            self.progress(
                f"left for the next run, because their update is still in progress: {names}"
            )

    def restore(self) -> list[str]:
        """Make it as it was before; the names of what could not be restored."""
        left: list[str] = []
        try:
            self.writer.keep_running(dict.fromkeys(self.moves, self.ids))
            left = self._clean(wait=False)
            self._release_nodes()
        except SwarmError:
            left += [f"constraints and labels of {self._nodes(self.ids)}"]
        return left

    def _release_nodes(self) -> None:
        for node_id in self.ids:
            change_node_unless_gone(self.client, node_id, released)

    def _clean(self, wait: bool) -> list[str]:
        """Take our marks off the services; the names of those that keep them. `wait` for updates of others."""
        if not self.ids:
            return []

        def look() -> tuple[list[str], list[str]]:
            try:
                due, waiting = self.writer.clean(
                    lambda service: service.id in self.moves or bool(service.marks & self.ids)
                )
            except SwarmError as error:
                if error.code != "no_quorum":
                    raise
                # An election, which the next look finds over.
                return sorted(move.service for move in self.moves.values()), []
            return [service.name for service in due], [service.name for service in waiting]

        (due, waiting), _done = poll(
            look,
            lambda seen: not seen[0] and not (wait and seen[1]),
            max(5.0, self.deadline - self.clock.now()),
            INTERVAL / 5,
            self.clock,
        )
        return due + waiting

    def _update_paused(self, service: MovingService, move: ServiceMove) -> SwarmError:
        return SwarmError(
            "update_paused",
            f"Could not move service {service.name} off {self._nodes(move.nodes)}: its latest update is paused"
            f" ({service.update_message or 'no reason given'}), and a change would resume it. Finish that update, or roll"
            f" it back with 'docker service rollback {service.name}', and run again.",
            service=service.name,
            nodes=list(move.nodes),
        )

    def _timed_out(self, late: list[MoveProgress]) -> SwarmError:
        if not late[0].service_id:
            return SwarmError("no_quorum", str(late[0].reason))
        documents = self.client.tasks(service=[state.service_id for state in late])
        tasks = tasks_by_service(map(parse_placement_task, documents))
        late = [
            state._replace(reason=state.reason or why_not(tasks[state.service_id], self.ids))
            for state in late
        ]
        first, others = late[0], len(late) - 1
        more = f" ({count_of(others, 'more service', 'more services')} not moved)" if others else ""
        return SwarmError(
            "drain_timeout",
            f"Could not drain {self._nodes(self.ids)} within {self.timeout:.0f} s: {first.there} of"
            f" {count_of(first.wanted, 'task')} of service {first.service} run on other nodes{more};"
            f" {first.reason or 'no task reports a reason'}. Add capacity or relax the constraints of the service, or allow"
            " more time.",
            services=[state._asdict() for state in late],
            nodes=sorted(self.ids),
        )

    def _failed(self, service: MovingService, what: str) -> SwarmError:
        tasks = map(parse_placement_task, self.client.tasks(service=service.id))
        reason = why_not(tasks, self.ids) or service.update_message
        return SwarmError(
            "drain_failed",
            f"Could not drain {self._nodes(self.ids)}: the engine has {what} the move of service {service.name}, because a"
            f" new task does not run: {(reason or 'no task reports a reason').rstrip('.')}. Correct that, and run again.",
            service=service.name,
            nodes=sorted(self.ids),
        )

    def _nodes(self, node_ids: Collection[str]) -> str:
        return ", ".join(sorted(self.names.get(node_id, node_id) for node_id in node_ids))
