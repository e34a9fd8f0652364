# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The probe on kernels with IPVS and ESP: nothing on a sound network, and what needs IPVS by its name."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from asking import stacks

PROBE = drive.TOP / "playbooks" / "probe_network.yml"
NAMESPACES = "/var/run/docker/netns"
OPEN = {"swarm_probe_overlays": [], "swarm_probe_networks": ["shop_open"]}


@pytest.fixture(scope="module", autouse=True)
def swarm() -> None:
    drive.site(swarm_stack_stacks=stacks())


def findings(run: drive.Run) -> str:
    return run.text[run.text.index("\nFINDINGS") :].partition("\nTASK")[0]


@drive.soak
def test_nothing_is_found_on_a_sound_network() -> None:
    for _run in range(20):
        run = drive.play(playbook=PROBE)
        assert run.code == 0, run.text[-4000:]
        assert "FINDINGS  none" in run.text


@drive.soak
@pytest.mark.parametrize(
    ("sandbox", "ports", "extra", "finding"),
    [
        (
            "ingress_sbox",
            "-p tcp --dport 30000:65535",
            {"swarm_probe_overlays": ["plain"]},
            r"mesh  m2  the published port \d+/tcp does not answer on m2",
        ),
        (
            "lb",
            "-p tcp",
            OPEN,
            r"vip  m2  the virtual IP of flotilla-probe-net-1 does not answer on m2",
        ),
    ],
)
def test_a_dead_mesh_and_a_dead_virtual_address_are_named(
    sandbox: str, ports: str, extra: dict[str, Any], finding: str
) -> None:
    """Packets are dropped in the namespaces in which the engine balances them."""
    if sandbox == "lb":
        shown = drive.ssh("m2", "docker network inspect -f '{{.Id}}' shop_open").strip()
        sandbox = f"lb_{shown[:9]}"
    rule = f"nsenter --net={NAMESPACES}/{sandbox} iptables -{{}} INPUT {ports} -j DROP"
    drive.ssh("m2", rule.format("I"))
    try:
        run = drive.play(playbook=PROBE, **extra)
    finally:
        drive.ssh("m2", rule.format("D"))
    assert run.code == 2, run.text[-4000:]
    assert "FINDINGS  1\n" in run.text, findings(run)
    assert re.search(finding, findings(run)), findings(run)
