#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_health
short_description: A verdict on a swarm, with reasons, and a gate
description:
  - Looks at the managers, the nodes and the tasks of all services, and returns a verdict with the checks behind it.
  - Fails when the verdict is not one of O(accept), so that it can stand as a gate between two steps.
  - Counts only tasks that run on nodes that are ready. The engine's own counters include tasks of dead nodes.
  - This version checks the quorum, the spread of managers over zones, that nodes are ready, that every service has
    the tasks it
    asks for, that no update is paused, and that published ports have the IPVS they need on this host. It does not
    yet look at
    clocks, certificates, disks, address use or version skew, nor does it send traffic.
  - Runs on a manager. On anything else the verdict is V(unknown) or V(failed), with the reason.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: It reads for real and changes nothing.
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  accept:
    description: The verdicts with which the module succeeds.
    type: list
    elements: str
    choices: [healthy, degraded, unknown, failed]
    default: [healthy, degraded]
  wait_timeout:
    description: Seconds to wait for a verdict in O(accept). V(0) looks once.
    type: int
    default: 0
  wait_sleep:
    description: Seconds between two looks.
    type: int
    default: 2
  unreachable:
    description: Hosts that the caller could not reach, to be named in the verdict.
    type: list
    elements: str
    default: []
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Go on only with a healthy swarm, within two minutes
  flotilla.swarm.swarm_health:
    accept: [healthy]
    wait_timeout: 120

- name: Look, and never fail
  flotilla.swarm.swarm_health:
    accept: [healthy, degraded, unknown, failed]
  register: health
"""

RETURN = r"""
verdict:
  description: V(healthy), V(degraded), V(unknown) or V(failed), the worst of the checks.
  type: str
  returned: always
  sample: healthy
checks:
  description: The checks, the same fields for each.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: One of V(engine), V(swarm), V(quorum), V(zones), V(nodes), V(services), V(mesh) and V(hosts).
      type: str
    status:
      description: V(ok), V(degraded), V(unknown) or V(failed).
      type: str
    message:
      description: What was found.
      type: str
    advice:
      description: What to do about it.
      type: str
    data:
      description: The numbers behind the message.
      type: dict
  sample:
    - name: quorum
      status: ok
      message: 3 of 3 managers reachable, 1 may be lost
      advice: null
      data: {managers: 3, reachable: 3, quorum: 2, may_lose: 1, leader: m1, unreachable: []}
managers:
  description: How many managers there are, are reachable, make a quorum and may be lost, and who leads.
  type: dict
  returned: always
  sample: {managers: 3, reachable: 3, quorum: 2, may_lose: 1, leader: m1}
nodes:
  description: All nodes.
  type: list
  elements: dict
  returned: always
services:
  description: All services, with the tasks they want and those that run on ready nodes.
  type: list
  elements: dict
  returned: always
  sample:
    - {name: hello_web, mode: replicated, wanted: 2, running: 2, image: "registry.lab:5000/hello:1", trouble: null}
report:
  description: Nodes, services and verdict as a text to print.
  type: str
  returned: always
attempts:
  description: How often the module looked.
  type: int
  returned: always
failure:
  description: Why the module failed.
  type: dict
  returned: on failure
  contains:
    code:
      description: V(not_accepted), or V(no_sdk).
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
from ansible_collections.flotilla.swarm.plugins.module_utils._health import (
    Picture,
    evaluate,
    look,
    render,
    result_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._host import observe_host
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import poll


def main() -> None:
    module = AnsibleModule(
        argument_spec=docker_argument_spec(
            accept=dict(
                type="list",
                elements="str",
                choices=["healthy", "degraded", "unknown", "failed"],
                default=["healthy", "degraded"],
            ),
            wait_timeout=dict(type="int", default=0),
            wait_sleep=dict(type="int", default=2),
            unreachable=dict(type="list", elements="str", default=[]),
        ),
        supports_check_mode=True,
    )
    mesh = observe_host()["kernel_features"]["ip_vs"]
    attempts = 0

    def judge() -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        try:
            picture = look(EngineClient(module.params))
        except SwarmError as error:
            picture = Picture(trouble=error)
        return result_of(picture, evaluate(picture, module.params["unreachable"], mesh))

    result, accepted = poll(
        judge,
        lambda seen: seen["verdict"] in module.params["accept"],
        module.params["wait_timeout"],
        module.params["wait_sleep"],
    )
    result.update(report=render(result), attempts=attempts, changed=False)
    if accepted:
        module.exit_json(**result)
    worst = "; ".join(
        f"{check['name']}: {check['message']}"
        for check in result["checks"]
        if check["status"] != "ok"
    )
    module.fail_json(
        msg=f"The swarm is {result['verdict']}, accepted is {' or '.join(module.params['accept'])}. {worst}.",
        failure={"code": "not_accepted", "details": {"verdict": result["verdict"]}},
        **result,
    )


if __name__ == "__main__":
    main()
