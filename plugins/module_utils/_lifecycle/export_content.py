# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a logical export of a swarm has: all that a manager can tell, as data that any other swarm can be given. Pure.

It has the desired state. What a drain or a rebalance in progress has put into specs for a while is left out. References keep
the IDs of the old swarm; each object has its old ID beside its spec, so that an import can translate them by name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._cluster.identity import address_of
from .._cluster.settings import read_settings
from .._common.errors import SwarmError
from .._common.words import count_of
from .._model.documents import dig, id_of, parse_node
from .._model.labels import (
    HOST_LABEL,
    LEAVING_LABEL,
    LOGIN_LABEL,
    MOVING_LABEL,
    REBALANCING_LABEL,
    RECORD_LABELS,
    RESTARTING_LABEL,
    drained_from,
    name_of,
)
from .._model.services import attachments, container_of, service_name
from .._nodes.marks import released, unmarked
from .._spec.changes import VXLAN_IDS_OPTION

# The format of the document. An import refuses any other.
FORMAT = 1
# The lists of an export, and how their objects are called.
PARTS = {
    "nodes": "node",
    "networks": "network",
    "configs": "config",
    "secrets": "secret",
    "services": "service",
}
# What creates a network, without what the engine adds by itself (moby: api/types/network, CreateOptions).
_NETWORK = (
    *("Name", "Driver", "Scope", "Internal", "Attachable", "Ingress", "EnableIPv6", "IPAM"),
    *("ConfigOnly", "ConfigFrom", "Options", "Labels"),
)

Spec = dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """The answers of a manager: the documents of its lists."""

    swarm: dict[str, Any]
    nodes: list[dict[str, Any]] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)
    configs: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[dict[str, Any]] = field(default_factory=list)
    services: list[dict[str, Any]] = field(default_factory=list)
    # The names, by ID, of the swarm's own networks host and bridge, which no list has.
    predefined: dict[str, str] = field(default_factory=dict)


def export_of(listed: Listed) -> dict[str, Any]:
    """The export, without the moment at which it was taken: two reads of an unchanged swarm give the same."""
    spec = copy.deepcopy(listed.swarm.get("Spec") or {})
    # The engine does not return these keys. If one ever does, they must not be in a file.
    for key in ("SigningCACert", "SigningCAKey"):
        (spec.get("CAConfig") or {}).pop(key, None)
    return {
        "format": FORMAT,
        "cluster_id": id_of(listed.swarm),
        "swarm": {
            "spec": spec,
            "settings": read_settings(spec),
            "default_addr_pool": listed.swarm.get("DefaultAddrPool") or [],
            "subnet_size": listed.swarm.get("SubnetSize"),
            "data_path_port": listed.swarm.get("DataPathPort"),
        },
        "nodes": _sorted(map(_node, listed.nodes)),
        "networks": _sorted(
            {"id": id_of(network), "name": str(network.get("Name")), "spec": network_spec(network)}
            for network in listed.networks
            if network.get("Scope") == "swarm"
        ),
        "predefined_networks": dict(sorted(listed.predefined.items())),
        # Without records. In another swarm, they would say that a manager that is not there makes a backup, or deploys.
        "configs": _sorted(
            _plain(config)
            for config in listed.configs
            if RECORD_LABELS.isdisjoint(dig(config, "Spec", "Labels") or {})
        ),
        "secrets": _sorted(
            {**_without_data(secret), "used_by": _users(secret, listed.services)}
            for secret in listed.secrets
        ),
        "services": _sorted(map(_service, listed.services)),
    }


def _sorted(entries: Any) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: (entry["name"], entry["id"]))


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    spec = document.get("Spec") or {}
    return {"id": id_of(dict(document)), "name": str(spec.get("Name")), "spec": spec}


def _without_data(secret: Mapping[str, Any]) -> dict[str, Any]:
    entry = _plain(secret)
    return {**entry, "spec": {key: item for key, item in entry["spec"].items() if key != "Data"}}


def _users(secret: Mapping[str, Any], services: list[dict[str, Any]]) -> list[str]:
    """The services that use a secret."""
    return sorted(
        service_name(service)
        for service in services
        for each in container_of(service.get("Spec")).get("Secrets") or []
        if each.get("SecretID") == secret.get("ID")
    )


