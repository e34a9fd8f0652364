#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_rollback
short_description: Roll services back to their previous spec
description:
  - Rolls services back to their previous spec, one after the other, and waits until the tasks of that spec run. The engine
    does the rollback.
  - The plan shows what the rollback changes. The engine keeps one previous spec, the one before the latest write. After
    scaling, it differs in the number of replicas only.
  - The module refuses a service that has no previous spec.
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
    details: The spec before the rollback becomes the previous spec, so a second run restores it.
options:
  services:
    description: The names of the services, in the order in which they are rolled back.
    type: list
    elements: str
    required: true
notes:
  - A rollback ends an update that is in progress or paused.
  - Plans and results hide the values of environment variables, labels, options and arguments whose names say that they hold a
    credential. They also hide passwords in URLs.
seealso:
  - module: flotilla.swarm.swarm_scale
  - module: flotilla.swarm.swarm_restart
  - module: flotilla.swarm.swarm_stack
"""

EXAMPLES = r"""
- name: Undo the latest change of a service
  flotilla.swarm.swarm_rollback:
    services: [shop_web]
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  roll back, acting on m1
    - "  ~ rollback  hello_web  image  hello:2 -> hello:1"
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
      description: A value that identifies the spec before the step. It is valid within this run only.
      type: str
      sample: 5f0c1f6c07a2
    after:
      description: The same for the spec after the step.
      type: str
      sample: b1946ac92492
    changes:
      description: The fields that change.
      type: list
      elements: dict
      contains:
        field:
          description: The name of the field.
          type: str
          sample: image
        before:
          description: Its value in the current spec.
          type: str
          sample: registry.example.com/hello:2
        after:
          description: Its value in the previous spec.
          type: str
          sample: registry.example.com/hello:1
done:
  description: The entries of RV(steps) that were applied and whose services have converged.
  type: list
  elements: dict
  returned: always
reverted:
  description:
    - The services whose change was undone after a failure.
    - Always empty, because a failed rollback is not undone.
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
    - A refusal has the code V(unknown_service), V(job) or V(no_previous_spec), or V(refused) if there are several.
    - V(out_of_sequence) means that something else writes the same service, V(not_converged) that a service does not
      converge with its previous spec either.
  type: dict
  returned: failure
  sample:
    code: no_previous_spec
    details: {}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._services.rollback import Rollback
from ..module_utils._services.rollout import ROLLOUT_OPTIONS, carry_out


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="list", elements="str", required=True),
            **ROLLOUT_OPTIONS,
        ),
        limits=dict(wait_timeout=1),
        private=("_rollout",),
        supports_check_mode=True,
    )
    carry_out(module, Rollback)


if __name__ == "__main__":
    main()
