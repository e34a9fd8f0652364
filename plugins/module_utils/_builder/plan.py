# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which commit of a source is built, by which builder, and when. Pure.

Builders share only git and the registry. Each one has a rank for each source. The first builds a commit at once. Each later one
waits longer for its record in the registry. Before a build, a builder writes a claim into the registry and then reads the claims of
the others. Of two builders that do this at the same moment, at least one sees the other, and who sees another one gives way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .._git.repository import COMMIT
from .._registry.reference import RECORD_PREFIX
from .sources import Source

# The ends of a build. An image is UNCHANGED if no path that matters has changed.
BUILT, FAILED, UNCHANGED = "built", "failed", "unchanged"
# What else can be the state of a source on a builder.
WAITING, BUILDING, ERROR, INVALID = "waiting", "building", "error", "invalid"
ENDS = (BUILT, FAILED, UNCHANGED)
# Builds that a record remembers, and seconds between two attempts after an error: the first, and the longest.
HISTORY = 20
_FIRST_PAUSE, _LONGEST_PAUSE = 30, 600
# Seconds that a claim outlives the limits of its build.
_MARGIN = 900
_VERSION = re.compile(
    r"v?(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})\.(0|[1-9][0-9]{0,9})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)


# Which commit


@dataclass(frozen=True)
class Head:
    """What is to be built: a commit, and the tag of git that points to it, if the source follows tags."""

    commit: str
    ref: str
    tag: str = ""


def choose(source: Source, refs: Mapping[str, str]) -> Head | None:
    """The commit of the branch, or of the highest version among the tags; None if there is none."""
    if not source.tag_pattern:
        commit = refs.get(source.ref)
        return Head(commit, source.ref) if commit else None
    tags = [ref for ref in refs if ref.startswith("refs/tags/") and not ref.endswith("^{}")]
    if not tags:
        return None
    ref = max(tags, key=version_key)
    return Head(refs[ref], ref, ref[len("refs/tags/") :])


def version_key(ref: str) -> tuple[Any, ...]:
    """The order of tags: by semantic version, and what is none before all versions, by its numbers and words."""
    tag = ref.rpartition("/")[2]
    found = _VERSION.fullmatch(tag)
    if found is None:
        return 0, tuple(_part_key(part) for part in re.findall(r"[0-9]{1,18}|[^0-9]+", tag)), ref
    numbers = tuple(int(part) for part in found.groups()[:3])
    before = found.group(4)
    # A pre-release comes before its release (semver.org, 11).
    parts = tuple(_part_key(part) for part in before.split(".")) if before else ()
    return 1, numbers, not before, parts, ref


def _part_key(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)


def matters(source: Source, changed: Iterable[str]) -> bool:
    """Whether one of the changed files is below a path that matters."""
    inside = [path for path in source.paths if path != "."]
    if not source.paths or len(inside) < len(source.paths):
        return True
    return any(file == path or file.startswith(f"{path}/") for file in changed for path in inside)


# Which builder


def ranked(source: str, builders: Iterable[str]) -> list[str]:
    """The builders in the order in which they build this source. A builder that comes or goes changes no other order."""
    weight = {name: hashlib.sha256(f"{source}\0{name}".encode()).digest() for name in builders}
    return sorted(weight, key=lambda name: (weight[name], name))


def claim_tag(source: str, builder: str) -> str:
    """The tag of the claim of a builder: one for each source, so that there are never more."""
    return f"{RECORD_PREFIX}claim-{source}-{hashlib.sha256(builder.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Claim:
    """A builder says that it builds a commit, until a time in seconds since 1970."""

    builder: str
    commit: str
    until: float

    def fresh(self, now: float) -> bool:
        """Whether it counts."""
        return now < self.until


def claim_until(source: Source, now: float) -> float:
    """When a claim is stale: its builder has come to no end within all of its limits."""
    return now + source.timeout * (2 if source.test else 1) + _MARGIN


def parse_claim(document: Mapping[str, Any] | None) -> Claim | None:
    """A claim as it is in the registry; None if there is none that can be read."""
    found = document or {}
    try:
        return Claim(str(found["builder"]), str(found["commit"]), float(found["until"]))
    except (KeyError, TypeError, ValueError):
        return None


# The record of a build


@dataclass(frozen=True)
class Build:
    """The end of a build."""

    commit: str
    state: str
    image: str = ""  # with its first tag
    images: tuple[str, ...] = ()  # with each tag
    digest: str = ""
    builder: str = ""
    at: float = 0.0  # when it ended
    seconds: float = 0.0
    cause: str = ""
    ref: str = ""
    subject: str = ""
    author: str = ""
    steps: Mapping[str, float] = field(default_factory=dict)  # seconds of each
    request: str = ""  # of the playbook that asked for it


def as_record(build: Build, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of the latest build of a source, with the ones before it in short."""
    old = (earlier or {}).get("history")
    short = ("commit", "state", "image", "images", "digest", "builder", "at", "seconds", "cause")
    full = asdict(build)
    history = [entry for entry in old if isinstance(entry, dict)] if isinstance(old, list) else []
    return {**full, "history": [{key: full[key] for key in short}, *history][:HISTORY]}


def parse_record(document: Mapping[str, Any] | None) -> Build | None:
    """The latest build of a record; None if there is none that can be read."""
    found = document or {}
    if found.get("state") not in ENDS or not COMMIT.fullmatch(str(found.get("commit"))):
        return None
    values: dict[str, Any] = {}
    for each in fields(Build):
        value = found.get(each.name)
        if each.name == "images":
            values["images"] = tuple(map(str, value)) if isinstance(value, (list, tuple)) else ()
        elif each.name == "steps":
            values["steps"] = {
                str(name): float(number)
                for name, number in (value if isinstance(value, dict) else {}).items()
                if isinstance(number, (int, float))
            }
        elif each.name in ("at", "seconds"):
            values[each.name] = float(value) if isinstance(value, (int, float)) else 0.0
        else:
            values[each.name] = str(value or "")
    return Build(**values)


def latest_good(document: Mapping[str, Any] | None) -> Build | None:
    """The latest commit of a record that has an image, in short."""
    history = (document or {}).get("history")
    for entry in history if isinstance(history, list) else []:
        found = parse_record(entry) if isinstance(entry, dict) else None
        if found and found.state in (BUILT, UNCHANGED):
            return found
    return None


# What to do now

IDLE, ADOPT, WAIT, BUILD = "idle", "adopt", "wait", "build"


@dataclass(frozen=True)
class Move:
    """What a builder does about a source: nothing, take over a record, wait, or build."""

    kind: str
    why: str = ""


@dataclass(frozen=True)
class Memory:
    """What a builder remembers of a source."""

    handled: str = ""  # the commit that needs nothing more
    seen: str = ""  # the newest commit, and since when it is known
    seen_at: float = 0.0
    failures: int = 0  # of attempts that had no end, such as without the registry
    not_before: float = 0.0  # seconds since 1970


def is_idle(memory: Memory, head: Head, asked: bool) -> bool:
    """Whether there is nothing to do, so that nobody needs to be asked."""
    return memory.handled == head.commit and not asked


def noticed(memory: Memory, head: Head, now: float) -> Memory:
    """The memory with the newest commit."""
    if memory.seen == head.commit:
        return memory
    return Memory(memory.handled, head.commit, now)


def after_error(memory: Memory, now: float) -> Memory:
    """The memory after an attempt that had no end. The next one waits twice as long."""
    pause = min(_FIRST_PAUSE * 2 ** min(memory.failures, 10), _LONGEST_PAUSE)
    return Memory(memory.handled, memory.seen, memory.seen_at, memory.failures + 1, now + pause)


def is_paused(memory: Memory, now: float, asked: bool) -> bool:
    """Whether the next attempt after an error has to wait."""
    return now < memory.not_before and not asked


def next_move(
    source: Source,
    head: Head,
    memory: Memory,
    me: str,
    builders: Sequence[str],
    takeover: float,
    record: Build | None,
    claims: Iterable[Claim],
    now: float,
    asked: bool,
) -> Move:
    """What to do about a commit that is not handled yet. `takeover` is how many seconds each rank waits for the one before it."""
    if record and record.commit == head.commit and not asked:
        return Move(ADOPT)
    for claim in claims:
        if claim.builder != me and claim.fresh(now):
            return Move(WAIT, f"{claim.builder} builds commit {claim.commit[:12]}")
    order = ranked(source.name, {*builders, me})
    rank = order.index(me)
    if rank and not asked and now < memory.seen_at + rank * takeover:
        return Move(WAIT, f"{order[rank - 1]} comes before this builder")
    return Move(BUILD)
