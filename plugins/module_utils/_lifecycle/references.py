# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the specs of a swarm refer to on its hosts: images and volumes. Pure.

A spec that the swarm can go back to counts as much as the current one: the previous spec of a service, and the specs in the
revisions of a stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError
from .._model.documents import dig, id_of, parse_node
from .._model.labels import REVISION_LABEL, STACK_IMAGE_LABEL, name_of, stack_of
from .._model.services import container_of
from .._model.tasks import has_ended, state_of
from .._registry.reference import parse_image
from .._stack.plan import StackSnapshot
from .._stack.revisions import revisions

_HEX = re.compile(r"[0-9a-f]{4,64}")
# A template in the source of a mount, such as {{.Node.Hostname}}.
_TEMPLATE = re.compile(r"\{\{.*?\}\}")
# A task in one of these states may have a container.
_WITH_CONTAINER = ("preparing", "starting", "running", "ready")


class ImageReferences:
    """The references to images that are kept, and whether an image is one of them. What is uncertain is kept."""

    def __init__(self, references: Iterable[str]) -> None:
        self._named: set[tuple[str, str]] = set()
        self._digests: set[str] = set()
        self._prefixes: set[str] = set()
        for text in references:
            name = parse_image(text)
            if name.digest:
                self._digests.add(name.digest)
            if name.tag:
                self._named.add((name.name, name.tag))
            # `sha256:ID`, an ID, or the beginning of one: Docker accepts all of them as the name of an image.
            plain = text.strip().partition("@")[0].rpartition("sha256:")[2]
            if _HEX.fullmatch(plain):
                self._prefixes.add(plain)

    def match(self, image_id: str, tags: Iterable[str], digests: Iterable[str]) -> bool:
        """Whether an image, given its ID, its tags and its digests, is referred to."""
        plain = image_id.rpartition(":")[2]
        if image_id in self._digests or any(plain.startswith(each) for each in self._prefixes):
            return True
        if any(digest.partition("@")[2] in self._digests for digest in digests):
            return True
        named = (parse_image(tag) for tag in tags)
        return any((name.name, name.tag) in self._named for name in named)


class VolumeReferences:
    """The names of volumes that are kept. A name can have templates, which each node completes for itself."""

    def __init__(self, references: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        for text in references:
            if _TEMPLATE.search(text):
                parts = map(re.escape, _TEMPLATE.split(text))
                self._patterns.append(re.compile(".*".join(parts), re.DOTALL))
            else:
                self._names.add(text)

    def match(self, name: str) -> bool:
        """Whether a volume of this name is referred to."""
        return name in self._names or any(each.fullmatch(name) for each in self._patterns)


@dataclass(frozen=True)
class Orphan:
    """A task on a node that is down. Its container may run there unseen."""

    node: str
    task: str

    def as_dict(self) -> dict[str, str]:
        return {"node": self.node, "task": self.task}


@dataclass(frozen=True)
class SwarmReferences:
    """All that the swarm refers to, sorted, and the tasks of each node."""

    images: tuple[str, ...]
    volumes: tuple[str, ...]
    tasks: Mapping[str, tuple[str, ...]]  # IDs of tasks by ID of their node
    orphans: tuple[Orphan, ...]
    specs: int  # how many specs were read

    def as_dict(self) -> dict[str, Any]:
        return {
            "images": list(self.images),
            "volumes": list(self.volumes),
            "tasks": {node: list(tasks) for node, tasks in self.tasks.items()},
            "orphans": [each.as_dict() for each in self.orphans],
            "specs": self.specs,
        }


def swarm_references(
    services: Sequence[dict[str, Any]],
    configs: Sequence[dict[str, Any]],
    tasks: Sequence[dict[str, Any]],
    nodes: Sequence[dict[str, Any]],
) -> SwarmReferences:
    """The references in the engine's documents; raises unreadable_revision. Pure."""
    specs = [
        spec
        for service in services
        for spec in (service.get("Spec"), service.get("PreviousSpec"))
        if spec
    ]
    specs += _specs_of_revisions(configs)
    # The spec of a task can be older than every spec of its service, such as in the middle of two updates.
    specs += [
        {"TaskTemplate": task.get("Spec") or {}}
        for task in tasks
        if not has_ended(task) and task.get("Spec")
    ]
    by_node: dict[str, list[str]] = {}
    for task in tasks:
        if task.get("NodeID"):
            by_node.setdefault(str(task["NodeID"]), []).append(id_of(task))
    return SwarmReferences(
        tuple(sorted({text for spec in specs for text in images_of(spec)})),
        tuple(sorted({text for spec in specs for text in volumes_of(spec)})),
        {node: tuple(sorted(ids)) for node, ids in sorted(by_node.items())},
        tuple(_orphans(services, tasks, nodes)),
        len(specs),
    )


def images_of(spec: Mapping[str, Any]) -> list[str]:
    """The images that a spec of a service names: that of its tasks, and the one of its Compose file. Pure."""
    container = container_of(dict(spec))
    named = (container.get("Image"), dig(spec, "Labels", STACK_IMAGE_LABEL))
    return [str(each) for each in named if each]


def volumes_of(spec: Mapping[str, Any]) -> list[str]:
    """The volumes that a spec of a service mounts by name. Pure."""
    mounts = container_of(dict(spec)).get("Mounts") or []
    # The engine takes a mount without a type for a volume.
    return [
        str(mount["Source"])
        for mount in mounts
        if mount.get("Source") and (mount.get("Type") or "volume") in ("volume", "cluster")
    ]


def _specs_of_revisions(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    live = StackSnapshot(configs=list(configs))
    marked: dict[str, int] = {}
    for config in configs:
        spec = config.get("Spec") or {}
        if REVISION_LABEL in (spec.get("Labels") or {}):
            stack = stack_of(spec) or ""
            marked[stack] = marked.get(stack, 0) + 1
    specs = []
    for stack, count in sorted(marked.items()):
        found = revisions(stack, live)
        if len(found) != count:
            raise SwarmError(
                "unreadable_revision",
                f"Could not read what the swarm refers to: {count - len(found)} of {count} revisions of stack"
                f" {stack or '(none)'} cannot be read, so what a rollback needs is not known. Remove these configs, or deploy"
                " the stack with the version of this collection that wrote them.",
                stack=stack,
            )
        specs += [spec for revision in found for spec in revision.content.services.values()]
    return specs


def _orphans(
    services: Sequence[dict[str, Any]],
    tasks: Sequence[dict[str, Any]],
    nodes: Sequence[dict[str, Any]],
) -> list[Orphan]:
    names = {id_of(service): str(dig(service, "Spec", "Name")) for service in services}
    known = {node.id: node for node in map(parse_node, nodes)}
    found = []
    for task in tasks:
        node_id = str(task.get("NodeID") or "")
        node = known.get(node_id)
        away = node_id and (node is None or node.state == "down")
        if away and (state_of(task) in _WITH_CONTAINER or state_of(task) == "orphaned"):
            service = names.get(str(task.get("ServiceID")), str(task.get("ServiceID") or "?"))
            slot = task.get("Slot") or (name_of(node) if node else node_id)
            found.append(Orphan(name_of(node) if node else node_id, f"{service}.{slot}"))
    return sorted(found, key=lambda each: (each.node, each.task))
