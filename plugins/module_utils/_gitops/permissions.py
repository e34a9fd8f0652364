# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What specs use that they may not. Pure.

The specs are those that Docker's own CLI would write, and not Compose text. So no variable, anchor, merge or extension of Compose
can hide anything from this. What a path leads to on a node is out of reach: a symbolic link in an allowed folder is followed there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from .._common.errors import shown
from .._model.documents import dig
from .._model.labels import PREFIX, REBALANCE_LABEL, REPLICAS_LABEL, STACK_LABEL
from .._model.services import attachments, container_of
from .._registry.reference import HUB, parse_image
from .settings import May

# Specs by kind (network, secret, config, service) and name.
Specs = Mapping[str, Mapping[str, Mapping[str, Any]]]

# Folders of the host by which a container gets more than its data: the engine and its socket, programs that root runs, logins, keys,
# devices, backups, images of others. What contains one of them is as dangerous.
DANGEROUS = (
    *("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/proc"),
    *("/root", "/run", "/sbin", "/sys", "/usr", "/var/backups", "/var/lib/containerd"),
    *("/var/lib/docker", "/var/lib/docker-registry", "/var/lib/dpkg", "/var/lib/flotilla.swarm"),
    *("/var/lib/systemd", "/var/spool/at", "/var/spool/cron"),
)
# In them, and of no danger if they cannot be written.
_READABLE = (
    *("/etc/localtime", "/etc/timezone", "/etc/ssl/certs"),
    *("/usr/share/ca-certificates", "/usr/share/zoneinfo"),
)
# What every container has (moby: oci/caps/defaults.go): to add it is no more than not to drop it.
_USUAL_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
# Networks of a node, and those of the swarm itself.
_SPECIAL_NETWORKS = ("host", "none", "bridge", "docker_gwbridge", "ingress")
# The ID of an object of the swarm, or of a network of a node. The engine prefers it to a name.
_ID = re.compile(r"[a-z0-9]{25}|[0-9a-f]{64}")
_USER_LABELS = (REPLICAS_LABEL, REBALANCE_LABEL)


def objections(
    stack: str, specs: Specs, may: May, networks: Collection[str] | None = None
) -> list[str]:
    """What the specs of a stack use that they may not: what, in which service, and which variable allows it; sorted.

    `networks` has the names of the networks in the swarm. The engine also takes the beginning of an ID for a name.
    """
    found = set(_names(stack, specs, may))
    for name, spec in specs.get("network", {}).items():
        found.update(_network(name, spec, may))
    own = {
        kind: {name for name in specs.get(kind, {}) if name.startswith(f"{stack}_")}
        for kind in ("network", "secret", "config")
    }
    for name, spec in specs.get("service", {}).items():
        parts = (
            *_image(spec, may),
            *_mounts(stack, spec, may),
            *_networks(spec, may, own["network"], networks),
            *_files(spec, may, own),
            *_ports(spec, may),
            *_privileges(spec, may),
            *_labels(stack, spec),
        )
        found.update(f"service {name} {part}" for part in parts)
    return sorted(found)


def _allow(key: str, value: str) -> str:
    """The end of an objection: which variable allows it."""
    return f"the inventory can allow it with may.{key}: [{value}]"


def _listed(name: str, patterns: Collection[str] | None) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


def _names(stack: str, specs: Specs, may: May) -> Iterator[str]:
    """Names that belong to others: of the stack, and of objects that do not begin with its name."""
    if not _listed(stack, may.stacks):
        yield f"the stack has the name {stack}; {_allow('stacks', stack)}"
    for kind, patterns in (
        ("secret", may.secrets),
        ("config", may.configs),
        ("network", may.networks),
    ):
        for name in specs.get(kind, {}):
            if not name.startswith(f"{stack}_") and not _listed(name, patterns):
                yield f"{kind} {name} does not have the name of the stack before its own; {_allow(f'{kind}s', name)}"


