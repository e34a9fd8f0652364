# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services that Docker's own command creates on the swarm of the lab, and what it reports about them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive

IMAGE = "registry.lab:5000/hello:1"


def docker(command: str, check: bool = True) -> str:
    return drive.ssh("m1", f"docker {command}", check)


def spec(name: str) -> dict[str, Any]:
    return dict(json.loads(docker(f"service inspect {name}"))[0]["Spec"])


def version(name: str) -> int:
    return int(json.loads(docker(f"service inspect {name}"))[0]["Version"]["Index"])


def replicas(name: str) -> int:
    return int(spec(name)["Mode"]["Replicated"]["Replicas"])


def running(name: str) -> set[str]:
    """The IDs of the tasks that run."""
    lines = docker(
        f"service ps --no-trunc -f desired-state=running --format '{{{{.ID}}}} {{{{.CurrentState}}}}' {name}"
    ).splitlines()
    return {line.split()[0] for line in lines if line.split()[1] == "Running"}


@contextmanager
def service(
    name: str, options: str = "", count: int | None = 2, image: str = IMAGE
) -> Iterator[str]:
    """A running service that the docker command has created. Without a count, its options must set the mode."""
    docker(f"service rm {name} 2>/dev/null", check=False)
    many = "" if count is None else f"--replicas {count}"
    docker(f"service create -q -d --name {name} {many} {options} {image}")
    drive.wait_until(
        lambda: len(running(name)) == count if count is not None else bool(running(name)), 60
    )
    try:
        yield name
    finally:
        docker(f"service rm {name}")


@contextmanager
def observed(name: str) -> Iterator[list[tuple[int, int]]]:
    """Record the desired and the running replicas several times a second. The record is complete when the block ends."""
    seen: list[tuple[int, int]] = []
    with drive.watched("m1") as looks:
        yield seen
    found = [look.get(name, drive.Look(0, 0, 0)) for look in looks]
    seen += [(look.replicas, look.staying) for look in found]


def distinct(values: list[int]) -> list[int]:
    return [value for i, value in enumerate(values) if i == 0 or values[i - 1] != value]
