# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes are drained and put back into service, and services are rebalanced, on a real swarm and seen from outside."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from services import docker, observed, replicas, running, service, spec

DRAIN = drive.TOP / "playbooks" / "drain_node.yml"
START_FIRST = "--update-order start-first --update-parallelism 2 --stop-grace-period 1s"


def by_node(name: str) -> Counter[str]:
    """How many tasks of a service each node runs."""
    lines = docker(
        f"service ps -f desired-state=running --format '{{{{.Node}}}} {{{{.CurrentState}}}}' {name}"
    ).splitlines()
    return Counter(line.split()[0] for line in lines if line.split()[1] == "Running")


def node(name: str) -> dict[str, Any]:
    return dict(json.loads(docker(f"node inspect {name}"))[0]["Spec"])


def drain(name: str, *flags: str, state: str = "drained", **more: Any) -> drive.Run:
    options = {f"swarm_drain_{key}": value for key, value in more.items()}
    run = drive.play(
        "--diff", *flags, playbook=DRAIN, swarm_drain_nodes=name, swarm_drain_state=state, **options
    )
    assert run.code == 0, run.text
    return run


def test_a_node_goes_out_of_service_without_a_dip_and_comes_back() -> None:
    docker("node update --availability pause w2")
    with (
        service("dr_web", f"{START_FIRST} --constraint node.role==worker", 4) as web,
        service("dr_agent", "--mode global --stop-grace-period 1s", None) as agent,
    ):
        docker("node update --availability active w2")
        assert by_node(web) == {"w1": 4}
        drive.wait_until(lambda: by_node(agent)["w1"] == 1, 60)
        before = spec(web)
        promised = drain("w1", "--check")
        (line,) = promised.plan
        assert "dr_web 4" in line
        assert "dr_agent 1" in line.partition("stops")[2]
        assert by_node(web) == {"w1": 4}
        with observed(web) as seen:
            assert drain("w1").plan == promised.plan
        assert min(runs for _wanted, runs in seen) >= 4
        assert by_node(web) == {"w2": 4}
        assert docker("node ps w1 -q -f desired-state=running").strip() == ""
        assert node("w1")["Availability"] == "drain"
        assert spec(web) == before
        assert drain("w1").changed == 0

        # It comes back empty, because the swarm moves nothing back.
        assert drain("w1", state="active").changed == 1
        assert node("w1")["Availability"] == "active"
        assert "flotilla.swarm.drained" not in node("w1")["Labels"]
        drive.wait_until(lambda: by_node(agent)["w1"] == 1, 60)
        assert by_node(web) == {"w2": 4}
        assert drain("w1", state="active").changed == 0

        rebalanced(web)


@drive.soak
def test_other_ports_of_a_stack_also_replace_the_tasks_that_a_drain_has_moved(
    tmp_path: Path,
) -> None:
    """The engine alone would keep them with their old ports, and call the update completed."""
    compose = tmp_path / "moved.yml"

    def deploy(port: int) -> None:
        # In Compose, a list of ports that the engine publishes on the nodes of the tasks themselves.
        published = {"target": 8080, "published": port, "protocol": "tcp", "mode": "host"}
        web = {
            "image": "registry.lab:5000/hello:1",
            "deploy": {"replicas": 1, "placement": {"constraints": ["node.role==worker"]}},
            "ports": [published],
        }
        compose.write_text(json.dumps({"version": "3.8", "services": {"web": web}}))
        stacks = [{"name": "moved", "compose": [str(compose)]}]
        playbook = drive.TOP / "playbooks" / "deploy_stacks.yml"
        run = drive.play(playbook=playbook, swarm_stack_stacks=stacks)
        assert run.code == 0, run.text[-4000:]
        again = drive.play(playbook=playbook, swarm_stack_stacks=stacks)
        assert again.changed == 0, again.text[-4000:]

    try:
        deploy(9001)
        (host,) = by_node("moved_web")
        drain(host)
        drain(host, state="active")
        (now,) = by_node("moved_web")
        assert now != host
        old = running("moved_web")
        deploy(9002)
        assert not running("moved_web") & old
        (now,) = by_node("moved_web")
        assert "9002" in drive.ssh(now, "docker ps --format '{{.Ports}}' -f name=moved_web")
    finally:
        docker("stack rm moved")


