# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Tasks as the managers list them. Pure."""

from __future__ import annotations

from typing import Any

from .documents import dig, moment

# A task in one of these states never runs again (moby: api/types/swarm/task.go, TaskState; swarmkit orders its states,
# and these are TaskStateCompleted and above).
ENDED_STATES = frozenset(("complete", "shutdown", "failed", "rejected", "remove", "orphaned"))
FAILED_STATES = frozenset(("failed", "rejected"))
# The desired states by which the orchestrator gives a task up: it is stopped, or about to be.
ABANDONED_STATES = frozenset(("shutdown", "remove"))


def state_of(task: dict[str, Any]) -> str:
    """The state that the task has now, such as `running`; empty where the engine reports none."""
    return str(dig(task, "Status", "State") or "")


def state_since(task: dict[str, Any]) -> float | None:
    """When the task got into that state, in seconds since 1970."""
    return moment(dig(task, "Status", "Timestamp"))


def slot_of(task: dict[str, Any]) -> str:
    """What the task and its replacements share: a slot of a replicated service, a node of a global one."""
    return str(task.get("Slot") or task.get("NodeID") or task.get("ID"))


def reason_of(task: dict[str, Any]) -> str:
    """What the engine says about the state of the task, its error first."""
    return str(dig(task, "Status", "Err") or dig(task, "Status", "Message") or "no reason given")


def has_ended(task: dict[str, Any]) -> bool:
    """Whether the task never runs again."""
    return state_of(task) in ENDED_STATES


def has_failed(task: dict[str, Any]) -> bool:
    """Whether the task failed, or its node rejected it."""
    return state_of(task) in FAILED_STATES


def is_abandoned(task: dict[str, Any]) -> bool:
    """Whether the orchestrator has given the task up."""
    return task.get("DesiredState") in ABANDONED_STATES


def is_desired(task: dict[str, Any]) -> bool:
    """Whether the orchestrator wants the task to run, or, of a job, to have run."""
    return task.get("DesiredState") in ("running", "ready", "accepted", "complete")


def networks_of(task: dict[str, Any]) -> set[str]:
    """The IDs of the networks on which a task has addresses."""
    attached = task.get("NetworksAttachments") or []
    return {str((each.get("Network") or {}).get("ID")) for each in attached}
