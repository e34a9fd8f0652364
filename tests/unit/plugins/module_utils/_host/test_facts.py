# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._host import facts, files

STATUS = """Package: containerd
Status: install ok installed
Version: 1.6.20~ds1-1

Package: docker.io
Status: hold ok installed
Version: 20.10.24+dfsg1-1
Description: an engine
 Package: docker-ce

Package: docker-cli
Status: deinstall ok config-files
Version: 26.1.5
"""


def write(root: Path, path: str, text: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "/etc/os-release", 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n')
    write(tmp_path, "/var/lib/dpkg/status", STATUS)
    return tmp_path


def observe(root: Path) -> dict[str, Any]:
    seen = facts.observe_host(str(root))
    json.dumps(seen)
    return seen


def test_a_host_of_which_nothing_can_be_read_is_observed_all_the_same(tmp_path: Path) -> None:
    seen = observe(tmp_path)
    assert seen["os"]["family"] == "other"
    assert seen["packages"] == {}
    assert seen["daemon_config"] is None
    assert seen["service"] == {"enabled": False, "active": False}
    assert seen["docker_group"] is None
    assert seen["kernel_features"]["overlay"] is None
    assert not seen["systemd"]


def test_the_keys_are_the_same_on_any_host(tmp_path: Path, root: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert observe(empty).keys() == observe(root).keys()


@pytest.mark.parametrize(
    ("release", "family", "codename"),
    [
        ("ID=debian\nVERSION_CODENAME=trixie", "Debian", "trixie"),
        ('ID=debian\nPRETTY_NAME="Debian GNU/Linux trixie/sid"', "Debian", "sid"),
        ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble", "Debian", "noble"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'", "Debian", None),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "RedHat", None),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"', "Suse", None),
        ("ID=arch", "other", None),
        ("", "other", None),
    ],
)
def test_systems(tmp_path: Path, release: str, family: str, codename: str | None) -> None:
    write(tmp_path, "/etc/os-release", release)
    seen = observe(tmp_path)["os"]
    assert (seen["family"], seen["codename"]) == (family, codename)


def test_packages_are_those_that_are_installed(root: Path) -> None:
    seen = observe(root)
    assert seen["packages"] == {"containerd": "1.6.20~ds1-1", "docker.io": "20.10.24+dfsg1-1"}
    assert seen["held"] == ["docker.io"]
    assert seen["broken_packages"] is False


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/var/lib/dpkg/updates/0001", ""),
        ("/var/lib/dpkg/status", "Package: x\nStatus: install ok half-configured\nVersion: 1\n"),
        ("/var/lib/dpkg/status", "Package: x\nStatus: install ok unpacked\nVersion: 1\n"),
        ("/var/lib/dpkg/status", "Package: x\nStatus: install reinstreq half-installed\n"),
        ("/usr/sbin/policy-rc.d", "#!/bin/sh\n# Written by flotilla.swarm\nexit 101\n"),
    ],
)
def test_what_a_killed_run_leaves_is_seen(root: Path, path: str, text: str) -> None:
    write(root, path, text)
    assert observe(root)["broken_packages"] is True


