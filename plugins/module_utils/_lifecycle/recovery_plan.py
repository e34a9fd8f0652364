# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How a swarm that has lost its quorum is recovered: from what every host has on its disk, to one manager and its steps. Pure.

The manager whose raft log is the newest becomes the only one. All others leave and join again. That manager keeps a note until its
own steps are done, so that the next run resumes an interrupted one. After that there is a leader, and managers that it does not
list have to leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._model.documents import dig, quorum_of

# The steps on the manager to recover from, in order.
STOP, COPY, OPEN, START, FORCE, RESTART, LOCK, REMOVE = (
    *("stop", "copy", "open", "start"),
    *("force", "restart", "lock", "remove"),
)
# The step on every other manager that is left.
LEAVE = "leave"

_NOTHING = "Nothing was changed"


@dataclass(frozen=True)
class HostState:
    """What swarm_recover_info says of one host; of one that did not answer, only its name."""

    name: str
    answered: bool = False
    root: bool = True
    engine_active: bool = False  # a dockerd runs, answering or not
    engine_answers: bool = False
    state: str = "unknown"  # of the engine in its swarm
    control: bool = False  # the engine takes part as a manager
    leader: bool = False  # it sees a leader
    nodes: tuple[str, ...] = ()  # the IDs of all nodes, with a leader
    cluster_id: str = ""
    node_id: str = ""
    manager: bool = False
    sealed: bool = False
    peers: tuple[tuple[str, str], ...] = ()  # node ID and ADDRESS:PORT
    commit: int = 0
    term: int = 0
    index: int = 0
    problem: str = ""
    size_bytes: int = 0
    free_bytes: int | None = None
    addresses: tuple[str, ...] = ()
    libraries: bool = False  # those that open a key file
    key: str = ""  # what the unlock key does: opens, wrong, or the reason why nothing is known
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def newness(self) -> tuple[int, int, int]:
        """The larger, the newer: what is not committed is dropped, so the commit comes first."""
        return (self.commit, self.term, self.index)

    @property
    def forced(self) -> bool:
        """Whether a run has begun to force a new swarm here, and was interrupted."""
        return bool(self.note.get("forced"))


