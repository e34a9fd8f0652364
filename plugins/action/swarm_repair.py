# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan. Returns a lost connection as a failure."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ..module_utils._repair.carry_out import empty_result
from ..plugin_utils._delegated import DelegatedAction


class ActionModule(DelegatedAction):
    attempt = "plan the repair of the network"

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result = {**empty_result(), **super().run(tmp, task_vars)}
        if result["plan"]:
            Display().display("\n" + "\n".join(result["plan"]))
        return result
