# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drill of docs/runbooks/recover_quorum.md: two of three managers lose their disks, and the swarm comes back."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import drills
import drive
import pytest
from drills import soak

COPIES = "/var/lib/flotilla.swarm/recover"
KEY_FILE = "/var/lib/docker/swarm/certificates/swarm-node.key"
NOTE = "/var/lib/flotilla.swarm/recover.json"


@pytest.fixture(autouse=True)
def lab() -> Iterator[None]:
    drills.begin()
    yield
    # The next drill, of whatever kind, begins with a swarm that is not locked.
    for host in drive.MANAGERS:
        drive.ssh(host, f"rm -rf {COPIES} {NOTE}; systemctl start docker", check=False)


class Before:
    """What the swarm had before the loss, as docker says."""

    def __init__(self, autolock: bool) -> None:
        self.autolock = autolock
        if autolock:
            drive.ssh("m1", "docker swarm update --autolock=true")
        self.key = drive.ssh("m1", "docker swarm unlock-key -q").strip() if autolock else ""
        (self.cluster,) = drive.cluster_ids()
        self.services = _listed("service")
        self.secrets = _listed("secret")
        self.configs = _listed("config")
        self.gone = {drive.nodes()[name]["ID"] for name in ("m2", "m3")}
        self.kept = {drive.nodes()[name]["ID"] for name in ("m1", "w1", "w2")}

    @property
    def variables(self) -> dict[str, Any]:
        key = {"swarm_unlock_key": self.key} if self.key else {}
        return {"swarm_recover_confirm": self.cluster, **key}


def _listed(kind: str) -> list[str]:
    return sorted(
        drive.ssh("m1", f"docker {kind} ls --format '{{{{.ID}}}} {{{{.Name}}}}'").splitlines()
    )


def lose(*hosts: str) -> None:
    """Take the hosts and their disks away, and put new ones in their places."""
    drive.reimage(*hosts)


def assert_recovered(before: Before) -> None:
    """From outside: one swarm with the old ID, three managers, its services and secrets; locked again if it was locked."""
    drive.assert_whole()
    assert drive.cluster_ids() == {before.cluster}
    ids = {node["ID"] for node in drive.nodes().values()}
    assert before.kept <= ids
    assert not before.gone & ids
    assert _listed("service") == before.services
    assert _listed("secret") == before.secrets
    assert _listed("config") == before.configs
    drive.wait_until(_all_run, 120)
    # The data of the secret is where the tasks run, and a new task on the recovered manager gets it too.
    assert drills.SECRET in _secrets_in_tasks()
    info = json.loads(drive.ssh("m1", "docker info --format '{{json .Swarm}}'"))
    locked = info["Cluster"]["Spec"]["EncryptionConfig"]["AutoLockManagers"]
    assert locked == before.autolock
    for host in drive.MANAGERS:
        sealed = "ENCRYPTED" in drive.ssh(host, f"head -1 {KEY_FILE}")
        assert sealed == before.autolock, host
    if before.autolock:
        new = drive.ssh("m1", "docker swarm unlock-key -q").strip()
        assert new.startswith("SWMKEY-1-")
        assert new != before.key
    assert not drive.ssh("m1", f"ls {NOTE} 2>/dev/null", check=False)
    # The copy: for root alone, complete, and as locked as it was.
    (copy,) = drive.ssh("m1", f"ls -d {COPIES}/swarm-*").split()
    assert drive.ssh("m1", f"stat -c '%a %U' {COPIES} {copy}").split() == ["700", "root"] * 2
    key = drive.ssh("m1", f"cat {copy}/certificates/swarm-node.key")
    assert ("ENCRYPTED" in key) == before.autolock
    assert drive.ssh("m1", f"ls {copy}/raft/wal-v3-encrypted").strip()
    # No other file on the host has a key in clear.
    left = drive.ssh("m1", "find /var/lib/docker/swarm /var/lib/flotilla.swarm -name '.flotilla-*'")
    assert not left.strip()


def _all_run() -> bool:
    counts = drive.ssh("m1", "docker service ls --format '{{.Replicas}}'").split()
    return len(counts) == 2 and all(len(set(each.split("/"))) == 1 for each in counts)


def _secrets_in_tasks() -> str:
    read = "for c in $(docker ps -q --filter name=shop_web); do docker exec $c cat /run/secrets/token; done"
    return "".join(drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, read)).values())


def recover(before: Before, *flags: str, **extra: Any) -> drive.Run:
    began = time.monotonic()
    run = drills.playbook("recover_quorum", *flags, **{**before.variables, **extra})
    print(f"recover_quorum.yml: exit code {run.code} after {time.monotonic() - began:.0f} s")
    assert not before.key or before.key not in run.text
    return run


def test_an_autolocked_swarm_whose_survivor_was_restarted() -> None:
    before = Before(autolock=True)
    lose("m2", "m3")
    drive.ssh("m1", "systemctl restart docker")
    assert drive.ssh("m1", "docker info --format '{{.Swarm.LocalNodeState}}'").strip() == "locked"
    files = drive.ssh("m1", f"sha256sum {KEY_FILE}")

    # Another key is refused before anything changes.
    run = recover(before, swarm_unlock_key="SWMKEY-1-" + "A" * 43)
    assert run.code == 2
    assert run.failures & {"wrong_unlock_key", "refused"}, run.text[-3000:]
    assert drive.ssh("m1", f"sha256sum {KEY_FILE}") == files
    assert not drive.ssh("m1", f"ls {NOTE} {COPIES} 2>/dev/null", check=False)

    run = recover(before)
    assert run.code == 0, run.text[-6000:]
    print(run.text[: run.text.index("TASK [Recover the swarm")])
    assert f"PLAN  recover swarm {before.cluster}, from the raft log of m1" in run.text
    assert run.verdict in ("healthy", "degraded")
    assert_recovered(before)


