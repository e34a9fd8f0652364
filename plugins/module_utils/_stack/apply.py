# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Writes what a plan says, and keeps a journal of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from .._api.client import EngineClient
from .._common.errors import SwarmError
from .._model.labels import REVISION_TURN_LABEL
from .capture import Capture
from .plan import StackSnapshot, StackStep
from .revisions import (
    RevisionContent,
    config_name,
    config_of,
    content_of,
    next_turn,
    obstacle,
    restored_spec,
    revisions,
)
from .writes import Write


@dataclass
class Journal:
    """What a run has written so far, right also after a failure."""

    applied: list[str] = field(default_factory=list)  # KIND NAME, in order
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)  # as written, by KIND NAME
    created: set[str] = field(default_factory=set)  # the IDs of what did not exist before

    def note(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """Add a write."""
        self.applied.append(f"{kind} {name}")
        self.specs[f"{kind} {name}"] = spec


def write_by_cli(
    capture: Capture,
    live: StackSnapshot,
    lets_through: Callable[[Write], bool],
    others_wrote: Callable[[Collection[Write]], bool],
    journal: Journal,
) -> bool:
    """Have the CLI write; False if something else wrote meanwhile and the plan is out of date."""
    run = capture.run(live, lets_through)
    for write in run.forwarded:
        journal.note(write.kind, write.name, write.spec)
        if write.action == "create":
            journal.created.add(write.object_id)
    failed = bool(run.returncode or run.refusals)
    conflict = any(refusal.conflict for refusal in run.refusals)
    if conflict or (failed and others_wrote(run.forwarded)):
        return False
    capture.check(run, "deploy")
    return True


def write_revision(
    engine: EngineClient,
    steps: Collection[StackStep],
    target: RevisionContent,
    live: StackSnapshot,
    journal: Journal,
) -> bool:
    """Write services as they are in a revision, and networks that they need; False as above."""
    for step in steps:
        writes = ("create",) if step.kind == "network" else ("create", "update")
        if step.kind not in ("network", "service") or step.action not in writes:
            continue
        document = live.document_of(step.kind, step.name)
        try:
            if step.kind == "network":
                spec = {**target.networks[step.name], "CheckDuplicate": True}
            else:
                spec = restored_spec(step.name, target, live)
            if document is None:
                journal.created.add(engine.create(step.kind, spec))
            else:
                engine.update_service(document["ID"], document["Version"]["Index"], spec)
        except SwarmError as error:
            if error.code in ("out_of_sequence", "conflict", "not_found"):
                return False
            # A refusal does not pass when the write is retried.
            code = "refused" if error.code == "engine_error" else error.code
            raise SwarmError(code, error.message, **error.details) from error
        journal.note(step.kind, step.name, spec)
    return True


def write_history(
    engine: EngineClient,
    stack: str,
    steps: Collection[StackStep],
    live: StackSnapshot,
    journal: Journal,
) -> list[str]:
    """Create a revision of what runs now, or make one the newest, and remove old ones; returns notes on what was not done."""
    turn = next_turn(revisions(stack, live))
    notes = []
    for step in steps:
        number = int(step.name)
        name = config_name(stack, number)
        config = live.document_of("config", name)
        if step.action == "create":
            content = content_of(stack, live)
            why_not = obstacle(stack, number, content)
            if why_not is not None:
                notes.append(f"no revision was created: {why_not}")
                continue
            try:
                engine.create("config", config_of(stack, number, turn, content))
            except SwarmError as error:
                if error.code != "conflict":
                    raise
                # Another run of the same stack has completed first.
                notes.append(
                    f"no revision was created: another run created number {number} at the same time"
                )
                continue
        elif config is None:
            continue
        elif step.action == "update":
            engine.relabel(
                "config", config, {**config["Spec"]["Labels"], REVISION_TURN_LABEL: str(turn)}
            )
        else:
            try:
                engine.remove("config", config["ID"], name)
            except SwarmError as error:
                if error.code != "not_found":
                    raise
        journal.applied.append(f"revision {number}")
    return notes
