# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a process of its own, with an engine that answers in shapes that engine 20.10 gave: for swarms of
a size that no test can boot, and for engines that do not answer as they should."""

from __future__ import annotations

import json
import os
import resource
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("docker")

from ansible_collections.flotilla.swarm.plugins.module_utils._api import client

MODULE = "ansible_collections.flotilla.swarm.plugins.modules.swarm_health"
COLLECTIONS = client.__file__.partition("/ansible_collections/")[0]
# Says at its end how much memory it had at most. What the kernel tells of a child at its end begins with what its
# parent had, and the parent is the engine here.
RUN = f"""
import re, runpy, sys
try:
    runpy.run_module("{MODULE}", run_name="__main__")
finally:
    with open("/proc/self/status") as status:
        sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+) kB", status.read()).group(1))
"""
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


@dataclass(frozen=True)
class Called:
    result: dict[str, Any]
    peak: int  # megabytes of memory
    seconds: float  # of processor time


def call(docker_host: str, **args: Any) -> Called:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"docker_host": docker_host, **args}}),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": COLLECTIONS},
        timeout=120,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Called(json.loads(done.stdout), int(done.stderr) // 1024, seconds)


# How full this machine's disk is does not matter to these swarms.
CHECKS = ["leader", "quorum", "nodes", "services", "pending", "restarts", "networks", "orphans"]
REQUESTS = ["/info", "/nodes", "/services", "/tasks", "/tasks?", "/networks?"]


def test_a_large_swarm_is_judged_in_six_requests_with_little_memory() -> None:
    """300 nodes, 3,000 services, 20,000 tasks. A tenth of that takes a tenth of the time; a hundredth, were it quadratic."""
    sizes = {"none": (3, 1, 1), "tenth": (30, 300, 2000), "whole": (300, 3000, 20000)}
    spent: dict[str, list[Called]] = {}
    for name in ("none", "none", "tenth", "tenth", "whole"):
        nodes, services, tasks = sizes[name]
        answers = swarm_of(nodes, services, tasks)
        with engine(answers) as docker_host:
            called = call(docker_host, checks=CHECKS)
        assert answers.asked == REQUESTS
        assert called.result["verdict"] == "healthy", called.result["report"]
        assert len(called.result["services"]) == services
        assert sum(row["running"] for row in called.result["services"]) == tasks
        assert len(called.result["report"]) < 5000
        spent.setdefault(name, []).append(called)
    assert spent["whole"][0].peak < 150
    # Without what any call costs, however little it finds.
    start = min(called.seconds for called in spent["none"])
    tenth = max(called.seconds for called in spent["tenth"]) - start
    assert spent["whole"][0].seconds - start < 25 * tenth


def error(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"message": message}).encode()


@pytest.mark.parametrize(
    ("path", "message", "verdict", "code"),
    [
        (
            "/nodes",
            "rpc error: code = Unknown desc = The swarm does not have a leader.",
            "failed",
            "no_quorum",
        ),
        ("/tasks", "rpc error: code = DeadlineExceeded desc = context", "unknown", "timeout"),
        ("/networks", "something else", "unknown", "engine_error"),
    ],
)
def test_an_engine_that_answers_with_errors(
    path: str, message: str, verdict: str, code: str
) -> None:
    answers = swarm_of(3, 1, 1)
    answers.bodies[path] = error(500, message)
    with engine(answers) as docker_host:
        result = call(docker_host).result
    assert (result["verdict"], result["failure"]["code"]) == (verdict, code)


def test_no_engine_at_all() -> None:
    result = call("unix:///nowhere/docker.sock").result
    assert (result["verdict"], result["failure"]["code"]) == ("unknown", "engine_unreachable")
    assert "no engine answers at unix:///nowhere/docker.sock" in result["msg"]


def test_waiting_ends_with_the_verdict_that_was_wanted() -> None:
    answers = swarm_of(3, 1, 1)
    good = answers.bodies["/nodes"]
    answers.bodies["/nodes"] = error(500, "rpc error: The swarm does not have a leader.")

    def heal() -> None:
        while answers.asked.count("/nodes") < 2:
            time.sleep(0.01)
        answers.bodies["/nodes"] = good

    checks = ["quorum", "services"]
    with engine(answers) as docker_host:
        in_vain = call(docker_host, wait_timeout=0, checks=checks).result
        threading.Thread(target=heal, daemon=True).start()
        waited = call(docker_host, wait_timeout=60, wait_sleep=1, checks=checks).result
    assert in_vain["failure"]["code"] == "no_quorum"
    assert waited["verdict"] == "healthy"
    assert waited["attempts"] > 1
    # Also what came in vain has everything that the other has.
    assert set(waited) - set(in_vain) <= {"invocation"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"checks": ["disc"]}, "disc"),
        ({"accept": ["good"]}, "good"),
        ({"thresholds": {"disk": 5}}, "disk"),
        ({"thresholds": {"ca_days": "soon"}}, "ca_days"),
        ({"format": "yaml"}, "yaml"),
        ({"observed": "m1"}, "observed"),
    ],
)
def test_bad_input(args: dict[str, Any], words: str) -> None:
    result = call("unix:///nowhere/docker.sock", **args).result
    assert result["failed"]
    assert words in result["msg"]
