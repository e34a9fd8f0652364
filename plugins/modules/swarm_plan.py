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
  previous:
    description: The result of the plan made before in the same run. The new one is then printed only if it is
      refused.
    type: dict
    default: {}
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
      description: V(engine), V(init), V(join), V(settings), V(labels) or V(availability).
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
join_managers:
  description: The hosts that join as managers.
  type: list
  elements: str
  returned: always
join_workers:
  description: The hosts that join as workers.
  type: list
  elements: str
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
