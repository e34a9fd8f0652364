# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a restore does with the hosts of the inventory, or why it does not. Pure.

A raft backup is the state of one manager. It comes back as the only manager, on a host with the old address, and the other hosts
join again. So no listed host may be in a swarm that lives. An export can be given to any swarm, a new one too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._cluster.acting import acting_manager
from .._cluster.identity import address_part
from .._common.words import abbreviate, count_of
from .._engine.versions import compare, upstream
from .._model.documents import dig
from .backup_files import RAFT

# The risks that a person can accept, with swarm_restore_accepted_risks.
SILENT_HOSTS, OLDER_ENGINE = "silent_hosts", "older_engine"
RESTORE_RISKS = (SILENT_HOSTS, OLDER_ENGINE)
# How far the host has got, in its note.
BEGUN, UNPACKED, RESTORED = "begun", "unpacked", "restored"

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """What the caller says beside the backup and the hosts."""

    confirm: str = ""
    unlock_key: bool = False  # whether one is given
    accepted_risks: Collection[str] = ()
    check_mode: bool = False


@dataclass(frozen=True)
class RestorePlan:
    """What happens on which host, in order."""

    kind: str
    host: str  # where the backup is unpacked, or who acts
    steps: tuple[tuple[str, str], ...]  # hosts, and what they do
    leave: tuple[str, ...] = ()  # managers of a swarm without a leader
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    title: str = ""
    builds: bool = True  # whether there is no swarm yet

    def lines(self) -> list[str]:
        """The plan as lines of text."""
        width = max((len(host) for host, _what in self.steps), default=0)
        rows = [
            f"  {number}  {host:<{width}}  {what}"
            for number, (host, what) in enumerate(self.steps, 1)
        ]
        return [
            f"PLAN  {self.title}",
            *rows,
            *(f"  ! {note}" for note in self.notes),
            *(f"  x {refusal}" for refusal in self.refusals),
        ]


def plan_restore(
    meta: Mapping[str, Any],
    observed: Mapping[str, Facts],
    managers: Sequence[str],
    progress: Mapping[str, Any],
    given: Given,
) -> RestorePlan:
    """The plan for the backup that `meta` describes.

    `observed` has the result of swarm_host_info by host, empty for a host that did not answer; `progress` has the notes that an
    interrupted restore has left, by host.
    """
    planner = _Raft if meta["kind"] == RAFT else _Export
    return planner(meta, observed, managers, progress, given).plan()


def taken_words(meta: Mapping[str, Any]) -> str:
    """The moment of a backup, for people."""
    text = str(meta["taken"])
    return f"{text[:4]}-{text[4:6]}-{text[6:8]} {text[9:11]}:{text[11:13]} UTC"


def is_alive(facts: Facts) -> bool:
    """Whether a host is a manager that sees a leader."""
    return bool(dig(dict(facts), "swarm", "cluster_id"))


@dataclass
class _Planner:
    meta: Mapping[str, Any]
    observed: Mapping[str, Facts]
    managers: Sequence[str]
    progress: Mapping[str, Any]
    given: Given
    steps: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def silent(self) -> list[str]:
        return [host for host, facts in self.observed.items() if "swarm" not in facts]

    def title(self) -> str:
        what = "raft backup" if self.meta["kind"] == RAFT else "export"
        return (
            f"restore of swarm {str(self.meta['cluster_id'])[:6]} from the {what} of {self.meta['host']},"
            f" taken {taken_words(self.meta)}"
        )

    def swarm(self, host: str) -> Mapping[str, Any]:
        return dict(self.observed.get(host) or {}).get("swarm") or {}


