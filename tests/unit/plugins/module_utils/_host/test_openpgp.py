# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._host import openpgp

BODY = b"\x04" + (1700000000).to_bytes(4, "big") + b"\x16" + b"any key material"
FINGERPRINT = hashlib.sha1(b"\x99" + len(BODY).to_bytes(2, "big") + BODY).hexdigest().upper()


def old_packet(tag: int, body: bytes) -> bytes:
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def new_packet(tag: int, body: bytes) -> bytes:
    if len(body) < 192:
        length = bytes([len(body)])
    elif len(body) < 8384:
        rest = len(body) - 192
        length = bytes([192 + (rest >> 8), rest & 0xFF])
    else:
        length = b"\xff" + len(body).to_bytes(4, "big")
    return bytes([0xC0 | tag]) + length + body


Packet = Callable[[int, bytes], bytes]
KEY = (
    old_packet(6, BODY) + old_packet(13, b"Lab <lab@example.com>") + old_packet(14, b"\x04a subkey")
)


@pytest.mark.parametrize("packet", [old_packet, new_packet])
def test_the_fingerprint_is_that_of_the_primary_key(packet: Packet) -> None:
    key = packet(6, BODY) + packet(13, b"x" * 300) + packet(2, b"y" * 9000) + packet(14, b"\x04sub")
    assert openpgp.fingerprints(key) == [FINGERPRINT]


def test_a_file_with_two_keys_has_two_fingerprints() -> None:
    assert openpgp.fingerprints(KEY + KEY) == [FINGERPRINT, FINGERPRINT]


def test_armor_of_others_is_read() -> None:
    text = base64.encodebytes(KEY).decode()
    armored = (
        "\r\n".join(
            [
                "-----BEGIN PGP PUBLIC KEY BLOCK-----",
                "Version: 1",
                "",
                text.strip(),
                "=abcd",
                "-----END PGP PUBLIC KEY BLOCK-----",
            ]
        )
        + "\r\n"
    )
    assert openpgp.fingerprints(armored.encode()) == [FINGERPRINT]


@given(st.binary(min_size=1, max_size=400))
def test_armor_and_back(data: bytes) -> None:
    assert openpgp.dearmor(openpgp.armor(data).encode()) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_refused(data: bytes) -> None:
    with contextlib.suppress(openpgp.NotAKey):
        assert all(len(found) in (40, 64) for found in openpgp.fingerprints(data))


@given(st.integers(min_value=0, max_value=len(KEY) - 1))
def test_a_key_that_is_cut_off_is_never_taken_for_another(end: int) -> None:
    with contextlib.suppress(openpgp.NotAKey):
        assert openpgp.fingerprints(KEY[:end]) == [FINGERPRINT]


def test_a_web_page_is_not_a_key() -> None:
    with pytest.raises(openpgp.NotAKey, match="no OpenPGP packet"):
        openpgp.fingerprints(b"<html>404</html>")
