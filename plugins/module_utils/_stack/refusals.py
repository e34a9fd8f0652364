# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the engine would refuse of a stack, found before anything is written. No I/O.

The engine validates a request completely before it stores anything. So a plan sends the real request with one
impossible addition: the engine answers with its own objections, or with the one to the addition.

* A service gets a reference to a secret that does not exist. The engine looks up secrets in the transaction that would
  store the service, after all other checks (swarmkit: manager/controlapi/service.go, CreateService).
* A network gets an invalid subnet.
* An update has a version that no object has.

This module also checks what no such request can tell: the engine stores a secret or config as soon as it is valid, and it
compares a service with what is stored, not with the rest of the same stack.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Any

from .._model.documents import dig
from .._model.services import attachments
from .rotation import LIMITS, LONGEST_NAME
from .writes import Spec

# The name of an object, and why the engine refuses it.
Objection = tuple[str, str]

# Neither the ID of a secret, which has no hyphen (swarmkit: identity/randomid.go), nor a subnet.
MARK = "flotilla-swarm-plan"

# --- Requests that the engine can only refuse -----------------------------------------------------------


def service_probe(spec: Spec, invented: set[str]) -> Spec:
    """A service that cannot be created, without the networks in `invented`, which only the plan knows."""
    probe = without(spec, invented, ("Networks",))
    template = probe["TaskTemplate"] = dict(probe.get("TaskTemplate") or {})
    container = template["ContainerSpec"] = dict(template.get("ContainerSpec") or {})
    file = {"Name": MARK, "UID": "0", "GID": "0", "Mode": 0o444}
    impossible = {"SecretID": MARK, "SecretName": MARK, "File": file}
    container["Secrets"] = [*(container.get("Secrets") or []), impossible]
    return probe


def network_probe(spec: Spec) -> Spec:
    """A network that cannot be created; `bad_name` checks its name."""
    ipam = spec.get("IPAM") or {}
    config = [*(ipam.get("Config") or []), {"Subnet": MARK}]
    return {**spec, "Name": MARK, "IPAM": {**ipam, "Config": config}}


_REFERENCES = {"Networks": "Target", "Secrets": "SecretID", "Configs": "ConfigID"}


def without(spec: Spec, invented: set[str], kinds: Iterable[str] = tuple(_REFERENCES)) -> Spec:
    """The spec of a service without its references to what only the plan knows."""
    template = dict(spec.get("TaskTemplate") or {})
    container = dict(template.get("ContainerSpec") or {})
    for kind in kinds:
        holder = template if kind == "Networks" else container
        if holder.get(kind):
            key = _REFERENCES[kind]
            holder[kind] = [entry for entry in holder[kind] if entry.get(key) not in invented]
    if container:
        template["ContainerSpec"] = container
    return {**spec, "TaskTemplate": template}


_NOT_FOUND = re.compile(r"(secret|config)s? not found: (.*)")


def objection(message: str, invented: set[str]) -> str | None:
    """What the engine objects to in a request, apart from its impossible or invented parts; None if nothing."""
    if "update out of sequence" in message:
        return None
    missing = _NOT_FOUND.search(message)
    if missing:
        names = sorted(set(missing.group(2).split(", ")) - invented - {MARK})
        return f"{missing.group(1)} not found: {', '.join(names)}" if names else None
    # Engines from 25 on name all that is wrong with a network, one a line (moby: api/types/network/ipam.go).
    lines = [line for line in message.splitlines() if line.strip() and MARK not in line]
    return "\n".join(line for line in lines if not line.endswith(":")) or None


# --- What a request cannot tell, in the engine's words ---------------------------------------------------

_DNS_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?")
_LONGEST_DNS_NAME = 63
_DATA_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?")


def bad_name(name: str) -> str | None:
    """What is wrong with the name of a network or service, None if nothing (swarmkit: manager/controlapi/common.go)."""
    if not _DNS_NAME.fullmatch(name):
        return "name must be valid as a DNS name component"
    if len(name) > _LONGEST_DNS_NAME:
        return f"name must be {_LONGEST_DNS_NAME} characters or fewer"
    return None


def bad_data(kind: str, name: str, size: int, driver: bool) -> str | None:
    """What is wrong with a new secret or config of `size` bytes, None if nothing (swarmkit: manager/controlapi/common.go,
    secret.go and config.go)."""
    if len(name) > LONGEST_NAME or not _DATA_NAME.fullmatch(name):
        return (
            f"invalid name, only {LONGEST_NAME} [a-zA-Z0-9-_.] characters allowed,"
            " and the start and end character must be [a-zA-Z0-9]"
        )
    limit = LIMITS[f"{kind}s"]
    if driver or 0 < size < limit:
        return None
    return f"{kind} data must be larger than 0 and less than {limit} bytes"


# Drivers whose networks exist on one host only.
_ONE_HOST = ("bridge", "macvlan", "ipvlan")
_ONE_INSTANCE = ("host", "null")


