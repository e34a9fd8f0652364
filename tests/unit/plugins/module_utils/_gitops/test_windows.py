# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Windows: by the clock on the wall, over midnight, and where the clock changes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.fields import Fields
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.windows import (
    ALLOW,
    DAYS,
    DENY,
    Window,
    _closed,
    opening,
    parse_windows,
)

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def parsed(*entries: Any) -> tuple[tuple[Window, ...], list[str]]:
    problems: list[str] = []
    fields = Fields({"windows": list(entries)}, "", problems)
    return parse_windows(fields.entries("windows"), problems), problems


NIGHT = Window(ALLOW, ("fri",), 22 * 60, 2 * 60, BERLIN)


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2026-11-27T21:59", False),  # a Friday
        ("2026-11-27T22:00", True),
        ("2026-11-28T01:59", True),
        ("2026-11-28T02:00", False),
        ("2026-11-28T22:30", False),  # a Saturday
        ("2026-11-27T01:00", False),  # the night of Thursday
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts(
    when: str, inside: bool
) -> None:
    assert NIGHT.contains(at(when)) is inside


def test_a_whole_day_and_a_window_that_ends_where_it_starts() -> None:
    assert Window(ALLOW, ("sat",), 0, 1440, BERLIN).contains(at("2026-11-28T23:59"))
    assert not Window(ALLOW, ("sat",), 0, 1440, BERLIN).contains(at("2026-11-29T00:00"))
    around = Window(ALLOW, ("sat",), 600, 600, BERLIN)
    assert around.contains(at("2026-11-28T10:00"))
    assert around.contains(at("2026-11-29T09:59"))
    assert not around.contains(at("2026-11-29T10:00"))


def test_the_hour_that_is_skipped_has_no_window_and_the_repeated_one_has_two() -> None:
    window = Window(ALLOW, DAYS, 150, 165, BERLIN)  # 02:30 to 02:45
    # On 2027-03-28, 02:00 is followed by 03:00.
    start = at("2027-03-28T00:00")
    assert not any(window.contains(start + 60 * n) for n in range(23 * 60))
    # On 2026-10-25, 03:00 is followed by 02:00.
    start = at("2026-10-25T00:00")
    assert sum(window.contains(start + 60 * n) for n in range(25 * 60)) == 30


def test_deny_wins_and_allow_closes_the_rest() -> None:
    allow, deny = Window(ALLOW, DAYS, 60, 600), Window(DENY, DAYS, 120, 180)
    day = at("2026-11-28T00:00", "UTC")
    minutes = [n for n in range(1440) if opening([(allow, deny)], day + 60 * n).open]
    assert minutes == [*range(60, 120), *range(180, 600)]
    assert opening([], day).open
    assert opening([()], day).open
    closed = opening([(allow, deny)], day + 130 * 60)
    assert closed.opens == day + 180 * 60
    assert closed.why == (
        "the window 'deny every day 02:00-03:00 UTC' is closed; opens at 2026-11-28 03:00 UTC"
    )


def test_every_list_must_be_open() -> None:
    own, inventory = Window(ALLOW, DAYS, 0, 120), Window(ALLOW, DAYS, 60, 240)
    day = at("2026-11-28T00:00", "UTC")
    minutes = [n for n in range(1440) if opening([(own,), (inventory,)], day + 60 * n).open]
    assert minutes == [*range(60, 120)]


def test_what_never_opens_says_so() -> None:
    found = opening([(Window(DENY),)], 0.0)
    assert (found.open, found.opens) == (False, None)
    assert found.why.endswith("never opens")
    none = opening([(Window(ALLOW, DAYS, 0, 60), Window(DENY, DAYS, 0, 60))], 0.0)
    assert (none.open, none.opens) == (False, None)


def test_the_next_opening_after_a_skipped_hour() -> None:
    window = Window(ALLOW, ("sun",), 150, 240, BERLIN)
    found = opening([(window,)], at("2027-03-28T01:30"))
    assert found.opens == at("2027-03-28T03:00")


windows = st.builds(
    Window,
    kind=st.sampled_from([ALLOW, DENY]),
    days=st.sets(st.sampled_from(DAYS), min_size=1).map(
        lambda days: tuple(day for day in DAYS if day in days)
    ),
    start=st.integers(0, 1439),
    end=st.integers(0, 1440),
    time_zone=st.sampled_from(
        ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
    ),
)
# Around both changes of the clock in Europe, in America and on Lord Howe Island.
moments = st.sampled_from(
    [
        at("2026-10-24T12:00"),
        at("2027-03-27T12:00"),
        at("2026-11-01T00:00"),
        at("2027-03-14T00:00"),
        at("2027-04-03T00:00"),
    ]
)


@given(st.lists(windows, min_size=1, max_size=3), moments, st.integers(0, 86400))
def test_the_next_opening_is_the_first_one(
    several: list[Window], start: float, offset: int
) -> None:
    now = start + offset
    found = opening([several], now)
    if found.open:
        assert found.opens is None
        return
    whole = int(now // 60 * 60 + 60)
    opens = next((t for t in range(whole, whole + 3 * 86400, 60) if not _closed(several, t)), None)
    if opens is not None:
        assert found.opens == opens
    elif found.opens is not None:
        assert found.opens >= whole + 3 * 86400


def test_windows_are_read_with_all_that_is_wrong() -> None:
    entry = {
        "kind": "deny",
        "days": ["sat", "fri"],
        "from": "22:00",
        "to": "02:00",
        "time_zone": BERLIN,
    }
    assert parsed(entry) == ((Window(DENY, ("fri", "sat"), 1320, 120, BERLIN),), [])
    assert parsed({}) == ((Window(ALLOW),), [])
    _none, problems = parsed(
        {
            "kind": "maybe",
            "days": "mon",
            "from": 79200,
            "to": "25:00",
            "time_zone": "Mars/Base",
            "until": 1,
        },
        "x",
    )
    assert problems == [
        "windows[0].kind is 'maybe', it must be allow or deny",
        "windows[0].days is 'mon', it must be a list",
        "windows[0].from is '79200', which is not allowed; use one such as '22:00', in quotes",
        "windows[0].to is '25:00', which is not allowed; use one such as '22:00', in quotes",
        "windows[0].time_zone is 'Mars/Base', it must be one such as Europe/Berlin",
        "windows[0].until is not a key that this file can have; known are kind, days, from, to, time_zone",
        "windows[1] is 'x', it must be a dictionary",
    ]


@pytest.mark.parametrize(
    "zone", ["../../etc/passwd", "/etc/passwd", "Europe", "", "Europe/Berlin\0"]
)
def test_a_zone_is_no_path(zone: str) -> None:
    found, problems = parsed({"time_zone": zone})
    assert found[0].time_zone == "UTC"
    assert problems or not zone
