# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The files of backups in a folder, on a manager or on the controller: their digests, and the deletion of old ones."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Collection, Mapping

from .._common.errors import SwarmError, shown
from .backup_files import parse_name
from .backup_plan import expired


def names_in(folder: str) -> list[str]:
    """The names in a folder, none where it does not exist."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def sha256_of(path: str) -> str:
    """The digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def check_names(cluster_id: str, digests: Mapping[str, str]) -> None:
    """Raise bad_option for names that could lead out of the folder of the swarm. Pure."""
    if not re.fullmatch(r"[a-z0-9]+", cluster_id):
        raise SwarmError(
            "bad_option",
            f"Could not check the copies: cluster_id is {shown(cluster_id)}, it must be the ID of a swarm.",
        )
    bad = [name for name in digests if parse_name(name) is None]
    if bad:
        raise SwarmError(
            "bad_option", f"Could not check the copies: {shown(bad[0])} is no name of a backup."
        )


def check_copies(folder: str, cluster_id: str, digests: Mapping[str, str]) -> bool:
    """Check the copies, and let only their owner read them. Returns whether a mode changed. Raises bad_copy or OSError."""
    place = os.path.join(folder, cluster_id)
    changed = False
    for name, digest in digests.items():
        backup = parse_name(name)
        if backup is None:
            raise AssertionError("the names were checked before")
        paths = [os.path.join(place, each) for each in (backup.data, backup.meta)]
        if not all(map(os.path.exists, paths)) or sha256_of(paths[0]) != digest:
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            raise SwarmError(
                "bad_copy",
                f"Could not use the copy {paths[0]}: it is not the file that the manager has. It was removed; the manager keeps its"
                " file. Check the disk, and run again.",
            )
        for path in paths:
            if stat.S_IMODE(os.stat(path).st_mode) != 0o600:
                os.chmod(path, 0o600)
                changed = True
    return changed


def prune(
    folder: str,
    cluster_id: str,
    now: float,
    keep_count: int,
    keep_days: int,
    coming: Collection[str] | None = None,
) -> list[str]:
    """Delete the expired backups of a swarm in a folder. Returns the names of the encrypted files.

    If `coming` is not None, it has the names of encrypted files that a run would add, and nothing is deleted.
    """
    place = os.path.join(folder, cluster_id)
    names = names_in(place)
    for name in coming or ():
        backup = parse_name(name)
        names += [backup.data, backup.meta] if backup is not None else []
    gone = expired(names, now, keep_count, keep_days)
    if coming is None:
        for each in gone:
            for name in each.files:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(place, name))
    return [each.name for each in gone]
