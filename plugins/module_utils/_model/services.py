# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Services as the managers list them. Pure."""

from __future__ import annotations

from typing import Any

from .documents import dig

REPLICATED, GLOBAL = "replicated", "global"
REPLICATED_JOB, GLOBAL_JOB = "replicated-job", "global-job"
# The engine's keys (moby: api/types/swarm/service.go, ServiceMode), and the names that `docker service create --mode` takes.
_MODES = {
    "Replicated": REPLICATED,
    "Global": GLOBAL,
    "ReplicatedJob": REPLICATED_JOB,
    "GlobalJob": GLOBAL_JOB,
}
JOBS = (REPLICATED_JOB, GLOBAL_JOB)

# States of an update that is in progress, and of one that waits for an operator (moby: api/types/swarm/service.go, UpdateState).
UPDATING = ("updating", "rollback_started")
PAUSED = ("paused", "rollback_paused")


def service_name(service: dict[str, Any]) -> str:
    """The name of a service, given its document."""
    return str(dig(service, "Spec", "Name"))


def update_state(service: dict[str, Any]) -> str:
    """The state of its latest update, such as `updating`; empty before the first one."""
    return str(dig(service, "UpdateStatus", "State") or "")


def container_of(spec: dict[str, Any] | None) -> dict[str, Any]:
    """The ContainerSpec of a service's spec; empty where there is none."""
    return dig(spec, "TaskTemplate", "ContainerSpec") or {}


def attachments(spec: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The networks that a service's spec attaches its tasks to, each with its `Target`, an ID or a name."""
    return dig(spec, "TaskTemplate", "Networks") or []


def mode_of(spec: dict[str, Any] | None) -> dict[str, Any]:
    """The mode of a service's spec, with what the engine assumes where the spec says nothing.

    `Mode` is `replicated`, `global`, `replicated-job` or `global-job`. A replicated service has `Replicas`, a replicated job
    `MaxConcurrent` and `TotalCompletions`; each left out is 1 (moby: daemon/cluster/convert, setupReplicas).
    """
    mode = dig(spec, "Mode")
    found = mode if isinstance(mode, dict) else {}
    name: str = next((key for key in found if found[key] is not None), "Replicated")
    settings = dict(found.get(name) or {})
    if name == "Replicated":
        replicas = settings.get("Replicas")
        return {"Mode": REPLICATED, "Replicas": 1 if replicas is None else replicas}
    if name == "ReplicatedJob":
        concurrent = settings.get("MaxConcurrent")
        settings["MaxConcurrent"] = 1 if concurrent is None else concurrent
        total = settings.get("TotalCompletions")
        settings["TotalCompletions"] = settings["MaxConcurrent"] if total is None else total
    return {"Mode": _MODES.get(name, name.lower()), **settings}


def is_job(spec: dict[str, Any] | None) -> bool:
    """Whether a spec is that of a job, replicated or global."""
    return mode_of(spec)["Mode"] in JOBS


def restart_count(spec: dict[str, Any] | None) -> int:
    """How often a restart of the service was requested (swarmkit: api/specs.proto, TaskSpec.force_update)."""
    return int(dig(spec, "TaskTemplate", "ForceUpdate") or 0)


def replicas_of(spec: dict[str, Any] | None) -> int | None:
    """How many tasks a replicated service asks for; None for every other mode."""
    mode = mode_of(spec)
    return int(mode["Replicas"]) if mode["Mode"] == REPLICATED else None
