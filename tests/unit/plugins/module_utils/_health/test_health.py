# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict: each check in what makes it good and what makes it bad, and one shape whatever happens."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.doc_fragments._health import ModuleDocFragment
from ansible_collections.flotilla.swarm.plugins.module_utils._api.reader import elements
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health.certificate import validities
from ansible_collections.flotilla.swarm.plugins.module_utils._health.check import (
    Check,
    HostContext,
    Thresholds,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.checks import (
    CHECKS,
    evaluate,
    health_result,
    verdict_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.report import (
    MOST_ROWS,
    finish,
    render,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._health.snapshot import (
    SwarmSnapshot,
    parse_service,
    parse_task,
    service_states,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    Member,
    moment,
    parse_node,
)

MODULE = Path(__file__).resolve().parents[5] / "plugins" / "modules" / "swarm_health.py"
# Of a swarm that engine 20.10 has made; openssl says: from 2026-11-23 20:09:00 to 2046-11-18 20:09:00.
CA = """-----BEGIN CERTIFICATE-----
MIIBazCCARCgAwIBAgIUDoMPn/RI7N0wHc0K3kiY0WcHcjkwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAxMIc3dhcm0tY2EwHhcNMjYxMTIzMjAwOTAwWhcNNDYxMTE4MjAw
OTAwWjATMREwDwYDVQQDEwhzd2FybS1jYTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABNzZrGkIqqbPHrfz9ZO4mMNoAz9Ljq+1SG658vqMmp33kXY9XxygB+rg3bzQ
zBzuMqNHMRKI3tcM/1+YeadqGiujQjBAMA4GA1UdDwEB/wQEAwIBBjAPBgNVHRMB
Af8EBTADAQH/MB0GA1UdDgQWBBRkmGvXv+HTuUmWJHkzukCOH6ABvDAKBggqhkjO
PQQDAgNJADBGAiEAy1mYoM8Iuy0MfXKqE3Dq5EvtpD6JnR8/gmh1/lIg4twCIQC+
mwU2vxW1SAbXGgIWaFUuA2cLzdAnVxqgbueku5ckhg==
-----END CERTIFICATE-----
"""
NOW = moment("2026-11-23T21:00:00.123456789Z") or 0.0
BEGINS, ENDS = moment("2026-11-23T20:09:00Z"), moment("2046-11-18T20:09:00Z")


def node(name: str, role: str = "worker", **more: Any) -> Any:
    document = {
        "ID": name,
        "Spec": {
            "Role": role,
            "Availability": more.pop("availability", "active"),
            "Labels": more.pop("labels", {}),
        },
        "Description": {
            "Hostname": name,
            "Engine": {"EngineVersion": more.pop("version", "26.1.5")},
        },
        "Status": {"State": more.pop("state", "ready")},
    }
    if role == "manager":
        document["ManagerStatus"] = {
            "Reachability": more.pop("reachability", "reachable"),
            "Leader": more.pop("leader", False),
        }
    return parse_node(document)


def service(replicas: int = 2, update: str | None = None, **spec: Any) -> dict[str, Any]:
    return parse_service(
        {
            "ID": "s1",
            "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": replicas}}, **spec},
            "UpdateStatus": {"State": update} if update else None,
        }
    )


def task(
    on: str,
    state: str = "running",
    wanted: str = "running",
    slot: int = 1,
    networks: tuple[str, ...] = (),
    created: str = "2026-11-23T20:00:00Z",
    **status: Any,
) -> dict[str, Any]:
    return parse_task(
        {
            "ID": f"t-{on}-{slot}-{state}-{status.get('Timestamp')}",
            "ServiceID": "s1",
            "NodeID": on,
            "Slot": slot,
            "CreatedAt": created,
            "DesiredState": wanted,
            "Status": {"State": state, **status},
            "NetworksAttachments": [{"Network": {"ID": network}} for network in networks],
        }
    )


def picture(**more: Any) -> SwarmSnapshot:
    four = [
        node("m1", "manager", leader=True, labels={"zone": "a"}),
        node("m2", "manager", labels={"zone": "b"}),
        node("m3", "manager", labels={"zone": "c"}),
        node("w1"),
    ]
    base: dict[str, Any] = {
        "member": Member("active", "m1", "manager", "c1"),
        "version": "26.1.5",
        "cluster": {"TLSInfo": {"TrustRoot": CA}},
        "now": NOW,
        "nodes": four,
        "services": [service()],
        "tasks": [task("m1", slot=1), task("w1", slot=2)],
    }
    return SwarmSnapshot(**{**base, **more})


