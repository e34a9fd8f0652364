# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the proxy that need no engine; the rest is tested on real ones in molecule/stack."""

from __future__ import annotations

import http.client
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._api.unix import UnixConnection
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    cli,
    private,
    proxy,
    writes,
)

SECRET = {"ID": "planned1", "Spec": {"Name": "s_key", "Labels": {"stack": "s", "empty": ""}}}
NETWORK = {"Id": "planned2", "Name": "s_net", "Labels": {"stack": "s"}}


@pytest.mark.parametrize(
    ("query", "secret", "network"),
    [
        ("{}", True, True),
        ("", True, True),
        ("nonsense", True, True),
        ('{"name": {"s_key": true}}', True, False),
        ('{"name": ["s_key", "s_net"]}', True, True),
        ('{"names": ["s_n"]}', False, True),
        ('{"id": ["planned1"]}', True, False),
        ('{"label": ["stack=s"]}', True, True),
        ('{"label": ["stack=other"]}', False, False),
        ('{"label": {"empty": true}}', True, False),
        ('{"label": ["stack"], "name": ["s_net"]}', False, True),
    ],
)
def test_what_was_invented_is_found_by_the_filters_of_the_cli(
    query: str, secret: bool, network: bool
) -> None:
    filters = proxy._filters({"filters": [query]})
    assert proxy._matches(SECRET, filters) is secret
    assert proxy._matches(NETWORK, filters) is network


def test_an_invented_network_has_the_scope_that_the_cli_checks() -> None:
    write = writes.Write("network", "create", "n", "", {"Name": "n", "Driver": ""})
    assert proxy._document(write, "planned1")["Scope"] == "swarm"
    write = writes.Write("network", "create", "n", "", {"Name": "n", "Driver": "bridge"})
    assert proxy._document(write, "planned1")["Scope"] == "local"


def test_the_cli_does_not_get_the_callers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere")
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    monkeypatch.setenv("TAG", "of the caller")
    found = cli.cli_environment({"NAME": "x"})
    assert not [name for name in found if name.startswith("DOCKER")]
    assert "TAG" not in found
    assert found["NAME"] == "x"
    assert found["PATH"] == os.environ["PATH"]


def test_a_private_directory_is_private_and_goes_away() -> None:
    with private.private_directory() as directory:
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        Path(directory, "x").write_text("x")
    assert not os.path.exists(directory)


ANOTHER_RUN = """
import sys, time

from ansible_collections.flotilla.swarm.plugins.module_utils._stack.private import private_directory

with private_directory() as path:
    print(path, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def another_run() -> Iterator[Any]:
    runs = []

    def start() -> tuple[Any, str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        run = subprocess.Popen(
            [sys.executable, "-c", ANOTHER_RUN], stdout=subprocess.PIPE, text=True, env=environment
        )
        runs.append(run)
        assert run.stdout
        path = run.stdout.readline().strip()
        assert os.path.isdir(path)
        return run, path

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def test_what_a_killed_run_left_is_removed_and_nothing_of_one_that_lives(another_run: Any) -> None:
    (killed, left), (_alive, kept) = another_run(), another_run()
    Path(left, "secret").write_text("x")
    killed.kill()
    killed.wait()
    assert os.path.isdir(left)
    with private.private_directory() as mine:
        assert not os.path.exists(left)
        assert os.path.isdir(kept)
        with private.private_directory() as second:
            assert os.path.isdir(mine)
            assert second != mine
    assert os.path.isdir(kept)


def test_what_only_looks_like_it_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flotilla-stack-file").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "flotilla-stack-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "flotilla-stack-dead").mkdir()
    private._remove_abandoned(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere",
        "flotilla-stack-file",
        "flotilla-stack-link",
    ]
    (tmp_path / "flotilla-stack-of-another").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    private._remove_abandoned(str(tmp_path))
    assert (tmp_path / "flotilla-stack-of-another").exists()


def test_a_host_without_a_cli(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as error:
        cli.cli_takes("stack deploy", "--detach", cli=str(tmp_path / "docker"))
    assert error.value.code == "no_cli"


@pytest.fixture
def program(tmp_path: Path) -> Any:
    def make(text: str) -> str:
        path = tmp_path / "docker"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_options_are_looked_up_in_the_help(program: Any) -> None:
    docker = program(
        '[ "$*" = "stack deploy --help" ] && echo "docker stack deploy  --detach  Exit"'
    )
    assert cli.cli_takes("stack deploy", "--detach", cli=docker)
    assert not cli.cli_takes("stack deploy", "--prune", cli=docker)


def test_a_cli_that_hangs_is_ended(program: Any, tmp_path: Path) -> None:
    run = cli.run_cli(str(tmp_path / "none"), [], cli=program("sleep 60 & wait"), timeout=0.5)
    assert run.timed_out


def test_the_cli_gets_its_socket_its_input_and_its_folder(program: Any, tmp_path: Path) -> None:
    docker = program('echo "$1 ${2##*/} $3"; echo "$2"; cat; pwd')
    run = cli.run_cli("/none", ["x"], stdin="text\n", cli=docker, directory=str(tmp_path))
    # What is said of the socket is said of the engine's, for nobody else knows ours.
    assert run.output.splitlines() == ["-H engine.sock x", "unix:///none", "text", str(tmp_path)]
    assert (run.returncode, run.writes, run.timed_out) == (0, [], False)


@pytest.mark.parametrize(
    "beginning",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1,",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,",
    ],
    ids=["length", "chunked"],
)
def test_an_engine_that_dies_in_the_middle_of_an_answer(tmp_path: Path, beginning: bytes) -> None:
    path = str(tmp_path / "engine.sock")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(path)
        engine.listen()

        def answer() -> None:
            connection, _address = engine.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(beginning)

        thread = threading.Thread(target=answer)
        thread.start()
        with proxy.proxy(path) as (proxied, _run):
            client = UnixConnection(proxied)
            client.request("GET", "/services")
            client.sock.settimeout(10)
            with pytest.raises(http.client.IncompleteRead):
                client.getresponse().read()
            client.close()
        thread.join()
