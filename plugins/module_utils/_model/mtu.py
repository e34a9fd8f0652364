# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How large a packet can be between hosts, and what is left of it in an overlay network. Pure.

The option of a network that sets its MTU is that of the network between the hosts, not what containers get: the engine takes off
what VXLAN and ESP add (libnetwork: drivers/overlay/encryption.go, maxMTU). So one number fits all networks of a swarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._common.errors import shown
from .documents import dig

# The option of bridge and overlay networks (libnetwork: netlabel.DriverMTU), and what the engine assumes without it.
MTU_OPTION = "com.docker.network.driver.mtu"
ENCRYPTED_OPTION = "encrypted"
DEFAULT_MTU = 1500
# The outer IPv4 header (20), UDP (8), VXLAN (8) and the inner Ethernet header (14) (libnetwork: drivers/overlay, vxlanEncap).
VXLAN_OVERHEAD = 50
# ESP in transport mode with AES-GCM: SPI (4), sequence number (4), IV (8), length of the padding (1), next header (1) and ICV (8)
# (libnetwork: drivers/overlay/encryption.go, pktExpansion). ESP pads to four bytes.
ESP_OVERHEAD = 26
ESP_BLOCK = 4
# IPv4 hosts must take packets of 576 bytes (RFC 791), and no packet is larger than 65535.
LEAST_MTU, LARGEST_MTU = 576, 65535
AUTO = "auto"


def container_mtu(mtu: int, encrypted: bool) -> int:
    """The MTU of the containers in an overlay network, if packets between the hosts can have `mtu` bytes."""
    left = mtu - VXLAN_OVERHEAD
    if encrypted:
        left -= ESP_OVERHEAD
        left -= left % ESP_BLOCK
    return left


def hosts_mtu(mtu: int, encrypted: bool) -> int:
    """What packets between the hosts may have, if packets of containers in an overlay network with `mtu` bytes arrive."""
    return mtu + VXLAN_OVERHEAD + (ESP_OVERHEAD if encrypted else 0)


def mtu_of(network: Mapping[str, Any]) -> int:
    """The MTU that a network expects of the network between the hosts, given its document."""
    value = str((network.get("Options") or {}).get(MTU_OPTION) or "")
    return int(value) if value.isdigit() and int(value) else DEFAULT_MTU


def default_mtu(daemon_config: Any) -> int:
    """The MTU that an engine gives overlay networks without the option, given its daemon.json (engine 24 and newer).

    It holds for the tasks on this host, whatever the managers say of the network (moby: daemon/network.go, createNetwork).
    """
    options = dig(daemon_config, "default-network-opts", "overlay")
    return mtu_of({"Options": options if isinstance(options, dict) else {}})


def is_encrypted(network: Mapping[str, Any]) -> bool:
    """Whether a network is encrypted, given its document: with the option, whatever its value is (libnetwork: drivers/overlay)."""
    return ENCRYPTED_OPTION in (network.get("Options") or {})


def wrong_mtu(name: str, value: Any) -> str | None:
    """What is wrong with the MTU of a variable or option: a number, `auto`, or nothing at all."""
    if value in (None, "", AUTO):
        return None
    whole = not isinstance(value, bool) and str(value).isdigit()
    if whole and LEAST_MTU <= int(value) <= LARGEST_MTU:
        return None
    return (
        f"{name} is {shown(value)}: it must be auto, or the largest packet between the hosts in bytes, from {LEAST_MTU} to"
        f" {LARGEST_MTU}, such as 1500"
    )
