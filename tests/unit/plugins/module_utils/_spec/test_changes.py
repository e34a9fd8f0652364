# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where specs differ, and how that is shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._spec.changes import (
    service_changes,
    with_platforms,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._spec.display import show_both
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._spec.specs import (
    NETWORKS,
    sent,
    stored,
)


def fields(current: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c.name: (c.before, c.after) for c in service_changes(current, wanted, NETWORKS)}


names = st.text("abcXYZ_-.", min_size=1, max_size=8)
values = st.text("abc =:/{}$", max_size=12)
containers = st.fixed_dictionaries(
    {},
    optional={
        "Env": st.dictionaries(names, values, max_size=4).map(
            lambda env: [f"{key}={value}" for key, value in sorted(env.items())]
        ),
        "Labels": st.dictionaries(names, values, max_size=3),
        "Args": st.lists(values, max_size=3),
        "Init": st.booleans(),
        "ReadOnly": st.just(True),
        "StopGracePeriod": st.integers(0, 10**10),
        "Mounts": st.lists(
            st.sampled_from(["/a", "/b", "/c"]).map(
                lambda path: {"Type": "bind", "Source": path, "Target": path, "BindOptions": {}}
            ),
            unique_by=str,
            max_size=3,
        ),
    },
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    spec = sent(**draw(containers))
    spec["Mode"] = draw(
        st.sampled_from([{"Global": {}}, {"Replicated": {}}])
        | st.integers(0, 9).map(lambda n: {"Replicated": {"Replicas": n}})
    )
    spec["TaskTemplate"]["Networks"] = [
        {"Target": name, "Aliases": draw(st.lists(names, unique=True, max_size=2))}
        for name in draw(st.lists(st.sampled_from(["s_default", "s_front"]), unique=True))
    ]
    if draw(st.booleans()):
        spec["UpdateConfig"] = {"Parallelism": draw(st.integers(0, 3)), "Order": ""}
    return spec


@given(specs())
def test_what_the_engine_made_of_a_spec_is_no_change(spec: dict[str, Any]) -> None:
    assert fields(stored(spec), spec) == {}


@given(specs(), specs())
def test_a_change_is_seen_and_seen_from_both_sides(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    there, back = fields(stored(one), other), fields(stored(other), one)
    assert set(there) == set(back)
    assert {name: (after, before) for name, (before, after) in there.items()} == back
    if one["TaskTemplate"]["ContainerSpec"].get("Env", []) != other["TaskTemplate"][
        "ContainerSpec"
    ].get("Env", []):
        assert any(name.startswith("env.") for name in there)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (sent(), sent(Env=["A="]), {"env.A": ("(none)", "''")}),
        (sent(Env=["A"]), sent(Env=["A=x"]), {"env.A": ("(unset)", "x")}),
        (sent(Init=False), sent(), {"init": ("no", "(none)")}),
        (
            sent(StopGracePeriod=0),
            sent(StopGracePeriod=2 * 10**9),
            {"stop_grace_period": ("0s", "2s")},
        ),
        (sent(Args=["a"]), sent(Args=["a", "b"]), {"command": ("a", "a, b")}),
        (
            sent(Mounts=[{"Type": "volume", "Source": "v", "Target": "/d"}]),
            sent(Mounts=[{"Type": "volume", "Source": "w", "Target": "/d"}]),
            {"mounts./d.source": ("v", "w")},
        ),
        (
            sent(
                Secrets=[{"SecretID": "1", "SecretName": "k", "File": {"Name": "f", "Mode": 292}}]
            ),
            sent(
                Secrets=[{"SecretID": "1", "SecretName": "k", "File": {"Name": "f", "Mode": 256}}]
            ),
            {"secrets.f.mode": ("0444", "0400")},
        ),
        # A secret with a new name, and a secret that was recreated with its old name.
        (
            sent(Secrets=[{"SecretID": "1", "SecretName": "k1", "File": {"Name": "f"}}]),
            sent(Secrets=[{"SecretID": "2", "SecretName": "k2", "File": {"Name": "f"}}]),
            {"secrets.f.name": ("k1", "k2")},
        ),
        (
            sent(Secrets=[{"SecretID": "1", "SecretName": "k", "File": {"Name": "f"}}]),
            sent(Secrets=[{"SecretID": "2", "SecretName": "k", "File": {"Name": "f"}}]),
            {"secrets.f.id": ("1", "2")},
        ),
        # What comes or goes as a whole is one line.
        (
            sent(),
            sent(
                Configs=[{"ConfigID": "1", "ConfigName": "k", "File": {"Name": "f", "Mode": 292}}],
                Mounts=[{"Type": "volume", "Source": "v", "Target": "/d", "ReadOnly": True}],
            ),
            {"configs.f": ("(none)", "k"), "mounts./d": ("(none)", "volume v, read-only")},
        ),
    ],
)
def test_fields(before: dict[str, Any], after: dict[str, Any], expected: dict[str, Any]) -> None:
    assert fields(stored(before), after) == expected


