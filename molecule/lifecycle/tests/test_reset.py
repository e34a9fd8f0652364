# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swarm is dismantled, whatever state it is in, and only if its ID confirms it. docs/runbooks/reset.md has the steps."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from drills import begin, playbook, soak

RESET = drive.TOP / "playbooks" / "reset.yml"
KILLS = int(os.environ.get("RESET_KILLS", "3"))
FOLDER = "/var/lib/flotilla.swarm"


@pytest.fixture(autouse=True)
def swarm() -> Iterator[None]:
    begin()
    yield
    # What a failed drill has left: an engine that is frozen, volumes.
    tidy = "pkill -CONT dockerd; docker volume rm -f rs_data rs_shared; true"
    drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, tidy))


def reset(*flags: str, inventory: Path = drive.INVENTORY, **more: Any) -> drive.Run:
    return playbook(
        "reset", *flags, inventory=inventory, **{f"swarm_reset_{k}": v for k, v in more.items()}
    )


def show(run: drive.Run) -> None:
    print("\n".join(re.findall(r"^(?:PLAN|RESULT|  [-!=x ] ).*$", run.text, re.MULTILINE)))


def the_id() -> str:
    (cluster_id,) = drive.cluster_ids()
    return cluster_id


def state(host: str) -> str:
    return drive.ssh(host, "docker info --format '{{.Swarm.LocalNodeState}}'").strip()


def assert_out_of_swarm() -> None:
    """Every engine runs and is in no swarm; no port, container, file or note of it is left. Backups and safety copies stay."""
    assert set(drive.on_each(drive.HOSTS, state).values()) == {"inactive"}
    ask = (
        "ss -Hlntup | grep -E ':(2377|7946|4789)\\b'; ls -A /var/lib/docker/swarm;"
        f" docker ps -aq --filter label=com.docker.swarm.task.id; find {FOLDER} -maxdepth 1 -type f 2>/dev/null; true"
    )
    assert set(drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, ask)).values()) == {""}


def engine_and_data(host: str) -> str:
    """The second is a mount, so the folder stays; Debian's package leaves a script in it."""
    left = "ls /var/lib/docker 2>/dev/null | grep -v nuke-graph-directory.sh"
    return drive.ssh(host, f"command -v dockerd; {left}; ls /var/lib/containerd 2>/dev/null; true")


def test_a_reset_dismantles_the_swarm(tmp_path: Path) -> None:
    cluster_id = the_id()
    drive.ssh("w1", "docker volume create rs_data")
    # An engine that was killed, and that then has no task, leaves the namespaces of overlay networks behind, which keep the port.
    drive.ssh("w1", "systemctl kill -s KILL docker")
    drive.ssh("m1", "docker node update --availability drain w1")
    drive.wait_until(lambda: state("w1") == "active")
    drive.wait_until(drive.is_whole)
    check = reset("--check")
    assert check.code == 0, check.text
    unconfirmed = reset()
    assert unconfirmed.code == 2
    assert unconfirmed.failures == {"not_confirmed"}
    assert f"-e swarm_reset_confirm={cluster_id}" in unconfirmed.text
    assert unconfirmed.plan == check.plan
    with drive.changed_inventory(
        lambda groups: groups["swarm_workers"]["hosts"].pop("w2"), tmp_path / "inventory"
    ) as inventory:
        refused = reset(inventory=inventory, confirm=cluster_id)
    assert "the inventory does not list w2" in refused.refusal
    assert drive.is_whole()

    run = reset(confirm=cluster_id)
    show(run)
    assert run.code == 0, run.text[-5000:]
    assert run.plan == check.plan
    assert re.search(
        r"lost with the swarm: .*2 services \(shop_agent, shop_web\), 1 secret \(shop_token\)",
        run.text,
    )
    # Other drills may have left volumes too.
    assert re.search(r"volumes stay on the hosts: .*w1 [1-9]", run.text)
    assert_out_of_swarm()
    assert "rs_data" in drive.ssh("w1", "docker volume ls -q; docker volume rm rs_data")
    again = reset()
    assert again.code == 0, again.text
    assert again.changed == 0


@soak
def test_a_locked_swarm_without_a_quorum_and_with_a_frozen_engine() -> None:
    cluster_id = the_id()
    drive.ssh("m1", "docker swarm update --autolock=true")
    drive.on_each(("m2", "m3"), lambda host: drive.ssh(host, "systemctl restart docker"))
    assert {state("m2"), state("m3")} == {"locked"}
    # The second one was left frozen; systemd continues it to stop it.
    drive.ssh("w1", "pkill -STOP dockerd")
    check = reset("--check")
    show(check)
    assert check.code == 0, check.text
    assert "no manager sees a leader" in check.text
    assert "the engine of w1 does not answer" in check.text
    run = reset(confirm=cluster_id)
    show(run)
    assert run.code == 0, run.text[-5000:]
    assert_out_of_swarm()


