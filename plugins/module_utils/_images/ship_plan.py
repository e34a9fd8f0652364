# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What ships images to nodes: which node brings them to the others, and what goes where. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._common.words import count_of, size_text


@dataclass(frozen=True)
class Row:
    """One node of a plan."""

    host: str
    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    size: int = 0  # bytes to bring, without what an interrupted run has brought
    layers: Mapping[str, int] | None = None  # what it lacks and others can serve
    problem: str = ""


@dataclass(frozen=True)
class ShipPlan:
    """What a run ships."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, str]
    # The hosts that could bring the images to the others, the best one first. Empty where a build host does.
    seeds: tuple[str, ...]
    build_host: str = ""

    @property
    def wanting(self) -> tuple[str, ...]:
        """The hosts that lack something."""
        return tuple(row.host for row in self.rows if row.missing)

    @property
    def silent(self) -> tuple[str, ...]:
        """The nodes that should get images and do not answer."""
        return tuple(row.host for row in self.rows if row.problem)

    def to_serve(self, seed: str) -> dict[str, int]:
        """The layers that the others lack, with their sizes."""
        found: dict[str, int] = {}
        for row in self.rows:
            if row.host != seed:
                found.update(row.layers or {})
        return found

    @property
    def from_controller(self) -> int:
        """The bytes that leave the controller."""
        if self.build_host or not self.seeds:
            return 0
        return next(row.size for row in self.rows if row.host == self.seeds[0])

    def lines(self, images: Sequence[Mapping[str, Any]]) -> list[str]:
        """The plan as a table."""
        size = size_text(sum(image["size"] for image in images))
        what = f"{count_of(len(images), 'image')}, {size}"
        origin = self.build_host or "the controller"
        lines = [f"PLAN  ship {what}, from {origin}"]
        wide = max([len(row.host) for row in self.rows] + [len(n) for n in self.left_out] + [0])
        for row in self.rows:
            if row.problem:
                lines.append(f"  ! {row.host:<{wide}}  {row.problem}")
            elif row.missing:
                names = ", ".join(row.missing)
                first = not self.build_host and row.host == self.seeds[0]
                via = origin if self.build_host or first else self.seeds[0]
                lines.append(f"  + {row.host:<{wide}}  {names}: {size_text(row.size)} from {via}")
        for name, why in self.left_out.items():
            lines.append(f"  - {name:<{wide}}  {why}")
        complete = [row for row in self.rows if not row.missing and not row.problem]
        if complete:
            verb = "has" if len(complete) == 1 else "have"
            lines.append(f"  = {count_of(len(complete), 'node')} {verb} all")
        return lines


def plan_ship(
    targets: Mapping[str, Sequence[str]],
    nodes: Mapping[str, str],
    hosts: Mapping[str, str],
    found: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
    build_host: str = "",
) -> ShipPlan:
    """The plan.

    `targets` has the IDs of the nodes for each image, `nodes` the names of nodes by ID, `hosts` the hosts of the inventory by the ID
    of their node, and `found` what swarm_ship has found on each host.
    """
    ids = list(dict.fromkeys(node for each in targets.values() for node in each))
    rows = []
    for node in ids:
        host = hosts.get(node)
        if host is None:
            name = nodes.get(node, node)
            rows.append(Row(name, problem="no host of the inventory that answers is this node"))
            continue
        said = found.get(host) or {}
        if "layers" not in said or said.get("failed") or said.get("unreachable"):
            rows.append(Row(host, problem=str(said.get("msg") or "it does not answer").strip()))
            continue
        layers = {str(key): int(value) for key, value in said["layers"].items()}
        rows.append(
            Row(
                host,
                tuple(said["present"]),
                tuple(said["missing"]),
                sum(layers.values()),
                layers,
            )
        )
    rows.sort(key=lambda row: row.host)
    able = [row for row in rows if not row.problem]
    # One that lacks nothing costs the controller nothing. It must have every image that another one lacks.
    wanted = {name for row in able for name in row.missing}
    seeds = [row for row in able if wanted <= {*row.present, *row.missing}]
    seeds.sort(key=lambda row: (row.size, row.host))
    order = () if build_host or not wanted else tuple(row.host for row in seeds)
    return ShipPlan(tuple(rows), dict(left_out), order, build_host)


def done_lines(rows: Sequence[Row], results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was shipped, as a table."""
    lines = ["DONE"]
    wide = max((len(row.host) for row in rows), default=0)
    for row in rows:
        said = results.get(row.host) or {}
        problem = row.problem or problem_of(said)
        if (problem and row.missing) or row.problem:
            lines.append(f"  ! {row.host:<{wide}}  {problem}")
        elif row.missing:
            loaded = ", ".join(said.get("loaded") or ()) or "nothing"
            lines.append(
                f"  + {row.host:<{wide}}  loaded {loaded}: {size_text(said.get('bytes') or 0)}"
            )
    complete = [row for row in rows if not row.missing and not row.problem]
    if complete:
        lines.append(f"  = {count_of(len(complete), 'node')} had all")
    return lines


def problem_of(said: Mapping[str, Any]) -> str:
    """Why a host has not got its images; empty if it has."""
    if said.get("failed") or said.get("unreachable"):
        return str(said.get("msg") or "it does not answer").strip()
    return "" if "loaded" in said else "it has not got them: see the failed tasks above"
