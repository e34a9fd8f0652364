#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_host_info
short_description: Observe a host, its engine and its swarm in one call
description:
  - Returns the state of the host, of its Docker engine and of its membership in a swarm.
  - Works on a bare host, without an engine and without the Docker SDK for Python. It reads files, and asks the engine through its
    unix socket.
  - On a manager that has a leader, the module also returns the nodes and the settings of the swarm.
  - If the engine is leaving its swarm, the module waits up to ten seconds for it. If the swarm has a new leader, the module waits
    up to a minute for the state of its nodes.
  - If the host or its engine does not answer within O(observe_timeout) seconds, the host counts as unreachable. Its engine or a
    disk hangs.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  docker_host:
    description:
      - The unix socket of the engine.
      - If not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  timeout:
    description:
      - Seconds to wait for each answer of the engine, after its first answer.
      - An engine that has just lost the leader of its swarm takes up to 20 seconds to answer.
    type: int
    default: 30
  observe_timeout:
    description:
      - Seconds that the host has to read its files, and its engine to give its first answer.
      - The module still waits for an election or a leave that is in progress, as long as the engine answers.
    type: int
    default: 15
  join_tokens:
    description:
      - Return the join tokens of the swarm in RV(join_tokens).
      - Use this option only in a task with C(no_log=true). With a join token, any host can join the swarm.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: host

- name: Show the managers
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }} is a manager of swarm {{ host.swarm.cluster_id }}"
  when: host.swarm.role == 'manager'
"""

RETURN = r"""
host:
  description: The host itself. The sample has all keys. A value that cannot be read is V(null).
  type: dict
  returned: always
  sample:
    hostname: m1
    root: true
    os: {family: Debian, distribution: debian, release: "12", codename: bookworm, arch: x86_64}
    kernel: 6.1.0-13-amd64
    systemd: true
    cpus: 4
    memory_bytes: 8326934528
    routes: [192.0.2.0/24]
    filters: {forwarding: true, iptables: nft, legacy_tables: [], strict: []}
    vendor: QEMU
    listening: {tcp: [22], udp: []}
    engine_listening: {tcp: [], udp: []}
    kernel_listening: {tcp: [], udp: []}
    boot_id: 6a8e2f52-4419-4a2b-9b52-a1c0f3a4f7c7-2
    reboot_required: false
    reboot_note: null
    upgrade_note: null
engine:
  description: The Docker engine on the host.
  type: dict
  returned: always
  contains:
    installed:
      description: Whether the host has C(dockerd).
      type: bool
    running:
      description: Whether an engine answers.
      type: bool
    version:
      description: The version of the engine. V(null) if no engine answers.
      type: str
    cli_version:
      description: The version of the C(docker) command. V(null) if it is missing.
      type: str
    sdk_version:
      description: The version of the Docker SDK for Python in the interpreter that ran the module. V(null) if it is missing.
      type: str
    name:
      description: The hostname, as the engine knows it.
      type: str
    docker_root:
      description: The directory of the engine's data.
      type: str
    live_restore:
      description: Whether live restore is on. An engine with live restore refuses swarm mode.
      type: bool
    warnings:
      description: The warnings of the engine.
      type: list
      elements: str
    error:
      description: Why no engine answers. V(null) if the engine answers.
      type: str
  sample: {installed: true, running: true, version: 26.1.5, cli_version: 26.1.5, sdk_version: 7.1.0}
swarm:
  description: The membership of the host.
  type: dict
  returned: always
  contains:
    state:
      description: >-
        V(inactive) (in no swarm), V(pending) (joining), V(active), V(locked) (needs the unlock key), V(error), or V(unknown) (the
        engine does not answer).
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
      description: The managers that the host knows, with C(node_id) and C(addr).
      type: list
      elements: dict
    error:
      description: The error of the swarm, in the engine's words.
      type: str
    join_failed:
      description: Whether the host has started to join a swarm and did not complete. Its engine retries the same address forever.
      type: bool
    joined_by:
      description:
        - The address of the manager through which the host joined. Until its engine is restarted, the host can become a manager
          only through this address.
        - V(null) after a restart, and on the host that initialised the swarm.
      type: str
    nodes:
      description: The nodes of the swarm, as this manager sees them. V(null) if the host does not know them.
      type: list
      elements: dict
    settings:
      description: The settings of the swarm, by the option names of M(flotilla.swarm.swarm_settings).
      type: dict
  sample: {state: active, role: worker, node_id: 4wyc7i0q9iegkhgbnx6ydrzjv}
clock:
  description: The clock of the host, compared with the clock of the controller.
  type: dict
  returned: always
  contains:
    skew:
      description: The seconds that the host is ahead of the controller, without the duration of the call. V(0.0) if there is no skew.
      type: float
  sample: {skew: 0.0}
join_tokens:
  description: The join tokens C(manager) and C(worker).
  type: dict
  returned: when O(join_tokens=true)
"""

from ..module_utils._cluster.observe import observe
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import within


def main() -> None:
    module = Module(
        argument_spec=dict(
            docker_host=docker_argument_spec()["docker_host"],
            timeout=dict(type="int", default=30),
            observe_timeout=dict(type="int", default=15),
            join_tokens=dict(type="bool", default=False, no_log=False),
        ),
        limits=dict(observe_timeout=1),
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = within(params["observe_timeout"], lambda alive: observe(params, alive))
        module.exit_json(changed=False, **found)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure())


if __name__ == "__main__":
    main()
