# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The part of a probe on each node: the image, the entries of its kernel, and what else explains what the probers find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._api.reader import EngineReader
from .._host.facts import kernel_features
from .._host.network import routes
from .._images.engine import ImageStore
from .._model.documents import parse_member
from .entries import interface_of, read_entries
from .image import is_present, make, node_root, remove
from .request import IMAGE

_SECONDS = 30.0


def prepare(
    docker_host: str, state: str, networks: Sequence[str], check_mode: bool, result: dict[str, Any]
) -> None:
    """Bring the image of this node into a state, and fill the result. Raises the failures of the engine and of the image."""
    store = ImageStore(docker_host)
    if state == "absent":
        if check_mode:
            result["changed"] = store.find(IMAGE) is not None
        else:
            result["changed"] = remove(store)
        return
    member = parse_member(EngineReader(docker_host, _SECONDS).info())
    result.update(
        node_id=member.node_id or "",
        features=kernel_features(),
        routes=routes(""),
        interface=interface_of(member.node_addr or ""),
    )
    if state == "read":
        found = {network: read_entries(network) for network in networks}
        result["entries"] = {network: each for network, each in found.items() if each is not None}
        return
    root = node_root()
    result["reason"] = root.reason or ("" if member.node_id else "it is in no swarm")
    if not result["reason"] and not is_present(store, root):
        result["changed"] = True
        if not check_mode:
            make(store, root)
