# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""All labels that this collection reads or keeps. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

# Docker's own: what belongs to a stack, and the image of a service as its Compose file names it.
STACK_LABEL = "com.docker.stack.namespace"
STACK_IMAGE_LABEL = "com.docker.stack.image"

# All that this collection keeps in a swarm are labels with this prefix.
PREFIX = "flotilla.swarm."

# On nodes: the name of the host in the inventory, by which the node of a silent host is found.
HOST_LABEL = f"{PREFIX}host"
# The keys of the labels that the inventory has set. One that left the inventory is removed; labels of others stay.
OWNED_LABEL = f"{PREFIX}labels"
# The availability of a node before this collection drained it: to remove it, to restart its engine, or for an operator.
LEAVING_LABEL = f"{PREFIX}leaving"
RESTARTING_LABEL = f"{PREFIX}restarting"
DRAINED_LABEL = f"{PREFIX}drained"
# On a node and on services while work moves off the node: what has to be restored if the run is killed.
MOVING_LABEL = f"{PREFIX}moving"
# The user's own: the failure domain of a node.
ZONE_LABEL = "zone"

# On the swarm: a run of this collection has begun to rotate the CA, and no run has seen the end of it.
ROTATING_LABEL = f"{PREFIX}rotating_ca"

# On services, set by the user: the range within which others may scale it, and whether it takes part in a rebalance.
REPLICAS_LABEL = f"{PREFIX}replicas"
REBALANCE_LABEL = f"{PREFIX}rebalance"
# How many replicas a service has apart from those that are there for a rebalance.
REBALANCING_LABEL = f"{PREFIX}rebalancing"

# On the swarm while its ingress network is recreated: what it must become. On a service meanwhile: what was taken away from it.
INGRESS_LABEL = f"{PREFIX}ingress"

# Which login of its registry a service has: a fingerprint.
LOGIN_LABEL = f"{PREFIX}login"

# On the config that holds a revision of a stack: its number, and its place in the history. The latest deploy or roll back has
# the highest place; a roll back makes an old revision the latest and keeps its number.
REVISION_LABEL = f"{PREFIX}revision"
REVISION_TURN_LABEL = f"{PREFIX}revision.turn"

# On the config that has the record of the latest backup: who made it, when, and whether it has ended.
BACKUP_LABEL = f"{PREFIX}backup"

# On the configs of GitOps: the state of an application and its name, and the lock that one manager holds while it works.
GITOPS_LABEL = f"{PREFIX}gitops"
GITOPS_APP_LABEL = f"{PREFIX}gitops.app"
GITOPS_LEASE_LABEL = f"{PREFIX}gitops.lease"
# On a one-shot job that checks an application after a deploy: the name of the application.
GITOPS_CHECK_LABEL = f"{PREFIX}gitops.check"

# On everything that a probe of the network creates: the ID of its run. The lease is on the config that is its lock: who runs, since
# when, and until when.
PROBE_LABEL = f"{PREFIX}probe"
PROBE_LEASE_LABEL = f"{PREFIX}probe.lease"
# On the swarm: the IDs of the nodes that have passed a probe after they joined.
PROBED_LABEL = f"{PREFIX}probed"

# On configs that only record what this collection does in this swarm. In another swarm, or in a Compose file, they say nothing.
RECORD_LABELS = frozenset((BACKUP_LABEL, GITOPS_LABEL, GITOPS_LEASE_LABEL, PROBE_LABEL))

# On a detour: the network whose services are on it for a while.
DETOUR_LABEL = f"{PREFIX}detour"


class AnyNode(Protocol):
    """A node as the managers see it, or as the scheduler does."""

    @property
    def id(self) -> str:
        """Its NodeID."""

    @property
    def hostname(self) -> str:
        """The hostname that its engine reports."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Its node labels."""


def stack_of(spec: Mapping[str, Any]) -> str | None:
    """The stack that an object belongs to, given its spec, or its document if it is a network; None if it is in none."""
    labels: Mapping[str, str] = spec.get("Labels") or {}
    return labels.get(STACK_LABEL)


def name_of(node: AnyNode) -> str:
    """The name of a node in plans and verdicts: that of the inventory if it has one, else the hostname of its engine."""
    return node.labels.get(HOST_LABEL) or node.hostname or node.id


def without_ours(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels without those that this collection keeps in a swarm."""
    return {key: value for key, value in labels.items() if not key.startswith(PREFIX)}


def wanted_labels(labels: dict[str, Any], zone: str | None) -> dict[str, str]:
    """Labels as strings, the zone among them."""
    wanted = {str(key): label_text(value) for key, value in labels.items()}
    if zone:
        wanted[ZONE_LABEL] = str(zone)
    return wanted


def label_text(value: Any) -> str:
    """A label's value as Docker shows it: YAML's true is 'true', its null is ''."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def owned_keys(labels: dict[str, str]) -> set[str]:
    """The keys of a node's labels that came from the inventory."""
    return {key for key in labels.get(OWNED_LABEL, "").split(",") if key}


def drained_from(labels: dict[str, str]) -> str | None:
    """The availability that a node had before a run drained it, to remove it or to restart its engine; None if none did."""
    return labels.get(RESTARTING_LABEL) or labels.get(LEAVING_LABEL)


def labels_after(
    found: dict[str, str], wanted: dict[str, str], name: str = "", keep_mark: bool = False
) -> dict[str, str]:
    """The labels of a node as they must be: its own inventory labels as wanted, all others as found.

    `name` is that of the host in the inventory. With `keep_mark` the marks of a removal or restart stay.
    """
    ours = owned_keys(found) | {OWNED_LABEL, HOST_LABEL}
    if not keep_mark:
        ours |= {LEAVING_LABEL, RESTARTING_LABEL}
    after = {key: value for key, value in found.items() if key not in ours}
    after.update(wanted)
    if wanted:
        after[OWNED_LABEL] = ",".join(sorted(wanted))
    if name:
        after[HOST_LABEL] = name
    return after
