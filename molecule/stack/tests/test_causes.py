# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on the jobs that causes.yml has created. The oldest CLI cannot deploy jobs from a Compose file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import testinfra

sys.path.insert(0, str(Path(os.environ["LAB_TOP"]) / ".cache" / "collections"))

from ansible_collections.flotilla.swarm.plugins.module_utils._services.convergence import (
    CONVERGED,
    FAILED,
    Verdict,
    judge,
)


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> dict[str, Verdict]:
    inventory = request.config.getoption("--ansible-inventory")
    manager = testinfra.get_host("ansible://m3", ansible_inventory=inventory)

    def get(path: str, filters: dict[str, list[str]]) -> Any:
        return json.loads(
            manager.check_output(
                "curl -sSG --unix-socket /run/docker.sock http://docker/%s --data-urlencode filters=%s",
                path,
                json.dumps(filters),
            )
        )

    mine = {"label": ["com.docker.stack.namespace=jobs"]}
    tasks = get("tasks", mine)
    fresh = {task["ID"] for task in get("tasks", {**mine, "_up-to-date": ["true"]})}
    nodes = get("nodes", {})
    found = [judge(service, tasks, fresh, nodes) for service in get("services", mine)]
    return {verdict.service: verdict for verdict in found}


@pytest.mark.parametrize(
    ("name", "mode", "done"), [("good", "replicated", 3), ("all", "global", 4)]
)
def test_a_job_is_as_asked_when_it_is_done(
    verdicts: dict[str, Verdict], name: str, mode: str, done: int
) -> None:
    found = verdicts[f"jobs_{name}"]
    assert (found.mode, found.state) == (f"{mode}-job", CONVERGED)
    assert (found.running, found.desired) == (done, done)


def test_a_job_that_nobody_starts_again_has_failed(verdicts: dict[str, Verdict]) -> None:
    found = verdicts["jobs_bad"]
    assert (found.state, found.cause, found.running) == (FAILED, "crash", 0)
    assert "(6)" in found.reason
    assert found.log_task
