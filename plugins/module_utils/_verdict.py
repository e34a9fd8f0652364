# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Whether a service runs as it was asked to, and if not, why. No I/O.

A verdict is made of tasks: those of the spec that was asked for, on nodes that are ready.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import HOST_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig, moment
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    parse_placement_node,
    parse_placement_service,
    satisfies,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of

_MODES = {"Global": "global", "ReplicatedJob": "replicated-job", "GlobalJob": "global-job"}

CONVERGED, WAITING, FAILED = "converged", "waiting", "failed"


@dataclass(frozen=True)
class Verdict:
    """Whether one service runs as asked, and if not, why."""

    service: str
    mode: str
    desired: int
    running: int
    state: str
    cause: str | None = None
    reason: str = ""
    node: str | None = None
    log: tuple[str, ...] = ()
    tasks: frozenset[str] = frozenset()
    youngest: float | None = None
    since: tuple[float, ...] = ()
    completed: int = 0
    # The task that says most about what is wrong, if it has a container, and so a log.
    witness: str | None = None
    # Of a service that runs: what its last task has failed of, as cause, reason, node and witness.
    relapse: tuple[str | None, str, str | None, str | None] | None = None
    start_period: float = 0.0
    overdue: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.service,
            "mode": self.mode,
            "desired": self.desired,
            "running": self.running,
            "state": self.state,
            "cause": self.cause,
            "reason": self.reason,
            "node": self.node,
            "log": list(self.log),
        }

    def line(self) -> str:
        text = f"{self.service}: {self.running} of {count_of(self.desired, 'task')} as asked"
        if self.reason:
            where = f" on {self.node}" if self.node else ""
            text += f", {self.cause or 'waiting'}{where}: {self.reason}"
        if self.log:
            text += f' (its log ends with "{self.log[-1]}")'
        return text


# Why the scheduler takes no node. It counts a node under the first filter that the node does not pass; here
# the last filter comes first, for who got that far had passed the others (swarmkit: manager/scheduler/filter.go).
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

# What else the engine says of a task, and what it means (swarmkit: agent/exec/dockerapi; moby:
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
    return next((cause for words, cause in (*_REFUSALS, *_CAUSES) if words in text), "task_failed")


