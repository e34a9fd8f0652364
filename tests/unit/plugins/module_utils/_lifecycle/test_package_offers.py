# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which packages an upgrade asks apt for. The texts are what apt of Debian 12 printed, with the source of trixie added."""

from __future__ import annotations

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.package_offers import (
    ENGINES,
    Offers,
    engine_names,
    is_target,
    parse_offers,
    parse_simulation,
    sizes_in,
    wish_for,
)

CE, DISTRO = ENGINES
OLD, NEW = "20.10.24+dfsg1-1+deb12u1+b6", "26.1.5+dfsg1-9+deb13u1+b1"
OLD_CONTAINERD, NEW_CONTAINERD = "1.6.20~ds1-1+deb12u3", "1.7.24~ds1-6+deb13u1"
MADISON = f"""\
 docker.io | {NEW} | http://mirror.example/debian trixie/main amd64 Packages
 docker.io | {OLD} | http://mirror.example/debian bookworm/main amd64 Packages
docker-cli | {NEW} | http://mirror.example/debian trixie/main amd64 Packages
containerd | {NEW_CONTAINERD} | http://mirror.example/debian trixie/main amd64 Packages
containerd | {OLD_CONTAINERD} | http://mirror.example/debian bookworm/main amd64 Packages
containerd | 1.6.20~ds1-1+deb12u2 | http://mirror.example/debian-security bookworm-security/main amd64 Packages
containerd | {OLD_CONTAINERD} | http://mirror.example/debian bookworm/main Sources
"""
POLICY = f"""\
docker.io:
  Installed: {OLD}
  Candidate: {OLD}
  Version table:
     {NEW} 100
        100 http://mirror.example/debian trixie/main amd64 Packages
docker-cli:
  Installed: (none)
  Candidate: {NEW}
  Version table:
containerd:
  Installed: {OLD_CONTAINERD}
  Candidate: {OLD_CONTAINERD}
  Version table:
nothing:
  Installed: (none)
  Candidate: (none)
  Version table:
"""
OFFERS = parse_offers(MADISON, POLICY)
BEFORE = {"docker.io": OLD, "containerd": OLD_CONTAINERD}
AFTER = {"docker.io": NEW, "docker-cli": NEW, "containerd": NEW_CONTAINERD}


def test_what_apt_offers() -> None:
    assert OFFERS.of("docker.io") == [(NEW, "trixie"), (OLD, "bookworm")]
    assert OFFERS.candidates == {
        "docker.io": OLD,
        "docker-cli": NEW,
        "containerd": OLD_CONTAINERD,
    }
    assert parse_offers("", "") == Offers()


def test_a_version_changes_the_engine_and_its_command() -> None:
    wish = wish_for("26.1", DISTRO, OFFERS, BEFORE, has_cli=True)
    assert (wish.target, wish.suite) == (NEW, "trixie")
    assert wish.packages == {"docker.io": NEW, "docker-cli": NEW}
    assert wish_for(NEW, DISTRO, OFFERS, BEFORE, has_cli=True) == wish
    # A host without the command gets none.
    assert wish_for("26", DISTRO, OFFERS, BEFORE, has_cli=False).packages == {"docker.io": NEW}


def test_a_suite_changes_containerd_too() -> None:
    wish = wish_for("trixie", DISTRO, OFFERS, BEFORE, has_cli=True)
    assert wish.packages == AFTER
    assert wish_for("bookworm", DISTRO, OFFERS, BEFORE, has_cli=True).packages == {}


def test_newest_is_what_the_pins_prefer() -> None:
    assert wish_for("newest", DISTRO, OFFERS, BEFORE, has_cli=True).packages == {}
    free = Offers(OFFERS.versions, AFTER)
    assert wish_for("newest", DISTRO, free, BEFORE, has_cli=True).packages == AFTER


def test_at_the_target_there_is_nothing_to_do() -> None:
    for to in ("26.1", "26", "trixie", NEW):
        assert wish_for(to, DISTRO, OFFERS, AFTER, has_cli=True).packages == {}, to
    # Also where the repositories do not have the version any more.
    assert wish_for("26.1", DISTRO, Offers(), AFTER, has_cli=True).target == NEW


def test_a_missing_command_is_completed() -> None:
    half = {"docker.io": NEW, "containerd": OLD_CONTAINERD}
    assert wish_for("26.1", DISTRO, OFFERS, half, has_cli=True).packages == {"docker-cli": NEW}


def test_the_way_back_removes_the_command_that_was_part_of_the_engine() -> None:
    wish = wish_for("20.10", DISTRO, OFFERS, AFTER, has_cli=True)
    assert wish.packages == {"docker.io": OLD}
    assert wish.remove == ("docker-cli",)


def test_docker_ce() -> None:
    versions = {
        name: [
            ("5:28.5.2-1~debian.12~bookworm", "bookworm"),
            ("5:27.0.1-1~debian.12~bookworm", "bookworm"),
        ]
        for name in ("docker-ce", "docker-ce-cli")
    }
    have = dict.fromkeys(versions, "5:27.0.1-1~debian.12~bookworm")
    wish = wish_for(
        "28.5", CE, Offers(versions), {**have, "containerd.io": "1.7.0-1"}, has_cli=True
    )
    assert wish.packages == dict.fromkeys(versions, "5:28.5.2-1~debian.12~bookworm")
    assert wish.remove == ()


@pytest.mark.parametrize("to", ["29.1", "sid"])
def test_what_no_repository_has(to: str) -> None:
    with pytest.raises(SwarmError) as caught:
        wish_for(to, DISTRO, OFFERS, BEFORE, has_cli=True)
    assert caught.value.code == "no_version"
    assert f"they have {NEW} (trixie), {OLD} (bookworm)" in caught.value.message
    with pytest.raises(SwarmError) as caught:
        wish_for("newest", DISTRO, Offers(), BEFORE, has_cli=True)
    assert caught.value.code == "no_package"


def test_the_packages_of_an_engine() -> None:
    assert engine_names({"docker.io": "1", "containerd": "2"}) == DISTRO
    assert engine_names({"docker-ce": "1", "docker.io": "1"}) == CE
    assert engine_names({"moby-engine": "1"}) is None


@pytest.mark.parametrize("to", ["26.1", "5:28.5.2-1~debian.12~bookworm", "trixie", "newest", NEW])
def test_targets(to: str) -> None:
    assert is_target(to)


@pytest.mark.parametrize("to", ["", "--x", "Trixie", "26.1 x", "26.1\n", "a=b", "x;y", "trixie/"])
def test_what_is_no_target(to: str) -> None:
    assert not is_target(to)


def test_what_apt_says_that_it_would_do() -> None:
    done = parse_simulation(
        f"""\
The following held packages will be changed:
  docker.io
Inst docker.io [{OLD}] ({NEW} Debian:13.8/stable [amd64])
Inst docker-cli ({NEW} Debian:13.8/stable [amd64])
Remv other [1.2-3]
Conf docker.io ({NEW} Debian:13.8/stable [amd64])
"""
    )
    assert done.install == {"docker.io": NEW, "docker-cli": NEW}
    assert done.before == {"docker.io": OLD, "docker-cli": None, "other": "1.2-3"}
    assert done.remove == ("other",)


def test_sizes() -> None:
    show = "Package: docker.io\nInstalled-Size: 94955\nSize: 23036836\n\nPackage: docker-cli\nInstalled-Size: 30334\nSize: 7332784\n"
    assert sizes_in(show) == (30369620, 125289 * 1024)
    assert sizes_in("") == (0, 0)
