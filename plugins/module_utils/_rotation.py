# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Names of secrets and configs that follow their data. No I/O.

The engine never changes the data of a secret or config. So new data needs a new name, and a service that is given the
new name is rolled. The name carries a hash of the data; the key of the hash is the ID of the swarm, so that a name in
a log does not let anybody try out passwords.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError

# Bytes; data has to be shorter (swarmkit: manager/controlapi/secret.go and config.go).
LIMITS = {"secrets": 500 * 1024, "configs": 1000 * 1024}
# Characters of a name (swarmkit: manager/controlapi/common.go).
LONGEST_NAME = 64
_VERSION = re.compile(
    r"""^version:\s*["']?([\d.]+)["']?\s*(#.*)?$|"version":\s*"([\d.]+)\"""", re.MULTILINE
)

Data = dict[str, dict[str, tuple[str, bytes]]]


def rotated_name(stack: str, kind: str, key: str, data: bytes, swarm_id: str) -> str:
    digest = hmac.new(swarm_id.encode(), kind.encode() + b"\0" + data, hashlib.sha256)
    return f"{stack}_{key}-{digest.hexdigest()[:12]}"


def version_of(text: str) -> str:
    """The version that a Compose file says it has: the CLI takes only files of one version together."""
    match = _VERSION.search(text)
    return str(match.group(1) or match.group(3)) if match else ""


def overlay(stack: str, swarm_id: str, version: str, data: Data) -> str:
    """A Compose file that gives the secrets and configs of others the names of their data."""
    document: dict[str, Any] = {"version": version} if version else {}
    for kind, entries in data.items():
        for key, (path, content) in entries.items():
            name = rotated_name(stack, kind, key, content, swarm_id)
            _check(stack, kind, key, path, content, name)
            document.setdefault(kind, {})[key] = {"name": name, "file": path}
    return json.dumps(document)


def _check(stack: str, kind: str, key: str, path: str, content: bytes, name: str) -> None:
    what = f"Could not plan stack {stack}: the {kind[:-1]} {key} ({path})"
    if not content:
        raise SwarmError("bad_data", f"{what} is empty, which the engine does not take.")
    if len(content) >= LIMITS[kind]:
        raise SwarmError(
            "bad_data",
            f"{what} has {len(content)} bytes, and the engine takes less than {LIMITS[kind]}.",
        )
    if len(name) > LONGEST_NAME:
        raise SwarmError(
            "bad_data",
            f"{what} would be named {name}, which is longer than the {LONGEST_NAME} characters that the engine takes."
            " Choose a shorter name for it or for the stack.",
        )
