# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Checks of managers, nodes and hosts. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from .._common.words import Text, abbreviate, as_is, count_of, either, joined, text, tolerates
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
    return Check(
        "engine",
        "ok",
        text("version {version} answers", version=version),
        None,
        {"version": version},
    )


def _swarm(given: CheckInput) -> Check:
    member = given.snapshot.member
    data = {"cluster_id": member.cluster_id, "node_id": member.node_id}
    return Check("swarm", "ok", text("this host is an active manager"), None, data)


def _leader(given: CheckInput) -> Check:
    leader = next((name_of(node) for node in given.snapshot.nodes if node.leader), None)
    data = {"leader": leader}
    if leader is None:
        message, advice = text("the managers have no leader"), text("bring managers back")
        return Check("leader", "failed", message, advice, data)
    return Check("leader", "ok", text("{leader} leads", leader=leader), None, data)


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
    message = text(
        "{reachable} of {managers} managers reachable, {tolerates}",
        reachable=len(reachable),
        managers=len(managers),
        tolerates=tolerates(spare),
    )
    if not lost:
        return Check("quorum", "ok", message, None, data)
    status = "degraded"
    if len(reachable) < quorum_of(len(managers)):
        # The leader that reports this has not stepped down yet.
        status, data["code"] = "failed", "no_quorum"
    message = text("{message}; lost: {names}", message=message, names=abbreviate(lost))
    return Check("quorum", status, message, text("bring them back"), data)


def _zones(given: CheckInput) -> Check:
    """What the swarm would lose with one zone."""
    nodes = given.snapshot.nodes
    managers = _managers(nodes)
    spread = dict(sorted(Counter(_zone(node) for node in managers).items()))
    zones = sorted({_zone(node) for node in nodes} - {""})
    data: dict[str, Any] = {"managers": spread, "fatal": [], "services": {}, "single": []}
    if not zones:
        return Check("zones", "ok", text("no zones are set"), None, data)

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
    counts = joined(
        [
            as_is(f"{zone}: {count}") if zone else text("no zone: {count}", count=count)
            for zone, count in spread.items()
        ]
    )
    problems: list[Text] = []
    advice: list[Text] = []
    if data["fatal"] and len(managers) > 2:
        problems.append(
            text(
                "losing zone {zones} would break the quorum (managers {counts})",
                zones=either([zone or "(none)" for zone in data["fatal"]]),
                counts=counts,
            )
        )
        dead = sum(alive.values()) < len(managers)
        advice.append(
            text("bring the lost managers back")
            if dead
            else text("spread the managers so that no zone has half of them")
        )
    by_zone = defaultdict(list)
    for name, zone in data["services"].items():
        by_zone[zone].append(name)
    for zone, names_there in sorted(by_zone.items()):
        problems.append(
            text(
                "losing zone {zone} would leave {services} without a task",
                zone=zone,
                services=abbreviate(names_there),
            )
        )
    if by_zone:
        advice.append(text("spread them over zones, or add a node in another zone"))
    if problems:
        return Check("zones", "degraded", joined(problems, "; "), joined(advice), data)
    if data["fatal"]:
        return Check(
            "zones",
            "ok",
            text(
                "{managers}: all are needed ({counts})",
                managers=count_of(len(managers), "manager"),
                counts=counts,
            ),
            None,
            data,
        )
    message = text("losing any one zone keeps the quorum (managers {counts})", counts=counts)
    return Check("zones", "ok", message, None, data)


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
    found = [text("{ready} of {total} ready", ready=total - len(missing), total=total)]
    if drained:
        found.append(text("drained: {names}", names=abbreviate(drained)))
    if paused:
        found.append(text("paused: {names}", names=abbreviate(paused)))
    data = {
        "total": total,
        "ready": total - len(missing),
        "not_ready": down,
        "unheard": unheard,
        "drained": drained,
        "paused": paused,
        "ghosts": [node.id for node in ghosts],
    }
    advice: list[Text] = []
    if unheard:
        names = abbreviate(unheard)
        found.append(text("the new leader has not heard from: {names}", names=names))
        advice.append(text("check again in a few seconds"))
    if down:
        found.append(text("not ready: {names}", names=abbreviate(down)))
        advice += _how_to_raise(given, down)
    if ghosts:
        names = abbreviate([name_of(node) for node in ghosts])
        found.append(text("left over from before a host rejoined: {names}", names=names))
        advice.append(as_is(f"docker node rm {' '.join(node.id for node in ghosts)}"))
    status = "unknown" if unheard else "degraded" if advice else "ok"
    return Check("nodes", status, joined(found, "; "), joined(advice) if advice else None, data)


def _how_to_raise(given: CheckInput, down: list[str]) -> list[Text]:
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
        advice.append(text("unlock {names}: docker swarm unlock", names=abbreviate(locked)))
    if others:
        unlock = _autolocked(given) and managers & set(others)
        advice.append(
            text("start the engine there and unlock the managers")
            if unlock
            else text("start the engine there")
        )
    return advice


