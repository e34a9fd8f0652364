# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import packed, unpacked
from ansible_collections.flotilla.swarm.plugins.module_utils._engine import plan as planning
from ansible_collections.flotilla.swarm.plugins.module_utils._host import files

NAMES = {
    "distro": {"engine": "docker.io", "cli": "docker-cli", "containerd": "containerd"},
    "docker_ce": {"engine": "docker-ce", "cli": "docker-ce-cli", "containerd": "containerd.io"},
}


def wanted(**changes: Any) -> dict[str, Any]:
    return {
        "source": "distro",
        "version": "",
        "containerd_version": "",
        "hold": True,
        "allow_downgrade": False,
        "replace": False,
        "cli": False,
        "repository_url": "https://mirror.example/linux",
        "repository_suite": "",
        "repository_channel": "stable",
        "repository_key": "",
        "repository_key_url": "",
        "repository_key_fingerprint": "AB" * 20,
        "daemon": {},
        "log_rotation": True,
        "log_max_size": "10m",
        "log_max_files": 3,
        "address_pools": [],
        "registry_mirrors": [],
        "registry_insecure": [],
        "registry_ca": {},
        "logins": {},
        "http_proxy": "",
        "https_proxy": "",
        "no_proxy": ["localhost"],
        "users": [],
        "sdk": "package",
        "package_names": NAMES,
        "sdk_package": "python3-docker",
        "extra_packages": ["iptables"],
        "sdk_venv_packages": ["python3-venv"],
        **changes,
    }


ROTATED = {"log-opts": {"max-size": "10m", "max-file": "3"}}
INSTALLED = {"docker.io": "20.10.24+dfsg1-1", "containerd": "1.6.20-1", "python3-docker": "5.0.3-1"}
CE = {
    "docker-ce": "5:28.5.1-1~x",
    "docker-ce-cli": "5:28.5.1-1~x",
    "containerd.io": "1.7.27-1",
    "python3-docker": "7.1.0-1",
}


def bare() -> dict[str, Any]:
    return {
        "host": {
            "os": {"family": "Debian", "distribution": "debian", "codename": "bookworm"},
            "systemd": True,
            "packages": {},
            "held": [],
            "files": {},
            "daemon_config": None,
            "service": {"enabled": False, "active": False},
            "docker_group": None,
        },
        "engine": {"installed": False, "running": False},
        "swarm": {"state": "inactive"},
    }


def ready(packages: dict[str, str] | None = None, **host: Any) -> dict[str, Any]:
    seen = bare()
    packages = dict(INSTALLED if packages is None else packages)
    seen["host"].update(
        packages=packages,
        held=sorted(name for name in packages if name != "python3-docker"),
        daemon_config=dict(ROTATED),
        service={"enabled": True, "active": True},
        docker_group=[],
        **host,
    )
    version = packages.get("docker.io", "20.10.24").split("+")[0]
    seen["engine"] = {
        "installed": True,
        "running": True,
        "version": version,
        "sdk_version": "5.0.3",
    }
    return seen


