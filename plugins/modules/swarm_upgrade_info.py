#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_upgrade_info
short_description: Observe what an upgrade of the engine would install on a host
description:
  - Asks C(apt) which packages an upgrade of the engine would install, without installing them. Also returns what the known hazards of
    upgrades depend on, such as the storage driver, the flavours of C(iptables) and the encrypted networks.
  - Refreshes the package lists if they are older than an hour or lack the version, also in check mode.
  - Works without the Docker SDK for Python, and if the engine does not answer. If the upgrade is not possible on this host, the module
    succeeds and returns why in RV(problem), so that a plan can name the problems of all hosts.
  - M(flotilla.swarm.swarm_upgrade_plan) plans with the results of all hosts.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It changes nothing but the package lists.
  idempotent:
    support: full
options:
  to:
    description:
      - A version, or its leading numbers, for example V(26.1); a suite of the package sources, for example V(trixie); or V(newest).
      - V(newest) is the version that C(apt) prefers by the pins of the host. A version and a suite are also found if a pin excludes them.
      - The engine and the C(docker) command change together. With a suite or V(newest), containerd changes as well. Other packages change
        only if these need them.
    type: str
    required: true
  engine_only:
    description: Do not ask C(apt). For a host that is not upgraded itself, but whose engine knows the networks of the swarm.
    type: bool
    default: false
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
  lock_timeout:
    description: Seconds to wait for another process that has the lock of the package manager.
    type: int
    default: 300
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: See what an upgrade would install
  flotilla.swarm.swarm_upgrade_info:
    to: "26.1"
  register: upgrade

- name: Show it
  ansible.builtin.debug:
    msg: "{{ upgrade.problem.message if upgrade.problem else upgrade.install }}"
"""

RETURN = r"""
packages:
  description: The packages of the engine, of the C(docker) command and of containerd. Empty if C(dpkg) has none for the engine.
  type: list
  elements: str
  returned: always
  sample: [docker.io, docker-cli, containerd]
installed:
  description: The version of the package of the engine. V(null) while it is installed incompletely.
  type: str
  returned: always
  sample: 20.10.24+dfsg1-1+deb12u1
target:
  description: The version that this package would have.
  type: str
  returned: always
  sample: 26.1.5+dfsg1-9
install:
  description: The packages to install, with their exact versions.
  type: dict
  returned: always
  sample: {docker.io: 26.1.5+dfsg1-9, docker-cli: 26.1.5+dfsg1-9}
remove:
  description: The packages to remove.
  type: list
  elements: str
  returned: always
before:
  description: The present versions of the packages that change. V(null) for a new one.
  type: dict
  returned: always
  sample: {docker.io: 20.10.24+dfsg1-1+deb12u1, docker-cli: null}
download_bytes:
  description: What C(apt) downloads, unless it has it already.
  type: int
  returned: always
unpacked_bytes:
  description: What the packages take on disk.
  type: int
  returned: always
disks:
  description: The file systems that the upgrade writes to.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: A path on it.
      type: str
    free_bytes:
      description: What is free.
      type: int
    need_bytes:
      description: What the packages need.
      type: int
engine:
  description: What the engine says of itself. V(null) if it does not answer.
  type: dict
  returned: always
  sample: {version: 20.10.24, api_version: "1.41", min_api_version: "1.12", storage_driver: overlay2, encrypted_networks: []}
iptables:
  description: The flavour of the C(iptables) command, and the flavours in which Docker has chains.
  type: dict
  returned: always
  sample: {flavour: nf_tables, chains: [nf_tables]}
problem:
  description: Why this host cannot be upgraded. V(null) if it can.
  type: dict
  returned: always
  contains:
    code:
      description: A failure code.
      type: str
    message:
      description: The reason.
      type: str
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample: {code: bad_option, details: {}}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError, failure_of, shown
from ..module_utils._lifecycle.package_offers import is_target
from ..module_utils._lifecycle.upgrade_info import empty_info, upgrade_info


def main() -> None:
    module = Module(
        argument_spec=dict(
            to=dict(type="str", required=True),
            engine_only=dict(type="bool", default=False),
            docker_host=docker_argument_spec()["docker_host"],
            timeout=dict(type="int", default=30),
            lock_timeout=dict(type="int", default=300),
        ),
        supports_check_mode=True,
    )
    try:
        to = module.params["to"]
        if not is_target(to):
            raise SwarmError(
                "bad_option",
                f"Could not start: to is {shown(to)}, it must be a version such as 26.1, a suite such as trixie, or newest."
                " Correct it and run again.",
            )
        module.exit_json(changed=False, **upgrade_info(module))
    except (SwarmError, OSError) as error:
        failure = failure_of("observe the packages", error)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **empty_info())


if __name__ == "__main__":
    main()
