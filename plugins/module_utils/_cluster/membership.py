# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Who is in the swarm, and as what: (the nodes that are, the hosts of the inventory) -> ordered steps. Pure.

The same function makes the plan that is printed before a run and the one that swarm_nodes carries out on a manager. Its
order keeps a quorum and its margin at every step: what is dead is removed first, what is new joins, promotions come
before demotions, and what is alive is removed last. A step is refused where it would be unsafe however often the run is
repeated, and held back where it only has to wait for something else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from .._common.words import Text, as_is, count_of, joined, packed, text, tolerates, unpacked
from .._model.documents import Node, may_lose, moment, quorum_of
from .._model.labels import (
    LEAVING_LABEL,
    RESTARTING_LABEL,
    ZONE_LABEL,
    drained_from,
    labels_after,
    name_of,
)
from .._model.services import REPLICATED
from .._scheduler.losses import Loss, homeless_losses, room_losses
from .._scheduler.placement import (
    PlacementNode,
    PlacementService,
    PlacementTask,
    homeless,
    unplaceable,
)
from .identity import DesiredMember, address_of, address_part, identify, is_at
from .node_labels import only_records, plan_labels
from .steps import HeldBack, MemberStep, parse_held, parse_step

T = TypeVar("T")

# What a user may accept, and what then may happen.
MEMBERSHIP_RISKS = ("lost_margin", "uneven_zones", "homeless_services", "lack_of_room")


@dataclass(frozen=True)
class Rules:
    """What the inventory allows."""

    adopted: bool = False  # nodes without a label of ours get none where nothing else changes
    remove_unlisted: bool = False
    removal_limit: float = 0.2  # share of the nodes that one run may remove; one always
    removal_down_after: int = 300  # seconds
    accepted_risks: frozenset[str] = frozenset()  # of MEMBERSHIP_RISKS
    left: frozenset[str] = frozenset()  # IDs of nodes whose host has left, or cannot be asked to


def parse_rules(options: dict[str, Any]) -> Rules:
    """The rules among the options of swarm_nodes, or the variables of the same names."""
    known: dict[str, Any] = {
        key: frozenset(value) if key in ("accepted_risks", "left") else value
        for key, value in options.items()
        if key in Rules.__dataclass_fields__ and value is not None
    }
    return Rules(**known)


@dataclass(frozen=True)
class Cluster:
    """What a manager sees. The services matter to some guards only, and may not be known."""

    nodes: tuple[Node, ...]
    acting: str | None = None  # the ID of the node that acts: it cannot demote itself
    now: float = 0.0  # seconds since 1970
    places: tuple[PlacementNode, ...] = ()
    services: tuple[PlacementService, ...] | None = None
    tasks: tuple[PlacementTask, ...] = ()


@dataclass
class Membership:
    """The plan of the members: ordered steps; or sentences that say why it is refused, and no steps."""

    steps: list[MemberStep] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    held: list[HeldBack] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)  # nodes of no listed host that stay
    # Services that have no other place, which is accepted: a drain stops what it cannot move.
    left_behind: list[str] = field(default_factory=list)

    def hold(self, name: str, action: str, why: str) -> None:
        self.held.append(HeldBack(name, action, why))

    def as_data(self) -> dict[str, Any]:
        """The plan in the result of swarm_nodes."""
        said = {"refusals": self.refusals, "warnings": self.warnings}
        return {
            **vars(self),
            "steps": [step.as_data() for step in self.steps],
            "held": [item.as_data() for item in self.held],
            **{name: [str(each) for each in sentences] for name, sentences in said.items()},
            # How they are made, so that the page can say them in another language.
            "words": {name: [packed(each) for each in said[name]] for name in said},
        }


def parse_membership(data: dict[str, Any]) -> Membership:
    """The plan that Membership.as_data has made data of."""
    words = data.get("words") or {}
    return Membership(
        **{
            **{key: value for key, value in data.items() if key != "words"},
            **{name: [unpacked(each) for each in words[name]] for name in words},
            "steps": [parse_step(step) for step in data["steps"]],
            "held": [parse_held(item) for item in data["held"]],
        }
    )


def down_for(node: Node, now: float) -> float | None:
    """Seconds since a node went down, or None if it is not.

    The engine has no such time; its record of the node changes when its state does (swarmkit:
    manager/dispatcher, processUpdates). Another change of the record restarts the count: later is safe.
    """
    since = moment(node.updated_at) if node.state == "down" else None
    return None if since is None else max(0.0, now - since)


