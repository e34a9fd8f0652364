#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_nodes
short_description: Change all nodes of a swarm in one call
description:
  - Takes the desired membership of all hosts and changes the nodes to match it. It changes roles, labels and availability, and
    removes nodes. Joining and leaving happen on the host itself, with M(flotilla.swarm.swarm_member).
  - The module runs once, on any manager, however many nodes the swarm has.
  - Every step keeps the quorum. Every step also tolerates as many lost managers as the start or the goal, whichever is less.
    Promotions come before demotions.
  - Before it drains a node, the module moves its tasks to other nodes. A service with C(order=start-first) never has fewer tasks
    than it should.
  - Nodes are matched by the ID that the host itself reports. A label that this module sets identifies the node of a host that
    does not answer. The module does not change such a node.
  - The module removes a label that it has set and that is no longer desired. Labels that others have set stay.
  - The module refuses an unsafe plan before it changes anything. The message has the reason, and the option that allows the plan.
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
      - All hosts of the inventory. Nodes that are not listed stay unless O(remove_unlisted=true).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the host in the inventory. The label C(flotilla.swarm.host) of its node keeps it.
        type: str
        required: true
      node_id:
        description:
          - The ID that the host reports, RV(flotilla.swarm.swarm_host_info#module:swarm.node_id).
          - Not set for a host that did not answer, or that is in no swarm. A host in no swarm is expected to join.
        type: str
      role:
        description: The desired role of the node. If not set, the role stays.
        type: str
        choices: [manager, worker]
      labels:
        description: The desired labels of the node. Labels that others have set stay. C(zone) is the zone of the host.
        type: dict
        default: {}
      availability:
        description:
          - The desired availability of the node. If not set, the availability stays.
          - With V(drain), the tasks of the node first move to other nodes, by the update settings of their services.
        type: str
        choices: [active, pause, drain]
      silent:
        description: The host did not answer. Its node stays as it is, and never counts as unlisted.
        type: bool
        default: false
      joining:
        description: The host is joining, and another task waits for it.
        type: bool
        default: false
      rejoin:
        description:
          - Make the host leave and join again. This is the only way to change its advertise address.
          - The node is drained and demoted. After the host has left, the node is removed.
        type: bool
        default: false
      joined_by:
        description:
          - RV(flotilla.swarm.swarm_host_info#module:swarm.joined_by) of the host. Empty if its engine has been restarted since it
            joined.
          - If no manager answers at this address, the engine must be restarted before the host can be promoted. The module drains
            the node first, and restores its availability after the restart.
        type: str
        default: ""
      hostname:
        description: The hostname of the host. It helps to find nodes that the host has left behind.
        type: str
        default: ""
      addresses:
        description: The addresses of the host. They help to find nodes that it has left behind.
        type: list
        elements: str
        default: []
      traits:
        description: The text that the plan shows if the host joins.
        type: str
        default: ""
  adopted:
    description:
      - Add no label of this collection to a node that has none, as long as nothing else of its labels changes. This is for an
        inventory that M(flotilla.swarm.swarm_adopt) has written.
    type: bool
    default: false
  remove_unlisted:
    description:
      - Remove nodes that belong to no listed host. They are drained and demoted. After their host has left, they are removed.
      - A node that is down is removed without its host, after O(removal_down_after).
      - No node is removed while it could belong to a silent host.
    type: bool
    default: false
  removal_limit:
    description: The share of the nodes that one call can remove, from 0 to 1. One node can always be removed.
    type: float
    default: 0.2
  removal_down_after:
    description: Seconds that an unlisted node must be down before it is removed.
    type: int
    default: 300
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk.
      - V(lost_margin), the swarm tolerates fewer lost managers than before, or none. The module never gives up the quorum.
      - V(uneven_zones), one zone has a majority of the managers, or one of three zones has none.
      - V(homeless_services), a service has no node left that it can run on.
      - V(lack_of_room), no other node has room for the reservations of the tasks.
    type: list
    elements: str
    choices: [lost_margin, uneven_zones, homeless_services, lack_of_room]
    default: []
  left:
    description:
      - The IDs of nodes whose host has left the swarm, or cannot be asked to leave. They are removed by force.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for each promotion and demotion, and until all nodes are ready and all managers reachable.
    type: int
    default: 60
  drain_timeout:
    description: Seconds to wait until the tasks of drained nodes run on other nodes.
    type: int
    default: 300
notes:
  - The module must run on a manager of the swarm.
  - A drain stops the tasks of global services and jobs, because they cannot run on another node.
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Label one node and drain another
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
  description: The nodes of the swarm after the call.
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
  description:
    - The plan as data, in order.
    - One entry for each change that this call makes. In check mode, that it would make.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: >-
        V(promote), V(labels), V(availability), V(drain), V(demote) or V(remove).
      type: str
    host:
      description: The name of the host in the inventory. If it has none, the hostname of the node.
      type: str
    node_id:
      description: The ID of the node.
      type: str
    text:
      description: The change in words.
      type: str
    note:
      description: The effect on the managers, if there is one.
      type: str
    words:
      description: How the text and the note are made, from which a page says them in another language.
      type: dict
    before:
      description: The value before.
      type: raw
    after:
      description: The value after.
      type: raw
plan:
  description:
    - The whole plan.
    - C(steps) are RV(steps) and what follows them, such as V(join) and V(leave), which hosts do themselves. C(held) has what
      cannot be done now, and why. C(unlisted) has the nodes that belong to no host and that stay. C(left_behind) has the services
      without another node, which is an accepted risk. C(refusals) and C(warnings) are sentences. C(words) has how they are made,
      from which a page says them in another language.
  type: dict
  returned: always
done:
  description: How many of RV(steps) were applied.
  type: int
  returned: always
report:
  description: The plan as text. After a run, its result.
  type: str
  returned: always
not_ready:
  description: The listed hosts whose nodes are not ready or not in the swarm.
  type: list
  elements: str
  returned: always
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(not_ready), V(timeout), V(drain_timeout), V(engine_unreachable), V(no_sdk), V(not_manager),
      V(not_in_swarm), V(locked), V(no_quorum), V(out_of_sequence), V(not_found) or V(engine_error).
  type: dict
  returned: failure
  sample: {code: refused, details: {}}
"""

from ..module_utils._api.client import EngineClient
from ..module_utils._cluster.changes import change_nodes
from ..module_utils._cluster.membership import parse_rules
from ..module_utils._cluster.options import (
    NODES_LIMITS,
    NODES_OPTIONS,
    diffs_of,
    failure_of,
    parse_desired,
    result_of,
)
from ..module_utils._cluster.outcome import NodesOutcome
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(**NODES_OPTIONS),
        limits=NODES_LIMITS,
        supports_check_mode=True,
    )
    params = module.params
    try:
        outcome = change_nodes(
            EngineClient(params),
            [parse_desired(node) for node in params["nodes"]],
            parse_rules(params),
            module.check_mode,
            params["wait_timeout"],
            params["drain_timeout"],
        )
    except SwarmError as error:
        outcome = NodesOutcome(error=error)
    result = result_of(outcome, module.check_mode)
    if module._diff and outcome.steps:
        result["diff"] = [{"prepared": result["report"] + "\n"}, *diffs_of(outcome.steps)]
    failure = failure_of(outcome, params["wait_timeout"], module.check_mode)
    if failure is not None:
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
