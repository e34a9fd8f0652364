# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Networks of a stack that are not as the files say. The engine changes no network, so such a one is replaced.

It can be removed only when no service is on it, and its name is free only then. So its services go over a
detour: a network of another name, as the files want it. They move there, by their own update settings, the network is
removed, the deploy makes it anew and moves them back, and the detour is removed. While a service moves, those
that have moved and those that have not do not see each other; nothing is stopped that its update settings do not stop.

A run that is killed in between leaves the detour, which has the stack's label. The next run finds services that are not on
the network that the files say, moves them, and removes what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import Write
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    Change,
    Live,
    Step,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_removal import still_running
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock, poll

# A label of a detour: the network whose services are on it.
DETOUR = "flotilla.swarm.detour"

# --- Plan ---------------------------------------------------------------------------------------------


def plan_networks(stack: str, steps: list[Step], live: Live, allowed: bool) -> list[Step]:
    """The steps with all that a replacement of networks takes, or a refusal."""
    drifted = {step.name: step for step in steps if step.action == "replace"}
    left = [
        Step("remove", "network", name, "of an interrupted run") for name in _detours(stack, live)
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


def _detours(stack: str, live: Live) -> list[str]:
    labels = {str(network.get("Name")): network.get("Labels") or {} for network in live.networks}
    return sorted(n for n, own in labels.items() if DETOUR in own and own.get(NAMESPACE) == stack)


def users_of(live: Live, names: Iterable[str]) -> dict[str, list[str]]:
    """The services on each of these networks, as they are now."""
    wanted = set(names)
    known = {key: name for key, name in live.network_names().items() if name in wanted}
    found: dict[str, list[str]] = {}
    for service in live.services:
        spec = service.get("Spec") or {}
        for network in _attachments(spec):
            if network.get("Target") in known:
                found.setdefault(known[str(network["Target"])], []).append(str(spec.get("Name")))
    return {name: sorted(services) for name, services in found.items()}


def networks_of(task: dict[str, Any]) -> set[str]:
    """The IDs of the networks on which a task has addresses."""
    attached = task.get("NetworksAttachments") or []
    return {str((each.get("Network") or {}).get("ID")) for each in attached}


def _attachments(spec: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (spec.get("TaskTemplate") or {}).get("Networks") or []
    return found


def _refusal(stack: str, drifted: Iterable[Step]) -> SwarmError:
    what = [
        f"network {step.name} ({', '.join(f'{c.name} {c.before} -> {c.after}' for c in step.changes)})"
        for step in drifted
    ]
    return SwarmError(
        "network_drift",
        f"Could not deploy stack {stack}: the Compose files want another {'; another '.join(what)}."
        " A network cannot be changed, only replaced, and the services on it must leave it first."
        " With replace_networks=true their tasks are moved and replaced twice; or put the files back.",
        networks=what,
    )


def _refuse_what_cannot_move(stack: str, users: dict[str, list[str]], live: Live) -> None:
    specs = {str((s.get("Spec") or {}).get("Name")): s.get("Spec") or {} for s in live.services}
    reasons = []
    for network, services in users.items():
        for name in services:
            spec = specs[name]
            if (spec.get("Labels") or {}).get(NAMESPACE) != stack:
                reasons.append(
                    f"service {name}, which is not of this stack, is on network {network}"
                )
            elif any("Job" in mode for mode in spec.get("Mode") or {}):
                reasons.append(f"job {name} is on network {network} and would run again")
    if reasons:
        raise SwarmError(
            "network_in_use",
            f"Could not replace networks of stack {stack}: {'; '.join(reasons)}. Remove it first.",
            used=reasons,
        )


# --- Apply ----------------------------------------------------------------------------------------------


class Detour:
    """Empties the networks that have to be replaced and removes them, so that the deploy can make them anew."""

    def __init__(
        self, stack: str, engine: EngineClient, timeout: float, clock: Clock | None = None
    ) -> None:
        self.stack = stack
        self.engine = engine
        self.timeout = timeout
        self.clock = clock or Clock()

    def run(self, writes: Iterable[Write], live: Live, applied: list[str]) -> list[Step]:
        """What is left to remove when the services are back."""
        ids = {
            str(n["Name"]): str(n["Id"])
            for n in live.networks
            if (n.get("Labels") or {}).get(NAMESPACE) == self.stack
        }
        over = {}
        names = [write.name for write in writes]
        users = users_of(live, names)
        for write in writes:
            if users.get(write.name):
                over[ids[write.name]] = self._make(write)
        for service in live.services:
            self._move(service, over, applied)
        deadline = self.clock.now() + self.timeout
        for name in names:
            self._remove(name, ids[name], deadline)
        return [Step("remove", "network", detour_of(name)) for name in names if users.get(name)]

    def _make(self, write: Write) -> str:
        """A network as it is wanted, but for the name; and for the subnet, which may still be taken."""
        spec = {key: value for key, value in write.spec.items() if key not in ("Name", "IPAM")}
        labels = {**(spec.get("Labels") or {}), DETOUR: write.name}
        name = detour_of(write.name)
        for network in self.engine.networks():
            if network.get("Name") == name and DETOUR in (network.get("Labels") or {}):
                return str(network["Id"])
        body = {**spec, "Name": name, "Labels": labels}
        made = self.engine.call("POST", "/networks/create", f"create network {name}", body)
        return str(made["Id"])

    def _move(self, service: dict[str, Any], over: dict[str, str], applied: list[str]) -> None:
        spec = service.get("Spec") or {}
        if not any(network.get("Target") in over for network in _attachments(spec)):
            return
        networks = [
            {**network, "Target": over.get(str(network.get("Target")), network.get("Target"))}
            for network in _attachments(spec)
        ]
        spec = {**spec, "TaskTemplate": {**spec["TaskTemplate"], "Networks": networks}}
        # In old services the engine keeps a second list, which it would have to agree with.
        spec.pop("Networks", None)
        self.engine.update_service(service["ID"], service["Version"]["Index"], spec)
        applied.append(f"service {spec['Name']}")

    def _remove(self, name: str, network_id: str, deadline: float) -> None:
        """Remove a network when the last task on it has ended, and wait until it is not shown any more.

        A manager lets go as soon as all tasks on it have to end (swarmkit, `removeNetwork`). A node drops it when it has
        ended its last one, and till then takes addresses of a new network of that name for those of the old one.
        """

        def attempt() -> str:
            tasks = self.engine.tasks(label=f"{NAMESPACE}={self.stack}")
            on_it = [task for task in tasks if network_id in networks_of(task)]
            running = still_running(on_it, self.engine.nodes())[0]
            if running:
                return f"tasks that are on it still run on {', '.join(running)}"
            try:
                self.engine.remove("network", network_id, name)
            except SwarmError as error:
                if error.code != "not_found" and "in use by" not in error.message:
                    raise
                if error.code != "not_found":
                    return error.message.rstrip(".")
            shown = any(network.get("Id") == network_id for network in self.engine.networks())
            return f"network {name} is still there" if shown else ""

        left = max(0.0, deadline - self.clock.now())
        why, gone = poll(attempt, lambda seen: not seen, left, interval=0.5, clock=self.clock)
        if not gone:
            raise SwarmError(
                "timeout",
                f"Could not replace network {name} of stack {self.stack} within {self.timeout:g} s: {why}."
                f" Its services are on {detour_of(name)} or on the way there; see why with"
                " docker service ps, and run again to finish.",
            )


def detour_of(network: str) -> str:
    return f"{network}-detour"
