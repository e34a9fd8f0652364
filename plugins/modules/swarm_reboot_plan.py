#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_reboot_plan
short_description: Plan in which order the hosts of a swarm are rebooted
description:
  - Says which hosts are due and in which order, one zone at a time, workers before managers, one manager at a time and the
    leader last, and prints it. The playbook C(flotilla.swarm.reboot_nodes) carries it out.
  - Goes on where a run that was stopped has left off. A host that is due keeps a note of that until it is back in service.
  - Runs on the controller and touches no host.
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
    description: What M(flotilla.swarm.swarm_host_info) returned on each host, by name.
    type: dict
    required: true
  nodes:
    description:
      - The hosts to reboot, by their names in the inventory; V(all) for all.
      - If not set, those of a run that was stopped, and those whose system says that it has to be rebooted
        (C(/run/reboot-required), which Debian's and Ubuntu's packages write).
    type: list
    elements: str
  batch:
    description: How many workers of one zone are rebooted together.
    type: int
    default: 1
  accepted_risks:
    description:
      - Risks that are accepted, and no reason to refuse any more. They are told as warnings then.
      - V(quorum), there are fewer than three managers, so that nothing can be changed and no task starts while one
        reboots.
    type: list
    elements: str
    choices: [quorum]
    default: []
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: host

- name: Print in which order all hosts would be rebooted
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
  description: The hosts that are rebooted together, in order.
  type: list
  elements: list
  returned: always
  sample: [[w2], [m2]]
reboot:
  description: The hosts that are rebooted. Others of RV(batches) have been, and only go back into service.
  type: list
  elements: str
  returned: always
  sample: [w2, m2]
node_ids:
  description: The ID of the node of each host in RV(batches) that is drained for it and given back afterwards.
  type: dict
  returned: always
  sample: {w2: 4wyc7i0q9iegkhgbnx6ydrzjv}
notes:
  description: What each host has to keep that has no note of it yet.
  type: dict
  returned: always
  sample: {w2: {boot: 6a8e2f52-4419-4a2b-9b52-a1c0f3a4f7c7-2, in_service: true, run: [m2, w2]}}
managers:
  description: The managers that see a leader.
  type: list
  elements: str
  returned: always
  sample: [m1, m2, m3]
failure:
  description: Why the plan was refused, with the code V(refused).
  type: dict
  returned: on failure
  sample:
    code: refused
    details: {}
"""
