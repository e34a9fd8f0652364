# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans and verdicts of stacks: pure functions over API documents."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._capture import Write
from ansible_collections.flotilla.swarm.plugins.module_utils._compose import (
    file_references,
    ignored_keys,
    interpolate,
    outline,
    silently_ignored,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import NAMESPACE
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import (
    HIDDEN,
    Live,
    Step,
    cli_failure,
    cli_notes,
    cli_reasons,
    hide_credentials,
    leftovers,
    others_wrote,
    plan_lines,
    plan_stack,
    service_changes,
    show_both,
    with_platforms,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import (
    CONVERGED,
    FAILED,
    WAITING,
    Verdict,
    Watch,
    cause_of,
    judge,
    log_lines,
    overdue,
    undeployed,
    unended,
)

NETWORKS = {"id-of-default": "s_default", "id-of-front": "s_front"}


def sent(**container: Any) -> dict[str, Any]:
    """A service as the CLI sends it."""
    return {
        "Name": "s_web",
        "Labels": {NAMESPACE: "s", "com.docker.stack.image": "web:1"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "web:1",
                "Privileges": {"SELinuxContext": None},
                **container,
            },
            "Resources": {},
            "Placement": {},
            "Networks": [{"Target": "s_default", "Aliases": ["web"]}],
            "ForceUpdate": 0,
        },
        "Mode": {"Replicated": {}},
        "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]},
    }


def stored(spec: dict[str, Any]) -> dict[str, Any]:
    """What an engine (20.10 and 26.1 alike) gives back of it: defaults filled in, IDs for names."""
    spec = copy.deepcopy(spec)
    template = spec["TaskTemplate"]
    template["Runtime"] = "container"
    template["ContainerSpec"]["Isolation"] = "default"
    ids = {name: key for key, name in NETWORKS.items()}
    for network in template.get("Networks") or []:
        network["Target"] = ids[network["Target"]]
    for mount in template["ContainerSpec"].get("Mounts") or []:
        if mount.get("BindOptions"):
            mount["BindOptions"].setdefault("Propagation", "rprivate")
    endpoint = spec.setdefault("EndpointSpec", {})
    endpoint.setdefault("Mode", "vip")
    for port in endpoint.get("Ports") or []:
        port.setdefault("Protocol", "tcp")
        port.setdefault("PublishMode", "ingress")
    if "Replicated" in spec["Mode"]:
        spec["Mode"]["Replicated"].setdefault("Replicas", 1)
    for key in ("UpdateConfig", "RollbackConfig"):
        if key in spec:
            spec[key]["FailureAction"] = spec[key].get("FailureAction") or "pause"
            spec[key]["Order"] = spec[key].get("Order") or "stop-first"
    return spec


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
        # A secret under a new name, and one that was made anew under its old name.
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


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=20).map("%".__add__))
def test_a_credential_is_never_shown(secret: str) -> None:
    after = sent(
        Env=[f"DB_PASSWORD={secret}", f"URL=postgres://me:{secret}@db/x"],
        Labels={"com.example.token": secret},
        Args=["run", f"--api-key={secret}", "--password", secret, f"redis://:{secret}@r"],
        Healthcheck={"Test": ["CMD", "probe", f"TOKEN={secret}"]},
    )
    after["TaskTemplate"]["LogDriver"] = {"Name": "splunk", "Options": {"splunk-token": secret}}
    steps = plan_stack("s", [write(after)], live(stored(sent())))
    assert secret not in "\n".join(plan_lines("s", steps, "m1"))
    assert secret not in str([step.as_dict() for step in steps])
    assert {c.name for step in steps for c in step.changes} >= {
        "env.DB_PASSWORD",
        "env.URL",
        "container_labels.com.example.token",
        "command",
        "healthcheck.test",
        "log_driver.options.splunk-token",
    }


# Plans


def write(spec: dict[str, Any], kind: str = "service", action: str = "update") -> Write:
    return Write(kind, action, spec["Name"], "" if action == "create" else "id", spec)


