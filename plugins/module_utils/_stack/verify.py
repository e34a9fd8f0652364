# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Whether the services of a stack run as asked: now, or within a time."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import INTERVAL, Clock, poll
from .._model.labels import STACK_LABEL
from .._model.services import container_of
from .._services.convergence import (
    CONVERGED,
    FAILED,
    Verdict,
    Watch,
    judge,
    log_lines,
    not_converged,
    overdue,
    uncompleted,
)
from .._spec.band import within_band
from .._spec.changes import service_changes
from .._spec.display import hide_credentials

# How long to wait for the logs of all services that failed, and for that of one, in seconds.
LOGS_TIME = 10
LOG_TIME = 3


@dataclass(frozen=True)
class Verified:
    """The verdicts at the end of a wait."""

    verdicts: tuple[Verdict, ...]
    failure: SwarmError | None = None  # with code not_converged


@dataclass(frozen=True)
class Verifier:
    """Judges the services of one stack; `params` are the options of swarm_stack."""

    stack: str
    params: Mapping[str, Any]
    reader: EngineReader

    def judge_all(
        self,
        names: Collection[str],
        written: Mapping[str, dict[str, Any]],
        networks: Mapping[str, str],
    ) -> tuple[list[Verdict], dict[str, dict[str, Any]]]:
        """The verdicts on these services now, and the specs that they have, by name.

        `written` has the specs that this run wrote, by KIND NAME, and `networks` the names of networks by ID.
        """
        filters = {"label": [f"{STACK_LABEL}={self.stack}"]}
        services = self.reader.get("/services", "list the services", filters=filters)
        tasks = self.reader.get("/tasks", "list the tasks", filters=filters)
        # The filter of the CLI's progress bar: the engine compares the specs itself (docker/cli: cli/command/service/progress).
        fresh = {**filters, "_up-to-date": ["true"]}
        current = self.reader.get("/tasks", "list the tasks", filters=fresh)
        ids = {str(task.get("ID")) for task in current}
        nodes = self.reader.nodes()
        found, specs = [], {}
        for service in services:
            spec = service.get("Spec") or {}
            specs[str(spec.get("Name"))] = spec
            asked = written.get(f"service {spec.get('Name')}")
            # Within its band, something else may scale a service at any time.
            overruled = asked is not None and bool(
                service_changes(spec, within_band(asked, spec), dict(networks))
            )
            found.append(judge(service, tasks, ids, nodes, overruled))
        gone = set(names) - {verdict.service for verdict in found}
        found += [
            Verdict(name, "", 0, 0, FAILED, "gone", "something else removed it") for name in gone
        ]
        return sorted((v for v in found if v.service in names), key=lambda v: v.service), specs

    def verify(
        self,
        names: Collection[str],
        written: Mapping[str, dict[str, Any]],
        networks: Mapping[str, str],
        later: Collection[str] = (),
        ends: Collection[str] = (),
    ) -> Verified:
        """Wait until these services converge, or judge them once if `wait` is false.

        `later` are services that wait for them and are not written yet, `ends` those whose tasks must complete before that.
        """
        wait = self.params["wait"] or bool(later)
        clock = Clock()
        started = clock.now()
        limit = self.params["wait_timeout"]
        specs: dict[str, dict[str, Any]] = {}

        def in_time(seen: list[Verdict]) -> list[Verdict]:
            # The start period of a service's health check adds to the limit.
            passed = clock.now() - started
            return [overdue(v) if passed >= limit + v.start_period else v for v in seen]

        def probe() -> list[Verdict]:
            seen, found = self.judge_all(names, written, networks)
            specs.update(found)
            if later:
                seen = [uncompleted(v) if v.service in ends else v for v in seen]
            return in_time(seen)

        def over(seen: list[Verdict]) -> bool:
            return clock.now() - started >= limit + max((v.start_period for v in seen), default=0)

        if wait:
            watch = Watch(self.params["settle"], bool(written), time.time)
            seen, _done = poll(
                probe,
                lambda seen: watch.final(seen, clock.now()) or over(seen),
                timeout=float("inf"),
                interval=INTERVAL,
                clock=clock,
            )
            settled = all(v.state == CONVERGED for v in seen) and watch.final(seen, clock.now())
            if not settled:
                seen = in_time([watch.unsettled(verdict) for verdict in seen])
        else:
            seen, specs = self.judge_all(names, written, networks)
        failed = wait and not all(v.state == CONVERGED for v in seen)
        seconds = round(clock.now() - started)
        if failed:
            seen = self._with_logs(seen, specs, clock)
        waiting = [
            Verdict(
                name, "", 0, 0, "unknown", reason="not written: its dependencies have not converged"
            )
            for name in later
        ]
        verdicts = sorted([*seen, *waiting], key=lambda verdict: verdict.service)
        return Verified(
            tuple(verdicts), not_converged(self.stack, seen, seconds) if failed else None
        )

    def _with_logs(
        self, verdicts: list[Verdict], specs: Mapping[str, dict[str, Any]], clock: Clock
    ) -> list[Verdict]:
        """The verdicts with the last log lines of what failed, as far as the nodes send them in time."""
        most, end = self.params["log_lines"], clock.now() + LOGS_TIME
        found = []
        for verdict in verdicts:
            left = min(LOG_TIME, end - clock.now())
            if verdict.log_task and verdict.cause and most > 0 and left > 0:
                container = container_of(specs[verdict.service])
                data = self.reader.log(verdict.log_task, most, left)
                lines = log_lines(data, not container.get("TTY"), most)
                shown = (hide_credentials(line, container) for line in lines)
                verdict = replace(verdict, log=tuple(shown))
            found.append(verdict)
        return found
