# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the kernel of a node knows of an overlay network: to which host the packets for an address go. And what is known of the
interface that they leave by."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .._host.commands import Done, run
from .._host.files import names_in
from .._host.nics import observe_interfaces

# Where the engine keeps the namespaces of its networks, and how their names begin (moby: libnetwork/drivers/overlay).
_NAMESPACES = "/var/run/docker/netns"
_SECONDS = 10.0
# Of 300 nodes with 100 tasks each.
_MOST_ENTRIES = 30000

Runner = Callable[[Sequence[str], float], Done]


def namespace_of(network_id: str, root: str = "") -> str | None:
    """The path of the namespace of an overlay network on this host; None if no task here is in it."""
    folder = f"{root}{_NAMESPACES}"
    for name in names_in(folder):
        if re.fullmatch(rf"\d+-{re.escape(network_id[:10])}", name):
            return os.path.join(folder, name)
    return None


def read_neighbours(
    network_id: str, runner: Runner = run, root: str = ""
) -> dict[str, tuple[str, str]] | None:
    """The addresses of a network that this host knows, each with its MAC address and the address of the host that its packets go to;
    empty text if it does not know one. None if this host is not in the network, or the entries cannot be read."""
    path = namespace_of(network_id, root)
    if path is None:
        return None
    neighbours = _json(runner, path, "ip", "-json", "-4", "neighbour", "show")
    forwarding = _json(runner, path, "bridge", "-json", "fdb", "show")
    if neighbours is None or forwarding is None:
        return None
    return match_entries(neighbours, forwarding)


def read_entries(network_id: str, runner: Runner = run, root: str = "") -> dict[str, str] | None:
    """The same without the MAC addresses."""
    found = read_neighbours(network_id, runner, root)
    return None if found is None else {address: host for address, (_mac, host) in found.items()}


def _json(runner: Runner, path: str, *words: str) -> list[dict[str, Any]] | None:
    with contextlib.suppress(OSError, ValueError):
        done = runner(["nsenter", f"--net={path}", *words], _SECONDS)
        if done.ok:
            found = json.loads(done.output or b"[]")
            return [each for each in found if isinstance(each, dict)][:_MOST_ENTRIES]
    return None


def match_entries(
    neighbours: Sequence[Mapping[str, Any]], forwarding: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[str, str]]:
    """Addresses of tasks with their MAC addresses and those of hosts, from what `ip neighbour` and `bridge fdb` print as JSON. Pure."""
    hosts = {
        str(each.get("mac")).lower(): str(each["dst"])
        for each in forwarding
        if each.get("dst") and each.get("mac")
    }
    macs = {
        str(each["dst"]): str(each["lladdr"]).lower()
        for each in neighbours
        if each.get("dst") and each.get("lladdr")
    }
    return {address: (mac, hosts.get(mac, "")) for address, mac in macs.items()}


def interface_of(address: str) -> dict[str, Any]:
    """The interface of this host that has an address: its name, MTU, driver, and whether it computes checksums. What cannot be read
    is None."""
    found = next((each for each in observe_interfaces() if address in each["addresses"]), {})
    return {
        "name": found.get("name"),
        "mtu": found.get("mtu"),
        "driver": found.get("driver"),
        "checksum_offload": found.get("tx_checksum"),
    }
