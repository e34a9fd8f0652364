# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of a run on the page: its steps, and what the hosts and the managers are before and after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cluster.steps import SIGNS, MemberStep, parse_held, parse_step
from .._common.words import Text, as_is, joined, text, unpacked
from .cleaning import clean, clean_text

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
    detail: Text
    note: Text
    availability: str = ""  # afterwards, if the step changes it


@dataclass(frozen=True)
class Planned:
    """A plan that a run would carry out."""

    steps: tuple[PlanStep, ...]
    remarks: tuple[Text, ...]  # what is held back, and warnings
    wanted: Mapping[str, tuple[str, str]]  # zone and role by host
    refusals: tuple[Text, ...] = ()  # why the plan is refused

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
    nodes = {str(node.get("name")): node for node in plan.get("nodes") or []}
    steps: dict[tuple[str, ...], PlanStep] = {}
    for data in found:
        step = parse_step(data)
        kind = step.kind if step.kind in SIGNS else step.action
        line = PlanStep(
            clean(step.host),
            SIGNS.get(kind, "~"),
            clean(kind),
            ACTIONS.get(kind, as_is(clean(kind))),
            clean_text(_detail(step, kind, nodes.get(step.host) or {})),
            _cleaned(step.note),
            clean(str(step.after or "")) if kind == "availability" else "",
        )
        steps.setdefault((kind, step.host, step.text), line)
    wanted = {}
    for name, node in nodes.items():
        zone = clean(str((node.get("labels") or {}).get("zone") or ""))
        wanted[clean(name)] = (zone, clean(str(node.get("role") or "")))
    held = [parse_held(item) for item in plan.get("held") or []]
    words = plan.get("words") or {}
    return Planned(
        tuple(steps.values()),
        (
            *(
                text("{host}: {why}", host=clean(item.name), why=_cleaned(item.why))
                for item in held
            ),
            *_sentences(plan.get("warnings_of_plan"), words.get("warnings")),
        ),
        wanted,
        tuple(_sentences(plan.get("refusals"), words.get("refusals"))),
    )


def _cleaned(words: object) -> Text:
    return clean_text(words if isinstance(words, Text) else as_is(words))


def _sentences(plain: Sequence[object] | None, packed: Sequence[Any] | None) -> list[Text]:
    """Sentences, of which `packed` says how they were made, if it is there."""
    return [_cleaned(unpacked(each)) for each in packed or plain or []]


def _detail(step: MemberStep, kind: str, node: Mapping[str, Any]) -> Text:
    """The change of a step. What a host joins as comes as plain words from the inventory, and is made again of the same values."""
    plain = step.text if isinstance(step.text, Text) else as_is(step.text)
    if kind not in ("init", "join"):
        return plain
    labels = {str(key): str(value) for key, value in (node.get("labels") or {}).items()}
    zone, role = labels.pop("zone", ""), str(node.get("role") or "")
    availability = str(node.get("availability") or "")
    parts = [ROLES.get(role, as_is(role))]
    if zone:
        parts.append(text("zone {zone}", zone=zone))
    parts += [as_is(f"{key}={value}") for key, value in sorted(labels.items())]
    if availability not in ("", "active"):
        parts.append(as_is(availability))
    again = [joined(parts), joined([*parts, text("retrying an incomplete join")])]
    return next((each for each in again if each == step.text), plain)
