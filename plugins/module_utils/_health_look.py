# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The verdict that a module gives: what the engine tells, and what its host and the caller know beside that."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._health import (
    Around,
    Thresholds,
    judged,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import Picture

# What may be asked of a verdict.
HEALTH_OPTIONS: dict[str, Any] = dict(
    accept=dict(
        type="list",
        elements="str",
        choices=["healthy", "degraded", "unknown", "failed"],
        default=["healthy", "degraded"],
    ),
    thresholds=dict(
        type="dict",
        apply_defaults=True,
        options={
            each.name: dict(
                type="float" if isinstance(each.default, float) else "int",
                default=each.default,
            )
            for each in fields(Thresholds)
        },
    ),
    observed=dict(type="dict", default={}),
    unreachable=dict(type="list", elements="str", default=[]),
)


def own_certificate(root: str | None) -> str:
    try:
        with open(
            os.path.join(root or "/var/lib/docker", "swarm", "certificates", "swarm-node.crt"),
            encoding="ascii",
        ) as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def around(params: dict[str, Any], picture: Picture, host: dict[str, Any] | None = None) -> Around:
    """What the caller knows of the hosts, and what `host`, on which the module runs, says of itself now."""
    observed = params["observed"]
    if not params["docker_host"].startswith("unix://"):
        return Around(observed, "", params["unreachable"])
    certificate = own_certificate(picture.root)
    if host is None:
        return Around(observed, certificate, params["unreachable"])
    others = {
        name: seen
        for name, seen in observed.items()
        if ((seen or {}).get("host") or {}).get("hostname") != host["hostname"]
    }
    mine = next((name for name in observed if name not in others), host["hostname"])
    clock = (observed.get(mine) or {}).get("clock")
    hosts = {**others, mine: {"host": host, "clock": clock}}
    return Around(hosts, certificate, params["unreachable"])


def judge(
    params: dict[str, Any], picture: Picture, host: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The verdict on what was seen, of a module's parameters: HEALTH_OPTIONS, the connection, and perhaps `checks`."""
    limits = Thresholds(**params["thresholds"])
    return judged(picture, around(params, picture, host), limits, params.get("checks") or ())
