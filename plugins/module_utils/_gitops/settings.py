# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The settings of GitOps in the inventory: repositories, what their applications may use, and limits. Pure.

A repository cannot change any of this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.fields import Fields
from .._git.repository import Access, bad_access
from .app import NAME_FORM, App, with_override
from .windows import Window, parse_windows

_PORTS = r"[0-9]{1,5}(-[0-9]{1,5})?"


@dataclass(frozen=True)
class May:
    """What applications may use. None is everything but what is dangerous, see `permissions`; a list is only what it has.

    Entries of names can have * for any characters.
    """

    stacks: tuple[str, ...] | None = None
    registries: tuple[str, ...] | None = None  # registry, or the beginning of the path in one
    bind_mounts: tuple[str, ...] | None = None  # folders, with everything in them
    volumes: tuple[str, ...] | None = None  # the names of volumes beyond those of the stack
    networks: tuple[str, ...] | None = None  # so for networks, secrets and configs
    secrets: tuple[str, ...] | None = None
    configs: tuple[str, ...] | None = None
    published_ports: tuple[tuple[int, int], ...] | None = None
    capabilities: tuple[str, ...] = ()
    privileged: bool = False


@dataclass(frozen=True)
class RepositorySettings:
    """A repository. Its keys are in files, which the role writes; see `files_of`."""

    name: str
    url: str
    branch: str = "main"
    path: str = ""  # the folder with the folders of applications
    signed: bool = False  # only commits that an allowed signer has signed
    may: May = May()


@dataclass(frozen=True)
class Settings:
    """What the inventory says."""

    repositories: tuple[RepositorySettings, ...] = ()
    apps: Mapping[str, Any] = field(
        default_factory=dict
    )  # overrides by the name of the application
    windows: tuple[Window, ...] = ()  # for all applications
    max_removals: int = 1

    def may(self, app: App) -> May:
        """What an application may use: what its repository may, unless the inventory says it for the application."""
        own = (self.apps.get(app.name) or {}).get("may")
        for repository in self.repositories:
            if repository.name == app.repository:
                return repository.may if own is None else parse_may(own, "may", [])
        return May()


def parse_settings(document: Mapping[str, Any]) -> Settings:
    """The settings, from the variables of the role without their prefix: repositories, apps, windows, max_removals.

    Raises bad_option with everything that is wrong. Other keys are those of others.
    """
    problems: list[str] = []
    top = Fields(document, "", problems)
    repositories = []
    for where, entry in top.entries("repositories"):
        one = Fields(entry, where, problems)
        signed = bool(one.given("allowed_signers"))
        url, branch = str(one.given("url") or ""), one.text("branch", "main")
        access = Access(url, token_file=str(one.given("password") or ""))
        if url and (problem := _bad_address(access, branch, signed)):
            one.wrong("url", f"or branch cannot be used: {problem}")
        repositories.append(
            RepositorySettings(
                name=one.text("name", "", NAME_FORM, "shop"),
                url=url,
                branch=branch,
                path=one.text("path", "", r"(?!/|-|\.\.)[^\\]*", "apps").strip("/"),
                signed=signed,
                may=parse_may(one.given("may"), one.name("may"), problems),
            )
        )
        for key in ("name", "url"):
            if one.given(key) is None:
                one.wrong(key, "is missing; set it")
        for key in (
            "deploy_key",
            "known_hosts",
            "allowed_signers",
            "username",
            "password",
            "ca",
            "signing_key",
        ):
            one.given(key)
        one.finish()
    names = [repository.name for repository in repositories if repository.name]
    for name in sorted({name for name in names if names.count(name) > 1}):
        top.wrong(
            "repositories", f"has {shown(name)} twice; give each repository a name of its own"
        )
    apps = top.given("apps") or {}
    if not isinstance(apps, Mapping):
        top.wrong(
            "apps", f"is {shown(apps)}, it must be a dictionary by the name of the application"
        )
        apps = {}
    settings = Settings(
        repositories=tuple(repositories),
        apps=dict(apps),
        windows=parse_windows(top.entries("windows"), problems),
        max_removals=top.number("max_removals", 1, 0, 1000),
    )
    for name, override in settings.apps.items():
        if not re.fullmatch(NAME_FORM, str(name)):
            top.wrong("apps", f"has the name {shown(str(name))}, it must be one such as shop")
        own = override.get("may") if isinstance(override, Mapping) else None
        parse_may(own, f"apps.{name}.may", problems)
        try:
            with_override(App(str(name), ""), override)
        except SwarmError as error:
            problems.append(error.message.partition(": ")[2].rstrip("."))
    if problems:
        raise SwarmError(
            "bad_option",
            f"Could not read the settings of GitOps: {'; '.join(f'swarm_gitops_{problem}' for problem in problems[:20])}."
            " Correct them and run again.",
        )
    return settings


def _bad_address(access: Access, branch: str, signed: bool) -> str:
    """What is wrong with an address, without what may be a password in it; empty if nothing is."""
    problem = bad_access(access, [branch])
    if not problem and access.url.startswith(("http://", "git://")) and not signed:
        problem = "nothing protects it on its way; use https or ssh, or set allowed_signers"
    return problem


def parse_may(document: Any, where: str, problems: list[str]) -> May:
    """What applications may use."""
    one = Fields(document, where, problems)

    def listed(key: str, form: str, example: str) -> tuple[str, ...] | None:
        return one.texts(key, (), form, example) if one.given(key) is not None else None

    name = r"[A-Za-z0-9*][A-Za-z0-9_.*-]*"
    ports = listed("published_ports", _PORTS, "'8000-8999', in quotes")
    found = May(
        stacks=listed("stacks", name, "shop*"),
        registries=listed("registries", r"[A-Za-z0-9][A-Za-z0-9._:/-]*", "registry.example/shop"),
        bind_mounts=listed("bind_mounts", r"/[^\\]*", "/srv/shop"),
        volumes=listed("volumes", name, "shared"),
        networks=listed("networks", name, "edge"),
        secrets=listed("secrets", name, "shop_*"),
        configs=listed("configs", name, "shop_*"),
        published_ports=None if ports is None else tuple(map(_port_range, ports)),
        capabilities=one.texts("capabilities", (), r"[A-Za-z_]+", "NET_ADMIN"),
        privileged=one.flag("privileged", False),
    )
    one.finish()
    return found


def _port_range(text: str) -> tuple[int, int]:
    low, _dash, high = text.partition("-")
    return int(low), int(high or low)
