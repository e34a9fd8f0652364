# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a swarm needs to become what an export says: steps, notes, or refusals. Pure.

Objects are known by name. What is there and equal needs nothing, so an interrupted import is finished by the next one. What is
there and different is refused by name: an import never changes an object that it has not created. The inventory decides on
roles, on its own labels, and on the settings and availability that it names. The export decides on everything else.
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._cluster.settings import apply_settings, plan_settings, read_settings
from .._common.words import abbreviate, count_of
from .._model.documents import Node, dig, id_of, parse_node
from .._model.labels import HOST_LABEL, PREFIX, REVISION_LABEL, name_of, owned_keys, without_ours
from .._model.services import attachments, container_of, is_job
from .._spec.changes import Change, label_changes, network_changes, service_changes
from .._spec.display import summary
from .._stack.refusals import bad_data, taken_subnets
from .export_content import Listed, Spec, network_spec

# The kinds in the order in which they depend on each other.
ORDER = ("setting", "node", "network", "secret", "config", "service")
# What to do with jobs, which run when they are created.
RUN, SKIP = "run", "skip"
# What cannot be changed after a swarm was made: its key in the API, and what Docker takes where nothing is said.
_FIXED = {
    "default_addr_pool": ("DefaultAddrPool", ["10.0.0.0/8"]),
    "subnet_size": ("SubnetSize", 24),
    "data_path_port": ("DataPathPort", 4789),
}
# The settings of a new swarm (swarmkit: manager/manager.go, defaultClusterObject; moby: daemon/cluster).
_NEW_SWARM = {
    "election_tick": 10,
    "heartbeat_tick": 1,
    "keep_old_snapshots": 0,
    "log_entries_for_slow_followers": 500,
    "snapshot_interval": 10000,
    "task_history_retention_limit": 5,
    "dispatcher_heartbeat_period": "5s",
    "node_cert_expiry": "90d",
}
_NODE_CONSTRAINT = re.compile(r"(\s*node\.id\s*[!=]=\s*)(\S+)(\s*)")


@dataclass(frozen=True)
class Wishes:
    """What the caller says beside the export."""

    # The names of the secrets whose data is given, and its size in bytes. The data itself is not part of any plan.
    secrets: Mapping[str, int] = field(default_factory=dict)
    keep_settings: Collection[str] = ()  # the inventory decides on them
    keep_availability: Collection[str] = ()  # hosts on whose availability the inventory decides
    jobs: str | None = None  # run, skip or undecided


@dataclass(frozen=True)
class ImportStep:
    """One object that is created or changed."""

    action: str  # create or change
    kind: str  # one of ORDER
    name: str
    what: str
    # What is written. References are names: the objects may not exist yet.
    spec: Any = None
    object_id: str = ""  # of a node
    version: int = 0  # of a node, as it was read

    def as_dict(self) -> dict[str, str]:
        """The step as data, for a module's result."""
        return {"action": self.action, "kind": self.kind, "name": self.name, "what": self.what}


@dataclass(frozen=True)
class ImportPlan:
    """All steps in order, what a reader should know, and why nothing can be done."""

    steps: tuple[ImportStep, ...]
    same: int  # how many objects are as they should be
    notes: tuple[str, ...]
    refusals: tuple[str, ...]
    missing: tuple[str, ...]  # the secrets whose data was not given

    def lines(self, title: str, acting: str) -> list[str]:
        """The plan as lines of text."""
        width = max((len(step.name) for step in self.steps), default=0)
        lines = [f"PLAN  {title}, acting on {acting}"]
        for step in self.steps:
            sign = "+" if step.action == "create" else "~"
            lines.append(f"  {sign} {step.kind:<8} {step.name:<{width}}  {step.what}".rstrip())
        lines += [f"  ! {note}" for note in self.notes]
        lines += [f"  x {refusal}" for refusal in self.refusals]
        if self.same or not self.steps:
            lines.append(
                f"  = {count_of(self.same, 'object')} as {'it' if self.same == 1 else 'they'} should be"
            )
        return lines


def new_swarm(hosts: Collection[str]) -> Listed:
    """The lists of a swarm that is made of these hosts, before it is made."""
    changes = plan_settings(read_settings({}), dict(_NEW_SWARM))
    nodes = [
        {
            "ID": host,
            "Spec": {"Availability": "active", "Labels": {HOST_LABEL: host}},
            "Description": {"Hostname": host},
        }
        for host in hosts
    ]
    ingress = {
        "Name": "ingress",
        "Id": "ingress",
        "Scope": "swarm",
        "Driver": "overlay",
        "Ingress": True,
        # The first subnet of the default pool.
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.0.0/24"}]},
    }
    swarm = {"ID": "new", "Spec": apply_settings({}, changes)}
    return Listed(swarm=swarm, nodes=nodes, networks=[ingress])


