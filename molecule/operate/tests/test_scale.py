# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scaling, restarting and rolling back on a real swarm, seen from outside by Docker's own command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from services import IMAGE, distinct, docker, observed, replicas, running, service, spec, version

SCALE = drive.TOP / "playbooks" / "scale_services.yml"
OTHER = "registry.lab:5000/hello:2"


def scale(services: dict[str, Any], *flags: str, **options: Any) -> drive.Run:
    options = {f"swarm_scale_{key}": value for key, value in options.items()}
    return drive.play(*flags, playbook=SCALE, swarm_scale_services=services, **options)


def refused(name: str, code: str, **args: Any) -> dict[str, Any]:
    """The failure details of a call that must be refused."""
    result = drive.module("m1", name, **args)
    assert result.get("failure", {}).get("code") == code, result
    assert not result["changed"]
    return dict(result["failure"]["details"])


def test_steps_up_and_down_each_of_which_runs_before_the_next() -> None:
    with service("sc_steps") as name:
        before, old = spec(name), running(name)
        with observed(name) as seen:
            run = scale({name: 8}, batch_size=2, settle=2)
        assert run.code == 0, run.text
        assert "~ scale  sc_steps  2 -> 8 in 3 steps of 2" in run.plan
        assert "sc_steps 4/8 ..." in run.text
        assert run.changed == 1
        assert distinct([wanted for wanted, _runs in seen]) == [2, 4, 6, 8]
        for (wanted, runs), (later, _runs) in zip(seen, seen[1:]):
            assert later == wanted or runs == wanted
        # Only the number has changed. No task has restarted, and the rest of the spec is the same.
        assert old < running(name)
        assert len(running(name)) == 8
        before["Mode"]["Replicated"]["Replicas"] = 8
        assert spec(name) == before

        at, up = version(name), running(name)
        assert scale({name: 8}).changed == 0
        assert version(name) == at
        assert scale({name: 8, "sc_none": 1}).code != 0

        with observed(name) as seen:
            run = scale({name: "-5"}, batch_size=3)
        assert run.code == 0, run.text
        assert distinct([wanted for wanted, _runs in seen]) == [8, 5, 3]
        assert min(runs for _wanted, runs in seen) >= 3
        assert running(name) < up


def test_check_mode_promises_what_the_run_does_and_writes_nothing() -> None:
    with service("sc_a") as a, service("sc_b") as b:
        at = version(a), version(b)
        checked = scale({a: "150%", b: 0}, "--check", "--diff", batch_size=1, order="parallel")
        assert checked.code == 0, checked.text
        assert (version(a), version(b)) == at
        real = scale({a: "150%", b: 0}, batch_size=1, order="parallel", settle=1)
        assert (
            real.plan
            == checked.plan
            == [
                "~ scale  sc_a  2 -> 3",
                "~ scale  sc_b  2 -> 0 in 2 steps of 1",
            ]
        )
        assert (len(running(a)), replicas(b)) == (3, 0)


@pytest.mark.parametrize(
    "options",
    [
        "--reserve-memory {half}",
        pytest.param(
            "--replicas-max-per-node 1 --constraint node.role==worker",
            marks=drive.soak,
        ),
        pytest.param(
            "--publish mode=host,target=8080,published=18080 --constraint node.labels.zone==b",
            marks=drive.soak,
        ),
        pytest.param(
            "--constraint node.labels.zone==c --replicas-max-per-node 2",
            marks=drive.soak,
        ),
    ],
)
def test_what_fits_runs_and_one_more_stays_pending(options: str) -> None:
    memory = json.loads(docker("node inspect self"))[0]["Description"]["Resources"]["MemoryBytes"]
    with service("sc_fit", options.format(half=f"{memory * 2 // 5}b"), count=1) as name:
        at = version(name)
        details = refused("swarm_scale", "no_room", services={name: 40})
        assert version(name) == at
        fits = details["problems"][0]["fits"]
        assert details["problems"][0]["missing"]
        assert scale({name: fits}, settle=1).code == 0
        assert len(running(name)) == fits
        refused("swarm_scale", "no_room", services={name: fits + 1})
        # The scheduler sees it the same way.
        docker(f"service scale -d {name}={fits + 1}")
        time.sleep(6)
        states = docker(f"service ps --format '{{{{.CurrentState}}}}' {name}")
        assert states.count("Pending") == 1
        assert len(running(name)) == fits


