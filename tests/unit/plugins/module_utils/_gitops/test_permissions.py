# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What applications may use: each way to get more of a node than their data, and what must stay possible."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.permissions import (
    DANGEROUS,
    objections,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.settings import May, parse_may

DEFAULT = May()


def container(**more: Any) -> dict[str, Any]:
    return {"TaskTemplate": {"ContainerSpec": {"Image": "registry.example/shop:1", **more}}}


def bind(source: str, read_only: bool = False) -> dict[str, Any]:
    mount = {"Type": "bind", "Source": source, "Target": "/data", "ReadOnly": read_only}
    return container(Mounts=[mount])


def volume(source: str = "shop_data", **driver: Any) -> dict[str, Any]:
    mount: dict[str, Any] = {"Type": "volume", "Source": source, "Target": "/data"}
    if driver:
        mount["VolumeOptions"] = {"DriverConfig": driver}
    return container(Mounts=[mount])


def said(spec: dict[str, Any], may: May = DEFAULT, others: Any = None) -> list[str]:
    """What is said about a service, and about other specs of its stack."""
    return objections("shop", {"service": {"shop_web": spec}, **(others or {})}, may)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/./",
        "/srv/..",
        "/srv/../etc/shadow",
        "/etc",
        "//etc//ssh/",
        "/root/.ssh",
        "/home/ann",
        "/dev/sda",
        "/dev/../dev/mem",
        "/proc",
        "/sys/fs/cgroup",
        "/run",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/var/run",
        "/var/./run/",
        "/var",
        "/var/lib",
        "/var/lib/docker/volumes/db/_data",
        "/var/spool/cron/crontabs",
        "/usr/local/bin",
        "{{ .Service.Name }}",
        '/srv/{{"../etc"}}',
        "relative",
        "",
    ],
)
def test_dangerous_bind_mounts_are_refused(path: str) -> None:
    found = said(bind(path))
    assert len(found) == 1
    assert found[0].startswith("service shop_web mounts ")


@pytest.mark.parametrize(
    "path",
    ["/srv/shop", "/mnt/data", "/opt/shop", "/data", "/var/lib/shop", "/etcetera", "/var/log/shop"],
)
def test_folders_with_data_can_be_mounted(path: str) -> None:
    assert said(bind(path)) == []


def test_harmless_files_of_the_system_can_be_read() -> None:
    assert said(bind("/etc/localtime", read_only=True)) == []
    assert said(bind("/etc/localtime")) != []
    assert said(bind("/etc/ssl/certs/ca-certificates.crt", read_only=True)) == []
    assert said(bind("/etc/ssl/private", read_only=True)) != []
    assert said(bind("/etc", read_only=True)) != []


@pytest.mark.parametrize(
    ("grants", "path", "allowed"),
    [
        (["/srv"], "/srv/shop", True),
        (["/srv/"], "/srv", True),
        (["/srv/shop"], "/srv/shop2", False),
        (["/srv/shop"], "/srv/shop/../other", False),
        ([], "/srv/shop", False),
        (["/var/run/docker.sock"], "/run/docker.sock", True),
        (["/run/docker.sock"], "/var/run/docker.sock", True),
        (["/run/docker.sock"], "/run", False),
        (["/dev/dri"], "/dev/dri/card0", True),
        (["/dev/dri"], "/dev", False),
        # A folder that has dangerous ones in it is granted for itself, and not for those.
        (["/"], "/", True),
        (["/"], "/srv", True),
        (["/"], "/run/docker.sock", False),
        (["/var"], "/var", True),
        (["/var"], "/var/lib", False),
        (["/var/lib"], "/var/lib/shop", True),
    ],
)
def test_the_inventory_allows_folders(grants: list[str], path: str, allowed: bool) -> None:
    assert (said(bind(path), May(bind_mounts=tuple(grants))) == []) is allowed


def test_an_objection_names_the_variable() -> None:
    (words,) = said(bind("/var/run/docker.sock"))
    assert words == (
        "service shop_web mounts '/var/run/docker.sock' at /data, a folder of the system; the inventory can allow it with"
        " may.bind_mounts: [/run/docker.sock]"
    )
    assert "which contains /var/backups" in said(bind("/var"))[0]


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({}, False),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=100m"}, False),
        # The flag bind overrules the type.
        ({"type": "tmpfs", "device": "/etc", "o": "size=1m,bind"}, True),
        ({"type": "none", "device": "/etc", "o": "bind"}, True),
        ({"type": "none", "device": "/srv/shop", "o": "bind,ro"}, False),
        ({"type": "none", "device": "/srv/shop/../../etc", "o": "rbind"}, True),
        ({"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1"}, True),
        ({"type": "ext4", "device": "/dev/sda1"}, True),
        ({"type": "tmpfs", "device": "tmpfs", "o": "remount"}, True),
        ({"o": "bind"}, True),
    ],
)
def test_a_volume_is_no_way_around(options: dict[str, str], refused: bool) -> None:
    assert bool(said(volume(Name="local", Options=options))) is refused
    assert bool(said(volume(Options=options))) is refused
    bind_flag = "bind" in options.get("o", "")
    assert bool(said(volume(Options=options), May(privileged=True))) is (refused and bind_flag)


