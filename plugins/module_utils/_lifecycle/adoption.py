# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The inventory of a swarm that runs, made of what its managers know and of what its hosts report. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._cluster.identity import address_of, address_part
from .._cluster.run_plan import short
from .._common.words import abbreviate, count_of
from .._engine.versions import upstream
from .._model.documents import SWARM_PORT, Node
from .._model.labels import ZONE_LABEL, without_ours

INVENTORY, NOTES = "hosts.yml", "NOTES.md"

# Names that mean something else to Ansible, or to the playbooks.
_RESERVED = ("all", "ungrouped", "localhost", "127.0.0.1", "swarm_managers", "swarm_workers")
# What a new swarm has (swarmkit: manager/state/raft/raft.go, ca/config.go; moby: daemon/cluster).
_DEFAULT_SETTINGS: dict[str, Any] = {
    "autolock_managers": False,
    "dispatcher_heartbeat_period": "5s",
    "election_tick": 10,
    "heartbeat_tick": 1,
    "keep_old_snapshots": 0,
    "labels": {},
    "log_entries_for_slow_followers": 500,
    "node_cert_expiry": "90d",
    "snapshot_interval": 10000,
    "task_history_retention_limit": 5,
}
_DEFAULT_POOL, _DEFAULT_SUBNET_SIZE, _DEFAULT_DATA_PATH_PORT = ["10.0.0.0/8"], 24, 4789
_ZONE_LIKE = re.compile(
    r"(^|[./_-])(zone|az|availability[-_.]?zone|datacenter|dc|rack)$", re.IGNORECASE
)
# Connection variables that hold no secret. The rest is for the user to set.
_CONNECTION = re.compile(
    r"ansible_(user|port|connection|pipelining|python_interpreter|remote_tmp|private_key_file|host_key_checking"
    r"|become|become_method|become_user|become_exe"
    r"|ssh_(user|port|private_key_file|common_args|extra_args|args|executable|pipelining|retries|transfer_method"
    r"|host_key_checking))"
)
_SECRET_CONNECTION = re.compile(
    r"ansible_((ssh_|become_|sudo_|su_)?pass(word)?|ssh_private_key(_passphrase)?|private_key_passphrase)"
)
_SECRET_VALUE = re.compile(r"pass(word|wd|phrase)?\b|secret|token", re.IGNORECASE)
_ENGINE_PACKAGES = {
    "distro": ("docker.io", "containerd"),
    "docker_ce": ("docker-ce", "containerd.io"),
}


@dataclass(frozen=True)
class ComposeFile:
    """A Compose file that an adoption writes."""

    path: str
    name: str  # of the stack, or of the service outside a stack
    document: dict[str, Any]
    managed: bool  # whether the inventory lists it


@dataclass(frozen=True)
class Adoption:
    """What an adoption writes."""

    inventory: dict[str, Any]
    compose: tuple[ComposeFile, ...] = ()
    data: dict[str, str] = field(default_factory=dict)  # files of configs, in Base64
    notes: str = ""  # the page NOTES.md
    remarks: tuple[str, ...] = ()  # what Compose or the inventory cannot tell, a sentence each
    hosts: dict[str, str] = field(default_factory=dict)  # names by node ID

    def lines(self, cluster_id: str, acting: str, to: str) -> list[str]:
        """The plan as it is printed. Pure."""
        groups = self.inventory["all"]["children"]
        counts = [
            count_of(len(groups[f"swarm_{role}s"]["hosts"]), role) for role in ("manager", "worker")
        ]
        rows = [(INVENTORY, ", ".join(counts))]
        for file in self.compose:
            services = count_of(len(file.document["services"]), "service")
            what = services if file.managed else "not managed, see NOTES.md"
            rows.append((file.path, what))
        if self.data:
            folders = sorted({path.rpartition("/")[0] for path in self.data})
            rows.append(
                (abbreviate(folders, 3), f"{count_of(len(self.data), 'file')} with data of configs")
            )
        rows.append((NOTES, count_of(len(self.remarks), "remark")))
        width = max(len(path) for path, _what in rows)
        lines = [f"PLAN  adopt swarm {short(cluster_id)}, read on {acting}, into {to}"]
        lines += [f"  + {path:<{width}}  {what}" for path, what in rows]
        return lines + [f"  ! {remark}" for remark in self.remarks]


