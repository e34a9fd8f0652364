# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""When applications may be synced: windows that allow, and windows that deny. Pure, apart from the database of time zones.

A window goes by the clock on the wall of its time zone. So an hour that is skipped in spring has no window, and one that is
repeated in autumn has it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from .._common.errors import shown
from .._common.fields import Fields

ALLOW, DENY = "allow", "deny"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 1440  # minutes
_QUARTER = 900  # seconds


@dataclass(frozen=True)
class Window:
    """A time of the week, from `start` to `end` in minutes after midnight; one that ends at or before its start ends a day later."""

    kind: str  # ALLOW or DENY
    days: tuple[str, ...] = DAYS  # on which it starts
    start: int = 0
    end: int = _DAY
    time_zone: str = "UTC"

    def contains(self, now: float) -> bool:
        """Whether the clock on the wall is in the window, `now` in seconds since 1970."""
        local = datetime.fromtimestamp(now, tz=ZoneInfo(self.time_zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return DAYS[day] in self.days and self.start <= minute < self.end
        return (DAYS[day] in self.days and minute >= self.start) or (
            DAYS[day - 1] in self.days and minute < self.end
        )

    def words(self) -> str:
        """The window in a message, such as `allow mon-fri 22:00-02:00 Europe/Berlin`."""
        days = "every day" if self.days == DAYS else ",".join(self.days)
        return f"{self.kind} {days} {_clock(self.start)}-{_clock(self.end)} {self.time_zone}"


@dataclass(frozen=True)
class Opening:
    """Whether applications may be synced now, why not, and when next; `opens` is None for now and for never."""

    open: bool
    why: str = ""
    opens: float | None = None


def opening(lists: Iterable[Sequence[Window]], now: float) -> Opening:
    """Each list must be open: that of an application, and those of the inventory. In a list, deny wins, and if any window allows,
    the list is closed outside of those."""
    lists = [windows for windows in lists if windows]
    for windows in lists:
        why = _closed(windows, now)
        if why:
            opens = _next(lists, now)
            when = f"; opens at {stamp(opens)}" if opens is not None else "; never opens"
            return Opening(False, why + when, opens)
    return Opening(True)


def stamp(when: float) -> str:
    """A time in a message."""
    return datetime.fromtimestamp(when, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _closed(windows: Sequence[Window], now: float) -> str:
    """Why a list is closed; empty if it is open."""
    for window in windows:
        if window.kind == DENY and window.contains(now):
            return f"the window '{window.words()}' is closed"
    allowing = [window for window in windows if window.kind == ALLOW]
    if allowing and not any(window.contains(now) for window in allowing):
        return f"no window is open ({'; '.join(window.words() for window in allowing[:3])})"
    return ""


def _next(lists: Sequence[Sequence[Window]], now: float) -> float | None:
    """The next time at which all lists are open: at the edge of a window, or where a change of the clock skips an edge."""
    edges = {edge for windows in lists for window in windows for edge in _edges(window, now)}
    for when in sorted(edges):
        if when > now and not any(_closed(windows, when) for windows in lists):
            return when
    return None


def _edges(window: Window, now: float) -> Iterator[float]:
    """When the window begins and ends in the next two weeks. These have every pattern of days, also if one is skipped."""
    zone = ZoneInfo(window.time_zone)
    today = datetime.fromtimestamp(now, tz=zone).replace(tzinfo=None, hour=0, minute=0, second=0)
    today = today.replace(microsecond=0)
    for day in range(-1, 16):
        for minute in (window.start, window.end):
            local = today + timedelta(days=day, minutes=minute)
            times = [local.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
            yield from times
            # Clocks change at a multiple of a quarter of an hour.
            quarter = min(times) // _QUARTER * _QUARTER
            while quarter < max(times) != min(times):
                yield quarter
                quarter += _QUARTER


def parse_windows(entries: Iterable[tuple[str, Any]], problems: list[str]) -> tuple[Window, ...]:
    """The windows in a list, each with its name in messages, as from `Fields.entries`."""
    found = []
    for where, entry in entries:
        fields = Fields(entry, where, problems)
        kind = fields.choice("kind", ALLOW, (ALLOW, DENY))
        named = fields.texts("days", DAYS, "|".join(DAYS), "mon")
        start = _minutes(fields, "from", 0)
        end = _minutes(fields, "to", _DAY)
        zone = fields.text("time_zone", "UTC", "[A-Za-z0-9_+/-]+", "Europe/Berlin")
        if not _is_zone(zone):
            fields.wrong("time_zone", f"is {shown(zone)}, it must be one such as Europe/Berlin")
            zone = "UTC"
        fields.finish()
        days = tuple(day for day in DAYS if day in named)
        found.append(Window(kind, days, start, end, zone))
    return tuple(found)


def _minutes(fields: Fields, key: str, default: int) -> int:
    text = fields.text(key, "", "([01][0-9]|2[0-3]):[0-5][0-9]|24:00", "'22:00', in quotes")
    if not text:
        return default
    hours, _colon, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        # KeyError is ZoneInfoNotFoundError; OSError is the name of a folder.
        return False
    return True
