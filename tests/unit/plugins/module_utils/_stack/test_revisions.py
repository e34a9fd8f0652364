# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The history of a stack: what is left, what is gone back to. That it works is tested on real engines."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import STACK_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import StackSnapshot
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.removal import plan_pruning
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.revisions import (
    choose,
    config_of,
    content_of,
    kept_revisions,
    obstacle,
    plan_history,
    plan_return,
    plan_turn,
    restored_spec,
    revisions,
)

MINE = {STACK_LABEL: "shop"}


def service(image: str, name: str = "shop_web", replicas: int = 1, **more: Any) -> dict[str, Any]:
    template = {
        "ContainerSpec": {
            "Image": image,
            "Secrets": [{"SecretID": "id-key", "SecretName": "shop_key", "File": {"Name": "key"}}],
        },
        "Networks": [{"Target": "id-net"}],
        **more,
    }
    spec = {"Name": name, "Labels": MINE, "TaskTemplate": template}
    return {
        "ID": f"id-{name}",
        "Spec": {**spec, "Mode": {"Replicated": {"Replicas": replicas}}},
    }


def world(*services: dict[str, Any]) -> StackSnapshot:
    return StackSnapshot(
        networks=[
            {
                "Id": "id-net",
                "Name": "shop_net",
                "Driver": "overlay",
                "Labels": MINE,
                "Options": {
                    "mtu": "9000",
                    "com.docker.network.driver.overlay.vxlanid_list": "4097",
                },
            }
        ],
        secrets=[{"ID": "id-key", "Spec": {"Name": "shop_key", "Labels": MINE}}],
        services=list(services),
    )


def remember(
    live: StackSnapshot, number: int, turn: int | None = None, of: StackSnapshot | None = None
) -> None:
    spec = config_of("shop", number, turn or number, content_of("shop", of or live))
    live.configs.append({"ID": f"id-{number}", "CreatedAt": "2026-01-02T03:04:05.6Z", "Spec": spec})


def test_what_is_remembered_is_read_again() -> None:
    live = world(service("web:1"))
    remember(live, 1)
    (found,) = revisions("shop", live)
    assert found.content == content_of("shop", live)
    assert found.title == "revision 1 (2026-01-02 03:04:05)"
    assert found.as_dict()["services"] == {"shop_web": "image web:1, 1 replica"}
    # Names, not IDs, and nothing that the engine gives a network by itself.
    assert found.content.services["shop_web"]["TaskTemplate"]["Networks"] == [
        {"Target": "shop_net"}
    ]
    assert found.content.networks["shop_net"]["Options"] == {"mtu": "9000"}
    assert live.services[0]["Spec"]["TaskTemplate"]["Networks"] == [{"Target": "id-net"}]


@pytest.mark.parametrize("data", ["", "AAAA", base64.b64encode(b"{}").decode(), "%"])
def test_a_config_that_holds_no_revision_is_none(data: str) -> None:
    live = world(service("web:1"))
    remember(live, 1)
    live.configs[0]["Spec"]["Data"] = data
    assert revisions("shop", live) == []


def test_those_of_another_stack_are_not_mine() -> None:
    live = world(service("web:1"))
    remember(live, 1)
    assert revisions("other", live) == []


def test_a_run_that_writes_leaves_one_and_the_oldest_go() -> None:
    live = world(service("web:1"))
    assert [s.name for s in plan_history("shop", live, writes=True, keep=2)] == ["1"]
    for number in (1, 2, 3):
        remember(live, number)
    steps = plan_history("shop", live, writes=True, keep=2)
    assert [(s.action, s.name) for s in steps] == [
        ("create", "4"),
        ("remove", "2"),
        ("remove", "1"),
    ]
    steps = plan_history("shop", live, writes=False, keep=2)
    assert [(s.action, s.name) for s in steps] == [("remove", "1")]
    steps = plan_history("shop", live, writes=True, keep=0)
    assert [(s.action, s.name) for s in steps] == [("remove", n) for n in "321"]


def test_a_number_is_never_given_twice() -> None:
    live = world(service("web:1"))
    remember(live, 1, turn=3)
    remember(live, 2, turn=2)
    assert [s.name for s in plan_history("shop", live, writes=True, keep=9)] == ["3"]


