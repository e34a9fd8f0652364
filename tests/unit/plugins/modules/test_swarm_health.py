# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a process of its own, with an engine that answers in shapes that engine 20.10 gave: for swarms of
a size that no test can boot, and for engines that do not answer as they should."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("docker")

from recorded import engine, swarm_of

from ansible_collections.flotilla.swarm.plugins.module_utils._api import client

MODULE = "ansible_collections.flotilla.swarm.plugins.modules.swarm_health"
COLLECTIONS = client.__file__.partition("/ansible_collections/")[0]
# Says at its end how much memory it had at most. What the kernel tells of a child at its end begins with what its
# parent had, and the parent is the engine here.
RUN = f"""
import re, runpy, sys
try:
    runpy.run_module("{MODULE}", run_name="__main__")
finally:
    with open("/proc/self/status") as status:
        sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+) kB", status.read()).group(1))
"""


@dataclass(frozen=True)
class Called:
    result: dict[str, Any]
    peak: int  # megabytes of memory
    seconds: float  # of processor time


def call(docker_host: str, **args: Any) -> Called:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"docker_host": docker_host, **args}}),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": COLLECTIONS},
        timeout=120,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Called(json.loads(done.stdout), int(done.stderr) // 1024, seconds)


# How full this machine's disk is does not matter to these swarms.
CHECKS = ["leader", "quorum", "nodes", "services", "pending", "restarts", "networks", "orphans"]
REQUESTS = ["/info", "/nodes", "/services", "/tasks", "/tasks?", "/networks?"]


def test_a_large_swarm_is_judged_in_six_requests_with_little_memory() -> None:
    """300 nodes, 3,000 services, 20,000 tasks. A tenth of that takes a tenth of the time; a hundredth, were it quadratic."""
    sizes = {"none": (3, 1, 1), "tenth": (30, 300, 2000), "whole": (300, 3000, 20000)}
    spent: dict[str, list[Called]] = {}
    for name in ("none", "none", "tenth", "tenth", "whole"):
        nodes, services, tasks = sizes[name]
        answers = swarm_of(nodes, services, tasks)
        with engine(answers) as docker_host:
            called = call(docker_host, checks=CHECKS)
        assert answers.asked == REQUESTS
        assert called.result["verdict"] == "healthy", called.result["report"]
        assert len(called.result["services"]) == services
        assert sum(row["running"] for row in called.result["services"]) == tasks
        assert len(called.result["report"]) < 5000
        spent.setdefault(name, []).append(called)
    assert spent["whole"][0].peak < 150
    # Without what any call costs, however little it finds.
    start = min(called.seconds for called in spent["none"])
    tenth = max(called.seconds for called in spent["tenth"]) - start
    assert spent["whole"][0].seconds - start < 25 * tenth


def test_the_result_of_a_probe_is_judged_and_anything_else_refused() -> None:
    finding = {"cause": "mtu", "nodes": ["w1"], "what": "x", "advice": "y", "data": {}}
    probe = {"probed": ["w1"], "not_probed": {}, "findings": [finding], "matrix": ["PROBE"]}
    with engine(swarm_of(3, 1, 1)) as docker_host:
        judged = call(docker_host, checks=["network"], network=probe).result
        refused = call(docker_host, checks=["network"], network={"verdict": "healthy"}).result
        unasked = call(docker_host, checks=["quorum", "network"]).result
    assert judged["verdict"] == "failed"
    assert "larger packets are lost (w1)" in judged["msg"]
    # Newer versions of ansible-core return no arguments.
    assert "network" not in judged.get("invocation", {}).get("module_args", {})
    assert refused["failure"]["code"] == "bad_option"
    assert "network must be the result of flotilla.swarm.swarm_probe" in refused["msg"]
    assert unasked["verdict"] == "healthy"


def error(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"message": message}).encode()


@pytest.mark.parametrize(
    ("path", "message", "verdict", "code"),
    [
        (
            "/nodes",
            "rpc error: code = Unknown desc = The swarm does not have a leader.",
            "failed",
            "no_quorum",
        ),
        ("/tasks", "rpc error: code = DeadlineExceeded desc = context", "unknown", "timeout"),
        ("/networks", "something else", "unknown", "engine_error"),
    ],
)
def test_an_engine_that_answers_with_errors(
    path: str, message: str, verdict: str, code: str
) -> None:
    answers = swarm_of(3, 1, 1)
    answers.bodies[path] = error(500, message)
    with engine(answers) as docker_host:
        result = call(docker_host).result
    assert (result["verdict"], result["failure"]["code"]) == (verdict, code)


def test_no_engine_at_all() -> None:
    result = call("unix:///nowhere/docker.sock").result
    assert (result["verdict"], result["failure"]["code"]) == ("unknown", "engine_unreachable")
    assert "no engine answers at unix:///nowhere/docker.sock" in result["msg"]


def test_waiting_ends_with_the_verdict_that_was_wanted() -> None:
    answers = swarm_of(3, 1, 1)
    good = answers.bodies["/nodes"]
    answers.bodies["/nodes"] = error(500, "rpc error: The swarm does not have a leader.")

    def heal() -> None:
        while answers.asked.count("/nodes") < 2:
            time.sleep(0.01)
        answers.bodies["/nodes"] = good

    checks = ["quorum", "services"]
    with engine(answers) as docker_host:
        in_vain = call(docker_host, wait_timeout=0, checks=checks).result
        threading.Thread(target=heal, daemon=True).start()
        waited = call(docker_host, wait_timeout=60, wait_sleep=1, checks=checks).result
    assert in_vain["failure"]["code"] == "no_quorum"
    assert waited["verdict"] == "healthy"
    assert waited["attempts"] > 1
    # Also what came in vain has everything that the other has.
    assert set(waited) - set(in_vain) <= {"invocation"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"checks": ["disc"]}, "disc"),
        ({"accept": ["good"]}, "good"),
        ({"thresholds": {"disk": 5}}, "disk"),
        ({"thresholds": {"ca_days": "soon"}}, "ca_days"),
        ({"format": "yaml"}, "yaml"),
        ({"observed": "m1"}, "observed"),
    ],
)
def test_bad_input(args: dict[str, Any], words: str) -> None:
    result = call("unix:///nowhere/docker.sock", **args).result
    assert result["failed"]
    assert words in result["msg"]
