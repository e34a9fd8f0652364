# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which nodes get which images, as a manager sees it: the images of services and stacks, and those that are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.words import abbreviate
from .._model.labels import stack_of
from .._model.services import container_of
from .._registry.reference import HUB, image_problem, parse_image
from .._scheduler.placement import parse_placement_node, parse_placement_service
from .archive import parse_described
from .engine import ImageStore
from .targets import Targets, Wish, as_platforms, choose_targets, name_of, wish_for

_HUB_LOGIN = "https://index.docker.io/v1/"


@dataclass(frozen=True)
class Chosen:
    """The result. `digests` has the digest of each image of a registry."""

    targets: Targets
    names: Mapping[str, str]  # of the nodes, by ID
    digests: Mapping[str, str]


def choose(
    docker_host: str,
    described: Sequence[Mapping[str, Any]],
    images: Sequence[str],
    services: Sequence[str],
    stacks: Sequence[str],
    nodes: Sequence[str],
    constraints: Sequence[str],
    registries: Sequence[Mapping[str, str]],
) -> Chosen:
    """Raises bad_option, not_found and the failures of the engine."""
    reader = EngineReader(docker_host, 60)
    store = ImageStore(docker_host)
    known = [parse_placement_node(document) for document in reader.nodes()]
    given = [parse_described(each) for each in described]
    wishes = [wish_for(each.name, [(each.os, each.architecture)]) for each in given]
    digests: dict[str, str] = {}
    for name in images:
        problem = image_problem(name)
        if problem:
            raise SwarmError("bad_option", f"Could not find image {name[:200]!r}: it {problem}.")
        said = store.remote(name, login_for(name, registries))
        digests[name] = str((said.get("Descriptor") or {}).get("digest") or "")
        wishes.append(wish_for(name, as_platforms(said)))
    if services or stacks:
        for document in _services(reader, services, stacks):
            image = str(container_of(document.get("Spec")).get("Image") or "")
            # A deploy has pinned it, unless it could not ask the registry.
            digests[image] = parse_image(image).digest
            if not digests[image]:
                said = store.remote(image, login_for(image, registries))
                digests[image] = str((said.get("Descriptor") or {}).get("digest") or "")
            wishes.append(Wish(image, parse_placement_service(document)))
    return Chosen(
        choose_targets(wishes, known, nodes, constraints),
        {node.id: name_of(node) for node in known},
        digests,
    )


def _services(
    reader: EngineReader, names: Sequence[str], stacks: Sequence[str]
) -> list[dict[str, Any]]:
    listed = reader.get("/services", "list the services")
    found = {str((each.get("Spec") or {}).get("Name")): each for each in listed}
    by_stack = {stack_of(each.get("Spec") or {}): each for each in listed}
    absent = [f"service {n}" for n in names if n not in found]
    absent += [f"stack {n}" for n in stacks if n not in by_stack]
    if absent:
        raise SwarmError(
            "not_found",
            f"Could not find the images of {', '.join(absent)}: the swarm has no such object. Its services are"
            f" {abbreviate(sorted(found), 20) or 'none'}.",
        )
    return [
        each
        for name, each in sorted(found.items())
        if name in names or stack_of(each.get("Spec") or {}) in stacks
    ]


def login_for(image: str, registries: Sequence[Mapping[str, str]]) -> Mapping[str, str] | None:
    """The login of the registry of an image; None if there is none."""
    registry = parse_image(image).registry
    wanted = _HUB_LOGIN if registry == HUB else registry
    return next((each for each in registries if each["registry"] == wanted), None)