def plan(observed: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return planning.plan(observed, wanted(**changes), "m1")


def steps(observed: dict[str, Any], **changes: Any) -> list[str]:
    made = plan(observed, **changes)
    assert made["refusals"] == []
    return [step["step"] for step in made["steps"]]


def refusal(observed: dict[str, Any], **changes: Any) -> str:
    sentences: list[str] = plan(observed, **changes)["refusals"]
    assert len(sentences) == 1
    assert sentences[0].startswith("m1: ")
    # It reaches the page as data.
    assert unpacked(json.loads(json.dumps(packed(sentences[0])))) == sentences[0]
    return sentences[0]


def test_a_bare_host_gets_everything_and_starts_once() -> None:
    made = plan(bare(), cli=True)
    assert [step["step"] for step in made["steps"]] == [
        "packages",
        "packages",
        "packages",
        "packages",
        "hold",
        "daemon_config",
        "service",
    ]
    assert made["service"]["action"] == "start"
    assert [entry["name"] for entry in made["packages"]["install"]] == [
        "docker.io",
        "docker-cli",
        "containerd",
        "python3-docker",
        "iptables",
    ]
    assert made["config"]["daemon"] == ROTATED


def test_a_host_as_it_should_be_needs_nothing() -> None:
    made = plan(ready())
    assert made["steps"] == made["refusals"] == made["notes"] == []
    assert not made["needed"]
    assert made["packages"] is None


def test_the_packages_table_without_a_source_is_refused() -> None:
    assert "docker_engine_source=none" in refusal(bare(), package_names={})


@pytest.mark.parametrize(
    ("packages", "version", "what"),
    [
        (CE, "28.5", []),
        (CE, "28.6", ["upgrade docker-ce", "upgrade docker-ce-cli"]),
        ({**CE, "docker-ce-cli": "5:28.4.0-1~x"}, "", ["change docker-ce-cli"]),
    ],
)
def test_pins_and_the_command_that_equals_the_engine(
    packages: dict[str, str], version: str, what: list[str]
) -> None:
    seen = ready(packages, keyring_fingerprints=["AB" * 20])
    seen["host"]["files"] = right_source(seen)
    made = plan(seen, source="docker_ce", version=version)
    found = [step["what"] for step in made["steps"] if step["step"] == "packages"]
    assert len(found) == len(what)
    assert all(text.startswith(start) for text, start in zip(found, what))
    # What is installed loses its hold; what it is replaced by is held again.
    changing = {entry["name"] for entry in (made["packages"] or {"install": []})["install"]} & set(
        packages
    )
    assert changing == set((made["packages"] or {"hold": []})["hold"])


def right_source(seen: dict[str, Any]) -> dict[str, str]:
    text = planning.apt_source(wanted(), seen["host"]["os"])
    return {files.APT_SOURCE: hashlib.sha256(text.encode()).hexdigest(), files.APT_KEYRING: "x"}


def test_a_downgrade_needs_to_be_allowed() -> None:
    assert "docker_engine_allow_downgrade" in refusal(ready(), version="20.9")
    made = plan(ready(), version="20.9", allow_downgrade=True)
    assert made["steps"][0]["what"].startswith("downgrade docker.io")
    assert made["service"]["action"] == "restart"


def test_a_pin_that_restarts_an_engine_in_a_swarm_names_the_playbook_without_a_dip() -> None:
    member = ready()
    member["swarm"] = {"state": "active", "role": "worker"}
    (note,) = plan(member, version="26.1")["notes"]
    assert note.startswith("m1: the new packages restart the engine of a node in a swarm")
    assert "flotilla.swarm.upgrade_engine does it without a dip" in note
    # Nothing restarts, or there is no swarm to lose tasks.
    assert plan(member, version="20.10")["notes"] == []
    assert plan(ready(), version="26.1")["notes"] == []


def test_the_other_source_s_engine_is_not_replaced_unasked() -> None:
    assert "docker_engine_replace" in refusal(ready(), source="docker_ce")
    assert "replace containerd, docker.io" in str(
        plan(ready(), source="docker_ce", replace=True)["steps"]
    )


def test_a_key_that_is_not_the_pinned_one_is_replaced() -> None:
    seen = ready(CE, keyring_fingerprints=["CD" * 20])
    seen["host"]["files"] = right_source(seen)
    made = plan(seen, source="docker_ce")
    assert made["steps"][0]["why"] == "its key is not the pinned one"
    assert made["packages"]["repository"]["key_url"] == "https://mirror.example/linux/debian/gpg"


def test_an_inline_key_of_another_fingerprint_is_refused() -> None:
    assert "not an OpenPGP public key" in refusal(bare(), source="docker_ce", repository_key="x")


def test_a_site_without_a_source_checks_the_engine_that_is_there() -> None:
    assert "docker_engine_source is none" in refusal(bare(), source="none", log_rotation=False)
    old = ready()
    old["engine"]["version"] = "19.03.15"
    assert "too old" in refusal(old, source="none")
    assert "docker_engine_version is 27" in refusal(ready(), source="none", version="27")
    assert steps(ready(), source="none") == []
    no_sdk = ready({"docker.io": "20.10.24+dfsg1-1", "containerd": "1"})
    no_sdk["engine"]["sdk_version"] = None
    made = plan(no_sdk, source="none")
    assert [entry["name"] for entry in made["packages"]["install"]] == ["python3-docker"]
    assert made["service"]["action"] == "none"


@pytest.mark.parametrize(
    ("daemon", "existing", "words"),
    [
        ({"live-restore": True}, {}, "docker_engine_daemon sets it"),
        ({}, {"live-restore": True}, "/etc/docker/daemon.json on the host has it"),
        ({"firewall-backend": "nftables"}, {}, "nftables"),
        ({"hosts": ["tcp://0.0.0.0:2375"]}, {}, "-H fd://"),
    ],
)
def test_what_a_swarm_cannot_live_with_is_refused(
    daemon: dict[str, Any], existing: dict[str, Any], words: str
) -> None:
    seen = ready()
    seen["host"]["daemon_config"] = {**ROTATED, **existing}
    assert words in refusal(seen, daemon=daemon)


def test_null_takes_a_setting_out_again() -> None:
    seen = ready()
    seen["host"]["daemon_config"] = {**ROTATED, "live-restore": True}
    made = plan(seen, daemon={"live-restore": None})
    assert made["refusals"] == []
    assert made["config"]["daemon"] == ROTATED


def test_live_restore_on_the_command_line_is_seen() -> None:
    seen = ready()
    seen["engine"]["live_restore"] = True
    assert "command line" in refusal(seen)


def test_a_broken_daemon_json_is_not_overwritten() -> None:
    seen = ready()
    seen["host"].update(daemon_config=None, daemon_config_error="not valid JSON: x")
    assert "correct or remove it" in refusal(seen)


@pytest.mark.parametrize(
    ("daemon", "action", "reload"),
    [
        ({"debug": True}, "none", True),
        ({"labels": ["a=b"]}, "restart", False),
        ({"debug": True, "labels": ["a=b"]}, "restart", False),
        ({"max-concurrent-downloads": None}, "restart", False),
    ],
)
def test_reload_where_that_is_enough(daemon: dict[str, Any], action: str, reload: bool) -> None:
    seen = ready()
    seen["host"]["daemon_config"] = {**ROTATED, "max-concurrent-downloads": 2}
    made = plan(seen, daemon=daemon)
    assert (made["service"]["action"], made["service"]["reload"]) == (action, reload)


@pytest.mark.parametrize("driver", ["journald", "syslog", "none"])
def test_only_drivers_that_rotate_are_told_to(driver: str) -> None:
    assert "log-opts" not in planning.merge_daemon_config({}, wanted(daemon={"log-driver": driver}))
    assert "log-opts" not in planning.merge_daemon_config({"log-driver": driver}, wanted())


def test_other_log_options_stay() -> None:
    merged = planning.merge_daemon_config(
        {"log-opts": {"compress": "true", "max-size": "1g"}}, wanted()
    )
    assert merged["log-opts"] == {"compress": "true", "max-size": "10m", "max-file": "3"}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
    ),
    max_leaves=4,
)
CONFIGS = st.dictionaries(
    st.sampled_from(["a", "b", "debug", "log-driver", "log-opts", "registry-mirrors"]),
    VALUES,
    max_size=4,
)


