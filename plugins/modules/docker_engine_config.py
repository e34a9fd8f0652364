#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_config
short_description: Write the Docker engine's configuration files
description:
  - Does in one call what the role P(flotilla.swarm.docker_engine#role) has planned for C(daemon.json), the systemd
    drop-in with the proxies and the CA certificates of registries.
  - C(daemon.json) is validated by C(dockerd --validate) before it replaces the old one, where the engine has that (23.0
    and newer). The old file is kept until an engine has come up with the new one,
    see M(flotilla.swarm.docker_engine_restart).
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Of C(daemon.json). Other files may hold credentials and are named only.
  idempotent:
    support: full
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
  restart:
    description: Whether the running engine has to be restarted for it. This is noted on the host, until it is done.
    type: bool
    default: false
  reload:
    description: Whether the running engine is told to read C(daemon.json) again.
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
  description: The files that were, or would be, written or removed.
  type: list
  elements: str
  returned: always
  sample: [/etc/docker/daemon.json]
validated:
  description: Whether the engine itself has validated C(daemon.json).
  type: bool
  returned: always
failure:
  description: What went wrong, for machines. RV(ignore:code) never changes for the same cause.
  type: dict
  returned: failure
  sample: {code: bad_daemon_config, details: {}}
"""

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import Module
from ansible_collections.flotilla.swarm.plugins.module_utils._config import CONFIG_ARGUMENTS, Config
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import (
    SwarmError,
    failure_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import bounded


def run(module: Module) -> dict[str, Any]:
    params = module.params
    config = Config(params, bounded(module.run_command))
    result = {"changed": bool(config.files), "files": config.files, "validated": config.validate()}
    if result["changed"] and not module.check_mode:
        config.write(params["restart"] or params["reload"])
        if params["reload"] and not params["restart"]:
            config.reload()
    return {**result, "diff": config.diff}


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
        module.exit_json(**run(module))
    except (SwarmError, OSError) as error:
        failure = failure_of("configure the engine", error)
        module.fail_json(
            msg=failure.message, failure=failure.as_failure(), files=[], validated=False
        )


if __name__ == "__main__":
    main()
