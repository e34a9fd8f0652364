# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of the scenario, seen from outside."""

from __future__ import annotations

import json
from typing import Any

import pytest

SECRETS = (
    "a-secret-of-the-lab",
    "another-secret",
    "not-to-be-seen-anywhere",
    "a-password-of-the-lab",
)


@pytest.fixture(scope="module")
def manager(get_host: Any) -> Any:
    return get_host("m3")


@pytest.fixture(scope="module")
def get_host(request: pytest.FixtureRequest) -> Any:
    import testinfra

    inventory = request.config.getoption("--ansible-inventory")

    def get(name: str) -> Any:
        return testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory)

    return get


def service(manager: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manager.check_output(f"docker service inspect {name}"))[0]
    return found


def test_the_tasks_run_on_three_hosts(manager: Any) -> None:
    listed = manager.check_output(
        "docker service ps hello_web -f desired-state=running --format '{{.Node}} {{.CurrentState}}'"
    ).splitlines()
    assert len({line.split()[0] for line in listed}) == 3
    assert all(line.split()[1] == "Running" for line in listed)


def test_every_node_runs_the_digest_that_the_registry_gave(manager: Any) -> None:
    image = service(manager, "hello_web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    assert image.startswith("registry.lab:5000/hello:2@sha256:")


def test_it_answers_with_what_was_deployed(manager: Any, get_host: Any) -> None:
    node = manager.check_output(
        "docker service ps hello_web -f desired-state=running --format '{{.Node}}'"
    ).split()[0]
    answers = get_host(node).check_output("curl -s http://127.0.0.1:8088/")
    assert answers.startswith("hello 2 from hello_web.")
    assert get_host(node).check_output("curl -s http://127.0.0.1:8088/motd") == "message of the day"
    inside = "docker exec $(docker ps -q -f name=hello_web) cat /run/secrets/key"
    assert get_host(node).check_output(inside) == SECRETS[0]


def test_after_the_rollback_it_is_as_it_was_first_deployed(manager: Any) -> None:
    container = service(manager, "inline_sleeper")["Spec"]["TaskTemplate"]["ContainerSpec"]
    assert container["Args"] == ["sleep", "100000"]


def test_a_secret_that_did_not_change_was_never_written_again(manager: Any) -> None:
    key = json.loads(manager.check_output("docker secret inspect hello_key"))[0]
    assert key["CreatedAt"] == key["UpdatedAt"]


@pytest.mark.parametrize("name", ["m1", "m2", "m3", "w1"])
def test_nothing_is_left_on_the_hosts(get_host: Any, name: str) -> None:
    host = get_host(name)
    assert host.run("ls -d /run/flotilla-* /dev/shm/flotilla-* /tmp/flotilla-*").stdout == ""
    journal = host.check_output("journalctl -q --no-pager -o cat")
    assert not [secret for secret in SECRETS if secret in journal]
