# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Whether a service runs as asked, and if not, why. No I/O.

A verdict is made of tasks: those of the desired spec, on nodes that are ready.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._common.errors import SwarmError
from .._common.words import count_of, text
from .._model.documents import dig, parse_node
from .._model.labels import name_of
from .._model.services import (
    PAUSED,
    REPLICATED,
    REPLICATED_JOB,
    UPDATING,
    container_of,
    is_job,
    mode_of,
    update_state,
)
from .._model.tasks import has_failed, is_desired, reason_of, slot_of, state_of, state_since
from .._scheduler.placement import parse_placement_node, parse_placement_service, satisfies

CONVERGED, WAITING, FAILED = "converged", "waiting", "failed"


@dataclass(frozen=True)
class Verdict:
    """Whether one service runs as asked, and if not, why."""

    service: str
    mode: str
    desired: int  # tasks
    running: int  # tasks that count as running: of the desired spec, on ready nodes
    state: str  # CONVERGED, WAITING or FAILED
    cause: str | None = None  # a code, see docs/causes.md
    reason: str = ""  # in the engine's words, or a Text
    node: str | None = None
    log: tuple[str, ...] = ()  # the last lines
    tasks: frozenset[str] = frozenset()  # the IDs of those that run
    since: tuple[float, ...] = ()  # when each got into its state, in seconds since 1970
    completed: int = 0  # tasks
    # The task that says most about what is wrong, if it has a container, and so a log.
    log_task: str | None = None
    # Of a converged service: why its latest task failed, as cause, reason, node and log_task.
    last_failure: tuple[str | None, str, str | None, str | None] | None = None
    start_period: float = 0.0  # seconds that its health check allows for the start
    overdue: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The verdict as data, for a module's result."""
        return {
            "name": self.service,
            "mode": self.mode,
            "desired": self.desired,
            "running": self.running,
            "state": self.state,
            "cause": self.cause,
            "reason": str(self.reason),
            "node": self.node,
            "log": list(self.log),
        }

    def line(self) -> str:
        """The verdict as a clause for a message."""
        words = f"{self.service}: {self.running} of {count_of(self.desired, 'task')} as asked"
        if self.reason:
            where = f" on {self.node}" if self.node else ""
            words += f", {self.cause or 'waiting'}{where}: {self.reason}"
        if self.log:
            words += f' (its log ends with "{self.log[-1]}")'
        return words


# Why the scheduler finds no node. It counts a node under the first filter that the node fails; here the last filter
# comes first, because a node that got that far passed the others (swarmkit: manager/scheduler/filter.go).
_REFUSALS = (
    ("max replicas per node", "replicas_per_node"),
    ("host-mode port already in use", "port"),
    ("unsupported platform", "platform"),
    ("scheduling constraints not satisfied", "constraint"),
    ("missing plugin", "plugin"),
    ("insufficient resources", "resources"),
    ("not available for new tasks", "availability"),
    ("no suitable node", "no_node"),
)

# What else the engine says about a task, and what it means (swarmkit: agent/exec/dockerapi; moby:
# daemon/cluster/executor/container).
_CAUSES = (
    ("unhealthy container", "unhealthy"),
    ("No such image", "image"),
    ("pull access denied", "image"),
    ("manifest", "image"),
    ("repository does not exist", "image"),
    ("error pulling image", "image"),
    ("port is already allocated", "port"),
    ("address already in use", "port"),
    ("non-zero exit", "crash"),
    ("starting container failed", "start"),
    ("OCI runtime", "start"),
    ("invalid mount config", "start"),
)


def cause_of(text: str) -> str:
    """The code for an error text of a task; task_failed where the text is unknown."""
    return next((cause for words, cause in (*_REFUSALS, *_CAUSES) if words in text), "task_failed")


def _no_node_cause(
    text: str, service: dict[str, Any], nodes: list[dict[str, Any]]
) -> tuple[str, str | None]:
    """Why the scheduler finds no node, and which node is missing.

    Its own words do not tell when several filters reject nodes: every node that is down is among them, whatever
    the service requires. So the constraints, which only an edit can change, come first.
    """
    constraints = parse_placement_service(service).constraints
    eligible = [n for n in map(parse_placement_node, nodes) if satisfies(constraints, n)]
    if not eligible:
        return "constraint", None
    away = [n for n in eligible if n.state == "down" or n.availability in ("pause", "drain")]
    if len(away) == len(eligible):
        down = [n for n in away if n.state == "down"]
        missing = (down or away)[0]
        return "node_down" if down else "availability", name_of(missing)
    found = [cause for words, cause in _REFUSALS if words in text]
    others = [cause for cause in found if cause not in ("constraint", "availability", "no_node")]
    return (others or found)[0], None


