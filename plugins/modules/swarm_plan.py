#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_plan
short_description: Plan a run from the state of all hosts
description:
  - Compares the inventory with the result of M(flotilla.swarm.swarm_host_info) on every host. Prints the plan and returns it as
    data. The roles carry it out.
  - Refuses a plan that could create a second swarm or mix two swarms. The message has the reason and what to do. Nothing is
    changed at that point.
  - Runs on the controller and connects to no host. It reads the variable C(__swarm_host) of each host, which the role
    P(flotilla.swarm.swarm#role) registers, and the variables of that role.
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
  managers_group:
    description: The inventory group whose hosts are managers.
    type: str
    default: swarm_managers
  workers_group:
    description: The inventory group whose hosts are workers.
    type: str
    default: swarm_workers
  settings:
    description: The desired settings of the swarm, by the option names of M(flotilla.swarm.swarm_settings).
    type: dict
    default: {}
  allow_partial_init:
    description: Allow the run to initialise a new swarm although not every listed manager has answered. A manager that has not
      answered can be in a swarm.
    type: bool
    default: false
  rules:
    description: The options of M(flotilla.swarm.swarm_nodes) besides the nodes, by name.
    type: dict
    default: {}
  answer:
    description:
      - The result of M(flotilla.swarm.swarm_nodes) in check mode with RV(nodes) and RV(rules). It is needed if a plan without it
        has RV(ask_managers).
      - Only a manager knows the services, and whether they would still have a node to run on.
    type: dict
    default: {}
  previous:
    description: The result of the previous plan of the run. The module then prints the new plan only if it refuses it.
    type: dict
    default: {}
  after_round:
    description: The RV(round) of O(previous) is complete. If it has changed nothing, the result is RV(stuck).
    type: bool
    default: false
  cut_short:
    description: Why the acting manager has not completed its part of the round. Empty if it has.
    type: str
    default: ""
  carried_out:
    description:
      - Make no plan. Print the first plan of the run, from O(previous), as the result of the run.
      - The module prints the steps of hosts that have failed as not done.
    type: bool
    default: false
  refused:
    description: Make no plan. Fail as O(previous) did, if its failure was put off.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: __swarm_host

- name: Print the plan of the run
  flotilla.swarm.swarm_plan:
  run_once: true
  register: plan
"""

RETURN = r"""
steps:
  description:
    - The plan as data, in order.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(unlock), V(engine), V(init), V(settings), or an action of M(flotilla.swarm.swarm_nodes).
      type: str
    host:
      description: The name of the host in the inventory.
      type: str
    text:
      description: The change in words.
      type: str
    words:
      description: How the texts of the step are made, from which the page says them in another language.
      type: dict
  sample: [{action: join, host: w3, text: "worker, zone b", why: not in the swarm}]
refusals:
  description: The reasons why the run is refused, as sentences.
  type: list
  elements: str
  returned: always
warnings_of_plan:
  description: The warnings of the plan, as sentences. They do not stop the run.
  type: list
  elements: str
  returned: always
words:
  description: How RV(refusals) and RV(warnings_of_plan) are made, from which the page says them in another language.
  type: dict
  returned: always
report:
  description: The text that the module prints.
  type: str
  returned: always
cluster_id:
  description: The ID of the existing swarm. V(null) if there is none.
  type: str
  returned: always
acting:
  description: The acting manager, on which the tasks for the whole swarm run.
  type: str
  returned: always
unlock:
  description: The locked hosts that the run unlocks first.
  type: list
  elements: str
  returned: always
engine:
  description: The hosts whose engine must be installed or changed.
  type: list
  elements: str
  returned: always
first:
  description: RV(steps) and RV(report) of the first plan of the run.
  type: dict
  returned: always
initial:
  description: Whether this is the first plan of the run.
  type: bool
  returned: always
init:
  description: The host that initialises a new swarm. V(null) if a swarm exists.
  type: str
  returned: always
round:
  description: What the run can do before it must observe the hosts again.
  type: dict
  returned: always
  contains:
    nodes:
      description: Whether M(flotilla.swarm.swarm_nodes) must run first.
      type: bool
    restart:
      description: The hosts whose engines must be restarted before they can become managers.
      type: list
      elements: str
    leave:
      description: The nodes whose hosts leave the swarm next, with C(host), C(node_id) and C(addr).
      type: list
      elements: dict
    join_managers:
      description: The hosts that join as managers next.
      type: list
      elements: str
    join_workers:
      description: The hosts that join as workers next.
      type: list
      elements: str
    more:
      description: Whether steps are left after this round.
      type: bool
ask_managers:
  description:
    - Whether the plan depends on the services. The module then prints the plan only when it is made again with O(answer).
  type: bool
  returned: always
stuck:
  description: Whether the plan and the acting manager are the same as before the last round.
  type: bool
  returned: always
cut_short:
  description: The value of O(cut_short).
  type: str
  returned: always
held:
  description: The steps that must wait, with the C(name) of the node, the C(action) and the reason (C(why)).
  type: list
  elements: dict
  returned: always
rules:
  description: The options for M(flotilla.swarm.swarm_nodes) besides the nodes.
  type: dict
  returned: always
nodes:
  description: The desired nodes, for M(flotilla.swarm.swarm_nodes).
  type: list
  elements: dict
  returned: always
settings:
  description: The settings that change, with C(before) and C(after).
  type: list
  elements: dict
  returned: always
no_answer:
  description: The hosts that did not answer.
  type: list
  elements: str
  returned: always
unlisted:
  description: The nodes of the swarm that are not in the inventory.
  type: list
  elements: str
  returned: always
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused).
  type: dict
  returned: failure
"""
