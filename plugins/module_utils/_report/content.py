# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What stands on the page of a swarm: a value, without a word of HTML. Pure.

`make_content` makes it of the verdict and its picture, the plan of a run if there is one, the history, and the time. Its texts
are English and can be said in any language of the catalogue.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._common.words import Text, as_is, count_of, text, unpacked
from .._health.check import WELL
from .._health.picture import FAILED, OUTDATED, RUNNING, STARTING, TASK_KINDS
from .._model.documents import dig, moment, quorum_of
from .._model.labels import HOST_LABEL, ZONE_LABEL
from .._model.services import JOBS
from .._scheduler.placement import PlacementNode, PlacementService, could_run
from .cleaning import clean, clean_text
from .headlines import CHECK_TITLES, headline
from .history import Past, Point, changes_since, state_of_swarm
from .planned import Planned, PlanStep, read_plan
from .records import Application, Backup, read_applications, read_backup
from .states import BAD, GOOD, ORDER, UNSURE, WARN, worst

SHAPES = {"failed": BAD, "degraded": WARN, "unknown": UNSURE}
GIB = 1024**3


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    title: Text
    status: str
    message: Text
    advice: Text | None = None

    @property
    def state(self) -> str:
        return SHAPES.get(self.status, GOOD)


@dataclass(frozen=True)
class Share:
    """How much of something is reserved or used."""

    used: float
    total: float

    @property
    def free(self) -> float:
        return self.total - self.used

    @property
    def percent(self) -> float:
        return min(100.0, max(0.0, 100.0 * self.used / self.total)) if self.total else 0.0


@dataclass(frozen=True)
class Host:
    """A host on the map: a node of the swarm, or a host that is to become one."""

    name: str
    hostname: str
    zone: str
    role: str  # manager, worker, or empty where it is unknown
    leader: bool
    state: str  # BAD, WARN, UNSURE or GOOD
    words: Text  # the state
    engine: str
    tasks: tuple[tuple[str, int], ...] = ()  # by kind
    services: tuple[tuple[str, int], ...] = ()  # what runs there
    cpus: Share | None = None
    memory: Share | None = None  # GiB
    disk_free: float | None = None  # percent
    steps: tuple[PlanStep, ...] = ()  # what the plan does with it
    after: Text | None = None  # what it is afterwards, if that differs
    present: bool = True  # False: a host that the plan adds

    @property
    def total(self) -> int:
        return sum(count for _kind, count in self.tasks)


@dataclass(frozen=True)
class Zone:
    """A column of the map."""

    name: str  # empty: the hosts without a zone
    hosts: tuple[Host, ...]

    @property
    def state(self) -> str:
        return worst(host.state for host in self.hosts)

    @property
    def tasks(self) -> tuple[tuple[str, int], ...]:
        return kinds_of(each for host in self.hosts for each in host.tasks)

    @property
    def managers(self) -> int:
        return sum(host.role == "manager" and host.present for host in self.hosts)

    @property
    def ready(self) -> int:
        return sum(host.state == GOOD and host.present for host in self.hosts)

    @property
    def present(self) -> int:
        return sum(host.present for host in self.hosts)


@dataclass(frozen=True)
class Service:
    """A row of the table of services."""

    name: str
    stack: str
    mode: str
    state: str
    words: Text
    running: int
    wanted: int
    job: bool
    image: str
    zones: tuple[str, ...]
    ports: tuple[str, ...]
    updated: float | None
    reason: Text  # in the engine's words, or in ours


@dataclass(frozen=True)
class Stack:
    name: str  # empty: services without a stack
    services: tuple[Service, ...]
    revision: str = ""

    @property
    def state(self) -> str:
        return worst(service.state for service in self.services)

    @property
    def running(self) -> int:
        return sum(service.running for service in self.services if not service.job)

    @property
    def wanted(self) -> int:
        return sum(service.wanted for service in self.services)


