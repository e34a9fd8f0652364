# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module's main() has in common: an answer with all its keys where there is no engine, in check mode or not,
and one sentence that says why. Each module runs as a process of its own, as on a host."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("docker")

from ansible_collections.flotilla.swarm.plugins.module_utils._api import client

COLLECTIONS = client.__file__.partition("/ansible_collections/")[0]
FOLDER = Path(client.__file__).parents[2] / "modules"
NOWHERE = "unix:///nowhere/docker.sock"

# What each needs to get as far as the engine. Those that print a plan of the controller's have no main().
ARGUMENTS: dict[str, dict[str, Any]] = {
    "docker_engine_config": {},
    "docker_engine_packages": {"hold": ["docker.io"]},
    "docker_engine_restart": {"state": "restarted"},
    "swarm_backup": {"recipients": ["age1x"]},
    "swarm_backup_copies": {"path": "/nowhere/backups", "cluster_id": "x"},
    "swarm_backup_timer": {"recipients": ["age1x"]},
    "swarm_build": {"source": "shop"},
    "swarm_builder_timer": {"name": "b1", "builders": ["b1"]},
    "swarm_builds_info": {},
    "swarm_clean_up": {"kinds": ["build_cache"]},
    "swarm_adopt": {"to": "/nowhere/production"},
    "swarm_drain": {"nodes": ["w1"]},
    "swarm_export": {"path": "/nowhere/backups", "recipients": ["age1x"]},
    "swarm_gitops": {"app": "shop"},
    "swarm_gitops_info": {},
    "swarm_gitops_timer": {},
    "swarm_health": {},
    "swarm_host_info": {},
    "swarm_import": {"file": "/nowhere/export.json.age", "identity": "AGE-SECRET-KEY-1X"},
    "swarm_ingress": {"mtu": 1400},
    "swarm_network_host": {"gwbridge_mtu": 1400},
    "swarm_probe": {},
    "swarm_probe_node": {},
    "swarm_repair": {},
    "swarm_repair_node": {},
    "swarm_member": {
        "state": "joined",
        "role": "worker",
        "join_token": "SWMTKN-1-x",
        "remote_addrs": ["192.0.2.1:2377"],
    },
    "swarm_nodes": {"nodes": [{"name": "w1", "node_id": "n1"}]},
    "swarm_image_targets": {"images": ["registry.lab:5000/shop:2"]},
    "swarm_pull": {"images": {"registry.lab:5000/shop:2": f"sha256:{'0' * 64}"}},
    "swarm_registry": {"name": "r.lab", "users": [{"name": "swarm", "password": "hidden-word"}]},
    # An image without layers: {"rootfs": {"diff_ids": []}}.
    "swarm_ship": {
        "images": [
            {"names": ["a:1"], "config": "eyJyb290ZnMiOiB7ImRpZmZfaWRzIjogW119fQ==", "layers": []}
        ]
    },
    "swarm_ship_server": {"token": "x", "layers": {f"sha256:{'0' * 64}": 1}},
    "swarm_ship_source": {"images": ["shop:2"]},
    "swarm_rebalance": {},
    "swarm_recover": {"state": "left", "cluster_id": "vuimnu900ys1hf3yqn8q7avfn"},
    "swarm_recover_info": {},
    "swarm_references": {},
    "swarm_reset": {"state": "observed"},
    "swarm_restart": {"services": ["shop_web"]},
    "swarm_restore": {
        "file": "/nowhere/raft.tar.age",
        "identity": "AGE-SECRET-KEY-1X",
        "unlock_key": "SWMKEY-1-x",
        "meta": {
            "format": 1,
            "kind": "raft",
            "cluster_id": "c",
            "host": "m1",
            "address": "192.0.2.1",
            "engine_version": "20.10.24",
            "taken": "20261129T074500Z",
            "sha256": "0",
            "size": 1,
            "recipients": [],
            "autolock": True,
        },
    },
    "swarm_rollback": {"services": ["shop_web"]},
    "swarm_rotate": {"rotate": ["worker-token"]},
    "swarm_scale": {"services": {"shop_web": 2}},
    "swarm_settings": {"election_tick": 5},
    "swarm_stack": {"name": "shop", "definition": "services: {web: {image: 'web:1'}}"},
    "swarm_upgrade_info": {"to": "26.1"},
    "swarm_verify": {"stacks": [{"name": "shop", "asked": "0"}]},
}
ON_THE_CONTROLLER = {
    "swarm_builds_report",
    *(
        "swarm_clean_up_report",
        "swarm_network_plan",
        "swarm_plan",
        "swarm_reboot_plan",
        "swarm_recover_plan",
    ),
    *("swarm_reset_plan", "swarm_restore_plan", "swarm_upgrade_plan", "swarm_image_report"),
}
# They change the machine that they run on, which is this one: only what they would do is asked.
HOST_MODULES = {
    *(name for name in ARGUMENTS if name.startswith("docker_engine_")),
    *("swarm_backup_copies", "swarm_backup_timer", "swarm_recover", "swarm_upgrade_info"),
    "swarm_registry",
    *("swarm_builder_timer", "swarm_gitops_timer"),
}
# In check mode a host that has no engine yet may join: the run would give it one.
JOINS = ("swarm_member", "check")
# Nothing is wrong where no engine answers: they say what is there, or are what makes one answer.
CONTENT = {*HOST_MODULES, "swarm_host_info", "swarm_recover_info", "swarm_reset"}
# They need no engine that answers, and refuse this machine for another reason: the code, and a part of the message.
REFUSES = {
    "swarm_build": ("not_installed", "has no /etc/flotilla.swarm/builder.json"),
    "swarm_builds_info": ("not_installed", "has no /etc/flotilla.swarm/builder.json"),
    "swarm_gitops": ("not_installed", "has no /etc/flotilla.swarm/gitops.json"),
    "swarm_restore": ("refused", "192.0.2.1"),
}

