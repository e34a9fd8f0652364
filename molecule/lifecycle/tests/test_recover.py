# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drill of docs/runbooks/recover_quorum.md: two of three managers lose their disks, and the swarm comes back."""

from __future__ import annotations

import json
import re
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
    return sorted(drive.ssh("m1", f"docker {kind} ls --format '{{{{.ID}}}} {{{{.Name}}}}'").splitlines())


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
