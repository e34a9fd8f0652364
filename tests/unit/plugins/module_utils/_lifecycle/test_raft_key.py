# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Key files as the engine writes them, made here with the libraries and not with the code under test."""

from __future__ import annotations

import base64
import builtins
import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.raft_key import (
    is_sealed,
    open_key,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.secret import SecretBox

KEY = ec.generate_private_key(ec.SECP256R1())
PASSPHRASE = bytes(range(32))
UNLOCK_KEY = "SWMKEY-1-" + base64.b64encode(PASSPHRASE).decode().rstrip("=")
OTHER_KEY = "SWMKEY-1-" + base64.b64encode(bytes(32)).decode().rstrip("=")
DEK = bytes(range(100, 132))


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def record(data: bytes, passphrase: bytes | None = PASSPHRASE, algorithm: int = 1) -> str:
    """A header as swarmkit writes it."""
    if passphrase is None:
        return base64.b64encode(field(2, data)).decode()
    box = SecretBox(passphrase).encrypt(data)
    raw = bytes([8, algorithm]) + field(2, box.ciphertext) + field(3, box.nonce)
    return base64.b64encode(raw).decode()


def block(body: str, headers: dict[str, str]) -> str:
    first, rest = body.split("\n", 1)
    lines = "".join(f"{name}: {value}\n" for name, value in sorted(headers.items()))
    return f"{first}\n{lines}\n{rest}" if headers else body


def key_file(
    passphrase: bytes | None = PASSPHRASE,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
    **headers: str,
) -> str:
    encryption = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase)
    )
    body = KEY.private_bytes(serialization.Encoding.PEM, form, encryption).decode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return block(body, {"raft-dek": record(DEK, passphrase), "kek-version": "12", **named})


def headers_of(pem: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+): (.*)$", pem, re.MULTILINE))


def body_of(pem: str) -> Any:
    clean = re.sub(r"^[\w-]+: .*\n+", "", pem, flags=re.MULTILINE)
    return serialization.load_pem_private_key(clean.encode(), None).private_numbers()  # type: ignore[union-attr]


def code_of(work: Callable[[], Any]) -> str:
    with pytest.raises(SwarmError) as raised:
        work()
    assert "SWMKEY-1-" + "A" not in raised.value.message
    return raised.value.code


def test_opens_the_key_and_the_key_of_the_raft_log_and_leaves_the_version_out() -> None:
    opened = open_key(key_file(), UNLOCK_KEY)
    assert opened.startswith("-----BEGIN PRIVATE KEY-----\nraft-dek: ")
    assert body_of(opened) == KEY.private_numbers()
    assert headers_of(opened) == {"raft-dek": record(DEK, None)}
    assert not is_sealed(opened)


def test_opens_the_pending_key_too_and_keeps_other_headers() -> None:
    pending = bytes(32)
    sealed = key_file(raft_dek_pending=record(pending), raft_dek_needs_rotation="true")
    headers = headers_of(open_key(sealed, UNLOCK_KEY))
    assert headers == {
        "raft-dek": record(DEK, None),
        "raft-dek-pending": record(pending, None),
        "raft-dek-needs-rotation": "true",
    }


def test_opens_the_key_of_an_old_node_that_is_no_pkcs8() -> None:
    sealed = key_file(form=serialization.PrivateFormat.TraditionalOpenSSL)
    # With headers of its own, which stand before those of the engine.
    sealed = sealed.replace("\n\nProc-Type", "\nProc-Type")
    assert "DEK-Info" in sealed
    assert is_sealed(sealed)
    opened = open_key(sealed, UNLOCK_KEY)
    assert headers_of(opened) == {"raft-dek": record(DEK, None)}
    assert body_of(opened) == KEY.private_numbers()


def test_opens_the_key_of_a_worker() -> None:
    sealed = re.sub(r"raft-dek: .*\n", "", key_file())
    assert body_of(open_key(sealed, UNLOCK_KEY)) == KEY.private_numbers()