def _network(name: str, spec: Mapping[str, Any], may: May) -> Iterator[str]:
    driver = str(spec.get("Driver") or "overlay")
    if driver != "overlay" and not may.privileged:
        yield f"network {name} has the driver {shown(driver)}, which reaches the networks of the nodes; {_PRIVILEGED}"


_PRIVILEGED = "the inventory can allow it with may.privileged: true"


def _image(spec: Mapping[str, Any], may: May) -> Iterator[str]:
    image = str(container_of(dict(spec)).get("Image") or "")
    if may.registries is None:
        return
    parsed = parse_image(image)
    if not any(_is_in(parsed.name, _registry(entry)) for entry in may.registries):
        yield f"uses the image {shown(image, 100)} from {parsed.registry}; {_allow('registries', parsed.registry)}"


def _registry(entry: str) -> str:
    """An entry of may.registries as the beginning of a normalised name: `docker.io` and `nginx` are in the Docker Hub."""
    head = entry.strip("/").partition("/")[0]
    is_host = "." in head or ":" in head or head == "localhost"
    return entry.strip("/") if is_host else f"{HUB}/{entry.strip('/')}"


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith("/" if folder == "/" else f"{folder}/")


# --- Mounts -----------------------------------------------------------------------------------------------


def _mounts(stack: str, spec: Mapping[str, Any], may: May) -> Iterator[str]:
    for mount in container_of(dict(spec)).get("Mounts") or []:
        kind = str(mount.get("Type") or "volume")
        source, target = str(mount.get("Source") or ""), str(mount.get("Target") or "")
        if kind == "bind":
            reason = _bind(source, bool(mount.get("ReadOnly")), may)
            if reason:
                yield f"mounts {shown(source, 100)} at {target}, {reason}"
        elif kind in ("volume", "cluster"):
            yield from _volume(stack, mount, source, may)
        elif kind not in ("tmpfs", "image") and not may.privileged:
            yield f"has a mount of type {shown(kind)} at {target}; {_PRIVILEGED}"


def _bind(source: str, read_only: bool, may: May) -> str:
    """What speaks against a bind mount; empty if nothing does."""
    if "{{" in source:
        # Each node fills in its own values.
        return "a template that can become any path; write the path"
    path = _plain(source)
    if not source.startswith("/"):
        return "which is not an absolute path; write one"
    allow = _allow("bind_mounts", path)
    granted = [] if may.bind_mounts is None else [_plain(entry) for entry in may.bind_mounts]
    covering = [grant for grant in granted if _is_in(path, grant)]
    danger = next((each for each in DANGEROUS if _is_in(path, each) or _is_in(each, path)), None)
    if danger is None:
        listed = may.bind_mounts is None or covering
        return "" if listed else f"which is not among the folders that it may mount; {allow}"
    if path in covering or any(_is_in(grant, danger) for grant in covering):
        return ""
    if read_only and any(_is_in(path, each) for each in _READABLE):
        return ""
    inside = "a folder of the system" if _is_in(path, danger) else f"which contains {danger}"
    return f"{inside}; {allow}"


def _plain(path: str) -> str:
    """A path without what only spells it in another way. On Linux, /var/run is /run."""
    found = posixpath.normpath("/" + path.lstrip("/"))
    return f"/run{found[len('/var/run') :]}" if _is_in(found, "/var/run") else found


def _volume(stack: str, mount: Mapping[str, Any], source: str, may: May) -> Iterator[str]:
    target = str(mount.get("Target") or "")
    own = not source or (source.startswith(f"{stack}_") and "{{" not in source)
    if not own and not _listed(source, may.volumes):
        yield f"mounts the volume {shown(source, 100)}, which is not one of the stack; {_allow('volumes', source)}"
    driver = dig(mount, "VolumeOptions", "DriverConfig") or {}
    name = str(driver.get("Name") or "local")
    options = {str(key): str(value) for key, value in (driver.get("Options") or {}).items()}
    flags = set(options.get("o", "").split(","))
    # For the kernel, the flag bind overrules the type.
    if name == "local" and flags & {"bind", "rbind"}:
        device = options.get("device", "")
        reason = _bind(device, False, may)
        if reason:
            yield f"has a volume at {target} of {shown(device, 100)}, {reason}"
        return
    in_memory = options.get("type") == "tmpfs" and not flags & {"remount", "move"}
    if name == "local" and (not options or in_memory):
        return
    if not may.privileged:
        what = "with options of its own" if name == "local" else "that is not local"
        yield f"has a volume at {target} of the driver {shown(name)} {what}; {_PRIVILEGED}"


