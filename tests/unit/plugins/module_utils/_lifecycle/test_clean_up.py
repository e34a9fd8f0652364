# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a clean-up removes is referenced by nothing, used by nothing, and old."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import size_text
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.clean_up import (
    Refusal,
    _attempt,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.clean_up_plan import (
    KINDS,
    CacheRecord,
    CleanUpPlan,
    CleanUpStep,
    CleanUpWish,
    HostContainer,
    HostImage,
    HostUse,
    HostVolume,
    plan_clean_up,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.clean_up_report import (
    hosts_of_swarm,
    report,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.references import (
    ImageReferences,
    VolumeReferences,
    swarm_references,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    REVISION_LABEL,
    STACK_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.revisions import (
    RevisionContent,
    config_of,
)

NOW = 1_800_000_000.0
HOUR = 3600.0
OLD, YOUNG = NOW - 100 * HOUR, NOW - 1 * HOUR


def hexes(number: int) -> str:
    """64 hexadecimal digits, different from the first on: a short ID is that of one image."""
    return f"{number:04x}" * 16


def image(number: int, **more: Any) -> HostImage:
    return HostImage(
        id=f"sha256:{hexes(number)}",
        **{"size": 1000, "since": OLD, "tags": (f"registry.lab:5000/app:{number}",), **more},
    )


def wish(kinds: tuple[str, ...] = KINDS, **more: Any) -> CleanUpWish:
    return CleanUpWish(kinds, 24 * HOUR, **more)


def removed(plan: CleanUpPlan, kind: str) -> set[str]:
    return {step.id for step in plan.steps if step.kind == kind}


def service(name: str, image: str, previous: str = "", **more: Any) -> dict[str, Any]:
    document = {"ID": f"id-{name}", "Spec": spec(name, image, **more)}
    if previous:
        document["PreviousSpec"] = spec(name, previous)
    return document


def spec(name: str, image: str, volume: str = "", label: str = "") -> dict[str, Any]:
    container: dict[str, Any] = {"Image": image}
    if volume:
        container["Mounts"] = [{"Type": "volume", "Source": volume, "Target": "/data"}]
    labels = {"com.docker.stack.image": label} if label else {}
    return {"Name": name, "Labels": labels, "TaskTemplate": {"ContainerSpec": container}}


def revision(stack: str, number: int, *specs: dict[str, Any]) -> dict[str, Any]:
    content = RevisionContent({each["Name"]: each for each in specs}, {})
    return {"ID": f"config-{stack}-{number}", "Spec": config_of(stack, number, number, content)}


# References


def test_an_image_is_kept_by_each_of_its_names() -> None:
    image_id, digest = f"sha256:{hexes(1)}", f"sha256:{hexes(2)}"
    tags, digests = ("nginx:1",), (f"nginx@{digest}",)
    for reference in (
        "nginx:1",
        "docker.io/library/nginx:1",
        f"nginx@{digest}",
        f"nginx:9@{digest}",
        f"mirror.example.com/nginx@{digest}",
        image_id,
        hexes(1),
        hexes(1)[:12],
    ):
        assert ImageReferences([reference]).match(image_id, tags, digests), reference
    for reference in ("nginx", "nginx:2", f"nginx@sha256:{hexes(3)}", hexes(3)[:12]):
        assert not ImageReferences([reference]).match(image_id, tags, digests), reference


def test_the_name_of_a_volume_can_be_a_template() -> None:
    volumes = VolumeReferences(["data", "logs-{{.Node.Hostname}}", "{{ .Service.Name }}.x"])
    assert [volumes.match(name) for name in ("data", "logs-w1", "web.x", "logs", "data2")] == [
        *(True, True, True, False, False)
    ]


def test_previous_specs_revisions_and_tasks_refer_too() -> None:
    services = [service("web", "web:2", "web:1", volume="web_data", label="web:compose")]
    configs = [
        revision("shop", 1, spec("shop_a", "a:1", volume="a_data"), spec("shop_b", "b:1")),
        revision("shop", 2, spec("shop_a", "a:2")),
        {"ID": "other", "Spec": {"Name": "other", "Labels": {STACK_LABEL: "shop"}}},
    ]
    tasks = [
        {
            "ID": "t1",
            "NodeID": "n1",
            "Status": {"State": "running"},
            "Spec": {"ContainerSpec": {"Image": "web:0"}},
        },
        {
            "ID": "t2",
            "NodeID": "n1",
            "Status": {"State": "shutdown"},
            "Spec": {"ContainerSpec": {"Image": "web:old"}},
        },
        {"ID": "t3", "Status": {"State": "pending"}},
    ]
    found = swarm_references(services, configs, tasks, [])
    assert found.images == ("a:1", "a:2", "b:1", "web:0", "web:1", "web:2", "web:compose")
    assert found.volumes == ("a_data", "web_data")
    assert found.tasks == {"n1": ("t1", "t2")}


def test_a_revision_that_cannot_be_read_stops_the_clean_up() -> None:
    broken = revision("shop", 1, spec("shop_a", "a:1"))
    broken["Spec"]["Data"] = "bm90IGEgcmV2aXNpb24="
    with pytest.raises(SwarmError) as caught:
        swarm_references([], [broken, revision("shop", 2, spec("shop_a", "a:2"))], [], [])
    assert caught.value.code == "unreadable_revision"
    assert "1 of 2 revisions of stack shop" in caught.value.message
    broken["Spec"]["Labels"] = {REVISION_LABEL: "x"}
    with pytest.raises(SwarmError):
        swarm_references([], [broken], [], [])


def test_tasks_on_nodes_that_are_down_are_named() -> None:
    nodes = [
        {"ID": "n1", "Description": {"Hostname": "w1"}, "Status": {"State": "ready"}},
        {"ID": "n2", "Description": {"Hostname": "w2"}, "Status": {"State": "down"}},
    ]

    def task(node: str, state: str, slot: int = 1) -> dict[str, Any]:
        status = {"State": state}
        return {
            "ID": f"{node}{state}",
            "NodeID": node,
            "ServiceID": "id-web",
            "Slot": slot,
            "Status": status,
        }

    tasks = [task("n1", "running"), task("n2", "running", 2), task("n2", "shutdown")]
    tasks.append(task("n3", "orphaned", 3))
    found = swarm_references([service("web", "web:1")], [], tasks, nodes)
    assert [(each.node, each.task) for each in found.orphans] == [("n3", "web.3"), ("w2", "web.2")]


# The plan of one host


def test_what_is_used_referred_to_or_young_stays() -> None:
    images = (
        image(1),
        image(2),
        image(3, since=YOUNG),
        image(4),
        image(5),
        image(6, since=None),
    )
    containers = (
        HostContainer("c1", "web", images[1].id, "running"),
        HostContainer("c2", "old", images[4].id, "exited", since=OLD),
    )
    plan = plan_clean_up(
        HostUse(images, containers), wish(images=("registry.lab:5000/app:1",)), NOW
    )
    assert removed(plan, "containers") == {"c2"}
    # Also that of the container that this run removes.
    assert removed(plan, "images") == {images[3].id, images[4].id}
    assert plan.kept["images"] == {
        "a spec refers to it": 1,
        "too young": 2,
        "used by a container": 1,
    }
    assert [step.kind for step in plan.steps] == ["containers", "images", "images"]


def test_a_container_of_a_task_goes_only_if_the_swarm_does_not_know_the_task() -> None:
    def container(name: str, state: str, task: str, since: float = OLD) -> HostContainer:
        return HostContainer(name, name, "i", state, task, since=since)

    containers = (
        container("runs", "running", "t1"),
        container("history", "exited", "t2"),
        container("left", "exited", "t8"),
        container("new", "created", "t9", NOW - 5),
        container("paused", "paused", "t1"),
        container("orphan", "running", "t7"),
        container("newest", "running", "t6", NOW - 5),
    )
    plan = plan_clean_up(HostUse(containers=containers), wish(tasks=("t1", "t2")), NOW)
    assert removed(plan, "containers") == {"left"}
    assert plan.orphans == ("orphan",)
    assert "1 container of tasks that the swarm does not know runs here: orphan" in str(
        plan.lines("w1")
    )
    # Without a limit of age too: its task may be too new to be in the list.
    now = plan_clean_up(
        HostUse(containers=containers), CleanUpWish(KINDS, 0, tasks=("t1", "t2")), NOW
    )
    assert removed(now, "containers") == {"left"}


def test_an_image_stays_as_long_as_one_that_is_built_on_it_does() -> None:
    base, middle, top = (
        image(1),
        image(2, tags=(), parent=image(1).id, hidden=True),
        image(3, parent=image(2).id),
    )
    use = HostUse((base, middle, top))
    plan = plan_clean_up(use, wish(images=("registry.lab:5000/app:3",)), NOW)
    assert not plan.steps
    assert plan.kept["images"] == {
        "a spec refers to it": 1,
        "an image that stays is built on it": 1,
    }
    # The engine removes the intermediate one with the last that is built on it.
    assert [step.id for step in plan_clean_up(use, wish(), NOW).steps] == [top.id, base.id]


def test_volumes_go_only_if_they_are_asked_for_and_never_those_of_other_drivers() -> None:
    volumes = (
        HostVolume("free", size=5, since=OLD),
        HostVolume("mounted", since=OLD),
        HostVolume("named", since=OLD),
        HostVolume("nfs", "nfs-driver", since=OLD),
        HostVolume("young", since=YOUNG),
        HostVolume("unknown"),
    )
    gone = HostContainer("c", "c", "i", "exited", volumes=("mounted",), since=OLD)
    use = HostUse(containers=(gone,), volumes=volumes)
    plan = plan_clean_up(use, wish(volumes=("named",)), NOW)
    assert removed(plan, "volumes") == {"free"}
    default = plan_clean_up(use, wish(("images", "containers"), volumes=("named",)), NOW)
    assert not removed(default, "volumes")
    assert default.not_selected == {"volumes": {"count": 1, "bytes": 5}}


def test_the_build_cache_goes_by_its_last_use() -> None:
    records = (
        CacheRecord("a", 10, since=OLD),
        CacheRecord("b", 10, in_use=True, since=OLD),
        CacheRecord("c", 10, since=YOUNG),
        CacheRecord("d", 10),
    )
    plan = plan_clean_up(HostUse(cache=records), wish(), NOW)
    assert removed(plan, "build_cache") == {"a"}


def test_a_plan_has_sizes_and_shared_layers_do_not_count() -> None:
    images = tuple(image(n, size=2_000_000, shared=500_000) for n in range(50))
    plan = plan_clean_up(HostUse(images), wish(), NOW)
    lines = plan.lines("w1")
    assert lines[0] == "PLAN  clean-up of w1: 50 images, 75 MB"
    assert lines[1] == "  - image               registry.lab:5000/app:0   1.5 MB"
    assert lines[-1] == "  - and 10 more"
    assert plan_clean_up(HostUse(), wish(), NOW).lines("w1") == [
        "PLAN  clean-up of w1: nothing to remove"
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_980_000, "1.98 MB")),
        *((123_456_789, "123 MB"), (1_200_000_000, "1.2 GB"), (999_600, "1 MB"), (5e15, "5000 TB")),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


# The property

NUMBERS = st.integers(0, 7)
# Each spelling that a spec can have for an image on the host, whose tags are hub:N and registry.lab:5000/app:N.
SPELLINGS = st.sampled_from(
    (
        "registry.lab:5000/app:{0}",
        "hub:{0}",
        "docker.io/library/hub:{0}",
        "registry.lab:5000/app@sha256:{1}",
        "registry.lab:5000/app:{0}@sha256:{1}",
        "registry.lab:5000/app:moved@sha256:{1}",
        "sha256:{2}",
        "{2}",
        "{3}",
    )
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[HostUse, list[Any], list[Any], list[Any], set[int], set[str]]:
    """A host, the services, configs and tasks of its swarm, and what these need: numbers of images and names of volumes."""
    needed: set[int] = set()
    volumes: set[str] = set()

    def drawn_spec(name: str) -> dict[str, Any]:
        number = draw(NUMBERS)
        needed.add(number)
        text = draw(SPELLINGS).format(
            number, hexes(100 + number), hexes(number), hexes(number)[:12]
        )
        volume = draw(st.sampled_from(("", "v1", "v2")))
        volumes.update({volume} - {""})
        return spec(name, text, volume)

    services = []
    for place in range(draw(st.integers(0, 2))):
        document: dict[str, Any] = {"ID": f"s{place}", "Spec": drawn_spec(f"s{place}")}
        if draw(st.booleans()):
            document["PreviousSpec"] = drawn_spec(f"s{place}")
        services.append(document)
    configs = [
        revision("shop", number + 1, drawn_spec("shop_web"))
        for number in range(draw(st.integers(0, 2)))
    ]
    tasks = []
    for place in range(draw(st.integers(0, 2))):
        task_spec = drawn_spec("x")["TaskTemplate"]
        tasks.append(
            {"ID": f"t{place}", "NodeID": "n", "Status": {"State": "running"}, "Spec": task_spec}
        )
    present = draw(st.sets(NUMBERS))
    images = tuple(
        HostImage(
            id=f"sha256:{hexes(number)}",
            tags=(f"hub:{number}", f"registry.lab:5000/app:{number}"),
            digests=(f"registry.lab:5000/app@sha256:{hexes(100 + number)}",),
            parent=f"sha256:{hexes(draw(st.integers(0, number - 1)))}" if number else "",
            since=draw(st.sampled_from((OLD, YOUNG, None))),
        )
        for number in sorted(present)
    )
    containers = tuple(
        HostContainer(
            f"c{place}",
            f"c{place}",
            f"sha256:{hexes(draw(NUMBERS))}",
            draw(st.sampled_from(("created", "running", "paused", "exited", "dead"))),
            draw(st.sampled_from(("", "t0", "t9"))),
            volumes=draw(st.sampled_from(((), ("v1",), ("v3",)))),
            since=draw(st.sampled_from((OLD, YOUNG, NOW))),
        )
        for place in range(draw(st.integers(0, 3)))
    )
    found = tuple(HostVolume(f"v{number}", since=OLD) for number in range(1, 5))
    return HostUse(images, containers, found), services, configs, tasks, needed, volumes


def applied(use: HostUse, plan: CleanUpPlan) -> HostUse:
    """The host after the plan."""
    return HostUse(
        tuple(each for each in use.images if each.id not in removed(plan, "images")),
        tuple(each for each in use.containers if each.id not in removed(plan, "containers")),
        tuple(each for each in use.volumes if each.name not in removed(plan, "volumes")),
    )


@given(worlds(), st.sets(st.sampled_from(KINDS)))
def test_what_is_removed_is_referenced_by_nothing(world: Any, kinds: set[str]) -> None:
    use, services, configs, tasks, needed, volumes = world
    known = swarm_references(services, configs, tasks, [])
    asked = CleanUpWish(
        tuple(sorted(kinds)), 24 * HOUR, known.images, known.volumes, known.tasks.get("n", ())
    )
    plan = plan_clean_up(use, asked, NOW)
    assert {step.kind for step in plan.steps} <= kinds
    assert not removed(plan, "images") & {f"sha256:{hexes(number)}" for number in needed}
    assert not removed(plan, "volumes") & volumes
    after = applied(use, plan)
    # Nothing that stays uses what is gone.
    images = {each.id for each in after.images}
    gone = removed(plan, "images")
    assert not gone & {each.image for each in after.containers}
    assert not gone & {each.parent for each in after.images}
    assert not removed(plan, "volumes") & {name for each in use.containers for name in each.volumes}
    assert all(each.since == OLD for each in use.images if each.id not in images)
    for container in use.containers:
        if container.id in removed(plan, "containers"):
            assert container.stopped
            assert container.since == OLD
            assert container.task not in {task["ID"] for task in tasks}
    # A second run finds nothing, but for the volumes of the containers that the first has removed.
    again = plan_clean_up(after, dataclasses.replace(asked, kinds=tuple(kinds - {"volumes"})), NOW)
    assert not again.steps


# The table of all hosts

MB = 1_000_000


def observed(node_id: str | None, state: str = "active", running: bool = True) -> dict[str, Any]:
    return {"engine": {"running": running}, "swarm": {"state": state, "node_id": node_id}}


def test_only_hosts_of_the_swarm_are_cleaned_up() -> None:
    hosts = {
        "m1": observed("n1"),
        "w1": observed("n2"),
        "w2": {},
        "w3": observed(None, "inactive"),
        "w4": observed("n9"),
        "w5": observed("n5", "unknown", running=False),
    }
    inside, notes = hosts_of_swarm(hosts, ["n1", "n2", "n5"])
    assert inside == ["m1", "w1"]
    assert notes == [
        "w2 does not answer: it is not cleaned up",
        "w3 is not in this swarm (inactive): it is left alone",
        "w4 is not in this swarm (active): it is left alone",
        "the engine of w5 does not answer: it is not cleaned up",
    ]
    assert hosts_of_swarm(hosts, None)[0] == ["m1", "w1", "w3", "w4"]


def test_the_table_has_sizes_for_each_host_and_the_sum() -> None:
    step = {"kind": "images", "id": "i", "name": "app:1", "size": 2 * MB}
    stopped = {"kind": "containers", "id": "c", "name": "old", "size": 30}
    found: dict[str, dict[str, Any]] = {
        "m1": {"steps": [step, stopped], "not_selected": {"volumes": {"count": 2, "bytes": MB}}},
        "w1": {"steps": [step], "orphans": ["shop_web.1"]},
        "w2": {"steps": [], "kept": {"images": {"a spec refers to it": 3, "too young": 1}}},
        "w3": {"failed": True, "msg": "Could not read the disk usage: no engine answers."},
    }
    references = {"orphans": [{"node": "w9", "task": "web.1"}]}
    made = report(found, references, ["w8 does not answer: it is not cleaned up"], "clean-up")
    assert list(made.lines) == [
        "PLAN  clean-up",
        "  - m1  containers  1  30 B  old",
        "  - m1  images      1  2 MB  app:1",
        "  - w1  images      1  2 MB  app:1",
        "  = w2: nothing to remove",
        "  = total: 1 container, 2 images, 4 MB (without what images share)",
        "  = kept: 3 images that only a spec refers to",
        "  ! w8 does not answer: it is not cleaned up",
        "  ! w1: 1 container of tasks that the swarm does not know still runs: shop_web.1: stop them with docker rm --force",
        "  ! w3: Could not read the disk usage: no engine answers",
        "  ! also unused, but not selected: 2 volumes, 1 MB: add volumes to swarm_clean_up",
        "  ! w9 is down: 1 task may still run there unseen: web.1",
    ]
    assert made.hosts == ("m1", "w1")


def test_the_result_has_what_the_engine_has_kept_and_the_free_space() -> None:
    step = {"kind": "images", "id": "i", "name": "app:1", "size": 2 * MB}
    kept = {"kind": "images", "name": "app:2", "reason": "conflict: it is in use."}
    found: dict[str, dict[str, Any]] = {
        "m1": {
            "applied": [step],
            "refused": [kept],
            "free": {"before": 75_000 * MB, "after": 75_002 * MB},
        },
        "w1": {},
    }
    made = report(found, {}, [], "clean-up", done=True)
    assert list(made.lines) == [
        "RESULT  clean-up",
        "    m1  images  1  2 MB  app:1",
        "    m1  free 75 GB -> 75 GB",
        "  = w1: nothing was removed",
        "  = removed: 1 image, 2 MB (without what images share)",
        "  ! m1: app:2 stays: conflict: it is in use",
    ]


# What the engine answers


def test_what_the_engine_keeps_is_reported_and_what_is_gone_is_not() -> None:
    step = CleanUpStep("images", "i", "app:1", 5)
    removed_now: list[CleanUpStep] = []
    refused: list[Refusal] = []

    def fail(code: str) -> bool:
        raise SwarmError(code, "Could not remove image app:1.", engine="conflict: it is in use")

    _attempt(step, lambda: True, removed_now, refused)
    assert removed_now == [step]
    _attempt(step, lambda: fail("not_found"), removed_now, refused)
    _attempt(step, lambda: fail("conflict"), removed_now, refused)
    assert removed_now == [step]
    assert refused == [Refusal("images", "app:1", "conflict: it is in use")]
    # The next removal would fail too.
    with pytest.raises(SwarmError):
        _attempt(step, lambda: fail("engine_unreachable"), removed_now, refused)
