# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Changes the spec of a node that the managers have."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .._common.errors import SwarmError


def change_node(
    client: Any, node_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """One look, and one write where `change` makes another spec of it.

    The spec is written whole, since the engine resets what it is not sent (moby: api/types/swarm/node.go, NodeSpec).
    Raises not_found, and out_of_sequence where somebody else has written the node in between: the caller can retry.
    """
    document = client.node(node_id)
    spec = document.get("Spec") or {}
    after = change(copy.deepcopy(spec))
    if after != spec:
        client.update_node(node_id, document["Version"]["Index"], after)


def change_node_unless_gone(
    client: Any,
    node_id: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    attempts: int = 5,
) -> None:
    """The same, read and written again where somebody else was quicker; a node that is gone needs no change."""
    while True:
        attempts -= 1
        try:
            change_node(client, node_id, change)
            return
        except SwarmError as error:
            if error.code == "not_found":
                return
            if error.code != "out_of_sequence" or attempts <= 0:
                raise
