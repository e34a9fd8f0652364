# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A worker whose engine has to be restarted before it can become a manager: its work is elsewhere before that.

An engine asks the manager by which it has joined, and nobody else, to let it in as a manager. So the tests begin with a
manager that does not answer, and a worker that joined by it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from drive import ENVIRONMENT, SITE, command, ssh, stopped
from members import (
    BASE,
    Inventory,
    back_to_base,
    begin_with_base,
    carried_out,
    labels_of,
    members,
    members_anywhere,
    node_of,
    promises_kept,
    rows,
    settled,
    tail,
    wait_until,
)

RULES = {"swarm_removal_down_after": 1, "swarm_accepted_risks": ["uneven_zones"]}


@pytest.fixture(scope="module", autouse=True)
def swarm() -> None:
    if members_anywhere() != BASE:
        begin_with_base()
    Inventory().run()


@contextmanager
def a_worker_that_joined_by_a_dead_manager() -> Iterator[tuple[str, str, Inventory]]:
    """That manager, another one, and the inventory in which the worker w3 takes its place."""
    Inventory().add("w3", "worker").run()
    note = json.loads(ssh("w3", "cat /var/lib/docker/swarm/docker-state.json"))
    gone = next(
        name
        for name, values in Inventory().hosts.items()
        if note["RemoteAddr"].startswith(f"{values['ansible_host']}:")
    )
    on = "m2" if gone != "m2" else "m3"
    with stopped(gone):
        wait_until(lambda: is_down(gone, on))
        # w3 was empty, so what ran on the dead manager runs there now.
        wait_until(lambda: tasks_on("w3", on))
        yield gone, on, Inventory().drop(gone).add("w3", "manager")
    ssh(gone, "docker swarm leave --force")
    back_to_base()
    assert members() == BASE


def is_down(name: str, on: str) -> bool:
    # Where it led, nobody answers for a while.
    with contextlib.suppress(AssertionError):
        return "down" in members(on)[name]
    return False


def tasks_on(name: str, on: str) -> list[str]:
    """The services of the tasks that run on a node, one entry a task."""
    command = f"docker node ps {name} --filter desired-state=running --format '{{{{.Name}}}} {{{{.CurrentState}}}}'"
    lines = ssh(on, command).splitlines()
    return [line.split(".")[0] for line in lines if " Running" in line]


def killed_at(task: str, inventory: Inventory, **extra: Any) -> None:
    """A run that gets kill -9, with all its processes, as soon as it begins with a task."""
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            command(SITE, inventory=inventory.write(), **extra),
            env=ENVIRONMENT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        path = Path(output.name)
        wait_until(lambda: task in path.read_text(encoding="utf-8") or process.poll() is not None)
        assert process.poll() is None, path.read_text(encoding="utf-8")[-3000:]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_work_moves_before_the_engine_is_restarted() -> None:
    with a_worker_that_joined_by_a_dead_manager() as (gone, on, inventory):
        there = tasks_on("w3", on)
        wait_until(lambda: len(tasks_on("w3", on)) == len(there))
        with promises_kept(on):
            plan = carried_out(inventory, **RULES)
        assert [line.split(" ")[:3] for line in plan] == [
            ["-", "remove", gone],
            ["~", "promote", "w3"],
        ]
        assert "its engine restarted first (it joined by " in plan[1]
        assert "moves shop_" in plan[1]
        assert members(on)["w3"] == "manager"
        assert labels_of("w3", on) == {"zone": "c"}


def test_a_run_that_is_killed_while_the_engine_restarts_is_finished_by_the_next() -> None:
    with a_worker_that_joined_by_a_dead_manager() as (_gone, on, inventory):
        killed_at("Restart engines", inventory, **RULES)
        spec = node_of("w3", on)["Spec"]
        assert spec["Availability"] == "drain"
        assert spec["Labels"]["flotilla.swarm.restarting"] == "active"
        run = inventory.run(**RULES)
        assert run.code == 0, tail(run)
        assert next(line.split(" ")[1] for line in rows(run, "DONE")) == "promote"
        assert members(on)["w3"] == "manager"
        assert "flotilla.swarm.restarting" not in node_of("w3", on)["Spec"]["Labels"]
        settled(inventory, **RULES)
