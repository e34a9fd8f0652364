# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""One stack on a manager, from its inputs to what runs: capture, plan, apply, verify, record.

When something else changed the stack in between, it starts again with a new plan.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from .._api.client import EngineClient
from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._model.labels import STACK_LABEL
from .._services.convergence import Verdict
from .apply import Journal, write_by_cli, write_history, write_revision
from .capture import Capture, begin_capture, refusals_of
from .detour import Detour
from .hooks import Hooks
from .inputs import read_inputs
from .objects import state_hash
from .options import nothing_done
from .plan import StackSnapshot, StackStep, others_wrote, plan_service, stack_state
from .planning import StackPlan, notes_on, plan_deploy, plan_roll_back
from .record import record
from .removal import Owned, created_only, owned, plan_removal, still_running
from .remove import Removal
from .revisions import Revision, RevisionContent, choose, content_of, restored_spec, revisions
from .verify import Verified, Verifier
from .writes import Write

ATTEMPTS = 5

# Failures in the middle of a deploy: half a stack helps nobody, so what was written is rolled back, whatever on_failure says.
REFUSED = ("refused", "cli_failed", "cli_timeout", "name_taken")


@dataclass
class StackOutcome:
    """What a run has done so far, right also after a failure."""

    stack: str
    plan: StackPlan = field(default_factory=StackPlan)
    lines: list[str] = field(default_factory=list)  # the plan as it is printed
    first_lines: list[str] = field(default_factory=list)  # the plan before anything was written
    journal: Journal = field(default_factory=Journal)
    notes: list[str] = field(default_factory=list)  # those that come after the plan
    revisions: list[Revision] | None = None  # after the run, where they have changed
    services: list[Verdict] = field(default_factory=list)
    put_back: list[str] = field(default_factory=list)

    def planned(self, plan: StackPlan) -> None:
        """Take over a plan."""
        self.plan, self.lines = plan, plan.lines(platform.node())

    @property
    def changed(self) -> bool:
        """Whether the run changed something, or, in check mode, would."""
        return bool(self.journal.specs) or self.plan.does_something

    def as_result(self, failed: bool = False) -> dict[str, Any]:
        """All keys of the result of swarm_stack. A run that failed has changed only what it wrote."""
        plan = self.plan
        revisions = plan.revisions if self.revisions is None else self.revisions
        return {
            **nothing_done(self.stack),
            "changed": bool(self.journal.applied) if failed else self.changed,
            "plan": self.lines,
            "steps": [step.as_dict() for step in plan.all_steps],
            "applied": self.journal.applied,
            "put_back": self.put_back,
            "revisions": [revision.as_dict() for revision in revisions],
            "waves": [list(wave) for wave in plan.waves],
            "leftovers": list(plan.leftovers),
            "ignored": list(plan.ignored),
            "notes": [*plan.notes, *self.notes],
            "services": [verdict.as_dict() for verdict in self.services],
            "diff": {"prepared": "\n".join(self.first_lines) + "\n"} if self.first_lines else {},
        }


