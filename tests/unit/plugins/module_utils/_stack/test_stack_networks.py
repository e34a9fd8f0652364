# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that are not as the files say: what is seen of it, what is refused, and what a replacement does."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._api.client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    DETOUR_LABEL,
    STACK_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._spec.changes import network_changes
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.capture import (
    refuse_relative_mounts,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.detour import Detour
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.networks import plan_networks
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import (
    StackSnapshot,
    StackStep,
    plan_lines,
    plan_stack,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.writes import Write

# As CLI 20.10 sends a network, and as an engine of that age shows it.
SENT: dict[str, Any] = {
    "CheckDuplicate": True,
    "Driver": "overlay",
    "Scope": "",
    "EnableIPv6": False,
    "IPAM": None,
    "Internal": False,
    "Attachable": False,
    "Ingress": False,
    "ConfigOnly": False,
    "Options": None,
    "Labels": {STACK_LABEL: "s"},
    "Name": "s_front",
}
THERE: dict[str, Any] = {
    "Name": "s_front",
    "Id": "old",
    "Scope": "swarm",
    "Driver": "overlay",
    "EnableIPv6": False,
    "IPAM": {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "10.0.1.0/24", "Gateway": "10.0.1.1"}],
    },
    "Internal": False,
    "Attachable": False,
    "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4097"},
    "Labels": {STACK_LABEL: "s"},
}


def changes(**wanted: Any) -> dict[str, tuple[str, str]]:
    found = network_changes(THERE, {**SENT, **wanted})
    return {change.name: (change.before, change.after) for change in found}


def test_what_the_engine_chose_is_no_change() -> None:
    assert changes() == {}
    assert changes(Driver="", IPAM={"Driver": "", "Config": []}, Options={}) == {}


@pytest.mark.parametrize(
    ("wanted", "field", "after"),
    [
        ({"Internal": True}, "internal", "yes"),
        ({"Attachable": True}, "attachable", "yes"),
        ({"EnableIPv6": True}, "ipv6", "yes"),
        ({"Driver": "weave"}, "driver", "weave"),
        ({"Options": {"encrypted": ""}}, "options.encrypted", "''"),
        ({"Labels": {STACK_LABEL: "s", "a": "1"}}, "labels.a", "1"),
        ({"IPAM": {"Config": [{"Subnet": "10.9.0.0/16"}]}}, "subnets", "10.9.0.0/16"),
        ({"IPAM": {"Driver": "other"}}, "ipam_driver", "other"),
    ],
)
def test_what_no_engine_changes_is_seen(wanted: dict[str, Any], field: str, after: str) -> None:
    assert changes(**wanted)[field][1] == after
    assert list(changes(**wanted)) == [field]


def service(name: str, *networks: str, stack: str = "s", **mode: Any) -> dict[str, Any]:
    spec = {
        "Name": name,
        "Labels": {STACK_LABEL: stack},
        "TaskTemplate": {"Networks": [{"Target": n, "Aliases": [name]} for n in networks]},
        "Mode": mode or {"Replicated": {"Replicas": 1}},
    }
    return {"ID": f"id-of-{name}", "Version": {"Index": 7}, "Spec": spec}


def drift(*services: dict[str, Any]) -> tuple[list[Write], StackSnapshot]:
    writes = [Write("network", "update", "s_front", "old", {**SENT, "Internal": True})]
    for one in services:
        networks = [
            {**network, "Target": "s_front" if network["Target"] == "old" else network["Target"]}
            for network in one["Spec"]["TaskTemplate"]["Networks"]
        ]
        spec = {**one["Spec"], "TaskTemplate": {"Networks": networks}}
        writes.append(Write("service", "update", one["Spec"]["Name"], one["ID"], spec))
    return writes, StackSnapshot(networks=[THERE], services=list(services))


def planned(writes: list[Write], live: StackSnapshot, allowed: bool) -> list[StackStep]:
    return plan_networks("s", plan_stack("s", writes, live), live, allowed)


def test_a_difference_is_refused_in_one_sentence() -> None:
    writes, live = drift(service("s_web", "old"))
    with pytest.raises(SwarmError) as error:
        planned(writes, live, False)
    assert error.value.code == "network_drift"
    assert "network s_front (internal (none) -> yes)" in error.value.message
    assert "replace_networks=true" in error.value.message


def test_a_replacement_names_all_that_it_writes() -> None:
    writes, live = drift(service("s_web", "old"), service("s_other", "x"))
    steps = planned(writes, live, True)
    assert plan_lines("s", steps, "m1") == [
        "PLAN  stack s, acting on m1",
        "  ~ network  s_front  internal  (none) -> yes",
        "                      is replaced; its services move: s_web",
        "  ~ service  s_web    networks  s_front -> s_front, replaced",
        "  = 1 object as it should be",
    ]


@pytest.mark.parametrize(
    "user", [service("t_web", "old", stack="t"), service("s_once", "old", ReplicatedJob={})]
)
def test_a_replacement_that_would_touch_others_is_refused(user: dict[str, Any]) -> None:
    writes, live = drift(service("s_web", "old"))
    live.services.append(user)
    with pytest.raises(SwarmError) as error:
        planned(writes, live, True)
    assert error.value.code == "network_in_use"
    assert user["Spec"]["Name"] in error.value.message


def test_what_a_killed_run_left_is_removed() -> None:
    left = {
        "Name": "s_front-detour",
        "Id": "d",
        "Labels": {STACK_LABEL: "s", DETOUR_LABEL: "s_front"},
    }
    other = {"Name": "t_x-detour", "Id": "e", "Labels": {STACK_LABEL: "t", DETOUR_LABEL: "t_x"}}
    live = StackSnapshot(networks=[THERE, left, other])
    write = Write("network", "update", "s_front", "old", SENT)
    steps = planned([write], live, False)
    assert [(step.action, step.name) for step in steps] == [
        ("none", "s_front"),
        ("remove", "s_front-detour"),
    ]


