# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every field of a service's spec that Docker's CLI can write, back in a Compose file.

That the CLI makes the same spec of the file again is tested with the CLI, in molecule/lifecycle/tests/test_adopt.py.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.compose_of import (
    Pools,
    compose_of,
    cpus,
    duration,
    escaped,
    folder_names,
    image_of,
    memory,
    safe_key,
    service_key,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.plan import StackSnapshot

STACK = {"com.docker.stack.namespace": "shop"}


def service(name: str = "shop_web", **spec: Any) -> dict[str, Any]:
    """The document of a service; `container` and `template` are parts of its spec."""
    container = {
        "Image": "app:1@sha256:00",
        "Labels": {**STACK, **spec.pop("container_labels", {})},
        **spec.pop("container", {}),
    }
    template = {"ContainerSpec": container, **spec.pop("template", {})}
    labels = {**STACK, "com.docker.stack.image": "app:1", **spec.pop("labels", {})}
    return {"Spec": {"Name": name, "Labels": labels, "TaskTemplate": template, **spec}}


def network(name: str, owned: bool = True, **more: Any) -> dict[str, Any]:
    labels = dict(STACK) if owned else {}
    labels.update(more.pop("labels", {}))
    return {
        "Id": f"id-{name}",
        "Name": name,
        "Scope": "swarm",
        "Driver": "overlay",
        "Labels": labels,
        **more,
    }


def thing(name: str, owned: bool = True, **spec: Any) -> dict[str, Any]:
    labels = dict(STACK) if owned else {}
    labels.update(spec.pop("labels", {}))
    return {"ID": f"id-{name}", "Spec": {"Name": name, "Labels": labels, **spec}}


def compose(*services: dict[str, Any], stack: str = "shop", **live: Any) -> dict[str, Any]:
    found = compose_of(stack, services, StackSnapshot(services=list(services), **live), "shop")
    return found.document


def made(**spec: Any) -> dict[str, Any]:
    """The only service of a stack."""
    live = {key: spec.pop(key) for key in ("networks", "secrets", "configs") if key in spec}
    found: dict[str, Any] = compose(service(**spec), **live)["services"]["web"]
    return found


def test_the_least_service() -> None:
    assert compose(service()) == {
        "version": "3.8",
        "services": {"web": {"image": "app:1", "deploy": {"replicas": 1}}},
    }


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (
            {"Command": ["sh", "-c"], "Args": ["echo $HOME"]},
            {"entrypoint": ["sh", "-c"], "command": ["echo $$HOME"]},
        ),
        (
            {"Env": ["A=1", "B=a=b", "C=", "D"]},
            {"environment": {"A": "1", "B": "a=b", "C": "", "D": None}},
        ),
        (
            {
                "Hostname": "{{.Node.Hostname}}",
                "User": "1000:1000",
                "Dir": "/srv",
                "TTY": True,
                "OpenStdin": True,
            },
            {
                "hostname": "{{.Node.Hostname}}",
                "user": "1000:1000",
                "working_dir": "/srv",
                "tty": True,
                "stdin_open": True,
            },
        ),
        (
            {"ReadOnly": True, "StopSignal": "SIGQUIT"},
            {"read_only": True, "stop_signal": "SIGQUIT"},
        ),
        ({"ReadOnly": False, "TTY": False, "OpenStdin": False}, {}),
        ({"Init": True}, {"init": True}),
        ({"Init": False}, {"init": False}),
        ({"StopGracePeriod": 80 * 10**9}, {"stop_grace_period": "80s"}),
        ({"StopGracePeriod": 0}, {"stop_grace_period": "0s"}),
        ({"Isolation": "process"}, {"isolation": "process"}),
        ({"Isolation": "default"}, {}),
        (
            {"CapabilityAdd": ["CAP_CHOWN"], "CapabilityDrop": ["ALL"]},
            {"cap_add": ["CAP_CHOWN"], "cap_drop": ["ALL"]},
        ),
        ({"Sysctls": {"net.core.somaxconn": "1"}}, {"sysctls": {"net.core.somaxconn": "1"}}),
        (
            {
                "Ulimits": [
                    {"Name": "nproc", "Soft": 5, "Hard": 5},
                    {"Name": "nofile", "Soft": 1, "Hard": 2},
                    {"Name": "core"},
                ]
            },
            {
                "ulimits": {
                    "nproc": 5,
                    "nofile": {"soft": 1, "hard": 2},
                    "core": {"soft": 0, "hard": 0},
                }
            },
        ),
        (
            {"DNSConfig": {"Nameservers": ["192.0.2.53"], "Search": ["example.com"]}},
            {"dns": ["192.0.2.53"], "dns_search": ["example.com"]},
        ),
        (
            {"Hosts": ["192.0.2.1 one", "2001:db8::2 two three"]},
            {"extra_hosts": ["one:192.0.2.1", "two:2001:db8::2", "three:2001:db8::2"]},
        ),
        ({"Healthcheck": {"Test": ["NONE"]}}, {"healthcheck": {"disable": True}}),
        ({"Healthcheck": {}}, {"healthcheck": {}}),
        (
            {
                "Healthcheck": {
                    "Test": ["CMD", "true"],
                    "Interval": 10**10,
                    "Timeout": 10**9,
                    "StartPeriod": 1500 * 10**6,
                    "Retries": 3,
                }
            },
            {
                "healthcheck": {
                    "test": ["CMD", "true"],
                    "interval": "10s",
                    "timeout": "1s",
                    "start_period": "1500ms",
                    "retries": 3,
                }
            },
        ),
        (
            {"Privileges": {"CredentialSpec": {"File": "spec.json"}}},
            {"credential_spec": {"file": "spec.json"}},
        ),
        (
            {"Privileges": {"CredentialSpec": {"Registry": "a-spec"}}},
            {"credential_spec": {"registry": "a-spec"}},
        ),
        ({"Privileges": {"CredentialSpec": None, "SELinuxContext": None}}, {}),
    ],
)
def test_fields_of_the_container(container: dict[str, Any], expected: dict[str, Any]) -> None:
    found = made(container=container)
    assert {
        key: value for key, value in found.items() if key not in ("image", "deploy")
    } == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"Mode": {"Replicated": {"Replicas": 0}}}, {"replicas": 0}),
        ({"Mode": {"Global": {}}}, {"mode": "global"}),
        (
            {"Mode": {"ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}}},
            {"mode": "replicated-job", "replicas": 3},
        ),
        ({"Mode": {"GlobalJob": {}}}, {"mode": "global-job"}),
        ({"EndpointSpec": {"Mode": "dnsrr"}}, {"replicas": 1, "endpoint_mode": "dnsrr"}),
        ({"EndpointSpec": {"Mode": "vip"}}, {"replicas": 1}),
        ({"labels": {"a b": "$x"}}, {"replicas": 1, "labels": {"a b": "$$x"}}),
        (
            {
                "template": {
                    "Placement": {
                        "Constraints": ["node.role==worker"],
                        "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
                        "MaxReplicas": 2,
                        "Platforms": [{"OS": "linux"}],
                    }
                }
            },
            {
                "replicas": 1,
                "placement": {
                    "constraints": ["node.role==worker"],
                    "preferences": [{"spread": "node.labels.zone"}],
                    "max_replicas_per_node": 2,
                },
            },
        ),
        (
            {
                "template": {
                    "Resources": {
                        "Limits": {"NanoCPUs": 5 * 10**8, "MemoryBytes": 50 * 2**20, "Pids": 100},
                        "Reservations": {
                            "GenericResources": [
                                {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}
                            ]
                        },
                    }
                }
            },
            {
                "replicas": 1,
                "resources": {
                    "limits": {"cpus": "0.5", "memory": "50M", "pids": 100},
                    "reservations": {
                        "generic_resources": [
                            {"discrete_resource_spec": {"kind": "gpu", "value": 2}}
                        ]
                    },
                },
            },
        ),
        ({"template": {"Resources": {"Limits": {}}}}, {"replicas": 1, "resources": {"limits": {}}}),
        (
            {
                "template": {
                    "RestartPolicy": {
                        "Condition": "any",
                        "Delay": 0,
                        "MaxAttempts": 0,
                        "Window": 10**9,
                    }
                }
            },
            {
                "replicas": 1,
                "restart_policy": {
                    "condition": "any",
                    "delay": "0s",
                    "max_attempts": 0,
                    "window": "1s",
                },
            },
        ),
        (
            {
                "UpdateConfig": {
                    "Parallelism": 0,
                    "Delay": 90 * 10**9,
                    "FailureAction": "rollback",
                    "Monitor": 10**9,
                    "MaxFailureRatio": 0.25,
                    "Order": "start-first",
                },
                "RollbackConfig": {
                    "Parallelism": 1,
                    "FailureAction": "pause",
                    "Order": "stop-first",
                },
            },
            {
                "replicas": 1,
                "update_config": {
                    "parallelism": 0,
                    "delay": "90s",
                    "monitor": "1s",
                    "failure_action": "rollback",
                    "max_failure_ratio": 0.25,
                    "order": "start-first",
                },
                "rollback_config": {"parallelism": 1},
            },
        ),
    ],
)
def test_fields_of_deploy(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made(**spec)["deploy"] == expected


def test_labels_of_docker_and_marks_of_ours_are_left_out_and_ranges_stay() -> None:
    labels = {
        "flotilla.swarm.replicas": "2-5",
        "flotilla.swarm.moving": "{}",
        "flotilla.swarm.rebalancing": "3",
    }
    found = compose_of("shop", [service(labels=labels)], StackSnapshot(), "shop")
    web = found.document["services"]["web"]
    assert web["deploy"]["labels"] == {"flotilla.swarm.replicas": "2-5"}
    assert "labels" not in web
    assert "interrupted drain" in found.notes[0]


def test_logging_and_ports() -> None:
    found = made(
        template={"LogDriver": {"Name": "syslog", "Options": {"tag": "{{.Name}}"}}},
        EndpointSpec={
            "Ports": [
                {
                    "Protocol": "tcp",
                    "TargetPort": 80,
                    "PublishedPort": 8080,
                    "PublishMode": "ingress",
                },
                {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"},
            ]
        },
    )
    assert found["logging"] == {"driver": "syslog", "options": {"tag": "{{.Name}}"}}
    assert found["ports"] == [
        {"target": 80, "published": 8080},
        {"target": 53, "protocol": "udp", "mode": "host"},
    ]


def test_mounts() -> None:
    mounts = [
        {
            "Type": "bind",
            "Source": "/a",
            "Target": "/b",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rshared"},
        },
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 64}},
        {"Type": "tmpfs", "Target": "/u"},
        {"Type": "volume", "Target": "/anonymous"},
        {
            "Type": "volume",
            "Source": "shop_data",
            "Target": "/data",
            "VolumeOptions": {"Labels": STACK, "NoCopy": True},
        },
        {
            "Type": "volume",
            "Source": "shop_data",
            "Target": "/again",
            "VolumeOptions": {"Labels": STACK},
        },
        {"Type": "volume", "Source": "there", "Target": "/there", "VolumeOptions": {}},
        {
            "Type": "volume",
            "Source": "named",
            "Target": "/named",
            "VolumeOptions": {
                "Labels": {**STACK, "a": "1"},
                "DriverConfig": {"Name": "local", "Options": {"type": "nfs"}},
            },
        },
        {"Type": "volume", "Source": "shop_data", "Target": "/outside", "VolumeOptions": {}},
    ]
    document = compose(service(container={"Mounts": mounts}))
    assert document["services"]["web"]["volumes"] == [
        {
            "type": "bind",
            "source": "/a",
            "target": "/b",
            "read_only": True,
            "bind": {"propagation": "rshared"},
        },
        {"type": "tmpfs", "target": "/t", "tmpfs": {"size": 64}},
        {"type": "tmpfs", "target": "/u"},
        {"type": "volume", "target": "/anonymous"},
        {"type": "volume", "source": "data", "target": "/data", "volume": {"nocopy": True}},
        {"type": "volume", "source": "data", "target": "/again"},
        {"type": "volume", "source": "there", "target": "/there"},
        {"type": "volume", "source": "named", "target": "/named"},
        {"type": "volume", "source": "shop_data", "target": "/outside"},
    ]
    assert document["volumes"] == {
        "data": {},
        "there": {"external": True},
        "named": {
            "driver": "local",
            "driver_opts": {"type": "nfs"},
            "labels": {"a": "1"},
            "name": "named",
        },
        "shop_data": {"external": True},
    }


