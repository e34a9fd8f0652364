# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The plan of a whole run: (what every host says, what the inventory wants) -> steps, or refusals. Pure.

It is made on the controller. Check mode and a real run make the same plan from the same
observations; a real run then carries it out.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import shown
from .._common.words import Text, abbreviate, count_of, joined, quoted, text, unpacked
from .._model.documents import Node, quorum_of
from .._model.labels import PREFIX, labels_after, wanted_labels
from .._model.mtu import wrong_mtu
from .identity import DesiredMember
from .membership import Cluster, Membership, parse_rules, plan_membership
from .rounds import Round, next_round
from .settings import SettingChange, check_settings, plan_settings, show_value
from .steps import HeldBack, MemberStep, done_lines, refused_lines, remark_lines, step_lines
from .variables import misspelt_names

AVAILABILITIES = ("active", "pause", "drain")
# What a host has to do itself; the rest managers do for it.
BY_THE_HOST = ("unlock", "engine", "init", "join", "rejoin")
INTERFACE = re.compile(r"^[A-Za-z][A-Za-z0-9_.@-]{0,14}$")


@dataclass(frozen=True)
class InventoryHost:
    """A host of the inventory: its desired state, and what it reports of itself."""

    name: str
    roles: tuple[str, ...]  # manager, worker; both is a mistake that is refused
    inputs: dict[str, Any] = field(default_factory=dict)  # the swarm_ variables, defaults included
    observed: dict[str, Any] | None = None  # what swarm_host_info returned
    reached: bool = True  # False: asked, and no answer
    # In this run, in which it does nothing more and must not hold up the others.
    failed: bool = False
    address: str = ""  # where the controller finds it
    extra_names: tuple[str, ...] = ()  # every variable that starts like one of ours
    engine_steps: tuple[dict[str, Any], ...] = ()
    engine_venv: bool = False  # the modules run with an interpreter that the engine's role chooses
    unlock_key: bool = False  # whether a key is given; the plan does not need the key itself
    unlock_error: str = ""  # why the run could not unlock it
    mistakes: tuple[str, ...] = ()  # in the types of its variables
    refusals: tuple[str, ...] = ()  # of the engine's plan and the preflight
    remarks: tuple[str, ...] = ()  # of the same

    @property
    def role(self) -> str:
        return self.roles[0]

    @property
    def silent(self) -> bool:
        """Its node is left as it is: it was not asked, did not answer, is asleep or locked, or has failed in this run."""
        return self.observed is None or self.asleep or self.unlocks or self.failed

    @property
    def swarm(self) -> dict[str, Any]:
        return (self.observed or {}).get("swarm") or {}

    @property
    def state(self) -> str | None:
        """What its engine says of the swarm: inactive, pending, active, locked, error or unknown; None: not asked."""
        return self.swarm.get("state") if self.observed else None

    @property
    def join_failed(self) -> bool:
        """An earlier run was interrupted while it joined, and it has to join again."""
        return bool(self.swarm.get("join_failed"))

    @property
    def member(self) -> bool:
        """Whether it is in a swarm, or about to be."""
        return self.state in ("active", "pending", "locked", "error") and not self.join_failed

    @property
    def asleep(self) -> bool:
        """A member whose engine is stopped, and which this run will start."""
        running = ((self.observed or {}).get("engine") or {}).get("running")
        return self.state == "unknown" and not running and bool(self.engine_steps)

    @property
    def unlocks(self) -> bool:
        """A locked manager that this run will unlock."""
        return self.state == "locked" and self.unlock_key and not self.unlock_error

    @property
    def unprivileged(self) -> bool:
        """Asked by a user who may not see, or not change, what the plan is about."""
        root = ((self.observed or {}).get("host") or {}).get("root")
        return root is False and (self.state == "unknown" or bool(self.engine_steps))

    @property
    def nodes(self) -> list[Node] | None:
        """The nodes of its swarm; None where it is no manager that sees a leader."""
        nodes = self.swarm.get("nodes")
        return None if nodes is None else [Node(**node) for node in nodes]


