#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_health
short_description: Check the health of a swarm
description:
  - Checks the managers, the nodes, the networks and the tasks of all services. Returns a verdict and the checks behind it.
  - Fails if the verdict is not one of O(accept), so that it can be a gate between two tasks.
  - Counts only tasks of the current spec of a service that run on nodes that are ready. The engine's own counters include tasks
    on nodes that are down.
  - Sends six requests to the engine, however large the swarm is. A remote engine needs one more, and so does O(page).
  - Runs on a manager. On any other host, the verdict is V(unknown) or V(failed), and RV(failure) has the reason.
  - Sends no traffic to services.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._health
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: It reads as in a real run and changes nothing. It also writes the page.
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  wait_timeout:
    description: Seconds to wait for a verdict in O(accept). V(0) checks once.
    type: int
    default: 0
  wait_sleep:
    description: Seconds between two attempts.
    type: int
    default: 2
  checks:
    description:
      - The checks to run. If not set, all of them.
      - A problem that prevents the other checks is always in the result.
      - V(engine), the engine answers. V(swarm), the host is an active manager. V(leader), the swarm has a leader. V(quorum), the
        number of managers, of reachable managers, and of failures that the swarm tolerates. V(zones), the zones whose loss would
        break the quorum or leave a service without a task. V(nodes), the nodes that are ready, drained and paused. V(hosts),
        the hosts in O(unreachable).
      - V(services), each service has its tasks. V(pending), the reasons why tasks have no node. V(restarts), tasks that fail
        repeatedly. The status is V(failed) while a replica still fails, even if it runs at this moment. V(updates), updates that
        are paused or that the engine rolled back. V(orphans), tasks on nodes that are down.
      - V(network), what a probe has found between the nodes, see O(network). V(networks), the free addresses of each overlay network.
        V(mesh), published ports and virtual IP addresses on kernels without IPVS. V(certificates), the validity of the CA and of the
        certificate of this manager.
      - V(clock), the clocks of the hosts in O(observed). V(disk), the disks of this host and of those; it names the nodes that it
        could not check. V(versions), the versions of the engines. V(autolock), whether autolock is on. V(encryption), overlay
        networks in use without encryption between hosts.
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
      - network
      - networks
      - mesh
      - certificates
      - clock
      - disk
      - versions
      - autolock
      - encryption
  network:
    description:
      - The result of M(flotilla.swarm.swarm_probe), which the check V(network) judges. Without it, the check is V(skipped). It also is
        if the probe was skipped or ran in check mode.
      - The check is V(failed) if a finding says that nodes or services do not reach each other. It is V(degraded) for the causes
        V(kernel_without), V(overlapping_subnets) and V(loss). It is V(unknown) for V(no_report), and if the probe has failed, has
        probed no node, or has the result of O(flotilla.swarm.swarm_probe#module:state=started).
      - To accept a cause, leave out its findings, as in the examples.
      - The module does not probe again while it waits, so a bad result stays bad for the whole of O(wait_timeout).
    type: dict
  format:
    description:
      - What the module prints.
      - V(brief) prints the main checks, and every check that is not V(ok). V(table) prints every check. V(json) prints the result
        as one line. V(none) prints nothing, for gates. The error message of a gate has the reason.
    type: str
    choices: [brief, table, json, none]
    default: brief
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Wait up to two minutes until the swarm is healthy
  flotilla.swarm.swarm_health:
    accept: [healthy]
    wait_timeout: 120

- name: Check whether the swarm tolerates the loss of a manager
  flotilla.swarm.swarm_health:
    accept: [healthy]
    checks: [quorum, nodes, certificates]
    thresholds:
      certificate_days: 14

- name: Probe the network
  flotilla.swarm.swarm_probe:
    nodes: "{{ ansible_play_hosts | map('extract', hostvars, 'prepared') }}"
  register: probe

- name: Check the health, the network between the nodes included
  flotilla.swarm.swarm_health:
    network: "{{ probe }}"

- name: Check the health, and accept that kernels have no IPVS
  flotilla.swarm.swarm_health:
    network: "{{ probe | combine({'findings': probe.findings | rejectattr('cause', 'in', ['kernel_without']) | list}) }}"

- name: Write a page of the swarm on the controller, in Korean
  flotilla.swarm.swarm_health:
    accept: [healthy, degraded, unknown, failed]
    page:
      path: /srv/www/swarm.html
      language: ko

- name: Check the health and never fail
  flotilla.swarm.swarm_health:
    accept: [healthy, degraded, unknown, failed]
  register: health
"""

RETURN = r"""
verdict:
  description: The worst status of the checks, V(healthy), V(degraded), V(unknown) or V(failed).
  type: str
  returned: always
  sample: healthy
checks:
  description: The checks.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: One of O(checks).
      type: str
    status:
      description: >-
        V(ok), V(degraded), V(unknown) or V(failed). V(noted) reports a setting that is not a fault, such as autolock that is off.
        V(skipped) means that the check could not run. V(noted) and V(skipped) do not change the verdict.
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
      message: 3 of 3 managers reachable, tolerates 1 failure
      advice: null
      data: {managers: 3, reachable: 3, quorum: 2, may_lose: 1, leader: m1, unreachable: []}
managers:
  description: >-
    The number of managers, of reachable managers, of managers that make a quorum, and of managers that can be lost, and the
    leader.
  type: dict
  returned: always
  sample: {managers: 3, reachable: 3, quorum: 2, may_lose: 1, leader: m1}
nodes:
  description: The nodes of the swarm after the call.
  type: list
  elements: dict
  returned: always
services:
  description: All services, with the number of tasks that each should have, and of tasks of the current spec that run on ready nodes.
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
  description: The text that the module prints.
  type: str
  returned: always
page:
  description: The path of the page on the controller.
  type: str
  returned: if O(page) was given
  sample: /srv/www/swarm.html
attempts:
  description: How often the module checked the swarm.
  type: int
  returned: always
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(not_accepted), V(bad_option), or the reason why the module could not check the swarm, V(no_quorum), V(locked),
      V(not_manager), V(not_in_swarm), V(joining), V(swarm_error), V(engine_unreachable), V(host_unreachable), V(no_sdk) or
      V(timeout).
  type: dict
  returned: failure
  sample: {code: not_accepted, details: {}}
"""

from typing import Any

from ..module_utils._api.client import client_for_reading
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import poll
from ..module_utils._health.assess import HEALTH_OPTIONS, assess
from ..module_utils._health.checks import CHECKS
from ..module_utils._health.probed import parse_probe
from ..module_utils._health.records import read_records
from ..module_utils._health.report import finish
from ..module_utils._health.snapshot import observe_swarm
from ..module_utils._host.facts import observe_host


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            **HEALTH_OPTIONS,
            wait_timeout=dict(type="int", default=0),
            wait_sleep=dict(type="int", default=2),
            checks=dict(type="list", elements="str", choices=list(CHECKS)),
            network=dict(type="dict"),
            format=dict(type="str", choices=["brief", "table", "json", "none"], default="brief"),
        ),
        limits=dict(accept=1, checks=1, wait_sleep=1),
        supports_check_mode=True,
    )
    params = module.params
    attempts = 0
    try:
        # Taken out, because nobody wants to see it among the arguments of the module.
        network = parse_probe(params.pop("network"))
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure())

    def probe() -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        snapshot = observe_swarm(lambda: client_for_reading(params))
        return assess(params, snapshot, observe_host(), network)

    seen, _accepted = poll(
        probe,
        lambda result: result["verdict"] in params["accept"],
        params["wait_timeout"],
        params["wait_sleep"],
    )
    if "picture" in seen and seen["nodes"]:
        seen["picture"].update(read_records(lambda: client_for_reading(params)))
    result = finish(seen, params["accept"], params["format"], attempts)
    if "failure" in result:
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
