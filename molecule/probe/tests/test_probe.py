# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe of the network, with faults that are made on the hosts, and with runs that are killed or meet another.

The kernel of container hosts may lack IPVS and ESP. So most runs leave out what needs them, and one run accepts that cause alone.
"""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive

PROBE = drive.TOP / "playbooks" / "probe_network.yml"
HOSTS = ("m1", "m2", "m3", "w1")
PLAIN: dict[str, Any] = {"swarm_probe_overlays": ["plain"], "swarm_probe_mesh": False}
GATE: dict[str, Any] = {"swarm_probe_after_joins": True, **PLAIN}
# The mark of the nodes that have passed.
MARK = "flotilla.swarm.probed"
# A stack that the inventory of the lab does not have.
ONE_MORE: dict[str, Any] = {
    "name": "after",
    "definition": {
        "services": {
            "late": {
                "image": "registry.lab:5000/hello:1",
                "command": ["sleep", "999"],
                "stop_grace_period": "1s",
            }
        }
    },
}
NETWORK = "hello_default"


def probe(**extra: Any) -> drive.Run:
    return drive.play(playbook=PROBE, **{**PLAIN, **extra})


def findings(run: drive.Run) -> list[tuple[str, str]]:
    """The causes that a run names, with the nodes."""
    found = re.search(r"^FINDINGS  (?:none|\d+)\n((?:  \S+  .*\n)*)", run.text, re.MULTILINE)
    assert found, run.text[-4000:]
    rows = [re.split(r" {2,}", line.strip()) for line in found.group(1).splitlines()]
    return [(row[0], row[1]) for row in rows]


def left() -> list[str]:
    """What a probe has left: in the swarm, and on each host."""
    listed = [
        drive.ssh("m1", f"docker {kind} ls --format '{{{{.Name}}}}'").split()
        for kind in ("service", "network", "config")
    ]
    for host in HOSTS:
        listed.append(drive.ssh(host, "docker ps -a --format '{{.Names}}'").split())
        listed.append(drive.ssh(host, "docker images --format '{{.Repository}}'").split())
    return [name for names in listed for name in names if "flotilla-probe" in name]


@contextmanager
def fault(host: str, make: str, unmake: str) -> Iterator[None]:
    drive.ssh(host, make)
    try:
        yield
    finally:
        drive.ssh(host, unmake)


def namespace(host: str) -> str:
    """The beginning of a command in the namespace of the network of the stack on a host."""
    network = drive.ssh("m1", f"docker network inspect -f '{{{{.Id}}}}' {NETWORK}").strip()
    return f"nsenter --net=$(echo /var/run/docker/netns/*-{network[:10]})"


def passed() -> set[str]:
    """The names of the nodes that the swarm remembers. None, if there is no swarm yet."""
    label = f'{{{{index .Swarm.Cluster.Spec.Labels "{MARK}"}}}}'
    known = drive.ssh("m1", f"docker info -f '{label}'", check=False).split()
    form = "{{.ID}} {{.Hostname}} {{.Status}}"
    listed = drive.ssh("m1", f"docker node ls --format '{form}'", check=False)
    # A host that has left is still listed, as down.
    rows = [line.split() for line in listed.splitlines()]
    return {name for each, name, status in rows if each in known and status == "Ready"}


@pytest.fixture(scope="module", autouse=True)
def swarm() -> None:
    """A swarm whose nodes have passed. Only the kernel can be wrong: container hosts may have no IPVS and no ESP."""
    run = drive.play("--check", **GATE)
    assert run.code == 0, run.text[-6000:]
    before = passed()
    assert ("have not passed a probe since they joined" in run.text) == (before != set(HOSTS))
    run = drive.site(swarm_probe_after_joins=True, swarm_probe_accept=["kernel_without"])
    assert ("PROBE  4 nodes" in run.text) == (before != set(HOSTS))
    assert passed() == set(HOSTS)


def test_a_wrong_value_for_the_gate_is_refused_before_anything_changes() -> None:
    run = drive.play(swarm_probe_after_joins="perhaps")
    assert "swarm_probe_after_joins is 'perhaps': it must be true or false" in run.refusal


def test_nodes_that_have_passed_are_not_probed_again() -> None:
    run = drive.site(**GATE)
    assert run.changed == 0
    assert "Observe every host" not in run.text
    assert "PROBE" not in run.text


def test_check_mode_names_what_it_would_create_and_creates_nothing() -> None:
    run = drive.play("--check", playbook=PROBE)
    assert run.code == 0, run.text[-4000:]
    assert "PLAN  probe 4 nodes, acting on m1" in run.text
    assert "+ create   network flotilla-probe-encrypted" in run.text
    assert left() == []


def test_a_sound_network_has_no_finding_and_nothing_is_left() -> None:
    for _run in range(20 if drive.SOAK else 1):
        run = probe(swarm_probe_networks=[NETWORK])
        assert run.code == 0, run.text[-4000:]
        assert findings(run) == []
    assert f"{NETWORK}: 12 of 12 pairs work" in run.text
    assert "flotilla-probe-plain: 12 of 12 pairs work, packets of up to 1450 bytes" in run.text
    assert left() == []


def test_only_what_the_kernel_lacks_is_found_on_container_hosts() -> None:
    run = drive.play(playbook=PROBE, swarm_probe_accept=["kernel_without"])
    assert run.code == 0, run.text[-4000:]
    assert {cause for cause, _nodes in findings(run)} <= {"kernel_without"}


@pytest.mark.parametrize(
    ("host", "make", "unmake", "cause", "words"),
    [
        (
            "m3",
            "iptables -I INPUT -p udp --dport 4789 -j DROP",
            "iptables -D INPUT -p udp --dport 4789 -j DROP",
            "blocked_port",
            "4789/udp does not pass to m3 from all others",
        ),
        (
            "m3",
            "ip link set eth0 mtu 1400",
            "ip link set eth0 mtu 1500",
            "mtu",
            "set swarm_network_mtu to 1400",
        ),
    ],
)
def test_a_fault_between_hosts_is_one_finding(
    host: str, make: str, unmake: str, cause: str, words: str
) -> None:
    with fault(host, make, unmake):
        run = probe()
    assert run.code == 2, run.text[-4000:]
    assert findings(run) == [(cause, host)]
    assert words in run.text
    assert left() == []


def test_a_route_of_a_host_to_the_subnet_of_a_network_is_found() -> None:
    shown = f"docker network inspect -f '{{{{(index .IPAM.Config 0).Subnet}}}}' {NETWORK}"
    subnet = drive.ssh("m1", shown).strip()
    with fault("w1", f"ip route add {subnet} dev eth0", f"ip route delete {subnet} dev eth0"):
        run = probe()
    assert run.code == 2, run.text[-4000:]
    assert findings(run) == [("overlapping_subnets", "w1")]
    assert f"{NETWORK} {subnet} and the route {subnet} of w1" in run.text


def test_a_stale_entry_of_a_service_that_runs_is_found() -> None:
    """The entry of a node for the task of another one, which leads to a third."""
    nodes = drive.ssh(
        "m1", "docker service ps hello_web -f desired-state=running --format '{{.Node}}'"
    )
    there, here = sorted(set(nodes.split()))[:2]
    where = drive.addresses()
    other = next(host for host in HOSTS if host not in (here, there))
    inside = namespace(here)
    shown = drive.ssh(here, f"{inside} bridge fdb show dev vxlan0 | grep 'dst {where[there]} '")
    macs = [line.split()[0] for line in shown.splitlines()]
    assert macs

    def lead_to(host: str) -> str:
        return "; ".join(
            f"{inside} bridge fdb replace {mac} dev vxlan0 dst {where[host]} self permanent" for mac in macs
        )  # fmt: skip

    with fault(here, lead_to(other), lead_to(there)):
        run = probe(swarm_probe_overlays=[], swarm_probe_networks=[NETWORK])
    assert findings(run) == [("stale_entry", here)]
    assert f"of {there} leads to {other}" in run.text


@contextmanager
def again_and_again(host: str, command: str) -> Iterator[None]:
    """Do something on a host five times a second."""
    unit = "flotilla-fault"
    loop = shlex.quote(f"while sleep 0.2; do {command}; done")
    drive.ssh(host, f"systemd-run --quiet --collect --unit={unit} sh -c {loop}")
    try:
        yield
    finally:
        drive.ssh(host, f"systemctl stop {unit}")


# Drops what containers ask their resolver. A prober has a namespace of its own, from its beginning on.
SILENT = (
    "for each in /var/run/docker/netns/[0-9a-f]*; do"
    " nsenter --net=$each iptables -C OUTPUT -d 127.0.0.11 -j DROP 2> /dev/null"
    " || nsenter --net=$each iptables -I OUTPUT -d 127.0.0.11 -j DROP; done"
)
# Takes the names of its own tasks from the others, by the engine's diagnostic server.
FORGOTTEN = (
    "curl -s '{server}/gettable?nid={network}&tname=endpoint_table'"
    " | sed -n 's/.*k:`\\([0-9a-f]*\\)`.*owner:`{owner}`.*/\\1/p'"
    ' | while read key; do curl -s "{server}/deleteentry?nid={network}&tname=endpoint_table&key=$key"; done'
)


def test_a_resolver_that_is_silent_is_found() -> None:
    with again_and_again("w1", SILENT):
        run = probe(swarm_probe_overlays=[], swarm_probe_networks=[NETWORK])
    assert run.code == 2, run.text[-4000:]
    assert findings(run) == [("dns_no_answer", "w1")]
    assert left() == []


def test_names_that_the_others_do_not_hear_of_are_found() -> None:
    network = drive.ssh("m1", f"docker network inspect -f '{{{{.Id}}}}' {NETWORK}").strip()
    with drive.diagnosed("w1"):
        found = drive.ssh("w1", f"curl -s {drive.DIAGNOSTIC}/clusterpeers")
        address = re.escape(drive.addresses()["w1"])
        owner = re.search(rf"(\w+) -> {address}$", found, re.MULTILINE)
        assert owner, found
        command = FORGOTTEN.format(server=drive.DIAGNOSTIC, network=network, owner=owner.group(1))
        with again_and_again("w1", command):
            run = probe(swarm_probe_overlays=[], swarm_probe_networks=[NETWORK])
    assert run.code == 2, run.text[-4000:]
    assert findings(run) == [("dns_stale", "m1, m2, m3")]
    assert "lacks the tasks on w1" in run.text
    assert left() == []


def test_a_run_beside_another_is_refused_and_changes_nothing_for_it() -> None:
    with ThreadPoolExecutor() as pool:
        runs = list(
            pool.map(lambda _n: drive.play(playbook=PROBE, swarm_probe_mesh=False), range(2))
        )
    refused = [
        run for run in runs if "another run of the probe, through m1, works since" in run.text
    ]
    assert len(refused) == 1
    assert refused[0].code == 2
    (other,) = [run for run in runs if run not in refused]
    assert {cause for cause, _nodes in findings(other)} <= {"kernel_without"}
    assert left() == []


def test_a_run_that_ends_takes_nothing_away_from_the_next_one() -> None:
    """Nodes keep the image of the next run, which can begin only when this one has ended."""

    def later(seconds: float) -> drive.Run:
        time.sleep(seconds)
        return probe()

    for pause in (3.0, 4.5):
        with ThreadPoolExecutor() as pool:
            runs = list(pool.map(later, (0.0, pause, 2 * pause)))
        for run in runs:
            refused = "another run of the probe, through m1, works since" in run.text
            assert run.code == (2 if refused else 0), run.text[-4000:]
            assert refused or findings(run) == []
        assert left() == []


def test_the_next_run_removes_what_a_killed_one_has_left() -> None:
    def next_run() -> drive.Run | None:
        """Where the run was killed, its module works on for a while, and nobody else can begin."""
        run = probe()
        return None if "another run of the probe" in run.text else run

    for _task in drive.hits(1, 14.0, lambda after: drive.killed(after, PROBE, **PLAIN), 9.0):
        run = drive.wait_until(next_run, 240)
        assert run.code == 0, run.text[-4000:]
        assert left() == []


def test_nodes_without_a_prober_are_named_and_are_no_finding() -> None:
    drive.ssh("m1", "docker node update --availability drain m3")
    try:
        with drive.stopped("w1"):
            drive.wait_until(lambda: "Down" in drive.ssh("m1", "docker node ls | grep w1"))
            run = probe()
    finally:
        drive.ssh("m1", "docker node update --availability active m3")
    assert run.code == 0, run.text[-4000:]
    assert findings(run) == []
    assert re.search(r"m3: its availability is drain", run.text)
    assert re.search(r"w1: its state is down", run.text)


def test_a_network_that_does_not_exist_is_refused_in_a_sentence() -> None:
    run = probe(swarm_probe_networks=["nowhere"])
    assert run.code == 2
    assert "Could not probe nowhere: there is no such overlay network" in run.text
    assert left() == []


def health_of(tmp_path: Path) -> drive.Run:
    """A verdict with what a probe finds, by a playbook as a user writes it."""
    path = tmp_path / "gate.yml"
    path.write_text(HEALTH, encoding="utf-8")
    return drive.play(playbook=path)


HEALTH = """---
- name: Check the health, the network between the nodes included
  hosts: swarm_managers:swarm_workers
  gather_facts: false
  tasks:
    - name: Prepare every node
      flotilla.swarm.swarm_probe_node:
      register: prepared

    - name: Probe the network
      flotilla.swarm.swarm_probe:
        nodes: "{{ ansible_play_hosts | map('extract', hostvars, 'prepared') }}"
        overlays: [plain]
        mesh: false
      delegate_to: m1
      run_once: true
      register: probe

    - name: Remove the image
      flotilla.swarm.swarm_probe_node:
        state: absent

    - name: Check the health
      flotilla.swarm.swarm_health:
        network: "{{ probe }}"
        checks: [quorum, nodes, network]
        format: table
      delegate_to: m1
      run_once: true
