# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook that plans without an unreachable host gets as far as its plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.flotilla.swarm.plugins.module_utils._common import argspec

PLAYBOOKS = sorted((Path(argspec.__file__).resolve().parents[3] / "playbooks").glob("*.yml"))


def tasks_in(entries: list[dict[str, Any]], fatal: bool) -> Iterator[tuple[dict[str, Any], bool]]:
    """The tasks of a play, and whether an error of one host ends each of them for all hosts. A rescue says why they end."""
    for entry in entries:
        here = bool(entry.get("any_errors_fatal", fatal)) and "rescue" not in entry
        yield entry, here
        for part in ("pre_tasks", "tasks", "post_tasks", "block", "rescue", "always"):
            yield from tasks_in(entry.get(part) or [], here)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_an_ignored_host_does_not_end_the_run(path: Path) -> None:
    # Ansible (plugins/strategy/linear.py) counts a host among the unreachable ones also where that is ignored.
    plays = yaml.safe_load(path.read_text(encoding="utf-8"))
    ended = [
        task["name"]
        for task, fatal in tasks_in(plays, False)
        if task.get("ignore_unreachable") and (fatal or task.get("run_once"))
    ]
    assert ended == []
