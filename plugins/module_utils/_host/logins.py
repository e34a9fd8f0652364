# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The logins of registries where Docker's CLI keeps them for root."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .files import read

LOGINS = "/root/.docker/config.json"
# A fingerprint is in the facts of a host, which Ansible can print. Guessing a password from it must cost time, and it is too short to
# tell a right guess from a wrong one for sure.
_ROUNDS, _LENGTH = 20_000, 8
# Each fingerprint takes about 10 ms.
_MOST = 20


def auth_of(username: str, password: str) -> str:
    """A login as Docker's configuration has it."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def fingerprint(registry: str, auth: str) -> str:
    """What tells a login of a registry from another one, without being one."""
    return hashlib.pbkdf2_hmac("sha256", auth.encode(), registry.encode(), _ROUNDS).hex()[:_LENGTH]


def observe_logins(root: str = "") -> dict[str, str] | None:
    """The fingerprints of root's logins by registry; None if Docker's configuration cannot be parsed."""
    try:
        document = _parse(read(root + LOGINS) or b"{}")
    except ValueError:
        return None
    auths: Mapping[str, Any] = document.get("auths") or {}
    return {
        str(registry): fingerprint(str(registry), str(entry.get("auth")))
        for registry, entry in list(auths.items())[:_MOST]
        if isinstance(entry, dict) and not _helper(document, str(registry))
    }


def with_logins(content: bytes | None, logins: Mapping[str, str]) -> bytes | None:
    """Docker's configuration with these logins, by registry; None if it has them. Raises ValueError if it cannot be parsed."""
    document = _parse(content or b"{}")
    before = json.dumps(document)
    auths = document.setdefault("auths", {})
    for registry, auth in logins.items():
        if not isinstance(auths.get(registry), dict) or auths[registry].get("auth") != auth:
            auths[registry] = {"auth": auth}
        if _helper(document, registry):
            # The CLI looks into this file only if no helper, or an empty one, is set for the registry.
            document.setdefault("credHelpers", {})[registry] = ""
    if content is not None and json.dumps(document) == before:
        return None
    return (json.dumps(document, indent="\t") + "\n").encode()


def _helper(document: Mapping[str, Any], registry: str) -> str:
    """The program that keeps the login of a registry instead of the file."""
    helpers: Mapping[str, Any] = document.get("credHelpers") or {}
    return str(helpers.get(registry, document.get("credsStore") or ""))


def _parse(content: bytes) -> dict[str, Any]:
    document = json.loads(content)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key) or {}, dict) for key in ("auths", "credHelpers")
    ):
        raise ValueError("it is not a configuration of Docker")
    if not document.get("auths"):
        document["auths"] = {}
    return document
