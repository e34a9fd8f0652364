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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._model.documents import dig
from .rolling import (
    RollingHost,
    batch_lines,
    in_order,
    members_of,
    names_of,
    quorum_loss,
    refused,
    unusable,
)

LOCKED = "locked"
REBOOT_RISKS = ("quorum",)


@dataclass(frozen=True)
class RebootHost(RollingHost):
    """A host as it describes itself, and its node."""

    boot: str
    required: bool
    note: dict[str, Any] | None = None

    @property
    def rebooted(self) -> bool:
        """Whether it was rebooted since the run that left its note began."""
        return self.began != self.boot

    @property
    def first(self) -> bool:
        """Whether it only has to go back into service."""
        return self.rebooted

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
            return refused(self.refusals)
        if not self.managers:
            return ["PLAN  reboots of a locked swarm", *self._unlock_lines()]
        return [
            f"PLAN  reboots, one zone at a time, acting on {self.managers[0]}",
            *self._unlock_lines(),
            *batch_lines(self.batches, _description),
            *(f"  ! {text}" for text in self.warnings),
            *(f"  = {text}" for text in self.same),
        ]

    def _unlock_lines(self) -> list[str]:
        names = ", ".join(self.unlock)
        why = "locked: the run unlocks it first, and plans again"
        return [f"  ~  unlock  {names}  {why}"] if names else []


def _description(batch: Sequence[RebootHost]) -> str:
    first = batch[0]
    if first.rebooted:
        return f"{first.kind}: already rebooted, only goes back into service"
    return first.kind if first.comes_back else f"{first.kind}: drained, stays drained"


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
        plan.batches = in_order(due, batch)
    return plan


def _hosts(observed: Mapping[str, Mapping[str, Any]], plan: RebootPlan) -> dict[str, RebootHost]:
    members = members_of(observed)
    plan.managers, plan.votes = members.managers, members.votes
    hosts = {}
    for name, seen in observed.items():
        traits = members.traits(name, seen)
        if traits is not None:
            hosts[name] = RebootHost(
                **traits,
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
    names = names_of(asked, observed)
    due = []
    for name in names:
        host = hosts.get(name)
        if host is not None and name in over:
            plan.same.append(f"{name}: already rebooted by the interrupted run")
        elif host is not None:
            due.append(host)
        elif name in plan.unlock:
            continue
        else:
            plan.refusals.append(unusable(name, observed))
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
    text = quorum_loss(plan.votes, "reboot")
    if text and "quorum" in accepted:
        plan.warnings.append(text)
    elif text:
        plan.refusals.append(f"{text}; add managers, or add quorum to swarm_reboot_accepted_risks")
