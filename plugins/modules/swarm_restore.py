#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_restore
short_description: Restore a raft backup on a host
description:
  - Puts the state of a manager from an encrypted backup in the place of the state of this host, and makes the host the only
    manager of that swarm. The other hosts join again afterwards.
  - Nothing is changed until the whole backup was decrypted and read, in memory. The module moves what was there before to
    C(swarm.before-restore-N) beside it, and never deletes it.
  - If autolock was on when the backup was taken, the module opens the key file with the unlock key of that time. It turns
    autolock on again at once. That makes a new unlock key, which C(docker swarm unlock-key) shows.
  - The note C(/var/lib/flotilla.swarm/restore.json) says how far the host has got. The next call finishes an interrupted one.
  - The playbook C(flotilla.swarm.restore) checks the other hosts before it calls this module, and lets them join afterwards.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details: As long as the note is on the host.
options:
  file:
    description: The path of the encrypted file on the host.
    type: path
    required: true
  meta:
    description: The content of the meta file of the backup.
    type: dict
    required: true
  identity:
    description:
      - The identity of age that can read the file.
      - The module gives it to age on the standard input. It is in no file and in no argument list.
      - The task requires pipelining. Without it, Ansible would write the identity into a file on the host.
    type: str
    required: true
  unlock_key:
    description:
      - The unlock key of the swarm at the time of the backup. Required if autolock was on then.
      - Requires pipelining too.
    type: str
  accepted_risks:
    description:
      - The risks to accept.
      - V(older_engine), the engine of this host is older than that of the backup.
      - V(silent_hosts) is for M(flotilla.swarm.swarm_restore_plan), and has no effect here.
    type: list
    elements: str
    choices: [silent_hosts, older_engine]
    default: []
  wait_timeout:
    description: Seconds to wait until the engine answers, and until the manager has a leader.
    type: int
    default: 120
  docker_host:
    description: The unix socket of the engine.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  timeout:
    description: Seconds to wait for each answer of the engine.
    type: int
    default: 60
author:
  - The Flotilla authors (@flotilla-swarm)
notes:
  - The host needs systemd, the package C(age), and, for an unlock key, the packages C(python3-nacl) and C(python3-cryptography).
  - In check mode, a host without these packages is no failure, because the playbook installs them. RV(checked) is V(false) then.
"""

EXAMPLES = r"""
- name: Restore the state of a manager
  flotilla.swarm.swarm_restore:
    file: /root/raft-20261129T074500Z-m1.tar.age
    meta: "{{ lookup('ansible.builtin.file', 'raft-20261129T074500Z-m1.meta.json') | from_json }}"
    identity: "{{ lookup('ansible.builtin.file', 'backup.identity') }}"
    unlock_key: "{{ swarm_unlock_key }}"
"""

RETURN = r"""
steps:
  description: The plan, in order.
  type: list
  elements: str
  returned: always
  sample: [stop the engine, unpack the backup, start the engine, force a new cluster]
applied:
  description: What was done, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [stop the engine, unpack the backup]
checked:
  description: Whether the backup was decrypted and read as a whole, and its key file opened.
  type: bool
  returned: always
  sample: true
notes:
  description: What could not be checked, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(bad_backup), V(wrong_identity), V(no_age), V(age_failed), V(no_unlock_key), V(wrong_unlock_key),
      V(bad_key_file), V(unsupported_encryption), V(no_crypto), V(no_pipelining), V(no_sdk), V(not_root), V(os_error),
      V(systemctl_failed), V(not_stopped), V(not_back), V(timeout), V(other_swarm), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: wrong_identity, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import DEFAULT_DOCKER_HOST, Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._common.waiting import bounded
from ..module_utils._lifecycle.backup_files import parse_meta
from ..module_utils._lifecycle.restore_host import (
    Restore,
    Wanted,
    check,
    missing_tools,
    observe,
    plan,
    refuse_without_sdk,
)
from ..module_utils._lifecycle.restore_plan import OLDER_ENGINE, RESTORE_RISKS


def main() -> None:
    module = Module(
        argument_spec=dict(
            file=dict(type="path", required=True),
            meta=dict(type="dict", required=True),
            identity=dict(type="str", required=True, no_log=True),
            unlock_key=dict(type="str", no_log=True),
            accepted_risks=dict(
                type="list", elements="str", choices=list(RESTORE_RISKS), default=[]
            ),
            wait_timeout=dict(type="int", default=120),
            docker_host=dict(type="str", default=DEFAULT_DOCKER_HOST, aliases=["docker_url"]),
            timeout=dict(type="int", default=60),
        ),
        limits=dict(wait_timeout=1),
        supports_check_mode=True,
    )
    hidden = module.take_out("identity", "unlock_key")
    given = module.params
    result: dict[str, Any] = dict(changed=False, steps=[], applied=[], checked=False, notes=[])
    try:
        meta = parse_meta(given["meta"], "meta")
        wanted = Wanted(
            file=given["file"],
            cluster_id=meta["cluster_id"],
            sha256=meta["sha256"],
            address=meta["address"],
            engine_version=meta["engine_version"],
            autolock=meta["autolock"],
            older_engine=OLDER_ENGINE in given["accepted_risks"],
        )
        state = observe(given["docker_host"], given["timeout"], wanted)
        result["steps"] = plan(state, wanted)
        missing = missing_tools(meta["autolock"])
        if module.check_mode and missing and result["steps"]:
            result["notes"] = [
                f"the backup was not read: {', '.join(missing)} is missing here, and a run installs it before it reads the backup"
            ]
        elif result["steps"]:
            refuse_without_sdk()
            content = check(wanted, hidden["identity"], hidden["unlock_key"] or "")
            result["checked"] = True
            if not module.check_mode:
                params = {
                    **given,
                    "tls": False,
                    "validate_certs": False,
                    "api_version": "auto",
                }
                restore = Restore(params, wanted, bounded(module.run_command), result["applied"])
                restore.carry_out(state, result["steps"], content)
        result["changed"] = bool(result["steps"])
    except (SwarmError, OSError) as error:
        failure = failure_of("restore the backup on this host", error)
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
