# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the plan in check mode, and the matrix. Returns a lost connection as a failure, so that the rest of the play removes what is left."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ..module_utils._probe.report import empty_result
from ..plugin_utils._delegated import DelegatedAction


class ActionModule(DelegatedAction):
    attempt = "probe the network"

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result = {**empty_result(), **super().run(tmp, task_vars)}
        lines = result.get("plan") if self._task.check_mode else result.get("matrix")
        if lines:
            Display().display("\n" + "\n".join(lines))
        return result
