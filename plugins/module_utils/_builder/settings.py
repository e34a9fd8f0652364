# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The settings of a builder, and what it has on its host: the code, the keys, the service of systemd and the timer. Pure.

The settings have no secret. Each key is in a file of its own, which only root can read, and the settings have its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.fields import Fields
from .._git.keys import key_files, key_text
from .._git.repository import Access, bad_access
from .._host.units import (
    CODE_DIR,
    CONFIG_DIR,
    CONFINED,
    UNIT_DIR,
    HostFile,
    config_text,
    interval_timer,
    quoted,
    with_keys,
)
from .._notify.files import notify_files
from .sources import NAME, is_branch, parse_sources

CODE = f"{CODE_DIR}/builder.pyz"
CONFIG = f"{CONFIG_DIR}/builder.json"
KEYS = f"{CONFIG_DIR}/builder.keys"
STATE_DIR = "/var/lib/flotilla.swarm/builder"
# The code, as its first start has unpacked it.
UNPACKED = f"{STATE_DIR}/code"
# Held by the run at work; its time is that of the last look.
LOCK = "/run/flotilla.swarm/builder.lock"
TIMER = "flotilla-swarm-builder.timer"
SERVICE = "flotilla-swarm-builder.service"
# The keys of a repository that are files for git and ssh.
SECRETS_OF_REPOSITORY = ("deploy_key", "password")
KEYS_OF_REPOSITORY = (*SECRETS_OF_REPOSITORY, "known_hosts", "ca")
# Seconds: the longest run, in which several images can be built, and the time to end.
_LONGEST, _TO_STOP = 6 * 3600, 30
# The exit code of a run that systemd has stopped.
STOPPED = 143
_BUILDER = r"[^\s\x00-\x1f]+"


@dataclass(frozen=True)
class Settings:
    """What a builder does. It keeps the logs of so many builds."""

    name: str
    builders: tuple[str, ...]
    repositories: Mapping[str, Access]
    sources: Any = None  # of the inventory, as they are written
    sources_repository: str = ""
    sources_branch: str = "main"
    sources_path: str = "sources.yml"
    takeover: int = 600
    keep_logs: int = 50
    notify: str = ""  # the file with the receivers of notifications


def parse_settings(document: Any) -> Settings:
    """The settings of a builder; raises bad_option with all that is wrong."""
    problems: list[str] = []
    read = Fields(document, "", problems)
    settings = Settings(
        name=read.text("name", form=_BUILDER),
        builders=read.texts("builders", form=_BUILDER),
        repositories=_repositories(read, problems),
        sources=read.given("sources"),
        sources_repository=read.text("sources_repository", form=f"({NAME})?", example="infra"),
        sources_branch=read.text("sources_branch", "main"),
        sources_path=read.text("sources_path", "sources.yml", longest=1000),
        takeover=read.number("takeover", 600, 1, 86400),
        keep_logs=read.number("keep_logs", 50, 1, 10000),
        notify=read.text("notify", longest=1000),
    )
    read.finish()
    known = settings.repositories
    if settings.sources_repository and settings.sources_repository not in known:
        read.wrong(
            "sources_repository",
            f"is {shown(settings.sources_repository)}, which is not one of repositories; add it there",
        )
    if not is_branch(settings.sources_branch):
        read.wrong(
            "sources_branch",
            f"is {shown(settings.sources_branch)}, which is not the name of a branch",
        )
    if settings.sources:
        _found, wrong = parse_sources(settings.sources, known)
        problems += [f"{name}: {why}" for name, why in wrong.items()]
    if problems:
        raise SwarmError(
            "bad_option",
            f"Could not set up the builder: {'; '.join(problems)}. Correct it and run again.",
        )
    return settings


def _repositories(read: Fields, problems: list[str]) -> dict[str, Access]:
    found: dict[str, Access] = {}
    for label, entry in read.entries("repositories"):
        each = Fields(entry, label, problems)
        name = each.text("name", form=NAME, example="shop", longest=40)
        access = Access(
            url=each.text("url", longest=1000),
            key=each.text("deploy_key", longest=1000),
            known_hosts=each.text("known_hosts", longest=1000),
            token_file=each.text("password", longest=1000),
            user=each.text("username", "git", form=r"[^\s:]+", example="git"),
            ca_file=each.text("ca", longest=1000),
        )
        each.finish()
        for key, value in (("name", name), ("url", access.url)):
            if not value and each.given(key) is None:
                each.wrong(key, "is missing, set it")
        wrong = bad_access(access) if access.url else ""
        if wrong:
            problems.append(f"{label}: {wrong}")
        if name in found:
            each.wrong(
                "name",
                f"is {shown(name)}, and another repository has this name; rename one of them",
            )
        found[name] = access
    return found


def settings_and_keys(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The settings with the paths of keys instead of the keys, and the keys by their paths."""
    repositories, keys = key_files(given.get("repositories"), KEYS_OF_REPOSITORY, KEYS)
    settings = {**given, "repositories": repositories, "notify": ""}
    # What is no list of dictionaries is refused with the other problems.
    if not isinstance(given.get("repositories"), list):
        settings["repositories"] = given.get("repositories")
    if given.get("notify") and isinstance(given["notify"], Mapping):
        settings["notify"] = f"{KEYS}/notify"
        texts = notify_files({"memory": f"{STATE_DIR}/notify.json", **given["notify"]}, KEYS)
        keys.update({path: key_text(text) for path, text in texts.items()})
    return settings, keys


def service_text(python: str) -> str:
    """The service that runs the code. What builds runs in the engine, and not in it."""
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description=Builds of images from source (flotilla.swarm)
After=docker.service network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart={quoted(python)} -I {CODE}
Environment=HOME=/root
UMask=0077
# After a kill, the next start removes what is left behind.
Restart=on-abnormal
RestartSec=1
# What the code says is of interest, and that systemd starts it every some seconds is not.
SyslogLevel=notice
LogLevelMax=notice
SuccessExitStatus={STOPPED}
# The run ends its commands itself, so that their end is not taken for that of a build.
KillMode=mixed
RuntimeMaxSec={_LONGEST}
TimeoutStopSec={_TO_STOP}
{CONFINED}"""


def wanted_files(
    code: bytes,
    settings: Mapping[str, Any],
    keys: Mapping[str, bytes],
    present: Iterable[str],
    interval: int,
    python: str,
) -> dict[str, HostFile]:
    """The files by path. `present` has the paths of keys that the host has. Without an interval, there is no timer."""
    timer = interval_timer("Interval of builds", interval).encode() if interval else None
    files = {
        CODE: HostFile(code, 0o600),
        CONFIG: HostFile(config_text(settings).encode(), 0o600),
        f"{UNIT_DIR}/{SERVICE}": HostFile(service_text(python).encode()),
        f"{UNIT_DIR}/{TIMER}": HostFile(timer),
    }
    return with_keys(files, keys, present)
