# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the updates of images ask the registries."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops import images
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.updates import ImagePolicy


def connections(server: socket.socket) -> int:
    """How many have connected to a server that never answers."""
    server.setblocking(False)
    count = 0
    try:
        while True:
            server.accept()[0].close()
            count += 1
    except BlockingIOError:
        return count


def test_a_silent_registry_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        places = [f"127.0.0.1:{each.getsockname()[1]}" for each in (server, closed)]
        policies = [
            ImagePolicy(f"{place}/{name}", digest_of="stable")
            for place in places
            for name in ("web", "db", "web")
        ]
        answers = images._ask_all(policies)
        assert connections(server) == 1
    assert set(answers) == set(policies)
    problems = {
        place: {answers[p].problem for p in policies if place in p.image} for place in places
    }
    assert problems == {
        places[0]: {f"Could not use the registry {places[0]}: it does not answer within 0.2 s."},
        places[1]: {f"Could not use the registry {places[1]}: Connection refused."},
    }
