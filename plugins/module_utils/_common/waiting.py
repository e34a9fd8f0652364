# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Waiting and retrying, with a clock that tests can replace; all times are in seconds."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
import traceback
from typing import Any, Callable, TypeVar

from .errors import TRANSIENT, SwarmError

T = TypeVar("T")
# Seconds between two probes of the engine while something converges.
INTERVAL = 0.5


class Clock:
    """The real clock."""

    def now(self) -> float:
        """Seconds since some moment in the past."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def poll(
    probe: Callable[[], T],
    done: Callable[[T], bool],
    timeout: float,
    interval: float = 1.0,
    clock: Clock | None = None,
) -> tuple[T, bool]:
    """Call `probe` every `interval` seconds until its result is `done`, or until `timeout` seconds have passed.

    Returns the last result and whether it was done. There is at least one probe, and one exactly at the deadline.
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


def retry(
    work: Callable[[], object],
    timeout: float,
    interval: float = 1.0,
    clock: Clock | None = None,
) -> None:
    """Call `work`, which can be repeated, until it does not raise a TRANSIENT failure; at the deadline, raise that."""

    def attempt() -> SwarmError | None:
        try:
            work()
        except SwarmError as error:
            if error.code not in TRANSIENT:
                raise
            return error
        return None

    error, _done = poll(attempt, lambda seen: seen is None, timeout, interval, clock)
    if error is not None:
        raise error


def bounded(run: Callable[..., tuple[int, str, str]], seconds: int = 300) -> Callable[..., Any]:
    """`run`, with every command ended after this time; its result is (exit code, output, errors)."""

    def limited(args: list[str], **more: Any) -> tuple[int, str, str]:
        # GNU coreutils: 124 if it ended the command, 137 if it had to kill it.
        code, output, errors = run(["timeout", "--kill-after=10", str(seconds), *args], **more)
        if code in (124, 137):
            errors = f"{errors.strip()} {args[0]} did not end within {seconds} s".strip()
        return code, output, errors

    return limited


def within(seconds: float, work: Callable[[Callable[[float], None]], Any]) -> Any:
    """What `work` returns, as JSON; raises no_answer if it is silent for `seconds`.

    It runs in a process of its own, because a process that hangs in the kernel, such as on a network file system without a
    server, can neither be interrupted nor waited for. `work` gets a function to report that it is alive, with the seconds that
    it can be silent from then on.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _tell(writing, work)
    os.close(writing)
    try:
        message = _listen(reading, seconds)
    finally:
        os.close(reading)
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, os.WNOHANG)
    if message is None:
        raise SwarmError(
            "no_answer",
            f"Could not observe this host: reading its files takes longer than {seconds:g} s. Check whether a disk or a network"
            " file system hangs there. If it is only slow, raise observe_timeout.",
        )
    if "failed" in message:
        raise SwarmError(
            message["failed"]["code"], message["message"], **message["failed"]["details"]
        )
    if "broken" in message:
        raise RuntimeError(message["broken"])
    return message["done"]


def _tell(writing: int, work: Callable[[Callable[[float], None]], Any]) -> None:
    """The child process. It closes the streams of its parent, or the caller of that would wait for the child."""
    message: dict[str, Any] = {"broken": "no result"}
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        message = {"done": work(lambda patience: _send(writing, {"alive": patience}))}
    except SwarmError as error:
        message = {"failed": error.as_failure(), "message": error.message}
    except BaseException:
        message = {"broken": traceback.format_exc()}
    finally:
        with contextlib.suppress(OSError):
            _send(writing, message)
        os._exit(0)


def _send(writing: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(writing, data) :]


def _listen(reading: int, seconds: float) -> dict[str, Any] | None:
    """The last message of the child, or None after a silence that is too long."""
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
        for message in map(json.loads, lines):
            if "alive" not in message:
                return dict(message)
            deadline = time.monotonic() + message["alive"]
        if not piece:
            return {"broken": "the observation ended without a result"}
