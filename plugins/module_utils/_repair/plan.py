# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of a repair: for each fault the smallest step that has not been tried, as far as it is allowed. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._common.words import abbreviate, count_of
from .faults import Fault, Known

# What a repair may do, from the smallest step to the largest one. Each includes those before it.
ENTRIES, TASKS, ENGINES = "entries", "tasks", "engines"
LEVELS = (ENTRIES, TASKS, ENGINES)
# Of 300 nodes that one has lost, there would be thousands.
_MOST_LINES = 30
Line = tuple[str, str, str, str]  # a sign, the kind of step, whom it is about, and words


@dataclass
class RepairPlan:
    """What each host does, which services restart, and which engines."""

    # By NodeID: `entries` and `interfaces`, the options of swarm_repair_node.
    hosts: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    engines: list[str] = field(default_factory=list)  # NodeIDs
    lines: list[str] = field(default_factory=list)
    needs: str = ""  # the level that would allow what is withheld


def plan_repair(
    known: Known, faults: Sequence[Fault], may: str, tried: Collection[str] = ()
) -> RepairPlan:
    """The plan. `tried` are the levels of steps that this run has taken already, and that did not help: no fault gets one twice."""
    plan = RepairPlan()
    small: list[Fault] = []
    larger: dict[tuple[str, str], list[Fault]] = defaultdict(list)
    culprit = _culprit(faults)
    for fault in faults:
        level, subject = _step(fault, tried, culprit)
        if level == ENTRIES:
            small.append(fault)
            _note(plan, fault)
        else:
            larger[level, subject].append(fault)
    steps: list[Line] = []
    withheld: list[str] = []
    for (level, subject), those in sorted(larger.items()):
        why = reasons_of(known, those)
        # The interrupted run was allowed to begin what is finished now.
        begun = any(fault.kind == "unfinished" for fault in those)
        if level in tried:
            withheld.append(f"  x left       {why}")
        elif LEVELS.index(level) > LEVELS.index(may) and not begun:
            plan.needs = max(plan.needs or ENTRIES, level, key=LEVELS.index)
            withheld.append(f"  x withheld   {why}   needs swarm_repair_up_to={level}")
        elif level == TASKS:
            plan.services.append(subject)
            steps.append(("~", "service", subject, f"its tasks restart: {why}"))
        else:
            plan.engines.append(subject)
            words = f"is drained, its engine restarts, and it is put back: {why}"
            steps.append(("~", "engine", known.name(subject), words))
    lines = [*_small_lines(known, small), *steps]
    width = max((len(name) for _sign, _action, name, _words in lines), default=0)
    plan.lines = [
        *(f"  {sign} {action:<9}  {name:<{width}}  {words}" for sign, action, name, words in lines),
        *withheld,
    ]
    return plan


def reasons_of(known: Known, faults: Sequence[Fault], most: int = 2) -> str:
    """What is wrong, and where: what is wrong in the same way on several nodes is said once."""
    nodes: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        nodes[f"{_where(known, fault)} {fault.found}"].append(known.name(fault.node))
    return abbreviate([f"{words} on {abbreviate(names)}" for words, names in nodes.items()], most)


def _culprit(faults: Sequence[Fault]) -> str:
    """The one node that has wrong names of several services, or whose tasks all others lack. Its engine restarts rather than all these
    services. Empty if there is none."""
    named = [fault for fault in faults if fault.kind == "name"]
    if len({(fault.network, fault.service) for fault in named}) < 2:
        return ""
    common = set.intersection(*({fault.node, fault.owner} for fault in named)) - {""}
    return common.pop() if len(common) == 1 else ""


def _step(fault: Fault, tried: Collection[str], culprit: str) -> tuple[str, str]:
    """The level of the smallest step for a fault, and the service or the node that it is about."""
    if fault.kind in ("entry", "interface") and ENTRIES not in tried:
        return ENTRIES, ""
    if fault.kind == "name" and culprit:
        return ENGINES, culprit
    if fault.service and TASKS not in tried:
        return TASKS, fault.service
    # Where a name lacks the tasks of one node, that node has not told the others.
    return ENGINES, fault.owner if fault.kind == "name" and fault.owner else fault.node


def _where(known: Known, fault: Fault) -> str:
    """What is wrong, without how."""
    network = known.networks.get(fault.network, fault.network)
    if fault.kind == "entry":
        return f"{network} {fault.what} of {known.name(fault.owner)}"
    if fault.kind == "name":
        return f"tasks.{fault.what} in {network}"
    if fault.kind == "resolver":
        return f"the resolver for containers in {network}"
    return fault.what or "the node"


def _note(plan: RepairPlan, fault: Fault) -> None:
    """Note what a host writes or removes."""
    host = plan.hosts.setdefault(fault.node, {"entries": [], "interfaces": []})
    if fault.kind == "interface":
        host["interfaces"].append(fault.what)
        return
    host["entries"].append(
        {
            "network": fault.network,
            "address": fault.what,
            "mac": fault.mac,
            "host": fault.host,
            "found_mac": fault.found_mac,
            "found_host": fault.found_host,
        }
    )


def _small_lines(known: Known, faults: Sequence[Fault]) -> list[Line]:
    """The lines of what hosts write and remove, one for all addresses of a node."""
    grouped: dict[tuple[str, ...], list[Fault]] = defaultdict(list)
    for fault in faults:
        grouped[fault.kind, fault.node, fault.network, fault.owner, fault.found].append(fault)
    lines = []
    for (kind, node, network, owner, found), those in grouped.items():
        what = abbreviate([fault.what for fault in those], 3)
        if kind == "interface":
            lines.append(("-", "interface", known.name(node), f"{what}: {found}"))
            continue
        words = f"{known.networks.get(network, network)} {what} of {known.name(owner)}: {found} -> {those[0].host}"
        lines.append(("~" if those[0].found_mac else "+", "entry", known.name(node), words))
    if len(lines) > _MOST_LINES:
        more = count_of(len(lines) - _MOST_LINES, "line")
        return [*lines[:_MOST_LINES], ("", "...", "", f"and {more} like these")]
    return lines


def report(
    known: Known,
    nodes: Sequence[Mapping[str, Any]],
    faults: Sequence[Fault],
    plan: RepairPlan,
    by: str,
) -> list[str]:
    """The plan as people read it, with what was looked at."""
    read = {str(each["node_id"]) for each in nodes if each.get("node_id") in known.nodes}
    silent = sorted(known.name(node) for node in known.nodes.keys() - read)
    networks = [network for each in nodes for network in (each.get("networks") or {}).values()]
    entries, names = (
        sum(len(network[key] or ()) for network in networks) for key in ("entries", "names")
    )
    wrong = {fault.node for fault in faults}
    lines = [f"PLAN  repair the network, acting on {by}", *plan.lines]
    if silent:
        lines.append(f"  ! not read: {abbreviate(silent)}")
    well = len(read - wrong)
    looked = f"{count_of(entries, 'entry', 'entries')} and {count_of(names, 'answer')} read"
    lines.append(
        f"  = {count_of(well, 'node')} as {'it' if well == 1 else 'they'} should be, {looked}"
    )
    return lines