def adopt(
    data: Mapping[str, Any],
    observed: Mapping[str, Mapping[str, Any]],
    addresses: Mapping[str, str],
    connection: Mapping[str, Any],
    secret_variables: Iterable[str] = (),
) -> Adoption:
    """The inventory and the Compose files of a swarm. Pure.

    `data` is the swarm as a manager knows it, `observed` has the result of swarm_host_info by node ID, for the hosts that
    answered, and `addresses` where they were reached. `connection` are the connection variables of the manager, and
    `secret_variables` the names of those that it has and that are secret.
    """
    return _Adopter(data, observed, addresses, connection, secret_variables).make()


def connection_of(variables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The connection variables of a host that hold no secret, and the names of those that do. Pure."""
    kept, secret = {}, []
    for name, value in sorted(variables.items()):
        if _SECRET_CONNECTION.fullmatch(name):
            if value not in (None, ""):
                secret.append(name)
        elif _CONNECTION.fullmatch(name) and isinstance(value, (str, int, bool)):
            text = " ".join(value.split()) if isinstance(value, str) else value
            if isinstance(text, str) and _SECRET_VALUE.search(text) and name.endswith("args"):
                secret.append(name)
            else:
                kept[name] = text
    return kept, secret


def host_names(nodes: Iterable[Node]) -> dict[str, str]:
    """A name for each node, by its ID: its hostname, valid for Ansible and given once only. Pure."""
    names: dict[str, str] = {}
    taken = set(_RESERVED)
    for node in sorted(nodes, key=lambda one: (one.role != "manager", one.hostname, one.id)):
        wanted = re.sub(r"[^A-Za-z0-9_.-]+", "-", node.hostname).strip("-.") or "node"
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name)
        names[node.id] = name
    return names


def listed_nodes(nodes: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    """The nodes for the inventory, and those that hosts have left behind when they joined again. Pure."""
    found = list(nodes)
    ready = [node for node in found if node.ready]
    kept: list[Node] = []
    left_behind: list[Node] = []
    for node in found:
        replaced = not node.ready and any(
            other.hostname == node.hostname
            and (address_of(other) == address_of(node) or not address_of(node))
            for other in ready
        )
        (left_behind if replaced else kept).append(node)
    return kept, left_behind


def engine_variables(observed: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """The variables of the role docker_engine with which its plan is empty on hosts that have an engine. Pure.

    None is a host that did not answer. daemon.json stays as it is, because the role merges its variables into it.
    """
    rows = list(observed)
    seen = [row for row in rows if row is not None]
    variables: dict[str, Any] = {
        "docker_engine_source": "none",
        "docker_engine_log_rotation": False,
    }
    if len(seen) == len(rows) and seen and all(_as_packaged(row) for row in seen):
        holds = {_held(row) for row in seen}
        if len(holds) == 1 and None not in holds:
            variables["docker_engine_source"] = "distro"
            if holds == {False}:
                variables["docker_engine_hold"] = False
    if any(not _has_sdk(row) for row in seen):
        variables["docker_engine_sdk"] = "none"
    return variables


def _packages(row: Mapping[str, Any]) -> dict[str, str]:
    return (row.get("host") or {}).get("packages") or {}


def package_source(row: Mapping[str, Any]) -> str:
    """Where the engine of a host comes from: distro, docker_ce or other. Pure."""
    installed = _packages(row)
    found = [name for name, packages in _ENGINE_PACKAGES.items() if packages[0] in installed]
    return found[0] if len(found) == 1 else "other"


def _as_packaged(row: Mapping[str, Any]) -> bool:
    """Whether the role would leave the packages of the distribution as they are."""
    installed = _packages(row)
    family = ((row.get("host") or {}).get("os") or {}).get("family")
    if family != "Debian" or package_source(row) != "distro" or "containerd" not in installed:
        return False
    foreign = {"docker-ce", "docker-ce-cli", "containerd.io", "podman-docker"} & set(installed)
    cli = installed.get("docker-cli")
    same = cli is None or upstream(cli) == upstream(installed["docker.io"])
    return not foreign and same and not (row.get("host") or {}).get("broken_packages")


def _held(row: Mapping[str, Any]) -> bool | None:
    """Whether the packages of the engine are held; None if only some of them are."""
    present = {"docker.io", "docker-cli", "containerd"} & set(_packages(row))
    held = present & set((row.get("host") or {}).get("held") or [])
    return True if held == present else None if held else False


def _has_sdk(row: Mapping[str, Any]) -> bool:
    return bool((row.get("engine") or {}).get("sdk_version")) or "python3-docker" in _packages(row)


class _Adopter:
    def __init__(
        self,
        data: Mapping[str, Any],
        observed: Mapping[str, Mapping[str, Any]],
        addresses: Mapping[str, str],
        connection: Mapping[str, Any],
        secret_variables: Iterable[str],
    ) -> None:
        self.data = data
        self.observed = observed
        self.addresses = addresses
        self.connection = dict(connection)
        self.secret_variables = sorted(secret_variables)
        nodes = [Node(**node) for node in data["nodes"]]
        self.nodes, self.left_behind = listed_nodes(nodes)
        self.names = host_names(self.nodes)
        self.remarks: list[str] = []
        self.files: list[ComposeFile] = []
        self.config_files: dict[str, str] = {}

    def make(self) -> Adoption:
        children = self._groups()
        stacks = self._stacks()
        self._services()
        self._remark_on_hosts()
        variables = {**self.connection, **self._engine(), "swarm_adopted": True, **self._cluster()}
        if stacks:
            variables["swarm_stack_stacks"] = stacks
        inventory = {"all": {"vars": variables, "children": children}}
        return Adoption(
            inventory=inventory,
            compose=tuple(self.files),
            data=self.config_files,
            notes=self._page(),
            remarks=tuple(self.remarks),
            hosts=self.names,
        )

    # Hosts

    def _groups(self) -> dict[str, Any]:
        groups: dict[str, Any] = {
            "swarm_managers": {"hosts": {}},
            "swarm_workers": {"hosts": {}},
        }
        for node in sorted(self.nodes, key=lambda one: self.names[one.id]):
            group = "swarm_managers" if node.role == "manager" else "swarm_workers"
            groups[group]["hosts"][self.names[node.id]] = self._host(node)
        return groups

    def _host(self, node: Node) -> dict[str, Any]:
        name = self.names[node.id]
        found = (self.observed.get(node.id) or {}).get("swarm") or {}
        address = found.get("node_addr") or address_of(node)
        reached = self.addresses.get(node.id) or address
        variables: dict[str, Any] = {}
        if reached:
            variables["ansible_host"] = reached
        else:
            self.remarks.append(f"host {name}: its node has no address: set ansible_host")
        labels = without_ours(node.labels)
        zone = labels.pop(ZONE_LABEL, "")
        if zone:
            variables["swarm_zone"] = zone
        good = {k: v for k, v in sorted(labels.items()) if k and "=" not in k and k == k.strip()}
        if good:
            variables["swarm_labels"] = good
        bad = sorted(labels.keys() - good.keys())
        if bad:
            names = ", ".join(f"'{key}'" for key in bad)
            self.remarks.append(
                f"host {name}: the inventory cannot have the label {names}: its name is empty, has an equals sign, or begins or"
                " ends with a space. The label stays on the node"
            )
        if node.availability != "active":
            variables["swarm_availability"] = node.availability
        if address:
            variables["swarm_advertise_addr"] = address
        port = (node.manager_addr or "").rpartition(":")[2]
        if port and address_part(node.manager_addr or "") and port != str(SWARM_PORT):
            variables["swarm_listen_addr"] = f"0.0.0.0:{port}"
        return variables

    def _remark_on_hosts(self) -> None:
        silent = sorted(self.names[n.id] for n in self.nodes if n.id not in self.observed)
        if silent:
            self.remarks.append(
                f"{abbreviate(silent)} did not answer with the connection variables of the manager, so nothing is known of"
                f" {'its' if len(silent) == 1 else 'their'} packages and daemon.json: set the connection variables of"
                f" {'this host' if len(silent) == 1 else 'these hosts'}, or bring"
                f" {'it' if len(silent) == 1 else 'them'} back"
            )
        for node in self.left_behind:
            self.remarks.append(
                f"node {node.id} ({node.hostname}, {node.state}) is not in the inventory: its host has joined again as another node."
                " Remove it with docker node rm, or with swarm_remove_unlisted"
            )
        renamed = [
            f"{self.names[node.id]} ({_inline(node.hostname) or 'no hostname'})"
            for node in self.nodes
            if self.names[node.id] != node.hostname
        ]
        if renamed:
            self.remarks.append(
                f"the hostname of {count_of(len(renamed), 'host')} is no name for Ansible or occurs twice. The inventory names"
                f" {'it' if len(renamed) == 1 else 'them'}: {abbreviate(sorted(renamed))}"
            )
        zones: dict[str, list[str]] = {}
        for node in self.nodes:
            if ZONE_LABEL not in node.labels:
                for key in node.labels:
                    if _ZONE_LIKE.search(key):
                        zones.setdefault(key, []).append(self.names[node.id])
        for key, hosts in sorted(zones.items()):
            self.remarks.append(
                f"the label {_inline(key)} of {abbreviate(sorted(hosts))} looks like a zone, and the collection knows zones by the label"
                " zone: set swarm_zone for these hosts, which adds that label"
            )
        if self.secret_variables:
            self.remarks.append(
                f"the manager has {', '.join(self.secret_variables)}, which can have a secret: set"
                f" {'it' if len(self.secret_variables) == 1 else 'them'} in a file that Ansible Vault encrypts"
            )

    def _engine(self) -> dict[str, Any]:
        rows = [self.observed.get(node.id) for node in self.nodes]
        variables = engine_variables(rows)
        sources: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.id in self.observed:
                source = package_source(self.observed[node.id])
                sources.setdefault(source, []).append(self.names[node.id])
        if variables["docker_engine_source"] == "none" and sources:
            words = {"distro": "the distribution", "docker_ce": "Docker", "other": "another source"}
            found = "; ".join(
                f"{abbreviate(sorted(hosts))}: packages of {words[source]}"
                for source, hosts in sorted(sources.items())
            )
            self.remarks.append(
                f"the engines are not managed (docker_engine_source: none; {found}): set docker_engine_source and"
                " docker_engine_version to manage them, and see the plan first"
            )
        if variables.get("docker_engine_sdk") == "none":
            without = sorted(
                self.names[node.id]
                for node in self.nodes
                if node.id in self.observed and not _has_sdk(self.observed[node.id])
            )
            self.remarks.append(
                f"the Docker SDK for Python is missing on {abbreviate(without)}, and changes need it on the managers: remove"
                " docker_engine_sdk from the inventory before the first change, and site.yml installs it"
            )
        configured = sorted(
            self.names[node.id]
            for node in self.nodes
            if (self.observed.get(node.id) or {}).get("host", {}).get("daemon_config")
        )
        if configured:
            self.remarks.append(
                f"the file daemon.json of {abbreviate(configured)} stays as it is: docker_engine_daemon is not set, and"
                " docker_engine_log_rotation is false"
            )
        return variables

    def _cluster(self) -> dict[str, Any]:
        variables: dict[str, Any] = {}
        found = dict(self.data["settings"])
        found["labels"] = without_ours(found.get("labels") or {})
        settings = {
            name: value
            for name, value in found.items()
            if value is not None and value != _DEFAULT_SETTINGS.get(name)
        }
        if settings:
            variables["swarm_settings"] = settings
        if settings.get("autolock_managers"):
            self.remarks.append(
                "the managers are locked when they start (autolock_managers): keep the unlock key outside the swarm"
                " (docker swarm unlock-key)"
            )
        if self.data["pools"] not in ([], _DEFAULT_POOL):
            variables["swarm_default_addr_pool"] = self.data["pools"]
        if self.data["subnet_size"] not in (0, _DEFAULT_SUBNET_SIZE):
            variables["swarm_subnet_size"] = self.data["subnet_size"]
        if self.data["data_path_port"] not in (0, _DEFAULT_DATA_PATH_PORT):
            variables["swarm_data_path_port"] = self.data["data_path_port"]
        return variables

    # Services

    def _stacks(self) -> list[dict[str, Any]]:
        listed = []
        for stack in self.data["stacks"]:
            differences = stack["differences"]
            path = self._add("stacks", stack, managed=not differences)
            if differences:
                self.remarks.append(
                    f"stack {_inline(stack['name'])} is not in swarm_stack_stacks, because a deploy of {path} would change it: "
                    + "; ".join(map(_inline, differences))
                )
            else:
                listed.append({"name": stack["name"], "compose": [path]})
        return listed

    def _services(self) -> None:
        for service in self.data["services"]:
            name = _inline(service["name"])
            path = self._add("services", service, managed=False)
            why = "is in no stack"
            if service["stack"]:
                why = f"has the label of stack {_inline(service['stack'])} and a name that Docker does not give to its services"
            key = next(iter(service["compose"]["services"]), "x")
            remark = (
                f"service {name} {why}, and Docker names the services of a stack STACK_SERVICE: it stays as it is. To manage it,"
                f" deploy {path} as a stack, which makes a second service, such as {key}_{key}, and then remove {name}"
            )
            if service["differences"]:
                remark += ". The second one would differ: " + "; ".join(
                    map(_inline, service["differences"])
                )
            self.remarks.append(remark)

    def _add(self, folder: str, entry: Mapping[str, Any], managed: bool) -> str:
        """Put a Compose file and the files of its configs into the adoption."""
        path = f"{folder}/{entry['folder']}.yml"
        self.files.append(ComposeFile(path, str(entry["name"]), entry["compose"], managed))
        for inner, content in entry["files"].items():
            self.config_files[f"{folder}/{inner}"] = content
        self.remarks += [_inline(note) for note in entry["notes"]]
        return path

    # The page

    def _page(self) -> str:
        data = self.data
        lines = [
            f"# Swarm {short(data['cluster_id'])}, adopted",
            "",
            "The playbook `flotilla.swarm.adopt` has written this folder from the running swarm, and has changed nothing there.",
            "Secrets are not in it. The Compose files have the environment of the services in clear, which can hold credentials:",
            "read them before you commit them, and encrypt files with `ansible-vault` where necessary.",
            "",
            "## Next steps",
            "",
            "1. `ansible-playbook -i hosts.yml flotilla.swarm.site --check --diff` shows an empty plan.",
            "2. Remove `swarm_adopted` from `hosts.yml`. The next run of `site.yml` gives each node the labels by which the",
            "   collection knows its host and its labels. It restarts nothing.",
            "3. Read the remarks below. Then edit the inventory and the Compose files, and see each change with `--check --diff`.",
            "",
            "## Remarks",
            "",
        ]
        lines += [f"- {_sentence(remark)}" for remark in self.remarks] or ["None."]
        secrets = [
            f"- `{_inline(one['name'])}`, used by {_listed(one['used_by'])}"
            for one in data["secrets"]
        ]
        if secrets:
            lines += [
                "",
                "## Secrets",
                "",
                "Nobody can read the data of a secret, so the Compose files name all secrets as external. In a new swarm, create them",
                "first.",
                "",
                *secrets,
            ]
        networks = [
            f"- `{_inline(one['name'])}`, driver {_inline(one['driver'])}"
            for one in data["networks"]
            if not one["ingress"]
        ]
        if networks:
            lines += [
                "",
                "## Networks outside stacks",
                "",
                "The collection does not manage them. In a new swarm, create them with `docker network create`.",
                "",
                *networks,
            ]
        configs = [
            f"- `{_inline(one['name'])}`, used by {_listed(one['used_by'])}"
            for one in data["configs"]
        ]
        if configs:
            lines += [
                "",
                "## Configs outside stacks",
                "",
                "The collection does not manage them. In a new swarm, create them with `docker config create`.",
                "",
                *configs,
            ]
        return "\n".join(lines) + "\n"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{_inline(name)}`" for name in names) or "no service"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _inline(text: Any) -> str:
    """Text of the user in one line, without characters that end Markdown's code or a line."""
    return re.sub(r"[\s`\x00-\x1f\x7f]+", " ", str(text)).strip()
