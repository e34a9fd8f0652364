# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The validity and the subject of X.509 certificates: all that is needed of them, and too little for a dependency."""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import time
from typing import NamedTuple

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+(.*?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
# Object identifiers of the parts of a name (RFC 5280, A.1): common name, organization, organizational unit.
_NAME_PARTS = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU"}


class Validity(NamedTuple):
    """When a certificate begins and ends to be valid, in seconds since 1970."""

    begins: float
    ends: float


def validities(pem: str) -> list[Validity]:
    """The validity of each certificate in a PEM text, in order; what is not a certificate is left out."""
    found = []
    for body in _PEM.findall(pem):
        try:
            found.append(_validity(base64.b64decode("".join(body.split()), validate=True)))
        except (ValueError, IndexError, binascii.Error):
            continue
    return found


def subject(pem: str) -> dict[str, str]:
    """CN, O and OU of the subject of the first certificate in a PEM text; empty if there is none.

    In the certificate of a node they are the node ID, the cluster ID and the role (swarmkit: ca/certificates.go).
    """
    found = {}
    try:
        body = _PEM.findall(pem)[0]
        name = _body_fields(base64.b64decode("".join(body.split()), validate=True))[4]
        for _set, part in _fields(_expect(name, _SEQUENCE)):
            (_tag, oid), (_kind, value) = _fields(_only(part, _SEQUENCE))[:2]
            if oid in _NAME_PARTS:
                found[_NAME_PARTS[oid]] = value.decode("utf-8")
    except (ValueError, IndexError, binascii.Error):
        return {}
    return found


def _validity(der: bytes) -> Validity:
    begins, ends = _fields(_expect(_body_fields(der)[3], _SEQUENCE))[:2]
    return Validity(_moment(*begins), _moment(*ends))


def _body_fields(der: bytes) -> list[tuple[int, bytes]]:
    """Serial number, algorithm, issuer, validity, subject, and more (RFC 5280, 4.1)."""
    fields = _fields(_only(der, _SEQUENCE))
    fields = _fields(_expect(fields[0], _SEQUENCE))
    return fields[1:] if fields[0][0] == _VERSION else fields


def _fields(content: bytes) -> list[tuple[int, bytes]]:
    """The (tag, content) pairs of a DER sequence."""
    found = []
    at = 0
    while at < len(content):
        tag, length = content[at], content[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(content[at : at + size], "big")
            at += size
        if at + length > len(content):
            raise ValueError("cut off")
        found.append((tag, content[at : at + length]))
        at += length
    return found


def _only(der: bytes, tag: int) -> bytes:
    return _expect(_fields(der)[0], tag)


def _expect(field: tuple[int, bytes], tag: int) -> bytes:
    if field[0] != tag:
        raise ValueError("not a certificate")
    return field[1]


def _moment(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # Two digits of a year: 50 to 99 are 1950 to 1999 (RFC 5280, 4.1.2.5.1).
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
