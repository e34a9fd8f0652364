# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the order in which hosts reboot and prints it. Stops the run if the plan is refused."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._nodes.reboot import REBOOT_RISKS, plan_reboots

SPEC = dict(
    observed=dict(type="dict", required=True),
    nodes=dict(type="list", elements="str"),
    batch=dict(type="int", default=1),
    accepted_risks=dict(type="list", elements="str", choices=list(REBOOT_RISKS), default=[]),
    can_unlock=dict(type="bool", default=False),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        wrong = bad_options(SPEC, self._task.args, dict(batch=1))
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        asked = args["nodes"]
        plan = plan_reboots(
            args["observed"],
            None if asked is None else [name.strip() for name in asked],
            args["batch"],
            args["accepted_risks"],
            args["can_unlock"],
        )
        result.update(
            changed=False,
            plan=plan.lines(),
            batches=[[host.name for host in batch] for batch in plan.batches],
            reboot=[host.name for host in plan.hosts if not host.rebooted],
            node_ids={host.name: host.node_id for host in plan.hosts if host.comes_back},
            notes=plan.notes(),
            managers=plan.managers,
            unlock=plan.unlock,
        )
        Display().display("\n" + "\n".join(plan.lines()))
        if plan.refusals:
            result["failed"] = True
            result["failure"] = {"code": "refused", "details": {}}
            result["msg"] = f"Nothing was rebooted: {'; '.join(plan.refusals)}."
        return result
