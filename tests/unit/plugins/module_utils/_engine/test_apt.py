# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._engine import apt as debian

MADISON = """ docker-ce | 5:28.2.0-1~x | http://mirror/debian bookworm/stable amd64 Packages
 docker-ce | 5:28.1.0-1~x | http://mirror/debian bookworm/stable amd64 Packages
docker-ce-cli | 5:28.3.0-1~x | http://mirror/debian bookworm/stable amd64 Packages
docker-ce-cli | 5:28.2.0-1~x | http://mirror/debian bookworm/stable amd64 Packages
docker-ce-cli | 5:28.1.0-1~x | http://mirror/debian bookworm/stable amd64 Packages
"""
OFFERS = debian.parse_madison(MADISON)


def package(name: str, version: str = "", like: str = "", optional: bool = False) -> dict[str, Any]:
    return {"name": name, "version": version, "like": like, "optional": optional}


def test_what_apt_has() -> None:
    assert OFFERS["docker-ce"] == ["5:28.2.0-1~x", "5:28.1.0-1~x"]


@pytest.mark.parametrize(("pin", "version"), [("", "28.2.0"), ("28", "28.2.0"), ("28.1", "28.1.0")])
def test_engine_and_command_are_equal(pin: str, version: str) -> None:
    install = [package("docker-ce", pin), package("docker-ce-cli", "", "docker-ce")]
    chosen = debian.wanted_versions(install, OFFERS, {})
    assert set(chosen.values()) == {f"5:{version}-1~x"}


def test_the_command_equals_an_engine_that_is_there() -> None:
    install = [package("docker-ce-cli", "", "docker-ce")]
    assert debian.wanted_versions(install, OFFERS, {"docker-ce": "5:28.1.0-1~x"}) == {
        "docker-ce-cli": "5:28.1.0-1~x"
    }


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (package("docker-ce", "29"), "no_version"),
        (package("docker.io"), "no_package"),
        (package("docker-ce-cli", "", "gone"), None),
        (package("docker.io", optional=True), None),
    ],
)
def test_what_cannot_be_had(entry: dict[str, Any], code: str | None) -> None:
    if code is None:
        debian.wanted_versions([entry], OFFERS, {})
        return
    with pytest.raises(SwarmError) as error:
        debian.wanted_versions([entry], OFFERS, {})
    assert error.value.code == code


def test_an_engine_that_is_too_old_is_not_installed() -> None:
    offers = {"docker.io": ["18.09.1+dfsg1-7.1"]}
    with pytest.raises(SwarmError) as error:
        debian.wanted_versions([package("docker.io")], offers, {})
    assert error.value.code == "too_old"


LOCKED = (
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7",
    "dpkg: error: dpkg frontend lock was locked by another process with pid 7",
    "dpkg: error: dpkg frontend lock was locked by /usr/bin/python3.13 process with pid 7",
    "E: Unable to lock directory /var/lib/apt/lists/",
)


def locked_for(seconds: float, clock: Any, words: str = LOCKED[0]) -> debian.AptRunner:
    def run(args: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        if clock.time < seconds:
            return 100, "", words
        return 0, "done", ""

    return run


@pytest.mark.parametrize("words", LOCKED)
def test_the_lock_is_waited_for(words: str, clock: Any) -> None:
    assert (
        debian.Apt(locked_for(30, clock, words), 60, clock).command("do it", "apt-get", "x")
        == "done"
    )
    assert clock.time >= 30


def test_the_lock_is_not_waited_for_for_ever(clock: Any) -> None:
    with pytest.raises(SwarmError) as error:
        debian.Apt(locked_for(90, clock), 60, clock).command("do it", "apt-get", "x")
    assert error.value.code == "locked"
    assert "docker_engine_lock_timeout" in error.value.message


def test_the_reason_of_a_failure_is_the_line_with_the_error(clock: Any) -> None:

    def run(args: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        return 100, "", "W: something\nE: Unable to locate package x\n"

    with pytest.raises(SwarmError) as error:
        debian.Apt(run, 60, clock).command("install x", "apt-get", "install", "x")
    assert error.value.message == "Could not install x: E: Unable to locate package x."


def test_a_name_is_never_an_option(clock: Any) -> None:
    ran: list[list[str]] = []

    def run(args: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        ran.append(args)
        return 0, "", ""

    apt = debian.Apt(run, 60, clock)
    apt.offers(["--help"])
    apt.hold(["--help"])
    apt.hold(["--help"], release=True)
    assert [args[-2:] for args in ran] == [["--", "--help"]] * 3


def test_a_package_that_was_half_replaced_is_left_to_the_install_that_replaces_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Any
) -> None:
    monkeypatch.setattr(debian.files, "POLICY_RC_D", str(tmp_path / "policy-rc.d"))

    def run(args: list[str], _environment: dict[str, str]) -> tuple[int, str, str]:
        if args[0] == "dpkg":
            return 1, "", "dpkg: error processing package docker.io (--configure):"
        return 0, "containerd ok\ndocker.io reinstreq\n", ""

    apt = debian.Apt(run, 60, clock)
    apt.repair(["docker.io", "docker-cli"])
    for others in ([], ["docker-cli"]):
        with pytest.raises(SwarmError, match="error processing package"):
            apt.repair(others)