@dataclass(frozen=True)
class RecoveryPlan:
    """What is to be done; or, with refusals, why not."""

    cluster_id: str = ""
    survivor: str = ""
    others: tuple[str, ...] = ()  # managers that leave
    steps: tuple[str, ...] = ()  # of the survivor
    locks: bool = False  # autolock is turned on again
    resumes: bool = False
    needs_libraries: bool = False
    lost: tuple[str, ...] = ()  # managers that are gone, as shown
    wait: bool = False  # an election may be in progress
    diagnosis: tuple[str, ...] = ()
    actions: tuple[tuple[str, str], ...] = ()  # host and step in words
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The diagnosis and the plan as aligned text."""
        lines = list(self.diagnosis)
        if self.refusals:
            return [*lines, "PLAN  refused", *(f"  x refused  {text}" for text in self.refusals)]
        verb = "resume the recovery of" if self.resumes else "recover"
        lines.append(f"PLAN  {verb} swarm {self.cluster_id}, from the raft log of {self.survivor}")
        wide = max((len(host) for host, _step in self.actions), default=0)
        for number, (host, step) in enumerate(self.actions, 1):
            lines.append(f"  {number}  {host:<{wide}}  {step}")
        return [*lines, *(f"  ! {text}" for text in self.warnings)]


def host_state(name: str, found: Mapping[str, Any]) -> HostState:
    """The state of a host in the result of swarm_recover_info, which is empty if the host did not answer. Pure."""
    if not dig(dict(found), "engine"):
        return HostState(name)
    files = found.get("files") or {}
    raft = files.get("raft") or {}
    engine = found["engine"]
    peers = files.get("peers") or engine.get("remote_managers") or ()
    return HostState(
        name=name,
        answered=True,
        root=bool(found.get("root")),
        engine_active=bool(engine.get("active")),
        engine_answers=bool(engine.get("answers")),
        state=str(engine.get("state") or "unknown"),
        control=bool(engine.get("control")),
        leader=bool(engine.get("leader")),
        nodes=tuple(engine.get("nodes") or ()),
        cluster_id=str(files.get("cluster_id") or ""),
        node_id=str(files.get("node_id") or ""),
        manager=bool(files.get("manager")),
        sealed=bool(files.get("sealed")),
        peers=tuple((peer["node_id"], peer["addr"]) for peer in peers),
        commit=int(raft.get("commit") or 0),
        term=int(raft.get("term") or 0),
        index=int(raft.get("index") or 0),
        problem=str(files.get("problem") or ""),
        size_bytes=int(files.get("size_bytes") or 0),
        free_bytes=found.get("free_bytes"),
        addresses=tuple(found.get("addresses") or ()),
        libraries=bool(found.get("libraries")),
        key=str(found.get("key") or ""),
        note=found.get("note") or {},
    )


def survivor_steps(host: HostState, locks: bool) -> tuple[str, ...]:
    """The steps that are left on the manager to recover from. Pure."""
    steps: list[str] = []
    restarts = bool(host.note.get("restart"))
    if not host.leader:
        # A running manager whose key file is in clear can be forced as it is.
        live = host.engine_answers and host.control and host.state in ("active", "pending")
        if (host.sealed or not live) and host.engine_active:
            steps.append(STOP)
        if not host.note.get("copy"):
            steps.append(COPY)
        if host.sealed:
            steps.append(OPEN)
        if host.sealed or not live:
            steps.append(START)
        steps.append(FORCE)
        # An engine that has started without a leader has no overlay networks, and rejects all tasks that need one.
        restarts = restarts or host.sealed or not live or host.state != "active"
    if restarts:
        steps.append(RESTART)
    if host.leader and not host.note:
        return ()
    if locks:
        steps.append(LOCK)
    steps.append(REMOVE)
    return tuple(steps)


def plan_recovery(
    hosts: Sequence[HostState],
    copy_folder: str,
    key_given: bool = False,
    survivor: str = "",
    lost: Sequence[str] = (),
) -> RecoveryPlan:
    """The recovery of the swarm of these hosts.

    `survivor` names the manager to recover from; without it, the one with the newest raft log. `lost` names managers that did not
    answer and never come back: hosts, node IDs or addresses. Pure.
    """
    clusters = sorted({host.cluster_id for host in hosts if host.cluster_id and host.manager})
    intact = [host for host in hosts if host.manager and not host.problem]
    refusals = _early_refusals(hosts, clusters, intact)
    if refusals:
        return RecoveryPlan(diagnosis=_diagnosis(hosts, intact, None, ()), refusals=tuple(refusals))
    leader = next((host for host in intact if host.leader), None)
    chosen, refusal = _chosen(intact, survivor)
    peers = _peers(chosen, intact)
    unknown = _unknown(peers, hosts)
    others = tuple(
        host.name
        for host in hosts
        if host.manager and host.name != chosen.name and host.node_id not in chosen.nodes
    )
    locks = bool(chosen.note.get("locks")) or (
        not chosen.leader and any(host.sealed for host in intact)
    )
    steps = survivor_steps(chosen, locks)
    refusals = [refusal] if refusal else []
    if leader is not None and (leader is not chosen or not (steps or others)):
        refusals.append(
            f"{leader.name} sees a leader, so the swarm has its quorum: run site.yml to bring back what is missing"
        )
    elif leader is None and not chosen.forced:
        refusals += _could_come_back(intact, peers, unknown, hosts, lost)
    refusals += _key_refusals(chosen, steps, key_given)
    refusals += _room_refusals(chosen, steps, copy_folder)
    gone = _gone(peers, hosts, chosen, others)
    return RecoveryPlan(
        cluster_id=clusters[0],
        survivor=chosen.name,
        others=others,
        steps=steps,
        locks=locks,
        resumes=bool(chosen.note) or leader is not None,
        needs_libraries=OPEN in steps and not chosen.libraries,
        lost=tuple(gone),
        # A manager without a leader may be in the middle of an election, if enough of them can take part.
        wait=leader is None
        and not chosen.forced
        and any(host.engine_answers and host.control for host in intact)
        and len(intact) + len(unknown) >= quorum_of(len(peers)),
        diagnosis=_diagnosis(hosts, intact, chosen, peers),
        actions=_actions(chosen, steps, others, hosts, copy_folder),
        warnings=(
            *_warnings(chosen, intact, steps, unknown, peers, hosts),
            *_not_lost(unknown, peers, hosts, lost),
        ),
        refusals=tuple(refusals),
    )


def confirmation(plan: RecoveryPlan, confirm: str | None) -> str | None:
    """Why the plan is not carried out, in one or two sentences; None if its swarm is confirmed. Pure."""
    if confirm == plan.cluster_id:
        return None
    if confirm:
        return (
            f"{_NOTHING}: swarm_recover_confirm is {confirm}, but the swarm to recover is {plan.cluster_id}. Check the inventory,"
            f" and set swarm_recover_confirm={plan.cluster_id} if this is the swarm."
        )
    return f"{_NOTHING}: a recovery cannot be undone. Read the plan, and set swarm_recover_confirm={plan.cluster_id} to carry it out."


def _early_refusals(
    hosts: Sequence[HostState], clusters: Sequence[str], intact: Sequence[HostState]
) -> list[str]:
    powerless = [host.name for host in hosts if host.answered and not host.root]
    if powerless:
        return [
            f"the files of the swarm on {_names(powerless)} can be read only by root: set become: true"
        ]
    if not any(host.answered for host in hosts):
        return ["no host answers: check the inventory and the network"]
    if len(clusters) > 1:
        which = "; ".join(
            f"{cluster} on {_names([host.name for host in hosts if host.manager and host.cluster_id == cluster])}"
            for cluster in clusters
        )
        return [
            f"the hosts have managers of {len(clusters)} swarms ({which}): leave those out that are of another swarm"
        ]
    if not intact:
        broken = [f"{host.name} ({host.problem})" for host in hosts if host.manager]
        found = f"the files of {_names(broken)} are damaged" if broken else "no host has any"
        return [f"a manager's raft log is needed, and {found}: restore a backup with restore.yml"]
    return []


def _chosen(intact: Sequence[HostState], survivor: str) -> tuple[HostState, str]:
    """The manager to recover from, and what is wrong with the choice."""
    best = max(intact, key=lambda host: (host.leader, host.forced, host.newness, bool(host.note)))
    if not survivor:
        return best, ""
    named = next((host for host in intact if host.name == survivor), None)
    if named is None:
        which = _names([host.name for host in intact])
        return best, f"swarm_recover_survivor is {survivor}: it must be one of {which}"
    return named, ""


def _peers(chosen: HostState, intact: Sequence[HostState]) -> tuple[tuple[str, str], ...]:
    """The managers of the swarm, as the newest raft log's host knows them, and those that are here."""
    peers = dict(chosen.peers)
    if not peers:
        peers = {node: addr for host in intact for node, addr in host.peers}
    for host in intact:
        peers.setdefault(host.node_id, "")
    return tuple(sorted(peers.items(), key=lambda peer: (peer[1], peer[0])))


