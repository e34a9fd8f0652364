# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The order in which the hosts of a swarm are rebooted, and where a run that stopped has to go on. Pure.

Each host that is due keeps a note until it is back in service: the boot that it was in when the run began, the hosts of
that run, and whether it was in service. A boot that is another one says that it has been rebooted since. So nothing has
to be remembered elsewhere, and it does not matter who rebooted it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._labels import ZONE_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig, quorum_of

ALL = "all"
RISKS = ("quorum",)


@dataclass(frozen=True)
class Host:
    """A host of the inventory as it said of itself, and its node as the managers see it."""

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
        """Since the run that noted it began."""
        return self.note is not None and self.note.get("boot") not in (None, self.boot)

    @property
    def comes_back(self) -> bool:
        """Whether it is given back what it was available for. A node that an operator has drained stays drained."""
        return bool((self.note or {}).get("in_service", self.in_service))


@dataclass
class Plan:
    batches: list[list[Host]] = field(default_factory=list)
    managers: list[str] = field(default_factory=list)
    votes: int = 0
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> list[Host]:
        return [host for batch in self.batches for host in batch]

    def notes(self) -> dict[str, dict[str, Any]]:
        """What the hosts that have none have to keep from now on."""
        run = sorted(host.name for host in self.hosts)
        return {
            host.name: {"boot": host.boot, "in_service": host.in_service, "run": run}
            for host in self.hosts
            if host.note is None
        }

    def lines(self) -> list[str]:
        """As a table that a person reads in a hurry."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {text}" for text in self.refusals)]
        lines = [f"PLAN  reboots, one zone at a time, acting on {self.managers[0]}"]
        rows = [(_names(batch), batch[0].zone, _what(batch)) for batch in self.batches]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
        for number, (names, zone, what) in enumerate(rows, 1):
            lines.append(
                f"  {number:>{len(str(len(rows)))}}  zone {zone:<{widths[1]}}  {names:<{widths[0]}}  {what}"
            )
        lines += [f"  ! {text}" for text in self.warnings]
        lines += [f"  = {text}" for text in self.same]
        return lines


def _names(batch: list[Host]) -> str:
    return ", ".join(host.name for host in batch)


def _what(batch: list[Host]) -> str:
    first = batch[0]
    kind = "leader, so the last one" if first.leader else "manager" if first.manager else "worker"
    if first.rebooted:
        return f"{kind}: rebooted already, goes back into service"
    return kind if first.comes_back else f"{kind}: drained, and stays so"


def plan_reboots(
    observed: Mapping[str, Mapping[str, Any]],
    asked: Collection[str] | None,
    batch: int = 1,
    accepted: Collection[str] = (),
) -> Plan:
    """What is due, in its order. Without names, that is what an earlier run has left and what asks for a reboot itself."""
    plan = Plan()
    hosts = _hosts(observed, plan)
    if not plan.managers:
        why = "no host of the inventory is a manager that sees a leader"
        plan.refusals.append(f"{why}: see check_health.yml, which says what is wrong")
        return plan
    if batch < 1:
        plan.refusals.append(f"{batch} workers together are none: ask for 1 or more")
    due = _due(hosts, observed, asked, plan)
    if any(host.manager and not host.rebooted for host in due):
        _guard(plan, accepted)
    if not plan.refusals:
        plan.batches = _in_order(due, batch)
    return plan


def _hosts(observed: Mapping[str, Mapping[str, Any]], plan: Plan) -> dict[str, Host]:
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
        hosts[name] = Host(
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
    hosts: dict[str, Host],
    observed: Mapping[str, Mapping[str, Any]],
    asked: Collection[str] | None,
    plan: Plan,
) -> list[Host]:
    noted = [host for host in hosts.values() if host.note is not None]
    earlier = {name for host in noted for name in (host.note or {}).get("run") or ()}
    # Those of the earlier run that have no note any more are back in service.
    over = earlier - {host.name for host in noted}
    if asked is None:
        due = [host for host in hosts.values() if host.note is not None or host.required]
        if over:
            plan.same.append(
                f"{', '.join(sorted(over))}: rebooted by the run that this one goes on with"
            )
        if not due:
            plan.same.append("no host says that it has to be rebooted")
        return due
    names = list(observed) if ALL in asked else list(dict.fromkeys(asked))
    due = []
    for name in names:
        host = hosts.get(name)
        if host is not None and name in over:
            plan.same.append(f"{name}: rebooted by the run that this one goes on with")
        elif host is not None:
            due.append(host)
        elif name not in observed:
            plan.refusals.append(f"there is no host {name} in the groups of the swarm")
        elif dig(observed[name], "swarm") is None:
            plan.refusals.append(
                f"{name} does not answer: bring it back, or name the hosts without it"
            )
        else:
            plan.refusals.append(f"{name} is not in the swarm: run site.yml first")
    if not names:
        plan.same.append("no host is named")
    left = [host.name for host in noted if host not in due]
    if left:
        plan.warnings.append(f"{', '.join(left)}: due since a run that stopped, and not named now")
    return due


def _guard(plan: Plan, accepted: Collection[str]) -> None:
    """One manager is away at a time, so what is left has to be a quorum."""
    if plan.votes - 1 >= quorum_of(plan.votes):
        return
    how_many = "the only one" if plan.votes == 1 else f"one of {plan.votes}"
    text = (
        f"a manager that reboots is {how_many}, and without it the swarm has no quorum: nothing can be changed and no"
        " task starts until it is back"
    )
    if "quorum" in accepted:
        plan.warnings.append(text)
    else:
        plan.refusals.append(f"{text}; add managers, or add quorum to the accepted risks")


def _in_order(due: Iterable[Host], batch: int) -> list[list[Host]]:
    """What only has to go back into service first; then zone by zone, workers before managers, and the leader last."""
    due = sorted(due, key=lambda host: host.name)
    batches = [[host] for host in due if host.rebooted]
    ahead = [host for host in due if not host.rebooted]
    last = {host.zone for host in ahead if host.leader}
    for zone in sorted({host.zone for host in ahead}, key=lambda zone: (zone in last, zone)):
        here = [host for host in ahead if host.zone == zone]
        for comes_back in (True, False):
            workers = [h for h in here if not h.manager and h.comes_back == comes_back]
            batches += [workers[i : i + batch] for i in range(0, len(workers), batch)]
        batches += [[h] for h in sorted(here, key=lambda h: h.leader) if h.manager]
    return batches
