# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A verdict on a swarm, made of what its tasks do on nodes that are ready. Pure, apart from `look`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import ZONE_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Member,
    Node,
    dig,
    may_lose,
    parse_member,
    parse_node,
    quorum_of,
)

# From good to bad; a verdict is the worst of its checks. `unknown` is worse than `degraded`: what
# cannot be seen is not taken for healthy.
STATUSES = ("ok", "degraded", "unknown", "failed")
VERDICTS = {"ok": "healthy", "degraded": "degraded", "unknown": "unknown", "failed": "failed"}


@dataclass(frozen=True)
class Check:
    name: str
    status: str
    message: str
    advice: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Picture:
    """What one manager told us, as far as it got."""

    member: Member = field(default_factory=Member)
    nodes: list[Node] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    trouble: SwarmError | None = None


def look(client: Any) -> Picture:
    """Four requests, however large the swarm; where one fails, what came before it stays."""
    picture = Picture()
    try:
        picture.member = parse_member(client.info())
        if picture.member.state == "active" and picture.member.role == "manager":
            picture.nodes = [parse_node(document) for document in client.nodes()]
            picture.services = client.services()
            picture.tasks = client.tasks()
    except SwarmError as error:
        picture.trouble = error
    return picture


def service_rows(picture: Picture) -> list[dict[str, Any]]:
    """Each service: how many tasks it wants, and how many of its current spec run on ready nodes."""
    ready = {node.id for node in picture.nodes if node.state == "ready"}
    tasks: dict[str, list[dict[str, Any]]] = {}
    for task in picture.tasks:
        tasks.setdefault(str(task.get("ServiceID")), []).append(task)
    rows = []
    for service in picture.services:
        mine = tasks.get(str(service.get("ID")), [])
        running = [task for task in mine if _runs(task) and task.get("NodeID") in ready]
        found = dig(service, "Spec", "Mode")
        mode = found if isinstance(found, dict) else {}
        name = str(dig(service, "Spec", "Name") or service.get("ID"))
        row: dict[str, Any] = {
            "name": name,
            "id": service.get("ID"),
            "mode": next(iter(mode), "?").lower(),
            "running": len(running),
            "wanted": None,
            "image": str(
                dig(service, "Spec", "TaskTemplate", "ContainerSpec", "Image") or ""
            ).partition("@")[0],
            "update": dig(service, "UpdateStatus", "State"),
            "trouble": _trouble(mine),
        }
        if "Replicated" in mode:
            row["wanted"] = dig(mode, "Replicated", "Replicas") or 0
        elif "Global" in mode:
            # A global service runs where the scheduler put a task, and it puts one on each node that fits.
            row["wanted"] = len(
                {task.get("NodeID") for task in mine if task.get("DesiredState") == "running"}
            )
        else:
            row["wanted"] = 0  # a job: done is fine, running is fine
            failed = [
                task for task in mine if dig(task, "Status", "State") in ("failed", "rejected")
            ]
            row["trouble"] = row["trouble"] if failed else None
        rows.append(row)
    return sorted(rows, key=lambda row: row["name"])


def _runs(task: dict[str, Any]) -> bool:
    return dig(task, "Status", "State") == "running" and task.get("DesiredState") == "running"


def _trouble(tasks: list[dict[str, Any]]) -> str | None:
    """The newest reason why a task does not run, in the engine's words."""
    latest = sorted(
        tasks, key=lambda task: str(dig(task, "Status", "Timestamp") or ""), reverse=True
    )
    for task in latest:
        if dig(task, "Status", "Err"):
            return str(dig(task, "Status", "Err"))
        if dig(task, "Status", "State") == "pending" and dig(task, "Status", "Message"):
            return str(dig(task, "Status", "Message"))
    return None


def evaluate(
    picture: Picture, unreachable: list[str] | None = None, mesh: bool | None = None
) -> list[Check]:
    """The checks, in the order in which they matter.

    `unreachable` names hosts of the inventory that the controller cannot reach; `mesh` says whether
    the kernel of this host has IPVS, None where that cannot be told.
    """
    first = _check_member(picture)
    checks = [first] if first.status != "ok" else []
    if not checks:
        checks = [
            _check_quorum(picture.nodes),
            _check_zones(picture.nodes),
            _check_nodes(picture.nodes),
            _check_services(picture),
        ]
        if mesh is not None and mesh_users(picture.services):
            checks.append(_check_mesh(picture, mesh))
    if unreachable:
        checks.append(
            Check(
                "hosts",
                "degraded",
                f"no answer from {', '.join(unreachable)}: not looked at in this run",
                "bring the host back and run again",
                {"unreachable": unreachable},
            )
        )
    return checks


