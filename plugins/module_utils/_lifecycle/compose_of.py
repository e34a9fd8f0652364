# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The Compose file of services that run: the inverse of what the CLI makes of one (docker/cli: cli/compose/convert). Pure.

Whether the CLI makes the same services of the result is not decided here: swarm_adopt asks the CLI itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._model.documents import dig, id_of
from .._model.labels import (
    MOVING_LABEL,
    REBALANCING_LABEL,
    STACK_IMAGE_LABEL,
    STACK_LABEL,
    stack_of,
)
from .._model.services import REPLICATED, attachments, container_of, mode_of
from .._spec.changes import VXLAN_IDS_OPTION
from .._stack.plan import StackSnapshot

# Labels of services that a Compose file must not have: Docker's own, and our marks of work in progress.
_LEFT_OUT = (STACK_LABEL, STACK_IMAGE_LABEL, MOVING_LABEL, REBALANCING_LABEL)
# The networks of a host, on which a service has no aliases (moby: api/types/container, IsUserDefined).
_HOST_NETWORKS = ("bridge", "default", "host", "none")
_MIB_UNITS = (("G", 2**30), ("M", 2**20), ("K", 2**10))
_DURATIONS = (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))


@dataclass(frozen=True)
class Composed:
    """A Compose file as data, and what belongs to it."""

    document: dict[str, Any]
    files: dict[str, str] = field(
        default_factory=dict
    )  # relative path -> data of a config, in Base64
    notes: tuple[str, ...] = ()  # what the file cannot tell, a sentence each


@dataclass(frozen=True)
class Pools:
    """From where the swarm chooses the subnets of networks. A subnet that it has chosen is not part of a file."""

    networks: tuple[str, ...] = ("10.0.0.0/8",)
    size: int = 24

    def has_chosen(self, subnet: str) -> bool:
        """Whether the swarm can have chosen a subnet. Pure."""
        try:
            found = ipaddress.ip_network(subnet)
            pools = [ipaddress.ip_network(pool) for pool in self.networks]
        except ValueError:
            return False
        return found.prefixlen == self.size and any(
            pool.version == found.version and pool.overlaps(found) for pool in pools
        )


def compose_of(
    stack: str,
    services: Iterable[Mapping[str, Any]],
    live: StackSnapshot,
    folder: str,
    pools: Pools | None = None,
) -> Composed:
    """The Compose file for these services, given their documents. Pure.

    `stack` is empty for services outside any stack. `folder` holds the files of configs, relative to the Compose file.
    """
    return _Composer(stack, live, folder, pools or Pools()).compose(services)


def service_key(stack: str, name: str) -> str | None:
    """The name of a service in its Compose file; None where Docker cannot have made this name from one. Pure."""
    if not stack:
        return safe_key(name)
    prefix = f"{stack}_"
    key = name[len(prefix) :] if name.startswith(prefix) else ""
    return key if key and safe_key(key) == key else None


def safe_key(name: str) -> str:
    """The name as a key of a Compose file, which the schema restricts. Pure."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name) or "x"


def folder_names(names: Iterable[str]) -> list[str]:
    """A name for the file or folder of each, in order, no two the same on any file system. Pure."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        wanted = safe_key(name).strip(".") or "x"
        one, number = wanted, 1
        while one.lower() in taken:
            number += 1
            one = f"{wanted}-{number}"
        taken.add(one.lower())
        found.append(one)
    return found


def duration(nanoseconds: int) -> str:
    """A duration as Go parses it. Pure."""
    unit, size = next((u, s) for u, s in _DURATIONS if nanoseconds % s == 0)
    return f"{nanoseconds // size}{unit}"


def memory(size: int) -> str:
    """A number of bytes as the CLI parses it. Pure."""
    for unit, factor in _MIB_UNITS:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def cpus(nano: int) -> str:
    """A number of processors, exactly. Pure."""
    whole, rest = divmod(nano, 10**9)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def image_of(spec: Mapping[str, Any]) -> tuple[str, str]:
    """The image that the Compose file has to name, and the image that runs if it is another one, else an empty text. Pure.

    The CLI keeps the digest of the service as long as the file names the image that the label has.
    """
    runs = str(container_of(dict(spec)).get("Image") or "")
    label = (spec.get("Labels") or {}).get(STACK_IMAGE_LABEL)
    if not label:
        return runs, ""
    return label, "" if _same_image(label, runs) else runs


def _same_image(label: str, runs: str) -> bool:
    return label == runs or _familiar(label) == _familiar(runs.partition("@")[0])


