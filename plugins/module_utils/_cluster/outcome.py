# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The outcome of a change of the nodes of a swarm. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._common.errors import SwarmError
from .._model.documents import Node
from .membership import Membership
from .steps import MemberStep


@dataclass
class NodesOutcome:
    """What swarm_nodes has planned and done, and the nodes as they are then."""

    nodes: list[Node] = field(default_factory=list)
    plan: Membership = field(default_factory=Membership)
    steps: list[MemberStep] = field(default_factory=list)  # of the plan, what this call takes
    done: list[MemberStep] = field(default_factory=list)
    late: list[str] = field(default_factory=list)  # hosts whose nodes are not ready
    lost: list[str] = field(default_factory=list)  # those of them that were when this call began
    error: SwarmError | None = None
