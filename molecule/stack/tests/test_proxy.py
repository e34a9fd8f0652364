# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recording proxy in front of the real engine of a host, whose socket ssh forwards to this machine."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import shlex
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import testinfra
from in_one_call import Manager

from ansible_collections.flotilla.swarm.plugins.module_utils._stack.cli import run_cli
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.proxy import proxy

sys.path.insert(0, str(Path(os.environ["LAB_TOP"]) / ".cache" / "collections"))


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
    # Engine 26.1 refuses a body without it, and hangs up before it has read it.
    headers = {"Content-Type": "application/json"} if "body" in kwargs else {}
    try:
        connection.request(method, url, headers=headers, **kwargs)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def manager(request: pytest.FixtureRequest) -> Any:
    inventory = request.config.getoption("--ansible-inventory")
    return testinfra.get_host("ansible://m1", ansible_inventory=inventory)


@contextlib.contextmanager
def tunnel(host: Any, there: str) -> Iterator[str]:
    """The forwarded socket of that host."""
    variables = host.ansible.get_variables()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "engine.sock")
        command = [
            *("ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{path}:{there}"),
            *("-i", variables["ansible_ssh_private_key_file"]),
            *shlex.split(variables["ansible_ssh_common_args"]),
            *("-o", "ControlPath=none", f"root@{variables['ansible_host']}"),
        ]
        with subprocess.Popen(command) as process:
            try:
                for _attempt in range(100):
                    if os.path.exists(path):
                        break
                    time.sleep(0.1)
                yield path
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def engine(manager: Any) -> Iterator[str]:
    with tunnel(manager, "/var/run/docker.sock") as path:
        yield path


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
        small = json.dumps({"Name": "large", "Data": "A" * 600_000}).encode()
        pieces = iter([small[:1000], small[1000:]])
        status, answer = ask(
            path, "POST", "/v1.41/secrets/create", body=pieces, encode_chunked=True
        )
        assert status == 201
        invented = json.loads(answer)["ID"]
        # Only clients of this proxy see it, by both names.
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


# Slow and dying engines. These are spare engines, not the engine of the host.

SPARE = (
    "dockerd --host unix:///run/spare.sock --data-root /var/lib/spare --exec-root /run/spare"
    " --pidfile /run/spare.pid --bridge none --iptables=false --containerd /run/containerd/containerd.sock"
)


