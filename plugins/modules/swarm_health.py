#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_health
short_description: A verdict on a swarm, with reasons, and a gate
description:
  - Looks at the managers, the nodes, the networks and the tasks of all services, and returns a verdict with the checks
    behind it.
  - Fails when the verdict is not one of O(accept), so that it can stand as a gate between two steps.
  - Counts only tasks of the spec that a service has now, and only those that run on nodes that are ready. The engine's
    own counters include tasks of dead nodes.
  - Asks the engine seven times, however large the swarm is.
  - Runs on a manager. On anything else the verdict is V(unknown) or V(failed), with the reason in RV(failure.code).
  - It does not send any traffic to services.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._health
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
  wait_timeout:
    description: Seconds to wait for a verdict in O(accept). V(0) looks once.
    type: int
    default: 0
  wait_sleep:
    description: Seconds between two looks.
    type: int
    default: 2
  checks:
    description:
      - The checks to make; all, if it is left out.
      - What keeps the module from looking is always among them, so that a verdict is never made of nothing.
      - V(engine), whether the engine answers. V(swarm), whether it is an active manager. V(leader). V(quorum), how many
        managers there are, answer, and may still be lost. V(zones), which zone's loss would break the quorum, or leave a
        service without a task. V(nodes), which are ready, drained and paused. V(hosts), those of O(unreachable).
      - V(services), whether each has the tasks it asks for. V(pending), why a task has no node. V(restarts), tasks that
        keep failing; V(failed) where a replica still does, judged by how often it has failed, not by whether it runs at
        this moment. V(updates), paused ones and those that the engine has rolled back. V(orphans), tasks that are on record on dead nodes.
      - V(networks), addresses that are left in each overlay network. V(mesh), published ports and virtual addresses
        where a kernel has no IPVS. V(certificates), how long the CA and this manager's own certificate are valid.
      - V(clock), of hosts that O(observed) tells about. V(disk), on this host and on those; it names the nodes that it
        could not look at. V(versions) of the engines. V(autolock), its state. V(encryption), overlay networks in use
        that are not encrypted between hosts.
    type: list
    elements: str
    choices:
      - engine
      - swarm
      - leader
      - quorum
      - zones
      - nodes
      - hosts
      - services
      - pending
      - restarts
      - updates
      - orphans
      - networks
      - mesh
      - certificates
      - clock
      - disk
      - versions
      - autolock
      - encryption
  format:
    description:
      - What is printed while a playbook runs. V(brief) has nodes, services, the main checks and whatever is not well, V(table)
        every check, V(json) the result in one line, and nothing else in it, V(none) nothing, for
        a gate that opens needs no words, and one that does not says why in its message.
    type: str
    choices: [brief, table, json, none]
    default: brief
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Go on only with a healthy swarm, within two minutes
  flotilla.swarm.swarm_health:
    accept: [healthy]
    wait_timeout: 120

- name: Ask only whether another manager may be stopped
  flotilla.swarm.swarm_health:
    accept: [healthy]
    checks: [quorum, nodes, certificates]
    thresholds:
      certificate_days: 14

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
      description: One of O(checks).
      type: str
    status:
      description: >-
        V(ok), V(degraded), V(unknown) or V(failed). V(noted) is a choice that is worth knowing and no fault, such as
        autolock that is off; the verdict stays V(healthy). V(skipped) where it could not be made, which has no say in
        the verdict.
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
  description: All services, with the tasks they want and those of their current spec that run on ready nodes.
  type: list
  elements: dict
  returned: always
  sample:
    - name: hello_web
      mode: replicated
      state: converged
      wanted: 2
      running: 2
      outdated: 0
      zones: [a, b]
      image: registry.lab:5000/hello:1
      on_request: false
      cause: null
      trouble: null
report:
  description: What is printed.
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
      description: >-
        V(not_accepted), or what kept the module from looking: V(no_quorum), V(locked), V(not_manager) (a worker),
        V(not_in_swarm), V(joining), V(swarm_error), V(engine_unreachable), V(host_unreachable), V(no_sdk), or V(timeout).
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
from ansible_collections.flotilla.swarm.plugins.module_utils._client import client_for_reading
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health import CHECKS, finish
from ansible_collections.flotilla.swarm.plugins.module_utils._health_look import (
    HEALTH_OPTIONS,
    judge,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._host import observe_host
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import Picture, look
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import poll


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            **HEALTH_OPTIONS,
            wait_timeout=dict(type="int", default=0),
            wait_sleep=dict(type="int", default=2),
            checks=dict(type="list", elements="str", choices=list(CHECKS)),
            format=dict(type="str", choices=["brief", "table", "json", "none"], default="brief"),
        ),
        limits=dict(accept=1, checks=1, wait_sleep=1),
        supports_check_mode=True,
    )
    params = module.params
    attempts = 0

    def look_again() -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        try:
            picture = look(client_for_reading(params))
        except SwarmError as error:
            picture = Picture(trouble=error)
        return judge(params, picture, observe_host())

    seen, _accepted = poll(
        look_again,
        lambda result: result["verdict"] in params["accept"],
        params["wait_timeout"],
        params["wait_sleep"],
    )
    result = finish(seen, params["accept"], params["format"], attempts)
    if "failure" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
