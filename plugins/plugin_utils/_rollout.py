# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The controller's side of a rollout: calls the module for one part after the other, and shows the progress.

The state between two calls is in the memory of the controller and never on the host. A rollout therefore ends with its run, at
the latest after the part in progress.
"""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class RolloutAction(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        state: dict[str, Any] = {}
        said = ""
        run = os.getppid()
        while True:
            found = self._execute_module(
                module_args={**self._task.args, "_rollout": state}, task_vars=task_vars
            )
            if not state and found.get("plan") and found.get("changed") and not self._task.diff:
                Display().display("\n" + "\n".join(found["plan"]))
            if state:
                # A call without a result may have written something.
                found.setdefault("changed", True)
            state = found.pop("_rollout", None) or {"over": True}
            progress = state.get("progress", "")
            if progress != said and found.get("changed"):
                Display().display(progress + ("" if state["over"] else " ..."))
            said = progress
            if state["over"]:
                result.update(found)
                return result
            # Ansible's workers are in sessions of their own, and outlive a killed run.
            if os.getppid() != run:
                raise AnsibleActionFail("The run has ended, so no other step begins.")
