# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The receivers of notifications as the inventory has them, as files of a host. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# What is in a file of its own: URLs of Apprise and the token are secrets.
_CONTENTS = ("apprise", "token", "ca")


def notify_files(notify: Mapping[str, Any], folder: str) -> dict[str, str]:
    """The texts of files by path. The file FOLDER/notify has what `parse_notify` reads, with the paths of the others."""
    document = dict(notify)
    files: dict[str, str] = {}
    for name in _CONTENTS:
        value = document.pop(name, None)
        if value:
            path = f"{folder}/notify.{name}"
            files[path] = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
            document[f"{name}_file"] = path
    if document:
        files[f"{folder}/notify"] = json.dumps(document, sort_keys=True)
    return files
