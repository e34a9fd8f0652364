# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images without a registry, and pulls before a rollout. The bytes are those that the kernels of the hosts have counted."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import delivery
import pytest
from delivery import done, drive, nodes, playbook, soak

SHIP = drive.TOP / "playbooks" / "ship_images.yml"
# Bytes of the layer that the nodes lack. What Ansible sends to each node anyway, almost 1 MB, must be small beside it.
BIG = 60_000_000
KILLS = 8


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    """An archive of two images. One is the other with a layer more, and every node has that other one already."""
    name = "shipped"
    drive.ssh(
        "m1",
        f"""
        test -e /bin/busybox || {{ apt-get -qq update && apt-get -qq install -y busybox-static > /dev/null; }}
        rm -rf /tmp/{name}; mkdir -p /tmp/{name}/base/bin; cd /tmp/{name}
        cp /bin/busybox base/bin/; tar c -C base . | docker import -c 'CMD ["/bin/busybox", "sleep", "1000000"]' - {name}:base > /dev/null
        head -c {BIG} /dev/urandom > big
        printf 'FROM {name}:base\\nCOPY big /big\\n' > Dockerfile; docker build -q -t {name}:big . > /dev/null
        docker save {name}:base -o base.tar; docker save {name}:base {name}:big -o both.tar
        """,
    )
    paths = []
    for file in ("base.tar", "both.tar"):
        path = drive.STATE / file
        path.write_bytes(base64.b64decode(drive.ssh("m1", f"base64 -w0 /tmp/{name}/{file}")))
        paths.append(path)
    for host in nodes():
        drive.ssh(host, f"docker rmi -f {name}:big {name}:base > /dev/null 2>&1; true")
    done(playbook("ship_images", swarm_ship_archive=str(paths[0])))
    yield paths[1]
    # What a killed run has started ends by itself, two minutes after the last request.
    drive.wait_until(lambda: not left_behind(), 180)
    for host in nodes():
        drive.ssh(host, f"docker rmi -f {name}:big {name}:base > /dev/null 2>&1; true")
    drive.ssh("m1", f"rm -rf /tmp/{name}")


def forget() -> None:
    """The nodes have the base alone."""
    for host in nodes():
        drive.ssh(host, "docker rmi -f shipped:big > /dev/null 2>&1; true")


def have() -> list[str]:
    """The nodes with the image."""
    ask = "docker image inspect shipped:big > /dev/null 2>&1 && echo yes; true"
    return [host for host in nodes() if drive.ssh(host, ask).strip()]


def counted(host: str) -> tuple[int, int]:
    """The bytes that a host has received and sent."""
    read = "cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/tx_bytes"
    received, sent = drive.ssh(host, read).split()
    return int(received), int(sent)


def left_behind() -> list[str]:
    """The hosts with something of a run."""
    ask = "find /var/lib/flotilla.swarm/ship /run/flotilla.swarm/ship 2> /dev/null; systemctl is-active flotilla-ship.service | grep ^active; true"
    return [host for host in nodes() if drive.ssh(host, ask).strip()]


def test_the_controller_sends_what_is_missing_once(archive: Path) -> None:
    forget()
    said = done(playbook("ship_images", "--check", swarm_ship_archive=str(archive)))
    # The layers of the base are there, so only the other one is sent: 60 MB.
    assert said.text.count(": 60 MB from the controller") == 1, said.text[-3000:]
    assert said.text.count(": 60 MB from ") == len(nodes())
    before = {host: counted(host) for host in nodes()}
    run = done(playbook("ship_images", swarm_ship_archive=str(archive)))
    after = {host: counted(host) for host in nodes()}
    assert have() == nodes()
    assert run.text.count("loaded shipped:big: 60 MB") == len(nodes()), run.text[-3000:]
    received = sum(after[host][0] - before[host][0] for host in nodes())
    # The node that has brought the images to the others has sent the most. What they have not got from it is from the controller.
    sent = max(after[host][1] - before[host][1] for host in nodes())
    print(
        f"{len(nodes())} nodes received {received} bytes, {sent} of them from one node: {received - sent} from the controller"
    )
    assert received - sent <= 1.1 * BIG
    assert received > (len(nodes()) - 0.1) * BIG
    assert not left_behind()
    again = done(playbook("ship_images", swarm_ship_archive=str(archive)))
    assert again.changed == 0
    # What was loaded runs.
    drive.ssh(nodes()[-1], "docker run --rm shipped:big /bin/busybox test -e /big")


