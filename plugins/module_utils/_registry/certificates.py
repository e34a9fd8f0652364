# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The certificates of a registry, with the program openssl: what they are, an authority of the host's own, and what it issues."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import ssl
import tempfile
from collections.abc import Iterator
from typing import Callable

from .._common.errors import SwarmError
from .._host.files import write_whole
from .settings import (
    CA,
    CA_DAYS,
    CA_KEY,
    CERTIFICATE,
    CERTIFICATE_DAYS,
    KEY,
    Certificate,
    is_address,
)

# A command, with its standard input as `data`, and its (exit code, output, errors).
Runner = Callable[..., tuple[int, str, str]]

_EXTENSIONS = """\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = flotilla.swarm registry{role}
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""


def read_certificate(run: Runner, text: str) -> Certificate | None:
    """The first certificate in PEM; None if it is none."""
    words = ["openssl", "x509", "-noout", "-dates", "-pubkey", "-ext", "subjectAltName"]
    code, output, _errors = run(words, data=text)
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.*)$", output, re.MULTILINE))
    if code or len(dates) != 2:
        return None
    found = re.findall(r"(?:DNS|IP Address):([^,\s]+)", output)
    return Certificate(
        begins=ssl.cert_time_to_seconds(dates["notBefore"]),
        ends=ssl.cert_time_to_seconds(dates["notAfter"]),
        names=frozenset(found),
        key=_hash_of(output),
    )


def public_key(run: Runner, text: str) -> str:
    """A hash of the public part of a key in PEM; empty if it is none, or has a password."""
    code, output, _errors = run(
        ["openssl", "pkey", "-pubout", "-passin", "pass:"], data=text or "\n"
    )
    return "" if code else _hash_of(output)


def _hash_of(output: str) -> str:
    found = re.search(r"-----BEGIN PUBLIC KEY-----.*?-----END", output, re.DOTALL)
    return hashlib.sha256(found.group().encode()).hexdigest() if found else ""


def is_issued(run: Runner) -> bool:
    """Whether the certificate of the host is valid now, and from the authority of the host."""
    code, _output, _errors = run(["openssl", "verify", "-CAfile", CA, CERTIFICATE])
    return code == 0


def make_authority(run: Runner) -> None:
    """A new certificate of the authority of the host, for the key that it has; without a key, a new authority.

    With the same key, what the old certificate has verified stays valid, so engines can get the new one later.
    """
    with _folder() as folder:
        if not os.path.exists(CA_KEY):
            write_whole(CA_KEY, _new_key(run, folder))
        config = _write(folder, "config", _EXTENSIONS.format(role=" authority", names="DNS:none"))
        certificate = os.path.join(folder, "ca.crt")
        _openssl(
            run,
            *("req", "-x509", "-new", "-sha256", "-key", CA_KEY, "-days", str(CA_DAYS)),
            *("-config", config, "-extensions", "ca", "-out", certificate),
        )
        _put(certificate, CA, 0o644)


def issue(run: Runner, names: frozenset[str], group: int) -> None:
    """A new key and a certificate for these names. `group` can read the key."""
    alternatives = ", ".join(f"{'IP' if is_address(n) else 'DNS'}:{n}" for n in sorted(names))
    with _folder() as folder:
        key = _write(folder, "key", _new_key(run, folder).decode())
        config = _write(folder, "config", _EXTENSIONS.format(role="", names=alternatives))
        request, certificate = os.path.join(folder, "csr"), os.path.join(folder, "crt")
        _openssl(run, "req", "-new", "-sha256", "-key", key, "-config", config, "-out", request)
        _openssl(
            run,
            *("x509", "-req", "-sha256", "-in", request, "-CA", CA, "-CAkey", CA_KEY),
            *("-set_serial", f"0x{secrets.randbits(120):x}", "-days", str(CERTIFICATE_DAYS)),
            *("-extfile", config, "-extensions", "server", "-out", certificate),
        )
        # A kill between the two leaves a pair that does not fit, which the next run sees.
        put_key(open_text(key), group)
        _put(certificate, CERTIFICATE, 0o644)


def put_key(text: str, group: int) -> None:
    """The key of the registry, for root and a group; raises OSError."""
    write_whole(KEY, text.encode())
    os.chown(KEY, 0, group)
    os.chmod(KEY, 0o640)


def open_text(path: str) -> str:
    """The content of a file; raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix=".flotilla-") as folder:
        yield folder


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    write_whole(path, text.encode())
    return path


def _put(source: str, path: str, mode: int) -> None:
    write_whole(path, open_text(source).encode())
    os.chmod(path, mode)


def _new_key(run: Runner, folder: str) -> bytes:
    """A key in a file that only root reads, because the folder is root's."""
    path = os.path.join(folder, "new.key")
    _openssl(
        run,
        *("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path),
    )
    return open_text(path).encode()


def _openssl(run: Runner, *words: str) -> None:
    code, _output, errors = run(["openssl", *words])
    if code:
        last = errors.strip().splitlines()[-1] if errors.strip() else f"exit code {code}"
        raise SwarmError(
            "openssl_failed",
            f"Could not make the certificate of the registry: openssl {words[0]}: {last.rstrip('.')}.",
        )
