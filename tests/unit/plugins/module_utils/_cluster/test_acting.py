# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manager that acts is one that can."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.acting import acting_manager


def said(role: str | None, state: str = "active", cluster: str | None = None) -> dict[str, Any]:
    return {"swarm": {"role": role, "state": state, "cluster_id": cluster}}


LEADS = said("manager", cluster="x")
ALONE = said("manager")
LOCKED = said("manager", "locked")
WORKER = said("worker")
SILENT: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("observed", "acting"),
    [
        ({}, ""),
        ({"a": SILENT}, "a"),
        ({"a": SILENT, "b": LEADS, "c": LEADS}, "b"),
        ({"a": ALONE, "b": LEADS}, "b"),
        ({"a": WORKER, "b": ALONE}, "b"),
        ({"a": LOCKED, "b": ALONE}, "b"),
        ({"a": LOCKED, "b": LEADS}, "b"),
        ({"a": SILENT, "b": said(None, "inactive"), "c": LOCKED}, "b"),
        ({"a": {"swarm": None}, "b": WORKER}, "b"),
    ],
)
def test_who_acts(observed: dict[str, Any], acting: str) -> None:
    assert acting_manager(observed) == acting


def test_who_is_busy_acts_only_where_nobody_else_can() -> None:
    assert acting_manager({"a": LEADS, "b": LEADS}, busy=["a"]) == "b"
    assert acting_manager({"a": LEADS, "b": ALONE}, busy=["a"]) == "b"
    assert acting_manager({"a": LEADS, "b": LOCKED, "c": WORKER}, busy=["a"]) == "a"
