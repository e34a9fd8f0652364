# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What is ours in the specs of services and nodes while work leaves a node, and how to take it out again. Pure.

A label says what that is, so that a later run finds what an interrupted one has left. On a service its words are the
nodes that our constraints keep the service off, whether it had no placement, and what was in its update_config instead
of our values (KEY=VALUE). On a node it is the availability that the node had before.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection
from typing import Any

from .._model.documents import dig
from .._model.labels import MOVING_LABEL

_WHOLE_PLACEMENT = "placement"
# A move that fails has to stop there. After a rollback or a failure that is passed over, the engine keeps one of the
# two tasks of a slot, and that may be the one that does not run (swarmkit: manager/orchestrator/update,
# useExistingTask). Putting things back is our own work; see `stalled`.
_CAREFUL = {"FailureAction": "pause", "MaxFailureRatio": 0}
# A slot that waits for a task that is sent nowhere must not keep the others waiting.
_AT_ONCE = {"Parallelism": 0}
_NOWHERE = "none."  # put before the system of each platform, so that no node has it
_FITS_NO_TASK = f"node.id=={_NOWHERE}"


def constraint_against(node_id: str) -> str:
    """The constraint that keeps a service off a node."""
    return f"node.id!={node_id}"


def marks_of(spec: dict[str, Any] | None) -> frozenset[str]:
    """The IDs of the nodes that our constraints keep a service off."""
    return frozenset(word for word in _words(spec) if word != _WHOLE_PLACEMENT and "=" not in word)


def marked(spec: dict[str, Any], node_ids: Collection[str]) -> dict[str, Any]:
    """The spec of a service with a constraint against each node, and the label that says which of them are ours."""
    changed = unmarked(spec)
    task = changed.setdefault("TaskTemplate", {})
    found = list(dig(task, "Placement", "Constraints") or [])
    # A constraint that is there already is the user's own, and must not be taken for ours later.
    ours = [node for node in sorted(node_ids) if constraint_against(node) not in found]
    if ours:
        constraints = found + [constraint_against(node) for node in ours]
        if task.get("Placement") is None:
            task["Placement"] = {}
            ours.append(_WHOLE_PLACEMENT)
        task["Placement"]["Constraints"] = constraints
        ours += _override(changed.get("UpdateConfig"), _CAREFUL)
        changed["Labels"] = {**(changed.get("Labels") or {}), MOVING_LABEL: ",".join(ours)}
    return changed


def _override(config: dict[str, Any] | None, values: dict[str, Any]) -> list[str]:
    """Put values into an update_config; what was there, as words of the label. Without one the engine is careful."""
    words = []
    for key, value in values.items():
        if config and config.get(key) and config[key] != value:
            words.append(f"{key}={json.dumps(config[key])}")
            config[key] = value
    return words


def stalled(spec: dict[str, Any], node_ids: Collection[str]) -> dict[str, Any]:
    """The spec that ends a move which gets stuck on these nodes, and keeps the tasks that run.

    A slot of a start-first service then has two tasks, and in the engine's eyes both would fit the original spec.
    With this one, a new task does not fit where it is, so that the old one is kept; and no task is sent anywhere, so
    that what this makes in its turn has no node, and does not fit the original spec later.
    """
    # The name of no node is among them, so that there is a mark even if no task has got a node yet.
    changed = marked(unmarked(spec), {*node_ids, _NOWHERE} - {""})
    placement = changed["TaskTemplate"]["Placement"]
    placement["Platforms"] = [
        {**platform, "OS": _NOWHERE + str(platform.get("OS") or "")}
        for platform in placement.get("Platforms") or [{}]
    ]
    words = _override(changed.get("UpdateConfig"), _AT_ONCE)
    changed["Labels"][MOVING_LABEL] = ",".join(_words(changed) + words)
    return changed


def frozen(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec that ends a move where it is, and keeps both tasks of a slot that has two.

    It fits no task, so that none counts as the one to keep: not even one that the engine starts while this is written.
    The nodes that the service leaves stay in the label.
    """
    changed = stalled(spec, marks_of(spec))
    changed["TaskTemplate"]["Placement"]["Constraints"].append(_FITS_NO_TASK)
    return changed


def is_frozen(spec: dict[str, Any]) -> bool:
    """Whether `frozen` has made this spec."""
    constraints = dig(spec, "TaskTemplate", "Placement", "Constraints") or []
    return is_stalled(spec) and fits_no_task(constraints)


def fits_no_task(constraints: Collection[str]) -> bool:
    """Whether a task with these constraints is of a spec that `frozen` has made."""
    return _FITS_NO_TASK in constraints


def goes_nowhere(constraints: Collection[str]) -> bool:
    """Whether a task with these constraints is of a spec that `stalled` or `frozen` has made."""
    return constraint_against(_NOWHERE) in constraints


def is_stalled(spec: dict[str, Any]) -> bool:
    """Whether `stalled` or `frozen` has made this spec."""
    platforms = dig(spec, "TaskTemplate", "Placement", "Platforms") or []
    return any(str(platform.get("OS")).startswith(_NOWHERE) for platform in platforms)


def unmarked(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of a service without what `marked` or `stalled` has put there."""
    changed = copy.deepcopy(spec)
    if MOVING_LABEL in (changed.get("Labels") or {}):
        del changed["Labels"][MOVING_LABEL]
    ours = {constraint_against(node) for node in marks_of(spec)}
    if is_frozen(spec):
        ours.add(_FITS_NO_TASK)
    placement = dig(changed, "TaskTemplate", "Placement")
    if ours and placement:
        left = [item for item in placement.get("Constraints") or [] if item not in ours]
        placement["Constraints"] = left
        if not left:
            del placement["Constraints"]
        if is_stalled(changed):
            _restore_platforms(placement)
        if not placement and _WHOLE_PLACEMENT in _words(spec):
            del changed["TaskTemplate"]["Placement"]
    config = changed.get("UpdateConfig") or {}
    for word in _words(spec):
        key, is_value, value = word.partition("=")
        if is_value and config.get(key) == {**_CAREFUL, **_AT_ONCE}.get(key):
            config[key] = json.loads(value)
    return changed


def _restore_platforms(placement: dict[str, Any]) -> None:
    before = []
    for platform in placement["Platforms"]:
        system = str(platform.get("OS") or "")
        rest = {key: value for key, value in platform.items() if key != "OS" and value}
        if system.startswith(_NOWHERE) and system != _NOWHERE:
            before.append({**platform, "OS": system[len(_NOWHERE) :]})
        elif system != _NOWHERE:
            before.append(platform)
        elif rest:
            before.append(rest)
    placement["Platforms"] = before
    if not before:
        del placement["Platforms"]


def paused(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of a node while work leaves it."""
    changed = copy.deepcopy(spec)
    labels = dict(changed.get("Labels") or {})
    labels.setdefault(MOVING_LABEL, str(changed.get("Availability") or "active"))
    changed["Labels"] = labels
    changed["Availability"] = "pause"
    return changed


def released(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of a node without our mark; what it was set to since then stays."""
    changed = copy.deepcopy(spec)
    before = (changed.get("Labels") or {}).get(MOVING_LABEL)
    if before is not None:
        del changed["Labels"][MOVING_LABEL]
        if changed.get("Availability") == "pause":
            changed["Availability"] = before
    return changed


def _words(spec: dict[str, Any] | None) -> list[str]:
    return [word for word in str(dig(spec, "Labels", MOVING_LABEL) or "").split(",") if word]
