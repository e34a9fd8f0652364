# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of the networks that lie under all stacks: MTU, docker_gwbridge, checksum offload, ingress. Pure, on the controller."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.words import abbreviate, count_of
from .._host.nics import OFFLOAD_DRIVERS
from .._model.mtu import AUTO, DEFAULT_MTU, LEAST_MTU, MTU_OPTION, container_mtu, wrong_mtu
from .ingress_plan import IngressWish, wish_differs, wrong_wish

# The network by which the containers of a host reach what is outside of overlay networks.
GWBRIDGE = "docker_gwbridge"
# The role writes it (roles/swarm/tasks/offload.yml).
OFFLOAD_UNIT = "/etc/systemd/system/flotilla-offload.service"


@dataclass(frozen=True)
class NetworkHost:
    """A host of the swarm, or one that is about to join."""

    name: str
    swarm: Mapping[str, Any] = field(default_factory=dict)  # what swarm_host_info says of its swarm
    found: Mapping[str, Any] | None = None  # what swarm_network_host says; None: no answer
    address: str = ""  # the data path's address or interface in the inventory
    routes: tuple[str, ...] = ()  # networks that it has a route to
    # That of overlay networks that have none of their own, by its daemon.json.
    default_mtu: int = DEFAULT_MTU

    @property
    def member(self) -> bool:
        return self.swarm.get("state") in ("active", "pending")

    def interface(self) -> Mapping[str, Any] | None:
        """The interface of the data path: by the inventory, by the address that the node advertises, or by the default route."""
        listed = (self.found or {}).get("interfaces") or []
        wanted = self.address.strip("[]")
        for text in (wanted, str(self.swarm.get("node_addr") or "")):
            for each in listed:
                if text and (text == each["name"] or text in each["addresses"]):
                    return each
        if wanted:
            return None
        return next((each for each in listed if each.get("default")), None)


@dataclass(frozen=True)
class NetworkWish:
    """What the variables say."""

    mtu: Any = ""  # auto, a number, or nothing
    ingress: Mapping[str, Any] = field(default_factory=dict)
    fix_offload: bool = False
    offload_drivers: tuple[str, ...] = OFFLOAD_DRIVERS


