# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Whether an engine is in its overlay networks.

One that is unlocked right after its start, or while the swarm has no leader, can come up without them (seen with 20.10.24, one
time in three). It looks healthy, and rejects every task in one ("cannot create a swarm scoped network when swarm is not active")
until it restarts.
"""

from __future__ import annotations

from typing import Any

from .._common.errors import SwarmError
from .._common.waiting import INTERVAL, Clock, poll

# Seconds until an engine whose node is ready is in them.
LIMIT = 20


def overlays_come(client: Any, clock: Clock | None = None, limit: float = LIMIT) -> bool:
    """Whether the engine of a manager that is ready gets into its overlay networks within `limit` seconds."""
    return poll(lambda: _has_overlays(client), bool, limit, INTERVAL, clock)[1]


def _has_overlays(client: Any) -> bool:
    """Whether it is in the network that every node is in; a swarm without an ingress network cannot tell."""
    try:
        listed = client.get("/networks", "list the networks", filters={"driver": "overlay"})
        for network in listed or []:
            if network.get("Ingress"):
                found = client.get(f"/networks/{network['Id']}", "read the ingress network")
                return bool(found.get("Peers"))
    except SwarmError:
        return False
    return True
