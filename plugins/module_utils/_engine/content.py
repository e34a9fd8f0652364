# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The content of the files that configure an engine and its repository. Pure."""

from __future__ import annotations

import json
from typing import Any

from .._host import files

PROXY_DROPIN = files.DROPIN_DIR + "/flotilla-proxy.conf"
_MANAGED_NOTE = (
    "# Managed by the role flotilla.swarm.docker_engine: changes made here are overwritten."
)
_ROTATING_DRIVERS = (None, "json-file", "local")


def merge_daemon_config(existing: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """daemon.json as it must be: the existing keys, then those of the role's variables; null removes a key."""
    given = wanted["daemon"]
    config = dict(existing)
    if wanted["log_rotation"] and "log-opts" not in given:
        driver = given["log-driver"] if "log-driver" in given else existing.get("log-driver")
        if driver in _ROTATING_DRIVERS:
            options = existing.get("log-opts")
            config["log-opts"] = {
                **(options if isinstance(options, dict) else {}),
                "max-size": str(wanted["log_max_size"]),
                "max-file": str(wanted["log_max_files"]),
            }
    if wanted["address_pools"]:
        config["default-address-pools"] = [
            {"base": pool["base"], "size": int(pool["size"])} for pool in wanted["address_pools"]
        ]
    if wanted["registry_mirrors"]:
        config["registry-mirrors"] = list(wanted["registry_mirrors"])
    if wanted["registry_insecure"]:
        config["insecure-registries"] = list(wanted["registry_insecure"])
    config.update(given)
    return {key: value for key, value in config.items() if value is not None}


def render(config: dict[str, Any]) -> str:
    """daemon.json as text, the same for the same settings."""
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def proxy_dropin(wanted: dict[str, Any]) -> str | None:
    """The systemd drop-in with the engine's proxies, or None if there are none."""
    variables = {
        "HTTP_PROXY": wanted["http_proxy"],
        "HTTPS_PROXY": wanted["https_proxy"],
        "NO_PROXY": ",".join(wanted["no_proxy"])
        if wanted["http_proxy"] or wanted["https_proxy"]
        else "",
    }
    lines = []
    for name, value in variables.items():
        if value:
            # systemd expands % in unit files, and unquotes values.
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
            lines.append(f'Environment="{name}={escaped}"')
    return "\n".join([_MANAGED_NOTE, "[Service]", *lines, ""]) if lines else None


def apt_source(wanted: dict[str, Any], system: dict[str, Any]) -> str:
    """The deb822 source of Docker's repository, or of a mirror; `system` is `os` of the facts."""
    suite = wanted["repository_suite"] or system.get("codename") or ""
    lines = [
        _MANAGED_NOTE,
        "Types: deb",
        f"URIs: {wanted['repository_url'].rstrip('/')}/{system.get('distribution')}",
        f"Suites: {suite}",
        f"Components: {wanted['repository_channel']}",
        f"Signed-By: {files.APT_KEYRING}",
        "",
    ]
    return "\n".join(lines)


def rpm_source(wanted: dict[str, Any], system: dict[str, Any]) -> str:
    """The repository file of Docker's repository for dnf and zypper; `system` is `os` of the facts."""
    base = f"{wanted['repository_url'].rstrip('/')}/{_rpm_tree(system)}"
    key = wanted["repository_key_url"] or f"{base}/gpg"
    lines = [
        _MANAGED_NOTE,
        "[docker-ce]",
        "name=Docker CE",
        f"baseurl={base}/$releasever/$basearch/{wanted['repository_channel']}",
        "enabled=1",
        "gpgcheck=1",
        f"gpgkey={key}",
        "",
    ]
    return "\n".join(lines)


def _rpm_tree(system: dict[str, Any]) -> str:
    distribution = system.get("distribution") or ""
    if distribution in ("fedora", "rhel"):
        return distribution
    return "sles" if system.get("family") == "Suse" else "centos"
