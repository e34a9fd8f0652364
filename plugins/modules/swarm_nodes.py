#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_nodes
short_description: The nodes of a swarm as the inventory lists them, all in one call
description:
  - Takes the whole wanted membership and makes the nodes so, as far as managers can, role, labels, availability and
    removal. What a host has to do itself, joining and leaving, is M(flotilla.swarm.swarm_member) on that host.
  - Runs on any manager, once, however many nodes there are.
  - Every step keeps the quorum, and as many managers that may be lost as the start or the goal has. Promotions come
    before demotions. A node that is drained is emptied first, so that a service whose updates start new tasks first
    has never fewer than it wants.
  - Nodes are matched by the ID that the host itself reports. Which node belongs to a host that gives no answer is
    known by a label that this module sets, and such nodes are left alone.
  - A label that this module has set and that is wanted no more is taken off. Labels of others stay.
  - Whatever would be unsafe is refused before anything is changed, with the reason and what allows it.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  nodes:
    description:
      - All hosts of the inventory. Nodes that are not listed are left alone unless O(remove_unlisted=true).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the host in the inventory, which the label C(flotilla.swarm.host) keeps on its node.
        type: str
        required: true
      node_id:
        description:
          - The ID that the host reports, RV(flotilla.swarm.swarm_host_info#module:swarm.node_id).
          - Not set for a host that is in no swarm, which is then expected to join, and for one that gave no answer.
        type: str
      role:
        description: What the node shall be. Left as it is when not set.
        type: str
        choices: [manager, worker]
      labels:
        description: The labels that the node shall have, besides those of others. C(zone) is the zone of the host.
        type: dict
        default: {}
      availability:
        description:
          - What the node shall be available for. Left as it is when not set.
          - With V(drain), its services are moved away first, as their own update settings say.
        type: str
        choices: [active, pause, drain]
      silent:
        description: The host gave no answer. Its node is left as it is, and never taken for one that is not listed.
        type: bool
        default: false
      joining:
        description: The host has begun to join and is waited for elsewhere.
        type: bool
        default: false
      rejoin:
        description:
          - The host shall leave and join again. This is the only way to give it another advertise address.
          - The node is drained, demoted and, once the host has left, removed.
        type: bool
        default: false
      joined_by:
        description:
          - RV(flotilla.swarm.swarm_host_info#module:swarm.joined_by) of the host. Its engine has to be restarted before
            it is promoted where no manager answers at this address. The node is drained first, and what it was available
            for is given back once the engine has been restarted.
          - Nothing where its engine has been restarted since it joined.
        type: str
        default: ""
      hostname:
        description: What the host calls itself. Helps to find nodes that it has left behind.
        type: str
        default: ""
      addresses:
        description: The addresses of the host. They help to find nodes that it has left behind.
        type: list
        elements: str
        default: []
      traits:
        description: What the plan says of the host if it joins.
        type: str
        default: ""
  remove_unlisted:
    description:
      - Remove nodes that no listed host is. They are drained, demoted and, once their host has left, removed.
      - A node that is down is removed without its host, after O(removal_down_after).
      - Nothing is removed while a silent host cannot be told from the nodes that would be.
    type: bool
    default: false
  removal_limit:
    description: The share of the nodes that one call may remove. One may always be.
    type: float
    default: 0.2
  removal_down_after:
    description: Seconds after which a node that is down and not listed is taken for gone.
    type: int
    default: 300
  accepted_risks:
    description:
      - Risks that are accepted, and no reason to refuse any more.
      - V(lost_margin), fewer managers may be lost than before, or none. The quorum itself is never given up.
      - V(uneven_zones), a zone holds a majority of the managers, or one of three has none.
      - V(homeless_services), a service has no node left that it may run on.
      - V(lack_of_room), what runs on a drained node finds no room for its reservations elsewhere.
    type: list
    elements: str
    choices: [lost_margin, uneven_zones, homeless_services, lack_of_room]
    default: []
  left:
    description:
      - The IDs of nodes whose host has left the swarm, or cannot be asked to. They are removed by force.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for each promotion and demotion, and until the nodes are ready, managers reachable.
    type: int
    default: 60
  drain_timeout:
    description: Seconds to wait until the services of drained nodes run elsewhere.
    type: int
    default: 300
notes:
  - Global services and jobs are stopped on a node that is drained, for they have nowhere else to run.
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Label a node and drain another
  flotilla.swarm.swarm_nodes:
    nodes:
      - name: w1
        node_id: 4wyc7i0q9iegkhgbnx6ydrzjv
        labels: {zone: a, disk: ssd}
      - name: w2
        node_id: 0kq2hvx6nr1f6yobx7y3fb1zd
        labels: {zone: b}
        availability: drain

- name: Swap the roles of two nodes, in an order that keeps the quorum
  flotilla.swarm.swarm_nodes:
    nodes:
      - {name: m3, node_id: 83yf0trbk4dl2sn0gqpwc6v6e, role: worker}
      - {name: w1, node_id: 4wyc7i0q9iegkhgbnx6ydrzjv, role: manager}
"""

RETURN = r"""
nodes:
  description: All nodes of the swarm afterwards.
  type: list
  elements: dict
  returned: always
  sample:
    - id: 4wyc7i0q9iegkhgbnx6ydrzjv
      hostname: w1
      role: worker
      availability: active
      state: ready
      labels: {zone: a}
steps:
  description: What this call changes, or would change in check mode, in order.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: >-
        V(promote), V(labels), V(availability), V(drain), V(demote) or V(remove).
      type: str
    host:
      description: The host, by its name in the inventory if it has or had one.
      type: str
    node_id:
      description: The ID of the node.
      type: str
    text:
      description: The change in words.
      type: str
    note:
      description: What it means for the managers, where it does.
      type: str
    before:
      description: What is changed, before.
      type: raw
    after:
      description: What is changed, after.
      type: raw
plan:
  description:
    - The whole plan. Its C(steps) are those of RV(steps) and what has to wait for them, among it V(join) and V(leave),
      which hosts do themselves. C(held) has what cannot be done now, and why, C(unlisted) the nodes that no host is
      and that stay, C(left_behind) services that have no other place, which is accepted, C(refusals) and C(warnings) are sentences.
  type: dict
  returned: always
done:
  description: How many of RV(steps) were done.
  type: int
  returned: always
report:
  description: The plan as a table, or what came of it.
  type: str
  returned: always
not_ready:
  description: The listed hosts whose nodes are not ready, or not in the swarm.
  type: list
  elements: str
  returned: always
failure:
  description: Why the module failed.
  type: dict
  returned: on failure
  contains:
    code:
      description: >-
        One of V(refused), V(not_ready), V(timeout), V(drain_timeout), V(engine_unreachable), V(no_sdk), V(not_manager),
        V(not_in_swarm), V(locked), V(no_quorum), V(out_of_sequence), V(not_found) or V(engine_error).
      type: str
    details:
      description: Data that goes with the code.
      type: dict
"""

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import label_text
from ansible_collections.flotilla.swarm.plugins.module_utils._membership import (
    RISKS,
    Rules,
    Wanted,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes import Outcome, change_nodes
from ansible_collections.flotilla.swarm.plugins.module_utils._table import (
    done_lines,
    remark_lines,
    step_lines,
)


def wanted_of(node: dict[str, Any]) -> Wanted:
    labels = {str(key): label_text(value) for key, value in node["labels"].items()}
    addresses = tuple(node["addresses"])
    return Wanted(**{**node, "labels": labels, "addresses": addresses})


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
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
            remove_unlisted=dict(type="bool", default=False),
            removal_limit=dict(type="float", default=0.2),
            removal_down_after=dict(type="int", default=300),
            accepted_risks=dict(type="list", elements="str", choices=list(RISKS), default=[]),
            left=dict(type="list", elements="str", default=[]),
            wait_timeout=dict(type="int", default=60),
            drain_timeout=dict(type="int", default=300),
        ),
        limits=dict(drain_timeout=1, removal_limit=(0, 1)),
        supports_check_mode=True,
    )
    given = module.params
    rules = Rules(
        given["remove_unlisted"],
        given["removal_limit"],
        given["removal_down_after"],
        frozenset(given["accepted_risks"]),
        frozenset(given["left"]),
    )
    outcome = Outcome()
    try:
        outcome = change_nodes(
            EngineClient(given),
            [wanted_of(node) for node in given["nodes"]],
            rules,
            module.check_mode,
            given["wait_timeout"],
            given["drain_timeout"],
        )
    except SwarmError as error:
        outcome.error = error
    report = "\n".join(report_lines(outcome, module.check_mode))
    result: dict[str, Any] = {
        "changed": bool(outcome.steps if module.check_mode else outcome.done),
        "nodes": [node.as_dict() for node in outcome.nodes],
        "steps": outcome.steps,
        "plan": outcome.plan.as_dict(),
        "done": len(outcome.done),
        "report": report,
        "not_ready": outcome.late,
    }
    if module._diff and outcome.steps:
        result["diff"] = [{"prepared": report + "\n"}, *changes(outcome.steps)]
    failure = failure_of(outcome, given["wait_timeout"], module.check_mode)
    if failure is not None:
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **result)
    module.exit_json(**result)


def failure_of(outcome: Outcome, waited: int, check_mode: bool) -> SwarmError | None:
    if outcome.error is not None:
        return outcome.error
    if outcome.plan.refusals:
        why = "; ".join(outcome.plan.refusals)
        return SwarmError("refused", f"Nothing was changed: {why}.")
    if outcome.lost and not check_mode:
        return SwarmError(
            "not_ready",
            f"Could not see every node ready: after {waited} s {', '.join(outcome.lost)} still"
            f" {'is' if len(outcome.lost) == 1 else 'are'} not. Check the engine there, and that the nodes reach each"
            " other on 2377/tcp, 7946/tcp+udp and 4789/udp.",
            nodes=outcome.lost,
        )
    return None


def report_lines(outcome: Outcome, check_mode: bool) -> list[str]:
    """The plan, and in a real run what came of it, in the same words."""
    plan = outcome.plan
    if plan.refusals:
        return ["PLAN  refused", *(f"  x {'refused':<13}{text}" for text in plan.refusals)]
    remarks = remark_lines([], plan.unlisted, plan.held, plan.warnings, outcome.steps)
    if check_mode:
        return ["PLAN", *step_lines(outcome.steps, plan.unlisted), *remarks]
    because = outcome.error.message if outcome.error else "see below"
    return [*done_lines(outcome.steps, outcome.steps[len(outcome.done) :], because), *remarks]


def changes(steps: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What the nodes shall be, before and after, where it can be held side by side."""
    return [
        {
            "before_header": f"{step['host']} {step['action']}",
            "after_header": f"{step['host']} {step['action']}",
            "before": _lines(step["before"]),
            "after": _lines(step["after"]),
        }
        for step in steps
        if "before" in step
    ]


def _lines(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"{key}={item}\n" for key, item in sorted(value.items()))
    return f"{value}\n"


if __name__ == "__main__":
    main()