def _taken_names(ghosts: list[tuple[DesiredMember, Node]]) -> list[str]:
    """Lines that point at another machine while the one that they pointed at lives. A host that was reinstalled on the
    same machine seems alive for some heartbeats, too, at its own address."""
    return [
        text(
            "{name} is at {address} in the inventory, but the node of that name is {state} at {old}: to replace that machine, list"
            " the new one under another name and delete the line {name}, or switch the old one off and run again once its node is"
            " down; otherwise restore its address",
            name=host.name,
            address=host.addresses[0],
            state=node.state,
            old=address_of(node),
        )
        for host, node in ghosts
        if node.state != "down" and address_of(node) and host.addresses and not is_at(node, host)
    ]


# The plan


def plan_membership(cluster: Cluster, desired: list[DesiredMember], rules: Rules) -> Membership:
    """The steps that make the nodes of a cluster what the inventory wants, in a safe order.

    A plan that is refused has refusals and no steps. What only has to wait is held back, and the rest is planned.
    """
    return _MembershipPlanner(cluster, desired, rules).make()


class _Tally:
    """The managers as the plan goes on: how many there are, and how many of them answer."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        managers = [node for node in nodes if node.votes]
        self.total = len(managers)
        self.reachable = sum(1 for node in managers if node.answers)
        self.start = may_lose(self.total, self.reachable)
        self.changed = False

    def without(self, node: Node) -> tuple[int, int]:
        """How many managers there are without this one, and how many of them answer."""
        return self.total - 1, self.reachable - node.answers

    def add(self) -> Text:
        """One more manager, which answers; the note of that step."""
        return self._set(self.total + 1, self.reachable + 1)

    def remove(self, node: Node) -> Text:
        """One manager less; the note of that step."""
        return self._set(*self.without(node))

    def _set(self, total: int, reachable: int) -> Text:
        before, self.changed = self.total, True
        self.total, self.reachable = total, reachable
        return text(
            "managers {before} -> {after}, {tolerates}",
            before=before,
            after=total,
            tolerates=tolerates(may_lose(total, reachable)),
        )


@dataclass
class _Removals:
    """Nodes that no line lists, and that are removed."""

    dead: list[tuple[Node, Text]] = field(default_factory=list)  # with why
    alive: list[Node] = field(default_factory=list)

    @property
    def nodes(self) -> list[Node]:
        return [node for node, _why in self.dead] + self.alive


class _MembershipPlanner:
    """One plan in the making: what is known, and what has been planned so far."""

    def __init__(self, cluster: Cluster, desired: list[DesiredMember], rules: Rules) -> None:
        # The engine lists nodes by their IDs, which are random: a plan of the same nodes has to be the same.
        nodes = tuple(sorted(cluster.nodes, key=lambda node: (name_of(node), node.id)))
        self.cluster = replace(cluster, nodes=nodes)
        self.rules = rules
        self.known = identify(nodes, desired)
        self.desired = [
            host if host.role else replace(host, role=self._role_now(host)) for host in desired
        ]
        self.members = self.known.members(self.desired)
        self.tally = _Tally(nodes)
        self.plan = Membership()

    def make(self) -> Membership:
        plan = self.plan
        plan.refusals += _taken_names(self.known.ghosts)
        leaving = self._choose_removals()
        if plan.refusals:
            return plan
        floor = self._floor(leaving)
        self._remove_dead(leaving)
        self._join()
        now, later = self._promotions(leaving)
        restarting = {node.id for _host, node, restarts in later if restarts}
        for host, node in now:
            plan.steps.append(_promotion(host, node, text("worker -> manager"), self.tally.add()))
        self._relabel(restarting)
        self._set_availability(restarting)
        self._promote_after_restart(later)
        self._demote(floor)
        self._rejoin()
        self._remove_alive(leaving, floor)
        self._guard_zones()
        self._guard_services()
        touched = {step.node_id for step in plan.steps}
        plan.unlisted = [name_of(node) for node in self.known.unlisted if node.id not in touched]
        total = self.tally.total
        if self.tally.changed and total % 2 == 0:
            plan.warnings.append(
                text(
                    "{managers} tolerate {failures}, no more than {fewer} do: use an odd number of managers",
                    managers=count_of(total, "manager"),
                    failures=count_of(may_lose(total), "failure"),
                    fewer=total - 1,
                )
            )
        if plan.refusals:
            plan.steps = []
        return plan

    def _role_now(self, host: DesiredMember) -> str:
        node = self.known.node_of.get(host.name)
        return node.role if node else "worker"

    def _accepts(self, risk: str) -> bool:
        return risk in self.rules.accepted_risks

    def _choose_removals(self) -> _Removals:
        """The nodes to be removed because no line lists them, with the guards against a mistake."""
        known, rules = self.known, self.rules
        chosen = _Removals()
        if not known.unlisted or not rules.remove_unlisted:
            return chosen
        if known.unidentified:
            names = ", ".join(known.unidentified)
            why = text(
                "not listed, but not removed: {names} did not answer and may be this node; bring it back first"
                if len(known.unidentified) == 1
                else "not listed, but not removed: {names} did not answer and may be this node; bring them back first",
                names=names,
            )
            for node in known.unlisted:
                self.plan.hold(name_of(node), "remove", why)
            return chosen
        for node in known.unlisted:
            since = down_for(node, self.cluster.now)
            if node.state == "ready":
                chosen.alive.append(node)
            elif node.id in rules.left or (LEAVING_LABEL in node.labels and node.state == "down"):
                # Who has left is of no known state for a while where a new leader has not seen it.
                chosen.dead.append((node, text("line deleted, has left")))
            elif since is not None and since >= rules.removal_down_after:
                words = text("line deleted, down for {time}", time=_duration(since))
                chosen.dead.append((node, words))
            else:
                why = text("not listed, and its state is {state}: run again", state=node.state)
                if since is not None:
                    why = text(
                        "not listed, and down for {since:.0f} s: it is removed after {limit} s (swarm_removal_down_after)",
                        since=since,
                        limit=rules.removal_down_after,
                    )
                self.plan.hold(name_of(node), "remove", why)
        # Not the nodes that are there: ghosts among them go, hosts leave and join again, and what was allowed when a
        # run began has to be allowed until it ends.
        total = len(self.desired) + len(known.unlisted)
        most = max(1, math.floor(rules.removal_limit * total + 1e-9))
        if len(chosen.nodes) > most:
            chosen = self._begun(chosen, most) or chosen
        count = len(chosen.nodes)
        if count > most:
            names = ", ".join(sorted(map(name_of, chosen.nodes)))
            self.plan.refusals.append(
                text(
                    "{count} of {total} nodes are not listed and would be removed ({names}), but one run may remove at most {most}:"
                    " check that the inventory is complete; if it is, set swarm_removal_limit to {limit:g} (now {now:g})",
                    count=count,
                    total=total,
                    names=names,
                    most=most,
                    limit=math.ceil(100 * count / total) / 100,
                    now=rules.removal_limit,
                )
            )
        return chosen

    def _begun(self, chosen: _Removals, most: int) -> _Removals | None:
        """Of too many nodes, those whose removal has begun: what has become due since then waits for the next run."""
        # Who has left in this run is finished in any case.
        kept = left = {node.id for node in chosen.nodes if node.id in self.rules.left}
        marked = left | {node.id for node in chosen.nodes if LEAVING_LABEL in node.labels}
        if len(marked) <= most:
            kept = marked
        if not kept:
            return None
        why = text(
            "not listed, and one run may remove at most {most} (swarm_removal_limit): run again",
            most=most,
        )
        for node in chosen.nodes:
            if node.id not in kept:
                self.plan.hold(name_of(node), "remove", why)
        return _Removals(
            [(node, why) for node, why in chosen.dead if node.id in kept],
            [node for node in chosen.alive if node.id in kept],
        )

    def _floor(self, leaving: _Removals) -> int:
        """How many managers it must be possible to lose at every step: as the start or the goal allows, the lesser."""
        gone = {node.id for node in leaving.nodes}
        total = sum(host.role == "manager" for host in self.desired)
        total += sum(node.role == "manager" and node.id not in gone for node in self.known.unlisted)
        goal, start = may_lose(total), self.tally.start
        fewer = any(
            self.known.node_of[host.name].role == "manager"
            for host in self.desired
            if host.role == "worker" and host.name in self.known.node_of
        ) or any(node.role == "manager" for node in leaving.alive)
        if self._accepts("lost_margin"):
            return 0
        if fewer and goal == 0 < start:
            self.plan.refusals.append(
                text(
                    "fault tolerance would drop from {managers} to 0 ({now} managers now, {total} in the inventory): list at least"
                    " three managers, or add lost_margin to swarm_accepted_risks",
                    managers=count_of(start, "manager"),
                    now=self.tally.total,
                    total=total,
                )
            )
        return min(start, goal)

    def _remove_dead(self, leaving: _Removals) -> None:
        """The dead go first, managers before workers. A dead manager still counts in every vote, and a new host may
        need the name or the address of a dead node."""
        dead = [
            (host.name, node, text("left over from before the host was reinstalled"))
            for host, node in self.known.ghosts
        ]
        dead += [(name_of(node), node, why) for node, why in leaving.dead]
        for name, node, why in sorted(dead, key=lambda item: not item[1].votes):
            # The engine demotes only who is one of Raft's, and removes others as they are.
            actions = ["demote", "remove"] if node.votes else ["remove"]
            # Raft may call it reachable as soon as its host answers on the old address again.
            note = self.tally.remove(node) if node.votes else ""
            words = text(
                "{why}: {actions}", why=why, actions=joined([_ACTIONS[a] for a in actions])
            )
            self.plan.steps += [
                MemberStep(action, name, words, node.id, note, f"remove {node.id}", dead=True)
                for action in actions
            ]

    def _join(self) -> None:
        for role in ("manager", "worker"):
            for host in self.desired:
                if host.role == role and host.newcomer:
                    counts = role == "manager" and not host.joining
                    words = text("{role}, is already joining: wait for it", role=_ROLES[role])
                    said = words if host.joining else host.traits or role
                    note = self.tally.add() if counts else ""
                    step = MemberStep("join", host.name, said, note=note, role=role)
                    self.plan.steps.append(step)

    def _promotions(
        self, leaving: _Removals
    ) -> tuple[list[tuple[DesiredMember, Node]], list[tuple[DesiredMember, Node, bool]]]:
        """Who becomes a manager: those whose engines find one to ask, and those for whom an engine is restarted, each
        with whether it is its own."""
        dead = {node.id for _host, node in self.known.ghosts}
        dead |= {node.id for node, _why in leaving.dead}
        answering = {
            address_of(node) for node in self.cluster.nodes if node.answers and node.id not in dead
        }
        now: list[tuple[DesiredMember, Node]] = []
        after: list[tuple[DesiredMember, Node]] = []
        for host, node in self.members:
            if host.role != "manager" or node.role == "manager" or host.rejoin:
                continue
            if node.state != "ready":
                why = text(
                    "not promoted: its node is {state}; start its engine and run again",
                    state=node.state,
                )
                self.plan.hold(host.name, "promote", why)
            elif _has_no_manager_to_ask(host, answering):
                after.append((host, node))
            else:
                answering.add(address_of(node))
                now.append((host, node))
        later = []
        for host, node in after:
            later.append((host, node, _has_no_manager_to_ask(host, answering)))
            answering.add(address_of(node))
        return now, later

    def _promote_after_restart(self, promotions: list[tuple[DesiredMember, Node, bool]]) -> None:
        """One host after the other: its work is moved away, for the restart of an engine stops what runs there. Its
        node gets its availability back by a later plan, once it is a manager."""
        for host, node, restarts in promotions:
            words = [text("worker -> manager")]
            stays: list[str] = []
            if restarts:
                moves, stops, stays = self._work_during_restart(node)
                words.append(
                    text(
                        "restart its engine first (it joined through {address})",
                        address=host.joined_by,
                    )
                )
                if moves:
                    words.append(text("moves {tasks}", tasks=_counted(moves)))
                if stops:
                    words.append(text("stops {tasks}", tasks=_counted(stops)))
            promotion = _promotion(host, node, joined(words), self.tally.add())
            part = replace(promotion, before=None, after=None)
            if restarts and node.availability != "drain":
                self.plan.steps.append(
                    replace(part, action="drain", mark=RESTARTING_LABEL, left_behind=tuple(stays))
                )
            if restarts:
                self.plan.steps.append(replace(part, action="restart"))
            self.plan.steps.append(promotion)

    def _work_during_restart(self, node: Node) -> tuple[dict[str, int], dict[str, int], list[str]]:
        """Of the tasks on a node, by service: those that run elsewhere while its engine is restarted, and those that do
        not; and the services that would run elsewhere, had they a place."""
        services = {service.id: service for service in self.cluster.services or ()}
        here = [task for task in self.cluster.tasks if task.node_id == node.id and task.to_run]
        counts = Counter(task.service_id for task in here)
        if node.availability == "drain" or not counts:
            return {}, {}, []
        before = self._places_after()
        after = [
            replace(place, availability="drain") if place.id == node.id else place
            for place in before
        ]
        every, tasks = list(services.values()), list(self.cluster.tasks)
        lacking = {item.service for item in homeless(every, before, after)}
        lacking |= {item.service for item in unplaceable(every, tasks, after, {node.id})}
        moves: dict[str, int] = {}
        stops: dict[str, int] = {}
        for service_id, count in counts.items():
            service = services.get(service_id)
            if service is not None:
                movable = service.mode == REPLICATED and service.name not in lacking
                (moves if movable else stops)[service.name] = count
        return moves, stops, sorted(lacking & stops.keys())

    def _relabel(self, restarting: set[str]) -> None:
        for host, node in self.members:
            keep_mark = host.rejoin or node.id in restarting
            step = plan_labels(node, host.name, host.labels, keep_mark)
            if step is not None and not (self.rules.adopted and only_records(node, step)):
                self.plan.steps.append(step)

    def _set_availability(self, restarting: set[str]) -> None:
        for host, node in self.members:
            if host.rejoin or (node.id in restarting and node.availability == "drain"):
                continue
            before, mark = node.availability, drained_from(node.labels)
            after = host.availability or mark
            if after and after != before:
                words = [as_is(f"{before} -> {after}")]
                if mark and not host.availability:
                    restarted = RESTARTING_LABEL in node.labels
                    words.append(
                        text("as before its restart")
                        if restarted
                        else text("its removal is cancelled")
                    )
                values = ("availability", host.name, joined(words), node.id)
                self.plan.steps.append(MemberStep(*values, before=before, after=after))

    def _in_order(self, nodes: Iterable[tuple[T, Node]]) -> list[tuple[T, Node]]:
        """Who does not answer first, for without it the others can be spared sooner; the leader late, for each change
        of leader costs an election; who acts last, who cannot demote itself."""
        acting = self.cluster.acting
        return sorted(
            nodes, key=lambda pair: (pair[1].id == acting, pair[1].leader, pair[1].answers)
        )

    def _demote(self, floor: int) -> None:
        for host, node in self._in_order(self.members):
            if host.role != "worker" or node.role != "manager":
                continue
            why = self._unsafe(node, floor) or self._indispensable(node)
            if why:
                self.plan.hold(host.name, "demote", text("not demoted: {why}", why=why))
                continue
            words = text("manager -> worker")
            values = ("demote", host.name, words, node.id, self.tally.remove(node))
            self.plan.steps.append(MemberStep(*values, before="manager", after="worker"))

    def _unsafe(self, node: Node, floor: int) -> Text | None:
        """Why the swarm cannot do without this manager now; None where it can."""
        if not node.votes:
            return text("its promotion is still in progress: run again")
        total, reachable = self.tally.without(node)
        if reachable < quorum_of(total):
            return text(
                "{reachable} of {total} managers would answer, but a quorum needs {quorum}: bring managers back or add some first",
                reachable=reachable,
                total=total,
                quorum=quorum_of(total),
            )
        left = may_lose(total, reachable)
        if left < floor:
            return text(
                "{reachable} of {total} managers would answer, which {tolerates} instead of {floor}: bring managers back or add"
                " some first, or add lost_margin to swarm_accepted_risks",
                reachable=reachable,
                total=total,
                tolerates=tolerates(left),
                floor=floor,
            )
        return None

    def _indispensable(self, node: Node) -> Text | None:
        """Why who acts cannot give up its role: that is for another listed manager to do."""
        if node.id != self.cluster.acting:
            return None
        if any(step.action == "promote" or step.role == "manager" for step in self.plan.steps):
            return None
        if any(
            host.role == other.role == "manager" and other.answers and other.id != node.id
            for host, other in self.members
        ):
            return None
        return text(
            "no other listed manager answers, and the acting manager cannot demote itself: bring one back"
        )

    def _rejoin(self) -> None:
        """One host after the other leaves and joins again: an address is fixed when a host joins."""
        for host, node in self._in_order(pair for pair in self.members if pair[0].rejoin):
            row = f"rejoin {node.id}"
            why = None
            if node.role == "manager":
                why = self._unsafe(node, 0) or self._indispensable(node)
            if why:
                why = text("does not rejoin with its new address: {why}", why=why)
                self.plan.hold(host.name, "rejoin", why)
                continue
            actions = [*self._departure(node), text("remove"), text("join again")]
            words = text("its address has changed: {actions}", actions=joined(actions))
            note: str = ""
            if node.role == "manager":
                total = self.tally.total
                note = text(
                    "managers {total} -> {fewer} -> {total} meanwhile", total=total, fewer=total - 1
                )
                self.tally.remove(node)
                self.tally.add()
            step = MemberStep("remove", host.name, words, node.id, note, row)
            self.plan.steps += [
                replace(step, action=action, comes_back=True) for action in self._parting(node)
            ]
            self.plan.steps += [step, replace(step, action="join", node_id="", role=host.role)]

    def _parting(self, node: Node) -> list[str]:
        """The actions before a node that is alive can be removed."""
        actions = []
        if node.availability != "drain" or LEAVING_LABEL not in node.labels:
            actions.append("drain")
        if node.role == "manager":
            actions.append("demote")
        if node.id not in self.rules.left:
            actions.append("leave")
        return actions

    def _departure(self, node: Node) -> list[Text]:
        """The same in words; with the number of its tasks, if known."""
        words = [_ACTIONS[action] for action in self._parting(node)]
        if words[:1] == ["drain"] and self.cluster.services is not None:
            words[0] = text("drain {tasks}", tasks=self._tasks_on(node))
        return words

    def _tasks_on(self, node: Node) -> Text:
        tasks = self.cluster.tasks
        here = sum(task.node_id == node.id and task.desired_state == "running" for task in tasks)
        return count_of(here, "task")

    def _remove_alive(self, leaving: _Removals, floor: int) -> None:
        """All are drained together, for what leaves one must not land on the next; then demoted one by one."""
        parts: dict[str, list[MemberStep]] = {"drain": [], "demote": [], "leave": [], "remove": []}
        for name, node in self._in_order((name_of(node), node) for node in leaving.alive):
            is_manager = node.role == "manager"
            why = self._unsafe(node, floor) if is_manager else None
            if why:
                self.plan.hold(name, "remove", text("not listed, but not removed: {why}", why=why))
                continue
            note = self.tally.remove(node) if is_manager else ""
            actions = joined([*self._departure(node), text("remove")])
            words = text("line deleted: {actions}", actions=actions)
            row, addr = f"remove {node.id}", address_of(node)
            for action in [*self._parting(node), "remove"]:
                parts[action].append(MemberStep(action, name, words, node.id, note, row, addr=addr))
        for steps in parts.values():
            self.plan.steps += steps

    # Guards over the whole

    def _guard_zones(self) -> None:
        """With three zones or more, losing one must leave a quorum, and with three each has a manager."""
        plan, known = self.plan, self.known
        zones = {host.zone for host in self.desired if host.zone}
        removed = {step.node_id for step in plan.steps if step.action == "remove"}
        others = [
            node.labels.get(ZONE_LABEL, "")
            for node in known.unlisted
            if node.role == "manager" and node.id not in removed
        ]
        goal = [host.zone for host in self.desired if host.role == "manager"] + others
        # What the inventory says of a host is true of it before its node has the label.
        zone_of = {node.id: host.zone for host, node in known.ghosts}
        zone_of.update(
            (known.node_of[host.name].id, host.zone)
            for host in self.desired
            if host.name in known.node_of
        )
        start = [
            zone_of.get(node.id, node.labels.get(ZONE_LABEL, ""))
            for node in self.cluster.nodes
            if node.role == "manager"
        ]
        faults = zone_faults(goal, zones)
        # A fault that is there already is none of this edit's: a manager may always be replaced.
        there = zone_faults(start, zones, 2, now=True)
        refused = not self._accepts("uneven_zones") and not faults.keys() <= there.keys()
        stays = not plan.steps or sorted(start) == sorted(goal)
        for fault, words in faults.items():
            if not refused:
                plan.warnings.append(there.get(fault, words) if stays else words)
            elif fault not in there:
                plan.refusals.append(
                    text("{fault}; or add uneven_zones to swarm_accepted_risks", fault=words)
                )

    def _guard_services(self) -> None:
        """What services would have nowhere to run, and what drained work would find no room."""
        cluster, plan = self.cluster, self.plan
        if cluster.services is None or not plan.steps:
            return
        after = self._places_after()
        # A paused node takes no new work, and keeps what it has.
        keeping = {node.id for node in after if node.availability != "drain"}
        # What ran on a dead node has to find another place whatever the plan does.
        dead = {step.node_id for step in plan.steps if step.dead}
        moving = {
            node.id
            for node in cluster.places
            if node.availability != "drain" and node.id not in keeping | dead
        }
        for loss in homeless_losses(cluster.services, cluster.places, after):
            self._refuse_unless_accepted(loss)
        if moving and not plan.refusals:
            for loss in room_losses(cluster.services, cluster.tasks, after, moving):
                self._refuse_unless_accepted(loss)

    def _refuse_unless_accepted(self, loss: Loss) -> None:
        if not self._accepts(loss.risk):
            self.plan.refusals.append(
                text(
                    "{loss}: {advice}, or add {risk} to swarm_accepted_risks",
                    loss=loss.text,
                    advice=loss.advice,
                    risk=loss.risk,
                )
            )
        elif loss.service not in self.plan.left_behind:
            self.plan.left_behind.append(loss.service)

    def _places_after(self) -> list[PlacementNode]:
        """Where tasks could run once the plan is carried out."""
        places = {node.id: node for node in self.cluster.places}
        host_of = {node.id: host for host, node in self.members}
        for step in self.plan.steps:
            place = places.get(step.node_id)
            if step.action == "join":
                host = next(host for host in self.desired if host.name == step.host)
                places[f"joins:{host.name}"] = PlacementNode(
                    id=f"joins:{host.name}",
                    hostname=host.hostname or host.name,
                    role=host.role or "worker",
                    os="linux",
                    labels=dict(host.labels),
                    availability=host.availability or "active",
                    state="ready",
                )
            elif place is None:
                continue
            elif step.action == "remove":
                del places[place.id]
            elif step.action in ("promote", "demote"):
                role = "manager" if step.action == "promote" else "worker"
                places[place.id] = replace(place, role=role)
            elif step.action == "labels":
                host = host_of[place.id]
                labels = labels_after(place.labels, host.labels, host.name)
                places[place.id] = replace(place, labels=labels)
            elif step.action == "availability":
                places[place.id] = replace(place, availability=step.after)
        return list(places.values())


# The words of actions and roles.
_ACTIONS = {
    "drain": text("drain"),
    "demote": text("demote"),
    "leave": text("leave"),
    "remove": text("remove"),
}
_ROLES = {"manager": text("manager"), "worker": text("worker")}


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _has_no_manager_to_ask(host: DesiredMember, answering: set[str | None]) -> bool:
    """Whether no manager answers where the engine of a worker would ask to become one (swarmkit: node/node.go)."""
    return bool(host.joined_by) and address_part(str(host.joined_by)) not in answering


def _promotion(host: DesiredMember, node: Node, words: str, note: str) -> MemberStep:
    row = f"promote {node.id}"
    return MemberStep(
        "promote", host.name, words, node.id, note, row, before="worker", after="manager"
    )


def _counted(tasks: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(tasks.items()))


def zone_faults(
    managers: list[str], zones: set[str], fewest: int = 3, now: bool = False
) -> dict[tuple[str, str], Text]:
    """What is wrong with managers in these zones, in sentences, of all the zones that hosts are in; from `fewest`
    managers on. `managers` has the zone of each. With `now` the sentences say what is, else what would be."""
    if len(zones) < 3 or len(managers) < fewest:
        return {}
    total = len(managers)
    faults = {}
    for zone in sorted(zones):
        held = managers.count(zone)
        if total - held < quorum_of(total):
            faults["majority", zone] = text(
                "zone {zone} holds {held} of {total} managers, and losing it would lose the quorum ({quorum}): spread the managers"
                " over the zones"
                if now
                else "zone {zone} would hold {held} of {total} managers, and losing it would lose the quorum ({quorum}): spread the"
                " managers over the zones",
                zone=zone,
                held=held,
                total=total,
                quorum=quorum_of(total),
            )
        elif held == 0 and len(zones) == 3:
            faults["none", zone] = text(
                "zone {zone} has no manager, of {total} in three zones: make a host there a manager"
                if now
                else "zone {zone} would have no manager, of {total} in three zones: make a host there a manager",
                zone=zone,
                total=total,
            )
    return faults
