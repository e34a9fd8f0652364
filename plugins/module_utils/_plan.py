# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of a whole run: (what every host says, what the inventory wants) -> steps, or refusals.

Pure, and run on the controller. Check mode and a real run make the same plan from the same
observations; a real run then carries it out.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Node,
    may_lose,
    quorum_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes import (
    WantedNode,
    plan_nodes,
    wanted_labels,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._settings import (
    check_settings,
    plan_settings,
)

AVAILABILITIES = ("active", "pause", "drain")
INTERFACE = re.compile(r"^[A-Za-z][A-Za-z0-9_.@-]{0,14}$")


@dataclass(frozen=True)
class Host:
    """A host of the inventory: what is wanted of it, and what it said of itself."""

    name: str
    roles: tuple[str, ...]  # manager, worker; both is a mistake that is refused
    inputs: dict[str, Any] = field(default_factory=dict)  # the swarm_ variables, defaults included
    observed: dict[str, Any] | None = None  # what swarm_host_info returned
    reached: bool = True  # False: asked, and no answer
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
    def swarm(self) -> dict[str, Any]:
        return (self.observed or {}).get("swarm") or {}

    @property
    def state(self) -> str | None:
        return self.swarm.get("state") if self.observed else None

    @property
    def member(self) -> bool:
        return self.state in ("active", "pending", "locked", "error")

    @property
    def asleep(self) -> bool:
        """A member whose engine is stopped, and which this run will start."""
        running = ((self.observed or {}).get("engine") or {}).get("running")
        return self.state == "unknown" and not running and bool(self.engine_steps)

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
    join_managers: list[str] = field(default_factory=list)
    join_workers: list[str] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)  # for swarm_nodes
    settings: list[dict[str, Any]] = field(default_factory=list)
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
) -> Plan:
    """The steps from what is to what is wanted.

    `alive` names the hosts of the running play that have not failed in it, where that is known.
    """
    plan = _make_plan(hosts, settings or {}, known_names, allow_partial_init, alive)
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