def verdict_of(checks: list[Check]) -> str:
    worst = max(
        (STATUSES.index(check.status) for check in checks), default=STATUSES.index("unknown")
    )
    return VERDICTS[STATUSES[worst]]


def _check_member(picture: Picture) -> Check:
    trouble = picture.trouble
    member = picture.member
    if trouble is not None and trouble.code == "no_quorum":
        return Check(
            "quorum",
            "failed",
            "the swarm has lost its quorum: no manager can decide anything; running tasks go on",
            "bring managers back until more than half of them answer",
        )
    if trouble is not None:
        return Check("engine", "unknown", trouble.message)
    if member.state == "locked":
        return Check(
            "swarm",
            "failed",
            "this manager is locked and waits for the unlock key",
            "unlock it: docker swarm unlock",
        )
    if member.state in ("inactive", "pending"):
        words = "is in no swarm" if member.state == "inactive" else "is still joining a swarm"
        return Check("swarm", "unknown", f"this host {words}", "run it on a manager")
    if member.state != "active":
        reason = f": {member.error}" if member.error else ""
        return Check(
            "swarm", "failed", f"the engine reports the swarm state {member.state}{reason}"
        )
    if member.role != "manager":
        return Check(
            "swarm",
            "unknown",
            "this host is a worker, and only managers know",
            "run it on a manager",
        )
    return Check("swarm", "ok", "an active manager")


def _check_quorum(nodes: list[Node]) -> Check:
    managers = [node for node in nodes if node.role == "manager"]
    # Raft goes by the address: a manager that is down counts as reachable there once a reimaged host
    # answers at its address. So it has to be ready as well.
    reachable = [node for node in managers if node.ready]
    leader = next((node.hostname for node in managers if node.leader), None)
    spare = may_lose(len(managers), len(reachable))
    lost = [node.hostname for node in managers if node not in reachable]
    message = f"{len(reachable)} of {len(managers)} managers reachable, {spare} may be lost"
    data = {
        "managers": len(managers),
        "reachable": len(reachable),
        "quorum": quorum_of(len(managers)),
        "may_lose": spare,
        "leader": leader,
        "unreachable": lost,
    }
    if leader is None:
        return Check("quorum", "failed", message + ", no leader", "bring managers back", data)
    if lost:
        return Check(
            "quorum", "degraded", f"{message}; lost: {', '.join(lost)}", "bring them back", data
        )
    return Check("quorum", "ok", message, None, data)


def _check_zones(nodes: list[Node]) -> Check:
    managers = [node for node in nodes if node.role == "manager"]
    zones: dict[str, int] = {}
    for node in managers:
        zones[node.labels.get(ZONE_LABEL, "")] = zones.get(node.labels.get(ZONE_LABEL, ""), 0) + 1
    if set(zones) <= {""}:
        return Check("zones", "ok", "no zones are set", None, {"managers": {}})
    fatal = sorted(
        zone for zone, count in zones.items() if len(managers) - count < quorum_of(len(managers))
    )
    spread = ", ".join(f"{zone or 'no zone'}: {count}" for zone, count in sorted(zones.items()))
    if fatal and len(managers) > 2:
        return Check(
            "zones",
            "degraded",
            f"losing zone {' or '.join(zone or '(none)' for zone in fatal)} would break the quorum (managers {spread})",
            "spread the managers so that no zone has half of them",
            {"managers": zones, "fatal": fatal},
        )
    message = (
        "losing any one zone keeps the quorum"
        if not fatal
        else f"{len(managers)} managers: every one is needed"
    )
    return Check(
        "zones", "ok", f"{message} (managers {spread})", None, {"managers": zones, "fatal": fatal}
    )


def _check_nodes(nodes: list[Node]) -> Check:
    ready = {node.hostname for node in nodes if node.state == "ready"}
    # A host that left and joined again is a new node; the old one stays in the list until it is removed.
    ghosts = [node for node in nodes if node.state != "ready" and node.hostname in ready]
    down = [node.hostname for node in nodes if node.state != "ready" and node not in ghosts]
    aside = [
        f"{node.hostname} {node.availability}" for node in nodes if node.availability != "active"
    ]
    message = f"{len(nodes) - len(down) - len(ghosts)} of {len(nodes) - len(ghosts)} ready"
    if aside:
        message += f"; set aside: {', '.join(aside)}"
    data = {
        "total": len(nodes),
        "not_ready": down,
        "set_aside": aside,
        "ghosts": [node.id for node in ghosts],
    }
    advice = []
    if down:
        message += f"; not ready: {', '.join(down)}"
        advice.append("start the engine there")
    if ghosts:
        message += f"; left over from before: {', '.join(node.hostname for node in ghosts)}"
        advice.append(f"docker node rm {' '.join(node.id for node in ghosts)}")
    return Check(
        "nodes",
        "degraded" if advice else "ok",
        message,
        ", ".join(advice) or None,
        data,
    )


