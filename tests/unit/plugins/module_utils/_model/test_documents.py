# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents of the engine, as it writes them."""

from __future__ import annotations

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T20:14:18Z",
        "2026-11-23T20:14:18.514031902Z",
        "2026-11-23T20:14:18",
        # The clock of a host in another time zone.
        "2026-11-24T05:14:18.514031902+09:00",
        "2026-11-23T15:44:18.5-04:30",
    ],
)
def test_times_are_the_same_in_every_zone(text: str) -> None:
    assert moment(text) == 1795464858.0


@pytest.mark.parametrize(
    "text", [None, "", "soon", "23.11.2026 20:14:18", "2026-11-23T20:14:18 KST"]
)
def test_what_is_not_a_time_is_none(text: object) -> None:
    assert moment(text) is None


def test_a_time_that_the_engine_has_not_set_is_far_in_the_past() -> None:
    assert (moment("0001-01-01T00:00:00Z") or 0) < 0
