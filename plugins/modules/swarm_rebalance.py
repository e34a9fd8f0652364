#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_rebalance
short_description: Spread the tasks of services evenly over the nodes
description:
  - The swarm never moves a running task. A node that has joined or come back therefore stays empty until services are
    deployed again. This module moves as many tasks as needed, and no more.
  - A service is even if no node that it can run on has two tasks more than another one. If the service has a C(spread)
    preference, the same holds for what it spreads over, such as zones.
  - To make a service even, the module first scales it up by the number of tasks to move. The swarm starts them where there are
    the fewest. The module then scales the service down by the same number. The swarm stops tasks where there are the most.
  - New tasks run before old tasks stop, whatever the update settings of the service are. The module handles one service
    after the other.
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
      - The names of the services to rebalance. If not set, all services.
      - The module never changes services with the label C(flotilla.swarm.rebalance=false), global services and jobs, services
        without all their tasks, and services that are being updated.
    type: list
    elements: str
  budget:
    description: The largest number of tasks that this run moves. The next run moves more.
    type: int
    default: 10
notes:
  - A service has more tasks than its number of replicas for a while, and there must be room for them. A service that must never
    have more tasks needs the label C(flotilla.swarm.rebalance=false).
  - While a service has more tasks, the label C(flotilla.swarm.rebalancing) keeps its number of replicas. With it, the next run
    finishes an interrupted one.
seealso:
  - module: flotilla.swarm.swarm_scale
  - module: flotilla.swarm.swarm_drain
"""

EXAMPLES = r"""
- name: Move up to 20 tasks to nodes that came back
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
  description: The entries of RV(steps) that were applied and whose services have converged.
  type: list
  elements: dict
  returned: always
reverted:
  description:
    - The services whose change was undone after a failure.
    - Their new tasks did not run and were removed again.
  type: list
  elements: str
  returned: always
  sample: []
services:
  description:
    - The services as they are after the call. After a failure, as they were when it happened.
    - The keys are those of RV(flotilla.swarm.swarm_scale#module:services).
  type: list
  elements: dict
  returned: always
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(unknown_service), V(not_converged), or V(out_of_sequence) if something else changes a service at the same
      time.
  type: dict
  returned: failure
  sample:
    code: not_converged
    details: {}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._services.rebalance import Rebalance
from ..module_utils._services.rollout import ROLLOUT_OPTIONS, carry_out


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="list", elements="str"),
            budget=dict(type="int", default=10),
            **ROLLOUT_OPTIONS,
        ),
        limits=dict(wait_timeout=1),
        private=("_rollout",),
        supports_check_mode=True,
    )
    carry_out(module, Rebalance)


if __name__ == "__main__":
    main()
