# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of a whole run: (what every host says, what the inventory wants) -> steps, or refusals.

Pure, and run on the controller. Check mode and a real run make the same plan from the same
observations; a real run then carries it out.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import shown
from ansible_collections.flotilla.swarm.plugins.module_utils._labels import (
    PREFIX,
    labels_after,
    wanted_labels,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._membership import (
    Cluster,
    Rules,
    Wanted,
    next_round,
    plan_membership,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import Node, quorum_of
from ansible_collections.flotilla.swarm.plugins.module_utils._settings import (
    check_settings,
    plan_settings,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import (
    done_lines,
    kind_of,
    remark_lines,
    show,
    some,
    step_lines,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._variables import slips

AVAILABILITIES = ("active", "pause", "drain")
# What a host has to do itself; the rest managers do for it.
BY_THE_HOST = ("engine", "init", "join", "rejoin")
INTERFACE = re.compile(r"^[A-Za-z][A-Za-z0-9_.@-]{0,14}$")


@dataclass(frozen=True)
class Host:
    """A host of the inventory: what is wanted of it, and what it said of itself."""

    name: str
    roles: tuple[str, ...]  # manager, worker; both is a mistake that is refused
    inputs: dict[str, Any] = field(default_factory=dict)  # the swarm_ variables, defaults included
    observed: dict[str, Any] | None = None  # what swarm_host_info returned
    reached: bool = True  # False: asked, and no answer
    failed: bool = (
        False  # in this run, in which it does nothing more and must not hold up the others
    )
    address: str = ""  # where the controller finds it
    extra_names: tuple[str, ...] = ()  # every variable that starts like one of ours
    engine_steps: tuple[dict[str, Any], ...] = ()
    engine_venv: bool = False  # the modules run with an interpreter that the engine's role chooses
    mistakes: tuple[str, ...] = ()  # in the types of its variables
    refusals: tuple[str, ...] = ()  # of the engine's plan and the preflight
    remarks: tuple[str, ...] = ()  # of the same

    @property
    def role(self) -> str:
        return self.roles[0]

    @property
    def silent(self) -> bool:
        """Its node is left as it is: it was not asked, did not answer, is asleep, or has failed in this run."""
        return self.observed is None or self.asleep or self.failed

    @property
    def swarm(self) -> dict[str, Any]:
        return (self.observed or {}).get("swarm") or {}

    @property
    def state(self) -> str | None:
        return self.swarm.get("state") if self.observed else None

    @property
    def join_failed(self) -> bool:
        """An earlier run was killed while it joined; it begins anew."""
        return bool(self.swarm.get("join_failed"))

    @property
    def member(self) -> bool:
        return self.state in ("active", "pending", "locked", "error") and not self.join_failed

    @property
    def asleep(self) -> bool:
        """A member whose engine is stopped, and which this run will start."""
        running = ((self.observed or {}).get("engine") or {}).get("running")
        return self.state == "unknown" and not running and bool(self.engine_steps)

    @property
    def unprivileged(self) -> bool:
        """Asked by a user who may not see, or not change, what the plan is about."""
        root = ((self.observed or {}).get("host") or {}).get("root")
        return root is False and (self.state == "unknown" or bool(self.engine_steps))

    @property
    def nodes(self) -> list[dict[str, Any]] | None:
        return self.swarm.get("nodes")


@dataclass
class Plan:
    steps: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cluster_id: str | None = None
    acting: str | None = None  # the manager on which cluster-wide work is done
    engine: list[str] = field(default_factory=list)  # hosts on which its role has to run
    init: str | None = None
    nodes: list[dict[str, Any]] = field(default_factory=list)  # for swarm_nodes
    rules: dict[str, Any] = field(default_factory=dict)  # for swarm_nodes
    settings: list[dict[str, Any]] = field(default_factory=list)
    # What can be done before looking again.
    round: dict[str, Any] = field(default_factory=lambda: next_round([], None))
    ask_managers: bool = False  # their services have a say in this plan
    held: list[dict[str, str]] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unchanged: int = 0

    def add(self, action: str, host: str, text: str, **more: Any) -> None:
        self.steps.append({"action": action, "host": host, "text": text, **more})


def make_plan(
    hosts: list[Host],
    settings: dict[str, Any] | None = None,
    known_names: frozenset[str] = frozenset(),
    allow_partial_init: bool = False,
    alive: list[str] | None = None,
    rules: dict[str, Any] | None = None,
    answer: dict[str, Any] | None = None,
) -> Plan:
    """The steps from what is to what is wanted.

    `alive` names the hosts of the running play that have not failed in it, where that is known. `rules` is
    what swarm_nodes takes beside the nodes, and `answer` what it said of them in check mode: it knows the
    services.
    """
    plan = _make_plan(
        hosts, settings or {}, known_names, allow_partial_init, alive, rules or {}, answer
    )
    plan.refusals = said_once(plan.refusals, hosts)
    plan.warnings = said_once(plan.warnings, hosts)
    return plan


def said_once(sentences: list[str], hosts: list[Host]) -> list[str]:
    """What is said of many hosts in the same words, said once for all of them."""
    names = {host.name for host in hosts}
    about: dict[str, list[str]] = {}
    for sentence in sentences:
        name, colon, rest = sentence.rstrip(".").partition(": ")
        if colon and name in names:
            about.setdefault(rest, []).append(name)
        else:
            about.setdefault(sentence.rstrip("."), [])
    return [f"{some(who)}: {rest}" if who else rest for rest, who in about.items()]


def _make_plan(
    hosts: list[Host],
    settings: dict[str, Any],
    known_names: frozenset[str],
    allow_partial_init: bool,
    alive: list[str] | None,
    rules: dict[str, Any],
    answer: dict[str, Any] | None,
) -> Plan:
    plan = Plan()
    plan.refusals += check_inventory(hosts, settings, known_names)
    if plan.refusals:
        return plan
    plan.unreachable = [host.name for host in hosts if not host.reached]
    _find_cluster(plan, hosts, alive)
    if not plan.refusals:
        for host in hosts:
            plan.refusals += host.refusals
    if plan.refusals:
        return plan
    for host in hosts:
        plan.warnings += host.remarks
        if host.engine_steps or host.engine_venv:
            plan.engine.append(host.name)
        if host.engine_steps:
            words = "; ".join(str(step["what"]) for step in host.engine_steps)
            plan.add("engine", host.name, words, details=list(host.engine_steps))
    _plan_init(plan, hosts, allow_partial_init, alive)
    if plan.acting is not None and not plan.refusals:
        _plan_settings(plan, hosts, settings)
        _plan_members(plan, hosts, rules, answer)
    if plan.refusals:
        plan.steps = []
        return plan
    _warn_of_managers(plan, hosts)
    touched = {step["host"] for step in plan.steps}
    plan.unchanged = sum(
        1 for host in hosts if host.name not in touched and host.observed is not None
    )
    return plan


# The inventory alone


def check_inventory(
    hosts: list[Host], settings: dict[str, Any], known_names: frozenset[str] = frozenset()
) -> list[str]:
    """What is wrong with the inventory itself, a sentence each."""
    wrong: list[str] = []
    if not hosts:
        return [
            (
                "the inventory names no host in the groups of the managers and the workers: put hosts into the groups"
                " swarm_managers and swarm_workers, or name other groups with swarm_managers_group and swarm_workers_group"
            )
        ]
    if not any("manager" in host.roles for host in hosts):
        wrong.append(
            "the group swarm_managers is empty: a swarm needs at least one manager (three, in three zones,"
            " to survive the loss of one)"
        )
    said = slips({name for host in hosts for name in host.extra_names}, known_names)
    for host in hosts:
        if len(host.roles) > 1:
            wrong.append(
                f"{host.name} is in both groups, swarm_managers and swarm_workers: take it out of one"
            )
        wrong += list(host.mistakes) or _check_inputs(host)
        wrong += [f"{host.name}: {said[name]}" for name in host.extra_names if name in said]
    wrong += _check_duplicates(hosts)
    wrong += check_settings(settings)
    return wrong


def _check_inputs(host: Host) -> list[str]:
    """What the types of the variables do not say."""
    wrong = []
    given = host.inputs
    labels = given.get("swarm_labels") or {}
    if not isinstance(labels, dict):
        wrong.append(
            f"{host.name}: swarm_labels is {shown(labels)}: it must be a dictionary such as {{disk: ssd}}"
        )
        labels = {}
    for key, value in labels.items():
        if isinstance(value, (dict, list)):
            wrong.append(f"{host.name}: the label {key} is {shown(value)}: it must be one value")
        if not str(key) or "=" in str(key) or str(key) != str(key).strip():
            wrong.append(f"{host.name}: '{key}' cannot be the name of a label")
        if str(key).startswith(PREFIX):
            wrong.append(
                f"{host.name}: the label {key} begins with {PREFIX}, under which this collection keeps its own: give it"
                " another name"
            )
    if "zone" in labels:
        wrong.append(
            f"{host.name}: swarm_labels has a label zone: set swarm_zone instead, which becomes that label"
        )
    availability = given.get("swarm_availability")
    if availability not in (None, "", *AVAILABILITIES):
        wrong.append(
            f"{host.name}: swarm_availability is {shown(availability)}: it must be one of"
            f" {', '.join(AVAILABILITIES)}, or empty"
        )
    for name in ("swarm_advertise_addr", "swarm_listen_addr", "swarm_data_path_addr"):
        address = given.get(name)
        if address and not _is_address(address, with_port=name != "swarm_data_path_addr"):
            wrong.append(
                f"{host.name}: {name} is {shown(address)}: it must be an IP address or the name of a network interface"
            )
    port = given.get("swarm_data_path_port")
    if port not in (None, "", 0) and not (_is_int(port) and 1024 <= int(port) <= 49151):
        wrong.append(
            f"{host.name}: swarm_data_path_port is {shown(port)}: it must be a number from 1024 to 49151"
        )
    size = given.get("swarm_subnet_size")
    if size not in (None, "", 0) and not (_is_int(size) and 8 <= int(size) <= 29):
        wrong.append(
            f"{host.name}: swarm_subnet_size is {shown(size)}: it must be a number from 8 to 29"
        )
    pools = given.get("swarm_default_addr_pool")
    if pools is not None and not isinstance(pools, list):
        wrong.append(
            f"{host.name}: swarm_default_addr_pool is {shown(pools)}: it must be a list such as [10.200.0.0/16]"
        )
    else:
        wrong += _check_pools(host.name, pools or [])
    return wrong


def _check_pools(name: str, pools: list[Any]) -> list[str]:
    wrong = []
    networks = []
    for pool in pools:
        try:
            networks.append(ipaddress.ip_network(str(pool)))
        except ValueError as error:
            wrong.append(f"{name}: swarm_default_addr_pool has {shown(pool)}: {error}")
    for index, network in enumerate(networks):
        for other in networks[index + 1 :]:
            if network.version == other.version and network.overlaps(other):
                wrong.append(f"{name}: swarm_default_addr_pool: {network} and {other} overlap")
    return wrong


def _is_int(value: Any) -> bool:
    return not isinstance(value, bool) and str(value).isdigit()


def _is_address(value: Any, with_port: bool) -> bool:
    text = str(value)
    if with_port and re.match(r"^[^:]+:\d+$", text):
        text = text.rsplit(":", 1)[0]
    try:
        ipaddress.ip_address(text.strip("[]"))
        return True
    except ValueError:
        # Digits and dots are an address gone wrong, not the name of an interface.
        return bool(INTERFACE.match(text)) and not re.match(r"^[\d.]+$", text)


def _check_duplicates(hosts: list[Host]) -> list[str]:
    wrong = []
    for what, of in (
        ("address", lambda host: host.address),
        ("node ID", lambda host: host.swarm.get("node_id")),
    ):
        seen: dict[str, str] = {}
        for host in hosts:
            value = of(host)
            if value and value in seen:
                wrong.append(
                    f"{seen[value]} and {host.name} are the same host ({what} {value}): keep one of the two"
                )
            elif value:
                seen[value] = host.name
    return wrong


# The swarm that is there


def _find_cluster(plan: Plan, hosts: list[Host], alive: list[str] | None) -> None:
    """Which swarm the listed hosts are in, and whether that is one and healthy enough to act on."""
    plan.refusals += [
        f"{host.name}: its engine cannot be seen or changed by a user who is not root: set ansible_become: true for it,"
        " or run with --become"
        for host in hosts
        if host.unprivileged
    ]
    if plan.refusals:
        return
    for host in hosts:
        if host.state == "locked":
            plan.refusals.append(
                f"{host.name} is locked: its engine was restarted with autolock on; unlock it there with"
                " 'docker swarm unlock' (or flotilla.swarm.swarm_member, state unlocked) and run again"
            )
        elif host.state == "error" and not host.join_failed:
            plan.refusals.append(
                f"the swarm on {host.name} is in an error state ({host.swarm.get('error') or 'no reason given'}):"
                " mend it, or make the host leave with 'docker swarm leave --force', and run again"
            )
        elif host.asleep:
            plan.warnings.append(
                f"{host.name} has been in a swarm and its engine does not run: its place is looked at again once it"
                " does"
            )
        elif host.state == "unknown":
            plan.refusals.append(
                f"the swarm state of {host.name} cannot be read ({host.swarm.get('error') or 'no reason given'})"
            )
    sighted = [host for host in hosts if host.nodes is not None]
    clusters: dict[str, list[str]] = {}
    for host in sighted:
        clusters.setdefault(str(host.swarm.get("cluster_id")), []).append(host.name)
    if len(clusters) > 1:
        found = "; ".join(
            f"{short(cluster)}: {', '.join(names)}" for cluster, names in sorted(clusters.items())
        )
        plan.refusals.append(
            f"the listed hosts are in {len(clusters)} swarms ({found}): one inventory is one swarm; make the"
            " hosts of the others leave, or take them out of the inventory"
        )
        return
    if not sighted:
        members = [host for host in hosts if host.member]
        if members:
            plan.refusals.append(_no_quorum(hosts, members))
        return
    usable = [host for host in sighted if alive is None or host.name in alive] or sighted
    # Who stays a manager can do all of the plan; who does not cannot demote itself.
    chosen = min(usable, key=lambda host: (host.role != "manager", bool(_readdress(host))))
    plan.cluster_id, plan.acting = chosen.swarm.get("cluster_id"), chosen.name
    known = {node["id"]: node for node in chosen.nodes or []}
    for host in hosts:
        if host.state in ("active", "pending") and host.nodes is None:
            node_id = host.swarm.get("node_id")
            if node_id and node_id not in known:
                plan.refusals.append(_unknown_node(host, chosen, list(known.values())))


def _unknown_node(host: Host, acting: Host, nodes: list[dict[str, Any]]) -> str:
    peers = {peer["addr"] for peer in host.swarm.get("remote_managers") or []}
    ours = {node["manager_addr"] for node in nodes if node["manager_addr"]}
    what = (
        f"{host.name} was removed from the swarm and has not left it (its node ID {host.swarm.get('node_id')} is"
        f" unknown to {acting.name})"
        if peers & ours
        else f"{host.name} is in another swarm (its node ID {host.swarm.get('node_id')} is unknown to {acting.name};"
        f" its managers are {', '.join(sorted(peers)) or 'not known'})"
    )
    return (
        f"{what}: if it shall join this one, run 'docker swarm leave --force' there and run again"
    )


def _no_quorum(hosts: list[Host], members: list[Host]) -> str:
    managers = [host for host in members if host.swarm.get("role") == "manager"]
    away = [host.name for host in hosts if host.observed is None]
    names = ", ".join(host.name for host in members)
    unasked = [host.name for host in hosts if host.role == "manager" and host.observed is None]
    if not managers and unasked:
        return (
            f"{names} {'is' if len(members) == 1 else 'are'} in a swarm, and no listed manager was asked about it"
            f" ({', '.join(unasked)}): bring one back, or take one into --limit, and run again"
        )
    if not managers:
        peers = sorted(
            {peer["addr"] for host in members for peer in host.swarm.get("remote_managers") or []}
        )
        return (
            f"{names} {'is a worker' if len(members) == 1 else 'are workers'} of a swarm of which no listed host is a"
            f" manager (its managers are {', '.join(peers) or 'not known'}): add its managers to the inventory, or"
            " run 'docker swarm leave' there, and run again"
        )
    names = ", ".join(host.name for host in managers)
    silent = f" (no answer from {', '.join(away)})" if away else ""
    return (
        f"the swarm of {names} has lost its quorum: no leader answers, so nothing can be planned or changed;"
        f" bring back more than half of its managers{silent} and run again"
    )


# Who is in it


def _plan_init(
    plan: Plan, hosts: list[Host], allow_partial_init: bool, alive: list[str] | None
) -> None:
    if plan.acting is not None:
        return
    newcomers = [host for host in hosts if host.observed is not None and not host.member]
    silent = [host.name for host in hosts if host.role == "manager" and host.observed is None]
    able = [
        host
        for host in newcomers
        if host.role == "manager" and (alive is None or host.name in alive)
    ]
    if not newcomers or any(host.asleep for host in hosts):
        return
    if silent and not allow_partial_init:
        plan.refusals.append(
            f"no listed host is in a swarm, and {', '.join(silent)} did not say: a swarm may live there, and a"
            " second one must not be made; bring them back or, if they are new or gone for good, set"
            " swarm_allow_partial_init: true"
        )
        return
    if not able:
        plan.refusals.append(
            "no listed host is in a swarm and no manager can be reached to initialise one"
        )
        return
    chosen = able[0]
    plan.init = plan.acting = chosen.name
    plan.add("init", chosen.name, _traits(chosen), why="no listed host is in a swarm")


def _plan_members(
    plan: Plan, hosts: list[Host], rules: dict[str, Any], answer: dict[str, Any] | None
) -> None:
    """Who joins, leaves and changes, as the managers' own planner has it."""
    acting = next(host for host in hosts if host.name == plan.acting)
    wanted = [_wanted(host, plan.init) for host in hosts]
    limited = [host.name for host in hosts if host.observed is None and host.reached]
    plan.rules = {**rules, "remove_unlisted": bool(rules.get("remove_unlisted")) and not limited}
    plan.nodes = [_as_argument(host, of) for host, of in zip(wanted, hosts)]
    if plan.init:
        # As if it were there already: what it will be is what is wanted of it.
        nodes = [_first_node(wanted[hosts.index(acting)])]
    else:
        nodes = [Node(**node) for node in acting.nodes or []]
    if answer is None:
        cluster = Cluster(
            nodes=tuple(nodes),
            acting=acting.swarm.get("node_id"),
            now=float(((acting.observed or {}).get("host") or {}).get("time") or 0),
        )
        found = plan_membership(cluster, wanted, rules_of(plan.rules)).as_dict()
    else:
        found = answer
    plan.refusals += found["refusals"]
    plan.warnings += found["warnings"]
    plan.held = found["held"]
    plan.unlisted = found["unlisted"]
    plan.steps += found["steps"]
    plan.round = next_round(found["steps"], acting.swarm.get("node_id"))
    plan.ask_managers = answer is None and any(
        step["action"] != "join" and not step.get("dead") for step in found["steps"]
    )
    if plan.unlisted and limited and rules.get("remove_unlisted"):
        plan.warnings.append(
            f"nothing is removed in a run that leaves out listed hosts ({some(limited)}): run without --limit"
        )
    for host in hosts:
        change = _readdress(host)
        if change and not host.inputs.get("swarm_allow_rejoin"):
            plan.warnings.append(
                f"{host.name}: its advertise address is {change[0]} and shall be {change[1]}, for which it must leave"
                " the swarm and join again: set swarm_allow_rejoin: true for it"
            )


def rules_of(given: dict[str, Any]) -> Rules:
    """The rules as swarm_nodes takes them."""
    known = {
        key: value
        for key, value in given.items()
        if key in Rules.__dataclass_fields__ and value is not None
    }
    for key in ("accepted_risks", "left"):
        if key in known:
            known[key] = frozenset(known[key] or ())
    return Rules(**known)


def _wanted(host: Host, init: str | None) -> Wanted:
    said = (host.observed or {}).get("host") or {}
    return Wanted(
        name=host.name,
        role=host.role,
        labels=wanted_labels(host.inputs.get("swarm_labels") or {}, host.inputs.get("swarm_zone")),
        availability=host.inputs.get("swarm_availability") or None,
        node_id=host.name
        if host.name == init
        else (host.swarm.get("node_id") or None if host.member else None),
        silent=host.silent,
        joining=host.state == "pending",
        hostname=said.get("hostname") or "",
        addresses=_addresses(host),
        rejoin=bool(_readdress(host)) and bool(host.inputs.get("swarm_allow_rejoin")),
        joined_by=host.swarm.get("joined_by"),
        traits=_traits(host),
    )


def _addresses(host: Host) -> tuple[str, ...]:
    """Where a host can be found, the address that the inventory gives it first."""
    said = ((host.observed or {}).get("host") or {}).get("addresses") or []
    listed = [host.address.rpartition(":")[0], str(host.inputs.get("swarm_advertise_addr") or "")]
    if said:
        # A name says nothing of where the host is, and it has said so itself.
        listed = [text for text in listed if _is_ip(text)]
    return tuple(dict.fromkeys([*filter(None, listed), *(entry["address"] for entry in said)]))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _as_argument(wanted: Wanted, host: Host) -> dict[str, Any]:
    """The host as swarm_nodes takes it."""
    argument: dict[str, Any] = {
        "name": wanted.name,
        "role": wanted.role,
        "labels": wanted.labels,
        "silent": wanted.silent,
        "joining": wanted.joining,
        "hostname": wanted.hostname,
        "addresses": list(wanted.addresses),
        "rejoin": wanted.rejoin,
        "joined_by": wanted.joined_by or "",
        "traits": wanted.traits,
    }
    if wanted.availability:
        argument["availability"] = wanted.availability
    if wanted.node_id and host.member:
        argument["node_id"] = wanted.node_id
    return argument


def _first_node(host: Wanted) -> Node:
    return Node(
        id=host.name,
        hostname=host.name,
        role="manager",
        availability=host.availability or "active",
        state="ready",
        addr=None,
        labels=labels_after({}, host.labels, host.name),
        leader=True,
        reachability="reachable",
        manager_addr=None,
        engine_version=None,
    )


def _readdress(host: Host) -> tuple[str, str] | None:
    """The address by which a host is known and the one it shall have, where they differ."""
    wanted = str(host.inputs.get("swarm_advertise_addr") or "")
    known = host.swarm.get("node_addr")
    if not wanted or not known or host.state != "active":
        return None
    addresses = ((host.observed or {}).get("host") or {}).get("addresses") or []
    by_interface = {entry["interface"]: entry["address"] for entry in reversed(addresses)}
    wanted = re.sub(r"^([^:]+):\d+$", r"\1", wanted).strip("[]")
    wanted = by_interface.get(wanted, wanted)
    try:
        same = ipaddress.ip_address(wanted) == ipaddress.ip_address(known)
    except ValueError:
        return None
    return None if same else (known, wanted)


def _traits(host: Host) -> str:
    traits = [host.role]
    if host.inputs.get("swarm_zone"):
        traits.append(f"zone {host.inputs['swarm_zone']}")
    labels = wanted_labels(host.inputs.get("swarm_labels") or {}, None)
    traits += [f"{key}={value}" for key, value in sorted(labels.items())]
    if host.inputs.get("swarm_availability") not in (None, "", "active"):
        traits.append(str(host.inputs["swarm_availability"]))
    if host.join_failed:
        traits.append("once more, for it has begun and not got there")
    return ", ".join(traits)


# The swarm as a whole


def _plan_settings(plan: Plan, hosts: list[Host], settings: dict[str, Any]) -> None:
    acting = next(host for host in hosts if host.name == plan.acting)
    if acting.name == plan.init:
        # A new swarm gets its settings with the init itself.
        for name, value in sorted(settings.items()):
            if value is not None:
                plan.add("settings", acting.name, f"{name}: {show(value)}")
    elif acting.swarm.get("settings") is not None:
        plan.settings = plan_settings(acting.swarm["settings"], settings)
        for step in plan.settings:
            text = f"{step['setting']}: {show(step['before'])} -> {show(step['after'])}"
            plan.add("settings", acting.name, text)


def _warn_of_managers(plan: Plan, hosts: list[Host]) -> None:
    acting = next((host for host in hosts if host.name == plan.acting), None)
    nodes = [Node(**node) for node in acting.nodes or []] if acting else []
    removed = {step.get("node_id") for step in plan.steps if step["action"] == "remove"}
    managers = [node for node in nodes if node.role == "manager" and node.id not in removed]
    down = sum(1 for node in managers if not node.answers)
    if down:
        plan.warnings.append(
            f"{down} of {len(managers)} managers cannot be reached, {quorum_of(len(managers))} are needed for a quorum"
        )


def short(identifier: str | None) -> str:
    return (identifier or "?")[:6]


# The plan as people read it


def render_done(
    steps: list[dict[str, Any]],
    alive: list[str],
    left_over: list[dict[str, Any]] | None = None,
    held: list[dict[str, str]] | None = None,
    cut_short: str = "",
) -> str:
    """The plan of the run once it has been carried out, what is still owed of it, and why it had to wait."""
    waiting = {(item["action"], item["name"]): item for item in held or []}
    remaining = {(kind_of(step), step["host"]) for step in left_over or []} | waiting.keys()
    owed = [
        step
        for step in steps
        if (step["host"] not in alive and kind_of(step) in BY_THE_HOST)
        or (kind_of(step), step["host"]) in remaining
    ]
    because = (
        cut_short
        or "a host failed on the way, or something was not there yet: see above, and run again"
    )
    rows = {(kind_of(step), step["host"]) for step in owed}
    why = [item for row, item in waiting.items() if row in rows]
    return "\n".join([*done_lines(steps, owed, because), *remark_lines([], [], why, [], [])])


def render(plan: Plan, title: str = "PLAN") -> str:
    """The plan as an aligned table; what is refused comes as sentences."""
    if plan.refusals:
        return "\n".join(
            [f"{title}  refused", *(f"  x {'refused':<13}{text}" for text in plan.refusals)]
        )
    if plan.cluster_id:
        head = f"{title}  swarm {short(plan.cluster_id)}, acting on {plan.acting}"
    elif plan.init:
        head = f"{title}  new swarm, initialised on {plan.init}"
    else:
        head = f"{title}  no swarm"
    others = plan.unreachable + plan.unlisted + [item["name"] for item in plan.held]
    lines = [head, *step_lines(plan.steps, others)]
    lines += remark_lines(plan.unreachable, plan.unlisted, plan.held, plan.warnings, plan.steps)
    if plan.unchanged:
        noun = "host" if plan.unchanged == 1 else "hosts"
        lines.append(
            f"  = {plan.unchanged} {noun} as {'it' if plan.unchanged == 1 else 'they'} should be"
        )
    return "\n".join(lines)