def some(names: list[str], most: int = 6) -> str:
    """Names, the first few of them where they are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _make_plan(
    hosts: list[Host],
    settings: dict[str, Any],
    known_names: frozenset[str],
    allow_partial_init: bool,
    alive: list[str] | None,
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
    _plan_membership(plan, hosts, allow_partial_init, alive)
    if plan.refusals:
        plan.steps = []
        return plan
    _plan_cluster(plan, hosts, settings)
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
            "the inventory names no host: put hosts into the groups swarm_managers and swarm_workers"
        ]
    if not any("manager" in host.roles for host in hosts):
        wrong.append(
            "the group swarm_managers is empty: a swarm needs at least one manager (three, in three zones,"
            " to survive the loss of one)"
        )
    for host in hosts:
        if len(host.roles) > 1:
            wrong.append(
                f"{host.name} is in both groups, swarm_managers and swarm_workers: take it out of one"
            )
        wrong += list(host.mistakes) or _check_inputs(host)
        wrong += _check_names(host, known_names)
    wrong += _check_duplicates(hosts)
    wrong += check_settings(settings)
    return wrong


def _check_inputs(host: Host) -> list[str]:
    wrong = []
    given = host.inputs
    zone = given.get("swarm_zone")
    if zone is not None and not isinstance(zone, (str, int)):
        wrong.append(f"{host.name}: swarm_zone is {zone!r}: it must be a word such as a or rack-2")
    labels = given.get("swarm_labels")
    if labels is not None and not isinstance(labels, dict):
        wrong.append(
            f"{host.name}: swarm_labels is {labels!r}: it must be a dictionary such as {{disk: ssd}}"
        )
    elif labels:
        for key, value in labels.items():
            if isinstance(value, (dict, list)):
                wrong.append(f"{host.name}: the label {key} is {value!r}: it must be one value")
            if not str(key) or "=" in str(key) or str(key) != str(key).strip():
                wrong.append(f"{host.name}: '{key}' cannot be the name of a label")
        if "zone" in labels:
            wrong.append(
                f"{host.name}: swarm_labels has a label zone: set swarm_zone instead, which becomes that label"
            )
    availability = given.get("swarm_availability")
    if availability not in (None, "", *AVAILABILITIES):
        wrong.append(
            f"{host.name}: swarm_availability is {availability!r}: it must be one of {', '.join(AVAILABILITIES)}"
        )
    for name in ("swarm_advertise_addr", "swarm_listen_addr", "swarm_data_path_addr"):
        address = given.get(name)
        if address and not _is_address(address, with_port=name != "swarm_data_path_addr"):
            wrong.append(
                f"{host.name}: {name} is {address!r}: it must be an IP address or the name of a network interface"
            )
    port = given.get("swarm_data_path_port")
    if port not in (None, "", 0) and not (_is_int(port) and 1024 <= int(port) <= 49151):
        wrong.append(
            f"{host.name}: swarm_data_path_port is {port!r}: it must be a number from 1024 to 49151"
        )
    size = given.get("swarm_subnet_size")
    if size not in (None, "", 0) and not (_is_int(size) and 8 <= int(size) <= 29):
        wrong.append(
            f"{host.name}: swarm_subnet_size is {size!r}: it must be a number from 8 to 29"
        )
    pools = given.get("swarm_default_addr_pool")
    if pools is not None and not isinstance(pools, list):
        wrong.append(
            f"{host.name}: swarm_default_addr_pool is {pools!r}: it must be a list such as [10.200.0.0/16]"
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
            wrong.append(f"{name}: swarm_default_addr_pool has {pool!r}: {error}")
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


def _check_names(host: Host, known_names: frozenset[str]) -> list[str]:
    wrong = []
    for name in host.extra_names:
        if name in known_names:
            continue
        close = difflib.get_close_matches(name, sorted(known_names), n=1, cutoff=0.88)
        if close:
            wrong.append(f"{host.name}: there is no variable {name}: did you mean {close[0]}?")
    return wrong


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
    for host in hosts:
        if host.state == "locked":
            plan.refusals.append(
                f"{host.name} is locked: its engine was restarted with autolock on; unlock it there with"
                " 'docker swarm unlock' (or flotilla.swarm.swarm_member, state unlocked) and run again"
            )
        elif host.state == "error":
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
            f"the listed managers are in {len(clusters)} swarms ({found}): one inventory is one swarm; make the"
            " hosts of the others leave, or take them out of the inventory"
        )
        return
    if not sighted:
        members = [host for host in hosts if host.member]
        if members:
            plan.refusals.append(_no_quorum(hosts, members))
        return
    usable = [host for host in sighted if alive is None or host.name in alive] or sighted
    chosen = usable[0]
    plan.cluster_id, plan.acting = chosen.swarm.get("cluster_id"), chosen.name
    known = {node["id"]: node for node in chosen.nodes or []}
    for host in hosts:
        if host.state in ("active", "pending") and host.nodes is None:
            node_id = host.swarm.get("node_id")
            if node_id and node_id not in known:
                peers = ", ".join(peer["addr"] for peer in host.swarm.get("remote_managers") or [])
                plan.refusals.append(
                    f"{host.name} is in another swarm (its node ID {node_id} is unknown to {chosen.name};"
                    f" its managers are {peers or 'not known'}): if it shall join this one, run"
                    " 'docker swarm leave' there and run again"
                )
    _find_strangers(plan, hosts, list(known.values()))


def _find_strangers(plan: Plan, hosts: list[Host], nodes: list[dict[str, Any]]) -> None:
    """Nodes of the swarm that no listed host is: of other hosts, or left over from hosts that began anew."""
    listed = {host.swarm.get("node_id") for host in hosts}
    asked = {host.name for host in hosts if host.observed is not None}
    silent = {host.name for host in hosts if host.observed is None}
    for node in nodes:
        if node["id"] in listed or node["hostname"] in silent:
            continue
        if node["hostname"] in asked and node["state"] != "ready":
            demote = f"docker node demote {node['id']}; " if node["role"] == "manager" else ""
            plan.warnings.append(
                f"{node['hostname']} has left a node behind when it began anew: remove it by '{demote}docker node rm"
                f" {node['id']}' on {plan.acting}"
            )
        else:
            plan.unlisted.append(node["hostname"])


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


# Who joins


def _plan_membership(
    plan: Plan, hosts: list[Host], allow_partial_init: bool, alive: list[str] | None
) -> None:
    newcomers = [
        host for host in hosts if host.observed is not None and not host.member and not host.asleep
    ]
    managers = [host for host in newcomers if host.role == "manager"]
    if plan.acting is None:
        silent = [host.name for host in hosts if host.role == "manager" and host.observed is None]
        able = [host for host in managers if alive is None or host.name in alive]
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
        managers = [host for host in managers if host is not chosen]
        plan.add(
            "init",
            chosen.name,
            ", ".join(_traits(chosen, "manager")),
            why="no listed host is in a swarm",
        )
        total = reachable = 1
    else:
        known = [node for node in _acting_nodes(plan, hosts) if node["role"] == "manager"]
        total = len(known)
        reachable = sum(1 for node in known if Node(**node).ready)
    for host in managers:
        plan.join_managers.append(host.name)
        total, reachable = total + 1, reachable + 1
        note = f"managers {total - 1} -> {total}, may lose {may_lose(total, reachable)}"
        plan.add(
            "join",
            host.name,
            ", ".join(_traits(host, "manager")),
            why="not in the swarm",
            note=note,
        )
    for host in hosts:
        if host.state == "pending":
            # The run before ended while this host was joining; its engine goes on by itself.
            joining = plan.join_managers if host.role == "manager" else plan.join_workers
            joining.append(host.name)
            plan.add(
                "join", host.name, f"{host.role}, is joining already: wait for it", why="pending"
            )
    for host in newcomers:
        if host.role == "worker":
            plan.join_workers.append(host.name)
            plan.add("join", host.name, ", ".join(_traits(host, "worker")), why="not in the swarm")
    if total % 2 == 0 and managers:
        plan.warnings.append(
            f"{total} managers tolerate the loss of {may_lose(total)}, no more than {total - 1} do: use an odd number"
        )


def _traits(host: Host, role: str) -> list[str]:
    traits = [role]
    if host.inputs.get("swarm_zone"):
        traits.append(f"zone {host.inputs['swarm_zone']}")
    labels = wanted_labels(host.inputs.get("swarm_labels") or {}, None)
    traits += [f"{key}={value}" for key, value in sorted(labels.items())]
    if host.inputs.get("swarm_availability") not in (None, "", "active"):
        traits.append(str(host.inputs["swarm_availability"]))
    return traits


def _acting_nodes(plan: Plan, hosts: list[Host]) -> list[dict[str, Any]]:
    for host in hosts:
        if host.name == plan.acting:
            return host.nodes or []
    return []


# The swarm as a whole


def _plan_cluster(plan: Plan, hosts: list[Host], settings: dict[str, Any]) -> None:
    """Settings, labels and availability, as seen by the acting manager."""
    for host in hosts:
        if host.observed is not None and host.swarm.get("node_id"):
            labels = wanted_labels(
                host.inputs.get("swarm_labels") or {}, host.inputs.get("swarm_zone")
            )
            node = {"name": host.name, "node_id": host.swarm["node_id"], "labels": labels}
            if host.inputs.get("swarm_availability"):
                node["availability"] = host.inputs["swarm_availability"]
            plan.nodes.append(node)
    acting = next((host for host in hosts if host.name == plan.acting), None)
    if acting is None:
        return
    if acting.name == plan.init:
        # A new swarm gets its settings with the init itself.
        for name, value in sorted(settings.items()):
            if value is not None:
                plan.add("settings", acting.name, f"{name}: {show(value)}")
        return
    if acting.swarm.get("settings") is not None:
        plan.settings = plan_settings(acting.swarm["settings"], settings)
        for step in plan.settings:
            text = f"{step['setting']}: {show(step['before'])} -> {show(step['after'])}"
            plan.add("settings", acting.name, text)
    nodes = [Node(**node) for node in acting.nodes or []]
    plan.steps += plan_nodes(nodes, [WantedNode(**node) for node in plan.nodes])
    by_id = {node.id: node for node in nodes}
    for host in hosts:
        seen = by_id.get(host.swarm.get("node_id") or "")
        if seen is not None and seen.role != host.role and len(host.roles) == 1:
            plan.warnings.append(
                f"{host.name} is a {seen.role} and listed as a {host.role}: this version does not change roles; run"
                f" 'docker node {'promote' if host.role == 'manager' else 'demote'} {host.name}' on {acting.name}"
            )
    down = sum(1 for node in nodes if node.role == "manager" and not node.ready)
    managers = sum(1 for node in nodes if node.role == "manager")
    if down:
        plan.warnings.append(
            f"{down} of {managers} managers cannot be reached, {quorum_of(managers)} are needed for a quorum"
        )


def short(identifier: str | None) -> str:
    return (identifier or "?")[:6]


def show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items())) or "none"
    return "unset" if value is None else str(value)


# The plan as people read it

_MARKS = {
    "init": "+",
    "join": "+",
    "engine": "~",
    "labels": "~",
    "availability": "~",
    "settings": "~",
}
_ORDER = ("engine", "init", "join", "settings", "labels", "availability")


def _rows(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps in order; hosts that get the same done to their engine share a row."""
    rows: list[dict[str, Any]] = []
    for step in sorted(steps, key=lambda step: _ORDER.index(step["action"])):
        twin = next(
            (
                row
                for row in rows
                if step["action"] == row["action"] == "engine" and row["text"] == step["text"]
            ),
            None,
        )
        if twin is None:
            rows.append({**step, "hosts": [step["host"]]})
        else:
            twin["hosts"].append(step["host"])
    for row in rows:
        row["host"] = some(row["hosts"])
    return rows


