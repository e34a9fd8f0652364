# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts failed requests while services are scaled, restarted, drained and rebalanced: by our modules, and by Docker's own
commands for the same.

Three services are asked all the time. `web` has several tasks and `lone` has one; a client in the same overlay network
asks them by name. `port` has its port on the hosts themselves; a client outside asks host after host, and as a load
balancer would, it counts a failure only on a host that had answered before.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

IMAGE = "registry.lab:5000/hello:1"
PORT = 8090
# A task is in the network's DNS only once it is healthy, and is out of it two seconds before it ends.
COMMON = (
    "--health-cmd 'wget -q -O /dev/null http://127.0.0.1:8080/' --health-interval 500ms"
    " --stop-grace-period 2s --constraint node.role==worker --update-monitor 1s"
)
INSIDE = f"{COMMON} --network bench --endpoint-mode dnsrr --update-order start-first"
SERVICES = {
    "web": f"--replicas 4 {INSIDE}",
    "lone": f"--replicas 1 {INSIDE}",
    "port": f"--replicas 2 {COMMON} --publish mode=host,published={PORT},target=8080",
}
# busybox without shared libraries looks names up with nslookup alone.
ASK_INSIDE = """
ask() {
    address=$(nslookup "$1" | while read -r key value; do [ "$key" != Address: ] || echo "$value"; done)
    # The first line is the server's own.
    set -- $address
    [ $# -gt 1 ] && wget -q -O /dev/null "http://$2:8080/"
}
while [ ! -e "/stop.$1" ]; do
    for name in web lone; do
        # One that hangs keeps no other waiting.
        { ask $name > /dev/null 2>&1 && echo answered || echo failed; } &
    done
    sleep 0.1
done
wait
"""


@dataclass
class Count:
    inside: int = 0
    at_ports: int = 0
    answered: int = 0

    @property
    def failed(self) -> int:
        return self.inside + self.at_ports