@dataclass
class RunPlan:
    """What a run does: ordered steps and who takes part; or sentences that say why it is refused, and no steps."""

    steps: list[MemberStep] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cluster_id: str | None = None
    acting: str | None = None  # the manager on which cluster-wide work is done
    unlock: list[str] = field(default_factory=list)  # locked hosts, before anything else
    engine: list[str] = field(default_factory=list)  # hosts on which its role has to run
    init: str | None = None
    nodes: list[dict[str, Any]] = field(default_factory=list)  # the option of swarm_nodes
    rules: dict[str, Any] = field(default_factory=dict)  # other options of swarm_nodes
    settings: list[SettingChange] = field(default_factory=list)
    round: Round = field(default_factory=Round)
    ask_managers: bool = False  # their services have a say in this plan
    held: list[HeldBack] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    unchanged: int = 0  # hosts that are as desired

    def as_data(self) -> dict[str, Any]:
        """The plan as playbooks see it."""
        return {
            "steps": [step.as_data() for step in self.steps],
            "cluster_id": self.cluster_id,
            "acting": self.acting,
            "unlock": self.unlock,
            "engine": self.engine,
            "init": self.init,
            "round": self.round.as_data(),
            "nodes": self.nodes,
            "rules": self.rules,
            "ask_managers": self.ask_managers,
            "held": [item.as_data() for item in self.held],
            "settings": [change.as_data() for change in self.settings],
            # Not `unreachable`: a result with that key makes Ansible give up on the host.
            "no_answer": self.unreachable,
            "unlisted": self.unlisted,
        }


def make_plan(
    hosts: list[InventoryHost],
    settings: dict[str, Any] | None = None,
    known_names: frozenset[str] = frozenset(),
    allow_partial_init: bool = False,
    alive: list[str] | None = None,
    rules: dict[str, Any] | None = None,
    answer: Membership | None = None,
) -> RunPlan:
    """The steps from what is to the desired state.

    `settings` are the desired ones of the swarm, and `known_names` all names of variables that a misspelt one may mean.
    `alive` names the hosts of the running play that have not failed in it, where that is known. `rules` are options of
    swarm_nodes, see Rules, and `answer` is the plan that swarm_nodes made in check mode: it knows the services.
    """
    plan = _make_plan(
        hosts, settings or {}, known_names, allow_partial_init, alive, rules or {}, answer
    )
    plan.refusals = merged_by_host(plan.refusals, hosts)
    plan.warnings = merged_by_host(plan.warnings, hosts)
    return plan


def merged_by_host(sentences: list[str], hosts: list[InventoryHost]) -> list[str]:
    """Sentences of the form HOST: TEXT, with one for all hosts that have the same text."""
    names = {host.name for host in hosts}
    about: dict[str, list[str]] = {}
    said: dict[str, str] = {}
    for sentence in sentences:
        name, colon, rest = sentence.rstrip(".").partition(": ")
        rest = rest if colon and name in names else sentence.rstrip(".")
        who = about.setdefault(rest, [])
        # The preflight of each host of a new swarm says what is wrong with the routes of all.
        if colon and name in names and name not in who:
            who.append(name)
        said.setdefault(rest, sentence)
    return [_about_all(who, rest, said[rest]) for rest, who in about.items()]


def _about_all(who: list[str], rest: str, first: str) -> str:
    """A sentence about these hosts. It stays a text if the `first` of those that it stands for is one."""
    if isinstance(first, Text):
        if "about" in first.values:
            return quoted(_about_all(who, rest, ""), first.values["about"])
        hosts = {"host": abbreviate(who)} if who else {}
        return text(first.template.rstrip("."), **{**first.values, **hosts})
    return f"{abbreviate(who)}: {rest}" if who else rest


