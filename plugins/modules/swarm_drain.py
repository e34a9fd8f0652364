#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_drain
short_description: Drain nodes without a dip, and put them back into service
description:
  - Drains nodes for maintenance. Before it drains a node, the module moves the tasks of replicated services to other nodes by
    the update settings of each service. A service with C(order=start-first) never has fewer tasks than it should.
    C(docker node update --availability drain) alone stops tasks before it starts others.
  - The module first checks that the tasks have another node to run on. If they do not, nothing is changed.
  - The label C(flotilla.swarm.drained) keeps the availability of the node before the drain. O(state=active) restores it.
author:
  - The Flotilla authors (@flotilla-swarm)
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
      - The nodes, each by its ID, its name in the inventory or its hostname.
      - Several nodes are drained together, so that no task moves twice.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained) drains the nodes. No task of a service runs on them afterwards.
      - V(active) restores the availability that drained nodes had before, or sets V(active) if it is not known. No task moves
        back.
    type: str
    choices: [drained, active]
    default: drained
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk, and returns it in RV(notes).
      - V(homeless_services), a service has no node left that it can run on. Its tasks wait.
      - V(lack_of_room), no other node has room for the reservations of the tasks.
      - V(local_data), a replicated service with a named local volume starts on another node without its data.
    type: list
    elements: str
    choices: [homeless_services, lack_of_room, local_data]
    default: []
  drain_timeout:
    description: Seconds to wait until the tasks run on other nodes, and until the last task on the drained nodes has ended.
    type: int
    default: 300
notes:
  - The module must run on a manager of the swarm. It can drain that manager too, because a drained manager keeps its vote.
  - A drain stops the tasks of global services and jobs, because they cannot run on another node. RV(steps) names them.
  - If the tasks do not move, the module rolls everything back and gives the engine's reason. The next run cleans up after an
    interrupted one.
  - Containers outside the swarm keep running. The module does not see them.
"""

EXAMPLES = r"""
- name: Drain a node
  flotilla.swarm.swarm_drain:
    nodes: [w1]
  delegate_to: m1

- name: Put the node back into service
  flotilla.swarm.swarm_drain:
    nodes: [w1]
    state: active
  delegate_to: m1
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  nodes, acting on m1
    - "  ~ drain     w1  active -> drain   moves shop_web 2   stops agent 1"
steps:
  description:
    - The plan as data, in order.
    - One entry for each node that changes.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(drain) or V(activate).
      type: str
      sample: drain
    node_id:
      description: The ID of the node.
      type: str
      sample: 4wyc7i0q9iegkhgbnx6ydrzjv
    name:
      description: The name of the host in the inventory. If it has none, the hostname of the node.
      type: str
      sample: w1
    before:
      description: The availability before.
      type: str
      sample: active
    after:
      description: The availability after.
      type: str
      sample: drain
    moves:
      description: The number of tasks to move, by replicated service.
      type: dict
      sample: {shop_web: 2}
    stops:
      description: The number of tasks to stop, by global service, job, and service that has no other node to run on.
      type: dict
      sample: {agent: 1}
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [service shop_web, drain w1]
notes:
  description: The accepted risks, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample:
    code: refused
    details: {}
"""

import platform
from typing import Any

from ..module_utils._api.client import EngineClient
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._nodes.maintenance import (
    BACK,
    DRAINED,
    MAINTENANCE_RISKS,
    maintain,
    observe,
    plan_maintenance,
)


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            nodes=dict(type="list", elements="str", required=True),
            state=dict(type="str", choices=[DRAINED, BACK], default=DRAINED),
            accepted_risks=dict(
                type="list", elements="str", choices=list(MAINTENANCE_RISKS), default=[]
            ),
            drain_timeout=dict(type="int", default=300),
        ),
        limits=dict(drain_timeout=1),
        supports_check_mode=True,
    )
    given = module.params
    result: dict[str, Any] = dict(changed=False, plan=[], steps=[], applied=[], notes=[], diff={})
    try:
        client = EngineClient(given)
        plan = plan_maintenance(
            observe(client), given["nodes"], given["state"], given["accepted_risks"]
        )
        result.update(
            plan=plan.lines(platform.node()),
            steps=[step.as_dict() for step in plan.steps],
            notes=plan.warnings,
        )
        if plan.refusals:
            raise SwarmError("refused", f"Nothing was changed: {'; '.join(plan.refusals)}.")
        if plan.steps:
            result.update(changed=True, diff={"prepared": "\n".join(result["plan"]) + "\n"})
            if not module.check_mode:
                maintain(client, plan, result["applied"], given["drain_timeout"])
    except SwarmError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
