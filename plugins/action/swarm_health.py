# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the report of a health verdict as it is; gives one, too, where the host cannot be reached."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health import Around, finish, judged
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import Picture


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        if isinstance(args.get("observed"), dict):
            args["observed"] = {name: _needed(host) for name, host in args["observed"].items()}
        try:
            result.update(self._execute_module(module_args=args, task_vars=task_vars))
        except AnsibleConnectionFailure as error:
            result.update(_unreachable(args, str(error)))
        if result.get("report"):
            Display().display(f"\n{result['report']}")
        return result


def _needed(host: Any) -> dict[str, Any]:
    """The few things that the module takes from what a host has said of itself."""
    return {
        "clock": dig(host, "clock"),
        "swarm": {"state": dig(host, "swarm", "state")},
        "host": {
            "hostname": dig(host, "host", "hostname"),
            "disk": dig(host, "host", "disk"),
            "kernel_features": {"ip_vs": dig(host, "host", "kernel_features", "ip_vs")},
        },
    }


def _unreachable(args: dict[str, Any], reason: str) -> dict[str, Any]:
    accept = args.get("accept") or ["healthy", "degraded"]
    accept = accept.split(",") if isinstance(accept, str) else accept
    message = f"Could not look at the swarm: the host cannot be reached ({reason.strip()})."
    picture = Picture(trouble=SwarmError("host_unreachable", message))
    around = Around(args.get("observed") or {}, "", args.get("unreachable") or ())
    seen = judged(picture, around, only=args.get("checks") or ())
    result = finish(seen, accept, args.get("format") or "brief", 1)
    return {**result, "failed": "failure" in result}
