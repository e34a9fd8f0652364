#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_upgrade_plan
short_description: Plan the upgrade of the engines of a swarm
description:
  - Plans which engines are upgraded and in which order, and prints the plan. The plan has one zone at a time, workers before managers,
    one manager at a time, and the leader last. The playbook C(flotilla.swarm.upgrade_engine) carries it out.
  - Skips hosts whose engine is already the one that is asked for. Resumes an interrupted run, whose hosts come first. A host keeps a
    note until it is back in service.
  - Checks before anything changes that every host can get its packages and has room on its disks, and that no hazard of the table of
    known hazards applies. A hazard that stops services is refused, the others are warnings. Each has its source.
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
  to:
    description: Where the upgrade goes, see M(flotilla.swarm.swarm_upgrade_info). It is only displayed.
    type: str
    required: true
  observed:
    description: The result of M(flotilla.swarm.swarm_host_info) on each host, by the name of the host.
    type: dict
    required: true
  found:
    description: The result of M(flotilla.swarm.swarm_upgrade_info) on each host to upgrade, by the name of the host.
    type: dict
    required: true
  nodes:
    description: The hosts to upgrade, by their names in the inventory. V(all) means all hosts.
    type: list
    elements: str
    default: [all]
  batch:
    description: How many workers of one zone are upgraded together.
    type: int
    default: 1
  disk_free_mb:
    description: The space in megabytes that must be left on each file system that the upgrade writes to.
    type: int
    default: 500
  pins:
    description: The variable C(docker_engine_version) of each host. The plan warns about a version that the upgrade does not fit.
    type: dict
    default: {}
  hooks:
    description:
      - The task files to include on each host V(before) its drain and V(after) its return into service, each a path or a list of paths.
      - A relative path is relative to the directory of the inventory, or to the current directory.
    type: dict
    default: {}
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk, and warns about it.
      - V(downgrade), the version is older than the installed one.
      - V(quorum), the swarm has fewer than three managers. While one of them restarts, nothing can be changed and no task starts.
      - V(skew), the swarm would have engines of more than two releases at a time, or hosts would get different releases.
      - V(encrypted_overlays), encrypted overlay networks carry no traffic between the old and the new engine.
      - V(live_restore), V(nftables_backend), V(storage_driver) and V(daemon_json), a setting with which the new engine does not start, or
        not as a node of a swarm.
      - V(homeless_services), V(lack_of_room) and V(local_data), see M(flotilla.swarm.swarm_drain). This module ignores them.
    type: list
    elements: str
    choices:
      - daemon_json
      - downgrade
      - encrypted_overlays
      - homeless_services
      - lack_of_room
      - live_restore
      - local_data
      - nftables_backend
      - quorum
      - skew
      - storage_driver
    default: []
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: host

- name: See what an upgrade would install
  flotilla.swarm.swarm_upgrade_info:
    to: newest
  register: upgrade

- name: Print the order in which all engines would be upgraded
  flotilla.swarm.swarm_upgrade_plan:
    to: newest
    observed: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'host'))) }}"
    found: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'upgrade'))) }}"
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  upgrade of the engine to 26.1, one zone at a time, acting on m1
    - "  1  zone b  w2  worker   20.10.24 -> 26.1.5"
    - "  2  zone b  m2  manager  20.10.24 -> 26.1.5"
batches:
  description: The batches of hosts that are upgraded together, in order.
  type: list
  elements: list
  returned: always
  sample: [[w2], [m2]]
upgrade:
  description: The hosts whose engine changes. The other hosts in RV(batches) only go back into service.
  type: list
  elements: str
  returned: always
  sample: [w2, m2]
packages:
  description: The options of M(flotilla.swarm.docker_engine_packages) for each host in RV(upgrade).
  type: dict
  returned: always
node_ids:
  description: The node ID of each host in RV(batches) that is drained before the upgrade and put back into service afterwards.
  type: dict
  returned: always
  sample: {w2: 4wyc7i0q9iegkhgbnx6ydrzjv}
notes:
  description: The note of each host in RV(upgrade) until it is back in service, with its packages of before.
  type: dict
  returned: always
records:
  description: What the note of each host in RV(batches) becomes when it is back in service.
  type: dict
  returned: always
pending:
  description: The hosts in RV(batches) that an interrupted run has left half-done.
  type: list
  elements: str
  returned: always
go_back:
  description: How to restore the packages of before, by host.
  type: dict
  returned: always
gate:
  description: Whether the swarm must be healthy before the first batch. V(false) if an interrupted run has left an engine down.
  type: bool
  returned: always
managers:
  description: The managers that have a leader.
  type: list
  elements: str
  returned: always
  sample: [m1, m2, m3]
hooks:
  description: The absolute paths of O(hooks), as the lists V(before) and V(after).
  type: dict
  returned: always
  sample: {before: [], after: []}
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
