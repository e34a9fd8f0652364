# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The statuses of all applications, as any manager knows them: from the swarm, with the health that they have now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._api.client import EngineClient
from .._api.reader import EngineReader
from .._model.labels import stack_of
from .._services.convergence import Verdict, judge
from .decide import with_health_now
from .kept import read_kept
from .state import AppState, from_text


def read_statuses(reader: EngineReader | EngineClient) -> list[AppState]:
    """The states, with the health of the services now; a deploy that is in progress has its own."""
    kept = read_kept(reader).states
    states = [from_text(name, each.text) for name, each in kept.items()]
    names = {state.name for state in states if "/" not in state.name}
    verdicts = _verdicts(reader, names) if names else {}
    now = time.time()
    return [with_health_now(state, verdicts.get(state.name, []), now) for state in states]


def _verdicts(reader: EngineReader | EngineClient, stacks: set[str]) -> Mapping[str, list[Verdict]]:
    """The verdicts on the services of these stacks, in four requests however many there are."""
    services = [
        service
        for service in reader.get("/services", "list the services")
        if stack_of(service.get("Spec") or {}) in stacks
    ]
    tasks: dict[str, list[dict[str, Any]]] = {}
    for task in reader.each("/tasks", "list the tasks"):
        tasks.setdefault(str(task.get("ServiceID")), []).append(task)
    fresh = reader.each("/tasks", "list the tasks", filters={"_up-to-date": ["true"]})
    ids = {str(task.get("ID")) for task in fresh}
    nodes = reader.nodes()
    found: dict[str, list[Verdict]] = {}
    for service in services:
        verdict = judge(service, tasks.get(str(service.get("ID")), []), ids, nodes)
        found.setdefault(str(stack_of(service.get("Spec") or {})), []).append(verdict)
    return found
