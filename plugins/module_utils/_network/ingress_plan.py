# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan to recreate the ingress network, and the notes by which a killed run is finished. Pure.

The engine cannot change a network. It removes the ingress network only if no service has a port there (swarmkit: controlapi,
removeIngressNetwork), but it does not look at tasks: a node on which one still stops keeps the old network, and its mesh is dead
until its engine restarts (seen with 20.10.24). So the ports of services are taken away, their tasks are waited for, the network is
recreated, and the services get their old specs back.

A label of the swarm keeps what the network must become, from before the first change until after the last one. A label of each
service keeps what was taken away from it.
"""

from __future__ import annotations

import copy
import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import shown
from .._common.words import abbreviate, count_of
from .._host.network import parse_network
from .._model.documents import Node, dig, id_of
from .._model.labels import INGRESS_LABEL
from .._model.mtu import DEFAULT_MTU, ENCRYPTED_OPTION, MTU_OPTION, is_encrypted, mtu_of
from .._model.services import (
    PAUSED,
    UPDATING,
    is_job,
    replicas_of,
    restart_count,
    service_name,
    update_state,
)
from .._model.tasks import has_ended, is_desired, networks_of, state_of
from .._services.restart import restarted

# What the engine puts into the options of a network itself (libnetwork: drivers/overlay/ovmanager).
_ENGINES_OWN = "com.docker.network.driver.overlay.vxlanid_list"
DEFAULT_NAME = "ingress"
# Seconds: to start a task, to recreate the network on all nodes. Rough, for the plan only.
_START, _RECREATE = 5, 10


@dataclass(frozen=True)
class IngressWish:
    """What the ingress network must be. None leaves it as it is."""

    subnet: str | None = None
    gateway: str | None = None
    mtu: int | None = None
    encrypted: bool | None = None

    @property
    def empty(self) -> bool:
        return (self.subnet, self.mtu, self.encrypted) == (None, None, None)


@dataclass(frozen=True)
class IngressSnapshot:
    """What a manager says: documents of the engine."""

    note: str | None  # the label of the swarm
    networks: list[dict[str, Any]]
    services: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    nodes: list[Node]

    @property
    def ingress(self) -> dict[str, Any] | None:
        """The ingress network; of one that a node could not release, the swarm knows nothing any more."""
        found = [each for each in self.networks if each.get("Ingress")]
        return found[0] if found else None

    @property
    def paused(self) -> list[dict[str, Any]]:
        """The services whose ports a run has taken away."""
        return [each for each in self.services if note_of(each) is not None]

    @property
    def published(self) -> list[dict[str, Any]]:
        """The services with ports in the ingress network."""
        return [each for each in self.services if ingress_ports(each.get("Spec"))]


@dataclass
class IngressPlan:
    """The steps; or, where it is refused, the reasons."""

    before: dict[str, Any] | None = None  # the network as it is
    body: dict[str, Any] | None = None  # the network as it must be, as the engine creates it
    pause: list[dict[str, Any]] = field(default_factory=list)
    resume: list[dict[str, Any]] = field(default_factory=list)
    recreate: bool = False
    interrupted: bool = False
    refusals: list[str] = field(default_factory=list)
    seconds: dict[str, int] = field(default_factory=dict)  # without its ports, by service

    @property
    def changed(self) -> bool:
        return not self.refusals and (self.recreate or bool(self.resume) or self.interrupted)

    def steps(self) -> list[dict[str, Any]]:
        """The plan as data, in order."""
        steps: list[dict[str, Any]] = [
            {
                "action": "pause",
                "object": service_name(each),
                "ports": ports_text(ingress_ports(each.get("Spec"))),
                "seconds": self.seconds[service_name(each)],
            }
            for each in self.pause
        ]
        if self.recreate and self.body is not None:
            action = "recreate" if self.before else "create"
            steps.append({"action": action, "object": self.body["Name"], "changes": self.changes()})
        steps += [
            {
                "action": "resume",
                "object": service_name(each),
                "ports": ports_text(kept_ports(each)),
            }
            for each in [*self.pause, *self.resume]
        ]
        return steps

    def changes(self) -> list[str]:
        """What changes of the network."""
        if self.body is None:
            return []
        before = self.before or {}
        pairs = [
            ("mtu", mtu_of(before), mtu_of(self.body)),
            ("subnet", _subnets(before), _subnets(self.body)),
            ("encrypted", _yes(is_encrypted(before)), _yes(is_encrypted(self.body))),
        ]
        if not self.before:
            return [f"{name} {after}" for name, _before, after in pairs if after]
        return [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]

    def lines(self, acting: str) -> list[str]:
        """The plan as people read it."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {each}" for each in self.refusals)]
        lines = [f"PLAN  ingress, acting on {acting}"]
        if self.interrupted:
            lines.append("  ! an interrupted run has left this: it is finished first")
        for step in self.steps():
            if step["action"] == "pause":
                words = f"{step['ports']}   without its ports for about {step['seconds']} s"
            else:
                words = step.get("ports") or ", ".join(step.get("changes") or [])
            sign = "+" if step["action"] == "create" else "~"
            lines.append(f"  {sign} {step['action']:<8}  {step['object']}  {words}".rstrip())
        if not self.changed:
            lines.append("  = the ingress network as it should be")
        return lines