def network_spec(document: Mapping[str, Any]) -> Spec:
    """The spec that creates a network again, with its subnets."""
    spec = {key: document[key] for key in _NETWORK if document.get(key) not in (None, {}, "")}
    if not (spec.get("ConfigFrom") or {}).get("Network"):
        spec.pop("ConfigFrom", None)
    options = spec.get("Options") or {}
    spec["Options"] = {key: item for key, item in options.items() if key != VXLAN_IDS_OPTION}
    return spec


def _node(document: dict[str, Any]) -> dict[str, Any]:
    node = parse_node(document)
    spec = released(document.get("Spec") or {})
    labels = dict(spec.get("Labels") or {})
    availability = drained_from(labels) or str(spec.get("Availability") or "active")
    for label in (LEAVING_LABEL, RESTARTING_LABEL, MOVING_LABEL):
        labels.pop(label, None)
    return {
        "id": node.id,
        "name": name_of(node),
        "host": labels.get(HOST_LABEL),
        "hostname": node.hostname,
        "address": address_of(node),
        "role": node.role,
        "availability": availability,
        "labels": labels,
        "engine_version": node.engine_version,
    }


def _service(document: dict[str, Any]) -> dict[str, Any]:
    spec = unmarked(document.get("Spec") or {})
    # A service that is created again has no login before the next deploy.
    (spec.get("Labels") or {}).pop(LOGIN_LABEL, None)
    # A rebalance scales a service up for a while, and keeps the number that it had in a label.
    before = (spec.get("Labels") or {}).pop(REBALANCING_LABEL, None)
    replicated = dig(spec, "Mode", "Replicated")
    if before is not None and before.isdigit() and isinstance(replicated, dict):
        replicated["Replicas"] = int(before)
    return _plain({"ID": document.get("ID"), "Spec": spec})


def unlisted_networks(listed: Listed) -> list[str]:
    """The IDs of networks that services use and no list has."""
    known = {id_of(network) for network in listed.networks}
    used = {
        str(network.get("Target"))
        for service in listed.services
        for network in [
            *attachments(service.get("Spec")),
            *(dig(service, "Spec", "Networks") or []),
        ]
    }
    return sorted(used - known)


# What it says ------------------------------------------------------------------------------------------


def counts_of(export: Mapping[str, Any]) -> dict[str, int]:
    """How many objects an export has, by kind."""
    return {part: len(export.get(part) or []) for part in PARTS}


def export_lines(export: Mapping[str, Any], path: str, recipients: int, acting: str) -> list[str]:
    """The plan of an export as lines of text."""
    rows = [
        (part, count_of(number, PARTS[part]), _remark(part))
        for part, number in counts_of(export).items()
    ]
    width = max(len(words) for _part, words, _remark in rows)
    lines = [f"PLAN  export of swarm {str(export['cluster_id'])[:6]}, acting on {acting}"]
    lines += [f"  + {words:<{width}}  {remark}".rstrip() for _part, words, remark in rows]
    return [*lines, f"  > {path}, for {count_of(recipients, 'recipient')}"]


def _remark(part: str) -> str:
    return {
        "nodes": "roles, labels and availability",
        "networks": "settings and subnets",
        "configs": "with their data, and so the revisions of stacks",
        "secrets": "names and the services that use them, without their data",
        "services": "whole specs",
    }[part]


# Reading one -------------------------------------------------------------------------------------------


def parse_export(document: Any, what: str) -> dict[str, Any]:
    """The export in a document that was read from a file; raises bad_backup."""
    problem = next(_problems(document), None)
    if problem is not None:
        raise SwarmError(
            "bad_backup", f"Could not read {what}: {problem}. Give the file of an export."
        )
    return dict(document)


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, dict) or "format" not in document:
        yield "it is not an export of a swarm"
        return
    if document["format"] != FORMAT:
        yield (
            f"it has format {document['format']}, and this version of the collection reads format {FORMAT}"
        )
        return
    if not isinstance(document.get("cluster_id"), str) or not isinstance(
        document.get("swarm"), dict
    ):
        yield "it does not say which swarm it is of"
    for part, kind in PARTS.items():
        entries = document.get(part)
        if not isinstance(entries, list):
            yield f"it has no list of {part}"
            continue
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                yield f"a {kind} in it has no name"
            elif part != "nodes" and not isinstance(entry.get("spec"), dict):
                yield f"{kind} {entry['name']} has no spec"
            elif part == "nodes" and not isinstance(entry.get("labels"), dict):
                yield f"node {entry['name']} has no labels"
