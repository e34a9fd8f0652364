# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The differences of two specs of a service, network, secret or config. No I/O.

The engine stores a spec with its own defaults and with IDs instead of names, so both sides are first brought into one form.
Raw values are compared, and only what `display` shows of them leaves this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._model.documents import dig
from .._model.labels import STACK_IMAGE_LABEL
from .._model.services import container_of, mode_of
from .display import ABSENT, PRESENT, USER_MAPS, environment_of, show_both


@dataclass(frozen=True)
class Change:
    """One field that differs, with both values as they are shown."""

    name: str  # a path such as update_config.parallelism
    before: str
    after: str

    def as_dict(self) -> dict[str, str]:
        """The change as data, for a module's result."""
        return {"field": self.name, "before": self.before, "after": self.after}


def service_changes(
    current: dict[str, Any], wanted: dict[str, Any], network_names: dict[str, str]
) -> list[Change]:
    """The changes between two specs of a service; `network_names` has names by ID."""
    old, new = _comparable(current, network_names), _comparable(wanted, network_names)
    changes = [*_entries_added_and_removed(old, new), *_changes(_flat(old), _flat(new))]
    changes.sort(key=lambda change: _field_order(change.name))
    names = {change.name for change in changes}
    # Redundant: another secret has another ID, and another image another label.
    redundant = {f"{c.name[: -len('.name')]}.id" for c in changes if _REFERENCE_NAME.match(c.name)}
    if "image" in names:
        redundant.add(f"labels.{STACK_IMAGE_LABEL}")
    return [change for change in changes if change.name not in redundant]


def with_platforms(wanted: dict[str, Any], current: dict[str, Any] | None) -> dict[str, Any]:
    """The spec with the platforms of its image as the service has them, if the image is the same.

    With a digest from the registry, the CLI sends the platforms of the image. When it keeps a digest it does not repeat them
    (docker/cli: cli/command/stack/swarm/deploy_composefile.go), and tasks could then start where the image cannot run.
    """
    platforms = dig(current, "TaskTemplate", "Placement", "Platforms")
    placement = dig(wanted, "TaskTemplate", "Placement") or {}
    same = container_of(current).get("Image") == container_of(wanted).get("Image")
    if not platforms or placement.get("Platforms") or not same:
        return wanted
    template = {**wanted["TaskTemplate"], "Placement": {**placement, "Platforms": platforms}}
    return {**wanted, "TaskTemplate": template}


def label_changes(current: dict[str, Any], wanted: dict[str, Any]) -> list[Change]:
    """The changes of the labels of a secret or config; the engine accepts no others."""
    before, after = ({"Labels": spec.get("Labels") or {}} for spec in (current, wanted))
    return _changes(_flat(before), _flat(after))


# What the engine adds to the options of a network.
VXLAN_IDS_OPTION = "com.docker.network.driver.overlay.vxlanid_list"


def network_changes(current: dict[str, Any], wanted: dict[str, Any]) -> list[Change]:
    """The changes between a network and its spec, none of which the engine can make."""
    old, new = (_flat(_comparable_network(document)) for document in (current, wanted))
    if "subnets" not in new:
        # The engine has chosen them.
        old.pop("subnets", None)
    return _changes(old, new)


def _comparable_network(document: dict[str, Any]) -> dict[str, Any]:
    ipam = document.get("IPAM") or {}
    options = document.get("Options") or {}
    return {
        # The CLI's default in a stack (docker/cli: cli/command/stack/swarm).
        "Driver": document.get("Driver") or "overlay",
        "Internal": document.get("Internal"),
        "Attachable": document.get("Attachable"),
        "Ipv6": document.get("EnableIPv6"),
        "Options": {key: value for key, value in options.items() if key != VXLAN_IDS_OPTION},
        "Labels": document.get("Labels") or {},
        "IpamDriver": ipam.get("Driver") or "default",
        "IpamOptions": ipam.get("Options") or {},
        "Subnets": sorted(str(entry.get("Subnet")) for entry in ipam.get("Config") or []),
    }


_REFERENCE_NAME = re.compile(r"(secrets|configs)\..*\.name$")


