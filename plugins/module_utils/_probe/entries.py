# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the kernel of a node knows of an overlay network: to which host the packets for an address go. And what is known of the
interface that they leave by."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .._host.commands import Done, run
from .._host.files import names_in, text_of
from .._host.network import addresses

# Where the engine keeps the namespaces of its networks, and how their names begin (moby: libnetwork/drivers/overlay).
_NAMESPACES = "/var/run/docker/netns"
_SECONDS = 10.0
# Of 300 nodes with 100 tasks each.
_MOST_ENTRIES = 30000
# linux/sockios.h, linux/ethtool.h
_ETHTOOL, _GET_DRIVER, _GET_CHECKSUM = 0x8946, 0x3, 0x16

Runner = Callable[[Sequence[str], float], Done]


def namespace_of(network_id: str, root: str = "") -> str | None:
    """The path of the namespace of an overlay network on this host; None if no task here is in it."""
    folder = f"{root}{_NAMESPACES}"
    for name in names_in(folder):
        if re.fullmatch(rf"\d+-{re.escape(network_id[:10])}", name):
            return os.path.join(folder, name)
    return None


def read_entries(network_id: str, runner: Runner = run, root: str = "") -> dict[str, str] | None:
    """The addresses of a network that this host knows, each with that of the host it sends their packets to; empty text if it does
    not know one. None if this host is not in the network, or the entries cannot be read."""
    path = namespace_of(network_id, root)
    if path is None:
        return None
    neighbours = _json(runner, path, "ip", "-json", "-4", "neighbour", "show")
    forwarding = _json(runner, path, "bridge", "-json", "fdb", "show")
    if neighbours is None or forwarding is None:
        return None
    return match_entries(neighbours, forwarding)


def _json(runner: Runner, path: str, *words: str) -> list[dict[str, Any]] | None:
    with contextlib.suppress(OSError, ValueError):
        done = runner(["nsenter", f"--net={path}", *words], _SECONDS)
        if done.ok:
            found = json.loads(done.output or b"[]")
            return [each for each in found if isinstance(each, dict)][:_MOST_ENTRIES]
    return None


def match_entries(
    neighbours: Sequence[Mapping[str, Any]], forwarding: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Addresses of tasks with those of hosts, from what `ip neighbour` and `bridge fdb` print as JSON. Pure."""
    hosts = {
        str(each.get("mac")).lower(): str(each["dst"])
        for each in forwarding
        if each.get("dst") and each.get("mac")
    }
    return {
        str(each["dst"]): hosts.get(str(each.get("lladdr")).lower(), "")
        for each in neighbours
        if each.get("dst") and each.get("lladdr")
    }


def interface_of(address: str, root: str = "") -> dict[str, Any]:
    """The interface of this host that has an address: its name, MTU, driver, and whether it computes checksums. What cannot be read
    is None."""
    name = next((each["interface"] for each in addresses() if each["address"] == address), None)
    found: dict[str, Any] = {"name": name, "mtu": None, "driver": None, "checksum_offload": None}
    if name is None:
        return found
    mtu = text_of(f"{root}/sys/class/net/{name}/mtu").strip()
    found["mtu"] = int(mtu) if mtu.isdigit() else None
    driver = _ethtool(name, struct.pack("I", _GET_DRIVER) + bytes(192))
    if driver:
        found["driver"] = driver[4:36].split(b"\0")[0].decode(errors="replace") or None
    checksum = _ethtool(name, struct.pack("II", _GET_CHECKSUM, 0))
    if checksum:
        found["checksum_offload"] = bool(struct.unpack("II", checksum[:8])[1])
    return found


def _ethtool(name: str, command: bytes) -> bytes:
    """What an interface answers to a command of ethtool; empty if it does not."""
    content = array.array("B", command)
    request = struct.pack("16sP", name.encode()[:15], content.buffer_info()[0]) + bytes(16)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _ETHTOOL, request)
    except OSError:
        return b""
    return content.tobytes()
