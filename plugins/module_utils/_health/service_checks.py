# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Checks of services and tasks. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from .._common.words import abbreviate, count_of, either, joined, text
from .._model.documents import moment
from .._model.labels import name_of
from .._model.services import JOBS, PAUSED, UPDATING
from .._model.tasks import has_failed, is_abandoned, reason_of, slot_of, state_of, state_since
from .._services.convergence import cause_of
from .check import Check, CheckInput, Checks

# A replica that has run for this many times as long as it did between two failures has recovered, but not before
# STEADY seconds, however quickly it failed.
RECOVERED = 3
STEADY = 30.0


def _services(given: CheckInput) -> Check:
    short = [row for row in given.service_states if row["running"] < row["wanted"]]
    changing = [row for row in given.service_states if row not in short and row["trouble"]]
    tasks = sum(row["running"] for row in given.service_states)
    good = len(given.service_states) - len(short)
    message = text(
        "{good} of {total} as asked, {tasks} on ready nodes",
        good=good,
        total=len(given.service_states),
        tasks=count_of(tasks, "task"),
    )
    # Nothing runs, or only on nodes that a new leader has not heard from yet.
    gone = [row for row in short if not row["running"] + row["outdated"]]
    dead = [row["name"] for row in gone if not row["unheard"]]
    data = {
        "services": len(given.service_states),
        "short": [row["name"] for row in short],
        "without_tasks": dead,
        "unheard": [row["name"] for row in gone if row["unheard"]],
        "changing": [row["name"] for row in changing],
    }
    if short:
        status = "failed" if dead else "unknown" if gone else "degraded"
        worst = sorted(short, key=lambda row: (row["running"] > 0, not row["trouble"], row["name"]))
        words = abbreviate(
            [
                f"{row['name']} {row['running']}/{row['wanted']}"
                + (f" ({row['trouble']})" if row is worst[0] and row["trouble"] else "")
                for row in worst
            ]
        )
        message = text("{message}; short: {services}", message=message, services=words)
        return Check("services", status, message, text("see docker service ps"), data)
    if changing:
        words = abbreviate([f"{row['name']} ({row['trouble']})" for row in changing], 3)
        message = text("{message}; still changing: {services}", message=message, services=words)
        return Check("services", "degraded", message, text("check again later"), data)
    return Check("services", "ok", message, None, data)


def _pending(given: CheckInput) -> Check:
    """Tasks that have no node yet, with the scheduler's reason."""
    rows = {str(row["id"]): row for row in given.service_states}
    waiting: dict[tuple[str, str, str], int] = Counter()
    for task in given.snapshot.tasks:
        status = task["Status"]
        if is_abandoned(task) or status["State"] not in (
            "new",
            "pending",
        ):
            continue
        age = given.now - (moment(task["CreatedAt"]) or given.now)
        if status["Err"] or age > given.thresholds.pending_seconds:
            reason = reason_of(task)
            row = rows.get(task["ServiceID"], {"name": "a task", "trouble": None})
            # Of several reasons, the verdict on the service tells which one counts.
            same = reason in (row["trouble"] or "")
            cause = row["cause"] if same and row["cause"] else cause_of(reason)
            waiting[row["name"], cause, reason] += 1
    found = [
        {"service": service, "tasks": count, "cause": cause, "reason": reason}
        for (service, cause, reason), count in sorted(waiting.items())
    ]
    data = {"pending": found}
    if not found:
        return Check("pending", "ok", text("no task waits for a node"), None, data)
    words = abbreviate(
        [f"{each['service']} ({each['tasks']}): {each['reason']}" for each in found], 3
    )
    total = sum(waiting.values())
    message = text(
        "{count} task waits for a node: {services}"
        if total == 1
        else "{count} tasks wait for a node: {services}",
        count=total,
        services=words,
    )
    return Check("pending", "degraded", message, text("add capacity or relax constraints"), data)


