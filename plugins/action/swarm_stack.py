# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan of a stack that changes, where the diff does not show it anyway."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        # Ansible's own check of a dictionary with suboptions ends in a TypeError here.
        if isinstance(self._task.args.get("rotate"), bool):
            raise AnsibleActionFail(
                "rotate is true or false, and has to name the secrets and configs with their files. With the role"
                " flotilla.swarm.swarm_stack it may be true: there the files of the stack say it."
            )
        result.update(self._execute_module(task_vars=task_vars))
        if result.get("plan") and result.get("changed") and not self._task.diff:
            Display().display("\n" + "\n".join(result["plan"]))
        return result
