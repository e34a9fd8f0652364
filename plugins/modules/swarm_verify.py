#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_verify
short_description: Check in one call whether all stacks are in their desired state
description:
  - Checks for each stack whether it is in its desired state, as far as that is known without a plan. Returns the same health
    verdict as M(flotilla.swarm.swarm_health). The playbook C(flotilla.swarm.site) ends with this module if nothing is left to do.
  - Takes one call and ten requests, however many stacks there are. No Compose file goes to the host.
  - M(flotilla.swarm.swarm_stack) leaves a record on the manager when a stack is in its desired state. The record has a hash of
    the desired state, with all files and variables. It also has a hash of the current state, with the engine's version of each
    object. While both hashes are the same, the stack is in its desired state. Otherwise M(flotilla.swarm.swarm_stack) must plan
    the stack.
  - A stack with C(resolve_image=always) has no record, because only the registry knows the current digest of a tag.
  - Runs on a manager, and reads its local socket. The controller reads the Compose files.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._health
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: It reads as in a real run and changes nothing.
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
    description: The profile of the stacks to use, as in the variable C(swarm_stack_profile) of that role.
    type: str
    default: ""
  wait:
    description: Require that all services of a stack have converged.
    type: bool
    default: true
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Check whether a stack or its Compose file has changed since it was deployed
  flotilla.swarm.swarm_verify:
    stacks: "{{ swarm_stack_stacks }}"
  register: seen

- name: Show the stacks that have changed
  ansible.builtin.debug:
    msg: "{{ seen.stacks | rejectattr('as_asked') }}"
  when: not seen.as_asked
"""

RETURN = r"""
as_asked:
  description: Whether all stacks are known to be in their desired state, and the verdict is one of O(accept).
  type: bool
  returned: always
stacks:
  description: The stacks, in the order of O(stacks). Empty if the module failed.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the stack.
      type: str
    as_asked:
      description: Whether the stack is known to be in its desired state. If not, M(flotilla.swarm.swarm_stack) must plan it.
      type: bool
    reason:
      description: Why this is not known, or null.
      type: str
    ignored:
      description: The keys of the Compose files that Swarm ignores, if the stack is in its desired state.
      type: list
      elements: str
  sample:
    - name: hello
      as_asked: true
      reason: null
      ignored: []
health:
  description: The result of M(flotilla.swarm.swarm_health).
  type: dict
  returned: always
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The codes are those of M(flotilla.swarm.swarm_health), except for V(not_accepted).
  type: dict
  returned: failure
  sample: {code: no_quorum, details: {}}
"""

from typing import Any

from ..module_utils._api.reader import EngineReader
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._health.assess import HEALTH_OPTIONS, assess
from ..module_utils._health.records import read_records, records_of
from ..module_utils._health.report import finish
from ..module_utils._health.snapshot import observe_swarm
from ..module_utils._stack.objects import read_all
from ..module_utils._stack.record import about_ignored, as_recorded


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

    def connect() -> EngineReader:
        return EngineReader(params["docker_host"], params["timeout"])

    snapshot = observe_swarm(
        connect,
        *([lambda reader: found.update(read_all(reader))] if stacks else []),
    )
    seen = assess(params, snapshot)
    if "picture" in seen and seen["nodes"]:
        # With stacks, the configs have been read already.
        configs = found.get("config")
        records = read_records(connect) if configs is None else records_of(configs)
        seen["picture"].update(records)
    health = finish(seen, params["accept"], "brief", 1)
    failure, msg = health.pop("failure", None), health.pop("msg", "")
    result: dict[str, Any] = dict(changed=False, as_asked=False, stacks=[], health=health)
    if failure is not None and failure["code"] != "not_accepted":
        module.fail_json(msg=msg, failure=failure, **result)
    states = (
        {row["name"]: row["state"] for row in snapshot.service_states} if params["wait"] else {}
    )
    result["stacks"] = [as_recorded(stack, found, states) for stack in stacks]
    result["as_asked"] = failure is None and all(stack["as_asked"] for stack in result["stacks"])
    for stack in result["stacks"]:
        if stack["ignored"]:
            module.warn(about_ignored(stack["name"], stack["ignored"]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
