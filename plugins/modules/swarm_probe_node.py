#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_probe_node
short_description: Prepare a node for a probe of the network
description:
  - Makes the image of the probers on a node, reads what the kernel of the node knows of overlay networks, and removes the image again.
  - The image only links to C(/usr) of the node, which the probers mount. It has no code, and needs no registry.
  - The playbook C(flotilla.swarm.probe_network) calls this module on all nodes, and M(flotilla.swarm.swarm_probe) on one manager.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The result has everything.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) makes the image.
      - V(read) reads the forwarding entries of O(networks), and changes nothing.
      - V(absent) removes the image, after the containers of the probe have gone.
    type: str
    choices: [present, read, absent]
    default: present
  networks:
    description: The IDs of the networks whose entries are read.
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
seealso:
  - module: flotilla.swarm.swarm_probe
"""

EXAMPLES = r"""
- name: Prepare every node for a probe
  flotilla.swarm.swarm_probe_node:
  register: prepared

- name: Remove the image again
  flotilla.swarm.swarm_probe_node:
    state: absent
"""

RETURN = r"""
node_id:
  description: The ID of the node of the host. Empty if it is in no swarm.
  type: str
  returned: always
  sample: 4wyc7i0q9iegkhgbnx6ydrzjv
reason:
  description: Why no prober can run on this host. Empty if it can.
  type: str
  returned: always
  sample: ""
features:
  description: Which features that overlay networks need the kernel has. V(null) where that cannot be told.
  type: dict
  returned: always
  sample: {ip_vs: true, esp: true, vxlan: true}
routes:
  description: The networks to which the host has routes.
  type: list
  elements: str
  returned: always
  sample: [192.0.2.0/24]
interface:
  description: The interface that has the address of the node, with its C(name), C(mtu), C(driver) and C(checksum_offload).
  type: dict
  returned: always
  sample: {name: eth0, mtu: 1500, driver: virtio_net, checksum_offload: true}
entries:
  description:
    - By the ID of a network, the addresses that the kernel knows in it, each with the address of the host that it sends packets to.
    - A network that the node is not in, or whose entries cannot be read, is left out.
  type: dict
  returned: always
  sample: {p9b6gi0y2n7m: {10.0.1.5: 192.0.2.12}}
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(load_failed), V(not_removed), or one of the engine.
  type: dict
  returned: failure
  sample: {code: not_removed, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._probe.node import prepare


def main() -> None:
    module = Module(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "read", "absent"], default="present"),
            networks=dict(type="list", elements="str", default=[]),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        supports_check_mode=True,
    )
    params = module.params
    result: dict[str, Any] = dict(
        changed=False, node_id="", reason="", features={}, routes=[], interface={}, entries={}
    )
    try:
        prepare(
            params["docker_host"], params["state"], params["networks"], module.check_mode, result
        )
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
