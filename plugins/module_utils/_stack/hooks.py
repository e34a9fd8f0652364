# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the caller of a deployment can add to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .._common.errors import SwarmError
from .writes import Write


def _none(_writes: Sequence[Write]) -> list[str]:
    return []


def _nothing() -> None:
    return None


def _ignore(_error: SwarmError) -> None:
    return None


@dataclass(frozen=True)
class Hooks:
    """GitOps has rules about what a stack can use, holds a lock in the swarm, and notes what it does."""

    # What speaks against the writes of the CLI, in whole clauses. The plan then refuses everything.
    objections: Callable[[Sequence[Write]], list[str]] = _none
    # Called before each part that writes. It raises SwarmError if this run must not write any more.
    before_write: Callable[[], None] = _nothing
    # Called with the failure before what the run has changed is rolled back.
    before_undo: Callable[[SwarmError], None] = _ignore
