# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which nodes have to pass a probe before stacks are deployed. Pure.

The swarm itself remembers who has passed. So a node is not forgotten if the run is killed after it has joined, or stops because of what
the probe finds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._model.documents import Node, dig
from .._model.labels import PROBED_LABEL, name_of


@dataclass(frozen=True)
class Gate:
    """The hosts that have to pass, by their names in the inventory, and the labels of the swarm that remember who has passed."""

    due: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """The gate as playbooks see it."""
        return asdict(self)


def gate_of(
    observed: Mapping[str, Mapping[str, Any]], acting: str | None, probed: Collection[str] = ()
) -> Gate:
    """`observed` has what swarm_host_info returned, by host, `acting` is the manager that acts, and `probed` are the names of the nodes
    that have just passed."""
    manager = dict(observed.get(acting or "") or {})
    nodes = {node["id"]: Node(**node) for node in dig(manager, "swarm", "nodes") or ()}
    labels = dig(manager, "swarm", "settings", "labels") or {}
    passed = {each for each in str(labels.get(PROBED_LABEL) or "").split() if each in nodes}
    passed |= {node.id for node in nodes.values() if name_of(node) in probed}
    # A node that is drained or paused gets no prober. It is due once it is back.
    waiting = {
        node.id
        for node in nodes.values()
        if node.availability == "active" and node.id not in passed
    }
    due = [
        name
        for name, facts in observed.items()
        if dig(dict(facts or {}), "swarm", "node_id") in waiting
    ]
    return Gate(due, {PROBED_LABEL: " ".join(sorted(passed))} if passed else {})