def live(*services: dict[str, Any], **kinds: list[dict[str, Any]]) -> Live:
    networks = [
        {"Id": key, "Name": name, "Labels": {NAMESPACE: "s"}} for key, name in NETWORKS.items()
    ]
    return Live(
        networks=networks, services=[{"ID": "id", "Spec": spec} for spec in services], **kinds
    )


def test_a_plan_as_a_person_reads_it() -> None:
    changed = sent(Image="web:2")
    changed["Mode"] = {"Replicated": {"Replicas": 3}}
    new = {**sent(), "Name": "s_new", "Mode": {"Global": {}}}
    writes = [
        write(changed),
        write(new, action="create"),
        write({"Name": "s_default", "Labels": {NAMESPACE: "s"}}, "network"),
        write({"Name": "s_apart", "Driver": "overlay"}, "network", "create"),
        write({"Name": "s_conf", "Labels": {"a": "2"}}, "config"),
        write({"Name": "s_key", "Labels": {}}, "secret"),
    ]
    state = live(
        stored(sent()),
        configs=[{"Spec": {"Name": "s_conf", "Labels": {"a": "1"}}}],
        secrets=[{"Spec": {"Name": "s_key"}}],
    )
    steps = plan_stack("s", writes, state)
    assert plan_lines("s", steps, "m1", ["s_old"], ["Ignoring unsupported options: restart"]) == [
        "PLAN  stack s, acting on m1",
        "  + network  s_apart  overlay",
        "  ~ config   s_conf   labels.a  1 -> 2",
        "  + service  s_new    image web:1, global",
        "  ~ service  s_web    image     web:1 -> web:2",
        "                      replicas  1 -> 3",
        "  ! service  s_old  not in the Compose files: left alone (prune removes it)",
        "  ! Ignoring unsupported options: restart",
        "  = 2 objects as they should be",
    ]


@given(st.permutations(range(4)))
def test_the_order_of_the_cli_does_not_matter(order: list[int]) -> None:
    writes = [write({**sent(), "Name": f"s_{n}"}, action="create") for n in range(4)]
    assert plan_stack("s", [writes[n] for n in order], live()) == plan_stack("s", writes, live())


def test_services_that_are_no_longer_asked_for() -> None:
    other = {"Name": "other_web", "Labels": {NAMESPACE: "other"}}
    old = {"Name": "s_old", "Labels": {NAMESPACE: "s"}}
    assert leftovers("s", [write(sent())], live(stored(sent()), old, other)) == ["s_old"]


def test_a_removal_by_another_run_is_seen_also_of_what_this_one_has_written() -> None:
    network = Write("network", "create", "s_default", "n1", {"Name": "s_default"})
    mine, other = ("network", "s_default"), ("service", "s_web")
    assert not others_wrote({}, {mine: 1}, [network])
    assert not others_wrote({other: 1}, {other: 1, mine: 1}, [network])
    assert others_wrote({other: 1}, {other: 2, mine: 1}, [network])
    assert others_wrote({other: 1}, {mine: 1}, [network])
    assert others_wrote({other: 1}, {other: 1}, [network])


def test_the_outline_lists_what_the_plan_of_a_first_deploy_lists() -> None:
    documents: list[dict[str, Any]] = [
        {
            "services": {
                "web": {
                    "image": "web:${TAG:-1}",
                    "networks": {"front": None},
                    "deploy": {"replicas": 2},
                },
                "agent": {"image": "agent", "deploy": {"mode": "global"}},
            },
            "networks": {"front": {"driver": "overlay"}, "unused": {}, "ext": {"external": True}},
            "secrets": {"key": {"file": "./key"}, "given": {"external": {"name": "x"}}},
        },
        {"services": {"web": {"image": "web:2"}}, "configs": {"c": {"file": "c", "name": "own"}}},
    ]
    assert plan_lines("s", outline("s", documents), "m1")[1:] == [
        "  + network  s_default  overlay",
        "  + network  s_front    overlay",
        "  + secret   s_key",
        "  + config   own",
        "  + service  s_agent    image agent, global",
        "  + service  s_web      image web:2, 2 replicas",
    ]


