# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The controller's part of a health verdict."""

from __future__ import annotations

from typing import Any

from ..module_utils._common.errors import SwarmError
from ..module_utils._health.check import HostContext
from ..module_utils._health.checks import health_result
from ..module_utils._health.probed import needed_of, parse_probe
from ..module_utils._health.report import finish
from ..module_utils._health.snapshot import SwarmSnapshot
from ..module_utils._model.documents import dig


def with_what_is_needed(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with only those values of `observed` and `network` that a verdict needs."""
    needed = dict(args)
    if "network" in args:
        needed["network"] = needed_of(args["network"])
    observed = args.get("observed")
    if isinstance(observed, dict):
        needed["observed"] = {name: _needed(host) for name, host in observed.items()}
    return needed


def _needed(host: Any) -> dict[str, Any]:
    return {
        "clock": dig(host, "clock"),
        "swarm": {"state": dig(host, "swarm", "state")},
        "host": {
            "hostname": dig(host, "host", "hostname"),
            "disk": dig(host, "host", "disk"),
            "kernel_features": {"ip_vs": dig(host, "host", "kernel_features", "ip_vs")},
        },
    }


def unreachable(args: dict[str, Any], reason: str) -> dict[str, Any]:
    """The verdict if the acting manager cannot be reached."""
    try:
        network = parse_probe(args.get("network"))
    except SwarmError as error:
        return {"changed": False, "msg": error.message, "failure": error.as_failure()}
    accept = args.get("accept") or ["healthy", "degraded"]
    accept = accept.split(",") if isinstance(accept, str) else accept
    message = f"Could not look at the swarm: the host cannot be reached ({reason.strip()})."
    snapshot = SwarmSnapshot(trouble=SwarmError("host_unreachable", message))
    context = HostContext(
        args.get("observed") or {}, "", args.get("unreachable") or (), network=network
    )
    picture = "page" in args
    seen = health_result(snapshot, context, only=args.get("checks") or (), picture=picture)
    return finish(seen, accept, args.get("format") or "brief", 1)
