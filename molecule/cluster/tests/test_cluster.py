# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks the cluster of site.yml from outside, and runs each module on it in four ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from drive import (
    ENVIRONMENT,
    HEALTH,
    HOSTS,
    LATELY,
    assert_whole,
    cluster_ids,
    module,
    nodes,
    on_each,
    play,
    site,
    ssh,
    wait_until,
)

HISTORY = "task_history_retention_limit"


def spec() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        ssh("m2", "curl -s --unix-socket /run/docker.sock http://d/swarm")
    )["Spec"]
    return found


def test_the_runs_of_these_tests_are_of_the_ansible_that_core_asks_for() -> None:
    version = subprocess.run(
        ["ansible-playbook", "--version"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert version.startswith(f"ansible-playbook [core {os.environ.get('CORE', '')}"), version


def test_one_swarm_of_all_hosts() -> None:
    assert_whole()
    assert len(cluster_ids()) == 1


def test_nodes_carry_the_zone_and_who_owns_it() -> None:
    found = nodes()
    assert found["m2"]["Spec"]["Labels"] == {
        "zone": "b",
        "tier": "control",
        "flotilla.swarm.host": "m2",
        "flotilla.swarm.labels": "tier,zone",
    }


def test_nothing_is_left_on_the_hosts() -> None:
    for host in HOSTS:
        assert ssh(host, "ls -A /root/.ansible/tmp 2>/dev/null || true") == ""


def test_a_setting_changes_alone() -> None:
    """The incumbent's module turned autolock off and history to 0 by changing one other setting."""
    module("m1", "swarm_settings", task_history_retention_limit=5)
    first = module(
        "m1",
        "swarm_settings",
        autolock_managers=True,
        node_cert_expiry="30d",
        task_history_retention_limit=10,
        labels={"env": "prod"},
    )
    assert first["changed"]
    before = spec()
    assert before["EncryptionConfig"]["AutoLockManagers"] is True

    planned = module("m3", "swarm_settings", "--check", election_tick=5)
    assert planned["steps"] == [{"setting": "election_tick", "before": 10, "after": 5}]
    assert spec() == before

    done = module("m3", "swarm_settings", election_tick=5)
    assert done["changed"]
    assert done["steps"] == planned["steps"]
    before["Raft"]["ElectionTick"] = 5
    assert spec() == before

    assert not module("m3", "swarm_settings", election_tick=5)["changed"]
    assert not module("m3", "swarm_settings", "--check", election_tick=5)["changed"]
    module("m1", "swarm_settings", autolock_managers=False, election_tick=10, labels={"env": None})


def test_settings_need_a_manager_and_sense() -> None:
    refused = module("w1", "swarm_settings", election_tick=5)
    assert refused["failure"]["code"] == "not_manager"
    assert "run it on a manager" in refused["msg"]
    bad = module("m1", "swarm_settings", node_cert_expiry="soon")
    assert bad["failure"]["code"] == "bad_setting"
    assert refused.keys() - {"failure", "msg", "failed"} <= module("m1", "swarm_settings").keys()


def test_labels_and_availability_four_ways() -> None:
    node_id = ssh("w2", "docker info --format '{{.Swarm.NodeID}}'").strip()
    ssh("m1", f"docker node update --availability active --label-add foreign=stays {node_id}")
    wanted: dict[str, Any] = {
        "nodes": [{"name": "w2", "node_id": node_id, "labels": {"zone": "b", "disk": "", "n": 1}}]
    }
    planned = module("m1", "swarm_nodes", "--check", **wanted)
    assert planned["changed"]
    assert "disk" not in nodes()["w2"]["Spec"]["Labels"]
    done = module("m1", "swarm_nodes", **wanted)
    assert done["steps"] == planned["steps"]
    labels = nodes()["w2"]["Spec"]["Labels"]
    assert labels["disk"] == ""
    assert labels["n"] == "1"
    assert labels["foreign"] == "stays"
    assert not module("m1", "swarm_nodes", **wanted)["changed"]
    assert not module("m1", "swarm_nodes", "--check", **wanted)["changed"]

    wanted["nodes"][0].update(labels={"zone": "b"}, availability="drain")
    assert [step["action"] for step in module("m1", "swarm_nodes", **wanted)["steps"]] == [
        "labels",
        "availability",
    ]
    after = nodes()["w2"]["Spec"]
    assert after["Availability"] == "drain"
    assert set(after["Labels"]) == {
        "zone",
        "foreign",
        "flotilla.swarm.labels",
        "flotilla.swarm.host",
    }


def test_what_an_operator_set_by_hand_stays_until_it_is_asked_for() -> None:
    site()
    ssh("m1", "docker node update --availability drain w2")
    assert site().plan == []
    assert nodes()["w2"]["Spec"]["Availability"] == "drain"
    run = site(swarm_availability="active")
    assert run.plan == ["~ availability w2   drain -> active"]
    assert nodes()["w2"]["Spec"]["Availability"] == "active"
    ssh("m1", "docker node update --label-rm foreign w2")


def test_a_node_that_is_not_there_is_named() -> None:
    result = module(
        "m1", "swarm_nodes", nodes=[{"name": "ghost", "node_id": "nosuchnode"}], wait_timeout=1
    )
    assert result["failure"] == {"code": "not_ready", "details": {"nodes": ["ghost"]}}


def test_a_member_is_left_alone_and_a_manager_does_not_just_leave() -> None:
    for state in ("initialized", "joined"):
        assert not module("m1", "swarm_member", state=state)["changed"]
    refused = module("m1", "swarm_member", state="left")
    assert refused["failure"]["code"] == "is_manager"
    assert_whole(labels=False)


def test_health_is_a_gate() -> None:
    good = module("m2", "swarm_health", accept=["healthy"])
    assert good["verdict"] == "healthy"
    worker = module("w1", "swarm_health")
    assert worker["failure"]["code"] == "not_manager"
    assert worker["verdict"] == "unknown"
    assert worker.keys() - {"failure", "msg", "failed"} == good.keys() - {"failed"}


def test_check_health_by_itself() -> None:
    run = play(playbook=HEALTH)
    assert run.code == 0
    assert run.verdict == "healthy"
    assert run.changed == 0


def test_check_mode_of_a_change_is_the_change() -> None:
    change: dict[str, Any] = {
        "swarm_settings": {HISTORY: 7},
        "swarm_labels": {"team": "one"},
    }
    promised = site("--check", "--diff", **change)
    before = nodes()
    assert "team" not in before["w1"]["Spec"]["Labels"]
    done = site(**change)
    assert done.plan == promised.plan
    assert len(done.plan) == 6
    assert spec()["Orchestration"]["TaskHistoryRetentionLimit"] == 7
    assert all(node["Spec"]["Labels"]["team"] == "one" for node in nodes().values())
    assert site(**change).changed == 0
    back = site(swarm_settings={HISTORY: 5})
    assert back.plan[0] == f"~ settings     m1   {HISTORY}: 7 -> 5"
    assert all("team" not in node["Spec"]["Labels"] for node in nodes().values())


DEPLOYS = "TASK [flotilla.swarm.swarm_stack : Deploy the stacks]"
BY_HAND = "docker service update --detach --label-add by=hand hello_web"
KEPT = "/var/lib/flotilla.swarm/stacks/hello.json"


def settled() -> None:
    """A stack in its desired state is known to be so in the next run."""
    assert site().changed == 0
    run = site()
    assert DEPLOYS not in run.text
    assert run.verdict == "healthy"


@pytest.mark.parametrize(
    ("by_hand", "differs"),
    [
        (BY_HAND, True),
        # A change that was undone by hand is still a write.
        (BY_HAND + " && docker service update --detach --label-rm by hello_web", False),
    ],
)
def test_a_stack_is_planned_again_when_somebody_has_written_to_it(
    by_hand: str, differs: bool
) -> None:
    labels = "docker service inspect hello_web --format '{{json .Spec.Labels}}'"
    settled()
    before = ssh("m1", labels)
    ssh("m1", by_hand)
    run = site()
    assert DEPLOYS in run.text
    assert bool(run.changed) == differs
    assert ssh("m1", labels) == before


def test_a_stack_that_is_asked_otherwise_or_does_not_run_is_planned() -> None:
    settled()
    assert ssh("m1", f"stat -c '%a %U' {KEPT}").strip() == "600 root"
    otherwise = site("--check", swarm_stack_stacks=[{"name": "hello", "state": "absent"}])
    assert DEPLOYS in otherwise.text
    assert otherwise.changed == 1
    said = module("m1", "swarm_verify", stacks=[{"name": "hello", "definition": "services: {}"}])
    assert said["as_asked"] is False
    assert "have changed since" in said["stacks"][0]["reason"]
    assert said["health"]["verdict"] == "healthy"
    worker = module("w1", "swarm_verify", stacks=[])
    assert worker["failure"]["code"] == "not_manager"
    assert worker.keys() - {"failure", "msg", "failed"} == said.keys() - {"failed"}
    # Tasks stop and start without a change of any version.
    with containers_killed("hello_web"):
        assert DEPLOYS in site("--check").text
    wait_until(lambda: site(swarm_health_thresholds=LATELY).verdict == "healthy", 60)


@contextmanager
def containers_killed(name: str) -> Iterator[None]:
    """Kills the containers of a service on every host as soon as they start: once would be over before a slow run looks."""
    kill = f"docker ps -q --filter name={name} | xargs -r docker kill"
    loop = f"for n in $(seq 400); do [ -e /run/killing ] || exit; {kill}; sleep 0.3; done"
    on_each(HOSTS, lambda host: ssh(host, f"touch /run/killing; ({loop}) > /dev/null 2>&1 &"))
    try:
        yield
    finally:
        on_each(HOSTS, lambda host: ssh(host, "rm /run/killing"))


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_can_say_what_it_is(host: str) -> None:
    found = module(host, "swarm_host_info")
    assert found["swarm"]["state"] == "active"
    assert (found["swarm"]["nodes"] is not None) == host.startswith("m")
    assert abs(found["clock"]["skew"]) < 1
    assert "join_tokens" not in found
    assert "SWMTKN" not in json.dumps(found)
