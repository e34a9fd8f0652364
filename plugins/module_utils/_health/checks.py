# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The verdict on a swarm, made of what its tasks do on nodes that are ready. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .._common.words import Text, quoted, text
from .check import STATUSES, VERDICTS, Check, CheckInput, Checks, HostContext, Thresholds
from .network_checks import NETWORK_CHECKS
from .node_checks import NODE_CHECKS
from .picture import picture_of
from .service_checks import SERVICE_CHECKS
from .snapshot import SwarmSnapshot

# In the order of their importance.
_ORDER = (
    *("engine", "swarm", "leader", "quorum", "zones", "nodes", "hosts"),
    *("services", "pending", "restarts", "updates", "orphans"),
    *("network", "networks", "mesh", "certificates", "clock", "disk", "versions"),
    *("autolock", "encryption"),
)
_ALL = {**NODE_CHECKS, **SERVICE_CHECKS, **NETWORK_CHECKS}
CHECKS: Checks = {name: _ALL[name] for name in _ORDER}
# These need no manager.
_HOST_CHECKS = ("hosts", "network", "clock", "disk")

_NO_CONTEXT, _DEFAULTS = HostContext(), Thresholds()


def evaluate(
    snapshot: SwarmSnapshot,
    context: HostContext = _NO_CONTEXT,
    thresholds: Thresholds = _DEFAULTS,
    only: Collection[str] = (),
) -> list[Check]:
    """The checks, in the order of their importance; all of them, or `only` some.

    What prevents a look at the swarm is always among them, so that a verdict without data is never a good one.
    """
    blocked = _blocked(snapshot)
    given = CheckInput(snapshot, context, thresholds)
    checks = []
    for name, check in CHECKS.items():
        if blocked is not None and blocked.name == name:
            checks.append(blocked)
        elif only and name not in only:
            continue
        elif blocked is not None and name not in _HOST_CHECKS and not _before(name, blocked.name):
            checks.append(Check(name, "skipped", text("not checked: no manager is available")))
        else:
            checks.append(check(given))
    return checks


def verdict_of(checks: list[Check]) -> str:
    """One of VERDICTS, by the worst check."""
    worst = max((STATUSES.index(check.status) for check in checks), default=0)
    return VERDICTS.get(STATUSES[worst], "unknown")


def _blocked(snapshot: SwarmSnapshot) -> Check | None:
    """The check that says why this manager tells nothing of its swarm; None if it does."""
    trouble = snapshot.trouble
    member = snapshot.member
    if trouble is not None and trouble.code == "no_quorum":
        return Check(
            "quorum",
            "failed",
            text(
                "the swarm has lost its quorum: no manager can change anything; running tasks keep running"
            ),
            text("bring managers back until more than half of them answer"),
            {"code": "no_quorum"},
        )
    if trouble is not None:
        about = text("The manager that was asked cannot tell the state of the swarm.")
        message = quoted(trouble.message, about)
        return Check("engine", "unknown", message, None, {"code": trouble.code})

    def swarm(status: str, code: str, message: Text, advice: Text | None) -> Check:
        return Check("swarm", status, message, advice, {"code": code})

    ask_manager = text("run the check on a manager")
    if member.state == "locked":
        return swarm(
            "failed",
            "locked",
            text("this manager is locked and waits for the unlock key"),
            text("unlock it: docker swarm unlock"),
        )
    if member.state == "inactive":
        return swarm("unknown", "not_in_swarm", text("this host is in no swarm"), ask_manager)
    if member.state == "pending":
        return swarm("unknown", "joining", text("this host is still joining a swarm"), ask_manager)
    if member.state != "active":
        state = f"{member.state}: {member.error}" if member.error else member.state
        message = text("the engine reports the swarm state {state}", state=state)
        return swarm("failed", "swarm_error", message, text("see the log of the engine"))
    if member.role != "manager":
        return swarm("unknown", "not_manager", text("this host is a worker"), ask_manager)
    return None


def _before(name: str, other: str) -> bool:
    names = list(CHECKS)
    return names.index(name) < names.index(other) and name in ("engine", "swarm")


def health_result(
    snapshot: SwarmSnapshot,
    context: HostContext = _NO_CONTEXT,
    thresholds: Thresholds = _DEFAULTS,
    only: Collection[str] = (),
    picture: bool = False,
) -> dict[str, Any]:
    """The verdict, checks, managers, nodes and services of a result, with all keys in every given.

    With `picture`, also what a page shows besides (`picture_of`). Results of modules do not keep it.
    """
    known = (
        CHECKS["quorum"](CheckInput(snapshot, context, thresholds)).data if snapshot.nodes else {}
    )
    checks = evaluate(snapshot, context, thresholds, only)
    return {
        "verdict": verdict_of(checks),
        "checks": [check.as_dict() for check in checks],
        "managers": {
            key: known.get(key) for key in ("managers", "reachable", "quorum", "may_lose", "leader")
        },
        "nodes": [node.as_dict() for node in snapshot.nodes],
        "services": snapshot.service_states,
        **({"picture": picture_of(snapshot, checks)} if picture else {}),
    }