@soak
def test_a_survivor_that_runs_without_autolock() -> None:
    before = Before(autolock=False)
    # While there is a leader, there is nothing to recover.
    run = recover(before)
    assert run.code == 2
    assert "sees a leader" in run.text
    lose("m2", "m3")

    # The plan, without and with check mode, changes nothing.
    for flags, confirm, code in (((), "", 2), ((), "another", 2), (("--check",), "", 0)):
        run = recover(before, *flags, swarm_recover_confirm=confirm)
        assert run.code == code, run.text[-3000:]
        assert f"PLAN  recover swarm {before.cluster}, from the raft log of m1" in run.text
        assert run.failures == (set() if flags else {"not_confirmed"})
        assert f"swarm_recover_confirm={before.cluster}" in run.text or flags
    assert not drive.ssh("m1", f"ls {NOTE} {COPIES} 2>/dev/null", check=False)

    run = recover(before)
    assert run.code == 0, run.text[-6000:]
    assert_recovered(before)


@soak
def test_an_autolocked_swarm_whose_survivor_runs() -> None:
    before = Before(autolock=True)
    lose("m2", "m3")
    # Without the key, the run says what it needs.
    run = recover(before, swarm_unlock_key="")
    assert run.code == 2
    assert "set swarm_unlock_key" in run.text
    run = recover(before)
    assert run.code == 0, run.text[-6000:]
    assert_recovered(before)


@soak
def test_an_autolocked_swarm_that_dockers_own_command_has_ruined() -> None:
    before = Before(autolock=True)
    lose("m2", "m3")
    print(
        drive.ssh(
            "m1",
            "timeout 120 docker swarm init --force-new-cluster --advertise-addr eth0 2>&1; docker info 2>&1 | grep -A3 Swarm:",
            check=False,
        )
    )
    run = recover(before)
    assert run.code == 0, run.text[-6000:]
    assert_recovered(before)


@soak
def test_another_manager_that_is_left_leaves_and_joins_again() -> None:
    before = Before(autolock=False)
    drive.ssh("m1", "docker node promote w1 w2")
    drive.wait_until(lambda: drive.ssh("m1", "docker node ls").count("Reachable") == 4)
    old = drive.nodes()["w1"]["ID"]
    lose("m2", "m3", "w2")
    run = recover(before)
    assert run.code == 0, run.text[-6000:]
    before.kept = {drive.nodes()["m1"]["ID"]}
    before.gone |= {old}
    # The plan takes the manager with the newest log; the other one has left, and is the worker of the inventory again.
    survivor = re.findall(r"from the raft log of (\w+)", run.text)[0]
    assert survivor in ("m1", "w1")
    if survivor == "m1":
        assert_recovered(before)
        (copy,) = drive.ssh("w1", f"ls -d {COPIES}/swarm-*").split()
        assert drive.ssh("w1", f"ls {copy}/raft/wal-v3-encrypted").strip()
    else:
        drive.assert_whole()


@soak
def test_managers_that_could_come_back_are_not_given_up() -> None:
    before = Before(autolock=True)
    # All managers are locked: the unlock key is enough.
    drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, "systemctl restart docker"))
    run = recover(before)
    assert run.code == 2
    assert "Unlock m1, m2, m3: run site.yml with swarm_unlock_key" in run.text.replace("\n", " ")
    drive.on_each(
        drive.MANAGERS, lambda host: drive.ssh(host, f"echo {before.key} | docker swarm unlock")
    )
    drive.wait_until(lambda: drive.cluster_ids() == {before.cluster})
    # Two managers do not answer: they may live, with a quorum.
    with drive.stopped("m2"), drive.stopped("m3"):
        run = recover(before, swarm_observe_timeout=5, swarm_recover_election=5)
        assert run.code == 2
        assert "swarm_recover_lost=" in run.text
        assert "may live" in run.text
    drive.wait_until(lambda: drive.cluster_ids() == {before.cluster})


# What is so on the host when the run is killed.
MOMENTS = {
    "the key file in clear": f"! grep -q ENCRYPTED {KEY_FILE}",
    "forced": f"""grep -q '"forced": true' {NOTE}""",
    "the only manager": "docker info --format '{{.Swarm.Managers}}' 2>/dev/null | grep -q '^1$'",
    "restarted, not locked": f"""grep -q '"restart": false' {NOTE}""",
}


@soak
def test_a_run_that_is_killed_is_finished_by_the_next() -> None:
    before = Before(autolock=True)
    lose("m2", "m3")
    drive.ssh("m1", "systemctl restart docker")
    for moment, condition in MOMENTS.items():
        kill = f"until {condition} && pkill -9 python3; do sleep 0.02; done"
        watcher = subprocess.Popen(["docker", "exec", f"{drive.PREFIX}-m1", "sh", "-c", kill])
        try:
            run = recover(before)
            assert watcher.wait(10) == 0
        finally:
            # Of the loop in the container too, if it has not come to its kill.
            drive.ssh("m1", "pkill -9 -f '[p]kill -9 python3'", check=False)
            watcher.wait(10)
        assert run.code != 0, f"{moment}: the kill came too late"
        print(f"killed: {moment}")
    run = recover(before)
    assert run.code == 0, run.text[-6000:]
    assert "PLAN  resume the recovery of swarm" in run.text
    assert_recovered(before)