def _host_of(peer: tuple[str, str], hosts: Sequence[HostState]) -> HostState | None:
    """The host that has the files of a manager, or else the one that has its address."""
    node, addr = peer
    address = _address(addr)
    return next((host for host in hosts if host.node_id == node), None) or next(
        (host for host in hosts if address and address in host.addresses), None
    )


def _address(addr: str) -> str:
    return addr.rpartition(":")[0].strip("[]")


def _unknown(peers: Sequence[tuple[str, str]], hosts: Sequence[HostState]) -> tuple[str, ...]:
    """The addresses of managers that may live: no host that answered is at their address."""
    found = []
    for peer in peers:
        host = _host_of(peer, [host for host in hosts if host.answered])
        if host is None:
            found.append(peer[1] or peer[0])
    return tuple(found)


def _is_named(
    addr: str,
    peers: Sequence[tuple[str, str]],
    hosts: Sequence[HostState],
    lost: Sequence[str],
) -> bool:
    node = next((node for node, other in peers if other == addr), "")
    host = next((host for host in hosts if _address(addr) in host.addresses), None)
    return bool({addr, _address(addr), node, host.name if host else addr} & set(lost))


def _shown(addr: str, peers: Sequence[tuple[str, str]], hosts: Sequence[HostState]) -> str:
    node = next((node for node, other in peers if other == addr), "")
    host = next((host for host in hosts if _address(addr) in host.addresses), None)
    known = f"{host.name}, " if host else ""
    return f"{known}{addr} (node {node})" if node else f"{known}{addr}"


