# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Who is in the swarm, and as what: (the nodes that are, the hosts of the inventory) -> ordered steps.

Pure. The same function makes the plan that is printed before a run and the one that swarm_nodes
carries out on a manager. Its order keeps a quorum and its margin at every step: what is dead is
removed first, what is new joins, promotions come before demotions, and what is alive is removed last.
A step is refused where it would be unsafe however often the run is repeated, and held back where it
only has to wait for something else.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._labels import (
    HOST_LABEL,
    LEAVING_LABEL,
    RESTARTING_LABEL,
    ZONE_LABEL,
    drained_from,
    labels_after,
    name_of,
    plan_labels,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Node,
    may_lose,
    moment,
    quorum_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    homeless,
    unplaceable,
)

# What a user may accept, and what then may happen.
RISKS = ("lost_margin", "uneven_zones", "homeless_services", "lack_of_room")

# Who does what: the managers' part is done by swarm_nodes, the rest by the host itself.
HOST_ACTIONS = ("restart", "join", "leave")


@dataclass(frozen=True)
class Wanted:
    """A host of the inventory, and what its node shall be."""

    name: str
    role: str | None = None  # manager or worker; None: as it is
    labels: dict[str, str] = field(default_factory=dict)  # the zone among them
    availability: str | None = None  # None: as it is
    node_id: str | None = None  # as the host itself reports it; None: it is in no swarm, or silent
    silent: bool = False  # it was not asked, or gave no answer: left as it is
    joining: bool = False  # it has begun to join
    hostname: str = ""
    addresses: tuple[str, ...] = ()
    rejoin: bool = False  # it shall leave and join again, under another address
    joined_by: str | None = (
        None  # where its engine would ask to become a manager, until it is restarted
    )
    traits: str = ""  # what its line in the plan says when it joins

    @property
    def newcomer(self) -> bool:
        return not self.silent and (self.node_id is None or self.joining)

    @property
    def zone(self) -> str:
        return self.labels.get(ZONE_LABEL, "")


@dataclass(frozen=True)
class Rules:
    """What the inventory allows."""

    remove_unlisted: bool = False
    removal_limit: float = 0.2  # share of the nodes that one run may remove; one always
    removal_down_after: int = 300  # seconds
    accepted_risks: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()  # nodes whose host has left, or cannot be asked to


@dataclass(frozen=True)
class Cluster:
    """What a manager sees. The services matter to some guards only, and may not be known."""

    nodes: tuple[Node, ...]
    acting: str | None = None  # the node that acts: it cannot demote itself
    now: float = 0.0
    places: tuple[PlacementNode, ...] = ()
    services: tuple[PlacementService, ...] | None = None
    tasks: tuple[PlacementTask, ...] = ()


@dataclass
class Membership:
    steps: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    held: list[dict[str, str]] = field(default_factory=list)  # name, action, why
    unlisted: list[str] = field(default_factory=list)  # and left as they are
    # Services that have no other place, which is accepted: a drain stops what it cannot move.
    left_behind: list[str] = field(default_factory=list)

    def add(self, action: str, name: str, node_id: str | None, text: str, **more: Any) -> None:
        step = {"action": action, "host": name, "node_id": node_id, "text": text}
        self.steps.append({**step, **{key: value for key, value in more.items() if value}})

    def hold(self, name: str, action: str, why: str) -> None:
        self.held.append({"name": name, "action": action, "why": why})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def down_for(node: Node, now: float) -> float | None:
    """Seconds since a node went down, or None if it is not.

    The engine has no such time; its record of the node changes when its state does (swarmkit:
    manager/dispatcher, processUpdates). Another change of the record begins the count anew: later is safe.
    """
    since = moment(node.updated_at) if node.state == "down" else None
    return None if since is None else max(0.0, now - since)


# Which node is which host


@dataclass
class Identified:
    node_of: dict[str, Node] = field(default_factory=dict)
    ghosts: list[tuple[Wanted, Node]] = field(default_factory=list)
    unlisted: list[Node] = field(default_factory=list)
    arrived: list[Node] = field(
        default_factory=list
    )  # what a host seems to be that was in no swarm
    unidentified: list[str] = field(default_factory=list)  # silent hosts that might be any node


