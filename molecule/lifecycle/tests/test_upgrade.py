# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines are upgraded from 20.10 to 26.1, host by host, as docs/runbooks/upgrade_engine.md says, and no request fails meanwhile.

The kernel of the lab may lack IPVS, so a client in the overlay network of the service asks its tasks by DNS. The client is on a
host that is not upgraded meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drills
import pytest
from drills import drive, playbook, soak

OLD, NEW = "20.10.24", "26.1.5"
NOTE = "/var/lib/flotilla.swarm/upgrade.json"
UPGRADE = drive.TOP / "playbooks" / "upgrade_engine.yml"
IMAGE = "registry.lab:5000/hello:1"
TASKS = 4
# A task is in the DNS of its network only once it is healthy, and out of it two seconds before it ends.
WEB = (
    "--network drill --endpoint-mode dnsrr --update-order start-first --update-monitor 1s --stop-grace-period 2s"
    " --health-cmd 'wget -q -O /dev/null http://127.0.0.1:8080/' --health-interval 500ms"
)
# busybox without shared libraries looks names up with nslookup alone, whose first line is the server's own.
ASK = """
ask() {
    begun=$(date +%T)
    set -- $(nslookup web | while read -r key value; do [ "$key" != Address: ] || echo "$value"; done)
    if [ $# -gt 1 ] && timeout 10 wget -q -O /dev/null "http://$2:8080/"; then
        echo answered
    else
        echo "failed:${2:-no-address}:$begun-$(date +%T)"
    fi
}
while [ ! -e "/stop.$1" ]; do
    # One that hangs keeps no other waiting.
    ask 2> /dev/null &
    sleep 0.2
done
wait
"""
SOURCE = r"""
set -e
grep '^deb' /etc/apt/sources.list | head -n 1 | sed 's/bookworm/trixie/' > /etc/apt/sources.list.d/trixie.list
printf 'Package: *\nPin: release n=trixie\nPin-Priority: 100\n' > /etc/apt/preferences.d/trixie
"""
NO_SOURCE = "rm -f /etc/apt/sources.list.d/trixie.list /etc/apt/preferences.d/trixie"


@pytest.fixture(autouse=True)
def swarm() -> Iterator[None]:
    """A swarm whose engines are the old ones, on hosts that can have the new one."""
    old_engines()
    drills.begin()
    drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, SOURCE))
    yield
    drive.ssh("m1", "docker service rm web client; docker network rm drill", check=False)
    drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, NO_SOURCE))
    old_engines()


def old_engines() -> None:
    """Replace the hosts that a drill has touched, upgraded or only half-done. The next drill builds the swarm again."""
    noted, versions = notes(), engines()
    touched = [host for host in drive.HOSTS if host in noted or versions[host] != OLD]
    if touched:
        drive.reimage(*touched)


def docker(command: str, host: str = "m1", check: bool = True) -> str:
    return drive.ssh(host, f"docker {command}", check)


def engines() -> dict[str, str]:
    """The version of the engine that runs on each host, as the engine says itself."""
    said = drive.on_each(
        drive.HOSTS, lambda host: docker("version --format '{{.Server.Version}}'", host, False)
    )
    return {host: version.strip().partition("+")[0] for host, version in said.items()}


def notes() -> dict[str, dict[str, Any]]:
    """The notes that the hosts have."""
    texts = drive.on_each(
        drive.HOSTS, lambda host: drive.ssh(host, f"cat {NOTE} 2>/dev/null", check=False)
    )
    return {host: json.loads(text) for host, text in texts.items() if text}


def in_service(through: str = "m1") -> bool:
    """Whether every node is active and ready, and no upgrade is half-done."""
    return all(note["done"] for note in notes().values()) and all(
        node["Spec"]["Availability"] == "active" and node["Status"]["State"] == "ready"
        for node in drive.nodes(through).values()
    )


def upgrade(*flags: str, **more: Any) -> drive.Run:
    return playbook("upgrade_engine", *flags, **{f"swarm_upgrade_{k}": v for k, v in more.items()})


def order(run: drive.Run) -> list[str]:
    return re.findall(r"^  +\d+  zone \w+ +(\S+) ", run.text, re.MULTILINE)


def healthy_tasks(name: str) -> int:
    """The tasks that run and whose container is healthy."""
    lines = docker(f"service ps -f desired-state=running --format '{{{{.CurrentState}}}}' {name}")
    return sum(line.startswith("Running") for line in lines.splitlines())


@contextmanager
def service() -> Iterator[None]:
    """The service, and its network."""
    docker("network create -d overlay drill")
    docker(f"service create -q -d --name web --replicas {TASKS} {WEB} {IMAGE}")
    try:
        drive.wait_until(lambda: healthy_tasks("web") == TASKS, 90)
        yield
    finally:
        docker("service rm web client", check=False)
        drive.wait_until(lambda: not docker("network rm drill 2>&1 | grep in.use", check=False), 60)


