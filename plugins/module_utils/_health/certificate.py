# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The validity of X.509 certificates: all that is needed of them, and too little for a dependency."""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import time
from typing import NamedTuple

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s+(.*?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


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


def _validity(der: bytes) -> Validity:
    # Certificate > TBSCertificate > [version], serial number, algorithm, issuer, validity (RFC 5280, 4.1).
    fields = _fields(_only(der, _SEQUENCE))
    fields = _fields(_expect(fields[0], _SEQUENCE))
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    begins, ends = _fields(_expect(fields[3], _SEQUENCE))[:2]
    return Validity(_moment(*begins), _moment(*ends))


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
