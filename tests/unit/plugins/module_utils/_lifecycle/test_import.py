# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The import of an export: what it creates, what it refuses, and that an interrupted one is finished by the next."""

from __future__ import annotations

import base64
import copy
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import importing
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.export import list_swarm
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.export_content import (
    export_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.import_plan import (
    ImportPlan,
    Wishes,
    new_swarm,
    plan_import,
)

STACK = {"com.docker.stack.namespace": "shop"}
DATA = {"token": b"hidden\n"}
SIZES = {"token": 7}


class Swarm:
    """An engine in memory: lists, creates with new IDs, and refuses what an engine refuses."""

    def __init__(self, prefix: str, hosts: tuple[str, ...] = ("m1", "w1")) -> None:
        self.numbers = (f"{prefix}{number}" for number in itertools.count(1))
        made = new_swarm(hosts)
        self.lists: dict[str, Any] = {
            "/swarm": {**made.swarm, "ID": prefix, "Version": {"Index": 1}},
            "/nodes": [
                {**node, "ID": next(self.numbers), "Version": {"Index": 5}} for node in made.nodes
            ],
            "/networks": [{**made.networks[0], "Id": next(self.numbers)}],
            "/configs": [],
            "/secrets": [],
            "/services": [],
        }
        self.data: dict[str, str] = {}
        self.left = 10**6  # writes until the process is killed

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        return copy.deepcopy(self.lists[path])

    def _writes(self) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1

    def create(self, kind: str, spec: dict[str, Any]) -> str:
        self._writes()
        spec = copy.deepcopy(spec)
        new, name = next(self.numbers), spec["Name"]
        if any(
            name in (e.get("Name"), (e.get("Spec") or {}).get("Name"))
            for e in self.lists[f"/{kind}s"]
        ):
            raise SwarmError("conflict", f"{name} already exists")
        if kind == "network":
            spec.pop("CheckDuplicate")
            self.lists["/networks"].append({**spec, "Id": new})
            return new
        if kind == "secret":
            self.data[name] = spec.pop("Data")
        if kind == "service":
            self._check_references(spec)
        self.lists[f"/{kind}s"].append({"ID": new, "Version": {"Index": 9}, "Spec": spec})
        return new

    def _check_references(self, spec: dict[str, Any]) -> None:
        networks = {network["Id"] for network in self.lists["/networks"]} | {"host"}
        assert {n["Target"] for n in spec["TaskTemplate"].get("Networks", [])} <= networks
        for kind in ("Secret", "Config"):
            known = {each["ID"] for each in self.lists[f"/{kind.lower()}s"]}
            used = spec["TaskTemplate"]["ContainerSpec"].get(f"{kind}s", [])
            assert {each[f"{kind}ID"] for each in used} <= known

    def swarm(self) -> Any:
        return self.get("/swarm", "")

    def update_swarm(self, version: int, spec: dict[str, Any]) -> None:
        self._writes()
        self.lists["/swarm"]["Spec"] = copy.deepcopy(spec)

    def update_node(self, node_id: str, version: int, spec: dict[str, Any]) -> None:
        self._writes()
        assert version == 5
        node = next(node for node in self.lists["/nodes"] if node["ID"] == node_id)
        node["Spec"] = copy.deepcopy(spec)


def config(name: str, text: str, **labels: str) -> dict[str, Any]:
    data = base64.b64encode(text.encode()).decode()
    return {"Name": name, "Labels": {**STACK, **labels}, "Data": data}


def old_swarm() -> Swarm:
    """A swarm with a bit of everything."""
    swarm = Swarm("old")
    network = swarm.create(
        "network",
        {
            "Name": "shop_default",
            "Driver": "overlay",
            "Scope": "swarm",
            "Labels": STACK,
            "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.1.0/24"}]},
            "CheckDuplicate": True,
        },
    )
    motd = swarm.create("config", config("motd", "welcome"))
    swarm.create("config", config("shop_revision.1", "packed", **{"flotilla.swarm.revision": "1"}))
    token = swarm.create("secret", {"Name": "token", "Labels": STACK, "Data": "aGlkZGVuCg=="})
    swarm.create(
        "service",
        {
            "Name": "shop_web",
            "Labels": STACK,
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "web:1",
                    "Secrets": [{"SecretID": token, "SecretName": "token", "File": {"Name": "t"}}],
                    "Configs": [{"ConfigID": motd, "ConfigName": "motd", "File": {"Name": "m"}}],
                    "Privileges": {"CredentialSpec": {"Config": motd}},
                },
                "Networks": [{"Target": network, "Aliases": ["web"]}],
                "Placement": {
                    "Constraints": [
                        f"node.id != {swarm.lists['/nodes'][1]['ID']}",
                        "node.labels.disk==ssd",
                    ]
                },
            },
            "Mode": {"Replicated": {"Replicas": 3}},
            "EndpointSpec": {"Ports": [{"PublishedPort": 80, "TargetPort": 8080}]},
        },
    )
    swarm.lists["/nodes"][1]["Spec"]["Labels"]["disk"] = "ssd"
    swarm.lists["/nodes"][1]["Spec"]["Availability"] = "drain"
    swarm.lists["/swarm"]["Spec"]["Orchestration"] = {"TaskHistoryRetentionLimit": 3}
    return swarm


