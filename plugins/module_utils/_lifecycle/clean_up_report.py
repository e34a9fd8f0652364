# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The clean-up of all hosts as one table: what each would remove, or has removed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._common.words import abbreviate, count_of, size_text
from .._model.documents import dig
from .clean_up_plan import IMAGES, KINDS, REFERRED, VOLUMES, CleanUpStep, amount, totals

_LABELS = {"build_cache": "build cache"}


@dataclass(frozen=True)
class CleanUpReport:
    """What the controller prints, and the hosts that have something to remove."""

    lines: tuple[str, ...]
    hosts: tuple[str, ...]
    totals: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]


def hosts_of_swarm(
    observed: Mapping[str, Mapping[str, Any]], nodes: Collection[str] | None
) -> tuple[list[str], list[str]]:
    """The hosts whose node is one of these, and a note for each of the others. Pure.

    `observed` has the results of swarm_host_info by host, `nodes` the IDs of the nodes of the swarm; None if no
    manager was asked, and all hosts with an engine count.
    """
    inside, notes = [], []
    for name, seen in observed.items():
        swarm = seen.get("swarm")
        if not swarm:
            notes.append(f"{name} does not answer: it is not cleaned up")
        elif not dig(dict(seen), "engine", "running"):
            notes.append(f"the engine of {name} does not answer: it is not cleaned up")
        elif nodes is None or (swarm.get("node_id") in nodes and swarm.get("state") == "active"):
            inside.append(name)
        else:
            notes.append(f"{name} is not in this swarm ({swarm.get('state')}): it is left alone")
    return inside, notes


def report(
    found: Mapping[str, Mapping[str, Any]],
    references: Mapping[str, Any],
    notes: Sequence[str],
    title: str,
    done: bool = False,
) -> CleanUpReport:
    """The table. Pure. `found` has the results of swarm_clean_up by host, those of hosts that failed have `failed`.

    With `done`, the results are those of the removal, and the table has what was removed.
    """
    key = "applied" if done else "steps"
    steps = {name: [_step(each) for each in seen.get(key) or []] for name, seen in found.items()}
    together = totals(step for each in steps.values() for step in each)
    busy = tuple(name for name, each in steps.items() if each)
    lines = [f"{'RESULT' if done else 'PLAN'}  {title}"]
    lines += _rows(steps, done)
    if done:
        lines += _room(found, busy)
    idle = [name for name in found if name not in busy and not found[name].get("failed")]
    if idle:
        what = "nothing was removed" if done else "nothing to remove"
        lines.append(f"  = {abbreviate(idle)}: {what}")
    if busy:
        verb = "removed" if done else "total"
        lines.append(f"  = {verb}: {amount(together)}{_shared(together)}")
    if not done:
        lines += _kept(found)
    warnings = [*notes, *_warnings(found, references, done)]
    lines += [f"  ! {text}" for text in warnings]
    return CleanUpReport(tuple(lines), busy, together, tuple(warnings))


def _step(data: Mapping[str, Any]) -> CleanUpStep:
    return CleanUpStep(str(data["kind"]), str(data["id"]), str(data["name"]), int(data["size"]))


def _rows(steps: Mapping[str, Sequence[CleanUpStep]], done: bool) -> list[str]:
    rows = []
    for name, each in steps.items():
        for kind in KINDS:
            of_kind = [step for step in each if step.kind == kind]
            if of_kind:
                count = f"{len(of_kind)}"
                size = size_text(sum(step.size for step in of_kind))
                names = abbreviate([step.name for step in of_kind], 3)
                rows.append((name, _LABELS.get(kind, kind), count, size, names))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    sign = " " if done else "-"
    return [
        f"  {sign} {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}"
        f"  {row[3]:>{widths[3]}}  {row[4]}"
        for row in rows
    ]


def _kept(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What no container uses, and a task or a rollback may need."""
    parts = []
    for kind in (IMAGES, VOLUMES):
        counts = [(seen.get("kept") or {}).get(kind) or {} for seen in found.values()]
        number = sum(int(each.get(REFERRED) or 0) for each in counts)
        if number:
            parts.append(count_of(number, kind[:-1]))
    return [f"  = kept: {' and '.join(parts)} that only a spec refers to"] if parts else []


def _room(found: Mapping[str, Mapping[str, Any]], hosts: Iterable[str]) -> list[str]:
    lines = []
    for name in hosts:
        before, after = (dig(dict(found[name]), "free", moment) for moment in ("before", "after"))
        if before is not None and after is not None:
            lines.append(f"    {name}  free {size_text(before)} -> {size_text(after)}")
    return lines


def _shared(together: Mapping[str, Any]) -> str:
    return " (without what images share)" if IMAGES in together else ""


def _warnings(
    found: Mapping[str, Mapping[str, Any]], references: Mapping[str, Any], done: bool
) -> list[str]:
    texts = []
    waiting: dict[str, dict[str, int]] = {}
    for name, seen in found.items():
        if seen.get("failed"):
            texts.append(f"{name}: {str(seen.get('msg') or 'no reason given').rstrip('.')}")
        if seen.get("orphans"):
            names = abbreviate(list(seen["orphans"]), 3)
            texts.append(
                f"{name}: {count_of(len(seen['orphans']), 'container')} of tasks that the swarm does not know still"
                f" {'runs' if len(seen['orphans']) == 1 else 'run'}: {names}: stop them with docker rm --force"
            )
        for each in seen.get("refused") or []:
            reason = str(each["reason"]).rstrip(".")
            texts.append(f"{name}: {each['name']} stays: {reason}")
        for kind, entry in (seen.get("not_selected") or {}).items():
            total = waiting.setdefault(kind, {"count": 0, "bytes": 0})
            for part in total:
                total[part] += entry[part]
    if waiting and not done:
        ordered = {kind: waiting[kind] for kind in KINDS if kind in waiting}
        texts.append(
            f"also unused, but not selected: {amount(ordered)}: add {', '.join(ordered)} to swarm_clean_up"
        )
    by_node: dict[str, list[str]] = {}
    for orphan in references.get("orphans") or []:
        by_node.setdefault(str(orphan["node"]), []).append(str(orphan["task"]))
    for node, tasks in sorted(by_node.items()) if not done else ():
        texts.append(
            f"{node} is down: {count_of(len(tasks), 'task')} may still run there unseen: {abbreviate(tasks, 4)}"
        )
    return texts
