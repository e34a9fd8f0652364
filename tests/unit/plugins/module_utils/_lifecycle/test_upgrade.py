# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of upgrades, what speaks against one, and that a run that is killed anywhere is finished by the next one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.hazards import HAZARDS
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.upgrade import (
    UpgradePlan,
    go_back,
    plan_upgrades,
)

ZONES = {"m1": "a", "m2": "b", "m3": "c", "w1": "a", "w2": "b", "w3": "b"}
OLD, NEW = "20.10.24+dfsg1-1+deb12u1", "26.1.5+dfsg1-9"
MB = 1024 * 1024
World = dict[str, dict[str, Any]]


def swarm(zones: dict[str, str] | None = None, leader: str = "m1") -> World:
    """What swarm_host_info says on each host of a swarm that is well."""
    zones = ZONES if zones is None else zones
    nodes = [
        {
            "id": f"id-{name}",
            "role": "manager" if name.startswith("m") else "worker",
            "leader": name == leader,
            "availability": "active",
            "state": "ready",
            "engine_version": "20.10.24+dfsg1",
            "labels": {"zone": zone, "flotilla.swarm.host": name},
        }
        for name, zone in zones.items()
    ]
    return {
        name: {
            "host": {
                "upgrade_note": None,
                "restart_pending": False,
                "broken_packages": False,
                "daemon_config": {},
                "files": {},
            },
            "engine": {"version": "20.10.24+dfsg1"},
            "swarm": {
                "state": "active",
                "node_id": f"id-{name}",
                "cluster_id": "c" if name.startswith("m") else None,
                "nodes": nodes if name.startswith("m") else None,
            },
        }
        for name in zones
    }


def offer(**changes: Any) -> dict[str, Any]:
    """What swarm_upgrade_info finds on a host that has the old engine."""
    return {
        "packages": ["docker.io", "docker-cli", "containerd"],
        "installed": OLD,
        "target": NEW,
        "install": {"docker.io": NEW, "docker-cli": NEW},
        "before": {"docker.io": OLD, "docker-cli": None},
        "remove": [],
        "disks": [{"path": "/usr", "free_bytes": 5000 * MB, "need_bytes": 100 * MB}],
        "problem": None,
        "engine": {"storage_driver": "overlay2", "encrypted_networks": []},
        "iptables": {"flavour": "nf_tables", "chains": ["nf_tables"]},
        **changes,
    }


def offers(world: World, **changes: Any) -> World:
    return {name: offer(**changes) for name in world}


def upgraded() -> dict[str, Any]:
    return offer(installed=NEW, install={}, before={})


def node(world: World, name: str) -> dict[str, Any]:
    seen = next(each["swarm"]["nodes"] for each in world.values() if each["swarm"]["nodes"])
    found: dict[str, Any] = next(n for n in seen if n["id"] == f"id-{name}")
    return found


def names(plan: UpgradePlan) -> list[list[str]]:
    assert not plan.refusals, plan.refusals
    return [[host.name for host in batch] for batch in plan.batches]


def text(plan: UpgradePlan) -> str:
    return "\n".join(plan.lines())


def test_zone_by_zone_workers_first_and_the_leader_last() -> None:
    world = swarm()
    plan = plan_upgrades(world, offers(world), "26.1")
    assert plan.lines() == [
        "PLAN  upgrade of the engine to 26.1, one zone at a time, acting on m1",
        "  1  zone b  w2  worker                   20.10.24 -> 26.1.5",
        "  2  zone b  w3  worker                   20.10.24 -> 26.1.5",
        "  3  zone b  m2  manager                  20.10.24 -> 26.1.5",
        "  4  zone c  m3  manager                  20.10.24 -> 26.1.5",
        "  5  zone a  w1  worker                   20.10.24 -> 26.1.5",
        "  6  zone a  m1  leader, so the last one  20.10.24 -> 26.1.5",
        f"  ~ w2, w3, m2, m3, w1, m1: docker.io {OLD} -> {NEW}, docker-cli {NEW} (new)",
        (
            "  ! engine 25 refuses clients whose API version is below 1.24 (Docker 1.11 and older)"
            " (https://docs.docker.com/engine/release-notes/25.0/)"
        ),
    ]
    assert names(plan_upgrades(world, offers(world), "26.1", batch=2))[0] == ["w2", "w3"]


def test_hosts_at_the_target_are_skipped() -> None:
    world = swarm()
    found = offers(world)
    for name in ("w1", "m2"):
        found[name] = upgraded()
        world[name]["engine"]["version"] = "26.1.5+dfsg1"
    plan = plan_upgrades(world, found, "26.1")
    assert names(plan) == [["w2"], ["w3"], ["m3"], ["m1"]]
    assert "  = m2, w1: already at 26.1.5" in plan.lines()
    for name in world:
        found[name] = upgraded()
        world[name]["engine"]["version"] = "26.1.5+dfsg1"
    assert plan_upgrades(world, found, "26.1").batches == []


