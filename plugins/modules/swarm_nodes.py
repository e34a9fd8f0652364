#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_nodes
short_description: Labels and availability of all nodes of a swarm, in one call
description:
  - Makes the labels and the availability of the given nodes as wanted, and waits until these nodes are ready.
  - Takes all nodes at once and runs on one manager, however many nodes there are.
  - Nodes are named by the ID that the host itself reports, never by host name.
  - A label that this module has set and that is wanted no more is taken off. Labels of others stay. Which labels are
    ours is
    kept in the node label C(flotilla.swarm.labels).
  - This version changes neither the role of a node nor does it remove nodes.
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
    description: The nodes. Those that are not listed are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name to call the node by in results and errors.
        type: str
        required: true
      node_id:
        description: The ID that the host reports, RV(flotilla.swarm.swarm_host_info#module:swarm.node_id).
        type: str
        required: true
      labels:
        description: The labels that the node shall have, besides those of others.
        type: dict
        default: {}
      availability:
        description: What the node shall be available for. Left as it is when not set.
        type: str
        choices: [active, pause, drain]
  wait_timeout:
    description: Seconds to wait until the nodes are known and ready, managers reachable.
    type: int
    default: 60
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Label two nodes and drain one of them
  flotilla.swarm.swarm_nodes:
    nodes:
      - name: w1
        node_id: 4wyc7i0q9iegkhgbnx6ydrzjv
        labels: {zone: a, disk: ssd}
      - name: w2
        node_id: 0kq2hvx6nr1f6yobx7y3fb1zd
        labels: {zone: b}
        availability: drain
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
  description: What changed, or would change in check mode.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(labels) or V(availability).
      type: str
    host:
      description: The name of the node as given.
      type: str
    node_id:
      description: The ID of the node.
      type: str
    text:
      description: The change in words.
      type: str
    before:
      description: What is changed, before.
      type: raw
    after:
      description: What is changed, after.
      type: raw
not_ready:
  description: The given nodes that are not ready, or not in the swarm.
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
        One of V(not_ready), V(engine_unreachable), V(no_sdk), V(not_manager), V(not_in_swarm), V(locked),
        V(no_quorum),
        V(out_of_sequence) or V(engine_error).
      type: str
    details:
      description: Data that goes with the code.
      type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import docker_argument_spec
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes import (
    WantedNode,
    change_nodes,
    label_text,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=docker_argument_spec(
            nodes=dict(
                type="list",
                elements="dict",
                required=True,
                options=dict(
                    name=dict(type="str", required=True),
                    node_id=dict(type="str", required=True),
                    labels=dict(type="dict", default={}),
                    availability=dict(type="str", choices=["active", "pause", "drain"]),
                ),
            ),
            wait_timeout=dict(type="int", default=60),
        ),
        supports_check_mode=True,
    )
    wanted = [
        WantedNode(
            node["name"],
            node["node_id"],
            {str(key): label_text(value) for key, value in node["labels"].items()},
            node["availability"],
        )
        for node in module.params["nodes"]
    ]
    try:
        nodes, steps, late = change_nodes(
            EngineClient(module.params), wanted, module.check_mode, module.params["wait_timeout"]
        )
    except SwarmError as error:
        module.fail_json(
            msg=error.message, failure=error.as_failure(), nodes=[], steps=[], not_ready=[]
        )
    result: dict[str, Any] = {
        "changed": bool(steps),
        "nodes": [node.as_dict() for node in nodes],
        "steps": steps,
        "not_ready": late,
    }
    if module._diff:
        result["diff"] = [
            {
                "before_header": f"{step['host']} {step['action']}",
                "after_header": f"{step['host']} {step['action']}",
                "before": _lines(step["before"]),
                "after": _lines(step["after"]),
            }
            for step in steps
        ]
    if late and not module.check_mode:
        module.fail_json(
            msg=f"Could not see every node ready: after {module.params['wait_timeout']} s {', '.join(late)} still"
            f" {'is' if len(late) == 1 else 'are'} not. Check the engine there, and that the nodes reach each other"
            " on 2377/tcp, 7946/tcp+udp and 4789/udp.",
            failure={"code": "not_ready", "details": {"nodes": late}},
            **result,
        )
    module.exit_json(**result)


def _lines(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(f"{key}={item}\n" for key, item in sorted(value.items()))
    return f"{value}\n"


if __name__ == "__main__":
    main()
