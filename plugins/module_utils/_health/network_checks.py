# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Checks of the network between the nodes, of overlay networks and of the routing mesh. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .._common.words import Text, abbreviate, as_is, count_of, either, joined, quoted, text
from .._model.documents import dig
from .._model.labels import name_of
from .._model.tasks import has_ended
from .check import STATUSES, Check, CheckInput, Checks
from .probed import ProbeFinding, ProbeResult

# What a cause of the probe means for the swarm, in words that need no number.
_CAUSES = {
    "unreachable": text("hosts do not reach each other"),
    "one_way": text("packets pass in one direction only"),
    "blocked_port": text("a port is blocked"),
    "esp_dropped": text("ESP does not pass"),
    "kernel_without": text("the kernel lacks what overlay networks need"),
    "checksum_offload": text("a network card computes wrong checksums"),
    "mtu": text("larger packets are lost"),
    "stale_entry": text("packets for tasks go to wrong hosts"),
    "dns_no_answer": text("names of services have no answer"),
    "dns_stale": text("names of services have old addresses"),
    "nxdomain": text("names of services are not known"),
    "mixed_versions": text("engines of different versions cannot decrypt each other"),
    "overlapping_subnets": text("subnets overlap"),
    "loss": text("packets are lost"),
    "mesh": text("published ports do not answer"),
    "vip": text("virtual IPs do not answer"),
    "no_report": text("a prober has not reported"),
    "unexplained": text("tasks do not reach each other, and nothing explains it"),
}
# Most faults cut services off from each other. These do not, or not all of them; and who has not reported is not known to work.
_STATUS = {
    "kernel_without": "degraded",
    "overlapping_subnets": "degraded",
    "loss": "degraded",
    "no_report": "unknown",
}
# Of more findings, the data of a check has the first ones. All are in the result of the probe.
_MOST_FINDINGS = 50
_MOST_CAUSES = 6


def _network(given: CheckInput) -> Check:
    """What swarm_probe has found between the nodes. Only a caller can run it."""
    result = given.context.network
    if result is None:
        message = text("not checked: no result of swarm_probe was given")
        return Check("network", "skipped", message)
    without = _without_result(result)
    if without is not None:
        return without
    unseen = [name_of(node) for node in given.snapshot.nodes]
    unseen = sorted({*result.not_probed, *unseen} - {*result.probed})
    data = {
        "probed": len(result.probed),
        "not_probed": {name: result.not_probed.get(name, "") for name in unseen},
        "findings": [each.as_data() for each in result.findings[:_MOST_FINDINGS]],
    }
    rest = [text("not probed: {names}", names=abbreviate(unseen))] if unseen else []
    if result.findings:
        statuses = [_STATUS.get(each.cause, "failed") for each in result.findings]
        message = joined([*_causes(result.findings), *rest], "; ")
        advice = text("see the findings of the probe, and docs/probe.md for each cause")
        return Check("network", max(statuses, key=STATUSES.index), message, advice, data)
    if not result.probed:
        message = joined([text("the probe has probed no node"), *rest], "; ")
        advice = text("see in the result of the probe why, and probe again")
        return Check("network", "unknown", message, advice, data)
    nodes = count_of(len(result.probed), "node")
    message = text("the probe of {nodes} has found nothing", nodes=nodes)
    return Check("network", "ok", joined([message, *rest], "; "), None, data)


def _without_result(result: ProbeResult) -> Check | None:
    """The check of a probe that has no findings because it did not come to its end; None if it did."""
    if result.skipped:
        return Check("network", "skipped", text("not checked: the probe was skipped"))
    if result.check_mode:
        return Check("network", "skipped", text("not checked: the probe ran in check mode"))
    if result.ended:
        return None
    again = text("probe again")
    if result.failure:
        about = text("The probe of the network has failed.")
        words = quoted(f"the probe has failed: {result.failure}", about)
        return Check("network", "unknown", words, again, {"probe": result.failure})
    message = text("the probe has started and not ended")
    return Check("network", "unknown", message, again)


def _causes(findings: Sequence[ProbeFinding]) -> list[Text]:
    """One part of a sentence for each cause, the worst first: what it means, and on which nodes."""
    nodes: dict[str, list[str]] = {}
    ports: dict[str, list[str]] = {}
    for each in findings:
        nodes.setdefault(each.cause, []).extend(each.nodes)
        ports.setdefault(each.cause, []).extend([each.port] if each.port else [])
    ranked = sorted(nodes, key=lambda cause: -STATUSES.index(_STATUS.get(cause, "failed")))
    parts = []
    for cause in ranked[:_MOST_CAUSES]:
        words = _CAUSES.get(cause, as_is(cause))
        names = list(dict.fromkeys(ports[cause]))
        if cause == "blocked_port" and names:
            words = text("blocked: {ports}", ports=abbreviate(names))
        where = sorted(set(nodes[cause]))
        parts.append(
            text("{words} ({names})", words=words, names=abbreviate(where)) if where else words
        )
    left = len(ranked) - _MOST_CAUSES
    return [*parts, *([text("and {count} more", count=left)] if left > 0 else [])]


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


NETWORK_CHECKS: Checks = {
    "network": _network,
    "networks": _networks,
    "mesh": _mesh,
    "encryption": _encryption,
}
