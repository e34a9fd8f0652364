# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/runbooks/rotate.md: join tokens, the unlock key and the CA, under load, with an escrow that opens."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drills
import pytest
import yaml
from drills import drive

sys.path.insert(0, str(drive.TOP / "bench"))

import failed_requests

FOLDER = "/var/lib/flotilla.swarm/escrow"
# The key of ssh of the lab: age encrypts for it as for a key of its own.
IDENTITY = (drive.STATE / "ssh_key").read_text(encoding="utf-8")
RECIPIENT = (drive.STATE / "ssh_key.pub").read_text(encoding="utf-8").strip()


class Lab:
    """The lab as failed_requests takes it."""

    def hosts(self) -> dict[str, str]:
        inventory = yaml.safe_load((drive.INVENTORY / "hosts.yml").read_text(encoding="utf-8"))
        groups = inventory["all"]["children"].values()
        listed = {name: each for group in groups for name, each in group["hosts"].items()}
        return {name: f"ansible_host={each['ansible_host']}" for name, each in listed.items()}

    def run(self, _attempt: str, *words: str) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=180)
        return done.stdout


@pytest.fixture(autouse=True, scope="module")
def lab() -> Iterator[None]:
    drills.begin()
    # Before the run with -vvv, in which Ansible's own module for packages can show a traceback.
    drills.install("m1", "age")
    yield
    drive.ssh("m1", "docker swarm update --autolock=false")


@pytest.fixture
def load() -> Iterator[failed_requests.Swarm]:
    """Services that answer, in the overlay network and at their ports on the hosts."""
    swarm = failed_requests.Swarm(Lab(), drive.PREFIX)
    try:
        with swarm.services():
            swarm.settle(client=1, web=4, lone=1, port=2)
            yield swarm
    finally:
        drive.ssh("m1", "docker service rm client web lone port", check=False)
        drive.wait_until(
            lambda: (
                not drive.ssh(
                    "m1", "docker network rm bench 2>&1 | grep -v ^bench", check=False
                ).strip()
            )
        )


def rotate(*flags: str, copies: Path | None = None, **more: Any) -> drive.Run:
    escrow = {} if copies is None else {"swarm_escrow_dir": str(copies)}
    given = {"swarm_escrow_recipients": [RECIPIENT], **escrow, **more}
    return drills.playbook("rotate", *flags, **given)


def secrets() -> dict[str, str]:
    """What nobody may read in an output or a file, as the engine has it now."""
    return {
        "unlock-key": drive.ssh("m1", "docker swarm unlock-key -q", check=False).strip(),
        "worker-token": drive.ssh("m1", "docker swarm join-token -q worker").strip(),
        "manager-token": drive.ssh("m1", "docker swarm join-token -q manager").strip(),
    }


