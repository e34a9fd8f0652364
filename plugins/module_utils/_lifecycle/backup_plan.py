# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Backups of a swarm: which manager makes one, what speaks against it, how the files are named, and which of them stay. Pure.

All managers decide by the same rules from the same list of nodes. A record in the swarm says who has begun, so that never two of
them stop their engines together.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from .._common.errors import SwarmError, shown
from .._common.words import abbreviate, count_of
from .._model.documents import Node, quorum_of
from .._model.labels import DRAINED_LABEL, LEAVING_LABEL, MOVING_LABEL, RESTARTING_LABEL, name_of
from .._nodes.maintenance import MAINTENANCE_RISKS, MaintenancePlan
from .age import bad_recipients
from .backup_files import ENDINGS, EXPORT, RAFT, BackupName, complete_backups, parse_name

BACKUP_RISKS = ("quorum", "other_containers", *MAINTENANCE_RISKS)
# Seconds: how far the clocks of managers can differ whose timers have the same schedule; how long the next one waits for the one
# before it to begin; and after which time a record of a backup in progress is that of a run that was lost.
SAME_SLOT = 45.0
TURN = 20.0
LOST_AFTER = 3600.0
# How long a timer waits for managers that are ready: after an election, no node is for up to 30 s.
PATIENCE = 120.0

_IN_MAINTENANCE = frozenset((DRAINED_LABEL, LEAVING_LABEL, RESTARTING_LABEL, MOVING_LABEL))
_STAMP = "%Y%m%dT%H%M%SZ"
_DAY = 86400.0


# Files


def name_for(kind: str, host: str, when: float) -> BackupName:
    """The name of a backup that is taken at this time."""
    stamp = datetime.fromtimestamp(when, tz=timezone.utc).strftime(_STAMP)
    return BackupName(kind, stamp, host)


def _shown(kind: str, host: str) -> str:
    """The name of a file in a plan, which does not know the time yet."""
    return BackupName(kind, "TIME", host).data


