# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a deploy of a stack would change, and whether what it asked for now runs. No I/O.

A plan holds what the CLI would write against what the engine has. The engine stores a spec with its own
defaults filled in and names replaced by IDs, so both sides are first brought into one form.

What is never shown: data of secrets and configs, values whose name says that they are a credential
(environment variables, labels, options, `--name=value` arguments), and the password in a URL. That such
a value changes is shown, since the change is what is about to happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import KINDS, Write
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError

NAMESPACE = "com.docker.stack.namespace"
IMAGE_LABEL = "com.docker.stack.image"
HIDDEN = "(hidden)"
_LONGEST = 200
ABSENT = "(none)"

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
    """What happens to one object of the stack: create, update, remove, or none."""

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
        specs = (spec_in(kind, document) for document in self.by_kind()[kind])
        return next((spec for spec in specs if spec.get("Name") == name), None)

    def by_kind(self) -> dict[str, list[dict[str, Any]]]:
        return dict(zip(KINDS, (self.networks, self.secrets, self.configs, self.services)))


def spec_in(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """What the engine was asked for; a network's document is its own spec."""
    return document if kind == "network" else document.get("Spec") or {}


def plan_stack(stack: str, writes: Iterable[Write], live: Live) -> list[Step]:
    """The steps of a deploy, in an order that does not depend on the CLI's."""
    steps = {(w.kind, w.name): plan_write(w, live) for w in writes if w.action != "remove"}
    for name in sorted(_networks_in_use(steps, writes)):
        labels = (live.spec_of("network", name) or {}).get("Labels") or {}
        if ("network", name) not in steps and labels.get(NAMESPACE) == stack:
            steps[("network", name)] = Step("none", "network", name)
    return sorted(steps.values(), key=lambda step: (KINDS.index(step.kind), step.name))


def plan_write(write: Write, live: Live) -> Step:
    """What one write of the CLI comes to, given what is there."""
    current = live.spec_of(write.kind, write.name)
    if write.action == "create" or current is None:
        return Step("create", write.kind, write.name, summary(write.kind, write.spec))
    if write.kind == "service":
        changes = service_changes(current, write.spec, live.network_names())
    else:
        # The engine takes nothing but new labels here; other differences it has refused already.
        before, after = ({"Labels": spec.get("Labels") or {}} for spec in (current, write.spec))
        changes = _changes(_flat(before), _flat(after))
    return Step("update" if changes else "none", write.kind, write.name, "", tuple(changes))


def leftovers(stack: str, writes: Iterable[Write], live: Live) -> list[str]:
    """Services that the swarm has under the stack's name and the Compose files do not."""
    wanted = {w.name for w in writes if w.kind == "service"}
    found = set()
    for service in live.services:
        spec = service.get("Spec") or {}
        if (spec.get("Labels") or {}).get(NAMESPACE) == stack:
            found.add(str(spec.get("Name")))
    return sorted(found - wanted)


def _networks_in_use(steps: Any, writes: Iterable[Write]) -> set[str]:
    return {
        str(network.get("Target"))
        for write in writes
        if write.kind == "service"
        for network in (write.spec.get("TaskTemplate") or {}).get("Networks") or []
    }


def service_changes(
    current: dict[str, Any], wanted: dict[str, Any], network_names: dict[str, str]
) -> list[Change]:
    old, new = _comparable(current, network_names), _comparable(wanted, network_names)
    changes = [*_come_and_go(old, new), *_changes(_flat(old), _flat(new))]
    changes.sort(key=lambda change: _field_order(change.name))
    names = {change.name for change in changes}
    if names and all(name.startswith("placement.platforms") for name in names):
        # With a resolved digest the engine is told the image's platforms. A CLI that keeps the digest
        # does not repeat them (docker/cli: deploy_composefile.go); taking them away changes nothing.
        return []
    # Said already: another secret has another ID, and another image another label.
    said = {f"{c.name[: -len('.name')]}.id" for c in changes if _REFERENCE_NAME.match(c.name)}
    if "image" in names:
        said.add(f"labels.{IMAGE_LABEL}")
    return [change for change in changes if change.name not in said]


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
        found.append(Change(name, show(name, old), show(name, new)))
    return found


def _field_order(name: str) -> tuple[int, str]:
    first = ("image", "replicas", "mode")
    return (first.index(name) if name in first else len(first), name)


# --- A plan without an engine ----------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])([^}]*))?\})")


def interpolate(text: str, environment: dict[str, str]) -> str:
    """Put variables in as Compose does; what cannot be known stays as it is written."""

    def value(match: re.Match[str]) -> str:
        name, operator = match.group(1) or match.group(2), match.group(3) or ""
        if name is None:
            return "$"
        known = environment.get(name)
        given = str(match.group(4) or "")
        if known or (known is not None and not operator.startswith(":")):
            return given if operator.endswith("+") else known
        if operator.endswith("-"):
            return given
        return match.group(0) if operator.endswith("?") else ""

    return _VARIABLE.sub(value, text)


def _section(documents: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for document in documents:
        section = document.get(name)
        if isinstance(section, dict):
            for key, entry in section.items():
                known = merged.setdefault(str(key), {})
                if isinstance(entry, dict):
                    known.update(entry)
    return merged


def outline(
    stack: str,
    documents: list[dict[str, Any]],
    environment: dict[str, str] | None = None,
    rotated: dict[str, dict[str, str]] | None = None,
) -> list[Step]:
    """What a first deploy creates, read from the Compose files alone: for hosts without an engine yet.

    Names, images and counts, no more. The real plan comes from the CLI.
    """
    environment = environment or {}
    services = _section(documents, "services")
    networks = _section(documents, "networks")
    used: set[str] = set()
    steps = []
    for name, service in services.items():
        used.update(map(str, service.get("networks") or ["default"]))
        steps.append(
            Step("create", "service", f"{stack}_{name}", _outline_summary(service, environment))
        )
    kinds: tuple[tuple[str, dict[str, dict[str, Any]]], ...] = (
        ("network", {name: networks.get(name, {}) for name in used}),
        ("secret", _section(documents, "secrets")),
        ("config", _section(documents, "configs")),
    )
    for kind, entries in kinds:
        for name, entry in entries.items():
            if not entry.get("external"):
                summary = str(entry.get("driver") or "overlay") if kind == "network" else ""
                # The hash in a name is keyed with the ID of a swarm that is not there yet.
                end = "-..." if name in (rotated or {}).get(f"{kind}s", {}) else ""
                full = str(entry.get("name") or f"{stack}_{name}{end}")
                steps.append(Step("create", kind, full, summary))
    return sorted(steps, key=lambda step: (KINDS.index(step.kind), step.name))


def _outline_summary(service: dict[str, Any], environment: dict[str, str]) -> str:
    image = interpolate(str(service.get("image")), environment)
    deploy = service.get("deploy")
    deploy = deploy if isinstance(deploy, dict) else {}
    mode = str(deploy.get("mode") or "replicated")
    if mode != "replicated":
        return f"image {image}, {mode}"
    count = interpolate(str(deploy.get("replicas", 1)), environment)
    return f"image {image}, {count} {'replica' if count == '1' else 'replicas'}"


def file_references(documents: list[dict[str, Any]], environment: dict[str, str]) -> list[str]:
    """Files that the Compose files take in by a relative path: secrets, configs, env files."""
    found: set[str] = set()
    for kind in ("secrets", "configs"):
        for entry in _section(documents, kind).values():
            if entry.get("file"):
                found.add(str(entry["file"]))
    for document in documents:
        services = document.get("services")
        for service in services.values() if isinstance(services, dict) else ():
            listed = service.get("env_file") if isinstance(service, dict) else None
            for item in listed if isinstance(listed, list) else [listed]:
                path = item.get("path") if isinstance(item, dict) else item
                if path:
                    found.add(str(path))
    paths = {interpolate(path, environment) for path in found}
    return sorted(path for path in paths if not path.startswith(("/", "~")))


def rotatable(
    documents: list[dict[str, Any]], environment: dict[str, str]
) -> dict[str, dict[str, str]]:
    """Secrets and configs whose name is the stack's to choose, and the files that they are made of."""
    found: dict[str, dict[str, str]] = {}
    for kind in ("secrets", "configs"):
        for key, entry in _section(documents, kind).items():
            path = interpolate(str(entry.get("file") or ""), environment)
            named = entry.get("external") or entry.get("name")
            if path and not named and not path.startswith(("/", "~")):
                found.setdefault(kind, {})[key] = path
    return found


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
_MOUNT_DEFAULTS = {"consistency": "default", "bind_options.propagation": "rprivate"}
# A zero that is not the same as nothing.
_ZERO_COUNTS = {"replicas", "delay", "window", "stop_grace_period", "init", "swappiness"}
# Maps whose keys are the user's own: an empty value is a value.
_USER_MAPS = {"labels", "container_labels", "env", "options", "driver_opts", "sysctls"}
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
        str(mount.get("Target")): {k: v for k, v in mount.items() if k != "Target"}
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
    result.update(_mode(spec.get("Mode") or {}))
    return result


def _mode(mode: dict[str, Any]) -> dict[str, Any]:
    name: str = next((key for key in mode if mode[key] is not None), "Replicated")
    settings = dict(mode.get(name) or {})
    if name == "Replicated":
        replicas = settings.get("Replicas")
        return {"Mode": "replicated", "Replicas": 1 if replicas is None else replicas}
    if name == "ReplicatedJob":
        concurrent = settings.get("MaxConcurrent")
        settings["MaxConcurrent"] = 1 if concurrent is None else concurrent
        total = settings.get("TotalCompletions")
        settings["TotalCompletions"] = settings["MaxConcurrent"] if total is None else total
    return {"Mode": _snake(name).replace("_", "-"), **settings}


def _environment(entries: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        found[name] = value if equals else "(unset)"
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

_CREDENTIAL = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|(private|api|access)_?key|auth(?!or)|salt|cookie"
    r"|(^|[_.-])(key|pass|dsn)$",
    re.IGNORECASE,
)
# A file or a path that holds a credential is not one.
_NOT_CREDENTIAL = re.compile(r"(_|-|\.)(file|path|dir|name|id|ttl|timeout|enabled)$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w+://[^/\s:@]*:)[^/\s@]+(@)")
_ARGUMENT = re.compile(r"^(--?[\w.-]+|[\w.-]+)=(.*)$", re.DOTALL)


def is_credential(name: str) -> bool:
    return bool(_CREDENTIAL.search(name)) and not _NOT_CREDENTIAL.search(name)


def show(name: str, value: Any) -> str:
    """The value of a field for a person, without what must not be seen."""
    if value is None:
        return ABSENT
    own_map, own_key = _own_key(name)
    if own_map and is_credential(own_key):
        return HIDDEN
    if isinstance(value, list):
        return ", ".join(_arguments(value)) or ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _quantity(name.rpartition(".")[2], value)
    text = _URL_PASSWORD.sub(rf"\1{HIDDEN}\2", str(value))
    if not text or text != text.strip():
        return repr(text)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _own_key(name: str) -> tuple[bool, str]:
    parts = name.split(".")
    for number, part in enumerate(parts):
        if part in _USER_MAPS:
            return True, ".".join(parts[number + 1 :])
    return False, ""


def _arguments(values: list[Any]) -> Iterator[str]:
    hide_next = False
    for value in values:
        if hide_next:
            hide_next = False
            yield HIDDEN
            continue
        text = show("", value) if isinstance(value, str) else str(value)
        match = _ARGUMENT.match(text)
        if match and is_credential(match.group(1)):
            text = f"{match.group(1)}={HIDDEN}"
        elif text.startswith("-") and is_credential(text):
            hide_next = True
        yield text


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
    mode = _mode(spec.get("Mode") or {})
    if mode["Mode"] == "replicated":
        count = mode["Replicas"]
        how_many = f"{count} replica" if count == 1 else f"{count} replicas"
    else:
        how_many = mode["Mode"]
    # As it stands in the Compose file: the digest is the registry's business.
    labels = spec.get("Labels") or {}
    return f"image {labels.get(IMAGE_LABEL) or container.get('Image')}, {how_many}"


def short_image(image: str) -> str:
    """An image without most of its digest."""
    return re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]+", r"\1", image)


_SIGNS = {"create": "+", "update": "~", "remove": "-"}


def plan_lines(
    stack: str, steps: list[Step], acting: str, extra: Iterable[str] = (), notes: Iterable[str] = ()
) -> list[str]:
    """The plan as a table that a person reads in a hurry."""
    lines = [f"PLAN  stack {stack}, acting on {acting}"]
    shown = [step for step in steps if step.action != "none"]
    width = max((len(step.name) for step in shown), default=0)
    for step in shown:
        line = f"  {_SIGNS[step.action]} {step.kind:<7}  {step.name:<{width}}"
        if step.action != "update":
            lines.append(f"{line}  {step.summary}".rstrip())
            continue
        field_width = max(len(change.name) for change in step.changes)
        first, indent = f"{line}  ", " " * (len(line) + 2)
        for change in step.changes:
            before, after = short_image(change.before), short_image(change.after)
            lines.append(f"{first}{change.name:<{field_width}}  {before} -> {after}")
            first = indent
    lines += [
        f"  ! service  {name}  not in the Compose files: left alone (prune removes it)"
        for name in extra
    ]
    lines += [f"  ! {note}" for note in notes]
    same = len(steps) - len(shown)
    if same:
        lines.append(f"  = {same} {'object' if same == 1 else 'objects'} as they should be")
    return lines


# --- What the CLI says -----------------------------------------------------------------------------------

_PROGRESS = re.compile(
    r"^(Creating|Updating) (network|secret|config|service) |^Since --detach|^In a future release"
)


def cli_notes(output: str) -> list[str]:
    """What the CLI says about the Compose files: keys that it ignores, images that it could not resolve.

    It wraps long sentences and ends them with an empty line.
    """
    notes: list[list[str]] = [[]]
    for line in map(str.strip, output.splitlines()):
        if line and not _PROGRESS.match(line):
            notes[-1].append(line)
        else:
            notes.append([])
    return [" ".join(lines) for lines in notes if lines]


def cli_failure(
    stack: str, attempt: str, output: str, refusals: Iterable[tuple[str, str, str]]
) -> SwarmError:
    """Why the CLI stopped. The engine's own words come first, then the CLI's."""
    refused = [f"{kind} {name}: {message}" for kind, name, message in refusals]
    said = refused or cli_notes(output)[-4:] or ["the CLI gave no reason"]
    if any("only updates to Labels" in line for line in refused):
        said.append("the data of a secret or config cannot change: give the new data a new name")
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


# --- Verdict ---------------------------------------------------------------------------------------------

CONVERGED, WAITING, FAILED = "converged", "waiting", "failed"


@dataclass(frozen=True)
class Verdict:
    """Whether one service runs as asked, and if not, why."""

    service: str
    mode: str
    desired: int
    running: int
    state: str
    cause: str | None = None
    reason: str = ""
    node: str | None = None
    tasks: frozenset[str] = frozenset()
    youngest: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.service,
            "mode": self.mode,
            "desired": self.desired,
            "running": self.running,
            "state": self.state,
            "cause": self.cause,
            "reason": self.reason,
            "node": self.node,
        }

    def line(self) -> str:
        text = f"{self.service}: {self.running} of {self.desired} tasks as asked"
        if self.reason:
            where = f" on {self.node}" if self.node else ""
            text += f", {self.cause or 'waiting'}{where}: {self.reason}"
        return text


