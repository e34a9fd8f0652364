# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The options and the result of the module swarm_nodes. No I/O."""

from __future__ import annotations

from typing import Any

from .._common.errors import SwarmError
from .._model.labels import label_text
from .identity import DesiredMember
from .membership import MEMBERSHIP_RISKS
from .outcome import NodesOutcome
from .steps import MemberStep, done_lines, refused_lines, remark_lines, step_lines

NODES_OPTIONS: dict[str, Any] = dict(
    nodes=dict(
        type="list",
        elements="dict",
        required=True,
        options=dict(
            name=dict(type="str", required=True),
            node_id=dict(type="str"),
            role=dict(type="str", choices=["manager", "worker"]),
            labels=dict(type="dict", default={}),
            availability=dict(type="str", choices=["active", "pause", "drain"]),
            silent=dict(type="bool", default=False),
            joining=dict(type="bool", default=False),
            rejoin=dict(type="bool", default=False),
            joined_by=dict(type="str", default=""),
            hostname=dict(type="str", default=""),
            addresses=dict(type="list", elements="str", default=[]),
            traits=dict(type="str", default=""),
        ),
    ),
    adopted=dict(type="bool", default=False),
    remove_unlisted=dict(type="bool", default=False),
    removal_limit=dict(type="float", default=0.2),
    removal_down_after=dict(type="int", default=300),
    accepted_risks=dict(type="list", elements="str", choices=list(MEMBERSHIP_RISKS), default=[]),
    left=dict(type="list", elements="str", default=[]),
    wait_timeout=dict(type="int", default=60),
    drain_timeout=dict(type="int", default=300),
)
NODES_LIMITS: dict[str, Any] = dict(drain_timeout=1, removal_limit=(0, 1))


def parse_desired(node: dict[str, Any]) -> DesiredMember:
    """A host of the inventory, from an entry of the option `nodes`; RunPlan.nodes has such entries."""
    labels = {str(key): label_text(value) for key, value in node["labels"].items()}
    return DesiredMember(**{**node, "labels": labels, "addresses": tuple(node["addresses"])})


def result_of(outcome: NodesOutcome, check_mode: bool) -> dict[str, Any]:
    """The result of the module swarm_nodes, without its diff: all of its keys."""
    return {
        "changed": bool(outcome.steps if check_mode else outcome.done),
        "nodes": [node.as_dict() for node in outcome.nodes],
        "steps": [step.as_data() for step in outcome.steps],
        "plan": outcome.plan.as_data(),
        "done": len(outcome.done),
        "report": "\n".join(report_lines(outcome, check_mode)),
        "not_ready": outcome.late,
    }


def failure_of(outcome: NodesOutcome, waited: int, check_mode: bool) -> SwarmError | None:
    """Why the module fails: what a step raised, refused, or not_ready after `waited` seconds; None: it does not."""
    if outcome.error is not None:
        return outcome.error
    if outcome.plan.refusals:
        why = "; ".join(outcome.plan.refusals)
        return SwarmError("refused", f"Nothing was changed: {why}.")
    if outcome.lost and not check_mode:
        return SwarmError(
            "not_ready",
            f"Could not finish the change of the nodes: after {waited} s {', '.join(outcome.lost)}"
            f" {'is' if len(outcome.lost) == 1 else 'are'} not ready. Check the engine there, and that the nodes reach each"
            " other on 2377/tcp, 7946/tcp+udp and 4789/udp.",
            nodes=outcome.lost,
        )
    return None


def report_lines(outcome: NodesOutcome, check_mode: bool) -> list[str]:
    """The plan, and in a real run what came of it, in the same words."""
    plan = outcome.plan
    if plan.refusals:
        return refused_lines(plan.refusals)
    remarks = remark_lines(outcome.steps, plan.held, plan.unlisted, plan.warnings)
    if check_mode:
        return ["PLAN", *step_lines(outcome.steps, plan.unlisted), *remarks]
    because = outcome.error.message if outcome.error else "see below"
    return [*done_lines(outcome.steps, outcome.steps[len(outcome.done) :], because), *remarks]


def diffs_of(steps: list[MemberStep]) -> list[dict[str, str]]:
    """Each node before and after, where that can be shown side by side."""
    return [
        {
            "before_header": f"{step.host} {step.action}",
            "after_header": f"{step.host} {step.action}",
            "before": _lines(step.before),
            "after": _lines(step.after),
        }
        for step in steps
        if step.before is not None
    ]


def _lines(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"{key}={item}\n" for key, item in sorted(value.items()))
    return f"{value}\n"
