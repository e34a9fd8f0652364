# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recording proxy in front of a real engine: that of a host, its socket brought here by ssh."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import testinfra

sys.path.insert(0, str(Path(os.environ["LAB_TOP"]) / ".cache" / "collections"))

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import proxy, run_cli

COMPOSE = """
version: "3.8"
services:
  web: {image: "registry.lab:5000/hello:1", secrets: [s], configs: [c], networks: [n, default]}
networks: {n: {}}
secrets: {s: {file: ./s}}
configs: {c: {file: ./c}}
"""


class Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str, method: str, url: str, **kwargs: Any) -> tuple[int, bytes]:
    connection = Connection(path)
    try:
        connection.request(method, url, **kwargs)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def manager(request: pytest.FixtureRequest) -> Any:
    inventory = request.config.getoption("--ansible-inventory")
    return testinfra.get_host("ansible://m1", ansible_inventory=inventory)


@pytest.fixture(scope="module")
def engine(manager: Any) -> Iterator[str]:
    variables = manager.ansible.get_variables()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "engine.sock")
        command = [
            *("ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{path}:/var/run/docker.sock"),
            *("-i", variables["ansible_ssh_private_key_file"]),
            *shlex.split(variables["ansible_ssh_common_args"]),
            *("-o", "ControlPath=none", f"root@{variables['ansible_host']}"),
        ]
        with subprocess.Popen(command) as tunnel:
            try:
                for _attempt in range(100):
                    if os.path.exists(path):
                        break
                    time.sleep(0.1)
                yield path
            finally:
                tunnel.terminate()


def ordered(answer: Any) -> Any:
    """The engine lists things in any order."""
    return sorted(answer, key=json.dumps) if isinstance(answer, list) else answer


def objects(manager: Any) -> str:
    text: str = manager.check_output(
        "for kind in service network secret config; do docker $kind ls -q; done | sort"
    )
    return text


def test_the_socket_is_private_and_goes_away(engine: str) -> None:
    with proxy(engine) as (path, _run):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert not os.path.exists(os.path.dirname(path))


def test_reads_are_those_of_the_engine(engine: str) -> None:
    for url in ("/version", "/v1.40/services", "/nodes", "/networks?filters=%7B%7D"):
        with proxy(engine) as (path, _run):
            status, body = ask(path, "GET", url)
        assert status == 200
        assert ordered(json.loads(body)) == ordered(json.loads(ask(engine, "GET", url)[1]))
    with proxy(engine) as (path, _run):
        assert ask(path, "HEAD", "/_ping") == (200, b"")
        assert ask(path, "GET", "/secrets/nothing")[0] == 404


def test_events_stream(engine: str, manager: Any) -> None:
    with proxy(engine) as (path, _run):
        connection = Connection(path)
        connection.request("GET", "/events?filters=" + quote('{"type":["volume"]}'))
        answer = connection.getresponse()
        threading.Timer(0.5, lambda: manager.run("docker volume create proxied")).start()
        event = json.loads(answer.readline())
        connection.close()
    manager.check_output("docker volume rm proxied")
    assert (event["Type"], event["Action"]) == ("volume", "create")


def test_nothing_else_is_let_through(engine: str) -> None:
    with proxy(engine) as (path, run):
        for method, url in (
            ("POST", "/containers/create"),
            ("POST", "/swarm/leave?force=1"),
            ("DELETE", "/nodes/x"),
            ("PUT", "/containers/x/archive"),
            ("POST", "/v1.41/images/create?fromImage=x"),
        ):
            assert ask(path, method, url, body=b"{}")[0] == 403
        assert run.writes == []


def test_a_large_body_and_one_in_pieces(engine: str, manager: Any) -> None:
    before = objects(manager)
    body = json.dumps({"Name": "large", "Labels": {}, "Data": "A" * 1_300_000}).encode()
    with proxy(engine) as (path, run):
        assert ask(path, "POST", "/v1.41/configs/create", body=body)[0] == 201
        pieces = iter([body[:1000], body[1000:]])
        status, answer = ask(
            path, "POST", "/v1.41/secrets/create", body=pieces, encode_chunked=True
        )
        assert status == 201
        invented = json.loads(answer)["ID"]
        # It is there for whoever asks this proxy, by either name, and for nobody else.
        for key in ("large", invented):
            status, found = ask(path, "GET", f"/v1.41/secrets/{key}")
            assert (status, json.loads(found)["Spec"]["Name"]) == (200, "large")
        assert "Data" not in str([write.spec for write in run.writes])
    assert [(w.kind, w.action, w.name) for w in run.writes] == [
        ("config", "create", "large"),
        ("secret", "create", "large"),
    ]
    assert objects(manager) == before


def test_the_cli_of_this_machine_plans_without_a_write(
    engine: str, manager: Any, tmp_path: Path
) -> None:
    before = objects(manager)
    (tmp_path / "s").write_text("x")
    (tmp_path / "c").write_text("y")
    arguments = ["stack", "deploy", "--resolve-image=never", "-c", "-", "proxied"]
    run = run_cli(engine, arguments, stdin=COMPOSE, directory=str(tmp_path))
    assert run.returncode == 0, run.output
    assert sorted((w.kind, w.name) for w in run.writes) == [
        ("config", "proxied_c"),
        ("network", "proxied_default"),
        ("network", "proxied_n"),
        ("secret", "proxied_s"),
        ("service", "proxied_web"),
    ]
    container = run.writes[-1].spec["TaskTemplate"]["ContainerSpec"]
    assert container["Secrets"][0]["SecretID"].startswith("planned")
    assert run.forwarded == []
    assert objects(manager) == before


def test_an_engine_that_is_not_there() -> None:
    run = run_cli("/nonexistent/docker.sock", ["node", "ls"])
    assert run.returncode != 0
    assert "the engine does not answer" in run.output
