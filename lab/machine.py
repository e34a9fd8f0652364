# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks whether a lab can run on this machine, and raises the one kernel limit that it needs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from settings import TOP, LabError, run, say

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
BEFORE = TOP / ".cache" / "max_user_instances"
INOTIFY_INSTANCES = 4096


def check() -> None:
    if sys.platform != "linux":
        raise LabError(
            f"A lab needs Linux, and this is {sys.platform}: use a Linux machine or virtual machine."
        )
    for tool, package in (
        ("docker", "docker.io (docker-cli from Debian 13 on)"),
        ("ssh", "openssh-client"),
    ):
        if shutil.which(tool) is None:
            raise LabError(f"A lab needs the command {tool}: install the package {package}.")
    answer = run(("docker", "info", "-f", "{{.OSType}} {{.ServerVersion}}"), check=False)
    if answer.returncode != 0 or answer.stdout.split()[:1] != ["linux"]:
        reason = (answer.stderr or answer.stdout).strip().splitlines() or ["no answer"]
        if "permission denied" in reason[0].lower():
            raise LabError(
                "A lab needs the Docker engine, and this user may not use it: run as root or join the group docker."
            )
        raise LabError(
            f"A lab needs a Docker engine on this machine, and none answers ({reason[0]}): run `make engine` as root."
        )
    endpoint = os.environ.get("DOCKER_HOST", "")
    if endpoint and not endpoint.startswith("unix://"):
        raise LabError(
            f"A lab needs the engine of this machine, and DOCKER_HOST is {endpoint}: unset it."
        )
    if not Path("/sys/fs/cgroup").is_dir() or not any(Path("/sys/fs/cgroup").iterdir()):
        raise LabError(
            "A lab needs control groups, and /sys/fs/cgroup is empty here: mount them, or use a machine that has them."
        )


def raise_limits(tag: str) -> None:
    """Every systemd uses some inotify instances of the user root, and a dozen hosts use up the default of 128."""
    found = int(LIMIT.read_text())
    if found >= INOTIFY_INSTANCES:
        return
    try:
        LIMIT.write_text(str(INOTIFY_INSTANCES))
    except OSError:
        # A user of the engine who is not root can do it in a container, because the limit is the kernel's.
        command = f"echo {INOTIFY_INSTANCES} > {LIMIT}"
        done = run(
            (
                "docker",
                "run",
                "--rm",
                "--security-opt=systempaths=unconfined",
                "--cap-add=SYS_ADMIN",
                tag,
                "sh",
                "-c",
                command,
            ),
            check=False,
        )
        if done.returncode != 0:
            raise LabError(
                f"A lab needs more inotify instances than {found}: as root, run"
                f" `sysctl -w fs.inotify.max_user_instances={INOTIFY_INSTANCES}`."
            ) from None
    BEFORE.parent.mkdir(exist_ok=True)
    if not BEFORE.exists():
        BEFORE.write_text(f"{found}\n")
    say(
        f"limits  fs.inotify.max_user_instances {found} -> {INOTIFY_INSTANCES}; `make clean` puts it back"
    )


def restore_limits() -> None:
    if not BEFORE.exists():
        return
    if LIMIT.read_text().strip() == str(INOTIFY_INSTANCES):
        try:
            LIMIT.write_text(BEFORE.read_text())
        except OSError:
            say(
                f"limits  fs.inotify.max_user_instances stays at {INOTIFY_INSTANCES}: only root can put it back"
            )
    BEFORE.unlink()
