# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How a swarm is dismantled: which hosts leave in which order, what is lost, and why the run is refused. Pure.

The certificate of a node has the ID of its swarm. So every host itself tells which swarm it is in, also a worker, a locked
manager, and a manager without a leader. A host that has left has a note with the ID until its part is done.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._common.words import abbreviate, count_of
from .._health.certificate import subject
from .._model.documents import dig

SWARM, ENGINE, DATA = "swarm", "engine", "data"
DEPTHS = (SWARM, ENGINE, DATA)
RESET_RISKS = ("unlisted_nodes", "unreachable_hosts")
# What confirms a reset of hosts that are in no swarm.
NO_SWARM = "no-swarm"

# What the engine creates in its data-root: these go, and nothing else that may be there.
DATA_NAMES = frozenset(
    (
        *("aufs", "btrfs", "builder", "buildkit", "containerd", "containers", "devicemapper"),
        *("engine-id", "fuse-overlayfs", "image", "key.json", "network", "nri", "overlay"),
        *("overlay2", "plugins", "rootfs", "runtimes", "swarm", "tmp", "trust", "vfs"),
        *("volumes", "zfs"),
    )
)
# A data-root that is one of these, or the parent of one, is a mistake.
_SYSTEM = (
    *("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/opt", "/proc", "/root", "/run"),
    *("/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log", "/mnt", "/media"),
)


@dataclass(frozen=True)
class NodeIdentity:
    """Who a node is, as its certificate tells it."""

    cluster_id: str
    node_id: str
    role: str  # manager or worker


def identity_of(pem: str) -> NodeIdentity | None:
    """The identity in a node's certificate; None if there is none. Pure."""
    names = subject(pem)
    if not all(names.get(part) for part in ("O", "CN", "OU")):
        return None
    return NodeIdentity(names["O"], names["CN"], names["OU"].rpartition("-")[2])


def bad_data_root(path: str) -> str | None:
    """Why the data of an engine must not be removed from this path, as a clause; None if it can be. Pure."""
    plain = re.sub(r"/+", "/", path).rstrip("/") or "/"
    if not path.startswith("/") or ".." in plain.split("/"):
        return "it is not an absolute path"
    return "it is a folder of the system" if plain in _SYSTEM else None


@dataclass(frozen=True)
class ResetHost:
    """A host of the inventory as it describes itself."""

    name: str
    state: str
    cluster_id: str  # of the swarm that it is in; empty if it is in none
    noted_id: str  # of the swarm that it has left in an interrupted run
    node_id: str
    manager: bool
    leader_known: bool
    answers: bool  # whether its engine does
    has_engine: bool
    has_data: bool
    data_root: str
    has_notes: bool

    @property
    def in_swarm(self) -> bool:
        return self.state != "inactive"