@dataclass(frozen=True)
class ZoneLoss:
    """What the loss of a zone would cost."""

    zone: str
    state: str
    managers_left: int  # that answer
    managers: int
    quorum: int
    keeps_quorum: bool
    stopped: tuple[str, ...]  # services that would have no task until others start
    homeless: tuple[str, ...]  # services that no other node can run
    tasks: int  # that have to start elsewhere
    short: tuple[Text, ...]  # what the tasks that move reserve and the other zones do not have
    gone: bool = False  # no node of it is ready now


@dataclass(frozen=True)
class Waiting:
    service: str
    tasks: int
    reason: str


@dataclass(frozen=True)
class Capacity:
    """What all hosts that take tasks have, and what one more would add."""

    cpus: Share
    memory: Share
    reserving: int  # services that reserve anything
    one_more: str  # the host that the next one is like
    adds_cpus: float
    adds_memory: float


@dataclass(frozen=True)
class Aside:
    """A host of the inventory beside the swarm: a registry or a builder."""

    role: Text
    host: str
    silent: bool = False


@dataclass(frozen=True)
class Content:
    """The page."""

    verdict: str
    headline: Text
    cluster: str
    made_at: float  # seconds since 1970
    asked: str  # the manager that was asked
    facts: tuple[tuple[Text, Text], ...]  # label and value
    reasons: tuple[Finding, ...]
    checks: tuple[Finding, ...]
    zones: tuple[Zone, ...]
    waiting: tuple[Waiting, ...]
    capacity: Capacity | None
    stacks: tuple[Stack, ...]
    losses: tuple[ZoneLoss, ...]
    networks: tuple[tuple[str, Share], ...]
    disks: tuple[tuple[str, float], ...]  # free percent
    versions: tuple[tuple[str, tuple[str, ...]], ...]
    applications: tuple[Application, ...] = ()
    backup: Backup | None = None
    asides: tuple[Aside, ...] = ()
    plan: Planned | None = None
    previous: float | None = None  # when the report before was made
    changes: tuple[Text, ...] = ()
    history: tuple[Point, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)  # for the next report

    @property
    def tasks(self) -> tuple[tuple[str, int], ...]:
        return kinds_of(each for zone in self.zones for each in zone.tasks)

    @property
    def hosts(self) -> int:
        return sum(len(zone.hosts) for zone in self.zones)

    @property
    def services(self) -> int:
        return sum(len(stack.services) for stack in self.stacks)