def identify(nodes: tuple[Node, ...], wanted: list[Wanted]) -> Identified:
    """Nodes are what their hosts say. A silent host's node is found by the name we gave it, else by its own
    name or address; what a host left behind when it began anew, likewise."""
    found = Identified()
    by_id = {node.id: node for node in nodes}
    for host in wanted:
        if host.node_id in by_id:
            found.node_of[host.name] = by_id[host.node_id]
    free = [node for node in nodes if node.id not in {seen.id for seen in found.node_of.values()}]
    for host in (host for host in wanted if host.silent):
        mine = [node for node in free if node.labels.get(HOST_LABEL) == host.name] or [
            node for node in free if HOST_LABEL not in node.labels and _resembles(node, host)
        ]
        # Lines may have exchanged their names: what is at its address may be its node as well.
        mine += [node for node in free if node not in mine and _at_address(node, host)]
        if mine:
            found.node_of[host.name] = max(
                mine, key=lambda node: (node.ready, node.updated_at or "")
            )
            free = [node for node in free if node not in mine]
        else:
            found.unidentified.append(host.name)
    arriving = [host for host in wanted if not host.silent and host.name not in found.node_of]
    for node in free:
        origin = next(
            (host for host in wanted if not host.silent and _left_behind(node, host)), None
        )
        if origin is not None:
            found.ghosts.append((origin, node))
        elif HOST_LABEL not in node.labels and any(_resembles(node, host) for host in arriving):
            # Another run may have let it join since this one asked.
            found.arrived.append(node)
        else:
            found.unlisted.append(node)
    return found


def _resembles(node: Node, host: Wanted) -> bool:
    names = {host.name, host.name.partition(".")[0], host.hostname} - {""}
    return node.hostname in names or _at_address(node, host)


def _at_address(node: Node, host: Wanted) -> bool:
    return address_of(node) in host.addresses


def address_of(node: Node) -> str | None:
    """Where a node can be reached; the leader knows no such address of itself, but for the one of Raft."""
    for address in (_host_part(node.manager_addr or ""), node.addr or ""):
        if address and not address.startswith(("0.", "127.", "::")):
            return address
    return None


def _left_behind(node: Node, host: Wanted) -> bool:
    """Whether a node is what a listed host was before: the host itself says that it is another, or none."""
    label = node.labels.get(HOST_LABEL)
    if label is not None:
        return label == host.name
    return node.state != "ready" and not host.joining and _resembles(node, host)


def _taken_names(ghosts: list[tuple[Wanted, Node]]) -> list[str]:
    """Lines that point at another machine while the one that they pointed at lives. A host that began anew on the same
    machine seems alive for some heartbeats, too, at its own address."""
    return [
        f"{host.name} is at {host.addresses[0]} in the inventory, and the node that has joined under that name is"
        f" {node.state} at {address_of(node)}: to replace that machine, list the new one under a name of its own and"
        f" delete the line {host.name}, or switch the old one off and run again once it is down; else put its address"
        " back"
        for host, node in ghosts
        if node.state != "down"
        and address_of(node)
        and host.addresses
        and not _at_address(node, host)
    ]


# The plan


def plan_membership(cluster: Cluster, wanted: list[Wanted], rules: Rules) -> Membership:
    plan = Membership()
    # The engine lists nodes by their IDs, which are random: a plan of the same nodes has to be the same.
    cluster = replace(cluster, nodes=tuple(sorted(cluster.nodes, key=_by_name)))
    known = identify(cluster.nodes, wanted)
    plan.refusals += _taken_names(known.ghosts)
    wanted = [host if host.role else replace(host, role=_role_now(host, known)) for host in wanted]
    tally = _Tally(cluster.nodes)
    leaving = _choose_removals(plan, cluster, wanted, known, rules)
    if plan.refusals:
        return plan
    floor = _floor(plan, tally, wanted, known, leaving, rules)
    _remove_dead(plan, cluster, known, leaving, tally)
    _join(plan, wanted, tally)
    now, later = _promotions(plan, cluster, wanted, known, leaving)
    restarting = {node.id for _host, node, restarts in later if restarts}
    _promote(plan, now, tally)
    _relabel(plan, wanted, known, restarting)
    _set_availability(plan, wanted, known, restarting)
    _promote_after_restart(plan, cluster, wanted, known, later, tally)
    _demote(plan, cluster, wanted, known, tally, floor)
    _rejoin(plan, cluster, wanted, known, tally, rules)
    _remove_alive(plan, cluster, leaving, tally, floor, rules)
    _guard_zones(plan, cluster, wanted, known, rules)
    _guard_services(plan, cluster, wanted, known, rules)
    touched = {step.get("node_id") for step in plan.steps}
    plan.unlisted = [name_of(node) for node in known.unlisted if node.id not in touched]
    if tally.changed and tally.total % 2 == 0:
        plan.warnings.append(
            f"{tally.total} managers tolerate the loss of {may_lose(tally.total)}, no more than"
            f" {tally.total - 1} do: use an odd number"
        )
    if plan.refusals:
        plan.steps = []
    return plan


