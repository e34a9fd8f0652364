# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Encrypted files, by the program age (age-encryption.org): for recipients, who alone can read them.

Identities go to age on its standard input, so that no secret is in an argument list or a file. Recipients are public.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import IO

from .._common.errors import SwarmError

# What age accepts with --recipient: its own keys, and keys of ssh.
RECIPIENT = re.compile(r"age1[0-9a-z]+|ssh-(?:ed25519|rsa) [A-Za-z0-9+/=]+(?: [^\n]*)?")
_IDENTITY = re.compile(r"^AGE-SECRET-KEY-1[0-9A-Z]+$", re.MULTILINE)
# Seconds to read or write one file.
LIMIT = 600.0


def bad_recipients(recipients: Sequence[str]) -> list[str]:
    """Those of the recipients that are no keys. Pure."""
    return [each for each in recipients if not RECIPIENT.fullmatch(each.strip())]


def check_recipients(recipients: Sequence[str]) -> None:
    """Raise no_age, or age_failed if age refuses one of the recipients: it checks their checksums."""
    words = ["age", *(word for each in recipients for word in ("-r", each.strip()))]
    _run(words, "encrypt for the recipients", limit=60.0)


def new_identity() -> tuple[str, str]:
    """An identity for one run, in memory alone, and its recipient: what is encrypted for it too can be read back."""
    identity = _run(["age-keygen"], "make a key").decode()
    found = re.search(r"age1[0-9a-z]+", identity)
    if found is None or _IDENTITY.search(identity) is None:
        raise SwarmError(
            "age_failed", "Could not make a key: age-keygen printed no key. Reinstall age."
        )
    return identity, found.group()


def encrypt(
    path: str, recipients: Sequence[str], write: Callable[[IO[bytes]], None], limit: float = LIMIT
) -> None:
    """Encrypt what `write` writes into a stream, for all recipients, into a new file that only its owner can read.

    Raises no_age, age_failed or what `write` raises; then the file is removed.
    """
    words = ["age", *(word for each in recipients for word in ("-r", each.strip()))]
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    complete = False
    try:
        with os.fdopen(handle, "wb") as output:
            _stream(words, f"encrypt {path}", output, write, limit)
            os.fsync(output.fileno())
        complete = True
    finally:
        if not complete:
            os.unlink(path)


def encrypt_in_memory(
    what: str,
    recipients: Sequence[str],
    write: Callable[[IO[bytes]], None],
    limit: float = LIMIT,
) -> bytes:
    """What `write` writes into a stream, encrypted for all recipients. Touches no file, so no disk can delay it.

    Raises no_age, age_failed or what `write` raises.
    """
    words = ["age", *(word for each in recipients for word in ("-r", each.strip()))]
    with open(os.memfd_create("encrypted", os.MFD_CLOEXEC), "w+b") as output:
        _stream(words, f"encrypt {what}", output, write, limit)
        output.seek(0)
        return output.read()


def decrypt(path: str, identity: str, limit: float = LIMIT) -> bytes:
    """The content of an encrypted file. Raises no_age, age_failed or wrong_identity."""
    return _run(["age", "-d", "-i", "-", "--", path], f"decrypt {path}", identity.encode(), limit)


def _stream(
    words: Sequence[str],
    attempt: str,
    output: IO[bytes],
    write: Callable[[IO[bytes]], None],
    limit: float,
) -> None:
    # The limit is that of coreutils, because a stream that is full blocks the writer.
    process = subprocess.Popen(
        ["timeout", "--kill-after=10", f"{limit:.0f}", _found(words[0], attempt), *words[1:]],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdin is None or process.stderr is None:
        raise AssertionError("both are pipes")
    try:
        broken = _written(process.stdin, write)
        errors = process.stderr.read()
    except BaseException:
        # Both, or age would be left behind.
        os.killpg(process.pid, signal.SIGTERM)
        raise
    finally:
        failed = process.wait()
        for pipe in (process.stdin, process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
    if failed or broken:
        raise _failure(attempt, errors.decode(errors="replace"))


def _written(stream: IO[bytes], write: Callable[[IO[bytes]], None]) -> bool:
    """Write into a stream and close it. Returns whether its reader has ended before, which says why."""
    try:
        write(stream)
        stream.close()
    except BrokenPipeError:
        return True
    return False


def _run(words: Sequence[str], attempt: str, stdin: bytes = b"", limit: float = LIMIT) -> bytes:
    try:
        done = subprocess.run(
            [_found(words[0], attempt), *words[1:]],
            input=stdin,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SwarmError(
            "age_failed", f"Could not {attempt}: {words[0]} did not end within {limit:g} s."
        ) from None
    if done.returncode:
        raise _failure(attempt, done.stderr.decode(errors="replace"))
    return done.stdout


def _found(program: str, attempt: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise SwarmError(
            "no_age", f"Could not {attempt}: {program} is missing: install the package age."
        )
    return path


def _failure(attempt: str, errors: str) -> SwarmError:
    if "no identity matched" in errors:
        return SwarmError(
            "wrong_identity",
            f"Could not {attempt}: the identity given is none of its recipients. Give the one that belongs to a recipient.",
        )
    words = " ".join(_IDENTITY.sub("(hidden)", errors).split())
    return SwarmError("age_failed", f"Could not {attempt}: {words or 'age did not end in time'}.")