def _make_plan(
    hosts: list[InventoryHost],
    settings: dict[str, Any],
    known_names: frozenset[str],
    allow_partial_init: bool,
    alive: list[str] | None,
    rules: dict[str, Any],
    answer: Membership | None,
) -> RunPlan:
    plan = RunPlan()
    wrong = text(
        "A value in the inventory or of a variable cannot be used. Correct it and run again."
    )
    plan.refusals += [quoted(each, wrong) for each in check_inventory(hosts, settings, known_names)]
    if plan.refusals:
        return plan
    plan.unreachable = [host.name for host in hosts if not host.reached]
    _find_cluster(plan, hosts, alive)
    if not plan.refusals:
        for host in hosts:
            plan.refusals += host.refusals
    if plan.refusals:
        return plan
    why = text("its engine was restarted with autolock on")
    plan.steps += [MemberStep("unlock", name, why) for name in plan.unlock]
    if plan.unlock and plan.acting is None:
        plan.warnings.append(text("the swarm is locked: the run unlocks it and plans again"))
    for host in hosts:
        plan.warnings += host.remarks
        if host.engine_steps or host.engine_venv:
            plan.engine.append(host.name)
        if host.engine_steps:
            what = [unpacked(step.get("words") or step["what"]) for step in host.engine_steps]
            words = joined(what, "; ")
            plan.steps.append(MemberStep("engine", host.name, words, details=host.engine_steps))
    _plan_init(plan, hosts, allow_partial_init, alive)
    if plan.acting is not None and not plan.refusals:
        _plan_settings(plan, hosts, settings)
        _plan_members(plan, hosts, rules, answer)
    if plan.refusals:
        plan.steps = []
        return plan
    _warn_of_managers(plan, hosts)
    touched = {step.host for step in plan.steps}
    plan.unchanged = sum(
        1 for host in hosts if host.name not in touched and host.observed is not None
    )
    return plan


# The inventory alone


def check_inventory(
    hosts: list[InventoryHost], settings: dict[str, Any], known_names: frozenset[str] = frozenset()
) -> list[str]:
    """What is wrong with the inventory and the variables, a sentence each."""
    wrong: list[str] = []
    if not hosts:
        return [
            (
                "the inventory names no host in the groups of managers and workers: add hosts to swarm_managers and"
                " swarm_workers, or set swarm_managers_group and swarm_workers_group to the names of your groups"
            )
        ]
    if not any("manager" in host.roles for host in hosts):
        wrong.append(
            "the group swarm_managers is empty: a swarm needs at least one manager (three, in three zones,"
            " to tolerate 1 failure)"
        )
    misspelt = misspelt_names({name for host in hosts for name in host.extra_names}, known_names)
    for host in hosts:
        if len(host.roles) > 1:
            wrong.append(
                f"{host.name} is in both groups, swarm_managers and swarm_workers: remove it from one"
            )
        wrong += list(host.mistakes) or _check_inputs(host)
        wrong += [f"{host.name}: {misspelt[name]}" for name in host.extra_names if name in misspelt]
    wrong += _check_duplicates(hosts)
    wrong += check_settings(settings)
    return wrong


