#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_references
short_description: List the images and volumes that a swarm refers to
description:
  - Lists the images and volumes in the specs of all services, in their previous specs, to which C(docker service rollback)
    returns, in the revisions of all stacks, to which M(flotilla.swarm.swarm_stack) returns, and in the specs of tasks that have
    not ended.
  - Lists the tasks of each node, and the tasks on nodes that are down, whose containers may run there unseen.
  - M(flotilla.swarm.swarm_clean_up) keeps what this module lists.
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
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
notes:
  - The module must run on a manager of the swarm.
"""

EXAMPLES = r"""
- name: List what the swarm refers to
  flotilla.swarm.swarm_references:
  register: references
  delegate_to: m1
  run_once: true
"""

RETURN = r"""
images:
  description: The images, as the specs name them.
  type: list
  elements: str
  returned: always
  sample: ["registry.example.com/shop:2@sha256:a5233f8ef25979f834a6f2265b94fbbb17d8657e7f9366e12a59137cfbd597be"]
volumes:
  description: The names of volumes, as the specs have them, some with templates.
  type: list
  elements: str
  returned: always
  sample: [shop_data]
tasks:
  description: The IDs of tasks, by the ID of their node.
  type: dict
  returned: always
  sample: {4wyc7i0q9iegkhgbnx6ydrzjv: [ja1s5tywm81064bvm7y1qsjs6]}
orphans:
  description: The tasks on nodes that are down or gone, with C(node) and C(task).
  type: list
  elements: dict
  returned: always
  sample: [{node: w2, task: shop_web.1}]
specs:
  description: How many specs were read.
  type: int
  returned: always
  sample: 12
nodes:
  description: The IDs of the nodes of the swarm.
  type: list
  elements: str
  returned: always
  sample: [4wyc7i0q9iegkhgbnx6ydrzjv]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(not_manager), V(no_quorum), V(unreadable_revision), V(engine_unreachable), or another one for an error of the
      engine.
  type: dict
  returned: failure
  sample: {code: no_quorum, details: {}}
"""

from ..module_utils._api.client import client_for_reading
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.clean_up import read_references


def main() -> None:
    module = Module(argument_spec=docker_argument_spec(), supports_check_mode=True)
    nothing = dict(images=[], volumes=[], tasks={}, orphans=[], specs=0, nodes=[])
    try:
        found, nodes = read_references(client_for_reading(module.params))
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), changed=False, **nothing)
    module.exit_json(changed=False, **found.as_dict(), nodes=nodes)


if __name__ == "__main__":
    main()
