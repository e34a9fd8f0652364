# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the stacks on the controller. Prints the verdict if all stacks are in their desired state."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.display import Display

from ..filter.registries import registries
from ..module_utils._common.errors import SwarmError
from ..plugin_utils._health import unreachable, with_what_is_needed
from ..plugin_utils._report.page import for_the_module, page_options, write_page
from ..plugin_utils._stacks import asked, module_options


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = page_options(self._task.args)
        args = for_the_module(with_what_is_needed(self._task.args), options)
        profile = str(args.get("profile") or "")
        variables = task_vars or {}
        # As the role swarm_stack does.
        found = (variables.get("groups") or {}).get("swarm_registry") or []
        lookup = lookup_loader.get(
            "flotilla.swarm.stack_source", loader=self._loader, templar=self._templar
        )

        def source(stack: dict[str, Any]) -> dict[str, Any]:
            found: dict[str, Any] = lookup.run([stack], task_vars, profile=profile)[0]
            return found

        try:
            logins = registries(variables["hostvars"], found) if found else []
            args["stacks"] = [
                {
                    "name": stack.get("name"),
                    "asked": asked(module_options(stack, profile, source, logins)),
                }
                for stack in args.get("stacks") or []
            ]
        except SwarmError as error:
            raise AnsibleActionFail(error.message) from error
        try:
            result.update(self._execute_module(module_args=args, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            health = unreachable(args, str(error))
            failure = health.pop("failure", {"code": "host_unreachable", "details": {}})
            message = health.pop("msg", f"The host cannot be reached ({error}).")
            result.update(failed=True, msg=message, failure=failure)
            result.update(changed=False, as_asked=False, stacks=[], health=health)
        # If anything is left to do, the verdict after that makes the page.
        if result.get("as_asked"):
            write_page(options, result["health"], self._task.args, task_vars or {})
        else:
            (result.get("health") or {}).pop("picture", None)
        if result.get("as_asked"):
            Display().display(f"\n{result['health']['report']}")
            if result["health"].get("page"):
                Display().display(f"\nPAGE  {result['health']['page']}")
        return result
