# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program of the probe between three hosts that are namespaces of this machine, with real VXLAN between them and one fault at a
time; and what is concluded from it. All cases run at once."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from namespaces import needs_namespaces

from ansible_collections.flotilla.swarm.plugins.module_utils._probe import prober
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.entries import read_entries
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.evaluate import (
    Finding,
    HostFacts,
    Reach,
    evaluate,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.observations import (
    Collected,
    Seen,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.report import result_of
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.request import (
    HOST,
    PLAIN,
    Overlay,
    Place,
    Wanted,
    request_of,
)

NAMES = ("a", "b", "c")
HOSTS = [f"172.31.250.{n}" for n in (1, 2, 3)]
TASKS = [f"10.99.0.{n}" for n in (1, 2, 3)]
NETWORK = "f" * 25
PLACES = [Place(f"id-{n}", n, HOSTS[at], f"{HOSTS[at]}:2377") for at, n in enumerate(NAMES)]
# Seconds that a faulty network has to answer.
WINDOW = 12.0

# Runs in a namespace: a resolver as the engine has one, what listens on a host, and the program itself.
WRAPPER = """
import json, os, socket, struct, sys, threading
source, request, where, names = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
space = {"__name__": "prober"}
exec(compile(open(source).read(), source, "exec"), space)

def resolve():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.11", 53))
    while True:
        data, address = sock.recvfrom(4096)
        at, parts = 12, []
        while data[at]:
            parts.append(data[at + 1:at + 1 + data[at]].decode())
            at += data[at] + 1
        found = names.get(".".join(parts))
        if found is None:
            continue
        code = 3 if found == "nxdomain" else 0
        found = [] if code else found
        head = data[:2] + struct.pack("!5H", 0x8180 | code, 1, len(found), 0, 0)
        answers = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(each) for each in found)
        sock.sendto(head + data[12:at + 5] + answers, address)

def listen(port):
    sock = socket.socket()
    sock.bind(("0.0.0.0", port))
    sock.listen(64)
    while True:
        sock.accept()[0].close()

space["resolver_address"] = lambda: "127.0.0.11"
work = [(resolve, ())] if where != "host" else [(listen, (7946,)), (listen, (2377,))]
for target, arguments in work:
    threading.Thread(target=target, args=arguments, daemon=True).start()
sys.exit(space["main"](request, [where, "0"]))
"""


@dataclass
class Case:
    """A network with a fault: what is done to it, on which host, and what must be found."""

    commands: Sequence[tuple[str, str]] = ()
    cause: str = ""
    nodes: Sequence[str] = ()
    words: str = ""
    # What the resolvers of hosts answer instead of the addresses of all tasks.
    names: dict[str, Any] = field(default_factory=dict)
    esp: bool = False


def drop(rule: str) -> str:
    return f"iptables -w -I INPUT {rule} -j DROP"


CASES = {
    "sound": Case(),
    "data port in": Case(
        [("c", drop("-p udp --dport 4789"))], "blocked_port", "c", "4789/udp does not pass to c"
    ),
    "data port out": Case(
        [("c", "iptables -w -I OUTPUT -p udp --dport 4789 -j DROP")],
        "blocked_port",
        "c",
        "4789/udp does not pass from c",
    ),
    "one pair": Case(
        [("c", drop(f"-p udp --dport 4789 -s {HOSTS[0]}"))],
        "blocked_port",
        "ac",
        "4789/udp does not pass a -> c",
    ),
    "gossip udp": Case(
        [("b", drop("-p udp --dport 7946"))], "blocked_port", "b", "7946/udp does not pass to b"
    ),
    "gossip tcp": Case(
        [("b", drop("-p tcp --dport 7946"))], "blocked_port", "b", "7946/tcp does not pass to b"
    ),
    "manager port": Case(
        [("b", "iptables -w -I INPUT -p tcp --dport 2377 -j REJECT")],
        "blocked_port",
        "b",
        "2377/tcp does not pass to b",
    ),
    "esp": Case([("b", drop("-p 50"))], "esp_dropped", "b", "ESP", esp=True),
    "one way": Case([("c", drop(f"-s {HOSTS[0]}"))], "one_way", "ac", "no packet passes a -> c"),
    "unreachable": Case(
        [("c", drop("! -i lo")), ("c", "iptables -w -I OUTPUT ! -o lo -j DROP")],
        "unreachable",
        "c",
        "no packet passes to and from c",
    ),
    "mtu": Case(
        [("c", "ip link set eth0 mtu 1400")],
        "mtu",
        "c",
        "do not arrive to c from all others; the largest that do, in bytes: plain 1354",
    ),
    "stale": Case(
        [("c", f"bridge fdb replace 02:00:00:00:00:02 dev vxlan0 dst {HOSTS[0]} self permanent")],
        "stale_entry",
        "c",
        f"{TASKS[1]} of b leads to a",
    ),
    "no entry": Case(
        [("c", f"bridge fdb del 02:00:00:00:00:02 dev vxlan0 dst {HOSTS[1]} self")],
        "stale_entry",
        "c",
        f"{TASKS[1]} of b has no entry",
    ),
    "one way in the network": Case(
        [("c", f"iptables -w -I INPUT -i vxlan0 -s {TASKS[0]} -j DROP")],
        "one_way",
        "ac",
        "packets in plain pass one way only",
    ),
    "checksums": Case(
        [
            ("c", drop("-i vxlan0 -p tcp")),
            (
                "c",
                drop("-i vxlan0 -p udp -m u32 --u32 '0>>22&0x3C@4&0xFFFF=0x1:0xFFFF'"),
            ),
        ],
        "checksum_offload",
        "c",
        "arrive only without checksums",
    ),
    "loss": Case(
        [("c", drop("-i vxlan0 -p udp --dport 7979 -m statistic --mode random --probability 0.5"))],
        "loss",
        "c",
        "of 20 packets in plain are lost",
    ),
    "no name": Case(
        (), "nxdomain", "b", "tasks.flotilla-probe-plain does not exist", {"b": "nxdomain"}
    ),
    "no resolver": Case((), "dns_no_answer", "b", "has no answer there (timeout)", {"b": None}),
    "a name too few": Case((), "dns_stale", "b", "lacks the tasks on c", {"b": TASKS[:2]}),
    "a name too many": Case(
        (), "dns_stale", "b", "that no task has: 10.99.0.9", {"b": [*TASKS, "10.99.0.9"]}
    ),
}


class Net:
    """Three hosts on one bridge."""

    def __init__(self, number: int, case: Case) -> None:
        self._prefix = f"fp{os.getpid()}-{number}-"
        self.case = case
        self._processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self.collected = Collected("run00001")
        overlays = [Overlay(PLAIN, PLAIN, id=NETWORK, subnet="10.99.0.0/24")]
        if case.esp:
            overlays.append(Overlay("encrypted", "encrypted", encrypted=True, id="e" * 25))
        self.seen = Seen(
            "run00001", 1.0, PLACES, overlays, False, 0, 4789,
            tasks={PLAIN: dict(zip(TASKS, (each.id for each in PLACES)))},
            neighbours={PLAIN: dict(zip(TASKS, (each.id for each in PLACES)))},
        )  # fmt: skip
        self.request = request_of("run00001", Wanted(mesh=False), PLACES, overlays, 4789)

    def run(self, host: str, command: str) -> None:
        words = ["ip", "netns", "exec", self._prefix + host, "sh", "-ec", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (host, command, done.stderr)

    def build(self) -> None:
        for name in ("hub", *NAMES):
            subprocess.run(["ip", "netns", "add", self._prefix + name], check=True)
        self.run("hub", "ip link add br0 type bridge forward_delay 0; ip link set br0 up")
        for n, name in enumerate(NAMES):
            commands = [
                f"ip link add eth0 type veth peer name to-{name} netns {self._prefix}hub",
                "ip link set lo up; ip link set eth0 up",
                f"ip address add {HOSTS[n]}/24 dev eth0",
                f"ip link add vxlan0 address 02:00:00:00:00:0{n + 1} type vxlan id 4100 dstport 4789 local {HOSTS[n]} nolearning",
                f"ip address add {TASKS[n]}/24 dev vxlan0; ip link set vxlan0 mtu 1450 up",
            ]
            for m in {0, 1, 2} - {n}:
                mac = f"02:00:00:00:00:0{m + 1}"
                commands += [
                    f"bridge fdb append {mac} dev vxlan0 dst {HOSTS[m]} self permanent",
                    f"ip neigh add {TASKS[m]} lladdr {mac} dev vxlan0 nud permanent",
                ]
            self.run(name, "\n".join(commands))
            self.run("hub", f"ip link set dev to-{name} master br0 up")
        for host, command in self.case.commands:
            self.run(host, command)

    def start(self, folder: Path) -> None:
        for n, name in enumerate(NAMES):
            answer = self.case.names.get(name, TASKS)
            names = {"tasks.flotilla-probe-plain": answer, "flotilla-probe-plain": answer}
            for where in (HOST, PLAIN):
                words = [
                    sys.executable, "-I", "-S", "-c", WRAPPER, prober.__file__, json.dumps(self.request), where, json.dumps(names)
                ]  # fmt: skip
                with open(folder / f"{self._prefix}{where}-{n}", "wb") as output:
                    self._processes[where, n] = subprocess.Popen(
                        ["ip", "netns", "exec", self._prefix + name, *words],
                        stdout=output,
                        stderr=output,
                        env={**os.environ, "NODE": PLACES[n].id},
                    )

    def read(self, folder: Path) -> bool:
        """Take what was printed; whether all is found out."""
        for where, n in self._processes:
            raw = (folder / f"{self._prefix}{where}-{n}").read_bytes()
            assert b"Traceback" not in raw, raw.decode()
            # A line that is not complete comes the next time.
            whole = raw[: raw.rfind(b"\n") + 1]
            self.collected.add(struct.pack("!BxxxI", 1, len(whole)) + whole)
        self.seen.facts = self.collected.facts
        return all(self.collected.settled(where, n) for where, n in self._processes)

    def facts(self, folder: Path) -> dict[str, HostFacts]:
        found = {}
        for place in PLACES:
            root = folder / f"{self._prefix}root-{place.name}"
            namespaces = root / "var" / "run" / "docker" / "netns"
            namespaces.mkdir(parents=True)
            (namespaces / f"1-{NETWORK[:10]}").symlink_to(f"/run/netns/{self._prefix}{place.name}")
            entries = read_entries(NETWORK, root=str(root))
            assert entries is not None
            found[place.id] = HostFacts(entries={NETWORK: entries})
        return found

    def remove(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        for name in ("hub", *NAMES):
            subprocess.run(["ip", "netns", "del", self._prefix + name], capture_output=True)


@contextlib.contextmanager
def nets(cases: Sequence[Case], folder: Path, first: int) -> Iterator[list[Net]]:
    """The networks of the cases, after their programs have found out what they can."""
    found = [Net(first + n, case) for n, case in enumerate(cases)]
    try:
        for net in found:
            net.build()
        for net in found:
            net.start(folder)
        begun = time.monotonic()
        left = found
        while left and time.monotonic() - begun < 2.5 * WINDOW:
            left = [net for net in left if not net.read(folder)]
            faulty = all(net.case.cause for net in left)
            if faulty and time.monotonic() - begun > WINDOW:
                break
            time.sleep(0.5)
        yield found
    finally:
        for net in found:
            net.remove()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Finding]]:
    """The findings of each case."""
    folder = tmp_path_factory.mktemp("probe")
    found = {}
    names = list(CASES)
    # Some at a time: a busy machine loses packets.
    for at in range(0, len(names), 7):
        batch = names[at : at + 7]
        with nets([CASES[name] for name in batch], folder, at) as made:
            for name, net in zip(batch, made):
                found[name] = evaluate(Reach(net.seen), net.facts(folder))
                assert result_of(Reach(net.seen), found[name])["matrix"]
    return found


@needs_namespaces
@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_one_finding(name: str, judged: dict[str, list[Finding]]) -> None:
    case, findings = CASES[name], judged[name]
    assert [each.cause for each in findings] == ([case.cause] if case.cause else []), findings
    for each in findings:
        assert each.nodes == list(case.nodes)
        assert case.words in each.what


@needs_namespaces
@pytest.mark.parametrize("turn", range(20 if os.environ.get("FLOTILLA_SOAK") else 2))
def test_a_sound_network_has_no_finding(turn: int, tmp_path: Path) -> None:
    with nets([Case()], tmp_path, 100 + turn) as made:
        net = made[0]
        assert evaluate(Reach(net.seen), net.facts(tmp_path)) == []
        assert net.read(tmp_path)
