# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real programs that end by themselves, and others that do not."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ansible_collections.flotilla.swarm.plugins.module_utils._host.commands import run

PYTHON = sys.executable


def test_a_program_gets_its_input_and_gives_its_output() -> None:
    data = b"x" * 500_000
    done = run(["cat"], 20, stdin=data)
    assert (done.ok, done.output) == (True, data)


def test_input_that_is_not_read_is_no_failure() -> None:
    assert run(["true"], 20, stdin=b"x" * 500_000).ok


def test_an_exit_code_and_its_reason() -> None:
    done = run(
        [PYTHON, "-c", "import sys; print('one\\n\\ntwo', file=sys.stderr); sys.exit(3)"], 20
    )
    assert (done.ok, done.code, done.why) == (False, 3, "one; two")
    assert run(["false"], 20).why == "it ended with code 1"


def test_a_program_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    began = time.monotonic()
    done = run(["sh", "-c", f"(sleep 2; touch {mark}) & sleep 60"], 0.3)
    assert (done.ok, done.limit) == (False, "time")
    assert time.monotonic() - began < 30
    time.sleep(2.5)
    assert not mark.exists()


def test_a_daemon_that_holds_the_pipes_does_not_hold_the_caller() -> None:
    began = time.monotonic()
    assert run(["sh", "-c", "sleep 60 & echo started"], 50).output == b"started\n"
    assert time.monotonic() - began < 30


def test_output_without_an_end_is_ended() -> None:
    done = run(["yes"], 20, most=100_000)
    assert (done.ok, done.limit, len(done.output)) == (False, "output", 100_000)


def test_a_file_without_an_end_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "big"
    done = run(["sh", "-c", f"cat /dev/zero > {path}"], 20, largest_file=100_000)
    assert not done.ok
    assert path.stat().st_size == 100_000


def test_a_program_gets_no_environment_but_its_own() -> None:
    assert run(["/usr/bin/env"], 20, environment={"A": "1"}).output == b"A=1\n"
