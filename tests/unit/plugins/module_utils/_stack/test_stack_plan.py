# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a stack, its outline, and what the CLI says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import STACK_LABEL
from ansible_collections.flotilla.swarm.plugins.module_utils._spec.changes import service_changes
from ansible_collections.flotilla.swarm.plugins.module_utils._spec.redaction import HIDDEN
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.cli_output import (
    cli_failure,
    cli_notes,
    cli_reasons,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.compose import (
    file_references,
    ignored_keys,
    interpolate,
    outline,
    silently_ignored,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import (
    StackSnapshot,
    StackStep,
    leftovers,
    others_wrote,
    plan_lines,
    plan_stack,
    replacing_tasks,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.writes import Write
from ansible_collections.flotilla.swarm.tests.unit.plugins.module_utils._spec.specs import (
    NETWORKS,
    sent,
    stored,
)


def write(spec: dict[str, Any], kind: str = "service", action: str = "update") -> Write:
    return Write(kind, action, spec["Name"], "" if action == "create" else "id", spec)


def live(*services: dict[str, Any], **kinds: list[dict[str, Any]]) -> StackSnapshot:
    networks = [
        {"Id": key, "Name": name, "Labels": {STACK_LABEL: "s"}} for key, name in NETWORKS.items()
    ]
    return StackSnapshot(
        networks=networks, services=[{"ID": "id", "Spec": spec} for spec in services], **kinds
    )


def test_a_plan_as_a_person_reads_it() -> None:
    changed = sent(Image="web:2")
    changed["Mode"] = {"Replicated": {"Replicas": 3}}
    new = {**sent(), "Name": "s_new", "Mode": {"Global": {}}}
    writes = [
        write(changed),
        write(new, action="create"),
        write({"Name": "s_default", "Labels": {STACK_LABEL: "s"}}, "network"),
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


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 4),
        ({"Labels": {"a": "b"}}, 4),
        ({"EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8081}]}}, 5),
        ({"EndpointSpec": {"Mode": "dnsrr", "Ports": []}}, 5),
    ],
)
def test_other_ports_replace_all_tasks(change: dict[str, Any], count: int) -> None:
    """Also those that a drain has moved, which the engine would leave alone. The plan does not show the count."""
    current = stored(sent())
    current["TaskTemplate"]["ForceUpdate"] = 4
    written = replacing_tasks({**current, **change}, current, {})
    assert written["TaskTemplate"]["ForceUpdate"] == count
    names = {each.name for each in service_changes(current, written, {})}
    assert not any("force" in name for name in names)
    assert replacing_tasks(written, written, {}) == written
    assert replacing_tasks(written, None, {}) == written


def test_services_that_are_no_longer_asked_for() -> None:
    other = {"Name": "other_web", "Labels": {STACK_LABEL: "other"}}
    old = {"Name": "s_old", "Labels": {STACK_LABEL: "s"}}
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


def test_hidden_is_not_empty() -> None:
    assert HIDDEN
    assert StackStep("none", "service", "x").as_dict()["changes"] == []
