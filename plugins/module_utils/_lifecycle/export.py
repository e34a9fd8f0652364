# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Writes the logical export of a swarm into an encrypted file: read, check, encrypt, read back.

It needs no Ansible: a timer on a manager calls `write_export` as well as the module swarm_export.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .._common.errors import SwarmError, failure_of
from .._common.waiting import Clock, poll
from .._host.files import PARTIAL, write_whole
from .._host.locks import try_lock
from .._model.documents import parse_member
from .age import bad_recipients, check_recipients, decrypt, encrypt, new_identity
from .backup_files import EXPORT, BackupName, meta_of
from .export_content import Listed, export_of, unlisted_networks

# How often a swarm is read that changes all the time.
_READS = 8
# Seconds to wait for another backup that writes into the same folder.
_TURN = 60.0


class Reader(Protocol):
    """What reads from an engine: EngineReader or EngineClient."""

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        """The document at a path."""


@dataclass(frozen=True)
class Taken:
    """An export that was read, and the engine that it was read from."""

    content: dict[str, Any]
    address: str  # of the node of that engine
    engine_version: str
    autolock: bool


@dataclass(frozen=True)
class WrittenExport:
    """An export that was written and read back."""

    path: str
    meta_path: str
    meta: dict[str, Any]


# Observe -----------------------------------------------------------------------------------------------


def take_export(reader: Reader) -> Taken:
    """Read the swarm. All parts are of one moment: nothing has changed between two reads.

    Raises not_manager, no_quorum, locked, out_of_sequence, or what else the engine says.
    """
    info = reader.get("/info", "read the state of the engine")
    member = parse_member(info)
    last = export_of(list_swarm(reader))
    for _attempt in range(_READS - 1):
        now = export_of(list_swarm(reader))
        if now == last:
            return Taken(
                now,
                member.node_addr or "",
                str(info.get("ServerVersion") or ""),
                bool(now["swarm"]["settings"]["autolock_managers"]),
            )
        last = now
    raise SwarmError(
        "out_of_sequence",
        f"Could not export the swarm: it has changed between each of {_READS} reads. Wait until deploys have ended, and run again.",
    )


def list_swarm(reader: Reader) -> Listed:
    """The documents of all lists."""
    listed = Listed(
        # First, because a host that is no manager says so here.
        swarm=reader.get("/swarm", "read the swarm's settings"),
        nodes=reader.get("/nodes", "list the nodes") or [],
        services=reader.get("/services", "list the services") or [],
        networks=reader.get("/networks", "list the networks") or [],
        configs=reader.get("/configs", "list the configs") or [],
        secrets=reader.get("/secrets", "list the secrets") or [],
    )
    for network_id in unlisted_networks(listed):
        with contextlib.suppress(SwarmError):
            found = reader.get(f"/networks/{network_id}", f"read network {network_id}")
            listed.predefined[network_id] = str(found.get("Name"))
    return listed


# Plan --------------------------------------------------------------------------------------------------


def name_for(host: str, now: datetime.datetime | None = None) -> BackupName:
    """The name of an export that is taken now."""
    now = now or datetime.datetime.now(datetime.timezone.utc)
    return BackupName(EXPORT, now.strftime("%Y%m%dT%H%M%SZ"), host)


def refuse_recipients(recipients: Sequence[str]) -> None:
    """Raise bad_option unless there is a recipient and all of them are keys; raise no_age or age_failed if age refuses one."""
    bad = bad_recipients(recipients)
    if bad or not recipients:
        wrong = f"{', '.join(bad)} is no recipient of age" if bad else "there is no recipient"
        raise SwarmError(
            "bad_option",
            f"Could not encrypt the export: {wrong}. Set the recipients to public keys such as age1... (age-keygen prints one).",
        )
    check_recipients(recipients)


def refuse_folder(folder: str) -> None:
    """Raise not_root or os_error if this user cannot write into the folder, which may not exist yet."""
    if not os.path.isabs(folder):
        raise SwarmError(
            "bad_option", f"Could not write the export: {folder} is not an absolute path."
        )
    place = folder
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise SwarmError("os_error", f"Could not write the export: {place} is not a directory.")
    if not os.access(place, os.W_OK | os.X_OK):
        error = PermissionError(13, "Permission denied", place)
        raise failure_of(f"write the export into {folder}", error)


# Apply and verify --------------------------------------------------------------------------------------


def write_export(
    taken: Taken,
    folder: str,
    recipients: Sequence[str],
    name: BackupName,
    clock: Clock | None = None,
) -> WrittenExport:
    """Write an export into its folder below `folder`, read it back, and write its meta file last.

    Raises no_age, age_failed, busy, not_root or os_error. A run that is killed leaves no complete backup, and the next one
    removes what it has left.
    """
    plain = json.dumps({**taken.content, "taken": name.taken}, sort_keys=True).encode()
    cluster_id = str(taken.content["cluster_id"])
    place = os.path.join(folder, cluster_id)
    try:
        for each in (folder, place):
            os.makedirs(each, mode=0o700, exist_ok=True)
        with alone_in(place, clock):
            path = _encrypted(plain, place, name, recipients)
            with open(path, "rb") as file:
                data = file.read()
            meta = meta_of(
                name,
                cluster_id=cluster_id,
                address=taken.address,
                engine_version=taken.engine_version,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
                recipients=[each.strip() for each in recipients],
                autolock=taken.autolock,
            )
            meta_path = os.path.join(place, name.meta)
            write_whole(meta_path, (json.dumps(meta, indent=2, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise failure_of(f"write the export into {place}", error) from error
    return WrittenExport(path, meta_path, meta)


def _encrypted(plain: bytes, place: str, name: BackupName, recipients: Sequence[str]) -> str:
    """The path of the encrypted file, once it was read back."""
    partial = os.path.join(place, f"{PARTIAL}{name.data}")
    # Made for this run. With it alone, the run can read what it has written.
    identity, own = new_identity()
    encrypt(partial, [*recipients, own], lambda stream: _write(stream, plain))
    try:
        if decrypt(partial, identity) != plain:
            raise SwarmError(
                "age_failed",
                f"Could not write the export into {place}: what was read back is not what was written. Check the disk.",
            )
        path = os.path.join(place, name.data)
        os.rename(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise
    return path


def _write(stream: Any, plain: bytes) -> None:
    stream.write(plain)


@contextlib.contextmanager
def alone_in(place: str, clock: Clock | None = None) -> Iterator[None]:
    """Hold the folder of a swarm's backups while one is written, and remove what interrupted runs have left; raises busy.

    The kernel releases the lock when the process ends.
    """
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _seen, locked = poll(lambda: try_lock(descriptor), bool, _TURN, interval=0.5, clock=clock)
        if not locked:
            raise SwarmError(
                "busy",
                f"Could not write a backup into {place}: another run has been writing there for {_TURN:.0f} s. Wait until it has"
                " ended, and run again.",
            )
        for entry in os.listdir(place):
            if entry.startswith(PARTIAL):
                os.unlink(os.path.join(place, entry))
        yield
    finally:
        os.close(descriptor)
