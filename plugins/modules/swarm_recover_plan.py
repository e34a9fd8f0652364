#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_recover_plan
short_description: Plan the recovery of a swarm that has lost its quorum
description:
  - Finds out whether a swarm has lost its quorum for good, and from which manager it can be recovered. Prints the diagnosis and the
    plan. The playbook C(flotilla.swarm.recover_quorum) carries it out.
  - Recovers from the manager whose raft log has the most committed entries. Its log becomes the only one.
  - Refuses while there is a leader, and while enough managers have their disks to give the swarm its quorum back.
  - Outside check mode, the module fails unless O(confirm) is the ID of the swarm.
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
    description: The result of M(flotilla.swarm.swarm_recover_info) on each host, by the name of the host. Empty for a host that did
      not answer.
    type: dict
    required: true
  confirm:
    description: The ID of the swarm to recover. It confirms the plan.
    type: str
  survivor:
    description: The host to recover from. If not set, the manager whose raft log has the most committed entries.
    type: str
  lost:
    description:
      - Managers that did not answer and never come back, by host, node ID or address.
      - The module refuses to recover while managers that do not answer could still give the swarm a quorum. A swarm that lives
        elsewhere would become two swarms.
    type: list
    elements: str
    default: []
  key_given:
    description: Whether there is an unlock key for the hosts.
    type: bool
    default: false
  copy_folder:
    description: The folder for the copies of the swarm's files on the hosts.
    type: path
    default: /var/lib/flotilla.swarm/recover
  final:
    description: If V(false), the module only returns the plan. It prints nothing, and does not fail because the plan is refused or not
      confirmed.
    type: bool
    default: true
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_recover_info:
  register: host

- name: Print the diagnosis and the plan
  flotilla.swarm.swarm_recover_plan:
    observed: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'host'))) }}"
  check_mode: true
  run_once: true
"""

RETURN = r"""
plan:
  description: The diagnosis and the plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - "DIAGNOSIS  swarm vuimnu900ys1hf3yqn8q7avfn: 1 of 3 managers have their raft logs, a quorum needs 2"
    - "  m1  manager, locked  raft log: entry 74 committed, term 3, key file locked, the newest"
cluster_id:
  description: The ID of the swarm. Empty if it could not be found.
  type: str
  returned: always
  sample: vuimnu900ys1hf3yqn8q7avfn
survivor:
  description: The host that the swarm is recovered from. Empty if there is none.
  type: str
  returned: always
  sample: m1
steps:
  description: The steps on RV(survivor), in order.
  type: list
  elements: str
  returned: always
  sample: [stop, copy, open, start, force, restart, lock, remove]
others:
  description: The managers that leave and join again.
  type: list
  elements: str
  returned: always
  sample: []
lost:
  description: The managers that are lost.
  type: list
  elements: str
  returned: always
  sample: [m2 (ex3cb4), m3 (i6057w)]
autolock:
  description: Whether autolock was on and is turned on again.
  type: bool
  returned: always
  sample: true
needs_libraries:
  description: Whether RV(survivor) lacks the Python libraries that open its key file.
  type: bool
  returned: always
  sample: true
resumes:
  description: Whether the plan resumes an interrupted recovery.
  type: bool
  returned: always
  sample: false
wait:
  description: Whether a manager may be in the middle of an election. If so, observe again with C(election_timeout) before you trust the
    plan.
  type: bool
  returned: always
  sample: false
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(not_confirmed), or V(bad_option) for an option with a wrong value.
  type: dict
  returned: failure
  sample: {code: not_confirmed, details: {cluster_id: vuimnu900ys1hf3yqn8q7avfn}}
"""
