# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Networks of a stack that differ from the Compose files. The engine cannot change a network, so it is replaced. No I/O.

A network can be removed, and its name is free, only when no service is attached to it. So its services take a detour: a
network of another name, as the files want it. They move there by their own update settings, the network is removed, the
deploy recreates it and moves them back, and the detour is removed. While services move, those that have moved and those
that have not cannot reach each other; nothing stops that their update settings do not stop.

An interrupted run leaves the detour, which has the stack's label. The next run finds services that are not on the network
that the files name, moves them, and removes the detour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .._common.errors import SwarmError
from .._model.labels import DETOUR_LABEL, stack_of
from .._model.services import attachments, is_job, service_name
from .._spec.changes import Change
from .plan import StackSnapshot, StackStep


def plan_networks(
    stack: str, steps: list[StackStep], live: StackSnapshot, allowed: bool
) -> list[StackStep]:
    """The steps with all that replacing networks takes; raises network_drift unless `allowed`, and network_in_use."""
    drifted = {step.name: step for step in steps if step.action == "replace"}
    left = [
        StackStep("remove", "network", name, "left over from an interrupted run")
        for name in _detours(stack, live)
    ]
    if not drifted:
        return steps + left
    if not allowed:
        raise _refusal(stack, drifted.values())
    users = users_of(live, drifted)
    _refuse_what_cannot_move(stack, users, live)
    planned = []
    for step in steps:
        on = [name for name in drifted if step.name in users.get(name, [])]
        if step.kind == "service" and on and step.action in ("none", "update"):
            changes = tuple(Change("networks", name, f"{name}, replaced") for name in on)
            step = replace(step, action="update", changes=(*step.changes, *changes))
        elif step.action == "replace":
            names = ", ".join(users.get(step.name, []))
            moves = f"; its services move: {names}" if names else ""
            step = replace(step, summary=f"is replaced{moves}")
        planned.append(step)
    return planned + left


def _detours(stack: str, live: StackSnapshot) -> list[str]:
    return sorted(
        str(network.get("Name"))
        for network in live.networks
        if DETOUR_LABEL in (network.get("Labels") or {}) and stack_of(network) == stack
    )


def users_of(live: StackSnapshot, names: Iterable[str]) -> dict[str, list[str]]:
    """The names of the services that are attached to each of these networks now."""
    wanted = set(names)
    known = {key: name for key, name in live.network_names().items() if name in wanted}
    found: dict[str, list[str]] = {}
    for service in live.services:
        spec = service.get("Spec") or {}
        for network in attachments(spec):
            if network.get("Target") in known:
                found.setdefault(known[str(network["Target"])], []).append(str(spec.get("Name")))
    return {name: sorted(services) for name, services in found.items()}


def _refusal(stack: str, drifted: Iterable[StackStep]) -> SwarmError:
    what = [
        f"network {step.name} ({', '.join(f'{c.name} {c.before} -> {c.after}' for c in step.changes)})"
        for step in drifted
    ]
    return SwarmError(
        "network_drift",
        f"Could not deploy stack {stack}: the Compose files change {'; '.join(what)}. The engine cannot change a network,"
        " only replace it, and the services on it must leave it first. Set replace_networks=true, which replaces their"
        " tasks twice, or restore the files.",
        networks=what,
    )


def _refuse_what_cannot_move(stack: str, users: dict[str, list[str]], live: StackSnapshot) -> None:
    specs = {service_name(service): service.get("Spec") or {} for service in live.services}
    reasons = []
    for network, services in users.items():
        for name in services:
            spec = specs[name]
            if stack_of(spec) != stack:
                reasons.append(
                    f"service {name}, which does not belong to this stack, is on network {network}"
                )
            elif is_job(spec):
                reasons.append(f"job {name} is on network {network} and would run again")
    if reasons:
        raise SwarmError(
            "network_in_use",
            f"Could not replace networks of stack {stack}: {'; '.join(reasons)}. Remove it from there first.",
            used=reasons,
        )


def detour_of(network: str) -> str:
    """The name of the detour of a network."""
    return f"{network}-detour"