def test_the_outline_knows_the_variables_of_names() -> None:
    documents = [
        {
            "services": {"web": {"image": "w", "networks": ["n"]}},
            "networks": {"n": {"name": "${NET}-net", "driver": "${DRIVER:-overlay}"}},
            "configs": {"c": {"name": "c-${NET}"}},
        }
    ]
    named = [(step.name, step.summary) for step in outline("s", documents, {"NET": "front"})]
    assert named[:2] == [("front-net", "overlay"), ("c-front", "")]


def test_files_that_go_along() -> None:
    documents = [
        {
            "secrets": {
                "a": {"file": "./${NAME}.txt"},
                "b": {"file": "/etc/b"},
                "c": {"external": True},
            },
            "configs": {"d": {"file": "../d"}},
            "services": {
                "web": {"env_file": ["a.env", {"path": "b.env"}]},
                "db": {"env_file": "a.env"},
                "x": None,
            },
        }
    ]
    assert file_references(documents, {"NAME": "n"}) == ["../d", "./n.txt", "a.env", "b.env"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"),
        ("${B:-x}${B-x}", "x"),
        ("${C-x}", "x"),
        ("${A:+y}", "y"),
        ("$$A", "$A"),
        ("${C}", ""),
        ("${C:?needed}", "${C:?needed}"),
    ],
)
def test_interpolation(text: str, expected: str) -> None:
    assert interpolate(text, {"A": "1", "B": ""}) == expected


def test_notes_are_whole_sentences_without_progress() -> None:
    output = (
        "Since --detach=false was not specified, tasks will be created in the background.\n"
        "In a future release, --detach=false will become the default.\n"
        "Ignoring unsupported options: restart\n\nUpdating service s_web (id: x)\n"
        "image web:2 could not be accessed on a registry to record\nits digest.\n\n"
    )
    assert cli_notes(output) == [
        "Ignoring unsupported options: restart",
        "image web:2 could not be accessed on a registry to record its digest.",
    ]


def test_keys_that_the_cli_says_to_ignore() -> None:
    output = (
        "Ignoring unsupported options: build, restart\n\nIgnoring deprecated options:\n\n"
        "container_name: Setting the container name is not supported.\n\n"
        "expose: Exposing ports is unnecessary - services on the same network can\n\n"
        "Creating network s_default\nimage web:2 could not be accessed: refused\n"
    )
    assert ignored_keys(cli_notes(output)) == ["build", "container_name", "expose", "restart"]
    assert ignored_keys(["tmpfs: x", "image: y"]) == []


@pytest.mark.parametrize(
    ("service", "keys"),
    [
        ({"image": "x"}, []),
        ({"depends_on": ["db"], "tmpfs": "/x"}, ["depends_on", "tmpfs"]),
        ({"depends_on": [], "tmpfs": None}, []),
        ({"networks": ["a"]}, []),
        ({"networks": {"a": None, "b": {"aliases": ["c"]}}}, []),
        ({"networks": {"a": {"ipv4_address": "10.0.0.9"}}}, ["networks.ipv4_address"]),
        (None, []),
        ("nonsense", []),
    ],
)
def test_keys_that_the_cli_ignores_without_a_word(service: Any, keys: list[str]) -> None:
    assert (
        silently_ignored([{"services": {"web": {"tty": True}}}, {"services": {"web": service}}])
        == keys
    )
    assert silently_ignored([None, {}, {"services": []}]) == []


def test_what_the_cli_logs_is_a_note_without_the_time() -> None:
    output = (
        'time="2026-11-24T17:19:20Z" level=warning msg="the attribute \\"version\\" is obsolete"\n'
        "WARN[0000] a.yml: x is obsolete\n"
        'time="2026-11-24T17:19:21Z" level=info msg=short\n'
        "services.web Additional property imagee is not allowed\n"
    )
    assert cli_notes(output)[:3] == [
        'the attribute "version" is obsolete',
        "a.yml: x is obsolete",
        "short",
    ]
    assert cli_reasons(output) == ["services.web Additional property imagee is not allowed"]


