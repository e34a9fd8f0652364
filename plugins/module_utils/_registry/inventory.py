# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the other hosts of a run need to know of a registry, from the variables of its host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._common.errors import SwarmError
from .._host.files import CERTS_DIR
from .._host.logins import auth_of
from .settings import PORT

# What the role has registered on its host in this run: the result of swarm_registry.
_RESULT = "__swarm_registry"


def registry_of(host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The address of a registry and its login; and `trust` and `mirror`, if its role has run. Raises bad_option."""
    found: Mapping[str, Any] = variables.get(_RESULT) or {}
    name = variables.get("registry_name") or variables.get("ansible_host") or host
    port = variables.get("registry_port") or PORT
    users = variables.get("registry_users")
    listed = users if isinstance(users, (list, tuple)) else []
    passwords = {
        str(user["name"]): str(user["password"])
        for user in listed
        if isinstance(user, Mapping) and user.get("name") and user.get("password")
    }
    username = str(variables.get("registry_login") or next(iter(passwords), ""))
    if username not in passwords:
        raise SwarmError(
            "bad_option",
            f"Could not read the login of the registry on {host}: registry_users in the inventory has no user"
            f" {username or 'at all'}. Set it, for example [{{name: swarm, password: '{{{{ vault_registry_password }}}}'}}].",
        )
    trust = {str(key): str(value) for key, value in (found.get("trust") or {}).items()}
    return {
        "address": str(found.get("address") or f"{name}:{port}"),
        "username": username,
        "password": passwords[username],
        "auth": auth_of(username, passwords[username]),
        "trust": trust,
        "certificates": {f"{CERTS_DIR}/{each}/ca.crt": ca for each, ca in trust.items()},
        "mirror": str(found.get("mirror") or ""),
    }


def with_logins(
    own: Iterable[Mapping[str, str]], registries: Iterable[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """The logins for a stack, as the option `registries` of swarm_stack: its own, and those of the inventory that it does not
    have."""
    logins = [dict(login) for login in own]
    known = {str(login.get("registry")) for login in logins}
    return logins + [
        {
            "registry": each["address"],
            "username": each["username"],
            "password": each["password"],
        }
        for each in registries
        if each["address"] not in known
    ]
