# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The files of a host that this collection manages, and reading files that may be missing."""

from __future__ import annotations

import contextlib
import os

# What a file is called until it is complete.
PARTIAL = ".partial-"
# Where an engine keeps its data unless daemon.json says otherwise.
DATA_ROOT = "/var/lib/docker"
DAEMON_JSON = "/etc/docker/daemon.json"
DROPIN_DIR = "/etc/systemd/system/docker.service.d"
CERTS_DIR = "/etc/docker/certs.d"
APT_SOURCE = "/etc/apt/sources.list.d/docker.sources"
APT_KEYRING = "/etc/apt/keyrings/docker.asc"
RPM_REPOSITORY = "/etc/yum.repos.d/docker-ce.repo"
ZYPP_REPOSITORY = "/etc/zypp/repos.d/docker-ce.repo"
# Written before a change that takes effect only when the engine restarts, and removed by the restart. It is on a tmpfs
# because a reboot restarts the engine as well.
RESTART_MARKER = "/run/flotilla.swarm/docker-restart"
# daemon.json as it was before the last change, until an engine has started with the new one.
PREVIOUS_DAEMON_JSON = "/var/lib/flotilla.swarm/daemon.json.previous"
# On a host that is pending a reboot, until it is back in service.
REBOOT_NOTE = "/var/lib/flotilla.swarm/reboot.json"
# On a host that is drained for a repair, until it is back in service.
REPAIR_NOTE = "/var/lib/flotilla.swarm/repair"
# On a host that was upgraded: its packages before, and whether the upgrade came to its end. Beside it, its daemon.json before.
UPGRADE_NOTE = "/var/lib/flotilla.swarm/upgrade.json"
UPGRADE_DAEMON_JSON = "/var/lib/flotilla.swarm/upgrade.daemon.json"
# Packages of Debian and Ubuntu create it (update-notifier-common, unattended-upgrades).
REBOOT_REQUIRED = "/run/reboot-required"
SDK_VENV = "/opt/flotilla.swarm"
POLICY_RC_D = "/usr/sbin/policy-rc.d"
POLICY_MARK = "flotilla.swarm"
# What `files` of the facts has a hash of.
MANAGED = (
    DAEMON_JSON,
    DROPIN_DIR + "/*.conf",
    CERTS_DIR + "/*/*.crt",
    APT_SOURCE,
    APT_KEYRING,
    RPM_REPOSITORY,
    ZYPP_REPOSITORY,
)


def read(path: str) -> bytes | None:
    """The content of a file; None if it cannot be read."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError:
        return None


def text_of(path: str) -> str:
    """The content of a file as text; empty if it cannot be read."""
    return (read(path) or b"").decode("utf-8", "replace")


def write_whole(path: str, content: bytes) -> None:
    """Write a file that only its owner can read. It is there as a whole, or not at all. Raises OSError."""
    partial = os.path.join(os.path.dirname(path), f"{PARTIAL}{os.path.basename(path)}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(partial, path)


def names_in(path: str) -> list[str]:
    """The names in a folder; none if it cannot be read."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def existing_part(folder: str) -> str:
    """The nearest folder above an absolute path that exists, or the folder itself."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def free_bytes(folder: str) -> int:
    """The free bytes of the file system where a folder is, or will be. Raises OSError."""
    disk = os.statvfs(existing_part(folder))
    return disk.f_bavail * disk.f_frsize
