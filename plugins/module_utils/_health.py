# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A verdict on a swarm, made of what its tasks do on nodes that are ready. Pure."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._certificate import validities
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import (
    HOST_LABEL,
    ZONE_LABEL,
    name_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Node,
    dig,
    may_lose,
    moment,
    quorum_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import (
    OVER,
    Picture,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import (
    count_of,
    some,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import cause_of

# From good to bad; a verdict is the worst of its checks. `unknown` is worse than `degraded`: what
# cannot be seen is not taken for healthy. What is skipped has no say, and what is noted is a choice that somebody may
# want to make otherwise, and no fault.
STATUSES = ("skipped", "ok", "noted", "degraded", "unknown", "failed")
WELL = ("skipped", "ok", "noted")
VERDICTS = {
    "ok": "healthy",
    "noted": "healthy",
    "degraded": "degraded",
    "unknown": "unknown",
    "failed": "failed",
}
# The engine renews a node's certificate when 50 to 80 percent of its time are over (swarmkit: ca/certificates.go,
# calculateRandomExpiry): one that is older than that should have been.
RENEWED_BY = 0.8
DAY = 86400.0
# A replica that has run for this many times as long as it did between two failures has got over them.
RECOVERED = 3
# Seconds. Not before that, however quickly it failed.
STEADY = 30.0
# More rows than these are not read by anybody: of longer tables only those are shown that are not as they should be.
MOST_ROWS = 40


@dataclass(frozen=True)
class Check:
    name: str
    status: str
    message: str
    advice: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Thresholds:
    """From where on something is degraded. The module's options have these names and defaults."""

    ca_days: int = 30
    certificate_days: int = 7
    clock_skew: float = 5.0
    disk_free_percent: int = 10
    network_percent: int = 80
    pending_seconds: int = 30
    restarts: int = 3
    restart_window: int = 600


@dataclass(frozen=True)
class Around:
    """What is known from elsewhere than the engine.

    `hosts` is what swarm_host_info said of each host, by name; `certificate` is the PEM of the node's own
    certificate; `unreachable` are hosts that the controller could not reach.
    """

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    certificate: str = ""
    unreachable: Collection[str] = ()


@dataclass(frozen=True)
class _Case:
    picture: Picture
    around: Around
    limits: Thresholds

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.picture.rows

    @property
    def now(self) -> float:
        return self.picture.now or 0.0


def evaluate(
    picture: Picture,
    around: Around = Around(),
    limits: Thresholds = Thresholds(),
    only: Collection[str] = (),
) -> list[Check]:
    """The checks, in the order in which they matter; all of them, or `only` some.

    What keeps us from looking is always among them: a verdict that nothing was seen for is not a good one.
    """
    blocked = _blocked(picture)
    case = _Case(picture, around, limits)
    checks = []
    for name, check in CHECKS.items():
        if blocked is not None and blocked.name == name:
            checks.append(blocked)
        elif only and name not in only:
            continue
        elif blocked is not None and name not in _HOST_CHECKS and not _before(name, blocked.name):
            checks.append(Check(name, "skipped", "nobody to ask"))
        else:
            checks.append(check(case))
    return checks


def verdict_of(checks: list[Check]) -> str:
    worst = max((STATUSES.index(check.status) for check in checks), default=0)
    return VERDICTS.get(STATUSES[worst], "unknown")


# What keeps us from looking


def _blocked(picture: Picture) -> Check | None:
    trouble = picture.trouble
    member = picture.member
    if trouble is not None and trouble.code == "no_quorum":
        return Check(
            "quorum",
            "failed",
            "the swarm has lost its quorum: no manager can decide anything; running tasks go on",
            "bring managers back until more than half of them answer",
            {"code": "no_quorum"},
        )
    if trouble is not None:
        return Check("engine", "unknown", trouble.message, None, {"code": trouble.code})

    def swarm(status: str, code: str, message: str, advice: str | None) -> Check:
        return Check("swarm", status, message, advice, {"code": code})

    if member.state == "locked":
        return swarm(
            "failed",
            "locked",
            "this manager is locked and waits for the unlock key",
            "unlock it: docker swarm unlock",
        )
    if member.state == "inactive":
        return swarm("unknown", "not_in_swarm", "this host is in no swarm", "run it on a manager")
    if member.state == "pending":
        return swarm(
            "unknown", "joining", "this host is still joining a swarm", "run it on a manager"
        )
    if member.state != "active":
        reason = f": {member.error}" if member.error else ""
        message = f"the engine reports the swarm state {member.state}{reason}"
        return swarm("failed", "swarm_error", message, "see the log of the engine")
    if member.role != "manager":
        message = "this host is a worker, and only managers know"
        return swarm("unknown", "not_manager", message, "run it on a manager")
    return None


def _before(name: str, other: str) -> bool:
    names = list(CHECKS)
    return names.index(name) < names.index(other) and name in ("engine", "swarm")


# The managers


def _engine(case: _Case) -> Check:
    version = case.picture.version
    return Check("engine", "ok", f"version {version} answers", None, {"version": version})


def _swarm(case: _Case) -> Check:
    member = case.picture.member
    data = {"cluster_id": member.cluster_id, "node_id": member.node_id}
    return Check("swarm", "ok", "asked of an active manager", None, data)


def _leader(case: _Case) -> Check:
    leader = next((name_of(node) for node in case.picture.nodes if node.leader), None)
    data = {"leader": leader}
    if leader is None:
        return Check("leader", "failed", "the managers have no leader", "bring managers back", data)
    return Check("leader", "ok", f"{leader} leads", None, data)


def _managers(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if node.role == "manager"]


def _quorum(case: _Case) -> Check:
    managers = _managers(case.picture.nodes)
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
    message = f"{len(reachable)} of {len(managers)} managers reachable, {spare} may be lost"
    if not lost:
        return Check("quorum", "ok", message, None, data)
    status = "degraded"
    if len(reachable) < quorum_of(len(managers)):
        # The leader that tells us so is about to find out what that means.
        status, data["code"] = "failed", "no_quorum"
    return Check("quorum", status, f"{message}; lost: {some(lost)}", "bring them back", data)


def _zones(case: _Case) -> Check:
    """What the loss of one zone would cost."""
    nodes = case.picture.nodes
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
        # A service of one task is always in one place: that is how it was asked for.
        alone = [
            row for row in case.rows if row["running"] and row["zones"] in [[z] for z in zones]
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
        problems.append(f"losing zone {zone} would leave {some(names_there)} without a task")
    if by_zone:
        advice.append("spread them, or add a node elsewhere")
    if problems:
        return Check("zones", "degraded", "; ".join(problems), ", ".join(advice), data)
    if data["fatal"]:
        return Check(
            "zones",
            "ok",
            f"{count_of(len(managers), 'manager')}: every one is needed ({counts})",
            None,
            data,
        )
    return Check(
        "zones", "ok", f"losing any one zone keeps the quorum (managers {counts})", None, data
    )


def _zone(node: Node) -> str:
    return node.labels.get(ZONE_LABEL, "")


# The nodes


def _nodes(case: _Case) -> Check:
    nodes = case.picture.nodes
    ready = {node.hostname for node in nodes if node.state == "ready"}
    # A host that left and joined again is a new node; the old one stays in the list until it is removed.
    ghosts = [node for node in nodes if node.state != "ready" and node.hostname in ready]
    missing = [node for node in nodes if node.state != "ready" and node not in ghosts]
    # To a new leader all nodes are unknown, until they have told it that they are there.
    unheard = [name_of(node) for node in missing if node.state == "unknown"]
    down = [name_of(node) for node in missing if node.state != "unknown"]
    drained = [name_of(node) for node in nodes if node.availability == "drain"]
    paused = [name_of(node) for node in nodes if node.availability == "pause"]
    total = len(nodes) - len(ghosts)
    message = f"{total - len(missing)} of {total} ready"
    for words, names in (("drained", drained), ("paused", paused)):
        if names:
            message += f"; {words}: {some(names)}"
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
        message += f"; not heard of yet by a new leader: {some(unheard)}"
        advice.append("look again in some seconds")
    if down:
        message += f"; not ready: {some(down)}"
        advice += _raise(case, down)
    if ghosts:
        message += f"; left over from before: {some([name_of(node) for node in ghosts])}"
        advice.append(f"docker node rm {' '.join(node.id for node in ghosts)}")
    status = "unknown" if unheard else "degraded" if advice else "ok"
    return Check("nodes", status, message, ", ".join(advice) or None, data)


def _raise(case: _Case, down: list[str]) -> list[str]:
    """What brings nodes back that are down. A manager that waits for its key has a running engine."""
    # A node that no run of ours has labelled is called by its own name.
    hosts = case.around.hosts
    states = {
        str(dig(host, "host", "hostname")): dig(host, "swarm", "state") for host in hosts.values()
    }
    states.update({name: dig(host, "swarm", "state") for name, host in hosts.items()})
    managers = {name_of(node) for node in _managers(case.picture.nodes)}
    locked = [name for name in down if states.get(name) == "locked"]
    others = [name for name in down if name not in locked]
    advice = []
    if locked:
        advice.append(f"unlock {some(locked)}: docker swarm unlock")
    if others:
        keys = " and unlock the managers" if _autolocked(case) and managers & set(others) else ""
        advice.append(f"start the engine there{keys}")
    return advice


def _versions(case: _Case) -> Check:
    """Patches of one release go together; several releases are meant to, for the time of an upgrade."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for node in case.picture.nodes:
        hosts[node.engine_version or "?"].append(name_of(node))
    releases = {tuple(version.split(".")[:2]) for version in hosts}
    counts = ", ".join(f"{version} on {some(names, 3)}" for version, names in sorted(hosts.items()))
    data = {"versions": dict(hosts)}
    if len(releases) > 1:
        advice = "bring all engines to one release"
        return Check("versions", "degraded", f"engines differ: {counts}", advice, data)
    if len(hosts) > 1:
        return Check("versions", "ok", f"one release, several patches: {counts}", None, data)
    return Check("versions", "ok", f"all engines are {next(iter(hosts), '?')}", None, data)


def _hosts(case: _Case) -> Check:
    silent = sorted(case.around.unreachable)
    data = {"unreachable": silent}
    if silent:
        message = f"no answer from {some(silent)}: not looked at in this run"
        advice = "bring the host, or the engine that hangs on it, back and run again"
        return Check("hosts", "degraded", message, advice, data)
    return Check("hosts", "ok", "the caller missed no host", None, data)


def _clock(case: _Case) -> Check:
    """Against each other: how right the controller's clock is does not matter to a swarm."""
    skews = {
        name: float(skew)
        for name, host in case.around.hosts.items()
        if (skew := dig(host, "clock", "skew")) is not None
    }
    if len(skews) < 2:
        message = "one host cannot tell another's clock: the caller did not say what it saw"
        return Check("clock", "skipped", message, None, {"skews": skews})
    middle = sorted(skews.values())[(len(skews) - 1) // 2]
    off = {
        name: round(skew - middle, 1)
        for name, skew in skews.items()
        if abs(skew - middle) > case.limits.clock_skew
    }
    data = {"skews": skews, "off": off}
    if off:
        words = some([f"{name} {skew:+.1f} s" for name, skew in sorted(off.items())])
        return Check("clock", "degraded", f"clocks differ: {words}", "set them right (NTP)", data)
    return Check("clock", "ok", f"the clocks of {count_of(len(skews), 'host')} agree", None, data)


def _certificates(case: _Case) -> Check:
    root = validities(str(dig(case.picture.cluster, "TLSInfo", "TrustRoot") or ""))
    own = validities(case.around.certificate)
    rotating = bool(case.picture.cluster.get("RootRotationInProgress"))
    ca_days = min(((each.ends - case.now) / DAY for each in root), default=None)
    days = (own[0].ends - case.now) / DAY if own else None
    data = {
        "ca_days": None if ca_days is None else round(ca_days, 1),
        "certificate_days": None if days is None else round(days, 1),
        "rotating": rotating,
    }
    words, problems, advice, failed = [], [], [], False
    if ca_days is not None:
        text = f"the CA is valid for {count_of(round(ca_days), 'day')}"
        if ca_days < case.limits.ca_days:
            text = f"the CA {'has expired' if ca_days <= 0 else f'expires in {ca_days:.1f} days'}"
            problems.append(text)
            advice.append("docker swarm ca --rotate")
            failed = ca_days <= 0
        words.append(text)
    if days is not None:
        text = f"this manager's certificate for {count_of(round(days), 'day')}"
        overdue = (case.now - own[0].begins) > RENEWED_BY * (own[0].ends - own[0].begins)
        if days <= 0 or (overdue and days < case.limits.certificate_days):
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


def _disk(case: _Case) -> Check:
    """Where the engines keep their data, on this host and on those of which the caller has told."""
    free, seen = {}, set()
    for name, host in case.around.hosts.items():
        disk = dig(host, "host", "disk") or {}
        if disk.get("total_bytes"):
            free[name] = round(100.0 * (disk.get("free_bytes") or 0) / disk["total_bytes"], 1)
            seen |= {name, str(dig(host, "host", "hostname"))}
    nodes = [node for node in case.picture.nodes if not {name_of(node), node.hostname} & seen]
    unseen = sorted(map(name_of, nodes) if case.picture.nodes else set(case.around.unreachable))
    data = {"free_percent": free, "not_looked_at": unseen}
    rest = f"; not looked at: {some(unseen)}" if unseen else ""
    if not free:
        return Check("disk", "skipped", "no disk can be looked at", None, data)
    full = {name: left for name, left in free.items() if left < case.limits.disk_free_percent}
    if full:
        words = some([f"{name} {left:g}%" for name, left in sorted(full.items())])
        return Check(
            "disk",
            "degraded",
            f"the engine's disk is nearly full, free: {words}{rest}",
            "make room: docker system prune",
            data,
        )
    least = min(free, key=lambda name: free[name])
    message = f"{free[least]:g}% free on {least}{f', the fullest of {len(free)}' if len(free) > 1 else ''}"
    return Check("disk", "ok", message + rest, None, data)


# The networks


def _networks(case: _Case) -> Check:
    """How many addresses of each overlay network are taken: by tasks, by services, and one for each node on it."""
    taken: Counter[str] = Counter()
    there: dict[str, set[str]] = defaultdict(set)
    for task in case.picture.tasks:
        if task["Status"]["State"] not in OVER:
            for network in task["Networks"]:
                taken[network] += 1
                there[network].add(task["NodeID"])
    for service in case.picture.services:
        for address in service["Endpoint"]["VirtualIPs"]:
            taken[str(dig(address, "NetworkID"))] += 1
    use: dict[str, dict[str, int]] = {}
    for network in case.picture.networks:
        key, size = str(network.get("Id")), _size(network)
        if size:
            nodes = len(case.picture.nodes) if network.get("Ingress") else len(there[key] - {""})
            use[str(network.get("Name"))] = {"used": taken[key] + nodes, "size": size}
    data = {"networks": use}
    tight = {
        name: each
        for name, each in use.items()
        if 100 * each["used"] >= case.limits.network_percent * each["size"]
    }
    if tight:
        words = some(
            [f"{name} {each['used']} of {each['size']}" for name, each in sorted(tight.items())]
        )
        return Check(
            "networks",
            "degraded",
            f"networks are running out of addresses: {words}",
            "make them anew with a larger subnet",
            data,
        )
    if not use:
        return Check("networks", "ok", "no overlay network", None, data)
    fullest = max(use, key=lambda name: use[name]["used"] / use[name]["size"])
    words = f"{use[fullest]['used']} of {use[fullest]['size']}"
    count = count_of(len(use), "network")
    return Check("networks", "ok", f"{count}; the fullest is {fullest}: {words}", None, data)


def _size(network: dict[str, Any]) -> int:
    """Addresses that can be given away: not the first, not the last, not the gateway."""
    size = 0
    configs = dig(network, "IPAM", "Config")
    for config in configs if isinstance(configs, list) else []:
        try:
            size += ipaddress.ip_network(str(dig(config, "Subnet"))).num_addresses - 3
        except ValueError:
            continue
    return max(size, 0)


# The services


def _services(case: _Case) -> Check:
    short = [row for row in case.rows if row["running"] < row["wanted"]]
    changing = [row for row in case.rows if row not in short and row["trouble"]]
    tasks = sum(row["running"] for row in case.rows)
    good = len(case.rows) - len(short)
    message = f"{good} of {len(case.rows)} as asked, {count_of(tasks, 'task')} on ready nodes"
    # Nothing runs, or all of it on nodes that a new leader has not heard of yet.
    gone = [row for row in short if not row["running"] + row["outdated"]]
    dead = [row["name"] for row in gone if not row["unheard"]]
    data = {
        "services": len(case.rows),
        "short": [row["name"] for row in short],
        "without_tasks": dead,
        "unheard": [row["name"] for row in gone if row["unheard"]],
        "changing": [row["name"] for row in changing],
    }
    if short:
        status = "failed" if dead else "unknown" if gone else "degraded"
        worst = sorted(short, key=lambda row: (row["running"] > 0, not row["trouble"], row["name"]))
        words = some(
            [
                f"{row['name']} {row['running']}/{row['wanted']}"
                + (f" ({row['trouble']})" if row is worst[0] and row["trouble"] else "")
                for row in worst
            ]
        )
        advice = "docker service ps says more"
        return Check("services", status, f"{message}; short: {words}", advice, data)
    if changing:
        words = some([f"{row['name']} ({row['trouble']})" for row in changing], 3)
        return Check(
            "services", "degraded", f"{message}; not settled: {words}", "look again later", data
        )
    return Check("services", "ok", message, None, data)


def _pending(case: _Case) -> Check:
    """Tasks that have no node yet, with the scheduler's reason."""
    rows = {str(row["id"]): row for row in case.rows}
    waiting: dict[tuple[str, str, str], int] = Counter()
    for task in case.picture.tasks:
        status = task["Status"]
        if task["DesiredState"] in ("shutdown", "remove") or status["State"] not in (
            "new",
            "pending",
        ):
            continue
        age = case.now - (moment(task["CreatedAt"]) or case.now)
        if status["Err"] or age > case.limits.pending_seconds:
            reason = status["Err"] or status["Message"] or "no reason given"
            row = rows.get(task["ServiceID"], {"name": "a task", "trouble": None})
            # Of several reasons it is the services' own view that knows which counts.
            same = reason in (row["trouble"] or "")
            cause = row["cause"] if same and row["cause"] else cause_of(reason)
            waiting[row["name"], cause, reason] += 1
    found = [
        {"service": service, "tasks": count, "cause": cause, "reason": reason}
        for (service, cause, reason), count in sorted(waiting.items())
    ]
    data = {"pending": found}
    if not found:
        return Check("pending", "ok", "no task waits for a node", None, data)
    words = some([f"{each['service']} ({each['tasks']}): {each['reason']}" for each in found], 3)
    total = sum(waiting.values())
    message = f"{total} {'task waits' if total == 1 else 'tasks wait'} for a node: {words}"
    return Check(
        "pending", "degraded", message, "give them what they ask for, or ask for less", data
    )


def _restarts(case: _Case) -> Check:
    """How often tasks have failed of late. One slot that fails again and again is worse than many that failed once.

    A task that crashes at once runs for a moment each time. So a service is not judged by what it does just now, but by
    how long it has done better than it did between its failures.
    """
    rows = {str(row["id"]): row for row in case.rows}
    slots: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    wanted = set()
    for task in case.picture.tasks:
        slot = task["ServiceID"], str(task["Slot"] or task["NodeID"])
        if task["DesiredState"] not in ("shutdown", "remove"):
            wanted.add(slot)
        when = moment(task["Status"]["Timestamp"])
        if (
            task["Status"]["State"] in ("failed", "rejected")
            and when is not None
            and when >= case.now - case.limits.restart_window
        ):
            slots[slot].append(task)
    failed: dict[str, dict[str, Any]] = {}
    for (service, _number), tasks in sorted(slots.items()):
        row = rows.get(service, {})
        each = failed.setdefault(
            str(row.get("name", service)),
            {"failed": 0, "worst_slot": 0, "looping": False, "cause": None, "reason": None},
        )
        each["failed"] += len(tasks)
        mine = (service, _number) in wanted and not str(row.get("mode")).endswith("-job")
        each["looping"] = each["looping"] or (mine and _loops(case, tasks))
        if len(tasks) > each["worst_slot"]:
            each["worst_slot"] = len(tasks)
            status = max(tasks, key=_failed_at)["Status"]
            reason = status["Err"] or status["Message"] or "no reason given"
            each.update(cause=cause_of(reason), reason=reason)
    data = {"window": case.limits.restart_window, "services": failed}
    minutes = f"{case.limits.restart_window:g} s"
    many = {
        name: each
        for name, each in failed.items()
        if each["worst_slot"] >= case.limits.restarts or each["looping"]
    }
    if many:
        words = some(
            [f"{name} {each['failed']} ({each['reason']})" for name, each in sorted(many.items())]
        )
        looping = [name for name, each in many.items() if each["looping"]]
        text = "tasks fail again and again" if looping else "tasks have kept failing"
        # What never ran has no log.
        ran = {each["cause"] in ("crash", "unhealthy") for each in many.values()}
        command = " or ".join(
            words for words, it in (("logs", True), ("ps --no-trunc", False)) if it in ran
        )
        return Check(
            "restarts",
            "failed" if looping else "degraded",
            f"{text}, in the last {minutes}: {words}",
            f"docker service {command} says why",
            data,
        )
    total = sum(each["failed"] for each in failed.values())
    message = f"{total} {'task has' if total == 1 else 'tasks have'} failed in the last {minutes}"
    return Check("restarts", "ok", message, None, data)


def _failed_at(task: dict[str, Any]) -> float:
    return moment(task["Status"]["Timestamp"]) or 0.0


def _loops(case: _Case, failures: list[dict[str, Any]]) -> bool:
    """Whether a replica that has failed so often, in its present spec, is likely to go on with it."""
    current = case.picture.current
    times = sorted(
        _failed_at(task) for task in failures if current is None or task["ID"] in current
    )
    if len(times) < max(2, case.limits.restarts):
        return False
    between = (times[-1] - times[0]) / (len(times) - 1)
    return case.now - times[-1] < max(STEADY, RECOVERED * between)


def _updates(case: _Case) -> Check:
    states: dict[str, list[str]] = defaultdict(list)
    for row in case.rows:
        if row["on_request"]:
            states["on_request"].append(row["name"])
        elif row["update"]:
            states[row["update"]].append(row["name"])
    paused = states["paused"] + states["rollback_paused"]
    back = states["rollback_completed"]
    going = states["updating"] + states["rollback_started"]
    asked = states["on_request"]
    data = {
        "paused": paused,
        "rolled_back": back,
        "rolled_back_on_request": asked,
        "going_on": going,
    }
    words = []
    for text, names in (
        ("paused", paused),
        ("rolled back", back),
        ("rolled back on request", asked),
        ("going on", going),
    ):
        if names:
            words.append(f"{text}: {some(names)}")
    if paused or back:
        return Check("updates", "degraded", "; ".join(words), "mend and deploy again", data)
    return Check(
        "updates", "ok", "; ".join(words) or "none is paused or was rolled back", None, data
    )


def _orphans(case: _Case) -> Check:
    nodes = {node.id: node for node in case.picture.nodes}
    where: Counter[str] = Counter()
    for task in case.picture.tasks:
        if task["Status"]["State"] == "running" and task["NodeID"]:
            node = nodes.get(task["NodeID"])
            if node is None or node.state not in ("ready", "unknown"):
                where[name_of(node) if node else f"a node that was removed ({task['NodeID']})"] += 1
    data = {"nodes": dict(where)}
    if not where:
        return Check("orphans", "ok", "no task is left on a dead node", None, data)
    words = some([f"{count} on {name}" for name, count in sorted(where.items())])
    message = f"tasks on dead nodes, which may still run there unseen: {words}"
    return Check("orphans", "degraded", message, "bring the node back, or remove it", data)


def _mesh(case: _Case) -> Check:
    """The published ports of the mesh and virtual addresses need IPVS in the kernel of each host."""
    published, virtual = mesh_users(case.picture.services, case.picture.networks)
    known = {
        name: has
        for name, host in case.around.hosts.items()
        if (has := dig(host, "host", "kernel_features", "ip_vs")) is not None
    }
    lacking = sorted(name for name, has in known.items() if not has)
    data = {"published": published, "virtual": virtual, "without_ipvs": lacking}
    if not published and not virtual:
        return Check("mesh", "ok", "nothing needs it", None, data)
    if not known:
        return Check("mesh", "skipped", "not known whether the kernel has IPVS", None, data)
    if not lacking:
        message = f"IPVS is there for {count_of(len(set(published) | set(virtual)), 'service')}"
        return Check("mesh", "ok", message, None, data)
    words, advice = [], ["load ip_vs"]
    if published:
        words.append(f"the published ports of {some(published)} answer nowhere through the mesh")
        advice.append("publish with mode: host")
    if virtual:
        words.append(f"the names of {some(virtual)} lead to addresses that do not answer")
        advice.append("use endpoint_mode: dnsrr")
    message = f"no IPVS in the kernel of {some(lacking)}: {', '.join(words)}"
    return Check("mesh", "degraded", message, " or ".join(advice), data)


def mesh_users(
    services: list[dict[str, Any]], networks: list[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Services with a port published through the mesh, and services with a virtual address that others would use."""
    ingress = {str(network.get("Id")) for network in networks if network.get("Ingress")}
    published, virtual = [], []
    for service in services:
        name = service["Spec"]["Name"]
        ports = service["Endpoint"]["Ports"] or service["Spec"]["EndpointSpec"]["Ports"]
        if any((dig(port, "PublishMode") or "ingress") == "ingress" for port in ports):
            published.append(name)
        addresses = service["Endpoint"]["VirtualIPs"]
        if any(str(dig(address, "NetworkID")) not in ingress for address in addresses):
            virtual.append(name)
    return sorted(published), sorted(virtual)


def _encryption(case: _Case) -> Check:
    """Overlay networks whose traffic between hosts can be read on the way."""
    plain = {
        str(network.get("Id")): str(network.get("Name"))
        for network in case.picture.networks
        if "encrypted" not in (dig(network, "Options") or {})
    }
    used = {
        str(dig(address, "NetworkID"))
        for service in case.picture.services
        for address in service["Endpoint"]["VirtualIPs"]
    }
    used |= {
        network
        for task in case.picture.tasks
        if task["Status"]["State"] not in OVER
        for network in task["Networks"]
    }
    names = sorted(name for key, name in plain.items() if key in used)
    published = sorted(
        service["Spec"]["Name"]
        for service in case.picture.services
        if (service["Endpoint"]["Ports"] or service["Spec"]["EndpointSpec"]["Ports"])
        and any(
            str(dig(address, "NetworkID")) in plain for address in service["Endpoint"]["VirtualIPs"]
        )
    )
    data = {"unencrypted": names, "published": published}
    if not names:
        return Check("encryption", "ok", "no overlay network in use is unencrypted", None, data)
    outside = f", which carry the published ports of {some(published)}" if published else ""
    message = f"not encrypted between hosts: {some(names)}{outside}"
    advice = "where others can read the network of the hosts, create them with the option encrypted"
    return Check("encryption", "noted", message, advice, data)


def _autolocked(case: _Case) -> bool:
    return bool(dig(case.picture.cluster, "Spec", "EncryptionConfig", "AutoLockManagers"))


def _autolock(case: _Case) -> Check:
    data = {"enabled": _autolocked(case)}
    if data["enabled"]:
        message = "on: a manager that restarts waits for the unlock key"
        return Check("autolock", "ok", message, None, data)
    message = "off: whoever has a manager's disk has the keys of the swarm"
    advice = (
        "turn it on (swarm_settings: autolock_managers) once the unlock key is kept in a safe place"
    )
    return Check("autolock", "noted", message, advice, data)


CHECKS: dict[str, Callable[[_Case], Check]] = {
    "engine": _engine,
    "swarm": _swarm,
    "leader": _leader,
    "quorum": _quorum,
    "zones": _zones,
    "nodes": _nodes,
    "hosts": _hosts,
    "services": _services,
    "pending": _pending,
    "restarts": _restarts,
    "updates": _updates,
    "orphans": _orphans,
    "networks": _networks,
    "mesh": _mesh,
    "certificates": _certificates,
    "clock": _clock,
    "disk": _disk,
    "versions": _versions,
    "autolock": _autolock,
    "encryption": _encryption,
}
# They need no manager.
_HOST_CHECKS = ("hosts", "clock", "disk")
# What a person wants to read even when all is well.
_ALWAYS_SHOWN = ("quorum", "zones", "nodes", "services")


# The result


def judged(
    picture: Picture,
    around: Around = Around(),
    limits: Thresholds = Thresholds(),
    only: Collection[str] = (),
) -> dict[str, Any]:
    """The same shape always: on success, on failure and on timeout."""
    known = _quorum(_Case(picture, around, limits)).data if picture.nodes else {}
    checks = evaluate(picture, around, limits, only)
    return {
        "verdict": verdict_of(checks),
        "checks": [check.as_dict() for check in checks],
        "managers": {
            key: known.get(key) for key in ("managers", "reachable", "quorum", "may_lose", "leader")
        },
        "nodes": [node.as_dict() for node in picture.nodes],
        "services": picture.rows,
    }


def finish(
    seen: dict[str, Any], accept: Collection[str], how: str, attempts: int
) -> dict[str, Any]:
    """The result as it is returned: with its report, and with a failure if the verdict is not accepted."""
    result = {**seen, "changed": False, "attempts": attempts}
    if how == "json":
        result["report"] = json.dumps(result)
    else:
        result["report"] = "" if how == "none" else render(seen, how == "table")
    if seen["verdict"] in accept:
        return result
    worst = "; ".join(
        f"{check['name']}: {check['message']}"
        for check in seen["checks"]
        if check["status"] not in WELL
    )
    code = next(
        (check["data"]["code"] for check in seen["checks"] if "code" in check["data"]), None
    )
    result["msg"] = f"The swarm is {seen['verdict']}, accepted is {' or '.join(accept)}. {worst}."
    result["failure"] = {"code": code or "not_accepted", "details": {"verdict": seen["verdict"]}}
    return result


def render(result: dict[str, Any], every: bool = False) -> str:
    """Nodes by zone, services and the verdict, aligned; of the checks that are well the main ones, or every one."""
    blocks = []
    if result["nodes"]:
        blocks.append("NODES\n" + _node_table(result["nodes"]))
    if result["services"]:
        blocks.append("SERVICES\n" + _service_table(result["services"]))
    lines = [f"VERDICT  {result['verdict']}"]
    width = max([len(check["name"]) for check in result["checks"]] + [8])
    for check in result["checks"]:
        quiet = check["status"] == "skipped" or (
            check["status"] == "ok" and check["name"] not in _ALWAYS_SHOWN
        )
        if quiet and not every:
            continue
        advised = check["advice"] and check["status"] not in ("ok", "skipped")
        advice = f": {check['advice']}" if advised else ""
        lines.append(f"  {check['status']:<10}{check['name']:<{width}}  {check['message']}{advice}")
    blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _called(node: dict[str, Any]) -> str:
    """The name in the inventory, and the engine's own beside it where that is another."""
    name = node["labels"].get(HOST_LABEL) or node["hostname"]
    return str(name) if name == node["hostname"] else f"{name} ({node['hostname']})"


def _node_table(nodes: list[dict[str, Any]]) -> str:
    rows = []
    for node in sorted(
        nodes, key=lambda node: (node["labels"].get(ZONE_LABEL, "~"), _called(node))
    ):
        away = "" if node["availability"] == "active" else f", {node['availability']}"
        rows.append(
            (
                node["state"] == "ready" and not away,
                (
                    node["labels"].get(ZONE_LABEL, "-"),
                    _called(node),
                    "leader" if node["leader"] else node["role"],
                    node["state"] + away,
                    node["engine_version"] or "?",
                ),
            )
        )
    return _table(("zone", "node", "role", "state", "engine"), rows)


def _service_table(services: list[dict[str, Any]]) -> str:
    rows = []
    for row in services:
        tasks = f"{row['running']}/{row['wanted']}"
        well = row["running"] >= row["wanted"] and not row["trouble"]
        rows.append((well, (row["name"], row["mode"], tasks, row["image"])))
    return _table(("service", "mode", "tasks", "image"), rows)


def _table(head: tuple[str, ...], found: Sequence[tuple[bool, tuple[Any, ...]]]) -> str:
    shown = [row for well, row in found if not well] if len(found) > MOST_ROWS else None
    rows = [head, *([row for _well, row in found] if shown is None else shown[:MOST_ROWS])]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(head))]
    lines = [
        "  " + "   ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths)).rstrip()
        for row in rows
    ]
    if len(rows) <= len(found):
        lines.append(f"  and {len(found) - len(rows) + 1} more")
    return "\n".join(lines)