def test_notes_are_no_reasons() -> None:
    output = (
        "Ignoring unsupported options: build, restart\n\nIgnoring deprecated options:\n\n"
        "container_name: Setting the container name is not supported.\n\n"
        "1 error(s) decoding:\n\n* error decoding 'Ports': Invalid ip address x:y\n"
        "* error decoding 'Volumes': invalid empty volume spec\n"
    )
    error = cli_failure("s", "plan", output, [])
    assert error.message == (
        "Could not plan stack s: docker stack deploy says: error decoding 'Ports': Invalid ip address x:y; error decoding"
        " 'Volumes': invalid empty volume spec"
    )
    assert "no reason" in cli_failure("s", "plan", "Ignoring unsupported options: a\n", []).message


def test_a_message_of_the_cli_does_not_show_a_credential() -> None:
    output = (
        'invalid interpolation format for services.a.environment.PASSWORD: "hunter2${"; escape it'
    )
    error = cli_failure("s", "plan", output, [])
    assert "hunter2" not in error.message + str(error.details)


def test_a_refusal_is_in_the_words_of_the_engine() -> None:
    refusals = [
        ("service", "b", "bad"),
        ("secret", "k", "only updates to Labels are allowed"),
        ("service", "a", "bad"),
    ]
    error = cli_failure("s", "plan", "noise", refusals)
    assert error.code == "refused"
    assert "secret k: only updates to Labels are allowed; service a: bad; service b: bad; " in (
        error.message
    )
    assert "name it in rotate" in error.message
    error = cli_failure("s", "plan", "", [])
    assert (error.code, "no reason" in error.message) == ("cli_failed", True)
    error = cli_failure("s", "plan", "b", [], ["b", "a"])
    assert error.message.endswith("docker stack deploy says: a; b")


# Verdicts

NODES = [
    {"ID": "n1", "Description": {"Hostname": "m1"}, "Status": {"State": "ready"}},
    {"ID": "n2", "Description": {"Hostname": "w1"}, "Status": {"State": "ready"}},
    {"ID": "n3", "Status": {"State": "down"}},
]


def service(mode: Any = None, update: Any = None, policy: Any = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ID": "s1",
        "Spec": {
            "Name": "s_web",
            "Mode": mode or {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"RestartPolicy": policy or {}},
        },
    }
    if update:
        found["UpdateStatus"] = {"State": update, "Message": "because of task t1"}
    return found


def task(
    number: int, state: str = "running", wanted: str = "running", **rest: Any
) -> dict[str, Any]:
    status = {
        "State": state,
        "Timestamp": f"2026-01-01T00:00:{number:02d}.123Z",
        "Err": rest.pop("err", ""),
    }
    return {
        "ID": f"t{number}",
        "ServiceID": "s1",
        "Slot": rest.pop("slot", number),
        "NodeID": rest.pop("node", "n1"),
        "CreatedAt": f"2026-01-01T00:00:{number:02d}Z",
        "DesiredState": wanted,
        "Status": status,
        **rest,
    }


def verdict(
    tasks: list[dict[str, Any]], old: tuple[str, ...] = (), overruled: bool = False, **kwargs: Any
) -> Verdict:
    current = {t["ID"] for t in tasks} - set(old)
    return judge(service(**kwargs), tasks, current, NODES, overruled)


def test_all_tasks_run() -> None:
    found = verdict([task(1), task(2, node="n2")])
    assert (found.state, found.running, found.desired, found.cause) == (CONVERGED, 2, 2, None)


@pytest.mark.parametrize(
    ("tasks", "cause", "node"),
    [
        ([task(1), task(2, node="n3")], "node_down", "n3"),
        ([task(1)], None, None),
        ([task(1), task(2, "starting")], None, "m1"),
        (
            [task(1), task(2, "failed", "shutdown", err="task: non-zero exit (1)", slot=2)],
            "crash",
            "m1",
        ),
        (
            [task(1), task(2, "rejected", "shutdown", err="No such image: x", node="n2")],
            "image",
            "w1",
        ),
        (
            [
                task(1),
                task(
                    2, "pending", node="", err="no suitable node (insufficient resources on 1 node)"
                ),
            ],
            "resources",
            None,
        ),
    ],
)
def test_waiting_has_a_cause(
    tasks: list[dict[str, Any]], cause: str | None, node: str | None
) -> None:
    found = verdict(tasks)
    assert (found.state, found.running, found.cause, found.node) == (WAITING, 1, cause, node)
    assert found.reason