# What the engine says of a task, and what it means (swarmkit: manager/scheduler/filter.go and
# agent/exec/dockerapi; moby: daemon/cluster/executor/container).
_CAUSES = (
    ("scheduling constraints not satisfied", "constraint"),
    ("insufficient resources", "resources"),
    ("unsupported platform", "platform"),
    ("host-mode port already in use", "port"),
    ("missing plugin", "plugin"),
    ("max replicas per node", "replicas_per_node"),
    ("not available for new tasks", "availability"),
    ("no suitable node", "no_node"),
    ("unhealthy container", "unhealthy"),
    ("No such image", "image"),
    ("pull access denied", "image"),
    ("manifest", "image"),
    ("repository does not exist", "image"),
    ("error pulling image", "image"),
    ("port is already allocated", "port"),
    ("address already in use", "port"),
    ("non-zero exit", "crash"),
    ("starting container failed", "start"),
    ("OCI runtime", "start"),
    ("invalid mount config", "start"),
)


def cause_of(text: str) -> str:
    return next((cause for words, cause in _CAUSES if words in text), "task_failed")


def judge(
    service: dict[str, Any],
    tasks: list[dict[str, Any]],
    current_ids: set[str],
    nodes: list[dict[str, Any]],
    overruled: bool = False,
) -> Verdict:
    """A verdict from the tasks of the spec that the service has now, on nodes that are ready.

    `current_ids` are the tasks that the engine itself holds for up to date. `overruled` says that the
    service does not have the spec that this run wrote. The update status alone does not tell: after a
    rollback, engine 26.1 says `completed` when it has replaced the last task.
    """
    names = {str(n.get("ID")): hostname_of(n) for n in nodes}
    ready = {str(n.get("ID")) for n in nodes if (n.get("Status") or {}).get("State") == "ready"}
    spec = service.get("Spec") or {}
    mode = _mode(spec.get("Mode") or {})
    own = [t for t in tasks if t.get("ServiceID") == service.get("ID")]
    current = [t for t in own if str(t.get("ID")) in current_ids]
    stale = [t for t in own if str(t.get("ID")) not in current_ids and _wanted(t)]

    if mode["Mode"].endswith("-job"):
        counted, desired, lost = _job(service, current, mode, ready)
    else:
        counted, desired, lost = _running(spec, current, stale, mode, ready)

    status = service.get("UpdateStatus") or {}
    update = str(status.get("State") or "")
    # After a rollback the tasks that failed are no longer those of the spec that the service has.
    trouble = _trouble(own if overruled else current, current, lost, ready)
    state, cause, reason, node = WAITING, None, "", None
    if overruled:
        cause, reason, node = "rolled_back", _said(status, trouble), _node_of(trouble, names)
        if not update.startswith("rollback") and service.get("PreviousSpec"):
            cause, reason, node = "overwritten", "somebody else has written the service since", None
        state = WAITING if update == "rollback_started" else FAILED
    elif len(counted) == desired and not stale and update not in ("updating", "rollback_started"):
        state = CONVERGED
    elif update in ("paused", "rollback_paused"):
        cause, reason, node = "paused", _said(status, trouble), _node_of(trouble, names)
        state = FAILED
    else:
        state = FAILED if lost else WAITING
        if trouble is not None:
            reason, node = _task_reason(trouble, ready), _node_of(trouble, names)
            cause = "node_down" if _on_lost_node(trouble, ready) else _task_cause(trouble)
        elif update == "updating":
            reason = "the update is not finished"
        elif stale:
            reason = f"{len(stale)} tasks of the spec before still run"
        else:
            reason = "no task yet"
    return Verdict(
        service=str(spec.get("Name")),
        mode=mode["Mode"],
        desired=desired,
        running=len(counted),
        state=state,
        cause=cause,
        reason=reason,
        node=node,
        tasks=frozenset(str(t.get("ID")) for t in counted),
        youngest=max((seen for seen in map(_timestamp, counted) if seen is not None), default=None),
    )