def test_a_concurrent_change_is_not_overwritten() -> None:
    with service("sc_raced") as name:
        details = refused(
            "swarm_scale", "out_of_sequence", services={name: 5}, expected_replicas={name: 3}
        )
        assert (details["problems"][0]["expected"], details["problems"][0]["found"]) == (3, 2)
        assert replicas(name) == 2
        assert scale({name: 3}, expected_replicas=2, settle=1).code == 0
        # The services already have the desired number, so there is no conflict.
        assert scale({name: 3}, expected_replicas=2).changed == 0


def test_what_cannot_be_scaled_is_told_all_at_once() -> None:
    with service("sc_fine") as name:
        docker(f"service create -q -d --name sc_global --mode global {IMAGE}")
        docker(f"service create -q -d --name sc_job --mode replicated-job {IMAGE} true")
        try:
            asked = {name: 3, "sc_global": 2, "sc_job": 2, "sc_none": 2}
            details = refused("swarm_scale", "refused", services=asked)
            codes = {item["service"]: item["code"] for item in details["problems"]}
            assert codes == {
                "sc_global": "global_service",
                "sc_job": "job",
                "sc_none": "unknown_service",
            }
            refused("swarm_restart", "job", services=["sc_job"])
            refused("swarm_rollback", "no_previous_spec", services=[name])
            # The unit tests have the other values.
            refused("swarm_scale", "bad_replicas", services={name: "+50%"})
            refused("swarm_scale", "bad_option", services={name: 3}, batch_size=0)
            refused("swarm_scale", "bad_expected", services={name: 3}, expected_replicas=[2])
            assert replicas(name) == 2
        finally:
            docker("service rm sc_global sc_job")


@contextmanager
def no_registry() -> Iterator[None]:
    name = f"{drive.PREFIX}-registry"
    subprocess.run(["docker", "stop", name], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "start", name], check=True, capture_output=True)


@drive.soak
def test_a_registry_that_is_gone_stops_the_roll_and_takes_it_back() -> None:
    # Two hosts; the image is on the first alone, which has no room for a second task.
    label = "docker node update --label-add sc={} {} > /dev/null"
    drive.ssh("m1", label.format("yes", "w1") + "; " + label.format("no", "w2"))
    options = "--constraint node.labels.sc==yes --replicas-max-per-node 1 --restart-delay 1s"
    try:
        with service("sc_image", options, count=1, image=OTHER) as name:
            old = running(name)
            drive.ssh("m1", label.format("yes", "w2"))
            drive.ssh(
                "w2",
                "docker image rm -f $(docker image ls -q registry.lab:5000/hello)",
                check=False,
            )
            with no_registry():
                run = scale({name: 2}, on_failure="rollback", wait_timeout=15)
                assert run.code == 2
                assert "image on w2" in run.text
                assert "Rolled back to sc_image 1" in run.text
                assert replicas(name) == 1
                assert running(name) == old
                result = drive.module("m1", "swarm_scale", services={name: 2}, wait_timeout=15)
                assert result["failure"]["code"] == "not_converged"
                assert result["failure"]["details"]["services"][0]["cause"] == "image"
                assert (result["changed"], result["reverted"]) == (True, [])
                assert replicas(name) == 2
            # The service converges when the registry is back, without a write.
            at = version(name)
            run = scale({name: 2}, wait_timeout=60)
            assert (run.code, run.changed) == (0, 0), run.text
            assert version(name) == at
            assert old < running(name)
            assert len(running(name)) == 2
    finally:
        drive.ssh("m1", "for n in w1 w2; do docker node update --label-rm sc $n; done")


