# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What happens to each application, and why. Pure.

The state in the swarm and what the caller has seen go in; the next step and the next state come out. If nothing has changed, the state
is the same, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._common.words import abbreviate, count_of
from .._services.convergence import CONVERGED, Verdict
from .._services.convergence import FAILED as VERDICT_FAILED
from .app import APP_FILE, App, Place
from .catalog import Found
from .settings import Settings
from .state import (
    DEGRADED,
    DRIFT,
    HEALTHY,
    LEFT,
    MISSING,
    OUT_OF_SYNC,
    PROGRESSING,
    SUSPENDED,
    SYNCED,
    TROUBLE,
    UNKNOWN,
    AppState,
    Attempt,
    Drift,
    Suspension,
    Target,
    bounded,
    ended_badly,
    failure_words,
    suspended_words,
    with_event,
    with_health,
    with_status,
)
from .windows import opening, stamp

# What the caller does: nothing; plan the stack, and decide again with `changes`; deploy; roll back to `revision`; remove the stack, or
# only the state; nothing yet; nothing, because something speaks against it.
NOTHING, LOOK, DEPLOY, ROLL_BACK, REMOVE, FORGET, WAIT, REFUSE = (
    *("nothing", "look", "deploy", "roll_back"),
    *("remove", "forget", "wait", "refuse"),
)
# What an operator asks for.
SYNC, ROLLBACK, SUSPEND, RESUME = "sync", "rollback", "suspend", "resume"
# A deploy that was killed so often counts as failed.
MOST_INTERRUPTIONS = 3
# Seconds that services may take after a deploy before they count as degraded, where nobody knows the deadline of the application.
_DEADLINE = 300


@dataclass(frozen=True)
class Request:
    """What an operator asks for with gitops_sync.yml."""

    kind: str  # SYNC, ROLLBACK, SUSPEND or RESUME
    by: str = ""
    why: str = ""
    revision: int = 0  # of ROLLBACK
    force: bool = False  # outside of windows too


@dataclass(frozen=True)
class Seen:
    """What the caller has seen of an application."""

    # Why the inputs of this application cannot be read; what follows is then empty.
    trouble: str = ""
    desired: str = ""  # the hash of the inputs
    commit: str = ""
    message: str = ""
    author: str = ""
    exists: bool = False  # the stack has services
    found: str = ""  # the hash of its objects; empty if nobody has looked
    changes: tuple[str, ...] | None = None  # the lines of a plan; None if there is none
    health: str = ""  # empty if nobody has looked
    health_cause: str = ""
    request: Request | None = None

    @property
    def target(self) -> Target:
        """What a deploy would deploy."""
        return Target(self.desired, self.commit, self.message, self.author)


@dataclass(frozen=True)
class Decision:
    """The next step for an application, and its state, which is written if it differs; None if there is nothing to know."""

    name: str
    action: str
    state: AppState | None
    cause: str = ""
    heal: bool = False  # the deploy heals a drift
    revision: int = 0  # of ROLL_BACK
    next_look: float | None = None  # when something can change by itself


@dataclass(frozen=True)
class _Step:
    """What `_step` and its parts decide; a `state` of None is that before."""

    action: str
    sync: str
    cause: str = ""
    next_look: float | None = None
    heal: bool = False
    revision: int = 0
    state: AppState | None = None


def decide(app: App, before: AppState | None, seen: Seen, now: float) -> Decision:
    """The next step for one application; waves and removals are the business of `plan_all`."""
    state = replace(
        before or AppState(app.name, since=now),
        repository=app.repository,
        folder=app.folder,
        sources=app.sources,
        prune=app.prune,
        wave=app.wave,
    )
    if seen.health:
        state = with_health(state, seen.health, seen.health_cause, now)
    state = _after_request(state, seen.request, now)
    return _decision(_step(app, state, seen, now), state, before, now)


