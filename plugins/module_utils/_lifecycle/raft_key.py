# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The key file of a node, swarm-node.key, which autolock seals with the unlock key.

The file is a PEM block. Its body is the private key of the node. Its header `raft-dek` has the key that encrypts the raft log
(swarmkit: manager/deks.go). With autolock, the unlock key encrypts both: the body as PKCS#8 with a passphrase, the header as a
record of an algorithm, data and a nonce (swarmkit: api/types.proto, MaybeEncryptedRecord). Works on text, and touches no file.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NamedTuple

from .._common.errors import SwarmError

_ATTEMPT = "Could not open the key file of the node with the unlock key"
_UNLOCK_KEY = re.compile(r"SWMKEY-1-([A-Za-z0-9+/]{43})")
_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.*?)-----END \1-----\s*", re.DOTALL | re.ASCII
)
_HEADER = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
# Each has a key of the raft log. The second one is there while the engine replaces the first one.
_RAFT_KEYS = ("raft-dek", "raft-dek-pending")
# Headers that belong to the encryption. A manager refuses to start with the clear key under the version of the old unlock key.
_OF_ENCRYPTION = ("Proc-Type", "DEK-Info", "kek-version")
_CLEAR, _SECRETBOX, _FERNET = 0, 1, 2
_NONCE = 24


class _Block(NamedTuple):
    label: str
    headers: dict[str, str]
    body: bytes

    @property
    def sealed(self) -> bool:
        return self.label == "ENCRYPTED PRIVATE KEY" or "ENCRYPTED" in self.headers.get(
            "Proc-Type", ""
        )


class _Record(NamedTuple):
    algorithm: int
    data: bytes
    nonce: bytes


def is_sealed(pem: str) -> bool:
    """Whether autolock has sealed this key file. Raises bad_key_file. Pure."""
    return _parse(pem).sealed


def open_key(pem: str, unlock_key: str) -> str:
    """The key file as it is without autolock. One that is not sealed is returned unchanged.

    Raises wrong_unlock_key, bad_key_file, unsupported_encryption or no_crypto. Pure.
    """
    passphrase = _passphrase(unlock_key)
    block = _parse(pem)
    if not block.sealed:
        return pem
    records = {name: _record(block.headers[name]) for name in _RAFT_KEYS if name in block.headers}
    if any(record.algorithm == _FERNET for record in records.values()):
        raise SwarmError(
            "unsupported_encryption",
            f"{_ATTEMPT}: the swarm uses Fernet (FIPS mode), which is not supported. Restore an export of the swarm instead.",
            algorithm="fernet",
        )
    opened = {name: _open_record(record, passphrase) for name, record in records.items()}
    key = _open_body(block, passphrase)
    if key is None or None in opened.values():
        # The records are authenticated and the body is not, so with the right key one of them opens.
        if key is None and not any(opened.values()):
            raise SwarmError(
                "wrong_unlock_key",
                f"{_ATTEMPT}: it is another unlock key. Give the one that was valid when the swarm was last unlocked.",
            )
        raise _damaged("a part of it does not open, although the unlock key is right")
    headers = {k: v for k, v in block.headers.items() if k not in _OF_ENCRYPTION}
    headers.update({name: _written(data) for name, data in opened.items() if data is not None})
    return _formatted(_Block("PRIVATE KEY", headers, key))


def _passphrase(unlock_key: str) -> bytes:
    match = _UNLOCK_KEY.fullmatch(unlock_key.strip())
    if match is None:
        raise SwarmError(
            "wrong_unlock_key",
            f"{_ATTEMPT}: what was given is no unlock key. One has the form SWMKEY-1- and 43 characters of Base64.",
        )
    # Docker does not check the two bits that are left over in the last character either.
    return base64.b64decode(match.group(1) + "=")


def _parse(pem: str) -> _Block:
    match = _BLOCK.fullmatch(pem.lstrip())
    if match is None:
        raise _damaged("it is not one PEM block")
    label, content = match.groups()
    headers: dict[str, str] = {}
    lines = content.splitlines()
    while lines and ":" in lines[0]:
        header = _HEADER.fullmatch(lines.pop(0))
        if header is None:
            raise _damaged("one of its headers cannot be read")
        headers[header.group(1)] = header.group(2).strip()
    body = _base64("".join(lines))
    if not label.endswith("PRIVATE KEY") or not body:
        raise _damaged("it has no private key")
    return _Block(label, headers, body)


def _formatted(block: _Block) -> str:
    text = base64.b64encode(block.body).decode()
    rows = [text[start : start + 64] for start in range(0, len(text), 64)]
    headers = [f"{name}: {block.headers[name]}" for name in sorted(block.headers)]
    lines = [f"-----BEGIN {block.label}-----", *headers, *([""] if headers else []), *rows]
    return "\n".join([*lines, f"-----END {block.label}-----", ""])


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise _damaged("a part of it is not Base64") from None


def _record(header: str) -> _Record:
    """Parse the three fields of a record: a number, and two strings with their lengths (the format of protobuf)."""
    rest = _base64(header)
    found: dict[int, Any] = {1: 0, 2: b"", 3: b""}
    while rest:
        tag, rest = _varint(rest)
        value, rest = _varint(rest)
        if tag == 1 << 3:
            found[1] = value
        elif tag in (2 << 3 | 2, 3 << 3 | 2) and value <= len(rest):
            found[tag >> 3], rest = rest[:value], rest[value:]
        else:
            raise _damaged("the key of its raft log cannot be read")
    if not found[2]:
        raise _damaged("the key of its raft log is empty")
    return _Record(found[1], found[2], found[3])


def _varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for position, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, data[position + 1 :]
    raise _damaged("the key of its raft log cannot be read")


def _written(data: bytes) -> str:
    """A record of data in clear, as the header has it."""
    length, size = b"", len(data)
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return base64.b64encode(bytes([2 << 3 | 2]) + length + bytes([size]) + data).decode()


def _open_record(record: _Record, passphrase: bytes) -> bytes | None:
    """The data of a record; None if the key does not open it."""
    if record.algorithm == _CLEAR:
        return record.data
    if record.algorithm != _SECRETBOX:
        raise SwarmError(
            "unsupported_encryption",
            f"{_ATTEMPT}: it has encryption algorithm {record.algorithm}, which is not known. Update this collection.",
            algorithm=str(record.algorithm),
        )
    if len(record.nonce) != _NONCE:
        raise _damaged("the key of its raft log cannot be read")
    try:
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox
    except ImportError:
        raise _no_crypto() from None
    try:
        return bytes(SecretBox(passphrase).decrypt(record.data, record.nonce))
    except (CryptoError, ValueError, TypeError):
        return None


def _open_body(block: _Block, passphrase: bytes) -> bytes | None:
    """The private key in clear, as PKCS#8; None if the key does not open it."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise _no_crypto() from None
    # Without the headers of the engine, which a parser of PEM need not know.
    headers = {k: v for k, v in block.headers.items() if k in ("Proc-Type", "DEK-Info")}
    clean = _formatted(block._replace(headers=headers))
    try:
        key = serialization.load_pem_private_key(clean.encode(), passphrase)
        return bytes(
            key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _damaged(why: str) -> SwarmError:
    return SwarmError(
        "bad_key_file",
        f"Could not read the key file of the node: {why}. Use another manager, or a backup.",
    )


def _no_crypto() -> SwarmError:
    return SwarmError(
        "no_crypto",
        f"{_ATTEMPT}: libraries are missing on the host. Install the packages python3-nacl and python3-cryptography.",
    )