def around(**hosts: dict[str, Any]) -> HostContext:
    return HostContext(hosts)


def found(seen: SwarmSnapshot, name: str, *more: Any) -> Check:
    (check,) = [check for check in evaluate(seen, *more) if check.name == name]
    return check


def statuses(seen: SwarmSnapshot, *more: Any) -> dict[str, str]:
    return {check.name: check.status for check in evaluate(seen, *more)}


def test_a_healthy_swarm() -> None:
    assert set(statuses(picture()).values()) == {"ok", "skipped", "noted"}
    assert verdict_of(evaluate(picture())) == "healthy"


# Managers and nodes


def test_a_lost_manager_degrades_and_no_leader_fails() -> None:
    first, _second, third, worker = picture().nodes
    nodes = [first, node("m2", "manager", reachability="unreachable"), third, worker]
    check = found(picture(nodes=nodes), "quorum")
    assert check.status == "degraded"
    assert check.data["may_lose"] == 0
    assert check.data["unreachable"] == ["m2"]
    # With one manager gone, the loss of either other zone is the end.
    assert found(picture(nodes=nodes), "zones").data["fatal"] == ["a", "c"]
    leaderless = picture(nodes=[node("m1", "manager"), node("m2", "manager")])
    assert found(leaderless, "leader").status == "failed"
    gone = [first, *(node(name, "manager", state="down") for name in ("m2", "m3"))]
    assert found(picture(nodes=gone), "quorum").status == "failed"
    assert (
        finish(health_result(picture(nodes=gone)), [], "brief", 1)["failure"]["code"] == "no_quorum"
    )


def test_a_new_leader_that_has_not_heard_of_the_nodes_yet_makes_nothing_of_it() -> None:
    nodes = [
        node("m1", "manager", leader=True, state="unknown"),
        node("m2", "manager", state="unknown"),
        node("m3", "manager", state="unknown"),
        node("w1", state="unknown"),
    ]
    seen = picture(nodes=nodes)
    assert statuses(seen)["quorum"] == "ok"
    assert statuses(seen)["nodes"] == statuses(seen)["services"] == "unknown"
    assert statuses(seen)["orphans"] == "ok"
    assert verdict_of(evaluate(seen)) == "unknown"


def test_a_zone_with_a_majority_of_managers_is_degraded() -> None:
    nodes = [
        node("m1", "manager", leader=True, labels={"zone": "a"}),
        node("m2", "manager", labels={"zone": "a"}),
        node("m3", "manager", labels={"zone": "b"}),
    ]
    check = found(picture(nodes=nodes, services=[], tasks=[]), "zones")
    assert (check.status, check.data["fatal"]) == ("degraded", ["a"])


def test_a_service_in_one_zone_is_degraded_unless_it_is_one_task() -> None:
    nodes = [*picture().nodes[:3], node("w1", labels={"zone": "a"})]
    check = found(picture(nodes=nodes), "zones")
    assert check.status == "degraded"
    assert check.data["services"] == {"web": "a"}
    assert "losing zone a would leave web without a task" in check.message
    tasks = [task("m1", slot=1), task("m2", slot=2)]
    assert found(picture(nodes=nodes, tasks=tasks), "zones").status == "ok"
    single = picture(nodes=nodes, services=[service(1)], tasks=[task("m1")])
    assert found(single, "zones").status == "ok"
    assert found(single, "zones").data["single"] == ["web"]


def test_nodes_that_are_set_aside_are_named_and_are_no_fault() -> None:
    nodes = [*picture().nodes, node("w2", availability="drain"), node("w3", availability="pause")]
    check = found(picture(nodes=nodes), "nodes")
    assert check.status == "ok"
    assert (check.data["drained"], check.data["paused"]) == (["w2"], ["w3"])


def test_a_host_that_joined_anew_leaves_a_ghost_and_not_a_dead_host() -> None:
    nodes = [*picture().nodes, replace(node("w1", state="down"), id="old")]
    check = found(picture(nodes=nodes), "nodes")
    assert check.status == "degraded"
    assert check.data["not_ready"] == []
    assert "4 of 4 ready" in check.message
    assert check.advice == "docker node rm old"


