# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The network interfaces of this host: MTU, driver and checksum offload, from /sys and ethtool's requests to the kernel."""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
from typing import Any

from .files import names_in, text_of
from .network import addresses, is_engine_interface

# The drivers of virtual network cards that are known to send VXLAN packets with wrong checksums, which the receiver drops: vmxnet3
# computes them for some ports only (moby/moby 41775, coreos/fedora-coreos-tracker 1372, openshift/machine-config-operator 2734).
OFFLOAD_DRIVERS = ("vmxnet3",)
# linux/sockios.h and linux/ethtool.h
_SIOCETHTOOL = 0x8946
_DRIVER_INFO, _TX_CHECKSUM = 0x03, 0x16
_DRIVER_INFO_SIZE = 196
# The flag of a route in /proc/net/route that is in use: RTF_UP.
_UP = 0x1


def observe_interfaces(root: str = "") -> list[dict[str, Any]]:
    """The host's own interfaces, without those of the engine. What the kernel does not say is None.

    tx_checksum: whether the card computes checksums of packets that the host sends.
    """
    found = addresses() if not root else []
    by_name: dict[str, list[str]] = {}
    for entry in found:
        by_name.setdefault(entry["interface"], []).append(entry["address"])
    default = default_interface(root)
    result = []
    for name in sorted(names_in(f"{root}/sys/class/net")):
        mtu = text_of(f"{root}/sys/class/net/{name}/mtu").strip()
        if is_engine_interface(name) or not mtu.isdigit():
            continue
        result.append(
            {
                "name": name,
                "mtu": int(mtu),
                "addresses": by_name.get(name, []),
                "default": name == default,
                "driver": None if root else _driver(name),
                "tx_checksum": None if root else _tx_checksum(name),
            }
        )
    return result


def default_interface(root: str = "") -> str | None:
    """The interface of the IPv4 default route with the least metric."""
    found = []
    for line in text_of(f"{root}/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and fields[1] == fields[7] == "00000000":
            with contextlib.suppress(ValueError):
                if int(fields[3], 16) & _UP:
                    found.append((int(fields[6]), fields[0]))
    return min(found)[1] if found else None


def _driver(name: str) -> str | None:
    """The driver, such as vmxnet3; a virtual interface has one too, such as veth."""
    answer = _ethtool(name, struct.pack("=I", _DRIVER_INFO).ljust(_DRIVER_INFO_SIZE, b"\0"))
    driver = answer[4:36].split(b"\0")[0].decode("ascii", "replace") if answer else ""
    return driver or None


def _tx_checksum(name: str) -> bool | None:
    answer = _ethtool(name, struct.pack("=II", _TX_CHECKSUM, 0))
    return bool(struct.unpack("=II", answer)[1]) if answer else None


def _ethtool(name: str, request: bytes) -> bytes | None:
    """The answer to a request, None if the interface does not know it."""
    buffer = array.array("B", request)
    interface = struct.pack("16sP", name.encode()[:15], buffer.buffer_info()[0])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            fcntl.ioctl(link.fileno(), _SIOCETHTOOL, interface.ljust(40, b"\0"))
    except OSError:
        return None
    return buffer.tobytes()
