#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_image_report
short_description: Plan and report which images go to which nodes
description:
  - Shows what the playbooks C(flotilla.swarm.ship_images) and C(flotilla.swarm.pull_images) would do on each node, or have done.
  - For images that are shipped, it chooses the node that brings them to the others. That is the node that lacks the fewest bytes.
  - Runs on the controller and connects to no host. With O(done=true), it fails if a node has not got its images.
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
  action:
    description: What the playbook does.
    type: str
    choices: [ship, pull]
    required: true
  chosen:
    description: The result of M(flotilla.swarm.swarm_image_targets).
    type: dict
    required: true
  observed:
    description: The result of M(flotilla.swarm.swarm_host_info) on each host, by the name of the host. It is empty for a host that
      did not answer.
    type: dict
    required: true
  found:
    description: The result of M(flotilla.swarm.swarm_ship) or M(flotilla.swarm.swarm_pull) in check mode on each host, by its name.
    type: dict
    default: {}
  results:
    description: The same after the real run, with O(done=true).
    type: dict
    default: {}
  images:
    description: The result C(images) of M(flotilla.swarm.swarm_ship_source), with O(action=ship).
    type: list
    elements: dict
    default: []
  build_host:
    description: The host that has the images, if it is not the controller.
    type: str
    default: ""
  done:
    description: Whether the results are those of the real run.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Show the plan
  flotilla.swarm.swarm_image_report:
    action: pull
    chosen: "{{ chosen }}"
    observed: "{{ dict(ansible_play_hosts_all | zip(observed)) }}"
    found: "{{ dict(ansible_play_hosts_all | zip(found)) }}"
  run_once: true
"""

RETURN = r"""
plan:
  description: The table as lines of text.
  type: list
  elements: str
  returned: always
  sample: ["PLAN  ship 1 image, 32 MB, from the controller"]
wanting:
  description: The hosts that lack something.
  type: list
  elements: str
  returned: always
  sample: [m1, w1]
seeds:
  description: The hosts that could bring shipped images to the others, the best one first.
  type: list
  elements: str
  returned: always
  sample: [m1, w1]
serve:
  description: The layers that each of RV(seeds), or the build host, serves to the others, with their sizes.
  type: dict
  returned: always
from_controller:
  description: The bytes of layers that leave the controller.
  type: int
  returned: always
  sample: 32000512
failed_nodes:
  description: The nodes that have not got, or cannot get, their images.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description: Why the module failed. The code is V(bad_option), or V(images_missing) if nodes have not got their images.
  type: dict
  returned: failure
  sample: {code: images_missing, details: {nodes: [w3]}}
"""
