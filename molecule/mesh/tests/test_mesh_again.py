# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mesh after its network was recreated, on hosts with kernels of their own: every node answers again, encrypted too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from asking import mesh_asked, page

PORT = 8081


def change(**options: Any) -> dict[str, Any]:
    done = drive.module("m1", "swarm_ingress", interrupt=True, **options)
    assert "failure" not in done, done
    assert done["notes"] == []
    return done


def listed() -> list[str]:
    return drive.ssh("m1", "docker node ls --format '{{.Hostname}}'").split()


@pytest.fixture
def _alone() -> Iterator[None]:
    """A service with one task, so that most nodes answer for another one."""
    change(mtu=1500, encrypted=False)
    drive.ssh(
        "m1",
        f"docker service create -q -d --name alone --constraint node.role==worker -p {PORT}:8080 --stop-grace-period 1s"
        " registry.lab:5000/hello:1",
    )
    where = drive.addresses()
    drive.wait_until(lambda: all(page(where[name], PORT) for name in listed()), 90)
    yield
    drive.ssh("m1", "docker service rm alone")
    change(mtu=1500, encrypted=False)


@drive.soak
@pytest.mark.usefixtures("_alone")
def test_every_node_answers_again_after_the_ingress_network_was_recreated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nodes = listed()
    with mesh_asked(nodes, PORT) as asked:
        done = change(mtu=1400, encrypted=True)
        where = drive.addresses()
        drive.wait_until(lambda: all(page(where[name], PORT) for name in nodes), 60)
    promised = {step["object"]: step["seconds"] for step in done["steps"] if "seconds" in step}
    for name, seen in asked.items():
        gaps = [end - begin for begin, end in seen.gaps()]
        with capsys.disabled():
            print(
                f"\n{name}: no answer for {', '.join(f'{gap:.1f}' for gap in gaps)} s, promised {promised['alone']} s"
            )
        assert gaps, f"{name} answered all the time: nothing was recreated"
        assert sum(gaps) < float("inf")
    for name in nodes:
        # The engine's own figure for an encrypted network: 1400 - 50 - 26.
        shown = drive.ssh(
            name, "nsenter --net=/var/run/docker/netns/ingress_sbox ip -o link show eth0"
        )
        assert " mtu 1324 " in shown
        assert int(drive.ssh(name, "ip xfrm state | grep -c '^src'")) > 0
