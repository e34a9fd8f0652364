#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_repair
short_description: Find wrong entries and names in overlay networks, and plan their repair
description:
  - Compares what the nodes know of each other with what they are. The addresses of containers on a node must lead to that node from all
    others, and the resolvers for containers must know all tasks that run.
  - Plans the smallest step for each fault. It is an entry of a kernel, then the tasks with the address or the name, then the engine of the
    node after a drain.
  - Changes nothing. The playbook C(flotilla.swarm.repair_network) takes the steps, reads again, and probes the network.
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
    support: none
  idempotent:
    support: full
options:
  nodes:
    description:
      - What M(flotilla.swarm.swarm_repair_node) has returned on each node.
      - Without it, the module only returns RV(names).
    type: list
    elements: dict
    default: []
  confirm:
    description:
      - RV(faults) of an earlier call. Only what is wrong in both is planned, because an address that changes at the moment is no fault.
      - Without it, faults are returned, and nothing is planned.
    type: list
    elements: dict
  up_to:
    description:
      - The largest step that is planned. V(entries) writes entries of kernels, and removes interfaces that an engine has left.
      - V(tasks) also restarts services, one by one.
      - V(engines) also restarts engines, each after a drain.
    type: str
    choices: [entries, tasks, engines]
    default: entries
  tried:
    description: The steps that have been taken already, and have not helped.
    type: list
    elements: str
    choices: [entries, tasks, engines]
    default: []
seealso:
  - module: flotilla.swarm.swarm_repair_node
  - module: flotilla.swarm.swarm_probe
  - module: flotilla.swarm.swarm_restart
"""

EXAMPLES = r"""
- name: Ask a manager which names there are
  flotilla.swarm.swarm_repair:
  register: known
  run_once: true
  delegate_to: m1

- name: Read what every node knows of overlay networks
  flotilla.swarm.swarm_repair_node:
    names: "{{ known.names }}"
  register: read

- name: Find what is wrong
  flotilla.swarm.swarm_repair:
    nodes: "{{ ansible_play_hosts | map('extract', hostvars, 'read') }}"
  run_once: true
  delegate_to: m1
  register: found
"""

RETURN = r"""
names:
  description: The services of each network, by the ID of the network.
  type: dict
  returned: always
  sample: {p9b6gi0y2n7m: [shop_db, shop_web]}
faults:
  description: What is wrong.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description: V(entry) of a kernel, V(name) of a service, V(resolver), V(interface), or V(unfinished).
      type: str
    node:
      description: The ID of the node where it is wrong.
      type: str
    network:
      description: The ID of the network.
      type: str
    what:
      description: The address, the service or the interface.
      type: str
    found:
      description: What is wrong with it.
      type: str
    owner:
      description: The ID of the node that has the address, or on which all tasks run that a name lacks.
      type: str
    service:
      description: The service of the address or the name.
      type: str
    words:
      description: All this in a sentence.
      type: str
  sample:
    - kind: entry
      node: 4wyc7i0q9iegkhgbnx6ydrzjv
      network: p9b6gi0y2n7m
      what: 10.0.1.5
      found: leads to m3
      owner: d8szursn6py1g41mg0agx9zd8
      service: shop_web
      words: shop_default 10.0.1.5 of m2 leads to m3 on w1
plan:
  description: The plan as lines of text. Empty as long as faults are not confirmed.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  repair the network, acting on m1
    - "  ~ entry      w1  shop_default 10.0.1.5 of m2 leads to m3 -> 192.0.2.12"
hosts:
  description: The options O(flotilla.swarm.swarm_repair_node#module:entries) and O(flotilla.swarm.swarm_repair_node#module:interfaces), by node ID.
  type: dict
  returned: always
  sample: {}
services:
  description: The services to restart.
  type: list
  elements: str
  returned: always
  sample: [shop_web]
engines:
  description: The nodes whose engines are to be restarted after a drain, as IDs with names.
  type: dict
  returned: always
  sample: {}
networks:
  description: The names of the networks in which something is wrong.
  type: list
  elements: str
  returned: always
  sample: [shop_default]
needs:
  description: The value of O(up_to) that would allow what is not planned. Empty if everything is.
  type: str
  returned: always
  sample: ""
summary:
  description: What is wrong, in a sentence. Empty if nothing is.
  type: str
  returned: always
  sample: shop_default 10.0.1.5 of m2 leads to m3 on w1
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), or one of the engine.
  type: dict
  returned: failure
  sample: {code: not_manager, details: {}}
"""

from typing import Any

from ..module_utils._api.client import client_for_reading
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._repair.carry_out import carry_out, empty_result
from ..module_utils._repair.plan import LEVELS


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            nodes=dict(type="list", elements="dict", default=[]),
            confirm=dict(type="list", elements="dict"),
            up_to=dict(type="str", choices=list(LEVELS), default=LEVELS[0]),
            tried=dict(type="list", elements="str", choices=list(LEVELS), default=[]),
        ),
        supports_check_mode=True,
    )
    # They can be megabytes, which nobody wants to see among the arguments of the module.
    large = {name: module.params.pop(name) for name in ("nodes", "confirm")}
    result: dict[str, Any] = empty_result()
    try:
        carry_out(client_for_reading(module.params), {**module.params, **large}, result)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