def test_networks() -> None:
    networks = [
        network(
            "shop_front",
            labels={"tier": "front"},
            Attachable=True,
            IPAM={"Driver": "default", "Config": [{"Subnet": "10.0.3.0/24"}]},
        ),
        network(
            "shop_back",
            Internal=True,
            IPAM={
                "Driver": "default",
                "Config": [{"Subnet": "10.201.7.0/16"}, {"Subnet": "192.0.2.0/24"}],
            },
            Options={"encrypted": "", "com.docker.network.driver.overlay.vxlanid_list": "4097"},
        ),
        network("its_own"),
        network("there", owned=False),
        network("default", owned=False),
        {"Id": "id-host", "Name": "host", "Scope": "swarm", "Driver": "host"},
    ]
    attached = [
        {"Target": "id-shop_front", "Aliases": ["www", "web"]},
        {"Target": "id-shop_back", "Aliases": ["web"], "DriverOpts": {"a": "b"}},
        {"Target": "id-its_own", "Aliases": ["web", "web"]},
        {"Target": "id-there", "Aliases": ["web"]},
        {"Target": "id-default", "Aliases": ["web"]},
        {"Target": "id-host"},
    ]
    document = compose(service(template={"Networks": attached}), networks=networks)
    assert document["version"] == "3.13"
    assert document["services"]["web"]["networks"] == {
        "front": {"aliases": ["www"]},
        "back": {"driver_opts": {"a": "b"}},
        "its_own": {"aliases": ["web"]},
        "there": None,
        "default-2": {"aliases": ["web"]},
        "host": None,
    }
    assert document["networks"] == {
        "front": {"attachable": True, "labels": {"tier": "front"}},
        "back": {
            "driver_opts": {"encrypted": ""},
            "internal": True,
            "ipam": {"config": [{"subnet": "10.201.7.0/16"}, {"subnet": "192.0.2.0/24"}]},
        },
        "its_own": {"name": "its_own"},
        "there": {"external": True},
        "default-2": {"external": True, "name": "default"},
        "host": {"external": True},
    }


