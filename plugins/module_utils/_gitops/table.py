# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The statuses of all applications, as people and as programs read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from .state import HEALTHY, SUSPENDED, SYNCED, UNKNOWN, AppState
from .windows import stamp

# Nobody reads longer tables: they show only the rows that need attention.
MOST_ROWS = 100


def effective(states: Iterable[AppState]) -> list[AppState]:
    """The states in the order of names. If the repository of an application cannot be used, its sync is Unknown."""
    states = sorted(states, key=lambda state: state.name)
    troubles = {state.repository: state for state in states if state.name == f"{state.repository}/"}
    found = []
    for state in states:
        trouble = next((troubles[each] for each in state.sources if each in troubles), None)
        if trouble is not None and "/" not in state.name and state.sync != SUSPENDED:
            words = f"repository {trouble.repository}: {trouble.cause}"
            since = max(state.since, trouble.since)
            state = replace(state, sync=UNKNOWN, cause=words, since=since)
        found.append(state)
    return found


def rows(states: Iterable[AppState]) -> list[dict[str, Any]]:
    """The statuses as data, in the order of names."""
    return [
        {
            "name": state.name,
            "application": _is_app(state),
            "sync": state.sync,
            "health": state.health if _is_app(state) else None,
            "cause": "; ".join(filter(None, (state.cause, state.health_cause))),
            "since": state.since,
            "repository": state.repository,
            "folder": state.folder,
            "commit": state.commit,
            "message": state.message,
            "author": state.author,
            "deployed": state.deployed,
            "revision": state.revision,
            "suspended": state.suspended and vars(state.suspended),
            "failed": state.failed and vars(state.failed),
            "deploying": state.doing is not None,
        }
        for state in effective(states)
    ]


def _is_app(state: AppState) -> bool:
    """Whether it is an application, and not a repository or a folder that cannot be used."""
    return "/" not in state.name


def is_well(state: AppState) -> bool:
    """Whether nothing needs attention."""
    return state.sync in (SYNCED, SUSPENDED) and state.health == HEALTHY


def render(states: Iterable[AppState], now: float) -> str:
    """The statuses as aligned text, with the causes below."""
    states = effective(states)
    shown = states if len(states) <= MOST_ROWS else [one for one in states if not is_well(one)]
    head = ("application", "sync", "health", "commit", "since", "message")
    lines = [head, *(_line(state, now) for state in shown[:MOST_ROWS])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = "APPLICATIONS\n" + "\n".join(_aligned(line, widths) for line in lines)
    if len(shown[:MOST_ROWS]) < len(states):
        text += f"\n  and {len(states) - len(shown[:MOST_ROWS])} more"
    causes = []
    for state in shown[:MOST_ROWS]:
        words = "; ".join(filter(None, (state.cause, state.health_cause)))
        if words:
            causes.append(f"  {state.name}: {words}")
    return text + ("\n\nCAUSES\n" + "\n".join(causes) if causes else "")


def _line(state: AppState, now: float) -> tuple[str, ...]:
    message = state.message if len(state.message) <= 50 else f"{state.message[:47]}..."
    return (
        state.name,
        state.sync,
        state.health if _is_app(state) else "-",
        state.commit[:8] or "-",
        _ago(state.since, now),
        message,
    )


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = (f"{cell:<{width}}" for cell, width in zip(line, widths))
    return "  " + "   ".join(cells).rstrip()


def _ago(when: float, now: float) -> str:
    """How long something is so, in the largest unit; the date after a week."""
    seconds = max(0, int(now - when))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return stamp(when) if seconds > 7 * 86400 else f"{seconds // size} {unit}"
    return f"{seconds} s"


def exit_code(states: Iterable[AppState]) -> int:
    """0 if all applications are Healthy, and Synced or suspended, and all repositories can be used; else 1."""
    return int(not all(is_well(state) for state in effective(states)))
