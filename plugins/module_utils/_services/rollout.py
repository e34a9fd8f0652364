# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Changes services in steps, each of which must converge before the next one.

The kinds of rollout say what changes: `scale.py`, `restart.py`, `rollback.py`, `rebalance.py`. A rollout can be carried
out in parts, so that the controller shows progress: `run` then returns what the next call needs. Nothing of that is kept
on the host. The next run resumes an interrupted one, because it plans from what it finds.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from typing import Any, Callable

from .._api.client import EngineClient
from .._common.errors import TRANSIENT, SwarmError
from .._common.waiting import INTERVAL, Clock, poll, retry
from .._common.words import count_of
from .._model.documents import dig
from .._model.services import PAUSED, UPDATING, is_job, service_name, update_state
from .convergence import CONVERGED, FAILED, Verdict, Watch, judge

# How often a rollout plans; it plans again when something else changed a service in between.
ATTEMPTS = 3

# A write of one service: {step, service, before, after}. Those with the same number are written together.
RolloutStep = dict[str, Any]

# The options that all these modules share.
ROLLOUT_OPTIONS: dict[str, Any] = dict(
    pause=dict(type="int", default=0),
    wait_timeout=dict(type="int", default=300),
    settle=dict(type="int", default=5),
)


class Problem(SwarmError):
    """Why one service cannot be changed; the message is a clause without a full stop."""

    def __init__(self, code: str, service: str, message: str, **details: Any) -> None:
        super().__init__(code, message, service=service, **details)


class ConcurrentChange(Exception):
    """Something else changed the value that a step was planned from; `found` is what it is now."""

    def __init__(self, service: str, found: str) -> None:
        super().__init__(service)
        self.service = service
        self.found = found


# Pure


def refuse(attempt: str, problems: Sequence[SwarmError]) -> None:
    """Raise all problems as one failure: with their code if they share one, else with refused; nothing if there are none."""
    if not problems:
        return
    codes = {problem.code for problem in problems}
    raise SwarmError(
        codes.pop() if len(codes) == 1 else "refused",
        f"Could not {attempt}: {'; '.join(problem.message for problem in problems)}.",
        problems=[{"code": p.code, "message": p.message, **p.details} for p in problems],
    )


