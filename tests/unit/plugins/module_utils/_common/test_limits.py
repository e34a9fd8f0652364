# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that hangs holds a module up: neither a file, nor a command, nor a process that cannot be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.observe import cli_version
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import bounded, within
from ansible_collections.flotilla.swarm.plugins.module_utils._host.facts import observe_host

Alive = Callable[[float], None]


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    before = time.monotonic()
    yield
    assert time.monotonic() - before < 10


def test_a_file_that_nobody_can_read_is_given_up(tmp_path: Path) -> None:
    """A named pipe that nobody writes to is to its reader what a file of a dead server is."""
    (tmp_path / "etc" / "docker").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc" / "docker" / "daemon.json")
    with pytest.raises(SwarmError, match="Could not observe this host") as failure:
        within(0.5, lambda _alive: observe_host(str(tmp_path)))
    assert failure.value.code == "no_answer"


def test_a_process_that_cannot_go_on_is_given_up() -> None:
    with pytest.raises(SwarmError) as failure:
        within(0.3, lambda _alive: os.kill(os.getpid(), signal.SIGSTOP))
    assert failure.value.code == "no_answer"


def test_who_says_that_it_is_alive_may_take_longer() -> None:
    def slowly(alive: Alive) -> str:
        for _step in range(4):
            time.sleep(0.2)
            alive(1.0)
        return "x" * 200_000

    assert within(0.5, slowly) == "x" * 200_000


def test_failures_come_through_as_they_are() -> None:
    def fails(_alive: Alive) -> Any:
        raise SwarmError("locked", "why", host="m1")

    with pytest.raises(SwarmError, match="why") as failure:
        within(5, fails)
    assert failure.value.as_failure() == {"code": "locked", "details": {"host": "m1"}}
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        within(5, lambda _alive: 1 // 0)
    with pytest.raises(RuntimeError, match="without a result"):
        within(5, lambda _alive: os._exit(3))


def test_a_command_has_a_limit() -> None:
    def run(args: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(args, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert bounded(run, 5)(["echo", "fine"]) == (0, "fine\n", "")
    code, _output, errors = bounded(run, 1)(["sleep", "60"])
    assert (code, errors) == (124, "sleep did not end within 1 s")


@pytest.mark.parametrize(
    ("packages", "where", "version"),
    [
        ({"docker.io": "20.10.24+dfsg1-1+deb12u1+b2"}, "/usr/bin/docker", "20.10.24+dfsg1"),
        ({"docker-ce-cli": "5:28.5.1-1~debian.12~bookworm"}, "/usr/bin/docker", "28.5.1"),
        ({"docker-ce-cli": "1:27.1.0-1.el9"}, "/usr/bin/docker", "27.1.0"),
        ({"docker.io": "1"}, None, None),
        # Not the package's: it says so itself, and is not waited for if it does not.
        ({"docker.io": "1"}, "says 29.0.1", "29.0.1"),
        ({}, "hangs", None),
    ],
)
def test_the_version_of_the_command(
    packages: dict[str, str],
    where: str | None,
    version: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if where in ("says 29.0.1", "hangs"):
        script = tmp_path / "docker"
        answer = "Docker version 29.0.1, build 1" if where.startswith("says") else ""
        script.write_text(f"#!/bin/sh\n{f'echo {answer}' if answer else 'exec /bin/sleep 60'}\n")
        script.chmod(0o755)
        where = str(script)
    monkeypatch.setattr("shutil.which", lambda _name: where)
    assert cli_version(packages) == version
