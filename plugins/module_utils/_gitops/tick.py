# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""One look of GitOps at everything, and what has to be done: observe, decide, act, write down.

Every manager looks, and the leader of the swarm acts. If nothing differs, nothing is written, and only the standard library is used. A run
that is killed leaves in the swarm what it was doing, and the next run finishes it, on this manager or on another one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .._api.client import EngineClient, local_client
from .._api.reader import EngineReader
from .._common.errors import SwarmError, failure_of
from .._model.documents import parse_member, parse_node
from .._model.labels import GITOPS_CHECK_LABEL, GITOPS_LABEL, name_of, stack_of
from .._stack.objects import read_all, state_hash
from . import idle
from .access import DOCKER_HOST
from .app import App
from .catalog import Found, find_apps
from .decide import (
    DEPLOY,
    FORGET,
    LOOK,
    REFUSE,
    REMOVE,
    ROLL_BACK,
    Decision,
    Request,
    Seen,
    health_of,
    plan_all,
)
from .kept import HEADS, AllKept, Kept, config_name, forget, read_kept, write_kept
from .lease import HeldLease, take
from .repositories import Look, Repositories
from .settings import Settings, parse_settings
from .state import (
    DEGRADED,
    HEALTHY,
    LEFT,
    REMOVED,
    RESTORED,
    UNTOUCHED,
    AppState,
    Target,
    as_text,
    begun,
    bounded,
    ended_badly,
    ended_well,
    from_text,
    rolled_back_to,
    unnotified,
    with_event,
    with_health,
)

if TYPE_CHECKING:
    from .._stack.deploy import StackOutcome
    from .stacks import Stacks

_ANSWER = 30
_STEPS = (DEPLOY, ROLL_BACK, REMOVE, FORGET)
# Failures that say nothing about the application. The deploy is resumed, by whoever leads then.
INTERRUPTIONS = frozenset(
    (
        *("lease_lost", "engine_unreachable", "no_answer", "no_quorum", "not_manager"),
        *("not_in_swarm", "timeout", "locked", "no_sdk", "no_cli"),
    )
)


@dataclass
class View:
    """Everything that was seen at one time."""

    kept: AllKept
    states: dict[str, AppState]
    objects: dict[str, list[dict[str, Any]]]
    found: Found
    troubles: dict[str, str]
    seen: dict[str, Seen]


@dataclass
class Report:
    """What a run has found and done."""

    leader: bool = False
    node: str = ""
    decisions: list[Decision] = field(default_factory=list)
    states: dict[str, AppState] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)  # by repository
    plan: list[str] = field(default_factory=list)  # of what an operator asks for
    changes: bool = False  # in check mode, whether a run would do anything
    done: list[str] = field(default_factory=list)
    failure: SwarmError | None = None  # of what an operator asks for


