# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A stack on a manager: what the CLI would write, writing what differs, waiting until it runs."""

from __future__ import annotations

import base64
import binascii
import json
import os
import platform
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ansible_collections.flotilla.swarm.plugins.module_utils._band import (
    check_band,
    within_band,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._capture import (
    KINDS,
    Decide,
    Refusal,
    Run,
    Write,
    cli_takes,
    private_directory,
    run_cli,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._compose import (
    ignored_keys,
    silently_ignored,
    variable,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import EngineReader
from ansible_collections.flotilla.swarm.plugins.module_utils._revisions import (
    TURN,
    Revision,
    Snapshot,
    choose,
    config_name,
    config_of,
    kept,
    next_turn,
    obstacle,
    plan_history,
    plan_return,
    plan_turn,
    revisions,
    snapshot,
    wanted,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._rotation import (
    LIMITS,
    overlay,
    version_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    Live,
    Step,
    cli_failure,
    cli_notes,
    cli_reasons,
    hide_credentials,
    leftovers,
    others_wrote,
    plan_lines,
    plan_service,
    plan_stack,
    plan_write,
    service_changes,
    state_of,
    with_login,
    with_platforms,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_networks import (
    Detour,
    plan_networks,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_record import (
    fingerprint,
    record,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_refusals import (
    local_networks,
    secret_plugins,
    shared_ports,
    taken_subnets,
    too_long,
    unknown_drivers,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_removal import (
    Owned,
    Removal,
    created_only,
    owned,
    plan_pruning,
    plan_removal,
    still_running,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import (
    CONVERGED,
    FAILED,
    Verdict,
    Watch,
    judge,
    log_lines,
    overdue,
    undeployed,
    unended,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll
from ansible_collections.flotilla.swarm.plugins.module_utils._waves import (
    completed_first,
    conditions,
    dependencies,
    wave_lines,
    waves,
    without_conditions,
)

# Others write to the swarm too. When somebody was quicker, the plan is made anew.
ATTEMPTS = 5

# Failures in the middle of a deploy: half a stack helps nobody, so what was written is taken back whatever is asked for.
REFUSED = ("refused", "cli_failed", "cli_timeout", "name_taken")

# How many runs of the CLI without a new error mean that all are known: it takes the services in the order of a hash table, and
# of two the second comes first in one of eight runs. And how many errors, and how many seconds, are enough.
MORE_RUNS = 40
MOST_REASONS = 10
REASONS_TIME = 30
# Bytes of NAME=value that Linux gives to a program (MAX_ARG_STRLEN).
LONGEST_VARIABLE = 128 * 1024 - 1

# Seconds in which the logs of all services that failed have to be there, and those of one.
LOGS_TIME = 10
LOG_TIME = 3


class Stack:
    """One stack, from what is given to what runs."""

    def __init__(
        self, params: dict[str, Any], given: dict[str, Any], result: dict[str, Any]
    ) -> None:
        self.params = params
        self.given = given
        self.result = result
        self.name: str = params["name"]
        self.mine = {"label": [f"{NAMESPACE}={self.name}"]}
        self.engine = EngineReader(params["docker_host"], params["timeout"])
        self.socket = params["docker_host"][len("unix://") :]
        self.environment = {k: variable(v) for k, v in (given["environment"] or {}).items()}
        check_given(self.name, self.environment)
        self.detaches: bool | None = None
        # Made once, so that what is written has the names that were planned.
        self.rotated: str | None = None
        self.written: dict[str, dict[str, Any]] = {}
        self.live_specs: dict[str, dict[str, Any]] = {}
        # Services by what has to run before they are written, and those that change.
        self.waves: list[list[str]] = []
        self.ends: set[str] = set()
        self.changing: set[str] = set()
        self.wanted: list[Write] = []
        self.before: Live | None = None
        # The IDs of what this run has created.
        self.created: set[str] = set()
        self.stuck: set[str] = set()

    def run(self, check_mode: bool) -> None:
        self._carry_out(check_mode)
        if not check_mode and not self.result["changed"] and self.before is not None:
            found = fingerprint(self.name, self.before.by_kind())
            record(self.name, self.given.get("_asked") or "", found, self.result["ignored"])

    def _carry_out(self, check_mode: bool) -> None:
        try:
            if self.params["state"] == "absent":
                self.remove(check_mode)
            elif self.params["state"] == "present":
                self.deploy(check_mode)
            else:
                self.roll_back(check_mode)
        except SwarmError as error:
            wanted_back = self.params["on_failure"] == "rollback" or error.code in REFUSED
            if not self.written or not wanted_back:
                raise
            raise self.put_back(error) from error

    def deploy(self, check_mode: bool) -> None:
        """Make the stack what the Compose files say."""
        behind: list[Step] = []
        for attempt in range(ATTEMPTS):
            live = self.observe()
            try:
                steps = self.plan(live)
            except SwarmError:
                if attempt + 1 == ATTEMPTS or not self.others_wrote(live):
                    raise
                continue
            self._begin(live)
            if not check_mode and any(step.action == "replace" for step in steps):
                behind += self.replace_networks(steps, live)
                live = self.observe()
            if check_mode or not _writes(steps) or self.apply(live):
                self.finish([*steps, *behind], check_mode)
                return
        raise self._raced("deploy stack", "")

    def roll_back(self, check_mode: bool) -> None:
        """Make the stack what it was in a revision."""
        chosen: Revision | None = None
        for _attempt in range(ATTEMPTS):
            live = self.observe()
            chosen = chosen or choose(self.name, live, self.params["revision"])
            steps = self.plan_return(chosen, live)
            self._begin(live)
            if check_mode or self.apply_return(steps, chosen.snapshot, live):
                self.finish(steps, check_mode)
                return
        raise self._raced("roll stack", " back")

    def _begin(self, live: Live) -> None:
        if self.before is None:
            self.before = live
            if self.result["changed"]:
                self.result["diff"] = self._diff()

    def others_wrote(self, live: Live, mine: Iterable[Write] = ()) -> bool:
        """Whether the stack is another than it was, apart from what this run has just written."""
        return others_wrote(state_of(self.name, live), state_of(self.name, self.observe()), mine)

    def _raced(self, attempt: str, how: str) -> SwarmError:
        return SwarmError(
            "out_of_sequence",
            f"Could not {attempt} {self.name}{how}: something else, such as another run, changes it at the same time, and"
            f" {ATTEMPTS} attempts met a change. Wait until that has ended, and run again.",
        )

    def finish(self, steps: list[Step], check_mode: bool) -> None:
        """What comes after the writes: the verdict, then what goes, then the revision."""
        goes = [step for step in steps if step.action == "remove" and step.kind != "revision"]
        services = {step.name for step in steps if step.kind == "service" and step not in goes}
        if check_mode:
            self.result["services"] = [
                Verdict(name, "", 0, 0, "unknown").as_dict() for name in sorted(services)
            ]
            return
        self.verify(services)
        self.apply_removal(goes)
        self.apply_history([step for step in steps if step.kind == "revision"])

    def remove(self, check_mode: bool) -> None:
        """Remove all that the stack owns."""
        steps = self.plan_removal()
        if steps:
            self.result["diff"] = self._diff()
        if steps and not check_mode:
            self.apply_removal(steps)

    def _diff(self) -> dict[str, str]:
        return {"prepared": "\n".join(self.result["plan"]) + "\n"}

    # Observe

    def observe(self) -> Live:
        live = Live(
            services=self.engine.get("/services", f"plan stack {self.name}"),
            networks=self.engine.get("/networks", "list the networks"),
            secrets=self.engine.get("/secrets", "list the secrets"),
            configs=self.engine.get("/configs", "list the configs"),
        )
        for network_id in live.unlisted_networks(self.name):
            try:
                live.networks.append(self.engine.get(f"/networks/{network_id}", "read a network"))
            except SwarmError as error:
                if error.code != "not_found":
                    raise
        return live

    # Plan

    def plan(self, live: Live) -> list[Step]:
        run = self.cli(live, None)
        self._note(run)
        run.refusals += self.refusals(run.writes, live)
        self._check(run, "plan")
        steps = plan_stack(self.name, run.writes, live)
        if self._logs_in():
            self.stuck = self.without_image({s.name for s in steps if s.kind == "service"})
            steps = [with_login(s) if s.name in self.stuck else s for s in steps]
        self.wanted = run.writes
        steps = plan_networks(self.name, steps, live, self.params["replace_networks"])
        extra = leftovers(self.name, run.writes, live)
        history = self.plan_history(live, steps, bool(extra and self.params["prune"]))
        if self.params["prune"]:
            extra = []
            staying = kept(self.name, live, history)
            steps += plan_pruning(self.name, live, steps, run.writes, staying)
        self.changing = {s.name for s in steps if s.action in ("create", "update")}
        self.waves = self._waves(run)
        self.result.update(leftovers=extra, waves=self.waves)
        self._planned(self.name, [*steps, *history], live, extra)
        if self.params["strict"] and self.result["ignored"]:
            keys = ", ".join(self.result["ignored"])
            raise SwarmError(
                "ignored_keys",
                f"Could not plan stack {self.name}: Swarm ignores these keys of its Compose files: {keys}. Take them out,"
                " or set strict to false.",
                keys=self.result["ignored"],
            )
        return [*steps, *history]

    def refusals(self, writes: list[Write], live: Live) -> list[Refusal]:
        """What the engine would refuse of all writes together, or not carry out."""
        by_kind: dict[str, dict[str, Write]] = {kind: {} for kind in KINDS}
        for write in writes:
            by_kind[write.kind][write.name] = write
        specs = {
            kind: {name: write.spec for name, write in found.items()}
            for kind, found in by_kind.items()
        }
        networks, services = specs["network"], specs["service"]
        drivers = {
            name: str(spec["Driver"].get("Name"))
            for name, spec in specs["secret"].items()
            if spec.get("Driver") and live.spec_of("secret", name) is None
        }
        known = set()
        if drivers:
            known = secret_plugins(self.engine.nodes()) | legacy_plugins(drivers.values())
        changing = {n: s for n, s in services.items() if plan_service(n, s, live).action != "none"}
        previous = {name: live.spec_of("service", name) for name in changing}
        found = {
            "network": [*taken_subnets(networks, live.networks)],
            "secret": [*unknown_drivers(drivers, known)],
            "service": [
                *local_networks(networks, services),
                *shared_ports(services),
                *too_long(changing, previous),
            ],
        }
        return [
            Refusal(by_kind[kind][name], 400, words)
            for kind, objections in found.items()
            for name, words in objections
        ]

    def plan_history(self, live: Live, steps: list[Step], prunes: bool) -> list[Step]:
        if not self.params["wait"]:
            # Whether this deploy goes well is not looked at.
            return []
        writes = any(step.kind == "service" and step.action != "none" for step in steps)
        return plan_history(self.name, live, writes or prunes, self.params["keep_revisions"])

    def plan_return(self, revision: Revision, live: Live) -> list[Step]:
        steps = plan_return(self.name, revision.snapshot, live)
        steps += plan_turn(self.name, live, revision)
        self._planned(f"{self.name} back to {revision.title}", steps, live)
        return steps

    def _planned(
        self, title: str, steps: list[Step], live: Live, extra: Iterable[str] = ()
    ) -> None:
        self.result.update(
            steps=[step.as_dict() for step in steps],
            plan=plan_lines(title, steps, platform.node(), extra, self.result["notes"])
            + wave_lines(self.waves),
            revisions=[revision.as_dict() for revision in revisions(self.name, live)],
            changed=bool(self.written) or any(step.action != "none" for step in steps),
        )

    def _note(self, run: Run) -> None:
        """What the CLI says about the Compose files, and what it ought to say."""
        notes = cli_notes(run.output)
        silent = self.params["ignored_keys"]
        if silent is None:
            silent = silently_ignored(self._documents())
        if self.params["waves"]:
            silent = [key for key in silent if key != "depends_on"]
        said = ignored_keys(notes)
        if silent:
            notes.append(f"Swarm ignores as well: {', '.join(silent)}")
        self.result.update(notes=notes, ignored=sorted({*said, *silent}))

    def _documents(self) -> list[dict[str, Any] | None]:
        """The Compose files that can be read here: a host has no parser for YAML."""
        given = self.given["definition"]
        return [_json_object(d) for d in (given if isinstance(given, list) else [given])]

    def _waves(self, run: Run) -> list[list[str]]:
        if not self.params["waves"]:
            return []
        needs = self.params["depends_on"]
        if needs is None:
            documents = self._documents()
            if None in documents:
                raise SwarmError(
                    "bad_depends_on",
                    f"Could not order the services of stack {self.name}: only a definition that is a dictionary can be"
                    " read here. Give depends_on, as the lookup flotilla.swarm.stack_source returns it.",
                )
            needs = dependencies(documents)
        prefix = f"{self.name}_"
        names = {w.name[len(prefix) :] for w in run.writes if w.kind == "service"}
        needs = {str(name): conditions(listed) for name, listed in needs.items()}
        found = waves(self.name, names, needs)
        self.ends = {prefix + name for name in completed_first(needs)}
        return [[prefix + name for name in wave] for wave in found]

    def plan_removal(self) -> list[Step]:
        self.before = self.observe()
        steps = plan_removal(self.name, self.before)
        notes = []
        if steps:
            tasks = self.engine.get(f"/tasks?{_filters(self.mine)}", "list the tasks")
            _answering, silent = still_running(tasks, self.engine.nodes())
            notes = [f"tasks on {node}, which is not ready, end when it is back" for node in silent]
        plan = plan_lines(self.name, steps, platform.node(), notes=notes)
        self.result.update(
            steps=[step.as_dict() for step in steps], plan=plan, notes=notes, changed=bool(steps)
        )
        return steps

    def cli(self, live: Live, forward: Decide | None, only: int | None = None) -> Run:
        """Run the CLI: to plan, or to write what `forward` lets through; with one of the Compose files alone, for its errors."""
        params = self.params
        if self.detaches is None:
            self.detaches = cli_takes("stack deploy", "--detach")
        arguments = ["stack", "deploy", "--resolve-image", params["resolve_image"]]
        if self.detaches:
            arguments.append("--detach=true")
        if self._logs_in():
            arguments.append("--with-registry-auth")
        with private_directory() as directory:
            # A CLI of before that option takes a file without a version for one of 2014.
            texts = compose_texts(self.given["definition"], "" if self.detaches else "3.9")
            folder = write_files(os.path.join(directory, "files"), self.given["files"] or {})
            environment = self.environment
            if self.given["registries"]:
                environment = {**environment, **write_login(directory, self.given["registries"])}
            paths = list(params["compose"] or [])
            if any((params["rotate"] or {}).values()):
                self.rotated = self.rotated or self._overlay(texts, paths, folder)
                texts.append(self.rotated)
            if len(texts) == 1:
                paths.append("-")
            else:
                for number, text in enumerate(texts):
                    paths.append(os.path.join(folder, f".flotilla-compose-{number}.yml"))
                    _write_private(paths[-1], text.encode())
            for path in paths if only is None else [paths[only]]:
                arguments += ["-c", path]
            run = run_cli(
                self.socket,
                [*arguments, "--", self.name],
                stdin=texts[0] if len(texts) == 1 else "",
                environment=environment,
                directory=folder,
                forward=forward,
                adjust=lambda write: _adjusted(write, live),
                timeout=max(300, params["wait_timeout"]),
            )
            refuse_relative_mounts(self.name, run.writes, directory, folder)
            return run

    def _logs_in(self) -> bool:
        return bool(self.params["with_registry_auth"] or self.given["registries"])

    def _differs(self, write: Write, live: Live) -> bool:
        return plan_write(write, live).action != "none" or write.name in self.stuck

    def without_image(self, names: set[str]) -> set[str]:
        """Services whose tasks cannot get their image. A login may be what they lack, and no spec shows it."""
        return {v.service for v in self.verdicts(names, {}) if v.cause == "image"}

    def _overlay(self, texts: list[str], paths: list[str], folder: str) -> str:
        """The Compose file that renames what has to be rotated; its relative paths start where the others' do."""
        for kind in LIMITS:
            for key, path in (self.params["rotate"][kind] or {}).items():
                if not isinstance(path, str) or not path:
                    raise SwarmError(
                        "bad_option",
                        f"Could not plan stack {self.name}: rotate.{kind}.{key} must be the path of its file.",
                    )
        folder = os.path.dirname(paths[0]) if paths else folder
        first = texts[0] if texts else _read(paths[0]).decode("utf-8", "replace")
        data = {
            kind: {
                key: (str(path), _read(os.path.join(folder, str(path))))
                for key, path in (self.params["rotate"][kind] or {}).items()
            }
            for kind in LIMITS
        }
        swarm_id = str(self.engine.swarm()["ID"])
        return overlay(self.name, swarm_id, version_of(first), data)

    def _check(self, run: Run, attempt: str) -> None:
        if run.error is not None:
            raise run.error
        if run.timed_out:
            raise SwarmError(
                "cli_timeout", f"Could not {attempt} stack {self.name}: the CLI does not end."
            )
        if run.returncode != 0 or run.refusals:
            refusals = sorted({(r.write.kind, r.write.name, r.message) for r in run.refusals})
            reasons = self._reasons(run) if attempt == "plan" and not refusals else []
            raise cli_failure(self.name, attempt, run.output, refusals, reasons)

    def _reasons(self, run: Run) -> list[str]:
        """All that the CLI finds wrong, each with the file that it is in, if there are several."""
        clock = Clock()
        end = clock.now() + REASONS_TIME
        found = {*_said(run), *self._all_said(None, clock, end)}
        names = [str(path) for path in self.params["compose"] or []]
        given = self.given["definition"]
        texts = given if isinstance(given, list) else [given]
        names += [f"Compose file {n}" for n, text in enumerate(texts, 1) if text is not None]
        if len(names) == 1:
            return sorted(found)
        end = clock.now() + REASONS_TIME
        alone = [self._all_said(number, clock, end) for number in range(len(names))]
        wheres = {
            reason: [name for name, reasons in zip(names, alone) if reason in reasons]
            for reason in found
        }
        return sorted(
            f"{', '.join(where)}: {reason}" if where else reason for reason, where in wheres.items()
        )

    def _all_said(self, only: int | None, clock: Clock, end: float) -> set[str]:
        """What the CLI says of the Compose files, or of one alone: of several errors any one, so it is asked until nothing is new."""
        found: set[str] = set()
        left = MORE_RUNS
        while left and len(found) < MOST_REASONS and (not found or clock.now() < end):
            run = self.cli(Live(), None, only)
            if run.returncode == 0:
                break
            left = left - 1 if found.issuperset(_said(run)) else MORE_RUNS
            found.update(_said(run))
        return found

    # Apply

    def apply(self, live: Live) -> bool:
        """Write what differs; False if somebody else wrote meanwhile and the plan is out of date."""
        last = max((n for n, wave in enumerate(self.waves) if self.changing & {*wave}), default=0)
        if not self.waves:
            return self._write(live, None)
        for number, wave in enumerate(self.waves[: last + 1]):
            if number:
                before = {name for done in self.waves[:number] for name in done}
                self.verify(before, {name for later in self.waves[number:] for name in later})
                live = self.observe()
            # What is not a service goes with the first wave.
            if (number == 0 or self.changing & {*wave}) and not self._write(live, {*wave}):
                return False
        return True

    def _write(self, live: Live, wave: set[str] | None) -> bool:
        def forward(write: Write) -> bool:
            if wave is not None and write.kind == "service" and write.name not in wave:
                return False
            return self._differs(write, live)

        run = self.cli(live, forward)
        for write in run.forwarded:
            self.result["applied"].append(f"{write.kind} {write.name}")
            self.written[f"{write.kind} {write.name}"] = write.spec
            if write.action == "create":
                self.created.add(write.object_id)
        failed = bool(run.returncode or run.refusals)
        overtaken = any(refusal.overtaken for refusal in run.refusals)
        if overtaken or (failed and self.others_wrote(live, run.forwarded)):
            return False
        self._check(run, "deploy")
        return True

    def apply_return(self, steps: list[Step], target: Snapshot, live: Live) -> bool:
        """Write services as they were in a snapshot, and networks that they need; False as above."""
        engine = EngineClient(self.params)
        for step in steps:
            name, entry = step.name, f"{step.kind} {step.name}"
            writes = ("create",) if step.kind == "network" else ("create", "update")
            if step.kind not in ("network", "service") or step.action not in writes:
                continue
            document = live.document_of(step.kind, name)
            try:
                if step.kind == "network":
                    spec = {**target.networks[name], "CheckDuplicate": True}
                else:
                    spec = wanted(name, target, live)
                if document is None:
                    self.created.add(engine.create(step.kind, spec))
                else:
                    engine.update_service(document["ID"], document["Version"]["Index"], spec)
            except SwarmError as error:
                if error.code in ("out_of_sequence", "conflict", "not_found"):
                    return False
                # What the engine does not take is no passing trouble.
                code = "refused" if error.code == "engine_error" else error.code
                raise SwarmError(code, error.message, **error.details) from error
            self.written[entry] = spec
            self.result["applied"].append(entry)
        return True

    def apply_history(self, steps: list[Step]) -> None:
        """Leave a revision of what runs now, or make one the newest, and remove those that are too old."""
        if not steps:
            return
        engine, live = EngineClient(self.params), self.observe()
        turn = next_turn(revisions(self.name, live))
        for step in steps:
            number = int(step.name)
            name = config_name(self.name, number)
            config = live.document_of("config", name)
            if step.action == "create":
                content = snapshot(self.name, live)
                why_not = obstacle(self.name, number, content)
                if why_not is not None:
                    self.result["notes"].append(f"no revision was left: {why_not}")
                    continue
                try:
                    engine.create("config", config_of(self.name, number, turn, content))
                except SwarmError as error:
                    if error.code != "conflict":
                        raise
                    # Another run of the same stack has come to its end first.
                    self.result["notes"].append(
                        f"no revision was left: another run has left number {number} at the same time"
                    )
                    continue
            elif config is None:
                continue
            elif step.action == "update":
                labels = {**config["Spec"]["Labels"], TURN: str(turn)}
                engine.relabel("config", config, labels)
            else:
                try:
                    engine.remove("config", config["ID"], name)
                except SwarmError as error:
                    if error.code != "not_found":
                        raise
            self.result["applied"].append(f"revision {number}")
        self.result["revisions"] = [
            revision.as_dict() for revision in revisions(self.name, self.observe())
        ]

    def put_back(self, error: SwarmError) -> SwarmError:
        """After a failure: make services, secrets and configs what they were before this run."""
        verdicts, written = self.result["services"], set(self.written)
        self.written = {}
        applied: list[str] = []
        self.result["put_back"] = applied
        said = error.message.rstrip(".")
        try:
            stays = self._put_back(self.before or Live(), written, applied)
        except SwarmError as trouble:
            details = {**error.details, "put_back": trouble.message}
            message = (
                f"{said}. What this run had changed could not be rolled back: {trouble.message}"
            )
            return SwarmError(error.code, message, **details)
        finally:
            self.result["services"] = verdicts
        message = (
            f"{said}. What this run had changed was rolled back: {', '.join(applied) or 'nothing'}."
        )
        if stays:
            message += f" {'; '.join(stays)}."
        return SwarmError(error.code, message, **error.details)

    def _put_back(self, before: Live, written: set[str], applied: list[str]) -> list[str]:
        """Restore what was there, remove what this run has created, and say what of that others use already."""
        mine = self.result["applied"]
        self.result["applied"] = applied
        try:
            old = snapshot(self.name, before).services
            services = {name: spec for name, spec in old.items() if f"service {name}" in written}
            target = Snapshot(services, {})
            for _attempt in range(ATTEMPTS):
                live = self.observe()
                steps = [plan_service(name, wanted(name, target, live), live) for name in services]
                if self.apply_return(steps, target, live):
                    break
            if services:
                self.verify(set(services))
            goes, stays = created_only(self.name, before, self.observe(), self.created)
            self.apply_removal(goes)
            return stays
        finally:
            self.result["applied"] = mine

    def replace_networks(self, steps: list[Step], live: Live) -> list[Step]:
        names = {step.name for step in steps if step.action == "replace"}
        writes = [w for w in self.wanted if w.kind == "network" and w.name in names]
        detour = Detour(self.name, EngineClient(self.params), self.params["wait_timeout"])
        return detour.run(writes, live, self.result["applied"])

    def apply_removal(self, steps: list[Step]) -> None:
        if not steps:
            return
        planned = {(step.kind, step.name) for step in steps}

        def find() -> list[Owned]:
            found = owned(self.name, self.observe())
            return [one for one in found if (one.kind, one.name) in planned]

        engine, timeout = EngineClient(self.params), self.params["wait_timeout"]
        Removal(self.name, engine, find, self.result["applied"], timeout).run()

    # Verify

    def verdicts(self, names: set[str], networks: dict[str, str]) -> list[Verdict]:
        services = self.engine.get(f"/services?{_filters(self.mine)}", "list the services")
        tasks = self.engine.get(f"/tasks?{_filters(self.mine)}", "list the tasks")
        # The filter that the CLI's own progress bar uses: the engine compares the specs itself.
        fresh = {**self.mine, "_up-to-date": ["true"]}
        current = self.engine.get(f"/tasks?{_filters(fresh)}", "list the tasks")
        ids = {str(task.get("ID")) for task in current}
        nodes = self.engine.nodes()
        found = []
        for service in services:
            spec = service.get("Spec") or {}
            self.live_specs[str(spec.get("Name"))] = spec
            asked = self.written.get(f"service {spec.get('Name')}")
            # Within its band a service may be scaled by others at any time.
            overruled = asked is not None and bool(
                service_changes(spec, within_band(asked, spec), networks)
            )
            found.append(judge(service, tasks, ids, nodes, overruled))
        gone = names - {verdict.service for verdict in found}
        found += [
            Verdict(name, "", 0, 0, FAILED, "gone", "something else removed it") for name in gone
        ]
        return sorted((v for v in found if v.service in names), key=lambda v: v.service)

    def verify(self, names: set[str], later: set[str] | None = None) -> None:
        """Wait until these services run as asked; `later` are those that wait for them, and so are not written yet."""
        wait = self.params["wait"] or bool(later)
        clock = Clock()
        started = clock.now()
        networks = self.observe().network_names() if self.written else {}
        limit = self.params["wait_timeout"]

        def in_time(seen: list[Verdict]) -> list[Verdict]:
            # A service that says that it takes long to start has that much more time.
            passed = clock.now() - started
            return [overdue(v) if passed >= limit + v.start_period else v for v in seen]

        def look() -> list[Verdict]:
            seen = self.verdicts(names, networks)
            if later:
                seen = [unended(v) if v.service in self.ends else v for v in seen]
            return in_time(seen)

        def over(seen: list[Verdict]) -> bool:
            return clock.now() - started >= limit + max((v.start_period for v in seen), default=0)

        if wait:
            watch = Watch(self.params["settle"], bool(self.written), time.time)
            seen, _done = poll(
                look,
                lambda seen: watch.final(seen, clock.now()) or over(seen),
                timeout=float("inf"),
                interval=0.5,
                clock=clock,
            )
            settled = all(v.state == CONVERGED for v in seen) and watch.final(seen, clock.now())
            if not settled:
                seen = in_time([watch.unsettled(verdict) for verdict in seen])
        else:
            seen = self.verdicts(names, networks)
        failed = wait and not all(v.state == CONVERGED for v in seen)
        seconds = round(clock.now() - started)
        if failed:
            seen = self.with_logs(seen, clock)
        waiting = [
            Verdict(
                name, "", 0, 0, "unknown", reason="not written: it depends on what is not up yet"
            )
            for name in later or ()
        ]
        shown = sorted([*seen, *waiting], key=lambda verdict: verdict.service)
        self.result["services"] = [verdict.as_dict() for verdict in shown]
        if failed:
            raise undeployed(self.name, seen, seconds)

    def with_logs(self, verdicts: list[Verdict], clock: Clock) -> list[Verdict]:
        """The verdicts with the last lines of what failed, as far as the nodes give them in time."""
        most, end = self.params["log_lines"], clock.now() + LOGS_TIME
        found = []
        for verdict in verdicts:
            left = min(LOG_TIME, end - clock.now())
            if verdict.witness and verdict.cause and most > 0 and left > 0:
                template = self.live_specs[verdict.service].get("TaskTemplate") or {}
                container = template.get("ContainerSpec") or {}
                data = self.engine.log(verdict.witness, most, left)
                lines = log_lines(data, not container.get("TTY"), most)
                shown = (hide_credentials(line, container) for line in lines)
                verdict = replace(verdict, log=tuple(shown))
            found.append(verdict)
        return found


def check_given(stack: str, environment: dict[str, str]) -> None:
    """Refuse what no command line and no environment of a program can hold; the rest the engine judges."""
    if not re.fullmatch(r"[^-\0][^\0]*", stack):
        raise SwarmError(
            "bad_name",
            f"The stack {stack!r} cannot have this name: it must begin with a letter or a digit, such as shop.",
        )
    for name, value in sorted(environment.items()):
        size = len(f"{name}={value}".encode("utf-8", "surrogateescape"))
        wrong = ""
        if not name or "=" in name or "\0" in name:
            wrong = "its name must have letters, digits and underscores only"
        elif "\0" in value:
            wrong = "its value has a NUL character, which no variable can hold; take it out"
        elif size > LONGEST_VARIABLE:
            wrong = f"it has {size} bytes, and Linux takes {LONGEST_VARIABLE}; use a config or a secret for it"
        if wrong:
            raise SwarmError(
                "bad_environment", f"Could not give stack {stack} the variable {name!r}: {wrong}."
            )


def _said(run: Run) -> list[str]:
    """Why the CLI stopped; before its last lines may stand a long list of what is allowed."""
    return cli_reasons(run.output)[-4:]


def _adjusted(write: Write, live: Live) -> dict[str, Any]:
    check_band(write.spec)
    current = live.spec_of("service", write.name)
    return with_platforms(within_band(write.spec, current), current)


def _writes(steps: list[Step]) -> bool:
    """Whether the CLI has something to write; what it does not do comes after the services run."""
    return any(
        step.action in ("create", "update", "replace") and step.kind != "revision" for step in steps
    )


def legacy_plugins(names: Iterable[str]) -> set[str]:
    """Those of these plugins that are no objects of the engine but lie in files (moby: pkg/plugins/discovery.go)."""
    found = set()
    for name in names:
        if os.path.basename(name) != name:
            continue
        paths = [f"/run/docker/plugins/{name}.sock", f"/run/docker/plugins/{name}/{name}.sock"]
        for folder in ("/etc/docker/plugins", "/usr/lib/docker/plugins"):
            for ending in ("spec", "json"):
                paths += [f"{folder}/{name}.{ending}", f"{folder}/{name}/{name}.{ending}"]
        if any(map(os.path.exists, paths)):
            found.add(name)
    return found


def refuse_relative_mounts(
    stack: str, writes: Iterable[Write], directory: str, folder: str
) -> None:
    """The folder that an inline definition is in is of this run alone: nothing on a node can be mounted from it."""
    wrong = sorted(
        f"service {write.name} mounts {os.path.relpath(mount['Source'], folder)} at {mount.get('Target')}"
        for write in writes
        for mount in ((write.spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get(
            "Mounts"
        )
        or []
        if str(mount.get("Source") or "").startswith(directory + os.sep)
    )
    if wrong:
        raise SwarmError(
            "relative_mount",
            f"Could not plan stack {stack}: {'; '.join(wrong)}, a path relative to a Compose file that is on no node."
            " Give the path on the nodes, or use a config or a volume.",
            mounts=wrong,
        )


def compose_texts(definition: Any, version: str) -> list[str]:
    """The Compose files as text; a dictionary without a version gets `version`."""
    if definition is None:
        return []
    texts = []
    for entry in definition if isinstance(definition, list) else [definition]:
        document = _json_object(entry)
        if document is not None:
            document = without_conditions(document)
            texts.append(json.dumps({"version": version, **document} if version else document))
        elif isinstance(entry, str):
            texts.append(entry)
        else:
            raise SwarmError(
                "bad_definition",
                f"definition must be a dictionary or text, or a list of such, not {type(entry).__name__}.",
            )
    return texts


def _json_object(entry: Any) -> dict[str, Any] | None:
    """A dictionary, also one that came as JSON."""
    if isinstance(entry, str) and entry.lstrip().startswith("{"):
        try:
            entry = json.loads(entry)
        except ValueError:
            return None
    return entry if isinstance(entry, dict) else None


def write_files(directory: str, files: dict[str, str]) -> str:
    """Lay out the files, and return the folder that their relative paths start from."""
    paths = {os.path.normpath(str(path)): content for path, content in files.items()}
    up = max((path.split("/").count("..") for path in paths), default=0)
    folder = os.path.join(directory, *["d"] * up)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, content in paths.items():
        target = os.path.normpath(os.path.join(folder, path))
        if "\0" in path or not target.startswith(directory + os.sep):
            raise SwarmError("bad_files", f"files: {path} must be a relative path.")
        try:
            data = base64.b64decode(content, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise SwarmError("bad_files", f"files: the content of {path} is not Base64.") from error
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        _write_private(target, data)
    return folder


def write_login(directory: str, registries: list[dict[str, str]]) -> dict[str, str]:
    """The CLI's configuration with these logins beside the user's own, as the variable that leads the CLI to it."""
    own = os.path.join(os.path.expanduser("~"), ".docker", "config.json")
    try:
        document = json.loads(_read(own))
    except FileNotFoundError:
        document = {}
    except ValueError as error:
        raise SwarmError("bad_login", f"Could not read the logins in {own}: {error}.") from error
    auths = document.setdefault("auths", {})
    for entry in registries:
        pair = f"{entry['username']}:{entry['password']}"
        auths[entry["registry"]] = {"auth": base64.b64encode(pair.encode()).decode()}
    # A store of credentials would be asked instead of what stands here.
    document.pop("credsStore", None)
    folder = os.path.join(directory, "login")
    os.mkdir(folder, mode=0o700)
    _write_private(os.path.join(folder, "config.json"), json.dumps(document).encode())
    return {"DOCKER_CONFIG": folder}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write_private(path: str, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _filters(filters: dict[str, list[str]]) -> str:
    return "filters=" + quote(json.dumps(filters))
