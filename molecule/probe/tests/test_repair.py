# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The repair of overlay networks. Entries of kernels are changed by hand; names are taken from engines by their own diagnostic server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive

REPAIR = drive.TOP / "playbooks" / "repair_network.yml"
NETWORK = "hello_default"
SECOND = "second"


def repair(*args: str, up_to: str = "entries", code: int = 0) -> str:
    run = drive.play(*args, playbook=REPAIR, swarm_repair_up_to=up_to)
    assert run.code == code, run.text[-6000:]
    return run.text


def network_id() -> str:
    return drive.ssh("m1", f"docker network inspect -f '{{{{.Id}}}}' {NETWORK}").strip()


def plans(text: str) -> list[list[str]]:
    """The lines of each plan that a run has printed, without what is as it should be."""
    found = re.findall(
        r"^PLAN  repair the network, acting on \w+\n((?:  .*\n)+)", text, re.MULTILINE
    )
    return [[line for line in each.splitlines() if not line.startswith("  = ")] for each in found]


def diagnose(request: str) -> str:
    return drive.ssh("w1", f"curl -sf '{drive.DIAGNOSTIC}/{request}'")


@pytest.fixture(scope="module", autouse=True)
def swarm() -> Iterator[None]:
    """Two services in the network, one of them with a task on each node, and an engine that can be told what to forget."""
    drive.site()
    drive.ssh(
        "m1",
        f"docker service inspect {SECOND} > /dev/null 2>&1 || docker service create --quiet --name {SECOND} --network {NETWORK}"
        " --mode global registry.lab:5000/hello:1",
    )
    with drive.diagnosed("w1"):
        drive.wait_until(lambda: drive.ssh("w1", f"docker ps -q -f name='^{SECOND}\\.'"))
        yield
    drive.ssh("m1", f"docker service rm {SECOND}")


def inside(host: str) -> str:
    """The beginning of a command in the namespace of the network on a host."""
    return f"nsenter --net=$(echo /var/run/docker/netns/*-{network_id()[:10]})"


def others(host: str) -> dict[str, str]:
    """The MAC addresses of others in the network on a host, each with the address of its host."""
    shown = json.loads(drive.ssh(host, f"{inside(host)} bridge -json fdb show"))
    return {each["mac"]: each["dst"] for each in shown if each.get("dst")}


def test_where_nothing_is_wrong_nothing_is_done_and_nothing_is_probed() -> None:
    text = repair(up_to="engines")
    assert plans(text) == [[]]
    assert re.search(r"= 4 nodes as they should be, \d+ entries and 8 answers read", text)
    assert "PROBE" not in text
    assert "changed=0" in text


def test_entries_and_interfaces_are_repaired_as_check_mode_says() -> None:
    before, where = others("w1"), drive.addresses()
    wrong, missing = sorted(before)[:2]
    drive.ssh(
        "w1",
        f"{inside('w1')} bridge fdb replace {wrong} dev vxlan0 dst {where['w1']} self permanent",
    )
    drive.ssh("w1", f"{inside('w1')} bridge fdb delete {missing} dev vxlan0 self")
    drive.ssh("w1", "ip link add vx-0010aa-abcde type vxlan id 4266 dstport 4789")
    promised = repair("--check")
    assert "PROBE" not in promised
    text = repair()
    assert plans(text)[0] == plans(promised)[0]
    (interface, *entries) = plans(text)[0]
    assert interface == "  - interface  w1  vx-0010aa-abcde: an engine that was stopped has left it"
    assert len(entries) == 2
    assert any("leads to w1 -> " in each for each in entries)
    assert any("has no entry -> " in each for each in entries)
    assert plans(text)[1] == []
    assert "FINDINGS  none" in text
    assert others("w1") == before
    assert "vx-0010aa" not in drive.ssh("w1", "ip link")


def test_a_name_that_lacks_a_task_needs_consent_for_a_restart() -> None:
    form = f'{{{{(index .NetworkSettings.Networks "{NETWORK}").EndpointID}}}}'
    containers = f"$(docker ps -q -f name='^{SECOND}\\.')"
    endpoint = drive.ssh("w1", f"docker inspect -f '{form}' {containers}").strip()
    # On its own node, because a node keeps what it deletes itself.
    diagnose(f"deleteentry?nid={network_id()}&tname=endpoint_table&key={endpoint}")
    text = repair(code=2)
    ((line,),) = plans(text)
    assert re.match(
        rf"  x withheld   tasks\.{SECOND} in {NETWORK} lacks \S+ on .*  needs swarm_repair_up_to=tasks",
        line,
    )
    assert "Could not repair the network: tasks.second" in text
    text = repair(up_to="tasks")
    assert plans(text)[0][0].startswith(
        f"  ~ service    {SECOND}  its tasks restart: tasks.{SECOND}"
    )
    assert plans(text)[-1] == []
    assert "FINDINGS  none" in text


def drained() -> bool:
    return "drain" in drive.ssh("m1", "docker node inspect -f '{{.Spec.Availability}}' w1")


def test_a_node_that_has_lost_a_network_gets_a_new_engine_and_a_killed_run_is_finished() -> None:
    diagnose(f"leavenetwork?nid={network_id()}")
    text = repair("--check", code=2)
    assert "needs swarm_repair_up_to=engines" in text
    assert "~ engine     w1  is drained" in repair("--check", up_to="engines")
    assert not drained()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            drive.command(REPAIR, swarm_repair_up_to="engines"),
            env=drive.ENVIRONMENT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            drive.wait_until(drained, 180)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = repair()
    assert "the node was left drained by an interrupted repair on w1" in text
    assert plans(text)[-1] == []
    assert not drained()
    assert drive.ssh("w1", "ls /var/lib/flotilla.swarm/repair", check=False).strip() == ""
    assert "PROBE" in text
    assert "FINDINGS  none" in text


def test_a_node_that_does_not_answer_is_named_and_the_others_are_repaired() -> None:
    gone = next(mac for mac, host in others("m2").items() if host == drive.addresses()["m1"])
    with drive.stopped("w1"):
        drive.wait_until(lambda: "Down" in drive.ssh("m1", "docker node ls | grep w1"))
        drive.ssh("m2", f"{inside('m2')} bridge fdb delete {gone} dev vxlan0 self")
        text = repair()
    assert "  ! not read: w1" in text
    assert gone in others("m2")
