# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the CLI writes when it deploys a stack, and how the engine answered. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError

# In the order in which they depend on each other.
KINDS = ("network", "secret", "config", "service")

_CONFLICTS = ("update out of sequence", "already exists")

# A spec as the engine's API has it.
Spec = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One write of the CLI, without the data of secrets and configs."""

    kind: str  # one of KINDS
    action: str  # create, update or remove
    name: str
    object_id: str  # empty for a create
    spec: Spec


@dataclass(frozen=True)
class Refusal:
    """A write that the engine refuses."""

    write: Write
    status: int  # of the HTTP response
    message: str  # in the engine's words

    @property
    def conflict(self) -> bool:
        """Whether something else changed or created the same object in the meantime."""
        return any(words in self.message for words in _CONFLICTS)


@dataclass
class Run:
    """One run of the CLI."""

    returncode: int = -1
    output: str = ""
    writes: list[Write] = field(default_factory=list)  # all, whether they reached the engine or not
    forwarded: list[Write] = field(default_factory=list)  # those that the engine carried out
    refusals: list[Refusal] = field(default_factory=list)
    timed_out: bool = False
    error: SwarmError | None = None


# Whether a write reaches the engine.
Decide = Callable[[Write], bool]
# The spec to write instead of the CLI's; the same in a plan and in a run.
Adjust = Callable[[Write], Spec]
