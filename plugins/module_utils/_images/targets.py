# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which nodes get which image: those that could run it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.words import abbreviate
from .._model.labels import HOST_LABEL
from .._scheduler.placement import (
    PlacementNode,
    PlacementService,
    could_run,
    is_constraint,
    satisfies,
)


@dataclass(frozen=True)
class Wish:
    """An image, and what its nodes must be: as a service requires it, or with its platforms alone."""

    name: str
    requires: PlacementService


@dataclass(frozen=True)
class Targets:
    """The nodes of each image by ID, and why the other nodes of the swarm get none."""

    nodes: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, str]  # by the name of a node


def wish_for(name: str, platforms: Sequence[tuple[str, str]]) -> Wish:
    """The wish for an image that can run on any of these platforms; on all if there is none."""
    return Wish(name, PlacementService(id=name, name=name, platforms=tuple(platforms)))


def choose_targets(
    wishes: Sequence[Wish],
    nodes: Sequence[PlacementNode],
    names: Sequence[str],
    constraints: Sequence[str],
) -> Targets:
    """The nodes for each image; `names` and `constraints` select among them. Raises bad_option for a name that no node has."""
    wrong = [text for text in constraints if not is_constraint(text)]
    if wrong:
        raise SwarmError(
            "bad_option",
            f"Could not choose the nodes: {shown(wrong[0])} is no placement constraint. Use one such as node.labels.tier == web.",
        )
    unknown = sorted(set(names) - {name_of(node) for node in nodes} - {n.id for n in nodes})
    if unknown:
        known = abbreviate(sorted(name_of(node) for node in nodes), 20)
        raise SwarmError(
            "bad_option",
            f"Could not choose the nodes: the swarm has no node {', '.join(unknown)}. Its nodes are {known}.",
        )
    chosen: dict[str, tuple[str, ...]] = {}
    left_out = {name_of(node): _why_not(node, names, constraints) for node in nodes}
    usable = [node for node in nodes if not left_out[name_of(node)]]
    for wish in wishes:
        fits = tuple(node.id for node in usable if could_run(wish.requires, node))
        chosen[wish.name] = tuple(dict.fromkeys((*chosen.get(wish.name, ()), *fits)))
    served = {each for ids in chosen.values() for each in ids}
    for node in usable:
        if node.id not in served:
            left_out[name_of(node)] = f"none of the images can run on it ({node.os}/{node.arch})"
    return Targets(chosen, {name: why for name, why in left_out.items() if why})


def name_of(node: PlacementNode) -> str:
    """As in plans: the name of the inventory, or else the hostname."""
    return node.labels.get(HOST_LABEL) or node.hostname or node.id


def _why_not(node: PlacementNode, names: Sequence[str], constraints: Sequence[str]) -> str:
    if names and name_of(node) not in names and node.id not in names:
        return "it is not selected"
    if not satisfies(tuple(constraints), node):
        return "it does not meet the constraints"
    if node.state != "ready":
        return f"it is {node.state}"
    if node.availability != "active":
        return f"its availability is {node.availability}"
    return ""


def as_platforms(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The platforms in the answer of a registry (GET /distribution/NAME/json)."""
    return [
        (str(each.get("os") or ""), str(each.get("architecture") or ""))
        for each in document.get("Platforms") or []
        if each.get("os") not in (None, "", "unknown")
    ]