def test_an_engine_that_was_not_restarted_is_not_at_the_target() -> None:
    world = swarm()
    found = {name: upgraded() for name in world}
    plan = plan_upgrades(world, found, "26.1", ["w1"])
    assert names(plan) == [["w1"]]
    assert plan.lines()[1].endswith("20.10.24 -> 26.1.5, restart only")
    for name in world:
        world[name]["engine"]["version"] = "26.1.5+dfsg1"
    assert plan_upgrades(world, found, "26.1").batches == []
    world["w1"]["host"]["restart_pending"] = True
    assert names(plan_upgrades(world, found, "26.1")) == [["w1"]]


def test_a_half_done_host_comes_first_and_keeps_its_way_back() -> None:
    world = swarm()
    found = offers(world)
    world["w3"]["host"]["upgrade_note"] = plan_upgrades(world, found, "26.1").notes()["w3"]
    # Killed between two packages, after the drain.
    node(world, "w3")["availability"] = "drain"
    found["w3"] = offer(installed=NEW, install={"docker-cli": NEW}, before={"docker-cli": None})
    plan = plan_upgrades(world, found, "26.1")
    assert names(plan)[0] == ["w3"]
    host = plan.hosts[0]
    assert host.comes_back
    assert plan.notes()["w3"]["before"] == {"docker.io": OLD, "docker-cli": None}
    assert plan.notes()["w3"]["install"] == {"docker.io": NEW, "docker-cli": NEW}
    assert plan.packages()["w3"]["install"] == [{"name": "docker-cli", "version": NEW}]
    assert "20.10.24 -> 26.1.5, resumed" in plan.lines()[1]
    assert f"docker.io={OLD} docker-cli- && systemctl restart" in go_back(host)
    # Killed after the restart.
    found["w3"] = upgraded()
    world["w3"]["engine"]["version"] = "26.1.5+dfsg1"
    plan = plan_upgrades(world, found, "26.1")
    assert "already upgraded, only goes back into service" in plan.lines()[1]
    assert "w3" not in plan.notes()
    assert plan.records()["w3"]["before"] == {"docker.io": OLD, "docker-cli": None}
    assert plan.records()["w3"]["done"]
    other = plan_upgrades(world, found, "26.1", ["w1"])
    assert "  ! w3: pending from an interrupted run, but not selected" in other.lines()


def test_a_half_done_host_that_goes_back_forgets_what_it_was_to_install() -> None:
    world = swarm()
    found = offers(world)
    world["w3"]["host"]["upgrade_note"] = plan_upgrades(world, found, "26.1").notes()["w3"]
    found["w3"] = offer(
        installed=NEW,
        target=OLD,
        install={"docker.io": OLD},
        remove=["docker-cli"],
        before={"docker.io": NEW, "docker-cli": NEW},
    )
    note = plan_upgrades(world, found, "20.10", ["w3"], accepted=["downgrade"]).notes()["w3"]
    # A run that is killed within dpkg installs what the note says.
    assert note["install"] == {"docker.io": OLD}
    assert note["remove"] == ["docker-cli"]
    assert note["before"] == {"docker.io": OLD, "docker-cli": None}


def test_an_engine_that_did_not_come_back_is_taken_up_again_without_a_healthy_swarm() -> None:
    world = swarm()
    found = offers(world)
    world["w1"]["host"]["upgrade_note"] = plan_upgrades(world, found, "26.1").notes()["w1"]
    node(world, "w1").update(availability="drain", state="down")
    world["w1"]["swarm"].update(state="unknown", node_id=None)
    world["w1"]["engine"]["version"] = None
    found["w1"] = upgraded()
    plan = plan_upgrades(world, found, "26.1")
    assert names(plan)[0] == ["w1"]
    assert not plan.gate
    assert plan.hosts[0].comes_back
    assert plan_upgrades(swarm(), offers(world), "26.1").gate


def test_a_locked_manager_is_unlocked_first() -> None:
    world = swarm()
    world["m2"]["swarm"].update(state="locked", node_id=None, cluster_id=None, nodes=None)
    plan = plan_upgrades(world, offers(world), "26.1")
    assert "  ! m2: locked: the run unlocks it first" in plan.lines()
    assert ["m2"] in names(plan)
    for name in ("m1", "m3"):
        world[name]["swarm"] = dict(world["m2"]["swarm"])
    (why,) = plan_upgrades(world, offers(world), "26.1").refusals
    assert "set swarm_unlock_key" in why


