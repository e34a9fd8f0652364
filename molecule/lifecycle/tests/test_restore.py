# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swarm comes back on fresh hosts, from an export and from a raft backup. The text is docs/runbooks/restore.md."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import drills
import drive
import pytest
from drills import SECRET, STACKS, playbook, soak

FOLDER = "/var/backups/swarm"
# The data as the vault has it: the newline at the end counts.
VAULT = {"shop_token": f"{SECRET}\n"}


@pytest.fixture(scope="module", autouse=True)
def _swarm() -> None:
    drills.begin()


def on_host(host: str, *words: str, stdin: bytes = b"") -> bytes:
    """A command on a host, with its input and output as bytes."""
    done = subprocess.run(
        ["docker", "exec", "-i", f"{drive.PREFIX}-{host}", *words],
        input=stdin,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{host}: {words[0]}: {done.stderr.decode()}"
    return done.stdout


def age_key(host: str, place: Path) -> str:
    """A new identity in a file on the controller; its recipient. The lab's machine needs no age."""
    drills.install(host, "age")
    identity = on_host(host, "age-keygen")
    path = place / "identity"
    path.write_bytes(identity)
    path.chmod(0o600)
    return on_host(host, "age-keygen", "-y", stdin=identity).decode().strip()


def fetched(host: str, place: Path) -> Path:
    """The backups of a host on the controller, in the same layout."""
    place.mkdir(exist_ok=True)
    archive = on_host(host, "tar", "-C", FOLDER, "-c", ".")
    subprocess.run(["tar", "-C", str(place), "-x"], input=archive, check=True)
    return place


def restore(place: Path, *flags: str, **extra: Any) -> drive.Run:
    return playbook(
        "restore",
        *flags,
        **{
            "swarm_restore_from": str(place / "backups"),
            "swarm_restore_identity_file": str(place / "identity"),
            "swarm_stack_stacks": STACKS,
            **extra,
        },
    )


def secrets_seen() -> set[str]:
    """What the tasks of the service web read as their secret, on all hosts."""
    script = "for id in $(docker ps -q -f name=shop_web); do docker exec $id cat /run/secrets/token; done"
    seen = drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, script))
    return {line for text in seen.values() for line in text.splitlines()}


def running() -> dict[str, str]:
    """The services, with how many of their tasks run."""
    lines = drive.ssh("m1", "docker service ls --format '{{.Name}} {{.Replicas}}'").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def assert_site_plans_nothing() -> None:
    run = drive.site("--check", swarm_stack_stacks=STACKS)
    assert run.changed == 0, run.text
    assert "as they should be" in run.text


def report(run: drive.Run, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        lines = run.text.splitlines()
        marks = ("PLAN", "  + ", "  ~ ", "  ! ", "VERDICT", "  degraded ", "  critical ")
        shown = [line for line in lines if line.startswith(marks)]
        print(
            "\n" + "\n".join([*shown, *(line for line in lines if "s after the run began" in line)])
        )


def nothing_lies_around() -> None:
    """No copy of the backup and no note is left, and no identity has ever been in a file of a host."""
    script = (
        "ls -d /var/lib/flotilla.swarm/restore* 2>/dev/null;"
        " grep -rl AGE-SECRET-KEY /root /tmp /var/lib/flotilla.swarm /var/log 2>/dev/null; true"
    )
    found = drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, script))
    assert set(found.values()) == {""}, found


def test_an_export_comes_back_as_a_new_swarm_on_fresh_hosts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipient = age_key("m1", tmp_path)
    # What no inventory has: a label set by hand, and a service outside all stacks that is bound to a node.
    drive.ssh(
        "m1",
        "docker node update --label-add rack=7 w1 >/dev/null && docker network create -d overlay back >/dev/null"
        " && docker service create -d --name loose --constraint node.labels.rack==7 --constraint node.id=="
        + drive.nodes()["w1"]["ID"]
        + " --network back --endpoint-mode dnsrr --secret shop_token registry.lab:5000/hello:1 >/dev/null",
    )
    taken = drive.module("m1", "swarm_export", path=FOLDER, recipients=[recipient])
    assert taken["changed"], taken
    backups = fetched("m1", tmp_path / "backups")
    before, old = running(), drive.cluster_ids()
    encrypted = next(backups.rglob("*.json.age")).read_bytes()
    assert encrypted.startswith(b"age-encryption.org/v1")
    assert b"shop_web" not in encrypted

    drive.reimage(*drive.HOSTS)
    # Nothing is made while data is missing: not even the swarm.
    refused = restore(tmp_path)
    assert refused.code == 2
    assert refused.failures == {"refused"}
    assert "the data of 1 secret is not given: shop_token (used by loose, shop_web)" in refused.text
    assert not drive.cluster_ids()
    nothing_lies_around()

    run = restore(tmp_path, swarm_restore_secrets=VAULT)
    assert run.code == 0, run.text[-6000:]
    report(run, capsys)
    assert "The plan of site.yml is empty." in run.text
    assert drive.cluster_ids().isdisjoint(old)
    assert running() == before | {"loose": "1/1"}
    assert secrets_seen() == {SECRET}
    found = drive.nodes()["w1"]
    assert found["Spec"]["Labels"]["rack"] == "7"
    constraints = json.loads(
        drive.ssh("m1", "docker service inspect loose --format '{{json .Spec.TaskTemplate.Placement.Constraints}}'")
    )  # fmt: skip
    assert f"node.id=={found['ID']}" in constraints
    nothing_lies_around()
    drive.ssh("m1", "docker service rm loose >/dev/null; docker node update --label-rm rack w1")
    assert_site_plans_nothing()


