# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Files of a repository that are encrypted with Ansible Vault or SOPS. Their content is in memory only.

A manager has no Ansible. The format of the vault is small: a key from a password, AES in counter mode, and a checksum
(ansible: parsing/vault/__init__.py). SOPS has many formats and key services, so its own program decrypts.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from .._common.errors import SwarmError
from .._host.commands import run

_VAULT = b"$ANSIBLE_VAULT;"
_ROUNDS = 10_000
# What SOPS writes for each value, and the name of the checksum, which is in every format.
_SOPS = re.compile(rb"\bENC\[AES256_GCM,data:")
_SOPS_MAC = re.compile(rb"(^|[\s\"{,])(sops_mac=|\"?mac\"?\s*[:=])")
# Formats of SOPS by the ending of a file.
_FORMATS = {
    **dict.fromkeys((".yml", ".yaml"), "yaml"),
    ".json": "json",
    ".env": "dotenv",
    ".ini": "ini",
}
_SECONDS = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Keys:
    """What decrypts: the passwords of vaults, and a file with identities of age for SOPS."""

    passwords: tuple[str, ...] = ()
    age_file: str = ""


def is_encrypted(data: bytes) -> bool:
    """Whether this is a file of Ansible Vault or SOPS."""
    return data.startswith(_VAULT) or _is_sops(data)


def _is_sops(data: bytes) -> bool:
    return bool(_SOPS.search(data) and _SOPS_MAC.search(data))


def decrypted(path: str, data: bytes, keys: Keys) -> bytes:
    """The content of a file, decrypted if it is encrypted. Raises no_key, bad_vault, no_sops or sops_failed."""
    if data.startswith(_VAULT):
        return _from_vault(path, data, keys.passwords)
    if _is_sops(data):
        return _from_sops(path, data, keys.age_file)
    return data


# Ansible Vault


def _from_vault(path: str, data: bytes, passwords: Iterable[str]) -> bytes:
    try:
        head, _newline, body = data.partition(b"\n")
        fields = head.strip().split(b";")
        if fields[1] not in (b"1.1", b"1.2") or fields[2] != b"AES256":
            raise ValueError
        salt, checksum, text = (
            binascii.unhexlify(part)
            for part in binascii.unhexlify(b"".join(body.split())).split(b"\n")
        )
    except (ValueError, IndexError):
        raise SwarmError(
            "bad_vault",
            f"Could not decrypt {path}: it is not a whole file of Ansible Vault (format 1.1 or 1.2, AES256). Encrypt it again.",
        ) from None
    tried = 0
    for password in passwords:
        tried += 1
        made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS, 80)
        key, key_of_checksum, start = made[:32], made[32:64], made[64:]
        found = hmac.new(key_of_checksum, text, hashlib.sha256).digest()
        if hmac.compare_digest(found, checksum):
            return _unpadded(path, _counter_mode(key, start, text))
    raise SwarmError(
        "no_key",
        f"Could not decrypt {path}: {'none of the vault passwords of this manager fits' if tried else 'this manager has no vault password'}."
        " Set swarm_gitops_vault_passwords.",
    )


def _counter_mode(key: bytes, start: bytes, text: bytes) -> bytes:
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError:
        raise SwarmError(
            "no_crypto",
            f"Could not decrypt a file of Ansible Vault: {sys.executable} of this host lacks the library cryptography. Install the"
            " package python3-cryptography.",
        ) from None
    machine = Cipher(algorithms.AES(key), modes.CTR(start)).decryptor()
    return machine.update(text) + machine.finalize()


def _unpadded(path: str, text: bytes) -> bytes:
    """The text without its padding (PKCS#7). The checksum has been right, so it is damaged only if it was written so."""
    count = text[-1] if text else 0
    if not 1 <= count <= 16 or text[-count:] != bytes([count]) * count:
        raise SwarmError("bad_vault", f"Could not decrypt {path}: its padding is damaged.")
    return text[:-count]


# SOPS


def _from_sops(path: str, data: bytes, age_file: str) -> bytes:
    if not age_file:
        raise SwarmError(
            "no_key",
            f"Could not decrypt {path}: it is encrypted with SOPS, and this manager has no identity of age. Set swarm_gitops_age_key.",
        )
    kind = _FORMATS.get(os.path.splitext(path)[1].lower(), "binary")
    words = ["sops", "--decrypt", "--input-type", kind, "--output-type", kind, "/dev/stdin"]
    environment = {"PATH": _PATH, "HOME": "/nonexistent", "SOPS_AGE_KEY_FILE": age_file}
    try:
        done = run(words, _SECONDS, stdin=data, environment=environment, folder="/")
    except FileNotFoundError:
        raise SwarmError(
            "no_sops",
            f"Could not decrypt {path}: it is encrypted with SOPS, and this manager lacks the program sops. Install it as"
            " /usr/local/bin/sops, or encrypt the file with Ansible Vault.",
        ) from None
    if not done.ok:
        # Its words can have a part of the file.
        raise SwarmError(
            "sops_failed",
            f"Could not decrypt {path}: sops ended with code {done.code}. Check that the file is whole, and that one of its recipients is"
            " the identity in swarm_gitops_age_key.",
        )
    return done.output