# --- Networks, secrets, ports, privileges -----------------------------------------------------------------


def _networks(
    spec: Mapping[str, Any], may: May, own: Collection[str], known: Collection[str] | None
) -> Iterator[str]:
    old = [entry for entry in spec.get("Networks") or [] if isinstance(entry, Mapping)]
    for name in sorted({str(entry.get("Target")) for entry in [*attachments(dict(spec)), *old]}):
        if name in own:
            continue
        if _ID.fullmatch(name) or (known is not None and name not in {*known, *_SPECIAL_NETWORKS}):
            yield f"is on network {shown(name, 70)}, which is not the name of one; write its name"
        elif name in _SPECIAL_NETWORKS and name not in (may.networks or ()):
            yield f"is on network {name}, which is not one of services; {_allow('networks', name)}"
        elif not _listed(name, may.networks):
            yield f"is on network {name}; {_allow('networks', name)}"


def _files(spec: Mapping[str, Any], may: May, own: Mapping[str, Collection[str]]) -> Iterator[str]:
    container = container_of(dict(spec))
    for kind, patterns in (("secret", may.secrets), ("config", may.configs)):
        title = kind.capitalize()
        for entry in container.get(f"{title}s") or []:
            name = str(entry.get(f"{title}Name"))
            if name not in own[kind] and not _listed(name, patterns):
                yield f"uses the {kind} {name}, which is not one of the stack; {_allow(f'{kind}s', name)}"


def _ports(spec: Mapping[str, Any], may: May) -> Iterator[str]:
    if may.published_ports is None:
        return
    for port in dig(spec, "EndpointSpec", "Ports") or []:
        number = int(port.get("PublishedPort") or 0)
        if not any(low <= number <= high for low, high in may.published_ports):
            what = f"port {number}" if number else f"port {port.get('TargetPort')} at any port"
            yield f"publishes {what}; {_allow('published_ports', str(number or '30000-32767'))}"


def _privileges(spec: Mapping[str, Any], may: May) -> Iterator[str]:
    container = container_of(dict(spec))
    allowed = {_capability(each) for each in (*_USUAL_CAPABILITIES, *may.capabilities)}
    added = {_capability(str(each)) for each in container.get("CapabilityAdd") or []}
    for each in sorted(added - allowed if "ALL" not in allowed else ()):
        yield f"adds the capability {each}; {_allow('capabilities', each)}"
    if may.privileged:
        return
    given = container.get("Privileges") or {}
    for key in sorted(given):
        value = given[key]
        mode = str((value if isinstance(value, Mapping) else {}).get("Mode") or "default")
        harmless = (
            not value
            or key == "NoNewPrivileges"
            or (key in ("Seccomp", "AppArmor") and mode == "default")
        )
        if not harmless and (not isinstance(value, Mapping) or any(value.values())):
            yield f"sets {key}, which changes how it is confined; {_PRIVILEGED}"
    runtime = dig(spec, "TaskTemplate", "Runtime")
    if runtime not in (None, "", "container"):
        yield f"is of the runtime {shown(str(runtime))} instead of a container; {_PRIVILEGED}"


def _capability(name: str) -> str:
    name = name.upper()
    return name[len("CAP_") :] if name.startswith("CAP_") else name


def _labels(stack: str, spec: Mapping[str, Any]) -> Iterator[str]:
    labels = spec.get("Labels") or {}
    for key in sorted(labels):
        if key.startswith(PREFIX) and key not in _USER_LABELS:
            yield f"has the label {key}, which only flotilla.swarm sets; remove it"
    if labels.get(STACK_LABEL, stack) != stack:
        yield f"has the label {STACK_LABEL} of another stack; remove it"