@given(existing=CONFIGS, asked=CONFIGS, rotation=st.booleans())
def test_merging_twice_is_merging_once(
    existing: dict[str, Any], asked: dict[str, Any], rotation: bool
) -> None:
    want = wanted(daemon=asked, log_rotation=rotation)
    once = planning.merge_daemon_config(existing, want)
    assert planning.merge_daemon_config(once, want) == once
    assert {key: once.get(key) for key in asked} == asked
    assert None not in once.values()
    # What nobody speaks of stays as it is.
    for key in {*existing} - {*asked, "log-opts"}:
        assert once.get(key) == existing[key]


@given(existing=CONFIGS, asked=CONFIGS)
def test_once_done_nothing_is_left_to_do(existing: dict[str, Any], asked: dict[str, Any]) -> None:
    seen = ready()
    seen["host"]["daemon_config"] = existing
    made = plan(seen, daemon=asked)
    if made["config"]["daemon"] is not None:
        seen["host"]["daemon_config"] = made["config"]["daemon"]
    assert [step["step"] for step in plan(seen, daemon=asked)["steps"]] == []


def test_address_pools_are_judged() -> None:
    assert "prefix length from 16 to 32" in refusal(
        bare(), address_pools=[{"base": "10.2.0.0/16", "size": 8}]
    )
    assert "10.2.0.1/16 has host bits set" in refusal(
        bare(), address_pools=[{"base": "10.2.0.1/16", "size": 24}]
    )


