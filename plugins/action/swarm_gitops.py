# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan for an application, unless the diff shows it, and says who asks."""

from __future__ import annotations

import getpass
import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = {**self._task.args, "_by": _user()}
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        if result.get("acting") and result.get("plan") and not (self._task.diff and result["diff"]):
            Display().display("\n" + "\n".join(result["plan"]))
        return result


def _user() -> str:
    """Who runs Ansible, and where."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return f"{name}@{os.uname().nodename}"
