#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_scale
short_description: Scale services in steps, each of which has to run
description:
  - Changes the number of replicas of services, all at once or in steps. After each step it waits until the tasks run
    as asked, and stops where they do not.
  - Works on services of any origin, and changes nothing but the number. No task is restarted by it.
  - Before the first step it is seen that the new tasks have room, by the reservations, constraints, platforms,
    C(max_replicas_per_node) and host ports of the service. If not, nothing is changed. Room that other services give
    up in the same call is not counted.
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
    support: partial
    details: A relative number such as V(+2) is another one each time. With absolute numbers a second run changes nothing.
options:
  services:
    description:
      - The services by name, and how many replicas each shall have.
      - A number like V(10) is the number itself. V(+2) and V(-2) add to the number that there is; they must be
        quoted, since YAML reads C(+2) as 2. V(150%) is that part of the number that there is, rounded up.
    type: dict
    required: true
  batch_size:
    description: By how many replicas a step changes a service. By default all of them at once.
    type: int
  order:
    description:
      - V(sequential) scales one service after the other, in the order in which they are listed.
      - V(parallel) scales them together, a step of each at a time.
    type: str
    choices: [sequential, parallel]
    default: sequential
  expected_replicas:
    description:
      - How many replicas the services must have now, as a dictionary by service, or one number for all. Otherwise
        nothing is changed, so that an operator or an autoscaler is not raced.
      - A service that already has the number that is asked for is right in any case.
      - Without it, the rest is planned anew when somebody else changes the number during the run.
    type: raw
  on_failure:
    description:
      - What to do when a step does not run as asked.
      - V(stop) leaves everything as it is then.
      - V(rollback) gives every service that this run has changed the number that it had before the run.
    type: str
    choices: [stop, rollback]
    default: stop
  pause:
    description: How many seconds to wait between two steps, once what was changed runs as asked.
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
  - The engine keeps one previous spec of a service. After a scaling, M(flotilla.swarm.swarm_rollback) and
    C(docker service rollback) go back to the number of replicas of before the last step.
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

- name: Two more of one and half of another, if nobody else has scaled them
  flotilla.swarm.swarm_scale:
    services:
      shop_web: "+2"
      shop_mail: "50%"
    expected_replicas:
      shop_web: 4
    order: parallel

- name: Scale, and go back if the new tasks do not run within a minute
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
      description: How many replicas it has before the step.
      type: int
      sample: 2
    after:
      description: The same after the step.
      type: int
      sample: 4
done:
  description: The entries of RV(steps) that have been carried out and after which the service ran as asked.
  type: list
  elements: dict
  returned: always
reverted:
  description: The services that went back to the number before the run, after a failure.
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
    - The codes of a refusal are V(unknown_service), V(global_service), V(job), V(bad_replicas), V(bad_expected),
      V(raced), V(update_paused), V(updating) and V(no_room), or V(refused) for several of them; V(not_converged) is a
      step that does not run.
  type: dict
  returned: failure
  sample:
    code: no_room
    details: {}
"""

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import carry_out
from ansible_collections.flotilla.swarm.plugins.module_utils._scale import Scale


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="dict", required=True),
            batch_size=dict(type="int"),
            order=dict(type="str", choices=["sequential", "parallel"], default="sequential"),
            expected_replicas=dict(type="raw"),
            on_failure=dict(type="str", choices=["stop", "rollback"], default="stop"),
            pause=dict(type="int", default=0),
            wait_timeout=dict(type="int", default=300),
            settle=dict(type="int", default=5),
            _rollout=dict(type="dict", no_log=True),
        ),
        limits=dict(wait_timeout=1, batch_size=1),
        supports_check_mode=True,
    )
    carry_out(module, Scale)


if __name__ == "__main__":
    main()
