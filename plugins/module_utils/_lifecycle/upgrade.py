# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Which engines are upgraded, in which order, and what speaks against it. Pure.

The order is that of reboots. A host keeps a note with its packages of before, and with the packages that it gets, until it is
back in service. So a run that is killed at any moment is resumed: the note says that the host is half-done, and its packages
and its running engine say what is left. Afterwards the note stays, as the way back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._common.words import abbreviate, count_of
from .._engine.versions import compare, matches, upstream
from .._host.files import DAEMON_JSON, UPGRADE_DAEMON_JSON, UPGRADE_NOTE
from .._model.documents import dig
from .._nodes.rolling import (
    ALL,
    Members,
    RollingHost,
    batch_lines,
    in_order,
    members_of,
    names_of,
    quorum_loss,
    refused,
    unusable,
)
from .hazards import HAZARD_RISKS, UpgradeFacts, hazards_of

UPGRADE_RISKS = tuple(sorted(("downgrade", "quorum", "skew", *HAZARD_RISKS)))
LOCKED = "locked"
RISKS_VARIABLE = "swarm_upgrade_accepted_risks"
# What else changes the engine that runs.
_BESIDE = ("runc",)
_MB = 1024 * 1024


@dataclass(frozen=True)
class UpgradeHost(RollingHost):
    """A host with its node, and what swarm_upgrade_info has found there."""

    state: str  # of its engine in the swarm
    running: str  # version of the engine that runs; empty if none answers
    installed: str  # version of the engine's package; empty while it is half-installed
    restart_pending: bool
    broken: bool
    has_daemon_json: bool = False
    daemon: Mapping[str, Any] = field(default_factory=dict)
    note: Mapping[str, Any] | None = None
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return str(self.found.get("target") or "")

    @property
    def install(self) -> dict[str, str]:
        return dict(self.found.get("install") or {})

    @property
    def remove(self) -> list[str]:
        return list(self.found.get("remove") or [])

    @property
    def pending(self) -> bool:
        """Whether an interrupted run has left it half-done."""
        return self.note is not None and not self.note.get("done")

    @property
    def at_target(self) -> bool:
        """Whether the engine that runs is the one that is asked for."""
        return (
            not (self.install or self.remove or self.broken or self.restart_pending)
            and bool(self.target)
            and upstream(self.running) == upstream(self.target)
        )

    @property
    def first(self) -> bool:
        return self.pending

    @property
    def comes_back(self) -> bool:
        note = self.note if self.pending else None
        return bool((note or {}).get("in_service", self.in_service))

    @property
    def before(self) -> dict[str, str | None]:
        """The packages of before the upgrade, by name; null for one that was not there."""
        kept = (self.note or {}).get("before") if self.pending else None
        return {**(self.found.get("before") or {}), **(kept or {})}

    @property
    def old(self) -> str:
        """The version before, in a plan."""
        kept = [v for name, v in self.before.items() if v and name in self.engine_packages[:1]]
        return upstream(self.running or self.installed or (kept or ["?"])[0])

    @property
    def engine_packages(self) -> list[str]:
        return list(self.found.get("packages") or [])

    @property
    def change(self) -> str:
        """The upgrade in words."""
        new = upstream(self.target)
        if self.at_target:
            return f"{new}: already upgraded, only goes back into service"
        words = new if self.old == new else f"{self.old} -> {new}"
        if self.pending:
            words += ", resumed"
        elif not self.install and not self.remove:
            words += ", restart only"
        return words if self.comes_back else f"{words}; drained, stays drained"


