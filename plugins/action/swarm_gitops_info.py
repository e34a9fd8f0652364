# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the statuses of the applications."""

from __future__ import annotations

import json
from typing import Any

from ansible.utils.display import Display

from ..plugin_utils._delegated import DelegatedAction


class ActionModule(DelegatedAction):
    attempt = "read the statuses of the applications"

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        form = self._task.args.get("format")
        if form == "table" and result.get("table"):
            Display().display(f"\n{result['table']}\n")
        elif form == "json" and "apps" in result:
            Display().display(
                json.dumps({"well": result["well"], "apps": result["apps"]}, indent=2)
            )
        return result
