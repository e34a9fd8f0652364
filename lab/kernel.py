# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with a kernel of their own (LAB_KIND=uml): user-mode Linux, which is Linux as an ordinary process.

The process is the main one of a container, to which the kernel's network device and disk belong. So such a host has the name,
the address and the life of a container host, and nothing outside of a container is left behind. See lab/image/power.sh.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from pathlib import Path

from images import build_image, capabilities, digest, script
from settings import LABEL, TOP, Host, Lab, LabError, docker, locked, run, say

# Debian 13 has the kernel. Its hosts can be of another suite.
SUITE = "trixie"
MEMORY = 700
TUN = Path("/dev/net/tun")
# Written once for each image of hosts. A host writes what differs to a disk of its own.
_PARTS = ("disk.sh", "guest.sh")


def check_kernel() -> None:
    if platform.machine() != "x86_64":
        raise LabError(
            f"Debian has user-mode Linux for x86-64 alone, and this machine is {platform.machine()}: use LAB_KIND=container."
        )
    if not TUN.exists():
        raise LabError(
            f"Hosts with a kernel of their own need {TUN}: run `modprobe tun` as root, or use LAB_KIND=container."
        )


def check_memory(hosts: int) -> None:
    """Whether so many more hosts have room; those that run have theirs."""
    needed = MEMORY * hosts
    found = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free = int(found.group(1)) // 1024 if found else 0
    if free < needed:
        raise LabError(
            f"{hosts} hosts with a kernel of their own need {needed} MB of memory, and {free} MB are free:"
            " set LAB_MANAGERS and LAB_WORKERS to less, or use LAB_KIND=container."
        )


def kernel_image() -> str:
    return build_image(SUITE, "kernel")


def disk_of(lab: Lab) -> str:
    """The volume with the disk from which the hosts of this lab boot. It is made if it is missing, which takes half a minute."""
    image, kernel = build_image(lab.suite, lab.image), kernel_image()
    name = (
        f"flotilla-lab-disk-{lab.suite}-{lab.image}-{digest(image, kernel, *map(script, _PARTS))}"
    )
    mounts = ("-v", f"{name}:/disks", "-v", f"{TOP / 'lab'}:/lab:ro")
    with locked(name):
        if run(("docker", "volume", "inspect", name), check=False).returncode == 0:
            there = ("docker", "run", "--rm", *mounts, kernel, "test", "-e", "/disks/base.ext4")
            if run(there, check=False).returncode == 0:
                return name
        say(f"image   making the disk {name}")
        docker("volume", "create", "--label", f"{LABEL}.image={lab.suite}", name)
        _make_disk(image, kernel, mounts)
    return name


def _make_disk(image: str, kernel: str, mounts: Iterable[str]) -> None:
    source = docker("create", "--label", f"{LABEL}.build=1", image, "true")
    try:
        flags = ("-i", "--rm", "--label", f"{LABEL}.build=1", *capabilities(kernel), *mounts)
        command = 'docker export "$0" | docker run "$@" sh /lab/image/disk.sh'
        run(("bash", "-o", "pipefail", "-c", command, source, *flags, kernel), timeout=600)
    finally:
        docker("rm", source, check=False)


def resolver(gateway: str) -> str:
    """The address of a name server that other machines can ask, too, if this machine has one."""
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        if Path(path).exists():
            for address in re.findall(
                r"^nameserver +([0-9.]+)", Path(path).read_text(), re.MULTILINE
            ):
                if not address.startswith("127."):
                    return str(address)
    return gateway


def options(lab: Lab, host: Host, disk: str) -> tuple[str, ...]:
    """What the container of such a host has beside the options of all hosts."""
    names = {item.name: item.address for item in lab.hosts} | {"registry.lab": lab.address(9)}
    settings = {
        "LAB_NAME": host.name,
        "LAB_MEMORY": f"{MEMORY}M",
        "LAB_DNS": resolver(lab.address(1)),
        "LAB_HOSTS": ",".join(f"{address}={name}" for name, address in names.items()),
        "LAB_COMPILED": "yes" if lab.keeps_compiled else "no",
    }
    return (
        f"--device={TUN}",
        f"--tmpfs=/memory:exec,size={MEMORY + 50}m",
        # The kernel ends when its host reboots or its power fails. A host that is killed by the engine stays off.
        "--restart=unless-stopped",
        f"--volume={disk}:/disks:ro",
        f"--volume={TOP / 'lab'}:/lab:ro",
        *(f"--env={key}={value}" for key, value in settings.items()),
    )


COMMAND = ("sh", "/lab/image/power.sh")
