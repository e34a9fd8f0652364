# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ingress network is recreated, and services get their ports back, on a real swarm and seen from outside.

INGRESS_KILLS is the number of kills in `make soak`, SEED repeats a series.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from services import docker, running, service, spec

KILLS = int(os.environ.get("INGRESS_KILLS", "10"))
LABEL = "flotilla.swarm.ingress"
QUICK = "--stop-grace-period 1s --update-parallelism 0"


def ingress() -> dict[str, Any]:
    """The ingress network as the acting manager sees it, with the hosts that are in it."""
    found = json.loads(docker("network inspect ingress"))[0]
    addresses = {address: name for name, address in drive.addresses().items()}
    return {
        "mtu": int((found.get("Options") or {}).get("com.docker.network.driver.mtu", 1500)),
        "encrypted": "encrypted" in (found.get("Options") or {}),
        "subnet": found["IPAM"]["Config"][0]["Subnet"],
        "hosts": {addresses.get(peer["IP"]) for peer in found.get("Peers") or []},
    }


def everybody() -> set[str]:
    return set(docker("node ls --format '{{.Hostname}}'").split())


def mtu_inside(host: str) -> int:
    """What the ingress network of a host can send."""
    inside = "nsenter --net=/var/run/docker/netns/ingress_sbox ip -json link show eth0"
    return int(json.loads(drive.ssh(host, inside))[0]["mtu"])


def change(*flags: str, **options: Any) -> dict[str, Any]:
    return drive.module("m1", "swarm_ingress", *flags, **options)


def nothing_is_left(specs: dict[str, dict[str, Any]]) -> None:
    """The services are as before except for their restart counts, also after a rollback, and no note is left."""
    for name, before in specs.items():
        document = json.loads(docker(f"service inspect {name}"))[0]
        count = {"ForceUpdate": before["TaskTemplate"]["ForceUpdate"]}
        template = {**document["Spec"]["TaskTemplate"], **count}
        assert {**document["Spec"], "TaskTemplate": template} == before
        previous = document.get("PreviousSpec") or before
        assert previous["EndpointSpec"] == before["EndpointSpec"]
        assert LABEL not in previous.get("Labels", {})
    assert LABEL not in docker("info --format '{{json .Swarm}}'")
    assert LABEL not in docker(
        "node inspect --format '{{json .Spec.Labels}}' " + " ".join(everybody())
    )


@pytest.fixture(scope="module", autouse=True)
def _put_back() -> Iterator[None]:
    before = ingress()
    yield
    change(mtu=before["mtu"], subnet=before["subnet"], encrypted=False, interrupt=True)


def test_the_ingress_network_is_recreated_and_services_get_their_ports_back() -> None:
    with service(
        "in_web",
        f"{QUICK} -p 8088:8080 -p mode=host,published=8089,target=8080 --mode global",
        None,
    ):
        drive.wait_until(lambda: len(running("in_web")) == len(everybody()), 60)
        # As after a drain: the constraints of the tasks are not those of the service, and ports alone would replace none of them.
        docker("service update -q --constraint-add node.id!=none in_web")
        specs = {"in_web": spec("in_web")}
        tasks = running("in_web")
        refused = change(mtu=1430)
        assert refused["failure"]["code"] == "refused"
        assert "in_web" in refused["msg"]
        assert "swarm_ingress_interrupt" in refused["msg"]
        promised = change("--check", mtu=1430, interrupt=True)
        assert [step["action"] for step in promised["steps"]] == ["pause", "recreate", "resume"]
        assert running("in_web") == tasks
        assert spec("in_web") == specs["in_web"]
        done = change(mtu=1430, interrupt=True, wait_timeout=120)
        assert done["steps"] == promised["steps"]
        found = ingress()
        assert found["mtu"] == 1430
        assert found["hosts"] == everybody()
        # The engine itself subtracts what VXLAN adds.
        assert {host: mtu_inside(host) for host in sorted(everybody())} == dict.fromkeys(
            sorted(everybody()), 1380
        )
        nothing_is_left(specs)
        assert running("in_web")
        assert not change(mtu=1430)["changed"]


# Moments at which a run is killed, as commands that succeed then.
MOMENTS = {
    "ports taken away": f"docker service inspect --format '{{{{json .Spec.Labels}}}}' in_web | grep -q {LABEL}",
    # Too short to be hit from outside, so that the first half is killed and the test does the next step of it.
    "network removed": f"docker service inspect --format '{{{{json .Spec.Labels}}}}' in_web | grep -q {LABEL}",
    "network created": "docker network inspect --format '{{json .Options}}' ingress | grep -q '\"MTU\"'",
}
# Waits for the moment while the module runs, and kills it. The name of the module is in its command only without pipelining.
KILL = """
began=
for _try in $(seq 1500); do
    pids=$(pgrep -f '[A]nsiballZ_swarm_ingress')
    if [ -z "$pids" ]; then
        [ -z "$began" ] || exit 0
    elif MOMENT; then
        kill -9 $pids && echo hit
        exit 0
    else
        began=yes
    fi
    sleep 0.02
done
"""


