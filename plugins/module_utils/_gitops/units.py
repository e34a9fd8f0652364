# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a manager has for GitOps: the code, its settings, the keys, the service of systemd and the timer. Pure.

The settings have no secret: each key is in a file of its own, and the settings have its path.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .._git.keys import key_files, key_text
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

CODE = f"{CODE_DIR}/gitops.pyz"
CONFIG = f"{CONFIG_DIR}/gitops.json"
KEYS = f"{CONFIG_DIR}/gitops.keys"
# Where the code unpacks itself.
UNPACKED = "/var/lib/flotilla.swarm/gitops-code"
TIMER = "flotilla-swarm-gitops.timer"
SERVICE = "flotilla-swarm-gitops.service"
# The keys of a repository that are files for git and ssh.
KEYS_OF_REPOSITORY = (
    *("deploy_key", "known_hosts", "allowed_signers"),
    *("password", "ca", "signing_key"),
)
# The other secrets: the passwords of vaults, the identity of age, the receivers of notifications.
KEYS_OF_ALL = ("vault_passwords", "age_key", "notify")
# Seconds: the longest run, in which several applications can be deployed, and the time to end.
_LONGEST, _TO_STOP = 10800, 30


def service_text(python: str) -> str:
    """The service that runs the code. It writes into its own folders alone; everything else goes through the engine."""
    return f"""\
# Written by flotilla.swarm.
[Unit]
Description=GitOps of the swarm (flotilla.swarm)
After=docker.service network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart={quoted(python)} -I {CODE}
Environment=HOME=/root
UMask=0077
SyslogIdentifier=flotilla-swarm-gitops
# What the code says is of interest, and that systemd starts it every some seconds is not.
SyslogLevel=notice
LogLevelMax=notice
RuntimeMaxSec={_LONGEST}
TimeoutStopSec={_TO_STOP}
{CONFINED}"""


def settings_and_keys(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The settings with the paths of keys instead of the keys, and the keys by their paths."""
    repositories, keys = key_files(given.get("repositories"), KEYS_OF_REPOSITORY, KEYS)
    settings = {name: value for name, value in given.items() if name not in KEYS_OF_ALL}
    settings["repositories"] = repositories
    texts = dict(notify_files(given.get("notify") or {}, KEYS))
    if given.get("vault_passwords"):
        texts[f"{KEYS}/vault_passwords"] = json.dumps(given["vault_passwords"])
    if given.get("age_key"):
        texts[f"{KEYS}/age_key"] = given["age_key"]
    keys.update({path: key_text(text) for path, text in texts.items()})
    settings.update({name: f"{KEYS}/{name}" for name in KEYS_OF_ALL if f"{KEYS}/{name}" in keys})
    return settings, keys


def wanted_files(
    code: bytes,
    settings: Mapping[str, Any],
    keys: Mapping[str, bytes],
    present: Iterable[str],
    interval: int,
    python: str,
) -> dict[str, HostFile]:
    """The files by path. `present` has the paths of keys that the host has."""
    timer = interval_timer("Interval of GitOps", interval).encode() if interval else None
    files = {
        CODE: HostFile(code, 0o600),
        CONFIG: HostFile(config_text(settings).encode(), 0o600),
        f"{UNIT_DIR}/{SERVICE}": HostFile(service_text(python).encode()),
        f"{UNIT_DIR}/{TIMER}": HostFile(timer),
    }
    return with_keys(files, keys, present)
