# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The record that a manager keeps of a stack that was as asked: a hash of the inputs, and one of the stack's state.

Whether a stack is as asked follows from these two. So while both are the same, it need not be planned again. The state
has the engine's own versions, which change with every write by anybody.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import Any
from urllib.parse import quote

from .._model.labels import stack_of
from .._services.convergence import CONVERGED
from .objects import state_hash

FOLDER = "/var/lib/flotilla.swarm/stacks"


def as_recorded(
    stack: dict[str, Any], found: dict[str, list[dict[str, Any]]], states: dict[str, str]
) -> dict[str, Any]:
    """An entry of the result `stacks` of swarm_verify: whether a stack, given as `name` and the hash `asked`, is as asked.

    `found` is from read_all, and `states` has the states of the services that must run, by name.
    """
    name = str(stack["name"])
    own = {
        str(document["Spec"].get("Name"))
        for document in found.get("service", [])
        if stack_of(document["Spec"]) == name
    }
    late = sorted(one for one in own if states.get(one, CONVERGED) != CONVERGED)
    ignored = recall(name, stack["asked"], state_hash(name, found))
    reason = None
    if ignored is None:
        reason = "the inputs or the stack have changed since swarm_stack last found it as asked"
    elif late:
        reason = f"not all tasks of {', '.join(late)} run as asked"
    return dict(name=name, as_asked=reason is None, reason=reason, ignored=ignored or [])


def about_ignored(stack: str, keys: list[str]) -> str:
    """The warning about keys that have no effect."""
    return f"Stack {stack}: Swarm ignores these keys of its Compose files: {', '.join(keys)}"


def recall(stack: str, asked: str, found: str) -> list[str] | None:
    """The keys of its Compose files that Swarm ignores, if a record says that this stack is as asked; else None.

    `asked` is the hash of the inputs, `found` that of the state.
    """
    try:
        with open(_path(stack), encoding="ascii") as file:
            kept = json.load(file)
        ignored: list[str] = kept.pop("ignored")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return ignored if asked and kept == _key(asked, found) else None


def record(stack: str, asked: str, found: str, ignored: list[str]) -> None:
    """Record that a stack is as asked. Where a record cannot be written, each run plans the stack."""
    if not asked:
        return
    with contextlib.suppress(OSError):
        os.makedirs(FOLDER, mode=0o700, exist_ok=True)
        path = _path(stack)
        new = f"{path}.{os.getpid()}"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({**_key(asked, found), "ignored": ignored}, file)
        os.replace(new, path)


def _key(asked: str, found: str) -> dict[str, Any]:
    return {"asked": asked, "found": found, "cli": _cli()}


def _cli() -> list[Any]:
    """Which CLI the host has: another version may interpret the same Compose file in another way."""
    path = shutil.which("docker") or ""
    with contextlib.suppress(OSError):
        about = os.stat(path)
        return [path, about.st_size, about.st_mtime_ns]
    return []


def _path(stack: str) -> str:
    return os.path.join(FOLDER, f"{quote(stack, safe='')}.json")
