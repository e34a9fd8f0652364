# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of a restore on one host: what it refuses, what it reads, and what it puts in the place of what."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import restore_host
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.restore_host import (
    HostState,
    Restore,
    Wanted,
    force_body,
    plan,
    prefix_of,
    unsafe,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model.documents import Member

KEY = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
FILES = {
    "certificates/swarm-node.key": KEY,
    "certificates/swarm-node.crt": "certificate",
    "certificates/swarm-root-ca.crt": "ca",
    "state.json": "{}",
    "raft/wal-v3-encrypted/0-0.wal": "log",
}


def wanted(file: str = "x", sha256: str = "0", **more: Any) -> Wanted:
    about: dict[str, Any] = {"autolock": False, **more}
    return Wanted(file, "c1", sha256, "192.0.2.11", "26.1.5", **about)


def state(**more: Any) -> HostState:
    about: dict[str, Any] = {
        "running": True,
        "version": "26.1.5",
        "member": Member(state="inactive"),
        "swarm_dir": "/var/lib/docker/swarm",
        "has_state": False,
        "phase": "",
        "addresses": ("192.0.2.11", "172.17.0.1"),
    }
    return HostState(**{**about, **more})


def archive(prefix: str = "swarm/", files: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in (files or FILES).items():
            info = tarfile.TarInfo(prefix + name)
            info.size, info.mode = len(text), 0o600
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def test_a_fresh_host() -> None:
    assert plan(state(), wanted()) == [
        "stop the engine",
        "unpack the backup",
        "start the engine",
        "force a new cluster",
        "remove the nodes of the other managers",
    ]


def test_what_is_there_is_moved_aside() -> None:
    steps = plan(state(has_state=True), wanted(autolock=True))
    assert steps[1] == "move /var/lib/docker/swarm aside"
    assert "turn on autolock, with a new unlock key" in steps


def test_an_interrupted_restore_is_finished_and_a_complete_one_is_left_alone() -> None:
    restored = Member(state="active", role="manager", cluster_id="c1")
    assert plan(state(phase="unpacked", has_state=True), wanted())[0] == "start the engine"
    assert plan(state(phase="unpacked", member=restored), wanted(autolock=True)) == [
        "turn on autolock, with a new unlock key",
        "remove the nodes of the other managers",
    ]
    assert plan(state(phase="begun"), wanted())[0] == "stop the engine"
    assert plan(state(phase="restored", member=restored), wanted()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"member": Member(state="active", cluster_id="c1")}, "in swarm c1, which has a leader"),
        ({"addresses": ("192.0.2.99",)}, "has not the address 192.0.2.11"),
        ({"version": "20.10.24"}, "its engine 20.10.24 is older than 26.1.5"),
        ({"systemd": False}, "no systemd"),
    ],
)
def test_refusals(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SwarmError, match=words) as error:
        plan(state(**change), wanted())
    assert error.value.code == "refused"


def test_an_older_engine_can_be_accepted() -> None:
    assert plan(state(version="20.10.24"), wanted(older_engine=True))


@given(
    phase=st.sampled_from(["", "begun", "unpacked", "restored"]),
    cluster=st.sampled_from([None, "c1", "other"]),
    has_state=st.booleans(),
)
def test_the_state_of_a_swarm_that_lives_is_never_replaced(
    phase: str, cluster: str | None, has_state: bool
) -> None:
    seen = state(
        phase=phase, has_state=has_state, member=Member(state="active", cluster_id=cluster)
    )
    try:
        steps = plan(seen, wanted())
    except SwarmError:
        return
    assert not (cluster and "unpack the backup" in steps)


# Reading ----------------------------------------------------------------------------------------------------


def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> Wanted:
    (tmp_path / "raft.tar.age").write_bytes(b"encrypted")
    monkeypatch.setattr(restore_host, "decrypt", lambda path, identity: data)
    digest = hashlib.sha256(b"encrypted").hexdigest()
    return wanted(str(tmp_path / "raft.tar.age"), digest)


