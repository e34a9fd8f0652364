# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints which images go to which nodes, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._common.argspec import bad_options
from ..module_utils._common.errors import SwarmError
from ..module_utils._images.pull import pull_lines
from ..module_utils._images.ship_plan import done_lines, plan_ship, problem_of

SPEC: dict[str, Any] = dict(
    action=dict(type="str", choices=["ship", "pull"], required=True),
    chosen=dict(type="dict", required=True),
    observed=dict(type="dict", required=True),
    found=dict(type="dict", default={}),
    results=dict(type="dict", default={}),
    images=dict(type="list", elements="dict", default=[]),
    build_host=dict(type="str", default=""),
    done=dict(type="bool", default=False),
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.update(changed=False, plan=[], wanting=[], seeds=[], serve={})
        result.update(from_controller=0, failed_nodes=[])
        wrong = bad_options(SPEC, self._task.args)
        if wrong is not None:
            return {**result, "failed": True, "msg": wrong.message, "failure": wrong.as_failure()}
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        hosts = _hosts(args["observed"])
        made = _ship(args, hosts) if args["action"] == "ship" else _pull(args, hosts)
        Display().display("\n" + "\n".join(made["plan"]))
        result.update(made)
        if args["done"] and made["failed_nodes"]:
            names = ", ".join(made["failed_nodes"])
            error = SwarmError(
                "images_missing",
                f"Could not {args['action']} the images to all nodes: {names} did not get them. Their reasons are above. Run again: what"
                " has arrived is not sent again.",
                nodes=made["failed_nodes"],
            )
            result.update(failed=True, msg=error.message, failure=error.as_failure())
        return result


def _ship(args: Mapping[str, Any], hosts: Mapping[str, str]) -> dict[str, Any]:
    chosen = args["chosen"]
    plan = plan_ship(
        chosen["targets"],
        chosen["nodes"],
        hosts,
        args["found"],
        chosen["left_out"],
        args["build_host"],
    )
    lines, failed = plan.lines(args["images"]), list(plan.silent)
    if args["done"]:
        lines = done_lines(plan.rows, args["results"])
        failed += [
            row.host
            for row in plan.rows
            if row.missing and problem_of(args["results"].get(row.host) or {})
        ]
    return {
        "plan": lines,
        "wanting": list(plan.wanting),
        "seeds": list(plan.seeds),
        "serve": {seed: plan.to_serve(seed) for seed in (*plan.seeds, args["build_host"]) if seed},
        "from_controller": plan.from_controller,
        "failed_nodes": failed,
    }


def _pull(args: Mapping[str, Any], hosts: Mapping[str, str]) -> dict[str, Any]:
    chosen = args["chosen"]
    said = args["results"] if args["done"] else args["found"]
    lines, failed = pull_lines(
        chosen["targets"], chosen["nodes"], hosts, said, chosen["left_out"], args["done"]
    )
    wanting = [name for name, each in args["found"].items() if each.get("missing")]
    return {"plan": lines, "wanting": sorted(wanting), "failed_nodes": failed}


def _hosts(observed: Mapping[str, Any]) -> dict[str, str]:
    """The hosts by the ID of their node."""
    found = {}
    for name, seen in observed.items():
        node = ((seen or {}).get("swarm") or {}).get("node_id")
        if node:
            found[str(node)] = str(name)
    return found
