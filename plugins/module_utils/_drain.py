# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Empties nodes without a dip: the work runs elsewhere before it stops here.

A drain alone stops tasks and then starts their replacements. So each replicated service with tasks on such a node
gets the constraint node.id!=NODE for a while: a change of constraints alone replaces those tasks whose node no longer
fits, by the service's own update_config, and leaves the others alone (swarmkit: manager/orchestrator/task.go,
IsTaskDirty). When they run elsewhere the node is drained, and the constraint is taken out again, which replaces nothing.

Meanwhile the nodes are paused. An active node that changes in any way, be it a label, gets all of its tasks rejected at
once that do not meet the constraints of their services (swarmkit: manager/orchestrator/constraintenforcer); a paused
one does not, and takes no new work either.

What is ours while this goes on is written down in a label, on services and nodes, so that `tidy` finds what
a killed run has left.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Callable, NamedTuple

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import MOVING_LABEL, name_of
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig, parse_node
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll

# On a service: what in its spec is ours, which is the nodes that constraints keep it off, whether it had no placement,
# and what was in its update_config instead of our values (KEY=VALUE). On a node: the availability it had before.
_WHOLE_PLACEMENT = "placement"
# A move that fails has to stop there. After a rollback or a failure that is passed over, the engine keeps one of the two
# tasks of a place, and that may be the one that does not run (swarmkit: manager/orchestrator/update, useExistingTask).
# Putting things back is our own work; see `stalled`.
_CAREFUL = {"FailureAction": "pause", "MaxFailureRatio": 0}
# A place that waits for a task that is sent nowhere must not keep the others waiting.
_AT_ONCE = {"Parallelism": 0}
_NOWHERE = "none."  # put before the system of each platform, so that no node has it

INTERVAL = 0.5
# States of an update that a change of the spec would cut short or, where it is paused, set going again
# (swarmkit: controlapi UpdateService resets the status).
_PAUSED = ("paused", "rollback_paused")
_BUSY = ("updating", "rollback_started", *_PAUSED)
_OVER = frozenset(("complete", "shutdown", "failed", "rejected", "remove", "orphaned"))


@dataclass(frozen=True)
class Move:
    """A replicated service that has to leave nodes."""

    service_id: str
    service: str
    nodes: tuple[str, ...]
    tasks: int
    update: str | None  # what became of the service's latest update: a paused one is in the way

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Late(NamedTuple):
    """How far a service is that has not moved yet."""

    service_id: str
    service: str
    there: int  # running on other nodes
    wanted: int
    reason: str | None = None


# Pure


def plan_moves(
    services: list[dict[str, Any]],
    tasks: list[dict[str, Any]],
    node_ids: Collection[str],
    left_behind: Collection[str] = (),
) -> list[Move]:
    """The services that have to move, by name, without those that are known to have nowhere to go.

    Global services have nowhere to go either. A job would start anew if its spec were written
    (swarmkit: controlapi UpdateService raises the iteration). Both are left to the drain.
    """
    moves = []
    for service in services:
        here = [
            task
            for task in tasks
            if task.get("ServiceID") == service.get("ID")
            and task.get("NodeID") in node_ids
            and _runs(task)
        ]
        if here and _replicas(service) is not None and _name(service) not in left_behind:
            moves.append(
                Move(
                    str(service.get("ID")),
                    _name(service),
                    tuple(sorted({str(task["NodeID"]) for task in here})),
                    len(here),
                    _update(service),
                )
            )
    return sorted(moves, key=lambda move: (move.service, move.service_id))


def constraint_against(node_id: str) -> str:
    return f"node.id!={node_id}"


def marks_of(spec: dict[str, Any] | None) -> set[str]:
    """The nodes that our constraints keep a service off."""
    return {item for item in _words(spec) if _is_node(item)}


def marked(spec: dict[str, Any], node_ids: Collection[str]) -> dict[str, Any]:
    """The spec with a constraint against each node, and the label that says which of them are ours."""
    changed = unmarked(spec)
    task = changed.setdefault("TaskTemplate", {})
    found = list(dig(task, "Placement", "Constraints") or [])
    # A constraint that is there already is the user's own, and must not be taken for ours later.
    ours = [node for node in sorted(node_ids) if constraint_against(node) not in found]
    if ours:
        constraints = found + [constraint_against(node) for node in ours]
        if task.get("Placement") is None:
            task["Placement"] = {}
            ours.append(_WHOLE_PLACEMENT)
        task["Placement"]["Constraints"] = constraints
        ours += _override(changed.get("UpdateConfig"), _CAREFUL)
        changed["Labels"] = {**(changed.get("Labels") or {}), MOVING_LABEL: ",".join(ours)}
    return changed


