# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds the backup on the controller, plans its restore and prints the plan. Stops the run if the plan is refused."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.backup_files import EXPORT, RAFT
from ..module_utils._lifecycle.restore_plan import RESTORE_RISKS, Given, plan_restore
from ..module_utils._lifecycle.restore_source import check_identity, find_backup

SPEC = dict(
    path=dict(type="str", required=True),
    kind=dict(type="str", choices=[RAFT, EXPORT]),
    identity_file=dict(type="str", required=True),
    observed=dict(type="dict", required=True),
    managers=dict(type="list", elements="str", required=True),
    progress=dict(type="dict", default={}),
    unlock_key=dict(type="bool", default=False),
    confirm=dict(type="str", default=""),
    accepted_risks=dict(type="list", elements="str", choices=list(RESTORE_RISKS), default=[]),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(
            changed=False,
            plan=[],
            kind="",
            file="",
            identity_file="",
            meta={},
            host="",
            leave=[],
            builds=False,
        )
        wrong = bad_options(SPEC, self._task.args)
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        try:
            backup = find_backup(args["path"], args["kind"])
            check_identity(args["identity_file"])
        except SwarmError as error:
            return {**result, "failed": True, "msg": error.message, "failure": error.as_failure()}
        plan = plan_restore(
            backup.meta,
            args["observed"],
            args["managers"],
            args["progress"],
            Given(
                args["confirm"],
                args["unlock_key"],
                args["accepted_risks"],
                self._task.check_mode,
            ),
        )
        result.update(
            plan=plan.lines(),
            kind=backup.kind,
            file=backup.path,
            # Ansible's lookups would begin in the folder of the playbook.
            identity_file=os.path.abspath(args["identity_file"]),
            meta=backup.meta,
            host=plan.host,
            leave=list(plan.leave),
            builds=plan.builds,
        )
        Display().display("\n" + "\n".join(plan.lines()))
        if plan.refusals:
            result.update(
                failed=True,
                failure={"code": "refused", "details": {}},
                msg=f"Nothing was restored: {'; '.join(plan.refusals)}.",
            )
        return result
