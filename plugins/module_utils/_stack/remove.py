# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Removes objects of a stack in an order that the engine accepts, and waits until they are gone."""

from __future__ import annotations

from collections.abc import Callable

from .._api.client import EngineClient
from .._common.errors import TRANSIENT, SwarmError
from .._common.waiting import INTERVAL, Clock, poll
from .._model.labels import STACK_LABEL
from .removal import Owned, still_running
from .writes import KINDS


class Removal:
    """Removes what `find` returns until it returns nothing, and adds each object to `applied`; `timeout` is in seconds."""

    def __init__(
        self,
        stack: str,
        engine: EngineClient,
        find: Callable[[], list[Owned]],
        applied: list[str],
        timeout: float,
        clock: Clock | None = None,
    ) -> None:
        self.stack = stack
        self.engine = engine
        self.find = find
        self.applied = applied
        self.timeout = timeout
        self.clock = clock or Clock()

    def run(self) -> None:
        """Remove everything; raises timeout where tasks or objects are left."""
        deadline = self.clock.now() + self.timeout
        self._remove("service")
        running, ended = self._poll(self._running, deadline)
        if not ended:
            raise self._late(f"tasks still run on {', '.join(running)}")
        left, gone = self._poll(lambda: self._remove(*KINDS), deadline)
        if not gone:
            raise self._late("; ".join(left))

    def _poll(self, probe: Callable[[], list[str]], deadline: float) -> tuple[list[str], bool]:
        left = max(0.0, deadline - self.clock.now())
        return poll(probe, lambda seen: not seen, left, INTERVAL, self.clock)

    def _running(self) -> list[str]:
        """The nodes where tasks of removed services still run."""
        services = {service.get("ID") for service in self.engine.services()}
        tasks = self.engine.tasks(label=f"{STACK_LABEL}={self.stack}")
        orphans = [task for task in tasks if task.get("ServiceID") not in services]
        return still_running(orphans, self.engine.nodes())[0]

    def _remove(self, *kinds: str) -> list[str]:
        """Remove the objects of these kinds, and return a reason for each: only what is not found again is gone."""
        left = []
        for one in self.find():
            if one.kind not in kinds:
                continue
            entry = one.entry
            try:
                self.engine.remove(one.kind, one.object_id, one.name)
            except SwarmError as error:
                # A network stays in use for a moment after the last task on it has ended.
                if error.code not in (*TRANSIENT, "not_found") and "in use by" not in error.message:
                    raise
                left.append(error.message.rstrip("."))
                continue
            left.append(f"{entry} still exists")
            if entry not in self.applied:
                self.applied.append(entry)
        return left

    def _late(self, why: str) -> SwarmError:
        return SwarmError(
            "timeout",
            f"Could not remove all objects of stack {self.stack} within {self.timeout:g} s: {why}."
            " Run again to remove the rest.",
        )
