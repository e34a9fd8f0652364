# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the networks of the hosts and prints the plan. Stops the run if the plan is refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._host.nics import OFFLOAD_DRIVERS
from ..module_utils._model.mtu import LARGEST_MTU, LEAST_MTU, default_mtu
from ..module_utils._network.plan import NetworkHost, NetworkWish, plan_networks

SPEC: dict[str, Any] = dict(
    observed=dict(type="dict", required=True),
    networks=dict(type="dict", required=True),
    addresses=dict(type="dict", default={}),
    mtu=dict(type="str", default=""),
    ingress=dict(
        type="dict",
        default={},
        options=dict(
            subnet=dict(type="str"),
            gateway=dict(type="str"),
            mtu=dict(type="int"),
            encrypted=dict(type="bool"),
        ),
    ),
    fix_offload=dict(type="bool", default=False),
    offload_drivers=dict(type="list", elements="str", default=list(OFFLOAD_DRIVERS)),
    missing=dict(type="list", elements="str", default=[]),
    joining=dict(type="bool", default=False),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        limits = {"mtu": (LEAST_MTU, LARGEST_MTU)}
        wrong = bad_options({"ingress": SPEC["ingress"]}, self._task.args, limits)
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        plan = plan_networks(
            _hosts(args),
            NetworkWish(
                args["mtu"].strip(),
                {key: value for key, value in (args["ingress"] or {}).items() if value is not None},
                args["fix_offload"],
                tuple(args["offload_drivers"]),
            ),
            args["missing"],
            args["joining"],
        )
        result.update(
            changed=False,
            plan=plan.lines(),
            mtu=plan.mtu,
            gwbridge=plan.gwbridge,
            offload=plan.offload,
            ingress=None if plan.ingress is None else asdict(plan.ingress),
            notes=plan.warnings,
        )
        if plan.steps or plan.warnings or plan.refusals or not args["joining"]:
            Display().display("\n" + "\n".join(plan.lines()))
        if plan.refusals:
            result["failed"] = True
            result["failure"] = {"code": "refused", "details": {}}
            result["msg"] = f"Nothing was changed: {'; '.join(plan.refusals)}."
        return result


def _hosts(args: dict[str, Any]) -> list[NetworkHost]:
    """The hosts that answered both questions, and those that did not answer the second one."""
    return [
        NetworkHost(
            name,
            seen.get("swarm") or {},
            args["networks"].get(name)
            if "interfaces" in (args["networks"].get(name) or {})
            else None,
            str(args["addresses"].get(name) or ""),
            tuple((seen.get("host") or {}).get("routes") or ()),
            default_mtu((seen.get("host") or {}).get("daemon_config")),
        )
        for name, seen in args["observed"].items()
    ]