def kinds_of(found: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Numbers of tasks by kind, from good to bad."""
    counts: Counter[str] = Counter()
    for kind, count in found:
        counts[kind] += count
    return tuple((kind, counts[kind]) for kind in TASK_KINDS if counts[kind])


def make_content(
    health: Mapping[str, Any],
    hosts: Mapping[str, Mapping[str, Any]],
    plan: Mapping[str, Any],
    past: Past,
    now: float,
    asides: Sequence[Aside] = (),
) -> Content:
    """The content of the page.

    `health` is the result of health_result with its picture, `hosts` has what the controller knows of the hosts of the inventory
    by name (`zone`, `role`, `silent`, and from swarm_host_info `hostname`, `state`, `member_role`, `engine`), `plan` is the
    result of swarm_plan or empty, `past` what earlier reports have left, and `asides` the hosts beside the swarm.
    """
    picture: Mapping[str, Any] = health.get("picture") or {}
    checks = tuple(_findings(health["checks"], picture))
    by_name = {check["name"]: check for check in health["checks"]}
    planned = read_plan(plan)
    on_map = _hosts(health, picture, hosts, by_name)
    if planned is not None:
        on_map = _with_plan(on_map, planned)
    services = [_service(row, picture) for row in health["services"]]
    nodes = {str(node["id"]): clean(_name(node)) for node in health["nodes"]}
    stack_of = {
        str(key): str(each.get("stack") or "")
        for key, each in (picture.get("services") or {}).items()
    }
    applications = picture.get("applications") or {}
    capacity = _capacity(health["nodes"], picture, on_map)
    content = Content(
        verdict=health["verdict"],
        headline=_no_swarm(health, planned)
        or clean_text(headline(health["verdict"], health["checks"])),
        cluster=clean(str(picture.get("cluster_id") or "")),
        made_at=now,
        asked=nodes.get(str(picture.get("node_id")), ""),
        facts=(),
        reasons=tuple(
            sorted(
                (check for check in checks if check.status not in WELL),
                key=lambda check: (BAD, UNSURE, WARN).index(check.state),
            )
        ),
        checks=checks,
        zones=_zones(on_map),
        waiting=tuple(
            Waiting(clean(each["service"]), each["tasks"], clean(each["reason"]))
            for each in dig(by_name.get("pending"), "data", "pending") or []
        ),
        capacity=capacity,
        stacks=_stacks(services, picture),
        losses=tuple(_losses(health, picture, by_name)),
        networks=tuple(
            sorted(
                (
                    (clean(name), Share(each["used"], each["size"]))
                    for name, each in (
                        dig(by_name.get("networks"), "data", "networks") or {}
                    ).items()
                ),
                key=lambda item: -item[1].percent,
            )
        ),
        disks=tuple(
            sorted(
                (
                    (clean(name), free)
                    for name, free in (
                        dig(by_name.get("disk"), "data", "free_percent") or {}
                    ).items()
                ),
                key=lambda item: item[1],
            )
        ),
        versions=tuple(
            (clean(version), tuple(map(clean, names)))
            for version, names in sorted(
                (dig(by_name.get("versions"), "data", "versions") or {}).items()
            )
        ),
        applications=read_applications(applications, health["services"], stack_of, now),
        backup=read_backup(str(picture.get("backup") or ""), nodes, now),
        asides=tuple(asides),
        plan=planned,
    )
    content = replace(content, facts=_facts(content, health))
    content = replace(content, state=_state_for_next(content, health))
    return replace(
        content,
        previous=past.at,
        changes=tuple(map(clean_text, changes_since(past, content.state))),
        history=(*past.points, Point(now, content.verdict)),
    )


def _no_swarm(health: Mapping[str, Any], plan: Planned | None) -> Text | None:
    """The sentence at the top if a run would create the swarm."""
    if plan is None or health["nodes"] or all(step.action != "init" for step in plan.steps):
        return None
    return text("There is no swarm yet. A run of site.yml creates it.")


def _state_for_next(content: Content, health: Mapping[str, Any]) -> dict[str, Any]:
    """What the next report compares itself with."""
    return {
        **state_of_swarm(health),
        "stacks": {stack.name: stack.revision for stack in content.stacks if stack.revision},
        "applications": {each.name: each.commit for each in content.applications},
    }


def _findings(checks: Sequence[Mapping[str, Any]], picture: Mapping[str, Any]) -> Iterable[Finding]:
    texts = picture.get("texts") or []
    for number, check in enumerate(checks):
        if number < len(texts):
            message, advice = (unpacked(each) for each in texts[number])
        else:
            message = as_is(check["message"])
            advice = as_is(check["advice"]) if check["advice"] else None
        yield Finding(
            check["name"],
            CHECK_TITLES[check["name"]],
            check["status"],
            clean_text(message),
            clean_text(advice) if advice and check["status"] not in ("ok", "skipped") else None,
        )


# The map


def _name(node: Mapping[str, Any]) -> str:
    return str(node["labels"].get(HOST_LABEL) or node["hostname"] or node["id"])


def _hosts(
    health: Mapping[str, Any],
    picture: Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    checks: Mapping[str, Any],
) -> list[Host]:
    nodes = health["nodes"]
    kinds: list[Counter[str]] = [Counter() for _node in nodes]
    services: list[Counter[str]] = [Counter() for _node in nodes]
    reserved = [[0, 0] for _node in nodes]
    of_services = picture.get("services") or {}
    names = {str(row["id"]): clean(str(row["name"])) for row in health["services"]}
    for service, places in (picture.get("tasks") or {}).items():
        requires = of_services.get(service, {})
        cpus, memory = requires.get("nano_cpus", 0), requires.get("memory_bytes", 0)
        name = names.get(service, "?")
        for place, kind, count in places:
            if place >= 0:
                kinds[place][kind] += count
                services[place][name] += count
                reserved[place][0] += cpus * count
                reserved[place][1] += memory * count
    free = dig(checks.get("disk"), "data", "free_percent") or {}
    sizes = picture.get("capacity") or {}
    found = []
    for node, tasks, runs, (cpus, memory) in zip(nodes, kinds, services, reserved):
        name = _name(node)
        has = sizes.get(node["id"]) or [None] * 5
        state, words = _state_of_node(node, tasks)
        found.append(
            Host(
                name=clean(name),
                hostname=clean(str(node["hostname"])),
                zone=clean(node["labels"].get(ZONE_LABEL, "")),
                role=node["role"],
                leader=node["leader"],
                state=state,
                words=words,
                engine=clean(str(node["engine_version"] or "")),
                tasks=kinds_of(tasks.items()),
                services=tuple(sorted(runs.items())),
                cpus=Share(cpus / 1e9, has[0] / 1e9) if has[0] else None,
                memory=Share(memory / GIB, has[1] / GIB) if has[1] else None,
                disk_free=free.get(name, free.get(node["hostname"])),
            )
        )
    present = {(_name(node)) for node in nodes} | {str(node["hostname"]) for node in nodes}
    # Without an answer of the managers, the map has what the hosts say of themselves.
    return found + [
        _host_by_itself(name, facts, free.get(name))
        for name, facts in known.items()
        if name not in present and (not nodes or facts.get("silent"))
    ]


def _state_of_node(node: Mapping[str, Any], tasks: Mapping[str, int]) -> tuple[str, Text]:
    if node["state"] == "unknown":
        return UNSURE, text("not heard from yet")
    if node["state"] != "ready":
        drained = node["availability"] == "drain"
        return BAD, text("down, drained") if drained else text("down")
    if node["role"] == "manager" and node["reachability"] != "reachable":
        return BAD, text("does not answer as a manager")
    if node["availability"] == "drain":
        return WARN, text("drained")
    if node["availability"] == "pause":
        return WARN, text("paused")
    if tasks.get(FAILED):
        return WARN, text("ready, tasks fail")
    return GOOD, text("ready")


_MEMBER_STATES = {
    "active": text("in the swarm"),
    "inactive": text("in no swarm"),
    "pending": text("joining"),
    "locked": text("locked"),
    "error": text("swarm error"),
}


def _host_by_itself(name: str, facts: Mapping[str, Any], free: float | None) -> Host:
    silent = bool(facts.get("silent"))
    state = str(facts.get("state") or "")
    words = text("no answer") if silent else _MEMBER_STATES.get(state, text("unknown"))
    return Host(
        name=clean(name),
        hostname=clean(str(facts.get("hostname") or "")),
        zone=clean(str(facts.get("zone") or "")),
        role=str(facts.get("member_role") or facts.get("role") or ""),
        leader=False,
        state=BAD if silent or state in ("locked", "error") else UNSURE,
        words=words,
        engine=clean(str(facts.get("engine") or "")),
        disk_free=free,
    )


def _zones(hosts: Iterable[Host]) -> tuple[Zone, ...]:
    by_zone: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        by_zone[host.zone].append(host)
    return tuple(
        Zone(
            name,
            tuple(
                sorted(
                    by_zone[name],
                    key=lambda host: (
                        host.role != "manager",
                        not host.steps,
                        ORDER.index(host.state),
                        _natural(host.name),
                    ),
                )
            ),
        )
        # The hosts without a zone come last.
        for name in sorted(by_zone, key=lambda name: (not name, _natural(name)))
    )


def _natural(name: str) -> tuple[Any, ...]:
    """A key by which h2 comes before h10."""
    digits = ""
    found: list[tuple[int, int, str]] = []
    for each in name:
        if each.isdecimal() and each.isascii():
            digits += each
            continue
        if digits:
            found.append((0, int(digits), ""))
            digits = ""
        found.append((1, 0, each))
    if digits:
        found.append((0, int(digits), ""))
    return tuple(found)


def _with_plan(hosts: list[Host], plan: Planned) -> list[Host]:
    """The hosts with what the plan does with them, and those that it adds."""
    of: dict[str, list[PlanStep]] = defaultdict(list)
    for step in plan.steps:
        of[step.host].append(step)
    found = []
    for host in hosts:
        steps = tuple(of.pop(host.name, ()))
        # Of a host that is in no swarm, the inventory knows what it is to be, which is not what it is.
        joins = any(step.action in ("join", "init") for step in steps)
        now = () if joins else (host.zone, host.role)
        after = plan.after(host.name, steps, *now)
        found.append(replace(host, steps=steps, after=after))
    for name, others in of.items():
        wanted = plan.wanted.get(name)
        if wanted is None and not any(step.action in ("join", "init") for step in others):
            continue
        zone, role = wanted or ("", "")
        found.append(
            Host(
                name=name,
                hostname="",
                zone=zone,
                role=role,
                leader=False,
                state=GOOD,
                words=text("not in the swarm yet"),
                engine="",
                steps=tuple(others),
                after=plan.after(name, others),
                present=False,
            )
        )
    return found


# Capacity


def _capacity(
    nodes: Sequence[Mapping[str, Any]], picture: Mapping[str, Any], hosts: Sequence[Host]
) -> Capacity | None:
    """The room on nodes that take tasks. One more host is like the smallest worker, or the smallest of all."""
    sizes = picture.get("capacity") or {}
    open_to = [
        (host, node)
        for host, node in zip(hosts, nodes)
        if node["state"] == "ready" and node["availability"] == "active" and sizes.get(node["id"])
    ]
    known = [host for host, _node in open_to if host.cpus and host.memory]
    if not known:
        return None
    like = min(
        known,
        key=lambda host: (
            host.role != "worker",
            host.memory.total if host.memory else 0,
            host.cpus.total if host.cpus else 0,
            _natural(host.name),
        ),
    )
    return Capacity(
        _sum(host.cpus for host in known),
        _sum(host.memory for host in known),
        sum(
            1
            for service in (picture.get("services") or {}).values()
            if service.get("nano_cpus") or service.get("memory_bytes")
        ),
        like.name,
        like.cpus.total if like.cpus else 0,
        like.memory.total if like.memory else 0,
    )


def _sum(shares: Iterable[Share | None]) -> Share:
    known = [share for share in shares if share]
    return Share(sum(share.used for share in known), sum(share.total for share in known))


# Services


def _service(row: Mapping[str, Any], picture: Mapping[str, Any]) -> Service:
    more = (picture.get("services") or {}).get(str(row["id"]), {})
    name, stack = clean(str(row["name"])), clean(str(more.get("stack") or ""))
    state, words = _state_of_service(row)
    return Service(
        name=name.removeprefix(f"{stack}_") if stack else name,
        stack=stack,
        mode=str(row["mode"]),
        state=state,
        words=words,
        running=row["running"],
        wanted=row["wanted"],
        job=row["mode"] in JOBS,
        image=clean(str(row["image"])),
        zones=tuple(clean(zone) for zone in row["zones"] if zone),
        ports=tuple(_port(port) for port in more.get("ports") or []),
        updated=moment(more.get("updated_at")),
        reason=clean_text(
            unpacked(more["reason"]) if "reason" in more else as_is(row["trouble"] or "")
        ),
    )


def _state_of_service(row: Mapping[str, Any]) -> tuple[str, Text]:
    update = {
        "paused": text("update paused"),
        "rollback_paused": text("rollback paused"),
        "rollback_completed": text("rolled back"),
    }.get(str(row["update"] or ""))
    if row["mode"] in JOBS:
        return GOOD, text("job")
    if row["running"] < row["wanted"]:
        if row["unheard"] and not row["running"]:
            return UNSURE, text("not heard from yet")
        if not row["running"] + row["outdated"]:
            return BAD, text("no task runs")
        return WARN, text("tasks are missing")
    if update and not row["on_request"]:
        return WARN, update
    if row["trouble"]:
        return WARN, text("changing")
    if not row["wanted"]:
        return GOOD, text("scaled to 0")
    return GOOD, text("as asked")


def _port(port: Sequence[Any]) -> str:
    published, target, protocol, mode = port
    host = " (host)" if mode == "host" else ""
    return clean(f"{published or '*'}→{target}/{protocol or 'tcp'}{host}")


def _stacks(services: Iterable[Service], picture: Mapping[str, Any]) -> tuple[Stack, ...]:
    found: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        found[service.stack].append(service)
    revisions = picture.get("revisions") or {}
    stacks = [
        Stack(
            name,
            tuple(sorted(rows, key=lambda row: (ORDER.index(row.state), _natural(row.name)))),
            clean(str(revisions.get(name) or "")),
        )
        for name, rows in found.items()
    ]
    return tuple(
        sorted(
            stacks,
            key=lambda stack: (ORDER.index(stack.state), not stack.name, _natural(stack.name)),
        )
    )


# What the loss of a zone would cost


def _losses(
    health: Mapping[str, Any], picture: Mapping[str, Any], checks: Mapping[str, Any]
) -> Iterable[ZoneLoss]:
    nodes = health["nodes"]
    zones = [str(node["labels"].get(ZONE_LABEL, "")) for node in nodes]
    names = sorted(set(zones) - {""}, key=_natural)
    if len(names) < 2:
        return
    answering = [
        zone
        for zone, node in zip(zones, nodes)
        if node["role"] == "manager"
        and node["reachability"] == "reachable"
        and node["state"] in ("ready", "unknown")
    ]
    managers = sum(node["role"] == "manager" for node in nodes)
    bound = _bound_to_a_zone(zones, _placement_nodes(nodes, picture), health["services"], picture)
    only: dict[str, list[str]] = defaultdict(list)
    spread: Counter[str] = Counter()
    for row in health["services"]:
        if row["running"] and len(row["zones"]) == 1 and row["mode"] not in JOBS:
            only[row["zones"][0]].append(clean(str(row["name"])))
            # One task is in one zone: that is what was asked for.
            spread[row["zones"][0]] += row["wanted"] > 1
    usage = _usage_by_zone(zones, nodes, picture)
    for zone in names:
        left = sum(1 for each in answering if each != zone)
        nowhere = bound.get(zone, [])
        short = tuple(_short(zone, usage))
        keeps = left >= quorum_of(managers)
        gone = not any(
            node["state"] == "ready" for node, where in zip(nodes, zones) if where == zone
        )
        state = BAD if nowhere or not keeps or gone else WARN if spread[zone] or short else GOOD
        yield ZoneLoss(
            zone=clean(zone),
            state=state,
            managers_left=left,
            managers=managers,
            quorum=quorum_of(managers),
            keeps_quorum=keeps,
            stopped=tuple(sorted(set(only[zone]) - set(nowhere), key=_natural)),
            homeless=tuple(sorted(nowhere, key=_natural)),
            tasks=int(usage[zone][4]),
            short=short,
            gone=gone,
        )


def _placement_nodes(
    nodes: Sequence[Mapping[str, Any]], picture: Mapping[str, Any]
) -> list[PlacementNode]:
    found = []
    for node in nodes:
        has = (picture.get("capacity") or {}).get(node["id"]) or [None, None, None, None, {}]
        found.append(
            PlacementNode(
                id=node["id"],
                hostname=str(node["hostname"]),
                role=node["role"],
                addr=node["addr"] or "",
                os=has[2] or "",
                arch=has[3] or "",
                labels=node["labels"],
                engine_labels=has[4] or {},
                availability=node["availability"],
                state=node["state"],
                nano_cpus=has[0],
                memory_bytes=has[1],
            )
        )
    return found


def _bound_to_a_zone(
    zones: Sequence[str],
    nodes: Sequence[PlacementNode],
    rows: Sequence[Mapping[str, Any]],
    picture: Mapping[str, Any],
) -> dict[str, list[str]]:
    """By zone: services that only its nodes can run.

    Services with the same requirements are looked at once: a large swarm has few kinds. A kind is done when it fits in two zones.
    """
    kinds: dict[tuple[Any, ...], str | None] = {}
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        # A service with no task loses none.
        if row["mode"] in JOBS or not row["wanted"]:
            continue
        more = (picture.get("services") or {}).get(str(row["id"]), {})
        requires = PlacementService(
            id="",
            name="",
            constraints=tuple(more.get("constraints") or ()),
            platforms=tuple(
                (str(system), str(arch)) for system, arch in more.get("platforms") or ()
            ),
            nano_cpus=more.get("nano_cpus", 0),
            memory_bytes=more.get("memory_bytes", 0),
        )
        key = (requires.constraints, requires.platforms, requires.nano_cpus, requires.memory_bytes)
        if key not in kinds:
            kinds[key] = _only_zone(requires, zones, nodes)
        zone = kinds[key]
        if zone is not None:
            found[zone].append(clean(str(row["name"])))
    return found


def _only_zone(
    service: PlacementService, zones: Sequence[str], nodes: Sequence[PlacementNode]
) -> str | None:
    """The zone of all nodes that can run a service; None if there are none, or in several zones."""
    only = None
    for zone, node in zip(zones, nodes):
        if zone != only and could_run(service, node):
            if only is not None:
                return None
            only = zone
    return only


def _usage_by_zone(
    zones: Sequence[str], nodes: Sequence[Mapping[str, Any]], picture: Mapping[str, Any]
) -> dict[str, list[float]]:
    """By zone: CPUs and memory that nodes which take tasks have, the same reserved by replicated tasks, and these tasks."""
    usage: dict[str, list[float]] = defaultdict(lambda: [0.0] * 5)
    for zone, node in zip(zones, nodes):
        has = (picture.get("capacity") or {}).get(node["id"]) or [None, None]
        if node["state"] == "ready" and node["availability"] == "active":
            usage[zone][0] += (has[0] or 0) / 1e9
            usage[zone][1] += (has[1] or 0) / GIB
    of_services = picture.get("services") or {}
    for service, places in (picture.get("tasks") or {}).items():
        requires = of_services.get(service, {})
        cpus, memory = requires.get("nano_cpus", 0) / 1e9, requires.get("memory_bytes", 0) / GIB
        for place, kind, count in places:
            if place >= 0 and kind in (RUNNING, OUTDATED, STARTING):
                found = usage[zones[place]]
                found[2] += cpus * count
                found[3] += memory * count
                found[4] += count
    return usage


def _short(zone: str, usage: Mapping[str, Sequence[float]]) -> Iterable[Text]:
    """What the tasks of a zone reserve, and all other zones together do not have free."""
    others = [found for name, found in usage.items() if name != zone]
    for number, unit in ((0, "CPU"), (1, "GiB")):
        free = sum(found[number] - found[number + 2] for found in others)
        moves = usage[zone][number + 2]
        if moves > max(free, 0) + 1e-9:
            yield text(
                "{missing:.1f} CPUs too few"
                if unit == "CPU"
                else "{missing:.1f} GiB of memory too little",
                missing=moves - max(free, 0),
            )


# The line of facts


def _facts(content: Content, health: Mapping[str, Any]) -> tuple[tuple[Text, Text], ...]:
    if not health["nodes"]:
        silent = sum(
            host.words.template == "no answer" for zone in content.zones for host in zone.hosts
        )
        if not content.hosts:
            return ()
        return (
            (
                text("Hosts that answer"),
                text("{part:,} of {all:,}", part=content.hosts - silent, all=content.hosts),
            ),
        )
    managers = health["managers"]
    plan = (
        (
            text("Plan"),
            text("refused") if content.plan.refusals else count_of(len(content.plan.steps), "step"),
        )
        if content.plan is not None
        else None
    )
    ready = sum(node["state"] == "ready" for node in health["nodes"])
    well = sum(service.state == GOOD for stack in content.stacks for service in stack.services)
    running = sum(stack.running for stack in content.stacks)
    total = sum(stack.wanted for stack in content.stacks)
    return (
        (
            text("Managers"),
            text("{part:,} of {all:,}", part=managers["reachable"], all=managers["managers"]),
        ),
        (text("Tolerates"), count_of(managers["may_lose"], "failure")),
        (text("Nodes ready"), text("{part:,} of {all:,}", part=ready, all=len(health["nodes"]))),
        (text("Services as asked"), text("{part:,} of {all:,}", part=well, all=content.services)),
        (text("Tasks running"), text("{part:,} of {all:,}", part=running, all=total)),
        *([plan] if plan else []),
    )