def test_the_default_network_is_named_only_where_it_has_settings() -> None:
    attached = [{"Target": "id-shop_default", "Aliases": ["web"]}]
    plain = compose(service(template={"Networks": attached}), networks=[network("shop_default")])
    assert "networks" not in plain
    assert "networks" not in plain["services"]["web"]
    other = compose(
        service(template={"Networks": attached}),
        networks=[network("shop_default", Attachable=True)],
    )
    assert other["networks"] == {"default": {"attachable": True}}


def test_secrets_are_external_and_configs_of_the_stack_are_files() -> None:
    secrets = [thing("shop_key"), thing("there", owned=False)]
    configs = [
        thing("shop_app", Data="YQ==", labels={"a": "1"}, Templating={"Name": "golang"}),
        thing("its_own", Data="Yg=="),
        thing("there", owned=False, Data="Yw=="),
    ]

    def entry(kind: str, name: str, target: str, **more: Any) -> dict[str, Any]:
        file = {"Name": target, "UID": "0", "GID": "0", "Mode": 0o444, **more}
        return {f"{kind}Name": name, f"{kind}ID": f"id-{name}", "File": file}

    container = {
        "Secrets": [
            entry("Secret", "shop_key", "key"),
            entry("Secret", "there", "/x", UID="5", GID="6", Mode=0),
        ],
        "Configs": [
            entry("Config", "shop_app", "/etc/app.conf", Mode=0o600),
            entry("Config", "its_own", "its_own"),
            entry("Config", "there", "there"),
            {"ConfigName": "shop_app", "ConfigID": "id-shop_app", "Runtime": {}},
        ],
        "Privileges": {"CredentialSpec": {"Config": "id-shop_app"}},
    }
    web = service(container=container)
    live = StackSnapshot(services=[web], secrets=secrets, configs=configs)
    found = compose_of("shop", [web], live, "shop")
    made_service = found.document["services"]["web"]
    assert made_service["secrets"] == [
        "key",
        {"source": "there", "target": "/x", "uid": "5", "gid": "6", "mode": 0},
    ]
    assert made_service["configs"] == [
        {"source": "app", "target": "/etc/app.conf", "mode": 0o600},
        "its_own",
        "there",
    ]
    assert made_service["credential_spec"] == {"config": "app"}
    assert found.document["secrets"] == {
        "key": {"external": True, "name": "shop_key"},
        "there": {"external": True},
    }
    assert found.document["configs"] == {
        "app": {"file": "./shop/app", "labels": {"a": "1"}, "template_driver": "golang"},
        "its_own": {"file": "./shop/its_own", "name": "its_own"},
        "there": {"external": True},
    }
    assert found.files == {"shop/app": "YQ==", "shop/its_own": "Yg=="}


