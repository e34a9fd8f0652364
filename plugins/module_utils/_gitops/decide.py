# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.
"""What happens to each application, and why. Pure.

The state in the swarm and what the caller has seen go in; the next step and the next state come out. If nothing has changed, the state
is the same, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._services.convergence import CONVERGED, Verdict
from .._services.convergence import FAILED as VERDICT_FAILED
from .app import App
from .catalog import Found
from .settings import Settings
from .state import DEGRADED, HEALTHY, MISSING, PROGRESSING, AppState, Target

# What the caller does: nothing; plan the stack, and decide again with `changes`; deploy; roll back to `revision`; remove the stack, or
# only the state; nothing yet; nothing, because something speaks against it.
NOTHING, LOOK, DEPLOY, ROLL_BACK, REMOVE, FORGET, WAIT, REFUSE = (
    *("nothing", "look", "deploy", "roll_back"),
    *("remove", "forget", "wait", "refuse"),
)
# What an operator asks for.
SYNC, ROLLBACK, SUSPEND, RESUME = "sync", "rollback", "suspend", "resume"
# A deploy that was killed so often counts as failed.
MOST_INTERRUPTIONS = 3
# Seconds without a drift after which the next one is the first again.
_CALM = 3600.0


@dataclass(frozen=True)
class Request:
    """What an operator asks for with gitops_sync.yml."""

    kind: str  # SYNC, ROLLBACK, SUSPEND or RESUME
    by: str = ""
    why: str = ""
    revision: int = 0  # of ROLLBACK
    force: bool = False  # outside of windows too


@dataclass(frozen=True)
class Seen:
    """What the caller has seen of an application."""

    # Why the inputs of this application cannot be read; what follows is then empty.
    trouble: str = ""
    desired: str = ""  # the hash of the inputs
    commit: str = ""
    message: str = ""
    author: str = ""
    exists: bool = False  # the stack has services
    found: str = ""  # the hash of its objects; empty if nobody has looked
    changes: tuple[str, ...] | None = None  # the lines of a plan; None if there is none
    health: str = ""  # empty if nobody has looked
    health_cause: str = ""
    request: Request | None = None

    @property
    def target(self) -> Target:
        """What a deploy would deploy."""
        return Target(self.desired, self.commit, self.message, self.author)


@dataclass(frozen=True)
class Decision:
    """The next step for an application, and its state, which is written if it differs; None if there is nothing to know."""

    name: str
    action: str
    state: AppState | None
    cause: str = ""
    heal: bool = False  # the deploy heals a drift
    revision: int = 0  # of ROLL_BACK
    next_look: float | None = None  # when something can change by itself


def decide(app: App, state: AppState | None, seen: Seen, now: float) -> Decision:
    """The next step for one application; waves and removals are the business of `plan_all`."""
    return Decision(app.name, NOTHING, state)


def plan_all(
    found: Found,
    states: Mapping[str, AppState],
    seen: Mapping[str, Seen],
    troubles: Mapping[str, str],
    settings: Settings,
    now: float,
) -> list[Decision]:
    """The next steps for all applications, in the order in which they are taken: by wave, then by name; removals come last.

    `troubles` says by repository why it cannot be used: unreachable, broken, rewritten, not signed. The caller takes the steps
    one after the other, and plans again after each one.
    """
    return []


def health_of(
    verdicts: Sequence[Verdict], since: float, deadline: float, now: float
) -> tuple[str, str]:
    """The health of an application from the verdicts on its services, and why it is not Healthy. `since` is when its deploy began."""
    if not verdicts:
        return MISSING, "the stack has no services"
    late = [verdict for verdict in verdicts if verdict.state != CONVERGED]
    if not late:
        return HEALTHY, ""
    failed = [verdict for verdict in late if verdict.state == VERDICT_FAILED]
    words = "; ".join(verdict.line() for verdict in (failed or late))
    if failed or now - since > deadline:
        return DEGRADED, words
    return PROGRESSING, words
