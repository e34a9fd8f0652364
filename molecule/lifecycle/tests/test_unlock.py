# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/runbooks/unlock.md: managers of a swarm with autolock that were restarted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any

import drills
import pytest
from drills import drive

WRONG = "SWMKEY-1-" + "A" * 43


@pytest.fixture(autouse=True, scope="module")
def lab() -> Iterator[None]:
    drills.begin()
    yield
    for host in drive.MANAGERS:
        key = drive.ssh(host, "docker swarm unlock-key -q", check=False).strip()
        if key:
            drive.ssh(host, "docker swarm update --autolock=false")


@pytest.fixture
def key() -> str:
    """The key of the swarm, with autolock on. It is in no output of a run."""
    drive.ssh("m1", "docker swarm update --autolock=true")
    return drive.ssh("m1", "docker swarm unlock-key -q").strip()


def playbook(name: str, key: str, *flags: str, **more: Any) -> drive.Run:
    """A run with the key in a file, as from a vault, because others can read the arguments of a command."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as given:
        # Services whose tasks the power cut has stopped take their time on a busy machine.
        settings = {
            "swarm_health_timeout": 300,
            "swarm_health_thresholds": drive.LATELY,
            "swarm_stack_stacks": drills.STACKS,
        }
        json.dump({"swarm_unlock_key": key, **settings}, given)
        given.flush()
        return drills.playbook(name, "-e", f"@{given.name}", *flags, **more)


def states() -> set[str]:
    return {drills.state(host) for host in drive.MANAGERS}


def test_all_managers_are_locked_and_one_run_brings_the_swarm_back(key: str) -> None:
    drills.power_cut(*drive.MANAGERS)
    assert states() == {"locked"}

    run = playbook("site", WRONG)
    assert run.failures == {"refused"}
    assert "m1, m2, m3: could not be unlocked: the key given is not its key." in run.refusal
    assert WRONG not in run.text

    checked = playbook("site", key, "--check")
    assert checked.code == 0, checked.text[-4000:]
    assert checked.plan[0].split()[:5] == ["~", "unlock", "m1,", "m2,", "m3"]
    assert states() == {"locked"}

    run = playbook("site", key)
    assert run.code == 0, run.text[-6000:]
    print(run.text[run.text.index("PLAN  locked") :])
    assert run.plan == checked.plan
    assert run.verdict == "healthy", run.text[run.text.rindex("VERDICT") :]
    assert run.changed == len(drive.MANAGERS)
    assert states() == {"active"}
    drive.assert_whole()
    # Autolock is still on, with the same key.
    assert drive.ssh("m1", "docker swarm unlock-key -q").strip() == key


@drills.soak
def test_one_host_after_the_other_is_unlocked_too(key: str) -> None:
    """With one fork, no manager has a leader before the second one is unlocked."""
    drills.power_cut(*drive.MANAGERS)
    run = drills.playbook("site")
    assert run.failures == {"refused"}
    for host in drive.MANAGERS:
        assert f"{host} is locked" in run.refusal
    assert "set swarm_unlock_key" in run.refusal

    run = playbook("site", key, "--forks=1")
    assert run.code == 0, run.text[-6000:]
    drive.assert_whole()
    again = playbook("site", key)
    assert (again.code, again.changed) == (0, 0)


@drills.soak
def test_without_pipelining_no_key_is_in_a_file(key: str) -> None:
    drills.power_cut("m2")
    run = playbook("site", key, ansible_pipelining=False)
    assert run.failures == {"refused"}
    assert "into a temporary file" in run.refusal
    assert drills.state("m2") == "locked"
    assert playbook("site", key).code == 0


@drills.soak
def test_reboots_begin_with_unlocking(key: str) -> None:
    drills.power_cut("m2")
    checked = drills.playbook("reboot_nodes", "--check", swarm_reboot_nodes="m2")
    assert "unlock  m2" in checked.text
    # Another manager shows the key.
    run = drills.playbook("reboot_nodes", swarm_reboot_nodes="m2")
    assert run.code == 0, run.text[-4000:]
    assert states() == {"active"}
    drills.power_cut(*drive.MANAGERS)
    refused = drills.playbook("reboot_nodes", swarm_reboot_nodes="w1")
    assert refused.failures == {"refused"}
    assert "set swarm_unlock_key" in refused.text
    checked = playbook("reboot_nodes", key, "--check", swarm_reboot_nodes="w1")
    assert checked.code == 0, checked.text[-4000:]
    run = playbook("reboot_nodes", key, swarm_reboot_nodes="w1")
    assert run.code == 0, run.text[-4000:]
    drive.assert_whole()