def _entries_added_and_removed(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """Mounts, secrets and configs that only one side has, one change each; they are removed from both sides."""
    for section in ("Mounts", "Secrets", "Configs"):
        for target in old[section].keys() ^ new[section].keys():
            before, after = (
                _in_short(side[section].pop(target)) if target in side[section] else ABSENT
                for side in (old, new)
            )
            yield Change(f"{section.lower()}.{target}", before, after)


def _in_short(entry: dict[str, Any]) -> str:
    words = (entry.get("Type"), entry.get("Source") or entry.get("Name"))
    return " ".join(str(word) for word in words if word) + (
        ", read-only" if entry.get("ReadOnly") else ""
    )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    found = []
    for name in sorted({*before, *after}, key=_field_order):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name in _SETS:
            # Of a set, only the members that are added or removed.
            old, new = (
                [i for i in a or [] if i not in (b or [])] for a, b in ((old, new), (new, old))
            )
        found.append(Change(name, *show_both(name, old, new)))
    # That a section is added or removed matters only if nothing in it is.
    sections = {c.name for c in found if PRESENT in (before.get(c.name), after.get(c.name))}
    redundant = {s for s in sections for c in found if c.name.startswith(f"{s}.")}
    return [change for change in found if change.name not in redundant]


def _field_order(name: str) -> tuple[int, str]:
    first = ("image", "replicas", "mode")
    return (first.index(name) if name in first else len(first), name)


# What the engine inserts where nothing was sent (moby: daemon/cluster/convert).
_DEFAULTS = {
    "mode": "replicated",
    "runtime": "container",
    "isolation": "default",
    "endpoint_mode": "vip",
    "update_config.failure_action": "pause",
    "update_config.order": "stop-first",
    "rollback_config.failure_action": "pause",
    "rollback_config.order": "stop-first",
    "restart_policy.condition": "any",
}

_MOUNT_DEFAULTS = {"bind_options.propagation": "rprivate"}

# A zero that differs from nothing: the engine keeps it, and omits the field where nothing was sent.
_ZERO_COUNTS = {
    *("replicas", "max_concurrent", "total_completions", "parallelism", "delay", "window"),
    *("stop_grace_period", "init", "memory_swappiness", "swap_bytes", "mode"),
}

_ALWAYS_PRESENT = {"resources", "placement", "privileges"}

# Lists whose order does not matter.
_SETS = {"ports", "networks"}

_RENAMED = {"Args": "Command", "Command": "Entrypoint", "Groups": "GroupAdd"}

_COMPOSE_WORDS = {"NanoCPUs": "cpus", "MemoryBytes": "memory"}


def _snake(name: str) -> str:
    if name in _COMPOSE_WORDS:
        return _COMPOSE_WORDS[name]
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _comparable(spec: dict[str, Any], network_names: dict[str, str]) -> dict[str, Any]:
    """The spec of a service in a flatter form, with lists that are sets or maps turned into these."""
    template = dict(spec.get("TaskTemplate") or {})
    container = dict(template.pop("ContainerSpec", None) or {})
    # Nobody desires a number of restarts: it only counts them.
    template.pop("ForceUpdate", None)
    endpoint = dict(spec.get("EndpointSpec") or {})
    known = ("Name", "Labels", "TaskTemplate", "Mode", "EndpointSpec", "Networks")
    result: dict[str, Any] = {k: v for k, v in spec.items() if k not in known}
    result["Labels"] = spec.get("Labels") or {}
    result["ContainerLabels"] = container.pop("Labels", None) or {}
    result["Env"] = environment_of(container.pop("Env", None) or [])
    result["Mounts"] = {
        # The swarm keeps no consistency (swarmkit: api/types.proto, Mount).
        str(mount.get("Target")): {
            k: v for k, v in mount.items() if k not in ("Target", "Consistency")
        }
        for mount in container.pop("Mounts", None) or []
    }
    for kind in ("Secret", "Config"):
        result[f"{kind}s"] = _references(kind, container.pop(f"{kind}s", None) or [])
    result["Ulimits"] = {
        str(u.get("Name")): f"{u.get('Soft', 0)}:{u.get('Hard', 0)}"
        for u in container.pop("Ulimits", None) or []
    }
    for name, value in container.items():
        result[_RENAMED.get(str(name), str(name))] = value
    networks = template.pop("Networks", None) or spec.get("Networks") or []
    result["Networks"] = sorted(_attachment(n, network_names) for n in networks)
    result.update(template)
    result["Ports"] = sorted(_port(port) for port in endpoint.pop("Ports", None) or [])
    result["EndpointMode"] = endpoint.pop("Mode", "")
    result.update(mode_of(spec))
    return result


def _references(kind: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for entry in entries:
        file = entry.get("File") or {}
        name = str(entry.get(f"{kind}Name"))
        target = str(file.get("Name") or name)
        found[target] = {
            "Name": name,
            "Id": entry.get(f"{kind}ID"),
            **{k: v for k, v in file.items() if k != "Name"},
        }
    return found


def _attachment(network: dict[str, Any], names: dict[str, str]) -> str:
    target = str(network.get("Target"))
    text = names.get(target, target)
    if network.get("Aliases"):
        text += f" as {','.join(sorted(network['Aliases']))}"
    if network.get("DriverOpts"):
        text += f" with {','.join(f'{k}={v}' for k, v in sorted(network['DriverOpts'].items()))}"
    return text


def _port(port: dict[str, Any]) -> str:
    published = f"{port['PublishedPort']}:" if port.get("PublishedPort") else ""
    protocol, mode = port.get("Protocol") or "tcp", port.get("PublishMode") or "ingress"
    return f"{published}{port.get('TargetPort')}/{protocol} {mode}"


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Values by path, such as `{"update_config.parallelism": 1}`, without defaults."""
    return dict(_leaves(document, "", False))


def _leaves(value: Any, path: str, users_own: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if path and not users_own and path not in _ALWAYS_PRESENT:
            yield path, PRESENT
        for key, item in value.items():
            # The targets of mounts, secrets and the like are names of the user too.
            own = users_own or path in ("mounts", "secrets", "configs", "ulimits")
            name = str(key) if own else _snake(str(key))
            inner = f"{path}.{name}" if path else name
            yield from _leaves(item, inner, users_own or (name in USER_MAPS and not own))
        return
    last = path.rpartition(".")[2]
    if isinstance(value, list):
        value = [_clean(item) for item in value]
    if users_own:
        is_set = value is not None
    elif last in _ZERO_COUNTS:
        is_set = value is not None and value != ""
    else:
        is_set = bool(value)
    if is_set and not _is_default(path, value):
        yield path, value


def _is_default(path: str, value: Any) -> bool:
    if path.startswith("mounts."):
        return any(path.endswith(f".{k}") and value == v for k, v in _MOUNT_DEFAULTS.items())
    return bool(_DEFAULTS.get(path) == value)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {key: _clean(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in (None, "", [], {})}
    return value
