# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What earlier reports have left: a line for each in a file of JSON lines, and the whole state of the last one. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.words import Text, text
from .._model.labels import HOST_LABEL, ZONE_LABEL
from .cleaning import clean

# Of more reports the oldest are dropped.
MOST_LINES = 1000
# A page shows this many of the latest.
MOST_POINTS = 60
MOST_CHANGES = 40
VERDICTS = ("healthy", "degraded", "unknown", "failed")


@dataclass(frozen=True)
class Point:
    """The verdict of one report."""

    at: float
    verdict: str


@dataclass(frozen=True)
class Past:
    """What a new report needs of the earlier ones."""

    points: tuple[Point, ...] = ()
    at: float | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


def state_of_swarm(health: Mapping[str, Any]) -> dict[str, Any]:
    """What the next report compares itself with. Without an answer of the managers, nothing."""
    return {
        "nodes": {
            clean(str(node["labels"].get(HOST_LABEL) or node["hostname"])): [
                node["role"],
                node["state"],
                node["availability"],
                clean(node["engine_version"] or ""),
                clean(node["labels"].get(ZONE_LABEL, "")),
            ]
            for node in health["nodes"]
        },
        "services": {
            clean(str(row["name"])): [
                clean(str(row["image"])),
                row["wanted"],
                row["running"],
                row["update"] or "",
            ]
            for row in health["services"]
        },
    }


def read_past(lines: Iterable[str]) -> Past:
    """The past in a file of JSON lines. Lines that are none of ours are left out: a killed run cannot harm the next one."""
    points: list[Point] = []
    last: Mapping[str, Any] = {}
    at = None
    for line in lines:
        try:
            entry = json.loads(line)
            point = Point(float(entry["at"]), str(entry["verdict"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if point.verdict not in VERDICTS:
            continue
        points.append(point)
        state = entry.get("state")
        if isinstance(state, dict) and state.get("nodes"):
            last, at = state, point.at
    return Past(tuple(points[-MOST_POINTS + 1 :]), at, last)


def next_lines(
    lines: Iterable[str], point: Point, reasons: Iterable[str], state: Mapping[str, Any]
) -> list[str]:
    """The lines of the file with one more. Only the last known state is kept, and at most MOST_LINES lines."""
    kept, last = [], None
    for line in lines:
        try:
            entry = json.loads(line)
            entry["at"], entry["verdict"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        last = entry.pop("state", None) or last
        kept.append(entry)
    new: dict[str, Any] = {"at": point.at, "verdict": point.verdict, "reasons": list(reasons)}
    found = state if state.get("nodes") else last
    if found and not state.get("nodes") and kept:
        # A swarm that does not answer is compared with what was known before.
        kept[-1]["state"] = found
    elif found:
        new["state"] = found
    return [
        json.dumps(entry, sort_keys=True, ensure_ascii=True)
        for entry in [*kept[-MOST_LINES + 1 :], new]
    ]


def changes_since(past: Past, state: Mapping[str, Any]) -> list[Text]:
    """What is different from the last known state, in sentences; nodes come first."""
    if not past.state or not state["nodes"]:
        return []
    try:
        found = [
            *_node_changes(past.state.get("nodes") or {}, state["nodes"]),
            *_service_changes(past.state.get("services") or {}, state["services"]),
            *_record_changes(past.state, state),
        ]
    except (TypeError, ValueError, AttributeError):
        # Somebody has edited the file.
        return []
    if len(found) > MOST_CHANGES:
        more = len(found) - MOST_CHANGES + 1
        return [*found[: MOST_CHANGES - 1], text("and {count} more", count=more)]
    return found


def _node_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Text]:
    for name in sorted(after.keys() - before.keys()):
        yield text("{name} is new in the swarm", name=name)
    for name in sorted(before.keys() - after.keys()):
        yield text("{name} is no longer in the swarm", name=name)
    for name in sorted(after.keys() & before.keys()):
        old_role, old_state, old_availability, old_engine, old_zone = before[name]
        role, state, availability, engine, zone = after[name]
        for template, old, new in (
            ("{name}: role {old} → {new}", old_role, role),
            ("{name}: state {old} → {new}", old_state, state),
            ("{name}: availability {old} → {new}", old_availability, availability),
            ("{name}: engine {old} → {new}", old_engine, engine),
            ("{name}: zone {old} → {new}", old_zone, zone),
        ):
            if old != new:
                yield text(template, name=name, old=old or "-", new=new or "-")


def _service_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Text]:
    for name in sorted(after.keys() - before.keys()):
        yield text("service {name} is new", name=name)
    for name in sorted(before.keys() - after.keys()):
        yield text("service {name} was removed", name=name)
    for name in sorted(after.keys() & before.keys()):
        old_image, old_wanted, old_running, old_update = before[name]
        image, wanted, running, update = after[name]
        if old_image != image:
            yield text("service {name}: image {old} → {new}", name=name, old=old_image, new=image)
        if old_wanted != wanted:
            yield text("service {name}: tasks {old} → {new}", name=name, old=old_wanted, new=wanted)
        if (old_running < old_wanted) != (running < wanted):
            yield text(
                "service {name}: {running} of {wanted} tasks run",
                name=name,
                running=running,
                wanted=wanted,
            )
        if old_update != update and update:
            yield text("service {name}: update {state}", name=name, state=update)


def _record_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Text]:
    """Of stacks and applications that both reports have: what an older version has not written is not news."""
    stacks, applications = before.get("stacks") or {}, before.get("applications") or {}
    for name, revision in sorted((after.get("stacks") or {}).items()):
        if name in stacks and stacks[name] != revision:
            yield text(
                "stack {name}: revision {old} → {new}", name=name, old=stacks[name], new=revision
            )
    for name, commit in sorted((after.get("applications") or {}).items()):
        if name in applications and applications[name] != commit:
            old = applications[name] or "-"
            yield text("application {name}: commit {old} → {new}", name=name, old=old, new=commit)
