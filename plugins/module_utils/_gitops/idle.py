# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Whether anything has changed since the last look that found nothing to do.

Most looks find nothing. They cost the start of Python, one question to each git server, and a read of the lists of the engine. What
decides is not even imported: if all that it would see is as it was, and it is not yet time for something, it would decide the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._host.files import write_whole
from .._stack.objects import read_all
from .access import STATE_DIR, repository_of

# Seconds: until the engine answers, and after which everything is looked at again without a reason.
_ANSWER, LONGEST = 30, 600.0
_FILE = os.path.join(STATE_DIR, "idle.json")


def leads(reader: EngineReader) -> bool:
    """Whether this host is the leader of a swarm."""
    about = reader.info().get("Swarm") or {}
    node_id = about.get("NodeID")
    if about.get("LocalNodeState") != "active" or not about.get("ControlAvailable") or not node_id:
        return False
    node = reader.get(f"/nodes/{node_id}", "read the node of this host")
    return bool((node.get("ManagerStatus") or {}).get("Leader"))


def mark_of(
    document: Mapping[str, Any],
    objects: Mapping[str, list[dict[str, Any]]],
    heads: Mapping[str, str],
) -> str:
    """What changes when anything does that a look sees. The states of the applications are among the objects. Pure."""
    # The engine lists in no fixed order.
    marks = sorted(
        json.dumps([kind, each], sort_keys=True)
        for kind, documents in objects.items()
        for each in documents
    )
    text = json.dumps([document, heads, marks], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_idle(document: Mapping[str, Any], reader: EngineReader, now: float) -> bool:
    """Whether all is as at the last look, which found nothing to do."""
    try:
        with open(_FILE, encoding="utf-8") as file:
            before = json.load(file)
        if not before["from"] <= now < before["until"]:
            return False
        objects = read_all(reader)
        heads = {
            str(entry["name"]): repository_of(entry).remote_head(str(entry.get("branch") or "main"))
            for entry in document.get("repositories") or []
        }
        return bool(before["mark"] == mark_of(document, objects, heads))
    except (OSError, ValueError, TypeError, KeyError, SwarmError):
        # The whole look says what is wrong.
        return False


def remember(
    document: Mapping[str, Any],
    objects: Mapping[str, list[dict[str, Any]]],
    heads: Mapping[str, str],
    now: float,
    until: float | None,
) -> None:
    """Remember a look that found nothing to do, and when something can change by itself."""
    longest = now + LONGEST
    about = {
        "mark": mark_of(document, objects, heads),
        "from": now,
        "until": longest if until is None else min(until, longest),
    }
    with contextlib.suppress(OSError):
        write_whole(_FILE, json.dumps(about).encode())


def forget() -> None:
    """Have the next look see everything."""
    with contextlib.suppress(OSError):
        os.unlink(_FILE)