def test_a_node_that_was_drained_by_hand_stays_drained() -> None:
    world = swarm()
    node(world, "w1")["availability"] = "drain"
    plan = plan_upgrades(world, offers(world), "26.1", ["w1"])
    assert plan.lines()[1].endswith("20.10.24 -> 26.1.5; drained, stays drained")
    assert not plan.notes()["w1"]["in_service"]


def test_hosts_that_cannot_be_upgraded_are_all_named_before_anything_changes() -> None:
    world = swarm()
    found = offers(world)
    found["w1"]["problem"] = found["w2"]["problem"] = {"code": "no_version", "message": "no 26.1"}
    found["m2"]["disks"] = [{"path": "/usr", "free_bytes": 550 * MB, "need_bytes": 100 * MB}]
    del found["m3"]
    world["w3"] = {}
    plan = plan_upgrades(world, found, "26.1")
    assert not plan.batches
    assert plan.refusals == [
        "w3 does not answer: bring it back, or leave it out",
        "m2: /usr has 550 MB free, and the upgrade needs 600 MB: free space, or lower swarm_upgrade_disk_free_mb",
        "m3: its packages could not be read: run with become, and see the task before",
        "w1, w2: no 26.1",
    ]
    assert "there is no host w9" in plan_upgrades(world, found, "26.1", ["w9"]).refusals[0]
    nobody = plan_upgrades({"w1": swarm()["w1"]}, {}, "26.1")
    assert "no host of the inventory is a manager" in nobody.refusals[0]


def test_a_downgrade_needs_consent() -> None:
    world = swarm()
    found = offers(
        world, installed=NEW, target=OLD, install={"docker.io": OLD}, remove=["docker-cli"]
    )
    (why,) = plan_upgrades(world, found, "20.10").refusals
    assert "26.1.5 is installed, and 20.10.24 is older" in why
    assert why.endswith("or add downgrade to swarm_upgrade_accepted_risks")
    plan = plan_upgrades(world, found, "20.10", accepted=["downgrade"])
    assert len(plan.batches) == 6
    assert plan.packages()["w1"]["remove"] == ["docker-cli"]


def test_the_swarm_has_two_releases_at_most() -> None:
    world = swarm()
    found = offers(world)
    node(world, "w3")["engine_version"] = "24.0.7"
    (why,) = plan_upgrades(world, found, "26.1", ["w1"]).refusals
    assert "more than two releases at a time (20.10, 24.0, 26.1)" in why
    plan = plan_upgrades(world, found, "26.1", ["w1"], accepted=["skew"])
    assert "nodes that stay at 20.10: 4 of 6, with 3 managers;" in text(plan)
    node(world, "w3")["engine_version"] = "26.1.5"
    assert not plan_upgrades(world, found, "26.1", ["w1"]).refusals
    found["w2"]["target"] = "28.5.2-1"
    (why,) = plan_upgrades(world, found, "newest", ["w1", "w2"]).refusals
    assert "engines of different releases (26.1: w1; 28.5: w2)" in why


def test_a_lost_quorum_needs_consent() -> None:
    world = swarm({"m1": "a", "m2": "b", "w1": "c"})
    assert "one of 2 managers" in plan_upgrades(world, offers(world), "26.1").refusals[0]
    assert not plan_upgrades(world, offers(world), "26.1", ["w1"]).refusals
    plan = plan_upgrades(world, offers(world), "26.1", accepted=["quorum"])
    assert "one of 2 managers" in text(plan)
    assert len(plan.batches) == 3


@pytest.mark.parametrize(
    ("risk", "versions", "change"),
    [
        ("encrypted_overlays", ("28.5.2", "29.1.0"), {"encrypted_networks": ["secure"]}),
        ("storage_driver", ("20.10.24", "26.1.5"), {"storage_driver": "aufs"}),
        ("storage_driver", ("24.0.7", "26.1.5"), {"storage_driver": "devicemapper"}),
        ("live_restore", ("26.1.4", "26.1.5"), {"live_restore": True}),
    ],
)
def test_hazards_that_stop_services_are_refused(
    risk: str, versions: tuple[str, str], change: dict[str, Any]
) -> None:
    world = swarm()
    for each in world.values():
        each["engine"]["version"] = versions[0]
    for name in ZONES:
        node(world, name)["engine_version"] = versions[0]
    found = offers(world, installed=versions[0], target=versions[1])
    assert not plan_upgrades(world, found, "x").refusals
    found["m1"]["engine"] = {**found["m1"]["engine"], **change}
    (why,) = plan_upgrades(world, found, "x").refusals
    assert f"add {risk} to swarm_upgrade_accepted_risks" in why
    assert "(https://" in why
    plan = plan_upgrades(world, found, "x", accepted=[risk])
    assert len(plan.batches) == 6
    assert "(https://" in text(plan)


