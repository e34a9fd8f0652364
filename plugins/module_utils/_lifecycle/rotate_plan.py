# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a run rotates of the keys and tokens of a swarm, and which nodes have the certificates of its new CA. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._common.words import abbreviate, count_of
from .._model.documents import Node, dig, parse_node
from .._model.labels import HOST_LABEL, ROTATING_LABEL
from .age import bad_recipients

UNLOCK_KEY, CA, WORKER_TOKEN, MANAGER_TOKEN = "unlock-key", "ca", "worker-token", "manager-token"
# In the order of the run: a new CA gives new join tokens.
KINDS = (UNLOCK_KEY, CA, WORKER_TOKEN, MANAGER_TOKEN)
DOWN_NODES, LOST_MANAGERS = "down_nodes", "unreachable_managers"
ROTATE_RISKS = (DOWN_NODES, LOST_MANAGERS)
# What nobody can read again once it is lost, unlike a join token.
_KEPT = (UNLOCK_KEY, CA)
_NAMES = {UNLOCK_KEY: "unlock key", CA: "CA"}


@dataclass(frozen=True)
class NodeTls:
    """A node, and the CA of its certificate."""

    node: Node
    tls: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.node.labels.get(HOST_LABEL) or self.node.hostname

    def follows(self, desired: Mapping[str, Any], rotating: bool) -> bool:
        """Whether its certificate is of the desired CA, and, once all nodes have one, whether it trusts that CA alone (docker CLI:
        cli/command/swarm/progress)."""
        keys = ("CertIssuerSubject", "CertIssuerPublicKey", *(() if rotating else ("TrustRoot",)))
        return all(self.tls.get(key) == desired.get(key) for key in keys)


@dataclass(frozen=True)
class RotationFacts:
    """A swarm, as far as its keys and tokens are concerned, without any of them."""

    cluster_id: str
    autolock: bool = False
    rotating: bool = False  # a new CA is on its way to the nodes
    begun: bool = False  # a run has begun a rotation of the CA, and none has seen its end
    external_ca: bool = False
    desired: Mapping[str, Any] = field(default_factory=dict)  # the CA that nodes must follow
    nodes: tuple[NodeTls, ...] = ()

    @property
    def managers(self) -> list[NodeTls]:
        return [each for each in self.nodes if each.node.role == "manager"]


