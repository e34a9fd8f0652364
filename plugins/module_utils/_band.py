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


def within_band(spec: dict[str, Any], live: dict[str, Any] | None) -> dict[str, Any]:
    """The spec of a service as it is to be written, given the one that the swarm has."""
    text = (spec.get("Labels") or {}).get(BAND)
    if text is None:
        return spec
    name, match = spec.get("Name"), _FORM.fullmatch(str(text))
    low, high = (int(end) for end in match.groups()) if match else (1, 0)
    if low > high:
        raise SwarmError(
            "bad_band",
            f"Could not plan service {name}: its label {BAND} is {text!r}; write the least and the most replicas, such as"
            ' "2-10".',
        )
    mode = mode_of(spec.get("Mode") or {})
    if mode["Mode"] != "replicated":
        raise SwarmError(
            "bad_band",
            f"Could not plan service {name}: it has the label {BAND}, but its mode is {mode['Mode']}; only replicated"
            " services have a number of replicas. Take the label out.",
        )
    now = mode_of((live or spec).get("Mode") or {}).get("Replicas", mode["Replicas"])
    kept = min(max(now, low), high)
    if kept == mode["Replicas"]:
        return spec
    return {**spec, "Mode": {"Replicated": {"Replicas": kept}}}
