# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for the rounds in which site.yml changes the members."""

from __future__ import annotations

from pathlib import Path

import yaml

TASKS = Path(__file__).resolve().parents[3] / "roles" / "swarm" / "tasks"


def test_a_round_that_was_cut_short_does_not_keep_the_next_one_from_changing_the_nodes() -> None:
    """`__swarm_cut` comes from what these tasks register: before they run, it is that of the round before."""
    tasks = yaml.safe_load((TASKS / "nodes.yml").read_text(encoding="utf-8"))
    parts = [task for task in tasks if task.get("register") in ("__swarm_set", "__swarm_changed")]
    assert len(parts) == 2
    for task in parts:
        assert "__swarm_cut" not in str(task["when"]), task["name"]


def test_no_task_that_runs_once_counts_on_ignore_unreachable() -> None:
    """Ansible ends the play for all hosts all the same, and says nothing."""
    roles = TASKS.parents[1]
    paths = [*roles.glob("*/tasks/*.yml"), *(roles.parent / "playbooks").rglob("*.yml")]
    assert len(paths) > 20
    for path in paths:
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            for task in [entry, *entry.get("tasks", []), *entry.get("block", [])]:
                assert not (task.get("run_once") and task.get("ignore_unreachable")), (path, task)
