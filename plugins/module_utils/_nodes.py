# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Labels and availability of nodes: which label is ours, and what has to change."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import Node, parse_node
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll

# A label on each node that lists the keys this collection has set there. A key that left the inventory
# is taken off; a label that somebody else put there is never touched.
OWNED_LABEL = "flotilla.swarm.labels"
ZONE_LABEL = "zone"


@dataclass(frozen=True)
class WantedNode:
    name: str
    node_id: str
    labels: dict[str, str]
    availability: str | None = None


def wanted_labels(labels: dict[str, Any], zone: str | None) -> dict[str, str]:
    """Labels as strings, the zone among them."""
    wanted = {str(key): label_text(value) for key, value in labels.items()}
    if zone:
        wanted[ZONE_LABEL] = str(zone)
    return wanted


def label_text(value: Any) -> str:
    """A label's value as Docker shows it: YAML's true is 'true', its null is ''."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def owned_keys(labels: dict[str, str]) -> set[str]:
    return {key for key in labels.get(OWNED_LABEL, "").split(",") if key}


def labels_after(found: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """Our labels as wanted, everybody else's as found."""
    after = {
        key: value
        for key, value in found.items()
        if key not in owned_keys(found) and key != OWNED_LABEL
    }
    after.update(wanted)
    if wanted:
        after[OWNED_LABEL] = ",".join(sorted(wanted))
    return after


def plan_node(node: Node, wanted: WantedNode) -> list[dict[str, Any]]:
    """The steps for one node; empty where it is as it should be."""
    steps: list[dict[str, Any]] = []
    after = labels_after(node.labels, wanted.labels)
    if after != node.labels:
        before_shown = {key: value for key, value in node.labels.items() if key != OWNED_LABEL}
        after_shown = {key: value for key, value in after.items() if key != OWNED_LABEL}
        touched = sorted(
            key
            for key in before_shown.keys() | after_shown.keys()
            if before_shown.get(key) != after_shown.get(key)
        )
        steps.append(
            {
                "action": "labels",
                "host": wanted.name,
                "node_id": node.id,
                "before": {key: before_shown[key] for key in touched if key in before_shown},
                "after": {key: after_shown[key] for key in touched if key in after_shown},
                "text": describe_labels(before_shown, after_shown, touched),
            }
        )
    if wanted.availability and wanted.availability != node.availability:
        steps.append(
            {
                "action": "availability",
                "host": wanted.name,
                "node_id": node.id,
                "before": node.availability,
                "after": wanted.availability,
                "text": f"{node.availability} -> {wanted.availability}",
            }
        )
    return steps


def describe_labels(before: dict[str, str], after: dict[str, str], touched: list[str]) -> str:
    words = []
    for key in touched:
        if key not in after:
            words.append(f"{key} removed")
        elif key in before:
            words.append(f"{key}={after[key]} (was {before[key] or 'empty'})")
        else:
            words.append(f"{key}={after[key]}")
    return ", ".join(words) or "record which labels are ours"


def plan_nodes(nodes: list[Node], wanted: list[WantedNode]) -> list[dict[str, Any]]:
    by_id = {node.id: node for node in nodes}
    return [
        step
        for node in wanted
        if node.node_id in by_id
        for step in plan_node(by_id[node.node_id], node)
    ]


def spec_after(spec: dict[str, Any], wanted: WantedNode) -> dict[str, Any]:
    """A node's whole spec with our part in it: what the engine is not sent, it resets."""
    changed = copy.deepcopy(spec)
    changed["Labels"] = labels_after(dict(spec.get("Labels") or {}), wanted.labels)
    if wanted.availability:
        changed["Availability"] = wanted.availability
    return changed


def change_nodes(
    client: Any,
    wanted: list[WantedNode],
    check_mode: bool,
    wait_timeout: float = 0,
    clock: Clock | None = None,
) -> tuple[list[Node], list[dict[str, Any]], list[str]]:
    """The nodes afterwards, the steps, and the names of wanted nodes that are not ready."""
    names = {node.node_id: node.name for node in wanted}

    def observe() -> list[Node]:
        return [parse_node(document) for document in client.nodes()]

    def late(nodes: list[Node]) -> list[str]:
        ready = {node.id for node in nodes if node.ready}
        return [name for node_id, name in names.items() if node_id not in ready]

    # A node that has just joined may not be known yet, and takes labels only once it is.
    nodes, _done = poll(
        observe,
        lambda seen: check_mode or names.keys() <= {node.id for node in seen},
        wait_timeout,
        0.5,
        clock,
    )
    steps = plan_nodes(nodes, wanted)
    if check_mode:
        return nodes, steps, late(nodes)
    for node in wanted:
        if any(step["node_id"] == node.node_id for step in steps):
            _write(client, node)
    nodes, _done = poll(observe, lambda seen: not late(seen), wait_timeout, 0.5, clock)
    return nodes, steps, late(nodes)


def _write(client: Any, wanted: WantedNode, attempts: int = 5) -> None:
    while True:
        attempts -= 1
        document = client.node(wanted.node_id)
        try:
            client.update_node(
                wanted.node_id,
                document["Version"]["Index"],
                spec_after(document.get("Spec") or {}, wanted),
            )
            return
        except SwarmError as error:
            if error.code != "out_of_sequence" or attempts <= 0:
                raise
