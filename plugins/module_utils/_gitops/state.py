# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The state of an application, as the label of a config in the swarm keeps it. Pure.

Any manager can read it, so it has no secret, and its texts are bounded. The label has what differs from the default, in a fixed order:
two states that are the same have the same text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .._spec.redaction import hide

SYNCED, OUT_OF_SYNC, UNKNOWN, SUSPENDED = "Synced", "OutOfSync", "Unknown", "Suspended"
HEALTHY, PROGRESSING, DEGRADED, MISSING = "Healthy", "Progressing", "Degraded", "Missing"
# The kinds of events, see `_notify`.
DEPLOYED, FAILED, ROLLED_BACK, DRIFT, HEALED, REMOVED, TROUBLE = (
    *("deployed", "failed", "rolled_back"),
    *("drift", "healed", "removed", "trouble"),
)
# Seconds without a drift after which the next one is the first again.
CALM = 3600.0
# What a failed deploy has left: nothing was written, all was restored, or what was written is there.
UNTOUCHED, RESTORED, LEFT = "untouched", "restored", "left"
FORMAT = 1
# Characters of a text; more is cut off.
_LONGEST = {"cause": 1000, "health_cause": 1000, "words": 1000}
_LONGEST_OTHER = 300


@dataclass(frozen=True)
class Attempt:
    """A deploy that has begun and not ended, or that has failed."""

    desired: str  # the hash of its inputs
    commit: str = ""
    at: float = 0.0
    attempts: int = 1
    cause: str = ""
    rolled_back: bool = False
    # What the stack was before the first attempt: empty, revision:N, or unknown.
    before: str = ""
    # Why it has failed, while it is being rolled back.
    undoing: str = ""


@dataclass(frozen=True)
class Drift:
    """Objects of an application that somebody has changed since the deploy: the hash of all, and what a plan would change back."""

    found: str = ""
    words: str = ""


@dataclass(frozen=True)
class Suspension:
    """Who has suspended an application, when, and why."""

    by: str = ""
    at: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class AppState:
    """What is known of an application. Times are in seconds since 1970."""

    name: str
    repository: str = ""
    folder: str = ""
    sources: tuple[str, ...] = ()
    prune: bool = False
    wave: int = 0
    sync: str = UNKNOWN
    health: str = MISSING
    cause: str = ""  # of `sync`, in our own words
    health_cause: str = ""
    since: float = 0.0  # both statuses are as they are
    # What was deployed last: the commit with its subject and author, the hash of the inputs, and the revision of the stack.
    commit: str = ""
    message: str = ""
    author: str = ""
    deployed: float = 0.0
    desired: str = ""
    revision: int = 0
    # The hash of the objects in the swarm as the deploy has left them.
    found: str = ""
    drift: Drift | None = None
    doing: Attempt | None = None
    failed: Attempt | None = None
    suspended: Suspension | None = None
    # Drifts that were healed one soon after the other, and the last one of them.
    heals: int = 0
    healed: float = 0.0
    # The latest event, and the time of the one that was notified last.
    event: str = ""
    event_at: float = 0.0
    notified: float = 0.0

    @property
    def tried(self) -> float:
        """When the latest deploy has ended, well or badly; 0 before the first one."""
        return max(self.deployed, self.failed.at if self.failed else 0.0)


# What the dataclasses in a state are before anything is known.
_NESTED: dict[str, Attempt | Suspension | Drift] = {
    "doing": Attempt(""),
    "failed": Attempt(""),
    "suspended": Suspension(),
    "drift": Drift(),
}


def as_text(state: AppState) -> str:
    """The state as the value of the label."""
    kept = {"format": FORMAT, **_different(state, AppState(""))}
    kept.pop("name", None)
    for key, empty in _NESTED.items():
        if key in kept:
            kept[key] = _different(kept[key], empty)
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _different(one: Any, default: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(one).items() if value != getattr(default, key)}


def from_text(name: str, text: str) -> AppState:
    """The state in a label. What another version has written, or nobody can read, counts as unknown."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, Mapping):
        return AppState(name)
    state = _filled(AppState(name), given)
    nested: dict[str, Any] = {
        key: _filled(empty, given[key])
        for key, empty in _NESTED.items()
        if isinstance(given.get(key), Mapping)
    }
    return replace(state, name=name, **nested)


def _filled(empty: Any, given: Mapping[str, Any]) -> Any:
    """The dataclass with those of the given values that have the right type."""
    right = {}
    for one in fields(empty):
        value, default = given.get(one.name), getattr(empty, one.name)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(map(str, value))
        if default is not None and type(value) is type(default):
            right[one.name] = value
    return replace(empty, **right)


def bounded(state: AppState) -> AppState:
    """The state with texts of a bounded length and without credentials, as it is written."""
    nested: dict[str, Any] = {
        key: _bounded(getattr(state, key)) for key in _NESTED if getattr(state, key) is not None
    }
    return replace(_bounded(state), name=state.name, sources=state.sources[:10], **nested)


def _bounded(one: Any) -> Any:
    texts = {key: value for key, value in vars(one).items() if isinstance(value, str)}
    return replace(
        one, **{key: clean(text, _LONGEST.get(key, _LONGEST_OTHER)) for key, text in texts.items()}
    )


def clean(text: str, most: int) -> str:
    """A text of others in a status: one line without control characters and credentials, up to `most` characters long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    line = hide(line)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def with_status(state: AppState, sync: str, cause: str, now: float) -> AppState:
    """The state with another sync status; `since` stays while both statuses do."""
    since = state.since if sync == state.sync else now
    return replace(state, sync=sync, cause=cause, since=since)


