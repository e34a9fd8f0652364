# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Events, as people and as programs read them. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that somebody wants to know."""

    kind: str  # deployed, failed, rolled_back, drift, removed, trouble, build_failed, built, ...
    subject: str  # the application or the source
    cause: str = ""
    commit: str = ""
    message: str = ""  # the subject of the commit
    author: str = ""
    at: float = 0.0  # seconds since 1970
    swarm: str = ""  # whose it is, for receivers of several swarms
    suppressed: int = (
        0  # events that the limits have held back since the last one of this kind and subject
    )
