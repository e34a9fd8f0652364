# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives the module the code that the host will run. Refuses keys that Ansible would write into a file on the host."""

from __future__ import annotations

import base64
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils._builder.settings import SECRETS_OF_REPOSITORY, UNPACKED
from ..plugin_utils._host_code import host_code
from ..plugin_utils._pipelining import in_a_file


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args.get("repositories")
        secrets = [
            name
            for name in SECRETS_OF_REPOSITORY
            for entry in (given if isinstance(given, list) else [])
            if isinstance(entry, dict) and entry.get(name)
        ]
        refusal = in_a_file(
            self,
            "install the builder",
            secrets and ["repositories"],
            "keys of repositories",
            task_vars,
        )
        if refusal is not None:
            return {**result, "steps": [], "applied": [], "diff": {}, **refusal}
        code = base64.b64encode(host_code("_builder/service", UNPACKED)).decode()
        args = {**self._task.args, "_code": code}
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        return result
