# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Waiting and trying again, with a clock that tests can replace."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
import traceback
from typing import Any, Callable, TypeVar

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import PASSING

T = TypeVar("T")


class Clock:
    """The real clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def poll(
    probe: Callable[[], T],
    done: Callable[[T], bool],
    timeout: float,
    interval: float = 1.0,
    clock: Clock | None = None,
) -> tuple[T, bool]:
    """Probe until `done`, or until the deadline; return the last probe and whether it was done.

    There is always at least one probe, and one more exactly at the deadline: what is true then counts.
    """
    clock = clock or Clock()
    deadline = clock.now() + timeout
    while True:
        seen = probe()
        if done(seen):
            return seen, True
        left = deadline - clock.now()
        if left <= 0:
            return seen, False
        clock.sleep(min(interval, left))


def patiently(
    work: Callable[[], object],
    timeout: float,
    interval: float = 1.0,
    clock: Clock | None = None,
) -> None:
    """Work that can be done again, until nothing passing is in its way, or until the deadline."""

    def attempt() -> SwarmError | None:
        try:
            work()
        except SwarmError as error:
            if error.code not in PASSING:
                raise
            return error
        return None

    error, _done = poll(attempt, lambda seen: seen is None, timeout, interval, clock)
    if error is not None:
        raise error


def bounded(run: Callable[..., tuple[int, str, str]], seconds: int = 300) -> Callable[..., Any]:
    """How a module runs commands, each of which is ended when it takes longer than this."""

    def limited(args: list[str], **more: Any) -> tuple[int, str, str]:
        # GNU coreutils: 124 if it ended the command, 137 if it had to kill it.
        code, output, errors = run(["timeout", "--kill-after=10", str(seconds), *args], **more)
        if code in (124, 137):
            errors = f"{errors.strip()} {args[0]} has not ended within {seconds} s".strip()
        return code, output, errors

    return limited


def within(seconds: float, work: Callable[[Callable[[float], None]], Any]) -> Any:
    """What `work` returns, as JSON has it; a failure with code no_answer if nothing is heard of it for `seconds`.

    It runs in a process of its own: one that hangs in the kernel, as on a file system whose server is gone, can neither
    be interrupted nor waited for. `work` is given a function by which it says that it is alive, and for how many seconds
    it may be silent from then on.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _tell(writing, work)
    os.close(writing)
    try:
        said = _listen(reading, seconds)
    finally:
        os.close(reading)
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, os.WNOHANG)
    if said is None:
        raise SwarmError(
            "no_answer",
            "Could not observe this host: reading its files takes too long. See whether a disk or a network file system"
            f" hangs there. Where it is only slow, allow more than {seconds:g} s with observe_timeout.",
        )
    if "failed" in said:
        raise SwarmError(said["failed"]["code"], said["message"], **said["failed"]["details"])
    if "broken" in said:
        raise RuntimeError(said["broken"])
    return said["done"]


def _tell(writing: int, work: Callable[[Callable[[float], None]], Any]) -> None:
    """The child's part. It holds nothing of its parent's open, or who called that would wait for the child."""
    said: dict[str, Any] = {"broken": "no result"}
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        said = {"done": work(lambda patience: _send(writing, {"alive": patience}))}
    except SwarmError as error:
        said = {"failed": error.as_failure(), "message": error.message}
    except BaseException:
        said = {"broken": traceback.format_exc()}
    finally:
        with contextlib.suppress(OSError):
            _send(writing, said)
        os._exit(0)


def _send(writing: int, said: dict[str, Any]) -> None:
    data = json.dumps(said).encode() + b"\n"
    while data:
        data = data[os.write(writing, data) :]


def _listen(reading: int, seconds: float) -> dict[str, Any] | None:
    """The last word of the child, or None once it has been silent for too long."""
    buffer = b""
    deadline = time.monotonic() + seconds
    while True:
        ready, _writable, _other = select.select(
            [reading], [], [], max(0.0, deadline - time.monotonic())
        )
        if not ready:
            return None
        piece = os.read(reading, 1 << 20)
        buffer += piece
        *lines, buffer = buffer.split(b"\n")
        for said in map(json.loads, lines):
            if "alive" not in said:
                return dict(said)
            deadline = time.monotonic() + said["alive"]
        if not piece:
            return {"broken": "the observation ended without a result"}