def _decision(step: _Step, state: AppState, before: AppState | None, now: float) -> Decision:
    new = step.sync == UNKNOWN and (before is None or before.sync != UNKNOWN)
    state = step.state or state
    if step.action != LOOK:
        state = with_status(state, step.sync, step.cause, now)
    if new:
        state = with_event(state, TROUBLE, now)
    return Decision(
        state.name,
        step.action,
        bounded(state),
        step.cause,
        step.heal,
        step.revision,
        step.next_look,
    )


def _after_request(state: AppState, request: Request | None, now: float) -> AppState:
    if request is not None and request.kind == SUSPEND:
        return replace(state, suspended=Suspension(request.by, now, request.why))
    if request is not None and request.kind == RESUME:
        return replace(state, suspended=None)
    return state


def _asks(seen: Seen, kind: str) -> bool:
    return seen.request is not None and seen.request.kind == kind


def _step(app: App, state: AppState, seen: Seen, now: float) -> _Step:
    held = state.suspended is not None or app.suspend
    if _asks(seen, ROLLBACK):
        closed = _closed(app, seen, now)
        revision = seen.request.revision if seen.request else 0
        return closed or _Step(ROLL_BACK, state.sync, state.cause, revision=revision)
    if held and _asks(seen, SYNC):
        return _Step(REFUSE, SUSPENDED, f"{suspended_words(state)}; resume it first")
    if held:
        return _Step(NOTHING, SUSPENDED, suspended_words(state))
    if seen.trouble:
        return _Step(REFUSE if _asks(seen, SYNC) else NOTHING, UNKNOWN, seen.trouble)
    if _is_foreign(state, seen) and not _asks(seen, SYNC):
        return _Step(
            REFUSE,
            OUT_OF_SYNC,
            f"stack {app.name} is in the swarm and was not deployed from git; to take it over, run gitops_sync.yml -e app={app.name}",
        )
    if state.doing is not None and state.doing.desired == seen.desired:
        return _resumed(app, state, state.doing, seen, now)
    if state.desired == seen.desired:
        return _compared(app, state, seen, now)
    closed = _gate(app, state, seen, now)
    return closed or _Step(DEPLOY, OUT_OF_SYNC, f"commit {seen.commit[:12]} is not deployed yet")


def _is_foreign(state: AppState, seen: Seen) -> bool:
    """Whether the stack was there before the application."""
    return seen.exists and not state.tried and state.doing is None


def _resumed(app: App, state: AppState, doing: Attempt, seen: Seen, now: float) -> _Step:
    """A deploy that was killed. It is finished also outside of windows, because half of it may have been done."""
    if doing.attempts < MOST_INTERRUPTIONS:
        heal = state.desired == doing.desired
        words = f"the deploy of commit {doing.commit[:12]} was interrupted and is resumed"
        return _Step(DEPLOY, OUT_OF_SYNC, words, heal=heal)
    target = Target(doing.desired, doing.commit)
    words = f"it was interrupted {doing.attempts} times; see the journals of the managers"
    state = ended_badly(state, target, words, now, outcome=LEFT)
    if seen.health:
        state = with_health(state, seen.health, seen.health_cause, now)
    # From here on it is a failed deploy like any other, so that the next look finds nothing new.
    step = _step(app, state, seen, now)
    return replace(step, state=step.state or state)


def _compared(app: App, state: AppState, seen: Seen, now: float) -> _Step:
    """The inputs are those that were deployed: whether the objects in the swarm are so too."""
    drift = state.drift
    asked = _asks(seen, SYNC)
    if not seen.found or (seen.found == state.found and not asked):
        clear = replace(state, drift=None, failed=_other_failure(state)) if seen.found else state
        return _Step(NOTHING, SYNCED, state=clear)
    if seen.changes is None and (drift is None or drift.found != seen.found or asked):
        return _Step(LOOK, state.sync, state.cause)
    if seen.changes is not None and not seen.changes:
        clear = replace(state, found=seen.found, drift=None, failed=_other_failure(state))
        return _Step(NOTHING, SYNCED, state=clear)
    known = drift is not None
    if seen.changes is not None:
        drift = Drift(seen.found, abbreviate(list(seen.changes), 5))
    state = replace(state, drift=drift)
    if not known:
        state = with_event(state, DRIFT, now)
    words = f"drift: {drift.words if drift else ''}"
    if not app.self_heal and not asked:
        return _Step(NOTHING, OUT_OF_SYNC, words, state=state)
    closed = _gate(app, state, seen, now, heal=True)
    if closed is not None:
        return replace(closed, cause=f"{words}; {closed.cause}", state=state)
    return _Step(DEPLOY, OUT_OF_SYNC, words, heal=True, state=state)