def test_proxies_are_quoted_for_systemd() -> None:
    text = planning.proxy_dropin(wanted(http_proxy='http://u:%25"@p:1'))
    assert text is not None
    assert 'Environment="HTTP_PROXY=http://u:%%25\\"@p:1"' in text.splitlines()
    assert 'Environment="NO_PROXY=localhost"' in text.splitlines()
    assert planning.proxy_dropin(wanted()) is None


def test_proxies_that_are_no_longer_asked_for_go() -> None:
    made = plan(ready(files={planning.PROXY_DROPIN: "x"}))
    assert made["config"]["remove"] == [planning.PROXY_DROPIN]
    assert made["service"]["action"] == "restart"


def test_no_step_shows_the_password_of_a_proxy() -> None:
    made = plan(ready(), https_proxy="http://user:secret@proxy:1")
    assert made["config"]["write"]
    assert "secret" not in str(made["steps"])


def test_registry_certificates_need_no_restart() -> None:
    made = plan(ready(), registry_ca={"registry.lab:5000": "PEM"})
    assert made["config"]["write"] == {"/etc/docker/certs.d/registry.lab:5000/ca.crt": "PEM"}
    assert made["service"]["action"] == "none"


def test_users_and_a_venv() -> None:
    made = plan(ready(), users=["a"], sdk="venv")
    assert (made["users"], made["sdk_venv"]) == (["a"], True)
    assert [entry["name"] for entry in made["packages"]["install"]] == ["python3-venv"]


def test_what_an_interrupted_run_left_is_finished() -> None:
    assert steps(ready(broken_packages=True)) == ["repair"]
    assert steps(ready(restart_pending=True)) == ["restart"]


KEPT: dict[str, Any] = {"engine_listening": {"tcp": [7946], "udp": [7946]}}


def test_an_engine_that_has_kept_the_port_of_its_last_swarm_is_restarted() -> None:
    (step,) = plan(ready(**KEPT))["steps"]
    assert (
        step["what"]
        == "restart the engine, which still holds port 7946 of a swarm that it has left"
    )
    assert step["why"] == "in its next swarm, overlay networks would not work"
    without = plan(ready(engine_listening={"tcp": [2375], "udp": []}))
    assert without["steps"] == []


@pytest.mark.parametrize("state", ["active", "pending", "locked", "error", "unknown"])
def test_an_engine_holds_that_port_rightly_wherever_it_may_be_in_a_swarm(state: str) -> None:
    seen = ready(**KEPT)
    seen["swarm"]["state"] = state
    assert plan(seen)["steps"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [({}, []), ({"daemon": {"labels": ["x"]}}, ["restarting the engine is left to you"])],
)
def test_without_systemd_the_engine_is_left_to_the_caller(
    change: dict[str, Any], words: list[str]
) -> None:
    seen = ready()
    seen["host"]["systemd"] = False
    made = plan(seen, **change)
    assert made["service"]["action"] == "none"
    assert [word for word in words if word in " ".join(made["notes"])] == words
    assert bool(made["notes"]) == bool(words)
    stopped = bare()
    stopped["host"]["systemd"] = False
    assert "starting the engine is left to you" in plan(stopped)["notes"][0]


def test_the_leader_is_restarted_last() -> None:
    nodes = [{"id": "1", "leader": True}, {"id": "2", "leader": False}]
    observed: dict[str, dict[str, Any]] = {
        "m1": {"swarm": {"role": "manager", "node_id": "1", "nodes": nodes}},
        "m2": {"swarm": {"role": "manager", "node_id": "2", "nodes": nodes}},
        "w1": {"swarm": {"role": "worker", "node_id": "3", "nodes": None}},
        "gone": {},
    }
    assert planning.restart_order(observed) == ["m2", "m1"]
