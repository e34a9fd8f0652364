# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Programs on a host, with a limit for everything that they can use up: time, output and the size of files."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

# Bytes of output that are kept of a program, unless it says otherwise.
MOST = 16 << 20
# Bytes that are read or written at once.
_PIECE = 1 << 16


@dataclass(frozen=True)
class Done:
    """How a program ended. `limit` names the limit that ended it: time or output."""

    code: int
    output: bytes
    errors: str
    limit: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself and successfully."""
        return self.code == 0 and not self.limit

    @property
    def why(self) -> str:
        """The last lines of its errors on one line, or what ended it."""
        if self.limit:
            return f"it was ended by its limit of {self.limit}"
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return "; ".join(lines[-3:]) or f"it ended with code {self.code}"


def run(
    words: Sequence[str],
    seconds: float,
    *,
    stdin: bytes = b"",
    most: int = MOST,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
    largest_file: int = 0,
) -> Done:
    """Run a program and wait for it, with these limits. Its whole process group ends with it.

    `environment` is all that it gets. `largest_file` is the limit in bytes of each file that it writes. Raises OSError if it
    cannot be started.
    """

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    before: Callable[[], None] | None = limit_files if largest_file else None
    process = subprocess.Popen(
        list(words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None if environment is None else dict(environment),
        cwd=folder,
        start_new_session=True,
        # One thread alone runs here, so this is safe.
        preexec_fn=before,
    )
    with process:
        try:
            output, errors, limit = _talk(process, stdin, time.monotonic() + seconds, most)
        finally:
            # What it has started and left behind ends too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return Done(code, output, errors.decode(errors="replace"), limit)


def _talk(
    process: subprocess.Popen[bytes], stdin: bytes, deadline: float, most: int
) -> tuple[bytes, bytes, str]:
    """Write the input, read output and errors until both end, or until a limit is reached."""
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("all are pipes")
    found = {"out": bytearray(), "err": bytearray()}
    left = memoryview(stdin)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ, "out")
        ready.register(process.stderr, selectors.EVENT_READ, "err")
        if stdin:
            os.set_blocking(process.stdin.fileno(), False)
            ready.register(process.stdin, selectors.EVENT_WRITE, "in")
        else:
            process.stdin.close()
        while ready.get_map():
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                return bytes(found["out"]), bytes(found["err"]), "time"
            for key, _events in ready.select(min(seconds, 1.0)):
                if key.data == "in":
                    try:
                        left = left[os.write(key.fd, left[:_PIECE]) :]
                    except BrokenPipeError:
                        left = left[:0]
                    if not left:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                piece = os.read(key.fd, _PIECE)
                found[key.data] += piece
                if not piece:
                    ready.unregister(key.fileobj)
                if len(found["out"]) > most or len(found["err"]) > most:
                    return bytes(found["out"][:most]), bytes(found["err"][:most]), "output"
            # A program that it has left behind can hold the pipes.
            if process.poll() is not None and not _anything_left(ready):
                break
    while process.poll() is None:
        if time.monotonic() > deadline:
            return bytes(found["out"]), bytes(found["err"]), "time"
        time.sleep(0.01)
    return bytes(found["out"]), bytes(found["err"]), ""


def _anything_left(ready: selectors.BaseSelector) -> bool:
    """Whether a pipe can be read right now."""
    return any(events & selectors.EVENT_READ for _key, events in ready.select(0))
