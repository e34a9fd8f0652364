# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Empties networks and removes them, so that the deploy can recreate them; see `networks.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._api.client import EngineClient
from .._common.errors import SwarmError
from .._common.waiting import INTERVAL, Clock, poll
from .._model.documents import id_of
from .._model.labels import DETOUR_LABEL, STACK_LABEL, stack_of
from .._model.services import attachments
from .._model.tasks import networks_of
from .networks import detour_of, users_of
from .plan import StackSnapshot, StackStep
from .removal import still_running
from .writes import Write


class Detour:
    """Moves the services of a stack off the networks that must be replaced; `timeout` is in seconds."""

    def __init__(
        self, stack: str, engine: EngineClient, timeout: float, clock: Clock | None = None
    ) -> None:
        self.stack = stack
        self.engine = engine
        self.timeout = timeout
        self.clock = clock or Clock()

    def run(
        self, writes: Iterable[Write], live: StackSnapshot, applied: list[str]
    ) -> list[StackStep]:
        """Remove the networks of these writes, and return the steps that remove the detours once the services are back.

        Adds each service that moves to `applied`. Raises timeout if a network stays in use.
        """
        ids = {str(n["Name"]): id_of(n) for n in live.networks if stack_of(n) == self.stack}
        detours = {}
        names = [write.name for write in writes]
        users = users_of(live, names)
        for write in writes:
            if users.get(write.name):
                detours[ids[write.name]] = self._create(write)
        for service in live.services:
            self._move(service, detours, applied)
        deadline = self.clock.now() + self.timeout
        for name in names:
            self._remove(name, ids[name], deadline)
        return [
            StackStep("remove", "network", detour_of(name)) for name in names if users.get(name)
        ]

    def _create(self, write: Write) -> str:
        """The ID of a network as the files want it, apart from its name, and from its subnet, which may still be taken."""
        spec = {key: value for key, value in write.spec.items() if key not in ("Name", "IPAM")}
        labels = {**(spec.get("Labels") or {}), DETOUR_LABEL: write.name}
        name = detour_of(write.name)
        for network in self.engine.networks():
            if network.get("Name") == name and DETOUR_LABEL in (network.get("Labels") or {}):
                return id_of(network)
        return self.engine.create("network", {**spec, "Name": name, "Labels": labels})

    def _move(self, service: dict[str, Any], detours: dict[str, str], applied: list[str]) -> None:
        spec = service.get("Spec") or {}
        if not any(network.get("Target") in detours for network in attachments(spec)):
            return
        networks = [
            {**network, "Target": detours.get(str(network.get("Target")), network.get("Target"))}
            for network in attachments(spec)
        ]
        spec = {**spec, "TaskTemplate": {**spec["TaskTemplate"], "Networks": networks}}
        # In services of old clients the engine keeps a second list, which would contradict this one.
        spec.pop("Networks", None)
        self.engine.update_service(service["ID"], service["Version"]["Index"], spec)
        applied.append(f"service {spec['Name']}")

    def _remove(self, name: str, network_id: str, deadline: float) -> None:
        """Remove a network after the last task on it has ended, and wait until the engine no longer lists it.

        A manager removes a network as soon as all tasks on it have to end (swarmkit, `removeNetwork`). A node removes it
        when its last task has ended. Until then, the node checks addresses of a new network of that name against the old one.
        """

        def attempt() -> str:
            tasks = self.engine.tasks(label=f"{STACK_LABEL}={self.stack}")
            on_it = [task for task in tasks if network_id in networks_of(task)]
            running = still_running(on_it, self.engine.nodes())[0]
            if running:
                return f"its tasks still run on {', '.join(running)}"
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
        why, gone = poll(attempt, lambda seen: not seen, left, INTERVAL, self.clock)
        if not gone:
            raise SwarmError(
                "timeout",
                f"Could not replace network {name} of stack {self.stack} within {self.timeout:g} s: {why}."
                f" Its services are moving to {detour_of(name)}: check them with docker service ps, and run again.",
            )
