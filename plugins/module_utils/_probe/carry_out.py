# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The module swarm_probe: one call of it, given its options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.words import count_of
from .._model.documents import dig
from .evaluate import HostFacts, Reach, evaluate
from .observations import Seen, unpacked
from .report import result_of
from .request import HOST, LOCK, PREFIX, PROGRAM, Place, Wanted
from .run import Probe


def carry_out(
    client: Any,
    params: Mapping[str, Any],
    collected: str,
    check_mode: bool,
    result: dict[str, Any],
) -> None:
    """Probe, or remove what a probe has created, and fill the result. Raises busy, not_found, not_removed, bad_option and the failures
    of the engine."""
    state, nodes = params["state"], params["nodes"]
    wanted = wanted_of(params)
    earlier = unpacked(collected)
    probe = Probe(client, earlier.run if earlier else params["run"])
    seen = earlier
    if state == "absent":
        leftovers = sum(len(found) for found in probe.leftovers().values())
        result["changed"] = leftovers > 0
        if not check_mode:
            probe.remove(params["keep_lock"])
    elif state == "locked":
        by = _own_name(client, probe.observe(wanted).places)
        result["changed"] = True
        if not check_mode:
            probe.begin(by)
    else:
        seen = probe.observe(wanted)
        by = _own_name(client, seen.places)
        result.update(plan=plan_of(seen, by, probe.leftovers()), changed=state == "started")
        if not check_mode:
            seen = probe.start(wanted, by)
            if state == "probed":
                probe.remove()
    if seen is None:
        return
    result["networks"] = {overlay.name: overlay.id for overlay in seen.overlays if overlay.id}
    result["not_probed"] = {place.name: place.reason for place in seen.places if place.reason}
    if check_mode:
        return
    if state == "started":
        result["collected"] = seen.packed()
        result["seconds"] = seen.seconds
    else:
        reach = Reach(seen)
        result.update(result_of(reach, evaluate(reach, host_facts(nodes))))


def wanted_of(params: Mapping[str, Any]) -> Wanted:
    """What the options ask for. Raises bad_option."""
    if not re.fullmatch("[0-9a-zA-Z]{0,8}", params["run"]):
        raise SwarmError(
            "bad_option",
            f"Could not start: run is {shown(params['run'])}, it must be up to 8 letters and digits. Correct it and run again.",
        )
    if not params["overlays"] and not params["networks"] and params["mesh"]:
        raise SwarmError(
            "bad_option",
            "Could not start: overlays and networks are empty, so there is no virtual IP to try; set mesh to false. Correct it and run"
            " again.",
        )
    return Wanted(
        overlays=tuple(params["overlays"]),
        networks=tuple(dict.fromkeys(params["networks"])),
        mesh=params["mesh"],
        port=params["port"],
        window=params["window"],
        limit=params["limit"],
        images={
            str(each.get("node_id")): str(each.get("reason") or "")
            for each in params["nodes"]
            if each.get("node_id")
        },
    )


def host_facts(nodes: Sequence[Mapping[str, Any]]) -> dict[str, HostFacts]:
    """What swarm_probe_node has returned, by NodeID. What is missing is not known."""
    return {
        str(each.get("node_id")): HostFacts(
            features=each.get("features") or {},
            routes=each.get("routes") or (),
            entries=each.get("entries") or {},
            interface=each.get("interface") or {},
        )
        for each in nodes
        if each.get("node_id")
    }


def plan_of(seen: Seen, by: str, leftovers: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """What a run creates, as lines."""
    probed = [place for place in seen.places if not place.reason]
    lines = [f"PLAN  probe {count_of(len(probed), 'node')}, acting on {by}"]
    lines += [
        f"  - remove   {kind} {name}  left over from an interrupted run, or of one that works now"
        for kind, found in leftovers.items()
        for _id, name in found
    ]
    lines.append(f"  + create   config {LOCK}  so that one run works at a time")
    if probed:
        lines += [f"  + create   network {each.name}" for each in seen.overlays if each.own]
        lines.append(f"  + create   config {PROGRAM}")
        wheres = [*(each.service for each in seen.overlays), f"{PREFIX}{HOST}"]
        lines += [
            f"  + create   service {name}  {count_of(len(probed), 'task')}" for name in wheres
        ]
    lines += [f"  = skip     {each.name}  {each.reason}" for each in seen.places if each.reason]
    lines.append("  all of this is removed at the end")
    return lines


def _own_name(client: Any, places: Sequence[Place]) -> str:
    own: str | None = dig(client.info(), "Swarm", "NodeID")
    return next((place.name for place in places if place.id == own), own or "this manager")
