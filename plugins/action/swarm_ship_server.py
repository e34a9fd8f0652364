# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives the module the code that the service runs. Reports a lost connection to the host that serves as a failure."""

from __future__ import annotations

import base64
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..plugin_utils._delegated import lost
from ..plugin_utils._host_code import host_code


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        code = base64.b64encode(host_code("_images/serve")).decode()
        args = {**self._task.args, "_code": code}
        try:
            result.update(self._execute_module(module_args=args, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            result.update(lost("serve images", self._task.delegate_to, error))
        return result