@soak
def test_a_host_of_another_swarm_and_one_that_does_not_answer_are_refused() -> None:
    cluster_id = the_id()
    with drive.stopped("w2"):
        silent = reset(confirm=cluster_id)
        assert "w2 does not answer" in silent.refusal
    drive.ssh("w2", "docker swarm leave --force && docker swarm init --advertise-addr eth0")
    foreign = reset(confirm=cluster_id)
    assert "w2 is in another swarm" in foreign.refusal
    assert reset(confirm="vwabnma8z6ix8tom9jkh3ggij").code == 2
    assert reset("--limit", "m1", confirm=cluster_id).failures == {"refused"}
    assert len(drive.cluster_ids()) == 1


@soak
def test_a_host_that_was_silent_leaves_later() -> None:
    cluster_id = the_id()
    with drive.stopped("w2"):
        run = reset(confirm=cluster_id, accepted_risks=["unreachable_hosts"])
    show(run)
    assert run.code == 0, run.text[-5000:]
    assert "w2 does not answer" in run.text
    assert state("w2") != "inactive"
    # It still knows which swarm it was in, and the others know nothing any more.
    run = reset(confirm=cluster_id)
    show(run)
    assert run.code == 0, run.text[-5000:]
    assert_out_of_swarm()


@soak
@pytest.mark.parametrize("depth", ["engine", "data"])
def test_the_engine_and_its_data_go(depth: str) -> None:
    cluster_id = the_id()
    drive.ssh("w1", "docker volume create rs_data && touch /var/lib/docker/mine")
    # Behind a mount may be what other hosts use as well.
    drive.ssh(
        "w2",
        "mkdir -p /srv/shared && touch /srv/shared/theirs && docker volume create rs_shared"
        " && mount --bind /srv/shared /var/lib/docker/volumes/rs_shared/_data",
    )
    # An engine that was killed, and that does not start any more: its containers outlive it.
    drive.ssh("w1", "echo '{' > /etc/docker/daemon.json && pkill -9 -x dockerd")
    check = reset("--check", depth=depth)
    assert "the engine of w1 does not answer" in check.text
    assert drive.ssh("w1", "pgrep -x httpd"), "no container outlives the engine"
    run = reset(depth=depth, confirm=cluster_id)
    show(run)
    assert run.code == 0, run.text[-5000:]
    assert run.plan == check.plan
    ask = (
        "command -v dockerd containerd; pgrep 'dockerd|containerd|httpd';"
        f" ls -d /etc/docker/daemon.json {FOLDER} 2>/dev/null; ss -Hlntup | grep -E ':(2377|7946)\\b'; true"
    )
    assert set(drive.on_each(drive.HOSTS, lambda host: drive.ssh(host, ask)).values()) == {""}
    left = drive.ssh("w1", "ls /var/lib/docker /var/lib/docker/volumes 2>/dev/null; true").split()
    assert ("rs_data" in left) == (depth == "engine")
    # Nothing that is not the engine's goes with it.
    assert "mine" in left
    assert drive.ssh("w2", "ls /srv/shared").strip() == "theirs"
    again = reset(depth=depth, confirm="no-swarm")
    assert again.code == 0, again.text
    if depth == "data":
        assert again.changed == 0
    drive.ssh(
        "w2", "umount /var/lib/docker/volumes/rs_shared/_data 2>/dev/null; rm -rf /srv/shared"
    )
    drive.ssh("w1", "rm -f /var/lib/docker/mine")


@soak
@pytest.mark.parametrize("depth", ["swarm", "data"])
def test_a_run_that_is_killed_is_completed_by_the_next(
    depth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """RESET_KILLS is the number of kills, SEED repeats a series."""
    with capsys.disabled():
        print(f"\nSEED={drive.SEED}")
    cluster_id = ""

    def kill(moment: float) -> str:
        nonlocal cluster_id
        if not drive.is_whole():
            begin()
        cluster_id = the_id()
        asked = {"swarm_reset_confirm": cluster_id, "swarm_reset_depth": depth}
        return drive.killed(moment, playbook=RESET, **asked)

    # A plan takes as long as the first part of a run, on every machine.
    began = time.monotonic()
    reset("--check", depth=depth)
    first = time.monotonic() - began
    kills = 1 if depth == "data" else KILLS
    for hit in drive.hits(kills, (3 if depth == "swarm" else 5) * first, kill, earliest=first):
        with capsys.disabled():
            print(f"killed after {hit}")
        # What was started on the hosts can go on for a while.
        run = reset(depth=depth)
        confirm = cluster_id if cluster_id in run.text else "no-swarm"
        run = reset(depth=depth, confirm=confirm)
        assert run.code == 0, run.text[-5000:]
        if depth == "swarm":
            assert_out_of_swarm()
        else:
            seen = drive.on_each(drive.HOSTS, engine_and_data)
            assert set(seen.values()) == {""}, seen
