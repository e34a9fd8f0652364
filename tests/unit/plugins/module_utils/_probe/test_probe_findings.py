# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is concluded from what probers report, for faults that namespaces of one machine cannot have; and that any report is judged."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.evaluate import (
    Finding,
    HostFacts,
    Reach,
    evaluate,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.observations import (
    Collected,
    Seen,
    frames,
    unpacked,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.report import render, result_of
from ansible_collections.flotilla.swarm.plugins.module_utils._probe.request import (
    ENCRYPTED,
    HOST,
    PLAIN,
    Overlay,
    Place,
)

COUNT = 4
ALL = range(COUNT)
PLACES = [Place(f"id{n}", f"m{n}", f"192.0.2.{n}", f"192.0.2.{n}:2377", "26.1.5") for n in ALL]


def address(where: str, n: int) -> str:
    return f"10.0.{5 if where == PLAIN else 6}.{n + 10}"


def a_peer(n: int, **changes: Any) -> dict[str, Any]:
    return {
        "node": n, "by": "name", "udp": True, "tcp": "ok", "unchecked": True, "mtu": 1450, "lost": 0, "trip": 0.4, **changes
    }  # fmt: skip


def a_sound_run() -> Seen:
    overlays = [
        Overlay(PLAIN, "flotilla-probe-plain", id="p" * 25),
        Overlay(ENCRYPTED, "flotilla-probe-encrypted", encrypted=True, id="e" * 25),
    ]
    seen = Seen("r", 9.0, list(PLACES), overlays, True, 30000, 4789)
    for overlay in overlays:
        where = overlay.where
        seen.tasks[where] = {address(where, n): f"id{n}" for n in ALL}
        seen.neighbours[where] = dict(seen.tasks[where])
        seen.facts[where] = {
            n: {
                "self": {"": {"address": address(where, n), "mtu": 1450}},
                "peer": {address(where, m): a_peer(m) for m in ALL if m != n},
                "heard": {str(m): 1 for m in ALL if m != n},
                "name": {
                    "tasks": {"code": "ok", "addresses": list(seen.tasks[where])},
                    "service": {"code": "ok", "addresses": ["10.0.5.2"]},
                },
                "vip": {"": {"address": "10.0.5.2", "answers": {str(m): 3 for m in ALL}}},
                "settled": {"": True},
            }
            for n in ALL
        }
    seen.facts[HOST] = {
        n: {
            **{f"tcp/{kind}": {str(m): "ok" for m in ALL if m != n} for kind in ("gossip", "manager")},
            **{f"heard/{kind}": {str(m): 1 for m in ALL if m != n} for kind in ("gossip", "data", "esp")},
            "published": {str(m): "ok" for m in ALL},
        }
        for n in ALL
    }  # fmt: skip
    seen.subnets = {"ingress": ["10.0.0.0/24"], "shop_default": ["10.0.1.0/24"]}
    return seen


def judged(seen: Seen, hosts: dict[str, HostFacts] | None = None) -> list[Finding]:
    found = evaluate(Reach(seen), hosts or {})
    assert render(Reach(seen), found)
    return found


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def break_pair(seen: Seen, where: str, a: int, b: int) -> None:
    """Nothing passes between two nodes in a network."""
    for one, other in ((a, b), (b, a)):
        facts = seen.facts[where][one]
        facts["peer"][address(where, other)].update(
            node=-1, udp=False, tcp="timeout", unchecked=False, mtu=None, lost=None
        )
        facts["heard"].pop(str(other))


def test_a_sound_run_has_no_finding_and_a_matrix() -> None:
    seen = a_sound_run()
    assert judged(seen) == []
    result = result_of(Reach(seen), [])
    assert len(result["pairs"]) == COUNT * (COUNT - 1)
    assert all(pair["ports"]["4789/udp"] for pair in result["pairs"])
    assert result["matrix"][-1] == "FINDINGS  none"
    assert any("12 of 12 pairs work" in line for line in result["matrix"])


def test_what_is_packed_comes_back() -> None:
    seen = a_sound_run()
    assert unpacked(seen.packed()) == seen
    assert unpacked("") is None


@pytest.mark.parametrize("text", ["x", "eJw=", "e30=", "eJyrrgUAAXUA+Q=="])
def test_what_is_not_packed_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(SwarmError) as caught:
        unpacked(text)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize(
    ("feature", "words"), [("ip_vs", "IPVS"), ("esp", "ESP"), ("vxlan", "VXLAN")]
)
def test_a_kernel_that_lacks_something_is_named_once(feature: str, words: str) -> None:
    seen = a_sound_run()
    if feature == "ip_vs":
        for where in (PLAIN, ENCRYPTED):
            seen.facts[where][2]["vip"][""]["answers"] = {"refused": 12}
        for n in ALL:
            seen.facts[HOST][n]["published"]["2"] = "timeout"
    else:
        for where in (ENCRYPTED,) if feature == "esp" else (PLAIN, ENCRYPTED):
            for n in (0, 1, 3):
                break_pair(seen, where, n, 2)
    found = only(judged(seen, {"id2": HostFacts(features={feature: False})}))
    assert (found.cause, found.nodes) == ("kernel_without", ["m2"])
    assert words in found.what


def test_a_kernel_that_lacks_what_nothing_needs_is_no_finding() -> None:
    lacking = {"id2": HostFacts(features={"ip_vs": False, "esp": False})}
    assert judged(a_sound_run(), lacking) == []


def test_mixed_versions_are_the_cause_only_if_plain_packets_pass() -> None:
    seen = a_sound_run()
    seen.places = [*PLACES[:3], Place("id3", "m3", "192.0.2.3", "", "28.5.2")]
    for n in range(3):
        break_pair(seen, ENCRYPTED, n, 3)
    found = only(judged(seen))
    assert (found.cause, found.nodes) == ("mixed_versions", ["m3"])
    assert "26.1.5, 28.5.2" in found.what
    for n in range(3):
        break_pair(seen, PLAIN, n, 3)
    assert {each.cause for each in judged(seen)} == {"unexplained"}


def test_nodes_that_do_not_reach_each_other_without_a_cause_are_not_hidden() -> None:
    seen = a_sound_run()
    break_pair(seen, ENCRYPTED, 0, 1)
    found = only(judged(seen))
    assert (found.cause, found.nodes) == ("unexplained", ["m0", "m1"])


def test_the_mtu_is_one_number_for_all_networks_and_fits_the_interfaces() -> None:
    seen = a_sound_run()
    for n in (0, 1, 3):
        seen.facts[PLAIN][n]["peer"][address(PLAIN, 2)]["mtu"] = 1354
        seen.facts[ENCRYPTED][n]["peer"][address(ENCRYPTED, 2)]["mtu"] = 1320
    found = only(judged(seen, {"id2": HostFacts(interface={"mtu": 1400})}))
    assert (found.cause, found.nodes) == ("mtu", ["m2"])
    assert found.data["mtu"] == {"flotilla-probe-plain": 1350, "flotilla-probe-encrypted": 1320}
    # The engine takes off what VXLAN and ESP add: 50 and 26 bytes.
    assert found.data["between_hosts"] == 1396
    assert "swarm_network_mtu to 1396" in found.advice


def test_a_firewall_that_drops_the_single_packets_is_no_finding_if_the_network_works() -> None:
    seen = a_sound_run()
    for n in ALL:
        seen.facts[HOST][n]["heard/data"] = {}
        seen.facts[HOST][n]["heard/esp"] = {}
    assert judged(seen) == []


def test_a_published_port_that_no_host_answers_is_the_mesh_and_that_others_do_not_reach_a_port() -> (
    None
):
    seen = a_sound_run()
    for n in ALL:
        seen.facts[HOST][n]["published"]["1"] = "timeout"
    found = only(judged(seen))
    assert (found.cause, found.nodes) == ("mesh", ["m1"])
    seen.facts[HOST][1]["published"]["1"] = "ok"
    found = only(judged(seen))
    assert (found.cause, found.nodes, found.data["port"]) == ("blocked_port", ["m1"], "30000/tcp")


def test_a_virtual_ip_that_does_not_answer() -> None:
    seen = a_sound_run()
    seen.facts[PLAIN][1]["vip"][""]["answers"] = {"timeout": 12}
    found = only(judged(seen))
    assert (found.cause, found.nodes, found.network) == ("vip", ["m1"], "flotilla-probe-plain")


def test_stale_entries_of_a_service_of_the_user() -> None:
    seen = a_sound_run()
    seen.overlays = [Overlay("net-1", "shop", own=False, id="s" * 25)]
    seen.facts["net-1"] = {n: {"self": {"": {"mtu": 1450}}} for n in ALL}
    seen.tasks = {"net-1": {}}
    seen.neighbours = {"net-1": {"10.0.1.7": "id1", "10.0.1.8": "id1", "10.0.1.9": "id2"}}
    right = {"10.0.1.7": "192.0.2.1", "10.0.1.8": "192.0.2.1", "10.0.1.9": "192.0.2.2"}
    wrong = {**right, "10.0.1.8": "192.0.2.3"}
    facts = {f"id{n}": HostFacts(entries={"s" * 25: right}) for n in ALL}
    assert judged(seen, facts) == []
    facts["id0"] = HostFacts(entries={"s" * 25: wrong})
    found = only(judged(seen, facts))
    assert (found.cause, found.nodes) == ("stale_entry", ["m0"])
    assert "10.0.1.8 of m1 leads to m3" in found.what
    facts["id0"] = HostFacts(entries={"s" * 25: {"10.0.1.7": "192.0.2.1", "10.0.1.8": "192.0.2.1"}})
    assert "10.0.1.9 of m2 has no entry" in only(judged(seen, facts)).what


def test_subnets_that_overlap() -> None:
    seen = a_sound_run()
    seen.subnets["other"] = ["10.0.1.128/25"]
    found = only(judged(seen, {"id1": HostFacts(routes=["10.0.0.0/16"])}))
    assert (found.cause, found.nodes) == ("overlapping_subnets", ["m1"])
    assert len(found.data["overlaps"]) == 4


def test_a_node_without_a_prober_is_no_finding_and_is_left_out() -> None:
    seen = a_sound_run()
    seen.places = [*PLACES[:3], Place("id3", "m3", "192.0.2.3", "", reason="its state is down")]
    for n in range(3):
        break_pair(seen, PLAIN, n, 3)
    assert judged(seen) == []
    assert result_of(Reach(seen), [])["not_probed"] == {"m3": "its state is down"}


def test_a_node_that_is_ready_and_silent_is_a_finding() -> None:
    seen = a_sound_run()
    seen.places = [
        *PLACES[:3],
        Place("id3", "m3", "192.0.2.3", "", reason="it has not reported", silent=True),
    ]
    assert only(judged(seen)).cause == "no_report"


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_any_number_of_nodes(count: int) -> None:
    places = [Place(f"id{n}", f"n{n}", f"192.0.2.{n}", "") for n in range(count)]
    seen = Seen("r", 1.0, places, [Overlay(PLAIN, "plain")], True, 0, 4789)
    text = render(Reach(seen), judged(seen))
    assert len(text.splitlines()) < 80
    assert ("no node was probed" in text) == (count == 0)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["ok", "0", "1", "10.0.5.11"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["", "0", "1", "tasks", "service", "10.0.5.11"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KINDS = ("self", "peer", "heard", "name", "vip", "published", "tcp/gossip", "heard/data")


@given(st.dictionaries(st.sampled_from(KINDS), VALUES, max_size=6))
def test_nothing_that_a_prober_prints_breaks_the_judgement(facts: dict[str, Any]) -> None:
    seen = a_sound_run()
    lines = [
        [kind, key, value]
        for kind, values in facts.items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    collected = Collected("r")
    for where in (HOST, PLAIN):
        line = {"probe": "r", "node": 1, "where": where, "began": 1, "line": 1, "facts": lines}
        collected.add(framed(json.dumps(line)))
        for n in (0, 2, 3):
            collected.facts[where][n] = seen.facts[where][n]
    seen.facts = collected.facts
    judged(seen)


# Logs


def framed(*lines: str) -> bytes:
    pieces = [f"{line}\n".encode() for line in lines]
    return b"".join(struct.pack("!BxxxI", 1, len(piece)) + piece for piece in pieces)


def a_line(number: int, value: Any, began: float = 1.0, **more: Any) -> str:
    line = {"probe": "r", "node": 0, "where": "host", "began": began, "line": number}
    return json.dumps({**line, "facts": [["tcp/gossip", "1", value]], **more})


def value_of(collected: Collected) -> Any:
    return collected.facts["host"][0]["tcp/gossip"]["1"]


def test_a_log_that_is_read_again_and_cut_off_takes_nothing_back() -> None:
    collected = Collected("r")
    collected.add(framed(a_line(1, "timeout"), a_line(2, "ok")))
    collected.add(framed(a_line(1, "timeout")))
    assert value_of(collected) == "ok"


def test_a_prober_that_is_started_again_begins_anew() -> None:
    collected = Collected("r")
    collected.add(framed(a_line(5, "ok")))
    collected.add(framed(a_line(1, "timeout", began=2.0)))
    assert value_of(collected) == "timeout"


def test_lines_of_others_are_nothing() -> None:
    collected = Collected("r")
    others = ["", "x", "{}", '{"probe": 1', '{"probe":"s","node":0}', '{"probe":"r","node":"x"}']
    collected.add(framed(*others) + b"\x09\0\0\0\0\0\0\1x" + framed(a_line(1, "ok")))
    assert collected.facts == {}
    assert list(frames(b"\1\0\0\0\0\0\0\5ab")) == []


def test_an_error_of_a_prober_is_kept() -> None:
    collected = Collected("r")
    collected.add(framed('{"probe":"r","node":2,"where":"host","error":"no raw socket"}'))
    assert collected.errors == {"host/2": "no raw socket"}
