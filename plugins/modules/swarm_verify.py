#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_verify
short_description: Tell in one call whether anything is left to do
description:
  - Tells of each stack of a list whether it is as asked, as far as that is known without planning it, and gives the verdict on
    the swarm that M(flotilla.swarm.swarm_health) gives. The playbook C(flotilla.swarm.site) ends with it where nothing is
    left to do.
  - It takes one call and ten requests, however many stacks there are. No Compose file goes to the host.
  - M(flotilla.swarm.swarm_stack) leaves a record on the manager when it has found a stack as asked. The record has a hash of what was
    asked, with all files and variables, and one of what was there, with the engine's own version of each object. While both
    are the same, the stack is as asked. In any other case M(flotilla.swarm.swarm_stack) has to look.
  - There is no record of a stack with C(resolve_image=always), since only its registry knows what a tag stands for.
  - Runs on a manager, for which it reads the local socket. The Compose files are read on the controller.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._health
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: It reads for real and changes nothing.
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  stacks:
    description:
      - The stacks, as in the variable C(swarm_stack_stacks) of the role P(flotilla.swarm.swarm_stack#role).
    type: list
    elements: dict
    default: []
  profile:
    description: Which of a stack's C(profiles) to take, as the variable C(swarm_stack_profile) of that role.
    type: str
    default: ""
  wait:
    description: Whether a stack is as asked only while all its services run as asked.
    type: bool
    default: true
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: See whether somebody has changed a stack by hand, or its Compose file since it was deployed
  flotilla.swarm.swarm_verify:
    stacks: "{{ swarm_stack_stacks }}"
  register: seen

- name: Say which
  ansible.builtin.debug:
    msg: "{{ seen.stacks | rejectattr('as_asked') }}"
  when: not seen.as_asked
"""

RETURN = r"""
as_asked:
  description: Whether all stacks are known to be as asked and the verdict is one of O(accept).
  type: bool
  returned: always
stacks:
  description: The stacks, in the order in which they were given. Empty where the module failed.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the stack.
      type: str
    as_asked:
      description: Whether the stack is known to be as asked. If not, M(flotilla.swarm.swarm_stack) has to look.
      type: bool
    reason:
      description: Why that is not known, or null.
      type: str
    ignored:
      description: Keys of its Compose files that Swarm ignores, of a stack that is as asked.
      type: list
      elements: str
  sample:
    - name: hello
      as_asked: true
      reason: null
      ignored: []
health:
  description: What M(flotilla.swarm.swarm_health) returns.
  type: dict
  returned: always
failure:
  description: Why the module could not look at the swarm. The codes are those of M(flotilla.swarm.swarm_health).
  type: dict
  returned: failure
  contains:
    code:
      description: The cause.
      type: str
    details:
      description: Data that goes with the code.
      type: dict
"""

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health import finish
from ansible_collections.flotilla.swarm.plugins.module_utils._health_look import (
    HEALTH_OPTIONS,
    judge,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import Picture, look
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import EngineReader
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_record import (
    about_ignored,
    as_recorded,
    read_all,
)


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            **HEALTH_OPTIONS,
            stacks=dict(type="list", elements="dict", default=[], no_log=True),
            profile=dict(type="str", default=""),
            wait=dict(type="bool", default=True),
        ),
        limits=dict(accept=1),
        supports_check_mode=True,
    )
    params = module.params
    stacks = module.take_out("stacks")["stacks"]
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        reader = EngineReader(params["docker_host"], params["timeout"])
        picture = look(reader)
        if picture.trouble is None and stacks:
            found = read_all(reader)
    except SwarmError as error:
        picture = Picture(trouble=error)
    health = finish(judge(params, picture), params["accept"], "brief", 1)
    failure, msg = health.pop("failure", None), health.pop("msg", "")
    result: dict[str, Any] = dict(changed=False, as_asked=False, stacks=[], health=health)
    if failure is not None and failure["code"] != "not_accepted":
        module.fail_json(msg=msg, failure=failure, **result)
    states = {row["name"]: row["state"] for row in picture.rows} if params["wait"] else {}
    result["stacks"] = [as_recorded(stack, found, states) for stack in stacks]
    result["as_asked"] = failure is None and all(stack["as_asked"] for stack in result["stacks"])
    for stack in result["stacks"]:
        if stack["ignored"]:
            module.warn(about_ignored(stack["name"], stack["ignored"]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