def plan_import(export: Mapping[str, Any], live: Listed, wishes: Wishes) -> ImportPlan:
    """The plan that makes `live` what the export says."""
    planner = _Planner(export, live, wishes)
    planner.settings()
    planner.nodes()
    planner.networks()
    planner.secrets()
    planner.configs()
    planner.services()
    return ImportPlan(
        tuple(sorted(planner.steps, key=lambda step: ORDER.index(step.kind))),
        planner.same,
        tuple(planner.notes),
        tuple(planner.refusals),
        tuple(planner.missing),
    )


# References --------------------------------------------------------------------------------------------


def with_names(spec: Spec, names: Mapping[str, str]) -> Spec:
    """The spec of a service with names instead of the IDs of networks, secrets, configs and nodes; `names` is by ID."""
    return _translated(spec, lambda kind, old, known: names.get(old) or known or old)


def with_ids(spec: Spec, ids: Mapping[tuple[str, str], str]) -> Spec:
    """The spec of a service with IDs instead of names; `ids` is by kind and name. What has none keeps its name."""
    return _translated(spec, lambda kind, name, known: ids.get((kind, known or name), name))


def _translated(spec: Spec, new: Any) -> Spec:
    """`new` gets the kind of an object, what the reference says, and the name beside it."""
    spec = copy.deepcopy(spec)
    for network in [*attachments(spec), *(spec.get("Networks") or [])]:
        network["Target"] = new("network", str(network.get("Target")), "")
    container = container_of(spec)
    for kind in ("Secret", "Config"):
        for each in container.get(f"{kind}s") or []:
            known = str(each.get(f"{kind}Name") or "")
            each[f"{kind}ID"] = new(kind.lower(), str(each.get(f"{kind}ID")), known)
    credentials = dig(container, "Privileges", "CredentialSpec")
    if isinstance(credentials, dict) and credentials.get("Config"):
        credentials["Config"] = new("config", str(credentials["Config"]), "")
    placement = dig(spec, "TaskTemplate", "Placement")
    if isinstance(placement, dict) and placement.get("Constraints"):
        placement["Constraints"] = [_constraint(each, new) for each in placement["Constraints"]]
    return spec


def _constraint(text: str, new: Any) -> str:
    found = _NODE_CONSTRAINT.fullmatch(text)
    return text if found is None else f"{found[1]}{new('node', found[2], '')}{found[3]}"


def names_in(export: Mapping[str, Any]) -> dict[str, str]:
    """The names in an export by ID."""
    found = dict(export.get("predefined_networks") or {})
    for part in ("nodes", "networks", "configs", "secrets"):
        found.update({entry["id"]: entry["name"] for entry in export[part] if entry.get("id")})
    return found


def ids_in(live: Listed) -> dict[tuple[str, str], str]:
    """The IDs of the swarm by kind and name. The swarm's own networks keep their names, which the engine accepts."""
    found = {
        ("network", str(network.get("Name"))): id_of(network)
        for network in live.networks
        if network.get("Scope") == "swarm"
    }
    found.update({("network", name): own for own, name in live.predefined.items()})
    for kind, documents in (("secret", live.secrets), ("config", live.configs)):
        found.update({(kind, str(dig(each, "Spec", "Name"))): id_of(each) for each in documents})
    for node in map(parse_node, live.nodes):
        found["node", name_of(node)] = node.id
        found.setdefault(("node", node.hostname), node.id)
    return found


# Plan --------------------------------------------------------------------------------------------------


