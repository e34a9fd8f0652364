#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_recover
short_description: Make a host the only manager of a swarm that has lost its quorum, or make it leave
description:
  - Carries out one host's part of the plan of M(flotilla.swarm.swarm_recover_plan). Use the playbook C(flotilla.swarm.recover_quorum),
    which decides on which host.
  - Opens the key file of a locked manager with the unlock key. Docker's own commands cannot recover a swarm with autolock. Turns
    autolock on again with a new key.
  - Copies the folder of the swarm before it changes anything, and keeps the copy.
  - The next call resumes an interrupted one. The host keeps C(/var/lib/flotilla.swarm/recover.json) until its steps are done.
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
options:
  state:
    description:
      - V(recovered) makes the host the only manager of its swarm, with its raft log.
      - V(left) copies the files of a manager and makes it leave, so that it cannot come back with its old raft log.
    type: str
    choices: [recovered, left]
    required: true
  cluster_id:
    description: The ID of the swarm. The module fails on a manager of another swarm.
    type: str
    required: true
  unlock_key:
    description: The unlock key. A manager with a locked key file needs it.
    type: str
  autolock:
    description: Turn on autolock at once when the swarm is recovered.
    type: bool
    default: false
  copy_folder:
    description: The folder for the copy of the swarm's files. Only root can read it.
    type: path
    default: /var/lib/flotilla.swarm/recover
  docker_host:
    description:
      - The unix socket of the engine.
      - If not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  timeout:
    description: Seconds to wait for each answer of the engine.
    type: int
    default: 30
  observe_timeout:
    description: Seconds that the engine has to give its first answer.
    type: int
    default: 15
  wait_timeout:
    description: Seconds to wait for the engine to force a new swarm, or to leave. If it takes longer, the engine is restarted.
    type: int
    default: 60
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Make this host the only manager
  flotilla.swarm.swarm_recover:
    state: recovered
    cluster_id: vuimnu900ys1hf3yqn8q7avfn
    unlock_key: "{{ swarm_unlock_key }}"
    autolock: true
"""

RETURN = r"""
steps:
  description: The steps, in order. In check mode, those that it would take.
  type: list
  elements: str
  returned: always
  sample: [stop, copy, open, start, force, restart, lock, remove]
applied:
  description: The steps that were completed, in order.
  type: list
  elements: str
  returned: always
  sample: [stop, copy, open, start, force, restart, lock, remove]
copy:
  description: Where the copy of the swarm's files is. V(null) if there is none.
  type: str
  returned: always
  sample: /var/lib/flotilla.swarm/recover/swarm-20261129T075109Z-vuimnu900ys1
seconds:
  description: How long it took, in seconds.
  type: float
  returned: always
  sample: 24.3
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(not_in_swarm), V(foreign_swarm), V(no_unlock_key), V(wrong_unlock_key), V(bad_key_file), V(no_crypto),
      V(unsupported_encryption), V(copy_failed), V(not_stopped), V(not_back), V(systemctl_failed), V(no_quorum), V(is_manager),
      V(timeout), V(no_sdk), V(no_pipelining), V(not_root), V(os_error), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: wrong_unlock_key, details: {}}
"""

import time

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._common.waiting import bounded
from ..module_utils._lifecycle.recovery import Recovery


def main() -> None:
    module = Module(
        argument_spec=dict(
            docker_host=docker_argument_spec()["docker_host"],
            state=dict(type="str", required=True, choices=["recovered", "left"]),
            cluster_id=dict(type="str", required=True),
            unlock_key=dict(type="str", no_log=True),
            autolock=dict(type="bool", default=False),
            copy_folder=dict(type="path", default="/var/lib/flotilla.swarm/recover"),
            timeout=dict(type="int", default=30),
            observe_timeout=dict(type="int", default=15),
            wait_timeout=dict(type="int", default=60),
        ),
        limits=dict(observe_timeout=1, wait_timeout=1),
        supports_check_mode=True,
    )
    began = time.monotonic()
    recovery = Recovery(module.params, bounded(module.run_command, 600))

    def result() -> dict[str, object]:
        return {
            "steps": recovery.steps,
            "applied": recovery.applied,
            "copy": recovery.copy,
            "seconds": round(time.monotonic() - began, 1),
        }

    try:
        recovery.run(module.check_mode)
    except (SwarmError, OSError) as error:
        failure = failure_of("recover the swarm on this host", error)
        module.fail_json(
            msg=failure.message,
            failure=failure.as_failure(),
            changed=bool(recovery.applied),
            **result(),
        )
    module.exit_json(changed=bool(recovery.steps), **result())


if __name__ == "__main__":
    main()