@dataclass(frozen=True)
class ResetPlan:
    """The hosts in the order in which they leave; or, where it is refused, the reasons."""

    cluster_id: str
    depth: str
    acting: str = ""
    workers: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()  # without the acting one
    last: tuple[str, ...] = ()  # the acting manager, if it has to leave
    finish: tuple[str, ...] = ()  # hosts out of the swarm whose notes have to go
    remove: tuple[str, ...] = ()  # hosts from which the engine, or its data, is removed
    done: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    confirmed: bool = False

    @property
    def needed(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.workers or self.managers or self.last or self.finish or self.remove)

    @property
    def leaving(self) -> tuple[str, ...]:
        """All hosts that leave, in their order."""
        return (*self.workers, *self.managers, *self.last)

    def lines(self) -> list[str]:
        """The plan as an aligned table."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {text}" for text in self.refusals)]
        which = "hosts in no swarm" if self.cluster_id == NO_SWARM else f"swarm {self.cluster_id}"
        on = f", acting on {self.acting}" if self.acting else ""
        rows = [
            ("leave", self.workers, "workers, in parallel"),
            ("leave", self.managers, "managers, in parallel, after the workers"),
            ("leave", self.last, "the acting manager, the last one"),
            ("finish", self.finish, "left in an interrupted run"),
        ]
        what = {
            ENGINE: "stop the engine, remove its packages and files",
            DATA: "stop the engine, remove its packages, its files and all its data",
        }
        rows.append(("remove", self.remove, what.get(self.depth, "")))
        names = {index: ", ".join(row[1]) for index, row in enumerate(rows)}
        wide = max(map(len, names.values()))
        lines = [f"PLAN  reset of {which}, depth {self.depth}{on}"]
        lines += [
            f"  - {verb:<6}  {names[index]:<{wide}}  {text}"
            for index, (verb, hosts, text) in enumerate(rows)
            if hosts
        ]
        lines += [f"  ! {text}" for text in (*self.lost, *self.warnings)]
        if self.done:
            lines.append(f"  = {abbreviate(list(self.done), 12)}: nothing to do")
        return lines


@dataclass
class _Draft:
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan_reset(
    observed: Mapping[str, Mapping[str, Any]],
    depth: str = SWARM,
    confirm: str | None = None,
    accepted: Collection[str] = (),
) -> ResetPlan:
    """What a reset does. Pure.

    `observed` has the key `host` of the results of swarm_reset by host, in the order of the inventory, for all hosts that are
    listed: it is empty for one that did not answer or that the run leaves out. `accepted` has names of RESET_RISKS.
    """
    draft = _Draft()
    hosts = [_host(name, seen) for name, seen in observed.items() if seen]
    target = _target(hosts, confirm, draft)
    silent = [name for name, seen in observed.items() if not seen]
    _guard(hosts, silent, observed, target, accepted, draft)
    if depth == DATA:
        draft.refusals += [
            f"the data-root of {host.name} is {host.data_root}, and {problem}: remove the data there yourself, or set"
            f" swarm_reset_depth to {ENGINE}"
            for host in hosts
            if host.has_data and (problem := bad_data_root(host.data_root))
        ]
    members = [host for host in hosts if host.in_swarm]
    acting = next((host.name for host in members if host.manager and host.leader_known), "")
    managers = [host.name for host in members if host.manager]
    if managers and not acting:
        acting = managers[-1]
    remove = [host.name for host in hosts if depth != SWARM and host.has_engine]
    remove += [
        host.name for host in hosts if depth == DATA and host.has_data and not host.has_engine
    ]
    finish = [
        host.name
        for host in hosts
        if not host.in_swarm and host.has_notes and host.name not in remove
    ]
    busy = {host.name for host in members} | set(remove) | set(finish)
    return ResetPlan(
        cluster_id=target,
        depth=depth,
        acting=acting,
        workers=tuple(host.name for host in members if not host.manager),
        managers=tuple(name for name in managers if name != acting),
        last=(acting,) if acting else (),
        finish=tuple(finish),
        remove=tuple(name for name in observed if name in remove),
        done=tuple(host.name for host in hosts if host.name not in busy),
        lost=tuple(_lost(observed, acting, members, depth)),
        warnings=tuple(draft.warnings),
        refusals=tuple(draft.refusals),
        confirmed=confirm == target,
    )


def result_lines(
    plan: ResetPlan, applied: Mapping[str, Sequence[str]], observed: Collection[str]
) -> list[str]:
    """What a reset has done, host by host. Pure."""
    wide = max(map(len, observed), default=0)
    which = "hosts in no swarm" if plan.cluster_id == NO_SWARM else f"swarm {plan.cluster_id}"
    lines = [f"RESULT  reset of {which}, depth {plan.depth}"]
    lines += [f"    {name:<{wide}}  {'; '.join(done)}" for name, done in applied.items() if done]
    if plan.cluster_id != NO_SWARM:
        lines.append("  = no host of this run is in the swarm any more")
    return lines


def _host(name: str, seen: Mapping[str, Any]) -> ResetHost:
    return ResetHost(
        name=name,
        state=str(seen.get("state") or "inactive"),
        cluster_id=str(seen.get("cluster_id") or ""),
        noted_id=str(dig(dict(seen), "note", "cluster_id") or ""),
        node_id=str(seen.get("node_id") or ""),
        manager=seen.get("role") == "manager",
        leader_known=seen.get("nodes") is not None,
        answers=bool(seen.get("answers")),
        has_engine=bool(seen.get("packages") or seen.get("files")),
        has_data=bool(seen.get("data")),
        data_root=str(seen.get("data_root") or ""),
        has_notes=bool(seen.get("notes") or seen.get("services")),
    )


def _target(hosts: Sequence[ResetHost], confirm: str | None, draft: _Draft) -> str:
    """The swarm to reset: the one that is confirmed, or the only one there is."""
    live: dict[str, list[str]] = {}
    noted: dict[str, list[str]] = {}
    for host in hosts:
        if host.in_swarm and host.cluster_id:
            live.setdefault(host.cluster_id, []).append(host.name)
        elif host.noted_id:
            # It has left, or is about to: an interrupted run may have removed its certificate.
            noted.setdefault(host.noted_id, []).append(host.name)
    # A host that is in a swarm now may have a note of an older one.
    found = live or noted
    if confirm and (confirm in live or confirm in noted):
        return confirm
    if not found:
        # Hosts that have not finished a join are in no swarm yet.
        if confirm not in (None, NO_SWARM):
            draft.refusals.append(
                f"swarm_reset_confirm is {confirm}, but no host is in a swarm: nothing is left of it. To remove the engine from"
                f" these hosts, set swarm_reset_confirm to {NO_SWARM}"
            )
        return NO_SWARM
    if confirm:
        where = "; ".join(f"{', '.join(names)} in {each}" for each, names in sorted(found.items()))
        draft.refusals.append(
            f"swarm_reset_confirm is {confirm}, but the hosts are in another swarm: {where}. Set it to the ID of the swarm to"
            " reset"
        )
    elif len(found) > 1:
        where = "; ".join(f"{', '.join(names)} in {each}" for each, names in sorted(found.items()))
        draft.refusals.append(
            f"the hosts are in {len(found)} swarms: {where}. Leave only the hosts of one in the inventory"
        )
    return next(iter(sorted(found)))


def _guard(
    hosts: Sequence[ResetHost],
    silent: Sequence[str],
    observed: Mapping[str, Mapping[str, Any]],
    target: str,
    accepted: Collection[str],
    draft: _Draft,
) -> None:
    for host in hosts:
        if host.in_swarm and host.cluster_id and host.cluster_id != target and not draft.refusals:
            draft.refusals.append(
                f"{host.name} is in another swarm ({host.cluster_id}): take its line out of the inventory, or reset that swarm by"
                " itself"
            )
        if host.in_swarm and not host.answers:
            draft.warnings.append(
                f"the engine of {host.name} does not answer: the run stops it and removes the files of the swarm"
            )
    if silent:
        text = (
            f"{abbreviate(list(silent), 12)} {'does' if len(silent) == 1 else 'do'} not answer or"
            f" {'is' if len(silent) == 1 else 'are'} not part of this run: {'it stays a node' if len(silent) == 1 else 'they stay nodes'}"
            " of a swarm that is gone"
        )
        _risk(
            "unreachable_hosts",
            text,
            "bring all hosts back and run without --limit",
            accepted,
            draft,
        )
    unlisted, known = _unlisted(hosts, observed)
    if unlisted:
        text = (
            f"the inventory does not list {abbreviate(unlisted, 12)}:"
            f" {'this node belongs' if len(unlisted) == 1 else 'these nodes belong'} to the swarm and would be orphaned"
        )
        _risk("unlisted_nodes", text, "list them", accepted, draft)
    elif not known and any(host.in_swarm for host in hosts):
        draft.warnings.append(
            "no manager sees a leader, so the list of nodes is not known: a worker that the inventory does not list would be"
            " orphaned"
        )


def _risk(name: str, text: str, advice: str, accepted: Collection[str], draft: _Draft) -> None:
    if name in accepted:
        draft.warnings.append(text)
    else:
        draft.refusals.append(f"{text}: {advice}, or add {name} to swarm_reset_accepted_risks")


def _unlisted(
    hosts: Sequence[ResetHost], observed: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], bool]:
    """The names of nodes that no host of the inventory is, and whether the list of nodes is known."""
    ours = {host.node_id for host in hosts if host.node_id}
    # A host that has left already no longer knows its node, but it still has its address.
    places = {
        str(each) for seen in observed.values() for each in (seen or {}).get("addresses") or []
    }

    def is_ours(node_id: str, addr: str) -> bool:
        return node_id in ours or addr in places

    for seen in observed.values():
        nodes = seen.get("nodes") if seen else None
        if nodes is not None:
            # A silent host, and the old node of one that has joined again, are known by the name.
            return sorted(
                str(node["name"])
                for node in nodes
                if not is_ours(node["id"], str(node["addr"])) and node["name"] not in observed
            ), True
    managers = {
        str(peer["node_id"]): str(peer["addr"])
        for seen in observed.values()
        for peer in (seen or {}).get("remote_managers") or []
    }
    silent = any(not seen for seen in observed.values())
    # Without a leader, managers still know each other. One of them can be the silent host.
    if silent:
        return [], False
    return sorted(
        addr
        for node_id, addr in managers.items()
        if not is_ours(node_id, addr.rpartition(":")[0].strip("[]"))
    ), False


def _lost(
    observed: Mapping[str, Mapping[str, Any]],
    acting: str,
    members: Sequence[ResetHost],
    depth: str,
) -> list[str]:
    texts = []
    objects = dict(observed.get(acting) or {}).get("objects")
    if objects:
        parts = []
        for kind, noun in (("stacks", "stack"), ("services", "service"), ("secrets", "secret")):
            names = list(objects.get(kind) or [])
            listed = f" ({abbreviate(names, 4)})" if names else ""
            parts.append(count_of(len(names), noun) + listed)
        for kind, noun in (("configs", "config"), ("networks", "network")):
            parts.append(count_of(len(objects.get(kind) or []), noun))
        texts.append(f"lost with the swarm: {', '.join(parts)}; its CA and join tokens")
    elif members:
        texts.append("lost with the swarm: all stacks, services, secrets, configs and networks")
    if members:
        texts.append(
            "nothing brings secrets back but a backup: run back_up.yml first if you may need this swarm again"
        )
    counts = {
        name: (int(seen.get("volumes") or 0), int(seen.get("containers") or 0))
        for name, seen in observed.items()
        if seen
    }
    volumes = [f"{name} {count[0]}" for name, count in counts.items() if count[0]]
    if volumes and depth == DATA:
        texts.append(f"lost with the data: the volumes of all hosts: {', '.join(volumes)}")
    elif volumes:
        texts.append(f"volumes stay on the hosts: {', '.join(volumes)}")
    if depth == DATA:
        roots = sorted({str(seen["data_root"]) for seen in observed.values() if seen.get("data")})
        if roots:
            texts.append(f"lost with the data: all images and containers in {', '.join(roots)}")
    elif depth == ENGINE:
        texts.append("images and volumes stay on the disks: depth data removes them too")
    return texts
