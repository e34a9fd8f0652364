# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The state of what stands on the page, by which rows are sorted and which a shape shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable

BAD, WARN, UNSURE, GOOD = "bad", "warn", "unsure", "good"
# From bad to good.
ORDER = (BAD, WARN, UNSURE, GOOD)


def worst(states: Iterable[str]) -> str:
    """The worst of some states."""
    return min(states, key=ORDER.index, default=GOOD)
