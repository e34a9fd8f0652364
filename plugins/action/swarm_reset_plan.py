# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans how a swarm is dismantled and prints it. Stops the run if the plan is refused or not confirmed."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._lifecycle.reset_plan import (
    DEPTHS,
    RESET_RISKS,
    SWARM,
    plan_reset,
    result_lines,
)

SPEC = dict(
    observed=dict(type="dict", required=True),
    depth=dict(type="str", choices=list(DEPTHS), default=SWARM),
    confirm=dict(type="str"),
    accepted_risks=dict(type="list", elements="str", choices=list(RESET_RISKS), default=[]),
    applied=dict(type="dict"),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(changed=False, plan=[], cluster_id=None)
        result.update(workers=[], managers=[], last=[], finish=[], remove=[])
        wrong = bad_options(SPEC, self._task.args)
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        confirm = (args["confirm"] or "").strip() or None
        plan = plan_reset(args["observed"], args["depth"], confirm, args["accepted_risks"])
        lines = plan.lines()
        if args["applied"] is not None:
            lines = result_lines(plan, args["applied"], args["observed"])
        result.update(
            plan=lines,
            cluster_id=plan.cluster_id,
            workers=list(plan.workers),
            managers=list(plan.managers),
            last=list(plan.last),
            finish=list(plan.finish),
            remove=list(plan.remove),
        )
        Display().display("\n" + "\n".join(lines))
        check = self._task.check_mode
        if plan.refusals:
            result["failed"] = True
            result["failure"] = {"code": "refused", "details": {}}
            result["msg"] = f"Nothing was changed: {'; '.join(plan.refusals)}."
        elif plan.needed and not plan.confirmed and not check:
            result["failed"] = True
            details = {"cluster_id": plan.cluster_id}
            result["failure"] = {"code": "not_confirmed", "details": details}
            result["msg"] = (
                "Nothing was changed: a reset cannot be undone, and this run does not confirm it. To carry out the plan above, run"
                f" again with -e swarm_reset_confirm={plan.cluster_id}."
            )
        elif check:
            result["changed"] = plan.needed
        return result
