# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order the hosts of a swarm leave it, what a reset refuses, and that an interrupted one is completed."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import backup_units, reset
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.reset_plan import (
    DEPTHS,
    NO_SWARM,
    NodeIdentity,
    bad_data_root,
    identity_of,
    plan_reset,
    result_lines,
)

ID, OTHER = "ywgzah2b3s7fowifu06yqmwrt", "he1y5v9uh0pzhng2t58gldmhb"
HOSTS = ("m1", "m2", "m3", "w1", "w2")
# Of a worker of the lab.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIICKDCCAc+gAwIBAgIUb0ze8WjZfk3/XSjYbXjkOi2LyukwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAxMIc3dhcm0tY2EwHhcNMjYxMTI5MDY0ODAwWhcNMjcwMjI3MDc0
ODAwWjBfMSIwIAYDVQQKExl5d2d6YWgyYjNzN2Zvd2lmdTA2eXFtd3J0MRUwEwYD
VQQLEwxzd2FybS13b3JrZXIxIjAgBgNVBAMTGTQ0bzN4dXVvanNlbGlybHVqd3dw
b3A2czIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARvSA45SsayFlSU+plw6t79
fxFWrv1Aer53CKX9BKSzTiIwR190dvsnef3RobmUWRxgjY/5Pn8cLblPgOHjm1xY
o4G0MIGxMA4GA1UdDwEB/wQEAwIFoDAdBgNVHSUEFjAUBggrBgEFBQcDAQYIKwYB
BQUHAwIwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUKaa5lCFpmEukvEqIkkYQeQhs
ZwowHwYDVR0jBBgwFoAUunI4hrDhqik1shBjCc0QBo8Be+YwMgYDVR0RBCswKYIM
c3dhcm0td29ya2Vyghk0NG8zeHV1b2pzZWxpcmx1and3cG9wNnMyMAoGCCqGSM49
BAMCA0cAMEQCIFaIMyGUXM1yp9Sifu/usB9GQcHpyF+c5phL80Fr9ov2AiAGthm9
JJeZziHy41CIpY95yWJP2h+Z28UvxnxyYTQGrA==
-----END CERTIFICATE-----
"""


def host(name: str, **more: Any) -> dict[str, Any]:
    """A host of a swarm that is well, as the module swarm_reset describes it."""
    manager = name.startswith("m")
    nodes = [
        {
            "id": f"id-{each}",
            "name": each,
            "role": "manager" if each < "n" else "worker",
            "addr": each,
        }
        for each in HOSTS
    ]
    objects = {"stacks": ["shop"], "services": ["shop_web", "shop_agent"], "secrets": ["token"]}
    return {
        "state": "active",
        "answers": True,
        "cluster_id": ID,
        "node_id": f"id-{name}",
        "role": "manager" if manager else "worker",
        "addresses": [name],
        "nodes": nodes if manager else None,
        "remote_managers": [
            {"node_id": f"id-{m}", "addr": f"{m}:2377"} for m in ("m1", "m2", "m3")
        ],
        "objects": {**objects, "configs": [], "networks": ["shop_default"]} if manager else None,
        "volumes": 2 if name == "w1" else 0,
        "containers": 1,
        "packages": ["docker.io"],
        "files": [],
        "data": True,
        "data_root": "/var/lib/docker",
        "note": None,
        "notes": [],
        "services": [],
        **more,
    }


def swarm() -> dict[str, dict[str, Any]]:
    return {name: host(name) for name in HOSTS}


def out(name: str, noted: bool = True, **more: Any) -> dict[str, Any]:
    """A host that has left."""
    gone = {"state": "inactive", "cluster_id": None, "node_id": None, "role": None, "nodes": None}
    note = {"cluster_id": ID, "data_root": "/var/lib/docker"} if noted else None
    notes = ["/var/lib/flotilla.swarm/reset.json"] if noted else []
    rest = {"remote_managers": [], "objects": None, "note": note, "notes": notes}
    return host(name, **{**gone, **rest, **more})


def test_workers_leave_first_and_the_acting_manager_last() -> None:
    plan = plan_reset(swarm(), confirm=ID)
    assert plan.leaving == ("w1", "w2", "m2", "m3", "m1")
    assert plan.confirmed
    assert plan.lines() == [
        f"PLAN  reset of swarm {ID}, depth swarm, acting on m1",
        "  - leave   w1, w2  workers, in parallel",
        "  - leave   m2, m3  managers, in parallel, after the workers",
        "  - leave   m1      the acting manager, the last one",
        (
            "  ! lost with the swarm: 1 stack (shop), 2 services (shop_web, shop_agent), 1 secret (token), 0 configs, 1 network;"
            " its CA and join tokens"
        ),
        "  ! nothing brings secrets back but a backup: run back_up.yml first if you may need this swarm again",
        "  ! volumes stay on the hosts: w1 2",
    ]


def test_a_reset_is_confirmed_by_the_id_of_the_swarm() -> None:
    assert not plan_reset(swarm()).confirmed
    assert plan_reset(swarm()).cluster_id == ID
    wrong = plan_reset(swarm(), confirm=OTHER)
    assert wrong.refusals == (
        (
            f"swarm_reset_confirm is {OTHER}, but the hosts are in another swarm: m1, m2, m3, w1, w2 in {ID}. Set it to the ID of"
            " the swarm to reset"
        ),
    )
    assert plan_reset(swarm(), confirm=ID[:6]).refusals


def test_a_host_of_another_swarm_is_refused() -> None:
    world = {**swarm(), "w2": host("w2", cluster_id=OTHER, node_id="x")}
    plan = plan_reset(world, confirm=ID)
    assert plan.refusals[0] == (
        f"w2 is in another swarm ({OTHER}): take its line out of the inventory, or reset that swarm by itself"
    )
    assert "the inventory does not list" not in str(plan.refusals[:1])
    # Without a confirmation, it is not known which of the two is meant.
    assert "the hosts are in 2 swarms" in plan_reset(world).refusals[0]


def test_a_node_that_is_not_in_the_inventory_is_refused() -> None:
    world = {name: each for name, each in swarm().items() if name != "w2"}
    plan = plan_reset(world, confirm=ID)
    assert plan.refusals == (
        (
            "the inventory does not list w2: this node belongs to the swarm and would be orphaned: list them, or add"
            " unlisted_nodes to swarm_reset_accepted_risks"
        ),
    )
    accepted = plan_reset(world, confirm=ID, accepted=["unlisted_nodes"])
    assert not accepted.refusals
    assert "would be orphaned" in accepted.warnings[0]


def test_without_a_leader_a_manager_that_is_not_listed_is_still_found() -> None:
    world = {name: host(name, nodes=None, objects=None) for name in ("m1", "m2", "w1")}
    plan = plan_reset(world, confirm=ID)
    assert "the inventory does not list m3:2377" in plan.refusals[0]
    world["m3"] = host("m3", nodes=None, objects=None)
    plan = plan_reset(world, confirm=ID)
    assert not plan.refusals
    assert plan.leaving == ("w1", "m1", "m2", "m3")
    assert "no manager sees a leader" in plan.warnings[0]


def test_a_host_that_does_not_answer_is_refused_unless_that_is_accepted() -> None:
    world: dict[str, Any] = {**swarm(), "w1": {}}
    plan = plan_reset(world, confirm=ID)
    assert plan.refusals == (
        (
            "w1 does not answer or is not part of this run: it stays a node of a swarm that is gone: bring all hosts back and run"
            " without --limit, or add unreachable_hosts to swarm_reset_accepted_risks"
        ),
    )
    plan = plan_reset(world, confirm=ID, accepted=["unreachable_hosts"])
    assert plan.leaving == ("w2", "m2", "m3", "m1")


def test_locked_hosts_and_frozen_engines_leave_too() -> None:
    world = {
        **swarm(),
        "m2": host("m2", state="locked", nodes=None),
        "w2": host("w2", state="unknown", answers=False),
    }
    plan = plan_reset(world, confirm=ID)
    assert plan.leaving == ("w1", "w2", "m2", "m3", "m1")
    assert plan.warnings == (
        "the engine of w2 does not answer: the run stops it and removes the files of the swarm",
    )


def test_a_deeper_reset_is_for_all_hosts() -> None:
    world = {
        **swarm(),
        "w3": out("w3", noted=False),
        "w4": out("w4", False, packages=[], data=False),
    }
    plan = plan_reset(world, "engine", ID)
    assert plan.remove == ("m1", "m2", "m3", "w1", "w2", "w3")
    assert plan.done == ("w4",)
    assert "images and volumes stay on the disks: depth data removes them too" in plan.lost
    plan = plan_reset(world, "data", ID)
    assert "lost with the data: the volumes of all hosts: w1 2" in plan.lost
    assert "lost with the data: all images and containers in /var/lib/docker" in plan.lost


def test_a_bad_data_root_is_refused_before_any_host_leaves() -> None:
    observed = {**swarm(), "w2": host("w2", data_root="/var")}
    plan = plan_reset(observed, "data", ID)
    assert [text.partition(":")[0] for text in plan.refusals] == [
        "the data-root of w2 is /var, and it is a folder of the system"
    ]
    assert plan_reset(observed, "engine", ID).refusals == ()


def test_hosts_without_a_swarm_are_confirmed_by_another_word() -> None:
    world = {name: out(name, noted=False) for name in HOSTS}
    plan = plan_reset(world, confirm=ID)
    assert "no host is in a swarm" in plan.refusals[0]
    nothing = plan_reset(world)
    assert not nothing.needed
    assert nothing.cluster_id == NO_SWARM
    engine = plan_reset(world, "engine", NO_SWARM)
    assert engine.confirmed
    assert engine.remove == HOSTS
    assert engine.lines()[0] == "PLAN  reset of hosts in no swarm, depth engine"


def test_an_old_note_does_not_count_if_the_host_is_in_a_swarm_now() -> None:
    world = swarm()
    world["w1"]["note"] = {"cluster_id": OTHER}
    assert plan_reset(world, confirm=ID).refusals == ()
    world["w2"] = out("w2", note={"cluster_id": OTHER})
    plan = plan_reset(world, confirm=ID, accepted=["unlisted_nodes"])
    assert plan.cluster_id == ID


@given(
    st.sampled_from(DEPTHS),
    st.lists(st.sampled_from(HOSTS), unique=True),
    st.dictionaries(st.sampled_from(HOSTS), st.sampled_from(("locked", "unknown", "error"))),
    st.booleans(),
)
def test_an_interrupted_reset_is_completed(
    depth: str, killed_at: list[str], sick: dict[str, str], quorum: bool
) -> None:
    """The run is killed after some hosts have left; the next one does the rest, with the same confirmation."""
    world = swarm()
    for name, state in sick.items():
        world[name].update(state=state, nodes=None, objects=None, answers=state != "unknown")
    if not quorum:
        for each in world.values():
            each.update(nodes=None, objects=None)
    first = plan_reset(world, depth, ID)
    assert not first.refusals
    assert set(first.leaving) == set(HOSTS)
    order = first.leaving
    # No manager leaves before the last worker, and the acting one is the last.
    assert [name[0] for name in order] == sorted((name[0] for name in order), reverse=True)
    assert order[-1] == first.acting
    done = order[: len(killed_at)]
    for name in done:
        world[name] = out(name, noted=depth != "swarm")
    left = plan_reset(copy.deepcopy(world), depth, ID)
    if len(done) == len(HOSTS) and depth == "swarm":
        # All of it is done, so nothing has the ID any more.
        assert not plan_reset(world, depth).needed
        return
    assert not left.refusals, left.refusals
    assert left.cluster_id == ID
    assert set(left.leaving) == set(HOSTS) - set(done)
    if depth != "swarm":
        assert set(left.remove) == set(HOSTS)


def test_the_result_names_what_was_done_on_each_host() -> None:
    plan = plan_reset(swarm(), confirm=ID)
    assert result_lines(plan, {"w1": ["left the swarm"], "m1": []}, ["w1", "m1"]) == [
        f"RESULT  reset of swarm {ID}, depth swarm",
        "    w1  left the swarm",
        "  = no host of this run is in the swarm any more",
    ]


def test_the_certificate_of_a_node_tells_its_swarm() -> None:
    assert identity_of(CERTIFICATE) == NodeIdentity(ID, "44o3xuuojselirlujwwpop6s2", "worker")
    assert identity_of("") is None
    assert identity_of(CERTIFICATE.replace("MII", "M!I", 1)) is None
    assert identity_of(CERTIFICATE.split("\n", 2)[0] + "\nAAAA\n-----END CERTIFICATE-----") is None


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("/var/lib/docker", False),
        ("/data/docker", False),
        ("/data/../etc", True),
        ("/", True),
        ("//", True),
        ("/var/", True),
        ("/var/lib", True),
        ("/home", True),
        ("docker", True),
        ("", True),
    ],
)
def test_a_folder_of_the_system_is_never_a_data_root(path: str, bad: bool) -> None:
    assert (bad_data_root(path) is not None) == bad


PARAMS = {"depth": "swarm", "state": "left", "cluster_id": ID}


def test_a_host_says_what_it_does_itself() -> None:
    seen = host("w1")
    assert reset.plan(seen, PARAMS) == ["leave the swarm"]
    frozen = host("w1", answers=False, state="unknown")
    assert reset.plan(frozen, PARAMS) == ["stop the engine, remove the files of the swarm"]
    with pytest.raises(SwarmError) as caught:
        reset.plan(seen, {**PARAMS, "cluster_id": OTHER})
    assert caught.value.code == "foreign_swarm"
    with pytest.raises(SwarmError):
        reset.plan(seen, {**PARAMS, "cluster_id": NO_SWARM})
    # A run was killed while the engine was stopped.
    stopped = out("w1", answers=False)
    assert reset.plan(stopped, PARAMS) == [
        "start the engine",
        "remove the notes of this collection",
    ]
    assert reset.plan(out("w1", noted=False), PARAMS) == []
    timer = [backup_units.CONFIG, f"{backup_units.UNIT_DIR}/{backup_units.TIMER}"]
    first = "remove the timers and services of this collection"
    assert reset.plan(host("m1", services=timer), PARAMS) == [first, "leave the swarm"]
    assert reset.plan(out("m1", noted=False, services=timer), PARAMS) == [first]
    assert reset.plan(seen, {**PARAMS, "state": "observed"}) == []


def test_the_depth_decides_what_is_removed() -> None:
    deep = {**PARAMS, "state": "removed", "depth": "data"}
    assert reset.plan(out("w1", files=["/etc/docker/daemon.json"]), deep) == [
        "remove docker.io, /etc/docker/daemon.json",
        "remove the data in /var/lib/docker",
        "remove the notes of this collection",
    ]
    assert reset.plan(out("w1"), {**deep, "depth": "engine"}) == [
        "remove docker.io",
        "remove the notes of this collection",
    ]
    # Notes stay until the last part is done.
    assert reset.plan(out("w1"), {**deep, "state": "left"}) == []
    with pytest.raises(SwarmError) as caught:
        reset.plan(out("w1", data_root="/var"), deep)
    assert caught.value.code == "bad_data_root"


# The host's own files


def test_only_what_the_engine_creates_counts_as_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    containerd = tmp_path / "containerd-root"
    (containerd / "io.containerd.content.v1.content").mkdir(parents=True)
    monkeypatch.setattr(reset, "CONTAINERD_ROOT", str(containerd))
    for name in ("volumes", "overlay2", "100000.100000", "mine", "lost+found"):
        (tmp_path / name).mkdir()
    found = {path.rpartition("/")[2] for path in reset._data(str(tmp_path))}
    # The folder of containerd can be a mount, which cannot be removed.
    assert found == {
        "volumes",
        "overlay2",
        "100000.100000",
        "io.containerd.content.v1.content",
    }
    assert reset._data("/var/lib") == []


def test_notes_go_and_backups_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset, "FOLDER", str(tmp_path))
    monkeypatch.setattr(reset, "NOTE", str(tmp_path / "reset.json"))
    for name in ("reset.json", "upgrade.json", "daemon.json.previous"):
        (tmp_path / name).write_text("{}")
    for name in ("stacks", "backup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.json").write_text("{}")
    # The note of the reset is the last one: an interrupted run is resumed by it.
    names = [path.rpartition("/")[2] for path in reset._notes("swarm")]
    assert names == ["stacks", "upgrade.json", "reset.json"]


def test_mounts_are_unmounted_from_the_deepest_on(monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = (
        "/dev/vda / ext4 rw 0 0\n/dev/vdb /var/lib/docker ext4 rw 0 0\n"
        "nfs:/x /var/lib/docker/volumes/a\\040b/_data nfs rw 0 0\noverlay /var/lib/docker/overlay2 overlay rw 0 0\n"
        "/dev/vdc /var/lib/docker-registry ext4 rw 0 0\n"
    )
    monkeypatch.setattr(reset.files, "text_of", lambda path: mounts)
    assert reset._mounts_below("/var/lib/docker") == [
        "/var/lib/docker/volumes/a b/_data",
        "/var/lib/docker/overlay2",
    ]


def test_mounts_in_a_data_root_that_is_a_link_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "docker").symlink_to(tmp_path / "disk")
    place = f"{tmp_path}/disk/volumes/shared/_data"
    monkeypatch.setattr(reset.files, "text_of", lambda path: f"nfs:/x {place} nfs rw 0 0\n")
    assert reset._mounts_below(str(tmp_path / "docker")) == [place]


def test_data_in_a_folder_of_the_system_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reset, "bad_data_root", lambda root: "it is a folder of the system")
    (tmp_path / "containers").mkdir()
    # This is podman's.
    assert not reset._has_data(str(tmp_path))
    (tmp_path / "volumes").mkdir()
    assert reset._has_data(str(tmp_path))
    assert reset._data(str(tmp_path)) == []


def test_the_processes_of_containers_are_found_by_their_ids(tmp_path: Path) -> None:
    mine, remapped, theirs = ("a" * 64, "b" * 64, "c" * 64)
    (tmp_path / "docker" / "containers" / mine).mkdir(parents=True)
    (tmp_path / "docker" / "1000.1000" / "containers" / remapped).mkdir(parents=True)

    def process(pid: int, comm: str, cgroup: str, *words: str) -> None:
        place = tmp_path / "proc" / str(pid)
        place.mkdir(parents=True)
        (place / "comm").write_text(f"{comm}\n")
        (place / "cgroup").write_text(f"0::{cgroup}\n")
        (place / "cmdline").write_text("\0".join(words))

    process(1, "systemd", "/init.scope")
    process(20, "nginx", f"/system.slice/docker-{mine}.scope")
    process(21, "nginx", f"/docker/{remapped}/below")
    process(22, "nginx", f"/kubepods/{theirs}")
    process(23, "containerd-shim", "/system.slice", "containerd-shim-runc-v2", "-id", mine)
    process(24, "grep", "/user.slice", "grep", mine)
    (tmp_path / "proc" / "uptime").write_text("1")
    found = reset.container_processes(str(tmp_path / "docker"), str(tmp_path / "proc"))
    assert found == [20, 21, 23]
    assert reset.container_processes(str(tmp_path / "none"), str(tmp_path / "proc")) == []


class _Hanging:
    """An engine that stops answering when it is asked to leave."""

    def __init__(self) -> None:
        self.hangs = True

    def info(self) -> dict[str, Any]:
        if self.hangs:
            raise SwarmError("no_answer", "Could not read the state of the engine.")
        return {"Swarm": {"LocalNodeState": "inactive"}}

    def get(self, _path: str, _attempt: str, **_query: Any) -> list[Any]:
        if self.hangs:
            raise SwarmError("no_answer", "Could not list the containers.")
        return []


def _leaving(monkeypatch: pytest.MonkeyPatch, clock: Any, send: Any) -> tuple[list[str], list[str]]:
    """Leave with an engine that hangs until it is stopped. Returns what was done, and the calls."""
    calls: list[str] = []
    applied: list[str] = []
    params = {**PARAMS, "docker_host": "unix:///x", "timeout": 1, "leave_timeout": 1}
    one = reset.Reset(params, lambda args, **more: (0, "", ""), applied)
    engine = _Hanging()

    class Unit:
        def stop(self) -> None:
            calls.append("stop")
            engine.hangs = False

        def start_and_wait(self, _docker_host: str) -> None:
            calls.append("start")

    for name, value in (
        ("_reader", engine),
        ("_unit", Unit()),
        ("_send", lambda *args, **query: send(engine)),
        ("_write_note", lambda seen: None),
        ("_forget", lambda depth: None),
    ):
        monkeypatch.setattr(one, name, value)
    ports: dict[str, dict[str, list[int]]] = {
        "listening": {"udp": []},
        "engine_listening": {"tcp": [], "udp": []},
    }
    for name, value in (
        ("observe_ports", lambda: ports),
        ("poll", functools.partial(reset.poll, clock=clock)),
        ("_swarm_folders", lambda root: []),
    ):
        monkeypatch.setattr(reset, name, value)
    one.carry_out(host("w1"), ["leave the swarm"])
    return applied, calls


def test_an_engine_that_hangs_while_it_leaves_is_stopped(
    monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    applied, calls = _leaving(monkeypatch, clock, lambda engine: None)
    assert applied == ["stopped the engine and removed the files of the swarm"]
    assert calls == ["stop", "start"]


def test_an_engine_that_hangs_after_it_has_left_is_restarted(
    monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    answers = iter(["inactive"])

    def send(engine: _Hanging) -> None:
        def info() -> dict[str, Any]:
            state = next(answers, None)
            if state is None and engine.hangs:
                raise SwarmError("no_answer", "Could not read the state of the engine.")
            return {"Swarm": {"LocalNodeState": "inactive"}}

        monkeypatch.setattr(engine, "info", info)

    applied, calls = _leaving(monkeypatch, clock, send)
    assert applied == ["left the swarm"]
    assert calls == ["stop", "start"]


def test_containers_are_killed_until_none_is_left(
    monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    params = {**PARAMS, "docker_host": "unix:///x", "timeout": 1}
    one = reset.Reset(params, lambda args, **more: (0, "", ""), [])
    rounds = iter([[20, 21], [21], []])
    monkeypatch.setattr(reset, "poll", functools.partial(reset.poll, clock=clock))
    monkeypatch.setattr(reset, "container_processes", lambda root: next(rounds))
    killed: list[int] = []
    monkeypatch.setattr(reset.os, "kill", lambda pid, _signal: killed.append(pid))
    one._end_containers()
    assert killed == [20, 21, 21]
    # One that hangs in the kernel.
    monkeypatch.setattr(reset, "container_processes", lambda root: [20])
    with pytest.raises(SwarmError) as caught:
        one._end_containers()
    assert caught.value.code == "not_reset"
    assert clock.time < 60


def test_what_is_left_of_overlay_networks_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interfaces, namespaces = tmp_path / "net", tmp_path / "netns"
    for folder, names in {
        interfaces: ("vx-001001-qhei8", "vx-mine", "eth0", "docker0"),
        namespaces: ("1-dmk1yi06yg", "01f49ef22c43", "ingress_sbox", "default"),
    }.items():
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    monkeypatch.setattr(reset, "_INTERFACE_FOLDER", str(interfaces))
    monkeypatch.setattr(reset, "_NAMESPACES", str(namespaces))
    params = {**PARAMS, "docker_host": "unix:///x", "timeout": 1}
    ran: list[list[str]] = []

    def run(args: list[str], **_more: Any) -> tuple[int, str, str]:
        ran.append(args)
        return 0, "", ""

    reset.Reset(params, run, [])._remove_overlays()
    namespace = namespaces / "1-dmk1yi06yg"
    assert [args[3:] for args in ran] == [
        ["umount", "--", str(namespace)],
        ["ip", "link", "delete", "dev", "vx-001001-qhei8"],
    ]
    assert sorted(each.name for each in namespaces.iterdir()) == [
        "01f49ef22c43",
        "default",
        "ingress_sbox",
    ]