def _could_come_back(
    intact: Sequence[HostState],
    peers: Sequence[tuple[str, str]],
    unknown: Sequence[str],
    hosts: Sequence[HostState],
    lost: Sequence[str],
) -> list[str]:
    votes = quorum_of(len(peers))
    if len(intact) >= votes:
        return [
            (
                f"{len(intact)} of {len(peers)} managers have their raft logs, and a quorum needs {votes}: nothing is lost."
                f" {_ways_back(intact)}"
            )
        ]
    left = [address for address in unknown if not _is_named(address, peers, hosts, lost)]
    if left and len(intact) + len(left) >= votes:
        shown = "; ".join(_shown(address, peers, hosts) for address in left)
        return [
            (
                f"{_plural(len(left), 'manager')} did not answer and may live, so that the swarm can have or get its quorum without this"
                f" recovery: {shown}. Bring them back and run again, or, only if their disks are gone for good, set"
                f" swarm_recover_lost={','.join(_address(address) or address for address in left)}"
            )
        ]
    return []


def _ways_back(intact: Sequence[HostState]) -> str:
    ways = []
    locked = [host.name for host in intact if host.state == "locked"]
    stopped = [host.name for host in intact if not host.engine_active]
    silent = [host.name for host in intact if host.engine_active and not host.engine_answers]
    running = [host.name for host in intact if host.engine_answers and host.state != "locked"]
    if locked:
        ways.append(f"Unlock {_names(locked)}: run site.yml with swarm_unlock_key")
    if stopped:
        ways.append(f"Start the engine of {_names(stopped)}")
    if silent:
        ways.append(f"Restart the engine of {_names(silent)}, which does not answer")
    if running:
        ways.append(f"Check that {_names(running)} reaches the other managers on port 2377")
    return ". ".join(ways)


def _key_refusals(chosen: HostState, steps: Sequence[str], key_given: bool) -> list[str]:
    if OPEN not in steps:
        return []
    if not key_given:
        return [f"the key file of {chosen.name} is locked: set swarm_unlock_key to the unlock key"]
    if chosen.key == "wrong":
        return [
            (
                f"swarm_unlock_key does not open the key file of {chosen.name}: set it to the unlock key that was valid when the"
                " swarm was last unlocked"
            )
        ]
    if chosen.key not in ("", "opens", "no_crypto"):
        return [f"the key file of {chosen.name} cannot be opened ({chosen.key})"]
    return []


def _room_refusals(chosen: HostState, steps: Sequence[str], copy_folder: str) -> list[str]:
    if COPY not in steps or chosen.free_bytes is None or chosen.free_bytes > chosen.size_bytes:
        return []
    return [
        (
            f"the copy of the swarm's files on {chosen.name} needs {_size(chosen.size_bytes)}, and {copy_folder} has"
            f" {_size(chosen.free_bytes)}: free some, or set swarm_recover_copy_dir to another folder"
        )
    ]


def _gone(
    peers: Sequence[tuple[str, str]],
    hosts: Sequence[HostState],
    chosen: HostState,
    others: Sequence[str],
) -> list[str]:
    """The managers whose nodes are removed, as shown."""
    found = []
    for node, addr in peers:
        if node == chosen.node_id or (chosen.leader and node in chosen.nodes):
            continue
        host = _host_of((node, addr), hosts)
        if host is not None and host.name in others:
            continue
        found.append(f"{host.name if host else _address(addr) or addr} ({node[:6]})")
    return found


def _actions(
    chosen: HostState,
    steps: Sequence[str],
    others: Sequence[str],
    hosts: Sequence[HostState],
    copy_folder: str,
) -> tuple[tuple[str, str], ...]:
    words = {
        STOP: "stop the engine and its containers",
        COPY: f"copy the files of the swarm to {copy_folder}",
        OPEN: "open the key file with swarm_unlock_key",
        START: "start the engine",
        FORCE: "force a new swarm: one manager, the same ID, services and secrets; its tasks restart",
        RESTART: "restart the engine, because it started without overlay networks",
        LOCK: "turn on autolock, with a new unlock key",
        REMOVE: "remove the nodes of the managers that are lost or join again",
    }
    actions = [(chosen.name, words[step]) for step in steps]
    if others:
        actions.append((_names(others), f"copy the files of the swarm to {copy_folder}, leave it"))
    free = [
        host.name
        for host in hosts
        if host.answered and not host.cluster_id and host.state in ("inactive", "unknown")
    ]
    back = [host.name for host in hosts if host.name in others or host.name in free]
    actions.append(
        (_names(back) or "all", "join again, as the inventory says, by the plan of site.yml")
    )
    return tuple(actions)


