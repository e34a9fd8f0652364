# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the clean-up of all hosts as one table, before and after it."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._lifecycle.clean_up_report import hosts_of_swarm, report

SPEC = dict(
    observed=dict(type="dict", required=True),
    found=dict(type="dict", default={}),
    references=dict(type="dict", default={}),
    title=dict(type="str", default="clean-up"),
    done=dict(type="bool", default=False),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(changed=False, plan=[], hosts=[], totals={}, notes=[])
        wrong = bad_options(SPEC, self._task.args)
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        inside, notes = hosts_of_swarm(args["observed"], args["references"].get("nodes"))
        made = report(
            {name: args["found"].get(name) or {} for name in inside},
            args["references"],
            notes,
            args["title"],
            args["done"],
        )
        Display().display("\n" + "\n".join(made.lines))
        result.update(
            plan=list(made.lines),
            hosts=list(made.hosts),
            totals={kind: dict(entry) for kind, entry in made.totals.items()},
            notes=list(made.notes),
        )
        return result
