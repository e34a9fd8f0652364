# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a manager knows of its swarm, as the documents of an inventory. It only reads.

For each Compose file that is made of running services, Docker's own CLI is asked what a deploy of it would write, through the
proxy that records instead of writing. What it would write differently is what the file cannot tell.
"""

from __future__ import annotations

from typing import Any

from .._api.reader import EngineReader
from .._cluster.observe import settled_nodes
from .._cluster.settings import read_settings
from .._common.errors import SwarmError
from .._model.labels import RECORD_LABELS, REVISION_LABEL, STACK_LABEL, stack_of
from .._model.services import attachments, service_name
from .._spec.changes import service_changes
from .._stack.capture import Capture, begin_capture, refusals_of
from .._stack.checked_options import options_of
from .._stack.inputs import Inputs, read_inputs
from .._stack.plan import StackSnapshot
from .._stack.planning import plan_deploy
from .compose_of import Composed, Pools, compose_of, folder_names, safe_key, service_key


def read_swarm(params: dict[str, Any]) -> dict[str, Any]:
    """The swarm as data, without the data of secrets and without tokens; raises any code of EngineReader, and no_cli."""
    reader = EngineReader(params["docker_host"], params["timeout"])
    document = reader.swarm()
    nodes = [node.as_dict() for node in settled_nodes(reader.nodes, lambda: None)]
    live = _observe(reader)
    pools = Pools(
        tuple(document.get("DefaultAddrPool") or Pools.networks),
        int(document.get("SubnetSize") or Pools.size),
    )
    check = _Check(params, reader, live)
    stacks, loose = split(live)
    return {
        "cluster_id": str(document.get("ID")),
        "settings": read_settings(document.get("Spec") or {}),
        "pools": list(document.get("DefaultAddrPool") or []),
        "subnet_size": int(document.get("SubnetSize") or 0),
        "data_path_port": int(document.get("DataPathPort") or 0),
        "nodes": nodes,
        "stacks": [
            _stack(name, folder, services, live, pools, check)
            for folder, (name, services) in zip(folder_names(stacks), stacks.items())
        ],
        "services": [
            _service(one, folder, live, pools, check)
            for folder, one in zip(folder_names(map(service_name, loose)), loose)
        ],
        **outside(live),
    }


def _observe(reader: EngineReader) -> StackSnapshot:
    attempt = "read the swarm"
    live = StackSnapshot(
        services=reader.get("/services", attempt),
        networks=reader.get("/networks", attempt),
        secrets=reader.get("/secrets", attempt),
        configs=reader.get("/configs", attempt),
    )
    known = set(live.network_names())
    used = {
        str(network.get("Target"))
        for service in live.services
        for network in attachments(service.get("Spec"))
    }
    # The swarm's own networks of the hosts, which no list has.
    for network_id in sorted(used - known):
        try:
            live.networks.append(reader.get(f"/networks/{network_id}", attempt))
        except SwarmError as error:
            if error.code != "not_found":
                raise
    return live


def split(live: StackSnapshot) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """The services by stack, and those that no deploy of a stack reaches, because of their name or label. Pure."""
    stacks: dict[str, list[dict[str, Any]]] = {}
    loose = []
    for service in sorted(live.services, key=service_name):
        stack = stack_of(service.get("Spec") or {}) or ""
        if stack and service_key(stack, service_name(service)) is not None:
            stacks.setdefault(stack, []).append(service)
        else:
            loose.append(service)
    return dict(sorted(stacks.items())), loose


# On configs that are no part of what users have deployed.
_KEPT = RECORD_LABELS | {REVISION_LABEL}


def outside(live: StackSnapshot) -> dict[str, Any]:
    """The objects of the swarm that no Compose file makes: networks and configs outside stacks, and all secrets. Pure."""
    networks = [
        {
            "name": str(one.get("Name")),
            "driver": str(one.get("Driver") or ""),
            "ingress": bool(one.get("Ingress")),
        }
        for one in live.networks
        if one.get("Scope") == "swarm" and not stack_of(one)
    ]
    used: dict[tuple[str, str], list[str]] = {}
    for service in live.services:
        container = ((service.get("Spec") or {}).get("TaskTemplate") or {}).get(
            "ContainerSpec"
        ) or {}
        for kind in ("Secret", "Config"):
            for entry in container.get(f"{kind}s") or []:
                key = (kind, str(entry.get(f"{kind}Name")))
                used.setdefault(key, []).append(service_name(service))

    def listed(kind: str, documents: list[dict[str, Any]], stacks: bool) -> list[dict[str, Any]]:
        specs = [document.get("Spec") or {} for document in documents]
        return [
            {"name": str(s.get("Name")), "used_by": used.get((kind, str(s.get("Name"))), [])}
            for s in sorted(specs, key=lambda one: str(one.get("Name")))
            if (stacks or not stack_of(s)) and _KEPT.isdisjoint(s.get("Labels") or {})
        ]

    return {
        "networks": sorted(networks, key=lambda one: str(one["name"])),
        "secrets": listed("Secret", live.secrets, stacks=True),
        "configs": listed("Config", live.configs, stacks=False),
    }


def _stack(
    name: str,
    folder: str,
    services: list[dict[str, Any]],
    live: StackSnapshot,
    pools: Pools,
    check: _Check,
) -> dict[str, Any]:
    made = compose_of(name, services, live, folder, pools)
    return {
        **_entry(name, folder, made),
        "services": [service_name(one) for one in services],
        "differences": check.of_stack(name, made),
    }


def _service(
    service: dict[str, Any], folder: str, live: StackSnapshot, pools: Pools, check: _Check
) -> dict[str, Any]:
    name = service_name(service)
    made = compose_of("", [service], live, folder, pools)
    stack = stack_of(service.get("Spec") or {}) or ""
    return {
        **_entry(name, folder, made),
        "services": [name],
        "stack": stack,
        "differences": check.of_service(service, made),
    }


def _entry(name: str, folder: str, made: Composed) -> dict[str, Any]:
    return {
        "name": name,
        "folder": folder,
        "compose": made.document,
        "files": made.files,
        "notes": list(made.notes),
    }


class _Check:
    """Asks the CLI what a deploy of a Compose file would change."""

    def __init__(self, params: dict[str, Any], reader: EngineReader, live: StackSnapshot) -> None:
        self._connection = {name: params[name] for name in ("docker_host", "timeout")}
        self._reader = reader
        self._live = live

    def of_stack(self, name: str, made: Composed) -> list[str]:
        """What a deploy of the file would change, a line each; none if the plan is empty."""
        try:
            capture, params, inputs = self._capture(name, made)
            run = capture.run(self._live)
            run.refusals += refusals_of(run.writes, self._live, self._reader)
            capture.check(run, "plan")
            plan = plan_deploy(name, run, self._live, params, inputs.documents())
        except SwarmError as error:
            if error.code == "no_cli":
                raise
            return [error.message.rstrip(".")]
        found = []
        # A revision follows from the other steps; alone, it is a step of its own.
        for step in plan.steps if any(s.action != "none" for s in plan.steps) else plan.history:
            if step.action != "none" and not step.changes:
                found.append(f"{step.kind} {step.name}: a deploy would {step.action} it")
            found += [
                f"{step.kind} {step.name}: {change.name} {change.before} -> {change.after}"
                for change in step.changes
            ]
        found += [f"service {name}: the file does not have it" for name in plan.leftovers]
        return found

    def of_service(self, service: dict[str, Any], made: Composed) -> list[str]:
        """What a service of this file would have that the service has not, apart from the labels of a stack."""
        name = service_name(service)
        key = safe_key(name)
        try:
            capture, _params, _inputs = self._capture(key, made)
            run = capture.run(self._live)
            writes = [write for write in run.writes if write.kind == "service"]
            if not writes:
                # Otherwise the engine may refuse what it has already: a second service on the same port.
                capture.check(run, "plan")
        except SwarmError as error:
            if error.code == "no_cli":
                raise
            return [error.message.rstrip(".")]
        current = _without_stack(service.get("Spec") or {}, key)
        names = self._live.network_names()
        return [
            f"service {name}: {change.name} {change.before} -> {change.after}"
            for write in writes
            for change in service_changes(current, _without_stack(write.spec, key), names)
        ]

    def _capture(self, name: str, made: Composed) -> tuple[Capture, dict[str, Any], Inputs]:
        params = {**options_of({"name": name, "definition": made.document}), **self._connection}
        given = {"definition": made.document, "files": made.files}
        inputs = read_inputs(name, {**given, "environment": {}, "registries": []})
        return begin_capture(name, params, inputs, self._reader), params, inputs


def _without_stack(spec: dict[str, Any], key: str) -> dict[str, Any]:
    """The spec of a service outside a stack, and the one that the CLI makes for a stack, in one form."""
    template = dict(spec.get("TaskTemplate") or {})
    container = dict(template.get("ContainerSpec") or {})
    container["Labels"] = _user_labels(container.get("Labels"))
    # The command docker service create sends it without settings.
    if not any((container.get("DNSConfig") or {}).values()):
        container.pop("DNSConfig", None)
    container["Mounts"] = [
        {**mount, "VolumeOptions": _volume_options(mount.get("VolumeOptions"))}
        if mount.get("Type") == "volume"
        else mount
        for mount in container.get("Mounts") or []
    ]
    template["ContainerSpec"] = container
    template["Networks"] = [
        {**one, "Aliases": [alias for alias in one.get("Aliases") or [] if alias != key]}
        for one in template.get("Networks") or []
    ]
    return {**spec, "Labels": _user_labels(spec.get("Labels")), "TaskTemplate": template}


def _user_labels(labels: dict[str, str] | None) -> dict[str, str]:
    return {k: v for k, v in (labels or {}).items() if not k.startswith("com.docker.stack.")}


def _volume_options(options: dict[str, Any] | None) -> dict[str, Any]:
    found = dict(options or {})
    labels = {k: v for k, v in (found.get("Labels") or {}).items() if k != STACK_LABEL}
    return {**found, "Labels": labels}