def _homeless(
    text: str, service: dict[str, Any], nodes: list[dict[str, Any]]
) -> tuple[str, str | None]:
    """Why the scheduler finds no node, and which node is missed.

    Its own words do not tell when several filters refuse nodes: every node that is down is among them, whatever
    was asked. So the constraints, which nothing but an edit can change, are looked at first.
    """
    asked = parse_placement_service(service).constraints
    meeting = [n for n in map(parse_placement_node, nodes) if satisfies(asked, n)]
    if not meeting:
        return "constraint", None
    away = [n for n in meeting if n.state == "down" or n.availability in ("pause", "drain")]
    if len(away) == len(meeting):
        down = [n for n in away if n.state == "down"]
        missed = (down or away)[0]
        return "node_down" if down else "availability", str(
            missed.labels.get(HOST_LABEL) or missed.hostname or missed.id
        )
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
    """A verdict from the tasks of the spec that the service has now, on nodes that are ready.

    `current_ids` are the tasks that the engine itself holds for up to date. `overruled` says that the
    service does not have the spec that this run wrote. The update status alone does not tell: after a
    rollback, engine 26.1 says `completed` when it has replaced the last task.
    """
    names = {str(n.get("ID")): hostname_of(n) for n in nodes}
    ready = {str(n.get("ID")) for n in nodes if (n.get("Status") or {}).get("State") == "ready"}
    spec = service.get("Spec") or {}
    mode = mode_of(spec.get("Mode") or {})
    own = [t for t in tasks if t.get("ServiceID") == service.get("ID")]
    current = [t for t in own if str(t.get("ID")) in current_ids]
    stale = [t for t in own if str(t.get("ID")) not in current_ids and _wanted(t)]

    if mode["Mode"].endswith("-job"):
        counted, desired, lost = _job(service, spec, current, mode, ready)
    else:
        counted, desired, lost = _running(spec, current, stale, mode, ready)

    status = service.get("UpdateStatus") or {}
    update = str(status.get("State") or "")
    # After a rollback the tasks that failed are no longer those of the spec that the service has: these are only put back.
    refused = [t for t in own if str(t.get("ID")) not in current_ids and _has_failed(t)]
    trouble = (_newest(refused) if overruled else None) or _trouble(current, lost, ready)
    state, cause, reason, node = WAITING, None, "", None
    if overruled:
        cause, reason, node = "rolled_back", _said(status, trouble), _node_of(trouble, names)
        if not update.startswith("rollback") and service.get("PreviousSpec"):
            cause, reason, node = "overwritten", "somebody else has written the service since", None
        state = WAITING if update == "rollback_started" else FAILED
    elif len(counted) == desired and not stale and update not in ("updating", "rollback_started"):
        state = CONVERGED
    elif update in ("paused", "rollback_paused"):
        cause, reason, node = "paused", _said(status, trouble), _node_of(trouble, names)
        state = FAILED
    else:
        state = FAILED if lost else WAITING
        if trouble is not None:
            reason, node = _task_reason(trouble, ready), _node_of(trouble, names)
            cause = "node_down" if _on_lost_node(trouble, ready) else _task_cause(trouble)
            if "no suitable node" in reason:
                cause, node = _homeless(reason, service, nodes)
        elif update == "updating":
            reason = "the update is not finished"
        elif stale:
            words = count_of(len(stale), "task")
            reason = f"{words} of the spec before still {'runs' if len(stale) == 1 else 'run'}"
        else:
            reason = "no task yet"
    since = tuple(seen for seen in map(_timestamp, counted) if seen is not None)
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
        youngest=max(since, default=None),
        since=since,
        completed=len([t for t in counted if _state(t) == "complete"]),
        witness=None if state == CONVERGED else _witness(trouble),
        relapse=None
        if trouble is None
        else (
            _task_cause(trouble),
            _task_reason(trouble, ready),
            _node_of(trouble, names),
            _witness(trouble),
        ),
        start_period=_start_period(spec),
    )


def overdue(verdict: Verdict) -> Verdict:
    """The verdict when the time of a service is over."""
    if verdict.state != WAITING:
        return verdict
    return replace(verdict, state=FAILED, cause=verdict.cause or "deadline", overdue=True)


def unended(verdict: Verdict) -> Verdict:
    """The verdict on a service whose tasks have to end before others start."""
    if verdict.state != CONVERGED or verdict.completed == verdict.desired:
        return verdict
    return replace(verdict, state=WAITING, reason="its tasks have not ended yet")


def _start_period(spec: dict[str, Any]) -> float:
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    return float((container.get("Healthcheck") or {}).get("StartPeriod") or 0) / 1e9


def _witness(trouble: dict[str, Any] | None) -> str | None:
    status = (trouble or {}).get("Status") or {}
    if not (status.get("ContainerStatus") or {}).get("ContainerID"):
        return None
    return str((trouble or {}).get("ID"))


def mode_of(mode: dict[str, Any]) -> dict[str, Any]:
    name: str = next((key for key in mode if mode[key] is not None), "Replicated")
    settings = dict(mode.get(name) or {})
    if name == "Replicated":
        replicas = settings.get("Replicas")
        return {"Mode": "replicated", "Replicas": 1 if replicas is None else replicas}
    if name == "ReplicatedJob":
        concurrent = settings.get("MaxConcurrent")
        settings["MaxConcurrent"] = 1 if concurrent is None else concurrent
        total = settings.get("TotalCompletions")
        settings["TotalCompletions"] = settings["MaxConcurrent"] if total is None else total
    return {"Mode": _MODES.get(name, name.lower()), **settings}


def _state(task: dict[str, Any]) -> str:
    return str((task.get("Status") or {}).get("State") or "")


def _wanted(task: dict[str, Any]) -> bool:
    return task.get("DesiredState") in ("running", "ready", "accepted", "complete")


