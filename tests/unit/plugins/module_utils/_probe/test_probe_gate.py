# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that have joined pass a probe once, whatever became of the runs in between."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.filter.probe_gate import probe_gate
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.settings import SettingChange
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import parse_node
from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    HOST_LABEL,
    PROBED_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.gate import Gate, gate_of


def node(name: str, availability: str = "active", labelled: bool = True) -> dict[str, Any]:
    document = {
        "ID": f"id-{name}",
        "Spec": {
            "Role": "worker",
            "Availability": availability,
            "Labels": {HOST_LABEL: name} if labelled else {},
        },
        "Description": {"Hostname": f"host-{name}"},
        "Status": {"State": "ready"},
    }
    return parse_node(document).as_dict()


def observed(*names: str, passed: tuple[str, ...] = (), **nodes: Any) -> dict[str, Any]:
    """What all hosts say: m1 is the manager, and others are known to it."""
    seen: dict[str, Any] = {
        name: {"swarm": {"state": "active", "node_id": f"id-{name}"}} for name in names
    }
    labels = {"mine": "x", PROBED_LABEL: " ".join(f"id-{name}" for name in passed)}
    known = [nodes.get(name) or node(name) for name in (*names, *(nodes.keys() - set(names)))]
    seen["m1"]["swarm"].update(nodes=known, settings={"labels": labels if passed else {}})
    return seen


def test_all_nodes_of_a_swarm_that_was_never_probed_are_due() -> None:
    assert gate_of(observed("m1", "w1"), "m1") == Gate(["m1", "w1"], {})


def test_nobody_is_due_once_all_have_passed() -> None:
    first = gate_of(observed("m1", "w1"), "m1", ["m1", "w1"])
    assert first == Gate([], {PROBED_LABEL: "id-m1 id-w1"})
    assert gate_of(observed("m1", "w1", passed=("m1", "w1")), "m1").due == []


def test_a_node_that_joined_is_due_until_it_has_passed() -> None:
    seen = observed("m1", "w1", "w2", passed=("m1", "w1"))
    assert gate_of(seen, "m1").due == ["w2"]
    # A probe in which it had no prober does not count.
    assert gate_of(seen, "m1", ["m1", "w1"]).due == ["w2"]
    assert gate_of(seen, "m1", ["m1", "w1", "w2"]).due == []


def test_a_host_that_joined_again_is_a_new_node() -> None:
    seen = observed("m1", "w1", passed=("m1", "w1"))
    seen["w1"]["swarm"]["node_id"] = "id-new"
    seen["m1"]["swarm"]["nodes"][1]["id"] = "id-new"
    assert gate_of(seen, "m1").due == ["w1"]
    assert gate_of(seen, "m1", ["w1"]).labels == {PROBED_LABEL: "id-m1 id-new"}


@pytest.mark.parametrize("availability", ["drain", "pause"])
def test_a_node_that_gets_no_prober_is_not_due(availability: str) -> None:
    assert gate_of(observed("m1", "w1", w1=node("w1", availability)), "m1").due == ["m1"]


def test_a_host_that_did_not_answer_or_is_in_no_swarm_is_not_due() -> None:
    seen = observed("m1", "w1", "w2")
    seen["w1"] = {}
    seen["w2"] = {"swarm": {"state": "inactive", "node_id": None}}
    assert gate_of(seen, "m1").due == ["m1"]


def test_nodes_without_our_label_have_the_name_of_their_engine() -> None:
    seen = observed("m1", "w1", w1=node("w1", labelled=False))
    assert gate_of(seen, "m1", ["m1", "host-w1"]).due == []


@pytest.mark.parametrize("acting", [None, "", "m9", "w1"])
def test_without_a_manager_that_acts_nobody_is_due(acting: str | None) -> None:
    assert probe_gate(observed("m1", "w1"), acting) == {"due": [], "labels": {}}
    assert probe_gate({}, acting) == {"due": [], "labels": {}}


def test_300_nodes_are_remembered() -> None:
    names = ["m1", *(f"w{n}" for n in range(299))]
    first = gate_of(observed(*names), "m1", names)
    assert first.due == []
    assert len(first.labels[PROBED_LABEL].split()) == 300
    assert gate_of(observed(*names), "m1").due == names


def test_a_plan_that_changes_labels_does_not_show_what_is_remembered() -> None:
    mark = {PROBED_LABEL: "id-m1 id-w1"}
    change = SettingChange("labels", {**mark, "a": "1"}, {**mark, "a": "2"})
    assert change.text == "labels: a=1 -> a=2"
    assert SettingChange("labels", {}, mark).text == f"labels: none -> {PROBED_LABEL}=id-m1 id-w1"
    assert SettingChange("labels", mark, {**mark, "a": "1"}).text == "labels: none -> a=1"