def test_outside_a_stack_everything_is_external() -> None:
    web = service(
        "web", container={"Configs": [{"ConfigName": "c", "File": {"Name": "c", "Mode": 0o444}}]}
    )
    web["Spec"]["Labels"] = {}
    web["Spec"]["TaskTemplate"]["ContainerSpec"]["Labels"] = {}
    web["Spec"]["TaskTemplate"]["Networks"] = [{"Target": "id-net"}]
    live = StackSnapshot(
        services=[web],
        networks=[network("net", owned=False)],
        configs=[thing("c", owned=False, Data="YQ==")],
    )
    found = compose_of("", [web], live, "web")
    assert found.document == {
        "version": "3.8",
        "services": {
            "web": {
                "image": "app:1@sha256:00",
                "networks": ["net"],
                "configs": ["c"],
                "deploy": {"replicas": 1},
            }
        },
        "networks": {"net": {"external": True}},
        "configs": {"c": {"external": True}},
    }
    assert found.files == {}


@pytest.mark.parametrize(
    ("label", "runs", "expected"),
    [
        ("app:1", "app:1@sha256:00", ("app:1", "")),
        ("app", "app:latest@sha256:00", ("app", "")),
        ("docker.io/library/app", "app:latest", ("docker.io/library/app", "")),
        ("registry:5000/app", "registry:5000/app:latest@sha256:00", ("registry:5000/app", "")),
        ("app:1", "app:2@sha256:00", ("app:1", "app:2@sha256:00")),
        ("", "app:2@sha256:00", ("app:2@sha256:00", "")),
    ],
)
def test_the_image_is_the_one_of_the_label(
    label: str, runs: str, expected: tuple[str, str]
) -> None:
    labels = {"com.docker.stack.image": label} if label else {}
    spec = {"Labels": labels, "TaskTemplate": {"ContainerSpec": {"Image": runs}}}
    assert image_of(spec) == expected


