# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits whose run is killed, or that two people run at the same time.

MEMBERSHIP_KILLS is the number of kills, MEMBERSHIP_SEED repeats a series.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from drive import ENVIRONMENT, SITE, command, killed, ssh
from members import BASE, Inventory, labels_of, members, rows, settled, wait_until

KILLS = int(os.environ.get("MEMBERSHIP_KILLS", "2"))
EXTRA = {"swarm_removal_limit": 0.5}
MIXED = {
    "m1": "manager",
    "m2": "manager",
    "m3": "worker",
    "w2": "worker",
    "w3": "manager",
    "w4": "worker",
}


def mixed() -> Inventory:
    """A host joins as a manager, one as a worker, a manager becomes a worker, a worker goes, labels change."""
    return (
        Inventory(MIXED)
        .set("w2", swarm_labels={"disk": "ssd"})
        .set("m3", swarm_availability="drain")
    )


def base() -> Inventory:
    return Inventory().set("m3", swarm_availability="active")


def whole(expected: dict[str, str]) -> None:
    # A demoted or killed engine's last heartbeat may be some seconds old.
    wait_until(lambda: {name: state.split()[0] for name, state in members().items()} == expected)
    wait_until(lambda: "2/2" in ssh("m2", "docker service ls --filter name=shop_stock"))
    wait_until(lambda: "4/4" in ssh("m2", "docker service ls --filter name=shop_web"))
    specs = ssh("m2", "docker service inspect shop_web shop_stock -f '{{json .Spec}}'")
    assert "node.id" not in specs
    assert "flotilla.swarm" not in specs


def test_a_killed_edit_is_finished_by_the_next_run(capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("MEMBERSHIP_SEED", time.time()))
    chance = random.Random(seed)
    run = base().run(**EXTRA)
    assert run.code == 0, run.text[-5000:]
    report = []
    length = 30.0
    for count in range(KILLS):
        edit, expected = (mixed(), MIXED) if count % 2 == 0 else (base(), BASE)
        moment = chance.uniform(2.0, length)
        started = time.monotonic()
        hit = killed(moment, inventory=edit.write(), **EXTRA)
        if not hit:
            length = time.monotonic() - started
        run = edit.run(**EXTRA)
        assert run.code == 0, f"after a kill at {moment:.1f} s (seed {seed}): {run.text[-5000:]}"
        settled(edit, **EXTRA)
        whole(expected)
        did = ", ".join(" ".join(row.split()[1:3]) for row in rows(run, "PLAN")) or "nothing"
        report.append(f"{moment:.1f} s{'' if hit else ' (had ended)'}: left {did}")
    with capsys.disabled():
        print(f"\nkilled (seed {seed}), each finished by the next run:\n  " + "\n  ".join(report))
    assert base().run(**EXTRA).code == 0
    whole(BASE)


def test_two_runs_at_once() -> None:
    """Both end right, or one says what was in its way; a run after them finds a swarm that is whole."""
    edit = mixed()
    path = edit.write()
    both = [
        subprocess.Popen(
            command(SITE, inventory=path, **EXTRA),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _which in range(2)
    ]
    texts = [run.communicate(timeout=600)[0] for run in both]
    for run, text in zip(both, texts):
        assert "Traceback (most recent call last)" not in text
        assert run.returncode == 0 or "Could not" in text or "did not" in text, text[-4000:]
    assert any(run.returncode == 0 for run in both), texts[0][-3000:] + texts[1][-3000:]
    after = edit.run(**EXTRA)
    assert after.code == 0, after.text[-4000:]
    settled(edit, **EXTRA)
    whole(MIXED)
    assert labels_of("w2") == {"disk": "ssd", "zone": "b"}
    assert base().run(**EXTRA).code == 0
    whole(BASE)
