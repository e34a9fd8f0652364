# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Writes the specs of services that move off nodes, and cleans up what interrupted runs have left of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Callable

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._model.documents import parse_node
from .._model.labels import MOVING_LABEL
from .._model.services import PAUSED
from .._scheduler.placement import PlacementTask, parse_placement_task
from .marks import fits_no_task, frozen, released, stalled, unmarked
from .moves import BUSY, MovingService, parse_moving_service, stuck_tasks, tasks_by_service
from .specs import change_node_unless_gone

INTERVAL = 0.5  # seconds between two looks at a move
# Seconds in which of two tasks in one slot the engine has to keep the running one. A busy node takes that long to stop a
# container that it has just started.
_KEEP_RUNNING = 60


def clean_up_interrupted(
    client: Any, keep: Collection[str] = (), clock: Clock | None = None
) -> list[str]:
    """Take out what interrupted runs have left, apart from moves off the nodes in `keep`, which are IDs. Returns the
    names of the services and nodes that were changed."""
    changed = ServiceWriter(client, clock or Clock()).clean_up(
        lambda service: not (service.marks <= set(keep) and service.previous_marks <= set(keep))
    )
    for node in map(parse_node, client.nodes()):
        if MOVING_LABEL in node.labels and node.id not in keep:
            change_node_unless_gone(client, node.id, released)
            changed.append(node.hostname)
    return changed


class ServiceWriter:
    """Reads services and writes their specs. It knows what it wrote, and so which update of a service is its own."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._written: dict[str, dict[str, Any]] = {}  # specs by the ID of the service

    def read(self) -> list[MovingService]:
        """All services of the swarm, in one request."""
        return [parse_moving_service(document) for document in self._client.services()]

    def write(self, service: MovingService, spec: dict[str, Any]) -> bool:
        """Whether it was written; if somebody was quicker, or removed it, the caller looks again."""
        try:
            self._client.update_service(service.id, service.version, spec)
        except SwarmError as error:
            if error.code not in ("out_of_sequence", "not_found"):
                raise
            return False
        self._written[service.id] = spec
        return True

    def has_written(self, service_id: str) -> bool:
        """Whether this writer has written the service."""
        return service_id in self._written

    def clean(
        self, concerned: Callable[[MovingService], bool]
    ) -> tuple[list[MovingService], list[MovingService]]:
        """Write services without our marks. Returns those that were written, which have to be looked at again, and
        those that have to finish an update of somebody else first.

        The spec that a rollback would return to has to be clean as well: it is the one before the last write, and so
        the clean one is written twice.
        """
        due, waiting = self._due(concerned)
        for service in due:
            self.write(service, unmarked(service.spec))
        return due, waiting

    def clean_up(self, concerned: Callable[[MovingService], bool]) -> list[str]:
        """Clean services until none is left; their names."""
        begun, _waiting = self._due(concerned)
        # Once it is stalled and no longer frozen, the nodes that it leaves are not known, and that much has been done.
        self.keep_running(
            {
                service.id: service.marks
                for service in begun
                if service.marks and (service.frozen or not service.stalled)
            }
        )
        ids = {service.id for service in begun}
        for _attempt in range(5):
            due, _waiting = self.clean(lambda service: service.id in ids)
            if not due:
                break
        return sorted(service.name for service in begun)

    def _due(
        self, concerned: Callable[[MovingService], bool]
    ) -> tuple[list[MovingService], list[MovingService]]:
        due: list[MovingService] = []
        waiting: list[MovingService] = []
        for service in self.read():
            if service.all_marks and concerned(service):
                blocked = service.update in BUSY and not self._owns_update(service)
                (waiting if blocked else due).append(service)
        return due, waiting

    def _owns_update(self, service: MovingService) -> bool:
        """Whether its latest update is ours. One on top of our mark is somebody else's, unless it is what we wrote."""
        if service.spec == self._written.get(service.id):
            return True
        return bool(service.marks and not service.previous_marks)

    def keep_running(self, moving: Mapping[str, Collection[str]]) -> None:
        """See to it that of two tasks in one slot the engine keeps the running one. `moving` has the IDs of the nodes
        that services leave, by the ID of the service."""

        def unsettled() -> bool:
            if not moving:
                return False
            try:
                return self._stall(moving)
            except SwarmError as error:
                if error.code != "no_quorum":
                    raise
                # An election, which the next look finds over.
                return True

        poll(unsettled, lambda found: not found, _KEEP_RUNNING, INTERVAL / 2, self._clock)

    def _stall(self, moving: Mapping[str, Collection[str]]) -> bool:
        """Whether a slot is left that may get two tasks.

        First the move is frozen, for until then the engine may start the next new task at any moment, also between a look
        and a write. Once it is known where the new tasks are, those have to go.
        """
        documents = self._client.tasks(service=sorted(moving))
        tasks = tasks_by_service(map(parse_placement_task, documents))
        found = False
        for service in self.read():
            if service.id not in moving or not service.marks or not service.start_first:
                continue
            if not self._owns_update(service):
                continue
            stuck = stuck_tasks(tasks[service.id], moving[service.id])
            at = {task.node_id for task in stuck} - {""}
            if not service.stalled:
                if stuck or service.update not in ("completed", *PAUSED):
                    self.write(service, frozen(service.spec))
                    found = True
                continue
            begun = not service.frozen or _has_begun(tasks[service.id])
            # A task may get a node until the scheduler has said why it gets none.
            if not begun or not all(task.node_id or task.error for task in stuck):
                found = True
            elif stuck and (service.frozen or not at <= service.marks):
                known = frozenset() if service.frozen else service.marks
                self.write(service, stalled(service.spec, known | at))
            found = found or bool(stuck)
        return found


def _has_begun(tasks: Collection[PlacementTask]) -> bool:
    """Whether the engine has begun with a frozen spec, and so ended the update before it: that may go on for a moment after
    the write, and the state of the update does not tell the two apart (swarmkit: manager/orchestrator/update)."""
    active = [task for task in tasks if task.active]
    return not active or any(fits_no_task(task.constraints) for task in active)
