# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The folders of a host for the images that are shipped to it, or from it."""

from __future__ import annotations

import os

from .._common.errors import SwarmError
from .._common.words import size_text
from .._host.files import free_bytes

# What an interrupted run has left here is used by the next one.
SPOOL = "/var/lib/flotilla.swarm/ship"
# On a tmpfs.
RUN = "/run/flotilla.swarm/ship"
LOCK = "/run/flotilla.swarm/ship.lock"
# Bytes that must stay free.
_RESERVE = 64 << 20


def prepare() -> None:
    """Create the folders, for root alone. Raises OSError."""
    for path in (SPOOL, RUN):
        os.makedirs(path, mode=0o700, exist_ok=True)


def require_space(folder: str, size: int, attempt: str) -> None:
    """Raise no_space unless so many bytes fit into a folder."""
    free = free_bytes(folder)
    if free < size + _RESERVE:
        raise SwarmError(
            "no_space",
            f"Could not {attempt}: {folder} has {size_text(free)} free, and {size_text(size + _RESERVE)} are needed. Free some space,"
            " for example with the playbook flotilla.swarm.clean_up.",
            free=free,
            needed=size + _RESERVE,
        )