def local_networks(networks: dict[str, Spec], services: dict[str, Spec]) -> Iterator[Objection]:
    """Services on networks of the stack that exist on one host only (moby: daemon/cluster/networks.go)."""
    for name, spec in sorted(services.items()):
        for attachment in attachments(spec):
            target = str(attachment.get("Target"))
            driver = (networks.get(target) or {}).get("Driver")
            if driver in _ONE_INSTANCE:
                yield name, f'network {target}: only one instance of "{driver}" network is allowed'
            elif driver in _ONE_HOST:
                words = (
                    f"The network {target} cannot be used with services. Only networks scoped to the swarm can be used,"
                    " such as those created with the overlay driver."
                )
                yield name, words


def shared_ports(services: dict[str, Spec]) -> Iterator[Objection]:
    """Ports that two services of the stack publish (swarmkit: manager/controlapi/service.go, checkPortConflicts)."""
    holders: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for name, spec in sorted(services.items()):
        for port in (spec.get("EndpointSpec") or {}).get("Ports") or []:
            published, mode = port.get("PublishedPort") or 0, port.get("PublishMode") or "ingress"
            others = holders.setdefault((port.get("Protocol") or "tcp", published), [])
            for other, other_mode in others:
                # In host mode, two services can publish a port on different hosts.
                if published and other != name and "ingress" in (mode, other_mode):
                    how = "an ingress port" if other_mode == "ingress" else "a host-published port"
                    yield (
                        name,
                        f"port '{published}' is already in use by service '{other}' as {how}",
                    )
            others.append((name, mode))


# Bytes of one change in the log of the managers (swarmkit: manager/state/store/memory.go, MaxTransactionBytes).
LONGEST_CHANGE = 1536 * 1024


def too_long(services: dict[str, Spec], previous: dict[str, Spec | None]) -> Iterator[Objection]:
    """Services that are too large for one change of the managers' log, which also has the previous spec."""
    for name, spec in sorted(services.items()):
        old = previous.get(name)
        size = _least_size(spec) + _least_size(old)
        if size > LONGEST_CHANGE:
            what = "with its previous spec at least" if old else "at least"
            words = (
                f"raft: raft message is too large and can't be sent ({what} {size} bytes, the limit is {LONGEST_CHANGE}):"
                " move long values into configs"
            )
            yield name, words


def _least_size(value: Any) -> int:
    """The least bytes that the texts in a spec take in protobuf, each after its field number and length."""
    if isinstance(value, str):
        size = len(value.encode("utf-8", "replace"))
        return 1 + max(1, (size.bit_length() + 6) // 7) + size if size else 0
    if isinstance(value, dict):
        return sum(map(_least_size, value.values()))
    if isinstance(value, list):
        return sum(map(_least_size, value))
    return 0


def unknown_drivers(drivers: dict[str, str], known: set[str]) -> Iterator[Objection]:
    """Secrets whose driver is not a plugin of the leader, which stores them (swarmkit: manager/drivers)."""
    for name, driver in sorted(drivers.items()):
        if not {driver, f"{driver}:latest"} & known:
            yield name, f'plugin "{driver}" not found'


def secret_plugins(nodes: Iterable[dict[str, Any]]) -> set[str]:
    """The names of the leader's plugins for secrets."""
    found = set()
    for node in nodes:
        if dig(node, "ManagerStatus", "Leader"):
            for plugin in dig(node, "Description", "Engine", "Plugins") or []:
                if plugin.get("Type") == "secretprovider":
                    found.add(str(plugin.get("Name")))
    return found


# --- Address ranges -------------------------------------------------------------------------------------


def taken_subnets(wanted: dict[str, Spec], live: Iterable[dict[str, Any]]) -> Iterator[Objection]:
    """Networks whose subnet another network of the swarm has.

    The engine creates such a network and allocates no addresses: its tasks never start, and it is listed without a subnet.
    """
    existing = {str(n.get("Name")): _subnets(n) for n in live if n.get("Scope") == "swarm"}
    requested = {name: _subnets(spec) for name, spec in wanted.items()}
    # For the stack's own networks, the subnets in the files count, or else those that the engine has chosen.
    holders = {**existing, **{name: found for name, found in requested.items() if found}}
    for name, subnets in sorted(requested.items()):
        if not subnets or sorted(map(str, subnets)) == sorted(map(str, existing.get(name, []))):
            continue
        for other, others in sorted(holders.items()):
            # Of two new networks, only the second is refused.
            if other == name or (other in requested and other not in existing and other > name):
                continue
            clashes = [
                (own, taken)
                for own in subnets
                for taken in others
                if own.version == taken.version and own.overlaps(taken)
            ]
            for own, taken in clashes:
                words = (
                    f"Pool overlaps with other one on this address space: {own} and {taken} of network {other};"
                    " give it another subnet, or remove that network"
                )
                yield name, words


def _subnets(network: Spec) -> list[Any]:
    ipam = network.get("IPAM") or {}
    if ipam.get("Driver") not in (None, "", "default"):
        return []
    found = []
    for entry in ipam.get("Config") or []:
        try:
            found.append(ipaddress.ip_network(str(entry.get("Subnet") or ""), strict=False))
        except ValueError:
            # The engine refuses it itself.
            continue
    return found