@pytest.mark.parametrize(
    ("version", "status"), [("26.1.5", "ok"), ("26.1.9", "ok"), ("28.0.1", "degraded")]
)
def test_releases_of_the_engine_differ(version: str, status: str) -> None:
    nodes = [*picture().nodes, node("w2", version=version)]
    assert found(picture(nodes=nodes), "versions").status == status


def test_unreachable_hosts_are_named() -> None:
    check = found(picture(), "hosts", HostContext(unreachable=["w2"]))
    assert check.status == "degraded"
    assert "w2" in check.message


# Services


def test_tasks_on_dead_nodes_do_not_count() -> None:
    seen = picture(nodes=[*picture().nodes[:3], node("w1", state="down")])
    assert service_states(seen)[0]["running"] == 1
    assert statuses(seen)["nodes"] == statuses(seen)["services"] == "degraded"
    assert found(seen, "orphans").data["nodes"] == {"w1": 1}


def test_tasks_of_a_node_that_was_removed_are_orphans() -> None:
    seen = picture(nodes=picture().nodes[:3])
    assert found(seen, "orphans").data["nodes"] == {"a node that was removed (w1)": 1}


def test_tasks_of_an_old_spec_do_not_count() -> None:
    tasks = picture().tasks
    seen = picture(current={tasks[0]["ID"]})
    row = service_states(seen)[0]
    assert (row["running"], row["outdated"], row["wanted"]) == (1, 1, 2)
    assert statuses(seen)["services"] == "degraded"
    # All of it is of the old spec, and serves: that is not a failure.
    assert statuses(picture(current=set()))["services"] == "degraded"


def test_a_service_without_any_task_fails_with_the_engine_s_reason() -> None:
    reason = "no suitable node (scheduling constraints not satisfied on 3 nodes)"
    tasks = [task("", "pending", Err=reason)]
    seen = picture(tasks=tasks)
    assert verdict_of(evaluate(seen)) == "failed"
    assert reason in found(seen, "services").message
    pending = found(seen, "pending").data["pending"]
    assert pending == [{"service": "web", "tasks": 1, "cause": "constraint", "reason": reason}]


def test_a_task_that_has_only_just_been_made_is_not_pending() -> None:
    for created, status in (("2026-11-23T20:59:50Z", "ok"), ("2026-11-23T20:58:00Z", "degraded")):
        waiting = task("", "pending", created=created, Message="pending task scheduling")
        assert found(picture(tasks=[waiting]), "pending").status == status


def test_failures_count_by_replica_and_within_the_window() -> None:
    def failures(count: int, slots: int, when: str) -> SwarmSnapshot:
        more = [
            task("m1", "failed", "shutdown", slot=number % slots, Timestamp=f"{when}:{number:02}Z")
            for number in range(count)
        ]
        return picture(tasks=[*picture().tasks, *more])

    recent = "2026-11-23T20:58"
    assert found(failures(3, 1, recent), "restarts").status == "degraded"
    assert found(failures(3, 3, recent), "restarts").status == "ok"
    assert found(failures(2, 1, recent), "restarts").status == "ok"
    assert found(failures(3, 1, "2026-11-23T20:30"), "restarts").status == "ok"
    longer = Thresholds(restart_window=3600)
    assert (
        found(failures(3, 1, "2026-11-23T20:30"), "restarts", HostContext(), longer).status != "ok"
    )
    data = found(failures(3, 1, recent), "restarts").data["services"]
    web = {"failed": 3, "worst_slot": 3, "looping": False}
    assert {key: data["web"][key] for key in web} == web


CRASH = "task: non-zero exit (1)"


def looping(
    ago: float, every: float, state: str = "running", error: str = CRASH, **more: Any
) -> SwarmSnapshot:
    """A replica that has failed four times, the last time some seconds AGO, and what its next task does now."""
    failures = [
        task(
            "m1",
            "failed",
            "shutdown",
            Err=error,
            Timestamp=datetime.fromtimestamp(NOW - ago - number * every, timezone.utc).isoformat(),
        )
        for number in range(4)
    ]
    return picture(services=[service(1)], tasks=[*failures, task("m1", state)], **more)