def test_tasks_of_the_spec_before_do_not_count() -> None:
    found = verdict([task(1), task(2)], old=("t2",))
    assert (found.state, found.running) == (WAITING, 1)
    assert verdict([task(1), task(2), task(3, slot=1)], old=("t3",)).state == WAITING
    assert (
        verdict([task(1), task(2), task(3, "running", "shutdown")], old=("t3",)).state == CONVERGED
    )


def test_an_update_is_over_when_the_engine_says_so() -> None:
    assert verdict([task(1), task(2)], update="updating").state == WAITING
    assert verdict([task(1), task(2)], update="completed").state == CONVERGED


@pytest.mark.parametrize("update", ["rollback_started", "rollback_completed", "rollback_paused"])
def test_a_rollback_is_a_failure_of_the_run_that_caused_it(update: str) -> None:
    broken = task(3, "failed", "shutdown", err="task: non-zero exit (4)", node="n2")
    found = verdict([task(1), task(2), broken], old=("t3",), update=update, overruled=True)
    # A run that ended before the engine has would leave the next one a swarm in motion.
    assert found.state == (WAITING if update == "rollback_started" else FAILED)
    assert (found.cause, found.node) == ("rolled_back", "w1")
    assert "because of task t1" in found.reason
    assert "exit (4)" in found.reason


@pytest.mark.parametrize(
    "back",
    [
        task(4, "starting", slot=2, node="n2"),
        task(4, "pending", slot=2, node="", err="no suitable node (1 node not available)"),
        task(4, "failed", "shutdown", slot=2, node="n2", err="task: non-zero exit (137)"),
        task(4, slot=2, node="n3"),
    ],
    ids=lambda back: str(back["Status"]["State"]) + back["NodeID"],
)
def test_a_rollback_has_its_cause_whatever_becomes_of_the_task_that_is_put_back(
    back: dict[str, Any],
) -> None:
    broken = task(3, "failed", "shutdown", err="task: non-zero exit (4)", slot=2, node="n2")
    for update in ("rollback_started", "rollback_completed"):
        found = verdict([task(1), broken, back], old=("t3",), update=update, overruled=True)
        assert (found.cause, found.node) == ("rolled_back", "w1")
        assert "exit (4)" in found.reason, found.reason


def test_an_old_rollback_is_history() -> None:
    found = verdict([task(1), task(2)], update="rollback_completed")
    assert found.state == CONVERGED


def test_a_spec_that_is_not_the_one_that_was_written_never_counts() -> None:
    found = service(update="completed")
    tasks = [task(1), task(2)]
    ids = {"t1", "t2"}
    assert judge(found, tasks, ids, NODES, overruled=True).cause == "rolled_back"
    found["PreviousSpec"] = found["Spec"]
    verdict = judge(found, tasks, ids, NODES, overruled=True)
    assert (verdict.state, verdict.cause) == (FAILED, "overwritten")


def test_a_paused_update_does_not_go_on_by_itself() -> None:
    assert verdict([task(1)], update="paused").cause == "paused"
    assert verdict([task(1)], update="paused").state == FAILED


def test_zero_replicas() -> None:
    nothing: Any = {"Replicated": {"Replicas": 0}}
    assert verdict([], mode=nothing).state == CONVERGED
    assert verdict([task(1)], mode=nothing).state == WAITING
    assert verdict([task(1, "running", "remove")], mode=nothing).state == CONVERGED


