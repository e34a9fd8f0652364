#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_reboot_plan
short_description: Plan the order in which hosts reboot
description:
  - Plans which hosts reboot and in which order, and prints the plan. The plan has one zone at a time, workers before managers, one
    manager at a time, and the leader last. The playbook C(flotilla.swarm.reboot_nodes) carries it out.
  - Resumes an interrupted run. A host keeps a note until it has rebooted and is back in service.
  - Runs on the controller and connects to no host.
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  observed:
    description: The result of M(flotilla.swarm.swarm_host_info) on each host, by the name of the host.
    type: dict
    required: true
  nodes:
    description:
      - The hosts to reboot, by their names in the inventory. V(all) means all hosts.
      - If not set, the hosts of an interrupted run, and the hosts that have C(/run/reboot-required). Packages of Debian and Ubuntu
        write this file when a reboot is required.
    type: list
    elements: str
  batch:
    description: How many workers of one zone reboot together.
    type: int
    default: 1
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk, and warns about it.
      - V(quorum), the swarm has fewer than three managers. While one of them reboots, nothing can be changed and no task starts.
    type: list
    elements: str
    choices: [quorum]
    default: []
  can_unlock:
    description: Whether the run has an unlock key for a swarm whose managers are all locked. Of other locked swarms, a manager shows
      the key.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: host

- name: Print the order in which all hosts would reboot
  flotilla.swarm.swarm_reboot_plan:
    observed: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'host'))) }}"
    nodes: [all]
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  reboots, one zone at a time, acting on m1
    - "  1  zone b  w2  worker"
    - "  2  zone b  m2  manager"
batches:
  description: The batches of hosts that reboot together, in order.
  type: list
  elements: list
  returned: always
  sample: [[w2], [m2]]
reboot:
  description: The hosts that reboot. The other hosts in RV(batches) have already rebooted and only go back into service.
  type: list
  elements: str
  returned: always
  sample: [w2, m2]
node_ids:
  description: The node ID of each host in RV(batches) that is drained before the reboot and put back into service afterwards.
  type: dict
  returned: always
  sample: {w2: 4wyc7i0q9iegkhgbnx6ydrzjv}
notes:
  description: The note of each host that has none yet.
  type: dict
  returned: always
  sample: {w2: {boots: {m2: 1f0c7d0e-2b77-4f0e-9d5c-5b3a0b6f8e11-7, w2: 6a8e2f52-4419-4a2b-9b52-a1c0f3a4f7c7-2}, in_service: true}}
managers:
  description: The managers that have a leader.
  type: list
  elements: str
  returned: always
  sample: [m1, m2, m3]
unlock:
  description: The managers that are locked. The run unlocks them before it plans the reboots.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), or V(bad_option) for an option with a wrong value.
  type: dict
  returned: failure
  sample:
    code: refused
    details: {}
"""
