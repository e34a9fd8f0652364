# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The names of backup files, and what stands beside each in clear. Pure.

    <folder>/<cluster ID>/raft-20261129T074500Z-m1.tar.age      and raft-20261129T074500Z-m1.meta.json
    <folder>/<cluster ID>/export-20261129T074500Z-m1.json.age   and export-20261129T074500Z-m1.meta.json

The meta file is written last. A backup without it is not complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError, shown

RAFT, EXPORT = "raft", "export"
# The ending of each kind.
ENDINGS = {RAFT: ".tar.age", EXPORT: ".json.age"}
META_ENDING = ".meta.json"
# The format of the files and of the meta file.
FORMAT = 1
_NAME = re.compile(
    r"(?P<kind>raft|export)-(?P<taken>\d{8}T\d{6}Z)-(?P<host>[^/]+?)(?P<ending>\.tar\.age|\.json\.age|\.meta\.json)"
)
# What a meta file must have, and its type.
_META = {
    "kind": str,
    "cluster_id": str,
    "host": str,
    "address": str,
    "engine_version": str,
    "taken": str,
    "sha256": str,
    "size": int,
    "recipients": list,
    "autolock": bool,
}


@dataclass(frozen=True)
class BackupName:
    """What the name of a backup file says."""

    kind: str  # raft or export
    taken: str  # 20261129T074500Z
    host: str  # in the inventory

    @property
    def stem(self) -> str:
        return f"{self.kind}-{self.taken}-{_file_part(self.host)}"

    @property
    def data(self) -> str:
        """The name of the encrypted file."""
        return self.stem + ENDINGS[self.kind]

    @property
    def meta(self) -> str:
        """The name of the meta file."""
        return self.stem + META_ENDING


def _file_part(host: str) -> str:
    """A host in a file name: the name of an inventory can have any character."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", host).lstrip(".-") or "host"


def parse_name(name: str) -> BackupName | None:
    """The backup that a file name, of the data or of the meta file, belongs to; None if it belongs to none."""
    found = _NAME.fullmatch(name)
    if found is None or found["ending"] not in (ENDINGS[found["kind"]], META_ENDING):
        return None
    return BackupName(found["kind"], found["taken"], found["host"])


def complete_backups(names: Iterable[str]) -> list[BackupName]:
    """The backups in a folder of which both files are there, the newest first."""
    listed = set(names)
    found = {name for name in map(parse_name, listed) if name is not None}
    whole = [name for name in found if {name.data, name.meta} <= listed]
    return sorted(whole, key=lambda name: (name.taken, name.host, name.kind), reverse=True)


def meta_of(
    name: BackupName,
    *,
    cluster_id: str,
    address: str,
    engine_version: str,
    sha256: str,
    size: int,
    recipients: list[str],
    autolock: bool,
) -> dict[str, Any]:
    """The content of the meta file. It has no secret: recipients are public."""
    return {
        "format": FORMAT,
        "kind": name.kind,
        "cluster_id": cluster_id,
        "host": name.host,
        "address": address,
        "engine_version": engine_version,
        "taken": name.taken,
        "sha256": sha256,
        "size": size,
        "recipients": sorted(recipients),
        "autolock": autolock,
    }


def parse_meta(document: Any, what: str) -> dict[str, Any]:
    """The content of a meta file that was read; raises bad_backup."""
    problem = _problem(document)
    if problem is not None:
        raise SwarmError(
            "bad_backup",
            f"Could not read {what}: {problem}. Give a backup with its meta file, as back_up.yml has written it.",
        )
    return dict(document)


def _problem(document: Any) -> str | None:
    if not isinstance(document, Mapping):
        return "it is not a meta file"
    if document.get("format") != FORMAT:
        return f"it has format {shown(document.get('format'))}, and this version of the collection reads format {FORMAT}"
    for key, kind in _META.items():
        value = document.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return f"its {key} is {shown(value)}"
    return None
