# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A clean-up takes what nothing needs, and leaves what a rollback needs. docs/runbooks/clean_up.md has the steps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from drills import begin, playbook, soak

CLEAN_UP = drive.TOP / "playbooks" / "clean_up.yml"
REPOSITORY = "registry.lab:5000/hello"
# Which image is for what. Each has a digest of its own.
PREVIOUS, REVISED, UNUSED, FRESH = "cu2", "cu3", "cu4", "cu5"
NOW = {"swarm_clean_up_older_than": 0}


@pytest.fixture(scope="module", autouse=True)
def swarm() -> Iterator[None]:
    begin()
    # What other drills have left on the hosts.
    tidy = "docker system prune --all --force --volumes"
    drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, tidy))
    for tag in (PREVIOUS, REVISED, FRESH):
        drive.lab("push", f"hello:{tag}", f"VERSION={tag}")
    yield
    drive.ssh("m1", "docker stack rm cu; docker service rm cu_web cu_page", check=False)
    leftovers = "docker rm -f cu_old cu_runs cu_ended; docker volume rm -f cu_data cu_kept; true"
    drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, leftovers))


def clean_up(*flags: str, **more: Any) -> drive.Run:
    run = playbook("clean_up", *flags, **more)
    assert run.code == 0, run.text[-5000:]
    return run


def show(run: drive.Run) -> None:
    print("\n".join(re.findall(r"^(?:PLAN|RESULT|  [-!= ] ).*$", run.text, re.MULTILINE)))


def versions(host: str) -> set[str]:
    """The images of the lab on a host, by what they say: a tag or a digest need not be there."""
    ids = drive.ssh(host, f"docker images -q --no-trunc {REPOSITORY}").split()
    if not ids:
        return set()
    found = json.loads(drive.ssh(host, f"docker image inspect {' '.join(ids)}"))
    text = " ".join(" ".join(image["Config"].get("Env") or []) for image in found)
    return set(re.findall(r"VERSION=(\S+)", text))


def on_all() -> dict[str, set[str]]:
    return drive.on_each(drive.HOSTS, versions)


def running(service: str, tag: str) -> bool:
    """Whether two tasks of the service run this version."""
    form = "{{.CurrentState}} {{.Image}}"
    lines = drive.ssh(
        "m1", f"docker service ps -f desired-state=running --format '{form}' {service}"
    ).splitlines()
    return len(lines) == 2 and all(
        line.startswith("Running") and line.split()[-1].startswith(f"{REPOSITORY}:{tag}")
        for line in lines
    )


def forget_old_containers() -> None:
    """Remove the containers of old tasks, which keep their images as well: only the specs refer to them then."""
    left = (
        "docker container prune -f > /dev/null;"
        f" docker ps -a --format '{{{{.Image}}}}' | grep -E '{REPOSITORY}:({PREVIOUS}|{REVISED})'; true"
    )
    drive.wait_until(
        lambda: not any(drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, left)).values()), 60
    )


@contextmanager
def registry_off() -> Iterator[None]:
    where = f"{drive.PREFIX}-registry"
    subprocess.run(["docker", "exec", where, "systemctl", "stop", "docker-registry"], check=True)
    try:
        yield
    finally:
        subprocess.run(
            ["docker", "exec", where, "systemctl", "start", "docker-registry"], check=True
        )


def page(tag: str) -> str:
    """A stack with one service, as a Compose file."""
    return f"""
version: "3.8"
services:
  page:
    image: "{REPOSITORY}:{tag}"
    stop_grace_period: 1s
    deploy:
      replicas: 2
      endpoint_mode: dnsrr
      placement: {{constraints: [node.role == worker]}}
      update_config: {{order: start-first, monitor: 1s}}
"""


def deploy(tag: str) -> None:
    done = drive.module("m1", "swarm_stack", name="cu", definition=page(tag), settle=1)
    assert not done.get("failed"), done


def update(service: str, *options: str) -> None:
    words = " ".join(options)
    drive.ssh("m1", f"docker service update -q -d --update-monitor 1s {words} {service}")