def test_of_a_set_only_what_comes_and_goes() -> None:
    after = sent()
    after["EndpointSpec"]["Ports"].append(
        {"TargetPort": 81, "Protocol": "udp", "PublishMode": "host"}
    )
    after["TaskTemplate"]["Networks"] = [{"Target": "s_front", "Aliases": ["b", "a"]}]
    assert fields(stored(sent()), after) == {
        "ports": ("(none)", "81/udp host"),
        "networks": ("s_default as web", "s_front as a,b"),
    }


def test_limits_are_in_the_words_of_compose() -> None:
    before, after = sent(), sent()
    before["TaskTemplate"]["Resources"] = {
        "Limits": {"NanoCPUs": 250000000, "MemoryBytes": 64 << 20}
    }
    after["TaskTemplate"]["Resources"] = {"Limits": {"NanoCPUs": 500000000, "MemoryBytes": 1 << 30}}
    assert fields(stored(before), after) == {
        "resources.limits.cpus": ("0.25", "0.5"),
        "resources.limits.memory": ("64M", "1G"),
    }


def test_the_label_of_the_image_says_nothing_that_the_image_does_not() -> None:
    after = sent(Image="web:2")
    after["Labels"]["com.docker.stack.image"] = "web:2"
    assert fields(stored(sent()), after) == {"image": ("web:1", "web:2")}


def test_platforms_stay_as_long_as_the_image_does() -> None:
    current = stored(sent())
    current["TaskTemplate"]["Placement"]["Platforms"] = [{"Architecture": "amd64", "OS": "linux"}]
    kept = with_platforms(sent(Env=["A=1"]), current)
    assert kept["TaskTemplate"]["Placement"] == current["TaskTemplate"]["Placement"]
    assert fields(current, kept) == {"env.A": ("(none)", "1")}
    # Those of another image are its own, and that they come and go is said.
    other = with_platforms(sent(Image="web:2"), current)
    assert other == sent(Image="web:2")
    assert fields(current, other)["placement.platforms"] == ("amd64 linux", "(none)")
    assert fields(current, sent())["placement.platforms"] == ("amd64 linux", "(none)")
    for nothing in (None, {}, stored(sent())):
        assert with_platforms(sent(), nothing) == sent()


def update_config(**settings: Any) -> dict[str, Any]:
    return {"UpdateConfig": {"Parallelism": 1, "MaxFailureRatio": 0, **settings}}


def template(**settings: Any) -> dict[str, Any]:
    return {"TaskTemplate": {**sent()["TaskTemplate"], **settings}}