def _step_lines(steps: list[dict[str, Any]], others: list[str], mark: str = "") -> list[str]:
    """The steps aligned, in columns wide enough for the names of the others too."""
    rows = _rows(steps)
    width = max([len(name) for name in [row["host"] for row in rows] + others] + [2])
    texts = max([len(row["text"]) for row in rows if row.get("note")] + [0])
    lines = []
    for row in rows:
        text = f"{row['text']:<{texts}}   {row['note']}" if row.get("note") else row["text"]
        head = f"  {mark or _MARKS[row['action']]} {row['action']:<13}{row['host']:<{width}}   "
        for part in _folded(text):
            lines.append(head + part)
            head = " " * len(head)
    return lines


def _folded(text: str, width: int = 90) -> list[str]:
    """A text of several parts, separated by semicolons, in lines that a terminal can hold."""
    lines = [""]
    for part in text.split("; "):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += f"; {part}" if lines[-1] else part
    return [f"{line};" for line in lines[:-1]] + lines[-1:]


def render_done(steps: list[dict[str, Any]], alive: list[str]) -> str:
    """The plan of the run once it has been carried out, and what hosts that failed on the way owe."""
    done = [step for step in steps if step["host"] in alive]
    owed = [step for step in steps if step["host"] not in alive]
    lines = ["DONE", *_step_lines(done, [])]
    if owed:
        lines += ["NOT DONE  these hosts failed on the way: mend them and run again"]
        lines += _step_lines(owed, [], "x")
    return "\n".join(lines)


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
    lines = [head]
    others = plan.unreachable + plan.unlisted
    width = max(
        [len(row["host"]) for row in _rows(plan.steps)] + [len(name) for name in others] + [2]
    )
    lines += _step_lines(plan.steps, others)
    for name in plan.unreachable:
        lines.append(f"  ! {'unreachable':<13}{name:<{width}}   no answer: left as it is")
    for name in plan.unlisted:
        lines.append(
            f"  ! {'not listed':<13}{name:<{width}}   in the swarm, not in the inventory: left as it is"
        )
    lines += [f"  ! {'warning':<13}{text}" for text in plan.warnings]
    if plan.unchanged:
        noun = "host" if plan.unchanged == 1 else "hosts"
        lines.append(
            f"  = {plan.unchanged} {noun} as {'it' if plan.unchanged == 1 else 'they'} should be"
        )
    return "\n".join(lines)
