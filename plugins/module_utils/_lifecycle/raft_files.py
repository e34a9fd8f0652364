# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a node has of its swarm on its disk: who it is, which managers it knows, and how far its raft log goes.

All of this is readable while the engine is stopped, or while the swarm is locked: the certificate is in clear, and autolock
encrypts only the data of the entries of the raft log, not their numbers (swarmkit: manager/state/raft/storage/walwrap.go).
"""

from __future__ import annotations

import contextlib
import glob
import json
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Union

from .._common.errors import SwarmError
from .._health.certificate import subject
from .._host.engine import daemon_config
from .._host.files import DATA_ROOT, text_of
from .raft_key import is_sealed

Buffer = Union[bytes, mmap.mmap]

_MANAGER = "swarm-manager"
# The types of records (etcd: wal/wal.go) and the fields in them (walpb.Record, raftpb.Entry, raftpb.HardState).
_ENTRY, _STATE = 2, 3
_RECORD_TYPE, _RECORD_DATA = 1, 3
_ENTRY_TERM, _ENTRY_INDEX = 2, 3
_STATE_TERM, _STATE_COMMIT = 1, 3
_LENGTH_BITS = (1 << 56) - 1


@dataclass(frozen=True)
class RaftPosition:
    """How far a raft log goes. A forced new swarm drops what is not committed, so `commit` says which log is the newest."""

    commit: int = 0  # the last entry that this manager knows to be committed
    term: int = 0
    index: int = 0  # the last entry


@dataclass(frozen=True)
class NodeFiles:
    """The files of one node."""

    folder: str
    cluster_id: str | None = None
    node_id: str | None = None
    manager: bool = False
    sealed: bool = False
    peers: tuple[
        dict[str, str], ...
    ] = ()  # node_id and addr of the managers that it knows, itself among them
    raft: RaftPosition | None = None
    problem: str | None = None  # why it cannot be recovered from
    size_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The files as data, for the result of a module."""
        return asdict(self)


def swarm_folder(docker_root: str | None = None) -> str:
    """The folder of the swarm in the data-root of the engine, which an engine that answers tells."""
    root = docker_root or (daemon_config()[0] or {}).get("data-root")
    return os.path.join(root if isinstance(root, str) and root else DATA_ROOT, "swarm")


def key_file(folder: str) -> str:
    """The file with the private key of the node."""
    return os.path.join(folder, "certificates", "swarm-node.key")


def read_node(folder: str) -> NodeFiles | None:
    """The files of the node in that folder; None if it is in no swarm."""
    name = subject(text_of(os.path.join(folder, "certificates", "swarm-node.crt")))
    key = text_of(key_file(folder))
    has_raft = os.path.isdir(os.path.join(folder, "raft"))
    if not (name or key or has_raft):
        return None
    problem = None if name else "its certificate cannot be read"
    sealed, raft = False, None
    try:
        sealed = is_sealed(key)
    except SwarmError:
        problem = problem or "its key file is damaged"
    if has_raft:
        raft = read_position(folder)
        if raft is None:
            problem = problem or "its raft log cannot be read"
    return NodeFiles(
        folder=folder,
        cluster_id=name.get("O"),
        node_id=name.get("CN"),
        # A host that is being promoted or demoted can have one without the other.
        manager=has_raft and name.get("OU", _MANAGER) == _MANAGER,
        sealed=sealed,
        peers=peers_in(text_of(os.path.join(folder, "state.json"))),
        raft=raft,
        problem=problem,
        size_bytes=size_of(folder),
    )


def peers_in(text: str) -> tuple[dict[str, str], ...]:
    """The managers in the engine's file state.json; none if it cannot be read. Pure."""
    try:
        found = json.loads(text or "[]")
        peers = [{"node_id": str(each["node_id"]), "addr": str(each["addr"])} for each in found]
    except (ValueError, TypeError, KeyError):
        return ()
    return tuple(sorted(peers, key=lambda peer: peer["addr"]))


def read_position(folder: str) -> RaftPosition | None:
    """How far the raft log in that folder goes; None if it cannot be read."""
    found = None
    # A new segment of the log begins with the state, and can still be without an entry.
    for path in sorted(glob.glob(f"{glob.escape(folder)}/raft/wal-v3*/*.wal"))[-2:]:
        try:
            with (
                open(path, "rb") as handle,
                contextlib.closing(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)) as data,
            ):
                found = position_in(data, found)
        except (OSError, ValueError):
            continue
    for path in glob.glob(f"{glob.escape(folder)}/raft/snap-v3*/*.snap"):
        name = re.fullmatch(r"([0-9a-f]{16})-([0-9a-f]{16})\.snap", os.path.basename(path))
        if name and found:
            term, index = int(name.group(1), 16), int(name.group(2), 16)
            found = RaftPosition(
                max(found.commit, index), max(found.term, term), max(found.index, index)
            )
    return found


def position_in(data: Buffer, before: RaftPosition | None = None) -> RaftPosition | None:
    """How far a segment of a raft log goes, after the segment before it. It ends at the first byte that is no record. Pure."""
    term, index, commit = (before.term, before.index, before.commit) if before else (0, 0, 0)
    seen = before is not None
    for kind, start, end in _records(data):
        if kind not in (_ENTRY, _STATE):
            continue
        try:
            fields = dict(_fields(data, start, end, _STATE_COMMIT))
        except (IndexError, ValueError):
            break
        seen = True
        if kind == _ENTRY:
            term, index = fields.get(_ENTRY_TERM, term), fields.get(_ENTRY_INDEX, index)
        else:
            term, commit = fields.get(_STATE_TERM, term), fields.get(_STATE_COMMIT, commit)
    return RaftPosition(commit, term, index) if seen else None


def _records(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """The records of a segment: the type, and where the data begins and ends (etcd: wal/encoder.go)."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        size = length & _LENGTH_BITS
        padding = (length >> 56) & 7 if length >> 63 else 0
        at += 8
        if not size or at + size > len(data):
            return
        kind, place = 0, (0, 0)
        try:
            for number, value in _fields(data, at, at + size, _RECORD_DATA):
                if number == _RECORD_TYPE and isinstance(value, int):
                    kind = value
                elif number == _RECORD_DATA and isinstance(value, tuple):
                    place = value
        except (IndexError, ValueError):
            return
        yield kind, place[0], place[1]
        at += size + padding


def _fields(data: Buffer, at: int, end: int, last: int) -> Iterator[tuple[int, Any]]:
    """The fields of a message of protobuf, up to the one with the number `last`: numbers, and strings as (begin, end)."""
    while at < end:
        tag, at = _varint(data, at, end)
        value: Any
        value, at = _varint(data, at, end)
        if tag & 7 == 2:
            value, at = (at, at + value), at + value
            if at > end:
                raise ValueError("cut off")
        elif tag & 7:
            raise ValueError("not a record of the log")
        yield tag >> 3, value
        if tag >> 3 >= last:
            return


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        value, at = value | (byte & 0x7F) << shift, at + 1
        if byte < 0x80:
            return value, at
    raise ValueError("cut off")


def size_of(folder: str) -> int:
    """What the folder takes on the disk. The raft log has reserved space in it."""
    total = 0
    for place, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total
