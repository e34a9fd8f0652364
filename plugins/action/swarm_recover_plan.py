# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the recovery of a swarm and prints it. Stops the run if the plan is refused or not confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._lifecycle.recovery_plan import (
    RecoveryPlan,
    confirmation,
    host_state,
    plan_recovery,
)

SPEC = dict(
    observed=dict(type="dict", required=True),
    confirm=dict(type="str"),
    survivor=dict(type="str"),
    lost=dict(type="list", elements="str", default=[]),
    key_given=dict(type="bool", default=False),
    copy_folder=dict(type="path", default="/var/lib/flotilla.swarm/recover"),
    final=dict(type="bool", default=True),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        wrong = bad_options(SPEC, self._task.args)
        if wrong is not None:
            return {
                **result,
                **_as_result(RecoveryPlan()),
                "failed": True,
                "msg": wrong.message,
                "failure": wrong.as_failure(),
            }
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        hosts = [
            # What a host that does not answer has is only its address in the inventory.
            state
            if state.answered
            else replace(state, addresses=(_address_of(state.name, task_vars or {}),))
            for state in (host_state(name, found) for name, found in args["observed"].items())
        ]
        plan = plan_recovery(
            hosts,
            args["copy_folder"],
            args["key_given"],
            (args["survivor"] or "").strip(),
            [name.strip() for name in args["lost"]],
        )
        result.update(_as_result(plan))
        if not args["final"]:
            return result
        Display().display("\n" + "\n".join(plan.lines()))
        if plan.refusals:
            result["failed"] = True
            result["failure"] = {"code": "refused", "details": {}}
            result["msg"] = f"Could not recover the swarm: {'; '.join(plan.refusals)}."
            return result
        refusal = confirmation(plan, (args["confirm"] or "").strip())
        if refusal is not None and not self._task.check_mode:
            result["failed"] = True
            result["failure"] = {
                "code": "not_confirmed",
                "details": {"cluster_id": plan.cluster_id},
            }
            result["msg"] = refusal
        return result


def _address_of(name: str, task_vars: Mapping[str, Any]) -> str:
    return str((task_vars.get("hostvars") or {}).get(name, {}).get("ansible_host") or name)


def _as_result(plan: RecoveryPlan) -> dict[str, Any]:
    return {
        "changed": False,
        "plan": plan.lines() if plan.cluster_id or plan.refusals else [],
        "cluster_id": plan.cluster_id,
        "survivor": plan.survivor,
        "steps": list(plan.steps),
        "others": list(plan.others),
        "lost": list(plan.lost),
        "autolock": plan.locks,
        "needs_libraries": plan.needs_libraries,
        "resumes": plan.resumes,
        "wait": plan.wait,
    }
