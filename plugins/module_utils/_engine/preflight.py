# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""What would keep a host from becoming a node, found before anything is changed.

Pure. Every finding is one sentence with the host, what is wrong, and the variable that changes it.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from .._common.errors import shown
from .._common.words import Text, as_is, text
from .._host.network import GOSSIP_PORT, is_engine_interface, left_over
from .._host.nics import OFFLOAD_DRIVERS
from .._model.documents import SWARM_PORT

# The engine's defaults (moby: libnetwork/ipamutils, libnetwork/drivers/overlay/overlayutils).
DEFAULT_POOL = "10.0.0.0/8"
DEFAULT_DATA_PATH_PORT = 4789
# A check, which can be ignored, and a sentence.
Finding = tuple[str, Text]

CHECKS = ("kernel", "ports", "pool", "clock", "disk", "network")


def preflight(
    host: str, observed: dict[str, dict[str, Any]], settings: dict[str, Any]
) -> dict[str, list[str]]:
    """The failures of a host, which must stop it, and warnings about what will not work on it.

    `observed` has the result of swarm_host_info by host, because an address pool must suit all of them. `settings` has pools,
    data_path_port, kernel_features, disk_free_mb, clock_skew_limit in seconds, and ignore, a list of CHECKS.
    With fix_offload, the run itself turns off what the warning about network cards is about.
    """
    own = observed[host]
    failures = [
        *_kernel(host, own, settings["kernel_features"]),
        *_disk(host, own, settings["disk_free_mb"]),
        *_clock(host, observed, settings["clock_skew_limit"]),
        *_addresses(host, own),
    ]
    outside = {name: each for name, each in observed.items() if _state(each) == "inactive"}
    if host in outside:
        # A member holds these ports itself, and its pool was fixed when the swarm was initialised.
        failures += _ports(host, own, settings["data_path_port"])
        failures += _pools(host, observed, settings["pools"])
    # The first of the hosts warns for all of them.
    warnings = []
    if outside and host == min(outside):
        warnings += _warnings(outside, settings["kernel_features"])
        warnings += _filters(outside)
        warnings += _virtual_machines(outside, settings["data_path_port"])
        if not settings.get("fix_offload"):
            warnings += _offload(outside)
    return {
        "failures": [words for check, words in failures if check not in settings["ignore"]],
        "warnings": [words for check, words in warnings if check not in settings["ignore"]],
    }


def _kernel(host: str, own: dict[str, Any], required: list[str]) -> list[Finding]:
    features = _features(own)
    return [
        (
            "kernel",
            text(
                "{host}: its kernel has no {feature}, which nodes of a swarm need: load or install the module, or remove it"
                " from docker_engine_kernel_features.",
                host=host,
                feature=feature,
            ),
        )
        for feature in required
        if features.get(feature) is False
    ]


def _warnings(observed: dict[str, dict[str, Any]], required: list[str]) -> list[Finding]:
    """What will not work, once for all hosts."""
    consequences = {
        "ip_vs": text(
            "published ports in ingress mode and service VIPs do not work there (use mode: host and endpoint_mode: dnsrr)"
        ),
        "esp": text("encrypted overlay networks carry no traffic there"),
    }
    findings: list[Finding] = []
    for feature, consequence in consequences.items():
        lacking = [
            name for name, each in sorted(observed.items()) if _features(each).get(feature) is False
        ]
        if lacking and feature not in required:
            words = text(
                "{host}: no {feature} in the kernel: {consequence}.",
                host=", ".join(lacking),
                feature=feature,
                consequence=consequence,
            )
            findings.append(("kernel", words))
    return findings


def _features(observed: dict[str, Any]) -> dict[str, Any]:
    return (observed.get("host") or {}).get("kernel_features") or {}


def _state(observed: dict[str, Any]) -> Any:
    return (observed.get("swarm") or {}).get("state")