@dataclass
class NetworkPlan:
    """What each host does, and what the ingress network must be."""

    mtu: int | None = None
    gwbridge: dict[str, int] = field(default_factory=dict)  # the MTU by host
    offload: dict[str, str] = field(default_factory=dict)  # the interface by host
    ingress: IngressWish | None = None
    steps: list[tuple[str, str, str, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    busy: dict[str, int] = field(
        default_factory=dict
    )  # the MTU by host, where docker_gwbridge cannot change
    faulty: dict[str, str] = field(
        default_factory=dict
    )  # the card by host, where offload may not be turned off
    unchanged: int = 0

    def lines(self) -> list[str]:
        """The plan as people read it."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {each}" for each in self.refusals)]
        size = "" if self.mtu is None else f", up to {self.mtu} bytes a packet between the hosts"
        lines = [f"PLAN  networks of the hosts{size}"]
        width = max((len(step[2]) for step in self.steps), default=0)
        lines += [
            f"  {sign} {action:<8}  {name:<{width}}  {words}"
            for sign, action, name, words in self.steps
        ]
        lines += [f"  ! {each}" for each in self.warnings]
        if self.unchanged:
            whose = "it" if self.unchanged == 1 else "they"
            lines.append(f"  = {count_of(self.unchanged, 'host')} as {whose} should be")
        return lines


def offload_service(unit: str) -> str | None:
    """The interface whose checksum offload the service turns off at each start of the host, given its unit; None if there is none."""
    found = re.search(r"^ExecStart=\S*ethtool -K (\S+) tx off$", unit, re.MULTILINE)
    return found.group(1) if found else None


def gwbridge_differs(found: dict[str, Any] | None, mtu: int) -> bool:
    """Whether docker_gwbridge, as `observe_networks` describes it, must be created or recreated."""
    return found is None or found["mtu"] != mtu


def plan_networks(
    hosts: list[NetworkHost],
    wish: NetworkWish,
    missing: Collection[str] = (),
    joining: bool = False,
) -> NetworkPlan:
    """The plan, given the hosts that were asked. `missing` are listed hosts that were not, such as those that --limit leaves out.

    Before hosts join (`joining`), only their docker_gwbridge is planned.
    """
    plan = NetworkPlan()
    wrong = wrong_mtu("swarm_network_mtu", wish.mtu)
    if wrong:
        plan.refusals.append(wrong)
    addresses = wrong_wish(wish.ingress.get("subnet"), wish.ingress.get("gateway"))
    plan.refusals += [f"swarm_ingress: {each}" for each in addresses]
    if plan.refusals:
        return plan
    _refuse_routes(plan, hosts, wish.ingress.get("subnet"))
    silent = sorted({*missing, *(host.name for host in hosts if host.found is None)})
    answered = sorted(
        (host for host in hosts if host.found is not None), key=lambda host: host.name
    )
    _plan_mtu(plan, answered, wish.mtu, silent)
    if plan.refusals:
        return plan
    drained = _drained(answered)
    for host in answered:
        _plan_gwbridge(plan, host, drained, joining)
        if not joining:
            _plan_offload(plan, host, wish)
    for card in sorted(set(plan.faulty.values())):
        names = [name for name, each in sorted(plan.faulty.items()) if each == card]
        plan.warnings.append(
            f"{abbreviate(names)}: {card} computes checksums of VXLAN packets, and is known to do it wrongly, so that overlay networks"
            " lose packets: set swarm_fix_offload: true, or swarm_data_path_port before the swarm is initialised"
        )
    if plan.busy:
        sizes = abbreviate([str(mtu) for mtu in sorted(set(plan.busy.values()))])
        plan.warnings.append(
            f"{abbreviate(sorted(plan.busy))}: {GWBRIDGE} has an MTU of {sizes} instead of {plan.mtu}, and can change only on a"
            " drained host: drain one after the other with flotilla.swarm.drain_node, run this again, and put it back"
        )
    if joining:
        _announce_ingress(plan, answered, wish)
    else:
        _plan_ingress(plan, answered, wish)
        _warn_of_overlays(plan, answered)
    touched = {*plan.busy, *plan.faulty, *(step[2] for step in plan.steps)}
    plan.unchanged = sum(1 for host in answered if host.name not in touched)
    return plan


def _refuse_routes(plan: NetworkPlan, hosts: Iterable[NetworkHost], subnet: Any) -> None:
    """A subnet that is elsewhere for a host."""
    if not subnet:
        return
    wanted = ipaddress.ip_network(str(subnet))
    for host in hosts:
        for route in host.routes:
            other = ipaddress.ip_network(route)
            if other.version == wanted.version and other.overlaps(wanted):
                plan.refusals.append(
                    f"swarm_ingress: the subnet {subnet} overlaps {route}, to which {host.name} has a route: choose a free one"
                )


def _plan_mtu(plan: NetworkPlan, hosts: list[NetworkHost], setting: Any, silent: list[str]) -> None:
    if setting in (None, ""):
        return
    found = {host.name: host.interface() for host in hosts}
    known = {name: each for name, each in found.items() if each is not None}
    if setting != AUTO:
        plan.mtu = int(setting)
        small = [
            f"{each['name']} of {name} has {each['mtu']}"
            for name, each in known.items()
            if each["mtu"] < plan.mtu
        ]
        if small:
            plan.refusals.append(
                f"swarm_network_mtu is {setting}, but {abbreviate(small)}: packets would be lost. Use auto, or a number that all hosts"
                " can send"
            )
        return
    unknown = sorted({*silent, *(found.keys() - known.keys())})
    if unknown or not known:
        plan.warnings.append(
            f"no MTU is changed in this run, because auto must know the interfaces of all hosts: {abbreviate(unknown) or 'none'}"
            " did not answer or has no interface with the address of its data path"
        )
        return
    plan.mtu = min(each["mtu"] for each in known.values())
    if plan.mtu < LEAST_MTU:
        plan.refusals.append(
            f"{_with_mtu(known, plan.mtu)} has an MTU of {plan.mtu}: overlay networks need {LEAST_MTU} or more"
        )
    elif any(each["mtu"] != plan.mtu for each in known.values()):
        larger = [f"{name} {each['mtu']}" for name, each in known.items() if each["mtu"] > plan.mtu]
        plan.warnings.append(
            f"the hosts differ in their MTU, and the least counts: {_with_mtu(known, plan.mtu)} {plan.mtu}, but"
            f" {abbreviate(larger)}"
        )


def _with_mtu(known: Mapping[str, Mapping[str, Any]], mtu: int) -> str:
    return abbreviate([name for name, each in known.items() if each["mtu"] == mtu])


def _drained(hosts: Iterable[NetworkHost]) -> frozenset[str]:
    """The IDs of the drained nodes, which a manager knows."""
    return frozenset(
        str(node["id"])
        for host in hosts
        for node in host.swarm.get("nodes") or []
        if node.get("availability") == "drain"
    )


def _plan_gwbridge(
    plan: NetworkPlan, host: NetworkHost, drained: Collection[str], joining: bool
) -> None:
    found = (host.found or {}).get("gwbridge")
    differs = plan.mtu is not None and gwbridge_differs(found, plan.mtu)
    idle = not (found or {}).get("containers") and host.swarm.get("node_id") in drained
    unplugged = bool((host.found or {}).get("unplugged")) and idle
    if plan.mtu is None or not (differs or unplugged):
        return
    before = None if found is None else found["mtu"]
    if host.member and joining:
        return
    if found is not None and (found["containers"] or found["ingress"]) and not idle:
        plan.busy[host.name] = found["mtu"]
        return
    words = f"mtu {plan.mtu}" if before is None else f"mtu {before} -> {plan.mtu}"
    if before == plan.mtu:
        words = "connects the ingress network, which an interrupted run has left out"
    if unplugged or (found is not None and found["ingress"]):
        words += "   restarts the engine"
    plan.gwbridge[host.name] = plan.mtu
    plan.steps.append(("+" if before is None else "~", "gwbridge", host.name, words))


def _plan_offload(plan: NetworkPlan, host: NetworkHost, wish: NetworkWish) -> None:
    card = host.interface()
    if card is None or card.get("driver") not in wish.offload_drivers:
        return
    lasting = (host.found or {}).get("offload_service") == card["name"]
    if not card.get("tx_checksum") and (lasting or not wish.fix_offload):
        return
    what = f"{card['name']} ({card['driver']})"
    if not wish.fix_offload:
        plan.faulty[host.name] = what
        return
    # Also where it is off already: it must be off after a reboot.
    plan.offload[host.name] = card["name"]
    plan.steps.append(("~", "offload", host.name, f"{what}   checksum offload off"))


def _wanted_ingress(plan: NetworkPlan, given: Mapping[str, Any]) -> IngressWish:
    mtu = given.get("mtu")
    return IngressWish(
        given.get("subnet") or None,
        given.get("gateway") or None,
        int(mtu) if mtu is not None else plan.mtu,
        given.get("encrypted"),
    )


def _announce_ingress(plan: NetworkPlan, hosts: list[NetworkHost], wish: NetworkWish) -> None:
    """What a new swarm's ingress network becomes after the swarm is initialised: check mode ends before that."""
    if any(host.member for host in hosts):
        return
    new = {"mtu": DEFAULT_MTU, "encrypted": False, "subnets": ["the engine's choice"]}
    changes = wish_differs(new, _wanted_ingress(plan, wish.ingress))
    if changes:
        words = f"{', '.join(changes)}, after the swarm is initialised"
        plan.steps.append(("~", "ingress", "-", words))


def _plan_ingress(plan: NetworkPlan, hosts: list[NetworkHost], wish: NetworkWish) -> None:
    manager = next((host for host in hosts if (host.found or {}).get("networks") is not None), None)
    if manager is None or manager.found is None:
        return
    wanted = _wanted_ingress(plan, wish.ingress)
    live = next((each for each in manager.found["networks"] if each["ingress"]), None)
    if live is None and not wish.ingress:
        # Somebody has removed it on purpose. An interrupted run has left a note.
        wanted = IngressWish()
    changes = wish_differs(live, wanted)
    if manager.found.get("ingress_note") is not None:
        plan.ingress = wanted
        plan.steps.append(("~", "ingress", "-", "an interrupted run is finished"))
    elif changes:
        plan.ingress = wanted
        sign = "~" if live else "+"
        plan.steps.append((sign, "ingress", "-", ", ".join(changes)))


def _warn_of_overlays(plan: NetworkPlan, hosts: Collection[NetworkHost]) -> None:
    listed: list[dict[str, Any]] = next(
        (host.found["networks"] for host in hosts if host.found and host.found["networks"]), []
    )
    if plan.mtu is None:
        return
    by_default = max((host.default_mtu for host in hosts), default=DEFAULT_MTU)
    for network in listed:
        mtu = network["mtu"] if network["has_mtu"] else by_default
        if network["ingress"] or mtu <= plan.mtu:
            continue
        fits = container_mtu(plan.mtu, network["encrypted"])
        has = container_mtu(mtu, network["encrypted"])
        option = f"driver_opts {MTU_OPTION}: '{plan.mtu}'"
        how = (
            f"set {option} in the Compose file, and replace_networks: true for stack {network['stack']}"
            if network["stack"]
            else f"recreate it with {option}"
        )
        plan.warnings.append(
            f"network {network['name']} lets containers send {has} bytes, and {fits} fit: {how}"
        )