# Forks for each call, with what all modules import in memory already: an interpreter a call would take half a minute.
RUN = """
import json, os, runpy, sys, tempfile
import ansible.module_utils.basic
import docker
answers = []
for name, args in json.load(sys.stdin):
    with tempfile.TemporaryFile() as into, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        into.write(json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode())
        into.seek(0)
        if not (pid := os.fork()):
            code = 1
            try:
                for number, file in enumerate((into, out, err)):
                    os.dup2(file.fileno(), number)
                sys.stdin = open(0, closefd=False)
                runpy.run_module("ansible_collections.flotilla.swarm.plugins.modules." + name, run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for file in (out, err):
            file.seek(0)
        answers.append([status, out.read().decode(), err.read().decode()])
print(json.dumps(answers))
"""


def takes_an_engine(name: str) -> bool:
    return name not in (
        *("docker_engine_config", "docker_engine_packages", "swarm_backup_copies"),
        "swarm_registry",
        *("swarm_build", "swarm_builder_timer", "swarm_builds_info"),
        *("swarm_gitops", "swarm_gitops_timer"),
    )


def arguments(name: str, check: bool) -> dict[str, Any]:
    engine = {"docker_host": NOWHERE} if takes_an_engine(name) else {}
    return {**ARGUMENTS[name], **engine, "_ansible_check_mode": check}


class Answers:
    """All calls of this file, made together; each is known by its module and its kind."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], dict[str, Any]] = {}
        for name in ARGUMENTS:
            self.calls[name, "check"] = arguments(name, True)
            self.calls[name, "unknown option"] = {**arguments(name, True), "colour": "blue"}
            if name not in HOST_MODULES:
                self.calls[name, "run"] = arguments(name, False)
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            input=json.dumps([[name, args] for (name, _kind), args in self.calls.items()]),
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": COLLECTIONS},
            timeout=300,
            check=True,
        )
        self.said = dict(zip(self.calls, json.loads(done.stdout)))

    def of(self, name: str, kind: str) -> tuple[int, dict[str, Any]]:
        code, out, err = self.said[name, kind]
        assert "Traceback" not in out + err, out + err
        result: dict[str, Any] = json.loads(out)
        # What goes to the controller for it alone: since ansible-core 2.22 it is told there which values to mask.
        return code, {k: v for k, v in result.items() if not k.startswith("_ansible_")}


@pytest.fixture(scope="module")
def answers() -> Answers:
    return Answers()


def documented(name: str, *returned: str) -> set[str]:
    """The keys that the module's documentation says are returned then."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    keys = yaml.safe_load(text.split('RETURN = r"""')[1].split('"""')[0])
    return {key for key, value in keys.items() if str(value["returned"]) in returned}


def test_no_module_is_left_out() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*ARGUMENTS, *ON_THE_CONTROLLER}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (n, k)
        for n in ARGUMENTS
        if n not in CONTENT | REFUSES.keys()
        for k in ("run", "check")
        if (n, k) != JOINS
    ],
)
def test_without_an_engine_a_module_says_so_and_returns_all_its_keys(
    answers: Answers, name: str, kind: str
) -> None:
    code, result = answers.of(name, kind)
    assert code == 1
    assert result["failed"]
    assert not result.get("changed")
    assert result["failure"]["code"] == "engine_unreachable"
    assert isinstance(result["failure"]["details"], dict)
    # One or two sentences, with the address in them.
    assert NOWHERE in result["msg"]
    assert "\n" not in result["msg"]
    assert result["msg"].endswith(".")
    assert not documented(name, "always", "failure", "on failure") - set(result)


@pytest.mark.parametrize("name", [name for name in ARGUMENTS if name not in CONTENT])
def test_the_keys_are_the_same_in_check_mode(answers: Answers, name: str) -> None:
    of_run, of_check = (answers.of(name, kind)[1] for kind in ("run", "check"))
    if (name, "check") == JOINS:
        assert of_check["steps"] == ["join as worker"]
        assert set(of_run) - set(of_check) == {"failed", "failure", "msg"}
    else:
        assert of_run.keys() == of_check.keys()
        assert of_run["msg"] == of_check["msg"]


@pytest.mark.parametrize("name", sorted(REFUSES))
def test_a_refusal_has_all_keys_in_check_mode_too(answers: Answers, name: str) -> None:
    expected, words = REFUSES[name]
    for kind in ("run", "check"):
        code, result = answers.of(name, kind)
        assert (code, result["failure"]["code"]) == (1, expected)
        assert words in result["msg"]
        assert not documented(name, "always", "failure") - set(result)


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_what_needs_no_engine_answers_all_the_same(answers: Answers, name: str) -> None:
    code, result = answers.of(name, "check")
    assert (code, result.get("failed", False)) == (0, False), result
    assert "failure" not in result
    # The clock is compared by the action plugin.
    assert not documented(name, "always", "success") - set(result) - {"clock"}


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_an_option_that_is_none_is_named(answers: Answers, name: str) -> None:
    code, result = answers.of(name, "unknown option")
    assert code == 1
    assert result["failed"]
    assert "colour" in result["msg"]


@pytest.mark.parametrize("name", list(ARGUMENTS))
def test_secrets_are_not_repeated(answers: Answers, name: str) -> None:
    for kind in ("check", "unknown option", "run"):
        if (name, kind) in answers.calls:
            said = json.dumps(answers.of(name, kind)[1])
            assert not [key for key in ("SWMTKN", "SWMKEY", "AGE-SECRET-KEY") if key in said]
