# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""apt and dpkg: repair, resolve pins, install without starting anything, hold.

ansible.builtin.apt is not used: it needs python3-apt, which a bare host lacks and would have to install first, it
cannot repair an interrupted dpkg, and a policy-rc.d that it leaves behind when killed is not known to be its own.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any, Callable

from ansible_collections.flotilla.swarm.plugins.module_utils import _host, _versions
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import Clock

# (arguments, environment) -> (exit code, output, errors)
Runner = Callable[[list[str], dict[str, str]], tuple[int, str, str]]

_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
    "LC_ALL": "C.UTF-8",
}
# "Could not get lock /var/lib/..." (apt), "dpkg frontend lock was locked by another process" or "... by PROGRAM" (dpkg).
_LOCKED = re.compile(r"could not get lock|lock (?:is|was) locked by|unable to lock", re.IGNORECASE)
_FRESH_SECONDS = 3600


def wanted_versions(
    install: list[dict[str, Any]], offers: dict[str, list[str]], installed: dict[str, str]
) -> dict[str, str]:
    """The exact version of each package to install; pure. OFFERS has each package's versions, newest first."""
    chosen: dict[str, str] = {}
    for entry in install:
        name = entry["name"]
        found = offers.get(name, [])
        if not found:
            if entry["optional"]:
                continue
            raise SwarmError(
                "no_package",
                f"Could not install {name}: no repository of this host has it. Check docker_engine_source and the "
                "host's apt sources.",
                package=name,
            )
        fitting = [version for version in found if _versions.matches(version, entry["version"])]
        like = chosen.get(entry["like"]) or installed.get(entry["like"])
        if like and not entry["version"]:
            # The command and the engine are built together, so that even their package revisions are equal, or nearly.
            fitting = [version for version in fitting if version == like] or [
                version
                for version in fitting
                if _versions.upstream(version) == _versions.upstream(like)
            ]
        if not fitting:
            asked = entry["version"] or _versions.upstream(like or "")
            raise SwarmError(
                "no_version",
                f"Could not install {name} {asked}: this host's repositories have {', '.join(found[:8])}. Change "
                "docker_engine_version or docker_engine_containerd_version to one of these.",
                package=name,
                available=found,
            )
        chosen[name] = fitting[0]
        if _versions.compare(_versions.upstream(fitting[0]), OLDEST.get(name, "0")) < 0:
            raise SwarmError(
                "too_old",
                f"Could not install {name}: the newest version that fits is {fitting[0]}, the oldest supported is "
                f"{OLDEST[name]}. Use docker_engine_source=docker_ce or a newer release of the system.",
                package=name,
            )
    return chosen


OLDEST = {"docker.io": "20.10", "docker-ce": "20.10"}


def parse_madison(text: str) -> dict[str, list[str]]:
    """Versions by package, in the order (newest first) in which apt-cache madison lists them; pure."""
    offers: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) >= 3 and fields[1] not in offers.setdefault(fields[0], []):
            offers[fields[0]].append(fields[1])
    return offers


class Apt:
    """One host's package manager."""

    def __init__(self, run: Runner, lock_timeout: float, clock: Clock | None = None) -> None:
        self._run = run
        self._clock = clock or Clock()
        self._deadline = self._clock.now() + lock_timeout

    def command(self, attempt: str, *args: str) -> str:
        """Run a command, waiting for whoever holds the lock; ATTEMPT completes 'Could not ...'."""
        while True:
            code, output, errors = self._run(list(args), _ENVIRONMENT)
            if code == 0:
                return output
            if not _LOCKED.search(errors):
                break
            if self._clock.now() >= self._deadline:
                raise SwarmError(
                    "locked",
                    f"Could not {attempt}: another process has held the package manager's lock all the time. Wait "
                    "for it to end, or raise docker_engine_lock_timeout.",
                )
            self._clock.sleep(2)
        reason = _reason(errors or output)
        raise SwarmError(
            "apt_failed",
            f"Could not {attempt}: {reason}",
            command=" ".join(args),
            stderr=errors[-2000:],
        )

    def repair(self) -> None:
        with self.no_service_starts():
            self.command(
                "finish an interrupted package run",
                "dpkg",
                "--force-confdef",
                "--force-confold",
                "--configure",
                "-a",
            )
            self.command("mend the packages", *_APT_GET, "--fix-broken", "install")

    def update(self) -> None:
        self.command(
            "refresh the package lists",
            "apt-get",
            "-q",
            "-o",
            "Acquire::Retries=2",
            "-o",
            "Acquire::Languages=none",
            "update",
        )

    def lists_are_fresh(self, now: float) -> bool:
        """Whether the package lists were fetched within the last hour."""
        folder = "/var/lib/apt/lists"
        try:
            names = [
                name
                for name in os.listdir(folder)
                if name.endswith(("Packages", "Packages.lz4", "Packages.xz"))
            ]
            return bool(names) and now - os.stat(folder).st_mtime < _FRESH_SECONDS
        except OSError:
            return False

    def offers(self, names: list[str]) -> dict[str, list[str]]:
        return parse_madison(self.command("look up packages", "apt-cache", "madison", "--", *names))

    def install(self, versions: dict[str, str], downgrade: bool, remove: list[str]) -> None:
        options = ["--allow-change-held-packages"]
        if downgrade:
            options.append("--allow-downgrades")
        if not remove:
            options.append("--no-remove")
        with self.no_service_starts():
            self.command(
                "install " + ", ".join(versions),
                *_APT_GET,
                "--no-install-recommends",
                *options,
                "install",
                "--",
                *(f"{name}={version}" for name, version in versions.items()),
                # Named, because apt does not take away what is held to make room for something else.
                *(f"{name}-" for name in remove),
            )

    def hold(self, names: list[str], release: bool = False) -> None:
        if names:
            verb = "unhold" if release else "hold"
            self.command(f"{verb} {', '.join(names)}", "apt-mark", verb, "--", *names)

    @contextlib.contextmanager
    def no_service_starts(self) -> Iterator[None]:
        """Keep package scripts from starting services: the engine first starts with its final settings."""
        path = _host.POLICY_RC_D
        saved = path + ".flotilla-saved"
        if os.path.exists(path) and not os.path.exists(saved) and not _is_ours(path):
            os.rename(path, saved)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(
                f"#!/bin/sh\n# Written by {_host.POLICY_MARK} while it installs packages.\nexit 101\n"
            )
        os.chmod(path, 0o755)
        try:
            yield
        finally:
            if os.path.exists(saved):
                os.replace(saved, path)
            else:
                # A run before this one, killed on the controller, may have lived on here until now and cleaned up.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


_APT_GET = (
    "apt-get",
    "-q",
    "-y",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Acquire::Retries=2",
)


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return _host.POLICY_MARK in handle.read()
    except OSError:
        return False


def _reason(text: str) -> str:
    """The line that says why, of what apt printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "dpkg: error", "Err:"))]
    reason = " ".join((errors or lines[-2:] or ["no reason given"])[:3])
    return reason if reason.endswith(".") else reason + "."
