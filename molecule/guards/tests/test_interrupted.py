# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Edits whose run is killed, or that two people run at the same time.

MEMBERSHIP_KILLS is the number of kills, SEED repeats a series.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import ENVIRONMENT, SEED, SITE, Run, command, hits, killed, ssh, wait_until
from members import BASE, Inventory, begin_with, labels_of, members, rows, settled

KILLS = int(os.environ.get("MEMBERSHIP_KILLS", "1"))
EXTRA: dict[str, Any] = {"swarm_removal_limit": 0.5}
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
    with capsys.disabled():
        print(f"\nSEED={SEED}")
    begin_with(BASE)
    edits = itertools.cycle([(mixed(), MIXED), (base(), BASE)])
    edit, expected = base(), BASE

    def kill(moment: float) -> str:
        """If an edit ended before the kill, the next kill hits the edit back."""
        nonlocal edit, expected
        edit, expected = next(edits)
        return killed(moment, inventory=edit.write(), **EXTRA)

    for hit in hits(KILLS, 30.0, kill, earliest=2.0):
        run = edit.run(**EXTRA)
        assert run.code == 0, f"after a kill at {hit} (SEED={SEED}): {run.text[-5000:]}"
        settled(edit, **EXTRA)
        whole(expected)
        did = ", ".join(" ".join(row.split()[1:3]) for row in rows(run, "PLAN")) or "nothing"
        with capsys.disabled():
            print(f"killed after {hit}: the next run did {did}")


# The failures that are allowed when two runs meet: the swarm has changed since the plan was made.
MET = {"out_of_sequence", "not_found", "conflict", "refused", "timeout", "not_ready"} | {
    "no_quorum",
    "drain_timeout",
    "drain_failed",
    # If the acting manager cannot do its part, site.yml fails with its message alone, after the verdict.
    "without code",
}


def test_two_runs_at_once() -> None:
    """Both runs succeed, or one reports the conflict. The next run finds a complete swarm."""
    begin_with(BASE)
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
    runs = [Run(process.returncode, text) for process, text in zip(both, texts)]
    for run in runs:
        assert "Traceback (most recent call last)" not in run.text
        assert run.code == 0 or run.failures, run.text[-4000:]
        assert run.failures <= MET, f"{run.failures}: {run.text[-4000:]}"
        if "without code" in run.failures:
            assert re.search(r'^fatal: .*"msg": "Could not ', run.text, re.MULTILINE), run.text[
                -4000:
            ]
            assert "NOT DONE" in run.text, run.text[-4000:]
    assert any(run.code == 0 for run in runs), texts[0][-3000:] + texts[1][-3000:]
    after = edit.run(**EXTRA)
    assert after.code == 0, after.text[-4000:]
    settled(edit, **EXTRA)
    whole(MIXED)
    assert labels_of("w2") == {"disk": "ssd", "zone": "b"}
