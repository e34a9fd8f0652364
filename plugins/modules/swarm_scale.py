#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_scale
short_description: Scale services in steps that must converge
description:
  - Changes the number of replicas of services, all at once or in steps. After each step, the module waits until the services
    converge. It stops if they do not.
  - It works on services of any origin. It changes nothing but the number of replicas, and restarts no task.
  - Before the first step, the module checks that the new tasks have room, by the reservations, constraints, platforms,
    C(max_replicas_per_node) and host ports of the service. If they do not, nothing is changed. The check does not count the
    room that other services free in the same call.
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
    support: partial
    details: With absolute numbers, a second run changes nothing. A relative number such as V(+2) applies again in each run.
options:
  services:
    description:
      - The desired number of replicas of each service, by the name of the service.
      - V(10) sets the number. V(+2) and V(-2) add to the current number. V(150%) is a percentage of the current number,
        rounded up.
      - A number with a sign must be quoted, because YAML reads C(+2) as 2.
    type: dict
    required: true
  batch_size:
    description: By how many replicas one step changes a service. If not set, one step changes all of them.
    type: int
  order:
    description:
      - V(sequential) scales one service after the other, in the order of O(services).
      - V(parallel) scales all services together. Each step changes every service.
    type: str
    choices: [sequential, parallel]
    default: sequential
  expected_replicas:
    description:
      - The number of replicas that the services must have now, as a dictionary by service or as one number for all services.
      - If a service has another number, nothing is changed, so that the module does not compete with an operator or an
        autoscaler. A service that already has the desired number passes.
      - If not set, the module plans the remaining steps again when something else changes the number during the run.
    type: raw
  on_failure:
    description:
      - What to do if a step does not converge.
      - V(stop) leaves the services as they are.
      - V(rollback) restores the number that each service had before the run.
    type: str
    choices: [stop, rollback]
    default: stop
notes:
  - The engine keeps one previous spec of a service. After scaling, M(flotilla.swarm.swarm_rollback) and
    C(docker service rollback) restore the number of replicas before the last step.
seealso:
  - module: flotilla.swarm.swarm_restart
  - module: flotilla.swarm.swarm_rollback
"""

EXAMPLES = r"""
- name: Scale a service to ten, two at a time
  flotilla.swarm.swarm_scale:
    services:
      shop_web: 10
    batch_size: 2

- name: Add two replicas to one service and halve another, unless something else has scaled them
  flotilla.swarm.swarm_scale:
    services:
      shop_web: "+2"
      shop_mail: "50%"
    expected_replicas:
      shop_web: 4
      shop_mail: 2
    order: parallel

- name: Scale a service, and restore its number of replicas if it does not converge within a minute
  flotilla.swarm.swarm_scale:
    services:
      shop_web: 10
    wait_timeout: 60
    on_failure: rollback
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  scale, acting on m1
    - "  ~ scale  hello_web  2 -> 10 in 4 steps of 2"
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
      description: The number of replicas before the step.
      type: int
      sample: 2
    after:
      description: The number of replicas after the step.
      type: int
      sample: 4
done:
  description: The entries of RV(steps) that were applied and whose services have converged.
  type: list
  elements: dict
  returned: always
reverted:
  description:
    - The services whose change was undone after a failure.
    - They have the number of replicas from before the run.
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
    - A refusal has the code V(unknown_service), V(global_service), V(job), V(bad_replicas), V(bad_expected),
      V(out_of_sequence), V(update_paused), V(updating) or V(no_room), or V(refused) if there are several.
    - V(not_converged) means that a step has not converged.
  type: dict
  returned: failure
  sample:
    code: no_room
    details: {}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._services.rollout import ROLLOUT_OPTIONS, carry_out
from ..module_utils._services.scale import Scale


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="dict", required=True),
            batch_size=dict(type="int"),
            order=dict(type="str", choices=["sequential", "parallel"], default="sequential"),
            expected_replicas=dict(type="raw"),
            on_failure=dict(type="str", choices=["stop", "rollback"], default="stop"),
            **ROLLOUT_OPTIONS,
        ),
        limits=dict(wait_timeout=1, batch_size=1),
        private=("_rollout",),
        supports_check_mode=True,
    )
    carry_out(module, Scale)


if __name__ == "__main__":
    main()