def test_volumes_of_others() -> None:
    assert said(volume("other_data")) == []
    none = May(volumes=())
    assert said(volume("shop_data"), none) == []
    assert said(volume(""), none) == []
    assert said(volume("other_data"), none) != []
    assert said(volume("shop_{{.Task.Slot}}"), none) != []
    assert said(volume("other_data"), May(volumes=("other_*",))) == []
    assert said(volume(Name="rexray"))[0].endswith("may.privileged: true")


def test_other_kinds_of_mounts() -> None:
    assert said(container(Mounts=[{"Type": "tmpfs", "Target": "/tmp"}])) == []
    assert (
        said(container(Mounts=[{"Type": "npipe", "Source": "docker_engine", "Target": "x"}])) != []
    )


def on(*names: str) -> dict[str, Any]:
    spec = container()
    spec["TaskTemplate"]["Networks"] = [{"Target": name} for name in names]
    return spec


def test_networks() -> None:
    own = {"network": {"shop_default": {"Driver": "overlay"}}}
    assert said(on("shop_default"), others=own) == []
    assert said(on("edge")) == []
    for name in ("host", "none", "bridge", "ingress"):
        assert said(on(name)) != [], name
        assert said(on(name), May(networks=(name,))) == [], name
        assert said(on(name), May(networks=("*",))) != [], name
    assert said(on("edge"), May(networks=("shop*",)), others=own) != []
    assert said(on("shop_default"), May(networks=()), others=own) == []
    old = {**container(), "Networks": [{"Target": "host"}]}
    assert said(old) != []


def test_an_id_is_no_name_of_a_network() -> None:
    identity = "abcdefghijklmnopqrstuvwxy"
    assert said(on(identity)) != []
    assert said(on("a" * 64)) != []
    # Nor is it if the stack makes a network of this name: the engine looks for IDs first.
    assert said(on(identity), others={"network": {identity: {"Driver": "overlay"}}}) != []
    specs = {"service": {"shop_web": on("abc")}}
    assert objections("shop", specs, DEFAULT, ["edge"]) != []
    assert objections("shop", specs, DEFAULT, ["abc"]) == []
    assert (
        objections("shop", {"service": {"shop_web": on("host")}}, May(networks=("host",)), []) == []
    )


def test_networks_that_reach_those_of_the_nodes() -> None:
    for driver in ("macvlan", "ipvlan", "bridge", "host"):
        network = {"network": {"shop_lan": {"Driver": driver}}}
        assert said(on("shop_lan"), others=network) != []
        assert said(on("shop_lan"), May(privileged=True), others=network) == []
    assert said(on("shop_lan"), others={"network": {"shop_lan": {}}}) == []


def test_secrets_and_configs_of_others() -> None:
    spec = container(
        Secrets=[{"SecretName": "shop_key", "SecretID": "1"}, {"SecretName": "db_password"}],
        Configs=[{"ConfigName": "common"}],
    )
    own: dict[str, Any] = {"secret": {"shop_key": {}}}
    assert said(spec, others=own) == []
    found = said(spec, May(secrets=(), configs=()), others=own)
    assert len(found) == 2
    assert "config common" in found[0]
    assert "secret db_password" in found[1]
    assert said(spec, May(secrets=("db_*",), configs=("common",)), others=own) == []
    # A secret of the stack whose name is that of another one.
    taken: dict[str, Any] = {"secret": {"shop_key": {}, "db_password": {}}}
    assert any(
        "secret db_password does not have" in each
        for each in said(spec, May(secrets=()), others=taken)
    )


def test_ports() -> None:
    spec = {
        **container(),
        "EndpointSpec": {
            "Ports": [{"PublishedPort": 80}, {"PublishedPort": 8443}, {"TargetPort": 9}]
        },
    }
    assert said(spec) == []
    some = May(published_ports=((8000, 8999),))
    found = said(spec, some)
    assert [each.partition(";")[0] for each in found] == [
        "service shop_web publishes port 80",
        "service shop_web publishes port 9 at any port",
    ]
    assert said(spec, May(published_ports=((0, 65535),))) == []


