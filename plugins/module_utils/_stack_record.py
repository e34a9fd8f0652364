# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a manager keeps of a stack that was as asked: a hash of what was asked, and one of what was there.

Whether a stack is as asked follows from these two. So while both are the same as then, nobody has to find it out again.
The versions in the second are the engine's own, and change with whatever anybody writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from typing import Any
from urllib.parse import quote

from ansible_collections.flotilla.swarm.plugins.module_utils._labels import PREFIX
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import EngineReader
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import CONVERGED

FOLDER = "/var/lib/flotilla.swarm/stacks"
# The lists of the engine, by the kind of what is in them.
PATHS = {"service": "/services", "network": "/networks", "secret": "/secrets", "config": "/configs"}


def read_all(reader: EngineReader) -> dict[str, list[dict[str, Any]]]:
    """The engine's lists by kind, of each document the parts that tell it from others: a config may hold a megabyte."""
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
    """Whether one stack, given as its name and the hash of what is asked, is as asked, and if not, why that is not known.

    `states` has those of services that have to run, by name.
    """
    name = str(stack["name"])
    own = {
        str(document["Spec"].get("Name"))
        for document in found.get("service", [])
        if (document["Spec"].get("Labels") or {}).get(NAMESPACE) == name
    }
    late = sorted(one for one in own if states.get(one, CONVERGED) != CONVERGED)
    ignored = recall(name, stack["asked"], fingerprint(name, found))
    reason = None
    if ignored is None:
        reason = "what is asked, or the stack itself, is not what it was when swarm_stack last found it as asked"
    elif late:
        reason = f"not all tasks run as asked of {', '.join(late)}"
    return dict(name=name, as_asked=reason is None, reason=reason, ignored=ignored or [])


def fingerprint(stack: str, found: dict[str, list[dict[str, Any]]]) -> str:
    """A hash of what a stack consists of and of what it may name beside that; of documents of the engine by their kind. Pure."""
    marks = sorted(
        mark
        for kind, documents in found.items()
        for mark in (_mark(stack, kind, document) for document in documents)
        if mark
    )
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()


def _mark(stack: str, kind: str, document: dict[str, Any]) -> list[str]:
    """What tells an object from any other that it could become; nothing, if the stack cannot depend on it."""
    spec = document if kind == "network" else document.get("Spec") or {}
    labels = spec.get("Labels") or {}
    mark = [kind, str(spec.get("Name")), str(document.get("ID") or document.get("Id"))]
    if labels.get(NAMESPACE) == stack:
        # After a restore the engine counts from an older number on.
        version = str((document.get("Version") or {}).get("Index"))
        return [*mark, version, str(document.get("UpdatedAt"))]
    # Of others it can only name networks, secrets and configs, but for the revisions that we keep of other stacks. The
    # networks of a host are none of the swarm's, and the engine has two of these names that no list has.
    ours = any(key.startswith(PREFIX) for key in labels)
    of_a_host = kind == "network" and (
        document.get("Scope") != "swarm" or mark[1] in ("bridge", "host", "none")
    )
    return [] if kind == "service" or ours or of_a_host else mark


def about_ignored(stack: str, keys: list[str]) -> str:
    """The warning about keys that do nothing."""
    return f"Stack {stack}: Swarm ignores these keys of its Compose files: {', '.join(keys)}"


def recall(stack: str, asked: str, found: str) -> list[str] | None:
    """The keys that Swarm ignores of the stack's Compose files, if this was as asked when it was looked at last; else None."""
    try:
        with open(_path(stack), encoding="ascii") as file:
            kept = json.load(file)
        ignored: list[str] = kept.pop("ignored")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None
    return ignored if asked and kept == _key(asked, found) else None


def record(stack: str, asked: str, found: str, ignored: list[str]) -> None:
    """Keep that it is as asked. Where that cannot be kept, it is found out again each time."""
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
    """Which CLI there is: another one may make something else of the same Compose file."""
    path = shutil.which("docker") or ""
    with contextlib.suppress(OSError):
        about = os.stat(path)
        return [path, about.st_size, about.st_mtime_ns]
    return []


def _path(stack: str) -> str:
    return os.path.join(FOLDER, f"{quote(stack, safe='')}.json")
