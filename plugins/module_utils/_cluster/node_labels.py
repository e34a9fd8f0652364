# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The step that changes the labels of a node. Pure."""

from __future__ import annotations

from .._common.words import Text, as_is, joined, text
from .._model.documents import Node
from .._model.labels import (
    HOST_LABEL,
    LEAVING_LABEL,
    MOVING_LABEL,
    PREFIX,
    RESTARTING_LABEL,
    labels_after,
)
from .steps import MemberStep


def plan_labels(
    node: Node, name: str, desired: dict[str, str], keep_mark: bool = False
) -> MemberStep | None:
    """The step for one node; None where its labels are as desired. With `keep_mark` the mark of a drain stays."""
    after = labels_after(node.labels, desired, name, keep_mark)
    if after == node.labels and MOVING_LABEL not in node.labels:
        return None
    old, new = _without_ours(node.labels), _without_ours(after)
    touched = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    words: list[str] = [_change_of(key, old, new) for key in touched]
    known_as = node.labels.get(HOST_LABEL)
    if known_as not in (None, name):
        words.append(text("known as {name} (was {old})", name=name, old=known_as))
    if LEAVING_LABEL in node.labels and not keep_mark:
        words.append(text("its removal is cancelled"))
    if RESTARTING_LABEL in node.labels and not keep_mark:
        words.append(text("remove the mark of a restart that is done"))
    if MOVING_LABEL in node.labels:
        words.append(text("clean up after an interrupted drain"))
    return MemberStep(
        "labels",
        name,
        joined(words)
        or text("record its name in the inventory ({name}) and which labels are ours", name=name),
        node.id,
        before={key: old[key] for key in touched if key in old},
        after={key: new[key] for key in touched if key in new},
        keep_mark=keep_mark,
    )


def only_records(node: Node, step: MemberStep) -> bool:
    """Whether the step only adds our own labels to a node that has none of them, such as one of an adopted swarm."""
    return step.before == step.after and not any(key.startswith(PREFIX) for key in node.labels)


def _without_ours(labels: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if not key.startswith(PREFIX)}


def _change_of(key: str, old: dict[str, str], new: dict[str, str]) -> Text:
    if key not in new:
        return text("{key} removed", key=key)
    label = f"{key}={new[key]}"
    if key not in old:
        return as_is(label)
    return text("{label} (was {old})", label=label, old=old[key] or text("empty"))
