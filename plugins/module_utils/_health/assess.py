# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The verdict that a module returns: from a snapshot, and from what its host and the caller know of the hosts."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

from .._host.files import DATA_ROOT
from .check import HostContext, Thresholds
from .checks import health_result
from .probed import ProbeResult
from .snapshot import SwarmSnapshot

# The options that modules with a verdict share.
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
    page=dict(
        type="dict",
        options=dict(
            path=dict(type="str", required=True),
            history=dict(type="str"),
            language=dict(type="str", choices=["en", "ko"], default="en"),
            plan=dict(type="dict", default={}),
        ),
    ),
)


def own_certificate(root: str | None) -> str:
    """The PEM of this node's certificate, given the engine's data-root; empty if it cannot be read."""
    try:
        with open(
            os.path.join(root or DATA_ROOT, "swarm", "certificates", "swarm-node.crt"),
            encoding="ascii",
        ) as file:
            return file.read()
    except (OSError, ValueError):
        return ""


def host_context(
    params: dict[str, Any], snapshot: SwarmSnapshot, host: dict[str, Any] | None = None
) -> HostContext:
    """What the caller knows of the hosts, with `host`, the current facts of the host that the module runs on."""
    observed = params["observed"]
    if not params["docker_host"].startswith("unix://"):
        return HostContext(observed, "", params["unreachable"])
    certificate = own_certificate(snapshot.root)
    if host is None:
        return HostContext(observed, certificate, params["unreachable"])
    others = {
        name: seen
        for name, seen in observed.items()
        if ((seen or {}).get("host") or {}).get("hostname") != host["hostname"]
    }
    own = next((name for name in observed if name not in others), host["hostname"])
    clock = (observed.get(own) or {}).get("clock")
    hosts = {**others, own: {"host": host, "clock": clock}}
    return HostContext(hosts, certificate, params["unreachable"])


def assess(
    params: dict[str, Any],
    snapshot: SwarmSnapshot,
    host: dict[str, Any] | None = None,
    network: ProbeResult | None = None,
) -> dict[str, Any]:
    """The verdict on a snapshot as `health_result` has it; `params` has HEALTH_OPTIONS, the connection and perhaps `checks`."""
    return health_result(
        snapshot,
        replace(host_context(params, snapshot, host), network=network),
        Thresholds(**params["thresholds"]),
        params.get("checks") or (),
        picture=params["page"] is not None,
    )