def test_a_run_that_writes_nothing_leaves_none_unless_one_is_missing() -> None:
    live = world(service("web:1"))
    assert plan_history("shop", live, writes=False, keep=2) == []
    remember(live, 1)
    assert plan_history("shop", live, writes=False, keep=2) == []
    # Scaled or restarted by somebody since.
    live.services[:] = [service("web:1", replicas=7, ForceUpdate=3)]
    assert plan_history("shop", live, writes=False, keep=2) == []
    # Written by a run that was killed before it came to this.
    live.services[:] = [service("web:2")]
    assert [s.name for s in plan_history("shop", live, writes=False, keep=2)] == ["2"]


def test_without_a_number_it_is_the_newest_that_does_not_run() -> None:
    live = world(service("web:2"))
    remember(live, 1, of=world(service("web:1")))
    remember(live, 2)
    assert choose("shop", live, None).number == 1
    # What runs is broken: back to the newest.
    live.services[:] = [service("web:broken")]
    assert choose("shop", live, None).number == 2
    live.services[:] = [service("web:2", replicas=5)]
    assert choose("shop", live, None).number == 2


def test_the_one_that_is_gone_back_to_becomes_the_newest() -> None:
    live = world(service("web:1"))
    remember(live, 1, turn=1)
    remember(live, 2, turn=2, of=world(service("web:2")))
    first = choose("shop", live, 1)
    (step,) = plan_turn("shop", live, first)
    assert (step.action, step.name, step.changes[0].after) == ("update", "1", "1 of 2")
    live.configs.clear()
    remember(live, 1, turn=3)
    remember(live, 2, turn=2)
    assert [one.number for one in revisions("shop", live)] == [1, 2]
    assert plan_turn("shop", live, choose("shop", live, 1)) == []


@pytest.mark.parametrize(
    ("numbers", "asked", "words"),
    [
        ([], None, "it has no revision"),
        ([1], None, "its only revision is what runs now"),
        ([1], 4, "no revision 4. Its revisions are: 1"),
        ([], 4, "Its revisions are: none"),
    ],
)
def test_there_may_be_nothing_to_go_back_to(
    numbers: list[int], asked: int | None, words: str
) -> None:
    live = world(service("web:1"))
    for number in numbers:
        remember(live, number)
    with pytest.raises(SwarmError, match=words) as error:
        choose("shop", live, asked)
    assert error.value.code == "no_revision"


def test_the_way_back_is_a_plan_like_any() -> None:
    then = content_of("shop", world(service("web:1"), service("old:1", "shop_old")))
    now = world(service("web:2", ForceUpdate=4), service("new:1", "shop_new"))
    now.networks.clear()
    steps = plan_return("shop", then, now)
    assert [(s.action, s.kind, s.name) for s in steps] == [
        ("create", "network", "shop_net"),
        ("create", "service", "shop_old"),
        ("update", "service", "shop_web"),
        ("remove", "service", "shop_new"),
    ]
    assert restored_spec("shop_web", then, now)["TaskTemplate"]["ForceUpdate"] == 4


def test_a_secret_that_was_made_anew_is_found_by_its_name() -> None:
    then = content_of("shop", world(service("web:1")))
    now = world(service("web:2"))
    now.secrets[0]["ID"] = "id-new"
    (reference,) = restored_spec("shop_web", then, now)["TaskTemplate"]["ContainerSpec"]["Secrets"]
    assert reference["SecretID"] == "id-new"
    now.secrets.clear()
    with pytest.raises(
        SwarmError, match="the revision needs secret shop_key, which does not exist"
    ) as error:
        plan_return("shop", then, now)
    assert error.value.code == "gone"


def test_nothing_to_go_back_to_where_everything_is_as_it_was() -> None:
    live = world(service("web:1"))
    (step,) = plan_return("shop", content_of("shop", live), live)
    assert step.action == "none"


def test_what_a_kept_revision_needs_is_not_pruned() -> None:
    live = world(service("web:1"))
    remember(live, 1)
    live.services[0]["Spec"]["TaskTemplate"]["ContainerSpec"].pop("Secrets")
    live.services[0]["Spec"]["TaskTemplate"].pop("Networks")
    for keep, goes in ((1, ["shop_key", "shop_net"]), (2, ["shop_net"])):
        history = plan_history("shop", live, writes=True, keep=keep)
        steps = plan_pruning("shop", live, [], [], kept_revisions("shop", live, history))
        assert [s.name for s in steps if s.kind != "service"] == goes


def test_what_the_engine_would_not_take_is_known_before() -> None:
    content = content_of("shop", world(service("web:1")))
    assert obstacle("shop", 1, content) is None
    assert "longer than 64" in str(obstacle("s" * 60, 1, content))
