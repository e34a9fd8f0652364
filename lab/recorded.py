# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An engine that answers in shapes that engine 20.10 gave, for swarms of a size that no test can boot.

The unit tests of swarm_health ask it, the scenario `report` makes pages of it, and the bench does both.
"""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

WHEN = "2026-11-23T20:14:18.514031902Z"
LABELS = {"com.docker.stack.namespace": "shop"}


def node_document(number: int) -> dict[str, Any]:
    manager = number < 3
    document: dict[str, Any] = {
        "ID": f"node{number:021}",
        "Version": {"Index": 50 + number},
        "CreatedAt": WHEN,
        "UpdatedAt": WHEN,
        "Spec": {
            "Labels": {"zone": "abc"[number % 3], "flotilla.swarm.host": f"h{number}"},
            "Role": "manager" if manager else "worker",
            "Availability": "active",
        },
        "Description": {
            "Hostname": f"h{number}",
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2000000000, "MemoryBytes": 25276510208},
            "Engine": {
                "EngineVersion": "20.10.24+dfsg1",
                "Plugins": [{"Type": "Log", "Name": f"driver{plugin}"} for plugin in range(17)],
            },
            "TLSInfo": {"TrustRoot": "M" * 570, "CertIssuerSubject": "MBMx" * 7},
        },
        "Status": {"State": "ready", "Addr": f"172.30.{number // 250}.{number % 250}"},
    }
    if manager:
        document["ManagerStatus"] = {
            "Leader": number == 0,
            "Reachability": "reachable",
            "Addr": f"172.30.0.{number}:2377",
        }
    return document


def template(service: int) -> dict[str, Any]:
    return {
        "ContainerSpec": {
            "Image": f"registry.lab:5000/service{service}:1@sha256:{service:064x}",
            "Labels": LABELS,
            "Env": [f"VARIABLE_{number}=value {number}" for number in range(10)],
            "Privileges": {"CredentialSpec": None, "SELinuxContext": None},
            "Healthcheck": {"Test": ["CMD", "wget", "-q"], "Interval": 1000000000, "Retries": 5},
            "Isolation": "default",
        },
        "Resources": {},
        "Placement": {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        "Networks": [{"Target": f"net{service % 50:022}", "Aliases": ["web"]}],
        "ForceUpdate": 0,
    }


def service_document(number: int, replicas: int) -> dict[str, Any]:
    spec = {
        "Name": f"shop_{number:04}",
        "Labels": {**LABELS, "com.docker.stack.image": "registry.lab:5000/hello:1"},
        "TaskTemplate": {**template(number), "Runtime": "container"},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "EndpointSpec": {"Mode": "dnsrr"},
    }
    return {
        "ID": f"service{number:018}",
        "Version": {"Index": 38},
        "CreatedAt": WHEN,
        "UpdatedAt": WHEN,
        "Spec": spec,
        "PreviousSpec": spec,
        "Endpoint": {"Spec": {}},
    }


def network_document(number: int) -> dict[str, Any]:
    return {
        "Name": f"net{number}",
        "Id": f"net{number:022}",
        "Created": WHEN,
        "Scope": "swarm",
        "Driver": "overlay",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": f"10.{number}.0.0/16"}]},
        "Ingress": False,
        "Labels": LABELS,
    }


def config_documents() -> list[dict[str, Any]]:
    """What this collection records: revisions of a stack, an application of GitOps and a repository that fails, and a backup."""
    app = {
        "format": 1,
        "repository": "deploy",
        "folder": "apps/shop",
        "sync": "Synced",
        "commit": "1e92ce432eb19881d5966f48619a17badfbb176f",
        "message": "Shop 1.4",
        "author": "Ada",
        "deployed": 1795380000.0,
        "since": 1795380000.0,
        "revision": 4,
    }
    broken = {"format": 1, "repository": "tools", "sync": "Unknown", "cause": "no route to host"}
    backup = {"state": "done", "node_id": f"node{1:021}", "name": "h1", "started": 1795300000.0}
    labels: list[dict[str, str]] = [
        {**LABELS, "flotilla.swarm.revision": "3", "flotilla.swarm.revision.turn": "3"},
        {**LABELS, "flotilla.swarm.revision": "4", "flotilla.swarm.revision.turn": "4"},
        {"flotilla.swarm.gitops.app": "shop", "flotilla.swarm.gitops": json.dumps(app)},
        {"flotilla.swarm.gitops.app": "tools/", "flotilla.swarm.gitops": json.dumps(broken)},
        {"flotilla.swarm.backup": json.dumps(backup)},
    ]
    return [
        {
            "ID": f"config{number:019}",
            "Version": {"Index": 90 + number},
            "CreatedAt": WHEN,
            "UpdatedAt": WHEN,
            "Spec": {"Name": f"config{number}", "Labels": each, "Data": "eA=="},
        }
        for number, each in enumerate(labels)
    ]


def task_document(number: int, nodes: int, services: int) -> dict[str, Any]:
    service, network = number % services, network_document(number % services % 50)
    return {
        "ID": f"task{number:021}",
        "Version": {"Index": 65},
        "CreatedAt": WHEN,
        "UpdatedAt": WHEN,
        "Labels": {},
        "Spec": template(service),
        "ServiceID": f"service{service:018}",
        "Slot": number // services + 1,
        "NodeID": f"node{number % nodes:021}",
        "Status": {
            "Timestamp": WHEN,
            "State": "running",
            "Message": "started",
            "ContainerStatus": {"ContainerID": f"{number:064x}", "PID": number, "ExitCode": 0},
            "PortStatus": {},
        },
        "DesiredState": "running",
        "NetworksAttachments": [
            {
                "Network": {
                    "ID": network["Id"],
                    "Version": {"Index": 37},
                    "CreatedAt": WHEN,
                    "Spec": {"Name": network["Name"], "Labels": LABELS, "Scope": "swarm"},
                    "DriverState": {"Name": "overlay", "Options": {"vxlanid_list": "4097"}},
                    "IPAMOptions": {"Configs": network["IPAM"]["Config"]},
                },
                "Addresses": [f"10.1.{number // 250}.{number % 250}/16"],
            }
        ],
    }


@dataclass
class Answers:
    """What the engine says, by path: status and body."""

    bodies: dict[str, tuple[int, bytes]]
    asked: list[str] = field(default_factory=list)

    def edit(self, path: str, change: Callable[[Any], object]) -> None:
        """Change the document of a path in place."""
        document = json.loads(self.bodies[path][1])
        change(document)
        self.bodies[path] = 200, json.dumps(document).encode()


def swarm_of(nodes: int, services: int, tasks: int) -> Answers:
    def body(value: Any) -> tuple[int, bytes]:
        return 200, json.dumps(value).encode()

    per_service = [len(range(number, tasks, services)) for number in range(services)]
    info = {
        "ServerVersion": "20.10.24+dfsg1",
        "SystemTime": "2026-11-23T21:00:00.661736149Z",
        "DockerRootDir": "/nowhere",
        "Swarm": {
            "NodeID": f"node{0:021}",
            "LocalNodeState": "active",
            "ControlAvailable": True,
            "Cluster": {"ID": "c1", "Spec": {}},
        },
    }
    return Answers(
        {
            "/info": body(info),
            "/nodes": body([node_document(number) for number in range(nodes)]),
            "/services": body(
                [service_document(number, count) for number, count in enumerate(per_service)]
            ),
            "/tasks": body([task_document(number, nodes, services) for number in range(tasks)]),
            "/networks": body([network_document(number) for number in range(50)]),
            "/configs": body(config_documents()),
        }
    )


@contextmanager
def engine(answers: Answers) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path[path.rindex("/") :]
            answers.asked.append(f"{name}{'?' if '?' in self.path else ''}")
            status, body = answers.bodies[name]
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

        def address_string(self) -> str:
            return "unix"

    with tempfile.TemporaryDirectory() as place:
        path = str(Path(place) / "docker.sock")
        with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            try:
                yield f"unix://{path}"
            finally:
                server.shutdown()


def health_of(answers: Answers, **context: Any) -> dict[str, Any]:
    """The verdict of swarm_health on what an engine says, with the picture for a page, without a process and a socket.

    `context` is what the caller knows of the hosts, see HostContext.
    """
    # Only unit tests need the collection on their path.
    from ansible_collections.flotilla.swarm.plugins.module_utils._health.check import HostContext
    from ansible_collections.flotilla.swarm.plugins.module_utils._health.checks import health_result
    from ansible_collections.flotilla.swarm.plugins.module_utils._health.records import read_records
    from ansible_collections.flotilla.swarm.plugins.module_utils._health.snapshot import (
        take_snapshot,
    )

    documents = {path: json.loads(body) for path, (_status, body) in answers.bodies.items()}

    class Client:
        def info(self) -> Any:
            return documents["/info"]

        def nodes(self) -> Any:
            return documents["/nodes"]

        def each(self, path: str, _what: str, **_filters: Any) -> Any:
            return iter(documents[path])

        def get(self, path: str, _what: str, **_filters: Any) -> Any:
            return documents[path]

    snapshot = take_snapshot(Client())
    health = health_result(snapshot, HostContext(**context), picture=True)
    health["picture"].update(read_records(Client))
    return json.loads(json.dumps(health))
