# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan of an import, and refuses secrets that Ansible would write into a file on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ..plugin_utils._pipelining import SecretAction


class ActionModule(SecretAction):
    attempt = "import the export"
    secrets = ("identity", "secrets")
    nothing: Mapping[str, Any] = {
        "plan": [],
        "steps": [],
        "applied": [],
        "notes": [],
        "missing_secrets": [],
    }

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if result.get("plan"):
            Display().display("\n" + "\n".join(result["plan"]))
        return result
