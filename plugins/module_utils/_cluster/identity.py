# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which node of a swarm is which host of the inventory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .._model.documents import Node
from .._model.labels import HOST_LABEL, ZONE_LABEL


@dataclass(frozen=True)
class DesiredMember:
    """A host of the inventory, and the desired state of its node."""

    name: str
    role: str | None = None  # manager or worker; None: as it is
    labels: dict[str, str] = field(default_factory=dict)  # the zone among them
    availability: str | None = None  # active, pause or drain; None: as it is
    node_id: str | None = None  # as the host itself reports it; None: it is in no swarm, or silent
    silent: bool = False  # it was not asked, or gave no answer: left as it is
    joining: bool = False  # it has begun to join
    hostname: str = ""
    addresses: tuple[str, ...] = ()  # without ports, the one of the inventory first
    rejoin: bool = False  # it must leave and join again, with another address
    # ADDRESS:PORT where its engine would ask to become a manager, until it is restarted.
    joined_by: str | None = None
    traits: str = ""  # what its line in the plan says when it joins

    @property
    def newcomer(self) -> bool:
        """Whether it has to join, or has not finished joining."""
        return not self.silent and (self.node_id is None or self.joining)

    @property
    def zone(self) -> str:
        return self.labels.get(ZONE_LABEL, "")


@dataclass
class Identified:
    """The nodes of a swarm, each as what it is to the inventory."""

    node_of: dict[str, Node] = field(default_factory=dict)  # by the name of the host
    # What a host was before it was reinstalled.
    ghosts: list[tuple[DesiredMember, Node]] = field(default_factory=list)
    unlisted: list[Node] = field(default_factory=list)
    unidentified: list[str] = field(default_factory=list)  # silent hosts that may be any node

    def members(self, desired: Sequence[DesiredMember]) -> list[tuple[DesiredMember, Node]]:
        """The hosts that are nodes and gave an answer: what a run may change."""
        return [
            (host, self.node_of[host.name])
            for host in desired
            if not host.silent and not host.joining and host.name in self.node_of
        ]


def identify(nodes: Sequence[Node], desired: Sequence[DesiredMember]) -> Identified:
    """A node is the host that reports its ID. The node of a silent host is found by the label with its name, else by
    hostname or address; so is what a host was before it was reinstalled."""
    found = Identified()
    by_id = {node.id: node for node in nodes}
    for host in desired:
        if host.node_id in by_id:
            found.node_of[host.name] = by_id[host.node_id]
    taken = {node.id for node in found.node_of.values()}
    free = [node for node in nodes if node.id not in taken]
    for host in (host for host in desired if host.silent):
        matches = [node for node in free if node.labels.get(HOST_LABEL) == host.name] or [
            node for node in free if HOST_LABEL not in node.labels and _resembles(node, host)
        ]
        # Lines may have exchanged their names: what is at its address may be its node as well.
        matches += [node for node in free if node not in matches and is_at(node, host)]
        if matches:
            found.node_of[host.name] = max(
                matches, key=lambda node: (node.ready, node.updated_at or "")
            )
            free = [node for node in free if node not in matches]
        else:
            found.unidentified.append(host.name)
    answering = [host for host in desired if not host.silent]
    arriving = [host for host in answering if host.name not in found.node_of]
    for node in free:
        origin = next((host for host in answering if _was(node, host)), None)
        if origin is not None:
            found.ghosts.append((origin, node))
        # Another run may have let a host join since this one asked it.
        elif HOST_LABEL in node.labels or not any(_resembles(node, host) for host in arriving):
            found.unlisted.append(node)
    return found


def _resembles(node: Node, host: DesiredMember) -> bool:
    names = {host.name, host.name.partition(".")[0], host.hostname} - {""}
    return node.hostname in names or is_at(node, host)


def is_at(node: Node, host: DesiredMember) -> bool:
    """Whether a node has an address of a host."""
    return address_of(node) in host.addresses


def address_of(node: Node) -> str | None:
    """The address of a node, without a port. The leader knows none of itself but the one that Raft uses."""
    for address in (address_part(node.manager_addr or ""), node.addr or ""):
        if address and not address.startswith(("0.", "127.", "::")):
            return address
    return None


def address_part(address: str) -> str:
    """ADDRESS of ADDRESS:PORT, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def _was(node: Node, host: DesiredMember) -> bool:
    """Whether a listed host was this node before: the host itself reports another node, or none."""
    label = node.labels.get(HOST_LABEL)
    if label is not None:
        return label == host.name
    return node.state != "ready" and not host.joining and _resembles(node, host)
