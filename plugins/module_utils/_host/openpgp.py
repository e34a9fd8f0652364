# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""The part of OpenPGP (RFC 4880) that pinning a repository key needs: dearmor, fingerprint, armor.

A minimal Debian has gpgv but no gpg, and gpgv does not print fingerprints.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

_ARMOR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----[^\n]*\n(?P<body>.*?)-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
_PUBLIC_KEY = 6


class NotAKey(ValueError):
    """The bytes are not an OpenPGP public key."""


def dearmor(data: bytes) -> bytes:
    """The binary form of an armored or binary key; raises NotAKey."""
    if b"-----BEGIN" not in data:
        return data
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    parts = []
    for block in _ARMOR.finditer(text):
        body = block.group("body")
        # Header lines ("Version: ...") end at the first empty line; a block without headers starts with one.
        if "\n\n" in body:
            body = body.split("\n\n", 1)[1]
        lines = [line.strip() for line in body.splitlines()]
        lines = [line for line in lines if line and not line.startswith("=")]
        try:
            parts.append(base64.b64decode("".join(lines), validate=True))
        except (binascii.Error, ValueError) as exc:
            raise NotAKey(f"the armor is damaged: {exc}") from exc
    if not parts:
        raise NotAKey("no public key block found")
    return b"".join(parts)


def armor(binary: bytes) -> str:
    """The armored form of a binary key, the same text for the same key."""
    body = base64.b64encode(binary).decode("ascii")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    checksum = base64.b64encode(_crc24(binary).to_bytes(3, "big")).decode("ascii")
    return "\n".join(
        [
            "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            "",
            *lines,
            "=" + checksum,
            "-----END PGP PUBLIC KEY BLOCK-----",
            "",
        ]
    )


def fingerprints(data: bytes) -> list[str]:
    """The fingerprints of the primary keys in armored or binary data, in upper case; raises NotAKey."""
    found = []
    for tag, body in _packets(dearmor(data)):
        if tag != _PUBLIC_KEY:
            continue
        if body[:1] == b"\x04":
            material = b"\x99" + len(body).to_bytes(2, "big") + body
            found.append(hashlib.sha1(material, usedforsecurity=False).hexdigest().upper())
        elif body[:1] in (b"\x05", b"\x06"):
            lead, size = (b"\x9a", 4) if body[:1] == b"\x05" else (b"\x9b", 4)
            found.append(
                hashlib.sha256(lead + len(body).to_bytes(size, "big") + body).hexdigest().upper()
            )
        else:
            raise NotAKey("the key has a version that is not known")
    if not found:
        raise NotAKey("no public key found")
    return found


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    try:
        while at < len(data):
            head = data[at]
            at += 1
            if not head & 0x80:
                raise NotAKey("no OpenPGP packet where one should start")
            if head & 0x40:
                tag = head & 0x3F
                first = data[at]
                at += 1
                if first < 192:
                    length = first
                elif first < 224:
                    length = ((first - 192) << 8) + data[at] + 192
                    at += 1
                elif first == 255:
                    length = int.from_bytes(data[at : at + 4], "big")
                    at += 4
                else:
                    raise NotAKey("partial packets are not used in keys")
            else:
                tag = (head >> 2) & 0x0F
                kind = head & 0x03
                if kind == 3:
                    raise NotAKey("packets of unknown length are not used in keys")
                size = 1 << kind
                length = int.from_bytes(data[at : at + size], "big")
                at += size
            if at + length > len(data):
                raise NotAKey("the key is cut off")
            yield tag, data[at : at + length]
            at += length
    except IndexError as exc:
        raise NotAKey("the key is cut off") from exc


def _crc24(data: bytes) -> int:
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _bit in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF
