#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_restart
short_description: Start or restart the Docker engine of a host without endangering the swarm
description:
  - Starts an engine, or restarts a running one through systemd, and waits until it is back where it was. It answers,
    the host is an active member of its swarm again and, if it is a manager, the managers see it as reachable.
  - A manager is not restarted while another one is not reachable, nor when the managers that remain would be too few
    for a quorum. Let a play run it on one manager at a time, and never two of them are down at once.
  - New configuration is written just before, as M(flotilla.swarm.docker_engine_config) does it, so that no other
    host is left with settings that an engine has not come up with. If it does not come up with a new C(daemon.json),
    the old file is put back and the module fails.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Of C(daemon.json). Other files may hold credentials and are named only.
  idempotent:
    support: partial
    details: With O(state=restarted) it always restarts.
options:
  daemon:
    description: All that C(daemon.json) shall hold. Not set leaves the file alone.
    type: dict
  write:
    description: Other files to write, the content by path.
    type: dict
    default: {}
  remove:
    description: Files to remove.
    type: list
    elements: path
    default: []
  state:
    description:
      - With V(started) an engine that does not run is started.
      - With V(restarted) it is restarted.
      - Both make it start at boot.
    type: str
    choices: [started, restarted]
    default: started
  force:
    description: Restart a manager even if the others would lose the quorum or one of them is not reachable.
    type: bool
    default: false
  timeout:
    description:
      - Seconds until the engine, and the manager, must be back.
      - Before a manager is restarted, other managers that are not reachable are waited for as long.
    type: int
    default: 120
  docker_host:
    description: The unix socket on which the engine listens.
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
  description: The configuration files that were, or would be, written or removed.
  type: list
  elements: str
  returned: success
  sample: [/etc/docker/daemon.json]
version:
  description: The version of the engine that now runs.
  type: str
  returned: success
  sample: 26.1.5
managers:
  description: How many managers the swarm has, and how many of them were reachable before; V(null) on other hosts.
  type: dict
  returned: always
  sample: {total: 3, reachable: 3}
seconds:
  description: How long it took until everything was back.
  type: float
  returned: success
  sample: 2.7
failure:
  description: What went wrong, for machines. RV(ignore:code) never changes for the same cause.
  type: dict
  returned: failure
  sample: {code: quorum, details: {total: 3, reachable: 2}}
"""

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import Module
from ansible_collections.flotilla.swarm.plugins.module_utils._config import CONFIG_ARGUMENTS
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import (
    SwarmError,
    failure_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._restart import Restart
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import bounded


def main() -> None:
    module = Module(
        argument_spec=dict(
            **CONFIG_ARGUMENTS,
            state=dict(type="str", choices=["started", "restarted"], default="started"),
            force=dict(type="bool", default=False),
            timeout=dict(type="int", default=120),
            docker_host=dict(type="str", default="unix:///var/run/docker.sock"),
        ),
        supports_check_mode=True,
    )
    restart = Restart(module.params, bounded(module.run_command))
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