def test_a_key_that_is_not_sealed_stays_as_it_is() -> None:
    clear = key_file(None)
    assert not is_sealed(clear)
    assert open_key(clear, UNLOCK_KEY) == clear


def test_an_unlock_key_with_blanks_around_it_opens() -> None:
    assert open_key(key_file(), f" {UNLOCK_KEY}\n").startswith("-----BEGIN PRIVATE KEY")


@pytest.mark.parametrize(
    "key", [OTHER_KEY, "", "SWMKEY-1-", "x" * 52, UNLOCK_KEY[:-1], "SWMKEY-1-é"]
)
def test_another_unlock_key_is_named(key: str) -> None:
    assert code_of(lambda: open_key(key_file(), key)) == "wrong_unlock_key"


def test_another_unlock_key_is_named_on_a_worker() -> None:
    sealed = re.sub(r"raft-dek: .*\n", "", key_file())
    assert code_of(lambda: open_key(sealed, OTHER_KEY)) == "wrong_unlock_key"


def test_fernet_is_refused_by_name() -> None:
    sealed = key_file(raft_dek=record(DEK, algorithm=2))
    with pytest.raises(SwarmError, match="Fernet") as raised:
        open_key(sealed, UNLOCK_KEY)
    assert raised.value.code == "unsupported_encryption"


def test_an_unknown_algorithm_is_refused() -> None:
    sealed = key_file(raft_dek=record(DEK, algorithm=3))
    assert code_of(lambda: open_key(sealed, UNLOCK_KEY)) == "unsupported_encryption"


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        key_file()[:200],
        key_file() + key_file(),
        key_file().replace("BEGIN ENCRYPTED PRIVATE", "BEGIN CERTIFICATE"),
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n: x\n\nAAAA\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nA?==\n-----END PRIVATE KEY-----\n",
        key_file(raft_dek="?"),
        key_file(raft_dek=""),
        key_file(raft_dek=base64.b64encode(b"\x12\x7f").decode()),
        key_file(raft_dek=base64.b64encode(b"\xff" * 20).decode()),
        key_file(raft_dek=base64.b64encode(bytes([8, 1]) + field(2, DEK)).decode()),
        # The body opens, and the header does not.
        key_file(raft_dek=record(DEK, bytes(32))),
        # The header opens, and the body does not.
        key_file(bytes(32), raft_dek=record(DEK)),
    ],
)
def test_a_damaged_file_is_named(pem: str) -> None:
    assert code_of(lambda: open_key(pem, UNLOCK_KEY)) == "bad_key_file"


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "nacl":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SwarmError, match="python3-nacl and python3-cryptography") as raised:
        open_key(key_file(), UNLOCK_KEY)
    assert raised.value.code == "no_crypto"


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=64))
def test_opens_what_was_sealed(passphrase: bytes, dek: bytes) -> None:
    unlock_key = "SWMKEY-1-" + base64.b64encode(passphrase).decode().rstrip("=")
    opened = open_key(key_file(passphrase, raft_dek=record(dek, passphrase)), unlock_key)
    assert headers_of(opened)["raft-dek"] == record(dek, None)
    assert body_of(opened) == KEY.private_numbers()
    assert open_key(opened, unlock_key) == opened


SEALED = key_file()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(0, 3), st.text(max_size=3))
def test_damaged_input_raises_nothing_else(place: int, gone: int, put: str) -> None:
    try:
        open_key(SEALED[:place] + put + SEALED[place + gone :], UNLOCK_KEY)
    except SwarmError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_no_record_raises_anything_else(raw: bytes) -> None:
    try:
        open_key(key_file(raft_dek=base64.b64encode(raw).decode()), UNLOCK_KEY)
    except SwarmError:
        pass


@settings(max_examples=200, deadline=None)
@given(st.text(), st.text())
def test_no_text_raises_anything_else(pem: str, key: str) -> None:
    for work in (lambda: is_sealed(pem), lambda: open_key(pem, key)):
        try:
            work()
        except SwarmError:
            pass
