# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What this collection has recorded in the swarm, for its page: the applications that are deployed from git, and the latest backup. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._common.words import Text, as_is, quoted, text
from .._gitops.decide import with_health_now
from .._gitops.state import (
    DEGRADED,
    HEALTHY,
    MISSING,
    OUT_OF_SYNC,
    PROGRESSING,
    SUSPENDED,
    SYNCED,
    UNKNOWN,
    from_text,
)
from .._gitops.table import rows
from .._lifecycle.backup_plan import DONE, parse_record
from .._services.convergence import Verdict
from .cleaning import clean
from .states import BAD, GOOD, ORDER, UNSURE, WARN, worst

# The first second of the year 10000.
_LATEST = 253402300800.0
# Each status with the state that its shape shows, and its word.
_SYNC = {
    SYNCED: (GOOD, text("synced")),
    # Somebody has decided so.
    SUSPENDED: (GOOD, text("suspended")),
    OUT_OF_SYNC: (WARN, text("out of sync")),
    UNKNOWN: (UNSURE, text("sync unknown")),
}
_HEALTH = {
    HEALTHY: (GOOD, text("healthy")),
    PROGRESSING: (UNSURE, text("progressing")),
    DEGRADED: (BAD, text("degraded")),
    MISSING: (BAD, text("missing")),
}


@dataclass(frozen=True)
class Application:
    """An application that GitOps deploys; or a repository or a folder that cannot be used."""

    name: str
    state: str  # BAD, WARN, UNSURE or GOOD
    sync: Text
    health: Text | None  # None: it is no application
    commit: str
    message: str
    deployed: float | None
    cause: Text  # in the words of GitOps


@dataclass(frozen=True)
class Backup:
    """The latest backup that the swarm knows of."""

    host: str
    started: float
    state: str
    words: Text


def read_applications(
    texts: Mapping[str, Any],
    services: Sequence[Mapping[str, Any]],
    stacks: Mapping[str, str],
    now: float,
) -> tuple[Application, ...]:
    """The applications, the worst first, given their labels by name. Their health is that of the services on the page, rows of
    `services` in a result of swarm_health, whose stacks are in `stacks` by ID."""
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for row in services:
        verdict = Verdict(
            service=str(row["name"]),
            mode=str(row["mode"]),
            desired=row["wanted"],
            running=row["running"],
            state=str(row["state"]),
            cause=row["cause"],
            reason=str(row["trouble"] or ""),
        )
        verdicts[stacks.get(str(row["id"]), "")].append(verdict)
    states = [
        with_health_now(from_text(str(name), str(label)), verdicts[str(name)], now)
        for name, label in texts.items()
    ]
    found = [_application(row) for row in rows(states)]
    return tuple(sorted(found, key=lambda each: ORDER.index(each.state)))


def _application(row: Mapping[str, Any]) -> Application:
    sync, sync_word = _SYNC.get(row["sync"], (UNSURE, as_is(clean(str(row["sync"])))))
    health, health_word = GOOD, None
    if row["application"]:
        health, health_word = _HEALTH.get(row["health"], (UNSURE, as_is(clean(str(row["health"])))))
    return Application(
        name=clean(row["name"]),
        state=worst((sync, health)),
        sync=sync_word,
        health=health_word,
        commit=clean(row["commit"])[:8],
        message=clean(row["message"]),
        deployed=_known(row["deployed"]),
        cause=quoted(clean(row["cause"]), _about(row)),
    )


def _about(row: Mapping[str, Any]) -> Text:
    """What the cause of a status is about, and what helps."""
    if not row["application"]:
        return text("The repository or the folder cannot be used. Nothing is deployed from it.")
    if row["sync"] == SUSPENDED:
        return text("The application is suspended. Nothing is deployed until it is resumed.")
    if row["sync"] == UNKNOWN:
        return text("Its repository or its files cannot be used now.")
    failed = row["failed"] if row["sync"] == OUT_OF_SYNC else None
    if failed and failed["rolled_back"]:
        return text("The deploy has failed and was rolled back. Correct the cause in git.")
    if failed:
        return text("The deploy has failed. Correct the cause in git.")
    if row["sync"] == OUT_OF_SYNC:
        return text("The swarm does not run what is in git.")
    return text("The services of the application do not run as asked.")


def _known(at: float) -> float | None:
    """A time in seconds since 1970; None if it is none, as in a label that somebody has written by hand."""
    return at if 0 < at < _LATEST else None


def read_backup(label: str, names: Mapping[str, str], now: float) -> Backup | None:
    """The latest backup, given the label of its record and the names of nodes by ID; None if there is none."""
    record = parse_record(label)
    if record is None or _known(record.started) is None:
        return None
    state, words = WARN, text("has failed")
    if record.state == DONE:
        state, words = GOOD, text("done")
    elif record.fresh(now):
        state, words = GOOD, text("in progress")
    return Backup(names.get(record.node_id) or clean(record.name), record.started, state, words)