def _yes(value: bool) -> str:
    return "true" if value else "false"


def ingress_ports(spec: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The ports of a service's spec that are published in the ingress network, which is the mode by default."""
    ports = dig(spec, "EndpointSpec", "Ports") or []
    return [port for port in ports if port.get("PublishMode") in (None, "", "ingress")]


def ports_text(ports: Iterable[Mapping[str, Any]]) -> str:
    """Ports in words, such as 80/tcp; one that the engine chooses is named by its target."""
    return ", ".join(
        f"{port.get('PublishedPort') or '?'}->{port.get('TargetPort')}/{port.get('Protocol') or 'tcp'}"
        for port in ports
    )


def note_of(service: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run has noted when it paused this service; None if none did, or if the note cannot be read."""
    text = (dig(service, "Spec", "Labels") or {}).get(INGRESS_LABEL)
    try:
        note = json.loads(text or "null")
    except ValueError:
        return None
    return note if isinstance(note, dict) and "endpoint" in note else None


def kept_ports(service: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ports that a service gets back."""
    note = note_of(service)
    spec = service.get("Spec") if note is None else {"EndpointSpec": note["endpoint"]}
    return ingress_ports(spec)


def _replacing_tasks(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with the next restart count.

    Other ports alone replace no task whose placement is not that of the service, as after a drain (swarmkit: IsTaskDirty in
    manager/orchestrator/task.go takes it for a change of constraints). It would stay on the network.
    """
    return restarted(dict(spec), restart_count(dict(spec)) + 1)


def paused(spec: Mapping[str, Any], running: int) -> dict[str, Any]:
    """The spec of a service without its ports in the ingress network, and with the note. `running` tasks run before."""
    changed = _replacing_tasks(spec)
    endpoint = changed.get("EndpointSpec") or {}
    note = {"endpoint": copy.deepcopy(endpoint), "running": running}
    taken = ingress_ports(changed)
    left = [port for port in endpoint.get("Ports") or [] if port not in taken]
    if left:
        endpoint["Ports"] = left
    else:
        endpoint.pop("Ports", None)
    changed["EndpointSpec"] = endpoint
    text = json.dumps(note, sort_keys=True, separators=(",", ":"))
    changed["Labels"] = {**(changed.get("Labels") or {}), INGRESS_LABEL: text}
    return changed


def resumed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a service with its ports of before `paused`; what else has changed since then stays."""
    note = note_of({"Spec": dict(spec)})
    if note is None:
        return copy.deepcopy(dict(spec))
    changed = _replacing_tasks(spec)
    changed["EndpointSpec"] = note["endpoint"]
    del changed["Labels"][INGRESS_LABEL]
    return changed


def as_note(body: Mapping[str, Any], old: str | None) -> str:
    """The label of the swarm while the network is recreated: what it must become, and the ID of the one before."""
    return json.dumps({"body": body, "old": old}, sort_keys=True, separators=(",", ":"))


def parse_note(text: str | None) -> dict[str, Any] | None:
    """What `as_note` has made a text of; None if it is none."""
    try:
        note = json.loads(text or "null")
    except ValueError:
        return None
    return note if isinstance(note, dict) and isinstance(note.get("body"), dict) else None


def body_of(network: Mapping[str, Any] | None) -> dict[str, Any]:
    """The network as it would be created again; without one, what the engine itself creates with a swarm."""
    found = network or {}
    options = {
        key: value for key, value in (found.get("Options") or {}).items() if key != _ENGINES_OWN
    }
    ipam = found.get("IPAM") or {}
    return {
        "Name": str(found.get("Name") or DEFAULT_NAME),
        "Driver": str(found.get("Driver") or "overlay"),
        "Scope": "swarm",
        "Ingress": True,
        "EnableIPv6": bool(found.get("EnableIPv6")),
        "IPAM": {
            "Driver": str(ipam.get("Driver") or "default"),
            "Config": copy.deepcopy(ipam.get("Config") or []),
        },
        "Options": options,
        "Labels": dict(found.get("Labels") or {}),
    }


def changed_body(body: Mapping[str, Any], wish: IngressWish) -> dict[str, Any]:
    """The network with what is wished for. An MTU is written only where it differs, and 1500 is what the engine assumes."""
    changed = copy.deepcopy(dict(body))
    options = changed["Options"]
    if wish.mtu is not None and wish.mtu != mtu_of(changed):
        options.pop(MTU_OPTION, None)
        if wish.mtu != DEFAULT_MTU:
            options[MTU_OPTION] = str(wish.mtu)
    if wish.encrypted is True:
        options.setdefault(ENCRYPTED_OPTION, "")
    elif wish.encrypted is False:
        options.pop(ENCRYPTED_OPTION, None)
    if wish.subnet is not None and not _same_subnet(changed, wish):
        config = {"Subnet": wish.subnet}
        if wish.gateway:
            config["Gateway"] = wish.gateway
        changed["IPAM"] = {**changed["IPAM"], "Config": [config]}
    return changed


def _same_subnet(body: Mapping[str, Any], wish: IngressWish) -> bool:
    found = dig(body, "IPAM", "Config") or []
    if len(found) != 1 or parse_network(found[0].get("Subnet")) != parse_network(wish.subnet):
        return False
    return wish.gateway is None or str(found[0].get("Gateway")).partition("/")[0] == wish.gateway


def _subnets(network: Mapping[str, Any]) -> str:
    found = dig(network, "IPAM", "Config") or []
    return ", ".join(str(each.get("Subnet")) for each in found)


def wish_differs(live: Mapping[str, Any] | None, wish: IngressWish) -> list[str]:
    """What of the wish the ingress network is not, given what `observe_networks` says of it; None: there is none."""
    if live is None:
        return [] if wish.empty else ["is created"]
    changes = []
    if wish.mtu is not None and wish.mtu != live["mtu"]:
        changes.append(f"mtu {live['mtu']} -> {wish.mtu}")
    if wish.subnet is not None and [*map(parse_network, live["subnets"])] != [
        parse_network(wish.subnet)
    ]:
        changes.append(f"subnet {', '.join(live['subnets'])} -> {wish.subnet}")
    if wish.encrypted is not None and wish.encrypted != live["encrypted"]:
        changes.append(f"encrypted {_yes(live['encrypted'])} -> {_yes(wish.encrypted)}")
    return changes


def wrong_wish(subnet: Any, gateway: Any, others: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """What is wrong with the addresses of the ingress network, a sentence each. `others` are the networks of the swarm."""
    if subnet in (None, ""):
        return [] if gateway in (None, "") else ["a gateway is set without a subnet: set both"]
    wanted = parse_network(subnet)
    if wanted is None or wanted.version != 4 or not 8 <= wanted.prefixlen <= 29:
        return [
            f"the subnet is {shown(subnet)}: it must be an IPv4 network with a prefix from 8 to 29, such as 10.255.0.0/24"
        ]
    wrong = []
    if gateway not in (None, ""):
        try:
            inside = ipaddress.ip_address(str(gateway)) in wanted
        except ValueError:
            inside = False
        if not inside:
            wrong.append(
                f"the gateway is {shown(gateway)}: it must be an address in {subnet}, or unset"
            )
    for other in others:
        for each in dig(other, "IPAM", "Config") or []:
            taken = parse_network(each.get("Subnet"))
            if not other.get("Ingress") and taken is not None and taken.overlaps(wanted):
                wrong.append(
                    f"the subnet {subnet} overlaps {each.get('Subnet')} of network {other.get('Name')}: choose a free one"
                )
    return wrong


def plan_ingress(found: IngressSnapshot, wish: IngressWish, may_interrupt: bool) -> IngressPlan:
    """What makes the ingress network what is wished for; what an interrupted run has left is finished in any case."""
    note = parse_note(found.note)
    # With a note that cannot be read, the services are what is left to restore.
    interrupted = found.note is not None or bool(found.paused)
    plan = IngressPlan(before=found.ingress, interrupted=interrupted)
    plan.refusals += wrong_wish(wish.subnet, wish.gateway, found.networks)
    if plan.refusals:
        return plan
    ingress = found.ingress
    if ingress is None and note is None and wish.empty:
        # Somebody has removed it on purpose.
        return plan
    begun = body_of(ingress)
    if note is not None:
        untouched = ingress is not None and id_of(ingress) == note.get("old")
        # What the interrupted run wanted counts if this run wants nothing, or if the network is already gone.
        if ingress is None or (untouched and wish.empty):
            begun = note["body"]
    plan.body = changed_body(begun, wish)
    plan.recreate = ingress is None or plan.body != body_of(ingress)
    if plan.recreate:
        plan.pause = sorted(found.published, key=service_name) if ingress is not None else []
        _refuse_what_cannot_pause(plan, may_interrupt, interrupted)
    plan.resume = sorted(found.paused, key=service_name)
    for each in plan.pause:
        plan.seconds[service_name(each)] = dip_of(each, found.tasks)
    return plan


def _refuse_what_cannot_pause(plan: IngressPlan, may_interrupt: bool, interrupted: bool) -> None:
    jobs = [service_name(each) for each in plan.pause if is_job(each.get("Spec"))]
    if jobs:
        plan.refusals.append(
            f"{abbreviate(jobs)} {'is a job' if len(jobs) == 1 else 'are jobs'} with published ports, and would run again: remove"
            " it before the ingress network is recreated"
        )
    busy = [
        service_name(each)
        for each in plan.pause
        if update_state(each) in (*UPDATING, *PAUSED) and note_of(each) is None
    ]
    if busy:
        plan.refusals.append(
            f"the latest update of {abbreviate(busy)} is not finished, and a change would end or resume it: finish it, or roll it"
            " back, and run again"
        )
    names = [service_name(each) for each in plan.pause]
    if names and not may_interrupt and not interrupted:
        changes = ", ".join(plan.changes())
        plan.refusals.append(
            f"the ingress network must be recreated ({changes}), and {count_of(len(names), 'service')} would be without published"
            f" ports meanwhile ({abbreviate(names)}): set swarm_ingress_interrupt: true to allow it, at a time that suits"
        )


def dip_of(service: Mapping[str, Any], tasks: Iterable[Mapping[str, Any]]) -> int:
    """About how many seconds a service is without its ports: its tasks are replaced twice, by its own update settings."""
    spec = service.get("Spec") or {}
    count = replicas_of(spec)
    if count is None:
        own = [task for task in tasks if task.get("ServiceID") == id_of(dict(service))]
        count = sum(1 for task in own if is_desired(dict(task)))
    config = spec.get("UpdateConfig") or {}
    at_once = int(config.get("Parallelism") or 0) or max(1, count)
    rounds = -(-count // at_once)
    delay = int(config.get("Delay") or 0) / 10**9
    grace = (dig(spec, "TaskTemplate", "ContainerSpec", "StopGracePeriod") or 10**10) / 10**9
    return round(2 * (rounds * (_START + min(grace, 10)) + max(0, rounds - 1) * delay) + _RECREATE)


def runs_of(service_id: str, tasks: Iterable[Mapping[str, Any]]) -> int:
    """How many tasks of a service run and are meant to."""
    return sum(
        1
        for task in tasks
        if task.get("ServiceID") == service_id
        and is_desired(dict(task))
        and state_of(dict(task)) == "running"
    )


def still_on(
    network_id: str, tasks: Iterable[Mapping[str, Any]], nodes: Iterable[Node]
) -> list[dict[str, Any]]:
    """The tasks that keep a network in use on a node that is ready. A node that is down has no network to release."""
    ready = {node.id for node in nodes if node.state == "ready"}
    return [
        dict(task)
        for task in tasks
        if not has_ended(dict(task))
        and network_id in networks_of(dict(task))
        and (task.get("NodeID") or "") in ready
    ]


def not_in(peers: Iterable[Mapping[str, Any]] | None, nodes: Iterable[Node]) -> list[Node]:
    """The nodes that are ready and whose engines are not in the network, given its `Peers`."""
    seen = {str(peer.get("IP")) for peer in peers or []}

    def addresses(node: Node) -> set[str]:
        manager = (node.manager_addr or "").rpartition(":")[0].strip("[]")
        return {each for each in (node.addr, manager) if each}

    return [node for node in nodes if node.state == "ready" and not addresses(node) & seen]
