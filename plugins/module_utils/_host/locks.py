# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Locks on a host. The kernel releases them when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll


@contextlib.contextmanager
def alone(
    path: str, otherwise: SwarmError, seconds: float = 0.0, clock: Clock | None = None
) -> Iterator[None]:
    """Hold the lock of a file, which is created. Raises `otherwise` if another process holds it for so many seconds."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _seen, held = poll(lambda: try_lock(handle), bool, seconds, 0.5, clock)
        if not held:
            raise otherwise
        yield
    finally:
        os.close(handle)


def try_lock(descriptor: int) -> bool:
    """Whether an open file or folder could be locked now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
