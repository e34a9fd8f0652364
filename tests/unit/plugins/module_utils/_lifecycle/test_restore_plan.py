# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a backup is restored, what is refused, and how the backup is found on the controller."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import restore_source
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.backup_files import (
    BackupName,
    meta_of,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.restore_plan import (
    Given,
    RestorePlan,
    plan_restore,
)

HOSTS = {"m1": "192.0.2.11", "m2": "192.0.2.12", "m3": "192.0.2.13", "w1": "192.0.2.21"}
MANAGERS = ["m1", "m2", "m3"]
CLUSTER = "w5n3oxy1wp4f9908xa9fd7kyr"


def meta(kind: str = "raft", **more: Any) -> dict[str, Any]:
    about: dict[str, Any] = {
        "cluster_id": CLUSTER,
        "address": "192.0.2.12",
        "engine_version": "26.1.5",
        "sha256": "0" * 64,
        "size": 1,
        "recipients": [],
        "autolock": False,
    }
    return meta_of(BackupName(kind, "20261129T074500Z", "m2"), **{**about, **more})


def facts(host: str, state: str = "inactive", **swarm: Any) -> dict[str, Any]:
    return {
        "host": {
            "root": True,
            "systemd": True,
            "addresses": [{"address": HOSTS[host]}, {"address": "172.17.0.1"}],
        },
        "engine": {"installed": True, "version": "26.1.5"},
        "swarm": {"state": state, "role": None, "cluster_id": None, **swarm},
    }


def fresh(**changes: dict[str, Any]) -> dict[str, Any]:
    return {host: changes.get(host, facts(host)) for host in HOSTS}


def planned(
    about: dict[str, Any] | None = None,
    observed: dict[str, Any] | None = None,
    progress: dict[str, Any] | None = None,
    **given_: Any,
) -> RestorePlan:
    given = Given(**{"confirm": CLUSTER, **given_})
    return plan_restore(about or meta(), observed or fresh(), MANAGERS, progress or {}, given)


def test_fresh_hosts_with_the_old_addresses() -> None:
    plan = planned()
    assert plan.refusals == ()
    assert plan.host == "m2"
    assert plan.lines() == [
        "PLAN  restore of swarm w5n3ox from the raft backup of m2, taken 2026-11-29 07:45 UTC",
        "  1  m2          decrypt and check the backup in memory",
        "  2  m2          stop the engine, unpack the backup, start it",
        "  3  m2          make it the only manager (force a new cluster)",
        "  4  m1, m3, w1  join again, by the plan of site.yml",
        "  ! what was changed in the swarm after 2026-11-29 07:45 UTC is lost",
    ]


def test_a_manager_that_was_drained_for_the_backup_goes_back_into_service_last() -> None:
    plan = planned({**meta(), "drained": True})
    assert plan.steps[-1] == ("m2", "put it back into service: it was drained for the backup")
    assert len(plan.steps) == len(planned({**meta(), "drained": False}).steps) + 1


def test_without_confirmation_the_plan_is_shown_and_refused() -> None:
    for confirm, words in (("", "is not set"), ("w5n3ox", "is w5n3ox")):
        plan = planned(confirm=confirm)
        (refusal,) = plan.refusals
        assert words in refusal
        assert f"set swarm_restore_confirm={CLUSTER}" in refusal
        assert len(plan.steps) == 4
    assert planned(confirm="", check_mode=True).refusals == ()


def test_an_old_address_that_is_gone_is_refused() -> None:
    moved = facts("m2")
    moved["host"]["addresses"] = [{"address": "192.0.2.99"}]
    (refusal,) = planned(observed=fresh(m2=moved)).refusals
    assert "m2 has 192.0.2.99: a raft backup needs the old address" in refusal
    exchanged = fresh(m2=moved)
    exchanged["m3"]["host"]["addresses"].append({"address": "192.0.2.12"})
    (refusal,) = planned(observed=exchanged).refusals
    assert "now m3 has this address" in refusal


def test_a_host_with_another_name_at_the_old_address_will_do() -> None:
    observed = {("n2" if host == "m2" else host): each for host, each in fresh().items()}
    plan = plan_restore(meta(), observed, ["m1", "n2", "m3"], {}, Given(confirm=CLUSTER))
    assert (plan.host, plan.refusals) == ("n2", ())


def test_a_host_that_is_not_listed_or_silent_is_refused() -> None:
    observed = fresh()
    del observed["m2"]
    (refusal,) = planned(observed=observed).refusals
    assert "no listed host that answers has this address" in refusal
    (refusal,) = planned(observed=fresh(m2={})).refusals
    assert refusal.startswith("m2 does not answer")


def test_a_living_swarm_is_refused_wherever_it_is() -> None:
    for host in HOSTS:
        alive = facts(host, "active", role="manager", cluster_id=CLUSTER)
        refusals = planned(observed=fresh(**{host: alive})).refusals
        assert any(f"{host} is in swarm {CLUSTER}, which has a leader" in each for each in refusals)
    worker = facts("w1", "active", role="worker", remote_managers=[{"addr": "198.51.100.1:2377"}])
    (refusal,) = planned(observed=fresh(w1=worker)).refusals
    assert "managers are not all listed (198.51.100.1:2377)" in refusal


def test_managers_without_a_leader_leave_and_workers_stay() -> None:
    plan = planned(
        observed=fresh(
            m1=facts("m1", "locked", role="worker"),
            m2=facts("m2", "active", role="manager"),
            m3=facts("m3", "pending", role="manager"),
            w1=facts("w1", "active", role="worker", remote_managers=[{"addr": "192.0.2.13:2377"}]),
        )
    )
    assert plan.refusals == ()
    assert plan.leave == ("m1", "m3")
    assert any("keep the present state" in what for _host, what in plan.steps)


def test_hosts_that_do_not_answer_may_be_the_old_swarm() -> None:
    observed = fresh(m1={}, w1={})
    (refusal,) = planned(observed=observed).refusals
    assert refusal.startswith("m1, w1 did not answer")
    assert "swarm_restore_accepted_risks=silent_hosts" in refusal
    assert planned(observed=observed, accepted_risks=["silent_hosts"]).refusals == ()


def test_an_older_engine_is_refused() -> None:
    old = facts("m2")
    old["engine"]["version"] = "20.10.24+dfsg1"
    (refusal,) = planned(observed=fresh(m2=old)).refusals
    assert "m2 has engine 20.10.24+dfsg1, and the backup is of the newer 26.1.5" in refusal
    assert planned(observed=fresh(m2=old), accepted_risks=["older_engine"]).refusals == ()
    newer = facts("m2")
    newer["engine"]["version"] = "28.5.2"
    assert planned(observed=fresh(m2=newer)).refusals == ()


def test_a_backup_of_an_autolocked_swarm_needs_its_key_and_is_locked_again() -> None:
    (refusal,) = planned(meta(autolock=True)).refusals
    assert "set swarm_unlock_key" in refusal
    plan = planned(meta(autolock=True), unlock_key=True)
    assert plan.refusals == ()
    assert ("m2", "turn autolock on again, with a new unlock key") in plan.steps


@pytest.mark.parametrize("phase", ["begun", "unpacked", "restored"])
def test_an_interrupted_restore_is_resumed(phase: str) -> None:
    alive = facts("m2", "active", role="manager", cluster_id=CLUSTER)
    note = {"m2": {"sha256": "0" * 64, "phase": phase}}
    plan = planned(meta(autolock=True), fresh(m2=alive), note, unlock_key=phase != "restored")
    assert plan.refusals == ()
    assert "an interrupted restore of this backup is resumed on m2" in plan.notes
    assert (len(plan.steps) == 1) == (phase == "restored")
    # The note of another backup allows nothing.
    other = {"m2": {"sha256": "1" * 64, "phase": phase}}
    assert planned(observed=fresh(m2=alive), progress=other).refusals


def test_an_export_needs_no_address_and_no_confirmation() -> None:
    plan = planned(meta("export", autolock=True), confirm="")
    assert plan.refusals == ()
    assert (plan.host, plan.builds) == ("m1", True)
    alive = facts("m3", "active", role="manager", cluster_id="other")
    plan = planned(meta("export"), fresh(m3=alive))
    assert (plan.host, plan.builds, plan.refusals) == ("m3", False, ())


def test_an_export_needs_a_manager_that_answers() -> None:
    (refusal,) = planned(meta("export"), fresh(m1={}, m2={}, m3={})).refusals
    assert refusal == "no manager of the inventory answers"


STATES = st.sampled_from(["inactive", "active", "pending", "locked", "error", "unknown"])
FACTS = st.fixed_dictionaries(
    {
        "state": STATES,
        "role": st.sampled_from([None, "manager", "worker"]),
        "cluster_id": st.sampled_from([None, CLUSTER, "other"]),
    }
)


@given(hosts=st.fixed_dictionaries({host: st.none() | FACTS for host in HOSTS}))
def test_no_plan_touches_a_swarm_that_lives(hosts: dict[str, Any]) -> None:
    observed = {host: {} if said is None else facts(host, **said) for host, said in hosts.items()}
    for kind in ("raft", "export"):
        plan = planned(meta(kind), observed, accepted_risks=["silent_hosts"])
        living = [host for host, said in hosts.items() if said and said["cluster_id"]]
        assert not set(plan.leave) & set(living)
        if kind == "raft" and living:
            assert plan.refusals
        assert plan.lines()[0].startswith("PLAN  restore of swarm w5n3ox")


# The file on the controller ---------------------------------------------------------------------------------


def put(folder: Path, name: BackupName, data: bytes = b"x", **more: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name.data).write_bytes(data)
    about = meta(name.kind, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    (folder / name.meta).write_text(json.dumps({**about, **more}), encoding="utf-8")
    return folder / name.data


OLD = BackupName("raft", "20261128T074500Z", "m1")
NEW = BackupName("raft", "20261129T074500Z", "m2")
EXPORT = BackupName("export", "20261130T074500Z", "m1")


def test_a_file_or_the_newest_of_a_directory(tmp_path: Path) -> None:
    old, new = put(tmp_path / CLUSTER, OLD), put(tmp_path / CLUSTER, NEW)
    assert restore_source.find_backup(str(old)).path == str(old)
    for place in (tmp_path, tmp_path / CLUSTER):
        assert restore_source.find_backup(str(place)).path == str(new)


def test_a_directory_with_both_kinds_or_several_swarms_needs_a_choice(tmp_path: Path) -> None:
    put(tmp_path / CLUSTER, NEW)
    export = put(tmp_path / CLUSTER, EXPORT)
    with pytest.raises(SwarmError, match="Set swarm_restore_kind to raft"):
        restore_source.find_backup(str(tmp_path))
    assert restore_source.find_backup(str(tmp_path), "export").path == str(export)
    put(tmp_path / "other", NEW)
    with pytest.raises(SwarmError, match=f"backups of the swarms other, {CLUSTER}"):
        restore_source.find_backup(str(tmp_path), "raft")


def test_what_is_damaged_incomplete_or_no_backup_is_refused(tmp_path: Path) -> None:
    damaged = put(tmp_path / "a", NEW)
    damaged.write_bytes(b"y")
    alone = put(tmp_path / "b", NEW)
    (tmp_path / "b" / NEW.meta).unlink()
    wrong = put(tmp_path / "c", NEW, format=9)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    for path, words in (
        (damaged, "it is damaged"),
        (alone, "is missing"),
        (wrong, "it has format 9"),
        (tmp_path / "notes.txt", "its name is not that of a backup"),
        (tmp_path / "empty", "has no complete one"),
        (tmp_path / "nowhere", "does not exist"),
    ):
        with pytest.raises(SwarmError, match=words):
            restore_source.find_backup(str(path))


def test_what_is_no_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("# a comment\nAGE-SECRET-KEY-1XYZ\n", encoding="utf-8")
    restore_source.check_identity(str(tmp_path / "id"))
    # Ansible opens it where the playbook reads it.
    (tmp_path / "vault").write_text("$ANSIBLE_VAULT;1.1;AES256\n6163\n", encoding="utf-8")
    restore_source.check_identity(str(tmp_path / "vault"))
    (tmp_path / "public").write_text("age1xyz\n", encoding="utf-8")
    # Nobody writes into it: to open it would wait for ever.
    os.mkfifo(tmp_path / "pipe")
    for name in ("public", "nowhere", "pipe", "."):
        with pytest.raises(SwarmError, match="swarm_restore_identity_file"):
            restore_source.check_identity(str(tmp_path / name))
