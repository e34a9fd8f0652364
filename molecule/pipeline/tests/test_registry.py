# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry of the inventory: who can use it, what a changed password or authority does, and its garbage collection."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import delivery
import pytest
import yaml
from delivery import done, drive, nodes, playbook, soak

FOLDER = "/etc/flotilla.swarm/registry"
GC = "flotilla-registry-gc.service"


def inventory() -> dict[str, Any]:
    return dict(yaml.safe_load((delivery.inventory_path() / "hosts.yml").read_text()))


def write(document: dict[str, Any]) -> None:
    (delivery.inventory_path() / "hosts.yml").write_text(yaml.safe_dump(document))


@pytest.fixture
def original() -> Iterator[dict[str, Any]]:
    """The inventory, which is as before afterwards, and so is the registry."""
    document = inventory()
    yield copy.deepcopy(document)
    write(document)
    done(playbook("registry"))


def status(method: str, path: str, user: str, password: str) -> str:
    """The answer of the registry, asked from another host."""
    url = f"https://{delivery.registry()}/v2/{path}"
    ca = f"/etc/docker/certs.d/{delivery.registry()}/ca.crt"
    # The password is in a file of curl's, not in its arguments.
    return drive.ssh(
        "m1",
        f"""printf 'user = "%s"\\n' {user}:{password} | curl -s -K - --cacert {ca} -o /dev/null -w '%{{http_code}}' -X {method} {url}""",
    )


def users() -> list[dict[str, str]]:
    return list(inventory()["all"]["vars"]["registry_users"])


def first() -> tuple[str, str]:
    return users()[0]["name"], users()[0]["password"]


def make_image(name: str) -> str:
    """A small image in the registry, from a node that is logged in by the inventory."""
    image = f"{delivery.registry()}/{name}"
    drive.ssh(
        "m1",
        f"""
        test -e /bin/busybox || {{ apt-get -qq update && apt-get -qq install -y busybox-static > /dev/null; }}
        cd "$(mktemp -d)"; mkdir bin; cp /bin/busybox bin/; date +%N > stamp
        tar c . | docker import -c 'CMD ["/bin/busybox", "sleep", "1000000"]' - {image} > /dev/null; docker push -q {image}
        """,
    )
    return image


def test_a_new_password_reaches_hosts_and_services_without_new_tasks(
    original: dict[str, Any],
) -> None:
    image = make_image("private:1")
    stacks = [
        {
            "name": "private",
            "definition": {"version": "3.8", "services": {"app": {"image": image, "stop_grace_period": "1s", "deploy": {"mode": "global"}}}},
        }
    ]  # fmt: skip
    done(playbook("deploy_stacks", swarm_stack_stacks=stacks))
    tasks = drive.ssh("m1", "docker service ps -q --no-trunc private_app")
    again = done(playbook("deploy_stacks", swarm_stack_stacks=stacks))
    assert again.changed == 0
    old = first()
    original["all"]["vars"]["registry_users"][0]["password"] = "another-Pw7-everything"
    # A user that is gone can no longer log in.
    gone = original["all"]["vars"]["registry_users"].pop()
    write(original)
    done(playbook("registry"))
    assert status("GET", "", *old) == "401"
    assert status("GET", "", gone["name"], gone["password"]) == "401"
    assert status("GET", "", *first()) == "200"
    run = done(playbook("deploy_stacks", swarm_stack_stacks=stacks))
    assert "flotilla.swarm.login" in run.text
    assert "another-Pw7" not in run.text
    assert drive.ssh("m1", "docker service ps -q --no-trunc private_app") == tasks
    # A node that has not got the image pulls it with the new password.
    drive.ssh("m1", "docker service update -q --detach --force private_app > /dev/null")
    node = nodes()[-1]
    drive.ssh(
        node,
        f"docker rm -f $(docker ps -q --filter name=private_app) > /dev/null; docker rmi -f {image} > /dev/null; true",
    )

    def runs() -> bool:
        found = drive.ssh(
            "m1", "docker service ls --filter name=private_app --format '{{.Replicas}}'"
        ).strip()
        have, _slash, wanted = found.partition("/")
        return bool(have) and have == wanted

    drive.wait_until(runs, 90)
    assert done(playbook("registry")).changed == 0
    drive.ssh("m1", "docker stack rm private > /dev/null 2>&1")


def test_a_collection_of_garbage_that_is_killed_leaves_a_registry_that_takes_pushes() -> None:
    host = delivery.REGISTRY_HOST
    make_image("kept:1")
    digest = make_image("removed:1") and drive.ssh(
        "m1", f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {delivery.registry()}/removed:1"
    ).strip().partition("@")[2]  # fmt: skip
    assert status("DELETE", f"removed/manifests/{digest}", *first()) == "202"
    size = "du -sb /var/lib/docker-registry | cut -f1"
    before = int(drive.ssh(host, size))
    # The real program after a pause, in which it can be killed.
    program = f"/usr/bin/docker-registry garbage-collect {FOLDER}/config.yml"
    drive.ssh(
        host,
        f"""
        mkdir -p /run/systemd/system/{GC}.d
        printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c "sleep 60; exec {program}"\\n' > /run/systemd/system/{GC}.d/slow.conf
        systemctl daemon-reload; systemctl start --no-block {GC}
        """,
    )
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "405", 30)
    assert status("GET", "kept/tags/list", *first()) == "200"
    drive.ssh(
        host,
        f"systemctl kill -s KILL {GC}; rm -r /run/systemd/system/{GC}.d; systemctl daemon-reload",
    )
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "202", 30)
    drive.ssh(host, f"systemctl start {GC}")
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "202", 30)
    assert int(drive.ssh(host, size)) < before - 500_000
    assert status("GET", "kept/manifests/1", *first()) == "200"
    assert done(playbook("registry")).changed == 0


@soak
def test_certificates_are_renewed_without_a_run() -> None:
    host = delivery.REGISTRY_HOST
    shown = f"openssl x509 -in {FOLDER}/registry.crt -noout -serial"
    before = drive.ssh(host, shown)
    drive.ssh(host, "systemctl start flotilla-registry-renew.service")
    assert drive.ssh(host, shown) == before
    # One that ends now, from the same authority.
    drive.ssh(
        host,
        f"""
        cd {FOLDER}; printf 'subjectAltName=IP:%s' {delivery.address(host)} > /tmp/extensions
        openssl req -new -key registry.key -subj /CN=x | openssl x509 -req -CA ca.crt -CAkey ca.key -set_serial 7 -days 0 \\
            -extfile /tmp/extensions -out registry.crt 2> /dev/null
        """,
    )
    drive.wait_until(
        lambda: drive.ssh(host, f"openssl x509 -in {FOLDER}/registry.crt -noout -checkend 0; true")
    )
    drive.ssh(host, "systemctl start flotilla-registry-renew.service")
    assert drive.ssh(host, shown).strip() not in (before.strip(), "serial=07")
    drive.wait_until(lambda: status("GET", "", *first()) == "200", 30)
    assert done(playbook("registry")).changed == 0


@soak
def test_a_new_authority_is_trusted_by_all_hosts_after_one_run() -> None:
    drive.ssh(delivery.REGISTRY_HOST, f"rm {FOLDER}/ca.key")
    done(playbook("registry"))
    image = make_image("renewed:1")
    for host in nodes():
        drive.ssh(host, f"docker pull -q {image} && docker rmi {image} > /dev/null")
    assert done(playbook("registry")).changed == 0
