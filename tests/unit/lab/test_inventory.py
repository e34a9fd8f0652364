# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory that people read is the one of the default lab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[3]
LAB = TOP / "lab" / "lab.py"

# ansible-test runs from a copy that has no lab.
pytestmark = pytest.mark.skipif(not LAB.exists(), reason="the lab is not in the built collection")


def lab(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("LAB_")}
    plain["LAB_SUBNET"] = "172.30.80.0/24"
    return subprocess.run(
        [sys.executable, str(LAB), *command],
        env=plain | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_default_lab_is_shown_in_inventories() -> None:
    assert lab("inventory").stdout.strip() == str(TOP / "inventories" / "lab")


def test_another_size_has_an_inventory_of_its_own() -> None:
    prefix = f"unit-test-{os.getpid()}"
    try:
        done = lab("inventory", LAB_PREFIX=prefix, LAB_MANAGERS="5", LAB_WORKERS="1")
        where = Path(done.stdout.strip())
        assert where == TOP / ".lab" / prefix / "inventory"
        groups = yaml.safe_load((where / "hosts.yml").read_text())["all"]["children"]
        managers = groups["swarm_managers"]["hosts"]
        assert {name: host["swarm_zone"] for name, host in managers.items()} == {
            "m1": "a",
            "m2": "b",
            "m3": "c",
            "m4": "a",
            "m5": "b",
        }
        assert list(groups["swarm_workers"]["hosts"]) == ["w1"]
        assert (where / "group_vars" / "all" / "registry.yml").exists()
    finally:
        shutil.rmtree(TOP / ".lab" / prefix)


def test_a_lab_without_a_registry_asks_for_nothing_that_is_there() -> None:
    """Neither for the certificate of its authority nor for the stack whose image it has."""
    prefix = "unit-test"

    def variables(answer: str) -> set[str]:
        done = lab("inventory", LAB_PREFIX=prefix, LAB_REGISTRY=answer)
        where = Path(done.stdout.strip()) / "group_vars"
        files = [*where.glob("all/*.yml"), where / "swarm_workers.yml"]
        return {name for file in files for name in yaml.safe_load(file.read_text())}

    try:
        # As often as one likes, and back again.
        for _round in range(2):
            with_one, without = variables("yes"), variables("no")
            assert with_one - without == {
                "docker_engine_registry_ca_certificates",
                "swarm_stack_stacks",
                "swarm_stack_settle",
            }
            assert without == {"docker_engine_source", "swarm_labels"}
        assert lab("inventory", LAB_REGISTRY="no").stdout.strip() == str(
            TOP / ".lab" / "flotilla" / "inventory"
        )
    finally:
        shutil.rmtree(TOP / ".lab" / prefix)


def test_hosts_with_a_kernel_of_their_own_publish_in_the_mesh() -> None:
    prefix = f"unit-test-{os.getpid()}"
    try:
        done = lab("inventory", LAB_PREFIX=prefix, LAB_KIND="uml")
        hosts = yaml.safe_load((Path(done.stdout.strip()) / "hosts.yml").read_text())
        assert hosts["all"]["vars"]["lab_mesh"] is True
        done = lab("inventory", LAB_PREFIX=prefix)
        hosts = yaml.safe_load((Path(done.stdout.strip()) / "hosts.yml").read_text())
        assert "lab_mesh" not in hosts["all"]["vars"]
    finally:
        shutil.rmtree(TOP / ".lab" / prefix)


def test_there_are_fewer_hosts_with_a_kernel_of_their_own() -> None:
    done = lab("inventory", LAB_KIND="uml", LAB_WORKERS="5")
    assert done.returncode == 1
    assert "8 hosts: a lab of hosts with kernels of their own has 1 to 7" in done.stderr


def test_a_power_cut_of_a_host_that_is_not_there_is_refused() -> None:
    done = lab("cut", "m9")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "lab: There is no host m9 in the lab flotilla: choose one of m1, m2, m3, w1, w2."
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LAB_MANAGERS", "26", "a number from 0 to 25"),
        ("LAB_WORKERS", "-1", "a number from 0 to 25"),
        ("LAB_WORKERS", "23", "1 to 25"),
        ("LAB_KIND", "vm", "one of container, uml"),
        ("LAB_SUITE", "potato", "one of bullseye, bookworm, trixie, sid"),
        ("LAB_IMAGE", "none", "one of bare, engine"),
        ("LAB_PREFIX", "Has Space", "lower-case letters"),
        ("LAB_SUBNET", "172.30.80.1/24", "has host bits set"),
        ("LAB_SUBNET", "172.30.80.0/26", "a /25 or larger"),
    ],
)
def test_a_wrong_setting_is_one_sentence(name: str, value: str, words: str) -> None:
    done = lab("inventory", **{name: value})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert name.removesuffix("S") in done.stderr
    assert words in done.stderr