def _other_failure(state: AppState) -> Attempt | None:
    """The failed deploy of other inputs than those that run; that of these inputs is over."""
    failed = state.failed
    return None if failed is not None and failed.desired == state.desired else failed


def _gate(app: App, state: AppState, seen: Seen, now: float, heal: bool = False) -> _Step | None:
    """What speaks against a deploy now; None if nothing does."""
    asked = _asks(seen, SYNC)
    failed = state.failed
    if failed is not None and failed.desired != seen.desired:
        failed = None
    if not app.automatic and not asked and not heal:
        commit = f"commit {seen.commit[:12]} is not deployed:"
        words = f"{failure_words(failed)};" if failed else commit
        words = f"{words} sync is manual; run gitops_sync.yml -e app={app.name}"
        return _Step(NOTHING, OUT_OF_SYNC, words)
    if failed is not None and not asked:
        again, when = _again(app, state)
        if when is None or now < when:
            words = f"{failure_words(failed)}; {again}"
            return _Step(WAIT if when else NOTHING, OUT_OF_SYNC, words, when)
    if heal and state.heals and not asked:
        when = state.healed + app.retry.wait(state.heals)
        if now < when:
            words = f"it was healed {count_of(state.heals, 'time')} already, and is healed again after {stamp(when)}"
            return _Step(WAIT, OUT_OF_SYNC, words, when)
    return _closed(app, seen, now)


def _again(app: App, state: AppState) -> tuple[str, float | None]:
    """Whether a failed deploy is tried again, in words, and when."""
    failed = state.failed
    if failed is None or failed.attempts > app.retry.limit:
        times = f" after {count_of(failed.attempts, 'attempt')}" if failed else ""
        return (
            f"it is not tried again{times}, until the application changes or gitops_sync.yml -e app={app.name} is run",
            None,
        )
    when = failed.at + app.retry.wait(failed.attempts)
    return f"attempt {failed.attempts + 1} of {app.retry.limit + 1} is after {stamp(when)}", when


def _closed(app: App, seen: Seen, now: float) -> _Step | None:
    """A closed window. It holds for an operator too, who has an option to overrule it."""
    request = seen.request
    if request is not None and request.force:
        return None
    gate = opening(app.windows, now)
    if gate.open:
        return None
    if request is not None and request.kind in (SYNC, ROLLBACK):
        return _Step(REFUSE, OUT_OF_SYNC, f"{gate.why}; to sync now, add -e ignore_windows=true")
    return _Step(WAIT, OUT_OF_SYNC, f"commit {seen.commit[:12]} waits: {gate.why}", gate.opens)


# --- All applications -------------------------------------------------------------------------------------