def _by_name(node: Node) -> tuple[str, str]:
    return name_of(node), node.id


def _role_now(host: Wanted, known: Identified) -> str:
    node = known.node_of.get(host.name)
    return node.role if node else "worker"


class _Tally:
    """The managers as the plan goes on: how many there are, and how many of them answer."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        managers = [node for node in nodes if node.votes]
        self.total = len(managers)
        self.reachable = sum(1 for node in managers if node.answers)
        self.start = may_lose(self.total, self.reachable)
        self.changed = False

    def after(self, total: int, reachable: int) -> tuple[int, int]:
        return self.total + total, self.reachable + reachable

    def move(self, total: int, reachable: int) -> str:
        before, self.changed = self.total, True
        self.total, self.reachable = self.after(total, reachable)
        return f"managers {before} -> {self.total}, may lose {may_lose(self.total, self.reachable)}"


@dataclass
class _Removals:
    dead: list[tuple[Node, str]] = field(default_factory=list)  # with why
    alive: list[Node] = field(default_factory=list)

    @property
    def nodes(self) -> list[Node]:
        return [node for node, _why in self.dead] + self.alive


def _choose_removals(
    plan: Membership, cluster: Cluster, wanted: list[Wanted], known: Identified, rules: Rules
) -> _Removals:
    """The nodes to be removed because no line lists them, with the guards against a mistake."""
    chosen = _Removals()
    if not known.unlisted or not rules.remove_unlisted:
        return chosen
    if known.unidentified:
        names = ", ".join(known.unidentified)
        for node in known.unlisted:
            plan.hold(
                name_of(node),
                "remove",
                f"not listed, and not removed: {names} gave no answer and may be this node; bring"
                f" {'it' if len(known.unidentified) == 1 else 'them'} back first",
            )
        return chosen
    for node in known.unlisted:
        since = down_for(node, cluster.now)
        if node.state == "ready":
            chosen.alive.append(node)
        elif node.id in rules.left or (LEAVING_LABEL in node.labels and node.state == "down"):
            # Who has left is of no known state for a while where a new leader has not seen it.
            chosen.dead.append((node, "line deleted, and has left"))
        elif since is not None and since >= rules.removal_down_after:
            chosen.dead.append((node, f"line deleted, down for {_duration(since)}"))
        elif since is not None:
            plan.hold(
                name_of(node),
                "remove",
                f"not listed and down for {since:.0f} s: removed once it has been down for"
                f" {rules.removal_down_after} s (swarm_removal_down_after)",
            )
        else:
            plan.hold(
                name_of(node), "remove", f"not listed, and its state is {node.state}: run again"
            )
    # Not the nodes that are there: ghosts among them go, hosts leave and join again, and what was allowed when a run
    # began has to be allowed until it ends.
    total = len(wanted) + len(known.unlisted)
    most = max(1, math.floor(rules.removal_limit * total + 1e-9))
    if len(chosen.nodes) > most:
        chosen = _begun(plan, chosen, most, rules) or chosen
    if len(chosen.nodes) > most:
        names = ", ".join(sorted(name_of(node) for node in chosen.nodes))
        plan.refusals.append(
            f"{len(chosen.nodes)} of {total} nodes are not listed and would be removed ({names}), and one"
            f" run may remove {most}: check that the inventory is whole; if it is, raise swarm_removal_limit (now"
            f" {rules.removal_limit:g} of the nodes)"
        )
    return chosen


def _begun(plan: Membership, chosen: _Removals, most: int, rules: Rules) -> _Removals | None:
    """Of too many nodes, those whose removal has begun: what has become due since then waits for the next run."""
    # Who has left in this run is finished in any case.
    kept = left = {node.id for node in chosen.nodes if node.id in rules.left}
    marked = left | {node.id for node in chosen.nodes if LEAVING_LABEL in node.labels}
    if len(marked) <= most:
        kept = marked
    if not kept:
        return None
    for node in chosen.nodes:
        if node.id not in kept:
            why = f"not listed, and one run may remove {most}: run again (swarm_removal_limit)"
            plan.hold(name_of(node), "remove", why)
    return _Removals(
        [(node, why) for node, why in chosen.dead if node.id in kept],
        [node for node in chosen.alive if node.id in kept],
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _floor(
    plan: Membership,
    tally: _Tally,
    wanted: list[Wanted],
    known: Identified,
    leaving: _Removals,
    rules: Rules,
) -> int:
    """How many managers it must be possible to lose at every step: as the start or the goal allows, the lesser."""
    gone = {node.id for node in leaving.nodes}
    kept = [node for node in known.unlisted if node.role == "manager" and node.id not in gone]
    total = sum(1 for host in wanted if host.role == "manager") + len(kept)
    goal = may_lose(total)
    fewer = any(
        known.node_of[host.name].role == "manager"
        for host in wanted
        if host.role == "worker" and host.name in known.node_of
    ) or any(node.role == "manager" for node in leaving.alive)
    if fewer and goal == 0 < tally.start and "lost_margin" not in rules.accepted_risks:
        plan.refusals.append(
            f"of {tally.total} managers {tally.start} may be lost now, of the {total} that the inventory leaves none"
            " may: list at least three managers, or add lost_margin to swarm_accepted_risks"
        )
    return 0 if "lost_margin" in rules.accepted_risks else min(tally.start, goal)


def _remove_dead(
    plan: Membership, cluster: Cluster, known: Identified, leaving: _Removals, tally: _Tally
) -> None:
    """The dead go first, managers before workers. A dead manager still counts in every vote, and a new host may need the
    name or the address of a dead node."""
    dead = [
        (host.name, node, "left behind when the host began anew") for host, node in known.ghosts
    ]
    dead += [(name_of(node), node, why) for node, why in leaving.dead]
    for name, node, why in sorted(dead, key=lambda item: not item[1].votes):
        row = f"remove {node.id}"
        # The engine demotes only who is one of Raft's, and removes others as they are.
        manager = node.votes
        words = f"{why}: {'demote, ' if manager else ''}remove"
        # Raft may call it reachable as soon as its host answers on the old address again.
        note = tally.move(-1, -1 if node.answers else 0) if manager else ""
        if manager:
            plan.add("demote", name, node.id, words, row=row, note=note, dead=True)
        plan.add("remove", name, node.id, words, row=row, note=note, dead=True)


def _join(plan: Membership, wanted: list[Wanted], tally: _Tally) -> None:
    for role in ("manager", "worker"):
        for host in wanted:
            if host.role == role and host.newcomer:
                note = tally.move(1, 1) if role == "manager" and not host.joining else ""
                text = f"{role}, is joining already: wait for it" if host.joining else host.traits
                plan.add("join", host.name, None, text or role, role=role, note=note)


def _promotions(
    plan: Membership,
    cluster: Cluster,
    wanted: list[Wanted],
    known: Identified,
    leaving: _Removals,
) -> tuple[list[tuple[Wanted, Node]], list[tuple[Wanted, Node, bool]]]:
    """Who becomes a manager: those whose engines find one to ask, and those for whom an engine is restarted, each with
    whether it is its own."""
    dead = {node.id for _host, node in known.ghosts} | {node.id for node, _why in leaving.dead}
    answering = {address_of(node) for node in cluster.nodes if node.answers and node.id not in dead}
    now: list[tuple[Wanted, Node]] = []
    after: list[tuple[Wanted, Node]] = []
    for host, node in _members(wanted, known):
        if host.role != "manager" or node.role == "manager" or host.rejoin:
            continue
        if node.state != "ready":
            plan.hold(
                host.name,
                "promote",
                f"not promoted: its node is {node.state}; start its engine and run again",
            )
        elif _asks_nobody(host, answering):
            after.append((host, node))
        else:
            answering.add(address_of(node))
            now.append((host, node))
    later = []
    for host, node in after:
        later.append((host, node, _asks_nobody(host, answering)))
        answering.add(address_of(node))
    return now, later


def _asks_nobody(host: Wanted, answering: set[str | None]) -> bool:
    return bool(host.joined_by) and _host_part(str(host.joined_by)) not in answering


def _promote(plan: Membership, promotions: list[tuple[Wanted, Node]], tally: _Tally) -> None:
    for host, node in promotions:
        note = tally.move(1, 1)
        _add_promotion(plan, "promote", host, node, "worker -> manager", note)


def _add_promotion(
    plan: Membership, action: str, host: Wanted, node: Node, text: str, note: str, **more: Any
) -> None:
    row = {"row": f"promote {node.id}", "note": note, **more}
    if action == "promote":
        row.update(before="worker", after="manager")
    plan.add(action, host.name, node.id, text, **row)


def _promote_after_restart(
    plan: Membership,
    cluster: Cluster,
    wanted: list[Wanted],
    known: Identified,
    promotions: list[tuple[Wanted, Node, bool]],
    tally: _Tally,
) -> None:
    """One host after the other: its work is moved away, for the restart of an engine stops what runs there. What the
    node was available for is given back by a later plan, once it is a manager."""
    for host, node, restarts in promotions:
        text = "worker -> manager"
        stays: list[str] = []
        if restarts:
            moves, stops, stays = _work_meanwhile(plan, cluster, wanted, known, node)
            text += f", its engine restarted first (it joined by {host.joined_by})"
            text += f", moves {_counted(moves)}" if moves else ""
            text += f", stops {_counted(stops)}" if stops else ""
        note = tally.move(1, 1)
        if restarts and node.availability != "drain":
            _add_promotion(
                plan, "drain", host, node, text, note, mark=RESTARTING_LABEL, left_behind=stays
            )
        if restarts:
            _add_promotion(plan, "restart", host, node, text, note)
        _add_promotion(plan, "promote", host, node, text, note)


def _work_meanwhile(
    plan: Membership, cluster: Cluster, wanted: list[Wanted], known: Identified, node: Node
) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Of the tasks on a node, by service: those that run elsewhere while its engine is restarted, and those that do not;
    and the services that would run elsewhere, had they a place."""
    services = {service.id: service for service in cluster.services or ()}
    counts: dict[str, int] = {}
    for task in cluster.tasks:
        if task.node_id == node.id and task.active and task.desired_state == "running":
            counts[task.service_id] = counts.get(task.service_id, 0) + 1
    if node.availability == "drain" or not counts:
        return {}, {}, []
    before = places_after(plan, cluster, wanted, known)
    after = [
        replace(place, availability="drain") if place.id == node.id else place for place in before
    ]
    every = list(services.values())
    lacking = {item.service for item in homeless(every, before, after)}
    lacking |= {item.service for item in unplaceable(every, list(cluster.tasks), after, {node.id})}
    moves: dict[str, int] = {}
    stops: dict[str, int] = {}
    for service_id, count in counts.items():
        service = services.get(service_id)
        if service is not None:
            movable = service.mode == "replicated" and service.name not in lacking
            (moves if movable else stops)[service.name] = count
    return moves, stops, sorted(lacking & stops.keys())