def parse_facts(swarm: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> RotationFacts:
    """The facts in the answers to GET /swarm and GET /nodes. Pure."""
    return RotationFacts(
        cluster_id=str(swarm.get("ID") or ""),
        autolock=bool(dig(swarm, "Spec", "EncryptionConfig", "AutoLockManagers")),
        rotating=bool(swarm.get("RootRotationInProgress")),
        begun=ROTATING_LABEL in (dig(swarm, "Spec", "Labels") or {}),
        external_ca=bool(dig(swarm, "Spec", "CAConfig", "ExternalCAs")),
        desired=dict(swarm.get("TLSInfo") or {}),
        nodes=tuple(
            NodeTls(parse_node(dict(each)), dict(dig(each, "Description", "TLSInfo") or {}))
            for each in nodes
        ),
    )


def behind(facts: RotationFacts) -> list[str]:
    """The nodes that do not have the certificates of the new CA yet, with their state if that is not ready. Pure."""
    return [
        each.name if each.node.state == "ready" else f"{each.name} ({each.node.state})"
        for each in facts.nodes
        if not each.follows(facts.desired, facts.rotating)
    ]


@dataclass(frozen=True)
class RotateStep:
    """One thing that the run rotates, or a rotation in progress that it waits for."""

    kind: str  # one of KINDS
    action: str  # rotate or wait
    text: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class RotatePlan:
    """The steps; or the reasons why there are none."""

    cluster_id: str
    steps: tuple[RotateStep, ...] = ()
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    same: tuple[tuple[str, str], ...] = ()  # what is not rotated, and why

    def lines(self, acting: str) -> list[str]:
        """The plan as an aligned table."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused        {text}" for text in self.refusals)]
        signs = {"rotate": "~", "wait": "="}
        return [
            f"PLAN  rotate, swarm {self.cluster_id[:6]}, acting on {acting}",
            *(f"  {signs[step.action]} {step.kind:<15}{step.text}" for step in self.steps),
            *(f"  = {kind:<15}{text}" for kind, text in self.same),
            *(f"  ! {'warning':<15}{text}" for text in self.warnings),
        ]


def plan_rotation(
    facts: RotationFacts,
    kinds: Collection[str],
    recipients: Sequence[str] = (),
    without_escrow: bool = False,
    accepted: Collection[str] = (),
    copied: bool = True,
) -> RotatePlan:
    """What to rotate, in the order of the run, or why not. Pure.

    `kinds` has names of KINDS, `recipients` those who can read the escrow, `accepted` names of ROTATE_RISKS, and `copied`
    says whether the controller gets a copy of the escrow.
    """
    steps: list[RotateStep] = []
    same: list[tuple[str, str]] = []
    refusals = _recipient_faults(recipients)
    warnings: list[str] = []
    escrow = f"escrowed for {count_of(len(recipients), 'recipient')}" if recipients else "no escrow"
    for kind in (each for each in KINDS if each in kinds):
        if kind == UNLOCK_KEY and not facts.autolock:
            same.append((kind, "autolock is off: nothing to rotate"))
        elif kind == CA and facts.begun and not facts.rotating:
            steps.append(RotateStep(kind, "wait", "the rotation of an interrupted run has ended"))
        elif kind == CA and facts.rotating:
            text = (
                f"a rotation is in progress: the run waits for it; behind: {_names(behind(facts))}"
            )
            steps.append(RotateStep(kind, "wait", text))
        else:
            steps.append(RotateStep(kind, "rotate", _text(kind, facts, escrow)))
    rotated = [step.kind for step in steps if step.action == "rotate"]
    if not recipients and not without_escrow and (kept := [k for k in rotated if k in _KEPT]):
        refusals.append(
            f"the new {' and the new '.join(_NAMES[kind] for kind in kept)} would be kept nowhere but in the swarm: set swarm_escrow_recipients to the"
            " public keys of age that can read the escrow, or swarm_rotate_without_escrow: true"
        )
    if CA in rotated and facts.external_ca:
        refusals.append(
            "the swarm uses an external CA, whose key is not in the swarm: rotate it there, and give the swarm its certificate"
            " with 'docker swarm ca --rotate'"
        )
    down = [each.name for each in facts.nodes if each.node.state in ("down", "disconnected")]
    if CA in rotated and down:
        _weigh(
            f"{abbreviate(down)}: down, and the rotation of the CA ends only when every node has a new certificate",
            "bring the node back, remove it, or add",
            *(DOWN_NODES, accepted, refusals, warnings),
        )
    lost = [each.name for each in facts.managers if not each.node.answers]
    if UNLOCK_KEY in rotated and lost:
        _weigh(
            f"{abbreviate(lost)}: not reachable, so the present unlock key stays the one that unlocks it",
            "bring the manager back, or add",
            *(LOST_MANAGERS, accepted, refusals, warnings),
        )
    if facts.rotating and CA not in kinds and rotated:
        warnings.append("a rotation of the CA is in progress: at its end it gives new join tokens")
    if rotated and recipients and not copied:
        warnings.append(
            "the escrow is on the acting manager alone: set swarm_escrow_dir for a copy on the controller"
        )
    if refusals:
        return RotatePlan(facts.cluster_id, refusals=tuple(refusals), warnings=tuple(warnings))
    return RotatePlan(facts.cluster_id, tuple(steps), (), tuple(warnings), tuple(same))


def _recipient_faults(recipients: Sequence[str]) -> list[str]:
    """Without their values: a person can mistake the secret part of a key for the public one."""
    faulty = set(bad_recipients(recipients))
    numbers = [str(number) for number, each in enumerate(recipients, 1) if each in faulty]
    if not numbers:
        return []
    return [
        f"swarm_escrow_recipients: number {' and '.join(numbers)} is no public key of age or ssh, such as age1..."
    ]


def _text(kind: str, facts: RotationFacts, escrow: str) -> str:
    managers = count_of(len(facts.managers), "manager")
    nodes = count_of(len(facts.nodes), "node")
    return {
        UNLOCK_KEY: f"new key for {managers}; the present and the new key: {escrow}",
        CA: f"new CA: {escrow}; new certificates for {nodes}; new join tokens",
        WORKER_TOKEN: f"new token: {escrow}; the present one stops working",
        MANAGER_TOKEN: f"new token: {escrow}; the present one stops working",
    }[kind]


def _names(names: list[str]) -> str:
    return abbreviate(names) or "no node"


def _weigh(
    text: str,
    advice: str,
    risk: str,
    accepted: Collection[str],
    refusals: list[str],
    warnings: list[str],
) -> None:
    """Refuse what is a risk, or warn of it where it is accepted."""
    if risk in accepted:
        warnings.append(text)
    else:
        refusals.append(f"{text}: {advice} {risk} to swarm_rotate_accepted_risks")
