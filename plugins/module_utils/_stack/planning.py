# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The whole plan of a deploy or of a roll back, as a value. No I/O.

It follows from what was captured of the CLI, from what the engine has, and from the options; applying it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError
from .cli_output import cli_notes
from .compose import ignored_keys, silently_ignored
from .networks import plan_networks
from .plan import (
    StackSnapshot,
    StackStep,
    leftovers,
    plan_lines,
    plan_stack,
    plan_write,
    with_login,
)
from .removal import plan_pruning
from .revisions import Revision, kept_revisions, plan_history, plan_return, plan_turn, revisions
from .waves import completed_first, conditions, dependencies, wave_lines, waves
from .writes import Run, Write


@dataclass(frozen=True)
class StackPlan:
    """What a run does to a stack."""

    title: str = ""
    steps: tuple[StackStep, ...] = ()  # for the stack's objects
    history: tuple[StackStep, ...] = ()  # for its revisions
    writes: tuple[Write, ...] = ()  # all that the CLI would write, needed or not
    # Services in the order in which they are written, and those whose tasks must complete before others start.
    waves: tuple[tuple[str, ...], ...] = ()
    ends: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()  # services that get the login of their registry again
    leftovers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    revisions: tuple[Revision, ...] = ()  # that the stack has now
    refusal: SwarmError | None = None  # why it must not be applied, although it can be shown

    @property
    def all_steps(self) -> list[StackStep]:
        """The steps for objects, then those for revisions."""
        return [*self.steps, *self.history]

    @property
    def does_something(self) -> bool:
        """Whether any step changes something."""
        return any(step.action != "none" for step in self.all_steps)

    @property
    def writes_something(self) -> bool:
        """Whether the CLI has something to write; removals and revisions come after the services have converged."""
        return any(step.action in ("create", "update", "replace") for step in self.steps)

    @property
    def changing(self) -> set[str]:
        """The names of what is created or updated."""
        return {step.name for step in self.steps if step.action in ("create", "update")}

    @property
    def replaced(self) -> list[Write]:
        """The networks that must be replaced, as the files want them."""
        names = {step.name for step in self.steps if step.action == "replace"}
        return [write for write in self.writes if write.kind == "network" and write.name in names]

    def needs(self, write: Write, live: StackSnapshot) -> bool:
        """Whether a write of the CLI must reach the engine."""
        return plan_write(write, live).action != "none" or write.name in self.stuck

    def lines(self, acting: str) -> list[str]:
        """The plan as it is printed; `acting` is the manager."""
        return plan_lines(
            self.title, self.all_steps, acting, self.leftovers, self.notes
        ) + wave_lines([list(wave) for wave in self.waves])


def plan_deploy(
    stack: str,
    run: Run,
    live: StackSnapshot,
    params: Mapping[str, Any],
    documents: list[dict[str, Any] | None],
    stuck: Collection[str] = (),
) -> StackPlan:
    """The plan of a deploy, from a run of the CLI whose writes did not reach the engine.

    `documents` are the Compose files, None for each that cannot be parsed here, and `stuck` services that may lack a login.
    """
    steps = plan_stack(stack, run.writes, live)
    stuck = frozenset(stuck)
    steps = [with_login(step) if step.name in stuck else step for step in steps]
    steps = plan_networks(stack, steps, live, params["replace_networks"])
    extra = leftovers(stack, run.writes, live)
    prunes = bool(extra and params["prune"])
    history = []
    # Without waiting, nothing sees whether this deploy converges.
    if params["wait"]:
        writes = any(step.kind == "service" and step.action != "none" for step in steps)
        history = plan_history(stack, live, writes or prunes, params["keep_revisions"])
    if params["prune"]:
        extra = []
        kept = kept_revisions(stack, live, history)
        steps += plan_pruning(stack, live, steps, run.writes, kept)
    notes, ignored = notes_on(run.output, params, documents)
    order, ends = _order(stack, run.writes, params, documents)
    refusal = None
    if params["strict"] and ignored:
        refusal = SwarmError(
            "ignored_keys",
            f"Could not plan stack {stack}: Swarm ignores these keys of its Compose files: {', '.join(ignored)}. Remove them,"
            " or set strict=false.",
            keys=ignored,
        )
    return StackPlan(
        title=stack,
        steps=tuple(steps),
        history=tuple(history),
        writes=tuple(run.writes),
        waves=order,
        ends=ends,
        stuck=stuck,
        leftovers=tuple(extra),
        notes=tuple(notes),
        ignored=tuple(ignored),
        revisions=tuple(revisions(stack, live)),
        refusal=refusal,
    )


def plan_roll_back(stack: str, revision: Revision, live: StackSnapshot) -> StackPlan:
    """The plan of a roll back to a revision."""
    steps = [*plan_return(stack, revision.content, live), *plan_turn(stack, live, revision)]
    return StackPlan(
        title=f"{stack} back to {revision.title}",
        steps=tuple(step for step in steps if step.kind != "revision"),
        history=tuple(step for step in steps if step.kind == "revision"),
        revisions=tuple(revisions(stack, live)),
    )


def notes_on(
    output: str, params: Mapping[str, Any], documents: list[dict[str, Any] | None]
) -> tuple[list[str], list[str]]:
    """Notes on the Compose files, by the CLI and on what it does not mention, and the keys that Swarm ignores."""
    notes = cli_notes(output)
    silent = params["ignored_keys"]
    if silent is None:
        silent = silently_ignored(documents)
    if params["waves"]:
        silent = [key for key in silent if key != "depends_on"]
    reported = ignored_keys(notes)
    if silent:
        notes.append(f"Swarm also ignores: {', '.join(silent)}")
    return notes, sorted({*reported, *silent})


def _order(
    stack: str,
    writes: Collection[Write],
    params: Mapping[str, Any],
    documents: list[dict[str, Any] | None],
) -> tuple[tuple[tuple[str, ...], ...], frozenset[str]]:
    """The services in waves, and those whose tasks must complete; raises bad_depends_on."""
    if not params["waves"]:
        return (), frozenset()
    needs = params["depends_on"]
    if needs is None:
        if None in documents:
            raise SwarmError(
                "bad_depends_on",
                f"Could not order the services of stack {stack}: this host can read a definition only if it is a dictionary."
                " Set depends_on, as the lookup flotilla.swarm.stack_source returns it.",
            )
        needs = dependencies(documents)
    prefix = f"{stack}_"
    names = {write.name[len(prefix) :] for write in writes if write.kind == "service"}
    needs = {str(name): conditions(listed) for name, listed in needs.items()}
    order = tuple(tuple(prefix + name for name in wave) for wave in waves(stack, names, needs))
    return order, frozenset(prefix + name for name in completed_first(needs))
