# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives the module the code that the service runs."""

from __future__ import annotations

import base64
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._host_code import host_code


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        code = base64.b64encode(host_code("_images/serve")).decode()
        args = {**self._task.args, "_code": code}
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        return result
