# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A stack as far as its Compose files alone tell it, on the controller and without an engine. No I/O.

The real plan comes from the CLI. This is what is needed before that: the files that a stack references, what can be
rotated, and an outline of what a first deploy creates.
"""

from __future__ import annotations

import re
from typing import Any

from .._common.errors import SwarmError
from .plan import StackStep
from .writes import KINDS

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:(:?[-?+])([^}]*))?\})")


def interpolate(text: str, environment: dict[str, str]) -> str:
    """The text with variables replaced as Compose does it; a required variable that is missing stays as it is written."""

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


def with_profile(stack: dict[str, Any], profile: str) -> dict[str, Any]:
    """A stack with the settings of one of its profiles: lists and dictionaries are extended, other values replaced.

    Raises unknown_profile if it has profiles and none of this name.
    """
    profiles = stack.get("profiles") or {}
    plain = {key: value for key, value in stack.items() if key != "profiles"}
    if not profile or not profiles:
        return plain
    if profile not in profiles:
        raise SwarmError(
            "unknown_profile",
            f"Could not use profile {profile}: stack {stack['name']} does not have it. Choose one of"
            f" {', '.join(sorted(profiles))}.",
        )
    for key, value in (profiles[profile] or {}).items():
        known = plain.get(key)
        if isinstance(known, list) and isinstance(value, list):
            value = known + value
        elif isinstance(known, dict) and isinstance(value, dict) and key != "definition":
            value = {**known, **value}
        plain[key] = value
    return plain


def variable(value: Any) -> str:
    """The value of a variable as text; a boolean as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def variables_in(path: str, text: str) -> dict[str, str]:
    """The variables in an env file of NAME=value lines, without nested ones; raises bad_env_file."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name, value = name.removeprefix("export ").strip(), value.strip()
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
            # The line may hold a secret, so the message does not repeat it.
            raise SwarmError("bad_env_file", f"{path}, line {number}, is not NAME=value.")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found


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
) -> list[StackStep]:
    """The steps of a first deploy, from the Compose files alone: names, images and numbers of replicas.

    For hosts that have no engine yet; the real plan comes from the CLI.
    """
    environment = environment or {}
    services = _section(documents, "services")
    networks = _section(documents, "networks")
    used: set[str] = set()
    steps = []
    for name, service in services.items():
        listed = service.get("networks")
        # The CLI reports what is not a Compose file.
        used.update(
            map(str, listed if isinstance(listed, (list, dict)) and listed else ["default"])
        )
        steps.append(
            StackStep(
                "create", "service", f"{stack}_{name}", _outline_summary(service, environment)
            )
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
                summary = interpolate(summary, environment)
                # The hash in a name is keyed with the ID of a swarm that is not there yet.
                end = "-..." if name in (rotated or {}).get(f"{kind}s", {}) else ""
                full = interpolate(str(entry.get("name") or f"{stack}_{name}{end}"), environment)
                steps.append(StackStep("create", kind, full, summary))
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
    """The relative paths of files that the Compose files reference: secrets, configs, env files."""
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
    """Secrets and configs with a file and without a fixed name: the path of the file, by section and key."""
    found: dict[str, dict[str, str]] = {}
    for kind in ("secrets", "configs"):
        for key, entry in _section(documents, kind).items():
            path = interpolate(str(entry.get("file") or ""), environment)
            named = entry.get("external") or entry.get("name")
            if path and not named and not path.startswith(("/", "~")):
                found.setdefault(kind, {})[key] = path
    return found


# Keys of a service and of its networks that Docker's CLI accepts and does not use (docker/cli: cli/compose/convert).
_SILENT_KEYS = ("depends_on", "tmpfs")
_SILENT_NETWORK_KEYS = ("ipv4_address", "ipv6_address")


def silently_ignored(documents: list[Any]) -> list[str]:
    """Keys that have no effect in a swarm and that the CLI does not mention."""
    found: set[str] = set()
    for service in _section([d for d in documents if isinstance(d, dict)], "services").values():
        found.update(key for key in _SILENT_KEYS if service.get(key))
        networks = service.get("networks")
        for network in networks.values() if isinstance(networks, dict) else ():
            if isinstance(network, dict):
                found.update(f"networks.{k}" for k in _SILENT_NETWORK_KEYS if network.get(k))
    return sorted(found)


_UNSUPPORTED = "Ignoring unsupported options: "
_DEPRECATED = "Ignoring deprecated options:"


def ignored_keys(notes: list[str]) -> list[str]:
    """The keys that the CLI reports as ignored (docker/cli: cli/command/stack/loader)."""
    found: set[str] = set()
    deprecated = False
    for note in notes:
        if note.startswith(_UNSUPPORTED):
            found.update(note[len(_UNSUPPORTED) :].split(", "))
        elif note.startswith(_DEPRECATED):
            deprecated = True
        elif deprecated and re.match(r"\w+: ", note):
            found.add(note.partition(":")[0])
    return sorted(found)
