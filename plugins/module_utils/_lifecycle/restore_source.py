# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Finds the backup to restore on the controller: a file, or the newest one in a directory."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError, failure_of
from .._common.words import abbreviate
from .backup_files import ENDINGS, BackupName, complete_backups, parse_meta, parse_name

_VARIABLE = "swarm_restore_from"


@dataclass(frozen=True)
class Backup:
    """A complete backup, whose encrypted file is the one that its meta file describes."""

    path: str
    kind: str  # raft or export
    meta: dict[str, Any]

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def find_backup(path: str, kind: str | None = None) -> Backup:
    """The backup at a path: a file, the directory of a swarm, or the directory with the directories of swarms.

    `kind` chooses in a directory that has both. Raises not_found, bad_backup, not_root or os_error.
    """
    try:
        place, name = _chosen(path, kind)
        return _checked(place, name)
    except OSError as error:
        raise failure_of(f"read the backup {path} on the controller", error) from error


def _chosen(path: str, kind: str | None) -> tuple[str, BackupName]:
    if not os.path.exists(path):
        raise SwarmError(
            "not_found",
            f"Could not find a backup: {path} does not exist on the controller. Set {_VARIABLE} to a file such as"
            " /backups/ID/raft-20261129T074500Z-m1.tar.age, or to the directory of such files.",
        )
    if not os.path.isdir(path):
        name = parse_name(os.path.basename(path))
        if name is None:
            raise SwarmError(
                "bad_backup",
                f"Could not read {path}: its name is not that of a backup, such as raft-20261129T074500Z-m1.tar.age.",
            )
        if kind not in (None, name.kind):
            raise SwarmError(
                "bad_backup",
                f"Could not restore {path}: it is a backup of kind {name.kind}, and swarm_restore_kind is {kind}.",
            )
        return os.path.dirname(path) or ".", name
    places = {place: complete_backups(os.listdir(place)) for place in _places(path)}
    filled = {place: names for place, names in places.items() if names}
    if not filled:
        raise SwarmError(
            "not_found",
            f"Could not find a backup: {path} has no complete one (an encrypted file and its meta file). Set {_VARIABLE} to"
            " another directory.",
        )
    if len(filled) > 1:
        raise SwarmError(
            "bad_backup",
            f"Could not choose a backup: {path} has backups of the swarms"
            f" {abbreviate(sorted(map(os.path.basename, filled)))}. Set {_VARIABLE} to the directory of one of them.",
        )
    ((place, names),) = filled.items()
    kinds = sorted({name.kind for name in names})
    if kind is None and len(kinds) > 1:
        raise SwarmError(
            "bad_backup",
            f"Could not choose a backup: {place} has raft backups and exports. Set swarm_restore_kind to raft, which needs hosts"
            " with the old addresses, or to export, which needs the data of secrets.",
        )
    for name in names:
        if kind in (None, name.kind):
            return place, name
    raise SwarmError(
        "not_found",
        f"Could not find a backup: {place} has none of kind {kind}, only {' and '.join(kinds)}. Correct swarm_restore_kind.",
    )


def _places(path: str) -> list[str]:
    """The directory, and those in it. A swarm's own directory has no directories."""
    inner = (os.path.join(path, name) for name in sorted(os.listdir(path)))
    return [path, *(place for place in inner if os.path.isdir(place))]


def _checked(place: str, name: BackupName) -> Backup:
    path, meta_path = os.path.join(place, name.data), os.path.join(place, name.meta)
    for each in (path, meta_path):
        if not os.path.isfile(each):
            raise SwarmError(
                "bad_backup",
                f"Could not read the backup {name.data}: {each} is missing. A backup is an encrypted file and its meta file.",
            )
    with open(meta_path, "rb") as file:
        try:
            document = json.loads(file.read(1 << 20))
        except ValueError:
            document = None
    meta = parse_meta(document, meta_path)
    digest = hashlib.sha256()
    size = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    if meta["kind"] != name.kind or name.data[-len(ENDINGS[name.kind]) :] != ENDINGS[name.kind]:
        raise SwarmError(
            "bad_backup", f"Could not read {path}: its meta file says that it is a {meta['kind']}."
        )
    if (digest.hexdigest(), size) != (meta["sha256"], meta["size"]):
        raise SwarmError(
            "bad_backup",
            f"Could not read {path}: it is damaged. It has {size} bytes, and another hash than its meta file says. Give another"
            " copy of it, or another backup.",
        )
    return Backup(os.path.abspath(path), name.kind, meta)


def check_identity(path: str) -> None:
    """Raise not_found or bad_option unless a file on the controller looks like an identity of age or ssh, or is encrypted by
    Ansible Vault, which the playbook opens.

    The content is not kept.
    """
    # A pipe, such as that of <(command), gives its content only once.
    if os.path.exists(path) and not os.path.isfile(path):
        raise SwarmError(
            "bad_option",
            f"Could not read the identity: {path} is no regular file. Set swarm_restore_identity_file to a file that age-keygen has"
            " written. It can be encrypted by ansible-vault.",
        )
    try:
        with open(path, "rb") as file:
            text = file.read(1 << 16)
    except OSError as error:
        raise SwarmError(
            "not_found",
            f"Could not read the identity: {path}: {error.strerror}. Set swarm_restore_identity_file to the file with the identity"
            " of age on the controller.",
        ) from error
    if text.startswith(b"$ANSIBLE_VAULT;"):
        return
    if b"AGE-SECRET-KEY-1" not in text and b"PRIVATE KEY-----" not in text:
        raise SwarmError(
            "bad_option",
            f"Could not read the identity: {path} has none. Set swarm_restore_identity_file to a file that age-keygen has written.",
        )
