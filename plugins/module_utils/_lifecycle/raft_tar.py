# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The archive of a raft backup: a tar of the folder `swarm` of a stopped engine, and whether a copy of it is complete.

The engine reserves 64 MB for each file of its raft log, and fills the rest with zeros. So the tar has GNU's sparse files, which
both GNU tar and Python's tarfile unpack to files of the original size. What the engine only reserves for later (*.tmp) is left out.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from .._common.errors import SwarmError

# In the archive, and below the engine's data folder.
FOLDER = "swarm"
KEY_FILE = f"{FOLDER}/certificates/swarm-node.key"
# What a manager cannot start without.
NEEDED = (
    KEY_FILE,
    f"{FOLDER}/certificates/swarm-node.crt",
    f"{FOLDER}/certificates/swarm-root-ca.crt",
    f"{FOLDER}/docker-state.json",
)
_LOG = f"{FOLDER}/raft/wal-v3-encrypted/"
_SNAPSHOTS = f"{FOLDER}/raft/snap-v3-encrypted"
_RESERVED = ".tmp"
_PIECE = 1 << 20
# Bytes: a key file has less than 2 kB.
_LARGEST_KEY_FILE = 1 << 16


@dataclass(frozen=True)
class Contents:
    """The names in an archive with the sizes of files, and its key file."""

    sizes: Mapping[str, int]  # of a folder: -1
    key_file: str


def write_tar(data_root: str, stream: IO[bytes]) -> dict[str, int]:
    """Write the archive of data_root/swarm into a stream. Returns what is in it: the sizes of files by name, -1 for folders.

    Raises OSError. Links and sockets are not followed; a manager has none.
    """
    written: dict[str, int] = {}
    for name in _names(data_root):
        path = os.path.join(data_root, name)
        status = os.lstat(path)
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
        info.uid, info.gid = status.st_uid, status.st_gid
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
            stream.write(info.tobuf(tarfile.GNU_FORMAT))
            written[name] = -1
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                written[name] = _write_file(info, file, stream)
    stream.write(b"\0" * 2 * tarfile.BLOCKSIZE)
    return written


def _names(data_root: str) -> Iterator[str]:
    """The folder and what is below it, folders before what is in them, in a fixed order."""

    def fail(error: OSError) -> None:
        raise error

    top = os.path.join(data_root, FOLDER)
    for place, folders, files in os.walk(top, onerror=fail):
        folders.sort()
        yield os.path.relpath(place, data_root)
        for name in sorted(files):
            relative = os.path.relpath(os.path.join(place, name), data_root)
            if not (relative.startswith(_LOG) and name.endswith(_RESERVED)):
                yield relative


def _write_file(info: tarfile.TarInfo, file: IO[bytes], stream: IO[bytes]) -> int:
    size, used = _extent(file)
    info.size = used
    header = info.tobuf(tarfile.GNU_FORMAT)
    stream.write(header if used == size else _sparse(header, used, size))
    file.seek(0)
    left = used
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            raise OSError(5, "the file became shorter while it was read", file.name)
        stream.write(piece)
        left -= len(piece)
    stream.write(b"\0" * (-used % tarfile.BLOCKSIZE))
    return size


def _extent(file: IO[bytes]) -> tuple[int, int]:
    """The size of a file, and where its zeros at the end begin, in whole blocks."""
    size = used = 0
    while piece := file.read(_PIECE):
        filled = len(piece.rstrip(b"\0"))
        if filled:
            used = size + filled
        size += len(piece)
    return size, min(size, used + -used % tarfile.BLOCKSIZE)


def _sparse(header: bytes, used: int, size: int) -> bytes:
    """The header of a file of which only the first `used` bytes are in the archive (GNU tar manual, "Old GNU Format").

    A long name has blocks of its own before the header, which is the last one.
    """
    before, last = header[: -tarfile.BLOCKSIZE], bytearray(header[-tarfile.BLOCKSIZE :])
    last[156:157] = b"S"
    pieces = ((0, used), (size, 0))
    for number, (offset, length) in enumerate(pieces):
        at = 386 + 24 * number
        last[at : at + 12] = b"%011o\0" % offset
        last[at + 12 : at + 24] = b"%011o\0" % length
    last[483:495] = b"%011o\0" % size
    last[148:156] = b" " * 8
    last[148:156] = b"%06o\0 " % sum(last)
    return before + bytes(last)


def read_tar(archive: bytes) -> Contents:
    """What is in an archive that was decrypted. Raises bad_copy where it is cut off or no tar."""
    sizes: dict[str, int] = {}
    key_file = b""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                sizes[member.name] = member.size if member.isreg() else -1
                if member.isreg():
                    content = tar.extractfile(member)
                    if content is None:
                        raise ValueError(f"{member.name} has no content")
                    if member.name == KEY_FILE and member.size <= _LARGEST_KEY_FILE:
                        key_file = content.read()
                    _read_through(content)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise _bad(f"it cannot be read ({error})") from error
    if archive[-2 * tarfile.BLOCKSIZE :] != b"\0" * 2 * tarfile.BLOCKSIZE:
        raise _bad("its end is missing")
    return Contents(sizes, key_file.decode("utf-8", "replace"))


def _read_through(content: IO[bytes]) -> None:
    while content.read(_PIECE):
        pass


def check_contents(found: Mapping[str, int], written: Mapping[str, int]) -> None:
    """Raise bad_copy unless an archive has what was written, and what a manager needs. Pure."""
    if dict(found) != dict(written):
        different = sorted(
            name for name in {*found, *written} if found.get(name) != written.get(name)
        )
        raise _bad(f"{different[0]} is not as it was written")
    missing = [name for name in NEEDED if found.get(name, -1) < 1]
    if missing:
        raise _bad(f"{missing[0]} is missing")
    if not any(name.startswith(_LOG) and size > 0 for name, size in found.items()):
        raise _bad("it has no raft log")
    if _SNAPSHOTS not in found:
        raise _bad("it has no folder for snapshots")


def _bad(what: str) -> SwarmError:
    return SwarmError(
        "bad_copy",
        f"Could not use the raft backup that was just written: {what}. It was removed; check the disk, and run again.",
    )
