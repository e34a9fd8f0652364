# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Checks of managers, nodes and hosts. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from .._common.words import abbreviate, count_of, tolerates
from .._model.documents import Node, dig, may_lose, quorum_of
from .._model.labels import ZONE_LABEL, name_of
from .certificate import validities
from .check import Check, CheckInput, Checks

# The engine renews a node's certificate after 50 to 80 percent of its validity (swarmkit: ca/certificates.go,
# calculateRandomExpiry): an older one is overdue.
RENEWED_BY = 0.8
DAY = 86400.0


def _engine(given: CheckInput) -> Check:
    version = given.snapshot.version
    return Check("engine", "ok", f"version {version} answers", None, {"version": version})


def _swarm(given: CheckInput) -> Check:
    member = given.snapshot.member
    data = {"cluster_id": member.cluster_id, "node_id": member.node_id}
    return Check("swarm", "ok", "this host is an active manager", None, data)


def _leader(given: CheckInput) -> Check:
    leader = next((name_of(node) for node in given.snapshot.nodes if node.leader), None)
    data = {"leader": leader}
    if leader is None:
        return Check("leader", "failed", "the managers have no leader", "bring managers back", data)
    return Check("leader", "ok", f"{leader} leads", None, data)


def _managers(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.role == "manager"]


def _quorum(given: CheckInput) -> Check:
    managers = _managers(given.snapshot.nodes)
    reachable = [node for node in managers if node.answers]
    spare = may_lose(len(managers), len(reachable))
    lost = [name_of(node) for node in managers if node not in reachable]
    data = {
        "managers": len(managers),
        "reachable": len(reachable),
        "quorum": quorum_of(len(managers)),
        "may_lose": spare,
        "leader": next((name_of(node) for node in managers if node.leader), None),
        "unreachable": lost,
    }
    message = f"{len(reachable)} of {len(managers)} managers reachable, {tolerates(spare)}"
    if not lost:
        return Check("quorum", "ok", message, None, data)
    status = "degraded"
    if len(reachable) < quorum_of(len(managers)):
        # The leader that reports this has not stepped down yet.
        status, data["code"] = "failed", "no_quorum"
    return Check("quorum", status, f"{message}; lost: {abbreviate(lost)}", "bring them back", data)


def _zones(given: CheckInput) -> Check:
    """What the swarm would lose with one zone."""
    nodes = given.snapshot.nodes
    managers = _managers(nodes)
    spread = dict(sorted(Counter(_zone(node) for node in managers).items()))
    zones = sorted({_zone(node) for node in nodes} - {""})
    data: dict[str, Any] = {"managers": spread, "fatal": [], "services": {}, "single": []}
    if not zones:
        return Check("zones", "ok", "no zones are set", None, data)

    alive = Counter(_zone(node) for node in managers if node.answers)
    needed = quorum_of(len(managers))
    data["fatal"] = [
        zone for zone in [*zones, ""] if alive[zone] and sum(alive.values()) - alive[zone] < needed
    ]
    if len(zones) > 1:
        # A service with one replica is always in one zone: that is what was asked for.
        alone = [
            row
            for row in given.service_states
            if row["running"] and row["zones"] in [[z] for z in zones]
        ]
        data["single"] = [row["name"] for row in alone if row["wanted"] == 1]
        data["services"] = {row["name"]: row["zones"][0] for row in alone if row["wanted"] > 1}
    counts = ", ".join(f"{zone or 'no zone'}: {count}" for zone, count in spread.items())
    problems, advice = [], []
    if data["fatal"] and len(managers) > 2:
        names = " or ".join(zone or "(none)" for zone in data["fatal"])
        problems.append(f"losing zone {names} would break the quorum (managers {counts})")
        dead = sum(alive.values()) < len(managers)
        advice.append(
            "bring the lost managers back"
            if dead
            else "spread the managers so that no zone has half of them"
        )
    by_zone = defaultdict(list)
    for name, zone in data["services"].items():
        by_zone[zone].append(name)
    for zone, names_there in sorted(by_zone.items()):
        problems.append(f"losing zone {zone} would leave {abbreviate(names_there)} without a task")
    if by_zone:
        advice.append("spread them over zones, or add a node in another zone")
    if problems:
        return Check("zones", "degraded", "; ".join(problems), ", ".join(advice), data)
    if data["fatal"]:
        return Check(
            "zones",
            "ok",
            f"{count_of(len(managers), 'manager')}: all are needed ({counts})",
            None,
            data,
        )
    return Check(
        "zones", "ok", f"losing any one zone keeps the quorum (managers {counts})", None, data
    )


def _zone(node: Node) -> str:
    return node.labels.get(ZONE_LABEL, "")


