# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The module swarm_repair: one call of it on a manager, given its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .._common.errors import SwarmError
from .._model.documents import dig, parse_node
from .faults import KEY, Fault, Known, find_faults, known_of
from .plan import plan_repair, reasons_of, report


def empty_result() -> dict[str, Any]:
    """All keys of the result of swarm_repair, before anything is known."""
    return {
        "changed": False,
        "names": {},
        "faults": [],
        "plan": [],
        "hosts": {},
        "services": [],
        "engines": {},
        "networks": [],
        "needs": "",
        "summary": "",
    }


def carry_out(client: Any, params: Mapping[str, Any], result: dict[str, Any]) -> None:
    """Fill the result with what hosts are to be asked, or with what is wrong and the plan. Raises the failures of the engine."""
    known = known_of(
        [parse_node(each) for each in client.nodes()],
        client.get("/networks", "list the networks"),
        client.get("/services", "list the services"),
        client.get("/tasks", "list the tasks"),
    )
    result["names"] = known.names()
    nodes = params["nodes"]
    if not nodes:
        return
    try:
        faults = find_faults(known, nodes)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SwarmError(
            "bad_option",
            "Could not compare the nodes: nodes is not what swarm_repair_node returns. Pass it unchanged.",
        ) from error
    first = params["confirm"]
    if first is None and faults:
        result["faults"] = described(known, faults)
        return
    faults = confirmed(faults, first or [])
    plan = plan_repair(known, faults, params["up_to"], params["tried"])
    own = str(dig(client.info(), "Swarm", "NodeID"))
    touched = {known.networks.get(fault.network, "") for fault in faults}
    result.update(
        faults=described(known, faults),
        hosts=plan.hosts,
        services=plan.services,
        engines={node: known.name(node) for node in plan.engines},
        networks=sorted(touched - {""}),
        changed=bool(plan.hosts or plan.services or plan.engines),
        needs=plan.needs,
        summary=reasons_of(known, faults, 5) if faults else "",
        plan=report(known, nodes, faults, plan, known.name(own)),
    )


def confirmed(faults: Sequence[Fault], first: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """Those that an earlier reading had as well: what changes at the moment is no fault."""
    keys = {tuple(str(each.get(name)) for name in KEY) for each in first}
    return [fault for fault in faults if fault.key in keys]


def described(known: Known, faults: Sequence[Fault]) -> list[dict[str, str]]:
    """The faults as data, with a sentence for each."""
    return [{**asdict(fault), "words": reasons_of(known, [fault])} for fault in faults]