def _override(config: dict[str, Any] | None, values: dict[str, Any]) -> list[str]:
    """Put values into an update_config; what was there, as words of the label. Without one the engine is careful."""
    words = []
    for key, value in values.items():
        if config and config.get(key) and config[key] != value:
            words.append(f"{key}={json.dumps(config[key])}")
            config[key] = value
    return words


def stalled(spec: dict[str, Any], node_ids: Collection[str]) -> dict[str, Any]:
    """The spec that ends a move which gets stuck on these nodes, and keeps the tasks that run.

    A place of a start-first service then has two tasks, and in the engine's eyes both would fit the original spec.
    With this one, a new task does not fit where it is, so that the old one is kept; and no task is sent anywhere, so that
    what this makes in its turn has no node, and does not fit the original spec later.
    """
    # The name of no node is among them, so that there is a mark even if no task has got a node yet.
    changed = marked(unmarked(spec), {*node_ids, _NOWHERE} - {""})
    placement = changed["TaskTemplate"]["Placement"]
    placement["Platforms"] = [
        {**platform, "OS": _NOWHERE + str(platform.get("OS") or "")}
        for platform in placement.get("Platforms") or [{}]
    ]
    words = _override(changed.get("UpdateConfig"), _AT_ONCE)
    changed["Labels"][MOVING_LABEL] = ",".join(_words(changed) + words)
    return changed


