#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_recover_info
short_description: Observe what a host has left of its swarm, before a recovery
description:
  - Returns what the recovery of a swarm without a quorum depends on. This includes the cluster ID, the managers that the host knows,
    how far its raft log goes, and the state of its engine.
  - Reads the files of the engine. Works while the engine is stopped, hangs, or is locked, and without the Docker SDK for Python.
  - Starts nothing and changes nothing.
  - A leader that has lost its quorum still calls itself the leader for about 20 seconds. The module waits for it to step down.
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
    description: Seconds to wait for each answer of the engine, after its first answer.
    type: int
    default: 30
  observe_timeout:
    description: Seconds that the host has to read its files, and its engine to give its first answer.
    type: int
    default: 15
  election_timeout:
    description: Seconds to wait for a leader, on a manager that has none.
    type: int
    default: 0
  unlock_key:
    description:
      - The unlock key of the swarm. If the key file of the node is locked, the module tells in RV(key) whether this key opens it.
      - It needs the Python libraries nacl and cryptography on the host.
    type: str
  copy_folder:
    description: The folder for a copy of the swarm's files. The module returns the free space there.
    type: path
    default: /var/lib/flotilla.swarm/recover
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_recover_info:
  register: host

- name: Show how far the raft log of each manager goes
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }}: swarm {{ host.files.cluster_id }}, entry {{ host.files.raft.commit }}"
  when: host.files is not none and host.files.manager
"""

RETURN = r"""
root:
  description: Whether the module ran as root. Only root can read the files of the swarm.
  type: bool
  returned: success
  sample: true
engine:
  description:
    - The engine. C(active) tells whether its process exists, and C(answers) whether it answers. C(state) is its state in its swarm.
    - C(control) tells whether it takes part as a manager, and C(leader) whether it sees a leader that has a quorum. Then C(nodes) has
      the IDs of all nodes.
    - C(remote_managers) has the managers that it knows, with C(node_id) and C(addr). C(docker_root) is the directory of its data, and
      C(error) its error.
  type: dict
  returned: success
  sample:
    active: true
    answers: true
    state: locked
    control: false
    leader: false
    nodes: []
    remote_managers: []
    docker_root: /var/lib/docker
    error: null
files:
  description:
    - The files of the swarm on this host. V(null) if the host is in no swarm.
    - C(folder) is where they are. C(cluster_id) and C(node_id) come from the certificate of the node. C(manager) tells whether they
      have a raft log, and C(sealed) whether autolock has locked the key file.
    - C(peers) are the managers that the node knows, itself included. C(raft) has the last committed entry, the term and the last
      entry of the raft log. C(problem) tells why the swarm cannot be recovered from these files.
  type: dict
  returned: success
  sample:
    folder: /var/lib/docker/swarm
    cluster_id: vuimnu900ys1hf3yqn8q7avfn
    node_id: svcqeegapwo52psjq2k7ssmik
    manager: true
    sealed: true
    peers: [{node_id: svcqeegapwo52psjq2k7ssmik, addr: "192.0.2.11:2377"}]
    raft: {commit: 74, term: 3, index: 74}
    problem: null
    size_bytes: 128974848
key:
  description:
    - What O(unlock_key) does to the key file, V(opens), V(wrong) or V(no_crypto) (the libraries are missing). Otherwise, why that is
      not known. Empty if the key file is not locked, or no key was given.
  type: str
  returned: success
  sample: opens
note:
  description: The note of an interrupted recovery. Empty if there is none.
  type: dict
  returned: success
  sample: {}
libraries:
  description: Whether the host has the Python libraries that open a key file.
  type: bool
  returned: success
  sample: true
free_bytes:
  description: The free bytes for a copy. V(null) if unknown.
  type: int
  returned: success
  sample: 53687091200
addresses:
  description: The addresses of the host.
  type: list
  elements: str
  returned: success
  sample: [192.0.2.11]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(no_answer), V(no_pipelining) or V(bad_option).
  type: dict
  returned: failure
  sample: {code: no_answer, details: {}}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import within
from ..module_utils._lifecycle.recovery_info import observe_recovery


def main() -> None:
    module = Module(
        argument_spec=dict(
            docker_host=docker_argument_spec()["docker_host"],
            timeout=dict(type="int", default=30),
            observe_timeout=dict(type="int", default=15),
            election_timeout=dict(type="int", default=0),
            unlock_key=dict(type="str", no_log=True),
            copy_folder=dict(type="path", default="/var/lib/flotilla.swarm/recover"),
        ),
        limits=dict(observe_timeout=1),
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = within(params["observe_timeout"], lambda alive: observe_recovery(params, alive))
        module.exit_json(changed=False, **found)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure())


if __name__ == "__main__":
    main()