def plan_all(
    found: Found,
    states: Mapping[str, AppState],
    seen: Mapping[str, Seen],
    troubles: Mapping[str, str],
    settings: Settings,
    now: float,
) -> list[Decision]:
    """The next steps for all applications, in the order in which they are taken: by wave, then by name; removals come last.

    `troubles` says by repository why it cannot be used: unreachable, broken, rewritten, not signed. The caller takes the steps
    one after the other, and plans again after each one.
    """
    decisions = []
    for app in sorted(found.apps, key=lambda app: (app.wave, app.name)):
        state = states.get(app.name)
        if app.name not in seen:
            continue
        one = decide(app, state, seen[app.name], now)
        other = state is not None and state.repository not in ("", app.repository)
        if state is not None and other and state.repository in troubles:
            words = f"it moves here from repository {state.repository}, which cannot be read"
            one = Decision(app.name, WAIT, state, words)
        decisions.append(one)
    decisions = _in_waves(found, decisions, seen, now)
    rows = _rows(found, states.values(), troubles)
    gone = [
        state
        for name, state in sorted(states.items())
        if name not in {app.name for app in found.apps} and "/" not in name
    ]
    decisions += _removals(gone, found, seen, troubles, settings, now)
    decisions += [
        _row(name, place, words, states.get(name), now) for name, (place, words) in rows.items()
    ]
    decisions += [
        Decision(name, FORGET, None) for name in sorted(states) if "/" in name and name not in rows
    ]
    return decisions


def _in_waves(
    found: Found, decisions: list[Decision], seen: Mapping[str, Seen], now: float
) -> list[Decision]:
    """The decisions, where a deploy waits for applications of lower waves that come from the same repository."""
    apps = {app.name: app for app in found.apps}
    result: list[Decision] = []
    for one in decisions:
        app, state = apps[one.name], one.state
        reason = ""
        for before in result:
            lower = apps[before.name]
            if lower.wave < app.wave and lower.sources[:1] == app.sources[:1]:
                reason = reason or _not_done(lower, before)
        asked = seen[one.name].request is not None
        if reason and one.action == DEPLOY and state is not None and not asked:
            words = f"commit {seen[one.name].commit[:12]} waits for wave {reason}"
            one = _decision(_Step(WAIT, OUT_OF_SYNC, words), state, state, now)
        result.append(one)
    return result


def _not_done(app: App, one: Decision) -> str:
    """Why the next wave cannot begin; empty if it can."""
    state = one.state
    if state is None or state.sync == SUSPENDED or not app.automatic:
        return "" if one.action != DEPLOY else f"{app.wave}: {app.name} is being deployed"
    if one.action in (DEPLOY, WAIT) or (
        state.sync not in (SYNCED, UNKNOWN) and state.drift is None
    ):
        return f"{app.wave}: {app.name} is {state.sync}"
    if one.action != LOOK and state.health != HEALTHY:
        return f"{app.wave}: {app.name} is {state.health}"
    return ""


def _removals(
    gone: Sequence[AppState],
    found: Found,
    seen: Mapping[str, Seen],
    troubles: Mapping[str, str],
    settings: Settings,
    now: float,
) -> list[Decision]:
    """Applications that have a state and are in no repository that could be read."""
    steps = []
    for state in gone:
        state = _after_request(state, seen.get(state.name, Seen()).request, now)
        steps.append((state, _removal(state, seen, found, troubles, settings, now)))
    due = [
        state.name
        for state, step in steps
        if step is not None
        and step.action == REMOVE
        and not _asks(seen.get(state.name, Seen()), SYNC)
    ]
    decisions = []
    for state, step in steps:
        if len(due) > settings.max_removals and state.name in due:
            words = (
                f"{count_of(len(due), 'application')} would be removed at once ({abbreviate(due)}), and swarm_gitops_max_removals is"
                f" {settings.max_removals}; raise it if this is what you want"
            )
            step = _Step(REFUSE, OUT_OF_SYNC, words)
        if step is None:
            decisions.append(Decision(state.name, NOTHING, bounded(state)))
        else:
            decisions.append(_decision(step, state, state, now))
    return decisions


