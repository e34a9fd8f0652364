#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_repair_node
short_description: Read and write what the kernel of a node knows of overlay networks
description:
  - Reads, on one node, the entries of the kernel for the addresses of overlay networks, the addresses that its own containers have, what
    its resolver for containers says, and the interfaces that an engine has left behind.
  - With O(state=repaired), it writes entries and removes interfaces.
  - The playbook C(flotilla.swarm.repair_network) calls this module on all nodes, and M(flotilla.swarm.swarm_repair) on one manager.
extends_documentation_fragment:
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
  state:
    description:
      - V(read) changes nothing.
      - V(repaired) writes O(entries) and removes O(interfaces), if they still are as they were read.
    type: str
    choices: [read, repaired]
    default: read
  names:
    description: The services to ask the resolver for, by the ID of the network, as RV(flotilla.swarm.swarm_repair#module:names) has them.
    type: dict
    default: {}
  entries:
    description: The entries to write, as RV(flotilla.swarm.swarm_repair#module:hosts) has them.
    type: list
    elements: dict
    default: []
    suboptions:
      network:
        description: The ID of the network.
        type: str
        required: true
      address:
        description: The IPv4 address in the network.
        type: str
        required: true
      mac:
        description: The MAC address that it has.
        type: str
        required: true
      host:
        description: The IPv4 address of the host where it is.
        type: str
        required: true
      found_mac:
        description: The MAC address that was read. Empty if there was no entry.
        type: str
        default: ""
      found_host:
        description: The address of the host that was read. Empty if there was no entry.
        type: str
        default: ""
  interfaces:
    description: The interfaces to remove.
    type: list
    elements: str
    default: []
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
notes:
  - The engine does not know of an entry that was written, and it removes it when the container has gone.
seealso:
  - module: flotilla.swarm.swarm_repair
"""

EXAMPLES = r"""
- name: Read what every node knows of overlay networks
  flotilla.swarm.swarm_repair_node:
  register: read
"""

RETURN = r"""
node_id:
  description: The ID of the node of the host. Empty if it is in no swarm, or if O(state=repaired).
  type: str
  returned: always
  sample: 4wyc7i0q9iegkhgbnx6ydrzjv
networks:
  description: What was read, by the ID of the network, for the networks that the node is in.
  type: dict
  returned: always
  contains:
    own:
      description: The addresses of its own containers and load balancers, with their MAC addresses.
      type: dict
    entries:
      description: The addresses of others, each with its MAC address and the address of its host. V(null) if they cannot be read.
      type: dict
    names:
      description: By service, C(code) (V(ok), V(nxdomain), V(timeout), or an error) and C(addresses). V(null) if no container can be asked.
      type: dict
  sample:
    p9b6gi0y2n7m:
      own: {10.0.1.3: "02:42:0a:00:01:03"}
      entries: {10.0.1.5: ["02:42:0a:00:01:05", 192.0.2.12]}
      names: {shop_web: {code: ok, addresses: [10.0.1.3, 10.0.1.5]}}
leftovers:
  description: The interfaces of overlay networks that an engine has left in the namespace of the host.
  type: list
  elements: str
  returned: always
  sample: []
unfinished:
  description: Whether an interrupted run has left the node drained.
  type: bool
  returned: always
  sample: false
skipped:
  description: What was not written because it has changed since it was read.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(not_repaired), V(os_error), or one of the engine.
  type: dict
  returned: failure
  sample: {code: not_repaired, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._repair.node import checked, read_node, write_entries


def main() -> None:
    text = dict(type="str", required=True)
    module = Module(
        argument_spec=dict(
            state=dict(type="str", choices=["read", "repaired"], default="read"),
            names=dict(type="dict", default={}),
            entries=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    network=text,
                    address=text,
                    mac=text,
                    host=text,
                    found_mac=dict(type="str", default=""),
                    found_host=dict(type="str", default=""),
                ),
            ),
            interfaces=dict(type="list", elements="str", default=[]),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        supports_check_mode=True,
    )
    params = module.params
    result: dict[str, Any] = dict(
        changed=False, node_id="", networks={}, leftovers=[], unfinished=False, skipped=[]
    )
    try:
        if params["state"] == "read":
            read_node(params["docker_host"], checked(params["names"]), result)
        else:
            write_entries(params["entries"], params["interfaces"], module.check_mode, result)
    except (SwarmError, OSError) as error:
        failure = failure_of("repair the networks of this host", error)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