@dataclass
class Count:
    answered: int = 0
    # Each with the address that was asked, and when.
    failed: list[str] = field(default_factory=list)


@contextmanager
def asked(on: str, through: str) -> Iterator[Count]:
    """Send five requests a second from a client on a host while the block runs. `through` is a manager."""
    docker("service rm client", through, check=False)
    where = f"--network drill --constraint node.hostname=={on} --stop-grace-period 1s"
    docker(f"service create -q --name client {where} {IMAGE}", through)
    find = "docker ps -q -f label=com.docker.swarm.service.name=client"
    container = drive.ssh(on, find).split()[0]
    mark, count = f"{time.monotonic_ns()}", Count()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        client = subprocess.Popen(
            ["docker", "exec", "-i", f"{drive.PREFIX}-{on}", "docker", "exec", "-i", container, "sh", "-s", mark],
            stdin=subprocess.PIPE,
            stdout=output,
            text=True,
        )  # fmt: skip
        assert client.stdin is not None
        client.stdin.write(ASK)
        client.stdin.close()
        try:
            time.sleep(2)
            yield count
            # What has to stop stops after the playbook has ended.
            time.sleep(4)
        finally:
            drive.ssh(on, f"docker exec {container} sh -c ': > /stop.{mark}'")
            client.wait(60)
        output.seek(0)
        words = output.read().split()
    count.answered = words.count("answered")
    count.failed = [word.removeprefix("failed:") for word in words if word != "answered"]
    docker("service rm client", through)


def killed_in(task: str, strike: Callable[[], object], **extra: Any) -> None:
    """Start an upgrade, and kill it with kill -9 after `strike`, which is called when this task begins."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            drive.command(UPGRADE, **{f"swarm_upgrade_{k}": v for k, v in extra.items()}),
            # Without skipped hosts, a task is printed only when its first host is done.
            env={**drive.ENVIRONMENT, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            drive.wait_until(
                lambda: (
                    f"TASK [{task}]" in Path(output.name).read_text(encoding="utf-8")
                    or process.poll() is not None
                ),
                400,
                0.3,
            )
            assert process.poll() is None, Path(output.name).read_text(encoding="utf-8")[-4000:]
            strike()
            assert process.poll() is None, "the run had ended before it was killed"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    drive.hang_up(*drive.HOSTS)


def never_short(looks: list[dict[str, drive.Look]]) -> bool:
    """Whether the start-first services had all of their tasks at every moment."""
    assert len(looks) > 20
    return all(
        min(look[name].running for look in looks if name in look) >= replicas
        for name, replicas in (("web", TASKS), ("shop_web", 3))
    )


# Only a manager, because the next drill has the whole swarm: a manager also has its place in the quorum to get back.
def test_a_manager_is_upgraded_and_no_request_fails(capsys: pytest.CaptureFixture[str]) -> None:
    manager = next(host for host in ("m2", "m3") if host != drive.leader_on("m1"))
    assert set(engines().values()) == {OLD}
    with service(), asked("m1", "m1") as count, drive.watched("m1") as looks:
        run = upgrade(to="26.1", nodes=manager)
    assert run.code == 0, run.text[-6000:]
    with capsys.disabled():
        print("\n" + "\n".join(run.plan), f"\n{count}", f"{len(looks)} looks")
    assert order(run) == [manager]
    assert engines() == {**dict.fromkeys(drive.HOSTS, OLD), manager: NEW}
    assert in_service()
    assert count.failed == []
    assert count.answered > 100
    assert never_short(looks)
    # The state before an upgrade is on the host, and the packages are on hold again.
    assert notes()[manager]["before"]["docker.io"].startswith(OLD)
    held = drive.ssh(manager, "apt-mark showhold").split()
    assert {"docker.io", "docker-cli", "containerd"} <= set(held)


# Waits until dpkg is in the middle of the package of the engine, and kills it with apt.
BREAK = r"""
for _ in $(seq 20000); do
    grep -qs docker /var/lib/dpkg/updates/[0-9]* && break
    sleep 0.02
