# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What GitOps does to one stack: plan, deploy, check afterwards, roll back, remove.

All of it is a deployment as swarm_stack makes it. GitOps adds what a stack may use, and that a run that is killed is finished by another one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .._api.client import local_client
from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._model.labels import GITOPS_CHECK_LABEL, STACK_LABEL
from .._registry.api import login_of
from .._registry.reference import parse_image
from .._services.convergence import Verdict
from .._stack.apply import Journal, write_history
from .._stack.cli_output import forbidden
from .._stack.deploy import Deployment, StackOutcome
from .._stack.hooks import Hooks
from .._stack.options import STACK_OPTIONS
from .._stack.plan import StackSnapshot, StackStep
from .._stack.revisions import revisions
from .._stack.verify import Verifier
from .._stack.writes import Write
from .app import ROLLBACK, App
from .inputs import Inputs
from .permissions import objections
from .settings import May

# Seconds until the engine answers, and until the tasks of a stack that is removed have ended.
_ANSWER, _REMOVAL = 60, 300
# What one check may use.
_CPUS, _MEMORY = 10**9, 256 << 20
EMPTY, UNKNOWN_BEFORE, _REVISION = "empty", "unknown", "revision:"


class Stacks:
    """The stacks of this swarm. `before_write` raises SwarmError when this run must not write any more."""

    def __init__(self, docker_host: str, before_write: Callable[[], None]) -> None:
        self._docker_host = docker_host
        self._before_write = before_write
        self.reader = EngineReader(docker_host, _ANSWER)

    @staticmethod
    def outcome(name: str) -> StackOutcome:
        """The outcome of a deployment, before it has begun."""
        return StackOutcome(name)

    def before(self, name: str) -> str:
        """What a stack is before a deploy, so that it can be brought back: empty, or revision:N.

        A stack that GitOps takes over, or whose first deploy was interrupted, can have no revision. Then this makes one.
        """
        live = StackSnapshot(
            services=self.reader.get("/services", "list the services"),
            networks=self.reader.get("/networks", "list the networks"),
            configs=self.reader.get("/configs", "list the configs"),
        )
        found = revisions(name, live)
        if found:
            return f"{_REVISION}{found[0].number}"
        if not live.services_of(name):
            return EMPTY
        self._before_write()
        client = local_client(self._docker_host, _ANSWER)
        step = StackStep("create", "revision", "1")
        notes = write_history(client, name, [step], live, Journal())
        return UNKNOWN_BEFORE if notes else f"{_REVISION}1"

    def plan(self, app: App, inputs: Inputs, may: May) -> StackOutcome:
        """What a deploy would do; raises what is wrong."""
        return self._run(app, inputs, self._hooks(app.name, may), check_mode=True)

    def deploy(
        self,
        app: App,
        inputs: Inputs,
        may: May,
        rolls_back: bool,
        before_undo: Callable[[SwarmError], None],
        outcome: StackOutcome,
    ) -> None:
        """Deploy, and wait until the services have converged; raises what is wrong."""
        hooks = replace(
            self._hooks(app.name, may), before_write=self._before_write, before_undo=before_undo
        )
        self._run(app, inputs, hooks, check_mode=False, rolls_back=rolls_back, outcome=outcome)

    def _hooks(self, stack: str, may: May) -> Hooks:
        """The hooks of a deployment under what a stack may use."""

        def objections_to(writes: Sequence[Write]) -> list[str]:
            specs: dict[str, dict[str, Any]] = {}
            for write in writes:
                specs.setdefault(write.kind, {})[write.name] = write.spec
            return objections(stack, specs, may, self._network_names())

        return Hooks(objections=objections_to)

    def _network_names(self) -> set[str]:
        found = self.reader.get("/networks", "list the networks")
        return {str(network.get("Name")) for network in found}

    def _run(
        self,
        app: App,
        inputs: Inputs,
        hooks: Hooks,
        check_mode: bool,
        rolls_back: bool = False,
        outcome: StackOutcome | None = None,
    ) -> StackOutcome:
        source = inputs.source
        params = self._params(
            app.name,
            prune=app.prune,
            keep_revisions=app.keep_revisions,
            on_failure="rollback" if rolls_back and app.on_failure == ROLLBACK else "stop",
            wait_timeout=app.deadline,
            with_registry_auth=app.with_registry_auth,
            depends_on=source.depends_on,
            ignored_keys=list(source.ignored_keys),
            rotate={kind: source.rotate.get(kind) for kind in ("secrets", "configs")},
        )
        given = {**source.options(), "definition": list(inputs.definition), "registries": None}
        outcome = outcome or StackOutcome(app.name)
        Deployment(params, given, outcome, hooks).run(check_mode)
        return outcome

    def check(self, app: App, may: May) -> None:
        """Run the checks of an application as one-shot jobs; raises forbidden, or check_failed if one does not succeed in time."""
        if not app.checks:
            return
        name = checks_of(app.name)
        # A killed run can have left them.
        self.remove(name)
        specs = {spec["Name"]: spec for spec in check_specs(app)}
        # The networks of the application are its own, also for its checks.
        own: dict[str, Any] = {
            f"{app.name}_{network}": {} for check in app.checks for network in check.networks
        }
        wanted = {"service": specs, "network": own}
        said = objections(app.name, wanted, may, self._network_names())
        if said:
            raise forbidden(name, "run", said, None)
        self._before_write()
        client = local_client(self._docker_host, _ANSWER)
        try:
            for spec in specs.values():
                registry = parse_image(spec["TaskTemplate"]["ContainerSpec"]["Image"]).registry
                login = login_of(registry) if app.with_registry_auth else None
                client.create("service", spec, registry_auth(registry, login))
            params = self._params(
                name, settle=0, wait_timeout=max(check.timeout for check in app.checks)
            )
            verified = Verifier(name, params, self.reader).verify(set(specs), {}, {})
            if verified.failure is not None:
                message = verified.failure.message
                raise SwarmError("check_failed", message, **verified.failure.details)
        finally:
            self.remove(name)

    def return_to(self, name: str, before: str) -> StackOutcome:
        """Bring a stack back to what it was before a deploy that has failed; raises gone, or what is wrong."""
        outcome = StackOutcome(name)
        if before == EMPTY:
            self.remove(name, outcome)
        elif before.startswith(_REVISION):
            self.roll_back(name, int(before[len(_REVISION) :]), _REMOVAL, outcome)
        else:
            raise SwarmError(
                "no_revision",
                f"Could not roll back stack {name}: no revision says what it was before.",
            )
        return outcome

    def roll_back(
        self,
        name: str,
        revision: int | None,
        deadline: int,
        outcome: StackOutcome,
        check: bool = False,
    ) -> None:
        """Restore a revision, and wait for it."""
        params = self._params(name, state="rolled_back", revision=revision, wait_timeout=deadline)
        self._without_inputs(params, outcome, check)

    def remove(
        self, name: str, outcome: StackOutcome | None = None, check_mode: bool = False
    ) -> None:
        """Remove a stack, if it is there."""
        params = self._params(name, state="absent", wait_timeout=_REMOVAL)
        self._without_inputs(params, outcome or StackOutcome(name), check_mode)

    def _without_inputs(
        self, params: dict[str, Any], outcome: StackOutcome, check_mode: bool
    ) -> None:
        nothing = dict.fromkeys(("definition", "files", "environment", "registries"))
        hooks = Hooks(before_write=self._before_write)
        Deployment(params, nothing, outcome, hooks).run(check_mode)

    def verdicts(self, name: str) -> list[Verdict]:
        """How the services of a stack run now."""
        verifier = Verifier(name, self._params(name), self.reader)
        services = self.reader.get(
            "/services",
            "list the services",
            filters={"label": [f"{STACK_LABEL}={name}"]},
        )
        names = [str((each.get("Spec") or {}).get("Name")) for each in services]
        return verifier.judge_all(names, {}, {})[0]

    def _params(self, name: str, **options: Any) -> dict[str, Any]:
        """The options of swarm_stack, and of the connection."""
        return {
            **{key: option.get("default") for key, option in STACK_OPTIONS.items()},
            **dict(docker_host=self._docker_host, timeout=_ANSWER, api_version="auto"),
            **dict(tls=False, validate_certs=False),
            "name": name,
            **options,
        }