@dataclass
class UpgradePlan:
    """Hosts in batches, one batch after the other; or, where it is refused, the reasons."""

    to: str = ""
    batches: list[list[UpgradeHost]] = field(default_factory=list)
    managers: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> list[UpgradeHost]:
        return [host for batch in self.batches for host in batch]

    @property
    def upgrade(self) -> list[UpgradeHost]:
        """The hosts whose engine changes; the others only go back into service."""
        return [host for host in self.hosts if not host.at_target]

    @property
    def gate(self) -> bool:
        """Whether the swarm can be healthy before the first batch: not where an interrupted run has left an engine down."""
        return all(host.state == "active" for host in self.hosts if host.pending)

    def notes(self) -> dict[str, dict[str, Any]]:
        """The note of each host whose engine changes."""
        return {host.name: _note(host, self.to) for host in self.upgrade}

    def records(self) -> dict[str, dict[str, Any]]:
        """What the note of each host becomes when it is back in service."""
        return {
            host.name: {
                **(dict(host.note or {}) if host.at_target else _note(host, self.to)),
                "done": True,
            }
            for host in self.hosts
        }

    def packages(self) -> dict[str, dict[str, Any]]:
        """The options of docker_engine_packages, by host."""
        return {
            host.name: {
                "install": [{"name": n, "version": v} for n, v in host.install.items()],
                "remove": host.remove,
                "engine": [*host.engine_packages, *_BESIDE],
                "repair": host.broken,
            }
            for host in self.upgrade
        }

    def lines(self) -> list[str]:
        """The plan as an aligned table."""
        if self.refusals:
            return refused(self.refusals)
        wide = max((len(batch[0].kind) for batch in self.batches), default=0)

        def description(batch: Sequence[UpgradeHost]) -> str:
            changes = list(dict.fromkeys(host.change for host in batch))
            return f"{batch[0].kind:<{wide}}  {'; '.join(changes)}"

        head = f"PLAN  upgrade of the engine to {self.to}, one zone at a time, acting on {self.managers[0]}"
        return [
            head,
            *batch_lines(self.batches, description),
            *_package_lines(self.upgrade),
            *(f"  ! {text}" for text in self.warnings),
            *(f"  = {text}" for text in self.same),
        ]


def plan_upgrades(
    observed: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
    to: str,
    asked: Collection[str] = (ALL,),
    batch: int = 1,
    accepted: Collection[str] = (),
    disk_free_mb: int = 500,
    pins: Mapping[str, str] | None = None,
) -> UpgradePlan:
    """What is due, in its order.

    `observed` has the results of swarm_host_info by host, in the order of the inventory, and `found` those of
    swarm_upgrade_info. `to` is the version, suite or `newest` in words. `batch` is the number of workers that are upgraded
    together, `accepted` has names of UPGRADE_RISKS, and `pins` the docker_engine_version of each host.
    """
    plan = UpgradePlan(to=to)
    members = members_of(observed)
    plan.managers = members.managers
    locked = [name for name, seen in observed.items() if dig(seen, "swarm", "state") == LOCKED]
    if locked and not members.managers:
        plan.refusals.append(
            f"{abbreviate(locked)}: locked, and no manager can show the key: set swarm_unlock_key, and run without --check"
        )
        return plan
    if locked:
        # A real run has unlocked them before it plans, if it could.
        plan.warnings.append(f"{abbreviate(locked)}: locked: the run unlocks it first")
    if not members.managers:
        why = "no host of the inventory is a manager that sees a leader"
        plan.refusals.append(f"{why}: run check_health.yml to see the cause")
        return plan
    due = _due(observed, found, members, asked, plan)
    _preflight(due, disk_free_mb, plan)
    changes = [host for host in due if not host.at_target]
    if not plan.refusals:
        _downgrades(changes, accepted, plan)
        _skew(changes, members, accepted, plan)
        _hazards(changes, found, accepted, plan)
        if any(host.manager for host in changes):
            _risk("quorum", quorum_loss(members.votes, "upgrade"), "add managers", accepted, plan)
        _pins(changes, pins or {}, plan)
    if not plan.refusals:
        plan.batches = in_order(due, batch)
    return plan


def go_back(host: UpgradeHost) -> str:
    """How to restore what a host was before its upgrade, in a sentence with commands."""
    words = [f"{name}={version}" for name, version in host.before.items() if version]
    words += [f"{name}-" for name, version in host.before.items() if not version]
    if not words:
        return f"{host.name} has kept its packages."
    copy = f" && cp {UPGRADE_DAEMON_JSON} {DAEMON_JSON}" if host.has_daemon_json else ""
    return (
        f"To go back, run on {host.name}: apt-get install --allow-downgrades --allow-change-held-packages {' '.join(words)}"
        f"{copy} && systemctl restart docker ({UPGRADE_NOTE} has the packages of before)."
        f" Then drain_node.yml with swarm_drain_nodes={host.name} and"
        " swarm_drain_state=active puts it back into service. To go on instead, correct the cause and run the same command"
        " again."
    )


