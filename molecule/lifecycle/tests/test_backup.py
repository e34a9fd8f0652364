# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runbook docs/runbooks/back_up.md: backups under autolock, by a playbook and by a timer, while runs and hosts are killed."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import drills
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_der_private_key
from drills import drive, soak

NOW = "flotilla-swarm-backup-now.service"
TIMED = "flotilla-swarm-backup.service"
FOLDER = "/var/backups/flotilla.swarm"
NOTE = "/var/lib/flotilla.swarm/backup.json"
KILLS = int(os.environ.get("BACKUP_KILLS", "4"))


def on(host: str, *words: str, stdin: str = "") -> bytes:
    """A command on a host, with something on its standard input."""
    done = subprocess.run(
        ["docker", "exec", "-i", f"{drive.PREFIX}-{host}", *words],
        input=stdin.encode(),
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def identity() -> Iterator[str]:
    """The identity that decrypts the backups of these tests, in memory alone. The swarm is autolocked."""
    drills.begin()
    # All that the role installs, so that it has nothing to do here. On the other managers, it does it.
    drills.install("m1", "age", "python3-nacl", "python3-cryptography")
    drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, f"rm -rf {FOLDER}"))
    made = on("m1", "age-keygen").decode()
    drive.ssh("m1", "docker swarm update --autolock=true > /dev/null")
    yield made
    unlock()
    drive.ssh(
        "m1",
        "docker swarm update --autolock=false > /dev/null; docker config rm flotilla.swarm.backup; true",
    )
    script = f"systemctl disable --now flotilla-swarm-backup.timer 2> /dev/null; rm -rf {FOLDER}"
    drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, script))


def recipient(identity: str) -> str:
    found = re.search(r"age1[0-9a-z]+", identity)
    assert found
    return found.group()


def unlock_key() -> str:
    return next(
        key
        for host in drive.MANAGERS
        if (key := drive.ssh(host, "docker swarm unlock-key -q 2> /dev/null", check=False).strip())
    )


def unlock() -> None:
    """Unlock what a failed test has left locked."""
    for host in drive.MANAGERS:
        if state(host) == "locked":
            # Right after its start, an engine can lose its overlay networks by it.
            time.sleep(2)
            on(host, "docker", "swarm", "unlock", stdin=unlock_key())


def state(host: str) -> str:
    return drive.ssh(
        host, "docker info --format '{{.Swarm.LocalNodeState}}' 2> /dev/null", check=False
    ).strip()


def engine_is_stopped(host: str) -> bool:
    return drive.ssh(host, "systemctl is-active docker; true").strip() != "active"


def starts() -> dict[str, str]:
    """The run of the engine that each manager is in, by systemd's ID of it."""
    return drive.on_each(
        drive.MANAGERS,
        lambda host: drive.ssh(host, "systemctl show -P InvocationID docker").strip(),
    )


def restarted(before: dict[str, str]) -> list[str]:
    return [host for host, run in starts().items() if run != before[host]]


def files(host: str) -> list[str]:
    return drive.ssh(host, f"find {FOLDER} -type f -printf '%f\\n' 2> /dev/null; true").split()


def raft_files() -> dict[str, list[str]]:
    """The raft backups that are complete, by the manager that has them."""
    found = drive.on_each(drive.MANAGERS, files)
    return {
        host: [
            name
            for name in names
            if name.endswith(".tar.age") and name.replace(".tar.age", ".meta.json") in names
        ]
        for host, names in found.items()
    }


def in_service() -> bool:
    """All nodes are active and run their tasks, no spec has a trace of a drain, and no run is in progress."""
    try:
        return _in_service()
    except AssertionError:
        # The manager that is asked can be the one whose engine is stopped.
        return False


def _in_service() -> bool:
    nodes = drive.nodes()
    replicas = drive.ssh("m1", "docker service ls --format '{{.Replicas}}'").split()
    services = drive.ssh("m1", "docker service inspect $(docker service ls -q)")
    notes = drive.on_each(
        drive.MANAGERS, lambda host: drive.ssh(host, f"ls {NOTE} 2> /dev/null; true")
    )
    return (
        all(
            node["Status"]["State"] == "ready"
            and node["Spec"]["Availability"] == "active"
            and not {"flotilla.swarm.drained", "flotilla.swarm.moving"}
            & set(node["Spec"]["Labels"])
            and node.get("ManagerStatus", {}).get("Reachability", "reachable") == "reachable"
            for node in nodes.values()
        )
        and len(nodes) == len(drive.HOSTS)
        # An engine without its overlay networks runs no task of them.
        and {"3/3", "5/5"} == set(replicas)
        and "flotilla.swarm.moving" not in services
        and "node.id!=" not in services
        and not any(notes.values())
    )


