# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""apt and dpkg: repair, resolve pins, install without starting services, hold.

ansible.builtin.apt is not used: it needs python3-apt, which a bare host lacks, it cannot repair an interrupted dpkg, and
the policy-rc.d that it leaves behind when it is killed cannot be told from others.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from typing import Any, Callable

from .._common.errors import SwarmError
from .._common.waiting import Clock
from .._host import files
from . import versions
from .versions import OLDEST_ENGINE

# (arguments, environment) -> (exit code, output, errors)
AptRunner = Callable[[list[str], dict[str, str]], tuple[int, str, str]]

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
_ENGINE_PACKAGES = ("docker.io", "docker-ce")


def wanted_versions(
    install: list[dict[str, Any]], offers: dict[str, list[str]], installed: dict[str, str]
) -> dict[str, str]:
    """The exact version of each package to install; pure. `offers` has the versions of each, newest first.

    The entries of `install` have name, version (a pin), like (a package that needs the same version) and optional. Raises
    no_package, no_version and too_old.
    """
    chosen: dict[str, str] = {}
    for entry in install:
        name = entry["name"]
        found = offers.get(name, [])
        if not found:
            if entry["optional"]:
                continue
            raise SwarmError(
                "no_package",
                f"Could not install {name}: no repository of this host has it. Check docker_engine_source and the host's apt"
                " sources.",
                package=name,
            )
        fitting = [version for version in found if versions.matches(version, entry["version"])]
        like = chosen.get(entry["like"]) or installed.get(entry["like"])
        if like and not entry["version"]:
            # The command and the engine are built together, so that even their package revisions are mostly equal.
            fitting = [version for version in fitting if version == like] or [
                version
                for version in fitting
                if versions.upstream(version) == versions.upstream(like)
            ]
        if not fitting:
            asked = entry["version"] or versions.upstream(like or "")
            raise SwarmError(
                "no_version",
                f"Could not install {name} {asked}: this host's repositories have {', '.join(found[:8])}. Set"
                " docker_engine_version or docker_engine_containerd_version to one of these.",
                package=name,
                available=found,
            )
        chosen[name] = fitting[0]
        oldest = OLDEST_ENGINE if name in _ENGINE_PACKAGES else "0"
        if versions.compare(versions.upstream(fitting[0]), oldest) < 0:
            raise SwarmError(
                "too_old",
                f"Could not install {name}: the newest version on offer is {fitting[0]}, the oldest supported one is"
                f" {OLDEST_ENGINE}. Set docker_engine_source=docker_ce, or use a newer release of the system.",
                package=name,
            )
    return chosen


def parse_madison(text: str) -> dict[str, list[str]]:
    """Versions by package in the output of apt-cache madison, newest first; pure."""
    offers: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) >= 3 and fields[1] not in offers.setdefault(fields[0], []):
            offers[fields[0]].append(fields[1])
    return offers


class Apt:
    """The package manager of this host; `lock_timeout` is in seconds. Every method raises apt_failed and locked."""

    def __init__(self, run: AptRunner, lock_timeout: float, clock: Clock | None = None) -> None:
        self._run = run
        self._clock = clock or Clock()
        self._deadline = self._clock.now() + lock_timeout

    def command(self, attempt: str, *args: str) -> str:
        """Run a command, wait while another process holds the lock, and return its output; `attempt` completes 'Could not ...'."""
        while True:
            code, output, errors = self._run(list(args), _ENVIRONMENT)
            if code == 0:
                return output
            if not _LOCKED.search(errors):
                break
            if self._clock.now() >= self._deadline:
                raise SwarmError(
                    "locked",
                    f"Could not {attempt}: another process holds the lock of the package manager. Wait for it to end, or raise"
                    " docker_engine_lock_timeout, for an upgrade swarm_upgrade_lock_timeout.",
                )
            self._clock.sleep(2)
        reason = _reason(errors or output)
        raise SwarmError(
            "apt_failed",
            f"Could not {attempt}: {reason}",
            command=" ".join(args),
            stderr=errors[-2000:],
        )

    def repair(self, replaced: Collection[str] = ()) -> None:
        """Finish an interrupted run of dpkg or apt.

        A package that dpkg had half replaced when it was killed cannot be configured, only installed again. That is no failure
        if the package is one of `replaced`, which the caller installs next.
        """
        try:
            self._configure()
        except SwarmError as error:
            if error.code == "locked" or not self._half_replaced() & set(replaced):
                raise

    def _configure(self) -> None:
        with self.no_service_starts():
            self.command(
                "finish an interrupted package run",
                "dpkg",
                "--force-confdef",
                "--force-confold",
                "--configure",
                "-a",
            )
            self.command("repair the packages", *_APT_GET, "--fix-broken", "install")

    def _half_replaced(self) -> set[str]:
        """The packages that dpkg wants to be installed again."""
        shown = self.command(
            "look up packages",
            *("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Eflag}\\n"),
        )
        rows = (line.split() for line in shown.splitlines())
        return {row[0] for row in rows if row[1:] == ["reinstreq"]}

    def update(self) -> None:
        """Refresh the package lists."""
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
        """The versions in this host's repositories, newest first, by package."""
        return parse_madison(self.command("look up packages", "apt-cache", "madison", "--", *names))

    def install(self, versions: dict[str, str], downgrade: bool, remove: list[str]) -> None:
        """Install these versions in place of the packages in `remove`, without starting services."""
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
                # Named, because apt does not remove a package that is on hold to make room for another.
                *(f"{name}-" for name in remove),
            )

    def hold(self, names: list[str], release: bool = False) -> None:
        """Put packages on hold, or release them."""
        if names:
            verb = "unhold" if release else "hold"
            self.command(f"{verb} {', '.join(names)}", "apt-mark", verb, "--", *names)

    @contextlib.contextmanager
    def no_service_starts(self) -> Iterator[None]:
        """Keep package scripts from starting services, so that the engine first starts with its final settings."""
        path = files.POLICY_RC_D
        saved = path + ".flotilla-saved"
        if os.path.exists(path) and not os.path.exists(saved) and not _is_ours(path):
            os.rename(path, saved)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(
                f"#!/bin/sh\n# Written by {files.POLICY_MARK} while it installs packages.\nexit 101\n"
            )
        os.chmod(path, 0o755)
        try:
            yield
        finally:
            if os.path.exists(saved):
                os.replace(saved, path)
            else:
                # An earlier run, interrupted on the controller, may have continued here and cleaned up.
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
            return files.POLICY_MARK in handle.read()
    except OSError:
        return False


def _reason(text: str) -> str:
    """The line that says why, of what apt printed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("E:", "dpkg: error", "Err:"))]
    reason = " ".join((errors or lines[-2:] or ["no reason given"])[:3])
    return reason if reason.endswith(".") else reason + "."