def _note(host: UpgradeHost, to: str) -> dict[str, Any]:
    # What is left of an upgrade to another version is no longer installed.
    kept = dict(host.note or {}) if host.pending and (host.note or {}).get("to") == to else {}
    return {
        "format": 1,
        "to": to,
        "target": host.target,
        "before": host.before,
        "install": {**(kept.get("install") or {}), **host.install},
        "remove": sorted({*(kept.get("remove") or ()), *host.remove}),
        "in_service": host.comes_back,
        "done": False,
    }


def _package_lines(hosts: Sequence[UpgradeHost]) -> list[str]:
    """The packages that change, once for all hosts with the same change."""
    changes: dict[str, list[str]] = {}
    for host in hosts:
        words = []
        for name, version in host.install.items():
            before = (host.found.get("before") or {}).get(name)
            words.append(f"{name} {before} -> {version}" if before else f"{name} {version} (new)")
        words += [f"{name} removed" for name in host.remove]
        if words:
            changes.setdefault(", ".join(words), []).append(host.name)
    return [f"  ~ {abbreviate(names)}: {text}" for text, names in changes.items()]


def _due(
    observed: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
    members: Members,
    asked: Collection[str],
    plan: UpgradePlan,
) -> list[UpgradeHost]:
    due, current = [], []
    names = names_of(asked, observed)
    for name in names:
        host = _host(name, observed.get(name) or {}, found.get(name) or {}, members)
        if host is None:
            plan.refusals.append(unusable(name, observed))
        elif not host.at_target or host.pending:
            due.append(host)
        else:
            current.append(host)
    if not names:
        plan.same.append("no host is named")
    versions: dict[str, list[str]] = {}
    for host in current:
        versions.setdefault(upstream(host.running), []).append(host.name)
    for version, which in versions.items():
        plan.same.append(f"{abbreviate(which)}: already at {version}")
    left = [
        name
        for name, seen in observed.items()
        if name not in names
        and (note := dig(seen, "host", "upgrade_note")) is not None
        and not note.get("done")
    ]
    if left:
        plan.warnings.append(
            f"{', '.join(left)}: pending from an interrupted run, but not selected"
        )
    return due


def _host(
    name: str, seen: Mapping[str, Any], found: Mapping[str, Any], members: Members
) -> UpgradeHost | None:
    traits = members.traits(name, seen)
    if traits is None:
        return None
    return UpgradeHost(
        **traits,
        state=str(dig(seen, "swarm", "state") or ""),
        running=str(dig(seen, "engine", "version") or ""),
        installed=str(found.get("installed") or ""),
        restart_pending=bool(dig(seen, "host", "restart_pending")),
        broken=bool(dig(seen, "host", "broken_packages")),
        has_daemon_json=DAEMON_JSON in (dig(seen, "host", "files") or {}),
        daemon=dig(seen, "host", "daemon_config") or {},
        note=dig(seen, "host", "upgrade_note"),
        found=found,
    )


def _preflight(due: Sequence[UpgradeHost], disk_free_mb: int, plan: UpgradePlan) -> None:
    """What each host must have before anything changes."""
    problems: dict[str, list[str]] = {}
    for host in due:
        for text in _problems_of(host, disk_free_mb):
            problems.setdefault(text, []).append(host.name)
    plan.refusals += [f"{abbreviate(names)}: {text}" for text, names in problems.items()]


def _problems_of(host: UpgradeHost, disk_free_mb: int) -> list[str]:
    if not host.found:
        return ["its packages could not be read: run with become, and see the task before"]
    problem = host.found.get("problem")
    if problem:
        return [str(problem.get("message"))]
    problems = []
    if not host.at_target:
        for disk in host.found.get("disks") or []:
            needed = int(disk["need_bytes"]) + disk_free_mb * _MB
            if int(disk["free_bytes"]) < needed:
                problems.append(
                    f"{disk['path']} has {int(disk['free_bytes']) // _MB} MB free, and the upgrade needs"
                    f" {-(-needed // _MB)} MB: free space, or lower swarm_upgrade_disk_free_mb"
                )
    return problems