def judge(
    service: dict[str, Any],
    tasks: list[dict[str, Any]],
    current_ids: set[str],
    nodes: list[dict[str, Any]],
    overruled: bool = False,
) -> Verdict:
    """The verdict on a service from its tasks; all arguments are documents of the engine's API.

    `current_ids` are the tasks that the engine reports as up to date. `overruled` says that the service does not
    have the spec that this run wrote. The update status alone does not tell: after a rollback, engine 26.1 says
    `completed` when it has replaced the last task.
    """
    parsed = [parse_node(node) for node in nodes]
    names = {node.id: name_of(node) for node in parsed}
    ready = {node.id for node in parsed if node.state == "ready"}
    spec = service.get("Spec") or {}
    mode = mode_of(spec)
    own = [t for t in tasks if t.get("ServiceID") == service.get("ID")]
    current = [t for t in own if str(t.get("ID")) in current_ids]
    stale = [t for t in own if str(t.get("ID")) not in current_ids and is_desired(t)]

    if is_job(spec):
        counted, desired, lost = _job(service, spec, current, mode, ready)
    else:
        counted, desired, lost = _running(spec, current, stale, mode, ready)

    status = service.get("UpdateStatus") or {}
    update = update_state(service)
    # After a rollback the tasks that failed are not of the spec that the service has now.
    failed = [t for t in own if str(t.get("ID")) not in current_ids and has_failed(t)]
    worst = (_newest(failed) if overruled else None) or _worst(current, lost, ready)
    state, cause, reason, node = WAITING, None, "", None
    if overruled:
        cause, reason, node = "rolled_back", _update_reason(status, worst), _node_of(worst, names)
        if not update.startswith("rollback") and service.get("PreviousSpec"):
            cause, reason, node = (
                "overwritten",
                text("something else changed the service since"),
                None,
            )
        state = WAITING if update == "rollback_started" else FAILED
    elif len(counted) == desired and not stale and update not in UPDATING:
        state = CONVERGED
    elif update in PAUSED:
        cause, reason, node = "paused", _update_reason(status, worst), _node_of(worst, names)
        state = FAILED
    else:
        state = FAILED if lost else WAITING
        if worst is not None:
            reason, node = _task_reason(worst, ready), _node_of(worst, names)
            cause = "node_down" if _on_lost_node(worst, ready) else _task_cause(worst)
            if "no suitable node" in reason:
                cause, node = _no_node_cause(reason, service, nodes)
        elif update == "updating":
            reason = text("the update is in progress")
        elif stale:
            reason = text(
                "{count} task of the previous spec still runs"
                if len(stale) == 1
                else "{count} tasks of the previous spec still run",
                count=len(stale),
            )
        else:
            reason = text("no task yet")
    return Verdict(
        service=str(spec.get("Name")),
        mode=mode["Mode"],
        desired=desired,
        running=len(counted),
        state=state,
        cause=cause,
        reason=reason,
        node=node,
        tasks=frozenset(str(t.get("ID")) for t in counted),
        since=tuple(since for since in map(state_since, counted) if since is not None),
        completed=len([t for t in counted if state_of(t) == "complete"]),
        log_task=None if state == CONVERGED else _with_log(worst),
        last_failure=None
        if worst is None
        else (
            _task_cause(worst),
            _task_reason(worst, ready),
            _node_of(worst, names),
            _with_log(worst),
        ),
        start_period=float(dig(container_of(spec), "Healthcheck", "StartPeriod") or 0) / 1e9,
    )


def overdue(verdict: Verdict) -> Verdict:
    """The verdict after the deadline: a service that is still waiting has failed."""
    if verdict.state != WAITING:
        return verdict
    return replace(verdict, state=FAILED, cause=verdict.cause or "deadline", overdue=True)


def uncompleted(verdict: Verdict) -> Verdict:
    """The verdict on a service whose tasks must complete before others start."""
    if verdict.state != CONVERGED or verdict.completed == verdict.desired:
        return verdict
    return replace(verdict, state=WAITING, reason="its tasks have not completed yet")