def _restarts(given: CheckInput) -> Check:
    """How often tasks have failed recently. One replica that fails repeatedly is worse than many that failed once.

    A task that crashes at once runs for a moment each time. So what counts is not whether it runs now, but whether it has
    run for longer than between its failures.
    """
    rows = {str(row["id"]): row for row in given.service_states}
    slots: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    desired_slots = set()
    for task in given.snapshot.tasks:
        slot = task["ServiceID"], slot_of(task)
        if not is_abandoned(task):
            desired_slots.add(slot)
        since = state_since(task)
        if has_failed(task) and since and since >= given.now - given.thresholds.restart_window:
            slots[slot].append(task)
    failed: dict[str, dict[str, Any]] = {}
    for (service, _number), tasks in sorted(slots.items()):
        row = rows.get(service, {})
        each = failed.setdefault(
            str(row.get("name", service)),
            {"failed": 0, "worst_slot": 0, "looping": False, "cause": None, "reason": None},
        )
        each["failed"] += len(tasks)
        desired = (service, _number) in desired_slots and row.get("mode") not in JOBS
        each["looping"] = each["looping"] or (desired and _loops(given, tasks))
        if len(tasks) > each["worst_slot"]:
            each["worst_slot"] = len(tasks)
            reason = reason_of(max(tasks, key=lambda task: state_since(task) or 0.0))
            each.update(cause=cause_of(reason), reason=reason)
    data = {"window": given.thresholds.restart_window, "services": failed}
    many = {
        name: each
        for name, each in failed.items()
        if each["worst_slot"] >= given.thresholds.restarts or each["looping"]
    }
    if many:
        words = abbreviate(
            [f"{name} {each['failed']} ({each['reason']})" for name, each in sorted(many.items())]
        )
        looping = [name for name, each in many.items() if each["looping"]]
        # A task that never ran has no log.
        ran = {each["cause"] in ("crash", "unhealthy") for each in many.values()}
        commands = {True: "docker service logs", False: "docker service ps --no-trunc"}
        advice = either([command for has_log, command in commands.items() if has_log in ran])
        return Check(
            "restarts",
            "failed" if looping else "degraded",
            text(
                "tasks keep failing, in the last {window:g} s: {services}"
                if looping
                else "tasks have failed repeatedly, in the last {window:g} s: {services}",
                window=given.thresholds.restart_window,
                services=words,
            ),
            text("see {commands}", commands=advice),
            data,
        )
    total = sum(each["failed"] for each in failed.values())
    message = text(
        "{count} task has failed in the last {window:g} s"
        if total == 1
        else "{count} tasks have failed in the last {window:g} s",
        count=total,
        window=given.thresholds.restart_window,
    )
    return Check("restarts", "ok", message, None, data)


def _loops(given: CheckInput, failures: list[dict[str, Any]]) -> bool:
    """Whether a replica with these failures, of its current spec, is likely to fail again."""
    current = given.snapshot.current
    times = sorted(
        state_since(task) or 0.0 for task in failures if current is None or task["ID"] in current
    )
    if len(times) < max(2, given.thresholds.restarts):
        return False
    between = (times[-1] - times[0]) / (len(times) - 1)
    return given.now - times[-1] < max(STEADY, RECOVERED * between)


def _updates(given: CheckInput) -> Check:
    states: dict[str, list[str]] = defaultdict(list)
    for row in given.service_states:
        if row["on_request"]:
            states["on_request"].append(row["name"])
        elif row["update"]:
            states[row["update"]].append(row["name"])
    paused = [name for state in PAUSED for name in states[state]]
    back = states["rollback_completed"]
    going = [name for state in UPDATING for name in states[state]]
    asked = states["on_request"]
    data = {
        "paused": paused,
        "rolled_back": back,
        "rolled_back_on_request": asked,
        "going_on": going,
    }
    words = []
    if paused:
        words.append(text("paused: {names}", names=abbreviate(paused)))
    if back:
        words.append(text("rolled back: {names}", names=abbreviate(back)))
    if asked:
        words.append(text("rolled back on request: {names}", names=abbreviate(asked)))
    if going:
        words.append(text("in progress: {names}", names=abbreviate(going)))
    message = joined(words, "; ") if words else text("none is paused or was rolled back")
    if paused or back:
        return Check("updates", "degraded", message, text("correct and deploy again"), data)
    return Check("updates", "ok", message, None, data)


def _orphans(given: CheckInput) -> Check:
    nodes = {node.id: node for node in given.snapshot.nodes}
    where: Counter[str] = Counter()
    for task in given.snapshot.tasks:
        if state_of(task) == "running" and task["NodeID"]:
            node = nodes.get(task["NodeID"])
            if node is None or node.state not in ("ready", "unknown"):
                name = name_of(node) if node else f"a node that was removed ({task['NodeID']})"
                where[name] += 1
    data = {"nodes": dict(where)}
    if not where:
        return Check("orphans", "ok", text("no task is left on a dead node"), None, data)
    words = abbreviate(
        [text("{count} on {name}", count=count, name=name) for name, count in sorted(where.items())]
    )
    message = text("tasks on dead nodes, which may still run there unseen: {words}", words=words)
    advice = text("bring the node back, or remove it")
    return Check("orphans", "degraded", message, advice, data)


SERVICE_CHECKS: Checks = {
    "services": _services,
    "pending": _pending,
    "restarts": _restarts,
    "updates": _updates,
    "orphans": _orphans,
}
