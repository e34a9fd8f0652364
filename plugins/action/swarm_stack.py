# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan of a stack that changes, unless the diff shows it. Reports a lost connection to the manager as a failure."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._stack.options import ATTEMPT, nothing_done
from ..plugin_utils._delegated import lost
from ..plugin_utils._stacks import asked


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Ansible's own check of a dictionary with suboptions raises a TypeError for this value.
        if isinstance(self._task.args.get("rotate"), bool):
            raise AnsibleActionFail(
                "rotate is true or false, and has to name the secrets and configs with their files. With the role"
                " flotilla.swarm.swarm_stack it may be true: there the files of the stack say it."
            )
        args = {**self._task.args, "_asked": asked(self._task.args)}
        try:
            result.update(self._execute_module(module_args=args, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            name = str(args.get("name"))
            attempt = f"{ATTEMPT.get(str(args.get('state')), 'deploy')} stack {name}"
            result.update(nothing_done(name))
            result.update(lost(attempt, self._task.delegate_to, error))
        if result.get("plan") and result.get("changed") and not self._task.diff:
            Display().display("\n" + "\n".join(result["plan"]))
        return result
