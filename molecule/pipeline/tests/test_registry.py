# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The registry of the inventory: who can use it, what a changed password or authority does, and its garbage collection."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
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
        f"""printf 'user = "%s"\\n' {user}:{password} | curl -s -K - --cacert {ca} -o /dev/null -w '%{{http_code}}' -X {method} {url}; true""",
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


@soak
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


def collect_slowly() -> None:
    """Begin a collection with the real program after a pause, in which it can be interrupted."""
    program = f"/usr/bin/docker-registry garbage-collect {FOLDER}/config.yml"
    drive.ssh(
        delivery.REGISTRY_HOST,
        f"""
        mkdir -p /run/systemd/system/{GC}.d
        printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c "sleep 60; exec {program}"\\n' > /run/systemd/system/{GC}.d/slow.conf
        systemctl daemon-reload; systemctl start --no-block {GC}
        """,
    )
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "405", 30)


def test_a_collection_of_garbage_that_is_killed_leaves_a_registry_that_takes_pushes() -> None:
    host = delivery.REGISTRY_HOST
    make_image("kept:1")
    digest = make_image("removed:1") and drive.ssh(
        "m1", f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {delivery.registry()}/removed:1"
    ).strip().partition("@")[2]  # fmt: skip
    assert status("DELETE", f"removed/manifests/{digest}", *first()) == "202"
    size = "du -sb /var/lib/docker-registry | cut -f1"
    before = int(drive.ssh(host, size))
    collect_slowly()
    assert status("GET", "kept/tags/list", *first()) == "200"
    drive.ssh(
        host,
        f"systemctl kill -s KILL {GC}; rm -r /run/systemd/system/{GC}.d; systemctl daemon-reload",
    )
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "202", 30)
    drive.ssh(host, f"systemctl start {GC}")
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "202", 30)
    assert int(drive.ssh(host, size)) < before - 500_000
    drive.ssh(nodes()[-1], f"docker pull -q {delivery.registry()}/kept:1 > /dev/null")
    assert done(playbook("registry")).changed == 0


@soak
def test_a_reboot_during_a_collection_leaves_a_registry_that_takes_pushes() -> None:
    collect_slowly()
    drive.hang_up(delivery.REGISTRY_HOST)
    name = f"{drive.PREFIX}-{delivery.REGISTRY_HOST}"
    subprocess.run(["docker", "restart", "-t", "0", name], check=True, capture_output=True)
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "202", 120)
    make_image("rebooted:1")
    # What slowed it down was in /run, and is gone.
    drive.ssh(delivery.REGISTRY_HOST, f"systemctl start {GC}")
    drive.wait_until(lambda: status("POST", "new/blobs/uploads/", *first()) == "202", 30)


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


@soak
def test_a_given_certificate_is_used_and_trusted(original: dict[str, Any], tmp_path: Path) -> None:
    subject = f"subjectAltName=IP:{delivery.address(delivery.REGISTRY_HOST)}"
    script = f"""
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj '/CN=Their own authority'
    openssl req -newkey rsa:2048 -nodes -keyout given.key -out given.csr -subj /CN=registry
    echo {subject} > extensions
    openssl x509 -req -in given.csr -CA ca.crt -CAkey ca.key -set_serial 1 -days 2 -extfile extensions -out given.crt
    """
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True, capture_output=True)
    key = (tmp_path / "given.key").read_text()
    original["all"]["vars"] |= {
        "registry_certificate": str(tmp_path / "given.crt"),
        "registry_certificate_key": key,
        "registry_ca_certificate": (tmp_path / "ca.crt").read_text(),
    }
    write(original)
    run = done(playbook("registry", "--diff"))
    assert key.splitlines()[1] not in run.text
    assert status("GET", "", *first()) == "200"
    image = make_image("given:1")
    for host in nodes():
        drive.ssh(host, f"docker pull -q {image} && docker rmi {image} > /dev/null")
    assert done(playbook("registry")).changed == 0
    # A key that does not belong to it is refused, and the registry runs on.
    original["all"]["vars"]["registry_certificate_key"] = (tmp_path / "ca.key").read_text()
    write(original)
    refused = playbook("registry")
    print(refused.failures, refused.text[-1500:])
    assert refused.code != 0
    assert "Traceback" not in refused.text
    assert status("GET", "", *first()) == "200"


@soak
def test_a_mirror_keeps_what_was_pulled_through_it(original: dict[str, Any]) -> None:
    """The mirrored registry has the images of the registry, needs no login, and ends in the middle."""
    host = delivery.REGISTRY_HOST
    image = make_image("upstream:1")
    mirrored = image.replace(":5000/", ":5001/")
    upstream = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": "/var/lib/docker-registry"}},
        "http": {"addr": "127.0.0.1:5002"},
    }
    drive.ssh(
        host,
        f"""
        printf '%s' {shlex.quote(json.dumps(upstream))} > /run/upstream.yml
        systemd-run --quiet --unit upstream docker-registry serve /run/upstream.yml
        """,
    )
    original["all"]["vars"]["registry_mirror_of"] = "http://127.0.0.1:5002"
    write(original)
    try:
        done(playbook("registry"))
        assert done(playbook("registry")).changed == 0
        drive.ssh("m1", f"docker rmi {image} > /dev/null; docker pull -q {mirrored}")
    finally:
        drive.ssh(host, "systemctl stop upstream; rm /run/upstream.yml")
    # It is there without the mirrored registry, for another node too.
    drive.ssh("m2", f"docker pull -q {mirrored}")
    for node in ("m1", "m2"):
        drive.ssh(node, f"docker rmi {mirrored} > /dev/null")


@soak
def test_a_backup_brings_the_registry_back_on_an_empty_host() -> None:
    """The commands of the runbook."""
    host = delivery.REGISTRY_HOST
    image = make_image("saved:1")
    name = delivery.registry()
    authority = drive.ssh("m1", f"cat /etc/docker/certs.d/{name}/ca.crt")
    drive.ssh(
        host,
        """
        systemctl stop flotilla-registry-gc.timer
        tar -C / -czf /root/registry-backup.tar.gz --warning=no-file-changed var/lib/docker-registry etc/flotilla.swarm/registry
        systemctl start flotilla-registry-gc.timer
        systemctl disable --now flotilla-registry.service flotilla-registry-gc.timer flotilla-registry-renew.timer
        rm -rf /var/lib/docker-registry /etc/flotilla.swarm/registry /etc/systemd/system/flotilla-registry* /usr/local/lib/flotilla.swarm/registry.pyz
        systemctl unmask docker-registry.service; apt-get -qq purge -y docker-registry > /dev/null
        tar -C / -xzf /root/registry-backup.tar.gz; rm /root/registry-backup.tar.gz
        """,
    )
    done(playbook("registry"))
    drive.ssh(host, "chown -R docker-registry: /var/lib/docker-registry")
    assert drive.ssh("m1", f"cat /etc/docker/certs.d/{name}/ca.crt") == authority
    drive.ssh(nodes()[-1], f"docker pull -q {image} && docker rmi {image} > /dev/null")
    make_image("saved:2")
    assert done(playbook("registry")).changed == 0