@pytest.mark.parametrize("prefix", ["swarm/", "./", ""])
def test_a_backup_is_read_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    content = restore_host.check(put(tmp_path, monkeypatch, archive(prefix)), "identity", "")
    assert (content.prefix, content.key) == (prefix, KEY)


@pytest.mark.parametrize(
    "data",
    [
        b"no tar",
        archive()[:3600],
        archive(files={"state.json": "{}"}),
        archive(files={**FILES, "../../etc/passwd": "x"}),
        archive("/etc/"),
        b"",
    ],
)
def test_what_is_no_complete_backup_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    with pytest.raises(SwarmError) as error:
        restore_host.check(put(tmp_path, monkeypatch, data), "identity", "")
    assert error.value.code == "bad_backup"


def test_another_file_than_the_meta_file_describes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, monkeypatch, archive())
    with pytest.raises(SwarmError, match="another hash"):
        restore_host.check(wanted(str(tmp_path / "raft.tar.age")), "identity", "")


def test_a_sealed_key_needs_the_unlock_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nkek-version: 1\n\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    files = {**FILES, "certificates/swarm-node.key": sealed}
    about = put(tmp_path, monkeypatch, archive(files=files))
    with pytest.raises(SwarmError, match="Set swarm_unlock_key") as error:
        restore_host.check(about, "identity", "")
    assert error.value.code == "no_unlock_key"
    monkeypatch.setattr(restore_host, "open_key", lambda pem, key: f"opened with {key}")
    assert restore_host.check(about, "identity", "SWMKEY-1-x").key == "opened with SWMKEY-1-x"


def test_links_and_devices_are_refused() -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        member = tarfile.TarInfo("swarm/x")
        member.type = kind
        assert unsafe(member) == "is no file"


@given(names=st.lists(st.text(max_size=20)))
def test_other_names_are_no_state_of_a_manager(names: list[str]) -> None:
    assert prefix_of(names) is None


# Unpacking --------------------------------------------------------------------------------------------------


def test_the_directory_is_replaced_as_a_whole_and_the_old_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "docker" / "swarm"
    place.mkdir(parents=True)
    (place / "state.json").write_text("old", encoding="utf-8")
    # Left by a run that was killed while it unpacked.
    (tmp_path / "docker" / ".flotilla-restore-new" / "half").mkdir(parents=True)
    content = restore_host.check(put(tmp_path, monkeypatch, archive()), "identity", "")
    done: list[str] = []
    params = {"docker_host": "unix:///nowhere", "timeout": 1, "wait_timeout": 1}
    restore = Restore(params, wanted(), lambda *_words, **_more: (0, "", ""), done)
    restore._unpack(state(swarm_dir=str(place)), content)
    assert (place / "raft/wal-v3-encrypted/0-0.wal").read_text(encoding="utf-8") == "log"
    assert (place / "certificates/swarm-node.key").stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700
    kept = tmp_path / "docker" / "swarm.before-restore-1" / "state.json"
    assert kept.read_text(encoding="utf-8") == "old"
    assert done == [f"move {place} to {kept.parent}"]
    # Once more: nothing of before is overwritten.
    restore._unpack(state(swarm_dir=str(place)), content)
    assert kept.read_text(encoding="utf-8") == "old"
    assert (tmp_path / "docker" / "swarm.before-restore-2").exists()


def test_a_disk_without_room_is_found_before_the_engine_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = restore_host.check(put(tmp_path, monkeypatch, archive()), "identity", "")
    assert content.size == sum(map(len, FILES.values()))
    # The folder of the engine does not exist yet.
    host = state(swarm_dir=str(tmp_path / "docker" / "swarm"))
    restore_host.refuse_without_room(host, content)
    with pytest.raises(SwarmError, match=f"{tmp_path} has .* MB free") as error:
        restore_host.refuse_without_room(host, replace(content, size=1 << 60))
    assert error.value.code == "no_space"


