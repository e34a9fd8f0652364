# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The keys of repositories, which are in the variables of a role, as files for git and ssh. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def key_files(
    repositories: Any, names: Collection[str], folder: str
) -> tuple[list[Any], dict[str, bytes]]:
    """The repositories with the paths of keys instead of the keys, and the keys by their paths.

    `names` are those of the options with keys. What is no repository stays, and is refused with everything else that is wrong.
    """
    keys: dict[str, bytes] = {}
    found: list[Any] = []
    for entry in repositories if isinstance(repositories, list) else []:
        plain = dict(entry) if isinstance(entry, Mapping) else entry
        for name in names if isinstance(plain, dict) else ():
            if plain.get(name):
                path = f"{folder}/{plain.get('name')}/{name}"
                keys[path] = key_text(str(plain[name]))
                plain[name] = path
        found.append(plain)
    return found, keys


def key_text(text: str) -> bytes:
    """A key as a file: ssh refuses one without a newline at its end, and with those of Windows."""
    return text.replace("\r\n", "\n").rstrip("\n").encode() + b"\n"
