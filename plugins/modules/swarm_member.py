#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_member
short_description: Make this host a member of a swarm, or make it leave
description:
  - Changes the membership of the host on which it runs, and waits until the change is real.
  - A host that is where it should be is left alone. A host in another swarm, in a locked swarm or in an error state
    is
    never moved silently; the module fails and says what to do.
  - Whether a swarm has to be initialised at all is for the caller to know, who sees all hosts. The role
    flotilla.swarm.swarm_manager does so only when no listed host is in a swarm.
extends_documentation_fragment:
  - flotilla.swarm._docker
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
  state:
    description:
      - V(initialized) makes the host the first manager of a new swarm, unless it is in a swarm already.
      - V(joined) makes it join the swarm of O(remote_addrs), and waits until it is active and, as a manager,
        reachable.
      - V(unlocked) gives a locked engine the O(unlock_key).
      - V(left) makes it leave. A manager does so only with O(force=true). With O(node_id), a manager that has been
        demoted is waited for until it knows of it.
    type: str
    choices: [initialized, joined, unlocked, left]
    required: true
  role:
    description: What the host joins as. A host that is already a member keeps its role.
    type: str
    choices: [manager, worker]
    default: worker
  join_token:
    description: The token for O(role). Needed to join, not needed in check mode.
    type: str
  remote_addrs:
    description: Addresses of managers of the swarm to join, for example V(192.0.2.11:2377).
    type: list
    elements: str
    default: []
  cluster_id:
    description: The ID that the swarm must have. The module fails on a manager of another one.
    type: str
  advertise_addr:
    description:
      - Address or interface that the other nodes reach this host at. The engine chooses when not set.
      - Fixed at init or join.
    type: str
  listen_addr:
    description: Address or interface, and port, on which a manager listens. Fixed at init or join.
    type: str
    default: 0.0.0.0:2377
  data_path_addr:
    description: Address or interface of the traffic between containers. The same as O(advertise_addr) when not set.
    type: str
  data_path_port:
    description: UDP port of the traffic between containers, for all nodes. The engine's default is 4789. Used at
      init only.
    type: int
  default_addr_pool:
    description: Address pools from which overlay networks get their subnets. The engine's default is 10.0.0.0/8.
      Used at init only.
    type: list
    elements: str
    default: []
  subnet_size:
    description: Prefix length of each such subnet. The engine's default is 24. Used at init only.
    type: int
  settings:
    description: Settings of the new swarm, named like the options of M(flotilla.swarm.swarm_settings). Used at init
      only.
    type: dict
    default: {}
  unlock_key:
    description: The key of a locked swarm.
    type: str
  node_id:
    description:
      - The node that the host must be to leave. With O(state=left), a host that is another node, or in no swarm, is left
        alone and the module fails, for it is not the host that was meant.
    type: str
  force:
    description: Make a manager leave. Its swarm may lose its quorum, which the engine does not prevent.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait until the host is what it should be.
    type: int
    default: 90
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Initialise a swarm
  flotilla.swarm.swarm_member:
    state: initialized
    advertise_addr: 192.0.2.11
    default_addr_pool: [10.200.0.0/16]

- name: Ask a manager for the join tokens
  flotilla.swarm.swarm_host_info:
    join_tokens: true
  delegate_to: m1
  run_once: true
  no_log: true
  register: manager

- name: Join as a worker
  flotilla.swarm.swarm_member:
    state: joined
    role: worker
    join_token: "{{ manager.join_tokens.worker }}"
    remote_addrs: [192.0.2.11:2377]

- name: Leave, if this is still the node that a manager has drained and demoted
  flotilla.swarm.swarm_member:
    state: left
    node_id: 4wyc7i0q9iegkhgbnx6ydrzjv

- name: Unlock an engine after a restart
  flotilla.swarm.swarm_member:
    state: unlocked
    unlock_key: "{{ lookup('ansible.builtin.env', 'SWARM_UNLOCK_KEY') }}"
"""

RETURN = r"""
member:
  description: The host's place in a swarm afterwards; in check mode what it is now. The keys are those of
    RV(flotilla.swarm.swarm_host_info#module:swarm).
  type: dict
  returned: always
  contains:
    state:
      description: V(inactive), V(pending), V(active), V(locked), V(error) or V(unknown).
      type: str
    role:
      description: V(manager) or V(worker); V(null) outside a swarm.
      type: str
    node_id:
      description: The ID under which the swarm knows the host.
      type: str
    cluster_id:
      description: The ID of the swarm. Only a manager that sees a leader knows it.
      type: str
    node_addr:
      description: The address that the host advertises.
      type: str
    remote_managers:
      description: The managers that the host knows.
      type: list
      elements: dict
    error:
      description: What the engine says is wrong.
      type: str
  sample: {state: active, role: worker, node_id: 4wyc7i0q9iegkhgbnx6ydrzjv, cluster_id: null}
steps:
  description: What was done, or would be done in check mode.
  type: list
  elements: str
  returned: always
  sample: [join as worker]
failure:
  description: Why the module failed.
  type: dict
  returned: on failure
  contains:
    code:
      description: >-
        One of V(engine_unreachable), V(no_sdk), V(locked), V(swarm_error), V(foreign_swarm), V(no_join_token),
        V(no_unlock_key),
        V(is_manager), V(other_node), V(timeout), V(bad_setting) or another code of the engine's answer.
      type: str
    details:
      description: Data that goes with the code.
      type: dict
"""

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._member import change_member, observe


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            state=dict(
                type="str", required=True, choices=["initialized", "joined", "unlocked", "left"]
            ),
            role=dict(type="str", default="worker", choices=["manager", "worker"]),
            join_token=dict(type="str", no_log=True),
            remote_addrs=dict(type="list", elements="str", default=[]),
            cluster_id=dict(type="str"),
            advertise_addr=dict(type="str"),
            listen_addr=dict(type="str", default="0.0.0.0:2377"),
            data_path_addr=dict(type="str"),
            data_path_port=dict(type="int"),
            default_addr_pool=dict(type="list", elements="str", default=[]),
            subnet_size=dict(type="int"),
            settings=dict(type="dict", default={}),
            unlock_key=dict(type="str", no_log=True),
            node_id=dict(type="str"),
            force=dict(type="bool", default=False),
            wait_timeout=dict(type="int", default=90),
        ),
        limits=dict(data_path_port=(1024, 49151), subnet_size=(8, 29)),
        supports_check_mode=True,
    )
    try:
        before, after, steps = change_member(module.params, module.check_mode)
    except SwarmError as error:
        module.fail_json(
            msg=error.message,
            failure=error.as_failure(),
            member=observe(module.params, tolerant=True).as_dict(),
            steps=[],
        )
    result = {"changed": bool(steps), "member": after.as_dict(), "steps": steps}
    if module._diff:
        wanted = {"state": "; ".join(steps)} if steps else {}
        result["diff"] = {
            "before": {"state": before.state, "role": before.role} if steps else {},
            "after": wanted,
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