def test_a_rollback_works_after_a_clean_up_and_without_the_registry() -> None:
    # On the two workers, so that both have each image: the registry is off when a rollback needs it.
    create = (
        "--replicas 2 --endpoint-mode dnsrr --update-order start-first --stop-grace-period 1s"
        " --constraint node.role==worker"
    )
    drive.ssh("m1", f"docker service create -q -d --name cu_web {create} {REPOSITORY}:{PREVIOUS}")
    # A revision has REVISED. Neither the spec nor the previous spec has it after two more changes.
    deploy(REVISED)
    deploy("1")
    update("cu_page", "--env-add TURN=2")
    drive.wait_until(lambda: running("cu_web", PREVIOUS), 60)
    update("cu_web", f"--image {REPOSITORY}:1")
    drive.wait_until(lambda: running("cu_web", "1") and running("cu_page", "1"), 60)
    forget_old_containers()
    drive.ssh(
        "w1",
        # An image of 5 MB that no registry has.
        "head -c 5000000 /dev/urandom > /tmp/cu.bin && tar -C /tmp -c cu.bin"
        f" | docker import -c 'ENV VERSION={UNUSED}' - {REPOSITORY}:{UNUSED} && rm /tmp/cu.bin"
        # Without force, the engine does not remove an image of two repositories by its ID.
        f" && docker tag {REPOSITORY}:{UNUSED} other.lab/cu:1"
        f" && docker create --name cu_old {REPOSITORY}:{FRESH} && docker volume create cu_data",
    )
    before = on_all()
    assert {PREVIOUS, REVISED, UNUSED, FRESH} <= before["w1"], before
    assert {PREVIOUS, REVISED} <= before["w2"], before

    check = clean_up("--check", **NOW)
    assert on_all() == before
    assert re.search(r"^  - w1 +containers +1 +0 B +cu_old$", check.text, re.MULTILINE), check.text
    assert re.search(r"^  - w1 +images +2 +5 MB ", check.text, re.MULTILINE), check.text
    assert re.search(r"= kept: \d images that only a spec refers to", check.text), check.text
    # Another drill may have left a volume too.
    assert re.search(
        r"also unused, but not selected: [1-9]\d* volumes?, .*: add volumes to", check.text
    )

    run = clean_up(**NOW)
    show(run)
    assert run.plan == check.plan
    after = on_all()
    assert after == {host: found - {UNUSED, FRESH} for host, found in before.items()}
    assert "cu_data" in drive.ssh("w1", "docker volume ls -q")
    assert "cu_old" not in drive.ssh("w1", "docker ps -a --format '{{.Names}}'")
    assert run.recap["w1"]["changed"] == 1
    assert clean_up(**NOW).changed == 0

    with registry_off():
        drive.ssh("m1", "docker service rollback -d cu_web")
        drive.wait_until(lambda: running("cu_web", PREVIOUS), 60)
        done = drive.module("m1", "swarm_stack", name="cu", state="rolled_back", revision=1)
        assert not done.get("failed"), done
        drive.wait_until(lambda: running("cu_page", REVISED), 60)


@soak
def test_volumes_and_the_build_cache_go_only_if_they_are_named() -> None:
    drive.ssh("m1", "docker service rm cu_web cu_page", check=False)
    mount = "--replicas 0 --endpoint-mode dnsrr --mount type=volume,source=cu_kept,target=/data"
    drive.ssh("m1", f"docker service create -q -d --name cu_page {mount} {REPOSITORY}:1")
    build = (
        "mkdir -p /tmp/cu && cd /tmp/cu && date > file && printf 'FROM scratch\\nCOPY file /\\n' > Dockerfile"
        " && DOCKER_BUILDKIT=1 docker build -q -t cu_built . && docker image rm cu_built"
    )
    volumes = "docker volume create cu_data; docker volume create cu_kept"
    drive.ssh("w1", f"{build}; {volumes}")

    def records() -> int:
        line = drive.ssh("w1", "docker system df --format '{{.Type}} {{.TotalCount}}' | grep Build")
        return int(line.split()[-1])

    assert records() > 0
    run = clean_up(swarm_clean_up="images", **NOW)
    assert "also unused, but not selected" in run.text
    assert records() > 0
    run = clean_up(swarm_clean_up=["build_cache", "volumes"], **NOW)
    show(run)
    assert records() == 0
    left = drive.ssh("w1", "docker volume ls -q").split()
    assert "cu_data" not in left
    # The spec of a service without a task names it.
    assert "cu_kept" in left
    # A value that is wrong is named, on one host or on all.
    wrong = playbook("clean_up", swarm_clean_up="pictures")
    assert wrong.code == 2
    assert "pictures" in wrong.text