def exported(swarm: Swarm | None = None) -> dict[str, Any]:
    return export_of(list_swarm(swarm or old_swarm()))


def planned(export: dict[str, Any], swarm: Swarm, **wishes: Any) -> ImportPlan:
    return plan_import(export, list_swarm(swarm), Wishes(**{"secrets": SIZES, **wishes}))


def imported(export: dict[str, Any], swarm: Swarm, **wishes: Any) -> list[str]:
    plan = planned(export, swarm, **wishes)
    importing.refuse(plan)
    applied: list[str] = []
    wish = Wishes(**{"secrets": SIZES, **wishes})
    importing.carry_out(export, swarm, wish, DATA, plan, applied)  # type: ignore[arg-type]
    return applied


def test_a_new_swarm_gets_all_and_then_nothing_is_left() -> None:
    export, swarm = exported(), Swarm("new")
    assert imported(export, swarm) == [
        "setting task_history_retention_limit",
        "node w1",
        "network shop_default",
        "secret token",
        "config motd",
        "config shop_revision.1",
        "service shop_web",
    ]
    again = planned(export, swarm)
    assert (again.steps, again.refusals) == ((), ())
    assert swarm.data == {"token": "aGlkZGVuCg=="}
    task = swarm.lists["/services"][0]["Spec"]["TaskTemplate"]
    w1 = swarm.lists["/nodes"][1]
    assert task["Placement"]["Constraints"][0] == f"node.id != {w1['ID']}"
    assert task["ContainerSpec"]["Privileges"]["CredentialSpec"]["Config"].startswith("new")
    assert (w1["Spec"]["Labels"]["disk"], w1["Spec"]["Availability"]) == ("ssd", "drain")
    # What is exported from it is the same swarm, but for its IDs.
    assert [each["name"] for each in exported(swarm)["services"]] == ["shop_web"]


def test_it_can_be_planned_before_the_swarm_is_made() -> None:
    export = exported()
    before = plan_import(export, new_swarm(["m1", "w1"]), Wishes(secrets=SIZES))
    assert before.lines("x", "m1") == planned(export, Swarm("new")).lines("x", "m1")


@given(kills=st.lists(st.integers(0, 6), max_size=4))
def test_a_killed_import_is_finished_by_the_next(kills: list[int]) -> None:
    export, swarm = exported(), Swarm("new")
    for left in kills:
        swarm.left = left
        try:
            imported(export, swarm)
        except KeyboardInterrupt:
            continue
    swarm.left = 10**6
    imported(export, swarm)
    assert planned(export, swarm).steps == ()
    assert len(swarm.lists["/services"]) == len(swarm.lists["/secrets"]) == 1


def test_all_missing_secrets_are_named_and_nothing_is_made() -> None:
    old = old_swarm()
    old.create("secret", {"Name": "unused", "Data": "eA=="})
    plan = planned(exported(old), Swarm("new"), secrets={"tokn": 3})
    assert plan.missing == ("token",)
    (refusal,) = plan.refusals
    assert refusal == "the data of 1 secret is not given: token (used by shop_web)"
    assert "the export has no secret tokn: the data is not used" in plan.notes
    assert any(note.startswith("secret unused is left out") for note in plan.notes)
    with pytest.raises(SwarmError, match="Set swarm_restore_secrets") as error:
        importing.refuse(plan)
    assert error.value.details == {"missing_secrets": ["token"]}


@pytest.mark.parametrize("size", [0, 500 * 1024])
def test_data_that_the_engine_would_refuse_is_refused(size: int) -> None:
    (refusal,) = planned(exported(), Swarm("new"), secrets={"token": size}).refusals
    assert refusal.startswith("secret token: secret data must be larger than 0")


def change(kind: str, edit: Any) -> tuple[str, ...]:
    """The refusals where an object of the same name has another spec."""
    swarm = Swarm("new")
    imported(exported(), swarm)
    documents = swarm.lists[f"/{kind}s"]
    edit(documents[-1] if kind != "config" else documents[0])
    return planned(exported(), swarm).refusals


def test_what_is_there_and_differs_is_refused_by_name() -> None:
    def scale(service: dict[str, Any]) -> None:
        service["Spec"]["Mode"]["Replicated"]["Replicas"] = 1

    (refusal,) = change("service", scale)
    assert refusal == "service shop_web exists here and differs: replicas 1, in the export 3"
    (refusal,) = change("network", lambda network: network.update(Internal=True))
    assert refusal.startswith("network shop_default exists here and differs: internal")
    (refusal,) = change("config", lambda each: each["Spec"].update(Data="eA=="))
    assert refusal == "config motd exists here with other data"
    (refusal,) = change("secret", lambda each: each["Spec"].update(Labels={"a": "b"}))
    assert refusal.startswith("secret token exists here and differs: labels")
    (refusal,) = change("node", lambda node: node["Spec"]["Labels"].update(disk="hdd"))
    assert refusal == "node w1 has label disk=hdd, and in the export disk=ssd"


