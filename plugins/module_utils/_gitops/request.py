# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What an operator asks for: sync, roll back, suspend, resume. The module runs it on the leader, under the locks of the timer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._host.locks import alone
from .access import DOCKER_HOST, read_settings
from .decide import REFUSE, RESUME, ROLLBACK, SUSPEND, SYNC, WAIT, Decision, Request
from .idle import leads
from .kept import read_kept
from .service import BUSY, LOCK
from .state import AppState, from_text
from .table import rows
from .tick import Report, Tick

# Seconds until the engine answers.
_ANSWER = 60
_VERBS = {SYNC: "sync", ROLLBACK: "roll back", SUSPEND: "suspend", RESUME: "resume"}


@dataclass
class Outcome:
    """What the module returns."""

    app: str
    acting: str = ""  # the leader
    changed: bool = False
    plan: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)

    def as_result(self) -> dict[str, Any]:
        """All keys of the result."""
        text = "\n".join(self.plan) + "\n" if self.plan and self.changed else ""
        return {**vars(self), "diff": {"prepared": text} if text else {}}


def carry_out(
    app: str,
    request: Request,
    accept_rewrite: bool,
    wait: float,
    check_mode: bool,
    outcome: Outcome,
) -> None:
    """Do what is asked for if this host leads the swarm; raises what is wrong with it."""
    # First, because any manager must be able to take over.
    document = read_settings()
    if not leads(EngineReader(DOCKER_HOST, _ANSWER)):
        return
    with alone(LOCK, BUSY, wait):
        before = {
            name: from_text(name, kept.text)
            for name, kept in read_kept(EngineReader(DOCKER_HOST, _ANSWER)).states.items()
        }
        # An application that nobody knows can be in what is not accepted yet.
        state = before.get(app)
        names = {str(entry["name"]) for entry in document.get("repositories") or []}
        rewrite = ({state.repository, *state.sources} if state else names) if accept_rewrite else ()
        said: list[str] = []
        tick = Tick(document, said.append, {app: request}, rewrite, check_mode)
        try:
            tick.run()
        finally:
            _fill(outcome, app, tick.report, before, check_mode)
        _judge(app, tick.report, request)


def _fill(
    outcome: Outcome,
    app: str,
    report: Report,
    before: Mapping[str, AppState],
    check_mode: bool,
) -> None:
    outcome.acting = report.node if report.leader else ""
    outcome.applied = report.done
    outcome.changed = report.changes if check_mode else bool(report.done)
    now = {**report.states}
    mine = _decision(app, report)
    if check_mode and mine is not None and mine.state is not None:
        now[app] = mine.state
    outcome.plan = report.plan or _words(app, before.get(app), now.get(app), outcome.changed)
    outcome.status = next((row for row in rows(now.values()) if row["name"] == app), {})


def _words(app: str, before: AppState | None, after: AppState | None, changed: bool) -> list[str]:
    """A plan that is no plan of a stack."""
    old = before.sync if before else "-"
    new = after.sync if after else "-"
    if not changed:
        return [f"PLAN  application {app}", f"  = {app}  {new}: nothing to do"]
    return [f"PLAN  application {app}", f"  ~ {app}  {old} -> {new}"]


def _decision(app: str, report: Report) -> Decision | None:
    return next((each for each in report.decisions if each.name == app), None)


def _judge(app: str, report: Report, request: Request) -> None:
    """Raise what keeps the request from being done."""
    if report.failure is not None:
        raise report.failure
    mine = _decision(app, report)
    known = sorted({each.name for each in report.decisions} | report.states.keys())
    if mine is None and app not in known:
        listed = ", ".join(name for name in known if "/" not in name) or "none"
        raise SwarmError(
            "unknown_app",
            f"Could not {_VERBS[request.kind]} application {app}: no repository has it. The applications are: {listed}.",
            apps=known,
        )
    if mine is None or request.kind not in (SYNC, ROLLBACK):
        return
    sources = {mine.state.repository, *mine.state.sources} if mine.state else set()
    silent = sorted(sources & report.troubles.keys()) if request.kind == SYNC else []
    cause = mine.cause if mine.action in (REFUSE, WAIT) else ""
    cause = cause or "; ".join(report.troubles[name] for name in silent)
    if cause:
        words = f"Could not {_VERBS[request.kind]} application {app}: {cause.rstrip('.')}."
        raise SwarmError("sync_refused", words)