def checks_of(name: str) -> str:
    """The stack with the checks of an application. It is there while they run."""
    return f"{name}_checks"


def check_specs(app: App) -> list[dict[str, Any]]:
    """The services of the checks: a job each, which runs once. Docker's CLI cannot deploy jobs before version 23."""
    name = checks_of(app.name)
    return [
        {
            "Name": f"{name}_{check.name}",
            "Labels": {STACK_LABEL: name, GITOPS_CHECK_LABEL: app.name},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": check.image,
                    "Args": list(check.command),
                    "Env": [f"{key}={value}" for key, value in sorted(check.environment.items())],
                    "Labels": {STACK_LABEL: name},
                },
                "Resources": {"Limits": {"NanoCPUs": _CPUS, "MemoryBytes": _MEMORY}},
                "RestartPolicy": {"Condition": "none"},
                "Networks": [{"Target": f"{app.name}_{network}"} for network in check.networks],
            },
            "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}},
        }
        for check in app.checks
    ]


def registry_auth(registry: str, login: tuple[str, str] | None) -> str:
    """The header with which nodes pull the image of a service; empty without a login."""
    if login is None:
        return ""
    text = json.dumps(dict(username=login[0], password=login[1], serveraddress=registry))
    return base64.urlsafe_b64encode(text.encode()).decode()