def _removal(
    state: AppState,
    seen: Mapping[str, Seen],
    found: Found,
    troubles: Mapping[str, str],
    settings: Settings,
    now: float,
) -> _Step | None:
    """What happens to an application that is in no repository; None if nobody can know whether it is."""
    look = seen.get(state.name, Seen())
    configured = {repository.name for repository in settings.repositories}
    sources = {state.repository, *state.sources} - {""}
    for problem in found.problems:
        if (problem.repository, problem.folder) == (state.repository, state.folder):
            return _Step(NOTHING, UNKNOWN, problem.message)
    if state.suspended is not None:
        return _Step(NOTHING, SUSPENDED, suspended_words(state))
    for repository in sorted(sources & troubles.keys()):
        words = f"repository {repository} cannot be used: {troubles[repository]}"
        if _asks(look, SYNC):
            return _Step(REFUSE, state.sync, words)
        # The row of the repository says it; nothing is written to each of its applications.
        return _Step(NOTHING, UNKNOWN, words) if state.sync == SUSPENDED else None
    broken = sorted(sources & {problem.repository for problem in found.problems})
    if broken:
        words = (
            f"it may be removed from git: an {APP_FILE} in repository {broken[0]} cannot be read"
        )
        return _Step(NOTHING, UNKNOWN, words)
    if not (state.tried or state.doing):
        return _Step(FORGET, OUT_OF_SYNC)
    away = sorted(sources - configured)
    if _asks(look, SYNC):
        return _Step(REMOVE, OUT_OF_SYNC, "it is not in git any more, and an operator removes it")
    if away:
        words = f"its repository {away[0]} is not in swarm_gitops_repositories any more; to remove it, run gitops_sync.yml -e app={state.name}"
        return _Step(NOTHING, OUT_OF_SYNC, words)
    if not state.prune:
        words = f"it is not in git any more, and prune is false; to remove it, run gitops_sync.yml -e app={state.name}"
        return _Step(NOTHING, OUT_OF_SYNC, words)
    gate = opening([settings.windows], now)
    if not gate.open:
        return _Step(
            WAIT, OUT_OF_SYNC, f"it is not in git any more, and waits: {gate.why}", gate.opens
        )
    return _Step(REMOVE, OUT_OF_SYNC, "it is not in git any more")


def _rows(
    found: Found, states: Iterable[AppState], troubles: Mapping[str, str]
) -> dict[str, tuple[Place, str]]:
    """What is wrong with repositories and folders, by the name of its row, which no application can have."""
    rows = {f"{name}/": ((name, ""), words) for name, words in sorted(troubles.items())}
    known = {(state.repository, state.folder) for state in states if "/" not in state.name}
    for problem in found.problems:
        place = (problem.repository, problem.folder)
        if place not in known:
            rows[f"{problem.repository}/{problem.folder or '.'}"] = (place, problem.message)
    return rows


def _row(name: str, place: Place, words: str, state: AppState | None, now: float) -> Decision:
    new = state is None
    state = replace(state or AppState(name, since=now), repository=place[0], folder=place[1])
    state = with_status(state, UNKNOWN, words, now)
    return Decision(
        name, NOTHING, bounded(with_event(state, TROUBLE, now) if new else state), words
    )


def health_of(
    verdicts: Sequence[Verdict], since: float, deadline: float, now: float
) -> tuple[str, str]:
    """The health of an application from the verdicts on its services, and why it is not Healthy. `since` is when its latest deploy has ended."""
    if not verdicts:
        return MISSING, "the stack has no services"
    late = [verdict for verdict in verdicts if verdict.state != CONVERGED]
    if not late:
        return HEALTHY, ""
    failed = [verdict for verdict in late if verdict.state == VERDICT_FAILED]
    words = "; ".join(verdict.line() for verdict in (failed or late))
    if failed or now - since > deadline:
        return DEGRADED, words
    return PROGRESSING, words


def with_health_now(state: AppState, verdicts: Sequence[Verdict], now: float) -> AppState:
    """The state with the health that the verdicts on its services give. A deploy that is in progress has its own, and what is no
    application, or was never deployed, has none."""
    if "/" in state.name or state.doing is not None or not state.tried:
        return state
    health, cause = health_of(verdicts, state.tried, _DEADLINE, now)
    return with_health(state, health, cause, now)
