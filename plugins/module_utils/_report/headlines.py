# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The one sentence at the top of the page, and the names of the checks. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._common.words import Text, abbreviate, count_of, joined, text
from .._health.check import WELL

CHECK_TITLES = {
    "engine": text("Engine"),
    "swarm": text("Swarm"),
    "leader": text("Leader"),
    "quorum": text("Quorum"),
    "zones": text("Zones"),
    "nodes": text("Nodes"),
    "hosts": text("Hosts"),
    "services": text("Services"),
    "pending": text("Waiting tasks"),
    "restarts": text("Restarts"),
    "updates": text("Updates"),
    "orphans": text("Orphaned tasks"),
    "network": text("Network between nodes"),
    "networks": text("Networks"),
    "mesh": text("Routing mesh"),
    "certificates": text("Certificates"),
    "clock": text("Clocks"),
    "disk": text("Disks"),
    "versions": text("Versions"),
    "autolock": text("Autolock"),
    "encryption": text("Encryption"),
}

# For checks whose sentence needs no number.
_PLAIN = {
    "engine": text("No manager could be asked."),
    "swarm": text("The manager that was asked is not in service."),
    "leader": text("The managers have no leader."),
    "updates": text("An update is paused or was rolled back."),
    "orphans": text("Tasks may still run on nodes that are down."),
    "network": text("The network between the nodes has faults."),
    "networks": text("A network is running out of addresses."),
    "mesh": text("Published ports or names of services do not answer on every host."),
    "certificates": text("A certificate needs attention."),
    "clock": text("The clocks of the hosts differ."),
    "disk": text("A disk is nearly full."),
    "versions": text("The hosts run different releases of the engine."),
}


def headline(verdict: str, checks: Sequence[Mapping[str, Any]]) -> Text:
    """The verdict in one sentence: what is worst about the swarm, or that nothing is."""
    if verdict == "healthy":
        return text("Everything runs as asked.")
    statuses = ("degraded", "unknown", "failed")
    worst = max(
        (check for check in checks if check["status"] not in WELL),
        key=lambda check: statuses.index(check["status"]),
        default=None,
    )
    if worst is None:
        return text("The state of the swarm is not known.")
    # What runs nowhere often has its reason here.
    also = next((check for check in checks if check["name"] == "nodes"), worst)
    if also is worst or also["status"] in WELL or not also["data"]["not_ready"]:
        return _sentence(worst)
    return joined([_sentence(worst), _sentence(also)], " ")


def _sentence(check: Mapping[str, Any]) -> Text:
    name, data, failed = check["name"], check["data"], check["status"] == "failed"
    if data.get("code") == "not_in_swarm":
        return text("The host that was asked is in no swarm.")
    if name == "quorum" and failed:
        return text(
            "The managers have lost their quorum: tasks keep running, and nothing can change."
        )
    if name == "quorum":
        lost = count_of(data["managers"] - data["reachable"], "manager")
        return text("{managers} not reachable: no longer as safe as planned.", managers=lost)
    if name == "zones" and data.get("fatal") and len(data.get("managers") or ()):
        return text("The loss of one zone would cost the quorum.")
    if name == "zones":
        services = count_of(len(data.get("services") or ()), "service")
        return text(
            "The loss of one zone would leave {services} without a task.", services=services
        )
    if name == "nodes":
        away = data["total"] - data["ready"]
        if not away:
            return text("Old nodes are left over.")
        return text(
            "{part} of {nodes} not ready.", part=away, nodes=count_of(data["total"], "node")
        )
    if name == "hosts":
        return text("No answer from {hosts}.", hosts=count_of(len(data["unreachable"]), "host"))
    if name == "services" and data["without_tasks"]:
        return text("No task of {services} runs.", services=abbreviate(data["without_tasks"], 2))
    if name == "services":
        late = len(data["short"]) or len(data["changing"])
        return text(
            "{part} of {services} not as asked.",
            part=late,
            services=count_of(data["services"], "service"),
        )
    if name == "pending":
        tasks = sum(each["tasks"] for each in data["pending"])
        return text("No node for {tasks}.", tasks=count_of(tasks, "task"))
    if name == "restarts":
        services = count_of(sum(each["looping"] for each in data["services"].values()), "service")
        return (
            text("Tasks of {services} keep failing.", services=services)
            if failed
            else text("Tasks have failed repeatedly.")
        )
    if name == "network" and check["status"] == "unknown":
        return text("Not all of the network between the nodes was probed.")
    return _PLAIN.get(name, text("The state of the swarm is not known."))
