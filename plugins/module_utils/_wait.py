# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Waiting, with a clock that tests can replace."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

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