def opened(file: Path) -> str:
    """A copy of the escrow, decrypted on a host that has age."""
    done = subprocess.run(
        ["docker", "exec", "-i", f"{drive.PREFIX}-m1", "sh", "-c", "cat > /run/escrow.age"],
        input=file.read_bytes(), check=True, timeout=60,
    )  # fmt: skip
    done = subprocess.run(
        ["docker", "exec", "-i", f"{drive.PREFIX}-m1", "age", "-d", "-i", "-", "/run/escrow.age"],
        input=IDENTITY.encode(), capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.decode()


def copy_of(copies: Path, kind: str, which: str = "new") -> str:
    """The latest copy of this kind, decrypted."""
    found = sorted(copies.glob(f"*/{kind}-2*-{which}.age"))
    assert found, sorted(copies.rglob("*"))
    return opened(found[-1])


def ca() -> str:
    return drive.ssh("m1", "docker swarm ca").strip()


def in_progress() -> bool:
    answer = drive.ssh("m1", "curl -s --unix-socket /run/docker.sock http://engine/swarm")
    return bool(json.loads(answer)["RootRotationInProgress"])


def unlocks(host: str, key: str) -> bool:
    said = drive.ssh(host, f"echo '{key}' | timeout 60 docker swarm unlock 2>&1", check=False)
    return "invalid key" not in said


def in_clear(*texts: str) -> str:
    """The files of the managers that have one of these texts, apart from the engine's own."""
    patterns = "\n".join(texts)
    found = drive.on_each(
        drive.MANAGERS,
        lambda host: drive.ssh(
            host,
            f"grep -rlF -e '{patterns}' /var/lib/flotilla.swarm /root /tmp /run/user /etc /var/log 2>/dev/null"
            f"; journalctl --no-pager | grep -cF -e '{patterns}' | grep -v '^0$'",
            check=False,
        ),
    )
    return "".join(found.values()).strip()


def test_everything_is_rotated_under_load(load: failed_requests.Swarm, tmp_path: Path) -> None:
    drive.ssh("m1", "docker swarm update --autolock=true")
    before, old_ca, asked = secrets(), ca(), "worker-token,manager-token,ca,unlock-key"

    checked = rotate("--check", copies=tmp_path / "none", swarm_rotate=asked)
    assert checked.code == 0, checked.text[-4000:]
    assert (secrets(), ca(), (tmp_path / "none").exists()) == (before, old_ca, False)

    copies = tmp_path / "escrow"
    tasks = load.docker("service ps -q -f desired-state=running web lone port").split()
    with load.asked() as count:
        # With all that Ansible can print.
        run = rotate("-vvv", copies=copies, swarm_rotate=asked)
    assert run.code == 0, run.text[-6000:]
    print(run.text[run.text.index("PLAN  rotate") : run.text.index("TASK [Wait until each")])
    print(
        f"requests while everything was rotated: {count.answered} answered, {count.failed} failed"
    )
    assert run.plan == checked.plan
    assert [line.split()[1] for line in run.plan] == [
        "unlock-key",
        "ca",
        "worker-token",
        "manager-token",
    ]
    assert count.answered > 50
    assert load.docker("service ps -q -f desired-state=running web lone port").split() == tasks
    if count.failed:
        # A request has one second. On a machine that is too busy for that, requests fail without a rotation as well.
        with load.asked() as idle:
            time.sleep(30)
        print(f"requests without a rotation: {idle.answered} answered, {idle.failed} failed")
        assert idle.failed > 0

    # Everything is new, everywhere.
    after = secrets()
    assert not set(before.values()) & set(after.values())
    assert ca() != old_ca
    assert not in_progress()
    trusted = drive.on_each(
        drive.HOSTS,
        lambda host: drive.ssh(
            host, "cat /var/lib/docker/swarm/certificates/swarm-root-ca.crt"
        ).strip(),
    )
    assert set(trusted.values()) == {ca()}

    # The escrow has it, and nothing else does.
    for kind, value in after.items():
        assert copy_of(copies, kind) == value, kind
    assert copy_of(copies, "unlock-key", "old") == before["unlock-key"]
    held = copy_of(copies, "ca")
    assert held.startswith(ca())
    key = held[len(ca()) :].strip()
    assert key.startswith("-----BEGIN EC PRIVATE KEY-----")
    hidden = [*before.values(), *after.values(), key.splitlines()[1]]
    assert not [each for each in hidden if each in run.text]
    assert "PRIVATE KEY" not in run.text
    assert in_clear(*hidden) == ""
    assert {path.stat().st_mode & 0o777 for path in copies.rglob("*.age")} == {0o600}

    # The old tokens are refused, and the new ones work.
    node = drive.ssh("w2", "docker info --format '{{.Swarm.NodeID}}'").strip()
    drive.ssh("w2", "docker swarm leave")
    join = f"docker swarm join --token {{}} {drive.ssh('m1', 'docker info --format {{.Swarm.NodeAddr}}').strip()}:2377 2>&1"
    # The old token names the old CA, which the manager no longer has.
    assert "joined" not in drive.ssh("w2", join.format(before["worker-token"]), check=False)
    drive.ssh("w2", "docker swarm leave --force", check=False)
    assert "joined" in drive.ssh("w2", join.format(copy_of(copies, "worker-token")))
    drive.ssh("m1", f"docker node rm --force {node}; docker node update --label-add zone=b w2")

    # The old key does not unlock a manager that was restarted, and the one in the escrow does.
    drills.power_cut("m2")
    assert not unlocks("m2", before["unlock-key"])
    assert unlocks("m2", copy_of(copies, "unlock-key"))
    drive.wait_until(drive.is_whole)


@drills.soak
def test_what_cannot_end_is_refused_and_a_rotation_that_hangs_is_waited_for(tmp_path: Path) -> None:
    before = ca()
    with drive.stopped("w2"):
        drive.wait_until(lambda: "w2" not in drive.nodes(), 90)
        refused = rotate(copies=tmp_path, swarm_rotate="ca")
        assert refused.failures == {"refused"}
        assert "w2: down" in refused.text
        assert not in_progress()
        accepted = {"swarm_rotate_accepted_risks": "down_nodes", "swarm_rotate_timeout": 25}
        run = rotate(copies=tmp_path, swarm_rotate=["ca"], **accepted)
        assert run.failures == {"timeout"}
        assert "behind: w2 (down)" in run.text
        assert in_progress()
        checked = rotate("--check", swarm_rotate=["ca"])
        assert checked.changed == 0
        assert "a rotation is in progress: the run waits for it; behind: w2 (down)" in checked.text
    # The node is back, and the rotation can end before the next run looks. It does not begin another one either way.
    drive.wait_until(lambda: not in_progress(), 120)
    run = rotate(copies=tmp_path, swarm_rotate=["ca"])
    assert run.code == 0, run.text[-4000:]
    assert run.changed == 0
    assert "the rotation of an interrupted run has ended" in run.text
    assert "flotilla.swarm" not in drive.ssh(
        "m1", "curl -s --unix-socket /run/docker.sock http://engine/swarm"
    )
    # One CA, that of the run that began.
    assert len(list(tmp_path.rglob("ca-*.age"))) == 1
    assert ca() != before
    assert copy_of(tmp_path, "ca").startswith(ca())
    drive.wait_until(drive.is_whole)


@drills.soak
def test_what_needs_no_rotation_or_has_no_escrow_is_said(tmp_path: Path) -> None:
    drive.ssh("m1", "docker swarm update --autolock=false")
    run = rotate(swarm_rotate=["unlock-key"])
    assert (run.code, run.changed) == (0, 0)
    assert "autolock is off: nothing to rotate" in run.text
    before, old = ca(), secrets()
    refused = drills.playbook("rotate", swarm_rotate="ca")
    assert refused.failures == {"refused"}
    assert "swarm_escrow_recipients" in refused.text
    piped = rotate(swarm_rotate="ca", ansible_pipelining=False)
    assert piped.failures == {"no_pipelining"}
    wrong = rotate(swarm_rotate="worker-token", swarm_escrow_recipients="AGE-SECRET-KEY-1ABC")
    assert wrong.failures == {"refused"}
    assert "AGE-SECRET" not in wrong.text
    (tmp_path / "file").touch()
    place = rotate(copies=tmp_path / "file" / "x", swarm_rotate=["worker-token", "ca"])
    assert place.failures == {"os_error"}
    assert (ca(), secrets()) == (before, old)
    run = drills.playbook("rotate", swarm_rotate="ca", swarm_rotate_without_escrow=True)
    assert run.code == 0, run.text[-4000:]
    assert ca() != before
    drive.assert_whole()


@drills.soak
def test_a_run_that_is_killed_leaves_a_key_in_the_escrow_that_opens(tmp_path: Path) -> None:
    drive.ssh("m1", "docker swarm update --autolock=true")
    asked = {
        "swarm_rotate": ["unlock-key", "ca"],
        "swarm_escrow_recipients": [RECIPIENT],
        "swarm_escrow_dir": str(tmp_path),
    }

    def kill(moment: float) -> str:
        return drive.killed(moment, playbook=drive.TOP / "playbooks" / "rotate.yml", **asked)

    for hit in drive.hits(3, 30, kill, earliest=6):
        print(hit)
        # Python of the run may still end its step on the host.
        time.sleep(5)
        run = rotate(copies=tmp_path, swarm_rotate=["unlock-key", "ca"])
        assert run.code == 0, run.text[-4000:]
        assert copy_of(tmp_path, "unlock-key") == secrets()["unlock-key"]
        assert copy_of(tmp_path, "ca").startswith(ca())
        assert not list(tmp_path.rglob("*.part"))
    drive.assert_whole()
