# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Labels of nodes: which of them are ours, and what has to change. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._model import Node

# What this collection keeps on a node for itself: the keys it has set there, the host's name in the
# inventory, and, while the node is on its way out, the availability it had before.
PREFIX = "flotilla.swarm."
# A key that left the inventory is taken off; a label that somebody else put there is never touched.
OWNED_LABEL = f"{PREFIX}labels"
# By it the node of a host that gives no answer is found, whatever the host calls itself.
HOST_LABEL = f"{PREFIX}host"
# A killed run leaves it, and the next one knows that it was us who drained the node.
LEAVING_LABEL = f"{PREFIX}leaving"
# Is there while work is moved off a node; if a killed run has left it, there is something to put back.
MOVING_LABEL = f"{PREFIX}moving"
# What a node was available for before its work was moved away for a restart of its engine; if a killed run has left
# it, the next one gives that back.
RESTARTING_LABEL = f"{PREFIX}restarting"
# What a node was available for before an operator had it drained.
DRAINED_LABEL = f"{PREFIX}drained"
ZONE_LABEL = "zone"


def name_of(node: Node) -> str:
    """What to call a node: the name in the inventory that we gave it, else what its engine calls itself."""
    return node.labels.get(HOST_LABEL) or node.hostname


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


def drained_from(labels: dict[str, str]) -> str | None:
    """What a node was available for before one of our runs drained it, to remove it or to restart its engine."""
    return labels.get(RESTARTING_LABEL) or labels.get(LEAVING_LABEL)


def labels_after(
    found: dict[str, str], wanted: dict[str, str], name: str = "", keep_mark: bool = False
) -> dict[str, str]:
    """Our labels as wanted, everybody else's as found."""
    ours = owned_keys(found) | {OWNED_LABEL, HOST_LABEL}
    if not keep_mark:
        ours |= {LEAVING_LABEL, RESTARTING_LABEL}
    after = {key: value for key, value in found.items() if key not in ours}
    after.update(wanted)
    if wanted:
        after[OWNED_LABEL] = ",".join(sorted(wanted))
    if name:
        after[HOST_LABEL] = name
    return after


def plan_labels(
    node: Node, name: str, wanted: dict[str, str], keep_mark: bool = False
) -> list[dict[str, Any]]:
    """The step for one node; none where its labels are as they should be."""
    after = labels_after(node.labels, wanted, name, keep_mark)
    if after == node.labels and MOVING_LABEL not in node.labels:
        return []
    before_shown, after_shown = _shown(node.labels), _shown(after)
    touched = sorted(
        key
        for key in before_shown.keys() | after_shown.keys()
        if before_shown.get(key) != after_shown.get(key)
    )
    words = describe_labels(before_shown, after_shown, touched)
    known_as = node.labels.get(HOST_LABEL)
    if known_as not in (None, name):
        words.append(f"known as {name} (was {known_as})")
    if LEAVING_LABEL in node.labels and not keep_mark:
        words.append("its removal is called off")
    if RESTARTING_LABEL in node.labels and not keep_mark:
        words.append("take off the mark of a restart that is over")
    if MOVING_LABEL in node.labels:
        words.append("put back what a drain that was cut short has left")
    return [
        {
            "action": "labels",
            "host": name,
            "node_id": node.id,
            "before": {key: before_shown[key] for key in touched if key in before_shown},
            "after": {key: after_shown[key] for key in touched if key in after_shown},
            "text": ", ".join(words)
            or f"note its name in the inventory, {name}, and which labels are ours",
            **({"keep_mark": True} if keep_mark else {}),
        }
    ]


def _shown(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if not key.startswith(PREFIX)}


def describe_labels(before: dict[str, str], after: dict[str, str], touched: list[str]) -> list[str]:
    words = []
    for key in touched:
        if key not in after:
            words.append(f"{key} removed")
        elif key in before:
            words.append(f"{key}={after[key]} (was {before[key] or 'empty'})")
        else:
            words.append(f"{key}={after[key]}")
    return words
