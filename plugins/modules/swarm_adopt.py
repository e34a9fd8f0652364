#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_adopt
short_description: Write an inventory of a swarm that runs
description:
  - Writes the inventory of a swarm that something else has built, and a Compose file for each stack and for each service outside
    stacks. With this inventory, the playbook C(flotilla.swarm.site) plans nothing.
  - Reads the swarm through one of its managers, and changes nothing there. Writes the files on the controller, all together or
    none.
  - For each Compose file, asks Docker's own CLI what a deploy would change. The inventory lists only the stacks for which the plan
    is empty. RV(remarks) has the differences of the others, and everything else that the inventory cannot tell.
  - The files have no secrets of the swarm. The data of secrets cannot be read, and the module does not return join tokens. The
    Compose files have the environment of the services, and configs of stacks have their data. Only the user who runs the module
    can read the files.
  - The result has the names of the files, and not their content.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: Lists the files that it would write.
  diff_mode:
    support: none
    details: The files can have credentials.
  idempotent:
    support: full
options:
  docker_host:
    description:
      - The unix socket of the engine.
      - If not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  timeout:
    description: Seconds to wait for each answer of the engine.
    type: int
    default: 60
  to:
    description:
      - The folder on the controller to write. It is created.
      - A folder that is not empty is refused, unless an earlier adoption of the same swarm has written it and nobody has changed it
        since.
    type: path
    required: true
  observed:
    description:
      - The result of M(flotilla.swarm.swarm_host_info) on each host of the swarm that can be reached, by the name of the host. It has
        the packages and addresses that no manager knows.
    type: dict
    default: {}
requirements:
  - the docker command on the manager
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe the manager
  flotilla.swarm.swarm_host_info:
  register: host

- name: Write an inventory of its swarm
  flotilla.swarm.swarm_adopt:
    to: inventories/production
    observed: "{{ {inventory_hostname: host} }}"
"""

RETURN = r"""
to:
  description: The folder, as an absolute path.
  type: str
  returned: always
  sample: /home/deploy/inventories/production
cluster_id:
  description: The ID of the swarm.
  type: str
  returned: always
  sample: xgzjp5xkbcurllksbkxqwcpb1
files:
  description: The files of the folder, by their relative paths.
  type: list
  elements: str
  returned: always
  sample: [.adopted.json, NOTES.md, hosts.yml, stacks/shop.yml]
stacks:
  description: The stacks that the inventory lists.
  type: list
  elements: str
  returned: always
  sample: [shop]
not_managed:
  description: The stacks and services that have a Compose file and that the inventory does not list.
  type: list
  elements: str
  returned: always
  sample: [registry]
hosts:
  description: The name of each host in the inventory, by its node ID.
  type: dict
  returned: always
  sample: {4wyc7i0q9iegkhgbnx6ydrzjv: w1}
remarks:
  description: What the inventory and the Compose files cannot tell, and what to do, a sentence each. C(NOTES.md) has them too.
  type: list
  elements: str
  returned: always
  sample:
    - "the file daemon.json of m1 stays as it is: docker_engine_daemon is not set, and docker_engine_log_rotation is false"
plan:
  description: The plan as lines of text, as it is printed.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  adopt swarm xgzjp5, read on m1, into /home/deploy/inventories/production
    - "  + hosts.yml        3 managers, 2 workers"
    - "  + stacks/shop.yml  2 services"
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The most frequent codes are V(not_empty), V(adopting), V(not_manager), V(locked), V(no_quorum) and V(no_cli).
  type: dict
  returned: failure
  sample:
    code: not_empty
    details: {files: [hosts.yml]}
"""

from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.adopt_options import ADOPT_LIMITS, ADOPT_OPTIONS, nothing_done
from ..module_utils._lifecycle.adopt_read import read_swarm


def main() -> None:
    module = Module(argument_spec=ADOPT_OPTIONS, limits=ADOPT_LIMITS, supports_check_mode=True)
    try:
        # The action plugin turns `swarm` into files and takes it out of the result.
        module.exit_json(changed=False, swarm=read_swarm(module.params))
    except SwarmError as error:
        module.fail_json(msg=error.message, **nothing_done(), failure=error.as_failure())


if __name__ == "__main__":
    main()
