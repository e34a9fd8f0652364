# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the drills share: the swarm that each begins with, its stack, and the playbooks of the runbooks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import drive
from drive import soak as soak

FILES = drive.TOP / "molecule" / "lifecycle" / "files"
SECRET = (FILES / "token.txt").read_text(encoding="utf-8").strip()
STACKS = [{"name": "shop", "compose": [str(FILES / "shop.yml")]}]


def playbook(name: str, *flags: str, **extra: Any) -> drive.Run:
    """A run of a playbook of the collection. Its output has neither the data of the secret nor an unlock key."""
    run = drive.play(*flags, playbook=drive.TOP / "playbooks" / f"{name}.yml", **extra)
    assert SECRET not in run.text
    assert "SWMKEY-1-" not in run.text, "an unlock key is in the output"
    assert "SWMTKN-1-" not in run.text, "a join token is in the output"
    return run


def begin() -> None:
    """The lab as converge.yml has built it, whatever the drill before has left: five hosts, autolock off, the stack shop."""
    whole = drive.is_whole()
    if whole and _picture() == _as_built:
        return
    if not whole:
        drive.leave_all()
    drive.site(
        swarm_stack_stacks=STACKS,
        swarm_settings={"autolock_managers": False},
        # The tasks that failed when the drill before killed their hosts do not count.
        swarm_health_thresholds=drive.LATELY,
    )
    drive.assert_whole()
    if not _as_built:
        _as_built.update(_picture())


# The lab after the first run of `begin`.
_as_built: dict[str, Any] = {}


def _picture() -> dict[str, Any]:
    """What site.yml decides of a lab that is whole: the specs of the nodes and of the swarm, and how much of each service runs."""
    swarm = drive.ssh("m1", "docker info --format '{{json .Swarm.Cluster.Spec}}'")
    services = drive.ssh("m1", "docker service ls --format '{{.Name}} {{.Replicas}}'").splitlines()
    specs = {name: node["Spec"] for name, node in drive.nodes().items()}
    return {"nodes": specs, "swarm": json.loads(swarm), "services": sorted(services)}


def install(host: str, *packages: str) -> None:
    """Packages for the drill itself, where age is not there yet."""
    words = " ".join(packages)
    drive.ssh(
        host,
        f"command -v age > /dev/null || {{ apt-get -qq update && apt-get -qq install -y {words} > /dev/null; }}",
    )


def autolock_is_on() -> bool:
    ask = "docker info --format '{{.Swarm.Cluster.Spec.EncryptionConfig.AutoLockManagers}}'"
    return drive.ssh("m1", ask).strip() == "true"


def state(host: str) -> str:
    """What the engine of a host says of its place in the swarm: active, locked and so on."""
    return drive.ssh(host, "docker info --format '{{.Swarm.LocalNodeState}}'", check=False).strip()


def power_cut(*hosts: str) -> None:
    """Kill the hosts, and start them again when all of them are down."""
    drive.hang_up(*hosts)
    names = [f"{drive.PREFIX}-{host}" for host in hosts]
    for verb in ("kill", "start"):
        subprocess.run(["docker", verb, *names], check=True, capture_output=True, timeout=120)
    drive.wait_until(lambda: all(state(host) in ("active", "locked") for host in hosts))