def unmarked(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without what `marked` has put there."""
    changed = copy.deepcopy(spec)
    if MOVING_LABEL in (changed.get("Labels") or {}):
        del changed["Labels"][MOVING_LABEL]
    ours = {constraint_against(node) for node in marks_of(spec)}
    placement = dig(changed, "TaskTemplate", "Placement")
    if ours and placement:
        left = [item for item in placement.get("Constraints") or [] if item not in ours]
        placement["Constraints"] = left
        if not left:
            del placement["Constraints"]
        if _is_stalled(changed):
            _restore_platforms(placement)
        if not placement and _WHOLE_PLACEMENT in _words(spec):
            del changed["TaskTemplate"]["Placement"]
    config = changed.get("UpdateConfig") or {}
    for word in _words(spec):
        key, is_value, value = word.partition("=")
        if is_value and config.get(key) == {**_CAREFUL, **_AT_ONCE}.get(key):
            config[key] = json.loads(value)
    return changed


def _is_stalled(spec: dict[str, Any]) -> bool:
    platforms = dig(spec, "TaskTemplate", "Placement", "Platforms") or []
    return any(str(platform.get("OS")).startswith(_NOWHERE) for platform in platforms)


def _restore_platforms(placement: dict[str, Any]) -> None:
    before = []
    for platform in placement["Platforms"]:
        system = str(platform.get("OS") or "")
        rest = {key: value for key, value in platform.items() if key != "OS" and value}
        if system.startswith(_NOWHERE) and system != _NOWHERE:
            before.append({**platform, "OS": system[len(_NOWHERE) :]})
        elif system != _NOWHERE:
            before.append(platform)
        elif rest:
            before.append(rest)
    placement["Platforms"] = before
    if not before:
        del placement["Platforms"]


def held(spec: dict[str, Any]) -> dict[str, Any]:
    """A node's spec while work leaves it."""
    changed = copy.deepcopy(spec)
    labels = dict(changed.get("Labels") or {})
    labels.setdefault(MOVING_LABEL, str(changed.get("Availability") or "active"))
    changed["Labels"] = labels
    changed["Availability"] = "pause"
    return changed


def released(spec: dict[str, Any]) -> dict[str, Any]:
    """A node's spec without our mark; what it was set to since then stays."""
    changed = copy.deepcopy(spec)
    before = (changed.get("Labels") or {}).get(MOVING_LABEL)
    if before is not None:
        del changed["Labels"][MOVING_LABEL]
        if changed.get("Availability") == "pause":
            changed["Availability"] = before
    return changed


def why_not(tasks: list[dict[str, Any]], node_ids: Collection[str]) -> str | None:
    """What the engine says of the newest task that was to replace one on these nodes."""
    ours = {constraint_against(node) for node in node_ids}
    newest = sorted(
        (
            task
            for task in tasks
            if not ours.isdisjoint(dig(task, "Spec", "Placement", "Constraints") or [])
        ),
        key=lambda task: str(dig(task, "Status", "Timestamp") or ""),
        reverse=True,
    )
    for task in newest:
        if dig(task, "Status", "Err"):
            return str(dig(task, "Status", "Err")).strip().rstrip(".")
    for task in newest:
        if _stays(task) and not _runs(task):
            return f"a new task is {dig(task, 'Status', 'State')}"
    return None


def _words(spec: dict[str, Any] | None) -> list[str]:
    return [item for item in str(dig(spec, "Labels", MOVING_LABEL) or "").split(",") if item]


def _is_node(word: str) -> bool:
    return word != _WHOLE_PLACEMENT and "=" not in word


def _name(service: dict[str, Any]) -> str:
    return str(dig(service, "Spec", "Name") or service.get("ID"))


def _update(service: dict[str, Any]) -> str | None:
    return dig(service, "UpdateStatus", "State") or None


def _replicas(service: dict[str, Any]) -> int | None:
    """How many tasks a replicated service wants; None for other modes."""
    mode = dig(service, "Spec", "Mode")
    if not isinstance(mode, dict) or "Replicated" not in mode:
        return None
    count = dig(mode, "Replicated", "Replicas")
    return 1 if count is None else int(count)


def _runs(task: dict[str, Any]) -> bool:
    # The engine calls a task running once its health check has passed, if it has one.
    return dig(task, "Status", "State") == "running" and task.get("DesiredState") == "running"


def _stuck(tasks: list[dict[str, Any]], node_ids: Collection[str]) -> set[str]:
    """The nodes of tasks that were to replace one on these nodes, which still runs; of one without a node, the empty name."""
    old = {task.get("Slot") for task in tasks if task.get("NodeID") in node_ids and _runs(task)}
    return {
        str(task.get("NodeID") or "")
        for task in tasks
        if task.get("Slot") in old
        and task.get("NodeID") not in node_ids
        and not _runs(task)
        and _stays(task)
    }


def _stays(task: dict[str, Any]) -> bool:
    """Not yet told to stop, nor has it stopped."""
    return (
        task.get("DesiredState") in ("ready", "running")
        and dig(task, "Status", "State") not in _OVER
    )


# What is left of a move


def tidy(client: Any, keep: Collection[str] = (), clock: Clock | None = None) -> list[str]:
    """Take out what killed runs have left, apart from moves off the nodes in `keep`; the names of what was changed."""
    changed = _tidy_services(
        client,
        lambda service: any(
            not marks <= set(keep)
            for marks in (marks_of(service.get("Spec")), marks_of(service.get("PreviousSpec")))
        ),
        clock or Clock(),
    )
    for node in client.nodes():
        node_id = str(node.get("ID"))
        if MOVING_LABEL in (dig(node, "Spec", "Labels") or {}) and node_id not in keep:
            _write_node(client, node_id, released)
            changed.append(str(dig(node, "Description", "Hostname") or node_id))
    return changed


def _tidy_services(
    client: Any, concerned: Callable[[dict[str, Any]], bool], clock: Clock
) -> list[str]:
    written: dict[str, dict[str, Any]] = {}
    begun, _waiting = _to_clean(client.services(), concerned, written)
    # Where the run was killed in between, its nodes are not known, and that much has been done.
    moving = {
        str(service["ID"]): marks_of(service["Spec"])
        for service in begun
        if marks_of(service["Spec"]) and not _is_stalled(service["Spec"])
    }
    _keep_running(client, moving, written, clock)
    ids = {service["ID"] for service in begun}
    for _attempt in range(5):
        todo, _waiting = _to_clean(client.services(), lambda service: service["ID"] in ids, written)
        for service in todo:
            _clean(client, service, written)
        if not todo:
            break
    return sorted(_name(service) for service in begun)


def _to_clean(
    services: list[dict[str, Any]],
    concerned: Callable[[dict[str, Any]], bool],
    written: dict[str, dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Services to write now, and those that have to finish an update of somebody else first.

    The spec that a rollback would return to has to be clean as well: it is the one before the last write, and so the
    clean one is written twice.
    """
    todo: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for service in services:
        marks = marks_of(service.get("Spec")) | marks_of(service.get("PreviousSpec"))
        if not marks or not concerned(service):
            continue
        blocked = not _ours(service, written) and _update(service) in _BUSY
        (waiting if blocked else todo).append(service)
    return todo, waiting


def _ours(service: dict[str, Any], written: dict[str, dict[str, Any]]) -> bool:
    """Whether its latest update is ours. One on top of our mark is somebody else's, unless it is what we wrote."""
    if service.get("Spec") == written.get(str(service.get("ID"))):
        return True
    return bool(marks_of(service.get("Spec")) and not marks_of(service.get("PreviousSpec")))


def _clean(client: Any, service: dict[str, Any], written: dict[str, dict[str, Any]]) -> None:
    spec = unmarked(service["Spec"])
    if _write_service(client, service, spec):
        written[str(service["ID"])] = spec


def _keep_running(
    client: Any,
    moving: dict[str, set[str]],
    written: dict[str, dict[str, Any]],
    clock: Clock,
) -> None:
    """See to it that of two tasks in one place the running one is kept: for services that are to leave nodes."""

    def look() -> bool:
        """Whether a place is left that may get two."""
        if not moving:
            return False
        tasks = client.tasks(service=sorted(moving))
        found = False
        for service in client.services():
            service_id, spec = str(service["ID"]), service["Spec"]
            if service_id not in moving or not marks_of(spec):
                continue
            if dig(spec, "UpdateConfig", "Order") != "start-first" or not _ours(service, written):
                continue
            mine = [task for task in tasks if task.get("ServiceID") == service_id]
            stuck = _stuck(mine, moving[service_id])
            known = marks_of(spec) if _is_stalled(spec) else set()
            # An update that goes on makes the next new task at any moment, so also between this look and a write.
            goes_on = not known and _update(service) not in ("completed", *_PAUSED)
            if goes_on or (stuck and not (known and stuck - {""} <= known)):
                after = stalled(spec, known | stuck)
                if _write_service(client, service, after):
                    written[service_id] = after
                found = True
            # One that has no node yet will get none.
            found = found or bool(stuck - {""})
        return found

    def patiently() -> bool:
        try:
            return look()
        except SwarmError as error:
            if error.code != "no_quorum":
                raise
            return True

    # A busy node takes that long to end a container that it has just started.
    poll(patiently, lambda found: not found, 60, INTERVAL / 2, clock)


def _write_service(client: Any, service: dict[str, Any], spec: dict[str, Any]) -> bool:
    """Whether it was written; if somebody was quicker, or removed it, the caller looks again."""
    try:
        client.update_service(service["ID"], service["Version"]["Index"], spec)
    except SwarmError as error:
        if error.code not in ("out_of_sequence", "not_found"):
            raise
        return False
    return True


def _write_node(
    client: Any,
    node_id: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    attempts: int = 5,
) -> None:
    while True:
        attempts -= 1
        try:
            document = client.node(node_id)
            spec = document.get("Spec") or {}
            after = change(spec)
            if after != spec:
                client.update_node(node_id, document["Version"]["Index"], after)
            return
        except SwarmError as error:
            if error.code == "not_found":
                return
            if error.code != "out_of_sequence" or attempts <= 0:
                raise


# The drain


def drain(
    client: Any,
    node_ids: Collection[str],
    set_drained: Callable[[], None],
    timeout: float,
    clock: Clock | None = None,
    progress: Callable[[str], None] | None = None,
    left_behind: Collection[str] = (),
) -> list[Move]:
    """Move the work off the nodes, call `set_drained`, and leave no trace; what was moved.

    Services of `left_behind` have no other place, which was accepted: their tasks are stopped by the drain.
    `set_drained` writes the nodes' availability, and may write more of them. If the work does not move, the specs
    and the nodes are put back as they were and the reason is raised.
    """
    work = _Drain(client, node_ids, timeout, clock or Clock(), progress or (lambda text: None))
    work.left_behind = set(left_behind)
    try:
        work.hold()
        work.move()
        set_drained()
    except BaseException as error:
        left = work.put_back()
        if left and isinstance(error, SwarmError):
            error.details["left"] = left
        raise
    work.finish()
    return sorted(work.moves.values(), key=lambda move: (move.service, move.service_id))


class _Drain:
    def __init__(
        self,
        client: Any,
        node_ids: Collection[str],
        timeout: float,
        clock: Clock,
        progress: Callable[[str], None],
    ) -> None:
        self.client = client
        self.all_ids = sorted(set(node_ids))
        self.ids: set[str] = set()
        self.names: dict[str, str] = {}
        self.timeout = timeout
        self.clock = clock
        self.deadline = clock.now() + timeout
        self.progress = progress
        self.moves: dict[str, Move] = {}
        self.target: dict[str, int] = {}  # by service: what has to run elsewhere
        self.written: dict[str, dict[str, Any]] = {}  # the specs that we wrote, by service
        self.told: dict[str, int] = {}
        self.left_behind: set[str] = set()

    def hold(self) -> None:
        """Pause the nodes that can still give work away, unless something speaks against it."""
        for node in self.client.nodes():
            node_id = str(node.get("ID"))
            self.names[node_id] = name_of(parse_node(node))
            if node_id not in self.all_ids or dig(node, "Status", "State") != "ready":
                continue
            if dig(node, "Spec", "Availability") != "drain":
                self.ids.add(node_id)
        if not self.ids:
            return
        # A move that got stuck in a run that was then killed is begun anew.
        _tidy_services(
            self.client,
            lambda service: (
                bool(marks_of(service["Spec"]) & self.ids) and _update(service) in _PAUSED
            ),
            self.clock,
        )
        services = self.client.services()
        for move in plan_moves(
            services,
            self.client.tasks(**{"desired-state": "running"}),
            self.ids,
            self.left_behind,
        ):
            service = next(item for item in services if item.get("ID") == move.service_id)
            if move.update in _PAUSED and not marks_of(service["Spec"]):
                raise self._paused(service, move)
        for node_id in sorted(self.ids):
            _write_node(self.client, node_id, held)

    def move(self) -> None:
        if not self.ids:
            return
        late, done = poll(self._advance, lambda seen: not seen, self.timeout, INTERVAL, self.clock)
        if not done:
            raise self._timeout(late)

    def _advance(self) -> list[Late]:
        """One look, and what it asks for; the services that are not there yet."""
        try:
            services = self.client.services()
            tasks = self.client.tasks(**{"desired-state": "running"})
            nodes = self.client.nodes()
        except SwarmError as error:
            if error.code != "no_quorum":
                raise
            # An election, which the next look finds over.
            return [Late("", "the swarm", 0, 0, error.message)]
        ready = {
            node.get("ID") for node in nodes if dig(node, "Status", "State") == "ready"
        } - self.ids
        moves = {
            move.service_id: move
            for move in plan_moves(services, tasks, self.ids, self.left_behind)
        }
        late = []
        for service in services:
            service_id = str(service.get("ID"))
            spec = service.get("Spec") or {}
            is_marked = marked(spec, self.ids) == spec
            if service_id not in moves and service_id not in self.target:
                continue
            mine = [task for task in tasks if task.get("ServiceID") == service_id]
            there = len(
                {task.get("Slot") for task in mine if _runs(task) and task.get("NodeID") in ready}
            )
            # No worse than it was: what did not run before need not run now.
            before = len({task.get("Slot") for task in mine if _runs(task)})
            wanted = min(self.target.get(service_id, before), _replicas(service) or 0)
            behind = Late(service_id, _name(service), there, wanted)
            if service_id in moves and not is_marked:
                late.append(behind._replace(reason=self._mark(service, moves[service_id], before)))
                continue
            self.target.setdefault(service_id, before)
            if service_id in moves:
                self.moves.setdefault(service_id, moves[service_id])
            if there < wanted or any(
                _stays(task) and task.get("NodeID") in self.ids for task in mine
            ):
                if _update(service) in _PAUSED:
                    raise self._failed(service, "paused")
                late.append(behind)
            if self.told.get(service_id) != there:
                self.told[service_id] = there
                self.progress(f"{_name(service)}: {there} of {wanted} run elsewhere")
        return late

    def _mark(self, service: dict[str, Any], move: Move, before: int) -> str | None:
        """Write the constraint, unless the service is not to be touched now; the reason if it is not."""
        update = _update(service)
        if move.service_id in self.written and str(update).startswith("rollback"):
            raise self._failed(service, "rolled back")
        if update in _PAUSED:
            raise self._paused(service, move)
        if update in _BUSY:
            return "an update of it is not over"
        spec = marked(service["Spec"], self.ids)
        if _write_service(self.client, service, spec):
            self.written[move.service_id] = spec
            self.target.setdefault(move.service_id, before)
            self.moves.setdefault(move.service_id, move)
        return None

    def finish(self) -> None:
        """Take the constraints out; what is drained by now needs none."""
        left = self._clean_up(wait=True)
        for node_id in self.ids:
            _write_node(self.client, node_id, released)
        if left:
            self.progress(
                f"left for the next run, because of an update that is not over: {', '.join(left)}"
            )

    def put_back(self) -> list[str]:
        """As it was before; the names of what could not be put back."""
        left: list[str] = []
        try:
            moving = dict.fromkeys(self.moves, self.ids)
            _keep_running(self.client, moving, self.written, self.clock)
            left = self._clean_up(wait=False)
            for node_id in self.ids:
                _write_node(self.client, node_id, released)
        except SwarmError:
            left += [f"constraints and labels of {self._nodes(self.ids)}"]
        return left

    def _clean_up(self, wait: bool) -> list[str]:
        if not self.ids:
            return []

        def look() -> tuple[list[str], list[str]]:
            try:
                todo, waiting = _to_clean(
                    self.client.services(),
                    lambda service: (
                        service["ID"] in self.moves or bool(marks_of(service["Spec"]) & self.ids)
                    ),
                    self.written,
                )
                for service in todo:
                    _clean(self.client, service, self.written)
            except SwarmError as error:
                if error.code != "no_quorum":
                    raise
                # An election, which the next look finds over.
                return sorted(move.service for move in self.moves.values()), []
            return [_name(service) for service in todo], [_name(service) for service in waiting]

        (todo, waiting), _done = poll(
            look,
            lambda seen: not seen[0] and not (wait and seen[1]),
            max(5.0, self.deadline - self.clock.now()),
            INTERVAL / 5,
            self.clock,
        )
        return todo + waiting

    def _paused(self, service: dict[str, Any], move: Move) -> SwarmError:
        return SwarmError(
            "update_paused",
            f"Could not move service {move.service} off {self._nodes(move.nodes)}: its latest update is paused"
            f" ({dig(service, 'UpdateStatus', 'Message') or 'no reason given'}), and a change would set it going"
            " again; finish that update or roll it back first.",
            service=move.service,
            nodes=list(move.nodes),
        )

    def _timeout(self, late: list[Late]) -> SwarmError:
        if not late[0].service_id:
            return SwarmError("no_quorum", str(late[0].reason))
        tasks = self.client.tasks(service=[item.service_id for item in late])
        late = [
            item._replace(
                reason=item.reason
                or why_not(
                    [task for task in tasks if task.get("ServiceID") == item.service_id], self.ids
                )
            )
            for item in late
        ]
        first = late[0]
        more = (
            f" ({len(late) - 1} more {'service is' if len(late) == 2 else 'services are'} behind)"
            if len(late) > 1
            else ""
        )
        return SwarmError(
            "drain_timeout",
            f"Could not empty {self._nodes(self.ids)} within {self.timeout:.0f} s: {first.there} of {count_of(first.wanted, 'task')}"
            f" of service {first.service} run on other nodes{more}; {first.reason or 'no task says why'}.",
            services=[item._asdict() for item in late],
            nodes=sorted(self.ids),
        )

    def _failed(self, service: dict[str, Any], what: str) -> SwarmError:
        reason = why_not(self.client.tasks(service=service["ID"]), self.ids)
        reason = reason or dig(service, "UpdateStatus", "Message")
        return SwarmError(
            "drain_failed",
            f"Could not empty {self._nodes(self.ids)}: the engine has {what} the move of service {_name(service)},"
            f" because a task does not run elsewhere: {reason or 'no task says why'}.",
            service=_name(service),
            nodes=sorted(self.ids),
        )

    def _nodes(self, node_ids: Collection[str]) -> str:
        return ", ".join(sorted(self.names.get(node_id, node_id) for node_id in node_ids))
