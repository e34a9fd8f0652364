# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The band of replicas of a service that operators or autoscalers scale between deploys. No I/O.

With the label `flotilla.swarm.replicas: "2-10"`, the Compose file does not set the number of replicas: a deploy keeps the
number that the service has if it is within the band, and else takes the nearest end of the band.
"""

from __future__ import annotations

import re
from typing import Any

from .._common.errors import SwarmError, shown
from .._model.labels import REPLICAS_LABEL
from .._model.services import REPLICATED, mode_of

_FORM = re.compile(r"\s*(\d{1,6})\s*-\s*(\d{1,6})\s*", re.ASCII)


def check_band(spec: dict[str, Any]) -> None:
    """Raise bad_band for a label that is not a band, or that is on a service without a number of replicas."""
    text = (spec.get("Labels") or {}).get(REPLICAS_LABEL)
    if text is None or _band(spec) is not None:
        return
    mode = mode_of(spec)["Mode"]
    why = f'is {shown(text)}; set it to the least and the most replicas, such as "2-10"'
    if mode != REPLICATED:
        why = f"is for replicated services, and its mode is {mode}; remove the label"
    raise SwarmError(
        "bad_band", f"Could not plan service {spec.get('Name')}: its label {REPLICAS_LABEL} {why}."
    )


def within_band(spec: dict[str, Any], live: dict[str, Any] | None) -> dict[str, Any]:
    """The spec of a service as a deploy writes it, given the one that the service has now."""
    band = _band(spec)
    if band is None:
        return spec
    wanted = mode_of(spec)["Replicas"]
    now = mode_of(live or spec).get("Replicas", wanted)
    kept = min(max(now, band[0]), band[1])
    return spec if kept == wanted else {**spec, "Mode": {"Replicated": {"Replicas": kept}}}


def _band(spec: dict[str, Any]) -> tuple[int, int] | None:
    match = _FORM.fullmatch(str((spec.get("Labels") or {}).get(REPLICAS_LABEL) or ""))
    if match is None or mode_of(spec)["Mode"] != REPLICATED:
        return None
    low, high = (int(end) for end in match.groups())
    return (low, high) if low <= high else None
