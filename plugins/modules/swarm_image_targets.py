#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_image_targets
short_description: Find the nodes of a swarm that can run images
description:
  - Returns for each image the nodes that are ready, active, of its platform, and selected. For the image of a service, they are the
    nodes on which the service could run.
  - Asks the registry of a named image for its digest once, so that all nodes can get the same image.
  - Runs on a manager. The playbooks C(flotilla.swarm.ship_images) and C(flotilla.swarm.pull_images) call it.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: It reads as in a real run and changes nothing.
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  described:
    description: Images that are in no registry, as M(flotilla.swarm.swarm_ship_source) returns them.
    type: list
    elements: dict
    default: []
  images:
    description: Images of registries.
    type: list
    elements: str
    default: []
  services:
    description: Services, for the images of their specs.
    type: list
    elements: str
    default: []
  stacks:
    description: Stacks, for the images of their services.
    type: list
    elements: str
    default: []
  nodes:
    description: The nodes to select, by their names. If empty, all.
    type: list
    elements: str
    default: []
  constraints:
    description: Placement constraints that the nodes must meet, for example V(node.labels.tier == web).
    type: list
    elements: str
    default: []
  registries:
    description: Logins of registries, see O(flotilla.swarm.swarm_stack#module:registries).
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The registry, as in front of the name of an image. For Docker Hub, V(https://index.docker.io/v1/).
        type: str
        required: true
      username:
        description: The name of the user.
        type: str
        required: true
      password:
        description: The password or a token.
        type: str
        required: true
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Find the nodes that could run a service
  flotilla.swarm.swarm_image_targets:
    services: [shop_web]
"""

RETURN = r"""
targets:
  description: The IDs of the nodes, by the name of the image.
  type: dict
  returned: always
  sample: {"registry.example.com:5000/shop:2": [4wyc7i0q9iegkhgbnx6ydrzjv]}
digests:
  description: The digests of O(images), and of the images of services, by the name of the image.
  type: dict
  returned: always
nodes:
  description: The names of all nodes of the swarm, by ID.
  type: dict
  returned: always
left_out:
  description: Why the other nodes get no image, by their names.
  type: dict
  returned: always
  sample: {w3: its availability is drain}
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(not_found), or one of the engine.
  type: dict
  returned: failure
  sample: {code: not_found, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._images.choose import choose
from ..module_utils._stack.options import STACK_OPTIONS


def main() -> None:
    names = dict(type="list", elements="str", default=[])
    module = Module(
        argument_spec=dict(
            described=dict(type="list", elements="dict", default=[]),
            images=names,
            services=names,
            stacks=names,
            nodes=names,
            constraints=names,
            registries={**STACK_OPTIONS["registries"], "default": []},
            docker_host=docker_argument_spec()["docker_host"],
        ),
        supports_check_mode=True,
    )
    registries = module.take_out("registries")["registries"]
    params = module.params
    result: dict[str, Any] = dict(changed=False, targets={}, digests={}, nodes={}, left_out={})
    try:
        chosen = choose(
            params["docker_host"],
            params["described"],
            params["images"],
            params["services"],
            params["stacks"],
            params["nodes"],
            params["constraints"],
            registries,
        )
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    result.update(
        targets={name: list(ids) for name, ids in chosen.targets.nodes.items()},
        digests=dict(chosen.digests),
        nodes=dict(chosen.names),
        left_out=dict(chosen.targets.left_out),
    )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