def _disk(host: str, own: dict[str, Any], limit_mb: int) -> list[Finding]:
    disk = (own.get("host") or {}).get("disk") or {}
    free = disk.get("free_bytes")
    if free is None or free >= limit_mb * 1024 * 1024:
        return []
    return [
        (
            "disk",
            text(
                "{host}: {path} has {free} MB free, less than {limit} MB: free space, or lower docker_engine_disk_free_mb.",
                host=host,
                path=disk.get("path"),
                free=free // (1024 * 1024),
                limit=limit_mb,
            ),
        )
    ]


def _clock(host: str, observed: dict[str, dict[str, Any]], limit: float) -> list[Finding]:
    skews = {
        name: float(skew)
        for name, each in observed.items()
        if (skew := (each.get("clock") or {}).get("skew")) is not None
    }
    if host not in skews:
        return []
    # The median of the hosts counts as right, because the controller may not be; of two hosts, the earlier one.
    ordered = sorted(skews.values())
    skew = skews[host] - ordered[(len(ordered) - 1) // 2]
    if abs(skew) <= limit:
        return []
    return [
        (
            "clock",
            text(
                "{host}: its clock is {skew:.0f} s ahead of the other hosts' (limit {limit:g} s): synchronise it with NTP, or raise"
                " docker_engine_clock_skew_limit."
                if skew > 0
                else "{host}: its clock is {skew:.0f} s behind the other hosts' (limit {limit:g} s): synchronise it with NTP, or"
                " raise docker_engine_clock_skew_limit.",
                host=host,
                skew=abs(skew),
                limit=limit,
            ),
        )
    ]


def _addresses(host: str, own: dict[str, Any]) -> list[Finding]:
    """A VXLAN packet goes from the IPv4 address of one node to that of another (moby: libnetwork/drivers/overlay)."""
    found = [
        ipaddress.ip_address(item["address"])
        for item in (own.get("host") or {}).get("addresses") or []
        if not is_engine_interface(item["interface"])
    ]
    if not found or any(address.version == 4 for address in found):
        return []
    return [
        (
            "network",
            text(
                "{host}: it has IPv6 addresses alone: give it an IPv4 address, because the overlay networks of a swarm need one.",
                host=host,
            ),
        )
    ]


def _filters(observed: dict[str, dict[str, Any]]) -> list[Finding]:
    """What would keep packets from passing, once for all hosts."""
    filters = {
        name: (each.get("host") or {}).get("filters") or {}
        for name, each in sorted(observed.items())
    }
    running = {
        name
        for name, each in observed.items()
        if ((each.get("host") or {}).get("service") or {}).get("active")
    }
    stopped = [
        name for name in filters if name in running and filters[name].get("forwarding") is False
    ]
    mixed = [
        name
        for name, each in filters.items()
        if each.get("iptables") == "nft" and each.get("legacy_tables")
    ]
    strict = [name for name, each in filters.items() if len(each.get("strict") or []) > 1]
    found = [
        (
            stopped,
            text(
                "{host}: net.ipv4.ip_forward is 0 although the engine has set it to 1: no published port answers until it is 1 again"
                " (see the files in /etc/sysctl.d).",
                host=", ".join(stopped),
            ),
        ),
        (
            mixed,
            text(
                "{host}: iptables writes rules of nf_tables, and the kernel has tables of legacy iptables ({tables}) as well: packets"
                " must pass both (remove those that iptables-legacy-save shows, or reboot).",
                host=", ".join(mixed),
                tables=", ".join(
                    sorted({table for name in mixed for table in filters[name]["legacy_tables"]})
                ),
            ),
        ),
        (
            strict,
            text(
                "{host}: more than one interface has rp_filter 1: packets from a node whose answers would leave by another interface"
                " are dropped (set net.ipv4.conf.all.rp_filter to 2 if nodes reach each other over several networks).",
                host=", ".join(strict),
            ),
        ),
    ]
    return [("network", words) for names, words in found if names]


def _virtual_machines(
    observed: dict[str, dict[str, Any]], data_path_port: int | None
) -> list[Finding]:
    """Docker's own documentation names the port of VMware NSX as the reason for --data-path-port."""
    found = [
        name
        for name, each in sorted(observed.items())
        if str((each.get("host") or {}).get("vendor") or "").startswith("VMware")
    ]
    if not found or (data_path_port or DEFAULT_DATA_PATH_PORT) != DEFAULT_DATA_PATH_PORT:
        return []
    words = text(
        "{host}: where VMware NSX carries the network, it takes 4789/udp for itself, and overlay networks lose their traffic"
        " (then set swarm_data_path_port, for example to 7789, before the swarm is initialised).",
        host=", ".join(found),
    )
    return [("network", words)]


def _offload(observed: dict[str, dict[str, Any]]) -> list[Finding]:
    """Network cards that are known to break overlay networks, while they compute checksums."""
    found = {
        name: str(card["driver"])
        for name, each in sorted(observed.items())
        for card in (each.get("host") or {}).get("interfaces") or []
        if card.get("driver") in OFFLOAD_DRIVERS and card.get("tx_checksum")
    }
    if not found:
        return []
    words = text(
        "{host}: network cards with the driver {driver} can compute wrong checksums of VXLAN packets, which the receiver drops (if"
        " containers on different hosts do not reach each other, set swarm_fix_offload: true).",
        host=", ".join(found),
        driver=", ".join(sorted(set(found.values()))),
    )
    return [("network", words)]


def _ports(host: str, own: dict[str, Any], data_path_port: int | None) -> list[Finding]:
    listening = (own.get("host") or {}).get("listening") or {}
    # A restart, which is in the plan, frees what the engine itself holds; without systemd, an operator must restart it.
    freed = [GOSSIP_PORT] if left_over(own) and (own.get("host") or {}).get("systemd") else []
    # Networks of an earlier swarm with a task left: those of the next swarm share the kernel's socket with them.
    freed += ((own.get("host") or {}).get("kernel_listening") or {}).get("udp") or []
    at_gossip = text("restart the engine" if left_over(own) else "stop what listens there")
    if (own.get("host") or {}).get("root") is False:
        at_gossip = text("run with --become: only root can see whether the engine itself holds it")
    gossip = text("nodes gossip")
    data_port = data_path_port or DEFAULT_DATA_PATH_PORT
    findings = []
    for protocol, port, purpose, remedy in (
        ("tcp", SWARM_PORT, text("managers communicate"), text("stop what listens there")),
        ("tcp", GOSSIP_PORT, gossip, at_gossip),
        ("udp", GOSSIP_PORT, gossip, at_gossip),
        (
            "udp",
            data_port,
            text("overlay networks send their traffic"),
            text("stop what listens there, or change swarm_data_path_port"),
        ),
    ):
        if port in (listening.get(protocol) or []) and port not in freed:
            findings.append(
                (
                    "ports",
                    text(
                        "{host}: port {port}/{protocol}, on which {purpose}, is in use although the host is in no swarm: {remedy}.",
                        host=host,
                        port=port,
                        protocol=protocol,
                        purpose=purpose,
                        remedy=remedy,
                    ),
                )
            )
    return findings


def _pools(host: str, observed: dict[str, dict[str, Any]], pools: list[str]) -> list[Finding]:
    findings = []
    given = as_is("swarm_default_addr_pool") if pools else text("the engine's default address pool")
    for pool in pools or [DEFAULT_POOL]:
        try:
            network = ipaddress.ip_network(pool, strict=False)
        except ValueError:
            findings.append(
                (
                    "pool",
                    text(
                        "{host}: swarm_default_addr_pool has {value}, which is not a network such as 10.20.0.0/16.",
                        host=host,
                        value=shown(pool),
                    ),
                )
            )
            continue
        for name, each in sorted(observed.items()):
            for route in (each.get("host") or {}).get("routes") or []:
                other = ipaddress.ip_network(route)
                if other.version == network.version and network.overlaps(other):
                    findings.append(
                        (
                            "pool",
                            text(
                                "{host}: its route to {route} overlaps {given} {network}: set swarm_default_addr_pool to networks"
                                " that no host has a route to.",
                                host=name,
                                route=route,
                                given=given,
                                network=str(network),
                            ),
                        )
                    )
    return findings
