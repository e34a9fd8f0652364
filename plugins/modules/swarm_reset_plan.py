#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_reset_plan
short_description: Plan how a swarm is dismantled
description:
  - Plans in which order the hosts of a swarm leave it, and says what is lost. Workers leave first, then managers, and the acting
    manager last.
  - Refuses the plan if hosts are in another swarm, if the swarm has nodes that are not in the inventory, or if hosts do not answer.
  - Without O(confirm), the module shows the plan and fails. Check mode does not need it.
  - Runs on the controller and connects to no host.
author:
  - The Flotilla authors (@flotilla-swarm)
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
    description:
      - The key C(host) of the result of M(flotilla.swarm.swarm_reset) on each host of the inventory, by the name of the host.
      - It is empty for a host that did not answer or is not part of the run.
    type: dict
    required: true
  depth:
    description: How much is removed, as in M(flotilla.swarm.swarm_reset).
    type: str
    choices: [swarm, engine, data]
    default: swarm
  confirm:
    description: The ID of the swarm to dismantle. V(no-swarm) if no host is in one.
    type: str
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk, and returns it in RV(plan).
      - V(unlisted_nodes), nodes that the inventory does not list stay behind without managers.
      - V(unreachable_hosts), hosts that do not answer stay behind without managers.
    type: list
    elements: str
    choices: [unlisted_nodes, unreachable_hosts]
    default: []
  applied:
    description: What was done on each host, by the name of the host. If it is set, the module shows this result.
    type: dict
"""

EXAMPLES = r"""
- name: Plan the reset
  flotilla.swarm.swarm_reset_plan:
    observed: "{{ dict(ansible_play_hosts_all | zip(observed)) }}"
    confirm: vwabnma8z6ix8tom9jkh3ggij
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan, or the result, as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  reset of swarm vwabnma8z6ix8tom9jkh3ggij, depth swarm, acting on m1
    - "  - leave   w1, w2  workers, in parallel"
cluster_id:
  description: The ID of the swarm. V(no-swarm) if no host is in one.
  type: str
  returned: always
  sample: vwabnma8z6ix8tom9jkh3ggij
workers:
  description: The workers that leave.
  type: list
  elements: str
  returned: always
  sample: [w1, w2]
managers:
  description: The managers that leave next.
  type: list
  elements: str
  returned: always
  sample: [m2, m3]
last:
  description: The acting manager, which leaves last.
  type: list
  elements: str
  returned: always
  sample: [m1]
finish:
  description: The hosts that have left in an interrupted run.
  type: list
  elements: str
  returned: always
  sample: []
remove:
  description: The hosts from which the engine or its data is removed.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(not_confirmed), or V(bad_option) for an option with a wrong value.
  type: dict
  returned: failure
  sample: {code: not_confirmed, details: {cluster_id: vwabnma8z6ix8tom9jkh3ggij}}
"""
