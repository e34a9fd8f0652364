# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What is wrong in the networks of a swarm, from what its hosts say of themselves and of each other. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._common.words import abbreviate
from .._model.documents import Node, dig, id_of
from .._model.labels import name_of
from .._model.tasks import has_ended, is_abandoned, state_of
from .._probe.evaluate import most_seen
from .._probe.request import address_of

# The engine's own network of published ports, which has no names.
INGRESS = "ingress"
# What is the same for the same fault in two readings.
KEY = ("kind", "node", "network", "what", "found")


@dataclass(frozen=True)
class TaskAddress:
    """An address of a task in a network."""

    address: str
    network: str
    service: str
    node: str
    runs: bool  # on a node that is ready


@dataclass(frozen=True)
class Known:
    """What the managers know. Networks and nodes are by ID."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    tasks: Sequence[TaskAddress] = ()

    def names(self) -> dict[str, list[str]]:
        """The services whose names hosts are asked for, by network."""
        found = defaultdict(set)
        for task in self.tasks:
            if task.runs and self.networks.get(task.network, INGRESS) != INGRESS:
                found[task.network].add(task.service)
        return {network: sorted(services) for network, services in sorted(found.items())}

    def name(self, node: str) -> str:
        """The name of a node."""
        return name_of(self.nodes[node]) if node in self.nodes else node


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `kind`: entry (of a kernel), name (as a resolver knows it), resolver, interface, or unfinished.

    `node` is where it is wrong, and `what` is the address, the service or the interface. `owner` is the node with the address, or the
    one on which all tasks run that a name lacks.
    """

    kind: str
    node: str
    what: str
    found: str
    network: str = ""
    owner: str = ""
    service: str = ""
    mac: str = ""
    host: str = ""
    found_mac: str = ""
    found_host: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The values of KEY."""
        return tuple(getattr(self, name) for name in KEY)


def known_of(
    nodes: Iterable[Node],
    networks: Iterable[Mapping[str, Any]],
    services: Iterable[Mapping[str, Any]],
    tasks: Iterable[dict[str, Any]],
) -> Known:
    """What the managers know, from the documents of the engine."""
    found = {node.id: node for node in nodes}
    names = {str(each.get("ID")): str(dig(dict(each), "Spec", "Name")) for each in services}
    overlays = {
        id_of(dict(each)): str(each.get("Name"))
        for each in networks
        if each.get("Driver") == "overlay" and each.get("Scope") == "swarm"
    }
    listed = []
    for task in tasks:
        node, service = str(task.get("NodeID") or ""), names.get(str(task.get("ServiceID")))
        if has_ended(task) or service is None or node not in found:
            continue
        runs = (
            state_of(task) == "running" and not is_abandoned(task) and found[node].state == "ready"
        )
        for each in task.get("NetworksAttachments") or []:
            network = str(dig(each, "Network", "ID"))
            for address in each.get("Addresses") or [] if network in overlays else ():
                plain = str(address).partition("/")[0]
                listed.append(TaskAddress(plain, network, service, node, runs))
    return Known(found, overlays, listed)


def find_faults(known: Known, nodes: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """The faults, given what `read_node` has returned on each host."""
    reads = {
        str(each["node_id"]): each for each in nodes if str(each.get("node_id")) in known.nodes
    }
    return [
        *(
            Fault("unfinished", node, "", "was left drained by an interrupted repair")
            for node, read in sorted(reads.items())
            if read.get("unfinished")
        ),
        *_interfaces(reads),
        *_entries(known, reads),
        *_names(known, reads),
    ]


def _networks(read: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    return read.get("networks") or {}


def _interfaces(reads: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    for node, read in reads.items():
        for name in read.get("leftovers") or ():
            yield Fault("interface", node, str(name), "an engine that was stopped has left it")


def _entries(known: Known, reads: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    owners = {
        (network, address): (node, str(mac))
        for node, read in reads.items()
        for network, each in _networks(read).items()
        for address, mac in each["own"].items()
    }
    services = {(task.network, task.address): task.service for task in known.tasks}
    hosts = most_seen(
        {node: address_of(each) for node, each in known.nodes.items()},
        (
            (owners[network, address][0], str(host))
            for read in reads.values()
            for network, each in _networks(read).items()
            for address, (_mac, host) in (each["entries"] or {}).items()
            if (network, address) in owners
        ),
    )
    for (network, address), (owner, mac) in sorted(owners.items()):
        for node, read in sorted(reads.items()):
            each = _networks(read).get(network)
            if node == owner or each is None or each["entries"] is None:
                continue
            found_mac, found_host = each["entries"].get(address, ("", ""))
            if (found_mac, found_host) != (mac, hosts[owner]):
                yield Fault(
                    "entry",
                    node,
                    address,
                    _leads(known, hosts, (found_mac, found_host), (mac, hosts[owner])),
                    network,
                    owner,
                    services.get((network, address), ""),
                    mac,
                    hosts[owner],
                    found_mac,
                    found_host,
                )


def _leads(
    known: Known, hosts: Mapping[str, str], found: tuple[str, str], wish: tuple[str, str]
) -> str:
    """Where an entry leads, in words."""
    mac, host = found
    if not mac or not host:
        return "has no entry"
    if host == wish[1]:
        return f"has the MAC address {mac}"
    node = next((node for node, address in sorted(hosts.items()) if address == host), None)
    return f"leads to {known.name(node) if node else host}"


def _names(known: Known, reads: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    running: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    live: dict[tuple[str, str], set[str]] = defaultdict(set)
    for task in known.tasks:
        live[task.network, task.service].add(task.address)
        # The address of a host that was not asked may be wrong for the managers as well.
        if task.runs and task.node in reads:
            running[task.network, task.service][task.address] = task.node
    for node, read in sorted(reads.items()):
        for network, each in sorted(_networks(read).items()):
            answers = each["names"] or {}
            if answers and all(answer["code"] == "timeout" for answer in answers.values()):
                yield Fault("resolver", node, "", "does not answer", network)
                continue
            for service, answer in sorted(answers.items()):
                expected = running[network, service]
                lacks = sorted(expected.keys() - set(answer["addresses"]))
                extra = sorted(set(answer["addresses"]) - live[network, service])
                if not expected or not (lacks or extra):
                    continue
                yield Fault(
                    "name",
                    node,
                    service,
                    _answered(answer["code"], lacks, extra),
                    network,
                    _most_common(expected[address] for address in lacks),
                    service,
                )


def _answered(code: str, lacks: Sequence[str], extra: Sequence[str]) -> str:
    if code != "ok":
        words = {"nxdomain": "does not exist (NXDOMAIN)", "timeout": "has no answer"}
        return words.get(code, f"has no answer ({code})")
    parts = [f"lacks {abbreviate(lacks)}"] if lacks else []
    parts += [f"has {abbreviate(extra)}, which no task has"] if extra else []
    return " and ".join(parts)


def _most_common(nodes: Iterable[str]) -> str:
    """The node that all have in common; empty if there is none."""
    counts = Counter(nodes)
    return next(iter(counts)) if len(counts) == 1 else ""
