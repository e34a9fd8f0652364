#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restart
short_description: Restart services one by one
description:
  - Replaces all tasks of services, without any other change. The engine follows the update settings of each service, such as
    the number of tasks at a time and whether new tasks start first.
  - The module restarts one service after the other. It waits until all tasks of a service are new and run before it
    restarts the next one. If a service does not converge, the module stops.
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
    description: The names of the services, in the order in which they are restarted. A service without tasks is skipped.
    type: list
    elements: str
    required: true
  canary:
    description: The one of O(services) to restart first. If it does not converge, no other service is restarted.
    type: str
notes:
  - If new tasks do not run, the C(update_config) of the service decides whether the engine pauses the update or rolls it back.
    The module fails in both cases.
seealso:
  - module: flotilla.swarm.swarm_scale
  - module: flotilla.swarm.swarm_rollback
"""

EXAMPLES = r"""
- name: Restart two services, the less important one first, with 30 seconds between them
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
  description:
    - The plan as data, in order.
    - One entry for each write. Entries with the same number are written together, and the module then waits for them together.
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
      description: The engine's counter of forced updates (C(ForceUpdate)) before the step.
      type: int
      sample: 0
    after:
      description: The counter after the step.
      type: int
      sample: 1
done:
  description: The entries of RV(steps) that were applied and whose services have converged.
  type: list
  elements: dict
  returned: always
reverted:
  description:
    - The services whose change was undone after a failure.
    - Always empty, because a restart cannot be undone.
  type: list
  elements: str
  returned: always
  sample: []
services:
  description: The services as they are after the call. After a failure, as they were when it happened.
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
      description: How many tasks the service should have.
      type: int
      sample: 10
    running:
      description: How many tasks of the current spec run on nodes that are ready.
      type: int
      sample: 10
    state:
      description: V(converged), V(waiting) or V(failed).
      type: str
      sample: converged
    cause:
      description: Why the service has not converged, as a code such as V(image), V(constraint) or V(crash).
      type: str
      sample: image
    reason:
      description: The reason in the engine's words.
      type: str
      sample: "rejected: No such image: registry.example.com/hello:3"
    node:
      description: The node of the task that the reason is about.
      type: str
      sample: w1
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - A refusal has the code V(unknown_service), V(job), V(bad_canary), V(update_paused) or V(updating), or V(refused) if
      there are several.
    - V(out_of_sequence) means that something else restarts the same service, V(not_converged) that a service has not converged.
  type: dict
  returned: failure
  sample:
    code: not_converged
    details: {}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._services.restart import ServiceRestart
from ..module_utils._services.rollout import ROLLOUT_OPTIONS, carry_out


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="list", elements="str", required=True),
            canary=dict(type="str"),
            **ROLLOUT_OPTIONS,
        ),
        limits=dict(wait_timeout=1),
        private=("_rollout",),
        supports_check_mode=True,
    )
    carry_out(module, ServiceRestart)


if __name__ == "__main__":
    main()
