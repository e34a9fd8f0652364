# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How messages are worded: numbers of things, what is too long to read, what the system says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._api import client
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import (
    SwarmError,
    failure_of,
    shorten,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import count_of
from ansible_collections.flotilla.swarm.plugins.module_utils._engine import config
from ansible_collections.flotilla.swarm.plugins.module_utils._scheduler.placement import _cpus
from ansible_collections.flotilla.swarm.plugins.module_utils._services.convergence import (
    _task_reason,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.cli import run_cli


def test_one_is_in_the_singular() -> None:
    assert [count_of(number, "task") for number in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
    assert count_of(2, "address", "addresses") == "2 addresses"
    assert [_cpus(nano) for nano in (10**9, 5 * 10**8, 0)] == ["1 CPU", "0.5 CPUs", "0 CPUs"]


@given(st.lists(st.text("ab cd", min_size=1), min_size=1))
def test_only_what_is_too_long_is_shortened(parts: list[str]) -> None:
    text = "; ".join(parts)
    assert shorten(text) == text or max(map(len, parts)) > 200


@given(st.text(min_size=2000), st.text("xyz ;", max_size=20))
def test_what_is_given_is_never_repeated_whole(long: str, word: str) -> None:
    value = long.replace(";", ",")
    shown = shorten(f"Could not change it: {value} is wrong; correct {word}")
    assert len(shown) < 1600
    assert shown.startswith("Could not change it: ")
    assert shown.endswith(f"; correct {word}")


def test_the_middle_goes_and_the_number_says_how_much() -> None:
    shown = shorten(f"state is {'x' * 5000}, it must be drained")
    assert "(4920 characters left out)" in shown.replace("4921", "4920")
    assert shown.endswith("it must be drained")


def test_a_task_that_is_on_its_way_is_told_once() -> None:
    assert (
        _task_reason({"Status": {"State": "starting", "Message": "starting"}}, set()) == "starting"
    )
    pending = {"Status": {"State": "pending", "Err": "no suitable node"}}
    assert _task_reason(pending, set()) == "pending: no suitable node"


def test_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_named: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / ".flotilla-x7a9"))

    monkeypatch.setattr(config.tempfile, "mkstemp", refused)
    with pytest.raises(PermissionError) as caught:
        config._put("{}", str(tmp_path / "daemon.json"), 0o644)
    error = failure_of("configure the engine", caught.value)
    assert error.code == "not_root"
    assert error.message == (
        f"Could not configure the engine: this user cannot read or write {tmp_path}; run the task as root"
        " (become: true)."
    )
    full = failure_of("configure the engine", OSError(28, "No space left on device", "/etc/docker"))
    assert full.message.endswith("/etc/docker: No space left on device.")


def test_a_host_without_the_sdk_is_told_which_variable_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(SwarmError) as caught:
        client.EngineClient({})
    assert caught.value.code == "no_sdk"
    assert (
        "flotilla.swarm.docker_engine there with docker_engine_sdk set to" in caught.value.message
    )


def test_an_environment_that_is_too_large_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as caught:
        run_cli(str(tmp_path / "none"), [], environment={"BIG": "x" * 200_000}, cli="true")
    assert caught.value.code == "too_large"
    assert "have 195 KB, most of it in BIG; Linux allows 128 KB for one" in caught.value.message