def _killed(mtu: int, moment: str) -> bool:
    """Run the module and kill it on the host with kill -9. Whether it was hit."""
    options = json.dumps({"mtu": mtu, "interrupt": True, "wait_timeout": 120})
    process = subprocess.Popen(
        [
            *drive.KEEPING,
            "ansible",
            "m1",
            "-i",
            str(drive.INVENTORY),
            "-m",
            "flotilla.swarm.swarm_ingress",
            "-a",
            options,
        ],
        env={**drive.ENVIRONMENT, "ANSIBLE_PIPELINING": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    hit = drive.ssh("m1", KILL.replace("MOMENT", moment.replace("MTU", str(mtu))))
    process.wait(120)
    return "hit" in hit


def _remove_the_network() -> None:
    """As the module does it, when no task is on the network any more."""
    show = "docker ps --no-trunc --format '{{.Names}} {{.Networks}}' | grep -E '^in_web.*ingress'"
    drive.wait_until(
        lambda: (
            not any(
                drive.ssh(host, show, check=False).strip()
                for host in drive.addresses()
                if host in everybody()
            )
        ),
        60,
    )
    docker("network rm ingress <<< y")
    drive.wait_until(lambda: "ingress" not in docker("network ls --format '{{.Name}}'").split(), 30)


def _finished(mtu: int, specs: dict[str, dict[str, Any]], when: str) -> None:
    done = change(mtu=mtu, interrupt=True, wait_timeout=120)
    assert "failure" not in done, f"after a kill when {when} (SEED={drive.SEED}): {done}"
    found = ingress()
    assert (found["mtu"], found["hosts"]) == (mtu, everybody()), when
    nothing_is_left(specs)
    assert not change(mtu=mtu)["changed"]
    print(f"killed when {when}: the next run did {', '.join(done['done']) or 'nothing'}")


@drive.soak
def test_a_killed_run_is_finished_by_the_next() -> None:
    sizes = itertools.cycle([1410, 1420])
    chance = random.Random(drive.SEED)
    with service("in_web", f"{QUICK} -p 8088:8080", 3):
        specs = {"in_web": spec("in_web")}
        for when, moment in MOMENTS.items():
            mtu = next(sizes)
            assert _killed(mtu, moment), f"the run had ended before {when}"
            if when == "network removed":
                _remove_the_network()
            _finished(mtu, specs, when)
        hits = 0
        for _attempt in range(2 * KILLS):
            mtu = next(sizes)
            if _killed(mtu, f"sleep {chance.uniform(0, 8):.2f}"):
                hits += 1
                _finished(mtu, specs, "at random")
            if hits >= KILLS - len(MOMENTS):
                break
        assert hits >= KILLS - len(MOMENTS), f"{hits} kills hit a run (SEED={drive.SEED})"


# The cards of the lab, so that what is meant for vmxnet3 can be shown.
CARDS = {"swarm_fix_offload": True, "swarm_offload_drivers": ["veth"]}
STACKS: dict[str, Any] = {"swarm_stack_stacks": []}


def gwbridge_mtu(host: str) -> int:
    return int(drive.ssh(host, "cat /sys/class/net/docker_gwbridge/mtu"))


def offload(host: str) -> str:
    return drive.ssh(host, "ethtool -k eth0 | grep tx-checksum-ip-generic").strip()


@drive.soak
def test_site_sets_the_networks_of_drained_hosts_and_turns_off_offload() -> None:
    extra = {"swarm_network_mtu": "1440", "swarm_ingress_interrupt": True, **CARDS, **STACKS}
    docker("node update --availability drain w1")
    drive.wait_until(lambda: not drive.ssh("w1", "docker ps -q").strip(), 60)
    promised = drive.site("--check", **extra)
    drive.site(**extra)
    assert (gwbridge_mtu("w1"), gwbridge_mtu("m2")) == (1440, 1500)
    assert "~ gwbridge  w1" in promised.text
    assert "m1, m2, m3" in promised.text
    for host in sorted(everybody()):
        assert f"~ offload   {host}" in promised.text
        assert offload(host).endswith(": off")
        assert drive.ssh(host, "systemctl is-enabled flotilla-offload").strip() == "enabled"
    found = ingress()
    assert (found["mtu"], found["hosts"]) == (1440, everybody())
    again = drive.site(**extra)
    assert not again.changed, again.text[-4000:]
    docker("node update --availability active w1")
    undo = "systemctl disable --now flotilla-offload; rm -f /etc/systemd/system/flotilla-offload.service; ethtool -K eth0 tx on"
    drive.on_each(sorted(everybody()), lambda host: drive.ssh(host, undo, check=False))
