#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_backup
short_description: Back up a swarm without a dip, encrypted and read back
description:
  - Makes a raft backup and a logical export of a swarm. Run it on all managers at the same time, as the playbook
    C(flotilla.swarm.back_up) does. All of them choose the same manager, and this one acts.
  - The chosen manager is reachable and is not the leader. The module refuses if the swarm would have no quorum without it.
  - The manager moves its tasks to other nodes, stops its engine, writes C(/var/lib/docker/swarm) as an archive into the program
    age, starts its engine and goes back into service. The engine is stopped for some seconds. No clear copy is on a disk.
  - With autolock, the manager is locked after the start. The module reads the unlock key from the swarm before, and unlocks the
    manager. Autolock stays on.
  - The module reads the raft backup back with a key that exists for this run only. The backup counts if the archive is complete,
    and, with autolock, if the unlock key opens it. Otherwise it is removed.
  - A service of systemd on the manager does the work, so a lost connection or a killed run of Ansible does not interrupt it. If the
    service itself is killed, systemd starts it again, and it starts and unlocks the engine.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each call makes a backup.
options:
  dir:
    description:
      - The directory of the backups on the host, which can be a mounted share. It gets a directory for each swarm, named by the ID of
        the swarm.
    type: path
    default: /var/backups/flotilla.swarm
  recipients:
    description:
      - The recipients of age who can decrypt the backups, for example V(age1...). C(age-keygen) makes an identity and prints its
        recipient.
    type: list
    elements: str
    required: true
  keep_count:
    description: How many backups of each kind to keep in the directory of the swarm. The oldest ones are deleted.
    type: int
    default: 7
  keep_days:
    description: Delete backups that are older than this number of days, except the newest of each kind. V(0) means no limit.
    type: int
    default: 0
  unlock_key:
    description:
      - The unlock key that is kept for a restore. With autolock, it must open the raft backup.
      - If not set, the unlock key of the swarm is used for this check.
    type: str
  among:
    description: The IDs of the nodes that can be chosen. If not set, any manager can be chosen.
    type: list
    elements: str
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk, and returns it in RV(notes).
      - V(quorum), the swarm has no quorum while the engine is stopped, for example because it has a single manager.
      - V(other_containers), containers outside the swarm stop with the engine, and Docker does not start them again.
      - V(homeless_services), V(lack_of_room) and V(local_data), see M(flotilla.swarm.swarm_drain).
    type: list
    elements: str
    choices: [quorum, other_containers, homeless_services, lack_of_room, local_data]
    default: []
  drain_timeout:
    description: Seconds to wait until the tasks of the manager run on other nodes.
    type: int
    default: 300
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
notes:
  - The role flotilla.swarm.swarm_backup must have installed the service on the managers.
  - The packages C(age), C(python3-nacl) and C(python3-cryptography) must be installed on the managers.
seealso:
  - module: flotilla.swarm.swarm_export
  - module: flotilla.swarm.swarm_backup_timer
"""

EXAMPLES = r"""
- name: Back up the swarm
  flotilla.swarm.swarm_backup:
    dir: /mnt/backups
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
  register: backup
"""

RETURN = r"""
acting:
  description: The manager that makes the backup. Empty if the host cannot tell. All other keys are those of this manager.
  type: str
  returned: always
  sample: m2
plan:
  description: The plan as lines of text. Empty on the managers that do not act.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  backup of swarm 4wyc7i by m2 (is not the leader), into /var/backups/flotilla.swarm/4wyc7i0q9iegkhgbnx6ydrzjv
    - "  ~ stop    the engine of m2  managers 3 -> 2 of 3 reachable, quorum 2"
steps:
  description: The plan as data, in order.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(write), V(drain), V(stop), V(start), V(undrain), V(check) or V(delete).
      type: str
      sample: stop
    object:
      description: What the step changes.
      type: str
      sample: the engine of m2
    detail:
      description: The reason, or what changes.
      type: str
      sample: managers 3 -> 2 of 3 reachable, quorum 2
applied:
  description: What was done, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [write export-20261129T074500Z-m2.json.age, drain m2, activate m2]
notes:
  description: Accepted risks, and what the run has found, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
cluster_id:
  description: The ID of the swarm.
  type: str
  returned: always
  sample: 4wyc7i0q9iegkhgbnx6ydrzjv
files:
  description: The paths of the new files. In check mode, with the present time.
  type: list
  elements: str
  returned: always
  sample: [/var/backups/flotilla.swarm/4wyc7i0q9iegkhgbnx6ydrzjv/raft-20261129T074500Z-m2.tar.age]
digests:
  description: The SHA-256 digests of the encrypted files, by name.
  type: dict
  returned: always
  sample: {raft-20261129T074500Z-m2.tar.age: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
raft:
  description: The path and the meta file of the raft backup. C(key_needed) tells whether a restore needs the unlock key.
  type: dict
  returned: always
  sample: {path: /var/backups/flotilla.swarm/4wyc7i0q9iegkhgbnx6ydrzjv/raft-20261129T074500Z-m2.tar.age, key_needed: true}
export:
  description: The path and the meta file of the logical export.
  type: dict
  returned: always
  sample: {path: /var/backups/flotilla.swarm/4wyc7i0q9iegkhgbnx6ydrzjv/export-20261129T074500Z-m2.json.age}
deleted:
  description: The old backups that were deleted.
  type: list
  elements: str
  returned: always
  sample: []
seconds:
  description: The duration of the backup. V(null) if none was made.
  type: float
  returned: always
  sample: 21.4
stopped_seconds:
  description: For how long the engine did not serve the swarm. V(null) if it was not stopped.
  type: float
  returned: always
  sample: 5.1
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(in_progress), V(wrong_unlock_key), V(bad_copy), V(interrupted), V(not_installed), V(no_space),
      V(no_age), V(age_failed), V(systemctl_failed), V(not_stopped), V(not_back), V(locked), V(no_pipelining), one of
      M(flotilla.swarm.swarm_drain), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: refused, details: {}}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._lifecycle.backup_plan import BACKUP_RISKS, check_form, parse_wanted
from ..module_utils._lifecycle.backup_request import Outcome, back_up


def main() -> None:
    module = Module(
        argument_spec=dict(
            dir=dict(type="path", default="/var/backups/flotilla.swarm"),
            recipients=dict(type="list", elements="str", required=True),
            keep_count=dict(type="int", default=7),
            keep_days=dict(type="int", default=0),
            unlock_key=dict(type="str", no_log=True),
            among=dict(type="list", elements="str"),
            accepted_risks=dict(
                type="list", elements="str", choices=list(BACKUP_RISKS), default=[]
            ),
            drain_timeout=dict(type="int", default=300),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        limits=dict(keep_count=1, drain_timeout=1, recipients=0),
        supports_check_mode=True,
    )
    given = dict(module.params)
    among, key = given.pop("among"), given.pop("unlock_key") or ""
    outcome = Outcome()
    error = None
    try:
        check_form(given)
        back_up(given, parse_wanted(given), among, key, module.check_mode, outcome)
    except SwarmError as caught:
        error = caught
    except OSError as caught:
        error = failure_of("back up the swarm", caught)
    result = dict(vars(outcome), diff={})
    if error is not None:
        result["changed"] = bool(outcome.applied)
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