def _check_inputs(host: InventoryHost) -> list[str]:
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
            wrong.append(
                f"{host.name}: the label {key} is {shown(value)}: it must be a single value"
            )
        if not str(key) or "=" in str(key) or str(key) != str(key).strip():
            wrong.append(
                f"{host.name}: '{key}' cannot be the name of a label: it must not be empty, have an equals sign, or begin or"
                " end with a space"
            )
        if str(key).startswith(PREFIX):
            wrong.append(
                f"{host.name}: the label {key} begins with {PREFIX}, the prefix of labels that this collection sets: use"
                " another name"
            )
    if "zone" in labels:
        wrong.append(
            f"{host.name}: swarm_labels has a label zone: set swarm_zone instead, which sets that label"
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
                f"{host.name}: {name} is {shown(address)}: it must be an IP address or the name of a network interface,"
                " such as 192.0.2.10 or eth0"
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
    mtu = wrong_mtu("swarm_network_mtu", given.get("swarm_network_mtu"))
    wrong += [f"{host.name}: {mtu}"] if mtu else []
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
                wrong.append(
                    f"{name}: swarm_default_addr_pool: {network} and {other} overlap:"
                    " use networks that do not"
                )
    return wrong


def _is_int(value: Any) -> bool:
    return not isinstance(value, bool) and str(value).isdigit()


def _is_address(value: Any, with_port: bool) -> bool:
    given = str(value)
    if with_port and re.match(r"^[^:]+:\d+$", given):
        given = given.rsplit(":", 1)[0]
    try:
        ipaddress.ip_address(given.strip("[]"))
        return True
    except ValueError:
        # Digits and dots are an address gone wrong, not the name of an interface.
        return bool(INTERFACE.match(given)) and not re.match(r"^[\d.]+$", given)


def _check_duplicates(hosts: list[InventoryHost]) -> list[str]:
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


def _find_cluster(plan: RunPlan, hosts: list[InventoryHost], alive: list[str] | None) -> None:
    """Which swarm the listed hosts are in, and whether that is one and healthy enough to act on."""
    plan.refusals += [
        text(
            "{host}: only root can see and change its engine: set ansible_become: true for it, or run with --become",
            host=host.name,
        )
        for host in hosts
        if host.unprivileged
    ]
    if plan.refusals:
        return
    for host in hosts:
        if host.unlocks:
            plan.unlock.append(host.name)
        elif host.state == "locked" and host.unlock_error:
            plan.refusals.append(
                text("{host}: could not be unlocked: {why}", host=host.name, why=host.unlock_error)
            )
        elif host.state == "locked":
            plan.refusals.append(
                text(
                    "{name} is locked: its engine was restarted with autolock on; set swarm_unlock_key, or unlock it there"
                    " with 'docker swarm unlock', and run again",
                    name=host.name,
                )
            )
        elif host.state == "error" and not host.join_failed:
            plan.refusals.append(
                text(
                    "the swarm on {name} is in an error state ({error}): fix the cause, or let the host leave with 'docker swarm"
                    " leave --force', and run again",
                    name=host.name,
                    error=host.swarm.get("error") or text("no reason given"),
                )
            )
        elif host.asleep:
            plan.warnings.append(
                text(
                    "{name} was in a swarm and its engine is stopped: the run starts the engine and plans again",
                    name=host.name,
                )
            )
        elif host.state == "unknown":
            plan.refusals.append(
                text(
                    "the swarm state of {name} cannot be read ({error}): check its engine with 'systemctl status docker' and run"
                    " again",
                    name=host.name,
                    error=host.swarm.get("error") or text("no reason given"),
                )
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
            text(
                "the listed hosts are in {count} swarms ({found}): an inventory describes one swarm; let the hosts of the others"
                " leave with 'docker swarm leave', or remove them from the inventory",
                count=len(clusters),
                found=found,
            )
        )
        return
    if not sighted:
        members = [host for host in hosts if host.member]
        if members and not plan.unlock:
            plan.refusals.append(_no_quorum(hosts, members))
        return
    usable = [host for host in sighted if alive is None or host.name in alive] or sighted
    # Who stays a manager can do all of the plan; who does not cannot demote itself.
    chosen = min(usable, key=lambda host: (host.role != "manager", bool(_readdress(host))))
    plan.cluster_id, plan.acting = chosen.swarm.get("cluster_id"), chosen.name
    nodes = chosen.nodes or []
    known = {node.id for node in nodes}
    for host in hosts:
        if host.state in ("active", "pending") and host.nodes is None:
            node_id = host.swarm.get("node_id")
            if node_id and node_id not in known:
                plan.refusals.append(_unknown_node(host, chosen, nodes))


def _unknown_node(host: InventoryHost, acting: InventoryHost, nodes: list[Node]) -> str:
    peers = {peer["addr"] for peer in host.swarm.get("remote_managers") or []}
    ours = {node.manager_addr for node in nodes if node.manager_addr}
    return text(
        "{name} was removed from the swarm but has not left it (its node ID {node_id} is unknown to {acting}): to join it to this"
        " swarm, run 'docker swarm leave --force' there and run again"
        if peers & ours
        else "{name} is in another swarm (its node ID {node_id} is unknown to {acting}; its managers are {managers}): to join it"
        " to this swarm, run 'docker swarm leave --force' there and run again",
        name=host.name,
        node_id=host.swarm.get("node_id"),
        acting=acting.name,
        managers=joined(sorted(peers)) if peers else text("not known"),
    )


def _no_quorum(hosts: list[InventoryHost], members: list[InventoryHost]) -> str:
    managers = [host for host in members if host.swarm.get("role") == "manager"]
    away = [host.name for host in hosts if host.observed is None]
    names = ", ".join(host.name for host in members)
    unasked = [host.name for host in hosts if host.role == "manager" and host.observed is None]
    if not managers and unasked:
        return text(
            "{names} is in a swarm, but no listed manager was asked about it ({unasked}): bring one back, or add one to --limit,"
            " and run again"
            if len(members) == 1
            else "{names} are in a swarm, but no listed manager was asked about it ({unasked}): bring one back, or add one to"
            " --limit, and run again",
            names=names,
            unasked=", ".join(unasked),
        )
    if not managers:
        peers = sorted(
            {peer["addr"] for host in members for peer in host.swarm.get("remote_managers") or []}
        )
        return text(
            "{names} is a worker of a swarm that has no listed manager (its managers are {managers}): add its managers to the"
            " inventory, or run 'docker swarm leave' there, and run again"
            if len(members) == 1
            else "{names} are workers of a swarm that has no listed manager (its managers are {managers}): add its managers to"
            " the inventory, or run 'docker swarm leave' there, and run again",
            names=names,
            managers=joined(peers) if peers else text("not known"),
        )
    names = ", ".join(host.name for host in managers)
    return text(
        "the swarm of {names} has lost its quorum: no leader answers, so nothing can be planned or changed; bring back more than"
        " half of its managers (no answer from {away}) and run again"
        if away
        else "the swarm of {names} has lost its quorum: no leader answers, so nothing can be planned or changed; bring back more"
        " than half of its managers and run again",
        names=names,
        away=", ".join(away),
    )


# Who is in it


def _plan_init(
    plan: RunPlan, hosts: list[InventoryHost], allow_partial_init: bool, alive: list[str] | None
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
    if not newcomers or any(host.asleep or host.unlocks for host in hosts):
        return
    if silent and not allow_partial_init:
        plan.refusals.append(
            text(
                "no listed host is in a swarm, and {names} did not answer and may already be in one: a second swarm would split"
                " the cluster. Bring these hosts back or, if they are new or gone for good, set swarm_allow_partial_init: true",
                names=", ".join(silent),
            )
        )
        return
    if not able:
        plan.refusals.append(
            text(
                "no listed host is in a swarm, and no manager can be reached to initialise one: bring one back and run again"
            )
        )
        return
    chosen = able[0]
    plan.init = plan.acting = chosen.name
    why = "no listed host is in a swarm"
    plan.steps.append(MemberStep("init", chosen.name, _traits(chosen), why=why))


def _plan_members(
    plan: RunPlan, hosts: list[InventoryHost], rules: dict[str, Any], answer: Membership | None
) -> None:
    """Who joins, leaves and changes, as the managers' own planner has it."""
    acting = next(host for host in hosts if host.name == plan.acting)
    desired = [_desired_member(host, plan.init) for host in hosts]
    limited = [host.name for host in hosts if host.observed is None and host.reached]
    plan.rules = {**rules, "remove_unlisted": bool(rules.get("remove_unlisted")) and not limited}
    plan.nodes = [_as_option(member, host) for member, host in zip(desired, hosts)]
    if answer is None:
        # A new swarm is planned as if its first node were there, in its desired state.
        first = desired[hosts.index(acting)]
        cluster = Cluster(
            nodes=(_first_node(first),) if plan.init else tuple(acting.nodes or ()),
            acting=acting.swarm.get("node_id"),
            now=float(((acting.observed or {}).get("host") or {}).get("time") or 0),
        )
        found = plan_membership(cluster, desired, parse_rules(plan.rules))
    else:
        found = answer
    plan.refusals += found.refusals
    plan.warnings += found.warnings
    plan.held = found.held
    plan.unlisted = found.unlisted
    plan.steps += found.steps
    plan.round = next_round(found.steps, acting.swarm.get("node_id"))
    plan.ask_managers = answer is None and any(
        step.action != "join" and not step.dead for step in found.steps
    )
    if plan.unlisted and limited and rules.get("remove_unlisted"):
        plan.warnings.append(
            text(
                "no node is removed, because this run leaves out listed hosts ({names}): run without --limit",
                names=abbreviate(limited),
            )
        )
    for host in hosts:
        change = _readdress(host)
        if change and not host.inputs.get("swarm_allow_rejoin"):
            plan.warnings.append(
                text(
                    "{host}: its advertise address is {old}, and the inventory wants {new}; to change it, the host must leave the"
                    " swarm and join again: set swarm_allow_rejoin: true for it",
                    host=host.name,
                    old=change[0],
                    new=change[1],
                )
            )


def _desired_member(host: InventoryHost, init: str | None) -> DesiredMember:
    facts = (host.observed or {}).get("host") or {}
    return DesiredMember(
        name=host.name,
        role=host.role,
        labels=wanted_labels(host.inputs.get("swarm_labels") or {}, host.inputs.get("swarm_zone")),
        availability=host.inputs.get("swarm_availability") or None,
        node_id=host.name
        if host.name == init
        else (host.swarm.get("node_id") or None if host.member else None),
        silent=host.silent,
        joining=host.state == "pending",
        hostname=facts.get("hostname") or "",
        addresses=_addresses(host),
        rejoin=bool(_readdress(host)) and bool(host.inputs.get("swarm_allow_rejoin")),
        joined_by=host.swarm.get("joined_by"),
        traits=_traits(host),
    )


def _addresses(host: InventoryHost) -> tuple[str, ...]:
    """Where a host can be found, the address that the inventory gives it first."""
    reported = ((host.observed or {}).get("host") or {}).get("addresses") or []
    listed = [host.address.rpartition(":")[0], str(host.inputs.get("swarm_advertise_addr") or "")]
    if reported:
        # A name is no address, and the host itself reports where it is.
        listed = [address for address in listed if _is_ip(address)]
    return tuple(dict.fromkeys([*filter(None, listed), *(entry["address"] for entry in reported)]))


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _as_option(desired: DesiredMember, host: InventoryHost) -> dict[str, Any]:
    """The host as an entry of the option `nodes` of swarm_nodes; options.parse_desired reads it."""
    option: dict[str, Any] = {
        "name": desired.name,
        "role": desired.role,
        "labels": desired.labels,
        "silent": desired.silent,
        "joining": desired.joining,
        "hostname": desired.hostname,
        "addresses": list(desired.addresses),
        "rejoin": desired.rejoin,
        "joined_by": desired.joined_by or "",
        "traits": desired.traits,
    }
    if desired.availability:
        option["availability"] = desired.availability
    if desired.node_id and host.member:
        option["node_id"] = desired.node_id
    return option


def _first_node(host: DesiredMember) -> Node:
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


def _readdress(host: InventoryHost) -> tuple[str, str] | None:
    """The advertise address of a host and the desired one, if they differ."""
    desired = str(host.inputs.get("swarm_advertise_addr") or "")
    known = host.swarm.get("node_addr")
    if not desired or not known or host.state != "active":
        return None
    addresses = ((host.observed or {}).get("host") or {}).get("addresses") or []
    by_interface = {entry["interface"]: entry["address"] for entry in reversed(addresses)}
    desired = re.sub(r"^([^:]+):\d+$", r"\1", desired).strip("[]")
    desired = by_interface.get(desired, desired)
    try:
        same = ipaddress.ip_address(desired) == ipaddress.ip_address(known)
    except ValueError:
        return None
    return None if same else (known, desired)


def _traits(host: InventoryHost) -> str:
    traits = [host.role]
    if host.inputs.get("swarm_zone"):
        traits.append(f"zone {host.inputs['swarm_zone']}")
    labels = wanted_labels(host.inputs.get("swarm_labels") or {}, None)
    traits += [f"{key}={value}" for key, value in sorted(labels.items())]
    if host.inputs.get("swarm_availability") not in (None, "", "active"):
        traits.append(str(host.inputs["swarm_availability"]))
    if host.join_failed:
        traits.append("retrying an incomplete join")
    return ", ".join(traits)


# The swarm as a whole


def _plan_settings(plan: RunPlan, hosts: list[InventoryHost], settings: dict[str, Any]) -> None:
    acting = next(host for host in hosts if host.name == plan.acting)
    if acting.name == plan.init:
        # A new swarm gets its settings with the init itself.
        for name, value in sorted(settings.items()):
            if value is not None:
                words = f"{name}: {show_value(value)}"
                plan.steps.append(MemberStep("settings", acting.name, words))
    elif acting.swarm.get("settings") is not None:
        plan.settings = plan_settings(acting.swarm["settings"], settings)
        plan.steps += [MemberStep("settings", acting.name, item.text) for item in plan.settings]


def _warn_of_managers(plan: RunPlan, hosts: list[InventoryHost]) -> None:
    acting = next((host for host in hosts if host.name == plan.acting), None)
    nodes = (acting.nodes if acting else None) or []
    removed = {step.node_id for step in plan.steps if step.action == "remove"}
    managers = [node for node in nodes if node.role == "manager" and node.id not in removed]
    down = sum(1 for node in managers if not node.answers)
    if down:
        plan.warnings.append(
            text(
                "{down} of {managers} managers cannot be reached, and a quorum needs {quorum}: bring it back"
                if down == 1
                else "{down} of {managers} managers cannot be reached, and a quorum needs {quorum}: bring them back",
                down=down,
                managers=len(managers),
                quorum=quorum_of(len(managers)),
            )
        )


def short(identifier: str | None) -> str:
    """The beginning of an ID, as a plan shows it."""
    return (identifier or "?")[:6]


# The plan as people read it


def render_done(
    steps: list[MemberStep],
    alive: list[str],
    left_over: Sequence[MemberStep] = (),
    held: Sequence[HeldBack] = (),
    cut_short: str = "",
) -> str:
    """The plan of the run once it has been carried out, what is not done of it, and why.

    `alive` names the hosts that have not failed, `left_over` and `held` come from the last plan of the run, and
    `cut_short` says why its last round ended early.
    """
    waiting = {(item.action, item.name): item for item in held}
    remaining = {(step.kind, step.host) for step in left_over} | waiting.keys()
    owed = [
        step
        for step in steps
        if (step.host not in alive and step.kind in BY_THE_HOST)
        or (step.kind, step.host) in remaining
    ]
    because = cut_short or "a host failed, or a step has to wait: see above, and run again"
    late = {(step.kind, step.host) for step in owed}
    why = [item for key, item in waiting.items() if key in late]
    return "\n".join([*done_lines(steps, owed, because), *remark_lines(held=why)])


def render(plan: RunPlan) -> str:
    """The plan as an aligned table; what is refused comes as sentences."""
    if plan.refusals:
        return "\n".join(refused_lines(plan.refusals))
    if plan.cluster_id:
        head = f"PLAN  swarm {short(plan.cluster_id)}, acting on {plan.acting}"
    elif plan.init:
        head = f"PLAN  new swarm, initialised on {plan.init}"
    else:
        head = "PLAN  locked swarm" if plan.unlock else "PLAN  no swarm"
    others = plan.unreachable + plan.unlisted + [item.name for item in plan.held]
    lines = [head, *step_lines(plan.steps, others)]
    lines += remark_lines(plan.steps, plan.held, plan.unlisted, plan.warnings, plan.unreachable)
    if plan.unchanged:
        whose = "it" if plan.unchanged == 1 else "they"
        lines.append(f"  = {count_of(plan.unchanged, 'host')} as {whose} should be")
    return "\n".join(lines)
