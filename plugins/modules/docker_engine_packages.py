#!/usr/bin/python

# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine_packages
short_description: Install, pin and hold the packages of the Docker engine on Debian and its kin
description:
  - Does in one call what the role P(flotilla.swarm.docker_engine#role) has planned for a host's packages.
    It repairs an interrupted C(dpkg), sets up Docker's repository with a key that is pinned by its fingerprint,
    resolves versions, installs and holds.
  - No service is started or restarted by it. See M(flotilla.swarm.docker_engine_restart).
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
    description: The packages to install or to bring to another version, in the order in which versions are resolved.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The package's name.
        type: str
        required: true
      version:
        description:
          - All of the package's version, or its leading numbers, for example V(28.5).
          - Empty takes the newest.
        type: str
        default: ""
      like:
        description: A package whose version this one must have.
        type: str
        default: ""
      optional:
        description: Whether it is no failure when no repository has the package.
        type: bool
        default: false
  hold:
    description: Packages to hold, so that no unattended upgrade changes them.
    type: list
    elements: str
    default: []
  unhold:
    description: Packages to release.
    type: list
    elements: str
    default: []
  engine:
    description: The packages whose change a running engine takes in only when it is restarted.
    type: list
    elements: str
    default: []
  repository:
    description: A repository to set up first.
    type: dict
    suboptions:
      path:
        description: The deb822 file.
        type: path
        required: true
      content:
        description: The file's content.
        type: str
        required: true
      key_path:
        description: The keyring file.
        type: path
        required: true
      key:
        description: The repository's public key, armored. Empty takes it from O(repository.key_url).
        type: str
        default: ""
      key_url:
        description: Where to download the key from.
        type: str
        default: ""
      fingerprint:
        description: The fingerprint that the key must have.
        type: str
        required: true
  allow_downgrade:
    description: Whether a package may be replaced by an older version.
    type: bool
    default: false
  remove:
    description: Packages in whose place the others are installed.
    type: list
    elements: str
    default: []
  repair:
    description: Whether to finish first what an interrupted package run left.
    type: bool
    default: false
  lock_timeout:
    description: Seconds to wait for another process that uses the package manager.
    type: int
    default: 300
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Install the distribution's engine and hold it
  flotilla.swarm.docker_engine_packages:
    install:
      - name: docker.io
      - name: python3-docker
    hold: [docker.io]
    engine: [docker.io]
"""

RETURN = r"""
installed:
  description: Each package that was installed, with its exact version.
  type: dict
  returned: always
  sample: {docker.io: 20.10.24+dfsg1-1+deb12u1}
failure:
  description: What went wrong, for machines. RV(ignore:code) never changes for the same cause.
  type: dict
  returned: failure
  sample: {code: no_version, details: {package: docker-ce}}
"""

import os
import tempfile
import time
from typing import Any

from ansible.module_utils.urls import fetch_url

from ansible_collections.flotilla.swarm.plugins.module_utils import _host, _openpgp
from ansible_collections.flotilla.swarm.plugins.module_utils._apt import Apt, wanted_versions
from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import Module
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import (
    SwarmError,
    failure_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import bounded

# Seconds. A slow mirror may take its time; a package's script that waits for ever may not.
LONGEST_APT = 1800


def pinned_key(module: Module, repository: dict[str, Any]) -> str:
    """The repository's key, armored, once its fingerprint is found to be the pinned one."""
    if repository["key"]:
        origin, data = "docker_engine_repository_key", repository["key"].encode("utf-8")
    else:
        origin = repository["key_url"]
        response, info = fetch_url(module, origin, timeout=30)
        if info["status"] not in (200, None):
            raise SwarmError(
                "no_key",
                f"Could not download the repository's key from {origin}: {info['msg']}. Set "
                "docker_engine_repository_key_url, or give the key in docker_engine_repository_key.",
                status=info["status"],
            )
        data = response.read()
    try:
        found = _openpgp.fingerprints(data)
        text = _openpgp.armor(_openpgp.dearmor(data))
    except _openpgp.NotAKey as exc:
        raise SwarmError(
            "not_a_key", f"Could not use the key from {origin}: {exc}. Check the address."
        ) from exc
    if found != [repository["fingerprint"]]:
        raise SwarmError(
            "wrong_key",
            f"Could not trust the key from {origin}: its fingerprint is {', '.join(found)}, "
            f"docker_engine_repository_key_fingerprint asks for {repository['fingerprint']}. Nothing was installed. "
            "Find out which is right before you pin another.",
            found=found,
        )
    return text


def write(module: Module, path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".flotilla-", dir=os.path.dirname(path))
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.chmod(temporary, 0o644)
    module.atomic_move(temporary, path)


def run(module: Module) -> dict[str, Any]:
    params = module.params
    plain = {name: params[name] for name in ("install", "remove", "hold", "unhold")}
    changed = bool(any(plain.values()) or params["repository"] or params["repair"])
    if module.check_mode or not changed:
        return {"changed": changed, "installed": {}}

    run = bounded(module.run_command, LONGEST_APT)

    def runner(args: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        code, output, errors = run(args, environ_update=environment)
        return code, output, errors

    apt = Apt(runner, params["lock_timeout"])
    if params["repair"]:
        apt.repair()
    repository = params["repository"]
    if repository:
        key = pinned_key(module, repository)
        write(module, repository["key_path"], key)
        write(module, repository["path"], repository["content"])
    versions: dict[str, str] = {}
    if params["install"] or params["remove"]:
        if repository or not apt.lists_are_fresh(time.time()):
            apt.update()
        before = _host.observe_packages()
        names = [entry["name"] for entry in params["install"]]
        offers = apt.offers(names)
        try:
            versions = wanted_versions(params["install"], offers, before)
        except SwarmError:
            # The lists may be an hour old and lack what is asked for.
            apt.update()
            versions = wanted_versions(params["install"], apt.offers(names), before)
        if _host.engine_is_active() and set(versions) & set(params["engine"]):
            _host.ask_for_restart()
        apt.install(versions, params["allow_downgrade"], params["remove"])
    apt.hold([name for name in params["hold"] if name in _host.observe_packages()])
    apt.hold(params["unhold"], release=True)
    return {"changed": changed, "installed": versions}


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
        module.exit_json(**run(module))
    except (SwarmError, OSError) as error:
        failure = failure_of("install the packages", error)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), installed={})


if __name__ == "__main__":
    main()