def test_a_global_service_is_on_every_node_that_is_ready() -> None:
    everywhere: Any = {"Global": {}}
    tasks = [task(1, slot=0), task(2, slot=0, node="n2"), task(3, slot=0, node="n3")]
    found = verdict(tasks, mode=everywhere)
    assert (found.state, found.desired) == (CONVERGED, 2)
    assert (
        verdict([*tasks[:1], task(2, "preparing", slot=0, node="n2")], mode=everywhere).state
        == WAITING
    )
    assert verdict([], mode=everywhere).state == CONVERGED


def test_tasks_that_end_and_are_not_started_again() -> None:
    once = {"Condition": "none"}
    done, broken = (
        task(1, "complete", "shutdown"),
        task(2, "failed", "shutdown", err="non-zero exit (1)"),
    )
    assert verdict([done, task(2, "complete", "shutdown")], policy=once).state == CONVERGED
    found = verdict([done, broken], policy=once)
    assert (found.state, found.cause, found.running) == (FAILED, "crash", 1)
    assert (
        verdict([done, broken, task(3, slot=2)], policy={"Condition": "on-failure"}).state
        == CONVERGED
    )


def test_jobs() -> None:
    job: Any = {"ReplicatedJob": {"TotalCompletions": 2}}
    done = [task(1, "complete", "complete"), task(2, "complete", "complete")]
    assert verdict(done, mode=job).state == CONVERGED
    assert verdict([done[0], task(2, "running", "complete")], mode=job).state == WAITING
    assert verdict(done, mode={"GlobalJob": {}}).state == CONVERGED


@st.composite
def sick(draw: st.DrawFn, document: Any) -> Any:
    """The document with parts missing, as a sick cluster gives it."""
    if isinstance(document, dict):
        kept = {key: draw(sick(value)) for key, value in document.items() if draw(st.booleans())}
        return kept if draw(st.integers(0, 9)) else None
    return document


@given(
    sick(service(update="updating")),
    st.lists(sick(task(1, err="x", ContainerStatus={"ExitCode": 1}))),
    st.lists(sick(NODES[0])),
    st.booleans(),
)
def test_no_document_breaks_the_verdict(
    found: Any, tasks: list[Any], nodes: list[Any], overruled: bool
) -> None:
    tasks, nodes = [t for t in tasks if t], [n for n in nodes if n]
    ids = {str(t.get("ID")) for t in tasks}
    assert judge(found or {}, tasks, ids, nodes, overruled).state in (CONVERGED, WAITING, FAILED)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("no suitable node (scheduling constraints not satisfied on 2 nodes)", "constraint"),
        ("no suitable node (host-mode port already in use on 1 node)", "port"),
        ("no suitable node (unsupported platform on 1 node)", "platform"),
        ("no suitable node (max replicas per node limit exceed)", "replicas_per_node"),
        ("no suitable node (1 node not available for new tasks)", "availability"),
        ("task: non-zero exit (137): dockerexec: unhealthy container", "unhealthy"),
        ("No such image: x:1", "image"),
        ("starting container failed: OCI runtime create failed", "start"),
        ("something new", "task_failed"),
    ],
)
def test_causes(text: str, cause: str) -> None:
    assert cause_of(text) == cause


AT_HOME = {"Availability": "active", "Role": "worker", "Labels": {"zone": "a"}}


