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

from .._host.units import (
    CODE_DIR,
    CONFIG_DIR,
    UNIT_DIR,
    HostFile,
    config_text,
    interval_timer,
    quoted,
)

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
MemoryMax=1G
TasksMax=512
NoNewPrivileges=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
StateDirectory=flotilla.swarm
RuntimeDirectory=flotilla.swarm
RuntimeDirectoryPreserve=yes
"""


def settings_and_keys(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The settings with the paths of keys instead of the keys, and the keys by their paths."""
    keys: dict[str, bytes] = {}
    settings = {name: value for name, value in given.items() if name not in KEYS_OF_ALL}
    repositories = []
    for entry in given.get("repositories") or []:
        plain = dict(entry) if isinstance(entry, Mapping) else entry
        for name in KEYS_OF_REPOSITORY if isinstance(plain, dict) else ():
            if plain.get(name):
                path = f"{KEYS}/{plain.get('name')}/{name}"
                keys[path] = _key_text(str(plain[name]))
                plain[name] = path
        repositories.append(plain)
    settings["repositories"] = repositories
    for name in KEYS_OF_ALL:
        value = given.get(name)
        if name == "notify" and isinstance(value, Mapping):
            value = _notify_files(value, keys)
        if value:
            path = f"{KEYS}/{name}"
            keys[path] = (
                _key_text(value) if isinstance(value, str) else json.dumps(value).encode() + b"\n"
            )
            settings[name] = path
    return settings, keys


def _notify_files(notify: Mapping[str, Any], keys: dict[str, bytes]) -> dict[str, Any]:
    """The receivers, with the paths of files instead of what is in them."""
    found = dict(notify)
    for name in ("apprise", "token", "ca"):
        value = found.pop(name, None)
        if value:
            path = f"{KEYS}/notify.{name}"
            text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
            keys[path] = _key_text(text)
            found[f"{name}_file"] = path
    return found


def _key_text(text: str) -> bytes:
    """A key as a file: ssh refuses one without a newline at its end, and with those of Windows."""
    return text.replace("\r\n", "\n").rstrip("\n").encode() + b"\n"


def wanted_files(
    code: bytes,
    settings: Mapping[str, Any],
    keys: Mapping[str, bytes],
    present: Iterable[str],
    interval: int,
    python: str,
) -> dict[str, HostFile]:
    """The files by path. `present` has the paths of keys that the host has; those that nobody uses any more are removed.

    The keys come first, so that a run that is killed leaves no settings without them.
    """
    timer = interval_timer("Interval of GitOps", interval).encode() if interval else None
    gone = {path: HostFile(None) for path in sorted(present) if path not in keys}
    return {
        **{path: HostFile(data, 0o600) for path, data in sorted(keys.items())},
        CODE: HostFile(code, 0o600),
        CONFIG: HostFile(config_text(settings).encode(), 0o600),
        f"{UNIT_DIR}/{SERVICE}": HostFile(service_text(python).encode()),
        f"{UNIT_DIR}/{TIMER}": HostFile(timer),
        **gone,
    }