def with_health(state: AppState, health: str, cause: str, now: float) -> AppState:
    """The state with another health; `since` stays while both statuses do."""
    since = state.since if health == state.health else now
    return replace(state, health=health, health_cause=cause, since=since)


def with_event(state: AppState, kind: str, now: float) -> AppState:
    """The state with an event that has to be notified."""
    # Two events never have the same time, by which they are known as notified.
    return replace(state, event=kind, event_at=max(now, state.event_at + 0.001))


def unnotified(state: AppState) -> bool:
    """Whether the latest event of an application has not been notified."""
    return bool(state.event) and state.event_at > state.notified


# What the caller has done


@dataclass(frozen=True)
class Target:
    """What a deploy deploys."""

    desired: str
    commit: str = ""
    message: str = ""
    author: str = ""


def begun(state: AppState, target: Target, now: float) -> AppState:
    """The state to write before a deploy: if the run is killed, the next one finishes it."""
    old = state.doing
    same = old if old is not None and old.desired == target.desired else Attempt(target.desired)
    attempts = same.attempts + 1 if old is same else 1
    doing = Attempt(target.desired, target.commit, now, attempts, before=same.before)
    state = replace(state, doing=doing)
    return with_health(state, PROGRESSING, f"commit {target.commit[:12]} is being deployed", now)


def ended_well(
    state: AppState, target: Target, found: str, revision: int, heal: bool, now: float
) -> AppState:
    """The state after a deploy whose services have converged. `found` is the hash of the objects, and `heal` says that a drift was
    the reason."""
    again = heal and now - state.healed < CALM
    state = replace(
        state,
        commit=target.commit,
        message=target.message,
        author=target.author,
        desired=target.desired,
        deployed=now,
        found=found,
        revision=revision,
        drift=None,
        doing=None,
        failed=None,
        heals=state.heals + 1 if again else int(heal),
        healed=now if heal else 0.0,
    )
    state = with_health(with_status(state, SYNCED, "", now), HEALTHY, "", now)
    return with_event(state, HEALED if heal else DEPLOYED, now)


def ended_badly(
    state: AppState,
    target: Target,
    cause: str,
    now: float,
    *,
    outcome: str,
    found: str = "",
    health: str = "",
) -> AppState:
    """The state after a deploy that has failed. `outcome` is UNTOUCHED, RESTORED or LEFT; after RESTORED, `found` is the hash of the
    objects. An empty `health` is that before."""
    old = state.failed
    attempts = old.attempts + 1 if old is not None and old.desired == target.desired else 1
    failed = Attempt(target.desired, target.commit, now, attempts, cause, outcome == RESTORED)
    # The health before `begun` is not kept: a deploy that is not on its way any more has the one that its failure says.
    was = state.health if state.health != PROGRESSING else (HEALTHY if state.deployed else MISSING)
    state = replace(state, doing=None, failed=failed)
    if outcome == LEFT:
        # What runs now is neither what was deployed before nor what is desired.
        state = replace(state, desired="", found="", drift=None)
        health = health or DEGRADED
    elif outcome == RESTORED and state.desired == target.desired:
        # The drift that was to be healed is there again.
        state = replace(state, drift=replace(state.drift or Drift(), found=found))
    elif outcome == RESTORED:
        state = replace(state, found=found)
    state = with_status(state, OUT_OF_SYNC, failure_words(failed), now)
    state = with_health(state, health or was, "", now)
    return with_event(state, ROLLED_BACK if outcome == RESTORED else FAILED, now)


def failure_words(failed: Attempt) -> str:
    """The cause after a failed deploy."""
    after = " and was rolled back" if failed.rolled_back else ""
    return f"the deploy of commit {failed.commit[:12]} failed{after}: {failed.cause}"


def rolled_back_to(state: AppState, revision: int, found: str, by: str, now: float) -> AppState:
    """The state after an operator's roll back to a revision: suspended, or the next look would deploy the commit again."""
    state = replace(
        state,
        desired="",
        found=found,
        revision=revision,
        drift=None,
        doing=None,
        suspended=Suspension(by, now, f"rolled back to revision {revision}"),
    )
    state = with_status(state, SUSPENDED, suspended_words(state), now)
    return with_event(with_health(state, HEALTHY, "", now), ROLLED_BACK, now)


def suspended_words(state: AppState) -> str:
    """Who has suspended an application, and why."""
    by = state.suspended
    if by is None:
        return "suspended in app.yml or in the inventory"
    why = f": {by.why}" if by.why else ""
    return f"suspended by {by.by or 'somebody'}{why}"