class _Planner:
    def __init__(self, export: Mapping[str, Any], live: Listed, wishes: Wishes) -> None:
        self.export, self.live, self.wishes = export, live, wishes
        self.steps: list[ImportStep] = []
        self.same = 0
        self.notes: list[str] = []
        self.refusals: list[str] = []
        self.missing: list[str] = []

    def settings(self) -> None:
        swarm = self.export["swarm"]
        found = read_settings(self.live.swarm.get("Spec") or {})
        exported = dict(swarm.get("settings") or {})
        # Those that this collection keeps are about the other swarm.
        if exported.get("labels"):
            exported["labels"] = without_ours(exported["labels"])
        desired = {
            key: value
            for key, value in exported.items()
            if key in found and key not in self.wishes.keep_settings
        }
        # An import never takes a protection away.
        if not desired.get("autolock_managers") and found["autolock_managers"]:
            desired.pop("autolock_managers", None)
        for change in plan_settings(found, desired):
            self.steps.append(
                ImportStep(
                    "change",
                    "setting",
                    change.setting,
                    change.text.partition(": ")[2],
                    {change.setting: change.after},
                )
            )
            if change.setting == "autolock_managers":
                self.notes.append(
                    "autolock is turned on, which makes a new unlock key: read it with 'docker swarm unlock-key', and keep it"
                )
        for key, (name, default) in _FIXED.items():
            before, now = swarm.get(key) or default, self.live.swarm.get(name) or default
            if before != now:
                self.notes.append(
                    f"the export has {key} {_text(before)}, and this swarm {_text(now)}: only a new swarm can take it over, with"
                    f" swarm_{key}"
                )

    def nodes(self) -> None:
        live: dict[str, tuple[Node, dict[str, Any]]] = {}
        for document in self.live.nodes:
            node = parse_node(document)
            live.setdefault(node.hostname, (node, document))
        for document in self.live.nodes:
            node = parse_node(document)
            live[name_of(node)] = (node, document)
        absent = []
        for entry in self.export["nodes"]:
            found = live.get(entry.get("host") or entry["name"])
            if found is None:
                absent.append(entry["name"])
            else:
                self._node(entry, *found)
        if absent:
            self.notes.append(
                f"{abbreviate(absent)}: no such host here, so the labels and the availability of"
                f" {'this node' if len(absent) == 1 else 'these nodes'} are left out"
            )

    def _node(self, entry: Mapping[str, Any], node: Node, document: dict[str, Any]) -> None:
        spec = copy.deepcopy(document.get("Spec") or {})
        labels = dict(spec.get("Labels") or {})
        ours = owned_keys(labels) | (owned_keys(entry["labels"]) if HOST_LABEL in labels else set())
        changes = []
        for key, value in sorted(entry["labels"].items()):
            if key in ours or (key.startswith(PREFIX) and key != f"{PREFIX}drained"):
                continue
            if key not in labels:
                labels[key] = value
                changes.append(f"label {key}={value}")
            elif labels[key] != value:
                self.refusals.append(
                    f"node {entry['name']} has label {key}={labels[key]}, and in the export {key}={value}"
                )
        before, after = node.availability, entry.get("availability") or "active"
        if after != before and entry["name"] not in self.wishes.keep_availability:
            if before == "active":
                spec["Availability"] = after
                changes.append(f"{before} -> {after}")
            else:
                self.notes.append(f"{entry['name']} is {before} here, and {after} in the export")
        if changes:
            spec["Labels"] = labels
            self.steps.append(
                ImportStep(
                    "change",
                    "node",
                    entry["name"],
                    ", ".join(changes),
                    spec,
                    node.id,
                    int(dig(document, "Version", "Index") or 0),
                )
            )
        else:
            self.same += 1

    def networks(self) -> None:
        live = {
            str(network.get("Name")): network
            for network in self.live.networks
            if network.get("Scope") == "swarm"
        }
        wanted = {}
        for entry in self.export["networks"]:
            name, spec = entry["name"], entry["spec"]
            found = live.get(name)
            if spec.get("Ingress"):
                self._ingress(spec, next((n for n in live.values() if n.get("Ingress")), None))
            elif found is None:
                wanted[name] = spec
                self._create("network", name, summary("network", spec), spec)
                self._remark_on_network(name, spec)
            else:
                self._compare("network", name, network_changes(network_spec(found), spec))
        for name, words in taken_subnets(wanted, self.live.networks):
            self.refusals.append(f"network {name}: {words}")

    def _remark_on_network(self, name: str, spec: Spec) -> None:
        base = dig(spec, "ConfigFrom", "Network")
        if base:
            self.notes.append(
                f"network {name} takes its settings from the local network {base}, which every node must have"
            )

    def _ingress(self, spec: Spec, found: Mapping[str, Any] | None) -> None:
        """The swarm makes it itself; every service with a published port is on it."""
        if found is None:
            return
        changes = [
            change
            for change in network_changes(network_spec(found), spec)
            if change.name != "subnets"
        ]
        if changes:
            self.notes.append(
                f"the ingress network differs from the export ({_listed(changes)}): it is left as it is"
            )
        else:
            self.same += 1

    def secrets(self) -> None:
        live = {str(dig(each, "Spec", "Name")): each for each in self.live.secrets}
        unknown = sorted(set(self.wishes.secrets) - {entry["name"] for entry in self.export["secrets"]})  # fmt: skip
        if unknown:
            self.notes.append(
                f"the export has no secret {abbreviate(unknown)}: the data is not used"
            )
        kept = []
        for entry in self.export["secrets"]:
            name, spec = entry["name"], entry["spec"]
            if name in live:
                changes = label_changes(live[name].get("Spec") or {}, spec)
                if self._compare("secret", name, changes) and not spec.get("Driver"):
                    kept.append(name)
            elif name in self.wishes.secrets or spec.get("Driver"):
                size = self.wishes.secrets.get(name, 0)
                wrong = bad_data("secret", name, size, bool(spec.get("Driver")))
                if wrong:
                    self.refusals.append(f"secret {name}: {wrong}")
                self._create("secret", name, _used_by(entry), spec)
            elif entry.get("used_by"):
                self.missing.append(name)
            else:
                self.notes.append(
                    f"secret {name} is left out: no service uses it, and its data is not given"
                )
        if kept:
            self.notes.append(
                f"{count_of(len(kept), 'secret')} that exists here is kept: the engine does not tell its data"
                if len(kept) == 1
                else f"{len(kept)} secrets that exist here are kept: the engine does not tell their data"
            )
        if self.missing:
            users = {e["name"]: _used_by(e) for e in self.export["secrets"]}
            each = ", ".join(f"{name} ({users[name]})" for name in self.missing)
            self.refusals.append(
                f"the data of {count_of(len(self.missing), 'secret')} is not given: {each}"
            )

    def configs(self) -> None:
        live = {str(dig(each, "Spec", "Name")): each for each in self.live.configs}
        for entry in self.export["configs"]:
            name, spec = entry["name"], entry["spec"]
            if name not in live:
                self._create("config", name, _size(spec), spec)
                continue
            found = live[name].get("Spec") or {}
            if REVISION_LABEL in (spec.get("Labels") or {}):
                # The history of the stack as it is here has begun already.
                self.same += 1
            elif _data(found) != _data(spec):
                self.refusals.append(f"config {name} exists here with other data")
            else:
                self._compare("config", name, label_changes(found, spec))

    def services(self) -> None:
        names, ids = names_in(self.export), ids_in(self.live)
        live = {
            str(dig(each, "Spec", "Name")): each.get("Spec") or {} for each in self.live.services
        }
        by_id = {own: name for (kind, name), own in ids.items() if kind == "network"}
        jobs, created = [], {}
        for entry in self.export["services"]:
            name, spec = entry["name"], with_names(entry["spec"], names)
            self._check_nodes(name, spec, ids)
            if name in live:
                changes = service_changes(live[name], with_ids(spec, ids), by_id)
                self._compare("service", name, changes)
            elif is_job(spec) and self.wishes.jobs != RUN:
                jobs.append(name)
            else:
                created[name] = spec
                self._create("service", name, summary("service", spec), spec)
        if jobs and self.wishes.jobs == SKIP:
            self.notes.append(
                f"{abbreviate(jobs)}: left out, because a job runs when it is created"
            )
        elif jobs:
            self.refusals.append(
                f"{abbreviate(jobs)}: a job runs when it is created; say whether jobs run (run) or are left out (skip)"
            )
        others = {name: spec for name, spec in live.items() if name not in created}
        self.refusals += _port_clashes(created, others)

    def _check_nodes(self, name: str, spec: Spec, ids: Mapping[tuple[str, str], str]) -> None:
        for text in dig(spec, "TaskTemplate", "Placement", "Constraints") or []:
            found = _NODE_CONSTRAINT.fullmatch(text)
            if found and "==" in found[1] and ("node", found[2]) not in ids:
                self.notes.append(
                    f"service {name} is bound to node {found[2]}, which is not here: its tasks will wait"
                )

    def _create(self, kind: str, name: str, what: str, spec: Spec) -> None:
        self.steps.append(ImportStep("create", kind, name, what, spec))

    def _compare(self, kind: str, name: str, changes: Collection[Change]) -> bool:
        """Count an object that exists, or refuse it; whether it is as it should be."""
        if changes:
            self.refusals.append(f"{kind} {name} exists here and differs: {_listed(changes)}")
        else:
            self.same += 1
        return not changes


