#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_member
short_description: Initialise a swarm, or make a host join, leave or unlock
description:
  - Changes the membership of the host on which it runs, and waits until the change has happened.
  - The module never moves a host silently that is in another swarm, in a locked swarm or in an error state. It fails and says
    what to do.
  - The caller decides whether to initialise a swarm, because it knows all hosts. The role P(flotilla.swarm.swarm_manager#role)
    does so only if no listed host is in a swarm.
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
      - V(initialized) makes the host the first manager of a new swarm, unless the host is already in a swarm.
      - V(joined) makes the host join the swarm of O(remote_addrs). The module waits until it is active and, as a manager, reachable.
      - V(unlocked) unlocks a locked engine with O(unlock_key), and waits until its swarm has a leader. A swarm whose managers are
        all locked has none until more than half of them are unlocked. Unlock them at the same time, or with O(wait_timeout=0).
      - V(left) makes the host leave. A manager leaves only with O(force=true). With O(node_id), the module waits until a manager
        that has been demoted is a worker.
    type: str
    choices: [initialized, joined, unlocked, left]
    required: true
  role:
    description: The role with which the host joins. A host that is already a member keeps its role.
    type: str
    choices: [manager, worker]
    default: worker
  join_token:
    description: The join token for O(role). O(state=joined) needs it, except in check mode.
    type: str
  remote_addrs:
    description: The addresses of managers of the swarm to join, for example V(192.0.2.11:2377).
    type: list
    elements: str
    default: []
  cluster_id:
    description: The ID of the swarm. The module fails on a manager of another swarm.
    type: str
  advertise_addr:
    description:
      - The address or interface at which the other nodes reach this host. If not set, the engine chooses.
      - It cannot be changed after the host has initialised or joined a swarm.
    type: str
  listen_addr:
    description:
      - The address or interface, and the port, on which a manager listens.
      - It cannot be changed after the host has initialised or joined a swarm.
    type: str
    default: 0.0.0.0:2377
  data_path_addr:
    description: The address or interface for the traffic between containers. If not set, O(advertise_addr).
    type: str
  data_path_port:
    description: The UDP port for the traffic between containers, on all nodes. The engine uses 4789 if it is not set. Used only with
      O(state=initialized).
    type: int
  default_addr_pool:
    description: The address pools for the subnets of overlay networks. The engine uses 10.0.0.0/8 if it is empty. Used only with
      O(state=initialized).
    type: list
    elements: str
    default: []
  subnet_size:
    description: The prefix length of the subnets of overlay networks. The engine uses 24 if it is not set. Used only with
      O(state=initialized).
    type: int
  settings:
    description: The settings of the new swarm, by the option names of M(flotilla.swarm.swarm_settings). Used only with
      O(state=initialized).
    type: dict
    default: {}
  unlock_key:
    description:
      - The unlock key of a locked swarm.
      - Without pipelining, Ansible would write it into a temporary file on the host, and the module refuses it.
    type: str
  node_id:
    description:
      - With O(state=left), the ID of the node that must leave. If the host is another node, or in no swarm, it is another host.
        The module then changes nothing and fails.
    type: str
  force:
    description: Make a manager leave. The swarm can lose its quorum, and the engine does not prevent it.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait until the host is in the desired state. With O(state=unlocked) and V(0), the module does not wait
      for a leader.
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

- name: Leave, if this host is still the node that a manager has drained and demoted
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
  description: The membership of the host after the call. In check mode, the current one. The keys are those of
    RV(flotilla.swarm.swarm_host_info#module:swarm).
  type: dict
  returned: always
  contains:
    state:
      description: V(inactive), V(pending), V(active), V(locked), V(error) or V(unknown).
      type: str
    role:
      description: V(manager) or V(worker). V(null) outside a swarm.
      type: str
    node_id:
      description: The ID of the node of the host.
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
      description: The error of the swarm, in the engine's words.
      type: str
  sample: {state: active, role: worker, node_id: 4wyc7i0q9iegkhgbnx6ydrzjv, cluster_id: null}
steps:
  description: What the module did, in order. In check mode, what it would do.
  type: list
  elements: str
  returned: always
  sample: [join as worker]
needs_restart:
  description: With O(state=unlocked), whether the engine has come up without its overlay networks. It then looks healthy, and
    rejects every task in one until it is restarted, which M(flotilla.swarm.docker_engine_restart) does. V(null) in another
    state, in check mode, with O(wait_timeout=0), and on failure.
  type: bool
  returned: always
  sample: false
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(engine_unreachable), V(no_sdk), V(locked), V(swarm_error), V(foreign_swarm), V(no_join_token),
      V(no_unlock_key), V(wrong_unlock_key), V(no_pipelining), V(is_manager), V(other_node), V(timeout), V(bad_setting), or another
      one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: foreign_swarm, details: {}}
"""

from ..module_utils._cluster.member import change_member, needs_restart, observe
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError


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
            needs_restart=None,
        )
    result = {
        "changed": bool(steps),
        "member": after.as_dict(),
        "steps": steps,
        "needs_restart": needs_restart(module.params, after, module.check_mode),
    }
    if module._diff:
        wanted = {"state": "; ".join(steps)} if steps else {}
        result["diff"] = {
            "before": {"state": before.state, "role": before.role} if steps else {},
            "after": wanted,
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