"""


def test_a_worker_that_joins_a_broken_network_stops_the_run_before_the_stacks(
    tmp_path: Path,
) -> None:
    stacks: dict[str, Any] = {"swarm_stack_stacks": [ONE_MORE]}
    drive.ssh("w1", "docker swarm leave")
    drive.wait_until(lambda: "Down" in drive.ssh("m1", "docker node ls | grep w1"))
    drop = "INPUT -p udp --dport 4789 -j DROP"
    with fault("w1", f"iptables -I {drop}", f"iptables -D {drop}"):
        run = drive.play("--check", **GATE, **stacks)
        assert run.code == 0, run.text[-4000:]
        assert "have not passed a probe since they joined: w1." in run.text
        # The second run joins nobody, and stops all the same.
        for number in range(2):
            run = drive.play(**GATE, **stacks)
            assert run.code == 2, run.text[-4000:]
            assert findings(run) == [("blocked_port", "w1")]
            assert "4789/udp does not pass to w1 from all others" in run.text
            assert (
                "The probe has found blocked_port. See the findings above. No stack was" in run.text
            )
            assert ("Join the workers" in run.text) == (number == 0)
            assert "after_late" not in drive.ssh("m1", "docker service ls")
            assert passed() == {"m1", "m2", "m3"}
        run = health_of(tmp_path)
        assert run.code == 2, run.text[-4000:]
        assert re.search(
            r"^  failed    network   blocked: 4789/udp \(w1\): see", run.text, re.MULTILINE
        )
        assert run.verdict == "failed"
        assert run.failures == {"not_accepted"}
    run = drive.site(**GATE, **stacks)
    assert findings(run) == []
    assert passed() == set(HOSTS)
    assert "after_late" in drive.ssh("m1", "docker service ls")
    run = health_of(tmp_path)
    assert run.code == 0, run.text[-4000:]
    assert "ok        network   the probe of 4 nodes has found nothing" in run.text
    assert left() == []
    drive.ssh("m1", "docker stack rm after")
