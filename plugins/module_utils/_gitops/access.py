# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The files of GitOps on a manager: the settings, and the keys that they name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._common.errors import SwarmError
from .._git.repository import Access, Repository
from .units import CONFIG, KEYS

if TYPE_CHECKING:
    from .decrypt import Keys

DOCKER_HOST = "unix:///var/run/docker.sock"
STATE_DIR = "/var/lib/flotilla.swarm/gitops"


def read_settings() -> dict[str, Any]:
    """The settings as the role has written them; raises not_installed or bad_option."""
    try:
        with open(CONFIG, encoding="utf-8") as file:
            found = json.load(file)
        if isinstance(found, dict):
            return found
    except FileNotFoundError:
        raise SwarmError(
            "not_installed",
            f"Could not read the settings of GitOps: this host has no {CONFIG}. Run the role flotilla.swarm.swarm_gitops on all managers.",
        ) from None
    except ValueError:
        pass
    raise SwarmError(
        "bad_option",
        f"Could not read the settings of GitOps: {CONFIG} is damaged. Run the role flotilla.swarm.swarm_gitops on all managers.",
    )


def keys_present() -> list[str]:
    """The paths of the keys that this host has."""
    return [os.path.join(place, name) for place, _folders, names in os.walk(KEYS) for name in names]


def repository_of(entry: Mapping[str, Any]) -> Repository:
    """A repository of the settings. Its copy is on this host alone, and can be made again at any time."""
    name = str(entry["name"])
    access = Access(
        url=str(entry["url"]),
        key=str(entry.get("deploy_key") or ""),
        known_hosts=str(entry.get("known_hosts") or ""),
        token_file=str(entry.get("password") or ""),
        user=str(entry.get("username") or "git"),
        ca_file=str(entry.get("ca") or ""),
    )
    return Repository(f"repository {name}", os.path.join(STATE_DIR, f"{name}.git"), access)


def decryption_keys(settings: Mapping[str, Any]) -> Keys:
    """What decrypts the files of repositories; raises os_error where a file cannot be read."""
    from .decrypt import Keys

    passwords: list[str] = []
    path = settings.get("vault_passwords")
    if path:
        with open(path, encoding="utf-8") as file:
            passwords = [str(each) for each in json.load(file)]
    return Keys(tuple(passwords), str(settings.get("age_key") or ""))