def _nodes(given: CheckInput) -> Check:
    nodes = given.snapshot.nodes
    ready = {node.hostname for node in nodes if node.state == "ready"}
    # A host that left and joined again is a new node; the old one stays listed until it is removed.
    ghosts = [node for node in nodes if node.state != "ready" and node.hostname in ready]
    missing = [node for node in nodes if node.state != "ready" and node not in ghosts]
    # A new leader reports all nodes as unknown until it has heard from them.
    unheard = [name_of(node) for node in missing if node.state == "unknown"]
    down = [name_of(node) for node in missing if node.state != "unknown"]
    drained = [name_of(node) for node in nodes if node.availability == "drain"]
    paused = [name_of(node) for node in nodes if node.availability == "pause"]
    total = len(nodes) - len(ghosts)
    message = f"{total - len(missing)} of {total} ready"
    for words, names in (("drained", drained), ("paused", paused)):
        if names:
            message += f"; {words}: {abbreviate(names)}"
    data = {
        "total": total,
        "ready": total - len(missing),
        "not_ready": down,
        "unheard": unheard,
        "drained": drained,
        "paused": paused,
        "ghosts": [node.id for node in ghosts],
    }
    advice = []
    if unheard:
        message += f"; the new leader has not heard from: {abbreviate(unheard)}"
        advice.append("check again in a few seconds")
    if down:
        message += f"; not ready: {abbreviate(down)}"
        advice += _how_to_raise(given, down)
    if ghosts:
        names = [name_of(node) for node in ghosts]
        message += f"; left over from before a host rejoined: {abbreviate(names)}"
        advice.append(f"docker node rm {' '.join(node.id for node in ghosts)}")
    status = "unknown" if unheard else "degraded" if advice else "ok"
    return Check("nodes", status, message, ", ".join(advice) or None, data)


def _how_to_raise(given: CheckInput, down: list[str]) -> list[str]:
    """What brings nodes back that are down. A manager that waits for its unlock key has a running engine."""
    # A node without our label has the hostname of its engine as its name.
    hosts = given.context.hosts
    states = {
        str(dig(host, "host", "hostname")): dig(host, "swarm", "state") for host in hosts.values()
    }
    states.update({name: dig(host, "swarm", "state") for name, host in hosts.items()})
    managers = {name_of(node) for node in _managers(given.snapshot.nodes)}
    locked = [name for name in down if states.get(name) == "locked"]
    others = [name for name in down if name not in locked]
    advice = []
    if locked:
        advice.append(f"unlock {abbreviate(locked)}: docker swarm unlock")
    if others:
        keys = " and unlock the managers" if _autolocked(given) and managers & set(others) else ""
        advice.append(f"start the engine there{keys}")
    return advice