def assert_no_secret(*secrets: str) -> None:
    """No key is in a file that the collection writes on a manager, or in its journal."""
    words = ("SWMKEY-1-", "AGE-SECRET-KEY-", *secrets)
    places = f"{FOLDER} /var/lib/flotilla.swarm /etc/flotilla.swarm /etc/systemd/system /run/flotilla.swarm /tmp"
    options = " ".join(f"-e '{word}'" for word in words)
    script = f"grep -rlF {options} {places} 2> /dev/null; true"
    assert set(drive.on_each(drive.MANAGERS, lambda host: drive.ssh(host, script)).values()) == {""}
    journals = drive.on_each(
        drive.MANAGERS, lambda host: drive.ssh(host, "journalctl -o cat --no-pager")
    )
    for host, journal in journals.items():
        # The compiled code of modules and the messages of raft_key.py name the form of a key, but have none.
        assert not re.search(r"(SWMKEY-1-|AGE-SECRET-KEY-)[A-Za-z0-9+/]{20}", journal), host
        assert not any(secret in journal for secret in secrets), host


@contextmanager
def arguments_watched(host: str) -> Iterator[list[str]]:
    """The arguments and variables of processes with a key in them. The list is complete when the block ends."""
    script = (
        "trap 'exit 0' TERM; while :; do grep -lazE 'SWMKEY-1-[A-Za-z0-9]{9}|AGE-SECRET-KEY-1[A-Z0-9]{9}' "
        "/proc/[0-9]*/cmdline /proc/[0-9]*/environ 2> /dev/null; sleep 0.3; done"
    )
    mark = f"/run/watch-{os.getpid()}"
    watcher = subprocess.Popen(
        ["docker", "exec", f"{drive.PREFIX}-{host}", "sh", "-c", f"echo $$ > {mark}; {script}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    found: list[str] = []
    try:
        yield found
    finally:
        drive.ssh(host, f"kill $(cat {mark}); rm {mark}")
        found += (watcher.communicate(timeout=30)[0] or "").split()


def opens(sealed: str, key: str) -> bool:
    """Whether the unlock key opens the private key of a node, with nothing of the collection."""
    body = "".join(
        line for line in sealed.splitlines() if line and ":" not in line and "-" * 5 not in line
    )
    passphrase = base64.b64decode(key.removeprefix("SWMKEY-1-") + "=")
    try:
        load_der_private_key(base64.b64decode(body), passphrase)
    except ValueError:
        return False
    return True


def test_a_backup_under_autolock(identity: str, tmp_path: Path) -> None:
    """One raft backup: who acts, what it has, and that autolock, services and secrets are as before."""
    key, before, leader = unlock_key(), starts(), drive.leader_on("m1")
    asked = {
        "swarm_backup_recipients": [recipient(identity)],
        "swarm_backup_fetch_to": str(tmp_path),
    }
    with drive.watched("m1" if leader == "m1" else leader) as looks:
        run = drills.playbook("back_up", **asked)
    assert run.code == 0, run.text[-4000:]
    assert run.failures == set()
    # One manager that is not the leader has stopped, and no service was short.
    acting = restarted(before)
    assert len(acting) == 1
    assert acting != [leader]
    assert any(
        "is not the leader" in line for line in run.text.splitlines() if line.startswith("PLAN")
    )
    assert looks
    assert min(look["shop_web"].running for look in looks) >= 3
    drive.wait_until(in_service, 60)
    # Autolock stayed on, and a manager that restarts is locked.
    assert drills.autolock_is_on()
    assert "ENCRYPTED" in drive.ssh(
        acting[0], "cat /var/lib/docker/swarm/certificates/swarm-node.key"
    )
    # What was fetched is what the manager has.
    cluster = drive.cluster_ids().pop()
    listed = sorted(path.name for path in (tmp_path / cluster).iterdir())
    assert listed == sorted(files(acting[0]))
    print(
        subprocess.run(
            ["ls", "-l", str(tmp_path / cluster)], capture_output=True, text=True, check=True
        ).stdout
    )
    raft = next(path for path in (tmp_path / cluster).iterdir() if path.name.endswith(".tar.age"))
    content = raft.read_bytes()
    digest = drive.ssh(acting[0], f"sha256sum {FOLDER}/{cluster}/{raft.name}").split()[0]
    meta = json.loads((raft.parent / raft.name.replace(".tar.age", ".meta.json")).read_text())
    assert meta["sha256"] == digest
    assert meta["key_needed"] is True
    assert meta["autolock"] is True
    assert oct(raft.stat().st_mode & 0o777) == "0o600"
    modes = drive.ssh(
        acting[0], f"stat -c '%a %U' {FOLDER} {FOLDER}/{cluster} {FOLDER}/{cluster}/*"
    )
    assert set(modes.splitlines()) == {"700 root", "600 root"}
    # It is encrypted.
    assert content.startswith(b"age-encryption.org/v1\n")
    assert not any(
        word in content for word in (b"raft", b"swarm", b"PRIVATE KEY", drills.SECRET.encode())
    )
    # And complete: the log of raft, and the key of the node, which the unlock key opens.
    plain = on(
        acting[0], "age", "-d", "-i", "-", "--", f"{FOLDER}/{cluster}/{raft.name}", stdin=identity
    )
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        sizes = {member.name: member.size for member in tar}
        key_file = tar.extractfile("swarm/certificates/swarm-node.key")
        assert key_file is not None
        sealed = key_file.read().decode()
    assert any(re.fullmatch(r"swarm/raft/wal-v3-encrypted/\S+\.wal", name) for name in sizes)
    assert opens(sealed, key)
    assert not opens(sealed, key[:-3] + ("AAA" if key[-3:] != "AAA" else "BBB"))
    assert_no_secret(key)


@soak
def test_check_mode_says_what_the_run_does_and_a_restarted_manager_is_locked(identity: str) -> None:
    def steps(run: drive.Run) -> list[str]:
        return [line for line in run.plan if line[:1] in "+-~!"]

    before, had = starts(), drive.on_each(drive.MANAGERS, files)
    asked = {"swarm_backup_recipients": recipient(identity)}
    planned = drills.playbook("back_up", "--check", **asked)
    assert planned.code == 0, planned.text[-3000:]
    assert restarted(before) == []
    assert drive.on_each(drive.MANAGERS, files) == had
    run = drills.playbook("back_up", **asked)
    assert run.code == 0, run.text[-3000:]
    assert steps(run) == steps(planned)
    host = restarted(before)[0]
    drive.ssh(host, "systemctl restart docker")
    drive.wait_until(lambda: state(host) == "locked", 60)
    unlock()
    drive.wait_until(in_service, 90)


@soak
def test_an_unlock_key_that_does_not_open_the_backup_is_refused(identity: str) -> None:
    before, had, key = starts(), raft_files(), unlock_key()
    wrong = "SWMKEY-1-" + base64.b64encode(bytes(range(32))).decode().rstrip("=")
    for given, flags in ((wrong, ["--check"]), (wrong, []), ("nonsense", [])):
        # Not by drills.playbook: the message says what form a key has.
        run = drive.play(
            *flags,
            playbook=drive.TOP / "playbooks" / "back_up.yml",
            swarm_backup_recipients=recipient(identity),
            swarm_unlock_key=given,
        )
        assert run.code != 0
        assert run.failures == {"wrong_unlock_key"}
        assert given not in run.text
        assert key not in run.text
    assert restarted(before) == []
    assert raft_files() == had
    run = drills.playbook(
        "back_up", "-vvv", swarm_backup_recipients=recipient(identity), swarm_unlock_key=key
    )
    assert run.code == 0
    assert key not in run.text
    drive.wait_until(in_service, 60)


@soak
def test_old_backups_are_deleted_and_nothing_else(identity: str, tmp_path: Path) -> None:
    cluster = drive.cluster_ids().pop()
    days = [f"2026010{day}T000000Z" for day in range(1, 6)]
    old = [f"raft-{day}-m1.{ending}" for day in days for ending in ("tar.age", "meta.json")]
    others = ["notes.txt", "raft-latest.tar.age", "export-x.json", ".hidden"]
    (tmp_path / cluster).mkdir()
    (tmp_path / "othercluster").mkdir()
    (tmp_path / "othercluster" / old[0]).touch()
    for name in (*old, *others):
        (tmp_path / cluster / name).touch()
    for host in drive.MANAGERS:
        names = " ".join((*old, *others))
        drive.ssh(host, f"mkdir -p {FOLDER}/{cluster} && cd {FOLDER}/{cluster} && touch {names}")
    asked: dict[str, Any] = dict(
        swarm_backup_recipients=recipient(identity),
        swarm_backup_fetch_to=str(tmp_path),
        swarm_backup_keep_count=3,
    )
    before, had = starts(), raft_files()
    planned = drills.playbook("back_up", "--check", **asked)
    assert raft_files() == had
    run = drills.playbook("back_up", **asked)
    assert run.code == 0, run.text[-3000:]
    host = restarted(before)[0]
    assert planned.text.count("- delete") == run.text.count("- delete") > 0
    kept = raft_files()[host]
    assert len(kept) == 3
    assert set(others) <= set(files(host))
    assert not set(old[:2]) & set(files(host))
    here = [path.name for path in (tmp_path / cluster).iterdir()]
    assert sum(name.endswith(".tar.age") for name in here if name not in others) == 3
    assert set(others) <= set(here)
    assert (tmp_path / "othercluster" / old[0]).exists()


@soak
def test_a_backup_is_refused_where_the_quorum_has_no_margin_or_a_container_would_stay_stopped(
    identity: str,
) -> None:
    asked = {"swarm_backup_recipients": recipient(identity)}
    leader = drive.leader_on("m1")
    down, left = [host for host in drive.MANAGERS if host != leader]
    drive.ssh(down, "systemctl stop docker.socket docker")
    try:
        drive.wait_until(
            lambda: (
                drive.nodes(leader).get(down) is None
                or drive.nodes(leader)[down]["ManagerStatus"]["Reachability"] != "reachable"
            ),
            60,
        )
        before = starts()
        for flags in (["--check"], []):
            run = drills.playbook("back_up", *flags, **asked)
            assert run.code != 0
            assert "refused" in run.failures
            assert "add quorum to swarm_backup_accepted_risks" in run.text
        assert starts() == before
    finally:
        drive.ssh(down, "systemctl start docker.socket docker")
        drive.wait_until(lambda: state(down) == "locked", 60)
        unlock()
    drive.wait_until(in_service, 90)
    drive.ssh(left, "docker run -d --name bystander registry.lab:5000/hello:1 > /dev/null")
    drive.ssh(down, "docker run -d --name bystander registry.lab:5000/hello:1 > /dev/null")
    try:
        run = drills.playbook("back_up", **asked)
        assert run.failures == {"refused"}
        assert "bystander" in run.text
    finally:
        for host in (left, down):
            drive.ssh(host, "docker rm -f bystander > /dev/null")


def prepare(identity: str, place: Path) -> None:
    """The managers as the role leaves them, as its README has it: with the programs, and without a timer."""
    role = {
        "hosts": "swarm_managers",
        "gather_facts": False,
        "roles": ["flotilla.swarm.swarm_backup"],
        "vars": {"swarm_backup_recipients": [recipient(identity)]},
    }
    playbook = place / "prepare.yml"
    playbook.write_text(yaml.safe_dump([role]), encoding="utf-8")
    run = drive.play(playbook=playbook)
    assert run.code == 0, run.text[-3000:]


@soak
def test_the_timer_elapses_on_all_managers_and_one_acts(identity: str, tmp_path: Path) -> None:
    def set_timer(schedule: str) -> None:
        options = {"recipients": [recipient(identity)], "schedule": schedule}
        found = drive.on_each(
            drive.MANAGERS, lambda host: drive.module(host, "swarm_backup_timer", **options)
        )
        assert all("failure" not in result for result in found.values()), found

    def soon(seconds: int) -> str:
        return drive.ssh("m1", f"date -d '+{seconds} seconds' '+%Y-%m-%d %H:%M:%S'").strip()

    def ended() -> bool:
        states = drive.on_each(
            drive.MANAGERS,
            lambda host: drive.ssh(host, f"systemctl is-active {TIMED}; true").strip(),
        )
        return set(states.values()) <= {"inactive", "failed"}

    def said(host: str, since: str) -> str:
        return drive.ssh(host, f"journalctl -u {TIMED} -o cat --no-pager --since '{since}'")

    prepare(identity, tmp_path)
    # The controller has no part in it.
    before, had, since = starts(), raft_files(), soon(0)
    set_timer(soon(90))
    drive.wait_until(lambda: len(restarted(before)) > 0, 400)
    drive.wait_until(ended, 300)
    acting = restarted(before)
    assert len(acting) == 1
    journals = {host: said(host, since) for host in drive.MANAGERS}
    assert [host for host, text in journals.items() if "backup complete" in text] == acting
    made = {host: len(names) - len(had[host]) for host, names in raft_files().items()}
    assert made == {host: int(host in acting) for host in drive.MANAGERS}
    assert drills.autolock_is_on()
    drive.wait_until(in_service, 60)
    # A frozen manager does not stop backups: without a margin there is no raft backup, and there is still an export.
    since, had_files = soon(0), drive.on_each(drive.MANAGERS, files)
    set_timer(soon(90))
    others = [host for host in drive.MANAGERS if host not in acting]
    with drive.stopped(acting[0]):
        drive.wait_until(lambda: any("no raft backup" in said(host, since) for host in others), 180)
        new = {host: set(files(host)) - set(had_files[host]) for host in others}
        assert sorted(
            len([n for n in names if n.endswith(".json.age")]) for names in new.values()
        ) == [0, 1]
        assert not any(name.endswith(".tar.age") for names in new.values() for name in names)
    drive.wait_until(ended, 300)
    set_timer("")
    for host in drive.MANAGERS:
        assert "not-found" in drive.ssh(
            host,
            "systemctl is-enabled flotilla-swarm-backup.timer 2>&1; systemctl show -P LoadState flotilla-swarm-backup.timer; true",
        )
    drive.wait_until(in_service, 120)


@soak
def test_whatever_is_killed_the_engine_runs_and_the_next_run_makes_a_backup(
    identity: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """BACKUP_KILLS is the number of kills of each kind, SEED repeats a series."""
    chance = random.Random(drive.SEED)
    asked: dict[str, Any] = {"swarm_backup_recipients": recipient(identity)}
    playbook = drive.TOP / "playbooks" / "back_up.yml"
    command = drive.command(playbook, **asked)

    def working() -> str:
        """The manager on which the service of the playbook is at work."""
        found = drive.on_each(
            drive.MANAGERS, lambda host: drive.ssh(host, f"ls {NOTE} 2> /dev/null; true")
        )
        return next((host for host, note in found.items() if note.strip()), "")

    with capsys.disabled():
        print(f"\nSEED={drive.SEED}")
    for number in range(KILLS):
        before, had = starts(), sum(map(len, raft_files().values()))
        process = subprocess.Popen(
            command,
            env=drive.ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        host = drive.wait_until(working, 120, longest=0.5)
        if number % 2 == 0:
            # While the engine is stopped, which is the worst moment, or at any other.
            if number % 4 == 0:
                drive.wait_until(partial(engine_is_stopped, host), 90, longest=0.2)
            else:
                time.sleep(chance.uniform(0, 8))
            drive.ssh(host, f"systemctl kill -s KILL {NOW}")
            what = f"the service on {host}"
            process.wait(300)
            assert process.returncode != 0
        else:
            time.sleep(chance.uniform(0, 8))
            os.killpg(process.pid, 9)
            process.wait()
            # With pipelining, a module is an interpreter without arguments.
            drive.ssh(host, "pkill -9 -f '^/usr/bin/python3$'; true")
            what = "Ansible and the module"
        with capsys.disabled():
            print(f"killed {what}; engines restarted: {restarted(before)}")
        # Nobody helps: the engine runs, the manager is unlocked and in service.
        drive.wait_until(in_service, 240)
        with arguments_watched(host) as leaks:
            run = drive.play(playbook=playbook, **asked)
        assert run.code == 0, run.text[-3000:]
        assert not leaks
        assert sum(map(len, raft_files().values())) > had
        assert drills.autolock_is_on()
        assert not [name for each in drive.MANAGERS for name in files(each) if "partial" in name]
        drive.wait_until(in_service, 60)
    assert_no_secret(unlock_key())
