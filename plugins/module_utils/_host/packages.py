# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The installed packages that matter to an engine, from the databases of dpkg and rpm."""

from __future__ import annotations

import os
import re

from .files import POLICY_MARK, POLICY_RC_D, names_in, read, text_of

PACKAGES = (
    "containerd",
    "containerd.io",
    "docker",
    "docker-ce",
    "docker-ce-cli",
    "docker-cli",
    "docker.io",
    "moby-engine",
    "podman-docker",
    "python3-docker",
    "runc",
)


def observe_packages(root: str = "") -> dict[str, str]:
    """The installed versions of PACKAGES, by name."""
    return installed_packages(root)[0]


def installed_packages(root: str) -> tuple[dict[str, str], list[str], bool]:
    """Installed versions of PACKAGES by name, those on hold, and whether dpkg was interrupted; empty without dpkg and rpm."""
    status = read(root + "/var/lib/dpkg/status")
    if status is None:
        return _rpm_packages(root)
    packages: dict[str, str] = {}
    held = []
    for name in PACKAGES:
        start = status.find(b"Package: " + name.encode() + b"\n")
        while start > 0 and status[start - 1 : start] != b"\n":
            start = status.find(b"Package: " + name.encode() + b"\n", start + 1)
        if start < 0:
            continue
        end = status.find(b"\n\n", start)
        stanza = status[start : end if end >= 0 else len(status)].decode("utf-8", "replace")
        fields = dict(re.findall(r"^(Status|Version): (.*)$", stanza, re.MULTILINE))
        wish, _flag, state = (fields.get("Status", "") + "   ").split(" ")[:3]
        if wish == "hold":
            held.append(name)
        if state in ("installed", "triggers-awaited", "triggers-pending") and "Version" in fields:
            packages[name] = fields["Version"]
    # dpkg's journal (all-digit names) is what makes apt say that dpkg was interrupted.
    journal = [name for name in names_in(root + "/var/lib/dpkg/updates") if name.isdigit()]
    half = re.search(
        rb"^Status: \S+ (?:reinstreq \S+|\S+ (?:half-installed|half-configured|unpacked))$",
        status,
        re.M,
    )
    left = POLICY_MARK in text_of(root + POLICY_RC_D)
    return packages, sorted(held), bool(journal or half or left)


def _rpm_packages(root: str) -> tuple[dict[str, str], list[str], bool]:
    import subprocess  # only needed where there is no file to read

    if root or not any(os.path.exists(path) for path in ("/usr/bin/rpm", "/bin/rpm")):
        return {}, [], False
    try:
        done = subprocess.run(
            [
                "rpm",
                "-q",
                "--queryformat",
                "%{NAME}\t%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n",
                *PACKAGES,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env={"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        return {}, [], False
    packages = {}
    for line in done.stdout.splitlines():
        name, separator, version = line.partition("\t")
        if separator:
            packages[name] = version[2:] if version.startswith("0:") else version
    locks = text_of("/etc/dnf/plugins/versionlock.list") + text_of(
        "/etc/yum/pluginconf.d/versionlock.list"
    )
    held = [
        name
        for name in packages
        if re.search(rf"^(?:\d+:)?{re.escape(name)}-\d", locks, re.MULTILINE)
    ]
    return packages, sorted(held), False