@given(
    every=st.floats(0.1, 120),
    part=st.floats(0, 1),
    state=st.sampled_from(["running", "ready", "starting"]),
)
def test_a_crash_loop_fails_whatever_its_task_does_at_the_moment(
    every: float, part: float, state: str
) -> None:
    seen = looping(part * every, every, state)
    assert health_result(seen)["verdict"] == "failed"
    assert found(seen, "restarts").status == "failed"


def test_a_crash_loop_is_over_when_the_replica_runs_for_longer_or_has_another_spec() -> None:
    assert found(looping(29, 1), "restarts").status == "failed"
    assert found(looping(31, 1), "restarts").status == "degraded"
    assert found(looping(200, 60), "restarts").status == "degraded"
    mended = looping(1, 1, current={task("m1", "running")["ID"]})
    assert found(mended, "restarts").status == "degraded"
    # Scaled to nothing: nobody wants it to run.
    gone = looping(1, 1)
    gone.tasks = gone.tasks[:-1]
    assert found(gone, "restarts").status == "degraded"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (CRASH, "see docker service logs"),
        ("task: unhealthy container", "see docker service logs"),
        ("No such image: hello:9", "see docker service ps --no-trunc"),
        ("port is already allocated", "see docker service ps --no-trunc"),
    ],
)
def test_what_never_ran_has_no_log_to_look_at(error: str, advice: str) -> None:
    check = found(looping(1, 1, error=error), "restarts")
    assert check.advice == advice
    assert error in check.message


MEMORY = "no suitable node (insufficient resources on 4 nodes)"
PORT = "no suitable node (host-mode port already in use on 3 nodes; scheduling constraints not satisfied on 1 node)"


@pytest.mark.parametrize(
    ("reason", "constraint", "cause"),
    [
        (MEMORY, None, "resources"),
        (PORT, "node.id!=w1", "port"),
        (MEMORY, "node.labels.zone==a", "resources"),
        (PORT, "node.platform.arch==x86_64", "constraint"),
        (MEMORY, "node.labels.zone==z", "constraint"),
    ],
)
def test_the_cause_of_a_task_without_a_node(
    reason: str, constraint: str | None, cause: str
) -> None:
    placement = {"Placement": {"Constraints": [constraint] if constraint else []}}
    waits = [task("", "pending", slot=1, Err=reason)]
    seen = picture(services=[service(1, TaskTemplate=placement)], tasks=waits)
    assert seen.service_states[0]["cause"] == cause
    (waiting,) = found(seen, "pending").data["pending"]
    assert waiting["cause"] == cause


def test_a_dead_node_is_not_explained_by_an_exit_code_from_before() -> None:
    before = task(
        "w1",
        "failed",
        "shutdown",
        Err=CRASH,
        Timestamp="2026-11-23T19:00:00Z",
        created="2026-11-23T18:00:00Z",
    )
    nodes = [*picture().nodes[:3], node("w1", state="down")]
    seen = picture(nodes=nodes, services=[service(1)], tasks=[before, task("w1")])
    assert (seen.service_states[0]["cause"], seen.service_states[0]["trouble"]) == (
        "node_down",
        "the node does not answer",
    )


def test_a_rollback_that_was_asked_for_is_no_fault() -> None:
    document = {
        "ID": "s1",
        "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": 2}}},
        "UpdateStatus": {"State": "rollback_completed"},
    }
    for more, status in (({}, "degraded"), ({"PreviousSpec": {"Name": "web"}}, "ok")):
        check = found(picture(services=[parse_service({**document, **more})]), "updates")
        assert check.status == status
    assert check.data["rolled_back_on_request"] == ["web"]


@pytest.mark.parametrize(
    ("state", "autolock", "advice"),
    [
        ("locked", True, "unlock m2: docker swarm unlock"),
        ("unknown", True, "start the engine there and unlock the managers"),
        ("unknown", False, "start the engine there"),
    ],
)
def test_a_manager_that_is_down_is_unlocked_where_that_is_what_it_waits_for(
    state: str, autolock: bool, advice: str
) -> None:
    nodes = [*picture().nodes[:1], node("m2", "manager", state="down")]
    cluster = {"Spec": {"EncryptionConfig": {"AutoLockManagers": autolock}}}
    hosts = {"web-2": {"host": {"hostname": "m2"}, "swarm": {"state": state}}}
    seen = picture(nodes=nodes, cluster=cluster)
    assert found(seen, "nodes", HostContext(hosts)).advice == advice


