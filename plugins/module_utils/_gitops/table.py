# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The statuses of all applications, as people and as programs read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .state import HEALTHY, SUSPENDED, SYNCED, AppState


def rows(states: Iterable[AppState]) -> list[dict[str, Any]]:
    """The statuses as data, in the order of names."""
    return []


def render(states: Iterable[AppState], now: float) -> str:
    """The statuses as aligned text, with the causes below."""
    return ""


def exit_code(states: Iterable[AppState]) -> int:
    """0 if all applications are Synced (or suspended) and Healthy; else 1."""
    return int(any(s.sync not in (SYNCED, SUSPENDED) or s.health != HEALTHY for s in states))
