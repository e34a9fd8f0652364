# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host's part of a recovery, up to where an engine is needed; the rest is drilled on real hosts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._host.files import free_bytes
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import (
    recovery,
    recovery_info,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.recovery import (
    Recovery,
    init_body,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.recovery_info import (
    engine_of,
    observe_recovery,
    read_note,
)

CLUSTER = "vuimnu900ys1hf3yqn8q7avfn"
KNOWN = {
    "LocalAddr": "192.0.2.11",
    "RemoteAddr": "",
    "ListenAddr": "0.0.0.0:2377",
    "AdvertiseAddr": "192.0.2.11:2377",
    "DataPathAddr": "",
    "DefaultAddressPool": None,
    "SubnetSize": 0,
    "DataPathPort": 4790,
    "JoinInProgress": False,
}


def test_a_new_swarm_is_forced_with_the_addresses_of_the_old_one() -> None:
    assert init_body(json.dumps(KNOWN)) == {
        "ForceNewCluster": True,
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "192.0.2.11:2377",
        "DataPathPort": 4790,
    }


@pytest.mark.parametrize("state", ["", "{", "[]", "7"])
def test_without_its_state_an_engine_chooses_its_address(state: str) -> None:
    assert init_body(state) == {"ForceNewCluster": True, "ListenAddr": "0.0.0.0:2377"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the observation of this host says, and its folders."""
    folder = tmp_path / "swarm"
    (folder / "certificates").mkdir(parents=True)
    (folder / "certificates" / "swarm-node.key").write_text("no key")
    found: dict[str, Any] = {
        "root": True,
        "engine": {"active": True, "answers": True, "state": "locked", "control": False},
        "files": {
            "folder": str(folder),
            "cluster_id": CLUSTER,
            "node_id": "node1",
            "manager": True,
            "sealed": True,
            "raft": {"commit": 7, "term": 1, "index": 7},
            "size_bytes": 10,
        },
        "note": {},
    }
    monkeypatch.setattr(recovery, "observe_recovery", lambda *_args: found)
    monkeypatch.setattr(Recovery, "_need_sdk", lambda _self: None)
    monkeypatch.setattr(recovery, "NOTE", str(tmp_path / "notes" / "recover.json"))
    return found


def work(tmp_path: Path, **more: Any) -> Recovery:
    def never(_args: list[str]) -> tuple[int, str, str]:
        raise AssertionError("nothing may be run")

    params = {
        "docker_host": "unix:///nowhere",
        "state": "recovered",
        "cluster_id": CLUSTER,
        "unlock_key": "SWMKEY-1-" + "A" * 43,
        "autolock": True,
        "copy_folder": str(tmp_path / "copies"),
        "timeout": 1,
        "observe_timeout": 1,
        "wait_timeout": 1,
    }
    return Recovery({**params, **more}, never)


def test_check_mode_has_the_steps_and_changes_nothing(tmp_path: Path, host: dict[str, Any]) -> None:
    done = work(tmp_path)
    done.run(check_mode=True)
    assert done.steps == [
        *("stop", "copy", "open", "start"),
        *("force", "restart", "lock", "remove"),
    ]
    assert done.applied == []
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (dict(unlock_key=None), "no_unlock_key"),
        (dict(cluster_id="another"), "foreign_swarm"),
        # The key file here is none.
        ({}, "bad_key_file"),
    ],
)
def test_what_is_refused_is_refused_before_the_engine_is_stopped(
    tmp_path: Path, host: dict[str, Any], more: dict[str, Any], code: str
) -> None:
    refused = work(tmp_path, **more)
    with pytest.raises(SwarmError) as raised:
        refused.run(check_mode=False)
    assert raised.value.code == code
    assert refused.applied == []


def test_a_host_without_a_raft_log_cannot_be_recovered_and_need_not_leave(
    tmp_path: Path, host: dict[str, Any]
) -> None:
    host["files"] = None
    with pytest.raises(SwarmError) as raised:
        work(tmp_path).run(check_mode=False)
    assert raised.value.code == "not_in_swarm"
    leaves = work(tmp_path, state="left")
    leaves.run(check_mode=False)
    assert leaves.steps == []


def test_a_manager_that_sees_a_leader_does_not_leave(tmp_path: Path, host: dict[str, Any]) -> None:
    host["engine"]["leader"] = True
    with pytest.raises(SwarmError) as raised:
        work(tmp_path, state="left").run(check_mode=False)
    assert raised.value.code == "is_manager"


def test_a_copy_without_room_is_not_begun(tmp_path: Path, host: dict[str, Any]) -> None:
    host["files"]["size_bytes"] = 1 << 60
    host["engine"] = {"active": True, "answers": True, "state": "active", "control": True}
    host["files"]["sealed"] = False
    with pytest.raises(SwarmError) as raised:
        work(tmp_path).run(check_mode=False)
    assert raised.value.code == "copy_failed"
    assert os.listdir(tmp_path / "copies") == []


def test_a_file_is_replaced_at_once_and_for_root_alone(tmp_path: Path) -> None:
    path = tmp_path / "swarm-node.key"
    path.write_text("old")
    # What a killed run has left does not stop the next one.
    (tmp_path / ".flotilla-swarm-node.key").write_text("half")
    recovery._write(str(path), "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["swarm-node.key"]


def test_a_folder_for_copies_must_be_an_absolute_path(tmp_path: Path) -> None:
    with pytest.raises(SwarmError) as raised:
        observe_recovery({"copy_folder": "copies"}, lambda _seconds: None)
    assert raised.value.code == "bad_option"
    assert free_bytes(str(tmp_path / "not" / "yet")) == free_bytes(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cluster_id": "another"}'])
def test_a_note_of_another_swarm_is_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_info, "NOTE", str(tmp_path / "recover.json"))
    (tmp_path / "recover.json").write_text(text)
    assert read_note(CLUSTER) == {}
    (tmp_path / "recover.json").write_text(json.dumps({"cluster_id": CLUSTER, "forced": True}))
    assert read_note(CLUSTER)["forced"] is True
    assert read_note(None) == {}


def test_an_engine_that_does_not_answer_is_told() -> None:
    seen = engine_of(
        {
            "docker_host": "unix:///nowhere/docker.sock",
            "timeout": 1,
            "observe_timeout": 1,
            "election_timeout": 0,
        },
        lambda: None,
    )
    assert (seen["answers"], seen["leader"], seen["state"]) == (False, False, "unknown")
    assert "/nowhere/docker.sock" in seen["error"]
