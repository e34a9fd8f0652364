# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network that differs from the files is replaced, and its services stay up meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from in_one_call import Manager

COMPOSE = """
version: "3.8"
services:
  web:
    image: registry.lab:5000/hello:1
    networks: {front: {aliases: [www]}, back: {}}
    stop_grace_period: 0s
    deploy: {replicas: 2, endpoint_mode: dnsrr, update_config: {order: start-first, parallelism: 1}}
  db:
    image: registry.lab:5000/hello:1
    networks: [back]
    stop_grace_period: 0s
    deploy: {replicas: 1, endpoint_mode: dnsrr, update_config: {order: start-first}}
networks:
  front: {attachable: false}
  back: {}
"""
DOCUMENT = COMPOSE.replace("attachable: false", "attachable: true")


@pytest.fixture(scope="module")
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    found = Manager(request.config.getoption("--ansible-inventory"))
    yield found
    found.sh(
        "docker stack rm swap; for n in $(seq 60); do docker network ls -q -f name=swap_ | xargs -r docker network rm"
        " && break; sleep 1; done"
    )


def deploy(
    manager: Manager, text: str, check: bool = False, name: str = "swap", **options: Any
) -> dict[str, Any]:
    stack = {
        "name": name,
        "definition": text,
        "options": {"wait": True, "settle": 1, **options},
    }
    found: dict[str, Any] = manager.stacks([stack], check)[name]
    return found


def networks(manager: Manager) -> dict[str, Any]:
    found = manager.engine("/networks")
    return {n["Name"]: n for n in found if n["Name"].startswith("swap_")}


def running(manager: Manager) -> int:
    return len(
        manager.sh(
            "docker service ps -f desired-state=running --format '{{.CurrentState}}' swap_web | grep ^Running || true"
        ).splitlines()
    )


def test_a_replacement_does_what_its_plan_says_and_no_service_stops(manager: Manager) -> None:
    first = deploy(manager, COMPOSE)
    assert "error" not in first, first["error"]
    before = networks(manager)
    refused = deploy(manager, DOCUMENT)
    assert "network swap_front (attachable (none) -> yes)" in refused["error"]
    plan = deploy(manager, DOCUMENT, check=True, replace_networks=True)
    assert networks(manager) == before

    seen, over = [], threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(running(manager))
            time.sleep(0.3)

    watcher = threading.Thread(target=watch)
    watcher.start()
    run = deploy(manager, DOCUMENT, replace_networks=True)
    over.set()
    watcher.join()

    assert "error" not in run, run["error"]
    assert plan["plan"] == run["plan"]
    assert [(s["action"], s["kind"], s["name"]) for s in plan["steps"]] == [
        ("none", "network", "swap_back"),
        ("replace", "network", "swap_front"),
        ("none", "service", "swap_db"),
        ("update", "service", "swap_web"),
    ]
    after = networks(manager)
    assert sorted(after) == ["swap_back", "swap_front"]
    assert (before["swap_front"]["Attachable"], after["swap_front"]["Attachable"]) == (False, True)
    assert before["swap_back"]["Id"] == after["swap_back"]["Id"]
    assert len(seen) > 5
    assert min(seen) >= 2

    spec = manager.engine("/services/swap_web")["Spec"]
    attached = {n["Target"]: n["Aliases"] for n in spec["TaskTemplate"]["Networks"]}
    assert attached[after["swap_front"]["Id"]] == ["web", "www"] or attached[
        after["swap_front"]["Id"]
    ] == ["www", "web"]
    second = deploy(manager, DOCUMENT)
    assert (second["changed"], second["applied"]) == (False, [])


def test_a_run_that_was_killed_on_the_way_is_finished_by_the_next(manager: Manager) -> None:
    """The state between the two moves: the services are on the temporary network, and the old network still exists."""
    front = networks(manager)["swap_front"]
    labels = {**front["Labels"], "flotilla.swarm.detour": "swap_front"}
    body = {"Name": "swap_front-detour", "Driver": "overlay", "Labels": labels}
    curl = (
        "curl -sfg --unix-socket /var/run/docker.sock -X POST -H 'Content-Type: application/json'"
    )
    manager.sh(f"{curl} -d '{json.dumps(body)}' http://docker/networks/create")
    manager.sh(
        "docker service update -d --network-rm swap_front --network-add swap_front-detour swap_web"
    )
    run = deploy(manager, COMPOSE, replace_networks=True)
    assert "error" not in run, run["error"]
    after = networks(manager)
    assert sorted(after) == ["swap_back", "swap_front"]
    assert after["swap_front"]["Attachable"] is False
    second = deploy(manager, COMPOSE)
    assert (second["changed"], second["applied"]) == (False, [])


def test_what_another_stack_uses_stays(manager: Manager) -> None:
    other = """
version: "3.8"
services:
  guest: {image: "registry.lab:5000/hello:1", networks: [there], deploy: {replicas: 0}}
networks: {there: {external: true, name: swap_front}}
"""
    manager.stacks([{"name": "swapguest", "definition": other}])
    before = networks(manager)
    run = deploy(manager, DOCUMENT, replace_networks=True)
    manager.sh("docker stack rm swapguest")
    assert (
        "service swapguest_guest, which does not belong to this stack, is on network swap_front"
        in run["error"]
    )
    assert networks(manager) == before
