#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_plan
short_description: Plan a run from what every host said of itself
description:
  - Compares what the inventory wants with what M(flotilla.swarm.swarm_host_info) found on every host, prints the
    plan and returns
    it as data. The roles carry it out.
  - Refuses, with the reason and what to do, whatever could make a second swarm or mix two; nothing has been changed
    by then.
  - Runs on the controller and touches no host. It reads the variable C(__swarm_host) of each host, as the role
    flotilla.swarm.swarm
    registers it, and the variables of that role.
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
    description: The settings that the swarm shall have, named like the options of M(flotilla.swarm.swarm_settings).
    type: dict
    default: {}
  allow_partial_init:
    description: Allow a new swarm to be initialised although not every listed manager could be asked whether it is
      in one.
    type: bool
    default: false
  rules:
    description: What M(flotilla.swarm.swarm_nodes) takes beside the nodes, by the names of its options.
    type: dict
    default: {}
  answer:
    description:
      - The result of M(flotilla.swarm.swarm_nodes) in check mode with RV(nodes) and RV(rules), where a plan made without
        it has RV(ask_managers).
      - A manager knows the services, without which it cannot be said whether they would have somewhere to run.
    type: dict
    default: {}
  previous:
    description: The result of the plan made before in the same run. The new one is then printed only if it is
      refused.
    type: dict
    default: {}
  after_round:
    description: The RV(round) of O(previous) has been done. Where that has changed nothing, the result is RV(stuck).
    type: bool
    default: false
  cut_short:
    description: Why the acting manager has not done its part of the round; empty where it has.
    type: str
    default: ""
  carried_out:
    description:
      - Make no plan, print the first plan of the run in O(previous) as what was done.
      - Steps of hosts that failed on the way are printed as not done.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: __swarm_host

- name: Print what a run would do
  flotilla.swarm.swarm_plan:
  run_once: true
  register: plan
"""

RETURN = r"""
steps:
  description: The steps, in order.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(engine), V(init), V(settings), or an action of M(flotilla.swarm.swarm_nodes).
      type: str
    host:
      description: The host of the inventory.
      type: str
    text:
      description: The step in words.
      type: str
  sample: [{action: join, host: w3, text: "worker, zone b", why: not in the swarm}]
refusals:
  description: Why the run is refused, a sentence each.
  type: list
  elements: str
  returned: always
warnings_of_plan:
  description: What does not stop the run and should be known.
  type: list
  elements: str
  returned: always
report:
  description: The plan as a text to print.
  type: str
  returned: always
cluster_id:
  description: The ID of the swarm that is there; V(null) where there is none.
  type: str
  returned: always
acting:
  description: The manager on which work for the whole swarm is done.
  type: str
  returned: always
engine:
  description: The hosts on which the engine has to be installed or changed.
  type: list
  elements: str
  returned: always
first:
  description: The RV(steps) and the RV(report) of the first plan of the run.
  type: dict
  returned: always
init:
  description: The host that initialises a new swarm; V(null) where there is one.
  type: str
  returned: always
round:
  description: What can be done before the hosts have to be asked again.
  type: dict
  returned: always
  contains:
    nodes:
      description: Whether M(flotilla.swarm.swarm_nodes) has something to do first.
      type: bool
    restart:
      description: The hosts whose engines have to be restarted before they can become managers.
      type: list
      elements: str
    leave:
      description: The nodes whose hosts then leave the swarm, each with its C(host), C(node_id) and C(addr).
      type: list
      elements: dict
    join_managers:
      description: The hosts that then join as managers.
      type: list
      elements: str
    join_workers:
      description: The hosts that then join as workers.
      type: list
      elements: str
    more:
      description: Whether something is left to do after that.
      type: bool
ask_managers:
  description:
    - Whether the services have a say in the plan. It is then printed only once it has been made again with
      O(answer).
  type: bool
  returned: always
stuck:
  description: Whether the plan, and the manager that acts, are the same as before the round that has just been done.
  type: bool
  returned: always
cut_short:
  description: What O(cut_short) was.
  type: str
  returned: always
held:
  description: What has to wait, each with the C(name) of the node, the C(action) and C(why).
  type: list
  elements: dict
  returned: always
rules:
  description: The rules for M(flotilla.swarm.swarm_nodes).
  type: dict
  returned: always
nodes:
  description: The nodes as wanted, for M(flotilla.swarm.swarm_nodes).
  type: list
  elements: dict
  returned: always
settings:
  description: The settings that change, each with RV(ignore:before) and RV(ignore:after).
  type: list
  elements: dict
  returned: always
no_answer:
  description: The hosts that did not answer.
  type: list
  elements: str
  returned: always
unlisted:
  description: Nodes of the swarm that are not in the inventory.
  type: list
  elements: str
  returned: always
failure:
  description: Why the plan was refused, with the code V(refused).
  type: dict
  returned: on failure
"""