def _with_log(task: dict[str, Any] | None) -> str | None:
    """The ID of a task that has a container; a task without one has no log."""
    return str(dig(task, "ID")) if dig(task, "Status", "ContainerStatus", "ContainerID") else None


def _running(
    spec: dict[str, Any],
    current: list[dict[str, Any]],
    stale: list[dict[str, Any]],
    mode: dict[str, Any],
    ready: set[str],
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    """The tasks that count as running, how many are desired, and those that failed for good."""
    live = [t for t in current if is_desired(t)]
    good = [t for t in live if state_of(t) == "running" and t.get("NodeID") in ready]
    ended = _ended(spec, current, live)
    good += [t for t in ended if state_of(t) == "complete"]
    lost = [t for t in ended if has_failed(t)]
    if mode["Mode"] == REPLICATED:
        return good, int(mode["Replicas"]), lost
    # A global service has one task on each eligible node, and only the engine knows which those are.
    expected = [t for t in live + stale if t.get("NodeID") in ready or not t.get("NodeID")]
    finished = [t for t in good if not is_desired(t)]
    return good, len({slot_of(t) for t in expected + finished + lost}), lost


def _ended(
    spec: dict[str, Any], current: list[dict[str, Any]], live: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The latest tasks of slots in which the restart policy starts no other task."""
    policy = (spec.get("TaskTemplate") or {}).get("RestartPolicy") or {}
    if policy.get("Condition") not in ("none", "on-failure") and not policy.get("MaxAttempts"):
        return []
    busy = {slot_of(t) for t in live}
    newest = {slot_of(t): t for t in sorted(current, key=lambda t: str(t.get("CreatedAt") or ""))}
    return [task for slot, task in newest.items() if slot not in busy]


def _job(
    service: dict[str, Any],
    spec: dict[str, Any],
    current: list[dict[str, Any]],
    mode: dict[str, Any],
    ready: set[str],
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    """As _running, of the current iteration of a job: its completed tasks are those that count."""
    iteration = _iteration((service.get("JobStatus") or {}).get("JobIteration"))
    run = [t for t in current if _iteration(t.get("JobIteration")) == iteration]
    done = [t for t in run if state_of(t) == "complete"]
    # The desired state of a completed task of a job is still `complete`.
    live = [t for t in run if is_desired(t) and not has_failed(t)]
    lost = [t for t in _ended(spec, run, live) if has_failed(t)]
    if mode["Mode"] == REPLICATED_JOB:
        return done, int(mode["TotalCompletions"]), lost
    on_nodes = [
        t for t in run if is_desired(t) and (t.get("NodeID") in ready or not t.get("NodeID"))
    ]
    return done, len({slot_of(t) for t in on_nodes + done + lost}), lost


def _iteration(value: Any) -> int:
    return int((value or {}).get("Index") or 0)


def _on_lost_node(task: dict[str, Any], ready: set[str]) -> bool:
    return state_of(task) == "running" and task.get("NodeID") not in ready


def _worst(
    current: list[dict[str, Any]],
    lost: list[dict[str, Any]],
    ready: set[str],
) -> dict[str, Any] | None:
    """The task that says most about why the service has not converged."""
    live = [t for t in current if is_desired(t)]
    failed = [t for t in current if has_failed(t)]
    # A failure before the same replica ran again is not why it does not run now.
    ran: dict[str, str] = {}
    for task in current:
        if state_of(task) in ("running", "shutdown", "complete"):
            slot = slot_of(task)
            ran[slot] = max(ran.get(slot, ""), str(task.get("CreatedAt") or ""))
    fresh = [t for t in failed if str(t.get("CreatedAt") or "") >= ran.get(slot_of(t), "")]
    stuck = [t for t in live if dig(t, "Status", "Err")]
    away = [t for t in live if _on_lost_node(t, ready)]
    slow = [t for t in live if state_of(t) not in ("running", "complete")]
    for group in (lost, stuck, fresh, away, slow, failed):
        if group:
            return _newest(group)
    return None


def _newest(tasks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one whose state is the most recent."""
    return max(tasks, key=lambda t: str(dig(t, "Status", "Timestamp") or ""), default=None)


def _task_cause(task: dict[str, Any]) -> str | None:
    error = str(dig(task, "Status", "Err") or "")
    if error:
        return cause_of(error)
    return "task_failed" if has_failed(task) else None


def _task_reason(task: dict[str, Any], ready: set[str]) -> str:
    if _on_lost_node(task, ready):
        return text("the node does not answer")
    words = reason_of(task)
    code = dig(task, "Status", "ContainerStatus", "ExitCode")
    if code and state_of(task) == "failed" and f"({code})" not in words:
        words += f" (exit code {code})"
    state = state_of(task) or "new"
    # While a task starts, its message says no more than its state.
    return state if words == state else f"{state}: {words}"


def _update_reason(status: dict[str, Any], worst: dict[str, Any] | None) -> str:
    parts = (status.get("Message"), dig(worst, "Status", "Err"))
    return "; ".join(str(part) for part in parts if part) or text("no reason given")


def _node_of(task: dict[str, Any] | None, names: dict[str, str]) -> str | None:
    node_id = str((task or {}).get("NodeID") or "")
    return names.get(node_id, node_id) or None


class Watch:
    """Decides when verdicts are final.

    A container that crashes at once runs for a moment. So the same tasks must run for `settle` seconds, unless nothing was
    `written` and they have been running for longer than that. `wall_clock` returns seconds since 1970.
    """

    def __init__(self, settle: float, written: bool, wall_clock: Callable[[], float]) -> None:
        self._settle = settle
        self._written = written
        self._wall_clock = wall_clock
        self._tasks: frozenset[tuple[str, frozenset[str]]] | None = None
        self._since = 0.0

    def final(self, verdicts: list[Verdict], now: float) -> bool:
        """Whether these verdicts, seen at `now`, in seconds of any clock, are final: one failed, or all converged for good."""
        tasks = frozenset((v.service, v.tasks) for v in verdicts)
        if tasks != self._tasks:
            self._tasks, self._since = tasks, now
        if any(v.state == FAILED for v in verdicts):
            return True
        if not all(v.state == CONVERGED for v in verdicts):
            return False
        if now - self._since >= self._settle:
            return True
        if self._written:
            return False
        newest = max((since for v in verdicts for since in v.since), default=None)
        return newest is None or self._wall_clock() - newest >= self._settle

    def unsettled(self, verdict: Verdict) -> Verdict:
        """The verdict at the deadline: tasks that have run for less than `settle` seconds do not count."""
        now = self._wall_clock()
        new = sum(now - since < self._settle for since in verdict.since)
        if verdict.state != CONVERGED or not new:
            return verdict
        found = replace(verdict, state=WAITING, running=verdict.running - new)
        if verdict.last_failure is None:
            reason = f"its newest task has been running for less than {self._settle:g} s"
            return replace(found, reason=reason)
        cause, reason, node, log_task = verdict.last_failure
        return replace(found, cause=cause, reason=reason, node=node, log_task=log_task)


def not_converged(stack: str, verdicts: list[Verdict], seconds: float) -> SwarmError:
    """The failure of a stack whose services did not all converge within `seconds`, with a cause for each."""
    late = [v for v in verdicts if v.state != CONVERGED]
    failed = any(v.state == FAILED and not v.overdue for v in late)
    when = "failed" if failed else f"did not converge within {seconds:g} s"
    return SwarmError(
        "not_converged",
        f"Stack {stack} {when}: {'; '.join(v.line() for v in late)}",
        services=[v.as_dict() for v in late],
    )


# --- The last lines of a log -----------------------------------------------------------------------------

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[^\t -\x7e\xa0-\uffff]")
_LONGEST_LINE = 300


def log_lines(data: bytes, multiplexed: bool, most: int) -> list[str]:
    """Up to `most` last lines of a log as the engine sends it, without control characters.

    A task without a terminal has both streams `multiplexed`: each piece follows eight bytes that say which stream it is
    from and how long it is (moby: pkg/stdcopy).
    """
    pieces, rest = [], data
    while multiplexed and len(rest) >= 8:
        end = 8 + int.from_bytes(rest[4:8], "big")
        pieces.append(rest[8:end])
        rest = rest[end:]
    text = (b"".join(pieces) if multiplexed else data).decode("utf-8", "replace")
    lines = (_ESCAPES.sub("", line).rstrip()[:_LONGEST_LINE] for line in text.split("\n"))
    return [line for line in lines if line][-most:]
