# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a deploy of a stack would change, and how that is shown. No I/O.

A plan holds what the CLI would write against what the engine has. The engine stores a spec with its own
defaults filled in and names replaced by IDs, so both sides are first brought into one form.

What is never shown: data of secrets and configs, values whose name says that they are a credential
(environment variables, labels, options, `--name=value` arguments), and the password in a URL. That such
a value changes is shown, since the change is what is about to happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import KINDS, Write
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._redaction import (
    HIDDEN,
    hide,
    hide_arguments,
    is_credential,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._table import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import mode_of

IMAGE_LABEL = "com.docker.stack.image"

ABSENT = "(none)"


class Mark:
    """What stands for a value and is equal to none of a user's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


# A variable that is named in a service and has no value there.
UNSET = Mark("(unset)")

# --- Plan ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One field that differs. The raw values are compared; only the shown ones leave this file."""

    name: str
    before: str
    after: str

    def as_dict(self) -> dict[str, str]:
        return {"field": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class Step:
    """What happens to one object of the stack, or to its history: create, update, replace, remove, or none."""

    action: str
    kind: str
    name: str
    summary: str = ""
    changes: tuple[Change, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "kind": self.kind,
            "name": self.name,
            "summary": self.summary,
            "changes": [change.as_dict() for change in self.changes],
        }


@dataclass
class Live:
    """What the engine has now: raw documents of its lists."""

    networks: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[dict[str, Any]] = field(default_factory=list)
    configs: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)

    def network_names(self) -> dict[str, str]:
        return {str(n.get("Id")): str(n.get("Name")) for n in self.networks if n.get("Id")}

    def unlisted_networks(self, stack: str) -> list[str]:
        """Networks that the stack's services are on and that are in no list: the swarm's host and bridge.

        They have IDs of their own, other than those of the host's networks of that name.
        """
        used: set[str] = set()
        for service in self.services:
            spec = service.get("Spec") or {}
            if (spec.get("Labels") or {}).get(NAMESPACE) == stack:
                attached = (spec.get("TaskTemplate") or {}).get("Networks") or []
                used.update(str(network.get("Target")) for network in attached)
        return sorted(used - set(self.network_names()))

    def spec_of(self, kind: str, name: str) -> dict[str, Any] | None:
        document = self.document_of(kind, name)
        return None if document is None else spec_in(kind, document)

    def document_of(self, kind: str, name: str) -> dict[str, Any] | None:
        found = (d for d in self.by_kind()[kind] if spec_in(kind, d).get("Name") == name)
        return next(found, None)

    def id_of(self, kind: str, name: str) -> str | None:
        document = self.document_of(kind, name)
        return str(document.get("ID") or document.get("Id")) if document else None

    def by_kind(self) -> dict[str, list[dict[str, Any]]]:
        return dict(zip(KINDS, (self.networks, self.secrets, self.configs, self.services)))


def state_of(stack: str, live: Live) -> dict[tuple[str, str], Any]:
    """What the stack owns, each in the state that it has: what others change shows here."""
    return {
        (kind, str(spec_in(kind, document).get("Name"))): (
            document.get("ID") or document.get("Id"),
            # A network gets its addresses a moment after it was created.
            document.get("IPAM") if kind == "network" else document.get("Version"),
        )
        for kind, documents in live.by_kind().items()
        for document in documents
        if (spec_in(kind, document).get("Labels") or {}).get(NAMESPACE) == stack
    }


def others_wrote(
    before: dict[tuple[str, str], Any], now: dict[tuple[str, str], Any], mine: Iterable[Write] = ()
) -> bool:
    """Whether a stack went from one state to another by more than these writes, or without one of them."""
    written = {(write.kind, write.name) for write in mine if write.action != "remove"}
    # What this run wrote may have been removed by another one.
    return not written <= now.keys() or any(
        before.get(key) != now.get(key) for key in (before.keys() | now) - written
    )


def spec_in(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """What the engine was asked for; a network's document is its own spec."""
    return document if kind == "network" else document.get("Spec") or {}


def plan_stack(stack: str, writes: Iterable[Write], live: Live) -> list[Step]:
    """The steps of a deploy, in an order that does not depend on the CLI's."""
    writes = [write for write in writes if write.action != "remove"]
    taken = [w for w in writes if _is_taken(w, live)]
    own = sorted(f"{w.kind} {w.name}" for w in taken if _is_of(stack, w, live))
    if own:
        raise SwarmError(
            "out_of_sequence",
            f"Could not plan stack {stack}: something else, such as another run, changed {', '.join(own)} at the same time."
            " Wait until that has ended, and run again.",
        )
    if taken:
        names = sorted(f"{w.kind} {w.name}" for w in taken)
        raise SwarmError(
            "name_taken",
            f"Could not plan stack {stack}: {', '.join(names)} is there already and not of this stack."
            " Remove it, give the stack another name, or declare it external.",
            taken=names,
        )
    steps = {(write.kind, write.name): plan_write(write, live) for write in writes}
    return sorted(steps.values(), key=lambda step: (KINDS.index(step.kind), step.name))


def _is_taken(write: Write, live: Live) -> bool:
    """Would the engine refuse to create it? The CLI looks for the stack's own only."""
    there = live.spec_of(write.kind, write.name)
    return write.action == "create" and there is not None


def _is_of(stack: str, write: Write, live: Live) -> bool:
    spec = live.spec_of(write.kind, write.name) or {}
    return (spec.get("Labels") or {}).get(NAMESPACE) == stack


def plan_write(write: Write, live: Live) -> Step:
    """What one write of the CLI comes to, given what is there."""
    current = live.spec_of(write.kind, write.name)
    if write.action == "create" or current is None:
        return Step("create", write.kind, write.name, summary(write.kind, write.spec))
    if write.kind == "network":
        changes = network_changes(current, write.spec)
        return Step("replace" if changes else "none", "network", write.name, "", tuple(changes))
    if write.kind == "service":
        return plan_service(write.name, write.spec, live)
    # The engine takes nothing but new labels here; other differences it has refused already.
    before, after = ({"Labels": spec.get("Labels") or {}} for spec in (current, write.spec))
    changes = _changes(_flat(before), _flat(after))
    return Step("update" if changes else "none", write.kind, write.name, "", tuple(changes))


def plan_service(name: str, wanted: dict[str, Any], live: Live) -> Step:
    """What it takes to give a service this spec."""
    current = live.spec_of("service", name)
    if current is None:
        return Step("create", "service", name, summary("service", wanted))
    changes = service_changes(current, wanted, live.network_names())
    return Step("update" if changes else "none", "service", name, "", tuple(changes))


def with_login(step: Step) -> Step:
    """The step of a service that gets its registry's login once more."""
    if step.action != "none":
        return step
    return replace(step, action="update", changes=(Change("registry_auth", HIDDEN, HIDDEN),))


def leftovers(stack: str, writes: Iterable[Write], live: Live) -> list[str]:
    """Services that the swarm has under the stack's name and the Compose files do not."""
    wanted = {w.name for w in writes if w.kind == "service"}
    found = set()
    for service in live.services:
        spec = service.get("Spec") or {}
        if (spec.get("Labels") or {}).get(NAMESPACE) == stack:
            found.add(str(spec.get("Name")))
    return sorted(found - wanted)


def service_changes(
    current: dict[str, Any], wanted: dict[str, Any], network_names: dict[str, str]
) -> list[Change]:
    old, new = _comparable(current, network_names), _comparable(wanted, network_names)
    changes = [*_come_and_go(old, new), *_changes(_flat(old), _flat(new))]
    changes.sort(key=lambda change: _field_order(change.name))
    names = {change.name for change in changes}
    # Said already: another secret has another ID, and another image another label.
    said = {f"{c.name[: -len('.name')]}.id" for c in changes if _REFERENCE_NAME.match(c.name)}
    if "image" in names:
        said.add(f"labels.{IMAGE_LABEL}")
    return [change for change in changes if change.name not in said]


def with_platforms(wanted: dict[str, Any], current: dict[str, Any] | None) -> dict[str, Any]:
    """The spec with the platforms of its image as the swarm has them, if the image is the same.

    With a digest that the registry gave, the CLI tells the engine the image's platforms. When it keeps a digest it does not
    repeat them (docker/cli: cli/command/stack/swarm/deploy_composefile.go), and tasks could then go where the image cannot run.
    """
    old, new = ((spec or {}).get("TaskTemplate") or {} for spec in (current, wanted))
    images = [(template.get("ContainerSpec") or {}).get("Image") for template in (old, new)]
    platforms = (old.get("Placement") or {}).get("Platforms")
    placement = new.get("Placement") or {}
    if not platforms or placement.get("Platforms") or images[0] != images[1]:
        return wanted
    template = {**new, "Placement": {**placement, "Platforms": platforms}}
    return {**wanted, "TaskTemplate": template}


# What the engine adds to the options of a network.
_VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"


def network_changes(current: dict[str, Any], wanted: dict[str, Any]) -> list[Change]:
    """Where a network is not what is asked for. None of this can be changed on the network that is there."""
    old, new = (_flat(_comparable_network(document)) for document in (current, wanted))
    if "subnets" not in new:
        # Nobody asked for one, so the engine has chosen.
        old.pop("subnets", None)
    return _changes(old, new)


def _comparable_network(document: dict[str, Any]) -> dict[str, Any]:
    ipam = document.get("IPAM") or {}
    options = document.get("Options") or {}
    return {
        # The engine has its own idea of the driver where none is named.
        "Driver": document.get("Driver") or "overlay",
        "Internal": document.get("Internal"),
        "Attachable": document.get("Attachable"),
        "Ipv6": document.get("EnableIPv6"),
        "Options": {key: value for key, value in options.items() if key != _VXLAN_IDS},
        "Labels": document.get("Labels") or {},
        "IpamDriver": ipam.get("Driver") or "default",
        "IpamOptions": ipam.get("Options") or {},
        "Subnets": sorted(str(entry.get("Subnet")) for entry in ipam.get("Config") or []),
    }


_REFERENCE_NAME = re.compile(r"(secrets|configs)\..*\.name$")


def _come_and_go(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Change]:
    """Mounts, secrets and configs that only one side has, one line each; they are taken out of both sides."""
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
            # Of a set, only the members that come and go.
            old, new = (
                [i for i in a or [] if i not in (b or [])] for a, b in ((old, new), (new, old))
            )
        found.append(Change(name, *show_both(name, old, new)))
    # That a section comes or goes says something only if nothing in it does.
    sections = {c.name for c in found if PRESENT in (before.get(c.name), after.get(c.name))}
    said = {s for s in sections for c in found if c.name.startswith(f"{s}.")}
    return [change for change in found if change.name not in said]


def _field_order(name: str) -> tuple[int, str]:
    first = ("image", "replicas", "mode")
    return (first.index(name) if name in first else len(first), name)


# --- One form for what the CLI sends and what the engine stores ------------------------------------------

# What the engine fills in where nothing was sent (moby: daemon/cluster/convert).
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
# A zero that is not the same as nothing: the engine keeps it, and leaves the field out where nothing was sent.
_ZERO_COUNTS = {
    *("replicas", "max_concurrent", "total_completions", "parallelism", "delay", "window"),
    *("stop_grace_period", "init", "memory_swappiness", "swap_bytes", "mode"),
}
# A section that is there and says nothing, such as an empty healthcheck, is not the same as none either: the engine keeps
# it, and tasks are replaced when it comes or goes. But these the CLI always sends.
PRESENT = Mark("(defaults)")
_ALWAYS_PRESENT = {"resources", "placement", "privileges"}
# Maps whose keys are the user's own: an empty value is a value.
_USER_MAPS = {
    *("labels", "container_labels", "env", "options", "driver_opts", "sysctls", "ipam_options"),
}
# Lists whose order says nothing.
_SETS = {"ports", "networks"}
_RENAMED = {"Args": "Command", "Command": "Entrypoint", "Groups": "GroupAdd"}


_COMPOSE_WORDS = {"NanoCPUs": "cpus", "MemoryBytes": "memory"}


def _snake(name: str) -> str:
    if name in _COMPOSE_WORDS:
        return _COMPOSE_WORDS[name]
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _comparable(spec: dict[str, Any], network_names: dict[str, str]) -> dict[str, Any]:
    """The spec of a service with lists that are sets or maps turned into such, under shorter names."""
    template = dict(spec.get("TaskTemplate") or {})
    container = dict(template.pop("ContainerSpec", None) or {})
    endpoint = dict(spec.get("EndpointSpec") or {})
    known = ("Name", "Labels", "TaskTemplate", "Mode", "EndpointSpec", "Networks")
    result: dict[str, Any] = {k: v for k, v in spec.items() if k not in known}
    result["Labels"] = spec.get("Labels") or {}
    result["ContainerLabels"] = container.pop("Labels", None) or {}
    result["Env"] = _environment(container.pop("Env", None) or [])
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
    result.update(mode_of(spec.get("Mode") or {}))
    return result


def _environment(entries: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        found[name] = value if equals else UNSET
    return found


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
    """`{"update_config.parallelism": 1}`: a path and a value for everything that says something."""
    return dict(_leaves(document, "", False))


def _leaves(value: Any, path: str, users_own: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if path and not users_own and path not in _ALWAYS_PRESENT:
            yield path, PRESENT
        for key, item in value.items():
            # A mount's target, a secret's target and the like are names of the user too.
            own = users_own or path in ("mounts", "secrets", "configs", "ulimits")
            name = str(key) if own else _snake(str(key))
            inner = f"{path}.{name}" if path else name
            yield from _leaves(item, inner, users_own or (name in _USER_MAPS and not own))
        return
    last = path.rpartition(".")[2]
    if isinstance(value, list):
        value = [_clean(item) for item in value]
    if users_own:
        says_something = value is not None
    elif last in _ZERO_COUNTS:
        says_something = value is not None and value != ""
    else:
        says_something = bool(value)
    if says_something and not _is_default(path, value):
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


# --- Showing ---------------------------------------------------------------------------------------------

_LONGEST = 200
# Of a long value, how much before the first difference.
_LEAD = 40


def show(name: str, value: Any) -> str:
    """The value of a field for a person, without what must not be seen. Other values look different, if it is not that."""
    if value is None:
        return ABSENT
    own_map, own_key = _own_key(name)
    if own_map and is_credential(own_key):
        return HIDDEN
    if isinstance(value, list):
        return ", ".join(_items(value)) or ABSENT
    if isinstance(value, Mark):
        return str(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _quantity(name.rpartition(".")[2], value)
    return _quoted(hide(str(value)))


_MARKS = (ABSENT, str(UNSET), str(PRESENT))


def _quoted(text: str, ambiguous: str = "") -> str:
    """The text, in quotes where it would look like something else without."""
    plain = text.isprintable() and text == text.strip() and text[:1] not in ("", "'", '"')
    if plain and text not in _MARKS and not (ambiguous and ambiguous in text):
        return text
    return repr(text)


def show_both(name: str, before: Any, after: Any) -> tuple[str, str]:
    """Both values of a field. Of long ones, the part where they begin to differ."""
    old, new = show(name, before), show(name, after)
    pairs = enumerate(zip(old, new))
    first = next((n for n, (one, other) in pairs if one != other), min(len(old), len(new)))
    start = max(0, first - _LEAD) if first >= _LONGEST - len("...") else 0
    return _excerpt(old, start), _excerpt(new, start)


def _excerpt(text: str, start: int) -> str:
    if len(text) <= _LONGEST:
        return text
    end = start + _LONGEST
    return f"{'...' if start else ''}{text[start:end]}{'...' if len(text) > end else ''}"


def hide_credentials(line: str, container: dict[str, Any]) -> str:
    """A line of a log without the credentials that the service has in its environment, and what looks like one."""
    for name, value in _environment(container.get("Env") or []).items():
        if is_credential(name) and isinstance(value, str) and len(value) > 3:
            line = line.replace(value, HIDDEN)
    return hide(line)


def _own_key(name: str) -> tuple[bool, str]:
    parts = name.split(".")
    for number, part in enumerate(parts):
        if part in _USER_MAPS:
            return True, ".".join(parts[number + 1 :])
    return False, ""


def _items(values: list[Any]) -> Iterator[str]:
    """Arguments, and whatever else a list has. None of them looks like two."""
    if all(isinstance(value, str) for value in values):
        values = list(hide_arguments(values))
    for value in values:
        yield _quoted(value, ", ") if isinstance(value, str) else " ".join(_words(value))


def _words(value: Any) -> Iterator[str]:
    """A preference, a platform, a generic resource: what stands in it, without the names of the API."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    else:
        yield show("", value)


def _quantity(name: str, value: int) -> str:
    if name == "memory" or name.endswith("_bytes"):
        for unit, size in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
    if name == "cpus":
        return f"{value / 1e9:g}"
    if name in _DURATIONS:
        return f"{value / 1e9:g}s"
    if name == "mode":
        return f"{value:04o}"
    return str(value)


_DURATIONS = {
    "delay",
    "window",
    "monitor",
    "interval",
    "timeout",
    "start_period",
    "start_interval",
    "stop_grace_period",
}


def summary(kind: str, spec: dict[str, Any]) -> str:
    """A few words on an object that comes or goes."""
    if kind == "network":
        return str(spec.get("Driver") or "overlay")
    if kind in ("secret", "config"):
        return ""
    container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
    mode = mode_of(spec.get("Mode") or {})
    if mode["Mode"] == "replicated":
        count = mode["Replicas"]
        how_many = count_of(count, "replica")
    else:
        how_many = mode["Mode"]
    # As it stands in the Compose file: the digest is the registry's business.
    labels = spec.get("Labels") or {}
    return f"image {labels.get(IMAGE_LABEL) or container.get('Image')}, {how_many}"


def short_image(image: str) -> str:
    """An image without most of its digest."""
    return re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]+", r"\1", image)


_SIGNS = {"create": "+", "update": "~", "replace": "~", "remove": "-"}


def plan_lines(
    title: str, steps: list[Step], acting: str, extra: Iterable[str] = (), notes: Iterable[str] = ()
) -> list[str]:
    """The plan as a table that a person reads in a hurry."""
    lines = [f"PLAN  stack {title}, acting on {acting}"]
    shown = [step for step in steps if step.action != "none"]
    width = max((len(step.name) for step in shown), default=0)
    kind_width = max((len(step.kind) for step in shown), default=0)
    for step in shown:
        line = f"  {_SIGNS[step.action]} {step.kind:<{kind_width}}  {step.name:<{width}}"
        if step.action in ("create", "remove"):
            lines.append(f"{line}  {step.summary}".rstrip())
            continue
        field_width = max(len(change.name) for change in step.changes)
        first, indent = f"{line}  ", " " * (len(line) + 2)
        for change in step.changes:
            before, after = short_image(change.before), short_image(change.after)
            lines.append(f"{first}{change.name:<{field_width}}  {before} -> {after}")
            first = indent
        if step.summary:
            lines.append(f"{indent}{step.summary}")
    lines += [
        f"  ! service  {name}  not in the Compose files: left alone (prune removes it)"
        for name in extra
    ]
    lines += [f"  ! {note}" for note in notes]
    same = len(steps) - len(shown)
    if same:
        lines.append(f"  = {count_of(same, 'object')} as {'it' if same == 1 else 'they'} should be")
    return lines


# --- What the CLI says -----------------------------------------------------------------------------------

_PROGRESS = re.compile(
    r"^(Creating|Updating) (network|secret|config|service) |^Since --detach|^In a future release"
)


# What the CLI logs, with the time, which no two plans have in common.
_LOGGED = re.compile(r'^time="[^"]*" level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)|^[A-Z]{4}\[\d+\] (.*)$')
_DECODING = re.compile(r"^\d+ error\(s\) decoding:$")


def cli_notes(output: str) -> list[str]:
    """What the CLI says about the Compose files: keys that it ignores, images that it could not resolve; and why it stopped.

    It wraps long sentences and ends them with an empty line. What it logs, and errors of one value each, are lines.
    """
    notes: list[list[str]] = [[]]
    for line in map(str.strip, output.splitlines()):
        logged = _LOGGED.match(line)
        if logged:
            quoted, plain = logged.groups()
            text = plain or quoted.strip('"').replace('\\"', '"').replace("\\n", " ")
            notes += [[text.strip()], []]
        elif not line or _PROGRESS.match(line) or _DECODING.match(line):
            notes.append([])
        elif line.startswith("* "):
            notes.append([line[2:]])
        else:
            notes[-1].append(line)
    return [hide(" ".join(lines)) for lines in notes if lines]


_NOTE = re.compile(
    r"^Ignoring (unsupported|deprecated) options:|^image .* could not be accessed on a registry"
    r"|^\w+: (Setting|Exposing|Attaching|Linking|Use|Volume|Memory|CPU|Disabling)\b"
)


def cli_reasons(output: str) -> list[str]:
    """Why the CLI stopped, without its notes. It may have several reasons, and then says them in any order."""
    logged = {
        note for line in output.splitlines() if _LOGGED.match(line) for note in cli_notes(line)
    }
    return [note for note in cli_notes(output) if note not in logged and not _NOTE.match(note)]


def cli_failure(
    stack: str,
    attempt: str,
    output: str,
    refusals: Iterable[tuple[str, str, str]],
    reasons: Iterable[str] = (),
) -> SwarmError:
    """Why the CLI stopped. The engine's own words come first, then the CLI's."""
    refused = sorted({f"{kind} {name}: {hide(message)}" for kind, name, message in refusals})
    said = refused or sorted(reasons) or cli_reasons(output)[-4:]
    said = list(said) or ["it gave no reason"]
    if any("only updates to Labels" in line for line in refused):
        said.append(
            "the data of a secret or config cannot change: name it in rotate, or give the new data a new name"
        )
    if any("unsupported Compose file version" in line for line in said):
        said.append('this CLI wants a line version: "3.8" in a Compose file')
    code = "refused" if refused else "cli_failed"
    where = "the engine refuses" if refused else "docker stack deploy says"
    return SwarmError(
        code,
        f"Could not {attempt} stack {stack}: {where}: {'; '.join(said)}",
        refused=refused,
        output=cli_notes(output),
    )
