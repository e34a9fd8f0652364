# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts reboot one after the other, and no service lacks a task meanwhile."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from services import docker, observed, service, spec

REBOOT = drive.TOP / "playbooks" / "reboot_nodes.yml"
START_FIRST = "--update-order start-first --stop-grace-period 1s"
KILLS = int(os.environ.get("REBOOT_KILLS", "1"))
NOTE = "/var/lib/flotilla.swarm/reboot.json"


def boots() -> Counter[str]:
    """How often each host has rebooted. The engine of the lab counts it."""
    names = [f"{drive.PREFIX}-{host}" for host in drive.HOSTS]
    done = subprocess.run(
        ["docker", "inspect", "--format", "{{.RestartCount}}", *names],
        capture_output=True,
        text=True,
        check=True,
    )
    return Counter(dict(zip(drive.HOSTS, map(int, done.stdout.split()))))


def reboot(*flags: str, **more: Any) -> drive.Run:
    return drive.play(*flags, playbook=REBOOT, **{f"swarm_reboot_{k}": v for k, v in more.items()})


def order(run: drive.Run) -> list[str]:
    return re.findall(r"^  +\d+  zone \w+ +(\S+) ", run.text, re.MULTILINE)


def proper(hosts: list[str]) -> list[str]:
    """These hosts in the order in which they have to be rebooted."""
    leader = drive.leader_on("m1")
    zones = drive.ZONES
    last = zones[leader] if leader in hosts else ""
    return sorted(hosts, key=lambda host: (zones[host] == last, zones[host], host < "w", host))


def noted() -> bool:
    """Whether any host is due."""
    found = drive.on_each(
        drive.HOSTS, lambda host: drive.ssh(host, f"ls {NOTE} 2>/dev/null", check=False)
    )
    return any(found.values())


def in_service() -> bool:
    return not noted() and all(
        node["Spec"]["Availability"] == "active" and node["Status"]["State"] == "ready"
        for node in drive.nodes().values()
    )


def test_nobody_is_rebooted_who_does_not_ask_for_it() -> None:
    before = boots()
    run = reboot()
    assert run.code == 0, run.text
    assert "no host requires a reboot" in run.text
    assert run.changed == 0
    drive.ssh("w2", "touch /run/reboot-required")
    assert order(reboot("--check")) == ["w2"]
    assert boots() == before
    run = reboot()
    assert run.code == 0, run.text
    assert boots() - before == {"w2": 1}
    assert in_service()
    assert order(reboot()) == []


def test_zone_by_zone_with_a_locked_swarm_and_no_service_is_short() -> None:
    docker("swarm update --autolock=true")
    before = boots()
    try:
        with service("rb_web", START_FIRST, 4) as web:
            assert order(reboot("--check", nodes="all")) == proper(list(drive.HOSTS))
            assert boots() == before
            was, expected = spec(web), proper(["m2", "w1", "w2"])
            with observed(web) as seen:
                run = reboot(nodes=["m2", "w1", "w2"])
            assert run.code == 0, run.text
            assert order(run) == expected
            assert boots() - before == {"m2": 1, "w1": 1, "w2": 1}
            assert min(runs for _wanted, runs in seen) >= 4
            assert spec(web) == was
            assert in_service()
        # The output must not show the unlock key.
        assert "SWMKEY" not in run.text
    finally:
        docker("swarm update --autolock=false")


def test_a_run_that_is_killed_is_gone_on_with_and_no_host_reboots_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two kills of a run that reboots three hosts, and so on. REBOOT_KILLS is the number of kills, SEED repeats a series."""
    with capsys.disabled():
        print(f"\nSEED={drive.SEED}")
    asked: dict[str, Any] = {"swarm_reboot_nodes": "w1,w2,m1"}
    before = boots()

    def finish() -> None:
        """The last run of a series. No host has rebooted twice."""
        nonlocal before
        run = drive.play(playbook=REBOOT, **({} if begun() else asked))
        assert run.code == 0, run.text[-4000:]
        assert boots() - before == {"w1": 1, "w2": 1, "m1": 1}
        assert in_service()
        before = boots()

    def begun() -> bool:
        # A run that was killed before its first note starts again. Otherwise the notes say what is left.
        return noted() or boots() != before

    def kill(moment: float) -> str:
        nonlocal before
        task = drive.killed(moment, playbook=REBOOT, **({} if begun() else asked))
        # A host that has got the command reboots, even if the run is killed. Until then it still answers.
        drive.hang_up(*drive.HOSTS)
        time.sleep(3)
        drive.wait_until(everybody_answers, 120)
        if not task:
            assert boots() - before == {"w1": 1, "w2": 1, "m1": 1}
            before = boots()
        return task

    for number, hit in enumerate(drive.hits(KILLS, 18.0, kill, earliest=4.0), start=1):
        with capsys.disabled():
            print(f"killed after {hit}")
        if number % 2 == 0 or number == KILLS:
            finish()


def everybody_answers() -> bool:
    state = "systemctl is-system-running | grep -q stopping || docker info --format '{{.Swarm.LocalNodeState}}'"
    answers = drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, state, check=False).strip())
    return set(answers.values()) == {"active"}


def reachable_managers() -> int:
    """None while a new leader is elected."""
    lines = docker("node ls --format '{{.ManagerStatus}}'", check=False).split()
    return lines.count("Leader") + lines.count("Reachable")


def test_it_begins_only_while_the_swarm_is_well_and_with_hosts_that_there_are() -> None:
    before = boots()
    with drive.stopped("m3"):
        drive.wait_until(lambda: reachable_managers() == 2, 120)
        run = reboot(nodes="w1")
        assert run.code != 0
        assert "accepted is healthy. quorum: 2 of 3 managers reachable" in run.text
        named = reboot(nodes="m3")
        assert "m3 does not answer: bring it back, or leave it out" in named.text
    drive.wait_until(lambda: reachable_managers() == 3, 120)
    assert "there is no host w9 in the groups of the swarm" in reboot(nodes="w1,w9").text
    assert boots() == before
    assert in_service()


# A node that is back and stays down


@contextmanager
def heartbeats_logged(leader: str) -> Iterator[None]:
    """Slow heartbeats, so that a reboot is shorter than the patience of the managers, and each of them in the leader's log."""
    kept, used = "/root/daemon.json.kept", "/etc/docker/daemon.json"
    debug = f"import json; p = '{used}'; d = json.load(open(p)); d['debug'] = True; json.dump(d, open(p, 'w'))"
    drive.ssh(leader, f"[ -e {used} ] || echo '{{}}' > {used}; cp -p {used} {kept}")
    drive.ssh(leader, f'python3 -c "{debug}" && systemctl reload docker')
    docker("swarm update --dispatcher-heartbeat 10s")
    try:
        yield
    finally:
        docker("swarm update --dispatcher-heartbeat 5s")
        drive.ssh(leader, f"mv {kept} {used} && systemctl reload docker")