def test_an_empty_directory_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "docker" / "swarm"
    place.mkdir(parents=True)
    content = restore_host.check(put(tmp_path, monkeypatch, archive()), "identity", "")
    params = {"docker_host": "unix:///nowhere", "timeout": 1, "wait_timeout": 1}
    restore = Restore(params, wanted(), lambda *_words, **_more: (0, "", ""), [])
    restore._unpack(state(swarm_dir=str(place)), content)
    assert sorted(path.name for path in place.parent.iterdir()) == ["swarm"]


@pytest.mark.parametrize(
    ("sealed", "comes", "restarts"),
    [(False, False, True), (False, True, False), (True, False, False)],
)
def test_an_engine_that_starts_without_overlay_networks_is_restarted_before_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool, comes: bool, restarts: bool
) -> None:
    (tmp_path / "certificates").mkdir()
    key = KEY.replace("EC PRIVATE", "ENCRYPTED PRIVATE") if sealed else KEY
    (tmp_path / "certificates" / "swarm-node.key").write_text(key)
    monkeypatch.setattr(restore_host, "overlays_come", lambda _client, _clock: comes)
    done: list[str] = []
    params = {"docker_host": "unix:///nowhere", "timeout": 1, "wait_timeout": 1}
    restore = Restore(params, wanted(), lambda *_words, **_more: (0, "", ""), done)
    calls: list[str] = []
    for name in ("stop", "start_and_wait"):
        monkeypatch.setattr(restore._unit, name, lambda *_more, name=name: calls.append(name))
    monkeypatch.setattr(restore, "_verify", lambda: calls.append("verify"))
    client: Any = None
    restore._ensure_overlays(client, str(tmp_path))
    assert calls == (["stop", "start_and_wait", "verify"] if restarts else [])
    assert done == ([restore_host.RESTART] if restarts else [])


def test_a_run_waits_for_the_module_of_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    assert os.path.dirname(restore_host.AT_WORK) == "/run/flotilla.swarm"
    monkeypatch.setattr(restore_host, "AT_WORK", str(tmp_path / "run" / "restore.lock"))
    with (
        restore_host.alone(30.0, clock),
        pytest.raises(SwarmError, match="for 30 s") as error,
        restore_host.alone(30.0, clock),
    ):
        raise AssertionError("two at once")
    assert error.value.code == "in_progress"
    assert sum(clock.slept) == 30.0
    with restore_host.alone(0.0, clock):
        pass


def test_the_record_of_the_backup_that_is_restored_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the backup is in progress, and no other manager could make one for an hour."""
    closed: list[tuple[str, str]] = []
    monkeypatch.setattr(restore_host, "EngineClient", lambda _params: None)
    monkeypatch.setattr(
        restore_host, "close_record", lambda _client, node, state: closed.append((node, state))
    )
    monkeypatch.setattr(restore_host, "NOTE", str(tmp_path / "restore.json"))
    params = {"docker_host": "unix:///nowhere", "timeout": 1, "wait_timeout": 1}
    restore = Restore(params, wanted(), lambda *_words, **_more: (0, "", ""), [])
    for name in ("_verify", "_ensure_overlays", "_remove_managers"):
        monkeypatch.setattr(restore, name, lambda *_more: None)
    monkeypatch.setattr(restore, "_member", lambda: Member(state="active", node_id="n2"))
    content: Any = None
    restore.carry_out(state(), [restore_host.REMOVE], content)
    assert closed == [("n2", "done")]
    assert json.loads((tmp_path / "restore.json").read_text())["phase"] == "restored"


def test_the_addresses_stay() -> None:
    kept = {
        "LocalAddr": "192.0.2.11",
        "ListenAddr": "0.0.0.0:2388",
        "AdvertiseAddr": "192.0.2.11:2388",
        "DataPathAddr": "198.51.100.1",
    }
    body = force_body(json.dumps(kept))
    assert body == {
        "ListenAddr": "0.0.0.0:2388",
        "AdvertiseAddr": "192.0.2.11:2388",
        "DataPathAddr": "198.51.100.1",
        "ForceNewCluster": True,
        "Spec": {},
    }
    for broken in ("", "[]", "{", "null"):
        assert force_body(broken)["ListenAddr"] == "0.0.0.0:2377"
