# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The order in which services are written that depend on others. No I/O.

Swarm itself has no order. A wave has the services whose dependencies are all in the waves before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .._common.errors import SwarmError

COMPLETED = "service_completed_successfully"


def dependencies(documents: Iterable[Any]) -> dict[str, dict[str, str]]:
    """The condition of each dependency, by service and dependency, with the names in the Compose files."""
    found: dict[str, dict[str, str]] = {}
    for document in documents:
        services = document.get("services") if isinstance(document, dict) else None
        for name, service in services.items() if isinstance(services, dict) else ():
            listed = service.get("depends_on") if isinstance(service, dict) else None
            if listed and isinstance(listed, (list, dict)):
                found.setdefault(str(name), {}).update(conditions(listed))
    return {name: dict(sorted(needed.items())) for name, needed in sorted(found.items())}


def conditions(listed: Any) -> dict[str, str]:
    """The conditions by dependency, from either form of depends_on, or from what `dependencies` returned."""
    if not isinstance(listed, dict):
        return {str(name): "" for name in (listed if isinstance(listed, list) else [listed])}
    return {
        str(name): str((entry.get("condition") if isinstance(entry, dict) else entry) or "")
        for name, entry in listed.items()
    }


def completed_first(needs: dict[str, dict[str, str]]) -> set[str]:
    """Services whose tasks must complete before others start."""
    return {
        name
        for needed in needs.values()
        for name, condition in needed.items()
        if condition == COMPLETED
    }


def without_conditions(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `depends_on` as lists: Docker's CLI does not take the form with conditions."""
    services = document.get("services")
    if not isinstance(services, dict):
        return document
    listed = {
        name: {**service, "depends_on": list(service["depends_on"])}
        for name, service in services.items()
        if isinstance(service, dict) and isinstance(service.get("depends_on"), dict)
    }
    return {**document, "services": {**services, **listed}} if listed else document


def waves(
    stack: str, services: Iterable[str], needs: Mapping[str, Collection[str]]
) -> list[list[str]]:
    """The services in waves, with their names in the Compose files; raises bad_depends_on."""
    left = set(services)
    for name, needed in sorted(needs.items()):
        unknown = sorted({name, *needed} - left)
        if unknown:
            raise SwarmError(
                "bad_depends_on",
                f"Could not order the services of stack {stack}: {name} depends on {', '.join(needed)}, and there is no"
                f" service {unknown[0]} in the Compose files.",
            )
    found: list[list[str]] = []
    while left:
        wave = sorted(name for name in left if not left.intersection(needs.get(name, ())))
        if not wave:
            raise SwarmError(
                "bad_depends_on",
                f"Could not order the services of stack {stack}: they depend on each other in a cycle,"
                f" {' -> '.join(_cycle(left, needs))}. Remove one of these depends_on.",
            )
        found.append(wave)
        left.difference_update(wave)
    return found


def _cycle(left: set[str], needs: Mapping[str, Collection[str]]) -> list[str]:
    """One cycle among services each of which depends on another of them."""
    path = [min(left)]
    while True:
        following = min(left.intersection(needs[path[-1]]))
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)


def wave_lines(found: list[list[str]]) -> list[str]:
    """The waves as plan lines."""
    return [f"  wave {number}  {', '.join(wave)}" for number, wave in enumerate(found, start=1)]
