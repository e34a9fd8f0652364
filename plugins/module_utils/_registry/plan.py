# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What changes on the host of a registry: (what it has, what it must be) -> a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .._common.errors import SwarmError
from .._host.units import InstallPlan
from .settings import (
    CA_DAYS,
    CERTIFICATE,
    CERTIFICATE_DAYS,
    CONFIG,
    DEBIAN_SERVICE,
    MIRROR_CONFIG,
    MIRROR_SERVICE,
    READ_ONLY,
    SERVICE,
    UNIT_DIR,
    Certificate,
    Wanted,
)

# What a change of each file restarts.
_USED_BY = {
    CONFIG: SERVICE,
    READ_ONLY: SERVICE,
    f"{UNIT_DIR}/{SERVICE}": SERVICE,
    MIRROR_CONFIG: MIRROR_SERVICE,
    f"{UNIT_DIR}/{MIRROR_SERVICE}": MIRROR_SERVICE,
}


@dataclass(frozen=True)
class Held:
    """The certificates and keys of the host. Of a key, it is a hash of its public part."""

    ca: Certificate | None = None
    ca_key: str = ""
    certificate: Certificate | None = None
    key: str = ""
    issued: bool = False  # by the authority of the host, and valid
    given: bool = False  # the given certificate and key are what the host has


@dataclass(frozen=True)
class Observed:
    """What the host has."""

    now: float
    missing: tuple[str, ...] = ()  # packages
    # Debian's own service: whether it runs, and whether it cannot start.
    foreign: bool = False
    masked: bool = True
    files: InstallPlan = field(default_factory=lambda: InstallPlan(""))
    renewal: InstallPlan = field(default_factory=lambda: InstallPlan(""))
    held: Held = Held()
    folders: tuple[str, ...] = ()  # that are missing, or not the registry's
    secret: bool = True
    mirror_secret: bool = True
    # By user: whether the password is the wanted one.
    passwords: Mapping[str, bool] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    enabled: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()  # services that run and do not answer
    restart_due: bool = False  # an earlier run was interrupted
    left_read_only: bool = False  # and no garbage collection runs


@dataclass(frozen=True)
class RegistryPlan:
    """What a run does, in this order."""

    mask: bool = False
    install: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    authority: str = ""  # create or renew
    issue: str = ""  # why
    put_given: bool = False
    secret: bool = False
    mirror_secret: bool = False
    set_passwords: tuple[str, ...] = ()
    remove_users: tuple[str, ...] = ()
    stop_mirror: bool = False
    files: InstallPlan = field(default_factory=lambda: InstallPlan(""))
    renewal: InstallPlan = field(default_factory=lambda: InstallPlan(""))
    leave_read_only: bool = False
    restart: tuple[tuple[str, str], ...] = ()  # services, each with why

    @property
    def steps(self) -> list[str]:
        """The changes as text, in order."""
        return list(self._steps())

    @property
    def new_ca(self) -> bool:
        """Whether engines must trust another certificate afterwards."""
        return bool(self.authority)

    def _steps(self) -> Iterator[str]:
        if self.mask:
            yield f"mask {DEBIAN_SERVICE}, because {SERVICE} takes its place"
        if self.install:
            yield f"install {', '.join(self.install)}"
        for folder in self.folders:
            yield f"create the folder {folder}"
        if self.authority:
            yield f"{self.authority} the certificate authority, for {CA_DAYS} days"
        if self.issue:
            yield f"issue a certificate for {CERTIFICATE_DAYS} days: {self.issue}"
        if self.put_given:
            yield f"write the given certificate to {CERTIFICATE}"
        if self.secret or self.mirror_secret:
            yield "write the secrets of the service"
        for name in self.set_passwords:
            yield f"set the password of user {name}"
        for name in self.remove_users:
            yield f"remove user {name}"
        if self.stop_mirror:
            yield f"stop {MIRROR_SERVICE}"
        yield from self.files.steps
        yield from self.renewal.steps
        if self.leave_read_only:
            yield "leave the read-only mode of an interrupted garbage collection"
        for service, why in self.restart:
            yield f"restart {service}: {why}"


def plan_registry(observed: Observed, wanted: Wanted) -> RegistryPlan:
    """The plan; raises conflict where somebody else's registry runs on the host."""
    if observed.foreign:
        raise SwarmError(
            "conflict",
            f"Could not set up the registry: {DEBIAN_SERVICE} runs on this host, and may be somebody's registry. Stop and disable it,"
            " or choose another host for the group swarm_registry.",
        )
    authority, issue = _authority(observed), ""
    if wanted.own_ca:
        issue = _why_issue(observed, wanted, authority)
    else:
        authority = ""
    put_given = not wanted.own_ca and not observed.held.given
    names = [user.name for user in wanted.users]
    stop_mirror = wanted.mirror is None and MIRROR_SERVICE in (observed.running | observed.enabled)
    secret = not observed.secret
    mirror_secret = wanted.mirror is not None and not observed.mirror_secret
    causes = {
        **{_USED_BY[path]: "its files change" for path in observed.files.write if path in _USED_BY},
        **({SERVICE: "its secret is new"} if secret else {}),
        **({MIRROR_SERVICE: "its login changes"} if mirror_secret else {}),
    }
    restart = []
    for service in wanted.services:
        why = causes.get(service, "")
        if observed.restart_due:
            why = "an earlier run was interrupted"
        if issue or put_given:
            why = "its certificate changes"
        if service in observed.silent:
            why = "it does not answer"
        if service not in observed.enabled:
            why = "it would not start at boot"
        if service not in observed.running:
            why = "it does not run"
        if why:
            restart.append((service, why))
    return RegistryPlan(
        mask=not observed.masked,
        install=observed.missing,
        folders=observed.folders,
        authority=authority,
        issue=issue,
        put_given=put_given,
        secret=secret,
        mirror_secret=mirror_secret,
        set_passwords=tuple(name for name in names if not observed.passwords.get(name)),
        remove_users=tuple(sorted(observed.passwords.keys() - set(names))),
        stop_mirror=stop_mirror,
        files=observed.files,
        renewal=observed.renewal,
        leave_read_only=observed.left_read_only,
        restart=tuple(restart),
    )


def _authority(observed: Observed) -> str:
    """create, renew or nothing."""
    if not observed.held.ca_key:
        return "create"
    if (
        observed.held.ca is None
        or observed.held.ca.key != observed.held.ca_key
        or observed.held.ca.due(observed.now)
    ):
        return "renew"
    return ""


def _why_issue(observed: Observed, wanted: Wanted, authority: str) -> str:
    certificate = observed.held.certificate
    if certificate is None or not observed.held.key:
        return "there is none"
    if authority == "create":
        return "its authority is new"
    if certificate.key != observed.held.key:
        return "its key does not fit"
    if certificate.names != {wanted.name}:
        return (
            f"it is for {', '.join(sorted(certificate.names)) or 'no name'}, not for {wanted.name}"
        )
    if certificate.due(observed.now):
        return "its time is almost over"
    # A renewed authority has the same key. Whether it has issued this certificate is known afterwards.
    if not observed.held.issued and not authority:
        return "it is not from the authority of this host"
    return ""
