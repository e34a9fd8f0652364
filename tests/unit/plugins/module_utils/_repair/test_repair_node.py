# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Entries of a real kernel, written in a network namespace, and real resolvers."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from namespaces import needs_namespaces

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import within
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.entries import read_neighbours
from ansible_collections.flotilla.swarm.plugins.module_utils._repair.node import (
    ask_all,
    checked,
    enter_network,
    write_entries,
)

NET = "r" * 25
MAC, HOST = "02:42:0a:00:01:05", "192.0.2.12"


class Namespace:
    """The namespace of a network as the engine makes it, under a root of its own."""

    def __init__(self, root: Path) -> None:
        self.name = f"fr{os.getpid()}"
        self.root = str(root)
        folder = root / "var" / "run" / "docker" / "netns"
        folder.mkdir(parents=True)
        (folder / f"1-{NET[:10]}").symlink_to(f"/run/netns/{self.name}")

    def run(self, command: str) -> None:
        words = ["ip", "netns", "exec", self.name, "sh", "-ec", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def entries(self) -> Any:
        return read_neighbours(NET, root=self.root)

    def write(self, check_mode: bool = False, **entry: Any) -> dict[str, Any]:
        wanted = {
            "network": NET,
            "address": "10.0.1.5",
            "mac": MAC,
            "host": HOST,
            "found_mac": "",
            "found_host": "",
        }
        result: dict[str, Any] = {"changed": False, "skipped": []}
        write_entries([{**wanted, **entry}], [], check_mode, result, root=self.root)
        return result


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Namespace]:
    made = Namespace(tmp_path)
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    try:
        made.run(
            "ip link add vxlan0 type vxlan id 4100 dstport 4789 nolearning; ip link set vxlan0 up"
        )
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", made.name], check=True)


@needs_namespaces
def test_an_entry_that_is_missing_is_written_once(network: Namespace) -> None:
    assert network.entries() == {}
    assert network.write(check_mode=True)["changed"]
    assert network.entries() == {}
    result = network.write()
    assert result["changed"]
    assert result["diff"]["after"] == {"rrrrrrrrrrrr 10.0.1.5": f"{MAC} {HOST}"}
    assert network.entries() == {"10.0.1.5": (MAC, HOST)}
    assert not network.write()["changed"]


@needs_namespaces
@pytest.mark.parametrize(
    ("mac", "host"),
    [(MAC, "192.0.2.99"), ("02:42:0a:00:01:63", HOST), ("02:42:0a:00:01:63", "192.0.2.99")],
)
def test_an_entry_that_leads_elsewhere_is_replaced(network: Namespace, mac: str, host: str) -> None:
    network.run(
        f"bridge fdb append {mac} dev vxlan0 dst {host} self permanent; ip neigh add 10.0.1.5 lladdr {mac} dev vxlan0 nud permanent"
    )
    assert network.write(found_mac=mac, found_host=host)["changed"]
    assert network.entries() == {"10.0.1.5": (MAC, HOST)}


@needs_namespaces
def test_an_entry_that_has_changed_since_it_was_read_is_left_alone(network: Namespace) -> None:
    network.write(mac="02:42:0a:00:01:63")
    result = network.write(found_mac="02:42:0a:00:01:07", found_host="192.0.2.7")
    assert (result["changed"], result["skipped"]) == (
        False,
        ["rrrrrrrrrrrr 10.0.1.5 has changed since it was read"],
    )
    assert network.entries() == {"10.0.1.5": ("02:42:0a:00:01:63", HOST)}


@needs_namespaces
def test_what_cannot_be_written_fails_in_a_sentence(network: Namespace) -> None:
    network.run("ip link delete vxlan0")
    with pytest.raises(
        SwarmError, match=r"Could not write 1 entry of the kernel: rrrrrrrrrrrr 10\.0\.1\.5 "
    ) as caught:
        network.write()
    assert caught.value.code == "not_repaired"
    assert "Drain the node and restart its engine." in caught.value.message


def test_a_network_that_the_node_has_left_is_skipped(tmp_path: Path) -> None:
    assert Namespace(tmp_path).write()["skipped"]


@pytest.mark.parametrize(
    "entry",
    [
        {"address": "-j"},
        {"host": "localhost"},
        {"mac": "02:42"},
        {"network": "../../etc"},
        {"address": "10.0.1.5/24"},
    ],
)
def test_what_is_no_entry_becomes_no_part_of_a_command(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    with pytest.raises(SwarmError, match="Pass it unchanged") as caught:
        Namespace(tmp_path).write(**entry)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize("services", ["shop_web", [1], [""], ["x" * 64], None])
def test_what_is_no_list_of_names_is_refused(services: Any) -> None:
    with pytest.raises(SwarmError, match="names is not what swarm_repair returns"):
        checked({NET: services})


def test_an_interface_that_is_none_of_the_engine_is_never_removed() -> None:
    result: dict[str, Any] = {"changed": False, "skipped": []}
    write_entries([], ["eth0", "lo", "vx-ffffff-zzzzz", "--help"], False, result)
    assert not result["changed"]
    assert len(result["skipped"]) == 4


@needs_namespaces
def test_a_process_enters_a_namespace(network: Namespace) -> None:
    def look(_alive: Any) -> list[str]:
        enter_network(f"/run/netns/{network.name}")
        return [name for _index, name in socket.if_nameindex()]

    assert within(30, look) == ["lo", "vxlan0"]
    assert "vxlan0" not in [name for _index, name in socket.if_nameindex()]


@contextmanager
def resolver(answers: dict[bytes, bytes]) -> Iterator[tuple[str, int]]:
    """A resolver on a real socket. It answers a question that has one of these words with these bytes behind the number of the question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(20)

        def serve() -> None:
            while True:
                try:
                    data, sender = sock.recvfrom(65536)
                except OSError:
                    return
                for word, answer in answers.items():
                    if word in data:
                        sock.sendto(b"garbage", sender)
                        sock.sendto(data[:2] + answer, sender)
                if b"end" in data:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
                ender.sendto(b"end", sock.getsockname())
            thread.join()


def test_a_resolver_is_asked_for_each_name() -> None:
    one = b"\x81\x80\0\0\0\1\0\0\0\0" + b"\0\0\1\0\1\0\0\0\0\0\4\x0a\0\1\5"
    with resolver({b"web": one, b"gone": b"\x81\x83" + b"\0" * 8}) as server:
        found = ask_all(["tasks.web", "tasks.gone", "tasks.silent", "tasks.web"], server, 0.5)
    assert found["tasks.web"] == {"code": "ok", "addresses": ["10.0.1.5"]}
    assert found["tasks.gone"] == {"code": "nxdomain", "addresses": []}
    assert found["tasks.silent"] == {"code": "timeout", "addresses": []}


def test_of_a_silent_resolver_only_three_names_are_asked() -> None:
    names = [f"tasks.{n}" for n in range(500)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        found = ask_all(names, silent.getsockname(), 0.1)
        silent.setblocking(False)
        asked = [silent.recv(65536) for _each in range(3)]
        with pytest.raises(BlockingIOError):
            silent.recv(65536)
    assert len(asked) == 3
    assert {each["code"] for each in found.values()} == {"timeout"}
    assert len(found) == 500
