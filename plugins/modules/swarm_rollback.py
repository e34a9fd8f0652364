#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_rollback
short_description: Take services back to the spec before their latest change, and verify it
description:
  - Lets the engine take services back to their previous spec, one after the other, and waits until the tasks of that
    spec run.
  - The plan says what that changes. The engine keeps one previous spec, that of before the latest write, whatever that
    was. After a scaling it is another number of replicas and nothing else.
  - It is refused for a service that has no previous spec.
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
    details: The spec of before the rollback becomes the previous one, so that a second run goes forward again.
options:
  services:
    description: The names of the services, in the order in which they are rolled back.
    type: list
    elements: str
    required: true
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
  - An update that is under way, or paused, is ended by it.
  - What is hidden in plans and results. Environment variables, labels, options and arguments whose name says that they
    hold a credential; passwords in URLs.
seealso:
  - module: flotilla.swarm.swarm_scale
  - module: flotilla.swarm.swarm_restart
  - module: flotilla.swarm.swarm_stack
"""

EXAMPLES = r"""
- name: Take back the latest change of a service
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
      description: What tells the spec before the step from that after it, within this run.
      type: str
      sample: 5f0c1f6c07a2
    after:
      description: The same after the step.
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
          description: Its value now.
          type: str
          sample: registry.example.com/hello:2
        after:
          description: Its value in the previous spec.
          type: str
          sample: registry.example.com/hello:1
done:
  description: The entries of RV(steps) that have been carried out and after which the service ran as asked.
  type: list
  elements: dict
  returned: always
reverted:
  description: Always empty. A rollback that fails is not taken back.
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
    - The codes of a refusal are V(unknown_service), V(job) and V(no_previous_spec), or V(refused) for several of
      them; V(raced) is somebody else who writes the same service, and V(not_converged) a service that does not run
      with its previous spec either.
  type: dict
  returned: failure
  sample:
    code: no_previous_spec
    details: {}
"""

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._rollout import carry_out
from ansible_collections.flotilla.swarm.plugins.module_utils._service_rollback import Rollback


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            services=dict(type="list", elements="str", required=True),
            pause=dict(type="int", default=0),
            wait_timeout=dict(type="int", default=300),
            settle=dict(type="int", default=5),
            _rollout=dict(type="dict", no_log=True),
        ),
        limits=dict(wait_timeout=1),
        supports_check_mode=True,
    )
    carry_out(module, Rollback)


if __name__ == "__main__":
    main()