class Swarm:
    """A lab's swarm with the services, driven by Docker's own command on its manager."""

    def __init__(self, lab: Any, prefix: str) -> None:
        self.lab = lab
        self.manager = f"{prefix}-m1"
        self.sessions = 0
        self.hosts = [
            text.split("=")[1] for name, text in lab.hosts().items() if name.startswith("w")
        ]

    def docker(self, command: str) -> str:
        said: str = self.lab.run(
            command, "docker", "exec", self.manager, "sh", "-c", f"docker {command}"
        )
        return said

    def module(self, name: str, **args: Any) -> None:
        self.lab.modules(name, {f"flotilla.swarm.{name}": args})

    def tasks(self, name: str) -> list[str]:
        """The nodes of the tasks that run."""
        listing = "--format '{{.Node}} {{.CurrentState}}' -f desired-state=running"
        lines = self.docker(f"service ps {listing} {name}").splitlines()
        return [line.split()[0] for line in lines if line.split()[1] == "Running"]

    def settle(self, **wanted: int) -> None:
        """Set the number of tasks of the services, and wait until old tasks have stopped."""
        self.docker(
            "service scale -d " + " ".join(f"{name}={count}" for name, count in wanted.items())
        )
        deadline = time.monotonic() + 90
        while any(len(self.tasks(name)) != count for name, count in wanted.items()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the services do not get to {json.dumps(wanted)}")
            time.sleep(0.5)
        time.sleep(4)

    @contextmanager
    def services(self) -> Iterator[None]:
        self.docker("network create -d overlay bench")
        client = "--network bench --constraint node.hostname==m1 --stop-grace-period 1s"
        self.docker(f"service create -q --name client {client} {IMAGE}")
        for name, options in SERVICES.items():
            self.docker(f"service create -q --name {name} {options} {IMAGE}")
        yield

    @contextmanager
    def asked(self) -> Iterator[Count]:
        """Send requests constantly while the block runs."""
        count, over = Count(), threading.Event()
        self.sessions += 1
        find = "$(docker ps -q -f label=com.docker.swarm.service.name=client)"
        inside = subprocess.Popen(
            ["docker", "exec", "-i", self.manager, "sh", "-c", f"docker exec -i {find} sh -s {self.sessions}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert inside.stdin is not None
        inside.stdin.write(ASK_INSIDE)
        inside.stdin.close()

        def read_inside() -> None:
            for line in inside.stdout or ():
                if line.strip() == "failed":
                    count.inside += 1
                else:
                    count.answered += 1

        def ask_ports() -> None:
            up = dict.fromkeys(self.hosts, False)
            while not over.is_set():
                for host in self.hosts:
                    answers = answered(host)
                    if answers:
                        count.answered += 1
                    elif up[host]:
                        count.at_ports += 1
                    up[host] = answers
                time.sleep(0.05)

        threads = [threading.Thread(target=each) for each in (read_inside, ask_ports)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        try:
            yield count
            # What has to stop stops after the command has returned.
            time.sleep(4)
        finally:
            over.set()
            subprocess.run(
                [
                    "docker",
                    "exec",
                    self.manager,
                    "sh",
                    "-c",
                    f"docker exec {find} sh -c ': > /stop.{self.sessions}'",
                ],
                check=True,
            )
            for thread in threads:
                thread.join()
            inside.wait()
            if inside.stdout is not None:
                inside.stdout.close()


def answered(host: str) -> bool:
    connection = http.client.HTTPConnection(host, PORT, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


Step = Callable[[Swarm], None]


def _both(swarm: Swarm) -> None:
    swarm.settle(web=4, lone=1, port=2)


def _uneven(swarm: Swarm) -> None:
    """A worker has come back, and nothing of `web` is on it."""
    _both(swarm)
    away = next(node for node in swarm.tasks("web") if node not in swarm.tasks("lone"))
    swarm.docker(f"node update --availability drain {away}")
    _both(swarm)
    swarm.docker(f"node update --availability active {away}")


def _scale_ours(swarm: Swarm) -> None:
    swarm.module("swarm_scale", services={"web": 8, "port": 4})
    swarm.module("swarm_scale", services={"web": 4, "port": 2})


def _scale_theirs(swarm: Swarm) -> None:
    swarm.docker("service scale web=8 port=4")
    swarm.docker("service scale web=4 port=2")


def _restart_ours(swarm: Swarm) -> None:
    swarm.module("swarm_restart", services=["web", "lone", "port"])


def _restart_theirs(swarm: Swarm) -> None:
    for name in ("web", "lone", "port"):
        swarm.docker(f"service update -q --force {name}")


def _drain_ours(swarm: Swarm) -> None:
    (node,) = swarm.tasks("lone")
    swarm.module("swarm_drain", nodes=[node])
    swarm.module("swarm_drain", nodes=[node], state="active")


def _drain_theirs(swarm: Swarm) -> None:
    (node,) = swarm.tasks("lone")
    swarm.docker(f"node update --availability drain {node}")
    # As long as it takes until the work runs elsewhere, which the command does not wait for.
    _both(swarm)
    swarm.docker(f"node update --availability active {node}")


def _rebalance_ours(swarm: Swarm) -> None:
    swarm.module("swarm_rebalance")


def _rebalance_theirs(swarm: Swarm) -> None:
    swarm.docker("service update -q --force web")


STEPS: dict[str, tuple[Step, Step, Step]] = {
    "scale": (_both, _scale_ours, _scale_theirs),
    "restart": (_both, _restart_ours, _restart_theirs),
    "drain": (_both, _drain_ours, _drain_theirs),
    "rebalance": (_uneven, _rebalance_ours, _rebalance_theirs),
}


def measure(swarm: Swarm, name: str, rounds: int) -> tuple[Count, Count]:
    """All rounds of one step, with our module and Docker's command in turn."""
    prepare, *steps = STEPS[name]
    sums = (Count(), Count())
    for number in range(rounds):
        turns = list(zip(sums, steps))
        for total, step in turns if number % 2 == 0 else reversed(turns):
            prepare(swarm)
            with swarm.asked() as count:
                step(swarm)
            total.inside += count.inside
            total.at_ports += count.at_ports
            total.answered += count.answered
    return sums
