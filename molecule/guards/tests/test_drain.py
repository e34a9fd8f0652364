# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks leave a node on a real engine without a dip, and the move leaves no trace.

Part of `make molecule SCENARIO=guards`. It needs one manager, three workers and the lab's registry. On a lab
that runs already (make demo LAB_MANAGERS=1 LAB_WORKERS=3), alone:

    LAB_PREFIX=flotilla LAB_STATE=$PWD/.lab/flotilla .venv/bin/python -m pytest molecule/guards/tests/test_drain.py

The code runs here, and talks to the manager's engine through its socket, forwarded by ssh. A second connection counts the
running tasks all the while.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".cache" / "collections"))

from ansible_collections.flotilla.swarm.plugins.module_utils._api.client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import MOVING_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.drain import drain
from ansible_collections.flotilla.swarm.plugins.module_utils._nodes.services import (
    clean_up_interrupted,
)

IMAGE = "registry.lab:5000/hello:1"
SECOND = 10**9
REPLICAS = 4
START, STOP = "drain-start-first", "drain-stop-first"
Placed = dict[str, tuple[int, str]]


def connect(socket: str) -> EngineClient:
    nothing = dict.fromkeys(["client_cert", "client_key", "ca_path", "tls_hostname"])
    return EngineClient(
        {
            "docker_host": f"unix://{socket}",
            "api_version": "auto",
            "timeout": 60,
            "tls": False,
            "validate_certs": False,
            **nothing,
        }
    )


def runs(task: dict[str, Any]) -> bool:
    return bool(task["Status"]["State"] == "running" == task["DesiredState"])


def set_availability(client: EngineClient, node_id: str, availability: str) -> None:
    node = client.node(node_id)
    spec = {**node["Spec"], "Availability": availability}
    client.update_node(node_id, node["Version"]["Index"], spec)


class Counter(threading.Thread):
    """The running tasks of each service while the block runs; prints all of its tasks where they were too few."""

    def __init__(self, socket: str, services: list[str]) -> None:
        super().__init__(daemon=True)
        self.client = connect(socket)
        self.services = services
        self.seen: dict[str, list[int]] = {service: [] for service in services}
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            tasks = self.client.tasks(service=self.services)
            for service, seen in self.seen.items():
                own = [task for task in tasks if task["ServiceID"] == service]
                seen.append(sum(map(runs, own)))
                if seen[-1] < REPLICAS:
                    # Shown by pytest where the test fails.
                    print(f"{seen[-1]} tasks run:", json.dumps(own))

    def __enter__(self) -> Counter:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.over.set()
        self.join()


class Services:
    """The services of a test, by name."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.client = connect(socket)
        self.ids: dict[str, str] = {}

    def create(
        self, name: str, order: str, *constraints: str, only_on: str = "", grace: int = 0
    ) -> None:
        """With `only_on`, its tasks are healthy on this node alone, and are given that many seconds to get so."""
        test = f'test "$NODE" = {only_on}' if only_on else "wget -q -O - http://127.0.0.1:8080/"
        spec = {
            "Name": name,
            "Mode": {"Replicated": {"Replicas": REPLICAS}},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": IMAGE,
                    "StopGracePeriod": SECOND,
                    "Healthcheck": {
                        "Test": ["CMD", "sh", "-c", test],
                        # Each check is a process of its own on a host.
                        "Interval": (1 if only_on else 3) * SECOND,
                        # On a busy machine a check takes seconds, and one that is over its time counts as failed.
                        "Timeout": 20 * SECOND,
                        "Retries": 1 if only_on else 5,
                        "StartPeriod": grace * SECOND,
                    },
                    "Env": ["NODE={{.Node.ID}}"],
                },
                "Placement": {"Constraints": ["node.role==worker", *constraints]},
            },
            "UpdateConfig": {
                "Parallelism": 1,
                "Order": order,
                "FailureAction": "rollback",
                "Monitor": 5 * SECOND,
            },
            "EndpointSpec": {"Mode": "dnsrr"},
        }
        created = self.client.call("POST", "/services/create", f"create service {name}", spec)
        self.ids[name] = created["ID"]

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while any(len(self.placed(name)) < REPLICAS for name in self.ids):
            assert time.monotonic() < deadline, {name: self.placed(name) for name in self.ids}
            time.sleep(0.3)

    def placed(self, name: str) -> Placed:
        """The slot and the node of the running tasks, by task ID."""
        tasks = self.client.tasks(service=self.ids[name])
        return {task["ID"]: (task["Slot"], task["NodeID"]) for task in tasks if runs(task)}

    def document(self, name: str) -> dict[str, Any]:
        return next(item for item in self.client.services() if item["ID"] == self.ids[name])

    def specs(self) -> dict[str, Any]:
        return {name: copy.deepcopy(self.document(name)["Spec"]) for name in self.ids}

    def busiest(self) -> str:
        """The worker with most of their tasks, so that there is something to move."""
        where = [node for name in self.ids for _slot, node in self.placed(name).values()]
        return max(set(where), key=where.count)


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    """The engine's socket of a manager, as a file of this machine."""
    import drive
    import members

    state = "docker info --format '{{.Swarm.ControlAvailable}}'"
    if drive.ssh("m1", state, check=False).strip() != "true":
        members.begin_with(members.EVERYBODY)
    inventory = yaml.safe_load((drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))
    manager = inventory["all"]["children"]["swarm_managers"]["hosts"]["m1"]["ansible_host"]
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/engine"
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        with subprocess.Popen(
            ["ssh", "-N", "-i", str(drive.STATE / "ssh_key")]
            + [word for option in options for word in ("-o", option)]
            + ["-L", f"{place}:/var/run/docker.sock", f"root@{manager}"],
            stdin=subprocess.DEVNULL,
        ) as forward:
            deadline = time.monotonic() + 20
            while not Path(place).exists():
                assert time.monotonic() < deadline, "ssh does not forward the socket"
                time.sleep(0.1)
            yield place
            forward.terminate()


