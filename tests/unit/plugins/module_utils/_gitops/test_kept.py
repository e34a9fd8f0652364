# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What GitOps keeps in the swarm: the names of configs, the lock, and the mark of an idle look."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops import idle
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.kept import (
    HEADS,
    LOCK,
    Lease,
    config_name,
    parse_lease,
    read_kept,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.lease import SKEW, is_free
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.tick import (
    heads_in,
    left_checks,
)


@given(st.text(min_size=1, max_size=200))
def test_every_application_has_a_config_of_its_own(name: str) -> None:
    found = config_name(name)
    assert (
        re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?", found) or name[-1] in "._-"
    )
    assert len(found) <= 64
    assert found not in (LOCK, HEADS)
    assert config_name(name + "x") != found


class Reader:
    def __init__(self, configs: list[dict[str, Any]]) -> None:
        self.configs = configs

    def get(self, path: str, attempt: str, **query: Any) -> Any:
        return self.configs


def config(name: str, **labels: str) -> dict[str, Any]:
    return {
        "ID": name,
        "Spec": {"Name": name, "Labels": {f"flotilla.swarm.{k}": v for k, v in labels.items()}},
    }


def test_states_are_found_by_the_name_of_the_application() -> None:
    long = "a" * 63
    found = read_kept(
        Reader(
            [
                config(LOCK, **{"gitops.lease": "{}"}),
                config(HEADS, gitops="{}"),
                config(config_name("shop"), gitops="1"),
                config(config_name(long), gitops="2", **{"gitops.app": long}),
                config(config_name("team/apps"), gitops="3", **{"gitops.app": "team/apps"}),
                # The filter of the engine is a prefix.
                config("flotilla.gitops.apps.of.somebody"),
                config("flotilla.gitopsx", gitops="4"),
            ]
        )
    )
    assert {name: kept.text for name, kept in found.states.items()} == {
        "shop": "1",
        long: "2",
        "team/apps": "3",
    }
    assert (found.lock.text, found.heads.text) == ("{}", "{}")


@given(st.text())
def test_a_lock_that_nobody_has_written_is_free(text: str) -> None:
    assert is_free(parse_lease(text), "n1", 0.0) or text.startswith("{")
    assert isinstance(heads_in(text), dict)


def test_a_lock_is_free_when_it_is_given_back_or_lost() -> None:
    lease = Lease("n1", "m1", 1000.0, 3)
    assert parse_lease(lease.as_text()) == lease
    assert not is_free(lease, "n2", 999.0)
    # The clocks of managers differ.
    assert not is_free(lease, "n2", 1000.0 + SKEW - 1)
    assert is_free(lease, "n2", 1000.0 + SKEW)
    # A lock of the host keeps two processes apart.
    assert is_free(lease, "n1", 999.0)
    assert is_free(Lease("n1", "m1", 0.0, 4), "n2", 1.0)


OBJECTS = {"service": [{"ID": "1", "Version": {"Index": 1}}, {"ID": "2", "Version": {"Index": 1}}]}


def test_an_idle_look_sees_every_change_and_no_order() -> None:
    mark = idle.mark_of({"a": 1}, OBJECTS, {"deploy": "c1"})
    assert mark == idle.mark_of({"a": 1}, {"service": OBJECTS["service"][::-1]}, {"deploy": "c1"})
    changed = {"service": [OBJECTS["service"][0], {"ID": "2", "Version": {"Index": 2}}]}
    others = [
        idle.mark_of({"a": 2}, OBJECTS, {"deploy": "c1"}),
        idle.mark_of({"a": 1}, OBJECTS, {"deploy": "c2"}),
        idle.mark_of({"a": 1}, changed, {"deploy": "c1"}),
        idle.mark_of({"a": 1}, {"config": OBJECTS["service"]}, {"deploy": "c1"}),
    ]
    assert len({mark, *others}) == 5


def test_checks_that_were_left_are_found() -> None:
    labels = {"com.docker.stack.namespace": "shop_checks", "flotilla.swarm.gitops.check": "shop"}
    services: list[dict[str, Any]] = [{"Spec": {"Labels": each}} for each in (labels, {})]
    services += [{"Spec": {}}, {}]
    assert left_checks(services) == ["shop_checks"]
