#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_rebalance
short_description: Even out where the tasks of services run
description:
  - The swarm never moves a task that runs. So a node that has joined or come back stays empty until services are
    deployed anew. This module moves what is needed, and no more.
  - A service is even when no node that it may run on has two tasks more of it than another; where the service has a
    C(spread) preference, the same goes for what it is spread over, such as zones.
  - Of an uneven one, as many tasks as have to move are added, which the swarm puts where there are the fewest, and then
    as many are taken away, which the swarm does where there are the most. New tasks run before old ones stop,
    whatever the service's update settings say. One service is done after the other.
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
    support: full
options:
  services:
    description:
      - The names of the services to look at. All, if it is left out.
      - Services with the label C(flotilla.swarm.rebalance=false) are never touched, nor are global services and jobs, nor
        those that do not have all their tasks or are being updated.
    type: list
    elements: str
  budget:
    description: How many tasks this run may move at most. What is left is for the next run.
    type: int
    default: 10
  pause:
    description: How many seconds to wait between two steps.
    type: int
    default: 0
  wait_timeout:
    description: How many seconds to wait for one step.
    type: int
    default: 300
  settle:
    description:
      - For how many seconds new tasks must have been running before old ones go. A container that crashes at once is
        running for a moment too.
    type: int
    default: 5
notes:
  - It must run on a manager of the swarm.
  - A service has some tasks more for a while, so there must be room for them. One that must never have more
    tasks than its number wants the label.
  - While a service has more tasks, the label C(flotilla.swarm.rebalancing) says how many it had, so that the next run finishes
    what a killed one has begun.
seealso:
  - module: flotilla.swarm.swarm_scale
  - module: flotilla.swarm.swarm_drain
"""

EXAMPLES = r"""
- name: Let a node that came back have its share
  flotilla.swarm.swarm_rebalance:
    budget: 20
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  rebalance, acting on m1
    - "  ~ move    shop_web  2 of 6 tasks   w1 3, w2 3, w3 0 -> w1 2, w2 2, w3 2"
    - "  = 4 services as they should be"
steps:
  description: The plan as data, one entry for each write. A service that moves has two, one up and one down.
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
      sample: shop_web
    before:
      description: The number of replicas before the step.
      type: int
      sample: 6
    after:
      description: The number of replicas after the step.
      type: int
      sample: 8
done:
  description: The entries of RV(steps) that have been carried out and after which the service ran as asked.
  type: list
  elements: dict
  returned: always
reverted:
  description: The service whose new tasks did not run and were taken away again.
  type: list
  elements: str
  returned: always
  sample: []
services:
  description: Each service that was looked at and how it stands, as in RV(flotilla.swarm.swarm_scale#module:services).
  type: list
  elements: dict
  returned: always
failure:
  description:
    - The cause of a failure as C(code), with C(details).
    - V(unknown_service), V(raced), which is somebody else who changes a service at the same time, or V(not_converged).
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
from ansible_collections.flotilla.swarm.plugins.module_utils._rebalance import Rebalance
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import carry_out


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="list", elements="str"),
            budget=dict(type="int", default=10),
            pause=dict(type="int", default=0),
            wait_timeout=dict(type="int", default=300),
            settle=dict(type="int", default=5),
            _rollout=dict(type="dict", no_log=True),
        ),
        limits=dict(wait_timeout=1),
        supports_check_mode=True,
    )
    carry_out(module, Rebalance)


if __name__ == "__main__":
    main()
