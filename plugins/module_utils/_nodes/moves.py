# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which services have to move off nodes, and how far they are. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from .._model.documents import dig
from .._model.services import PAUSED, UPDATING, replicas_of, update_state
from .._scheduler.placement import PlacementTask
from .marks import constraint_against, goes_nowhere, is_frozen, is_stalled, marks_of

# States of an update that a change of the spec would cut short or, where it is paused, resume
# (swarmkit: controlapi UpdateService resets the status).
BUSY = (*UPDATING, *PAUSED)


@dataclass(frozen=True)
class MovingService:
    """A service as a move sees it."""

    id: str
    name: str
    version: int  # to be sent with the spec
    spec: dict[str, Any]  # as the engine has it, for it has to be written whole
    replicas: int | None  # None: it is not replicated
    update: str | None  # the state of its latest update
    update_message: str | None
    marks: frozenset[str]  # IDs of nodes that our constraints keep it off
    previous_marks: frozenset[str]  # the same of the spec that a rollback would return to

    @property
    def all_marks(self) -> frozenset[str]:
        return self.marks | self.previous_marks

    @property
    def start_first(self) -> bool:
        return dig(self.spec, "UpdateConfig", "Order") == "start-first"

    @property
    def stalled(self) -> bool:
        return is_stalled(self.spec)

    @property
    def frozen(self) -> bool:
        return is_frozen(self.spec)


def parse_moving_service(document: dict[str, Any]) -> MovingService:
    """A service as the engine lists it."""
    spec = document.get("Spec") or {}
    return MovingService(
        id=str(document.get("ID")),
        name=str(spec.get("Name") or document.get("ID")),
        version=int(dig(document, "Version", "Index") or 0),
        spec=spec,
        replicas=replicas_of(spec),
        update=update_state(document) or None,
        update_message=dig(document, "UpdateStatus", "Message") or None,
        marks=marks_of(spec),
        previous_marks=marks_of(document.get("PreviousSpec")),
    )


@dataclass(frozen=True)
class ServiceMove:
    """A replicated service that has to leave nodes."""

    service_id: str
    service: str
    nodes: tuple[str, ...]  # IDs
    tasks: int
    update: str | None  # the state of the service's latest update: a paused one is in the way

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class MoveProgress(NamedTuple):
    """How far a service is that has not moved yet."""

    service_id: str
    service: str
    there: int  # slots that run on other nodes
    wanted: int
    reason: str | None = None


def tasks_by_service(tasks: Iterable[PlacementTask]) -> dict[str, list[PlacementTask]]:
    """By the ID of the service; an unknown one has no tasks."""
    found: dict[str, list[PlacementTask]] = defaultdict(list)
    for task in tasks:
        found[task.service_id].append(task)
    return found


def plan_moves(
    services: Iterable[MovingService],
    tasks: Mapping[str, list[PlacementTask]],
    node_ids: Collection[str],
    left_behind: Collection[str] = (),
) -> list[ServiceMove]:
    """The services that have to move, by name, without those that are known to have nowhere to go.

    Global services have nowhere to go either. A job would run again if its spec were written
    (swarmkit: controlapi UpdateService raises the iteration). Both are left to the drain.
    """
    moves = []
    for service in services:
        if service.replicas is None or service.name in left_behind:
            continue
        here = [task.node_id for task in tasks[service.id] if _runs_on(task, node_ids)]
        if here:
            nodes = tuple(sorted(set(here)))
            moves.append(ServiceMove(service.id, service.name, nodes, len(here), service.update))
    return sorted(moves, key=lambda move: (move.service, move.service_id))


def slots_that_run(
    tasks: Iterable[PlacementTask], node_ids: Collection[str] | None = None
) -> set[int | None]:
    """The slots of a service that have a running task, on these nodes or anywhere."""
    return {
        task.slot
        for task in tasks
        if task.running and (node_ids is None or task.node_id in node_ids)
    }


def stuck_tasks(tasks: Collection[PlacementTask], node_ids: Collection[str]) -> list[PlacementTask]:
    """The tasks that were to replace one on `node_ids` that still runs."""
    old = {task.slot for task in tasks if _runs_on(task, node_ids)}
    return [
        task
        for task in tasks
        if task.slot in old
        and task.node_id not in node_ids
        and task.active
        and not task.running
        and not goes_nowhere(task.constraints)
    ]


def why_not(tasks: Iterable[PlacementTask], node_ids: Collection[str]) -> str | None:
    """What the engine says of the newest task that was to replace one on these nodes."""
    ours = {constraint_against(node_id) for node_id in node_ids}
    newest = sorted(
        (task for task in tasks if not ours.isdisjoint(task.constraints)),
        key=lambda task: task.timestamp,
        reverse=True,
    )
    for task in newest:
        if task.error:
            return task.error.strip().rstrip(".")
    for task in newest:
        if task.active and not task.running:
            return f"a new task is {task.state}"
    return None


def _runs_on(task: PlacementTask, node_ids: Collection[str]) -> bool:
    return task.running and task.node_id in node_ids