@contextmanager
def held_at_boot(host: str, but: list[str]) -> Iterator[None]:
    """The engine of a host waits for a file when the host boots, and does not register through these managers."""
    place = "/etc/systemd/system/docker.service.d/zz-held.conf"
    where = drive.addresses()
    rules = "".join(
        f"iptables -I OUTPUT -p tcp --dport 2377 -d {where[name]} -j REJECT; " for name in but
    )
    wait = r"for i in \$\$(seq 600); do [ ! -e /run/go ] || break; sleep 0.1; done"
    start = f"ExecStartPre=/bin/sh -c '{rules}{wait}'"
    drive.ssh(
        host,
        f"mkdir -p {os.path.dirname(place)}; cat > {place} << END\n[Service]\n{start}\nEND\nsystemctl daemon-reload",
    )
    try:
        yield
    finally:
        undo = rules.replace("-I", "-D").replace(";", " 2>/dev/null;")
        drive.ssh(host, f"touch /run/go; rm -f {place}; systemctl daemon-reload; {undo} true")


def expires(leader: str, node: str) -> float:
    """When the leader gives up the session of this node: three periods after its last heartbeat."""
    line = drive.ssh(
        leader,
        "journalctl -u docker -o short-unix --since -3min | grep 'received heartbeat from worker' |"
        f" grep {node} | tail -n 1",
    )
    found = re.search(r"^([\d.]+) .*expect next heartbeat in ([\d.]+)s", line)
    assert found, line
    return float(found.group(1)) + 3 * float(found.group(2))


def until(moment: float) -> None:
    drive.wait_until(lambda: time.time() >= moment, 60, longest=0.05)


def stays_down(host: str, leader: str, others: list[str], run: Future[drive.Run]) -> bool:
    """Let a host that reboots register just before its old session ends, while the leader can write nothing.

    If the moment was hit, the leader then writes that the node is ready, and after that that it is down. It keeps the new session.
    """
    node = docker(f"node inspect --format '{{{{.ID}}}}' {host}").strip()
    before = boots()
    drive.wait_until(lambda: run.done() or boots() != before, 180)
    drive.hang_up(host)
    waiting = "systemctl is-active docker; [ ! -e /run/go ] && echo waits"
    drive.wait_until(
        lambda: drive.ssh(host, waiting, check=False).split() == ["activating", "waits"]
    )
    end = expires(leader, node)
    assert time.time() < end - 6.5, "the reboot took too long"
    until(end - 6)
    # Less than the ten seconds after which a leader steps down that hears of no other manager.
    drive.on_each(others, lambda name: drive.ssh(name, "kill -STOP $(cat /run/docker.pid)"))
    try:
        until(end - 5)
        drive.ssh(host, "touch /run/go")
        until(end + 0.5)
    finally:
        drive.on_each(others, lambda name: drive.ssh(name, "kill -CONT $(cat /run/docker.pid)"))
    drive.wait_until(
        lambda: (
            drive.ssh(host, "docker info -f '{{.Swarm.LocalNodeState}}'", check=False) == "active\n"
        )
    )
    # After the second heartbeat. A session that the leader does not know would have begun again with it.
    drive.wait_until(lambda: expires(leader, node) > end + 36, 60)
    return drive.ssh(leader, f"docker node inspect -f '{{{{.Status.State}}}}' {node}") == "down\n"


@drive.soak
def test_the_engine_of_a_node_that_stays_down_restarts_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether the engine registers at the right moment is a matter of luck on a busy machine, so there are some attempts."""
    leader = drive.leader_on("m1")
    others = [name for name in drive.MANAGERS if name != leader]
    restart = r"^TASK \[Restart the engine of a node that stays down\] \**\nchanged: \[w1\]"
    with heartbeats_logged(leader), held_at_boot("w1", others), ThreadPoolExecutor(1) as aside:
        for attempt in range(5):
            running = aside.submit(reboot, nodes="w1")
            down = stays_down("w1", leader, others, running)
            run = running.result()
            assert run.code == 0, run.text[-4000:]
            assert in_service()
            with capsys.disabled():
                print(f"\nattempt {attempt + 1}: {'stayed down' if down else 'came back'}")
            assert bool(re.search(restart, run.text, re.MULTILINE)) == down
            if down:
                return
    raise AssertionError("the node came back each time")
