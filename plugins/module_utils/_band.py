# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""How many replicas a service may have, where people or programs scale it between deploys. No I/O.

`flotilla.swarm.replicas: "2-10"` among the labels of a service says that its number is not the Compose file's
to set: the number that the swarm has stays if it is within the band, and the nearest end of the band is taken if not.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._verdict import mode_of

BAND = "flotilla.swarm.replicas"

_FORM = re.compile(r"\s*(\d{1,6})\s*-\s*(\d{1,6})\s*", re.ASCII)


def check_band(spec: dict[str, Any]) -> None:
    """Refuse a label that is no band, or is on a service that has no number of replicas."""
    text = (spec.get("Labels") or {}).get(BAND)
    if text is None or _band(spec) is not None:
        return
    mode = mode_of(spec.get("Mode") or {})["Mode"]
    why = f'is {text!r}; write the least and the most replicas, such as "2-10"'
    if mode != "replicated":
        why = f"is for replicated services, and its mode is {mode}; take the label out"
    raise SwarmError(
        "bad_band", f"Could not plan service {spec.get('Name')}: its label {BAND} {why}."
    )


def within_band(spec: dict[str, Any], live: dict[str, Any] | None) -> dict[str, Any]:
    """The spec of a service as it is to be written, given the one that the swarm has."""
    band = _band(spec)
    if band is None:
        return spec
    asked = mode_of(spec.get("Mode") or {})["Replicas"]
    now = mode_of((live or spec).get("Mode") or {}).get("Replicas", asked)
    kept = min(max(now, band[0]), band[1])
    return spec if kept == asked else {**spec, "Mode": {"Replicated": {"Replicas": kept}}}


def _band(spec: dict[str, Any]) -> tuple[int, int] | None:
    match = _FORM.fullmatch(str((spec.get("Labels") or {}).get(BAND) or ""))
    if match is None or mode_of(spec.get("Mode") or {})["Mode"] != "replicated":
        return None
    low, high = (int(end) for end in match.groups())
    return (low, high) if low <= high else None
