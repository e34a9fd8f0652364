# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What belongs to a stack, and when it may go. That it goes is tested on real engines."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import STACK_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import (
    StackSnapshot,
    StackStep,
    plan_lines,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.removal import (
    plan_pruning,
    plan_removal,
    still_running,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.writes import Write


def labelled(stack: str | None) -> dict[str, str]:
    return {STACK_LABEL: stack} if stack else {}


def service(name: str, stack: str | None, **uses: str) -> dict[str, Any]:
    container: dict[str, Any] = {"Image": "web:1"}
    if "secret" in uses:
        container["Secrets"] = [{"SecretID": uses["secret"], "SecretName": "any"}]
    if "config" in uses:
        container["Configs"] = [{"ConfigID": uses["config"], "ConfigName": "any"}]
    template: dict[str, Any] = {"ContainerSpec": container}
    if "network" in uses:
        template["Networks"] = [{"Target": uses["network"]}]
    spec = {"Name": name, "Labels": labelled(stack), "TaskTemplate": template}
    return {"ID": f"id-{name}", "Spec": {**spec, "Mode": {"Replicated": {"Replicas": 2}}}}


def stored(name: str, stack: str | None) -> dict[str, Any]:
    return {"ID": f"id-{name}", "Spec": {"Name": name, "Labels": labelled(stack)}}


def live(*services: dict[str, Any]) -> StackSnapshot:
    return StackSnapshot(
        networks=[
            {
                "Id": "id-shop_net",
                "Name": "shop_net",
                "Driver": "overlay",
                "Labels": labelled("shop"),
            },
            {"Id": "id-common", "Name": "common", "Driver": "overlay", "Labels": None},
        ],
        secrets=[stored("shop_key", "shop"), stored("other_key", "other"), stored("shared", None)],
        configs=[stored("shop_conf", "shop")],
        services=[
            service("shop_web", "shop", network="id-shop_net", secret="id-shop_key"),
            *services,
        ],
    )


def test_all_that_is_owned_goes_and_nothing_else() -> None:
    steps = plan_removal("shop", live(service("other_web", "other", network="id-common")))
    assert "\n".join(plan_lines("shop", steps, "m1")) == (
        "PLAN  stack shop, acting on m1\n"
        "  - service  shop_web   image web:1, 2 replicas\n"
        "  - config   shop_conf\n"
        "  - secret   shop_key\n"
        "  - network  shop_net   overlay"
    )


def test_a_stack_that_is_not_there_is_nothing_to_do() -> None:
    assert plan_removal("none", live()) == []


@pytest.mark.parametrize(
    ("kind", "name"), [("network", "net"), ("secret", "key"), ("config", "conf")]
)
@pytest.mark.parametrize("stack", ["other", None])
def test_what_others_use_is_not_taken_from_them(kind: str, name: str, stack: str | None) -> None:
    guest = service("guest", stack, **{kind: f"id-shop_{name}"})
    with pytest.raises(SwarmError) as refused:
        plan_removal("shop", live(guest))
    assert refused.value.code == "in_use"
    assert f"{kind} shop_{name} is used by service guest" in refused.value.message


def written(document: dict[str, Any]) -> Write:
    spec = document["Spec"]
    return Write("service", "update", spec["Name"], document["ID"], spec)


WEB = service("shop_web", "shop", network="shop_net", secret="id-shop_key")


@pytest.mark.parametrize(
    ("action", "web", "gone"),
    [
        # The config is the only thing that nobody uses.
        ("none", WEB, ["config shop_conf"]),
        # What the service has now is what a rollback goes back to.
        ("update", service("shop_web", "shop", network="shop_net"), ["config shop_conf"]),
        ("update", service("shop_web", "shop", config="id-shop_conf"), []),
    ],
)
def test_what_is_in_no_file_and_of_no_use_is_pruned(
    action: str, web: dict[str, Any], gone: list[str]
) -> None:
    steps = plan_pruning("shop", live(), [StackStep(action, "service", "shop_web")], [written(web)])
    assert [f"{step.kind} {step.name}" for step in steps] == gone


def test_what_a_rollback_goes_back_to_is_not_pruned() -> None:
    there = live()
    there.services[0]["PreviousSpec"] = service("shop_web", "shop", config="id-shop_conf")["Spec"]
    none = [StackStep("none", "service", "shop_web")]
    assert plan_pruning("shop", there, none, [written(WEB)]) == []
    # An update makes the spec of now the one to go back to.
    update = [StackStep("update", "service", "shop_web")]
    assert [step.name for step in plan_pruning("shop", there, update, [written(WEB)])] == [
        "shop_conf"
    ]


def test_a_service_that_is_pruned_takes_along_what_it_alone_used() -> None:
    there = live(service("shop_old", "shop", config="id-shop_conf"))
    steps = plan_pruning("shop", there, [StackStep("none", "service", "shop_web")], [written(WEB)])
    assert [f"{step.kind} {step.name}" for step in steps] == [
        "service shop_old",
        "config shop_conf",
    ]


def test_what_somebody_else_uses_is_not_pruned() -> None:
    there = live(service("guest", None, config="id-shop_conf"))
    none = [StackStep("none", "service", "shop_web")]
    assert plan_pruning("shop", there, none, [written(WEB)]) == []


def test_only_tasks_on_nodes_that_answer_can_be_waited_for() -> None:
    nodes = [
        {"ID": "1", "Description": {"Hostname": "w1"}, "Status": {"State": "ready"}},
        {"ID": "2", "Description": {"Hostname": "w2"}, "Status": {"State": "down"}},
    ]
    tasks: list[dict[str, Any]] = [
        {"NodeID": "1", "Status": {"State": "running"}},
        {"NodeID": "2", "Status": {"State": "running"}},
        {"NodeID": "gone", "Status": {"State": "running"}},
        {"NodeID": "1", "Status": {"State": "shutdown"}},
        {"Status": {"State": "pending"}},
    ]
    assert still_running(tasks, nodes) == (["w1"], ["gone", "w2"])
    assert still_running(tasks[3:], nodes) == ([], [])