class Tick:
    """One run. `requests` is what an operator asks for, by application, and `rewrite` has repositories whose rewritten history is accepted."""

    def __init__(
        self,
        document: Mapping[str, Any],
        say: Callable[[str], None],
        requests: Mapping[str, Request] | None = None,
        rewrite: Collection[str] = (),
        check_mode: bool = False,
    ) -> None:
        self._document = document
        self._settings: Settings = parse_settings(document)
        self._repositories = Repositories(document, say)
        self._say = say
        self._requests = dict(requests or {})
        # What an operator asks for concerns these alone. The rest is for the timer.
        self._only = frozenset(self._requests)
        self._rewrite = frozenset(rewrite)
        self._check_mode = check_mode
        self._reader = EngineReader(DOCKER_HOST, _ANSWER)
        self._made: Stacks | None = None
        self._lease: HeldLease | None = None
        self._client: EngineClient | None = None
        self._looks: dict[str, Look] = {}
        # By application: the hash of its objects, and the lines of the plan for them, or what is wrong with it.
        self._plans: dict[str, tuple[str, tuple[str, ...], str]] = {}
        self._tried: set[tuple[str, str]] = set()
        self._asks_at: float | None = None  # when the registries are asked next
        # The last states of applications that were removed, whose event nobody else can notify.
        self._removed: list[AppState] = []
        self.report = Report()

    @property
    def _stacks(self) -> Stacks:
        """What works on stacks. Importing it costs more than an idle run, which does not need it."""
        if self._made is None:
            from .stacks import Stacks

            self._made = Stacks(DOCKER_HOST, self._may_write)
        return self._made

    # The run

    def run(self) -> None:
        """Look, and do what has to be done; raises SwarmError if that is not possible at all."""
        node_id = self._leader()
        if node_id is None:
            return
        self.report.leader = True
        kept = read_kept(self._reader)
        self._look(kept)
        view = self._view(kept)
        if self._update_images(view):
            self._look(kept)
            view = self._view(kept)
        with contextlib.ExitStack() as held:
            while True:
                decisions = self._decide(view)
                self.report.decisions, self.report.states = decisions, view.states
                self.report.troubles = view.troubles
                work = self._work(view, decisions)
                if self._check_mode or not work:
                    self._foresee(view, decisions, work)
                    break
                if self._lease is None:
                    lease = take(self._writer(), DOCKER_HOST, node_id, self.report.node)
                    self._lease = held.enter_context(lease.renewed())
                elif not self._act(view, decisions):
                    break
                # Another manager may have acted before this one had the lock, and each step changes what is there.
                view = self._view(read_kept(self._reader))
        if not self._check_mode:
            self._repositories.keep(self._looks)
            if not self._only:
                self._remember(view)

    def _leader(self) -> str | None:
        """The ID of this node, if it leads the swarm."""
        member = parse_member(self._reader.info())
        if member.role != "manager" or member.state != "active" or not member.node_id:
            return None
        node = parse_node(
            self._reader.get(f"/nodes/{member.node_id}", "read the node of this host")
        )
        self.report.node = name_of(node)
        return node.id if node.leader else None

    def _remember(self, view: View) -> None:
        """Let the next runs be short, if this one has found nothing to do and nothing that is on its way."""
        known = {app.name for app in view.found.apps}
        quiet = not view.troubles and all(
            state.health == HEALTHY for name, state in view.states.items() if name in known
        )
        if self._work(view, self.report.decisions) or not quiet:
            idle.forget()
            return
        times = [each.next_look for each in self.report.decisions if each.next_look is not None]
        if self._asks_at is not None:
            times.append(self._asks_at)
        heads = {name: look.head for name, look in self._looks.items()}
        idle.remember(self._document, view.objects, heads, time.time(), min(times, default=None))

    # Observe

    def _look(self, kept: AllKept) -> None:
        heads = heads_in(kept.heads.text)
        now = time.time()
        for one in self._settings.repositories:
            accepted = heads.get(one.name, {})
            same = accepted.get("of") == f"{one.url} {one.branch}"
            commit = str(accepted.get("commit") or "") if same else ""
            self._looks[one.name] = self._repositories.look(
                one, commit, one.name in self._rewrite, now
            )

    def _view(self, kept: AllKept) -> View:
        objects = read_all(self._reader)
        trees = {name: tree for name, look in self._looks.items() if (tree := look.tree())}
        found = find_apps(self._settings, trees)
        states = {name: from_text(name, each.text) for name, each in kept.states.items()}
        troubles = {name: look.trouble for name, look in self._looks.items() if look.trouble}
        view = View(kept, states, objects, found, troubles, {})
        for app in found.apps:
            view.seen[app.name] = self._seen(app, view)
        for name, request in self._requests.items():
            view.seen.setdefault(name, Seen(request=request))
        return view

    def _seen(self, app: App, view: View) -> Seen:
        look = self._looks[app.repository]
        desired, trouble = self._repositories.desired(look, app)
        found = state_hash(app.name, view.objects)
        changes = None
        plan = self._plans.get(app.name)
        if plan is not None and plan[0] == found:
            changes, trouble = plan[1], trouble or plan[2]
        health, cause = "", ""
        state = view.states.get(app.name)
        if state is not None and state.health != HEALTHY and state.doing is None:
            health, cause = health_of(
                self._stacks.verdicts(app.name), state.tried, app.deadline, time.time()
            )
        return Seen(
            trouble=trouble,
            desired=desired,
            commit=look.head,
            message=look.known.message,
            author=look.known.author,
            exists=any(stack_of(each["Spec"]) == app.name for each in view.objects["service"]),
            found=found,
            changes=changes,
            health=health,
            health_cause=cause,
            request=self._requests.get(app.name),
        )

    def _update_images(self, view: View) -> bool:
        """Commit what the registries have that is newer; whether anything was committed."""
        apps = [
            app
            for app in view.found.apps
            if app.images and not app.suspend and app.repository not in view.troubles
            if getattr(view.states.get(app.name), "suspended", None) is None
        ]
        if not apps or self._check_mode or self._only:
            return False
        # An idle run knows when it is time.
        from .images import ImageUpdates

        now = time.time()
        updates = ImageUpdates(float(self._document.get("image_interval") or 300), self._say)
        self._asks_at = updates.due(now)
        if self._asks_at is not None:
            return False

        def again(name: str) -> Look:
            look = self._looks[name]
            return self._repositories.look(look.settings, look.head, False, time.time())

        pushed = updates.run(apps, self._looks, again, now)
        self._asks_at = updates.due(time.time())
        return pushed

    # Decide

    def _decide(self, view: View) -> list[Decision]:
        while True:
            decisions = plan_all(
                view.found, view.states, view.seen, view.troubles, self._settings, time.time()
            )
            due = [each.name for each in decisions if each.action == LOOK]
            if not due:
                return decisions
            apps = {app.name: app for app in view.found.apps}
            for name in due:
                self._plan(apps[name], view.seen[name].found)
                view.seen[name] = self._seen(apps[name], view)

    def _plan(self, app: App, found: str) -> None:
        """Find out what a deploy would change."""
        try:
            inputs = self._repositories.inputs(self._looks[app.repository], app)
            outcome = self._stacks.plan(app, inputs, self._settings.may(app))
        except SwarmError as error:
            if error.code in INTERRUPTIONS:
                raise
            self._plans[app.name] = (found, (), error.message)
            return
        changes = tuple(
            line.strip()
            for line in outcome.lines[1:]
            if line.startswith(("  + ", "  ~ ", "  - ")) and line.split()[1] != "revision"
        )
        real = any(step.action != "none" for step in outcome.plan.steps)
        self._plans[app.name] = (found, changes if real else (), "")

    def _work(self, view: View, decisions: Sequence[Decision]) -> bool:
        """Whether there is anything to write or to do."""
        return bool(
            self._changed(view, decisions)
            or self._next(decisions)
            or self._undoing(view)
            or left_checks(view.objects["service"])
            or self._new_heads(view.kept) != view.kept.heads.text
            or self._untold(view.states.values())
        )

    def _untold(self, states: Iterable[AppState]) -> list[AppState]:
        """Applications with an event that somebody has to be told of."""
        if not self._document.get("notify") or self._only:
            return []
        return [state for state in states if unnotified(state)]

    def _changed(self, view: View, decisions: Sequence[Decision]) -> list[Decision]:
        """The decisions whose state is not the one in the swarm."""
        return [
            each
            for each in decisions
            if each.state is not None
            and self._concerns(each.name)
            # What is refused to an operator leaves no trace.
            and not (each.action == REFUSE and each.name in self._requests)
            and as_text(each.state) != getattr(view.kept.states.get(each.name), "text", "")
        ]

    def _next(self, decisions: Sequence[Decision]) -> Decision | None:
        for each in decisions:
            new = (each.name, each.action) not in self._tried
            if each.action in _STEPS and new and self._concerns(each.name):
                return each
        return None

    def _undoing(self, view: View) -> list[AppState]:
        """Applications whose roll back was interrupted."""
        return [
            state
            for state in view.states.values()
            if state.doing is not None and state.doing.undoing and self._concerns(state.name)
        ]

    def _concerns(self, name: str) -> bool:
        """Whether this run works on an application, or on the row of a repository whose new history is accepted."""
        return not self._only or name in self._only or name.removesuffix("/") in self._rewrite

    def _foresee(self, view: View, decisions: Sequence[Decision], work: bool) -> None:
        """In check mode: what a run would do for those that ask."""
        if not self._check_mode:
            return
        self.report.changes = work
        step = self._next(decisions)
        if step is None:
            return
        apps = {app.name: app for app in view.found.apps}
        outcome = self._stacks.outcome(step.name)
        try:
            if step.action == DEPLOY:
                app = apps[step.name]
                inputs = self._repositories.inputs(self._looks[app.repository], app)
                outcome = self._stacks.plan(app, inputs, self._settings.may(app))
            elif step.action == ROLL_BACK:
                self._stacks.roll_back(step.name, step.revision or None, 1, outcome, True)
            elif step.action == REMOVE:
                self._stacks.remove(step.name, outcome, True)
        except SwarmError as error:
            self.report.failure = error
        self.report.plan = outcome.lines

    # Act

    def _act(self, view: View, decisions: Sequence[Decision]) -> bool:
        """Write what has changed, and take one step; whether everything has to be looked at again."""
        self._may_write()
        for name in left_checks(view.objects["service"]):
            self._say(f"{name}: removed, because an interrupted run has left it")
            self._stacks.remove(name)
        heads = self._new_heads(view.kept)
        if heads != view.kept.heads.text:
            write_kept(self._writer(), HEADS, GITOPS_LABEL, view.kept.heads, heads)
        undoing = self._undoing(view)
        if undoing:
            for state in undoing:
                self._undo(state)
            return True
        step = self._next(decisions)
        for each in self._changed(view, decisions):
            if each.state is not None and (step is None or each.name != step.name):
                self._write(each.state)
        # They are done when they are written.
        for name in [n for n, r in self._requests.items() if r.kind in ("suspend", "resume")]:
            del self._requests[name]
        if step is None:
            self._tell()
            return False
        self._tried.add((step.name, step.action))
        self._take(step, view)
        self._requests.pop(step.name, None)
        return True

    def _take(self, step: Decision, view: View) -> None:
        apps = {app.name: app for app in view.found.apps}
        if step.action == FORGET:
            forget(self._writer(), config_name(step.name), self._kept(step.name))
            self.report.done.append(f"forget {step.name}")
        elif step.action == REMOVE and step.state is not None:
            self._remove(step.state)
        elif step.action == ROLL_BACK and step.state is not None:
            self._roll_back(step.state, step.revision, apps[step.name])
        elif step.state is not None:
            seen = view.seen[step.name]
            self._deploy(apps[step.name], step.state, seen.target, step.heal)

    def _deploy(self, app: App, state: AppState, target: Target, heal: bool) -> None:
        old = state.doing
        resumed = old is not None and old.desired == target.desired
        state = begun(state, target, time.time())
        if state.doing is not None and not state.doing.before:
            state = replace(state, doing=replace(state.doing, before=self._stacks.before(app.name)))
        state = self._write(state)
        self._say(f"{app.name}: deploy commit {target.commit[:12]} ({target.message})")
        outcome, may = self._stacks.outcome(app.name), self._settings.may(app)

        def before_undo(error: SwarmError) -> None:
            self._write(_undoing_of(state, error.message))

        try:
            # After an interruption, what the stack was before is not what this run has found.
            inputs = self._repositories.inputs(self._looks[app.repository], app)
            self._stacks.deploy(app, inputs, may, not resumed, before_undo, outcome)
            self._stacks.check(app)
        except (SwarmError, OSError) as caught:
            error = failure_of(f"deploy application {app.name}", caught)
            if error.code in INTERRUPTIONS:
                raise error from caught
            self.report.done += [f"deploy {app.name}: {entry}" for entry in outcome.journal.applied]
            self.report.plan, self.report.failure = outcome.lines, error
            self._failed(app, state, target, error, outcome, resumed)
            return
        self.report.plan = outcome.first_lines or outcome.lines
        self.report.done += [f"deploy {app.name}: {entry}" for entry in outcome.journal.applied]
        known = outcome.plan.revisions if outcome.revisions is None else outcome.revisions
        number = known[0].number if known else 0
        self._write(ended_well(state, target, self._hash(app.name), number, heal, time.time()))

    def _failed(
        self,
        app: App,
        state: AppState,
        target: Target,
        error: SwarmError,
        outcome: StackOutcome,
        resumed: bool,
    ) -> None:
        """Bring the stack back, if that is asked for, and note the failure."""
        if outcome.put_back and "put_back" not in error.details:
            self._write(self._ended(state, target, error.message, RESTORED))
        elif not outcome.journal.specs and not resumed:
            self._write(self._ended(state, target, error.message, UNTOUCHED))
        elif app.on_failure == "rollback":
            self._undo(self._write(_undoing_of(state, error.message)))
        else:
            self._write(self._ended(state, target, error.message, LEFT))

    def _undo(self, state: AppState) -> None:
        """Bring a stack back to what it was before a deploy that has failed, also after an interruption."""
        doing = state.doing
        if doing is None:
            return
        target, cause, result = Target(doing.desired, doing.commit), doing.undoing, RESTORED
        self._say(f"{state.name}: roll back to {doing.before or 'what was there'}")
        try:
            outcome = self._stacks.return_to(state.name, doing.before)
            self.report.done += [f"roll back {state.name}: {e}" for e in outcome.journal.applied]
        except (SwarmError, OSError) as caught:
            error = failure_of(f"roll back application {state.name}", caught)
            if error.code in INTERRUPTIONS:
                raise error from caught
            cause, result = f"{cause.rstrip('.')}. {error.message}", LEFT
        self._write(self._ended(state, target, cause, result))

    def _ended(self, state: AppState, target: Target, cause: str, outcome: str) -> AppState:
        return ended_badly(
            state, target, cause, time.time(), outcome=outcome, found=self._hash(state.name)
        )

    def _roll_back(self, state: AppState, revision: int, app: App) -> None:
        outcome = self._stacks.outcome(state.name)
        try:
            self._stacks.roll_back(state.name, revision or None, app.deadline, outcome)
        except SwarmError as error:
            self.report.failure = error
            if not outcome.journal.specs:
                return
            self._write(with_health(state, DEGRADED, error.message, time.time()))
            return
        finally:
            self.report.plan = outcome.first_lines or outcome.lines
            self.report.done += [f"roll back {state.name}: {e}" for e in outcome.journal.applied]
        known = outcome.plan.revisions if outcome.revisions is None else outcome.revisions
        request = self._requests.get(state.name, Request(ROLL_BACK))
        number = known[0].number if known else revision
        self._write(rolled_back_to(state, number, self._hash(state.name), request.by, time.time()))

    def _remove(self, state: AppState) -> None:
        outcome = self._stacks.outcome(state.name)
        try:
            self._stacks.remove(state.name, outcome)
        except SwarmError as error:
            if error.code in INTERRUPTIONS:
                raise
            self.report.failure = error
            self._write(with_health(state, DEGRADED, error.message, time.time()))
            return
        finally:
            self.report.plan = outcome.first_lines or outcome.lines
            self.report.done += [f"remove {state.name}: {e}" for e in outcome.journal.applied]
        self._say(f"{state.name}: removed")
        forget(self._writer(), config_name(state.name), self._kept(state.name))
        self._removed.append(with_event(state, REMOVED, time.time()))

    def _tell(self) -> None:
        """Notify, and note that it was done. A run that is killed between the two tells it twice."""
        states = [
            from_text(name, each.text) for name, each in read_kept(self._reader).states.items()
        ]
        untold = [*self._untold(states), *self._untold(self._removed)]
        if not untold:
            return
        from .tell import tell

        tell(str(self._document["notify"]), untold, time.time(), self._say)
        for state in untold:
            if state not in self._removed:
                self._write(replace(state, notified=state.event_at))
        self._removed.clear()

    # Write

    def _may_write(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _writer(self) -> EngineClient:
        """The connection that writes. It needs the SDK, which an idle run does not import."""
        if self._client is None:
            self._client = local_client(DOCKER_HOST, _ANSWER)
        return self._client

    def _kept(self, name: str) -> Kept:
        return read_kept(self._reader).states.get(name, Kept())

    def _write(self, state: AppState) -> AppState:
        """Write a state; raises lease_lost if somebody else writes it too."""
        self._may_write()
        state = bounded(state)
        kept = self._kept(state.name)
        before = from_text(state.name, kept.text)
        text = as_text(state)
        if text != kept.text:
            name = config_name(state.name)
            if not write_kept(self._writer(), name, GITOPS_LABEL, kept, text, state.name):
                raise SwarmError(
                    "lease_lost",
                    f"Could not write the state of {state.name}: something else wrote it at the same time.",
                )
            self.report.done.append(f"state {state.name}")
            if (before.sync, before.health, before.cause) != (
                state.sync,
                state.health,
                state.cause,
            ):
                words = state.cause or state.health_cause
                self._say(
                    f"{state.name}: {state.sync}, {state.health}{f': {words}' if words else ''}"
                )
        return state

    def _hash(self, name: str) -> str:
        return state_hash(name, read_all(self._reader))

    def _new_heads(self, kept: AllKept) -> str:
        """The text with the accepted commits, as it has to be."""
        before = heads_in(kept.heads.text)
        after = {}
        for one in self._settings.repositories:
            look = self._looks[one.name]
            if look.head:
                after[one.name] = {"of": f"{one.url} {one.branch}", "commit": look.head}
            elif one.name in before:
                after[one.name] = before[one.name]
        return json.dumps(after, sort_keys=True) if after else kept.heads.text


def left_checks(services: Sequence[Mapping[str, Any]]) -> list[str]:
    """The stacks of checks that a killed run has left, given the services."""
    specs = (service.get("Spec") or {} for service in services)
    return sorted(
        {str(stack_of(spec)) for spec in specs if GITOPS_CHECK_LABEL in (spec.get("Labels") or {})}
    )


def heads_in(text: str) -> dict[str, dict[str, Any]]:
    """The accepted commits by repository; none in a text that no version has written."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text)
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, dict)}
    return {}


def _undoing_of(state: AppState, cause: str) -> AppState:
    doing = state.doing
    return state if doing is None else replace(state, doing=replace(doing, undoing=cause[:1000]))
