# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The order in which the hosts of a swarm are rebooted, and where a run resumes an interrupted one. Pure.

Each host that is due keeps a note until it is back in service: the boots, by their IDs, that the hosts of the run were in when
it began, and whether the host was in service. A host with another boot ID has been rebooted since, whoever did it. A host of
the run without a note is back in service if its boot is another one, and otherwise the run was killed before it got its note. So
there is no state anywhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._model.documents import dig, quorum_of
from .._model.labels import ZONE_LABEL

ALL = "all"
LOCKED = "locked"
REBOOT_RISKS = ("quorum",)


@dataclass(frozen=True)
class RebootHost:
    """A host of the inventory as it describes itself, and its node as the managers see it."""

    name: str
    node_id: str
    manager: bool
    leader: bool
    zone: str
    in_service: bool
    boot: str
    required: bool
    note: dict[str, Any] | None = None

    @property
    def rebooted(self) -> bool:
        """Whether it was rebooted since the run that left its note began."""
        return self.began != self.boot

    @property
    def boots(self) -> dict[str, str]:
        """The hosts of the run that left its note, with the boots that they were in."""
        boots = (self.note or {}).get("boots")
        return boots if isinstance(boots, dict) else {}

    @property
    def began(self) -> str:
        """The boot that it was in when the run that left its note began; without a note, its present one."""
        return self.boots.get(self.name) or self.boot

    @property
    def comes_back(self) -> bool:
        """Whether it gets its availability back. A node that an operator has drained stays drained."""
        return bool((self.note or {}).get("in_service", self.in_service))


