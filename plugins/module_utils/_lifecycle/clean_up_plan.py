# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What can be removed from a host of a swarm: what nothing uses, nothing refers to, and is old enough. Pure.

What is uncertain stays: an image of unknown age, a volume of another driver than the engine's own, a container that may be
that of a task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._common.words import abbreviate, count_of, size_text
from .references import ImageReferences, VolumeReferences

IMAGES, CONTAINERS, BUILD_CACHE, VOLUMES = "images", "containers", "build_cache", "volumes"
# In the order of their removal: an image is free once its stopped containers are gone.
KINDS = (CONTAINERS, IMAGES, BUILD_CACHE, VOLUMES)
_NOUNS = {
    CONTAINERS: ("container", "containers"),
    IMAGES: ("image", "images"),
    BUILD_CACHE: ("build cache record", "build cache records"),
    VOLUMES: ("volume", "volumes"),
}
# `created` is among them: a container that never started holds its image as well.
_STOPPED = ("created", "exited", "dead")
# Seconds. The swarm may not list a task yet whose container exists already.
YOUNGEST_ORPHAN = 60.0
_LONGEST_LIST = 40
# The reason of what no container uses at the moment.
REFERRED = "a spec refers to it"


@dataclass(frozen=True)
class HostImage:
    """An image on a host."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    parent: str = ""
    size: int = 0
    shared: int = 0  # bytes of it that other images have as well
    since: float | None = None  # when it was built or pulled, whichever is later; None if unknown
    hidden: bool = (
        False  # an intermediate image, which the engine removes with the last one built on it
    )

    @property
    def name(self) -> str:
        if self.tags or self.digests:
            return (self.tags or self.digests)[0]
        return self.id.rpartition(":")[2][:12]


@dataclass(frozen=True)
class HostContainer:
    """A container on a host."""

    id: str
    name: str
    image: str  # the ID of its image
    state: str
    task: str = ""  # the ID of its task; empty if it is none of a swarm's
    size: int = 0
    volumes: tuple[str, ...] = ()
    since: float | None = None  # when it stopped; when it was created if it has not run

    @property
    def stopped(self) -> bool:
        return self.state in _STOPPED


@dataclass(frozen=True)
class HostVolume:
    """A volume on a host."""

    name: str
    driver: str = "local"
    size: int = 0
    since: float | None = None  # when it was created, or files in it were, whichever is later


@dataclass(frozen=True)
class CacheRecord:
    """A record of the build cache."""

    id: str
    size: int = 0
    in_use: bool = False
    since: float | None = None  # when it was last used


@dataclass(frozen=True)
class HostUse:
    """What takes room on a host."""

    images: tuple[HostImage, ...] = ()
    containers: tuple[HostContainer, ...] = ()
    volumes: tuple[HostVolume, ...] = ()
    cache: tuple[CacheRecord, ...] = ()


@dataclass(frozen=True)
class CleanUpWish:
    """What the user asks for, and what the swarm refers to."""

    kinds: tuple[str, ...]
    older_than: float  # seconds
    images: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()  # the tasks of this node that the swarm knows


@dataclass(frozen=True)
class CleanUpStep:
    """One object to remove."""

    kind: str
    id: str
    name: str
    size: int  # bytes; those that other objects share are not counted
    names: tuple[str, ...] = ()  # all names of an image

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "names": list(self.names)}


@dataclass(frozen=True)
class CleanUpPlan:
    """The objects to remove, in order, and why others stay."""

    steps: tuple[CleanUpStep, ...] = ()
    kept: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict
    )  # numbers by kind and reason
    # Unused, but of a kind that was not asked for: numbers and bytes by kind.
    not_selected: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()  # running containers of tasks that the swarm does not know

    @property
    def size(self) -> int:
        return sum(step.size for step in self.steps)

    def totals(self) -> dict[str, dict[str, int]]:
        """Numbers and bytes by kind."""
        return totals(self.steps)

    def lines(self, host: str) -> list[str]:
        """The plan as an aligned table."""
        if self.steps:
            lines = [f"PLAN  clean-up of {host}: {amount(self.totals())}"]
        else:
            lines = [f"PLAN  clean-up of {host}: nothing to remove"]
        wide = max((len(step.name) for step in self.steps[:_LONGEST_LIST]), default=0)
        for step in self.steps[:_LONGEST_LIST]:
            noun = _NOUNS[step.kind][0]
            lines.append(f"  - {noun:<18}  {step.name:<{wide}}  {size_text(step.size)}")
        if len(self.steps) > _LONGEST_LIST:
            lines.append(f"  - and {len(self.steps) - _LONGEST_LIST} more")
        lines += [f"  ! {text}" for text in self.warnings()]
        return lines

    def warnings(self) -> list[str]:
        """What the reader has to know, as sentences."""
        texts = []
        if self.orphans:
            texts.append(
                f"{count_of(len(self.orphans), 'container')} of tasks that the swarm does not know"
                f" {'runs' if len(self.orphans) == 1 else 'run'} here: {abbreviate(list(self.orphans))}."
                " Stop them, and the next run removes them"
            )
        return texts


def totals(steps: Iterable[CleanUpStep]) -> dict[str, dict[str, int]]:
    """Numbers and bytes by kind, in the order of the kinds. Pure."""
    found: dict[str, dict[str, int]] = {}
    for step in sorted(steps, key=lambda step: KINDS.index(step.kind)):
        entry = found.setdefault(step.kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += step.size
    return found


def amount(by_kind: Mapping[str, Mapping[str, int]]) -> str:
    """The same in words, with the sum. Pure."""
    parts = [count_of(entry["count"], *_NOUNS[kind]) for kind, entry in by_kind.items()]
    return f"{', '.join(parts)}, {size_text(sum(entry['bytes'] for entry in by_kind.values()))}"


def plan_clean_up(found: HostUse, wish: CleanUpWish, now: float) -> CleanUpPlan:
    """What to remove from a host; `now` is the time of its own clock, in seconds since 1970. Pure."""
    kept: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    chosen: list[CleanUpStep] = []
    others: list[CleanUpStep] = []

    def sort(kind: str, steps: list[CleanUpStep]) -> list[CleanUpStep]:
        (chosen if kind in wish.kinds else others).extend(steps)
        return steps if kind in wish.kinds else []

    gone = sort(CONTAINERS, _containers(found, wish, now, kept[CONTAINERS]))
    left = [
        container
        for container in found.containers
        if container.id not in {step.id for step in gone}
    ]
    sort(IMAGES, _images(found, left, wish, now, kept[IMAGES]))
    sort(BUILD_CACHE, _cache(found, wish, now, kept[BUILD_CACHE]))
    # Also a container that this run removes keeps its volumes: their data may be what is left of it.
    sort(VOLUMES, _volumes(found, wish, now, kept[VOLUMES]))
    return CleanUpPlan(
        tuple(chosen),
        {kind: dict(sorted((+reasons).items())) for kind, reasons in kept.items() if +reasons},
        totals(others),
        tuple(sorted(_orphans(found, wish, now))),
    )


def _is_old(since: float | None, older_than: float, now: float) -> bool:
    return since is not None and now - since >= older_than


def _is_orphan(container: HostContainer, tasks: Collection[str], now: float) -> bool:
    """Whether its task is one that the swarm does not know, or no longer knows."""
    return (
        bool(container.task)
        and container.task not in tasks
        and _is_old(container.since, YOUNGEST_ORPHAN, now)
    )


def _orphans(found: HostUse, wish: CleanUpWish, now: float) -> list[str]:
    tasks = set(wish.tasks)
    return [
        container.name
        for container in found.containers
        if not container.stopped and _is_orphan(container, tasks, now)
    ]


def _containers(
    found: HostUse, wish: CleanUpWish, now: float, kept: Counter[str]
) -> list[CleanUpStep]:
    tasks = set(wish.tasks)
    steps = []
    for container in found.containers:
        if not container.stopped:
            kept["runs"] += 1
        elif container.task in tasks:
            # The swarm removes it by its own limit, and `docker service logs` reads it until then.
            kept["belongs to a task that the swarm lists"] += 1
        elif not _is_old(container.since, wish.older_than, now) or (
            container.task and not _is_orphan(container, tasks, now)
        ):
            kept["too young"] += 1
        else:
            steps.append(CleanUpStep(CONTAINERS, container.id, container.name, container.size))
    return sorted(steps, key=lambda step: step.name)


def _images(
    found: HostUse,
    containers: Sequence[HostContainer],
    wish: CleanUpWish,
    now: float,
    kept: Counter[str],
) -> list[CleanUpStep]:
    references = ImageReferences(wish.images)
    used = {container.image for container in containers}
    by_id = {image.id: image for image in found.images}
    stay: set[str] = set()
    for image in found.images:
        reason = ""
        if image.id in used:
            reason = "used by a container"
        elif references.match(image.id, image.tags, image.digests):
            reason = REFERRED
        elif not _is_old(image.since, wish.older_than, now):
            reason = "too young"
        if reason and not image.hidden:
            kept[reason] += 1
        if reason:
            stay.add(image.id)
    for image_id in list(stay):
        parent = by_id[image_id].parent
        while parent in by_id and parent not in stay:
            stay.add(parent)
            kept["an image that stays is built on it"] += not by_id[parent].hidden
            parent = by_id[parent].parent
    going = [image for image in found.images if image.id not in stay and not image.hidden]
    return [
        CleanUpStep(
            IMAGES,
            image.id,
            image.name,
            image.size - min(image.size, max(0, image.shared)),
            tuple(sorted((*image.tags, *image.digests))),
        )
        for image in sorted(going, key=lambda image: (-_depth(image, by_id), image.name))
    ]


def _depth(image: HostImage, by_id: Mapping[str, HostImage]) -> int:
    """How many parents it has: an image goes before the one that it is built on."""
    depth, seen = 0, {image.id}
    while image.parent in by_id and image.parent not in seen:
        image = by_id[image.parent]
        seen.add(image.id)
        depth += 1
    return depth


def _volumes(
    found: HostUse, wish: CleanUpWish, now: float, kept: Counter[str]
) -> list[CleanUpStep]:
    references = VolumeReferences(wish.volumes)
    used = {name for container in found.containers for name in container.volumes}
    steps = []
    for volume in found.volumes:
        if volume.name in used:
            kept["used by a container"] += 1
        elif references.match(volume.name):
            kept[REFERRED] += 1
        elif volume.driver != "local":
            # Its data may be on a storage that other hosts share.
            kept["of another driver than local"] += 1
        elif not _is_old(volume.since, wish.older_than, now):
            kept["too young"] += 1
        else:
            steps.append(CleanUpStep(VOLUMES, volume.name, volume.name, volume.size))
    return sorted(steps, key=lambda step: step.name)


def _cache(found: HostUse, wish: CleanUpWish, now: float, kept: Counter[str]) -> list[CleanUpStep]:
    steps = []
    for record in found.cache:
        if record.in_use:
            kept["in use"] += 1
        elif not _is_old(record.since, wish.older_than, now):
            kept["too young"] += 1
        else:
            steps.append(CleanUpStep(BUILD_CACHE, record.id, record.id, record.size))
    return sorted(steps, key=lambda step: step.name)
