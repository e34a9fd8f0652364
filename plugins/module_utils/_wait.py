# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Waiting and trying again, with a clock that tests can replace."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

from ansible_collections.flotilla.swarm.plugins.module_utils._client import PASSING
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError

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