@pytest.fixture
def services(socket: str) -> Iterator[Services]:
    made = Services(socket)
    try:
        yield made
    finally:
        for name, service_id in made.ids.items():
            made.client.call("DELETE", f"/services/{service_id}", f"remove service {name}")
        for node in made.client.nodes():
            if node["Spec"]["Availability"] != "active":
                set_availability(made.client, node["ID"], "active")
        clean_up_interrupted(made.client)


def no_trace(services: Services) -> None:
    assert MOVING_LABEL not in json.dumps(services.client.services())
    assert MOVING_LABEL not in json.dumps(services.client.nodes())


def drained(services: Services, node_id: str, then: Callable[[], None]) -> Callable[[], None]:
    def write() -> None:
        then()
        set_availability(services.client, node_id, "drain")

    return write


def test_work_moves_without_a_dip_and_nothing_else_does(services: Services) -> None:
    services.create(START, "start-first")
    services.create(STOP, "stop-first")
    services.wait()
    node = services.busiest()
    before = {name: services.placed(name) for name in services.ids}
    specs = services.specs()
    moved: dict[str, Placed] = {}

    def then() -> None:
        moved.update({name: services.placed(name) for name in services.ids})

    with Counter(services.socket, list(services.ids.values())) as counter:
        moves = drain(services.client, [node], drained(services, node, then), 120)
        # Longer than the engine watches an update.
        time.sleep(8)
    assert {move.service for move in moves} >= {
        name for name in services.ids if any(at == node for _slot, at in before[name].values())
    }
    for name, floor in ((START, REPLICAS), (STOP, REPLICAS - 1)):
        assert min(counter.seen[services.ids[name]]) >= floor, name
        stays = {task for task, (_slot, at) in before[name].items() if at != node}
        # Only what was on the node was replaced, and before the node was drained.
        assert set(before[name]) & set(moved[name]) == stays
        assert node not in {at for _slot, at in moved[name].values()}
        assert len(moved[name]) == REPLICAS
        # Taking the constraint out replaced nothing.
        assert services.placed(name) == moved[name]
    assert len(counter.seen[services.ids[START]]) > 50
    assert services.specs() == specs
    no_trace(services)


def test_what_a_killed_run_leaves_is_taken_out(services: Services) -> None:
    services.create(START, "start-first")
    services.wait()
    node = services.busiest()
    specs = services.specs()
    before = services.placed(START)
    with Counter(services.socket, list(services.ids.values())) as counter:
        with subprocess.Popen([sys.executable, __file__, services.socket, node]) as run:
            deadline = time.monotonic() + 30
            while MOVING_LABEL not in json.dumps(services.specs()):
                assert time.monotonic() < deadline, "nothing was marked"
                time.sleep(0.05)
            run.kill()
        assert clean_up_interrupted(services.client)
        services.wait()
        time.sleep(3)
    assert services.specs() == specs
    no_trace(services)
    assert min(counter.seen[services.ids[START]]) >= REPLICAS
    stays = {task for task, (_slot, at) in before.items() if at != node}
    assert stays <= set(services.placed(START))


def test_a_service_that_cannot_run_elsewhere_stays_where_it_is(services: Services) -> None:
    node = next(item["ID"] for item in services.client.nodes() if item["Spec"]["Role"] == "worker")
    services.create(START, "start-first", f"node.id=={node}")
    services.wait()
    specs = services.specs()
    before = services.placed(START)
    with (
        Counter(services.socket, list(services.ids.values())) as counter,
        pytest.raises(SwarmError) as caught,
    ):
        drain(services.client, [node], lambda: None, 10)
    assert caught.value.code == "drain_timeout"
    # Other stacks may run on the node as well.
    late = {item["service"]: item for item in caught.value.details["services"]}[START]
    assert (late["there"], late["wanted"]) == (0, REPLICAS)
    assert "no suitable node" in late["reason"]
    assert min(counter.seen[services.ids[START]]) == REPLICAS
    assert services.placed(START) == before
    assert services.specs() == specs
    assert services.client.node(node)["Spec"]["Availability"] == "active"
    no_trace(services)


@pytest.mark.parametrize(("grace", "code"), [(0, "drain_failed"), (300, "drain_timeout")])
def test_tasks_that_do_not_get_healthy_elsewhere_cost_none_that_run(
    services: Services, grace: int, code: str
) -> None:
    workers = [node["ID"] for node in services.client.nodes() if node["Spec"]["Role"] == "worker"]
    node = workers[0]
    for other in workers[1:]:
        set_availability(services.client, other, "pause")
    services.create(START, "start-first", only_on=node, grace=grace)
    services.wait()
    for other in workers[1:]:
        set_availability(services.client, other, "active")
    specs = services.specs()
    before = services.placed(START)
    with (
        Counter(services.socket, list(services.ids.values())) as counter,
        pytest.raises(SwarmError) as caught,
    ):
        drain(services.client, [node], lambda: None, 15)
    time.sleep(8)
    assert caught.value.code == code
    assert START in caught.value.message
    assert min(counter.seen[services.ids[START]]) == REPLICAS
    assert services.placed(START) == before
    assert services.specs() == specs
    no_trace(services)


if __name__ == "__main__":
    # The run that is killed: it never gets to the drain.
    drain(connect(sys.argv[1]), [sys.argv[2]], lambda: time.sleep(600), 600)