@pytest.fixture
def spare(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    inventory = request.config.getoption("--ansible-inventory")
    host = testinfra.get_host("ansible://w1", ansible_inventory=inventory)
    host.check_output(f"setsid nohup {SPARE} > /tmp/spare.log 2>&1 < /dev/null & echo started")
    try:
        ready = "curl -sf --unix-socket /run/spare.sock http://docker/_ping"
        host.check_output(f"for n in $(seq 100); do {ready} && exit; sleep 0.1; done; exit 1")
        with tunnel(host, "/run/spare.sock") as path:
            yield path, lambda name: host.check_output(f"kill -{name} $(cat /run/spare.pid)")
    finally:
        host.run("kill -CONT $(cat /run/spare.pid); kill -KILL $(cat /run/spare.pid)")
        host.run(
            "sleep 0.5; rm -rf /run/spare /run/spare.pid /run/spare.sock /var/lib/spare /tmp/spare.log"
        )


def test_a_slow_engine_is_waited_for(spare: tuple[str, Any]) -> None:
    path, signal = spare
    with proxy(path) as (proxied, _run):
        signal("STOP")
        threading.Timer(2, signal, ["CONT"]).start()
        started = time.monotonic()
        status, body = ask(proxied, "GET", "/info")
        assert (status, json.loads(body)["Driver"]) == (
            200,
            json.loads(ask(path, "GET", "/info")[1])["Driver"],
        )
        assert time.monotonic() - started > 1


def test_a_cli_that_an_engine_keeps_waiting_is_ended(spare: tuple[str, Any]) -> None:
    path, signal = spare
    signal("STOP")
    run = run_cli(path, ["info"], timeout=2)
    signal("CONT")
    assert run.timed_out


def test_an_engine_that_dies_ends_what_waits_for_it(spare: tuple[str, Any]) -> None:
    path, signal = spare
    with proxy(path) as (proxied, _run):
        connection = Connection(proxied)
        connection.request("GET", "/events")
        stream = connection.getresponse()
        threading.Timer(1, signal, ["KILL"]).start()
        started = time.monotonic()
        with pytest.raises(http.client.IncompleteRead):
            stream.read()
        assert time.monotonic() - started < 10
        connection.close()
        status, body = ask(proxied, "GET", "/info")
        assert (status, "the engine does not answer" in body.decode()) == (502, True)
    run = run_cli(path, ["info"], timeout=30)
    assert "the engine does not answer" in run.output


# Megabytes


def test_an_answer_of_megabytes_comes_as_it_is(engine: str, manager: Any) -> None:
    """An image as the engine streams it, in pieces and without a length."""
    manager.check_output("docker pull -q registry.lab:5000/hello:1")
    url = "/images/" + quote("registry.lab:5000/hello:1", safe="") + "/get"
    with proxy(engine) as (path, _run):
        status, body = ask(path, "GET", url)
    assert status == 200
    assert len(body) > 1 << 20
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert "manifest.json" in tar.getnames()
        assert sum(member.size for member in tar) > 1 << 20


@pytest.mark.parametrize("pieces", [False, True])
def test_a_body_of_megabytes_reaches_the_engine(engine: str, manager: Any, pieces: bool) -> None:
    """The engine refuses it because of its size, after it has received all of it."""
    before = objects(manager)
    data = "A" * 3_600_000
    body = json.dumps({"Name": "huge", "Labels": {}, "Data": data}).encode()
    sent: Any = iter([body[i : i + 500_000] for i in range(0, len(body), 500_000)])
    options = {"body": sent, "encode_chunked": True} if pieces else {"body": body}
    with proxy(engine, forward=lambda _write: True) as (path, run):
        status, answer = ask(path, "POST", "/v1.41/configs/create", **options)
    assert status == 400, answer
    assert "config data must be larger than 0 and less than" in json.loads(answer)["message"]
    assert [(r.write.name, r.status) for r in run.refusals] == [("huge", 400)]
    assert run.forwarded == []
    assert objects(manager) == before


def test_a_write_is_forwarded_whole_or_not_at_all(engine: str, manager: Any) -> None:
    body = {"Name": "half", "Labels": {}, "Data": base64.b64encode(b"x" * 400_000).decode()}
    text = json.dumps(body).encode()
    with proxy(engine, forward=lambda write: write.name == "half") as (path, run):
        status, answer = ask(path, "POST", "/v1.41/configs/create", body=text)
        assert status == 201, answer
        other = text.replace(b"half", b"none")
        assert ask(path, "POST", "/v1.41/configs/create", body=other)[0] == 201
    found = json.loads(manager.check_output("docker config inspect half"))
    manager.check_output("docker config rm half")
    assert base64.b64decode(found[0]["Spec"]["Data"]) == b"x" * 400_000
    assert [write.name for write in run.forwarded] == ["half"]
    assert manager.run("docker config inspect none").rc != 0


# The rest of a killed run


def test_what_a_run_leaves_that_is_killed_is_gone_after_the_next(
    request: pytest.FixtureRequest,
) -> None:
    manager = Manager(request.config.getoption("--ansible-inventory"))
    definition = {"services": {"web": {"image": "registry.lab:5000/hello:1"}}}
    stacks = [{"name": f"proxied{n}", "definition": definition} for n in range(200)]
    left = "ls -d /run/flotilla-stack-* 2> /dev/null"

    # The running process has such a directory open.
    command = r"""
end=$(($(date +%s) + 60))
while [ $(date +%s) -lt $end ]; do
    pid=$(ls -l /proc/[0-9]*/fd/* 2> /dev/null | grep flotilla-stack- | grep -o -m 1 "/proc/[0-9]*" | cut -d/ -f3)
    [ -n "$pid" ] && kill -STOP "$pid" || continue
    ls -d /run/flotilla-stack-* && kill -KILL "$pid" && exit
    kill -CONT "$pid"
done
"""
    killer = threading.Thread(target=manager.host.run, args=[command])
    killer.start()
    with pytest.raises(AssertionError):
        manager.stacks(stacks, check=True)
    killer.join()
    assert manager.sh(left)
    assert "error" not in manager.stacks(stacks[:1], check=True)["proxied0"]
    assert manager.host.run(left).stdout == ""