# A part of a spec, and all that a plan says when it comes. Engine 20.10 keeps each of them apart from nothing.
SAYS_NOTHING_AND_COUNTS = [
    (update_config(Parallelism=0), {"update_config.parallelism": "0"}),
    (update_config(), {"update_config.parallelism": "1"}),
    (
        {"RollbackConfig": {"Parallelism": 0, "Order": "stop-first"}},
        {"rollback_config.parallelism": "0"},
    ),
    (template(RestartPolicy={"Condition": "any"}), {"restart_policy": "(defaults)"}),
    (template(RestartPolicy={"Delay": 0}), {"restart_policy.delay": "0s"}),
    (template(Resources={"Limits": {}}), {"resources.limits": "(defaults)"}),
    (template(LogDriver={}), {"log_driver": "(defaults)"}),
    (sent(Healthcheck={}), {"healthcheck": "(defaults)"}),
    (sent(DNSConfig={}), {"dns_config": "(defaults)"}),
    (sent(Init=False), {"init": "no"}),
    (sent(StopGracePeriod=0), {"stop_grace_period": "0s"}),
    (sent(Env=["A"]), {"env.A": "(unset)"}),
]


@pytest.mark.parametrize(("part", "says"), SAYS_NOTHING_AND_COUNTS)
def test_a_zero_is_not_nothing(part: dict[str, Any], says: dict[str, str]) -> None:
    plain, other = sent(), {**sent(), **part}
    there, back = fields(stored(plain), other), fields(stored(other), plain)
    assert {name: after for name, (_none, after) in there.items()} == says
    assert {name: (after, before) for name, (before, after) in there.items()} == back
    assert fields(stored(other), other) == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (sent(Env=["A"]), sent(Env=["A=(unset)"])),
        (sent(Args=["a", "b"]), sent(Args=["a, b"])),
        (sent(Args=["a"]), sent(Args=["a", ""])),
        (sent(Env=["A=a\nb"]), sent(Env=["A=a\\nb"])),
        (sent(Env=["A='a'"]), sent(Env=["A=a"])),
        (sent(Env=["A=(none)"]), sent()),
        (sent(Env=["A=" + "a" * 300 + "b"]), sent(Env=["A=" + "a" * 300 + "c"])),
        (sent(Env=["A=" + "a" * 300]), sent(Env=["A=" + "a" * 301])),
        (sent(Env=["A=" + "a" * 200]), sent(Env=["A=" + "a" * 201])),
        (sent(Args=["a" * 190, "b" * 20]), sent(Args=["a" * 190, "b" * 21])),
    ],
)
def test_values_that_differ_look_different(before: dict[str, Any], after: dict[str, Any]) -> None:
    (shown,) = fields(stored(before), after).values()
    assert shown[0] != shown[1]
    assert max(map(len, shown)) <= 206


# No letters, so that nothing of it is a credential.
plain_texts = st.text("0 ,'\"\\\n()", max_size=6) | st.text("01", min_size=150, max_size=260)


@given(
    plain_texts, plain_texts, st.lists(plain_texts, max_size=3), st.lists(plain_texts, max_size=3)
)
def test_what_is_shown_tells_values_apart(
    one: str, other: str, some: list[str], others: list[str]
) -> None:
    for old, new in ((one, other), (some, others)):
        shown = show_both("env.A", old, new)
        assert (shown[0] == shown[1]) == (old == new)
        assert "\n" not in "".join(shown)


def test_of_a_long_value_the_part_that_differs_is_shown() -> None:
    before, after = ("0" * 500 + end + "1" * 500 for end in ("old", "new"))
    assert show_both("env.A", before, after) == tuple(
        f"...{'0' * 40}{end}{'1' * 157}..." for end in ("old", "new")
    )
    assert show_both("env.A", None, before) == ("(none)", "0" * 200 + "...")


def test_what_is_a_list_of_things_is_shown_in_words() -> None:
    wanted = sent()
    wanted["TaskTemplate"]["Placement"] = {
        "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]
    }
    reserved = {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]}
    wanted["TaskTemplate"]["Resources"] = {"Reservations": reserved}
    assert fields(stored(sent()), wanted) == {
        "placement.preferences": ("(none)", "node.labels.zone"),
        "resources.reservations.generic_resources": ("(none)", "gpu 2"),
    }


def test_a_mount_has_no_consistency_in_a_swarm() -> None:
    mount = {"Type": "bind", "Source": "/a", "Target": "/a"}
    wanted = sent(Mounts=[{**mount, "Consistency": "cached"}])
    assert fields(stored(sent(Mounts=[mount])), wanted) == {}
