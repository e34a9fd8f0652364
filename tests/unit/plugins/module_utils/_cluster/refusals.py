# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine refuses when nodes are changed, and in which words.

The simulated engine of the unit tests refuses this and nothing else; the scenario membership provokes each
on a real one. So the two cannot drift apart unnoticed.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    words: str  # part of what the engine says
    status: int | None = None  # of the answer, where our code depends on it


# By the names that both sides know. Where each is decided: swarmkit, manager/controlapi/node.go, unless said otherwise.
REFUSALS = {
    "last manager": Refusal("attempting to demote the last manager of the swarm"),
    "quorum lost by a demotion": Refusal("this would result in a loss of quorum"),
    "removal of a manager": Refusal("must be demoted to worker before removal"),
    "removal of a ready node": Refusal("is not down and can't be removed"),
    "old version": Refusal("update out of sequence"),
    "no such node": Refusal("not found", 404),
    # moby: daemon/cluster/errors.go
    "asked on a worker": Refusal("is not a swarm manager"),
    "asked outside a swarm": Refusal("is not a swarm manager"),
    "leaving as a manager": Refusal("participating as a manager"),
    "joining twice": Refusal("already part of a swarm"),
    "no quorum": Refusal("does not have a leader"),
}
