#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_drain
short_description: Take nodes out of service without a dip, and give them back
description:
  - Drains nodes for maintenance. Before that, the tasks of replicated services are moved to other nodes by each
    service's own update settings, so that one with C(order=start-first) never has fewer tasks than it should.
    C(docker node update --availability drain) alone stops tasks first and starts others then.
  - It is looked at first whether the work has another place. If it has not, nothing is changed.
  - What the node was available for before is kept in a label of the node (C(flotilla.swarm.drained)), so that
    O(state=active) gives it back.
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
      - The nodes, each by its ID, its name in the inventory, or its hostname.
      - Several are drained together, so that no task moves twice.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained), the nodes are drained and nothing of a service runs on them.
      - V(active), nodes that are drained get back what they were available for before; V(active) if that is not known.
        Nothing moves back by itself.
    type: str
    choices: [drained, active]
    default: drained
  accepted_risks:
    description:
      - Risks that are accepted, and no reason to refuse any more. They are told as warnings then.
      - V(homeless_services), a service has no node left that it may run on; its tasks wait.
      - V(lack_of_room), what runs on the nodes finds no room for its reservations elsewhere.
      - V(local_data), a replicated service with a named volume of the node's own starts elsewhere without its data.
    type: list
    elements: str
    choices: [homeless_services, lack_of_room, local_data]
    default: []
  drain_timeout:
    description: Seconds to wait until the work runs elsewhere, and until the last task on the nodes has ended.
    type: int
    default: 300
notes:
  - It must run on a manager of the swarm. It may drain that manager as well; draining takes no vote from it.
  - Global services and jobs are stopped on the node, for they have nowhere else to run. RV(steps) names them.
  - If the work does not move, all is put back as it was, and the reason is the engine's. What a killed run has left is put
    back by the next one.
  - Containers that are no part of the swarm are not seen, and stay.
"""

EXAMPLES = r"""
- name: Take a node out of service
  flotilla.swarm.swarm_drain:
    nodes: [w1]
  delegate_to: m1

- name: Give it back
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
  description: The plan as data, one step for each node that changes.
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
      description: Its name in the inventory, else its hostname.
      type: str
      sample: w1
    before:
      description: What it is available for.
      type: str
      sample: active
    after:
      description: What it is to be available for.
      type: str
      sample: drain
    moves:
      description: The replicated services that run there, and how many of their tasks have to move.
      type: dict
      sample: {shop_web: 2}
    stops:
      description: >-
        The global services and jobs that run there and the services that have no other place, and how many of their tasks
        are stopped.
      type: dict
      sample: {agent: 1}
applied:
  description: What was done, services that were moved and nodes that were written.
  type: list
  elements: str
  returned: always
  sample: [service shop_web, drain w1]
notes:
  description: Risks that were accepted, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description: The cause of a failure as C(code), with C(details).
  type: dict
  returned: failure
  sample:
    code: refused
    details: {}
"""

import platform
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._maintenance import (
    BACK,
    DRAINED,
    RISKS,
    maintain,
    observe,
    plan_maintenance,
)


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            nodes=dict(type="list", elements="str", required=True),
            state=dict(type="str", choices=[DRAINED, BACK], default=DRAINED),
            accepted_risks=dict(type="list", elements="str", choices=list(RISKS), default=[]),
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
