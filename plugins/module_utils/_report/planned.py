# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of a run on the page: its steps, and what the hosts and the managers are before and after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cluster.steps import SIGNS, parse_step
from .._common.words import Text, as_is, joined, text
from .cleaning import clean

ACTIONS = {
    "unlock": text("unlock"),
    "engine": text("engine"),
    "init": text("initialise"),
    "join": text("join"),
    "settings": text("settings"),
    "promote": text("promote"),
    "labels": text("labels"),
    "availability": text("availability"),
    "demote": text("demote"),
    "rejoin": text("rejoin"),
    "remove": text("remove"),
}
AVAILABILITIES = {
    "active": text("active"),
    "pause": text("paused"),
    "drain": text("drained"),
}
ROLES = {"manager": text("manager"), "worker": text("worker")}


@dataclass(frozen=True)
class PlanStep:
    """A line of the plan."""

    host: str
    sign: str  # + ~ or -
    action: str
    word: Text
    detail: str  # in the words of the plan
    note: str = ""
    availability: str = ""  # afterwards, if the step changes it


@dataclass(frozen=True)
class Planned:
    """A plan that a run would carry out."""

    steps: tuple[PlanStep, ...]
    remarks: tuple[str, ...]
    wanted: Mapping[str, tuple[str, str]]  # zone and role by host

    def after(
        self, host: str, steps: Sequence[PlanStep], zone_now: str = "", role_now: str = ""
    ) -> Text | None:
        """What a host is afterwards; None if its role, zone and availability stay as they are."""
        actions = {step.action for step in steps}
        if "remove" in actions:
            return text("not in the swarm")
        if not actions & {"join", "init", "promote", "demote", "rejoin", "labels", "availability"}:
            return None
        zone, role = self.wanted.get(host, ("", ""))
        parts = [ROLES[role]] if role in ROLES and role != role_now else []
        if zone and zone != zone_now:
            parts.append(text("zone {zone}", zone=zone))
        changed = [
            AVAILABILITIES.get(step.availability, as_is(step.availability))
            for step in steps
            if step.availability
        ]
        return joined([*parts, *changed]) if parts or changed else None


def read_plan(plan: Mapping[str, Any]) -> Planned | None:
    """The plan in a result of swarm_plan; None if there is none. The first plan of a run is the one that counts."""
    if not plan:
        return None
    found = (plan.get("first") or {}).get("steps") or plan.get("steps") or []
    steps: dict[tuple[str, ...], PlanStep] = {}
    for data in found:
        step = parse_step(data)
        kind = step.kind if step.kind in SIGNS else step.action
        line = PlanStep(
            clean(step.host),
            SIGNS.get(kind, "~"),
            clean(kind),
            ACTIONS.get(kind, as_is(clean(kind))),
            clean(step.text),
            clean(step.note),
            clean(str(step.after or "")) if kind == "availability" else "",
        )
        steps.setdefault((kind, step.host, step.text), line)
    wanted = {}
    for node in plan.get("nodes") or []:
        labels = node.get("labels") or {}
        zone, role = clean(str(labels.get("zone") or "")), clean(str(node.get("role") or ""))
        wanted[clean(str(node.get("name")))] = (zone, role)
    held = [f"{item['name']}: {item['why']}" for item in plan.get("held") or []]
    return Planned(
        tuple(steps.values()),
        tuple(map(clean, [*held, *map(str, plan.get("warnings_of_plan") or [])])),
        wanted,
    )
