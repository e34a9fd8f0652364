# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""First runs on hosts without an engine that are killed with kill -9, for example while apt or dpkg runs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import HOSTS, SEED, assert_whole, hits, killed, on_each, reimage, site, ssh

KILLS = int(os.environ.get("BARE_KILLS", "1"))


def engines() -> set[str]:
    return {*on_each(HOSTS, lambda host: ssh(host, "command -v dockerd || true")).values()} - {""}


def test_a_killed_first_run_on_bare_hosts_is_finished_by_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """kill -9 at random moments, each on fresh hosts. BARE_KILLS is the number of kills, SEED repeats a series."""
    with capsys.disabled():
        print(f"\nSEED={SEED}")

    def kill(moment: float) -> str:
        if engines():
            reimage(*HOSTS)
        assert not engines()
        return killed(moment)

    # The estimated minimum duration of a first run.
    for hit in hits(KILLS, 25.0, kill):
        # apt can continue for a while after its run is killed, so the two plans can differ.
        site("--check")
        started = time.monotonic()
        site()
        took = time.monotonic() - started
        assert_whole()
        assert site().changed == 0
        with capsys.disabled():
            print(
                f"killed after {hit}: the next run finished five nodes in {took:.0f} s, the one after changed nothing"
            )
