# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Notifications: the events of applications that nobody has been told of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._common.errors import SwarmError
from .._host.files import text_of
from .._notify.events import Event
from .._notify.send import NotifyConfig, parse_notify, send
from .state import FAILED, ROLLED_BACK, AppState

# Seconds after which nobody wants to know any more, for example when notifications are set up.
_OLD = 3600.0


def receivers(path: str) -> NotifyConfig:
    """The receivers in the file that the role has written; raises bad_option."""
    problems: list[str] = []
    try:
        config = parse_notify(json.loads(text_of(path)), "swarm_gitops_notify", problems)
    except ValueError:
        problems.append(f"{path} is damaged")
    if problems:
        raise SwarmError(
            "bad_option",
            f"Could not notify anybody: {'; '.join(problems)}. Correct it, and run the role flotilla.swarm.swarm_gitops.",
        )
    return config


def tell(path: str, states: Iterable[AppState], now: float, say: Callable[[str], None]) -> None:
    """Send the latest event of each of these applications. It never raises, and never takes long."""
    try:
        config = receivers(path)
    except SwarmError as error:
        say(error.message)
        return
    events = [event_of(state) for state in states if now - state.event_at < _OLD]
    for line in send(config, events, now):
        say(line)


def event_of(state: AppState) -> Event:
    """The event as receivers get it."""
    failed = state.failed if state.event in (FAILED, ROLLED_BACK) else None
    about: Mapping[str, Any] = dict(
        commit=failed.commit if failed else state.commit,
        message="" if failed else state.message,
        author="" if failed else state.author,
    )
    return Event(
        state.event, state.name, state.cause or state.health_cause, at=state.event_at, **about
    )