def _warnings(
    chosen: HostState,
    intact: Sequence[HostState],
    steps: Sequence[str],
    unknown: Sequence[str],
    peers: Sequence[tuple[str, str]],
    hosts: Sequence[HostState],
) -> tuple[str, ...]:
    warnings = []
    if FORCE in steps:
        warnings.append(
            f"lost: every change of the swarm that {chosen.name} does not have as committed, that is after entry {chosen.commit}"
            " of its raft log"
        )
        warnings.append("lost: the tasks and the volumes on the disks that are gone")
        newer = [host.name for host in intact if host.commit > chosen.commit]
        if newer:
            most = max(host.commit for host in intact)
            warnings.append(
                f"lost: entries {chosen.commit + 1} to {most}, which {_names(newer)} has"
            )
    for address in unknown:
        warnings.append(
            f"{_shown(address, peers, hosts)} did not answer: it must not come back with its disk"
        )
    broken = [f"{host.name} ({host.problem})" for host in hosts if host.manager and host.problem]
    if broken:
        warnings.append(f"not considered: {_names(broken)}")
    if LOCK in steps:
        warnings.append(
            f"the old unlock key will not fit any more: read the new one with 'docker swarm unlock-key' on {chosen.name}"
        )
    return tuple(warnings)


def _not_lost(
    unknown: Sequence[str],
    peers: Sequence[tuple[str, str]],
    hosts: Sequence[HostState],
    lost: Sequence[str],
) -> list[str]:
    """What is named as lost and is none of the managers that did not answer. A resumed run does not know them any more."""
    return [
        f"swarm_recover_lost names {name}, which is no manager that did not answer"
        for name in lost
        if not any(_is_named(address, peers, hosts, [name]) for address in unknown)
    ]


def _diagnosis(
    hosts: Sequence[HostState],
    intact: Sequence[HostState],
    chosen: HostState | None,
    peers: Sequence[tuple[str, str]],
) -> tuple[str, ...]:
    if chosen is None:
        title = "DIAGNOSIS"
    else:
        title = (
            f"DIAGNOSIS  swarm {chosen.cluster_id}: {len(intact)} of {len(peers)} managers have their raft logs, a quorum needs"
            f" {quorum_of(len(peers))}"
        )
    newest = max((host.newness for host in intact), default=None)
    rows = [(host.name, *_description(host, peers, host.newness == newest)) for host in hosts]
    wide = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return (
        title,
        *(f"  {name:<{wide[0]}}  {what:<{wide[1]}}  {more}".rstrip() for name, what, more in rows),
    )


def _description(
    host: HostState, peers: Sequence[tuple[str, str]], newest: bool
) -> tuple[str, str]:
    if not host.answered:
        return "no answer", ""
    engine = (
        "engine stopped"
        if not host.engine_active
        else "engine does not answer"
        if not host.engine_answers
        else {"active": "running", "inactive": "engine not in the swarm"}.get(
            host.state, host.state
        )
    )
    if not host.cluster_id and not host.manager:
        was = [node for node, addr in peers if addr and _address(addr) in host.addresses]
        lost = (
            f"its address was that of manager {was[0][:6]}, whose raft log is lost" if was else ""
        )
        return "in no swarm", lost
    if not host.manager:
        return f"worker, {engine}", ""
    facts = [f"raft log: entry {host.commit} committed, term {host.term}"]
    if host.problem:
        facts = [host.problem]
    if host.sealed:
        facts.append("key file locked")
    if host.leader:
        facts.append("sees a leader")
    if host.note:
        facts.append("recovery not finished")
    if newest and not host.problem:
        facts.append("the newest")
    return f"manager, {engine}", ", ".join(facts)


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
