#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restore_plan
short_description: Plan the restore of a swarm from a backup
description:
  - Finds a backup on the controller, checks that it is complete and undamaged, and plans where and how it is restored. Prints the
    plan. It changes nothing.
  - A raft backup needs a host with the address of the manager that it is of. No listed host may be in a swarm that has a leader.
    An export can be given to any swarm, a new one too.
  - The playbook C(flotilla.swarm.restore) uses this module.
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
  path:
    description:
      - A backup on the controller, or a directory. Of a directory, the newest complete backup is taken.
      - Beside the encrypted file must be its meta file.
    type: str
    required: true
  kind:
    description: The kind of backup. Required for a directory that has both.
    type: str
    choices: [raft, export]
  identity_file:
    description: The file with the identity of age, on the controller. The module checks that it is one, and does not return it.
    type: str
    required: true
  observed:
    description: The result of M(flotilla.swarm.swarm_host_info) on each host, by the name of the host. Empty for a host that did
      not answer.
    type: dict
    required: true
  managers:
    description: The names of the managers in the inventory.
    type: list
    elements: str
    required: true
  progress:
    description: The notes that an interrupted restore has left, by the name of the host.
    type: dict
    default: {}
  unlock_key:
    description: Whether there is an unlock key. A raft backup that was taken with autolock on requires one.
    type: bool
    default: false
  confirm:
    description: The ID of the swarm, which confirms the restore of a raft backup. Not required in check mode.
    type: str
    default: ""
  accepted_risks:
    description:
      - The risks to accept.
      - V(silent_hosts), a host does not answer, and may still be in the old swarm.
      - V(older_engine), the host has an older engine than the manager that the backup is of.
    type: list
    elements: str
    choices: [silent_hosts, older_engine]
    default: []
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: host

- name: Plan the restore
  flotilla.swarm.swarm_restore_plan:
    path: backups
    identity_file: backup.identity
    observed: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars) | map(attribute='host'))) }}"
    managers: "{{ groups.swarm_managers }}"
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  restore of swarm w5n3ox from the raft backup of m2, taken 2026-11-29 07:45 UTC
    - "  1  m2  decrypt and check the backup in memory"
kind:
  description: The kind of the backup. Empty if none was found.
  type: str
  returned: always
  sample: raft
file:
  description: The path of the encrypted file on the controller.
  type: str
  returned: always
  sample: /backups/w5n3oxy1wp4f9908xa9fd7kyr/raft-20261129T074500Z-m2.tar.age
identity_file:
  description: The absolute path of the file with the identity, on the controller.
  type: str
  returned: always
  sample: /root/backup.identity
meta:
  description: The content of its meta file.
  type: dict
  returned: always
  sample: {kind: raft, host: m2, autolock: false}
host:
  description: The host where the raft backup is unpacked, or the manager that gives the swarm what the export has.
  type: str
  returned: always
  sample: m2
leave:
  description: The managers of a swarm without a leader. They leave it first.
  type: list
  elements: str
  returned: always
  sample: []
builds:
  description: Whether no listed host is in a swarm that lives.
  type: bool
  returned: always
  sample: true
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(not_found), V(bad_backup), V(bad_option), V(not_root) or V(os_error).
  type: dict
  returned: failure
  sample: {code: refused, details: {}}
"""
