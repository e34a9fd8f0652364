# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an engine is in its overlay networks, by what it says of the ingress network."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._engine.overlays import overlays_come

PEER = {"Name": "m1", "IP": "192.0.2.11"}


class Engine:
    """Answers of an engine: its overlay networks, and the peers of the ingress network at a time; an error where they are None."""

    def __init__(self, networks: list[dict[str, Any]], *peers: list[Any] | None) -> None:
        self._networks, self._peers = networks, list(peers)

    def get(self, path: str, _attempt: str, **_query: Any) -> Any:
        if path == "/networks":
            return self._networks
        assert path == "/networks/i"
        peers = self._peers.pop(0) if len(self._peers) > 1 else self._peers[0]
        if peers is None:
            raise SwarmError("not_found", "Could not read the ingress network: not found.")
        return {"Id": "i", "Peers": peers}


INGRESS: list[dict[str, Any]] = [
    {"Id": "o", "Name": "shop_default"},
    {"Id": "i", "Name": "ingress", "Ingress": True},
]


@pytest.mark.parametrize(
    ("engine", "come"),
    [
        (Engine(INGRESS, [PEER]), True),
        (Engine(INGRESS, [], [], [PEER]), True),
        (Engine(INGRESS, None, [PEER]), True),
        (Engine(INGRESS, []), False),
        (Engine(INGRESS, None), False),
        # A swarm can be without an ingress network, or be without any.
        (Engine(INGRESS[:1]), True),
        (Engine([]), True),
    ],
)
def test_an_engine_is_in_the_ingress_network_or_gets_into_it_in_time(
    engine: Engine, come: bool, clock: Any
) -> None:
    assert overlays_come(engine, clock) is come
    assert clock.time <= 20
