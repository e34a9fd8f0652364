# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Changes services in steps, each of which has to run as asked before the next one.

What is changed is the business of the kinds of rollout: `_scale.py`, `_service_restart.py`, `_service_rollback.py`.
A rollout can be carried out in parts, so that the controller shows how far it is: `run` then gives back what
the next call needs to go on. Nothing of that is on the host. A killed run is finished by the next, which plans
from what is there.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from typing import Any, Callable

from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import PASSING
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import (
    CONVERGED,
    FAILED,
    Verdict,
    Watch,
    judge,
    mode_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, patiently, poll

INTERVAL = 0.5
# Others write to the swarm too. When somebody was quicker, the rest is planned anew.
ATTEMPTS = 3
UNDER_WAY = ("updating", "rollback_started")
PAUSED = ("paused", "rollback_paused")

# A write of one service: {step, service, before, after}. Those with the same number are made together.
Step = dict[str, Any]


class Problem(SwarmError):
    """What stands in the way for one service."""

    def __init__(self, code: str, service: str, message: str, **details: Any) -> None:
        super().__init__(code, message, service=service, **details)


class Moved(Exception):
    """Somebody else has changed what a step was planned from."""

    def __init__(self, service: str, found: str) -> None:
        super().__init__(service)
        self.service = service
        self.found = found


# Pure


def refuse(attempt: str, problems: Sequence[SwarmError]) -> None:
    """All that stands in the way, in one failure."""
    if not problems:
        return
    codes = {problem.code for problem in problems}
    raise SwarmError(
        codes.pop() if len(codes) == 1 else "refused",
        f"Could not {attempt}: {'; '.join(problem.message for problem in problems)}.",
        problems=[{"code": p.code, "message": p.message, **p.details} for p in problems],
    )


def named(
    names: Sequence[str], documents: list[dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """The services by name, and those that do not exist."""
    by_name = {name_of(document): document for document in documents}
    missing = [
        Problem("unknown_service", name, f"there is no service {name}")
        for name in names
        if name not in by_name
    ]
    return {name: by_name[name] for name in names if name in by_name}, missing


def name_of(service: dict[str, Any]) -> str:
    return str(dig(service, "Spec", "Name"))


def is_job(service: dict[str, Any]) -> bool:
    return bool(mode_of(dig(service, "Spec", "Mode") or {})["Mode"].endswith("-job"))


def update_of(service: dict[str, Any]) -> str:
    return str(dig(service, "UpdateStatus", "State") or "")


def paused(service: dict[str, Any]) -> Problem | None:
    """Any write sets a paused update going again (swarmkit: controlapi UpdateService resets the status)."""
    if update_of(service) not in PAUSED:
        return None
    name = name_of(service)
    said = str(dig(service, "UpdateStatus", "Message") or "no reason given").rstrip(".")
    return Problem(
        "update_paused",
        name,
        f"the latest update of {name} is paused ({said}), and a change would set it going again: finish that update"
        " or roll it back first",
    )


class Rollout:
    """The machinery; a kind of rollout says what it plans and writes."""

    attempt = ""  # completes the sentence "Could not ..."
    waits_for_updates = True  # an update that is under way has to be over first

    def __init__(
        self,
        client: Any,
        params: dict[str, Any],
        result: dict[str, Any],
        clock: Clock | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.params = params
        self.result = result
        self.clock = clock or Clock()
        self.wall_clock = wall_clock
        self.names: list[str] = self.wanted_names()
        self.ids: dict[str, str] = {}
        # What a kind of rollout wants to know in later calls of what `plan` has found.
        self.kept: dict[str, Any] = {}

    # What a kind of rollout says

    def wanted_names(self) -> list[str]:
        return list(dict.fromkeys(self.params["services"]))

    def plan(self, documents: list[dict[str, Any]]) -> list[Step]:
        """The steps from what is there; every refusal is made here."""
        raise NotImplementedError

    def lines(self, steps: list[Step], found: dict[str, dict[str, Any]]) -> list[str]:
        """The plan of each service that changes, as text."""
        raise NotImplementedError

    def stands(self, service: dict[str, Any]) -> Any:
        """What a step changes, as the service has it now."""
        raise NotImplementedError

    def send(self, service: dict[str, Any], step: Step) -> None:
        raise NotImplementedError

    def goal(self, verdict: dict[str, Any]) -> int:
        """How many tasks the service has in the end."""
        return int(verdict["desired"])

    def starts_tasks(self, step: Step) -> bool:
        return True

    def again(self, documents: list[dict[str, Any]], moved: Moved) -> list[Step]:
        """The rest, planned anew after somebody else has written."""
        raise self.raced(moved)

    def undo(self, written: list[Step]) -> str:
        """What becomes of the services when a step has failed, as the end of a sentence."""
        return ""

    # The run

    def run(
        self, check_mode: bool, state: dict[str, Any] | None = None, part: float | None = None
    ) -> dict[str, Any]:
        """All steps; or as far as `part` seconds of waiting go, but not beyond a step, and what the next call needs."""
        state = dict(state) if state else self._begin(check_mode)
        self.ids, self.kept, self.names = state["ids"], state["kept"], list(state["ids"])
        self.result.update(state["result"])
        if check_mode:
            self._look([])
            return {"over": True}
        while True:
            rest = state["rest"]
            group = [step for step in rest if step["step"] == rest[0]["step"]]
            wrote = False
            if group and state["waited"] is None:
                if self.result["done"]:
                    self.clock.sleep(self.params["pause"])
                try:
                    for step in group:
                        self.write(step)
                except Moved as moved:
                    self._plan_again(state, moved)
                    continue
                wrote = any(map(self.starts_tasks, group))
            # Where nothing is written, perhaps because a killed run has written it all, it has to run all the same.
            names = [step["service"] for step in group] or self.names
            finished = self._wait(names, group, wrote, state, part)
            if finished:
                self.result["done"] += group
                state["rest"], state["waited"] = rest[len(group) :], None
            over = finished and not state["rest"]
            if over or part is not None:
                state.update(result=self.result, over=over, progress=self._progress(names))
                return state

    def _begin(self, check_mode: bool) -> dict[str, Any]:
        documents = self._observe(0 if check_mode else self.params["wait_timeout"])
        steps = self.plan(documents)
        found, _missing = named(self.names, documents)
        lines = [f"PLAN  {self.attempt}, acting on {platform.node()}", *self.lines(steps, found)]
        if check_mode and self.waits_for_updates:
            lines += [
                f"  ! {name}: its update is not over, and is waited for first"
                for name in self.names
                if update_of(found[name]) in UNDER_WAY
            ]
        same = len(self.names) - len({step["service"] for step in steps})
        if same:
            lines.append(
                f"  = {count_of(same, 'service')} as {'it' if same == 1 else 'they'} should be"
            )
        self.result.update(plan=lines, steps=steps, changed=bool(steps))
        if steps:
            self.result["diff"] = {"prepared": "\n".join(lines) + "\n"}
        return {
            "ids": {name: str(found[name]["ID"]) for name in self.names},
            "kept": self.kept,
            "rest": steps,
            "waited": None,
            "attempts": ATTEMPTS,
            "result": self.result,
        }

    def _observe(self, timeout: float) -> list[dict[str, Any]]:
        """All services, once no update of the named ones is under way."""

        def busy(documents: list[dict[str, Any]]) -> list[str]:
            return [
                name_of(document)
                for document in documents
                if name_of(document) in self.names and update_of(document) in UNDER_WAY
            ]

        if not self.waits_for_updates or timeout <= 0:
            return list(self.client.services())
        documents, done = poll(
            self.client.services, lambda seen: not busy(seen), timeout, INTERVAL, self.clock
        )
        if not done:
            raise SwarmError(
                "updating",
                f"Could not {self.attempt}: the update of {', '.join(busy(documents))} is not over after {timeout:g} s;"
                " wait for it or roll it back.",
            )
        return list(documents)

    def _plan_again(self, state: dict[str, Any], moved: Moved) -> None:
        state["attempts"] -= 1
        if state["attempts"] <= 0:
            raise self.raced(moved)
        done = self.result["done"]
        first = done[-1]["step"] if done else 0
        rest = self.again(list(self.client.services()), moved)
        state["rest"] = [{**step, "step": first + step["step"]} for step in rest]
        self.result["steps"] = done + state["rest"]

    def raced(self, moved: Moved) -> SwarmError:
        return SwarmError(
            "raced",
            f"Could not {self.attempt}: somebody else changes {moved.service} at the same time, it is at {moved.found};"
            " look who it is, and run again.",
            service=moved.service,
        )

    # Apply

    def write(self, step: Step) -> None:
        def work() -> None:
            found = self.client.services(id=[self.ids[step["service"]]])
            if not found:
                raise SwarmError(
                    "gone", f"Could not {self.attempt}: {step['service']} is not there any more."
                )
            now = self.stands(found[0])
            # An answer may have been lost on the way: then it is written already.
            if now == step["after"]:
                return
            if now != step["before"]:
                raise Moved(step["service"], str(now))
            self.send(found[0], step)

        patiently(work, self.params["wait_timeout"], INTERVAL, self.clock)

    # Verify

    def verdicts(self, written: list[Step]) -> list[Verdict]:
        ids = sorted(self.ids.values())
        if not ids:
            return []
        services = {str(s["ID"]): s for s in self.client.services(id=ids)}
        tasks = self.client.tasks(service=ids)
        # The filter that the CLI's own progress bar uses: the engine compares the specs itself.
        current = self.client.tasks(**{"service": ids, "_up-to-date": "true"})
        current_ids = {str(task.get("ID")) for task in current}
        nodes = self.client.nodes()
        after = {step["service"]: step["after"] for step in written}
        found = []
        for name in self.names:
            service = services.get(self.ids[name])
            if service is None:
                found.append(Verdict(name, "", 0, 0, FAILED, "gone", "it is not there"))
                continue
            overruled = name in after and self.stands(service) != after[name]
            found.append(judge(service, tasks, current_ids, nodes, overruled))
        return found

    def _look(self, written: list[Step]) -> list[Verdict]:
        """The verdicts; none while the managers agree on a new leader."""
        try:
            seen = self.verdicts(written)
        except SwarmError as error:
            if error.code not in PASSING:
                raise
            return [
                Verdict(name, "", 0, 0, "unknown", error.code, "no leader answers")
                for name in self.names
            ]
        self.result["services"] = [verdict.as_dict() for verdict in seen]
        return seen

    def watch(
        self, names: Sequence[str], wrote: bool, written: list[Step], timeout: float
    ) -> tuple[list[Verdict], bool]:
        """The verdicts on these services, and whether they are final."""
        watch = Watch(self.params["settle"], wrote, self.wall_clock)

        def of(verdicts: list[Verdict]) -> list[Verdict]:
            return [verdict for verdict in verdicts if verdict.service in names]

        seen, done = poll(
            lambda: self._look(written),
            lambda verdicts: watch.final(of(verdicts), self.clock.now()),
            timeout,
            INTERVAL,
            self.clock,
        )
        return of(seen), done

    def _wait(
        self,
        names: Sequence[str],
        group: list[Step],
        wrote: bool,
        state: dict[str, Any],
        part: float | None,
    ) -> bool:
        """Whether the services run as asked; if not, there is time left. Raises where they do not get there."""
        started = self.clock.now()
        waited = state["waited"] or 0.0
        timeout = self.params["wait_timeout"] - waited
        written = self.result["done"] + group
        seen, done = self.watch(
            names, wrote, written, timeout if part is None else min(part, timeout)
        )
        waited += self.clock.now() - started
        if done and all(verdict.state == CONVERGED for verdict in seen):
            return True
        state["waited"] = waited
        if not done and waited < self.params["wait_timeout"]:
            return False
        raise self._failed(seen, group, waited)

    def _failed(self, seen: list[Verdict], group: list[Step], waited: float) -> SwarmError:
        late = [verdict for verdict in seen if verdict.state != CONVERGED]
        what = self.attempt
        if group:
            last = self.result["steps"][-1]["step"]
            what += f" {', '.join(step['service'] for step in group)}"
            what += f" (step {group[0]['step']} of {last})" if last > 1 else ""
        when = (
            "it has failed"
            if any(v.state == FAILED for v in late)
            else f"not there after {waited:.0f} s"
        )
        details = [{**v.as_dict(), "cause": v.cause or "deadline"} for v in late]
        services = self.result["services"]
        end = self.undo(self.result["done"] + group) if group else ""
        # What failed is what the caller wants to see, and not how it stands after it was put back.
        self.result["services"] = services
        return SwarmError(
            "not_converged",
            f"Could not {what}: {when}: {'; '.join(v.line() for v in late)}{end}",
            services=details,
            step=group[0]["step"] if group else 0,
        )

    def _progress(self, names: Sequence[str]) -> str:
        return ", ".join(
            f"{found['name']} {found['running']}/{self.goal(found)}"
            for found in self.result["services"]
            if found["name"] in names
        )


# A module


def carry_out(module: Any, kind: type[Rollout]) -> None:
    """The main() of a module that rolls something out.

    `_rollout` is the action plugin's: with it the module does a part, and gives back what the next call needs.
    """
    state = module.params["_rollout"]
    # It is `no_log` to stay out of the host's journal. That also blanks its values wherever they occur in the
    # result, and numbers and names of services are such values.
    module.no_log_values.clear()
    module.params["_rollout"] = None
    result: dict[str, Any] = dict(
        changed=False, plan=[], steps=[], done=[], reverted=[], services=[], diff={}
    )
    try:
        rollout = kind(EngineClient(module.params), module.params, result)
        # Longer than tasks have to run, so that the clocks of other hosts do not matter in the end.
        part = None if state is None else module.params["settle"] + 5
        state = rollout.run(module.check_mode, state, part)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result, _rollout={**state, "result": None if state["over"] else result})