def _risk(name: str, text: str, advice: str, accepted: Collection[str], plan: UpgradePlan) -> None:
    """Refuse, or only warn if the risk is accepted."""
    if not text:
        return
    if name in accepted:
        plan.warnings.append(text)
    else:
        plan.refusals.append(f"{text}; {advice}, or add {name} to {RISKS_VARIABLE}")


def _downgrades(due: Sequence[UpgradeHost], accepted: Collection[str], plan: UpgradePlan) -> None:
    names: dict[tuple[str, str], list[str]] = {}
    for host in due:
        if host.installed and compare(host.target, host.installed) < 0:
            names.setdefault((upstream(host.installed), upstream(host.target)), []).append(
                host.name
            )
    for (have, target), which in names.items():
        text = (
            f"{abbreviate(which)}: {have} is installed, and {target} is older: Docker does not support a downgrade of the data"
            " of an engine"
        )
        _risk("downgrade", text, "choose a newer version", accepted, plan)


def _skew(
    due: Sequence[UpgradeHost], members: Members, accepted: Collection[str], plan: UpgradePlan
) -> None:
    """At most two releases in the swarm, one of which is on its way out."""
    targets: dict[str, list[str]] = {}
    for host in due:
        targets.setdefault(_release(host.target), []).append(host.name)
    if not targets:
        return
    ids = {host.node_id for host in due}
    now: dict[str, list[str]] = {}
    for node in members.nodes.values():
        version = node.get("engine_version")
        if version and node.get("state", "ready") == "ready":
            now.setdefault(_release(str(version)), []).append(str(node["id"]))
    if len(targets) > 1:
        listed = "; ".join(f"{release}: {abbreviate(names)}" for release, names in targets.items())
        text = f"the hosts would get engines of different releases ({listed})"
        _risk(
            "skew",
            text,
            "give all hosts the same package sources, or name a version",
            accepted,
            plan,
        )
    elif len({*now, *targets}) > 2:
        listed = ", ".join(sorted({*now, *targets}))
        text = f"the swarm would have engines of more than two releases at a time ({listed})"
        _risk("skew", text, "complete one upgrade before the next", accepted, plan)
    stay = {release: [i for i in which if i not in ids] for release, which in now.items()}
    for release, which in stay.items():
        if which and release not in targets:
            managers = sum(members.nodes[i]["role"] == "manager" for i in which)
            plan.warnings.append(
                f"nodes that stay at {release}: {len(which)} of {len(members.nodes)}, with {count_of(managers, 'manager')}; upgrade"
                " them soon, because a swarm has two releases only for the time of an upgrade"
            )


def _release(version: str) -> str:
    return ".".join(upstream(version).split(".")[:2])


def _hazards(
    due: Sequence[UpgradeHost],
    found: Mapping[str, Mapping[str, Any]],
    accepted: Collection[str],
    plan: UpgradePlan,
) -> None:
    encrypted = sorted(
        {net for each in found.values() for net in dig(each, "engine", "encrypted_networks") or []}
    )
    facts = [
        UpgradeFacts(
            host=host.name,
            before=host.running or host.installed,
            after=host.target,
            daemon=host.daemon,
            live_restore=bool(dig(host.found, "engine", "live_restore")),
            storage_driver=str(dig(host.found, "engine", "storage_driver") or ""),
            iptables=str(dig(host.found, "iptables", "flavour") or ""),
            chains=tuple(dig(host.found, "iptables", "chains") or ()),
            encrypted=tuple(encrypted),
        )
        for host in due
    ]
    for finding in hazards_of(facts):
        everywhere = len(finding.hosts) == len(due)
        where = "" if everywhere else f"{abbreviate(list(finding.hosts))}: "
        if finding.hazard.stops:
            _risk(finding.hazard.name, where + finding.text, "change that first", accepted, plan)
        else:
            plan.warnings.append(where + finding.text)


def _pins(due: Sequence[UpgradeHost], pins: Mapping[str, str], plan: UpgradePlan) -> None:
    """site.yml would want to go back to a pin that does not fit."""
    wrong: dict[str, list[str]] = {}
    for host in due:
        pin = str(pins.get(host.name) or "")
        if pin and not matches(host.target, pin):
            wrong.setdefault(pin, []).append(host.name)
    for pin, names in wrong.items():
        plan.warnings.append(
            f"{abbreviate(names)}: docker_engine_version is {pin} in the inventory: change it, or site.yml refuses to run"
        )
