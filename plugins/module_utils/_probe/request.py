# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a probe creates in the swarm, as specs. All names are fixed, so that two runs at once collide, and the next run finds what an
interrupted one has left. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._model.documents import SWARM_PORT, Node, dig
from .._model.labels import PROBE_LABEL, name_of

# The image has the address of a registry where nothing listens, on the node itself: engines ask the registry of an image before they
# use their own copy, and this one answers at once and is never elsewhere.
IMAGE = "127.0.0.1:1/flotilla-probe:1"
LOCK, PROGRAM, PREFIX = "flotilla-probe", "flotilla-probe-program", "flotilla-probe-"
GOSSIP_PORT = 7946
HOST, PLAIN, ENCRYPTED = "host", "plain", "encrypted"
OVERLAYS = (PLAIN, ENCRYPTED)
_PROGRAM_PATH = "/prober.py"
# Bytes of memory of one prober, and seconds that it has to end.
_MEMORY = 256 << 20


@dataclass(frozen=True)
class Place:
    """One node of a run. `reason` is why it has no prober; empty if it has."""

    id: str
    name: str
    address: str
    manager: str  # HOST:PORT of its manager; empty for a worker
    version: str = ""
    reason: str = ""
    silent: bool = False  # its prober was to run, and has not reported


@dataclass(frozen=True)
class Overlay:
    """One network of a run. `where` names it in the results, and `own` is whether it is there for the probe alone."""

    where: str
    name: str
    encrypted: bool = False
    own: bool = True
    id: str = ""
    subnet: str = ""

    @property
    def service(self) -> str:
        """The name of the service of probers in it."""
        return f"{PREFIX}{self.where}"


@dataclass(frozen=True)
class Wanted:
    """What a run probes."""

    overlays: Sequence[str] = OVERLAYS
    networks: Sequence[str] = ()
    mesh: bool = True
    port: int = 0
    window: int = 20
    limit: int = 600
    images: Mapping[str, str] = field(
        default_factory=dict
    )  # why a node has no image, by NodeID; empty if it has


def places_of(nodes: Iterable[Node], images: Mapping[str, str]) -> list[Place]:
    """The nodes of a run, sorted by name."""
    found = [
        Place(
            id=node.id,
            name=name_of(node),
            address=address_of(node),
            manager=(node.manager_addr or f"{node.addr}:{SWARM_PORT}")
            if node.role == "manager"
            else "",
            version=node.engine_version or "",
            reason=_reason(node, images),
        )
        for node in nodes
    ]
    return sorted(found, key=lambda place: (place.name, place.id))


def address_of(node: Node) -> str:
    """The leader may report itself at 0.0.0.0 or at its loopback (moby, issue 35437); its manager has the real address."""
    if node.manager_addr:
        return node.manager_addr.rpartition(":")[0].strip("[]")
    return node.addr or ""


def _reason(node: Node, images: Mapping[str, str]) -> str:
    if node.state != "ready":
        return f"its state is {node.state}"
    if node.availability != "active":
        return f"its availability is {node.availability}, so no task of a global service runs there"
    return images.get(node.id, "it is not in the inventory, or did not answer")


def overlays_of(wanted: Wanted, networks: Iterable[Mapping[str, Any]]) -> list[Overlay]:
    """The networks of a run, given those of the swarm. Existing ones are in it by their names."""
    own = [Overlay(where, f"{PREFIX}{where}", encrypted=where == ENCRYPTED) for where in OVERLAYS]
    found = {str(each.get("Name")): each for each in networks}
    return [overlay for overlay in own if overlay.where in wanted.overlays] + [
        located(
            Overlay(f"net-{n}", name, "encrypted" in (found[name].get("Options") or {}), False),
            found[name],
        )
        for n, name in enumerate(wanted.networks, 1)
    ]


