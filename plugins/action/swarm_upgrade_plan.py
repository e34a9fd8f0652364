# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the upgrade of the engines of a swarm and prints it. Stops the run if the plan is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._common.errors import SwarmError, shown
from ..module_utils._lifecycle.upgrade import UPGRADE_RISKS, UpgradePlan, go_back, plan_upgrades
from ..module_utils._nodes.maintenance import MAINTENANCE_RISKS

SPEC = dict(
    to=dict(type="str", required=True),
    observed=dict(type="dict", required=True),
    found=dict(type="dict", required=True),
    nodes=dict(type="list", elements="str", default=["all"]),
    batch=dict(type="int", default=1),
    disk_free_mb=dict(type="int", default=500),
    pins=dict(type="dict", default={}),
    hooks=dict(type="dict", default={}),
    accepted_risks=dict(
        type="list",
        elements="str",
        choices=sorted({*UPGRADE_RISKS, *MAINTENANCE_RISKS}),
        default=[],
    ),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(_as_data(UpgradePlan(), {"before": [], "after": []}))
        wrong = bad_options(SPEC, self._task.args, dict(batch=1))
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        try:
            hooks = found_hooks(args["hooks"], str((task_vars or {}).get("inventory_dir") or ""))
        except SwarmError as error:
            return {**result, "failed": True, "msg": error.message, "failure": error.as_failure()}
        plan = plan_upgrades(
            args["observed"],
            usable(args["found"]),
            args["to"],
            [name.strip() for name in args["nodes"]],
            args["batch"],
            args["accepted_risks"],
            args["disk_free_mb"],
            args["pins"],
        )
        result.update(_as_data(plan, hooks))
        Display().display("\n" + "\n".join(plan.lines()))
        if plan.refusals:
            result["failed"] = True
            result["failure"] = {"code": "refused", "details": {}}
            result["msg"] = f"Nothing was upgraded: {'; '.join(plan.refusals)}."
        return result


def _as_data(plan: UpgradePlan, hooks: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "changed": False,
        "plan": plan.lines() if plan.managers or plan.refusals else [],
        "batches": [[host.name for host in batch] for batch in plan.batches],
        "upgrade": [host.name for host in plan.upgrade],
        "packages": plan.packages(),
        "node_ids": {host.name: host.node_id for host in plan.hosts if host.comes_back},
        "notes": plan.notes(),
        "records": plan.records(),
        "pending": [host.name for host in plan.hosts if host.pending],
        "go_back": {host.name: go_back(host) for host in plan.upgrade},
        "gate": plan.gate,
        "managers": plan.managers,
        "hooks": hooks,
    }


def usable(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The results of swarm_upgrade_info by host, without those of hosts on which it was skipped or has failed."""
    return {
        name: each
        for name, each in found.items()
        if isinstance(each, dict) and "packages" in each and not each.get("failed")
    }


def found_hooks(hooks: Mapping[str, Any], folder: str) -> dict[str, list[str]]:
    """The absolute paths of the hooks; raises bad_option for one that is not a file of tasks."""
    found: dict[str, list[str]] = {"before": [], "after": []}
    problems = [
        f"hooks has {shown(key)}, it can have before and after" for key in hooks if key not in found
    ]
    for moment, paths in found.items():
        given = hooks.get(moment) or []
        if not isinstance(given, (str, list)):
            problems.append(
                f"hooks.{moment} is {shown(given)}, it must be a path or a list of paths"
            )
            continue
        for path in [given] if isinstance(given, str) else given:
            places = [os.path.join(folder, str(path)), os.path.abspath(str(path))]
            full = next((place for place in places if os.path.isfile(place)), "")
            if full:
                paths.append(os.path.abspath(full))
            else:
                problems.append(
                    f"hooks.{moment} has {shown(path, 200)}, and there is no such file beside the inventory or in the current"
                    " directory"
                )
    if problems:
        raise SwarmError(
            "bad_option", f"Could not start: {'; '.join(problems)}. Correct it and run again."
        )
    return found
