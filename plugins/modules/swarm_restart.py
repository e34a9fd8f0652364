#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restart
short_description: Restart services one after the other, each verified before the next
description:
  - Replaces all tasks of services, without any other change. The engine does it by each service's own update settings,
    such as the number of tasks at a time and whether new ones start first.
  - One service is restarted after the other. The next one follows when all tasks of the one before are new and run,
    so that what does not come up again stops the rest.
  - The controller shows how far it is while it runs.
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._rollout
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: none
    details: Each run restarts the services.
options:
  services:
    description: The names of the services, in the order in which they are restarted. One without tasks is left alone.
    type: list
    elements: str
    required: true
  canary:
    description: One of O(services) that goes before all others. If it does not run, none of them is restarted.
    type: str
  pause:
    description: How many seconds to wait between two services, once what was changed runs as asked.
    type: int
    default: 0
  wait_timeout:
    description: How many seconds to wait for one step.
    type: int
    default: 300
  settle:
    description:
      - For how many seconds new tasks must have been running to count. A container that crashes at once is
        running for a moment too.
    type: int
    default: 5
notes:
  - It must run on a manager of the swarm.
  - What a new task does that does not run is decided by the service's C(update_config), for example to roll back.
    Either is a failure here.
seealso:
  - module: flotilla.swarm.swarm_scale
  - module: flotilla.swarm.swarm_rollback
"""

EXAMPLES = r"""
- name: Restart two services, the less important one first
  flotilla.swarm.swarm_restart:
    services: [shop_web, shop_mail]
    canary: shop_mail
    pause: 30
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  restart, acting on m1
    - "  ~ restart  hello_web  3 tasks, 1 at a time, start-first"
steps:
  description: The plan as data, one entry for each write. A step is what is written together and then waited for.
  type: list
  elements: dict
  returned: always
  contains:
    step:
      description: The number of the step, from 1 on.
      type: int
      sample: 1
    service:
      description: The name of the service.
      type: str
      sample: hello_web
    before:
      description: The engine's counter of the restarts that were asked for.
      type: int
      sample: 0
    after:
      description: The same after the step.
      type: int
      sample: 1
done:
  description: The entries of RV(steps) that have been carried out and after which the service ran as asked.
  type: list
  elements: dict
  returned: always
reverted:
  description: Always empty. A restart has nothing to go back to.
  type: list
  elements: str
  returned: always
  sample: []
services:
  description: Each service that was named and how it stands; on failure, how it stood then.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the service.
      type: str
      sample: hello_web
    mode:
      description: V(replicated) or V(global).
      type: str
      sample: replicated
    desired:
      description: How many tasks there should be.
      type: int
      sample: 10
    running:
      description: How many tasks of the spec that the service has run on nodes that are ready.
      type: int
      sample: 10
    state:
      description: V(converged), V(waiting) or V(failed).
      type: str
      sample: converged
    cause:
      description: Why the service is not as asked, as a code such as V(image), V(constraint) or V(crash).
      type: str
      sample: image
    reason:
      description: The same in the engine's words.
      type: str
      sample: "rejected: No such image: registry.example.com/hello:3"
    node:
      description: The node of the task that the reason is about.
      type: str
      sample: w1
failure:
  description:
    - The cause of a failure as C(code), with C(details).
    - The codes of a refusal are V(unknown_service), V(job), V(bad_canary), V(update_paused) and V(updating), or
      V(refused) for several of them; V(raced) is somebody else who restarts the same service, and V(not_converged) a
      service that does not come up again.
  type: dict
  returned: failure
  sample:
    code: not_converged
    details: {}
"""

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import carry_out
from ansible_collections.flotilla.swarm.plugins.module_utils._service_restart import Restart


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="list", elements="str", required=True),
            canary=dict(type="str"),
            pause=dict(type="int", default=0),
            wait_timeout=dict(type="int", default=300),
            settle=dict(type="int", default=5),
            _rollout=dict(type="dict", no_log=True),
        ),
        limits=dict(wait_timeout=1),
        supports_check_mode=True,
    )
    carry_out(module, Restart)


if __name__ == "__main__":
    main()
