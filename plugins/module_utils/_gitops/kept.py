# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What GitOps keeps in the swarm: configs whose labels have the state of each application, and the lock of the manager that works.

The data of a config cannot change, but its labels can, given the version that was read. So of two who write together, one succeeds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .._api.client import EngineClient
from .._common.errors import SwarmError
from .._model.labels import GITOPS_APP_LABEL, GITOPS_LABEL, GITOPS_LEASE_LABEL

# The names of the configs: the lock, the accepted commits of repositories, and one for each application.
LOCK = "flotilla.gitops"
HEADS = f"{LOCK}.heads"
_PREFIX = f"{LOCK}.app."
# Characters in the name of a config (swarmkit: manager/controlapi/common.go).
_LONGEST = 64
_DATA = base64.b64encode(b"The labels of this config belong to GitOps (flotilla.swarm).\n").decode()


class Reads(Protocol):
    """A connection that reads from the engine."""

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        """The document at a path."""


@dataclass(frozen=True)
class Kept:
    """What one label has, with the document that it was read from; None if there is none yet."""

    text: str = ""
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AllKept:
    """Everything that GitOps keeps in the swarm."""

    lock: Kept = Kept()
    heads: Kept = Kept()
    states: Mapping[str, Kept] = field(default_factory=dict)  # by the names of the applications


def config_name(app: str) -> str:
    """The name of the config with the state of an application. A row for a folder has characters that a config's name has not."""
    name = f"{_PREFIX}{app}"
    if len(name) <= _LONGEST and re.fullmatch(r"[\w.-]+", name, re.ASCII):
        return name
    return f"{_PREFIX}{hashlib.sha256(app.encode()).hexdigest()[:32]}"


def read_kept(reader: Reads) -> AllKept:
    """All of it, in one request."""
    found = reader.get("/configs", "read the state of GitOps", filters={"name": LOCK})
    lock, heads, states = Kept(), Kept(), {}
    for document in found or []:
        spec = document.get("Spec") or {}
        name, labels = str(spec.get("Name")), spec.get("Labels") or {}
        if name == LOCK:
            lock = Kept(str(labels.get(GITOPS_LEASE_LABEL) or ""), document)
        elif name == HEADS:
            heads = Kept(str(labels.get(GITOPS_LABEL) or ""), document)
        elif name.startswith(_PREFIX) and GITOPS_LABEL in labels:
            kept = Kept(str(labels[GITOPS_LABEL]), document)
            states[str(labels.get(GITOPS_APP_LABEL) or name[len(_PREFIX) :])] = kept
    return AllKept(lock, heads, states)


def write_kept(
    client: EngineClient, name: str, label: str, kept: Kept, text: str, app: str = ""
) -> bool:
    """Whether the label was written; False where somebody else was quicker. `app` is for the state of an application."""
    labels = {label: text, **({GITOPS_APP_LABEL: app} if app else {})}
    try:
        if kept.document is None:
            client.create("config", {"Name": name, "Labels": labels, "Data": _DATA})
        else:
            client.relabel("config", dict(kept.document), labels)
    except SwarmError as error:
        if error.code not in ("conflict", "out_of_sequence", "not_found"):
            raise
        return False
    return True


def forget(client: EngineClient, name: str, kept: Kept) -> None:
    """Remove the config, if it is there."""
    if kept.document is not None:
        try:
            client.remove("config", str(kept.document["ID"]), name)
        except SwarmError as error:
            if error.code != "not_found":
                raise


@dataclass(frozen=True)
class Lease:
    """Who works, in the label of the lock."""

    node_id: str = ""
    name: str = ""
    until: float = 0.0  # seconds since 1970; 0 when the work has ended
    turn: int = 0

    def as_text(self) -> str:
        """The text of the label."""
        return json.dumps(vars(self), sort_keys=True)


def parse_lease(text: str) -> Lease:
    """The lease in a label; an empty one from a text that no version has written."""
    try:
        found = json.loads(text)
        return Lease(
            str(found["node_id"]),
            str(found["name"]),
            float(found["until"]),
            int(found["turn"]),
        )
    except (ValueError, TypeError, KeyError):
        return Lease()