def _state(task: dict[str, Any]) -> str:
    return str((task.get("Status") or {}).get("State") or "")


def _wanted(task: dict[str, Any]) -> bool:
    return task.get("DesiredState") in ("running", "ready", "accepted", "complete")


def _running(
    spec: dict[str, Any],
    current: list[dict[str, Any]],
    stale: list[dict[str, Any]],
    mode: dict[str, Any],
    ready: set[str],
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    live = [t for t in current if _wanted(t)]
    good = [t for t in live if _state(t) == "running" and t.get("NodeID") in ready]
    policy = (spec.get("TaskTemplate") or {}).get("RestartPolicy") or {}
    lost: list[dict[str, Any]] = []
    if policy.get("Condition") in ("none", "on-failure") or policy.get("MaxAttempts"):
        # Such a task ends and nothing replaces it: well if it was done, for good if it was not.
        busy = {_slot(t) for t in live}
        for task in _newest_by_slot(current):
            if _slot(task) in busy:
                continue
            if _state(task) == "complete":
                good.append(task)
            elif _state(task) in ("failed", "rejected"):
                lost.append(task)
    if mode["Mode"] == "replicated":
        return good, int(mode["Replicas"]), lost
    # A global service wants one task on each node that fits, and only the engine knows which those are.
    expected = [t for t in live + stale if t.get("NodeID") in ready or not t.get("NodeID")]
    finished = [t for t in good if not _wanted(t)]
    return good, len({_slot(t) for t in expected + finished + lost}), lost


def _job(
    service: dict[str, Any], current: list[dict[str, Any]], mode: dict[str, Any], ready: set[str]
) -> tuple[list[dict[str, Any]], int, list[dict[str, Any]]]:
    iteration = _iteration((service.get("JobStatus") or {}).get("JobIteration"))
    run = [t for t in current if _iteration(t.get("JobIteration")) == iteration]
    done = [t for t in run if _state(t) == "complete"]
    if mode["Mode"] == "replicated-job":
        return done, int(mode["TotalCompletions"]), []
    on_nodes = [t for t in run if _wanted(t) and (t.get("NodeID") in ready or not t.get("NodeID"))]
    return done, len({_slot(t) for t in on_nodes + done}), []


def _iteration(value: Any) -> int:
    return int((value or {}).get("Index") or 0)


def _slot(task: dict[str, Any]) -> str:
    return str(task.get("Slot") or task.get("NodeID") or task.get("ID"))


def _newest_by_slot(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for task in sorted(tasks, key=lambda t: str(t.get("CreatedAt") or "")):
        newest[_slot(task)] = task
    return list(newest.values())


def _on_lost_node(task: dict[str, Any], ready: set[str]) -> bool:
    return _state(task) == "running" and task.get("NodeID") not in ready


def _trouble(
    candidates: list[dict[str, Any]],
    current: list[dict[str, Any]],
    lost: list[dict[str, Any]],
    ready: set[str],
) -> dict[str, Any] | None:
    """The task that says most about why the service is not there yet."""
    live = [t for t in current if _wanted(t)]
    failed = [t for t in candidates if _state(t) in ("failed", "rejected")]
    stuck = [t for t in live if (t.get("Status") or {}).get("Err")]
    away = [t for t in live if _on_lost_node(t, ready)]
    slow = [t for t in live if _state(t) not in ("running", "complete")]
    for group in (lost, stuck, failed, away, slow):
        if group:
            return max(group, key=lambda t: str((t.get("Status") or {}).get("Timestamp") or ""))
    return None


def _task_cause(task: dict[str, Any]) -> str | None:
    status = task.get("Status") or {}
    error = str(status.get("Err") or "")
    if error:
        return cause_of(error)
    return "task_failed" if _state(task) in ("failed", "rejected") else None


def _task_reason(task: dict[str, Any], ready: set[str]) -> str:
    status = task.get("Status") or {}
    if _on_lost_node(task, ready):
        return "the node does not answer"
    text = str(status.get("Err") or status.get("Message") or "no reason given")
    code = (status.get("ContainerStatus") or {}).get("ExitCode")
    if code and _state(task) == "failed" and f"({code})" not in text:
        text += f" (exit code {code})"
    return f"{_state(task) or 'new'}: {text}"


def _said(status: dict[str, Any], trouble: dict[str, Any] | None) -> str:
    parts = [str(status.get("Message") or "")]
    if trouble is not None and (trouble.get("Status") or {}).get("Err"):
        parts.append(str(trouble["Status"]["Err"]))
    return "; ".join(part for part in parts if part) or "no reason given"


def _node_of(task: dict[str, Any] | None, names: dict[str, str]) -> str | None:
    node_id = str((task or {}).get("NodeID") or "")
    return names.get(node_id, node_id) or None


def hostname_of(node: dict[str, Any]) -> str:
    return str((node.get("Description") or {}).get("Hostname") or node.get("ID"))


def _timestamp(task: dict[str, Any]) -> float | None:
    text = str((task.get("Status") or {}).get("Timestamp") or "")
    match = re.match(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    if not match:
        return None
    try:
        moment = datetime.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    return moment.replace(tzinfo=timezone.utc).timestamp()


class Watch:
    """Decides when a row of verdicts is final.

    A container that crashes at once is running for a moment. So the same tasks must be there for
    `settle` seconds, unless nothing was written and they have been running for longer than that.
    """

    def __init__(self, settle: float, written: bool, wall_clock: Callable[[], float]) -> None:
        self._settle = settle
        self._written = written
        self._wall_clock = wall_clock
        self._tasks: frozenset[tuple[str, frozenset[str]]] | None = None
        self._since = 0.0

    def final(self, verdicts: list[Verdict], now: float) -> bool:
        tasks = frozenset((v.service, v.tasks) for v in verdicts)
        if tasks != self._tasks:
            self._tasks, self._since = tasks, now
        if any(v.state == FAILED for v in verdicts):
            return True
        if not all(v.state == CONVERGED for v in verdicts):
            return False
        if now - self._since >= self._settle:
            return True
        if self._written:
            return False
        moments = [v.youngest for v in verdicts if v.youngest is not None]
        return not moments or self._wall_clock() - max(moments) >= self._settle


def undeployed(stack: str, verdicts: list[Verdict], seconds: float) -> SwarmError:
    """The failure of a stack whose services are not all there, with a cause for each."""
    open_ones = [v for v in verdicts if v.state != CONVERGED]
    failed = any(v.state == FAILED for v in open_ones)
    when = "has failed" if failed else f"is not up after {seconds:g} s"
    return SwarmError(
        "not_converged",
        f"Stack {stack} {when}: {'; '.join(v.line() for v in open_ones)}",
        services=[{**v.as_dict(), "cause": v.cause or "deadline"} for v in open_ones],
    )