def _versions(given: CheckInput) -> Check:
    """Engines of one release with different patches are fine; different releases are for the time of an upgrade only."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for node in given.snapshot.nodes:
        hosts[node.engine_version or "?"].append(name_of(node))
    releases = {tuple(version.split(".")[:2]) for version in hosts}
    counts = joined(
        [
            text("{version} on {names}", version=version, names=abbreviate(names, 3))
            for version, names in sorted(hosts.items())
        ]
    )
    data = {"versions": dict(hosts)}
    if len(releases) > 1:
        message = text("engines differ: {counts}", counts=counts)
        return Check(
            "versions", "degraded", message, text("bring all engines to one release"), data
        )
    if len(hosts) > 1:
        message = text("one release, several patches: {counts}", counts=counts)
        return Check("versions", "ok", message, None, data)
    message = text("all engines are {version}", version=next(iter(hosts), "?"))
    return Check("versions", "ok", message, None, data)


def _hosts(given: CheckInput) -> Check:
    silent = sorted(given.context.unreachable)
    data = {"unreachable": silent}
    if silent:
        names = abbreviate(silent)
        message = text("no answer from {names}: not checked in this run", names=names)
        advice = text("bring the host or its engine back, and run again")
        return Check("hosts", "degraded", message, advice, data)
    return Check("hosts", "ok", text("all hosts answered"), None, data)


def _clock(given: CheckInput) -> Check:
    """The clocks of the hosts against each other; the controller's does not matter to a swarm."""
    skews = {
        name: float(skew)
        for name, host in given.context.hosts.items()
        if (skew := dig(host, "clock", "skew")) is not None
    }
    if len(skews) < 2:
        message = text("not checked: the clocks of two or more hosts must be observed")
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
        message = text("clocks differ: {names}", names=words)
        return Check("clock", "degraded", message, text("synchronise them with NTP"), data)
    message = text("the clocks of {hosts} agree", hosts=count_of(len(skews), "host"))
    return Check("clock", "ok", message, None, data)


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
    words: list[Text] = []
    problems: list[Text] = []
    advice: list[Text] = []
    failed = False
    if ca_days is not None:
        found = text("the CA is valid for {days}", days=count_of(round(ca_days), "day"))
        if ca_days < given.thresholds.ca_days:
            found = text("the CA expires in {days:.1f} days", days=ca_days)
            if ca_days <= 0:
                found = text("the CA has expired")
            problems.append(found)
            advice.append(as_is("docker swarm ca --rotate"))
            failed = ca_days <= 0
        words.append(found)
    if days is not None:
        found = text("this manager's certificate for {days}", days=count_of(round(days), "day"))
        overdue = (given.now - own[0].begins) > RENEWED_BY * (own[0].ends - own[0].begins)
        if days <= 0 or (overdue and days < given.thresholds.certificate_days):
            problems.append(
                text("this manager's certificate has expired and has not been renewed")
                if days <= 0
                else text(
                    "this manager's certificate expires in {days:.1f} days and has not been renewed",
                    days=days,
                )
            )
            advice.append(text("restart its engine"))
            failed = failed or days <= 0
        words.append(found)
    else:
        words.append(text("this manager's own certificate cannot be read"))
    if rotating:
        words.append(text("the CA is being rotated"))
    if problems:
        status = "failed" if failed else "degraded"
        return Check("certificates", status, joined(problems, "; "), joined(advice), data)
    if ca_days is None and days is None:
        message = text("no certificate can be read")
        return Check("certificates", "skipped", message, None, data)
    return Check("certificates", "ok", joined(words), None, data)


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
    rest = [text("not checked: {names}", names=abbreviate(unseen))] if unseen else []
    if not free:
        message = text("not checked: no host has reported its disk")
        return Check("disk", "skipped", message, None, data)
    full = {name: left for name, left in free.items() if left < given.thresholds.disk_free_percent}
    if full:
        words = abbreviate([f"{name} {left:g}%" for name, left in sorted(full.items())])
        message = text("the engine's disk is nearly full, free: {names}", names=words)
        advice = text("free space: docker system prune")
        return Check("disk", "degraded", joined([message, *rest], "; "), advice, data)
    least = min(free, key=lambda name: free[name])
    message = text(
        "{percent:g}% free on {host}, the fullest of {count}"
        if len(free) > 1
        else "{percent:g}% free on {host}",
        percent=free[least],
        host=least,
        count=len(free),
    )
    return Check("disk", "ok", joined([message, *rest], "; "), None, data)


def _autolocked(given: CheckInput) -> bool:
    return bool(dig(given.snapshot.cluster, "Spec", "EncryptionConfig", "AutoLockManagers"))


def _autolock(given: CheckInput) -> Check:
    data = {"enabled": _autolocked(given)}
    if data["enabled"]:
        message = text("on: a manager that restarts waits for the unlock key")
        return Check("autolock", "ok", message, None, data)
    message = text("off: the disk of a manager holds the keys of the swarm")
    advice = text(
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