def _listed(changes: Collection[Change]) -> str:
    """Differences as words: in the swarm, and in the export."""
    words = [f"{each.name} {each.before}, in the export {each.after}" for each in changes]
    return abbreviate(words, 3)


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _used_by(entry: Mapping[str, Any]) -> str:
    users = list(entry.get("used_by") or [])
    return f"used by {abbreviate(users, 3)}" if users else "used by no service"


def _data(spec: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(spec.get("Data") or ""))
    except ValueError:
        return str(spec.get("Data")).encode()


def _size(spec: Mapping[str, Any]) -> str:
    return count_of(len(_data(spec)), "byte")


def _ports(spec: Spec) -> set[tuple[int, str]]:
    """The ports that the routing mesh publishes for a service."""
    return {
        (int(port["PublishedPort"]), str(port.get("Protocol") or "tcp"))
        for port in dig(spec, "EndpointSpec", "Ports") or []
        if port.get("PublishedPort") and (port.get("PublishMode") or "ingress") == "ingress"
    }


def _port_clashes(created: Mapping[str, Spec], others: Mapping[str, Spec]) -> Iterator[str]:
    """Ports that two services would publish; the engine refuses the second one."""
    for name, spec in created.items():
        for other, there in others.items():
            for port, protocol in sorted(_ports(spec) & _ports(there)):
                yield f"service {name}: port {port}/{protocol} is published by service {other} here"
