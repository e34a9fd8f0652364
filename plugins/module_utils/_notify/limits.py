# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How many events people get. Pure.

Each event that is held back, or that a receiver did not take, is counted in the next one of its kind and subject.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .events import Event

_HOUR = 3600.0
# Kinds and subjects that are remembered.
_MOST_KEYS = 500


@dataclass(frozen=True)
class Memory:
    """What was sent: the time of the latest one of the same events, the times of all in the last hour, and how many were held back by key.

    `failing` has the receivers that do not work, each named once in the journal.
    """

    latest: Mapping[str, float] = field(default_factory=dict)
    times: tuple[float, ...] = ()
    held: Mapping[str, int] = field(default_factory=dict)
    failing: tuple[str, ...] = ()


def admit(
    memory: Memory, events: Sequence[Event], every: float, most: int, now: float
) -> tuple[Memory, list[Event]]:
    """The events to send, and the memory after that. Of the same, one is sent in `every` seconds, and of all, `most` in an hour."""
    # A clock that was put back must not hold events back for longer than the limits.
    latest = {key: when for key, when in memory.latest.items() if now - _HOUR * 24 < when <= now}
    times = [when for when in memory.times if now - _HOUR < when <= now]
    held = dict(memory.held)
    sent = []
    for event in events:
        if now - latest.get(event.same, -every) < every or len(times) >= most:
            held[event.key] = held.get(event.key, 0) + 1
            continue
        sent.append(replace(event, suppressed=held.pop(event.key, 0)))
        latest[event.same] = now
        times.append(now)
    newest = sorted(latest, key=lambda key: latest[key])[-_MOST_KEYS:]
    return (
        replace(
            memory,
            latest={key: latest[key] for key in newest},
            times=tuple(times),
            held=dict(list(held.items())[-_MOST_KEYS:]),
        ),
        sent,
    )


def not_taken(memory: Memory, events: Sequence[Event]) -> Memory:
    """The memory if nobody took these events: the next one counts them, and is not held back because of them."""
    held, latest = dict(memory.held), dict(memory.latest)
    for event in events:
        held[event.key] = held.get(event.key, 0) + 1 + event.suppressed
        latest.pop(event.same, None)
    return replace(memory, held=held, latest=latest)


def as_text(memory: Memory) -> str:
    """The memory as it is kept in a file."""
    return json.dumps(vars(memory), sort_keys=True)


def from_text(text: str) -> Memory:
    """The memory in a file; an empty one if nobody can read it."""
    try:
        given = json.loads(text)
        return Memory(
            latest={str(key): float(when) for key, when in given["latest"].items()},
            times=tuple(map(float, given["times"])),
            held={str(key): int(count) for key, count in given["held"].items()},
            failing=tuple(map(str, given["failing"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return Memory()