class _Raft(_Planner):
    def plan(self) -> RestorePlan:
        host = self._host()
        if host is None:
            return self._result("", ())
        note = self.progress.get(host)
        mine = isinstance(note, Mapping) and note.get("sha256") == self.meta["sha256"]
        phase = str(note.get("phase")) if mine and isinstance(note, Mapping) else ""
        self._check_host(host)
        self._check_living(host, resumes=bool(phase))
        self._check_silent(host)
        leave = [] if phase == RESTORED else self._leaderless(host)
        if self.meta["autolock"] and not self.given.unlock_key and phase != RESTORED:
            self.refusals.append(
                "autolock was on when the backup was taken: set swarm_unlock_key to the unlock key of that time"
            )
        self._steps(host, phase, leave)
        self._confirmation()
        return self._result(host, leave)

    def _result(self, host: str, leave: Collection[str]) -> RestorePlan:
        return RestorePlan(
            RAFT,
            host,
            tuple(self.steps),
            tuple(leave),
            tuple(self.notes),
            tuple(self.refusals),
            self.title(),
        )

    def _host(self) -> str | None:
        """The host with the address of the manager that the backup was taken of."""
        address = str(self.meta["address"])
        found = [host for host in self.observed if address in self._addresses(host)]
        named = str(self.meta["host"])
        if named in found or (found and named not in self.observed):
            return named if named in found else found[0]
        if named not in self.observed:
            self.refusals.append(
                f"the backup is of the manager {named} at {address}, and no listed host that answers has this address"
            )
        elif not self.swarm(named):
            self.refusals.append(f"{named} does not answer, and the backup is of this host")
        elif found:
            self.refusals.append(
                f"the backup is of {named} at {address}, and now {found[0]} has this address: exchange the lines of the inventory"
            )
        else:
            now = ", ".join(sorted(self._addresses(named))) or "no address"
            self.refusals.append(
                f"the backup is of {named} at {address}, and {named} has {now}: a raft backup needs the old address; give the"
                " host its old address, or restore an export"
            )
        return None

    def _addresses(self, host: str) -> set[str]:
        entries = dig(dict(self.observed.get(host) or {}), "host", "addresses") or []
        return {str(entry.get("address")) for entry in entries}

    def _check_host(self, host: str) -> None:
        if host not in self.managers:
            self.refusals.append(
                f"{host} is a worker in the inventory, and the backup is of a manager: list it as a manager"
            )
        if dig(dict(self.observed[host]), "host", "root") is False:
            self.refusals.append(f"{host}: the restore needs root (become: true)")
        if dig(dict(self.observed[host]), "host", "systemd") is False:
            self.refusals.append(f"{host} has no systemd, by which the restore stops the engine")
        version = dig(dict(self.observed[host]), "engine", "version")
        then = str(self.meta["engine_version"])
        if version and compare(upstream(str(version)), upstream(then)) < 0:
            words = f"{host} has engine {version}, and the backup is of the newer {then}"
            if OLDER_ENGINE in self.given.accepted_risks:
                self.notes.append(f"{words}: accepted")
            else:
                self.refusals.append(
                    f"{words}: install {then} first, or set swarm_restore_accepted_risks={OLDER_ENGINE}"
                )

    def _check_living(self, host: str, resumes: bool) -> None:
        ours = str(self.meta["cluster_id"])
        listed = {each for name in self.observed for each in self._addresses(name)}
        for name in self.observed:
            swarm = self.swarm(name)
            cluster = swarm.get("cluster_id")
            if cluster and not (resumes and cluster == ours):
                self.refusals.append(
                    f"{name} is in swarm {cluster}, which has a leader: a raft backup is restored only where no swarm lives;"
                    " reset the hosts first, or restore an export"
                )
            peers = [str(peer.get("addr")) for peer in swarm.get("remote_managers") or []]
            others = sorted(peer for peer in peers if address_part(peer) not in listed)
            if swarm.get("role") == "worker" and swarm.get("state") == "active" and others:
                self.refusals.append(
                    f"{name} is a worker of a swarm whose managers are not all listed ({abbreviate(others, 3)})"
                )

    def _check_silent(self, host: str) -> None:
        silent = [name for name in self.silent if name != host]
        if not silent:
            return
        words = f"{abbreviate(silent)} did not answer"
        if SILENT_HOSTS in self.given.accepted_risks:
            self.notes.append(
                f"{words}: accepted; do not start an engine there that still has the old state"
            )
        else:
            self.refusals.append(
                f"{words}: the old swarm may live on there, and there would be two. Bring the hosts back, or make sure that they"
                f" stay off and set swarm_restore_accepted_risks={SILENT_HOSTS}"
            )

    def _leaderless(self, host: str) -> list[str]:
        """The other managers of a swarm without a leader, locked ones too."""
        return [
            name
            for name in self.observed
            if name != host
            and not is_alive(self.observed[name])
            and self.swarm(name).get("state") in ("active", "pending", "locked", "error")
            and (
                self.swarm(name).get("role") == "manager"
                or self.swarm(name).get("state") in ("locked", "error")
            )
        ]

    def _steps(self, host: str, phase: str, leave: Collection[str]) -> None:
        facts = dict(self.observed[host])
        if phase:
            self.notes.append(f"an interrupted restore of this backup is resumed on {host}")
        if phase != RESTORED:
            if not dig(facts, "engine", "installed"):
                self.steps.append((host, "install the engine"))
            opened = ", open it with the unlock key" if self.meta["autolock"] else ""
            self.steps.append((host, f"decrypt and check the backup in memory{opened}"))
            if leave:
                self.steps.append((", ".join(leave), "leave the swarm that has no leader"))
            kept = (
                ", keep the present state in /var/lib/docker/swarm.before-restore-*"
                if self.swarm(host).get("state") not in (None, "inactive")
                else ""
            )
            self.steps.append((host, f"stop the engine{kept}, unpack the backup, start it"))
            self.steps.append((host, "make it the only manager (force a new cluster)"))
            if self.meta["autolock"]:
                self.steps.append((host, "turn autolock on again, with a new unlock key"))
        others = [name for name in self.observed if name != host]
        if others:
            self.steps.append((", ".join(others), "join again, by the plan of site.yml"))
        if self.meta.get("drained"):
            self.steps.append((host, "put it back into service: it was drained for the backup"))
        self.notes.append(f"what was changed in the swarm after {taken_words(self.meta)} is lost")

    def _confirmation(self) -> None:
        ours = str(self.meta["cluster_id"])
        if self.given.check_mode or self.given.confirm == ours:
            return
        wrong = f"is {self.given.confirm}" if self.given.confirm else "is not set"
        self.refusals.append(
            f"swarm_restore_confirm {wrong}: to carry out this plan, set swarm_restore_confirm={ours}, the ID of the swarm"
        )


class _Export(_Planner):
    def plan(self) -> RestorePlan:
        alive = [host for host, facts in self.observed.items() if is_alive(facts)]
        locked = [host for host in self.observed if self.swarm(host).get("state") == "locked"]
        host = acting_manager(
            {name: self.observed[name] for name in self.managers if name in self.observed}
        )
        if not host or host in self.silent:
            self.refusals.append("no manager of the inventory answers")
        if locked and not alive:
            self.refusals.append(
                f"the swarm of {abbreviate(locked)} is locked: unlock it, or reset the hosts"
            )
        if self.silent:
            self.notes.append(f"{abbreviate(self.silent)} did not answer")
        self.steps.append((host, "decrypt the export in memory, and plan what is missing"))
        count = count_of(len(self.observed), "host")
        if alive:
            self.steps.append(
                (count, "are made the swarm of the inventory, by the plan of site.yml")
            )
        else:
            self.steps.append((count, "become a new swarm, by the plan of site.yml"))
        self.steps.append((host, "create networks, configs, secrets and services"))
        return RestorePlan(
            "export",
            host,
            tuple(self.steps),
            (),
            tuple(self.notes),
            tuple(self.refusals),
            self.title(),
            not alive,
        )
