# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the report of a health verdict, and makes its page. Gives a verdict also if the host cannot be reached."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils._health import unreachable, with_what_is_needed
from ..plugin_utils._report.page import for_the_module, page_options, write_page


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = page_options(self._task.args)
        args = for_the_module(with_what_is_needed(self._task.args), options)
        try:
            result.update(self._execute_module(module_args=args, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            result.update(unreachable(args, str(error)))
            result["failed"] = "failure" in result
        write_page(options, result, self._task.args, task_vars or {})
        if result.get("report"):
            Display().display(f"\n{result['report']}")
        if result.get("page"):
            Display().display(f"\nPAGE  {result['page']}")
        return result
