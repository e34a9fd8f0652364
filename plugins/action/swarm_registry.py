# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives the module the certificates that are files on the controller, and the code that the host will run."""

from __future__ import annotations

import base64
from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils._host_code import host_code

_PEM = ("certificate", "certificate_key", "ca_certificate")


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = {**self._task.args}
        for name in _PEM:
            if isinstance(args.get(name), str) and args[name].strip():
                args[name] = self._content(args[name])
        args["_code"] = base64.b64encode(host_code("_registry/renewal")).decode()
        result.update(self._execute_module(module_args=args, task_vars=task_vars))
        return result

    def _content(self, value: str) -> str:
        """The text itself, or the content of a file, which can be encrypted with Ansible Vault."""
        if "-----BEGIN" in value:
            return value
        path = self._loader.get_real_file(self._find_needle("files", value))
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
