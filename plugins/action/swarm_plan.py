# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the plan of a run from the observations of all hosts and prints it. Stops the run if the plan is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..filter.engine_plan import plan_with_texts
from ..filter.registries import registries
from ..module_utils._cluster.member import NO_KEY, is_unlock_key
from ..module_utils._cluster.membership import Membership, parse_membership
from ..module_utils._cluster.run_plan import InventoryHost, make_plan, render, render_done
from ..module_utils._cluster.steps import parse_held, parse_step
from ..module_utils._cluster.variables import resembles_ours
from ..module_utils._common.errors import sort_of
from ..module_utils._common.words import packed, quoted, text
from ..module_utils._engine.preflight import preflight
from ..plugin_utils._inputs import PLANNED, HostVariables, RoleVariables


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        _spec, args = self.validate_argument_spec(
            argument_spec=dict(
                managers_group=dict(type="str", default="swarm_managers"),
                workers_group=dict(type="str", default="swarm_workers"),
                # Any type: these are variables of a role, and a wrong value is reported as a wrong variable.
                settings=dict(type="raw", default={}),
                allow_partial_init=dict(type="raw", default=False),
                rules=dict(type="dict", default={}),
                answer=dict(type="dict", default={}),
                previous=dict(type="dict", default={}),
                after_round=dict(type="bool", default=False),
                cut_short=dict(type="str", default=""),
                carried_out=dict(type="bool", default=False),
                refused=dict(type="bool", default=False),
            )
        )
        if args["refused"]:
            result.update({**args["previous"], "changed": False, "failed": True})
            # Ansible believes it more than `failed`.
            result.pop("failed_when_result", None)
            result.pop("words", None)
            return result
        if args["carried_out"]:
            first = args["previous"]["first"]
            last = args["previous"]
            left_over = last["steps"] if last["stuck"] or last["round"]["more"] else []
            report = render_done(
                [parse_step(step) for step in first["steps"]],
                list(task_vars["ansible_play_hosts"]),
                [parse_step(step) for step in left_over],
                [parse_held(item) for item in last["held"]],
                last["cut_short"],
            )
            Display().display(f"\n{report}")
            result.update({**args["previous"], "changed": False, "report": report})
            return result
        roles = RoleVariables(self._loader, self._templar, task_vars["hostvars"])
        hosts = self._hosts(roles, args, task_vars)
        # The planning host can see other values of the variables than the hosts, for example from `vars` of a task.
        ours, mistakes = roles.checked("swarm", _of_the_role(args))
        if mistakes and not any(host.mistakes for host in hosts):
            hosts = [replace(host, mistakes=tuple(mistakes)) for host in hosts]
        plan = make_plan(
            hosts,
            ours["swarm_settings"],
            roles.known_names(),
            ours["swarm_allow_partial_init"],
            self._alive(args, task_vars),
            {key: ours[f"swarm_{key}"] for key in args["rules"]},
            _answer_of(args["answer"]),
        )
        # Only a first plan asks. Later in the run, swarm_nodes itself checks its plan against the services.
        plan.ask_managers = plan.ask_managers and not args["previous"]
        # A real run unlocks first, and plans again.
        if plan.unlock and not self._task.check_mode:
            plan.ask_managers = False
        plan.warnings += _silent_registries(task_vars)
        report = render(plan)
        result.update(
            changed=False,
            report=report,
            refusals=[str(each) for each in plan.refusals],
            warnings_of_plan=[str(each) for each in plan.warnings],
            words={
                "refusals": [packed(each) for each in plan.refusals],
                "warnings": [packed(each) for each in plan.warnings],
            },
            **plan.as_data(),
        )
        # A round that changed nothing would change nothing again, because a host failed in it. Another manager can succeed.
        result["stuck"] = args["after_round"] and all(
            args["previous"].get(key) == result[key] for key in ("steps", "acting")
        )
        result["cut_short"] = args["cut_short"]
        result["initial"] = not args["previous"]
        # The first plan stays known when the run plans again.
        result["first"] = args["previous"].get("first") or {
            "steps": result["steps"],
            "report": report,
        }
        if plan.refusals or not (args["previous"] or plan.ask_managers):
            Display().display(f"\n{report}")
        if plan.refusals:
            result["failed"] = True
            result["failure"] = {"code": "refused", "details": {}}
            # Ansible prints a failed result as a whole, and the report has just been printed.
            result["report"] = result["first"]["report"] = ""
            so_far = "The run stops here" if args["previous"] else "Nothing was changed"
            why = "; ".join(plan.refusals)
            result["msg"] = f"{so_far}: {why}{'' if why.endswith('?') else '.'}"
        return result

    def _hosts(
        self, roles: RoleVariables, args: dict[str, Any], task_vars: dict[str, Any]
    ) -> list[InventoryHost]:
        groups = task_vars.get("groups") or {}
        wanted: dict[str, list[str]] = {}
        for role, group in (("manager", "managers_group"), ("worker", "workers_group")):
            for name in groups.get(args[group]) or []:
                wanted.setdefault(name, []).append(role)
        variables = {name: roles.of(name) for name in wanted}
        failed = set(task_vars.get("ansible_play_hosts_all") or ())
        failed -= set(task_vars.get("ansible_play_hosts") or ())
        hosts = [
            replace(self._host(name, tuple(wanted[name]), variables[name]), failed=name in failed)
            for name in wanted
        ]
        observed = {host.name: host.observed for host in hosts if host.observed is not None}
        try:
            found = registries(task_vars["hostvars"], groups.get("swarm_registry") or [])
        except AnsibleError as error:
            return [replace(host, mistakes=(*host.mistakes, str(error))) for host in hosts]
        return [self._with_engine(host, variables[host.name], observed, found) for host in hosts]

    @staticmethod
    def _host(name: str, roles: tuple[str, ...], variables: HostVariables) -> InventoryHost:
        said = variables.get("__swarm_host") or {}
        host = InventoryHost(
            name=name,
            roles=roles,
            observed=said if "swarm" in said else None,
            reached=not said.get("unreachable", False),
            address=_address(name, variables),
            extra_names=tuple(key for key in variables.names if resembles_ours(str(key))),
        )
        mistakes = []
        try:
            if host.state == "locked":
                host = replace(host, **_unlocking(variables))
            for role in PLANNED:
                inputs, problems = variables.inputs(role)
                mistakes += problems
                if role == "swarm":
                    host = replace(host, inputs=inputs)
        except AnsibleError as error:
            mistakes.append(f"a variable cannot be read: {error}")
        return replace(host, mistakes=tuple(f"{name}: {mistake}" for mistake in mistakes))

    @staticmethod
    def _with_engine(
        host: InventoryHost,
        variables: HostVariables,
        observed: dict[str, dict[str, Any]],
        registries_found: list[dict[str, Any]],
    ) -> InventoryHost:
        """The host with the steps that the role docker_engine plans for it."""
        if host.mistakes or host.observed is None:
            return host
        try:
            family = host.observed["host"]["os"]["family"]
            wanted = variables.engine(family, registries_found)
            base = variables.get("playbook_dir")
            engine = plan_with_texts(host.observed, wanted, host.name, base)
            checks = variables.get("__docker_engine_preflight_settings")
        except AnsibleError as error:
            return replace(host, mistakes=(f"{host.name}: {error}",))
        found = preflight(host.name, observed, checks)
        return replace(
            host,
            engine_steps=tuple(engine["steps"]),
            engine_venv=variables.get("docker_engine_sdk") == "venv",
            refusals=(*engine["refusals"], *found["failures"]),
            remarks=(*engine["notes"], *found["warnings"]),
        )

    @staticmethod
    def _alive(args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        """The hosts that have not failed, where this play has managers at all."""
        alive = list(task_vars.get("ansible_play_hosts") or [])
        managers = set((task_vars.get("groups") or {}).get(args["managers_group"]) or [])
        return alive if managers & set(alive) else None


def _silent_registries(task_vars: dict[str, Any]) -> list[str]:
    """A warning for each registry of the inventory whose host did not answer in this run."""
    hosts = (task_vars.get("groups") or {}).get("swarm_registry") or []
    asked = {host: task_vars["hostvars"][host].get("__swarm_registry") or {} for host in hosts}
    return [
        text(
            "the registry on {name} does not answer: nodes that need one of its images cannot pull it",
            name=host,
        )
        for host, said in asked.items()
        if said.get("unreachable")
    ]


def _unlocking(variables: HostVariables) -> dict[str, Any]:
    """Whether the run has a key for a locked host, and why it has not opened it."""
    key = variables.get("swarm_unlock_key")
    if not isinstance(key or "", str):
        raise AnsibleError(f"swarm_unlock_key is {sort_of(key)}: it must be a string in quotes")
    tried = variables.get("__swarm_unlocked") or {}
    # The task that tried does not fail, so that all hosts get here.
    failed = not tried.get("skipped") and ("msg" in tried or tried.get("unreachable"))
    why = as_reason(str(tried.get("msg") or "the host did not answer")) if failed else ""
    if key and not is_unlock_key(key):
        why = NO_KEY
    return {"unlock_key": bool(key), "unlock_error": why}


def as_reason(sentences: str) -> str:
    """The message of a module within a sentence about its host."""
    return sentences.removeprefix("Could not unlock the swarm on this host: ").strip().rstrip(".")


def _of_the_role(args: dict[str, Any]) -> dict[str, Any]:
    """The options that are variables of the role swarm, by their names there."""
    given = {f"swarm_{key}": args[key] for key in ("settings", "allow_partial_init")}
    return {**given, **{f"swarm_{key}": value for key, value in args["rules"].items()}}


def _answer_of(result: dict[str, Any]) -> Membership | None:
    """The answer of swarm_nodes in check mode. A refusal is an answer. Any other failure becomes a refusal."""
    if not result:
        return None
    if "plan" in result and result.get("failure", {}).get("code", "refused") == "refused":
        return parse_membership(result["plan"])
    if result.get("failure", {}).get("code") == "host_unreachable":
        why = text(
            "the manager that acts was lost while it held the plan against the services: run again"
        )
    else:
        why = quoted(
            str(result.get("msg")),
            text("The acting manager could not check the plan. Correct the cause and run again."),
        )
    return Membership(refusals=[why])


def _address(name: str, variables: Any) -> str:
    """The address of a host. Two names with the same address are the same host."""
    host = variables.get("ansible_host") or name
    port = variables.get("ansible_port") or 22
    if variables.get("ansible_connection") == "local":
        return "this machine"
    return f"{host}:{port}"