def test_a_policy_of_somebody_else_is_not_ours(root: Path) -> None:
    write(root, "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    assert observe(root)["broken_packages"] is False


@pytest.mark.parametrize(
    ("text", "config", "error"),
    [
        ('{"debug": true}', {"debug": True}, None),
        ("", {}, None),
        ("{", None, "not valid JSON"),
        ("[]", None, "not a JSON object"),
    ],
)
def test_daemon_json(
    root: Path, text: str, config: dict[str, Any] | None, error: str | None
) -> None:
    write(root, files.DAEMON_JSON, text)
    seen = observe(root)
    assert seen["daemon_config"] == config
    assert (seen["daemon_config_error"] or "").startswith(error or "")
    assert bool(seen["daemon_config_error"]) is bool(error)


def test_managed_files_are_told_apart_by_content(root: Path) -> None:
    write(root, "/etc/docker/certs.d/registry.lab:5000/ca.crt", "one")
    first = observe(root)["files"]
    write(root, "/etc/docker/certs.d/registry.lab:5000/ca.crt", "two")
    second = observe(root)["files"]
    assert first.keys() == second.keys() == {"/etc/docker/certs.d/registry.lab:5000/ca.crt"}
    assert first != second


ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 0150A8C0 0003 0 0 0 00000000 0 0 0
eth0 0050A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0
docker0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0
br-0123456789ab 000012AC 00000000 0001 0 0 0 0000FFFF 0 0 0
broken line
"""


def test_routes_are_those_of_the_host_and_not_of_the_engine(root: Path) -> None:
    write(root, "/proc/net/route", ROUTES)
    assert observe(root)["routes"] == ["192.168.80.0/24"]


def test_what_decides_which_packets_pass(root: Path) -> None:
    assert observe(root)["filters"] == {
        "forwarding": None,
        "iptables": None,
        "legacy_tables": [],
        "strict": [],
    }
    settings = "/proc/sys/net/ipv4"
    write(root, f"{settings}/ip_forward", "0\n")
    for name, value in {
        "all": 0,
        "default": 1,
        "eth0": 1,
        "eth1": 2,
        "docker0": 1,
        "lo": 1,
    }.items():
        write(root, f"{settings}/conf/{name}/rp_filter", f"{value}\n")
    write(root, "/proc/net/ip_tables_names", "nat\nfilter\n")
    write(root, "/sys/class/dmi/id/sys_vendor", "VMware, Inc.\n")
    link = root / "etc/alternatives/iptables"
    link.parent.mkdir(parents=True)
    link.symlink_to("/usr/sbin/iptables-nft")
    seen = observe(root)
    assert seen["vendor"] == "VMware, Inc."
    assert seen["filters"] == {
        "forwarding": False,
        "iptables": "nft",
        "legacy_tables": ["filter", "nat"],
        "strict": ["eth0"],
    }
    # The higher of two values counts, and 2 is the one that is not strict.
    write(root, f"{settings}/conf/all/rp_filter", "1\n")
    assert observe(root)["filters"]["strict"] == ["eth0"]
    write(root, f"{settings}/conf/eth1/rp_filter", "0\n")
    assert observe(root)["filters"]["strict"] == ["eth0", "eth1"]
    write(root, f"{settings}/conf/all/rp_filter", "2\n")
    assert observe(root)["filters"]["strict"] == []


def test_listening_ports(root: Path) -> None:
    row = "{}: 00000000:{:04X} 00000000:0000 {} rest\n"
    write(root, "/proc/net/tcp", "head\n" + row.format(0, 2377, "0A") + row.format(1, 40000, "01"))
    write(root, "/proc/net/tcp6", "head\n" + row.format(0, 7946, "0A"))
    write(root, "/proc/net/udp", "head\n" + row.format(0, 4789, "07"))
    assert observe(root)["listening"] == {"tcp": [2377, 7946], "udp": [4789]}
    assert observe(root)["engine_listening"] == {"tcp": [], "udp": []}


def test_ports_that_the_engine_itself_holds(root: Path) -> None:
    row = "{}: 00000000:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 0 0 {} 1 0\n"
    write(
        root,
        "/proc/net/tcp6",
        "head\n" + row.format(0, 7946, "0A", 11) + row.format(1, 80, "0A", 12),
    )
    write(root, "/proc/net/udp6", "head\n" + row.format(0, 7946, "07", 111))
    write(root, "/run/docker.pid", "42\n")
    write(root, "/proc/42/comm", "dockerd\n")
    files = root / "proc/42/fd"
    files.mkdir()
    (files / "3").symlink_to("socket:[11]")
    (files / "4").symlink_to("/dev/null")
    seen = observe(root)
    assert seen["listening"] == {"tcp": [80, 7946], "udp": [7946]}
    assert seen["engine_listening"] == {"tcp": [7946], "udp": []}


def test_ports_that_the_kernel_holds_for_an_overlay_network(root: Path) -> None:
    row = "{}: 00000000:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000 0 0 {} 1 0\n"
    write(
        root, "/proc/net/udp", "head\n" + row.format(0, 4789, "07", 5) + row.format(1, 53, "07", 6)
    )
    write(root, "/proc/77/comm", "resolver\n")
    files = root / "proc/77/fd"
    files.mkdir()
    (files / "3").symlink_to("socket:[6]")
    # Without such a network nobody is asked whose port it is.
    assert observe(root)["kernel_listening"] == {"tcp": [], "udp": []}
    write(root, "/var/run/docker/netns/1-jn3xwull22", "")
    assert observe(root)["kernel_listening"] == {"tcp": [], "udp": [4789]}


@pytest.mark.parametrize(
    ("files", "seen"),
    [
        ({}, None),
        ({"/boot/config-K": "CONFIG_VXLAN=y\n"}, True),
        ({"/boot/config-K": "# CONFIG_VXLAN is not set\n"}, False),
        ({"/boot/config-K": "CONFIG_VXLAN=m\n"}, True),
        (
            {"/boot/config-K": "CONFIG_VXLAN=m\n", "/lib/modules/K/modules.dep": "kernel/a.ko:\n"},
            False,
        ),
        ({"/lib/modules/K/modules.dep": "kernel/drivers/net/vxlan/vxlan.ko.xz: x\n"}, True),
        ({"/lib/modules/K/modules.builtin": "kernel/drivers/net/vxlan/vxlan.ko\n"}, True),
        ({"/sys/module/vxlan/refcnt": "1"}, True),
    ],
)
def test_kernel_features(
    root: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], seen: bool | None
) -> None:
    monkeypatch.setattr("platform.release", lambda: "K")
    for path, text in files.items():
        write(root, path, text)
    assert observe(root)["kernel_features"]["vxlan"] is seen


def test_the_service(root: Path) -> None:
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "docker.service").symlink_to("/lib/systemd/system/docker.service")
    write(root, "/run/docker.pid", "42\n")
    write(root, "/proc/42/comm", "dockerd\n")
    assert observe(root)["service"] == {"enabled": True, "active": True}
    # The number may have gone to another process.
    write(root, "/proc/42/comm", "bash\n")
    assert observe(root)["service"] == {"enabled": True, "active": False}
    (root / "etc/systemd/system/docker.service").symlink_to("/dev/null")
    assert observe(root)["service"] == {"enabled": False, "active": False}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        [
            "/etc/os-release",
            "/etc/group",
            "/etc/docker/daemon.json",
            "/proc/meminfo",
            "/proc/net/route",
            "/proc/net/ipv6_route",
            "/proc/net/tcp",
            "/proc/config.gz",
            "/run/docker.pid",
            "/var/lib/dpkg/status",
            "/etc/apt/keyrings/docker.asc",
        ]
    ),
    content=st.binary(max_size=120),
)
def test_no_content_of_a_file_stops_the_observation(root: Path, path: str, content: bytes) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    observe(root)
