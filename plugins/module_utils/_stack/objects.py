# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The objects that a stack consists of or can reference, as far as they show that something has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from .._api.reader import EngineReader
from .._model.documents import id_of
from .._model.labels import PREFIX, REVISION_LABEL, REVISION_TURN_LABEL, stack_of

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
