#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_reset
short_description: Take a host out of its swarm, and remove the engine and its data
description:
  - Takes this host out of the swarm O(cluster_id), also if the host is locked, or if the swarm has lost its quorum. The
    certificate of the node tells which swarm it is in.
  - If the engine does not answer, or does not leave within O(leave_timeout) seconds, the module stops it and removes the files of
    the swarm.
  - Waits until the engine is in no swarm and its ports are closed.
  - The playbook C(flotilla.swarm.reset) calls this module on all hosts in a safe order. It also makes the checks that no
    host can make alone.
  - Works without the Docker SDK for Python.
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: The steps are in RV(steps).
  idempotent:
    support: full
options:
  docker_host:
    description:
      - The unix socket of the engine.
      - If not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  timeout:
    description: Seconds to wait for each answer of the engine, after its first answer.
    type: int
    default: 30
  observe_timeout:
    description: Seconds that the engine has to give its first answer.
    type: int
    default: 15
  leave_timeout:
    description: Seconds that the engine has to leave the swarm, from 1 to 1200. After that, the module stops it.
    type: int
    default: 120
  state:
    description:
      - V(observed), return the state of the host and change nothing.
      - V(left), take the host out of the swarm.
      - V(removed), do everything that O(depth) says.
    type: str
    choices: [observed, left, removed]
    default: observed
  depth:
    description:
      - V(swarm), the engine keeps running.
      - V(engine), also remove its packages, C(daemon.json), and the repository that the role
        P(flotilla.swarm.docker_engine#role) has set up.
      - V(data), also remove its images, containers and volumes, wherever its data-root is.
    type: str
    choices: [swarm, engine, data]
    default: swarm
  cluster_id:
    description:
      - The ID of the swarm. A host in another swarm is refused. V(no-swarm) for a host that must be in none.
      - Required if O(state=left) or O(state=removed).
    type: str
notes:
  - The data of a volume that is mounted from elsewhere stays. The module unmounts it first.
  - The files of backups in C(/var/lib/flotilla.swarm) stay.
"""

EXAMPLES = r"""
- name: Take a host out of its swarm
  flotilla.swarm.swarm_reset:
    state: left
    cluster_id: vwabnma8z6ix8tom9jkh3ggij
"""

RETURN = r"""
host:
  description:
    - The host before the call, with C(state), C(answers), C(cluster_id), C(node_id), C(role), C(nodes), C(remote_managers),
      C(addresses), C(objects), C(containers), C(volumes), C(packages), C(files), C(data), C(data_root), C(notes), C(note) and
      C(services).
    - If the host could not be observed, it is empty.
  type: dict
  returned: always
  sample: {state: active, answers: true, cluster_id: vwabnma8z6ix8tom9jkh3ggij, role: worker, volumes: 2}
steps:
  description: What the module has to do, in order.
  type: list
  elements: str
  returned: always
  sample: [leave the swarm, remove the notes of this collection]
applied:
  description: What was done, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [left the swarm]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(foreign_swarm), V(not_reset), V(bad_data_root), V(bad_option), V(not_root), V(apt_failed), V(locked),
      V(systemctl_failed), V(not_stopped), V(not_back), V(os_error), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: foreign_swarm, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._lifecycle.reset import Reset, observe, plan
from ..module_utils._lifecycle.reset_plan import DEPTHS, SWARM


def main() -> None:
    module = Module(
        argument_spec=dict(
            docker_host=docker_argument_spec()["docker_host"],
            timeout=dict(type="int", default=30),
            observe_timeout=dict(type="int", default=15),
            leave_timeout=dict(type="int", default=120),
            state=dict(type="str", choices=["observed", "left", "removed"], default="observed"),
            depth=dict(type="str", choices=list(DEPTHS), default=SWARM),
            cluster_id=dict(type="str"),
        ),
        # The playbook ends the whole task after 1800 seconds.
        limits=dict(observe_timeout=1, leave_timeout=(1, 1200)),
        supports_check_mode=True,
    )
    params = module.params
    applied: list[str] = []
    result: dict[str, Any] = dict(changed=False, host={}, steps=[], applied=applied)
    try:
        if params["state"] != "observed" and not params["cluster_id"]:
            raise SwarmError(
                "bad_option",
                "Could not reset this host: cluster_id is missing. Set it to the ID of the swarm (docker info).",
            )
        seen = observe(params)
        steps = plan(seen, params)
        result.update(host=seen, steps=steps, changed=bool(steps))
        if not module.check_mode:
            Reset(params, module.run_command, applied).carry_out(seen, steps)
    except (SwarmError, OSError) as error:
        failure = failure_of("reset this host", error)
        result["changed"] = bool(applied)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