@pytest.mark.parametrize(
    ("text", "constraint", "worker", "cause", "node"),
    [
        # The scheduler counts a node that is down under all services, whatever they ask for.
        ("1 node not available; scheduling constraints not satisfied on 1", "zone == x", {"State": "down"}, "constraint", None),
        ("1 node not available for new tasks; scheduling constraints not", "zone == a", {"State": "down"}, "node_down", "w1"),
        ("1 node not available for new tasks; scheduling constraints not", "zone == a", {"Availability": "drain"}, "availability", "w1"),
        ("scheduling constraints not satisfied on 1; host-mode port already in use on 1", "zone == a", {}, "port", None),
        ("scheduling constraints not satisfied on 1; insufficient resources on 1", "zone == a", {}, "resources", None),
        ("scheduling constraints not satisfied on 1; insufficient resources on 1", "zone == x", {}, "constraint", None),
        ("scheduling constraints not satisfied on 2 nodes", "zone == a", {}, "constraint", None),
        ("no reason known", "zone == a", {}, "no_node", None),
    ],
)  # fmt: skip
def test_of_several_reasons_the_one_that_counts(
    text: str, constraint: str, worker: dict[str, str], cause: str, node: str | None
) -> None:
    nodes = [
        {
            "ID": "n1",
            "Description": {"Hostname": "m1"},
            "Status": {"State": "ready"},
            "Spec": {**AT_HOME, "Labels": {}},
        },
        {
            "ID": "n2",
            "Description": {"Hostname": "w1"},
            "Status": {"State": worker.get("State", "ready")},
            "Spec": {**AT_HOME, "Availability": worker.get("Availability", "active")},
        },
    ]
    asked = service()
    asked["Spec"]["TaskTemplate"]["Placement"] = {"Constraints": [f"node.labels.{constraint}"]}
    stuck = task(1, "pending", node="", err=f"no suitable node ({text})")
    found = judge(asked, [stuck], {"t1"}, nodes)
    assert (found.cause, found.node) == (cause, node)


def test_a_job_that_ended_badly_for_good() -> None:
    job: Any = {"ReplicatedJob": {"TotalCompletions": 2}}
    done = task(1, "complete", "complete")
    broken = task(2, "failed", "shutdown", err="task: non-zero exit (6)")
    again = task(3, "running", "complete", slot=2)
    assert verdict([done, broken], mode=job, policy={"Condition": "none"}).state == FAILED
    assert verdict([done, broken, again], mode=job, policy={"MaxAttempts": 3}).state == WAITING
    assert verdict([done, broken], mode=job, policy={"Condition": "any"}).state == WAITING


def test_a_service_that_others_wait_for_to_end() -> None:
    once, runs, done = {"Condition": "none"}, task(1), task(2, "complete", "shutdown")
    found = verdict([runs, done], policy=once)
    assert (found.state, unended(found).state) == (CONVERGED, WAITING)
    found = verdict([task(1, "complete", "shutdown"), done], policy=once)
    assert unended(found) == found
    assert unended(verdict([runs])).reason == verdict([runs]).reason


def test_only_a_task_with_a_container_has_a_log() -> None:
    broken = task(2, "failed", "shutdown", err="x")
    assert verdict([broken]).witness is None
    broken["Status"]["ContainerStatus"] = {"ContainerID": "c"}
    assert verdict([broken]).witness == "t2"
    assert verdict([task(1), task(2), broken], old=("t2",)).witness is None


def test_a_service_that_starts_slowly_says_so() -> None:
    slow = service()
    slow["Spec"]["TaskTemplate"]["ContainerSpec"] = {"Healthcheck": {"StartPeriod": 90 * 10**9}}
    assert judge(slow, [], set(), NODES).start_period == 90
    assert verdict([]).start_period == 0


