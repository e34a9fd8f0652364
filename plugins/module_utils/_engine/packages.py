# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The packages of Docker Engine on a host, and the repository that they come from.

`module` is the AnsibleModule: it downloads, runs commands and moves files.
"""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

from ansible.module_utils.urls import fetch_url

from .._common.errors import SwarmError
from .._common.waiting import bounded
from .._host import openpgp
from .._host.engine import engine_is_active, mark_restart_pending
from .._host.packages import observe_packages
from .apt import Apt, wanted_versions

# Seconds. Long enough for a slow mirror, and an end for a package script that hangs.
LONGEST_APT = 1800


def pinned_key(module: Any, repository: dict[str, Any]) -> str:
    """The key of a repository, armored, if its fingerprint is the pinned one; raises no_key, not_a_key and wrong_key."""
    if repository["key"]:
        origin, data = "docker_engine_repository_key", repository["key"].encode("utf-8")
    else:
        origin = repository["key_url"]
        response, info = fetch_url(module, origin, timeout=30)
        if info["status"] not in (200, None):
            raise SwarmError(
                "no_key",
                f"Could not download the repository's key from {origin}: {info['msg']}. Correct"
                " docker_engine_repository_key_url, or set the key itself in docker_engine_repository_key.",
                status=info["status"],
            )
        data = response.read()
    try:
        found = openpgp.fingerprints(data)
        text = openpgp.armor(openpgp.dearmor(data))
    except openpgp.NotAKey as exc:
        raise SwarmError(
            "not_a_key",
            f"Could not use the key from {origin}: {exc}. Correct the address or the key.",
        ) from exc
    if found != [repository["fingerprint"]]:
        raise SwarmError(
            "wrong_key",
            f"Could not trust the key from {origin}: its fingerprint is {', '.join(found)}, but"
            f" docker_engine_repository_key_fingerprint is {repository['fingerprint']}. Nothing was installed. Find out which"
            " is right before you pin another.",
            found=found,
        )
    return text


def write(module: Any, path: str, text: str) -> None:
    """Replace a file that everybody can read, whole or not at all; raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".flotilla-", dir=os.path.dirname(path))
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.chmod(temporary, 0o644)
    module.atomic_move(temporary, path)


def install_packages(module: Any) -> dict[str, Any]:
    """Carry out docker_engine_packages, and return its result; raises the codes of this module and of apt.py."""
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
        apt.repair([entry["name"] for entry in params["install"]])
    repository = params["repository"]
    if repository:
        key = pinned_key(module, repository)
        write(module, repository["key_path"], key)
        write(module, repository["path"], repository["content"])
    versions: dict[str, str] = {}
    if params["install"] or params["remove"]:
        if repository or not apt.lists_are_fresh(time.time()):
            apt.update()
        before = observe_packages()
        names = [entry["name"] for entry in params["install"]]
        offers = apt.offers(names)
        try:
            versions = wanted_versions(params["install"], offers, before)
        except SwarmError:
            # The lists may be up to an hour old and lack these versions.
            apt.update()
            versions = wanted_versions(params["install"], apt.offers(names), before)
        if engine_is_active() and set(versions) & set(params["engine"]):
            mark_restart_pending()
        apt.install(versions, params["allow_downgrade"], params["remove"])
    apt.hold([name for name in params["hold"] if name in observe_packages()])
    apt.hold(params["unhold"], release=True)
    return {"changed": changed, "installed": versions}