@dataclass
class RebootPlan:
    """Hosts in batches, one batch after the other; or, where it is refused, the reasons."""

    batches: list[list[RebootHost]] = field(default_factory=list)
    managers: list[str] = field(default_factory=list)
    unlock: list[str] = field(default_factory=list)  # locked hosts, before anything else
    votes: int = 0  # managers of the swarm
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> list[RebootHost]:
        return [host for batch in self.batches for host in batch]

    def notes(self) -> dict[str, dict[str, Any]]:
        """The notes to be written, by host: to those that have none."""
        boots = {host.name: host.began for host in sorted(self.hosts, key=lambda host: host.name)}
        return {
            host.name: {"boots": boots, "in_service": host.in_service}
            for host in self.hosts
            if host.note is None
        }

    def lines(self) -> list[str]:
        """The plan as an aligned table."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {text}" for text in self.refusals)]
        if not self.managers:
            return ["PLAN  reboots of a locked swarm", *self._unlock_lines()]
        lines = [f"PLAN  reboots, one zone at a time, acting on {self.managers[0]}"]
        lines += self._unlock_lines()
        names = [_names(batch) for batch in self.batches]
        zones = [batch[0].zone for batch in self.batches]
        wide, zone_wide = (max(map(len, column), default=0) for column in (names, zones))
        digits = len(str(len(self.batches)))
        for number, batch in enumerate(self.batches, 1):
            zone, hosts = zones[number - 1], names[number - 1]
            lines.append(
                f"  {number:>{digits}}  zone {zone:<{zone_wide}}  {hosts:<{wide}}  {_description(batch)}"
            )
        lines += [f"  ! {text}" for text in self.warnings]
        lines += [f"  = {text}" for text in self.same]
        return lines

    def _unlock_lines(self) -> list[str]:
        names = ", ".join(self.unlock)
        why = "locked: the run unlocks it first, and plans again"
        return [f"  ~  unlock  {names}  {why}"] if names else []


def _names(batch: list[RebootHost]) -> str:
    return ", ".join(host.name for host in batch)


def _description(batch: list[RebootHost]) -> str:
    first = batch[0]
    kind = "leader, so the last one" if first.leader else "manager" if first.manager else "worker"
    if first.rebooted:
        return f"{kind}: already rebooted, only goes back into service"
    return kind if first.comes_back else f"{kind}: drained, stays drained"


def plan_reboots(
    observed: Mapping[str, Mapping[str, Any]],
    asked: Collection[str] | None,
    batch: int = 1,
    accepted: Collection[str] = (),
    can_unlock: bool = False,
) -> RebootPlan:
    """What is due, in its order.

    `observed` has the results of swarm_host_info by host, in the order of the inventory. `asked` has names of hosts, or
    `all`; None means what an interrupted run has left and the hosts that require a reboot. `batch` is the number of
    workers that reboot together, `accepted` has names of REBOOT_RISKS, and `can_unlock` says that an unlock key is given.
    """
    plan = RebootPlan()
    hosts = _hosts(observed, plan)
    if locked := [name for name, seen in observed.items() if dig(seen, "swarm", "state") == LOCKED]:
        # A manager that is not locked shows the key.
        if not plan.managers and not can_unlock:
            plan.refusals.append(
                f"{', '.join(locked)}: locked, and no manager can show the key: set swarm_unlock_key"
            )
            return plan
        plan.unlock = locked
    if not plan.managers and plan.unlock:
        return plan
    if not plan.managers:
        why = "no host of the inventory is a manager that sees a leader"
        plan.refusals.append(f"{why}: run check_health.yml to see the cause")
        return plan
    if batch < 1:
        plan.refusals.append(f"batch is {batch}: it must be at least 1")
    due = _due(hosts, observed, asked, plan)
    if any(host.manager and not host.rebooted for host in due):
        _guard(plan, accepted)
    if not plan.refusals:
        plan.batches = _in_order(due, batch)
    return plan


def _hosts(observed: Mapping[str, Mapping[str, Any]], plan: RebootPlan) -> dict[str, RebootHost]:
    nodes: dict[str, Mapping[str, Any]] = {}
    for name, seen in observed.items():
        if dig(seen, "swarm", "cluster_id"):
            plan.managers.append(name)
            nodes = nodes or {node["id"]: node for node in dig(seen, "swarm", "nodes") or []}
    plan.votes = sum(node["role"] == "manager" for node in nodes.values())
    hosts = {}
    for name, seen in observed.items():
        node = nodes.get(str(dig(seen, "swarm", "node_id")))
        if node is None:
            continue
        hosts[name] = RebootHost(
            name=name,
            node_id=str(node["id"]),
            manager=node["role"] == "manager",
            leader=bool(node["leader"]),
            zone=str((node.get("labels") or {}).get(ZONE_LABEL) or "-"),
            in_service=node["availability"] != "drain",
            boot=str(dig(seen, "host", "boot_id")),
            required=bool(dig(seen, "host", "reboot_required")),
            note=dig(seen, "host", "reboot_note"),
        )
    return hosts


def _due(
    hosts: dict[str, RebootHost],
    observed: Mapping[str, Mapping[str, Any]],
    asked: Collection[str] | None,
    plan: RebootPlan,
) -> list[RebootHost]:
    pending, over = _interrupted(hosts, plan)
    if asked is None:
        due = [host for host in hosts.values() if host in pending or host.required]
        if over:
            plan.same.append(f"{', '.join(sorted(over))}: already rebooted by the interrupted run")
        if not due:
            plan.same.append("no host requires a reboot")
        return due
    names = list(observed) if ALL in asked else list(dict.fromkeys(asked))
    due = []
    for name in names:
        host = hosts.get(name)
        if host is not None and name in over:
            plan.same.append(f"{name}: already rebooted by the interrupted run")
        elif host is not None:
            due.append(host)
        elif name not in observed:
            plan.refusals.append(
                f"there is no host {name} in the groups of the swarm: check the name"
            )
        elif name in plan.unlock:
            continue
        elif dig(observed[name], "swarm") is None:
            plan.refusals.append(f"{name} does not answer: bring it back, or leave it out")
        else:
            plan.refusals.append(f"{name} is not in the swarm: run site.yml first")
    if not names:
        plan.same.append("no host is named")
    left = [host.name for host in pending if host not in due]
    if left:
        plan.warnings.append(
            f"{', '.join(left)}: pending from an interrupted run, but not selected"
        )
    return due


def _interrupted(
    hosts: dict[str, RebootHost], plan: RebootPlan
) -> tuple[list[RebootHost], set[str]]:
    """The hosts that an interrupted run has left to do, and the names of those that it has done."""
    boots: dict[str, set[str]] = {}
    for host in hosts.values():
        for name, boot in host.boots.items():
            boots.setdefault(name, set()).add(str(boot))
    unknown = sorted(boots.keys() - hosts.keys())
    if unknown:
        plan.warnings.append(
            f"{', '.join(unknown)}: may be pending from an interrupted run, but cannot be observed"
        )
    left = [
        host
        for name, host in hosts.items()
        if host.note is not None or host.boot in boots.get(name, ())
    ]
    return left, (boots.keys() & hosts.keys()) - {host.name for host in left}


def _guard(plan: RebootPlan, accepted: Collection[str]) -> None:
    """One manager is away at a time, so what is left has to be a quorum."""
    if plan.votes - 1 >= quorum_of(plan.votes):
        return
    which = "the only manager" if plan.votes == 1 else f"one of {plan.votes} managers"
    text = (
        f"the reboot of {which} leaves the swarm without a quorum: until it is back, nothing can be changed and no task"
        " starts"
    )
    if "quorum" in accepted:
        plan.warnings.append(text)
    else:
        plan.refusals.append(f"{text}; add managers, or add quorum to swarm_reboot_accepted_risks")


def _in_order(due: Iterable[RebootHost], batch: int) -> list[list[RebootHost]]:
    """First what only has to go back into service; then zone by zone, workers before managers, and the leader last."""
    due = sorted(due, key=lambda host: host.name)
    batches = [[host] for host in due if host.rebooted]
    ahead = [host for host in due if not host.rebooted]
    last = {host.zone for host in ahead if host.leader}
    for zone in sorted({host.zone for host in ahead}, key=lambda zone: (zone in last, zone)):
        here = [host for host in ahead if host.zone == zone]
        for comes_back in (True, False):
            workers = [host for host in here if not host.manager and host.comes_back == comes_back]
            batches += [workers[i : i + batch] for i in range(0, len(workers), batch)]
        batches += [[host] for host in sorted(here, key=lambda host: host.leader) if host.manager]
    return batches
