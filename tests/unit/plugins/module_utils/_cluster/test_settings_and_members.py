# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings, membership, waiting and the verdict: the other pure parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._cluster import (
    settings as swarm_settings,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.member import init_body, plan
from ansible_collections.flotilla.swarm.plugins.module_utils._cluster.observe import settled_nodes
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import poll
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import (
    Member,
    may_lose,
    parse_member,
    parse_node,
    quorum_of,
)

# As an engine 26.1 returned it, after autolock, labels, expiry and history had been set.
SPEC: dict[str, Any] = {
    "Name": "default",
    "Labels": {"env": "prod"},
    "Orchestration": {"TaskHistoryRetentionLimit": 10},
    "Raft": {
        "SnapshotInterval": 10000,
        "KeepOldSnapshots": 0,
        "LogEntriesForSlowFollowers": 500,
        "ElectionTick": 10,
        "HeartbeatTick": 1,
    },
    "Dispatcher": {"HeartbeatPeriod": 5000000000},
    "CAConfig": {"NodeCertExpiry": 2592000000000000},
    "TaskDefaults": {},
    "EncryptionConfig": {"AutoLockManagers": True},
}

KEY = "SWMKEY-1-" + "x" * 43


def paths(value: Any, *here: str) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict) or not value:
        return {here: value}
    found: dict[tuple[str, ...], Any] = {}
    for key, item in value.items():
        found.update(paths(item, *here, key))
    return found


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({"election_tick": 5}, {("Raft", "ElectionTick")}),
        ({"node_cert_expiry": "90d"}, {("CAConfig", "NodeCertExpiry")}),
        ({"autolock_managers": False}, {("EncryptionConfig", "AutoLockManagers")}),
        ({"labels": {"tier": "one"}}, {("Labels", "tier")}),
        ({"labels": {"env": None}}, {("Labels", "env"), ("Labels",)}),
        ({"node_cert_expiry": "720h", "labels": {"env": "prod"}, "election_tick": None}, set()),
    ],
)
def test_only_what_was_named_changes(wanted: dict[str, Any], changed: set[tuple[str, ...]]) -> None:
    steps = swarm_settings.plan_settings(swarm_settings.read_settings(SPEC), wanted)
    after = swarm_settings.apply_settings(SPEC, steps)
    before_paths, after_paths = paths(SPEC), paths(after)
    differing = {
        path
        for path in before_paths.keys() | after_paths.keys()
        if before_paths.get(path) != after_paths.get(path)
    }
    assert differing == changed
    again = swarm_settings.plan_settings(swarm_settings.read_settings(after), wanted)
    assert again == []


def test_settings_of_an_engine_that_leaves_keys_out() -> None:
    found = swarm_settings.read_settings({"EncryptionConfig": {}})
    assert found["autolock_managers"] is False
    assert swarm_settings.plan_settings(found, {"autolock_managers": False}) == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"no_such_setting": 1},
        {"election_tick": "ten"},
        {"election_tick": True},
        {"election_tick": -1},
        {"autolock_managers": "yes"},
        {"node_cert_expiry": "soon"},
        {"node_cert_expiry": 90},
        {"labels": ["a"]},
    ],
)
def test_bad_settings_are_one_sentence(wanted: dict[str, Any]) -> None:
    with pytest.raises(SwarmError) as caught:
        swarm_settings.plan_settings(swarm_settings.read_settings(SPEC), wanted)
    assert caught.value.code == "bad_setting"
    assert next(iter(wanted)) in caught.value.message


@given(st.integers(0, 10**15))
def test_durations_survive_the_round_trip(milliseconds: int) -> None:
    nanoseconds = milliseconds * 10**6
    text = swarm_settings.format_duration(nanoseconds)
    assert swarm_settings.parse_duration(text) == nanoseconds


class OutOfSequence:
    """An engine on which somebody else is quicker, a given number of times."""

    def __init__(self, races: int) -> None:
        self.races = races
        self.version = 10
        self.spec: dict[str, Any] = {"Raft": {"ElectionTick": 10}}

    def swarm(self) -> dict[str, Any]:
        return {"Version": {"Index": self.version}, "Spec": self.spec}

    def update_swarm(self, version: int, spec: dict[str, Any]) -> None:
        if self.races:
            self.races -= 1
            self.version += 1
            self.spec = {**self.spec, "Labels": {"other": str(self.races)}}
        if version != self.version:
            raise SwarmError("out_of_sequence", "update out of sequence")
        self.spec = spec


def test_a_race_is_planned_again_and_keeps_what_the_other_wrote() -> None:
    engine = OutOfSequence(2)
    swarm_settings.change_settings(engine, {"election_tick": 5}, check_mode=False)
    assert engine.spec == {"Raft": {"ElectionTick": 5}, "Labels": {"other": "0"}}


def test_endless_races_end_in_an_error() -> None:
    with pytest.raises(SwarmError, match="out of sequence"):
        swarm_settings.change_settings(OutOfSequence(99), {"election_tick": 5}, check_mode=False)


# Membership


def wish(state: str, **more: Any) -> dict[str, Any]:
    return {
        "state": state,
        "role": "worker",
        "join_token": None,
        "remote_addrs": [],
        "cluster_id": None,
        "unlock_key": None,
        "node_id": None,
        "force": False,
        "settings": {},
        "listen_addr": "0.0.0.0:2377",
        "advertise_addr": None,
        "data_path_addr": None,
        "data_path_port": None,
        "default_addr_pool": [],
        "subnet_size": None,
        **more,
    }