def _running(
    spec: dict[str, Any],
    current: list[dict[str, Any]],
    stale: list[dict[str, Any]],
    mode: dict[str, Any],
    ready: set[str],
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    live = [t for t in current if _wanted(t)]
    good = [t for t in live if _state(t) == "running" and t.get("NodeID") in ready]
    ended = _ended(spec, current, live)
    good += [t for t in ended if _state(t) == "complete"]
    lost = [t for t in ended if _state(t) in ("failed", "rejected")]
    if mode["Mode"] == "replicated":
        return good, int(mode["Replicas"]), lost
    # A global service wants one task on each node that fits, and only the engine knows which those are.
    expected = [t for t in live + stale if t.get("NodeID") in ready or not t.get("NodeID")]
    finished = [t for t in good if not _wanted(t)]
    return good, len({_slot(t) for t in expected + finished + lost}), lost


def _ended(
    spec: dict[str, Any], current: list[dict[str, Any]], live: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Tasks that nothing replaces: well if they were done, for good if they were not."""
    policy = (spec.get("TaskTemplate") or {}).get("RestartPolicy") or {}
    if policy.get("Condition") not in ("none", "on-failure") and not policy.get("MaxAttempts"):
        return []
    busy = {_slot(t) for t in live}
    return [t for t in _newest_by_slot(current) if _slot(t) not in busy]


def _job(
    service: dict[str, Any],
    spec: dict[str, Any],
    current: list[dict[str, Any]],
    mode: dict[str, Any],
    ready: set[str],
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    iteration = _iteration((service.get("JobStatus") or {}).get("JobIteration"))
    run = [t for t in current if _iteration(t.get("JobIteration")) == iteration]
    done = [t for t in run if _state(t) == "complete"]
    # A task of a job that was done is still wanted as complete.
    live = [t for t in run if _wanted(t) and _state(t) not in ("failed", "rejected")]
    lost = [t for t in _ended(spec, run, live) if _state(t) in ("failed", "rejected")]
    if mode["Mode"] == "replicated-job":
        return done, int(mode["TotalCompletions"]), lost
    on_nodes = [t for t in run if _wanted(t) and (t.get("NodeID") in ready or not t.get("NodeID"))]
    return done, len({_slot(t) for t in on_nodes + done + lost}), lost


def _iteration(value: Any) -> int:
    return int((value or {}).get("Index") or 0)


def _slot(task: dict[str, Any]) -> str:
    return str(task.get("Slot") or task.get("NodeID") or task.get("ID"))


def _newest_by_slot(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for task in sorted(tasks, key=lambda t: str(t.get("CreatedAt") or "")):
        newest[_slot(task)] = task
    return list(newest.values())


def _on_lost_node(task: dict[str, Any], ready: set[str]) -> bool:
    return _state(task) == "running" and task.get("NodeID") not in ready


def _trouble(
    current: list[dict[str, Any]],
    lost: list[dict[str, Any]],
    ready: set[str],
) -> dict[str, Any] | None:
    """The task that says most about why the service is not there yet."""
    live = [t for t in current if _wanted(t)]
    failed = [t for t in current if _has_failed(t)]
    # What has failed before the same replica ran again is not why it does not run now.
    ran: dict[str, str] = {}
    for task in current:
        if _state(task) in ("running", "shutdown", "complete"):
            ran[_slot(task)] = max(ran.get(_slot(task), ""), str(task.get("CreatedAt") or ""))
    fresh = [t for t in failed if str(t.get("CreatedAt") or "") >= ran.get(_slot(t), "")]
    stuck = [t for t in live if (t.get("Status") or {}).get("Err")]
    away = [t for t in live if _on_lost_node(t, ready)]
    slow = [t for t in live if _state(t) not in ("running", "complete")]
    for group in (lost, stuck, fresh, away, slow, failed):
        if group:
            return _newest(group)
    return None


def _has_failed(task: dict[str, Any]) -> bool:
    return _state(task) in ("failed", "rejected")


def _newest(tasks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The one whose state is the most recent."""
    return max(
        tasks, key=lambda t: str((t.get("Status") or {}).get("Timestamp") or ""), default=None
    )


def _task_cause(task: dict[str, Any]) -> str | None:
    status = task.get("Status") or {}
    error = str(status.get("Err") or "")
    if error:
        return cause_of(error)
    return "task_failed" if _has_failed(task) else None


def _task_reason(task: dict[str, Any], ready: set[str]) -> str:
    status = task.get("Status") or {}
    if _on_lost_node(task, ready):
        return "the node does not answer"
    text = str(status.get("Err") or status.get("Message") or "no reason given")
    code = (status.get("ContainerStatus") or {}).get("ExitCode")
    if code and _state(task) == "failed" and f"({code})" not in text:
        text += f" (exit code {code})"
    state = _state(task) or "new"
    # Of a task that is on its way, the message says no more than its state.
    return state if text == state else f"{state}: {text}"


def _said(status: dict[str, Any], trouble: dict[str, Any] | None) -> str:
    parts = [str(status.get("Message") or "")]
    if trouble is not None and (trouble.get("Status") or {}).get("Err"):
        parts.append(str(trouble["Status"]["Err"]))
    return "; ".join(part for part in parts if part) or "no reason given"


def _node_of(task: dict[str, Any] | None, names: dict[str, str]) -> str | None:
    node_id = str((task or {}).get("NodeID") or "")
    return names.get(node_id, node_id) or None


def hostname_of(node: dict[str, Any]) -> str:
    """The name in the inventory that we gave a node, else what its engine calls itself."""
    known = ((node.get("Spec") or {}).get("Labels") or {}).get(HOST_LABEL)
    return str(known or (node.get("Description") or {}).get("Hostname") or node.get("ID"))


def _timestamp(task: dict[str, Any]) -> float | None:
    return moment(dig(task, "Status", "Timestamp"))


class Watch:
    """Decides when a row of verdicts is final.

    A container that crashes at once is running for a moment. So the same tasks must be there for
    `settle` seconds, unless nothing was written and they have been running for longer than that.
    """

    def __init__(self, settle: float, written: bool, wall_clock: Callable[[], float]) -> None:
        self._settle = settle
        self._written = written
        self._wall_clock = wall_clock
        self._tasks: frozenset[tuple[str, frozenset[str]]] | None = None
        self._since = 0.0

    def final(self, verdicts: list[Verdict], now: float) -> bool:
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
        moments = [v.youngest for v in verdicts if v.youngest is not None]
        return not moments or self._wall_clock() - max(moments) >= self._settle

    def unsettled(self, verdict: Verdict) -> Verdict:
        """The verdict when there is no time left to see whether the tasks stay."""
        now = self._wall_clock()
        young = sum(now - moment < self._settle for moment in verdict.since)
        if verdict.state != CONVERGED or not young:
            return verdict
        found = replace(verdict, state=WAITING, running=verdict.running - young)
        if verdict.relapse is None:
            reason = f"its newest task has been running for less than {self._settle:g} s"
            return replace(found, reason=reason)
        cause, reason, node, witness = verdict.relapse
        return replace(found, cause=cause, reason=reason, node=node, witness=witness)


def undeployed(stack: str, verdicts: list[Verdict], seconds: float) -> SwarmError:
    """The failure of a stack whose services are not all there, with a cause for each."""
    open_ones = [v for v in verdicts if v.state != CONVERGED]
    failed = any(v.state == FAILED and not v.overdue for v in open_ones)
    when = "has failed" if failed else f"is not up after {seconds:g} s"
    return SwarmError(
        "not_converged",
        f"Stack {stack} {when}: {'; '.join(v.line() for v in open_ones)}",
        services=[v.as_dict() for v in open_ones],
    )


# --- The last lines of a log -----------------------------------------------------------------------------

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[^\t -\x7e\xa0-\uffff]")
_LONGEST_LINE = 300


def log_lines(data: bytes, multiplexed: bool, most: int) -> list[str]:
    """The last lines of a log as the engine sends it, fit to be shown.

    Without a terminal, pieces of both streams come one after the other, each behind eight bytes: which
    stream it is, and how long the piece is (moby: pkg/stdcopy).
    """
    pieces, rest = [], data
    while multiplexed and len(rest) >= 8:
        end = 8 + int.from_bytes(rest[4:8], "big")
        pieces.append(rest[8:end])
        rest = rest[end:]
    text = (b"".join(pieces) if multiplexed else data).decode("utf-8", "replace")
    lines = (_ESCAPES.sub("", line).rstrip()[:_LONGEST_LINE] for line in text.split("\n"))
    return [line for line in lines if line][-most:]
