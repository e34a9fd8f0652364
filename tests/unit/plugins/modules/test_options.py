# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module refuses of its options, in words: each numeric, dictionary and list option of each is tried."""

from __future__ import annotations

import gc
import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.flotilla.swarm.plugins.action import swarm_reboot_plan
from ansible_collections.flotilla.swarm.plugins.module_utils._common import argspec

PACKAGE = "ansible_collections.flotilla.swarm.plugins.modules."
# Those of an action plugin alone have no main().
MODULES = sorted(
    path.stem
    for path in (Path(argspec.__file__).resolve().parents[2] / "modules").glob("*.py")
    if "def main" in path.read_text(encoding="utf-8")
)
# Words that only programmers use.
FOREIGN = (
    "Error",
    "class '",
    "Traceback",
    "NoneType",
    "errno",
    "Errno",
    "object has",
    "argument '",
)


def call(module: str, **options: Any) -> dict[str, Any]:
    """A module's main() in this process, with what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        said = io.StringIO()
        patch.setattr(sys, "stdout", said)
        args = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
        patch.setattr(basic, "_ANSIBLE_ARGS", args)
        patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        patch.setattr(basic.AnsibleModule, "_log_invocation", lambda self: None)
        with pytest.raises(SystemExit):
            importlib.import_module(PACKAGE + module).main()
    found: dict[str, Any] = json.loads(said.getvalue().splitlines()[-1])
    return found


def spec_of(module: str) -> dict[str, Any]:
    """The argument spec that a module hands to its base."""

    class Seen(Exception):
        pass

    found = {}

    def init(self: Any, argument_spec: dict[str, Any], **_rules: Any) -> None:
        found.update(argument_spec)
        raise Seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argspec.Module, "__init__", init)
        with pytest.raises(Seen):
            importlib.import_module(PACKAGE + module).main()
    return found


def options_in(
    spec: dict[str, Any], before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for name, option in spec.items():
        yield (*before, name), option
        if option.get("type") == "dict":
            yield from options_in(option.get("options") or {}, (*before, name))


def given(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    options: dict[str, Any] = value
    return options


def options_of(*kinds: str) -> list[Any]:
    return [
        pytest.param(module, path, option, id=f"{module}-{'.'.join(path)}")
        for module in MODULES
        for path, option in options_in(spec_of(module))
        if option.get("type") in kinds
    ]


def refused(module: str, path: tuple[str, ...], value: Any) -> str:
    result = call(module, **given(path, value))
    message: str = result["msg"]
    assert result["failed"]
    assert result["failure"]["code"] == "bad_option", message
    assert f"{'.'.join(path)}" in message
    assert not [word for word in FOREIGN if word in message], message
    assert len(message) < 500
    return message


def test_all_modules_are_looked_at() -> None:
    assert len(MODULES) > 12
    assert len(options_of("int", "float")) > 50


@pytest.mark.parametrize(("module", "path", "option"), options_of("int", "float"))
def test_no_number_is_negative_endless_or_none(
    module: str, path: tuple[str, ...], option: dict[str, Any]
) -> None:
    for value in (-1, "-1", "nan", "inf", "-inf", "1e999", "many", True, [1], "9" * 5000):
        message = refused(module, path, value)
        kind = "a number" if option["type"] == "float" else "a whole number"
        assert f"it must be {kind}, " in message
    if option["type"] == "int":
        refused(module, path, 1.5)


@pytest.mark.parametrize(("module", "path", "option"), options_of("int"))
def test_no_socket_waits_longer_than_it_can(
    module: str, path: tuple[str, ...], option: dict[str, Any]
) -> None:
    if path[-1].endswith("timeout"):
        for value in (2**31, "9" * 40):
            assert "it must be a whole number, from " in refused(module, path, value)


@pytest.mark.parametrize(("module", "path", "option"), options_of("dict"))
def test_a_dictionary_is_one(module: str, path: tuple[str, ...], option: dict[str, Any]) -> None:
    for value, words in ((True, "true"), ([1], "a list"), (3, "3")):
        assert f"is {words}, it must be a dictionary" in refused(module, path, value)


@pytest.mark.parametrize(("module", "path", "option"), options_of("list"))
def test_a_list_has_no_holes(module: str, path: tuple[str, ...], option: dict[str, Any]) -> None:
    for value in (True, {"a": 1}):
        refused(module, path, value)
    for holes in ([None], [""], ["a", None], ""):
        assert "is empty, set it or remove it" in refused(module, path, holes)


@pytest.mark.parametrize(("module", "path", "option"), options_of("str", "path", "raw"))
def test_nul_characters_are_named(
    module: str, path: tuple[str, ...], option: dict[str, Any]
) -> None:
    assert "NUL character" in refused(module, path, "a\0b")


# The SDK leaves the socket open on which nobody answers.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_version": ""}, "api_version is '', it must be auto or a version such as 1.41"),
        ({"api_version": "x"}, "api_version is 'x'"),
        (
            {"docker_host": "tcp://[::1"},
            "docker_host is 'tcp://[::1', it must be an address such as",
        ),
        ({"docker_host": "tcp://127.0.0.1:99999"}, "docker_host is"),
        ({"docker_host": "nothing"}, "docker_host is 'nothing'"),
        ({"docker_host": "tcp://" + "a" * 5000}, "aaaa...', it must be an address"),
        ({"state": "x" * 5000}, "characters left out"),
        (
            {"docker_host": "unix:///nowhere/docker.sock"},
            "(there is no such socket); check that the engine",
        ),
        (
            {"docker_host": "tcp://127.0.0.1:1"},
            "(nothing listens there); check that the engine runs",
        ),
        (
            {"docker_host": "tcp://127.0.0.1:1", "tls": True, "client_cert": "/no"},
            "client_cert, client_key and",
        ),
    ],
)
def test_what_is_said_of_the_way_to_the_engine(options: dict[str, Any], words: str) -> None:
    pytest.importorskip("docker")
    message = call("swarm_drain", nodes=["w1"], **options)["msg"]
    gc.collect()
    assert words in message
    assert not [word for word in FOREIGN if word in message], message
    assert len(message) < 500


def test_environment_variables_are_held_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TIMEOUT", "inf")
    assert "timeout is 'inf'" in call("swarm_drain", nodes=["w1"])["msg"]


@pytest.mark.parametrize(
    ("module", "option"), [("swarm_health", "checks"), ("swarm_health", "accept")]
)
def test_a_gate_of_nothing_is_refused(module: str, option: str) -> None:
    assert f"{option} is empty, it must have an entry" in call(module, **{option: []})["msg"]


def test_the_plan_of_reboots_is_held_to_the_same() -> None:
    for options in ({"batch": 0}, {"batch": "nan"}, {"nodes": [""]}, {"observed": True}):
        assert argspec.bad_options(swarm_reboot_plan.SPEC, options, {"batch": 1}) is not None
    assert argspec.bad_options(swarm_reboot_plan.SPEC, {"nodes": [], "batch": "2"}) is None


def test_secrets_are_not_shown() -> None:
    wrong = {"registries": [{"registry": "r", "username": "u", "password": "hunter22\0"}]}
    result = call("swarm_stack", name="s", **wrong)
    assert "registries[0].password has a NUL character" in result["msg"]
    assert "hunter22" not in json.dumps(result)