def test_a_revision_that_differs_is_the_history_of_the_stack_here() -> None:
    swarm = Swarm("new")
    swarm.create("config", config("shop_revision.1", "x", **{"flotilla.swarm.revision": "1"}))
    assert "config shop_revision.1" not in imported(exported(), swarm)


def test_a_subnet_or_port_that_another_object_has_is_refused() -> None:
    swarm = Swarm("new")
    swarm.create(
        "network",
        {
            "Name": "other",
            "Scope": "swarm",
            "Driver": "overlay",
            "IPAM": {"Config": [{"Subnet": "10.0.1.0/26"}]},
            "CheckDuplicate": True,
        },
    )
    spec = {
        "Name": "proxy",
        "TaskTemplate": {"ContainerSpec": {"Image": "p"}},
        "EndpointSpec": {"Ports": [{"PublishedPort": 80, "Protocol": "tcp"}]},
    }
    swarm.create("service", spec)
    network, port = planned(exported(), swarm).refusals
    assert network.startswith("network shop_default: Pool overlaps")
    assert port == "service shop_web: port 80/tcp is published by service proxy here"


def test_a_job_is_asked_about() -> None:
    old = old_swarm()
    job = {
        "Name": "migrate",
        "TaskTemplate": {"ContainerSpec": {"Image": "m"}},
        "Mode": {"ReplicatedJob": {}},
    }
    old.create("service", job)
    (refusal,) = planned(exported(old), Swarm("new")).refusals
    assert refusal.startswith("migrate: a job runs when it is created")
    assert "service migrate" in imported(exported(old), Swarm("new"), jobs="run")
    assert "service migrate" not in imported(exported(old), Swarm("new"), jobs="skip")


def test_the_inventory_decides_on_what_it_names() -> None:
    old = old_swarm()
    labels = old.lists["/nodes"][1]["Spec"]["Labels"]
    labels.update({"zone": "z", "flotilla.swarm.labels": "zone"})
    swarm = Swarm("new")
    plan = planned(
        exported(old),
        swarm,
        keep_settings=["task_history_retention_limit"],
        keep_availability=["w1"],
    )
    (node,) = [step for step in plan.steps if step.kind == "node"]
    assert node.what == "label disk=ssd"
    assert not [step for step in plan.steps if step.kind == "setting"]


def test_what_the_old_swarm_remembers_of_its_nodes_is_not_imported() -> None:
    old = old_swarm()
    old.lists["/swarm"]["Spec"]["Labels"] = {"flotilla.swarm.probed": "id1", "team": "x"}
    (step,) = [each for each in planned(exported(old), Swarm("new")).steps if each.name == "labels"]
    assert "team=x" in step.what
    assert "probed" not in step.what


def test_autolock_is_turned_on_and_never_off() -> None:
    old, swarm = old_swarm(), Swarm("new")
    old.lists["/swarm"]["Spec"]["EncryptionConfig"] = {"AutoLockManagers": True}
    plan = planned(exported(old), swarm)
    assert plan.steps[0].name == "autolock_managers"
    assert any("new unlock key" in note for note in plan.notes)
    swarm.lists["/swarm"]["Spec"]["EncryptionConfig"] = {"AutoLockManagers": True}
    assert "autolock_managers" not in [step.name for step in planned(exported(), swarm).steps]


def test_nodes_that_are_not_here_and_fixed_settings_are_noted() -> None:
    old = old_swarm()
    old.lists["/swarm"]["SubnetSize"] = 26
    export = exported(old)
    plan = planned(export, Swarm("new", ("m1",)))
    assert any(note.startswith("w1: no such host here") for note in plan.notes)
    assert any("subnet_size 26, and this swarm 24" in note for note in plan.notes)


def test_what_another_run_makes_meanwhile_is_not_made_twice() -> None:
    export, swarm = exported(), Swarm("new")
    plan = planned(export, swarm)
    imported(export, swarm)
    applied: list[str] = []
    importing.carry_out(export, swarm, Wishes(secrets=SIZES), DATA, plan, applied)  # type: ignore[arg-type]
    assert planned(export, swarm).steps == ()
    assert len(swarm.lists["/services"]) == 1


def test_the_data_of_secrets_is_in_no_plan() -> None:
    plan = planned(exported(), Swarm("new"))
    assert "hidden" not in repr(plan)
    assert "aGlkZGVu" not in repr(plan)


def test_the_data_of_secrets_can_be_binary() -> None:
    assert importing.secret_data({"a": "x\n", "b": {"base64": "AAE="}}) == {
        "a": b"x\n",
        "b": b"\x00\x01",
    }
    for wrong in (5, None, ["x"], {"base64": "%"}, {"data": "x"}):
        with pytest.raises(SwarmError, match="secret 'c'") as error:
            importing.secret_data({"c": wrong})
        assert error.value.code == "bad_option"