def test_a_killed_run_stops_and_the_next_one_finishes_it() -> None:
    with service("sc_kill", count=1) as name:
        options: dict[str, Any] = {"swarm_scale_batch_size": 2, "swarm_scale_settle": 2}
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                drive.command(SCALE, swarm_scale_services={name: 15}, **options),
                env=drive.ENVIRONMENT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            drive.wait_until(lambda: replicas(name) >= 5, 60, longest=0.5)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # No step begins without the controller, so that a run can be stopped.
        time.sleep(8)
        left = replicas(name)
        assert 5 <= left < 15
        time.sleep(4)
        assert replicas(name) == left
        run = scale({name: 15}, batch_size=2, settle=2)
        assert run.code == 0, run.text
        assert f"~ scale  {name}  {left} -> 15" in run.plan[0]
        assert len(running(name)) == 15
        assert scale({name: 15}).changed == 0


def test_a_restart_replaces_every_task_and_loses_none() -> None:
    first = "--update-order start-first --update-monitor 1s --update-delay 0s"
    with service("sc_one", first, count=3) as one, service("sc_two", first, count=2) as two:
        old, specs = running(one) | running(two), (spec(one), spec(two))
        with observed(one) as seen_one, observed(two) as seen_two:
            checked = drive.module(
                "m1", "swarm_restart", "--check", services=[one, two], canary=two
            )
            assert [step["service"] for step in checked["steps"]] == [two, one]
            assert (spec(one), spec(two)) == specs
            result = drive.module("m1", "swarm_restart", services=[one, two], canary=two, settle=1)
        assert result["changed"]
        assert result["steps"] == result["done"] == checked["steps"]
        assert not old & (running(one) | running(two))
        assert min(runs for _wanted, runs in seen_one) >= 3
        assert min(runs for _wanted, runs in seen_two) >= 2
        after = spec(one)
        assert after["TaskTemplate"].pop("ForceUpdate") == 1
        specs[0]["TaskTemplate"].pop("ForceUpdate", None)
        assert after == specs[0]


def test_a_canary_that_does_not_come_up_keeps_the_others_as_they_are() -> None:
    managers = "--constraint node.role==manager"
    with service("sc_rest", managers) as rest, service("sc_canary", count=1) as canary:
        old = running(rest)
        # Its tasks continue to run, but a new task would have no node, as after a change of labels.
        docker("node update --label-add sc_gone=yes w1")
        docker(f"service update -q -d --constraint-add node.labels.sc_gone==yes {canary}")
        drive.wait_until(lambda: spec(canary) and len(running(canary)) == 1, 60)
        docker("node update --availability drain w1")
        try:
            result = drive.module(
                "m1", "swarm_restart", services=[rest, canary], canary=canary, wait_timeout=10
            )
        finally:
            docker("node update --availability active w1")
            docker("node update --label-rm sc_gone w1")
        assert result["failure"]["code"] == "not_converged"
        assert result["failure"]["details"]["services"][0]["name"] == canary
        assert result["done"] == []
        assert running(rest) == old


def test_a_rollback_goes_to_the_spec_before_and_is_refused_where_there_is_none() -> None:
    with service("sc_back", "--update-monitor 1s --rollback-monitor 1s") as name:
        before = spec(name)
        docker(f"service update -q -d --image {OTHER} --env-add SC=1 {name}")
        drive.wait_until(
            lambda: len(running(name)) == 2 and "completed" in docker(f"service inspect {name}"),
            60,
        )
        at = version(name)
        checked = drive.module("m1", "swarm_rollback", "--check", services=[name])
        assert version(name) == at
        assert [change["field"] for change in checked["steps"][0]["changes"]] == ["image", "env.SC"]
        result = drive.module("m1", "swarm_rollback", services=[name], settle=1)
        assert result["changed"], result
        assert result["plan"] == checked["plan"]
        assert spec(name) == before
        assert len(running(name)) == 2
        images = docker(f"service ps -f desired-state=running --format '{{{{.Image}}}}' {name}")
        assert set(images.split()) == {IMAGE}