class Deployment:
    """One call of swarm_stack; the outcome is right at any time, also after a failure."""

    def __init__(
        self,
        params: dict[str, Any],
        given: dict[str, Any],
        outcome: StackOutcome,
        hooks: Hooks | None = None,
    ) -> None:
        self.name: str = params["name"]
        self._hooks = hooks or Hooks()
        self.outcome = outcome
        self._params = params
        self._inputs = read_inputs(self.name, given)
        self._reader = EngineReader(params["docker_host"], params["timeout"])
        self._verifier = Verifier(self.name, params, self._reader)
        # What the engine had before this run wrote anything.
        self._before: StackSnapshot | None = None

    def run(self, check_mode: bool) -> None:
        """Carry out the call; raises SwarmError with any of the codes in docs/results.md."""
        try:
            if self._params["state"] == "absent":
                self._remove(check_mode)
            elif self._params["state"] == "present":
                self._deploy(check_mode)
            else:
                self._roll_back(check_mode)
        except SwarmError as error:
            undoes = self._params["on_failure"] == "rollback" or error.code in REFUSED
            if not self.outcome.journal.specs or not undoes:
                raise
            self._hooks.before_undo(error)
            raise self._undo(error) from error
        if not check_mode and not self.outcome.changed and self._before is not None:
            found = state_hash(self.name, self._before.by_kind())
            record(self.name, self._inputs.asked, found, list(self.outcome.plan.ignored))

    # What each state means

    def _deploy(self, check_mode: bool) -> None:
        capture = begin_capture(self.name, self._params, self._inputs, self._reader)
        detours: list[StackStep] = []
        for attempt in range(ATTEMPTS):
            live = self._observe()
            try:
                plan = self._plan(capture, live)
            except SwarmError:
                if attempt + 1 == ATTEMPTS or not self._others_wrote(live):
                    raise
                continue
            self._begin(live, plan)
            if plan.replaced and not check_mode:
                self._hooks.before_write()
                detour = Detour(self.name, self._client(), self._params["wait_timeout"])
                detours += detour.run(plan.replaced, live, self.outcome.journal.applied)
                live = self._observe()
            if check_mode or not plan.writes_something or self._write(capture, plan, live):
                self._finish(plan, detours, check_mode)
                return
        raise self._conflict("deploy")

    def _roll_back(self, check_mode: bool) -> None:
        chosen: Revision | None = None
        for _attempt in range(ATTEMPTS):
            live = self._observe()
            chosen = chosen or choose(self.name, live, self._params["revision"])
            plan = plan_roll_back(self.name, chosen, live)
            self._begin(live, plan)
            if not check_mode:
                self._hooks.before_write()
            if check_mode or write_revision(
                self._client(), plan.steps, chosen.content, live, self.outcome.journal
            ):
                self._finish(plan, [], check_mode)
                return
        raise self._conflict("roll back")

    def _remove(self, check_mode: bool) -> None:
        live = self._observe()
        steps = plan_removal(self.name, live)
        notes = []
        if steps:
            filters = {"label": [f"{STACK_LABEL}={self.name}"]}
            tasks = self._reader.get("/tasks", "list the tasks", filters=filters)
            _ready, down = still_running(tasks, self._reader.nodes())
            notes = [f"tasks on {node}, which is not ready, stop when it is back" for node in down]
        self._begin(live, StackPlan(title=self.name, steps=tuple(steps), notes=tuple(notes)))
        if not check_mode:
            self._remove_objects(steps)

    # The stages

    def _observe(self) -> StackSnapshot:
        live = StackSnapshot(
            services=self._reader.get("/services", f"plan stack {self.name}"),
            networks=self._reader.get("/networks", "list the networks"),
            secrets=self._reader.get("/secrets", "list the secrets"),
            configs=self._reader.get("/configs", "list the configs"),
        )
        for network_id in live.unlisted_networks(self.name):
            try:
                live.networks.append(self._reader.get(f"/networks/{network_id}", "read a network"))
            except SwarmError as error:
                if error.code != "not_found":
                    raise
        return live

    def _plan(self, capture: Capture, live: StackSnapshot) -> StackPlan:
        run = capture.run(live)
        run.refusals += refusals_of(run.writes, live, self._reader)
        documents = self._inputs.documents()
        try:
            capture.check(run, "plan", self._hooks.objections(run.writes))
        except SwarmError:
            notes, ignored = notes_on(run.output, self._params, documents)
            self.outcome.plan = StackPlan(notes=tuple(notes), ignored=tuple(ignored))
            raise
        stuck: set[str] = set()
        if capture.logs_in:
            # They may lack a login, which no spec shows.
            names = {write.name for write in run.writes if write.kind == "service"}
            verdicts, _specs = self._verifier.judge_all(names, {}, {})
            stuck = {verdict.service for verdict in verdicts if verdict.cause == "image"}
        plan = plan_deploy(self.name, run, live, self._params, documents, stuck)
        if plan.refusal is not None:
            self.outcome.planned(plan)
            raise plan.refusal
        return plan

    def _begin(self, live: StackSnapshot, plan: StackPlan) -> None:
        self.outcome.planned(plan)
        if self._before is None:
            self._before = live
            if self.outcome.changed:
                self.outcome.first_lines = self.outcome.lines

    def _write(self, capture: Capture, plan: StackPlan, live: StackSnapshot) -> bool:
        """Write what differs; False if something else wrote meanwhile and the plan is out of date."""
        if not plan.waves:
            return self._write_wave(capture, plan, live, None)
        last = max((n for n, wave in enumerate(plan.waves) if plan.changing & {*wave}), default=0)
        for number, wave in enumerate(plan.waves[: last + 1]):
            if number:
                before = {name for done in plan.waves[:number] for name in done}
                self._verify(before, {n for w in plan.waves[number:] for n in w}, plan.ends)
                live = self._observe()
            # What is not a service goes with the first wave.
            due = number == 0 or plan.changing & {*wave}
            if due and not self._write_wave(capture, plan, live, wave):
                return False
        return True

    def _write_wave(
        self, capture: Capture, plan: StackPlan, live: StackSnapshot, wave: Collection[str] | None
    ) -> bool:
        self._hooks.before_write()

        def lets_through(write: Write) -> bool:
            if wave is not None and write.kind == "service" and write.name not in wave:
                return False
            return plan.needs(write, live)

        def others_wrote(mine: Collection[Write]) -> bool:
            return self._others_wrote(live, mine)

        return write_by_cli(capture, live, lets_through, others_wrote, self.outcome.journal)

    def _finish(self, plan: StackPlan, detours: Iterable[StackStep], check_mode: bool) -> None:
        """What comes after the writes: the verdict, then the removals, then the revision."""
        removals = [step for step in (*plan.steps, *detours) if step.action == "remove"]
        services = {s.name for s in plan.steps if s.kind == "service" and s not in removals}
        if check_mode:
            self.outcome.services = [
                Verdict(name, "", 0, 0, "unknown") for name in sorted(services)
            ]
            return
        self._verify(services)
        self._remove_objects(removals)
        if plan.history:
            self._hooks.before_write()
            self.outcome.notes += write_history(
                self._client(), self.name, plan.history, self._observe(), self.outcome.journal
            )
            self.outcome.revisions = revisions(self.name, self._observe())

    def _verify(
        self, names: Collection[str], later: Collection[str] = (), ends: Collection[str] = ()
    ) -> None:
        verified = self._wait_for(names, self.outcome.journal, later, ends)
        self.outcome.services = list(verified.verdicts)
        if verified.failure is not None:
            raise verified.failure

    def _wait_for(
        self,
        names: Collection[str],
        journal: Journal,
        later: Collection[str] = (),
        ends: Collection[str] = (),
    ) -> Verified:
        networks = self._observe().network_names() if journal.specs else {}
        return self._verifier.verify(names, journal.specs, networks, later, ends)

    def _remove_objects(self, steps: Collection[StackStep], journal: Journal | None = None) -> None:
        if not steps:
            return
        self._hooks.before_write()
        planned = {(step.kind, step.name) for step in steps}

        def find() -> list[Owned]:
            found = owned(self.name, self._observe())
            return [one for one in found if (one.kind, one.name) in planned]

        applied = (journal or self.outcome.journal).applied
        timeout = self._params["wait_timeout"]
        Removal(self.name, self._client(), find, applied, timeout).run()

    # After a failure

    def _undo(self, error: SwarmError) -> SwarmError:
        """Roll back what this run changed, and return the failure with what came of that."""
        journal = Journal(applied=self.outcome.put_back)
        reason = error.message.rstrip(".")
        try:
            stays = self._restore(self._before or StackSnapshot(), journal)
        except SwarmError as trouble:
            details = {**error.details, "put_back": trouble.message}
            message = (
                f"{reason}. What this run had changed could not be rolled back: {trouble.message}"
            )
            return SwarmError(error.code, message, **details)
        done = ", ".join(self.outcome.put_back) or "nothing"
        message = f"{reason}. What this run had changed was rolled back: {done}."
        if stays:
            message += f" {'; '.join(stays)}."
        return SwarmError(error.code, message, **error.details)

    def _restore(self, before: StackSnapshot, journal: Journal) -> list[str]:
        """Restore what was changed, remove what was created, and return a sentence for each object that other services use."""
        written = self.outcome.journal
        old = content_of(self.name, before).services
        services = {name: spec for name, spec in old.items() if f"service {name}" in written.specs}
        target = RevisionContent(services, {})
        for _attempt in range(ATTEMPTS):
            live = self._observe()
            steps = [
                plan_service(name, restored_spec(name, target, live), live) for name in services
            ]
            if write_revision(self._client(), steps, target, live, journal):
                break
        if services:
            verified = self._wait_for(services, journal)
            if verified.failure is not None:
                raise verified.failure
        removals, stays = created_only(self.name, before, self._observe(), written.created)
        self._remove_objects(removals, journal)
        return stays

    def _others_wrote(self, live: StackSnapshot, mine: Collection[Write] = ()) -> bool:
        """Whether anything but the writes in `mine` has changed the stack since `live`."""
        return others_wrote(
            stack_state(self.name, live), stack_state(self.name, self._observe()), mine
        )

    def _conflict(self, attempt: str) -> SwarmError:
        return SwarmError(
            "out_of_sequence",
            f"Could not {attempt} stack {self.name}: something else, such as another run, changed it during each of"
            f" {ATTEMPTS} attempts. Wait until that has ended, and run again.",
        )

    def _client(self) -> EngineClient:
        return EngineClient(self._params)
