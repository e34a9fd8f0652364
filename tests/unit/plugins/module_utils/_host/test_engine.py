# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._host.engine import pause_before_unlock


def host(root: Path, age: float, stat: str = "") -> str:
    """The files of a host whose dockerd has run for so many seconds."""
    (root / "run").mkdir()
    (root / "run" / "docker.pid").write_text("7")
    process = root / "proc" / "7"
    process.mkdir(parents=True)
    (process / "comm").write_text("dockerd\n")
    ticks = int((1000 - age) * os.sysconf("SC_CLK_TCK"))
    # The name of a program can have spaces and brackets.
    fields = ["S", *("0" for _field in range(18)), str(ticks), "0"]
    (process / "stat").write_text(stat or f"7 (docker d) x) {' '.join(fields)}\n")
    (root / "proc" / "uptime").write_text("1000.00 1900.00\n")
    return str(root)


@pytest.mark.parametrize(("age", "pause"), [(0, 3), (2.5, 0.5), (3, 0), (900, 0), (-5, 3)])
def test_an_engine_that_has_just_started_is_not_unlocked_yet(
    tmp_path: Path, age: float, pause: float
) -> None:
    assert pause_before_unlock(host(tmp_path, age)) == pytest.approx(pause, abs=0.02)


def test_where_no_one_knows_when_the_engine_started_nothing_waits(tmp_path: Path) -> None:
    assert pause_before_unlock(str(tmp_path)) == 0
    assert pause_before_unlock(host(tmp_path, 1, stat="7 (dockerd) S 0\n")) == 0
