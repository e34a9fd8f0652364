# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Names of secrets and configs that follow their data. No I/O.

The engine never changes the data of a secret or config. So new data needs a new name, and a service that gets the new
name is updated. The name has a hash of the data; the key of the hash is the ID of the swarm, so that nobody can try out
passwords against a name in a log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any

from .._common.errors import SwarmError

# Bytes; data must be shorter (swarmkit: manager/controlapi/secret.go and config.go).
LIMITS = {"secrets": 500 * 1024, "configs": 1000 * 1024}
# Characters of a name (swarmkit: manager/controlapi/common.go).
LONGEST_NAME = 64
_VERSION = re.compile(
    r"""^version:\s*["']?([\d.]+)["']?\s*(#.*)?$|"version":\s*"([\d.]+)\"""", re.MULTILINE
)

# PATH and content of each file, by section (secrets or configs) and key.
Data = dict[str, dict[str, tuple[str, bytes]]]


def rotated_name(stack: str, kind: str, key: str, data: bytes, swarm_id: str) -> str:
    """The name of a secret or config with this data; `kind` is a section, `key` its name in the Compose file."""
    digest = hmac.new(swarm_id.encode(), kind.encode() + b"\0" + data, hashlib.sha256)
    return f"{stack}_{key}-{digest.hexdigest()[:12]}"


def version_of(text: str) -> str:
    """The version in the text of a Compose file, empty if it has none. The CLI merges only files of one version."""
    match = _VERSION.search(text)
    return str(match.group(1) or match.group(3)) if match else ""


def overlay(stack: str, swarm_id: str, version: str, data: Data) -> str:
    """A Compose file, as JSON, that renames secrets and configs of others after their data; raises bad_data."""
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
        raise SwarmError("bad_data", f"{what} is empty. Put data into the file.")
    if len(content) >= LIMITS[kind]:
        raise SwarmError(
            "bad_data",
            f"{what} has {len(content)} bytes, and the engine accepts less than {LIMITS[kind]}. Use a smaller file.",
        )
    if len(name) > LONGEST_NAME:
        raise SwarmError(
            "bad_data",
            f"{what} would be named {name}, which is longer than {LONGEST_NAME} characters."
            " Choose a shorter name for it or for the stack.",
        )
