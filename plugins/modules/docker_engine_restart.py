#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_restart
short_description: Start or restart the Docker engine of a host, and keep the quorum
description:
  - Starts an engine, or restarts a running one, through systemd. The module waits until the engine answers and the host is an
    active member of its swarm again. On a manager, it also waits until the other managers reach it.
  - The module does not restart a manager while another manager is not reachable, or if the remaining managers would have no
    quorum. Run it on one manager at a time, so that never two of them are down together.
  - It writes the new configuration just before the restart, as M(flotilla.swarm.docker_engine_config) does. If the engine does not
    start with a new C(daemon.json), the module restores the old file and fails. The other hosts then still have their old
    configuration.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: The diff shows C(daemon.json). It only names other files, because they can have credentials.
  idempotent:
    support: partial
    details: With O(state=restarted), the module always restarts the engine.
options:
  daemon:
    description: The desired content of C(daemon.json). If not set, the file stays as it is.
    type: dict
  write:
    description: The content of other files to write, by path.
    type: dict
    default: {}
  remove:
    description: The files to remove.
    type: list
    elements: path
    default: []
  logins:
    description:
      - Logins of registries for root, by C(host:port). Each is C(username:password) in Base64, as Docker's configuration file has it.
      - The module adds them to C(/root/.docker/config.json), which only root can read. Other logins there stay.
    type: dict
    default: {}
  state:
    description:
      - V(started) starts the engine if it does not run.
      - V(restarted) restarts the engine.
      - Both enable the engine at boot.
    type: str
    choices: [started, restarted]
    default: started
  force:
    description: Restart a manager even if the others would lose the quorum, or if one of them is not reachable.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait until the engine, and on a manager its reachability, is back.
      - Before it restarts a manager, the module waits as long for other managers that are not reachable.
    type: int
    default: 120
  docker_host:
    description: The unix socket of the engine.
    type: str
    default: unix:///var/run/docker.sock
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Restart the engines of workers, two at a time
  flotilla.swarm.docker_engine_restart:
    state: restarted
  throttle: 2
"""

RETURN = r"""
files:
  description: The files that were written or removed. In check mode, those that would be.
  type: list
  elements: str
  returned: success
  sample: [/etc/docker/daemon.json]
version:
  description: The version of the running engine.
  type: str
  returned: success
  sample: 26.1.5
managers:
  description: The number of managers in the swarm, and of those that were reachable before. V(null) on other hosts.
  type: dict
  returned: always
  sample: {total: 3, reachable: 3}
seconds:
  description: The seconds until the engine and the node were back.
  type: float
  returned: success
  sample: 2.7
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample: {code: quorum, details: {total: 3, reachable: 2}}
"""

from ..module_utils._common.argspec import DEFAULT_DOCKER_HOST, Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._common.waiting import bounded
from ..module_utils._engine.config import CONFIG_ARGUMENTS
from ..module_utils._engine.restart import EngineRestart


def main() -> None:
    module = Module(
        argument_spec=dict(
            **CONFIG_ARGUMENTS,
            state=dict(type="str", choices=["started", "restarted"], default="started"),
            force=dict(type="bool", default=False),
            timeout=dict(type="int", default=120),
            docker_host=dict(type="str", default=DEFAULT_DOCKER_HOST),
        ),
        supports_check_mode=True,
    )
    restart = EngineRestart(module.params, bounded(module.run_command))
    try:
        module.exit_json(**restart.run(module.check_mode))
    except (SwarmError, OSError) as error:
        failure = failure_of(
            f"{'start' if module.params['state'] == 'started' else 'restart'} the engine", error
        )
        module.fail_json(
            msg=failure.message,
            failure=failure.as_failure(),
            managers=restart.managers,
            changed=restart.touched,
        )


if __name__ == "__main__":
    main()