done
# The engine takes seconds to unpack.
sleep 0.7
pkill -9 -x dpkg
pkill -9 -x apt-get
"""


@soak
def test_the_whole_swarm_is_upgraded_by_runs_that_are_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    others = [host for host in drive.HOSTS if host != "m1"]
    asked_for: dict[str, Any] = {"to": "26.1", "nodes": others}

    def half_done() -> str:
        (host,) = (name for name, note in notes().items() if not note["done"])
        return host

    with service():
        with asked("m1", "m1") as first, drive.watched("m1") as looks:
            killed_in("Drain the nodes", lambda: time.sleep(1), **asked_for)
            host = half_done()
            # It watches before the run begins, because dpkg takes only seconds.
            breaker = subprocess.Popen(
                ["docker", "exec", f"{drive.PREFIX}-{host}", "sh", "-c", BREAK]
            )
            killed_in("Install the packages", lambda: breaker.wait(180), **asked_for)
            assert half_done() == host
            # dpkg was hit.
            assert drive.ssh(host, "ls /var/lib/dpkg/updates; dpkg --audit")
            killed_in("Restart the engine", lambda: time.sleep(1.5), **asked_for)
            assert half_done() == host
            run = upgrade(**asked_for)
        assert run.code == 0, run.text[-6000:]
        with capsys.disabled():
            print("\n" + "\n".join(run.plan), f"\n{first}", f"{len(looks)} looks")
        assert order(run)[0] == host
        assert never_short(looks)
        assert first.failed == []
        # The last host, asked from one that has the new engine.
        with asked("w2", "m2") as second, drive.watched("m2") as looks:
            last = upgrade(to="26.1")
        assert last.code == 0, last.text[-6000:]
        with capsys.disabled():
            print("\n" + "\n".join(last.plan), f"\n{second}", f"{len(looks)} looks")
        assert order(last) == ["m1"]
        assert never_short(looks)
        assert second.failed == []
    assert first.answered > 100
    assert second.answered > 100
    assert set(engines().values()) == {NEW}
    assert in_service()
    again = upgrade(to="26.1")
    assert again.code == 0, again.text[-4000:]
    assert again.changed == 0
    assert f"already at {NEW}" in again.text
    # The way back is on every host, also on the one whose run was killed three times.
    assert {note["before"]["docker.io"][: len(OLD)] for note in notes().values()} == {OLD}
    back = upgrade(to="20.10", nodes="w1")
    assert back.code != 0
    assert "add downgrade to swarm_upgrade_accepted_risks" in back.text
    back = upgrade(to="20.10", nodes="w1", accepted_risks="downgrade")
    assert back.code == 0, back.text[-6000:]
    assert engines() == {**dict.fromkeys(drive.HOSTS, NEW), "w1": OLD}
    assert in_service()


HOOK = """\
- name: Leave a trace
  ansible.builtin.shell: "docker version | grep -A2 ^Server | grep Version >> /run/hook; tail -n 1 /run/hook"
"""


@soak
def test_a_host_that_fails_stops_the_run_and_a_locked_manager_is_unlocked(tmp_path: Path) -> None:
    hook = tmp_path / "hook.yml"
    hook.write_text(HOOK, encoding="utf-8")
    docker("swarm update --autolock=true")
    try:
        drive.ssh("w1", "cp /etc/docker/daemon.json /root/daemon.json")
        drive.ssh("w1", """sed -i 's/{/{"cluster-store": "x", /' /etc/docker/daemon.json""")
        more: dict[str, Any] = {"to": "26.1", "nodes": ["w1", "m2"]}
        refused = upgrade(**more)
        assert (
            "w1: daemon.json has cluster-store, which the new engine does not know" in refused.text
        )
        assert not notes()
        run = upgrade(**more, accepted_risks="daemon_json", hooks={"before": str(hook)})
        assert run.code != 0
        assert "cluster-store" in run.text
        found = re.search(r"To go back, run on w1: (.*?) \(", run.text)
        assert found, run.text[-4000:]
        # The old engine still runs, and no other host was touched.
        assert set(engines().values()) == {OLD}
        assert set(notes()) == {"w1"}
        # The cause is corrected, and the same command goes on with this host first.
        drive.ssh("w1", "cp /root/daemon.json /etc/docker/daemon.json")
        run = upgrade(**more, hooks={"after": [str(hook)]})
        assert run.code == 0, run.text[-6000:]
        assert order(run) == ["w1", "m2"]
        assert engines() == {**dict.fromkeys(drive.HOSTS, OLD), "w1": NEW, "m2": NEW}
        assert in_service()
        assert re.findall(r"\d+\.\d+\.\d+", drive.ssh("w1", "cat /run/hook")) == [OLD, NEW]
        lock = "{{.Swarm.Cluster.Spec.EncryptionConfig.AutoLockManagers}}"
        assert docker(f"info --format '{lock}'").strip() == "true"
        # The commands of the message. The copy of daemon.json has the mistake, so the corrected one stays.
        words = re.sub(r"cp \S+ /etc/docker/daemon.json", "true", found.group(1))
        assert " docker-cli- " in words
        drive.ssh(
            "w1",
            f"export DEBIAN_FRONTEND=noninteractive; {words.replace('install', '-y install', 1)}",
        )
        drive.wait_until(lambda: engines()["w1"] == OLD, 60)
        drive.wait_until(in_service, 60)
    finally:
        docker("swarm update --autolock=false", check=False)