def test_hazards_that_do_not_stop_services_are_warnings() -> None:
    world = swarm()
    for each in world.values():
        each["engine"]["version"] = "28.5.2"
    found = offers(world, installed="28.5.2", target="29.1.0")
    found["w1"]["iptables"] = {"flavour": "nf_tables", "chains": ["legacy"]}
    plan = plan_upgrades(world, found, "29", accepted=["skew"])
    assert "  ! w1: two flavours of iptables are in use (legacy and nf_tables)" in text(plan)
    for source in ("moby/issues/53141", "release-notes/29/", "moby/issues/46636"):
        assert source in text(plan)
    assert "below 1.24" not in text(plan)


def test_every_hazard_has_a_source_and_a_name() -> None:
    for hazard in HAZARDS:
        assert hazard.source.startswith("https://")
        assert hazard.name.replace("_", "").isalnum()
        assert hazard.text


def test_daemon_json_that_the_new_engine_does_not_take() -> None:
    world = swarm()
    world["w1"]["host"]["daemon_config"] = {"cluster-store": "consul://x", "log-driver": "local"}
    (why,) = plan_upgrades(world, offers(world), "26.1").refusals
    assert why.startswith("w1: daemon.json has cluster-store, which the new engine does not know")


def test_a_pin_in_the_inventory_that_does_not_fit_is_told() -> None:
    world = swarm()
    plan = plan_upgrades(world, offers(world), "26.1", pins={"w1": "20.10", "w2": "26.1", "m1": ""})
    assert "  ! w1: docker_engine_version is 20.10 in the inventory" in text(plan)


# A run that is killed anywhere

MOMENTS = ("note", "drain", "unpack", "install", "restart", "activate", "record")


def step(world: World, found: World, plan: UpgradePlan, name: str, moment: str) -> None:
    """What the playbook does to a host, as far as the next plan sees it."""
    host = next(each for each in plan.hosts if each.name == name)
    seen = world[name]["host"]
    if moment == "note" and name in plan.notes():
        seen["upgrade_note"] = plan.notes()[name]
    elif moment == "drain" and not host.at_target:
        node(world, name)["availability"] = "drain"
    elif moment == "unpack" and host.install:
        seen["broken_packages"] = seen["restart_pending"] = True
        found[name] = offer(
            installed=None,
            install=seen["upgrade_note"]["install"],
            before=seen["upgrade_note"]["before"],
            disks=[],
        )
    elif moment == "install" and not host.at_target:
        seen["broken_packages"] = False
        found[name] = upgraded()
    elif moment == "restart" and not host.at_target:
        seen["restart_pending"] = False
        world[name]["engine"]["version"] = node(world, name)["engine_version"] = "26.1.5+dfsg1"
    elif moment == "activate" and host.comes_back:
        node(world, name)["availability"] = "active"
    elif moment == "record":
        seen["upgrade_note"] = plan.records()[name]


@given(
    kills=st.lists(st.integers(0, len(ZONES) * len(MOMENTS)), max_size=4),
    leader=st.sampled_from(["m1", "m2", "m3"]),
    batch=st.integers(1, 3),
    drained=st.sets(st.sampled_from(sorted(ZONES)), max_size=2),
)
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(
    kills: list[int], leader: str, batch: int, drained: set[str]
) -> None:
    world = swarm(leader=leader)
    found = offers(world)
    for name in drained:
        node(world, name)["availability"] = "drain"
    for steps in [*kills, None]:
        plan = plan_upgrades(world, found, "26.1", batch=batch)
        assert not plan.refusals
        order = [host for each in plan.batches for host in each]
        fresh = [host for host in order if not host.pending]
        assert order == [host for host in order if host.pending] + fresh
        assert all(len(each) == 1 for each in plan.batches if each[0].manager)
        assert all(len({host.zone for host in each}) == 1 for each in plan.batches)
        if any(host.leader for host in fresh):
            assert fresh[-1].leader
        work = [(h.name, m) for each in plan.batches for m in MOMENTS for h in each]
        for name, moment in work[:steps]:
            step(world, found, plan, name, moment)
    for name in ZONES:
        assert world[name]["engine"]["version"] == "26.1.5+dfsg1"
        assert node(world, name)["availability"] == ("drain" if name in drained else "active")
        note = world[name]["host"]["upgrade_note"]
        assert note["done"]
        assert note["before"] == {"docker.io": OLD, "docker-cli": None}
    assert plan_upgrades(world, found, "26.1").batches == []
