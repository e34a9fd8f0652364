# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Checks of overlay networks and of the routing mesh. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from typing import Any

from .._common.words import abbreviate, count_of, either, joined, text
from .._model.documents import dig
from .._model.tasks import has_ended
from .check import Check, CheckInput, Checks


def _networks(given: CheckInput) -> Check:
    """How many addresses of each overlay network are in use: by tasks, by services, and one by each node on it."""
    taken: Counter[str] = Counter()
    nodes_on: dict[str, set[str]] = defaultdict(set)
    for task in given.snapshot.tasks:
        if not has_ended(task):
            for network in task["Networks"]:
                taken[network] += 1
                nodes_on[network].add(task["NodeID"])
    for service in given.snapshot.services:
        for address in service["Endpoint"]["VirtualIPs"]:
            taken[str(dig(address, "NetworkID"))] += 1
    use: dict[str, dict[str, int]] = {}
    for network in given.snapshot.networks:
        key, size = str(network.get("Id")), _size(network)
        if size:
            nodes = (
                len(given.snapshot.nodes) if network.get("Ingress") else len(nodes_on[key] - {""})
            )
            use[str(network.get("Name"))] = {"used": taken[key] + nodes, "size": size}
    data = {"networks": use}
    tight = {
        name: each
        for name, each in use.items()
        if 100 * each["used"] >= given.thresholds.network_percent * each["size"]
    }
    if tight:
        words = abbreviate(
            [
                text("{name} {used} of {size}", name=name, **each)
                for name, each in sorted(tight.items())
            ]
        )
        return Check(
            "networks",
            "degraded",
            text("networks are running out of addresses: {names}", names=words),
            text("recreate them with a larger subnet"),
            data,
        )
    if not use:
        return Check("networks", "ok", text("no overlay network"), None, data)
    fullest = max(use, key=lambda name: use[name]["used"] / use[name]["size"])
    message = text(
        "{networks}; the fullest is {name}: {used} of {size}",
        networks=count_of(len(use), "network"),
        name=fullest,
        **use[fullest],
    )
    return Check("networks", "ok", message, None, data)


def _size(network: dict[str, Any]) -> int:
    """How many addresses a network can allocate: not the first, not the last, not the gateway."""
    size = 0
    configs = dig(network, "IPAM", "Config")
    for config in configs if isinstance(configs, list) else []:
        try:
            size += ipaddress.ip_network(str(dig(config, "Subnet"))).num_addresses - 3
        except ValueError:
            continue
    return max(size, 0)


def _mesh(given: CheckInput) -> Check:
    """Ports that are published through the mesh, and virtual IPs, need IPVS in the kernel of each host."""
    published, virtual = _mesh_users(given.snapshot.services, given.snapshot.networks)
    known = {
        name: has
        for name, host in given.context.hosts.items()
        if (has := dig(host, "host", "kernel_features", "ip_vs")) is not None
    }
    lacking = sorted(name for name, has in known.items() if not has)
    data = {"published": published, "virtual": virtual, "without_ipvs": lacking}
    if not published and not virtual:
        return Check("mesh", "ok", text("nothing needs it"), None, data)
    if not known:
        message = text("not known whether the kernel has IPVS")
        return Check("mesh", "skipped", message, None, data)
    if not lacking:
        count = count_of(len(set(published) | set(virtual)), "service")
        message = text("IPVS is available for {services}", services=count)
        return Check("mesh", "ok", message, None, data)
    words, advice = [], [text("load ip_vs")]
    if published:
        words.append(
            text(
                "the published ports of {services} do not answer through the mesh",
                services=abbreviate(published),
            )
        )
        advice.append(text("publish with mode: host"))
    if virtual:
        words.append(
            text(
                "the names of {services} resolve to addresses that do not answer",
                services=abbreviate(virtual),
            )
        )
        advice.append(text("use endpoint_mode: dnsrr"))
    message = text(
        "no IPVS in the kernel of {hosts}: {words}", hosts=abbreviate(lacking), words=joined(words)
    )
    return Check("mesh", "degraded", message, either(advice), data)


def _mesh_users(
    services: list[dict[str, Any]], networks: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """The names of services with a port published through the mesh, and of those with a virtual IP."""
    ingress = {str(network.get("Id")) for network in networks if network.get("Ingress")}
    published, virtual = [], []
    for service in services:
        name = service["Spec"]["Name"]
        ports = service["Endpoint"]["Ports"] or service["Spec"]["EndpointSpec"]["Ports"]
        if any((dig(port, "PublishMode") or "ingress") == "ingress" for port in ports):
            published.append(name)
        addresses = service["Endpoint"]["VirtualIPs"]
        if any(str(dig(address, "NetworkID")) not in ingress for address in addresses):
            virtual.append(name)
    return sorted(published), sorted(virtual)


def _encryption(given: CheckInput) -> Check:
    """Overlay networks whose traffic between hosts is not encrypted."""
    plain = {
        str(network.get("Id")): str(network.get("Name"))
        for network in given.snapshot.networks
        if "encrypted" not in (dig(network, "Options") or {})
    }
    used = {
        str(dig(address, "NetworkID"))
        for service in given.snapshot.services
        for address in service["Endpoint"]["VirtualIPs"]
    }
    used |= {
        network
        for task in given.snapshot.tasks
        if not has_ended(task)
        for network in task["Networks"]
    }
    names = sorted(name for key, name in plain.items() if key in used)
    published = sorted(
        service["Spec"]["Name"]
        for service in given.snapshot.services
        if (service["Endpoint"]["Ports"] or service["Spec"]["EndpointSpec"]["Ports"])
        and any(
            str(dig(address, "NetworkID")) in plain for address in service["Endpoint"]["VirtualIPs"]
        )
    )
    data = {"unencrypted": names, "published": published}
    if not names:
        return Check(
            "encryption", "ok", text("no overlay network in use is unencrypted"), None, data
        )
    message = text(
        "not encrypted between hosts: {names}, which carry the published ports of {services}"
        if published
        else "not encrypted between hosts: {names}",
        names=abbreviate(names),
        services=abbreviate(published),
    )
    advice = text(
        "if others can read the traffic between hosts, recreate them with the option encrypted"
    )
    return Check("encryption", "noted", message, advice, data)


NETWORK_CHECKS: Checks = {"networks": _networks, "mesh": _mesh, "encryption": _encryption}
