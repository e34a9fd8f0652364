# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The order in which hosts of a swarm go out of service and come back, whatever is done to them meanwhile: a reboot or an
upgrade. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .._model.documents import dig, quorum_of
from .._model.labels import HOST_LABEL, ZONE_LABEL

ALL = "all"
# The engine of such a host does not tell its node ID.
_SILENT = ("locked", "unknown", "error")


@dataclass(frozen=True)
class RollingHost:
    """A host of the inventory, and its node as the managers see it."""

    name: str
    node_id: str
    manager: bool
    leader: bool
    zone: str
    in_service: bool

    @property
    def comes_back(self) -> bool:
        """Whether it gets its availability back. A node that an operator has drained stays drained."""
        return self.in_service

    @property
    def first(self) -> bool:
        """Whether an interrupted run has left it half-done, so that it comes before all others."""
        return False

    @property
    def kind(self) -> str:
        """What it is, in a plan."""
        return "leader, so the last one" if self.leader else "manager" if self.manager else "worker"


Host = TypeVar("Host", bound=RollingHost)


@dataclass(frozen=True)
class Members:
    """The nodes as the first manager that has a leader sees them."""

    managers: list[str] = field(default_factory=list)  # hosts of the inventory that have a leader
    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by ID

    @property
    def votes(self) -> int:
        """How many managers the swarm has."""
        return sum(node["role"] == "manager" for node in self.nodes.values())

    def traits(self, name: str, seen: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values of a RollingHost; None if the host has no node. `seen` is its result of swarm_host_info."""
        node = self.nodes.get(str(dig(seen, "swarm", "node_id")))
        if node is None and dig(seen, "swarm", "state") in _SILENT:
            named = [
                each
                for each in self.nodes.values()
                if (each.get("labels") or {}).get(HOST_LABEL) == name
            ]
            node = named[0] if len(named) == 1 else None
        if node is None:
            return None
        return {
            "name": name,
            "node_id": str(node["id"]),
            "manager": node["role"] == "manager",
            "leader": bool(node["leader"]),
            "zone": str((node.get("labels") or {}).get(ZONE_LABEL) or "-"),
            "in_service": node["availability"] != "drain",
        }


def members_of(observed: Mapping[str, Mapping[str, Any]]) -> Members:
    """The members; `observed` has the results of swarm_host_info by host, in the order of the inventory."""
    members = Members()
    for name, seen in observed.items():
        if dig(seen, "swarm", "cluster_id"):
            members.managers.append(name)
            if not members.nodes:
                members.nodes.update({n["id"]: n for n in dig(seen, "swarm", "nodes") or []})
    return members


def unusable(name: str, observed: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a named host that has no node cannot take part."""
    if name not in observed:
        return f"there is no host {name} in the groups of the swarm: check the name"
    if dig(observed[name], "swarm") is None:
        return f"{name} does not answer: bring it back, or leave it out"
    return f"{name} is not in the swarm: run site.yml first"


def names_of(asked: Collection[str], observed: Mapping[str, Any]) -> list[str]:
    """The hosts that are asked for, in order and each once."""
    return list(observed) if ALL in asked else list(dict.fromkeys(asked))


def quorum_loss(votes: int, verb: str) -> str:
    """What the swarm loses while one manager is away; empty if the others are a quorum. `verb` is a noun such as reboot."""
    if votes - 1 >= quorum_of(votes):
        return ""
    which = "the only manager" if votes == 1 else f"one of {votes} managers"
    return (
        f"the {verb} of {which} leaves the swarm without a quorum: until it is back, nothing can be changed and no task"
        " starts"
    )


def in_order(due: Iterable[Host], batch: int) -> list[list[Host]]:
    """First what is half-done; then zone by zone, workers before managers, and the leader last."""
    due = sorted(due, key=lambda host: host.name)
    batches = [[host] for host in due if host.first]
    ahead = [host for host in due if not host.first]
    last = {host.zone for host in ahead if host.leader}
    for zone in sorted({host.zone for host in ahead}, key=lambda zone: (zone in last, zone)):
        here = [host for host in ahead if host.zone == zone]
        for comes_back in (True, False):
            workers = [host for host in here if not host.manager and host.comes_back == comes_back]
            batches += [workers[i : i + batch] for i in range(0, len(workers), batch)]
        batches += [[host] for host in sorted(here, key=lambda host: host.leader) if host.manager]
    return batches


def batch_lines(
    batches: Sequence[Sequence[Host]], description: Callable[[Sequence[Host]], str]
) -> list[str]:
    """The batches as an aligned table."""
    names = [", ".join(host.name for host in batch) for batch in batches]
    zones = [batch[0].zone for batch in batches]
    wide, zone_wide = (max(map(len, column), default=0) for column in (names, zones))
    digits = len(str(len(batches)))
    return [
        f"  {number:>{digits}}  zone {zone:<{zone_wide}}  {hosts:<{wide}}  {description(batch)}"
        for number, (zone, hosts, batch) in enumerate(zip(zones, names, batches), 1)
    ]


def refused(refusals: Iterable[str]) -> list[str]:
    """The lines of a plan that is refused."""
    return ["PLAN  refused", *(f"  x refused  {text}" for text in refusals)]
