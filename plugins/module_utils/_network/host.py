# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The networks of one host: what a plan must know of them, and its own docker_gwbridge, which no manager can change."""

from __future__ import annotations

import os
from typing import Any

from .._common.errors import SwarmError
from .._common.waiting import Clock, retry
from .._host.files import text_of
from .._host.nics import observe_interfaces
from .._model.documents import dig, id_of
from .._model.labels import INGRESS_LABEL, stack_of
from .._model.mtu import DEFAULT_MTU, MTU_OPTION, is_encrypted, mtu_of
from .plan import GWBRIDGE, OFFLOAD_UNIT, offload_service

ETHTOOL = "/usr/sbin/ethtool"
# What the engine gives it (libnetwork: sandbox_externalkey, createGWNetwork).
_OPTIONS = {
    "com.docker.network.bridge.name": GWBRIDGE,
    "com.docker.network.bridge.enable_icc": "false",
    "com.docker.network.bridge.enable_ip_masquerade": "true",
}
# The endpoint by which the ingress network of a host reaches the outside. It is no container.
_INGRESS_ENDPOINT = "gateway_ingress-sbox"


def observe_networks(client: Any | None) -> dict[str, Any]:
    """The interfaces of this host, and its networks if there is an engine to ask.

    `gwbridge` is None where there is none. `unplugged`: the ingress network of the host has no way out, which is what a run leaves
    that was killed before it restarted the engine. `networks` is None on a host that is no manager, because only managers know all.
    """
    found: dict[str, Any] = {
        "interfaces": observe_interfaces(),
        "gwbridge": None,
        "unplugged": False,
        "networks": None,
        "ingress_note": None,
        "offload_service": offload_service(text_of(OFFLOAD_UNIT)),
        "ethtool": os.path.exists(ETHTOOL),
    }
    if client is None:
        return found
    listed = client.get("/networks", "list the networks")
    for network in listed:
        if network.get("Name") == GWBRIDGE:
            document = client.get(f"/networks/{id_of(network)}", f"read network {GWBRIDGE}")
            users = [str(each.get("Name")) for each in (document.get("Containers") or {}).values()]
            found["gwbridge"] = {
                "mtu": mtu_of(document),
                "containers": sum(1 for name in users if name != _INGRESS_ENDPOINT),
                "ingress": _INGRESS_ENDPOINT in users,
            }
    connected = bool((found["gwbridge"] or {}).get("ingress"))
    found["unplugged"] = not connected and any(each.get("Ingress") for each in listed)
    if dig(client.info(), "Swarm", "Cluster", "ID"):
        found["networks"] = [
            {
                "name": str(network.get("Name")),
                "mtu": mtu_of(network),
                "has_mtu": MTU_OPTION in (network.get("Options") or {}),
                "encrypted": is_encrypted(network),
                "ingress": bool(network.get("Ingress")),
                "stack": stack_of(network),
                "subnets": [
                    str(each.get("Subnet")) for each in dig(network, "IPAM", "Config") or []
                ],
            }
            for network in listed
            if network.get("Driver") == "overlay" and network.get("Scope") == "swarm"
        ]
        labels = dig(client.swarm(), "Spec", "Labels") or {}
        found["ingress_note"] = labels.get(INGRESS_LABEL)
    return found


def change_gwbridge(client: Any, mtu: int, clock: Clock | None = None) -> None:
    """Give the host a docker_gwbridge with this MTU. Raises in_use if containers are on it.

    The ingress network of the host loses its way out, and gets it back when the engine restarts: the caller does that.
    """
    found = observe_networks(client)["gwbridge"]
    if found is not None and found["containers"]:
        raise SwarmError(
            "in_use",
            f"Could not change the MTU of {GWBRIDGE}: containers on this host use it. Drain the node, stop other containers, and"
            " run again.",
        )
    if found is not None:
        if found["ingress"]:
            client.call(
                "POST",
                f"/networks/{GWBRIDGE}/disconnect",
                f"disconnect the ingress network from {GWBRIDGE}",
                {"Container": _INGRESS_ENDPOINT, "Force": True},
            )
        client.remove("network", GWBRIDGE, GWBRIDGE)
    options = dict(_OPTIONS)
    if mtu != DEFAULT_MTU:
        options[MTU_OPTION] = str(mtu)
    body = {"Name": GWBRIDGE, "Driver": "bridge", "CheckDuplicate": True, "Options": options}
    retry(lambda: _create(client, body), 10, clock=clock)


def _create(client: Any, body: dict[str, Any]) -> None:
    try:
        client.create("network", body)
    except SwarmError as error:
        # The engine creates it itself when it needs it.
        if error.code != "conflict":
            raise
