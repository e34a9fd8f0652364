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
  thresholds:
    description: From where on something is V(degraded).
    type: dict
    suboptions:
      ca_days:
        description: Fewer days than these until the CA expires.
        type: int
        default: 30
      certificate_days:
        description:
          - Fewer days than these until this manager's certificate expires.
          - The engine renews it itself, so it counts only where four fifths of its time are over as well.
        type: int
        default: 7
      clock_skew:
        description: More seconds than these between a host's clock and most others'.
        type: float
        default: 5.0
      disk_free_percent:
        description: Less of the disk than this is free where an engine keeps its data.
        type: int
        default: 10
      network_percent:
        description: So much of a network's addresses are taken.
        type: int
        default: 80
      pending_seconds:
        description: A task has been waiting for a node for longer than this. One that the scheduler has refused counts at
          once.
        type: int
        default: 30
      restarts:
        description:
          - So many tasks of one replica have failed within O(thresholds.restart_window).
          - This is V(failed), and not only V(degraded), until the replica has run for three times as long as it did
            between its failures, and for 30 seconds.
          - The engine remembers five tasks of each replica, unless its task history says otherwise.
        type: int
        default: 3
      restart_window:
        description: Seconds.
        type: int
        default: 600
  observed:
    description:
      - What M(flotilla.swarm.swarm_host_info) returned on each host, by name. Clocks, disks and kernels of other hosts
        are known from there alone.
    type: dict
    default: {}
  unreachable:
    description: Hosts that the caller could not reach, to be named in the verdict.
    type: list
    elements: str
    default: []
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

import os
from dataclasses import fields
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._client import client_for_reading
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health import (
    CHECKS,
    Around,
    Thresholds,
    finish,
    judged,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._host import observe_host
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import Picture, look
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import poll


def own_certificate(root: str | None) -> str:
    try:
        with open(
            os.path.join(root or "/var/lib/docker", "swarm", "certificates", "swarm-node.crt"),
            encoding="ascii",
        ) as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def around(params: dict[str, Any], picture: Picture) -> Around:
    """What the caller knows of other hosts, and what this host is now."""
    if not params["docker_host"].startswith("unix://"):
        return Around(params["observed"], "", params["unreachable"])
    host = observe_host()
    others = {
        name: seen
        for name, seen in params["observed"].items()
        if ((seen or {}).get("host") or {}).get("hostname") != host["hostname"]
    }
    mine = next((name for name in params["observed"] if name not in others), host["hostname"])
    clock = (params["observed"].get(mine) or {}).get("clock")
    return Around(
        {**others, mine: {"host": host, "clock": clock}},
        own_certificate(picture.root),
        params["unreachable"],
    )


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            accept=dict(
                type="list",
                elements="str",
                choices=["healthy", "degraded", "unknown", "failed"],
                default=["healthy", "degraded"],
            ),
            wait_timeout=dict(type="int", default=0),
            wait_sleep=dict(type="int", default=2),
            checks=dict(type="list", elements="str", choices=list(CHECKS)),
            thresholds=dict(
                type="dict",
                apply_defaults=True,
                options={
                    each.name: dict(
                        type="float" if isinstance(each.default, float) else "int",
                        default=each.default,
                    )
                    for each in fields(Thresholds)
                },
            ),
            observed=dict(type="dict", default={}),
            unreachable=dict(type="list", elements="str", default=[]),
            format=dict(type="str", choices=["brief", "table", "json", "none"], default="brief"),
        ),
        limits=dict(accept=1, checks=1, wait_sleep=1),
        supports_check_mode=True,
    )
    params = module.params
    limits = Thresholds(**params["thresholds"])
    attempts = 0

    def judge() -> dict[str, Any]:
        nonlocal attempts
        attempts += 1
        try:
            picture = look(client_for_reading(params))
        except SwarmError as error:
            picture = Picture(trouble=error)
        return judged(picture, around(params, picture), limits, params["checks"] or ())

    seen, _accepted = poll(
        judge,
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