def _versions(given: CheckInput) -> Check:
    """Engines of one release with different patches are fine; different releases are for the time of an upgrade only."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for node in given.snapshot.nodes:
        hosts[node.engine_version or "?"].append(name_of(node))
    releases = {tuple(version.split(".")[:2]) for version in hosts}
    counts = ", ".join(
        f"{version} on {abbreviate(names, 3)}" for version, names in sorted(hosts.items())
    )
    data = {"versions": dict(hosts)}
    if len(releases) > 1:
        advice = "bring all engines to one release"
        return Check("versions", "degraded", f"engines differ: {counts}", advice, data)
    if len(hosts) > 1:
        return Check("versions", "ok", f"one release, several patches: {counts}", None, data)
    return Check("versions", "ok", f"all engines are {next(iter(hosts), '?')}", None, data)


def _hosts(given: CheckInput) -> Check:
    silent = sorted(given.context.unreachable)
    data = {"unreachable": silent}
    if silent:
        message = f"no answer from {abbreviate(silent)}: not checked in this run"
        advice = "bring the host or its engine back, and run again"
        return Check("hosts", "degraded", message, advice, data)
    return Check("hosts", "ok", "all hosts answered", None, data)


def _clock(given: CheckInput) -> Check:
    """The clocks of the hosts against each other; the controller's does not matter to a swarm."""
    skews = {
        name: float(skew)
        for name, host in given.context.hosts.items()
        if (skew := dig(host, "clock", "skew")) is not None
    }
    if len(skews) < 2:
        message = "not checked: the clocks of two or more hosts must be observed"
        return Check("clock", "skipped", message, None, {"skews": skews})
    middle = sorted(skews.values())[(len(skews) - 1) // 2]
    off = {
        name: round(skew - middle, 1)
        for name, skew in skews.items()
        if abs(skew - middle) > given.thresholds.clock_skew
    }
    data = {"skews": skews, "off": off}
    if off:
        words = abbreviate([f"{name} {skew:+.1f} s" for name, skew in sorted(off.items())])
        return Check(
            "clock", "degraded", f"clocks differ: {words}", "synchronise them with NTP", data
        )
    return Check("clock", "ok", f"the clocks of {count_of(len(skews), 'host')} agree", None, data)


def _certificates(given: CheckInput) -> Check:
    root = validities(str(dig(given.snapshot.cluster, "TLSInfo", "TrustRoot") or ""))
    own = validities(given.context.certificate)
    rotating = bool(given.snapshot.cluster.get("RootRotationInProgress"))
    ca_days = min(((each.ends - given.now) / DAY for each in root), default=None)
    days = (own[0].ends - given.now) / DAY if own else None
    data = {
        "ca_days": None if ca_days is None else round(ca_days, 1),
        "certificate_days": None if days is None else round(days, 1),
        "rotating": rotating,
    }
    words, problems, advice, failed = [], [], [], False
    if ca_days is not None:
        text = f"the CA is valid for {count_of(round(ca_days), 'day')}"
        if ca_days < given.thresholds.ca_days:
            text = f"the CA {'has expired' if ca_days <= 0 else f'expires in {ca_days:.1f} days'}"
            problems.append(text)
            advice.append("docker swarm ca --rotate")
            failed = ca_days <= 0
        words.append(text)
    if days is not None:
        text = f"this manager's certificate for {count_of(round(days), 'day')}"
        overdue = (given.now - own[0].begins) > RENEWED_BY * (own[0].ends - own[0].begins)
        if days <= 0 or (overdue and days < given.thresholds.certificate_days):
            when = "has expired" if days <= 0 else f"expires in {days:.1f} days"
            problems.append(f"this manager's certificate {when} and has not been renewed")
            advice.append("restart its engine")
            failed = failed or days <= 0
        words.append(text)
    else:
        words.append("this manager's own certificate cannot be read")
    if rotating:
        words.append("the CA is being rotated")
    if problems:
        status = "failed" if failed else "degraded"
        return Check("certificates", status, "; ".join(problems), ", ".join(advice), data)
    if ca_days is None and days is None:
        return Check("certificates", "skipped", "no certificate can be read", None, data)
    return Check("certificates", "ok", ", ".join(words), None, data)


def _disk(given: CheckInput) -> Check:
    """The disks that hold the engines' data, on this host and on all that are observed."""
    free, seen = {}, set()
    for name, host in given.context.hosts.items():
        disk = dig(host, "host", "disk") or {}
        if disk.get("total_bytes"):
            free[name] = round(100.0 * (disk.get("free_bytes") or 0) / disk["total_bytes"], 1)
            seen |= {name, str(dig(host, "host", "hostname"))}
    nodes = [node for node in given.snapshot.nodes if not {name_of(node), node.hostname} & seen]
    unseen = sorted(map(name_of, nodes) if given.snapshot.nodes else set(given.context.unreachable))
    data = {"free_percent": free, "not_looked_at": unseen}
    rest = f"; not checked: {abbreviate(unseen)}" if unseen else ""
    if not free:
        return Check("disk", "skipped", "not checked: no host has reported its disk", None, data)
    full = {name: left for name, left in free.items() if left < given.thresholds.disk_free_percent}
    if full:
        words = abbreviate([f"{name} {left:g}%" for name, left in sorted(full.items())])
        return Check(
            "disk",
            "degraded",
            f"the engine's disk is nearly full, free: {words}{rest}",
            "free space: docker system prune",
            data,
        )
    least = min(free, key=lambda name: free[name])
    message = f"{free[least]:g}% free on {least}{f', the fullest of {len(free)}' if len(free) > 1 else ''}"
    return Check("disk", "ok", message + rest, None, data)


def _autolocked(given: CheckInput) -> bool:
    return bool(dig(given.snapshot.cluster, "Spec", "EncryptionConfig", "AutoLockManagers"))


def _autolock(given: CheckInput) -> Check:
    data = {"enabled": _autolocked(given)}
    if data["enabled"]:
        message = "on: a manager that restarts waits for the unlock key"
        return Check("autolock", "ok", message, None, data)
    message = "off: the disk of a manager holds the keys of the swarm"
    advice = (
        "turn it on (swarm_settings: autolock_managers) once the unlock key is kept in a safe place"
    )
    return Check("autolock", "noted", message, advice, data)


NODE_CHECKS: Checks = {
    "engine": _engine,
    "swarm": _swarm,
    "leader": _leader,
    "quorum": _quorum,
    "zones": _zones,
    "nodes": _nodes,
    "hosts": _hosts,
    "certificates": _certificates,
    "clock": _clock,
    "disk": _disk,
    "versions": _versions,
    "autolock": _autolock,
}