def rebalanced(web: str) -> None:
    """Half of the tasks move to an empty node, new tasks before old ones. Then nothing is left to do."""
    args = {"services": [web], "settle": 2}
    before, old = spec(web), running(web)
    none = drive.module("m1", "swarm_rebalance", "--check", services=[])
    assert (none["steps"], none["changed"]) == ([], False)
    small = drive.module("m1", "swarm_rebalance", "--check", **args, budget=1)
    assert [(s["before"], s["after"]) for s in small["steps"]] == [(4, 5), (5, 4)]
    promised = drive.module("m1", "swarm_rebalance", "--check", **args)
    assert "move    dr_web  2 of 4 tasks   w1 0, w2 4 -> w1 2, w2 2" in "\n".join(promised["plan"])
    assert running(web) == old
    with observed(web) as seen:
        done = drive.module("m1", "swarm_rebalance", **args)
    assert done["steps"] == promised["steps"] == done["done"], done
    assert by_node(web) == {"w1": 2, "w2": 2}
    assert len(running(web) & old) == 2
    assert min(runs for _wanted, runs in seen) >= 4
    assert spec(web) == before
    again = drive.module("m1", "swarm_rebalance", **args)
    assert not again["changed"]
    assert again["steps"] == []


def test_what_has_no_other_place_is_refused_and_stopped_where_that_is_accepted() -> None:
    tied = "--constraint node.hostname==w1 --mount type=volume,source=dr_data,target=/data --stop-grace-period 1s"
    with service("dr_tied", tied, 1) as name:
        refused = drive.module("m1", "swarm_drain", nodes=["w1"])
        assert refused["failure"]["code"] == "refused"
        assert not refused["changed"]
        for words in ("could run the service dr_tied", "homeless_services", "local_data"):
            assert words in refused["msg"]
        assert node("w1")["Availability"] == "active"
        drain("w1", accepted_risks=["homeless_services", "local_data"], timeout=60)
        assert running(name) == set()
        drain("w1", state="active")
        drive.wait_until(lambda: len(running(name)) == 1, 60)
    wrong = drive.module("m1", "swarm_drain", nodes=["w1", "w9"])
    assert wrong["failure"]["code"] == "no_such_node"
    assert wrong["msg"] == (
        "Could not drain nodes: there is no node w9: the nodes are m1, m2, m3, w1, w2."
    )


def test_who_opts_out_is_left_alone_and_a_killed_run_is_finished() -> None:
    docker("node update --availability pause w2")
    label = "--label flotilla.swarm.rebalance=false"
    placed = "--constraint node.role==worker --stop-grace-period 1s"
    with (
        service("dr_out", f"{label} {placed}", 4) as out,
        service("dr_cut", placed, 4) as cut,
    ):
        # The state that a killed run leaves after the first of its two writes.
        docker(f"service update -d --label-add flotilla.swarm.rebalancing=4 --replicas 6 {cut}")
        docker("node update --availability active w2")
        drive.wait_until(lambda: len(running(cut)) == 6, 60)
        done = drive.module("m1", "swarm_rebalance", services=[out, cut], settle=1)
        plan = "\n".join(done["plan"])
        assert "finish  dr_cut  back to 4 replicas" in plan
        assert "! dr_out stays uneven: its label flotilla.swarm.rebalance says so" in plan
        assert replicas(cut) == 4
        drive.wait_until(lambda: len(running(cut)) == 4, 60)
        assert "flotilla.swarm.rebalancing" not in spec(cut)["Labels"]
        assert by_node(out) == {"w1": 4}
    docker("node update --availability active w2")