def piece(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize(
    ("data", "multiplexed", "lines"),
    [
        (b"", True, []),
        (piece(b"a\n") + piece(b"b\n", 2) + piece(b"c\n"), True, ["b", "c"]),
        (piece(b"long, in ") + piece(b"pieces\r\n"), True, ["long, in pieces"]),
        (piece(b"cut short")[:12], True, ["cut"]),
        (piece(b"a\n") + b"\x01\x00", True, ["a"]),
        (b"of a terminal\r\n\x1b[31mred\x1b[0m\x07\n", False, ["of a terminal", "red"]),
        (piece(b"\xff\n\n  \n" + "gut, schön".encode()), True, ["\ufffd", "gut, schön"]),
        (piece(b"x" * 999), True, ["x" * 300]),
    ],
)
def test_the_last_lines_of_a_log(data: bytes, multiplexed: bool, lines: list[str]) -> None:
    assert log_lines(data, multiplexed, 2) == lines


@given(st.binary(), st.booleans())
def test_no_log_breaks_the_verdict(data: bytes, multiplexed: bool) -> None:
    for line in log_lines(data, multiplexed, 5):
        assert all(letter == "\t" or letter >= " " for letter in line)


def test_a_log_does_not_show_the_credentials_of_the_service() -> None:
    container = {"Env": ["API_TOKEN=abcdef", "NAME=web", "DB_PASSWORD=", "PIN_SECRET=12"]}
    line = "web: token abcdef at https://me:pw@db refused after 12 s"
    assert hide_credentials(line, container) == (
        f"web: token {HIDDEN} at https://me:{HIDDEN}@db refused after 12 s"
    )


def seen(state: str, *tasks: str, youngest: float | None = None) -> list[Verdict]:
    return [Verdict("s_web", "replicated", 1, 1, state, tasks=frozenset(tasks), youngest=youngest)]


def test_a_task_must_stay_to_count() -> None:
    watch = Watch(5, True, lambda: 0)
    assert not watch.final(seen(CONVERGED, "a"), 0)
    assert not watch.final(seen(WAITING), 2)
    assert not watch.final(seen(CONVERGED, "b"), 4)
    assert not watch.final(seen(CONVERGED, "b"), 8.9)
    assert watch.final(seen(CONVERGED, "b"), 9)


def test_the_time_under_the_engines_own_watch_counts() -> None:
    watch = Watch(5, True, lambda: 0)
    assert not watch.final(seen(WAITING, "a"), 0)
    assert watch.final(seen(CONVERGED, "a"), 6)


def test_what_has_been_running_for_long_is_believed_at_once_if_nothing_was_written() -> None:
    old = seen(CONVERGED, "a", youngest=100)
    assert Watch(5, False, lambda: 105).final(old, 0)
    assert not Watch(5, False, lambda: 104).final(old, 0)
    assert not Watch(5, True, lambda: 999).final(old, 0)
    assert Watch(5, False, lambda: 0).final(seen(CONVERGED), 0)


def test_tasks_that_still_come_and_go_when_the_time_is_over() -> None:
    watch = Watch(5, True, lambda: 100)
    young, old = (replace(seen(CONVERGED, "a")[0], since=(80, moment)) for moment in (98, 90))
    found = overdue(watch.unsettled(young))
    assert (found.state, found.cause, found.overdue) == (FAILED, "deadline", True)
    assert (young.running, found.running) == (1, 0)
    assert watch.unsettled(old) == old


def test_a_crash_loop_is_one_also_while_its_next_task_runs() -> None:
    broken = task(2, "failed", "shutdown", err="task: non-zero exit (3)", node="n2", slot=1)
    broken["Status"]["ContainerStatus"] = {"ContainerID": "c"}
    one: Any = {"Replicated": {"Replicas": 1}}
    now = verdict([broken, task(9, slot=1)], mode=one)
    assert now.state == CONVERGED
    watch = Watch(5, True, lambda: (now.youngest or 0) + 1)
    found = watch.unsettled(now)
    assert (found.state, found.cause, found.node, found.witness) == (WAITING, "crash", "w1", "t2")
    assert found.line().startswith("s_web: 0 of 1 task as asked, crash on w1")
    # It has recovered.
    assert Watch(5, True, lambda: (now.youngest or 0) + 5).unsettled(now) == now


def test_a_failure_is_final() -> None:
    assert Watch(5, True, lambda: 0).final(seen(FAILED), 0)


def test_the_failure_names_each_service_and_its_cause() -> None:
    good = Verdict("s_ok", "replicated", 1, 1, CONVERGED)
    slow = Verdict("s_slow", "replicated", 2, 0, WAITING, None, "starting: x", "m1")
    error = undeployed("s", [overdue(good), overdue(slow)], 30)
    assert error.message == (
        "Stack s is not up after 30 s: s_slow: 0 of 2 tasks as asked, deadline on m1: starting: x"
    )
    assert [entry["cause"] for entry in error.details["services"]] == ["deadline"]
    bad = Verdict("s_bad", "replicated", 1, 0, FAILED, "crash", "failed: x")
    assert undeployed("s", [bad], 3).message.startswith("Stack s has failed: s_bad: 0 of 1")


def test_hidden_is_not_empty() -> None:
    assert HIDDEN
    assert Step("none", "service", "x").as_dict()["changes"] == []
