# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which manager acts for the swarm. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def acting_manager(observed: Mapping[str, Mapping[str, Any]], busy: Collection[str] = ()) -> str:
    """The host on which cluster-wide work is done, or the empty name where there is no host at all.

    `observed` has the result of the module swarm_host_info by host, empty for one that did not answer, in the order of
    the inventory. A manager that sees a leader comes first, then one that may see it again, then any host that
    answered, and then any host: what is asked of it fails in its own words. A manager that is `busy` acts only where no
    other one can.
    """
    return min(observed, key=lambda name: _rank(observed[name], name in busy), default="")


def _rank(facts: Mapping[str, Any], busy: bool) -> tuple[int, bool]:
    swarm = facts.get("swarm") or {}
    if swarm.get("role") == "manager" and swarm.get("state") == "active":
        return (2 if busy else 0 if swarm.get("cluster_id") else 1), busy
    return (3 if swarm else 4), busy
