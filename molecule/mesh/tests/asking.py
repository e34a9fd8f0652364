# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests without a break: from outside to a published port of each node, and from a task to a virtual address."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "lab"))

import connect
import drive

PORT = 8080
# Seconds.
PATIENCE = 3.0
BREAK = 0.15
SHOP = Path(__file__).resolve().parents[1] / "files" / "shop.yml"


def stacks(tag: int = 1) -> list[dict[str, Any]]:
    """The stack of the scenario, as site.yml takes it."""
    return [{"name": "shop", "compose": [str(SHOP)], "environment": {"TAG": str(tag)}}]


def page(address: str, port: int = PORT) -> str:
    """What a node answers on a published port, or nothing."""
    return connect.page(address, port, PATIENCE)


@dataclass
class Asked:
    """The requests to one node, in order: when each began, and what came."""

    answers: list[tuple[float, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(not text for _at, text in self.answers)

    def gaps(self) -> list[tuple[float, float]]:
        """From the first request without an answer to the next one with it, which may still be missing."""
        found: list[tuple[float, float]] = []
        begun: float | None = None
        for at, text in self.answers:
            if not text and begun is None:
                begun = at
            elif text and begun is not None:
                found.append((begun, at))
                begun = None
        return found if begun is None else [*found, (begun, float("inf"))]


@contextmanager
def mesh_asked(nodes: Iterable[str], port: int = PORT) -> Iterator[dict[str, Asked]]:
    """Ask every node until the block ends. The records are complete then."""
    asked = {name: Asked() for name in nodes}
    over = threading.Event()
    where = drive.addresses()

    def ask(name: str) -> None:
        while not over.is_set():
            at = time.monotonic()
            asked[name].answers.append((at, page(where[name], port)))
            over.wait(max(0.0, at + BREAK - time.monotonic()))

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in asked]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * PATIENCE)


# Runs in the network namespace of a task until its standard input ends and it has asked so often, but not for long after that.
_ASK = """
import collections, http.client, json, select, sys, time
address, port, least = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answers, failed, until = collections.Counter(), 0, 0
while True:
    if select.select([sys.stdin], [], [], 0.1)[0]:
        until = until or time.monotonic() + 120
        if sum(answers.values()) + failed >= least or time.monotonic() > until:
            break
    connection = http.client.HTTPConnection(address, port, timeout=3)
    try:
        connection.request("GET", "/")
        answers[connection.getresponse().read().decode().strip()] += 1
    except (OSError, http.client.HTTPException):
        failed += 1
    connection.close()
print(json.dumps([answers, failed]))
"""


@dataclass
class Called:
    answers: Counter[str] = field(default_factory=Counter)
    failed: int = 0


def container_of(host: str, service: str) -> str:
    return drive.ssh(host, f"docker ps -q -f name={service}.").split()[0]


def within(host: str, service: str) -> str:
    """The beginning of a command that runs in the network namespace of a task."""
    container = container_of(host, service)
    pid = drive.ssh(host, f"docker inspect -f '{{{{.State.Pid}}}}' {container}").strip()
    return f"nsenter -t {pid} -n"


def virtual_address(service: str, network: str) -> str:
    """The address of a service on a network, which is the same on all nodes."""
    wanted = drive.ssh("m1", f"docker network inspect -f '{{{{.ID}}}}' {network}").strip()
    shown = drive.ssh(
        "m1", f"docker service inspect -f '{{{{json .Endpoint.VirtualIPs}}}}' {service}"
    )
    return next(
        str(item["Addr"]).partition("/")[0]
        for item in json.loads(shown)
        if item["NetworkID"] == wanted
    )


@contextmanager
def called(address: str, host: str, service: str, least: int = 1) -> Iterator[Called]:
    """Ask an address from a task of a service, until the block ends and at least so often. The counts are there then."""
    found = Called()
    script = f"{within(host, service)} python3 -u -c '{_ASK}' {address} {PORT} {least}"
    # A connection of its own, which a host that goes away does not take from others.
    own = [
        word if not word.startswith("ControlPath=") else "ControlPath=none"
        for word in drive.way_to(host)
    ]
    with subprocess.Popen(
        ["ssh", *own, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as caller:
        try:
            yield found
        finally:
            text, _none = caller.communicate(timeout=150)
            answers, failed = json.loads(text)
            found.answers.update(answers)
            found.failed = failed