@pytest.mark.parametrize(
    ("member", "wanted", "steps"),
    [
        (Member("inactive"), wish("initialized"), ["initialise a swarm"]),
        (Member("active", role="manager"), wish("initialized"), []),
        (Member("inactive"), wish("joined", role="manager"), ["join as manager"]),
        (Member("active", role="worker"), wish("joined"), []),
        (Member("pending", role="worker"), wish("joined"), []),
        (Member("inactive"), wish("left"), []),
        (Member("active", role="worker"), wish("left"), ["leave the swarm"]),
        (Member("active", role="manager"), wish("left", force=True), ["leave the swarm"]),
        (Member("locked", role="manager"), wish("unlocked", unlock_key=f" {KEY}\n"), ["unlock"]),
        (Member("active", role="manager"), wish("unlocked"), []),
    ],
)
def test_membership_moves(member: Member, wanted: dict[str, Any], steps: list[str]) -> None:
    assert plan(member, wanted) == steps


def test_only_the_node_that_was_meant_leaves() -> None:
    meant = wish("left", node_id="abc")
    assert plan(Member(state="active", node_id="abc", role="worker"), meant) == ["leave the swarm"]
    for member in (Member(state="active", node_id="other", role="worker"), Member("inactive")):
        with pytest.raises(SwarmError) as caught:
            plan(member, meant)
        assert caught.value.code == "other_node"


@pytest.mark.parametrize(
    ("member", "wanted", "code"),
    [
        (Member("locked"), wish("joined"), "locked"),
        (Member("error", error="x509"), wish("joined"), "swarm_error"),
        (Member("active", role="manager"), wish("left"), "is_manager"),
        (Member("locked"), wish("unlocked"), "no_unlock_key"),
        (Member("locked"), wish("unlocked", unlock_key="k"), "wrong_unlock_key"),
        (Member("locked"), wish("unlocked", unlock_key=KEY[:-1]), "wrong_unlock_key"),
        (
            Member("active", role="manager", cluster_id="one"),
            wish("joined", cluster_id="two"),
            "foreign_swarm",
        ),
        (
            Member(
                "active",
                role="worker",
                remote_managers=[{"node_id": "x", "addr": "198.51.100.1:2377"}],
            ),
            wish("joined", remote_addrs=["192.0.2.1"]),
            "foreign_swarm",
        ),
    ],
)
def test_membership_refusals(member: Member, wanted: dict[str, Any], code: str) -> None:
    with pytest.raises(SwarmError) as caught:
        plan(member, wanted)
    assert caught.value.code == code


def test_init_sends_only_what_was_asked() -> None:
    assert init_body(wish("initialized")) == {"ListenAddr": "0.0.0.0:2377", "Spec": {}}
    body = init_body(
        wish("initialized", settings={"node_cert_expiry": "30d"}, default_addr_pool=["10.9.0.0/16"])
    )
    assert body["Spec"] == {"CAConfig": {"NodeCertExpiry": 2592000000000000}}
    assert body["DefaultAddrPool"] == ["10.9.0.0/16"]
    assert "SubnetSize" not in body


# Parsing


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["Spec", "Status", "Description", "Labels", "State", "Mode", "Swarm"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["ID", "Spec", "Status", "Description"]), st.none(), max_size=4)
)
def test_nodes_with_missing_parts_are_parsed(document: dict[str, Any]) -> None:
    assert parse_node(document).ready is False


def test_a_swarm_classic_endpoint_is_named() -> None:
    member = parse_member({"ServerVersion": "swarm/1.2.9", "Swarm": {}})
    assert member.state == "unknown"
    assert "Swarm Classic" in str(member.error)


@given(st.integers(1, 50))
def test_quorum_is_a_majority(managers: int) -> None:
    assert quorum_of(managers) * 2 > managers
    assert (managers - may_lose(managers)) >= quorum_of(managers)
    assert (managers - may_lose(managers) - 1) < quorum_of(managers)


# Waiting


@pytest.mark.parametrize(("heard_after", "waits"), [(0, 0), (12, 12), (1000, 60)])
def test_the_nodes_are_read_once_a_new_leader_has_heard_from_them(
    heard_after: int, waits: int, clock: Any
) -> None:
    signs: list[float] = []
    description = {"Engine": {"EngineVersion": "26.1.5"}}

    def read() -> list[dict[str, Any]]:
        state = "ready" if clock.time >= heard_after else "unknown"
        return [
            {"ID": "here", "Status": {"State": "ready"}, "Description": description},
            {"ID": "late", "Status": {"State": state}, "Description": description},
            # Its host has died before it registered.
            {"ID": "never", "Status": {"State": "unknown"}},
        ]

    nodes = settled_nodes(read, lambda: signs.append(clock.time), clock)
    assert clock.time == waits
    assert [node.id for node in nodes] == ["here", "late", "never"]
    # Who waits says that it is alive.
    assert signs == [*range(waits + 1)]


def test_the_last_sleep_ends_at_the_deadline_and_is_followed_by_a_look(clock: Any) -> None:
    looks: list[float] = []

    def probe() -> float:
        looks.append(clock.time)
        return clock.time

    assert poll(probe, lambda seen: False, 5, 2, clock) == (5, False)
    assert clock.slept == [2, 2, 1]
    assert looks == [0, 2, 4, 5]


def test_what_is_true_at_the_deadline_counts(clock: Any) -> None:
    assert poll(clock.now, lambda seen: seen >= 5, 5, 2, clock) == (5, True)


def test_no_timeout_still_looks_once(clock: Any) -> None:
    assert poll(lambda: 7, lambda seen: True, 0, clock=clock) == (7, True)
