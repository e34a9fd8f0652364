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
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from .._api.reader import EngineReader
from .._model.documents import id_of
from .._model.labels import PREFIX, REVISION_LABEL, REVISION_TURN_LABEL, stack_of
from .._services.convergence import CONVERGED

FOLDER = "/var/lib/flotilla.swarm/stacks"
# The lists of the engine, by the kind of what is in them.
PATHS = {"service": "/services", "network": "/networks", "secret": "/secrets", "config": "/configs"}


def read_all(reader: EngineReader) -> dict[str, list[dict[str, Any]]]:
    """The engine's lists by kind, each document reduced to what identifies its state: a config may hold 1 MB."""
    return {
        kind: [_parts(document) for document in reader.each(path, f"list the {kind}s")]
        for kind, path in PATHS.items()
    }


def _parts(document: dict[str, Any]) -> dict[str, Any]:
    spec = document.get("Spec") or {}
    found = {
        key: document.get(key)
        for key in ("ID", "Id", "Version", "UpdatedAt", "Name", "Labels", "Scope")
    }
    return {**found, "Spec": {"Name": spec.get("Name"), "Labels": spec.get("Labels")}}


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


def latest_numbers(configs: Iterable[dict[str, Any]]) -> dict[str, int]:
    """By stack: the number of its revision that ran last, given the documents of configs without their data. Pure."""
    latest: dict[str, tuple[int, int]] = {}
    for config in configs:
        spec = config.get("Spec") or {}
        labels = spec.get("Labels") or {}
        stack = stack_of(spec)
        number, turn = (
            str(labels.get(label) or "") for label in (REVISION_LABEL, REVISION_TURN_LABEL)
        )
        if stack and number.isdigit() and turn.isdigit():
            latest[stack] = max(latest.get(stack, (0, 0)), (int(turn), int(number)))
    return {stack: number for stack, (_turn, number) in latest.items()}


def state_hash(stack: str, found: dict[str, list[dict[str, Any]]]) -> str:
    """A hash of the stack's objects and of those that it may reference, given the engine's documents by kind. Pure."""
    marks = sorted(
        mark
        for kind, documents in found.items()
        for mark in (_mark(stack, kind, document) for document in documents)
        if mark
    )
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()


def _mark(stack: str, kind: str, document: dict[str, Any]) -> list[str]:
    """What changes when the object does; empty if the stack cannot depend on it."""
    spec = document if kind == "network" else document.get("Spec") or {}
    labels = spec.get("Labels") or {}
    mark = [kind, str(spec.get("Name")), id_of(document)]
    if stack_of(spec) == stack:
        # After a restore from a backup the engine counts on from an older version.
        version = str((document.get("Version") or {}).get("Index"))
        return [*mark, version, str(document.get("UpdatedAt"))]
    # It can reference only networks, secrets and configs of others, and no revision of another stack. The networks of a
    # host are not the swarm's, and the engine has two of these names that no list has.
    ours = any(key.startswith(PREFIX) for key in labels)
    of_a_host = kind == "network" and (
        document.get("Scope") != "swarm" or mark[1] in ("bridge", "host", "none")
    )
    return [] if kind == "service" or ours or of_a_host else mark


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