@soak
def test_containers_of_unknown_tasks_are_named_and_go_once_they_have_stopped() -> None:
    start = "docker run -d --label com.docker.swarm.task.id=gone --name"
    drive.ssh(
        "w1",
        f"{start} cu_runs {REPOSITORY}:1 && {start} cu_ended {REPOSITORY}:1 && docker stop -t 1 cu_ended",
    )

    def planned() -> dict[str, Any]:
        """The plan for the containers of w1, as the playbook has it if the swarm has no task there."""
        nothing: dict[str, list[str]] = {"images": [], "volumes": [], "tasks": []}
        found = drive.module(
            "w1",
            "swarm_clean_up",
            "--check",
            kinds=["containers"],
            older_than=0,
            references=nothing,
        )
        return {"runs": found["orphans"], "ended": [step["name"] for step in found["steps"]]}

    # Whatever the limit is, a task that is younger than a minute may not be listed yet.
    young = planned()
    assert "cu_runs" not in young["runs"]
    assert "cu_ended" not in young["ended"]

    def old() -> bool:
        seen = planned()
        return "cu_runs" in seen["runs"] and "cu_ended" in seen["ended"]

    drive.wait_until(old, 120)
    run = clean_up(**NOW)
    show(run)
    assert re.search(r"w1: 1 container of tasks that the swarm does not know.*cu_runs", run.text)
    assert "cu_runs" in drive.ssh("w1", "docker ps --format '{{.Names}}'")
    assert "cu_ended" not in drive.ssh("w1", "docker ps -a --format '{{.Names}}'")


@soak
def test_a_silent_host_is_named_and_the_others_are_cleaned_up() -> None:
    drive.ssh("w1", f"docker create --name cu_old {REPOSITORY}:1")
    with drive.stopped("w2"):
        down = "docker node ls --format '{{.Hostname}} {{.Status}}' | grep -c 'w2 Down'; true"
        drive.wait_until(lambda: drive.ssh("m1", down).strip() == "1", 120)
        run = clean_up(**NOW)
    show(run)
    assert "w2 does not answer: it is not cleaned up" in run.text
    assert re.search(r"w2 is down: \d tasks? may still run there unseen: shop_agent.w2", run.text)
    assert "cu_old" not in drive.ssh("w1", "docker ps -a --format '{{.Names}}'")


@soak
def test_without_a_quorum_only_the_build_cache_is_cleaned_up() -> None:
    drive.on_each(("m2", "m3"), lambda host: drive.ssh(host, "systemctl stop docker docker.socket"))
    try:
        refused = playbook("clean_up", **NOW)
        assert refused.code == 2
        assert refused.failures == {"no_quorum"}
        clean_up(swarm_clean_up="build_cache", **NOW)
    finally:
        drive.on_each(("m2", "m3"), lambda host: drive.ssh(host, "systemctl start docker"))
        drive.wait_until(drive.is_whole, 120)
        # An engine that has started without a leader has no overlay networks, and rejects the tasks of the next drill.
        for host in ("m2", "m3"):
            drive.ssh(host, "systemctl restart docker")
            drive.wait_until(drive.is_whole, 120)


@soak
def test_a_run_that_is_killed_is_completed_by_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    """CLEAN_UP_KILLS is the number of kills, SEED repeats a series."""
    with capsys.disabled():
        print(f"\nSEED={drive.SEED}")
    make = (
        "for n in $(seq 30); do echo $n > /tmp/cu.n; tar -C /tmp -c cu.n | docker import - cu/image:$n;"
        " docker create --name cu_c$n cu/image:$n; done >/dev/null 2>&1; true"
    )

    def left(host: str) -> str:
        return drive.ssh(host, "docker images -q cu/image; docker ps -aq --filter name=cu_c")

    def kill(moment: float) -> str:
        drive.on_each(drive.WORKERS, lambda host: drive.ssh(host, make))
        return drive.killed(moment, playbook=CLEAN_UP, **NOW)

    # The plan takes about half of a run, on every machine.
    began = time.monotonic()
    clean_up("--check", **NOW)
    half = time.monotonic() - began
    kills = int(os.environ.get("CLEAN_UP_KILLS", "3"))
    for hit in drive.hits(kills, 2 * half, kill, earliest=half):
        with capsys.disabled():
            print(
                f"killed after {hit}, left: {[len(left(host).split()) for host in drive.WORKERS]}"
            )
        clean_up(**NOW)
        assert {left(host) for host in drive.WORKERS} == {""}