def test_choices_worth_knowing_are_noted_and_no_fault() -> None:
    ports = {"EndpointSpec": {"Ports": [{"PublishedPort": 80}]}}
    shown = {
        "ID": "s1",
        "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": 2}}, **ports},
        "Endpoint": {"VirtualIPs": [{"NetworkID": "n1"}, {"NetworkID": "n2"}]},
    }
    networks: list[dict[str, Any]] = [
        {"Id": "n1", "Name": "ingress", "Ingress": True, "Options": {"vxlanid_list": "4096"}},
        {"Id": "n2", "Name": "front", "Options": {"encrypted": ""}},
        {"Id": "n3", "Name": "nobody_uses_it", "Options": None},
    ]
    seen = picture(services=[parse_service(shown)], networks=networks)
    check = found(seen, "encryption")
    assert check.status == "noted"
    assert check.data == {"unencrypted": ["ingress"], "published": ["web"]}
    assert found(seen, "autolock").status == "noted"
    assert health_result(seen)["verdict"] == "healthy"
    assert "autolock" in render(health_result(seen))
    networks[0]["Options"]["encrypted"] = ""
    assert found(seen, "encryption").status == "ok"


@pytest.mark.parametrize(
    ("state", "key", "status"),
    [
        ("paused", "paused", "degraded"),
        ("rollback_paused", "paused", "degraded"),
        ("rollback_completed", "rolled_back", "degraded"),
        ("updating", "going_on", "ok"),
        ("completed", None, "ok"),
    ],
)
def test_updates(state: str, key: str | None, status: str) -> None:
    check = found(picture(services=[service(update=state)]), "updates")
    assert check.status == status
    assert [name for name, services in check.data.items() if services] == ([key] if key else [])


def test_a_job_is_asked_for_nothing() -> None:
    job = parse_service({"ID": "s1", "Spec": {"Name": "job", "Mode": {"ReplicatedJob": {}}}})
    seen = picture(services=[job], tasks=[task("m1", "failed", "shutdown")])
    assert statuses(seen)["services"] == "ok"


# Networks


def network(subnet: str, **more: Any) -> dict[str, Any]:
    return {"Id": "n1", "Name": "shop", "IPAM": {"Config": [{"Subnet": subnet}]}, **more}


def test_addresses_are_taken_by_tasks_nodes_and_services() -> None:
    tasks = [task("m1", slot=number, networks=("n1",)) for number in range(4)]
    tasks += [task("w1", "shutdown", "shutdown", slot=9, networks=("n1",))]
    vip = {**service(4), "Endpoint": {"Ports": [], "VirtualIPs": [{"NetworkID": "n1"}]}}
    seen = picture(services=[vip], tasks=tasks, networks=[network("10.0.1.0/28")])
    check = found(seen, "networks")
    # Four tasks, one node, one virtual address; the task that is over holds none.
    assert check.data["networks"] == {"shop": {"used": 6, "size": 13}}
    assert check.status == "ok"
    assert (
        found(seen, "networks", HostContext(), Thresholds(network_percent=40)).status == "degraded"
    )
    tight = picture(services=[vip], tasks=tasks, networks=[network("10.0.1.0/29")])
    assert found(tight, "networks").status == "degraded"
    every_node = picture(tasks=[], networks=[network("10.0.1.0/29", Ingress=True)])
    assert found(every_node, "networks").data["networks"]["shop"]["used"] == 4


def test_published_ports_and_virtual_addresses_without_ipvs() -> None:
    def kernel(has: bool | None) -> HostContext:
        return around(m1={"host": {"kernel_features": {"ip_vs": has}}})

    port = picture(services=[service(EndpointSpec={"Ports": [{"TargetPort": 80}]})])
    assert found(port, "mesh", kernel(False)).data["published"] == ["web"]
    assert found(port, "mesh", kernel(False)).status == "degraded"
    assert found(port, "mesh", kernel(True)).status == "ok"
    assert found(port, "mesh", kernel(None)).status == "skipped"
    host = picture(services=[service(EndpointSpec={"Ports": [{"PublishMode": "host"}]})])
    assert found(host, "mesh", kernel(False)).status == "ok"
    ingress = {**network("10.0.0.0/24", Ingress=True), "Id": "n0"}
    for on, status in (("n1", "degraded"), ("n0", "ok")):
        vip = {**service(), "Endpoint": {"Ports": [], "VirtualIPs": [{"NetworkID": on}]}}
        seen = picture(services=[vip], networks=[ingress])
        assert found(seen, "mesh", kernel(False)).status == status