@soak
def test_a_killed_run_is_finished_by_the_next_one(archive: Path) -> None:
    def kill(after: float) -> str:
        forget()
        return drive.killed(
            after,
            playbook=SHIP,
            inventory=delivery.inventory_path(),
            swarm_ship_archive=str(archive),
        )

    for moment in drive.hits(KILLS, 25, kill, 5):
        print(f"killed after {moment}")
        done(playbook("ship_images", swarm_ship_archive=str(archive)))
        assert have() == nodes()


@soak
def test_a_dead_node_is_named_and_the_others_get_the_image(archive: Path) -> None:
    forget()
    dead = nodes()[-1]
    drive.ssh(dead, "systemctl stop docker.socket docker.service")
    try:
        run = playbook("ship_images", swarm_ship_archive=str(archive))
        assert have() == [host for host in nodes() if host != dead]
        assert dead in run.text
    finally:
        drive.ssh(dead, "systemctl start docker.socket docker.service")


@soak
@pytest.mark.parametrize("place", [delivery.BUILDER, ""])
def test_an_engine_ships_what_it_has(archive: Path, tmp_path: Path, place: str) -> None:
    """The engine of a build host, and that of the controller."""
    name, busybox = f"own-{place or 'controller'}:1", tmp_path / "busybox"
    busybox.write_bytes(delivery.busybox())

    def at_place(script: str) -> None:
        if place:
            drive.ssh(place, script)
        else:
            subprocess.run(["bash", "-c", script], check=True, capture_output=True)

    at_place(
        f"""
        set -e; cd "$(mktemp -d)"; mkdir bin; cp {"/bin/busybox" if place else busybox} bin/; chmod 755 bin/busybox; date +%N > stamp
        tar c . | docker import -c 'CMD ["/bin/busybox", "sleep", "1000000"]' - {name} > /dev/null
        """
    )
    ship = {"swarm_ship_images": name, "swarm_ship_from": place}
    try:
        done(playbook("ship_images", **ship))
        for host in nodes():
            assert drive.ssh(host, f"docker run --rm {name} /bin/busybox echo runs") == "runs\n"
        assert done(playbook("ship_images", **ship)).changed == 0
        assert archive.exists()
    finally:
        at_place(f"docker rmi -f {name}")
        for host in nodes():
            drive.ssh(host, f"docker rmi -f {name} > /dev/null; true")


@soak
def test_the_service_that_serves_layers_ends_by_itself_and_leaves_nothing(archive: Path) -> None:
    digest = "sha256:" + "0" * 64
    served = drive.module("m1", "swarm_ship_server", token="a-token-of-the-lab", layers={})
    assert served["changed"], served
    port, address = served["port"], delivery.address("m1")
    ask = f"curl -sk -o /dev/null -w '%{{http_code}}' https://{address}:{port}/layer/{digest[7:]}"
    assert drive.ssh("w1", ask) == "403"
    assert drive.ssh("w1", f"{ask} -H 'Authorization: Bearer a-token-of-the-lab'") == "404"
    drive.ssh("m1", "systemctl kill -s KILL flotilla-ship.service")
    drive.wait_until(lambda: not left_behind())
    drive.module("m1", "swarm_ship_server", token="a-token-of-the-lab", layers={})
    began = time.monotonic()
    drive.wait_until(lambda: not left_behind(), 300)
    print(f"it has ended by itself after {time.monotonic() - began:.0f} s")
    assert archive.exists()


def test_all_nodes_pull_the_same_image_before_a_rollout(archive: Path) -> None:
    image = f"{delivery.registry()}/pulled:1"
    drive.ssh(
        "m1",
        f"docker tag shipped:base {image} && docker push -q {image} && docker rmi {image} > /dev/null",
    )
    ask = f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {image} 2> /dev/null; true"
    said = done(playbook("pull_images", "--check", swarm_pull_images=[image]))
    assert said.changed == len(nodes())
    assert not any(drive.ssh(host, ask).strip() for host in nodes())
    done(playbook("pull_images", swarm_pull_images=[image], swarm_pull_batch=2))
    found = {host: drive.ssh(host, ask).strip() for host in nodes()}
    assert len(set(found.values())) == 1, found
    assert "@sha256:" in found["m1"]
    assert done(playbook("pull_images", swarm_pull_images=[image])).changed == 0
    refused = playbook("pull_images", swarm_pull_images=["--help"])
    assert refused.failures == {"bad_option"}, refused.text[-2000:]
    for host in nodes():
        drive.ssh(host, f"docker rmi {image} > /dev/null")
    assert archive.exists()