class Engine:
    """Lets go of a network when it has been asked twice, as after the last task on it, and lists it once more."""

    def __init__(self, ending: int = 0) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.busy = 3
        self.ending = ending

    def nodes(self) -> list[dict[str, Any]]:
        described = {name: {"Description": {"Hostname": name}} for name in ("m1", "m2", "dead")}
        state = {"m1": "ready", "m2": "ready", "dead": "down"}
        return [{"ID": n, **described[n], "Status": {"State": state[n]}} for n in described]

    def tasks(self, **filters: str) -> list[dict[str, Any]]:
        """One that has to end and does not yet, one on another network, one that nobody can wait for."""
        assert filters == {"label": "com.docker.stack.namespace=s"}
        self.ending -= 1

        def task(node: str, network: str, state: str) -> dict[str, Any]:
            attached = [{"Network": {"ID": network}}]
            return {"NodeID": node, "NetworksAttachments": attached, "Status": {"State": state}}

        return [
            task("m1", "new", "running"),
            task("m2", "old", "running" if self.ending >= 0 else "shutdown"),
            task("dead", "old", "running"),
            {"NodeID": "m1", "Status": {"State": "running"}},
        ]

    def networks(self) -> list[dict[str, Any]]:
        return [THERE] if self.busy > 0 else []

    def create(self, kind: str, spec: dict[str, Any]) -> str:
        self.calls.append(
            ("create", kind, spec["Name"], spec["Internal"], spec["Labels"][DETOUR_LABEL])
        )
        return "new"

    def update_service(self, service_id: str, version: int, spec: dict[str, Any]) -> None:
        self.calls.append((service_id, version, spec["TaskTemplate"]["Networks"]))

    def remove(self, kind: str, object_id: str, _name: str) -> None:
        self.busy -= 1
        if self.busy > 1:
            raise SwarmError("engine_error", "network s_front is in use by task 1.")
        if self.busy < 1:
            raise SwarmError("not_found", "no such network")
        self.calls.append(("remove", kind, object_id))


def replaced(
    engine: Engine,
    writes: list[Write],
    live: StackSnapshot,
    applied: list[str],
    clock: Any,
) -> list[StackStep]:
    """The first network is emptied and removed; the stand-in has what that takes of the engine."""
    client = cast(EngineClient, engine)
    return Detour("s", client, 60, clock).run(writes[:1], live, applied)


def test_services_leave_before_the_network_goes(clock: Any) -> None:
    writes, live = drift(service("s_web", "old", "x"), service("s_other", "x"))
    applied: list[str] = []
    engine = Engine()
    left = replaced(engine, writes, live, applied, clock)
    assert engine.calls == [
        ("create", "network", "s_front-detour", True, "s_front"),
        (
            "id-of-s_web",
            7,
            [{"Target": "new", "Aliases": ["s_web"]}, {"Target": "x", "Aliases": ["s_web"]}],
        ),
        ("remove", "network", "old"),
    ]
    assert applied == ["service s_web"]
    assert [(step.action, step.kind, step.name) for step in left] == [
        ("remove", "network", "s_front-detour")
    ]


def test_a_network_stays_until_every_node_has_ended_its_tasks_on_it(clock: Any) -> None:
    writes, live = drift(service("s_web", "old"))
    engine = Engine(ending=5)
    replaced(engine, writes, live, [], clock)
    assert engine.calls[-1] == ("remove", "network", "old")
    # Five looks at tasks that still run, and the two at which a manager says that it is in use.
    assert clock.time > 2.5
    engine = Engine(ending=10**6)
    with pytest.raises(SwarmError, match="its tasks still run on m2") as error:
        replaced(engine, writes, live, [], clock)
    assert error.value.code == "timeout"
    assert ("remove", "network", "old") not in engine.calls


def test_a_service_that_does_not_leave_has_a_deadline(clock: Any) -> None:
    writes, live = drift(service("s_web", "old"))
    engine = Engine()
    engine.busy = 10**6
    with pytest.raises(SwarmError) as error:
        replaced(engine, writes, live, [], clock)
    assert error.value.code == "timeout"
    assert "in use by task 1" in error.value.message


def test_a_name_that_somebody_else_has() -> None:
    live = StackSnapshot(networks=[{**THERE, "Labels": {}}])
    with pytest.raises(SwarmError) as error:
        plan_stack("s", [Write("network", "create", "s_front", "", SENT)], live)
    assert error.value.code == "name_taken"


def test_a_mount_from_the_folder_of_a_run() -> None:
    def write(source: str) -> Write:
        mounts = [{"Type": "bind", "Source": source, "Target": "/x"}, {"Type": "tmpfs"}]
        spec = {"TaskTemplate": {"ContainerSpec": {"Mounts": mounts}}}
        return Write("service", "create", "s_web", "", spec)

    refuse_relative_mounts(
        "s", [write("/srv"), Write("network", "create", "n", "", {})], "/run/x", "/run/x/files"
    )
    with pytest.raises(SwarmError, match="s_web mounts d/conf at /x, a path relative to"):
        refuse_relative_mounts("s", [write("/run/x/files/d/conf")], "/run/x", "/run/x/files")
    with pytest.raises(SwarmError, match=r"s_web mounts \.\./conf at /x, a path relative to"):
        refuse_relative_mounts("s", [write("/run/x/conf")], "/run/x", "/run/x/files")