def located(overlay: Overlay, network: Mapping[str, Any]) -> Overlay:
    """The overlay with the ID and the IPv4 subnet of the network as the managers have it."""
    configs = dig(dict(network), "IPAM", "Config")
    subnets = [str(dig(each, "Subnet")) for each in configs or [] if isinstance(configs, list)]
    subnet = next((each for each in subnets if ":" not in each), "")
    return Overlay(
        overlay.where,
        overlay.name,
        overlay.encrypted,
        overlay.own,
        id=str(network.get("Id") or ""),
        subnet=subnet,
    )


def labels_of(run: str) -> dict[str, str]:
    """The labels of everything that a run creates."""
    return {PROBE_LABEL: run}


def network_spec(overlay: Overlay, run: str) -> dict[str, Any]:
    """A network that is only there for the probe."""
    options = {"encrypted": ""} if overlay.encrypted else {}
    return {
        "Name": overlay.name,
        "Driver": "overlay",
        "Scope": "swarm",
        "CheckDuplicate": True,
        "Attachable": False,
        "Options": options,
        "Labels": labels_of(run),
    }


def request_of(
    run: str, wanted: Wanted, places: Sequence[Place], overlays: Sequence[Overlay], data_port: int
) -> dict[str, Any]:
    """What the program is given."""
    return {
        "run": run,
        "limit": wanted.limit,
        "nodes": [[each.id, each.address, each.manager] for each in places],
        "expected": [n for n, each in enumerate(places) if not each.reason],
        "host": {
            "gossip": GOSSIP_PORT,
            "data_port": data_port or 4789,
            "esp": any(each.encrypted for each in overlays),
        },
        "overlays": {
            each.where: {
                "service": each.service,
                "subnet": each.subnet,
                "own": each.own,
                "vip": wanted.mesh,
            }
            for each in overlays
        },
    }


def program_of(source: str, request: Mapping[str, Any]) -> str:
    """The program with its request, as one file."""
    text = json.dumps(request, separators=(",", ":"))
    return f"{source}\n\nraise SystemExit(main(json.loads({text!r}), sys.argv[1:]))\n"


def service_spec(
    name: str, run: str, places: Sequence[Place], config_id: str, network_id: str, published: int
) -> dict[str, Any]:
    """A service with one prober on each node that has the image."""
    where = name[len(PREFIX) :]
    spec: dict[str, Any] = {
        "Name": name,
        "Labels": labels_of(run),
        "Mode": {"Global": {}},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": IMAGE,
                "Labels": labels_of(run),
                "Command": ["/python", "-I", "-S", _PROGRAM_PATH, where],
                "Args": [str(published)],
                # The engine fills in templates here, and not in arguments.
                "Env": ["NODE={{.Node.ID}}"],
                "User": "0",
                "StopGracePeriod": 1_000_000_000,
                "Mounts": [
                    {
                        "Type": "bind",
                        "Source": "/usr",
                        "Target": "/usr",
                        "ReadOnly": True,
                        "BindOptions": {"Propagation": "rprivate"},
                    }
                ],
                "Configs": [
                    {
                        "ConfigID": config_id,
                        "ConfigName": PROGRAM,
                        "File": {"Name": _PROGRAM_PATH, "UID": "0", "GID": "0", "Mode": 0o444},
                    }
                ],
            },
            "Resources": {"Limits": {"MemoryBytes": _MEMORY}},
            "RestartPolicy": {"Condition": "on-failure", "Delay": 1_000_000_000, "MaxAttempts": 3},
            "Placement": {"Constraints": [f"node.id!={each.id}" for each in places if each.reason]},
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "20m", "max-file": "1"}},
            "Networks": [{"Target": network_id}],
        },
        "EndpointSpec": {"Mode": "vip"},
    }
    if where == HOST:
        # The host's own network has no virtual addresses.
        del spec["EndpointSpec"]
    return spec


def publish(spec: dict[str, Any], port: int, target: int) -> None:
    """Publish the answers of a service in the ingress network; with port 0 the swarm chooses one."""
    entry = {"Protocol": "tcp", "TargetPort": target, "PublishMode": "ingress"}
    spec["EndpointSpec"]["Ports"] = [{**entry, "PublishedPort": port} if port else entry]
