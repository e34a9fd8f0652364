#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_config
short_description: Write the configuration files of the Docker engine
description:
  - Carries out in one call what the role P(flotilla.swarm.docker_engine#role) has planned for C(daemon.json), the systemd
    drop-in with the proxies, and the CA certificates of registries.
  - C(dockerd --validate) checks the new C(daemon.json) before it replaces the old file. Engines before 23.0 do not have this
    check. The module keeps the old file until an engine has started with the new one, see
    M(flotilla.swarm.docker_engine_restart).
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: The diff shows C(daemon.json). It only names other files, because they can have credentials.
  idempotent:
    support: full
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
  restart:
    description: Whether the change needs a restart of the running engine. The host keeps a note of it until the engine has restarted.
    type: bool
    default: false
  reload:
    description: Make the running engine reload C(daemon.json).
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Rotate the logs of containers
  flotilla.swarm.docker_engine_config:
    daemon:
      log-opts:
        max-size: 10m
        max-file: "3"
    restart: true
"""

RETURN = r"""
files:
  description: The files that were written or removed. In check mode, those that would be.
  type: list
  elements: str
  returned: always
  sample: [/etc/docker/daemon.json]
validated:
  description: Whether the engine has validated C(daemon.json).
  type: bool
  returned: always
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample: {code: bad_daemon_config, details: {}}
"""

from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._common.waiting import bounded
from ..module_utils._engine.config import CONFIG_ARGUMENTS, configure


def main() -> None:
    module = Module(
        argument_spec=dict(
            **CONFIG_ARGUMENTS,
            restart=dict(type="bool", default=False),
            reload=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    try:
        run = bounded(module.run_command)
        module.exit_json(**configure(module.params, run, module.check_mode))
    except (SwarmError, OSError) as error:
        failure = failure_of("configure the engine", error)
        module.fail_json(
            msg=failure.message, failure=failure.as_failure(), files=[], validated=False
        )


if __name__ == "__main__":
    main()
