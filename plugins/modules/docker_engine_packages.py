#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_packages
short_description: Install, pin and hold the packages of the Docker engine on Debian and derivatives
description:
  - Carries out in one call what the role P(flotilla.swarm.docker_engine#role) has planned for the packages of a host.
    It repairs an interrupted C(dpkg), sets up Docker's repository with a key that is pinned by its fingerprint, resolves versions,
    and installs and holds packages.
  - The module starts and restarts no service. See M(flotilla.swarm.docker_engine_restart).
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: The packages are in RV(installed).
  idempotent:
    support: full
options:
  install:
    description: The packages to install or to change to another version, in the order in which the versions are resolved.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the package.
        type: str
        required: true
      version:
        description:
          - The full version of the package, or its leading numbers, for example V(28.5).
          - If empty, the newest version.
        type: str
        default: ""
      like:
        description: Another package that must have the same version.
        type: str
        default: ""
      optional:
        description: Skip the package if no repository has it.
        type: bool
        default: false
  hold:
    description: The packages to hold, so that no unattended upgrade changes them.
    type: list
    elements: str
    default: []
  unhold:
    description: The packages whose hold is removed.
    type: list
    elements: str
    default: []
  engine:
    description: The packages whose change needs a restart of a running engine.
    type: list
    elements: str
    default: []
  repository:
    description: The repository to set up first.
    type: dict
    suboptions:
      path:
        description: The path of the deb822 file.
        type: path
        required: true
      content:
        description: The content of the deb822 file.
        type: str
        required: true
      key_path:
        description: The path of the keyring file.
        type: path
        required: true
      key:
        description: The armored public key of the repository. If empty, the key is downloaded from O(repository.key_url).
        type: str
        default: ""
      key_url:
        description: The URL of the key.
        type: str
        default: ""
      fingerprint:
        description: The fingerprint that the key must have.
        type: str
        required: true
  allow_downgrade:
    description: Allow the module to replace a package with an older version.
    type: bool
    default: false
  remove:
    description: The packages that the others replace.
    type: list
    elements: str
    default: []
  repair:
    description: Complete an interrupted package installation first.
    type: bool
    default: false
  lock_timeout:
    description: Seconds to wait for another process that has the lock of the package manager.
    type: int
    default: 300
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Install and hold the engine of the distribution
  flotilla.swarm.docker_engine_packages:
    install:
      - name: docker.io
      - name: python3-docker
    hold: [docker.io]
    engine: [docker.io]
"""

RETURN = r"""
installed:
  description: The packages that were installed, with their exact versions.
  type: dict
  returned: always
  sample: {docker.io: 20.10.24+dfsg1-1+deb12u1}
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample: {code: no_version, details: {package: docker-ce}}
"""

from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._engine.packages import install_packages


def main() -> None:
    package = dict(
        name=dict(type="str", required=True),
        version=dict(type="str", default=""),
        like=dict(type="str", default=""),
        optional=dict(type="bool", default=False),
    )
    repository = dict(
        path=dict(type="path", required=True),
        content=dict(type="str", required=True),
        key_path=dict(type="path", required=True, no_log=False),
        key=dict(type="str", default="", no_log=False),
        key_url=dict(type="str", default="", no_log=False),
        fingerprint=dict(type="str", required=True),
    )
    module = Module(
        argument_spec=dict(
            install=dict(type="list", elements="dict", default=[], options=package),
            hold=dict(type="list", elements="str", default=[]),
            unhold=dict(type="list", elements="str", default=[]),
            engine=dict(type="list", elements="str", default=[]),
            repository=dict(type="dict", options=repository),
            allow_downgrade=dict(type="bool", default=False),
            remove=dict(type="list", elements="str", default=[]),
            repair=dict(type="bool", default=False),
            lock_timeout=dict(type="int", default=300),
        ),
        supports_check_mode=True,
    )
    try:
        module.exit_json(**install_packages(module))
    except (SwarmError, OSError) as error:
        failure = failure_of("install the packages", error)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), installed={})


if __name__ == "__main__":
    main()