def _age(name: BackupName, now: float) -> float | None:
    """The seconds since it was taken; None where the name has no valid time."""
    try:
        taken = datetime.strptime(name.taken, _STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return now - taken.timestamp()


@dataclass(frozen=True)
class Expired:
    """Files of one backup that are deleted, and why."""

    files: tuple[str, ...]
    name: str
    why: str


def expired(names: Iterable[str], now: float, keep_count: int, keep_days: int) -> list[Expired]:
    """What is deleted of the folder of a swarm, given the names in it.

    Of each kind: the complete backups beyond the newest `keep_count`; those that are older than `keep_days` days (0: no limit); and
    what runs have left that were killed more than a day ago. The newest complete one of each kind stays. Other files stay.
    """
    listed = set(names)
    whole = complete_backups(listed)
    found = []
    for kind in ENDINGS:
        ours = [name for name in whole if name.kind == kind]
        for number, name in enumerate(ours):
            age = _age(name, now)
            if age is None:
                continue
            if number >= max(1, keep_count):
                why = f"beyond the newest {max(1, keep_count)}"
            elif number and keep_days and age > keep_days * _DAY:
                why = f"older than {count_of(keep_days, 'day')}"
            else:
                continue
            found.append(Expired((name.meta, name.data), name.data, why))
    left = {name for name in map(parse_name, listed) if name is not None} - set(whole)
    for name in sorted(left, key=lambda each: each.stem):
        age = _age(name, now)
        if age is not None and age > _DAY:
            files = tuple(file for file in (name.meta, name.data) if file in listed)
            if files:
                found.append(Expired(files, name.data, "incomplete"))
    return found


# Who


@dataclass(frozen=True)
class Choice:
    """The manager that makes the backup; or, where none can, why not."""

    node: Node | None = None
    why: str = ""
    refusal: str = ""


def candidates(nodes: Sequence[Node], among: Collection[str] | None = None) -> list[Node]:
    """The managers that can make a backup, the best first: reachable, and not the leader.

    Those that are drained have no task to move, and come first, and those that another run has drained for maintenance come last. The
    leader is one only where it is the only manager. `among` has the IDs of the nodes that can be used.
    """
    votes = [node for node in nodes if node.votes]
    usable = [
        node
        for node in votes
        if node.ready
        and (among is None or node.id in among)
        and (len(votes) == 1 or not node.leader)
    ]

    def rank(node: Node) -> tuple[bool, bool, str, str]:
        return (
            not _IN_MAINTENANCE.isdisjoint(node.labels),
            node.availability != "drain",
            name_of(node),
            node.id,
        )

    return sorted(usable, key=rank)


def choose(nodes: Sequence[Node], among: Collection[str] | None = None) -> Choice:
    """The manager that makes the backup."""
    found = candidates(nodes, among)
    if not found:
        return Choice(
            refusal="no manager apart from the leader can be used: bring one back, so that the leader need not stop"
        )
    first = found[0]
    if first.leader:
        return Choice(first, "the only manager")
    drained = ", and is drained" if first.availability == "drain" else ""
    return Choice(first, f"is not the leader{drained}")


def margin_objection(nodes: Sequence[Node], self_id: str) -> str:
    """Why the engine of this manager must not stop now; empty if it can."""
    votes = [node for node in nodes if node.votes]
    left = sum(node.answers for node in votes if node.id != self_id)
    quorum = quorum_of(len(votes))
    if left >= quorum:
        return ""
    if len(votes) == 1:
        return "this is the only manager: while its engine is stopped, nothing can be changed and no task starts"
    reachable = sum(node.answers for node in votes)
    return f"{reachable} of {len(votes)} managers are reachable: without this one {left} would remain, and a quorum needs {quorum}"


# When: the record in the swarm

RUNNING, DONE, FAILED = "running", "done", "failed"
CLAIM, WAIT, SKIP = "claim", "wait", "skip"


@dataclass(frozen=True)
class Record:
    """What the swarm says of its latest backup."""

    state: str
    node_id: str
    name: str
    started: float

    def as_text(self) -> str:
        """The record as the value of a label."""
        return json.dumps(asdict(self), sort_keys=True)

    def fresh(self, now: float) -> bool:
        """Whether it is that of a backup in progress."""
        return self.state == RUNNING and -LOST_AFTER < now - self.started < LOST_AFTER


def parse_record(text: str | None) -> Record | None:
    """The record in a label; None where there is none that can be read."""
    try:
        found = json.loads(text or "")
        return Record(
            str(found["state"]), str(found["node_id"]), str(found["name"]), float(found["started"])
        )
    except (ValueError, KeyError, TypeError):
        return None


def next_move(
    record: Record | None, self_id: str, order: Sequence[str], now: float, slot: float
) -> str:
    """What a manager does whose timer has elapsed at `slot`: begin, wait or nothing. `order` has the IDs of the managers that can
    make the backup, the best first. Each waits for its turn, so that a manager that does not answer does not stop backups."""
    if record is not None and record.fresh(now):
        return WAIT if record.node_id != self_id else SKIP
    in_slot = record is not None and record.started >= slot - SAME_SLOT
    if record is not None and in_slot and (record.state == DONE or record.node_id == self_id):
        return SKIP
    if not order:
        return WAIT if now < slot + PATIENCE else SKIP
    if self_id not in order:
        return SKIP
    return CLAIM if now >= slot + list(order).index(self_id) * TURN else WAIT


# The plan


@dataclass(frozen=True)
class Wanted:
    """What a backup is asked to be."""

    folder: str
    recipients: tuple[str, ...]
    keep_count: int = 7
    keep_days: int = 0
    accepted_risks: tuple[str, ...] = ()
    drain_timeout: float = 300.0
    docker_host: str = "unix:///var/run/docker.sock"


def parse_wanted(found: Mapping[str, Any]) -> Wanted:
    """What is asked for, as the options of the module and the file of the timer have it."""
    return Wanted(
        folder=str(found["dir"]),
        recipients=tuple(str(each).strip() for each in found["recipients"]),
        keep_count=int(found["keep_count"]),
        keep_days=int(found["keep_days"]),
        accepted_risks=tuple(found["accepted_risks"]),
        drain_timeout=float(found["drain_timeout"]),
        docker_host=str(found["docker_host"]),
    )


def check_form(found: Mapping[str, Any]) -> None:
    """Raise bad_option for what no host can make good: a folder that is no absolute path, recipients that are no keys."""
    problems = []
    bad = bad_recipients([str(each) for each in found["recipients"]])
    if bad:
        problems.append(
            f"{abbreviate(bad)} in swarm_backup_recipients is no public key of age: it must be one such as age1..."
        )
    if not str(found["dir"]).startswith("/"):
        problems.append(
            f"swarm_backup_dir is {shown(found['dir'])}, it must be an absolute path such as /var/backups/flotilla.swarm"
        )
    if problems:
        raise SwarmError("bad_option", f"Could not set up backups: {'; '.join(problems)}.")


@dataclass(frozen=True)
class HostView:
    """What the manager that makes the backup knows of itself."""

    cluster_id: str
    node_id: str
    nodes: tuple[Node, ...]
    autolock: bool
    # None where the node is drained already.
    drain: MaintenancePlan | None
    # The names of containers outside the swarm, and of those of them that Docker does not start again.
    containers: tuple[str, ...] = ()
    stays_stopped: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of the files in the folder of the swarm

    @property
    def me(self) -> Node:
        """The node of this manager."""
        return next(node for node in self.nodes if node.id == self.node_id)


@dataclass(frozen=True)
class BackupStep:
    """One step of a backup."""

    action: str
    object: str
    detail: str = ""


@dataclass(frozen=True)
class BackupPlan:
    """The steps of a backup; or, where it is refused, the reasons."""

    steps: tuple[BackupStep, ...] = ()
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    expired: tuple[Expired, ...] = ()
    title: str = ""

    def lines(self) -> list[str]:
        """The plan as an aligned table."""
        if self.refusals:
            return ["PLAN  refused", *(f"  x refused  {text}" for text in self.refusals)]
        wide = max((len(step.object) for step in self.steps), default=0)
        lines = [f"PLAN  {self.title}"]
        for step in self.steps:
            sign = {"write": "+", "delete": "-"}.get(step.action, "~")
            lines.append(
                f"  {sign} {step.action:<7}  {step.object:<{wide}}  {step.detail}".rstrip()
            )
        return lines + [f"  ! {text}" for text in self.warnings]


@dataclass
class _Reasons:
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plan_backup(view: HostView, wanted: Wanted, now: float, with_raft: bool = True) -> BackupPlan:
    """What the backup takes on this manager. Without `with_raft` it is the logical export alone."""
    reasons = _Reasons()
    me, name = view.me, name_of(view.me)
    if with_raft:
        _guard(view, wanted, reasons)
    steps: list[BackupStep] = []
    recipients = f"encrypted for {count_of(len(wanted.recipients), 'recipient')}"
    where = f"{wanted.folder}/{view.cluster_id}"
    export = BackupStep("write", _shown(EXPORT, name), f"logical export, {recipients}")
    if not reasons.refusals:
        steps.append(export)
        if with_raft:
            steps += _raft_steps(view, name, recipients)
        gone = expired(
            [*view.names, *_names_after(view, with_raft, now)],
            now,
            wanted.keep_count,
            wanted.keep_days,
        )
        steps += [BackupStep("delete", each.name, each.why) for each in gone]
    else:
        gone = []
    why = "is not the leader" if not me.leader else "the only manager"
    return BackupPlan(
        tuple(steps),
        tuple(reasons.refusals),
        tuple(reasons.warnings),
        tuple(gone),
        f"backup of swarm {view.cluster_id[:6]} by {name} ({why}), into {where}",
    )


def _names_after(view: HostView, with_raft: bool, now: float) -> list[str]:
    """The files that the run itself adds: what expires is counted with them."""
    kinds = (RAFT, EXPORT) if with_raft else (EXPORT,)
    names = [name_for(kind, name_of(view.me), now) for kind in kinds]
    return [file for name in names for file in (name.data, name.meta)]


def _raft_steps(view: HostView, name: str, recipients: str) -> list[BackupStep]:
    steps = []
    votes = sum(node.votes for node in view.nodes)
    reachable = sum(node.answers for node in view.nodes)
    moved = view.drain.steps if view.drain is not None else []
    for step in moved:
        steps.append(BackupStep("drain", name, step.text))
    if len(view.nodes) > 1:
        reached = f"managers {reachable} -> {reachable - 1} of {votes} reachable, quorum {quorum_of(votes)}"
    else:
        reached = ""
    steps.append(BackupStep("stop", f"the engine of {name}", reached))
    steps.append(BackupStep("write", _shown(RAFT, name), f"raft backup, {recipients}"))
    after = "and unlock it: autolock stays on" if view.autolock else ""
    steps.append(BackupStep("start", f"the engine of {name}", after))
    for step in moved:
        steps.append(BackupStep("undrain", name, f"drain -> {step.before}"))
    key = (
        ": the unlock key opens the copy, and a restore needs it"
        if view.autolock
        else ": a restore needs no unlock key"
    )
    steps.append(BackupStep("check", _shown(RAFT, name), f"read it back{key}"))
    return steps


def _guard(view: HostView, wanted: Wanted, reasons: _Reasons) -> None:
    accepted = wanted.accepted_risks

    def judge(risk: str, text: str, advice: str) -> None:
        if risk in accepted:
            reasons.warnings.append(text)
        else:
            reasons.refusals.append(
                f"{text}; {advice}, or add {risk} to swarm_backup_accepted_risks"
            )

    text = margin_objection(view.nodes, view.node_id)
    if text:
        judge("quorum", text, "bring managers back or add managers")
    if view.stays_stopped:
        found = abbreviate(list(view.stays_stopped))
        judge(
            "other_containers",
            f"Docker does not start these containers outside the swarm again after its engine has stopped: {found}",
            "give them the restart policy unless-stopped",
        )
    again = sorted(set(view.containers) - set(view.stays_stopped))
    if again and not reasons.refusals:
        reasons.warnings.append(
            f"{count_of(len(again), 'container')} outside the swarm {'restarts' if len(again) == 1 else 'restart'}:"
            f" {abbreviate(again)}"
        )
    if view.drain is not None:
        reasons.refusals += [
            reason.replace("accepted_risks", "swarm_backup_accepted_risks")
            for reason in view.drain.refusals
        ]
        reasons.warnings += view.drain.warnings


def done_lines(result: Mapping[str, Any]) -> list[str]:
    """What a backup has made, as lines of text; none where it has made nothing."""
    if not result.get("seconds"):
        return []
    stopped = result.get("stopped_seconds")
    lines = [
        f"DONE  in {result['seconds']:g} s"
        + (f", engine stopped for {stopped:g} s" if stopped else "")
    ]
    for kind in (RAFT, EXPORT):
        found = result.get(kind) or {}
        if found:
            needs = "; a restore needs the unlock key" if found.get("key_needed") else ""
            lines.append(f"  + {found['path']}  {_size(found['size'])}{needs}")
    return lines + [f"  - {name}" for name in result.get("deleted") or []]


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"