def find_services(
    names: Sequence[str], documents: list[dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """The documents of these services by name, and a problem for each that does not exist."""
    by_name = {service_name(document): document for document in documents}
    missing = [
        Problem("unknown_service", name, f"there is no service {name}")
        for name in names
        if name not in by_name
    ]
    return {name: by_name[name] for name in names if name in by_name}, missing


def paused(service: dict[str, Any]) -> Problem | None:
    """Any write resumes a paused update (swarmkit: manager/controlapi/service.go, UpdateService resets the status); code
    update_paused."""
    if update_state(service) not in PAUSED:
        return None
    name = service_name(service)
    reason = str(dig(service, "UpdateStatus", "Message") or "no reason given").rstrip(".")
    return Problem(
        "update_paused",
        name,
        f"the latest update of {name} is paused ({reason}), and any change would resume it: complete that update or"
        " roll it back first",
    )


def runs_again(service: dict[str, Any]) -> Problem | None:
    """A job that is restarted or rolled back starts a new iteration (swarmkit: manager/controlapi/service.go); code job."""
    if not is_job(service.get("Spec")):
        return None
    name = service_name(service)
    return Problem("job", name, f"{name} is a job and would run again")


class Rollout:
    """What all kinds of rollout share; each kind says what it plans and writes.

    `result` is the result of the module, and right at any time, also after a failure.
    """

    attempt = ""  # completes the sentence "Could not ..."
    waits_for_updates = True  # an update in progress must complete first

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
        self.names: list[str] = self.service_names()
        self.ids: dict[str, str] = {}
        # What `plan` found and later calls need, as JSON.
        self.kept: dict[str, Any] = {}

    # What a kind of rollout says

    def service_names(self) -> list[str]:
        """The services to change, in order, each once."""
        return list(dict.fromkeys(self.params["services"]))

    def plan(self, documents: list[dict[str, Any]]) -> list[RolloutStep]:
        """The steps, given the documents of all services. Every refusal is made here, as a SwarmError."""
        raise NotImplementedError

    def lines(self, steps: list[RolloutStep], found: dict[str, dict[str, Any]]) -> list[str]:
        """The plan lines of the services that change; `found` has their documents by name."""
        raise NotImplementedError

    def current_value(self, service: dict[str, Any]) -> Any:
        """The value that steps change, as the service has it now."""
        raise NotImplementedError

    def send(self, service: dict[str, Any], step: RolloutStep) -> None:
        """Write a step, given the document of its service."""
        raise NotImplementedError

    def goal(self, verdict: dict[str, Any]) -> int:
        """How many tasks the service has in the end, given its verdict as data."""
        return int(verdict["desired"])

    def starts_tasks(self, step: RolloutStep) -> bool:
        """Whether a step makes the swarm start tasks, which then must stay up for `settle` seconds."""
        return True

    def replan(
        self, documents: list[dict[str, Any]], change: ConcurrentChange
    ) -> list[RolloutStep]:
        """The remaining steps after a concurrent change, or out_of_sequence where a kind does not plan again."""
        raise self.conflict(change)

    def undo(self, written: list[RolloutStep]) -> str:
        """Clean up after a step that failed, and say so as the end of a sentence."""
        return ""

    # The run

    def run(
        self, check_mode: bool, state: dict[str, Any] | None = None, part: float | None = None
    ) -> dict[str, Any]:
        """Carry out all steps, or with `part` at most one step and that many seconds of waiting, and return what the next
        call takes as `state`. In it `over` says whether the rollout is complete."""
        state = dict(state) if state else self._begin(check_mode)
        self.ids, self.kept, self.names = state["ids"], state["kept"], list(state["ids"])
        self.result.update(state["result"])
        if check_mode:
            self._judge([])
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
                except ConcurrentChange as change:
                    self._replan(state, change)
                    continue
                wrote = any(map(self.starts_tasks, group))
            # Where nothing is written, perhaps because an interrupted run wrote it all, the services must run all the same.
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
        found, _missing = find_services(self.names, documents)
        lines = [f"PLAN  {self.attempt}, acting on {platform.node()}", *self.lines(steps, found)]
        if check_mode and self.waits_for_updates:
            lines += [
                f"  ! {name}: its update is in progress, and the run waits for it first"
                for name in self.names
                if update_state(found[name]) in UPDATING
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
        """The documents of all services, once no update of the selected ones is in progress."""

        def busy(documents: list[dict[str, Any]]) -> list[str]:
            return [
                service_name(document)
                for document in documents
                if service_name(document) in self.names and update_state(document) in UPDATING
            ]

        if not self.waits_for_updates or timeout <= 0:
            return list(self.client.services())
        documents, done = poll(
            self.client.services, lambda seen: not busy(seen), timeout, INTERVAL, self.clock
        )
        if not done:
            raise SwarmError(
                "updating",
                f"Could not {self.attempt}: the update of {', '.join(busy(documents))} is still in progress after"
                f" {timeout:g} s; wait for it to complete, or roll it back.",
            )
        return list(documents)

    def _replan(self, state: dict[str, Any], change: ConcurrentChange) -> None:
        state["attempts"] -= 1
        if state["attempts"] <= 0:
            raise self.conflict(change)
        done = self.result["done"]
        first = done[-1]["step"] if done else 0
        rest = self.replan(list(self.client.services()), change)
        state["rest"] = [{**step, "step": first + step["step"]} for step in rest]
        self.result["steps"] = done + state["rest"]

    def conflict(self, change: ConcurrentChange) -> SwarmError:
        """The failure after a concurrent change that ends the rollout, with code out_of_sequence."""
        return SwarmError(
            "out_of_sequence",
            f"Could not {self.attempt}: something else, such as another run, changed {change.service} at the same time."
            " Wait until that has ended, and run again.",
            service=change.service,
            found=change.found,
        )

    # Apply

    def write(self, step: RolloutStep) -> None:
        """Write a step; raises ConcurrentChange if the service has another value than the step was planned from."""

        def work() -> None:
            found = self.client.services(id=[self.ids[step["service"]]])
            if not found:
                raise SwarmError(
                    "gone", f"Could not {self.attempt}: service {step['service']} no longer exists."
                )
            now = self.current_value(found[0])
            # The answer to an earlier attempt may have been lost: then the value is written already.
            if now == step["after"]:
                return
            if now != step["before"]:
                raise ConcurrentChange(step["service"], str(now))
            self.send(found[0], step)

        retry(work, self.params["wait_timeout"], INTERVAL, self.clock)

    # Verify

    def verdicts(self, written: list[RolloutStep]) -> list[Verdict]:
        """The verdicts on all services of the rollout, given the steps that it has written."""
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
                found.append(Verdict(name, "", 0, 0, FAILED, "gone", "something else removed it"))
                continue
            overruled = name in after and self.current_value(service) != after[name]
            found.append(judge(service, tasks, current_ids, nodes, overruled))
        return found

    def _judge(self, written: list[RolloutStep]) -> list[Verdict]:
        """The verdicts, also in the result; unknown while the managers elect a new leader."""
        try:
            seen = self.verdicts(written)
        except SwarmError as error:
            if error.code not in TRANSIENT:
                raise
            return [
                Verdict(name, "", 0, 0, "unknown", error.code, "the managers have no leader")
                for name in self.names
            ]
        self.result["services"] = [verdict.as_dict() for verdict in seen]
        return seen

    def watch(
        self, names: Sequence[str], wrote: bool, written: list[RolloutStep], timeout: float
    ) -> tuple[list[Verdict], bool]:
        """Wait up to `timeout` seconds for these services; their verdicts, and whether they are final."""
        watch = Watch(self.params["settle"], wrote, self.wall_clock)

        def of(verdicts: list[Verdict]) -> list[Verdict]:
            return [verdict for verdict in verdicts if verdict.service in names]

        seen, done = poll(
            lambda: self._judge(written),
            lambda verdicts: watch.final(of(verdicts), self.clock.now()),
            timeout,
            INTERVAL,
            self.clock,
        )
        return of(seen), done

    def _wait(
        self,
        names: Sequence[str],
        group: list[RolloutStep],
        wrote: bool,
        state: dict[str, Any],
        part: float | None,
    ) -> bool:
        """Whether the services converged; if not, there is time left. Raises not_converged where they do not."""
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

    def _failed(self, seen: list[Verdict], group: list[RolloutStep], waited: float) -> SwarmError:
        late = [verdict for verdict in seen if verdict.state != CONVERGED]
        what = self.attempt
        if group:
            last = self.result["steps"][-1]["step"]
            what += f" {', '.join(step['service'] for step in group)}"
            what += f" (step {group[0]['step']} of {last})" if last > 1 else ""
        when = (
            "it failed"
            if any(v.state == FAILED for v in late)
            else f"not converged after {waited:.0f} s"
        )
        details = [{**v.as_dict(), "cause": v.cause or "deadline"} for v in late]
        services = self.result["services"]
        end = self.undo(self.result["done"] + group) if group else ""
        # The caller wants to see what failed, and not how it is after it was rolled back.
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

    With `_rollout`, which only the action plugin gives, the module does a part and returns what the next call needs.
    """
    state = module.private["_rollout"]
    result: dict[str, Any] = dict(
        changed=False, plan=[], steps=[], done=[], reverted=[], services=[], diff={}
    )
    try:
        rollout = kind(EngineClient(module.params), module.params, result)
        # Longer than tasks must run, so that the clocks of other hosts do not matter in the end.
        part = None if state is None else module.params["settle"] + 5
        state = rollout.run(module.check_mode, state, part)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result, _rollout={**state, "result": None if state["over"] else result})
