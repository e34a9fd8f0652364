# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Pulls images by their digest, so that all nodes get the same, and gives them their tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._common.errors import SwarmError
from .._registry.reference import ImageName, image_problem, parse_image
from .choose import login_for
from .engine import ImageStore


@dataclass(frozen=True)
class Pinned:
    """An image with the digest that all nodes get."""

    image: ImageName

    @property
    def reference(self) -> str:
        """By the digest alone."""
        return f"{self.image.name}@{self.image.digest}"

    @property
    def name(self) -> str:
        """What people call it."""
        return str(replace(self.image, digest="")) if self.image.tag else self.reference


def pinned(name: str, digest: str) -> Pinned:
    """An image by its name, with the digest of its registry if its name has none."""
    image = parse_image(name)
    return Pinned(image if image.digest else replace(image, digest=digest))


def check_pinned(images: Sequence[Pinned]) -> None:
    """Raise bad_option for an image that no registry can have, or that has no digest."""
    for image in images:
        problem = image_problem(str(image.image))
        if not problem and not image.image.digest:
            problem = "has no digest: give it, or let swarm_image_targets find it"
        if problem:
            raise SwarmError(
                "bad_option", f"Could not pull {str(image.image)[:200]!r}: it {problem}."
            )


def lacks(store: ImageStore, image: Pinned) -> bool:
    """Whether the engine does not have the image, or not with its tag."""
    found = store.find(image.reference)
    if found is None or not image.image.tag:
        return found is None
    tagged = store.find(image.name)
    return tagged is None or tagged.get("Id") != found.get("Id")


def pull(
    store: ImageStore,
    images: Sequence[Pinned],
    registries: Sequence[Mapping[str, str]],
    done: list[str],
) -> None:
    """Pull what the engine lacks; `done` has the names. Raises pull_failed and the failures of the engine."""
    for image in images:
        if not lacks(store, image):
            continue
        if store.find(image.reference) is None:
            login = login_for(image.image.name, registries)
            store.pull(image.image.name, image.image.digest, login)
        if image.image.tag:
            store.tag(image.reference, image.image.name, image.image.tag)
        done.append(image.name)


def pull_lines(
    targets: Mapping[str, Sequence[str]],
    nodes: Mapping[str, str],
    hosts: Mapping[str, str],
    found: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
    done: bool,
) -> tuple[list[str], list[str]]:
    """A table of what is pulled, or was, on each node, and the nodes that failed. Pure."""
    ids = list(dict.fromkeys(node for each in targets.values() for node in each))
    lines = ["DONE" if done else f"PLAN  pull {', '.join(sorted(targets)) or 'nothing'}"]
    names = {node: hosts.get(node) or nodes.get(node, node) for node in ids}
    wide = max([len(name) for name in [*names.values(), *left_out]] + [0])
    failed, complete = [], 0
    for node in sorted(ids, key=lambda each: names[each]):
        said = found.get(hosts.get(node, "")) or {}
        pulled = said.get("pulled") if done else said.get("missing")
        if said.get("failed") or said.get("unreachable") or pulled is None:
            why = str(said.get("msg") or "it does not answer").strip()
            lines.append(f"  ! {names[node]:<{wide}}  {why}")
            failed.append(names[node])
        elif pulled:
            lines.append(f"  + {names[node]:<{wide}}  {', '.join(pulled)}")
        else:
            complete += 1
    if not done:
        lines += [f"  - {name:<{wide}}  {why}" for name, why in sorted(left_out.items())]
    if complete:
        lines.append(f"  = {complete} {'node has' if complete == 1 else 'nodes have'} all")
    return lines, failed