def _check_services(picture: Picture) -> Check:
    rows = service_rows(picture)
    short = [row for row in rows if row["running"] < row["wanted"]]
    stuck = [
        row for row in rows if row not in short and row["update"] in ("paused", "rollback_paused")
    ]
    tasks = sum(row["running"] for row in rows)
    good = len(rows) - len(short)
    message = f"{good} of {len(rows)} as asked, {tasks} {'task' if tasks == 1 else 'tasks'} on ready nodes"
    data = {
        "services": len(rows),
        "short": [row["name"] for row in short],
        "paused": [row["name"] for row in stuck],
    }
    if short:
        first = short[0]
        reason = f": {first['trouble']}" if first["trouble"] else ""
        status = "failed" if any(row["running"] == 0 for row in short) else "degraded"
        words = ", ".join(f"{row['name']} {row['running']}/{row['wanted']}" for row in short)
        return Check(
            "services",
            status,
            f"{message}; short: {words}{reason}",
            "docker service ps says more",
            data,
        )
    if stuck:
        words = ", ".join(row["name"] for row in stuck)
        return Check(
            "services",
            "degraded",
            f"{message}; update paused: {words}",
            "mend and deploy again",
            data,
        )
    return Check("services", "ok", message, None, data)


def mesh_users(services: list[dict[str, Any]]) -> list[str]:
    """Services with a port published through the mesh. VIPs alone are not counted: a service may not use its own."""
    users = []
    for service in services:
        ports = (
            dig(service, "Endpoint", "Ports") or dig(service, "Spec", "EndpointSpec", "Ports") or []
        )
        if any((port.get("PublishMode") or "ingress") == "ingress" for port in ports):
            users.append(str(dig(service, "Spec", "Name")))
    return sorted(users)


def _check_mesh(picture: Picture, mesh: bool) -> Check:
    users = mesh_users(picture.services)
    if mesh:
        return Check(
            "mesh",
            "ok",
            f"IPVS is there for {len(users)} services with published ports",
            None,
            {"users": users},
        )
    return Check(
        "mesh",
        "degraded",
        f"this host's kernel has no IPVS: the published ports of {', '.join(users)} answer nowhere through the mesh",
        "load ip_vs, or publish with mode: host",
        {"users": users},
    )


def result_of(picture: Picture, checks: list[Check]) -> dict[str, Any]:
    """The same shape always: on success, on failure and on timeout."""
    quorum = next((check.data for check in checks if check.name == "quorum" and check.data), {})
    return {
        "verdict": verdict_of(checks),
        "checks": [check.as_dict() for check in checks],
        "managers": {
            key: quorum.get(key)
            for key in ("managers", "reachable", "quorum", "may_lose", "leader")
        },
        "nodes": [node.as_dict() for node in picture.nodes],
        "services": service_rows(picture),
    }


def render(result: dict[str, Any]) -> str:
    """Nodes by zone, services and the verdict, aligned."""
    blocks = []
    if result["nodes"]:
        rows: list[tuple[str, ...]] = [("zone", "node", "role", "state", "engine")]
        for node in sorted(
            result["nodes"],
            key=lambda node: (node["labels"].get(ZONE_LABEL, "~"), node["hostname"]),
        ):
            role = "leader" if node["leader"] else node["role"]
            state = (
                node["state"]
                if node["availability"] == "active"
                else f"{node['state']}, {node['availability']}"
            )
            rows.append(
                (
                    node["labels"].get(ZONE_LABEL, "-"),
                    node["hostname"],
                    role,
                    state,
                    node["engine_version"] or "?",
                )
            )
        blocks.append("NODES\n" + _table(rows))
    if result["services"]:
        rows = [("service", "mode", "tasks", "image")]
        for row in result["services"]:
            rows.append(
                (row["name"], row["mode"], f"{row['running']}/{row['wanted']}", row["image"])
            )
        blocks.append("SERVICES\n" + _table(rows))
    lines = [f"VERDICT  {result['verdict']}"]
    for check in result["checks"]:
        advice = f": {check['advice']}" if check["advice"] and check["status"] != "ok" else ""
        lines.append(f"  {check['status']:<10}{check['name']:<10}{check['message']}{advice}")
    blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip()
        for row in rows
    )
