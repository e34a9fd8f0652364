# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What services would lose without some nodes, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from .._common.words import count_of, text
from .placement import PlacementNode, PlacementService, PlacementTask, homeless, unplaceable


class Loss(NamedTuple):
    """What one service would lose."""

    risk: str  # the value of accepted_risks that allows it
    service: str
    text: str  # a clause without a full stop
    advice: str


def homeless_losses(
    services: Sequence[PlacementService],
    before: Sequence[PlacementNode],
    after: Sequence[PlacementNode],
) -> Iterator[Loss]:
    """Services that some node can run now, and none afterwards."""
    for name, constraint, count in homeless(list(services), list(before), list(after)):
        words = text(
            "no remaining node could run the service {name} ({constraint}; {count} can now)",
            name=name,
            constraint=constraint or text("any node"),
            count=count,
        )
        yield Loss("homeless_services", name, words, text("keep or add one"))


def room_losses(
    services: Sequence[PlacementService],
    tasks: Sequence[PlacementTask],
    after: Sequence[PlacementNode],
    leaving: Collection[str],
) -> Iterator[Loss]:
    """Services with tasks on the leaving nodes that do not fit on the others; `leaving` are IDs of nodes."""
    for name, count, lack in unplaceable(list(services), list(tasks), list(after), set(leaving)):
        words = text(
            "{tasks} of the service {name} would find no room on the remaining nodes ({lack})",
            tasks=count_of(count, "task"),
            name=name,
            lack=lack,
        )
        yield Loss("lack_of_room", name, words, text("add a node, lower the reservations"))
