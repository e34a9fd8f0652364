# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted files of a repository are read with the keys of the manager, and with no other ones."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops import decrypt
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.decrypt import (
    Keys,
    decrypted,
    is_encrypted,
)

PASSWORD = "correct horse"
SOPS = b"""\
password: ENC[AES256_GCM,data:abc=,iv:def=,tag:ghi=,type:str]
sops:
    mac: ENC[AES256_GCM,data:jkl=,iv:mno=,tag:pqr=,type:str]
"""


def vault(data: bytes, password: str = PASSWORD, label: str | None = None) -> bytes:
    """What ansible-vault writes."""
    secret = VaultSecret(password.encode())
    return bytes(VaultLib([("default", secret)]).encrypt(data, secret, vault_id=label))


@settings(max_examples=20)
@given(data=st.binary(min_size=1, max_size=5000))
def test_what_ansible_vault_encrypts_is_read_as_it_was(data: bytes) -> None:
    assert decrypted("a", vault(data), Keys(("other", PASSWORD))) == data


@pytest.mark.parametrize("label", [None, "prod"])
def test_a_vault_with_a_label_is_read_too(label: str | None) -> None:
    text = vault(b"s3cret", label=label)
    assert is_encrypted(text)
    assert decrypted("a", text, Keys((PASSWORD,))) == b"s3cret"
    # Editors change the ends of lines.
    assert decrypted("a", text.replace(b"\n", b"\r\n"), Keys((PASSWORD,))) == b"s3cret"


@pytest.mark.parametrize(
    ("data", "passwords", "code"),
    [
        (vault(b"s3cret"), ("wrong",), "no_key"),
        (vault(b"s3cret"), (), "no_key"),
        (vault(b"s3cret")[:-20], (PASSWORD,), "bad_vault"),
        (b"$ANSIBLE_VAULT;", (PASSWORD,), "bad_vault"),
        (b"$ANSIBLE_VAULT;1.0;AES\n00", (PASSWORD,), "bad_vault"),
        (b"$ANSIBLE_VAULT;1.1;AES256\nzz", (PASSWORD,), "bad_vault"),
    ],
)
def test_what_cannot_be_decrypted_is_named_without_its_content(
    data: bytes, passwords: tuple[str, ...], code: str
) -> None:
    with pytest.raises(SwarmError) as found:
        decrypted("db.txt", data, Keys(passwords))
    assert found.value.code == code
    assert "db.txt" in found.value.message
    assert "s3cret" not in found.value.message


def test_a_plain_file_stays_as_it_is() -> None:
    for data in (b"", b"plain", b"mac: 1", b"ENC[AES256_GCM,data:"):
        assert not is_encrypted(data)
        assert decrypted("a", data, Keys()) == data


def program(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)


def test_sops_gets_the_file_by_its_input_and_the_key_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decrypt, "_PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path / "sops", 'echo "$@ $SOPS_AGE_KEY_FILE"; cat')
    found = decrypted("a/db.yml", SOPS, Keys(age_file="/k"))
    first, _newline, rest = found.partition(b"\n")
    assert first == b"--decrypt --input-type yaml --output-type yaml /dev/stdin /k"
    assert rest == SOPS
    program(tmp_path / "sops", "echo s3cret >&2; exit 3")
    with pytest.raises(SwarmError) as failure:
        decrypted("a/db.yml", SOPS, Keys(age_file="/k"))
    assert failure.value.code == "sops_failed"
    assert "s3cret" not in failure.value.message


def test_sops_needs_its_program_and_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decrypt, "_PATH", str(tmp_path))
    for keys, code in ((Keys(), "no_key"), (Keys(age_file="/k"), "no_sops")):
        with pytest.raises(SwarmError) as failure:
            decrypted("db.env", SOPS, keys)
        assert failure.value.code == code