# Certificates, clocks, disks


def test_the_validity_is_what_openssl_says() -> None:
    assert validities(CA) == [(BEGINS, ENDS)]
    assert validities(CA + CA) == [(BEGINS, ENDS)] * 2


@given(st.integers(0, 500), st.binary(max_size=6))
def test_a_damaged_certificate_is_none_and_no_crash(at: int, junk: bytes) -> None:
    body = CA[:at] + junk.decode("latin-1") + CA[at + len(junk) :]
    for validity in validities(body) + validities(CA[:at]):
        assert len(validity) == 2


@pytest.mark.parametrize(
    ("days_before_the_end", "status"), [(400, "ok"), (29, "degraded"), (-1, "failed")]
)
def test_the_ca_expires(days_before_the_end: int, status: str) -> None:
    seen = picture(now=(ENDS or 0.0) - days_before_the_end * 86400)
    assert found(seen, "certificates").status == status


def test_a_node_s_certificate_counts_only_when_its_renewal_is_overdue() -> None:
    own = HostContext(certificate=CA)
    limits = Thresholds(ca_days=0, certificate_days=3000)
    young = picture(now=NOW)
    assert found(young, "certificates", own, Thresholds(certificate_days=9000)).status == "ok"
    late = picture(now=(ENDS or 0.0) - 500 * 86400)
    assert found(late, "certificates", own, limits).status == "degraded"
    assert found(late, "certificates", own, limits).data["certificate_days"] == 500
    assert found(picture(cluster={}), "certificates").status == "skipped"


def test_clocks_are_compared_with_each_other_and_not_with_the_controller() -> None:
    hosts = {name: {"clock": {"skew": 40.0}} for name in ("m1", "m2", "w1")}
    assert found(picture(), "clock", around(**hosts)).status == "ok"
    hosts["m2"] = {"clock": {"skew": 0.0}}
    check = found(picture(), "clock", around(**hosts))
    assert (check.status, check.data["off"]) == ("degraded", {"m2": -40.0})
    wide = Thresholds(clock_skew=60)
    assert found(picture(), "clock", around(**hosts), wide).status == "ok"
    assert found(picture(), "clock", around(m1=hosts["m1"])).status == "skipped"


def test_a_full_disk() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "m1": {"host": {"disk": {"free_bytes": 5, "total_bytes": 100}}},
        "w1": {"host": {"disk": {"free_bytes": 50, "total_bytes": 100}}},
        "w2": {"host": {"disk": None}},
        "w3": {},
    }
    check = found(picture(), "disk", around(**hosts))
    assert check.status == "degraded"
    assert "m1 5%" in check.message
    assert "w1" not in check.message
    little = Thresholds(disk_free_percent=5)
    check = found(picture(), "disk", around(**hosts), little)
    assert check.status == "ok"
    # What nobody has looked at may be full.
    assert check.data["not_looked_at"] == ["m2", "m3"]
    assert check.message.endswith("not checked: m2, m3")


# What keeps us from looking


