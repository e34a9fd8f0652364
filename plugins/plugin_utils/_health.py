# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the controller gives to a module that makes a verdict."""

from __future__ import annotations

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._health import Around, finish, judged
from ansible_collections.flotilla.swarm.plugins.module_utils._model import dig
from ansible_collections.flotilla.swarm.plugins.module_utils._picture import Picture


def with_what_is_needed(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the few things of `observed` that a verdict takes from what a host has said of itself."""
    observed = args.get("observed")
    if not isinstance(observed, dict):
        return dict(args)
    return {**args, "observed": {name: _needed(host) for name, host in observed.items()}}


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
    """The verdict where the manager that was to give it cannot be reached."""
    accept = args.get("accept") or ["healthy", "degraded"]
    accept = accept.split(",") if isinstance(accept, str) else accept
    message = f"Could not look at the swarm: the host cannot be reached ({reason.strip()})."
    picture = Picture(trouble=SwarmError("host_unreachable", message))
    around = Around(args.get("observed") or {}, "", args.get("unreachable") or ())
    seen = judged(picture, around, only=args.get("checks") or ())
    return finish(seen, accept, args.get("format") or "brief", 1)