def _familiar(image: str) -> str:
    name = re.sub(r"^(index\.)?docker\.io/(library/)?", "", image.partition("@")[0])
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def escaped(value: Any) -> Any:
    """Data whose strings the CLI takes as they are: a dollar sign would begin a variable. Keys have no variables. Pure."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value


def _without(labels: Mapping[str, str] | None, names: Iterable[str] = _LEFT_OUT) -> dict[str, str]:
    left = set(names)
    return {key: value for key, value in sorted((labels or {}).items()) if key not in left}


def _set(document: dict[str, Any], **values: Any) -> None:
    """Add what is not empty; the keys are in the order of the file."""
    document.update(
        {key: value for key, value in values.items() if value not in (None, "", [], {})}
    )


class _Keys:
    """The keys of one section of the file: each object gets one, and no two the same."""

    def __init__(self, *reserved: str) -> None:
        self._taken = set(reserved)
        self._of: dict[Any, str] = {}

    def key(self, identity: Any, wanted: str) -> tuple[str, bool]:
        """The key of an object, and whether it is new."""
        if identity in self._of:
            return self._of[identity], False
        wanted = safe_key(wanted)
        key, number = wanted, 1
        while key in self._taken:
            number += 1
            key = f"{wanted}-{number}"
        self._taken.add(key)
        self._of[identity] = key
        return key, True


class _Composer:
    def __init__(self, stack: str, live: StackSnapshot, folder: str, pools: Pools) -> None:
        self.stack = stack
        self.folder = folder
        self.pools = pools
        self.network_names = live.network_names()
        self.network_of = {str(n.get("Name")): n for n in live.networks}
        self.config_of = {str(dig(c, "Spec", "Name")): c for c in live.configs}
        self.config_names = {id_of(c): str(dig(c, "Spec", "Name")) for c in live.configs}
        self.secret_of = {str(dig(s, "Spec", "Name")): s for s in live.secrets}
        self.version = (3, 8)
        self.sections: dict[str, dict[str, Any]] = {
            name: {} for name in ("networks", "volumes", "secrets", "configs")
        }
        self.keys = {name: _Keys() for name in self.sections}
        self.keys["networks"] = _Keys("default")
        self.files: dict[str, str] = {}
        self.paths = _Keys()
        self.notes: list[str] = []

    def compose(self, services: Iterable[Mapping[str, Any]]) -> Composed:
        made = {}
        for service in sorted(services, key=lambda one: str(dig(dict(one), "Spec", "Name"))):
            spec = dict(service).get("Spec") or {}
            name = str(spec.get("Name"))
            key = service_key(self.stack, name)
            if key is not None:
                made[key] = self._service(key, name, spec)
        document: dict[str, Any] = {
            "version": f"{self.version[0]}.{self.version[1]}",
            "services": made,
        }
        for section, entries in self.sections.items():
            if entries:
                document[section] = dict(sorted(entries.items()))
        version = document.pop("version")
        document = {"version": version, **escaped(document)}
        return Composed(document, self.files, tuple(self.notes))

    def _needs(self, *version: int) -> None:
        self.version = max(self.version, (version[0], version[1]))

    # Services

    def _service(self, key: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        container = container_of(spec)
        template = spec.get("TaskTemplate") or {}
        image, runs = image_of(spec)
        if runs:
            self.notes.append(
                f"service {name} runs {runs}, and its stack was deployed with {image}: the file names {image}, because the plan"
                " would not be empty otherwise. Where the service does not run yet, that image would start. To keep what runs,"
                " set it in the file and deploy the stack"
            )
        if MOVING_LABEL in (spec.get("Labels") or {}):
            self.notes.append(
                f"service {name} has the mark of an interrupted drain: run the drain again"
            )
        made: dict[str, Any] = {"image": image}
        dns = container.get("DNSConfig") or {}
        _set(
            made,
            entrypoint=container.get("Command"),
            command=container.get("Args"),
            environment=_environment(container.get("Env")),
            labels=_without(container.get("Labels")),
            hostname=container.get("Hostname"),
            user=container.get("User"),
            working_dir=container.get("Dir"),
            tty=container.get("TTY") or None,
            stdin_open=container.get("OpenStdin") or None,
            read_only=container.get("ReadOnly") or None,
            stop_signal=container.get("StopSignal"),
            cap_add=container.get("CapabilityAdd"),
            cap_drop=container.get("CapabilityDrop"),
            sysctls=container.get("Sysctls"),
            ulimits=_ulimits(container.get("Ulimits")),
            dns=dns.get("Nameservers"),
            dns_search=dns.get("Search"),
            extra_hosts=_extra_hosts(container.get("Hosts")),
            oom_score_adj=container.get("OomScoreAdj"),
        )
        if container.get("Init") is not None:
            made["init"] = bool(container["Init"])
        if container.get("StopGracePeriod") is not None:
            made["stop_grace_period"] = duration(int(container["StopGracePeriod"]))
        if container.get("Isolation") not in (None, "", "default"):
            made["isolation"] = container["Isolation"]
        if container.get("OomScoreAdj"):
            self._needs(3, 14)
        if container.get("Healthcheck") is not None:
            made["healthcheck"] = self._healthcheck(container["Healthcheck"])
        if template.get("LogDriver") is not None:
            logging: dict[str, Any] = {}
            _set(
                logging,
                driver=template["LogDriver"].get("Name"),
                options=template["LogDriver"].get("Options"),
            )
            made["logging"] = logging
        credential = dig(container, "Privileges", "CredentialSpec") or {}
        _set(
            made,
            credential_spec=self._credential_spec(credential),
            networks=self._networks(key, spec),
            ports=[_port(port) for port in dig(spec, "EndpointSpec", "Ports") or []],
            volumes=[self._mount(mount) for mount in container.get("Mounts") or []],
            secrets=[
                self._reference("secret", entry)
                for entry in container.get("Secrets") or []
                if entry.get("File")
            ],
            configs=[
                self._reference("config", entry)
                for entry in container.get("Configs") or []
                if entry.get("File")
            ],
        )
        made["deploy"] = self._deploy(spec)
        return made

    def _healthcheck(self, check: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if check.get("Test") == ["NONE"]:
            made["disable"] = True
        else:
            _set(made, test=check.get("Test"))
        names = (
            ("interval", "Interval"),
            ("timeout", "Timeout"),
            ("start_period", "StartPeriod"),
            ("start_interval", "StartInterval"),
        )
        for name, field_name in names:
            if check.get(field_name):
                made[name] = duration(int(check[field_name]))
        if check.get("StartInterval"):
            self._needs(3, 12)
        _set(made, retries=check.get("Retries") or None)
        return made

    def _credential_spec(self, credential: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        _set(made, file=credential.get("File"), registry=credential.get("Registry"))
        if credential.get("Config"):
            known = self.config_names.get(str(credential["Config"]), str(credential["Config"]))
            made["config"] = self._object("config", known)
        return made

    def _deploy(self, spec: dict[str, Any]) -> dict[str, Any]:
        template = spec.get("TaskTemplate") or {}
        mode = mode_of(spec)
        made: dict[str, Any] = {}
        if mode["Mode"] != REPLICATED:
            made["mode"] = mode["Mode"]
            if mode["Mode"] != "global":
                self._needs(3, 9)
        if "Replicas" in mode:
            made["replicas"] = mode["Replicas"]
        elif "TotalCompletions" in mode:
            made["replicas"] = mode["TotalCompletions"]
        if dig(spec, "EndpointSpec", "Mode") not in (None, "", "vip"):
            made["endpoint_mode"] = spec["EndpointSpec"]["Mode"]
        _set(
            made,
            labels=_without(spec.get("Labels")),
            placement=_placement(template.get("Placement") or {}),
        )
        resources = self._resources(template.get("Resources") or {})
        if resources:
            made["resources"] = resources
        if template.get("RestartPolicy") is not None:
            made["restart_policy"] = _restart_policy(template["RestartPolicy"])
        for name, field_name in (
            ("update_config", "UpdateConfig"),
            ("rollback_config", "RollbackConfig"),
        ):
            if spec.get(field_name) is not None:
                made[name] = _update_config(spec[field_name])
        return made

    def _resources(self, resources: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, field_name in (("limits", "Limits"), ("reservations", "Reservations")):
            given = resources.get(field_name)
            if given is None:
                continue
            entry: dict[str, Any] = {}
            if given.get("NanoCPUs"):
                entry["cpus"] = cpus(int(given["NanoCPUs"]))
            if given.get("MemoryBytes"):
                entry["memory"] = memory(int(given["MemoryBytes"]))
            if given.get("Pids"):
                entry["pids"] = given["Pids"]
                self._needs(3, 9)
            generic = [
                {"discrete_resource_spec": {"kind": one.get("Kind"), "value": one.get("Value")}}
                for one in (
                    item.get("DiscreteResourceSpec") or {}
                    for item in given.get("GenericResources") or []
                )
                if one
            ]
            _set(entry, generic_resources=generic)
            made[name] = entry
        return made

    # What services refer to

    def _owns(self, labels: Mapping[str, str] | None) -> bool:
        return bool(self.stack) and (labels or {}).get(STACK_LABEL) == self.stack

    def _short(self, name: str, owned: bool) -> str:
        """The key that Docker has made the name of, for what belongs to the stack; else the name."""
        prefix = f"{self.stack}_"
        rest = name[len(prefix) :] if owned and name.startswith(prefix) else ""
        return rest if rest and safe_key(rest) == rest else name

    def _declare(self, section: str, key: str, name: str, entry: dict[str, Any]) -> None:
        """Put an object into its section, with its own name where Docker would make another one of the key."""
        made = key if entry.get("external") else f"{self.stack}_{key}"
        if name != made:
            entry = {**entry, "name": name}
        self.sections[section][key] = entry

    def _networks(self, service: str, spec: dict[str, Any]) -> Any:
        found: dict[str, Any] = {}
        for attachment in attachments(spec):
            target = str(attachment.get("Target"))
            name = self.network_names.get(target, target)
            aliases = list(attachment.get("Aliases") or [])
            if name not in _HOST_NETWORKS and service in aliases:
                # Docker adds it.
                aliases.reverse()
                aliases.remove(service)
                aliases.reverse()
            entry: dict[str, Any] = {}
            _set(entry, aliases=aliases, driver_opts=attachment.get("DriverOpts"))
            if attachment.get("DriverOpts"):
                self._needs(3, 13)
            found[self._network(name)] = entry or None
        if found == {"default": None}:
            return None
        return found if any(found.values()) else sorted(found)

    def _network(self, name: str) -> str:
        document = self.network_of.get(name) or {}
        owned = self._owns(document.get("Labels"))
        entry = self._network_entry(document) if owned else {"external": True}
        if owned and name == f"{self.stack}_default":
            if entry:
                self.sections["networks"]["default"] = entry
            return "default"
        key, new = self.keys["networks"].key(name, self._short(name, owned))
        if new:
            self._declare("networks", key, name, entry)
        return key

    def _network_entry(self, document: Mapping[str, Any]) -> dict[str, Any]:
        entry: dict[str, Any] = {}
        ipam: dict[str, Any] = {}
        given = document.get("IPAM") or {}
        driver = given.get("Driver")
        subnets = [str(one.get("Subnet")) for one in given.get("Config") or [] if one.get("Subnet")]
        _set(
            ipam,
            driver=None if driver == "default" else driver,
            config=[{"subnet": one} for one in subnets if not self.pools.has_chosen(one)],
        )
        options = document.get("Options") or {}
        _set(
            entry,
            driver=None if document.get("Driver") in (None, "overlay") else document["Driver"],
            driver_opts=_without(options, {VXLAN_IDS_OPTION}),
            attachable=document.get("Attachable") or None,
            internal=document.get("Internal") or None,
            ipam=ipam,
            labels=_without(document.get("Labels")),
        )
        return entry

    def _mount(self, mount: Mapping[str, Any]) -> dict[str, Any]:
        kind = str(mount.get("Type") or "volume")
        source = str(mount.get("Source") or "")
        made: dict[str, Any] = {"type": kind}
        options: Mapping[str, Any] = mount.get("VolumeOptions") or {}
        if kind in ("volume", "cluster") and source:
            made["source"] = self._volume(source, options)
        elif source:
            made["source"] = source
        made["target"] = mount.get("Target")
        if mount.get("ReadOnly"):
            made["read_only"] = True
        if kind == "bind" and mount.get("BindOptions") is not None:
            bind: dict[str, Any] = {}
            _set(bind, propagation=mount["BindOptions"].get("Propagation"))
            made["bind"] = bind
        if kind == "tmpfs" and mount.get("TmpfsOptions") is not None:
            tmpfs: dict[str, Any] = {}
            _set(tmpfs, size=mount["TmpfsOptions"].get("SizeBytes") or None)
            made["tmpfs"] = tmpfs
        volume: dict[str, Any] = {}
        _set(volume, nocopy=options.get("NoCopy") or None, subpath=options.get("Subpath"))
        if volume:
            made["volume"] = volume
        return made

    def _volume(self, source: str, options: Mapping[str, Any]) -> str:
        labels, driver = options.get("Labels") or {}, options.get("DriverConfig") or {}
        owned = self._owns(labels)
        entry: dict[str, Any] = {}
        _set(
            entry,
            driver=driver.get("Name"),
            driver_opts=driver.get("Options"),
            labels=_without(labels),
        )
        if not owned and not entry:
            entry = {"external": True}
        identity = (source, repr(sorted(entry.items(), key=str)), owned)
        key, new = self.keys["volumes"].key(identity, self._short(source, owned))
        if new:
            self._declare("volumes", key, source, entry)
        return key

    def _reference(self, kind: str, entry: Mapping[str, Any]) -> Any:
        name = str(entry.get(f"{kind.title()}Name"))
        file = entry["File"]
        key = self._object(kind, name)
        made: dict[str, Any] = {"source": key}
        if file.get("Name") != key:
            made["target"] = file.get("Name")
        for field_name in ("UID", "GID"):
            if file.get(field_name) not in (None, "", "0"):
                made[field_name.lower()] = str(file[field_name])
        mode = int(file.get("Mode") or 0)
        if mode != 0o444:
            made["mode"] = mode
        return key if len(made) == 1 else made

    def _object(self, kind: str, name: str) -> str:
        """The key of a secret or config, which is declared if it is not yet."""
        section = f"{kind}s"
        document = (self.secret_of if kind == "secret" else self.config_of).get(name) or {}
        spec = document.get("Spec") or {}
        owned = stack_of(spec) == self.stack if self.stack else False
        key, new = self.keys[section].key(name, self._short(name, owned))
        if not new:
            return key
        data = spec.get("Data")
        if kind == "secret" or not owned or not data:
            # Nobody can read the data of a secret, and what is not of the stack stays so.
            self._declare(section, key, name, {"external": True})
            return key
        path, _new = self.paths.key(name, key)
        self.files[f"{self.folder}/{path}"] = data
        entry: dict[str, Any] = {"file": f"./{self.folder}/{path}"}
        _set(
            entry,
            labels=_without(spec.get("Labels")),
            template_driver=dig(spec, "Templating", "Name"),
        )
        self._declare(section, key, name, entry)
        return key


def _environment(entries: Iterable[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries or []:
        name, equals, value = entry.partition("=")
        # Without an equals sign, the container gets no such variable even if its image has one.
        found[name] = value if equals else None
    return found


def _extra_hosts(entries: Iterable[str] | None) -> list[str]:
    """HOST:ADDRESS for each name in lines of a hosts file."""
    return [
        f"{name}:{address}"
        for entry in entries or []
        for address, _space, names in [entry.partition(" ")]
        for name in names.split()
    ]


def _ulimits(entries: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries or []:
        soft, hard = entry.get("Soft") or 0, entry.get("Hard") or 0
        same = soft == hard and soft != 0
        found[str(entry.get("Name"))] = soft if same else {"soft": soft, "hard": hard}
    return found


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"target": port.get("TargetPort")}
    _set(made, published=port.get("PublishedPort") or None)
    if port.get("Protocol") not in (None, "", "tcp"):
        made["protocol"] = port["Protocol"]
    if port.get("PublishMode") not in (None, "", "ingress"):
        made["mode"] = port["PublishMode"]
    return made


def _placement(placement: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    _set(
        made,
        constraints=placement.get("Constraints"),
        preferences=[
            {"spread": dig(one, "Spread", "SpreadDescriptor")}
            for one in placement.get("Preferences") or []
        ],
        max_replicas_per_node=placement.get("MaxReplicas") or None,
    )
    return made


def _restart_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    _set(made, condition=policy.get("Condition"))
    if policy.get("Delay") is not None:
        made["delay"] = duration(int(policy["Delay"]))
    if policy.get("MaxAttempts") is not None:
        made["max_attempts"] = policy["MaxAttempts"]
    if policy.get("Window") is not None:
        made["window"] = duration(int(policy["Window"]))
    return made


def _update_config(config: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"parallelism": config.get("Parallelism") or 0}
    for name, field_name in (("delay", "Delay"), ("monitor", "Monitor")):
        if config.get(field_name):
            made[name] = duration(int(config[field_name]))
    if config.get("FailureAction") not in (None, "", "pause"):
        made["failure_action"] = config["FailureAction"]
    _set(made, max_failure_ratio=config.get("MaxFailureRatio") or None)
    if config.get("Order") not in (None, "", "stop-first"):
        made["order"] = config["Order"]
    return made
