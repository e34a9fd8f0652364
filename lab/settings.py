# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings from the environment, and functions that run commands."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LABEL = "flotilla.lab"
SUITES = ("bullseye", "bookworm", "trixie", "sid")
ZONES = ("a", "b", "c")
MAX_HOSTS = 25
# Each has a kernel and memory of its own.
MAX_KERNELS = 7
DEFAULT_SUBNET = "172.30.80.0/24"
TOP = Path(__file__).resolve().parent.parent


class LabError(Exception):
    """The problem and what to do, in one sentence."""


@contextmanager
def locked(what: str) -> Iterator[None]:
    """Allow one process of this machine at a time, because labs that boot together share subnets and images."""
    # One for each user, because a file of another user could not be opened.
    with Path(tempfile.gettempdir(), f"flotilla-lab-{os.getuid()}-{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Host:
    name: str
    group: str
    zone: str
    address: str


@dataclass(frozen=True)
class Lab:
    """The settings from the environment."""

    prefix: str
    subnet: ipaddress.IPv4Network
    suite: str
    image: str
    hosts: tuple[Host, ...]
    registry: bool
    keeps_compiled: bool = False
    own_kernels: bool = False

    @property
    def state(self) -> Path:
        return TOP / ".lab" / self.prefix

    @property
    def key(self) -> Path:
        return self.state / "ssh_key"

    def address(self, offset: int) -> str:
        return str(self.subnet[offset])


def say(text: str) -> None:
    print(text, flush=True)


def run(
    command: Sequence[str],
    *,
    check: bool = True,
    stdin: str | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            command,
            text=True,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(
            f"The command {command[0]} is missing: `make ready` installs what a lab needs."
        ) from None
    if check and done.returncode != 0:
        lines = [
            line
            for line in (done.stderr or done.stdout).splitlines()
            if line.strip() and "--help" not in line
        ]
        raise LabError(
            f"`{' '.join(command[:3])} ...` failed: {(lines or ['no message'])[0].strip()}"
        )
    return done


def docker(
    *args: str, check: bool = True, stdin: str | None = None, timeout: float | None = None
) -> str:
    return run(("docker", *args), check=check, stdin=stdin, timeout=timeout).stdout.strip()


def in_parallel(work: Callable[[Host], None], hosts: Iterable[Host]) -> None:
    hosts = list(hosts)
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        for done in [pool.submit(work, host) for host in hosts]:
            done.result()


def setting(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def number(name: str, default: int, low: int) -> int:
    text = setting(name, str(default))
    if not text.isdigit() or not low <= int(text) <= MAX_HOSTS:
        raise LabError(f"{name} is {text!r}: give a number from {low} to {MAX_HOSTS}.")
    return int(text)


def one_of(name: str, default: str, allowed: Sequence[str]) -> str:
    text = setting(name, default)
    if text not in allowed:
        raise LabError(f"{name} is {text!r}: give one of {', '.join(allowed)}.")
    return text


def read_lab() -> Lab:
    prefix = setting("LAB_PREFIX", "flotilla")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", prefix):
        raise LabError(
            f"LAB_PREFIX is {prefix!r}: give at most 31 lower-case letters, digits and dashes, a letter first."
        )
    managers = number("LAB_MANAGERS", 3, 0)
    workers = number("LAB_WORKERS", 2, 0)
    own_kernels = one_of("LAB_KIND", "container", ("container", "uml")) == "uml"
    most = MAX_KERNELS if own_kernels else MAX_HOSTS
    if not 1 <= managers + workers <= most:
        raise LabError(
            f"LAB_MANAGERS and LAB_WORKERS make {managers + workers} hosts: a lab"
            f"{' of hosts with kernels of their own' if own_kernels else ''} has 1 to {most}."
        )
    subnet = read_subnet(prefix)
    hosts = []
    for group, letter, count, offset in (
        ("swarm_managers", "m", managers, 10),
        ("swarm_workers", "w", workers, 100),
    ):
        hosts += [
            Host(f"{letter}{i}", group, ZONES[(i - 1) % len(ZONES)], str(subnet[offset + i]))
            for i in range(1, count + 1)
        ]
    return Lab(
        prefix=prefix,
        subnet=subnet,
        suite=one_of("LAB_SUITE", "bookworm", SUITES),
        image=one_of("LAB_IMAGE", "bare", ("bare", "engine")),
        hosts=tuple(hosts),
        registry=one_of("LAB_REGISTRY", "yes", ("yes", "no")) == "yes",
        keeps_compiled=one_of("LAB_COMPILED", "no", ("yes", "no")) == "yes",
        own_kernels=own_kernels,
    )


def read_subnet(prefix: str) -> ipaddress.IPv4Network:
    text = setting("LAB_SUBNET", "")
    if text in ("", "auto"):
        # A running lab keeps its addresses.
        text = live_subnet(prefix) or (free_subnet() if text else DEFAULT_SUBNET)
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LabError(f"LAB_SUBNET is {text!r}: {error}.") from error
    if subnet.prefixlen > 25:
        raise LabError(f"LAB_SUBNET is {text!r}: a lab needs a /25 or larger.")
    return subnet


def network_of(prefix: str) -> str:
    return f"{prefix}-lab"


def live_subnet(prefix: str) -> str:
    found = run(
        (
            "docker",
            "network",
            "inspect",
            "-f",
            "{{range .IPAM.Config}}{{.Subnet}}{{end}}",
            network_of(prefix),
        ),
        check=False,
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def free_subnet() -> str:
    """The first /24 from the default on that neither a Docker network nor a route of this machine uses.

    Another lab may take it before this one does: `lab.py` holds the lock of labs until its network is there.
    """
    taken = run(("ip", "-4", "-o", "route", "show", "table", "all"), check=False).stdout
    for network in docker("network", "ls", "-q").split():
        taken += (
            docker(
                "network",
                "inspect",
                "-f",
                "{{range .IPAM.Config}}{{.Subnet}} {{end}}",
                network,
                check=False,
            )
            + "\n"
        )
    used = [
        ipaddress.ip_network(text, strict=False)
        for text in re.findall(r"\d+\.\d+\.\d+\.\d+/\d+", taken)
    ]
    first = int(ipaddress.IPv4Address(DEFAULT_SUBNET.partition("/")[0]))
    for step in range(1, 120):
        candidate = ipaddress.IPv4Network((first + 256 * step, 24))
        if not any(candidate.overlaps(network) for network in used if network.prefixlen):
            return str(candidate)
    raise LabError(
        "LAB_SUBNET is auto and no /24 behind 172.30.80.0 is free: set LAB_SUBNET to one that is."
    )