@soak
def test_a_raft_backup_of_a_locked_swarm_comes_back_on_hosts_with_the_old_addresses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also after a run that was killed with kill -9 at a random moment; SEED repeats it."""
    drills.begin()
    recipient = age_key("m1", tmp_path)
    drive.ssh("m1", "docker swarm update --autolock=true >/dev/null")
    key = drive.ssh("m1", "docker swarm unlock-key -q").strip()
    taken = playbook(
        "back_up",
        swarm_backup_recipients=[recipient],
        swarm_backup_fetch_to=str(tmp_path / "backups"),
        swarm_unlock_key=key,
    )
    assert taken.code == 0, taken.text[-6000:]
    before = running()
    drive.ssh("m1", "docker service create -d --name late registry.lab:5000/hello:1 >/dev/null")
    (cluster,) = drive.cluster_ids()
    asked: dict[str, Any] = {"swarm_restore_kind": "raft", "swarm_unlock_key": key}

    alive = restore(tmp_path, **asked)
    assert alive.code == 2
    assert f"is in swarm {cluster}, which has a leader" in alive.text
    assert f"set swarm_restore_confirm={cluster}, the ID of the swarm" in alive.text
    drive.reimage(*drive.HOSTS)
    other = "SWMKEY-1-" + "A" * 43
    wrong = restore(
        tmp_path,
        **{**asked, "swarm_unlock_key": other, "swarm_restore_confirm": cluster},
    )
    assert wrong.failures == {"wrong_unlock_key"}, wrong.text[-3000:]
    assert not drive.cluster_ids()
    nothing_lies_around()

    asked["swarm_restore_confirm"] = cluster
    for moment in drive.hits(1, 100.0, lambda after: killed(after, tmp_path, asked), 30.0):
        with capsys.disabled():
            print(f"\nSEED={drive.SEED}: killed after {moment}")
    run = restore(tmp_path, **asked)
    assert run.code == 0, run.text[-6000:]
    report(run, capsys)
    assert "The plan of site.yml is empty." in run.text
    assert drive.cluster_ids() == {cluster}
    drive.assert_whole()
    assert secrets_seen() == {SECRET}
    # What came after the backup is lost. What belongs to the backup itself is not restored.
    assert running() == before
    assert {node["Spec"]["Availability"] for node in drive.nodes().values()} == {"active"}
    record = drive.ssh("m1", "docker config inspect flotilla.swarm.backup")
    assert json.loads(json.loads(record)[0]["Spec"]["Labels"]["flotilla.swarm.backup"])["state"] == "done"  # fmt: skip
    # Autolock is on, with another key.
    assert drive.ssh("m1", "docker info -f '{{.Swarm.Cluster.Spec.EncryptionConfig.AutoLockManagers}}'").strip() == "true"  # fmt: skip
    new = drive.ssh("m1", "docker swarm unlock-key -q").strip()
    assert new not in ("", key)
    for host in drive.MANAGERS:
        head = drive.ssh(host, "cat /var/lib/docker/swarm/certificates/swarm-node.key")
        assert "ENCRYPTED" in head, host
    nothing_lies_around()
    assert_site_plans_nothing()


def killed(after: float, place: Path, asked: dict[str, Any]) -> str:
    """Kill a restore after so many seconds; its task."""
    return drive.killed(
        after,
        drive.TOP / "playbooks" / "restore.yml",
        swarm_restore_from=str(place / "backups"),
        swarm_restore_identity_file=str(place / "identity"),
        swarm_stack_stacks=STACKS,
        **asked,
    )