def test_registries() -> None:
    assert said(container()) == []
    assert said(container(), May(registries=("registry.example",))) == []
    assert said(container(), May(registries=("registry.example/shop",))) == []
    assert said(container(), May(registries=("registry.example/sho",))) != []
    assert said(container(), May(registries=("registry.example:5000",))) != []
    hub = container(Image="nginx:1@sha256:" + "0" * 64)
    assert said(hub, May(registries=("docker.io",))) == []
    assert said(hub, May(registries=("docker.io/library",))) == []
    assert said(hub, May(registries=("nginx",))) != []
    assert said(hub, May(registries=("registry.example",))) != []


def test_capabilities() -> None:
    assert said(container(CapabilityAdd=["NET_BIND_SERVICE", "CAP_CHOWN"])) == []
    found = said(container(CapabilityAdd=["sys_admin", "CAP_NET_ADMIN", "ALL"]))
    assert len(found) == 3
    assert said(container(CapabilityAdd=["NET_ADMIN"]), May(capabilities=("cap_net_admin",))) == []
    assert said(container(CapabilityAdd=["ALL"]), May(capabilities=("NET_ADMIN",))) != []
    assert said(container(CapabilityAdd=["SYS_ADMIN"]), May(capabilities=("ALL",))) == []


def test_privileges() -> None:
    for harmless in (
        {},
        None,
        {"NoNewPrivileges": True},
        {"Seccomp": {"Mode": "default"}},
        {"CredentialSpec": None},
        {"SELinuxContext": {"Disable": False}},
    ):
        assert said(container(Privileges=harmless)) == [], harmless
    for harm in (
        {"Seccomp": {"Mode": "unconfined"}},
        {"AppArmor": {"Mode": "disabled"}},
        {"SELinuxContext": {"Disable": True}},
        {"CredentialSpec": {"File": "x"}},
    ):
        assert said(container(Privileges=harm)) != [], harm
        assert said(container(Privileges=harm), May(privileged=True)) == [], harm
    plugin = {"TaskTemplate": {"Runtime": "plugin", "PluginSpec": {}}}
    assert said(plugin) != []


def test_names_of_stacks_and_our_own_labels() -> None:
    assert said(container(), May(stacks=("shop*",))) == []
    assert said(container(), May(stacks=("team-a-*",))) == [
        "the stack has the name shop; the inventory can allow it with may.stacks: [shop]"
    ]
    assert said({**container(), "Labels": {"flotilla.swarm.replicas": "1-2"}}) == []
    assert said({**container(), "Labels": {"flotilla.swarm.moving": "{}"}}) != []
    assert said({**container(), "Labels": {"com.docker.stack.namespace": "other"}}) != []


def test_documents_without_anything() -> None:
    assert objections("shop", {}, DEFAULT) == []
    assert said({}) == []
    assert said({"TaskTemplate": None, "Labels": None, "EndpointSpec": None}) == []


pieces = st.lists(
    st.sampled_from(["", ".", "..", "srv", "etc", "var", "run", "lib", "docker", "docker.sock"]),
    max_size=7,
)


@given(pieces, st.booleans())
def test_no_spelling_of_a_path_gets_around(parts: list[str], slash: bool) -> None:
    # The kernel's way: one part after the other.
    real: list[str] = []
    for part in parts:
        if part == "..":
            real = real[:-1]
        elif part not in ("", "."):
            real.append(part)
    path = "/" + "/".join(parts) + "/" * slash
    place = "/" + "/".join(real)
    place = place.replace("/var/run", "/run", 1) if f"{place}/".startswith("/var/run/") else place
    dangerous = place == "/" or any(
        f"{place}/".startswith(f"{each}/") or each.startswith(f"{place}/") for each in DANGEROUS
    )
    assert bool(said(bind(path))) is dangerous


def test_what_may_be_used_is_read_with_all_that_is_wrong() -> None:
    problems: list[str] = []
    given = {
        "bind_mounts": ["/srv/shop"],
        "published_ports": [80, "8000-8999"],
        "networks": [],
        "capabilities": ["NET_ADMIN"],
        "privileged": False,
        "registries": ["registry.example:5000/shop"],
    }
    assert parse_may(given, "may", problems) == May(
        bind_mounts=("/srv/shop",),
        published_ports=((80, 80), (8000, 8999)),
        networks=(),
        capabilities=("NET_ADMIN",),
        registries=("registry.example:5000/shop",),
    )
    assert problems == []
    assert parse_may(None, "may", problems) == DEFAULT
    wrong = {
        "bind_mount": [],
        "published_ports": ["http"],
        "privileged": 1,
        "secrets": "all",
        "networks": ["-x"],
        "bind_mounts": ["srv"],
    }
    parse_may(wrong, "may", problems)
    assert len(problems) == 6
    assert any(
        "bind_mount is not a key that this file can have; did you mean bind_mounts?" in each
        for each in problems
    )