def _counted(tasks: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(tasks.items()))


def _host_part(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _members(wanted: list[Wanted], known: Identified) -> list[tuple[Wanted, Node]]:
    """The hosts that are nodes and gave an answer: what a run may change."""
    return [
        (host, known.node_of[host.name])
        for host in wanted
        if not host.silent and not host.joining and host.name in known.node_of
    ]


def _relabel(
    plan: Membership, wanted: list[Wanted], known: Identified, restarting: set[str]
) -> None:
    for host, node in _members(wanted, known):
        keep = host.rejoin or node.id in restarting
        plan.steps += plan_labels(node, host.name, host.labels, keep_mark=keep)


def _set_availability(
    plan: Membership, wanted: list[Wanted], known: Identified, restarting: set[str]
) -> None:
    for host, node in _members(wanted, known):
        if host.rejoin or (node.id in restarting and node.availability == "drain"):
            continue
        mark = drained_from(node.labels)
        availability = host.availability or mark
        if availability and availability != node.availability:
            why = ""
            if mark and not host.availability:
                over = RESTARTING_LABEL in node.labels
                why = ", as before its restart" if over else ", for its removal is called off"
            plan.add(
                "availability",
                host.name,
                node.id,
                f"{node.availability} -> {availability}{why}",
                before=node.availability,
                after=availability,
            )


def _last(cluster: Cluster, nodes: list[tuple[Any, Node]]) -> list[tuple[Any, Node]]:
    """Who does not answer first, for without it the others can be spared sooner; the leader late, for each change of
    leader costs an election; who acts last, who cannot demote itself."""
    return sorted(
        nodes, key=lambda item: (item[1].id == cluster.acting, item[1].leader, item[1].answers)
    )


def _demote(
    plan: Membership,
    cluster: Cluster,
    wanted: list[Wanted],
    known: Identified,
    tally: _Tally,
    floor: int,
) -> None:
    mine = [
        (host, node)
        for host, node in _members(wanted, known)
        if host.role == "worker" and node.role == "manager"
    ]
    for host, node in _last(cluster, mine):
        why = _unsafe(tally, node, floor) or _indispensable(plan, cluster, wanted, known, node)
        if why:
            plan.hold(host.name, "demote", f"not demoted: {why}")
        else:
            note = tally.move(-1, -1 if node.answers else 0)
            plan.add(
                "demote",
                host.name,
                node.id,
                "manager -> worker",
                note=note,
                before="manager",
                after="worker",
            )


def _unsafe(tally: _Tally, node: Node, floor: int) -> str | None:
    """Why the swarm cannot do without this manager now; None where it can."""
    if not node.votes:
        return "its promotion has not come to its end: run again"
    total, reachable = tally.after(-1, -1 if node.answers else 0)
    if reachable < quorum_of(total):
        return (
            f"{reachable} of {total} managers would answer, {quorum_of(total)} are needed for a quorum: bring managers"
            " back or add some first"
        )
    if may_lose(total, reachable) < floor:
        return (
            f"{reachable} of {total} managers would answer and {may_lose(total, reachable)} might be lost, {floor} may"
            " be now: bring managers back or add some first, or add lost_margin to swarm_accepted_risks"
        )
    return None


def _indispensable(
    plan: Membership, cluster: Cluster, wanted: list[Wanted], known: Identified, node: Node
) -> str | None:
    """Why who acts cannot give up its role: that is for another listed manager to do."""
    if node.id != cluster.acting:
        return None
    if any(step["action"] == "promote" or step.get("role") == "manager" for step in plan.steps):
        return None
    if any(
        host.role == "manager" and other.role == "manager" and other.answers and other.id != node.id
        for host, other in _members(wanted, known)
    ):
        return None
    return "no other listed manager answers, and who acts cannot demote itself: bring one back"


def _rejoin(
    plan: Membership,
    cluster: Cluster,
    wanted: list[Wanted],
    known: Identified,
    tally: _Tally,
    rules: Rules,
) -> None:
    """One host after the other leaves and joins again: an address is fixed when a host joins."""
    for host, node in _last(cluster, [pair for pair in _members(wanted, known) if pair[0].rejoin]):
        row = f"rejoin {node.id}"
        why = None
        if node.role == "manager":
            why = _unsafe(tally, node, 0) or _indispensable(plan, cluster, wanted, known, node)
        if why:
            plan.hold(host.name, "rejoin", f"does not rejoin under its new address: {why}")
            continue
        words = [*_departure(cluster, node, rules), "remove", "join anew"]
        text = f"its address has changed: {', '.join(words)}"
        note = ""
        if node.role == "manager":
            tally.move(-1, -1 if node.answers else 0)
            note = f"managers {tally.total + 1} -> {tally.total} -> {tally.total + 1} meanwhile"
            tally.move(1, 1)
        for action in _departure(cluster, node, rules, count=False):
            plan.add(action, host.name, node.id, text, row=row, note=note, comes_back=True)
        plan.add("remove", host.name, node.id, text, row=row, note=note)
        plan.add("join", host.name, None, text, row=row, note=note, role=host.role)


def _departure(cluster: Cluster, node: Node, rules: Rules, count: bool = True) -> list[str]:
    """What has to be done before a node that is alive can be removed."""
    words = []
    if node.availability != "drain" or LEAVING_LABEL not in node.labels:
        tasks = _tasks_on(cluster, node) if count else None
        words.append(
            "drain" if tasks is None else f"drain {tasks} {'task' if tasks == 1 else 'tasks'}"
        )
    if node.role == "manager":
        words.append("demote")
    if node.id not in rules.left:
        words.append("leave")
    return words


def _tasks_on(cluster: Cluster, node: Node) -> int | None:
    if cluster.services is None:
        return None
    return sum(
        1 for task in cluster.tasks if task.node_id == node.id and task.desired_state == "running"
    )


def _remove_alive(
    plan: Membership,
    cluster: Cluster,
    leaving: _Removals,
    tally: _Tally,
    floor: int,
    rules: Rules,
) -> None:
    """All are drained together, for what leaves one must not land on the next; then demoted one by one."""
    parts: dict[str, list[tuple[Node, str, str]]] = {
        "drain": [],
        "demote": [],
        "leave": [],
        "remove": [],
    }
    for _name, node in _last(cluster, [(name_of(node), node) for node in leaving.alive]):
        why = _unsafe(tally, node, floor) if node.role == "manager" else None
        if why:
            plan.hold(name_of(node), "remove", f"not listed, and not removed: {why}")
            continue
        note = tally.move(-1, -1 if node.answers else 0) if node.role == "manager" else ""
        text = f"line deleted: {', '.join([*_departure(cluster, node, rules), 'remove'])}"
        for action in [*_departure(cluster, node, rules, count=False), "remove"]:
            parts[action].append((node, text, note))
    for action, items in parts.items():
        for node, text, note in items:
            plan.add(
                action,
                name_of(node),
                node.id,
                text,
                row=f"remove {node.id}",
                note=note,
                addr=address_of(node),
            )


# Guards over the whole


def _guard_zones(
    plan: Membership, cluster: Cluster, wanted: list[Wanted], known: Identified, rules: Rules
) -> None:
    """With three zones or more, losing one must leave a quorum, and with three each has a manager."""
    zones = {host.zone for host in wanted if host.zone}
    removed = {step["node_id"] for step in plan.steps if step["action"] == "remove"}
    others = [
        node.labels.get(ZONE_LABEL, "")
        for node in known.unlisted
        if node.role == "manager" and node.id not in removed
    ]
    goal = [host.zone for host in wanted if host.role == "manager"] + others
    # What the inventory says of a host is true of it before its node has the label.
    zone_of = {node.id: host.zone for host, node in known.ghosts}
    zone_of.update(
        (known.node_of[host.name].id, host.zone) for host in wanted if host.name in known.node_of
    )
    start = [
        zone_of.get(node.id, node.labels.get(ZONE_LABEL, ""))
        for node in cluster.nodes
        if node.role == "manager"
    ]
    faults = zone_faults(goal, zones)
    # A fault that is there already is none of this edit's: a manager may always be replaced.
    there = zone_faults(start, zones, 2, now=True)
    refused = "uneven_zones" not in rules.accepted_risks and not faults.keys() <= there.keys()
    stays = not plan.steps or sorted(start) == sorted(goal)
    for fault, text in faults.items():
        if not refused:
            plan.warnings.append(there.get(fault, text) if stays else text)
        elif fault not in there:
            plan.refusals.append(f"{text}; or add uneven_zones to swarm_accepted_risks")


def zone_faults(
    managers: list[str], zones: set[str], fewest: int = 3, now: bool = False
) -> dict[tuple[str, str], str]:
    """What is wrong with managers in these zones, of all the zones that hosts are in; from `fewest` managers on. Said of
    what is to be, or of what is now."""
    holds, lacks = ("holds", "is") if now else ("would hold", "would be")
    if len(zones) < 3 or len(managers) < fewest:
        return {}
    faults = {}
    for zone in sorted(zones):
        held = managers.count(zone)
        if len(managers) - held < quorum_of(len(managers)):
            faults["majority", zone] = (
                f"zone {zone} {holds} {held} of {len(managers)} managers, and losing it would lose the quorum"
                f" ({quorum_of(len(managers))}): spread the managers over the zones"
            )
        elif held == 0 and len(zones) == 3:
            faults["none", zone] = (
                f"zone {zone} {lacks} without a manager, of {len(managers)} in three zones: put one there"
            )
    return faults


def _guard_services(
    plan: Membership, cluster: Cluster, wanted: list[Wanted], known: Identified, rules: Rules
) -> None:
    """What services would have nowhere to run, and what drained work would find no room."""
    if cluster.services is None or not plan.steps:
        return
    after = places_after(plan, cluster, wanted, known)
    # A paused node takes no new work, and keeps what it has.
    keeping = {node.id for node in after if node.availability != "drain"}
    # What ran on a dead node has to find another place whatever the plan does.
    dead = {step["node_id"] for step in plan.steps if step.get("dead")}
    moving = {
        node.id
        for node in cluster.places
        if node.availability != "drain" and node.id not in keeping | dead
    }
    for name, constraint, count in homeless(list(cluster.services), list(cluster.places), after):
        text = f"no node would be left that can run the service {name} ({constraint or 'any node'}; {count} can now)"
        _mind(plan, rules, "homeless_services", name, text, "keep or add one")
    if moving and not plan.refusals:
        for name, count, lack in unplaceable(
            list(cluster.services), list(cluster.tasks), after, moving
        ):
            text = (
                f"{count} {'task' if count == 1 else 'tasks'} of the service {name} would find no room on the nodes that"
                f" stay ({lack})"
            )
            _mind(plan, rules, "lack_of_room", name, text, "add a node, lower the reservations")


def _mind(plan: Membership, rules: Rules, risk: str, service: str, text: str, advice: str) -> None:
    if risk not in rules.accepted_risks:
        plan.refusals.append(f"{text}: {advice}, or add {risk} to swarm_accepted_risks")
    elif service not in plan.left_behind:
        plan.left_behind.append(service)


def places_after(
    plan: Membership, cluster: Cluster, wanted: list[Wanted], known: Identified
) -> list[PlacementNode]:
    """Where tasks could run once the plan is carried out."""
    places = {node.id: node for node in cluster.places}
    host_of = {node.id: host for host, node in _members(wanted, known)}
    for step in plan.steps:
        node_id = step["node_id"]
        if step["action"] == "join":
            host = next(host for host in wanted if host.name == step["host"])
            places[f"joins:{host.name}"] = PlacementNode(
                id=f"joins:{host.name}",
                hostname=host.hostname or host.name,
                role=host.role or "worker",
                os="linux",
                labels=dict(host.labels),
                availability=host.availability or "active",
                state="ready",
            )
        elif node_id not in places:
            continue
        elif step["action"] == "remove":
            del places[node_id]
        elif step["action"] in ("promote", "demote"):
            role = "manager" if step["action"] == "promote" else "worker"
            places[node_id] = replace(places[node_id], role=role)
        elif step["action"] == "labels":
            host = host_of[node_id]
            labels = labels_after(places[node_id].labels, host.labels, host.name)
            places[node_id] = replace(places[node_id], labels=labels)
        elif step["action"] == "availability":
            places[node_id] = replace(places[node_id], availability=step["after"])
    return list(places.values())


def managers_part(steps: list[dict[str, Any]], acting: str | None) -> list[dict[str, Any]]:
    """The steps that a manager can take now: up to the first that a host has to take itself, or another manager."""
    mine = []
    for step in steps:
        if step["action"] in HOST_ACTIONS or (
            step["action"] == "demote" and step["node_id"] == acting
        ):
            break
        mine.append(step)
    return mine


def next_round(steps: list[dict[str, Any]], acting: str | None) -> dict[str, Any]:
    """What a run can do before it has to look again: the managers' part, who leaves, what that lets the
    managers do, and who joins."""
    first = managers_part(steps, acting)
    at = len(first)
    restart = _run_of(steps, at, "restart")
    at += len(restart)
    leave = _run_of(steps, at, "leave")
    at += len(leave)
    if leave:
        at += len(managers_part(steps[at:], acting))
    join = _run_of(steps, at, "join")
    at += len(join)
    return {
        "nodes": bool(first),
        "restart": [step["host"] for step in restart],
        "leave": [
            {
                "host": step["host"],
                "node_id": step["node_id"],
                "addr": step.get("addr"),
                "comes_back": step.get("comes_back", False),
            }
            for step in leave
        ],
        "join_managers": [step["host"] for step in join if step["role"] == "manager"],
        "join_workers": [step["host"] for step in join if step["role"] == "worker"],
        # Who joins gets its labels once it is a node.
        "more": bool(join) or at < len(steps),
    }


def _run_of(steps: list[dict[str, Any]], at: int, action: str) -> list[dict[str, Any]]:
    found = []
    for step in steps[at:]:
        if step["action"] != action:
            break
        found.append(step)
    return found