@pytest.mark.parametrize(
    ("stack", "name", "key"),
    [
        ("shop", "shop_web", "web"),
        ("shop", "shop_", None),
        ("shop", "web", None),
        ("shop", "shop_a b", None),
        ("", "a b", "a-b"),
    ],
)
def test_the_key_of_a_service(stack: str, name: str, key: str | None) -> None:
    assert service_key(stack, name) == key


def test_a_sick_document_is_no_crash() -> None:
    document = {
        "Spec": {"Name": "shop_web", "Labels": None, "TaskTemplate": {"ContainerSpec": None}}
    }
    assert compose(document)["services"]["web"]["deploy"] == {"replicas": 1}


# Properties


@given(st.integers(0, 10**15))
def test_a_duration_is_exact(nanoseconds: int) -> None:
    units = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
    found = re.fullmatch(r"(\d+)(ns|us|ms|s)", duration(nanoseconds))
    assert found
    assert int(found.group(1)) * units[found.group(2)] == nanoseconds


@given(st.integers(1, 2**50))
def test_a_size_is_exact(size: int) -> None:
    text = memory(size)
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1], 1)
    assert int(text.rstrip("KMG")) * factor == size


@given(st.integers(0, 10**13))
def test_processors_are_exact(nano: int) -> None:
    assert Fraction(cpus(nano)) == Fraction(nano, 10**9)


TREES = st.recursive(
    st.none() | st.integers(0, 9) | st.text("a$ ", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("a$", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def interpolated(value: Any) -> Any:
    """As the CLI does it, which refuses a lonely dollar sign (docker/cli: cli/compose/template)."""
    if isinstance(value, str):
        assert re.fullmatch(r"([^$]|\$\$)*", value, re.DOTALL), value
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {key: interpolated(item) for key, item in value.items()}
    return [interpolated(item) for item in value] if isinstance(value, list) else value


@given(TREES)
def test_interpolation_gives_back_what_was_escaped(value: Any) -> None:
    assert interpolated(escaped(value)) == value


@given(st.lists(st.text(max_size=5)))
def test_folders_are_apart_and_stay_inside(names: list[str]) -> None:
    found = folder_names(names)
    assert len({one.lower() for one in found}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", one) and one.strip(".") for one in found)


@given(st.text())
def test_a_key_fits_the_schema(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9._-]+", safe_key(name))


@pytest.mark.parametrize(
    ("subnet", "chosen"),
    [
        ("10.0.1.0/24", True),
        ("10.0.1.0/25", False),
        ("192.0.2.0/24", False),
        ("x", False),
        ("2001:db8::/24", False),
    ],
)
def test_a_subnet_of_the_pool_was_chosen_by_the_swarm(subnet: str, chosen: bool) -> None:
    assert Pools().has_chosen(subnet) == chosen
