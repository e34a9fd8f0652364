# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which packages an upgrade of the engine would install on a host, from what apt prints. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .._common.errors import SwarmError
from .._engine.versions import compare, matches, upstream

NEWEST = "newest"
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+:~-]*")
_SUITE = re.compile(r"[a-z][a-z0-9-]*")


def is_target(to: str) -> bool:
    """Whether an upgrade can be asked to go there: a version, a suite or `newest`."""
    return bool(_VERSION.fullmatch(to) or _SUITE.fullmatch(to))


@dataclass(frozen=True)
class EngineNames:
    """The packages of an engine."""

    engine: str
    cli: str
    containerd: str
    # Whether the package of the engine had the docker command in older releases.
    cli_was_part: bool = False

    @property
    def all(self) -> tuple[str, ...]:
        return (self.engine, self.cli, self.containerd)


ENGINES = (
    EngineNames("docker-ce", "docker-ce-cli", "containerd.io"),
    EngineNames("docker.io", "docker-cli", "containerd", cli_was_part=True),
)


def engine_names(packages: Collection[str]) -> EngineNames | None:
    """The packages of the engine that is among these."""
    return next((names for names in ENGINES if names.engine in packages), None)


@dataclass(frozen=True)
class Offers:
    """What the repositories of a host have."""

    # By package, newest first: a version, and the suite that has it.
    versions: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)
    # By package: the version that apt would install, by the pins of the host.
    candidates: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> list[tuple[str, str]]:
        return self.versions.get(name) or []


def parse_offers(madison: str, policy: str) -> Offers:
    """The offers in the outputs of `apt-cache madison` and `apt-cache policy`."""
    versions: dict[str, list[tuple[str, str]]] = {}
    for line in madison.splitlines():
        fields = [field.strip() for field in line.split("|")]
        words = fields[2].split() if len(fields) >= 3 else []
        if len(words) >= 2 and words[-1] == "Packages":
            versions.setdefault(fields[0], []).append((fields[1], words[1].split("/")[0]))
    candidates = {}
    for name, candidate in re.findall(
        r"^(\S+):\n  Installed: .*\n  Candidate: (\S+)$", policy, re.MULTILINE
    ):
        if candidate != "(none)":
            candidates[name] = candidate
    return Offers(versions, candidates)


@dataclass(frozen=True)
class Wish:
    """What apt is asked for: the engine's version, the packages with their versions, those to remove, and the suite they are in."""

    target: str
    packages: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    suite: str = ""


def wish_for(
    to: str, names: EngineNames, offers: Offers, installed: Mapping[str, str], has_cli: bool
) -> Wish:
    """The packages of an upgrade to a version, a suite or `newest`. Raises no_package and no_version."""
    have = installed.get(names.engine, "")
    rows = offers.of(names.engine)
    target, suite = _target(to, names.engine, rows, offers.candidates.get(names.engine, ""), have)
    packages = {} if target == have else {names.engine: target}
    remove: tuple[str, ...] = ()
    if names.cli in installed or has_cli:
        fitting = [version for version, _suite in offers.of(names.cli) if version == target] or [
            version
            for version, _suite in offers.of(names.cli)
            if upstream(version) == upstream(target)
        ]
        present = installed.get(names.cli, "")
        if fitting and upstream(present) != upstream(target):
            packages[names.cli] = fitting[0]
        elif packages and present and not fitting and names.cli_was_part:
            remove = (names.cli,)
    if to == NEWEST:
        newest = offers.candidates.get(names.containerd, "")
    elif _SUITE.fullmatch(to):
        newest = next((v for v, where in offers.of(names.containerd) if _within(where, to)), "")
    else:
        newest = ""
    present = installed.get(names.containerd, "")
    if present and newest and compare(newest, present) > 0:
        packages[names.containerd] = newest
    return Wish(target, packages, remove, suite)


def _within(suite: str, wanted: str) -> bool:
    return suite in (wanted, f"{wanted}-security", f"{wanted}-updates")


def _target(
    to: str, name: str, rows: list[tuple[str, str]], candidate: str, have: str
) -> tuple[str, str]:
    """The version of the engine's package, and the suite that has it."""
    if to == NEWEST:
        if candidate:
            return candidate, ""
        raise SwarmError(
            "no_package",
            f"no repository of this host has {name}",
            package=name,
        )
    if _VERSION.fullmatch(to):
        fitting = [row for row in rows if matches(row[0], to)]
        if have and matches(have, to) and not any(compare(v, have) > 0 for v, _suite in fitting):
            return have, ""
    else:
        fitting = [row for row in rows if _within(row[1], to)]
    if fitting:
        return fitting[0]
    known = ", ".join(f"{version} ({suite})" for version, suite in rows[:6]) or "nothing"
    what = f"{name} {to}" if _VERSION.fullmatch(to) else f"{name} of the suite {to}"
    raise SwarmError(
        "no_version",
        f"no repository of this host has {what}: they have {known}",
        package=name,
        available=[version for version, _suite in rows],
    )


@dataclass(frozen=True)
class Simulation:
    """What apt says that it would do: versions by package, before and after; and what it would remove."""

    before: Mapping[str, str | None] = field(default_factory=dict)
    install: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


def parse_simulation(text: str) -> Simulation:
    """The changes in the output of `apt-get --simulate install`."""
    before: dict[str, str | None] = {}
    install: dict[str, str] = {}
    remove = []
    for line in text.splitlines():
        found = re.match(r"Inst (\S+)(?: \[([^\]]*)\])? \((\S+) ", line)
        gone = re.match(r"(?:Remv|Purg) (\S+)(?: \[([^\]]*)\])?", line)
        if found:
            name = found.group(1)
            before[name], install[name] = found.group(2), found.group(3)
        elif gone:
            before[gone.group(1)] = gone.group(2)
            remove.append(gone.group(1))
    return Simulation(before, install, tuple(remove))


def sizes_in(show: str) -> tuple[int, int]:
    """The bytes to download and to unpack, in the output of `apt-cache show` for the packages."""
    download = sum(int(size) for size in re.findall(r"^Size: (\d+)$", show, re.MULTILINE))
    unpacked = sum(int(size) for size in re.findall(r"^Installed-Size: (\d+)$", show, re.MULTILINE))
    return download, unpacked * 1024