@pytest.mark.parametrize(
    ("seen", "verdict", "name", "code"),
    [
        (SwarmSnapshot(Member("locked")), "failed", "swarm", "locked"),
        (SwarmSnapshot(Member("inactive")), "unknown", "swarm", "not_in_swarm"),
        (SwarmSnapshot(Member("pending")), "unknown", "swarm", "joining"),
        (SwarmSnapshot(Member("active", role="worker")), "unknown", "swarm", "not_manager"),
        (SwarmSnapshot(Member("error", error="x")), "failed", "swarm", "swarm_error"),
        (SwarmSnapshot(trouble=SwarmError("no_quorum", "why")), "failed", "quorum", "no_quorum"),
        (
            SwarmSnapshot(trouble=SwarmError("engine_unreachable", "why")),
            "unknown",
            "engine",
            "engine_unreachable",
        ),
        (SwarmSnapshot(trouble=SwarmError("no_sdk", "why")), "unknown", "engine", "no_sdk"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_states_are_told_apart(seen: SwarmSnapshot, verdict: str, name: str, code: str) -> None:
    result = finish(health_result(seen), ["healthy"], "brief", 1)
    assert result["verdict"] == verdict
    assert [c["name"] for c in result["checks"] if c["status"] in ("unknown", "failed")] == [name]
    assert result["failure"]["code"] == code
    # Also where another check was asked for: a verdict is not made of nothing.
    assert health_result(seen, only=["disk"])["verdict"] == verdict


def test_a_verdict_that_is_not_accepted_is_a_failure_with_all_that_was_seen() -> None:
    seen = health_result(picture(nodes=picture().nodes[:3]))
    for how in ("brief", "table", "json"):
        good = finish(seen, ["degraded"], how, 3)
        bad = finish(seen, ["healthy"], how, 3)
        assert "failure" not in good
        assert bad["failure"]["code"] == "not_accepted"
        assert good.items() <= bad.items()
    line = finish(seen, ["degraded"], "json", 3)["report"]
    assert "\n" not in line
    assert json.loads(line)["verdict"] == "degraded"


def test_the_result_has_one_shape() -> None:
    whole, broken = (
        health_result(picture()),
        health_result(SwarmSnapshot(trouble=SwarmError("no_quorum", "why"))),
    )
    assert whole.keys() == broken.keys()
    assert whole["managers"].keys() == broken["managers"].keys()
    assert [check["name"] for check in whole["checks"]] == list(CHECKS)
    assert [check["name"] for check in broken["checks"]] == list(CHECKS)
    assert len({tuple(check) for check in whole["checks"] + broken["checks"]}) == 1
    assert "VERDICT  healthy" in render(whole)
    assert "VERDICT  failed" in render(broken)


def test_each_check_can_be_chosen() -> None:
    for name in CHECKS:
        assert [check.name for check in evaluate(picture(), only=[name])] == [name]
    assert verdict_of([]) == "unknown"


def test_a_table_of_thousands_shows_what_is_not_well() -> None:
    names = [f"w{number:04}" for number in range(500)]
    nodes = [*picture().nodes, *(node(name) for name in names), node("dead", state="down")]
    text = render(health_result(picture(nodes=nodes)))
    assert "dead" in text
    assert "w0007" not in text
    assert "and 504 more" in text
    assert len(text.splitlines()) < MOST_ROWS


def test_the_module_documents_every_check_and_threshold() -> None:
    source = MODULE.read_text(encoding="utf-8")
    documentation = yaml.safe_load(source.split('r"""')[1].split('"""')[0])["options"]
    assert documentation["checks"]["choices"] == list(CHECKS)
    described = " ".join(documentation["checks"]["description"])
    assert not [name for name in CHECKS if f"V({name})" not in described]
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    options = shared["thresholds"]["suboptions"]
    assert {name: option["default"] for name, option in options.items()} == {
        each.name: each.default for each in fields(Thresholds)
    }


# What is read


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "ID Spec Status Mode Name Replicated State Endpoint Ports NetworksAttachments "
                "TaskTemplate UpdateStatus ServiceID NodeID EndpointSpec VirtualIPs IPAM Config".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON.filter(lambda item: isinstance(item, dict)), max_size=4))
def test_odd_tasks_and_services_never_crash(documents: list[dict[str, Any]]) -> None:
    seen = picture(
        services=[parse_service(document) for document in documents],
        tasks=[parse_task(document) for document in documents],
        networks=documents,
    )
    render(health_result(seen), every=True)


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers())), st.integers(1, 9))
def test_a_list_is_the_same_in_chunks_of_any_size(documents: list[Any], size: int) -> None:
    whole = json.dumps(documents, ensure_ascii=False).encode("utf-8", "replace")
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert list(elements(chunks)) == json.loads(whole)


@pytest.mark.parametrize("text", [b"", b"[", b'[{"a": 1}', b'[{"a": '])
def test_a_list_that_is_cut_off_is_no_shorter_list(text: bytes) -> None:
    with pytest.raises(ValueError, match="middle"):
        list(elements([text]))
    assert list(elements([b"null\n"])) == []
