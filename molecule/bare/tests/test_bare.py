# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""First runs on hosts without an engine that get kill -9, in the midst of apt or of dpkg for example."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import HOSTS, assert_whole, killed, reimage, site, ssh

KILLS = int(os.environ.get("BARE_KILLS", "1"))


def test_a_killed_first_run_on_bare_hosts_is_finished_by_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """kill -9 at random moments, each on fresh hosts. BARE_SEED repeats a series."""
    seed = int(os.environ.get("BARE_SEED", time.time()))
    chance = random.Random(seed)
    # A guess at how long a first run takes; then what the rounds before have shown.
    length = 25.0
    for number in range(KILLS):
        if number:
            reimage(*HOSTS)
        assert not any(ssh(host, "command -v dockerd || true") for host in HOSTS)
        moment = chance.uniform(0.5, length)
        task = killed(moment)
        # apt may go on for a while on hosts whose run is gone, so that the two plans need not be the same.
        site("--check")
        started = time.monotonic()
        site()
        length = moment + time.monotonic() - started
        assert_whole()
        assert site().changed == 0
        with capsys.disabled():
            print(
                f"\nkilled after {moment:.1f} s ({task or 'had ended'}): the next run finished five nodes in"
                f" {time.monotonic() - started:.0f} s, the one after changed nothing (seed {seed})"
            )
