# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive of a raft backup, the copies on the controller, the record in the swarm, and what is installed on a manager."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._host.units import (
    UNIT_DIR,
    HostFile,
    calendar_timer,
    interval_timer,
    plan_install,
    quoted,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import backup, backup_copies
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.backup_plan import (
    DONE,
    RUNNING,
    Record,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.backup_units import (
    CODE,
    CONFIG,
    TIMER,
    service_text,
    wanted_files,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.raft_tar import (
    NEEDED,
    check_contents,
    read_tar,
    write_tar,
)
from ansible_collections.flotilla.swarm.plugins.plugin_utils._host_code import host_code

# The archive


def swarm_folder(root: Path, log: bytes = b"log" * 400) -> None:
    for name in NEEDED:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("-----BEGIN PRIVATE KEY-----\n")
    for name in ("wal-v3-encrypted", "snap-v3-encrypted"):
        (root / "swarm" / "raft" / name).mkdir(parents=True)
    logs = root / "swarm" / "raft" / "wal-v3-encrypted"
    (logs / "0-0.wal").write_bytes(log + bytes(3_000_000))
    (logs / "0.tmp").write_bytes(bytes(1_000_000))
    (logs / ("long" * 40 + ".wal")).write_bytes(b"x" + bytes(5000))
    (root / "swarm" / "worker").mkdir()
    (root / "swarm" / "worker" / "tasks.db").write_bytes(bytes(65536))


def archive(root: Path) -> tuple[bytes, dict[str, int]]:
    stream = io.BytesIO()
    written = write_tar(str(root), stream)
    return stream.getvalue(), written


def unpacked(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".tmp"
    }


def test_an_archive_is_small_and_any_tar_unpacks_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    swarm_folder(source)
    data, written = archive(source)
    assert len(data) < 40_000
    for name in ("gnu", "python"):
        (tmp_path / name).mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", str(tmp_path / "gnu")], input=data, check=True)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        # By hand, because the options of `extract` differ between the Pythons that are supported.
        for member in tar:
            path = tmp_path / "python" / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            if content is not None:
                path.write_bytes(content.read())
    assert unpacked(source) == unpacked(tmp_path / "gnu") == unpacked(tmp_path / "python")
    found = read_tar(data)
    assert found.sizes == written
    assert found.key_file.startswith("-----BEGIN")
    check_contents(found.sizes, written)
    assert not any(name.endswith(".tmp") for name in written)


@given(st.lists(st.sampled_from([b"\0" * 511, b"\0" * 513, b"a", b"b" * 600]), max_size=6))
def test_every_file_comes_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    source = tmp_path_factory.mktemp("source")
    (source / "swarm").mkdir()
    (source / "swarm" / "file").write_bytes(b"".join(parts))
    data, _written = archive(source)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        content = tar.extractfile("swarm/file")
        assert content is not None
        assert content.read() == b"".join(parts)


def test_a_copy_that_is_not_complete_is_no_backup(tmp_path: Path) -> None:
    swarm_folder(tmp_path)
    data, written = archive(tmp_path)
    for broken in (b"", data[:700], data[: len(data) // 2], data[:-1024], b"x" * 2000):
        with pytest.raises(SwarmError) as error:
            check_contents(read_tar(broken).sizes, written)
        assert error.value.code == "bad_copy"


@pytest.mark.parametrize("missing", [*NEEDED, "wal-v3-encrypted/", "snap-v3-encrypted"])
def test_a_folder_without_what_a_manager_needs_is_no_backup(tmp_path: Path, missing: str) -> None:
    swarm_folder(tmp_path)
    _data, written = archive(tmp_path)
    left = {name: size for name, size in written.items() if missing not in name}
    with pytest.raises(SwarmError) as error:
        check_contents(left, left)
    assert error.value.code == "bad_copy"


# Copies

CLUSTER = "4wyc7i0q9iegkhgbnx6ydrzjv"
NAME = "raft-20261129T074500Z-m2"


def test_a_copy_that_differs_is_removed_and_a_good_one_is_for_its_owner(tmp_path: Path) -> None:
    place = tmp_path / CLUSTER
    place.mkdir()
    data, meta = place / f"{NAME}.tar.age", place / f"{NAME}.meta.json"
    data.write_bytes(b"content")
    meta.write_bytes(b"{}")
    digest = hashlib.sha256(b"content").hexdigest()
    assert backup_copies.check_copies(str(tmp_path), CLUSTER, {data.name: digest})
    assert data.stat().st_mode & 0o777 == 0o600
    assert not backup_copies.check_copies(str(tmp_path), CLUSTER, {data.name: digest})
    data.write_bytes(b"other")
    with pytest.raises(SwarmError) as error:
        backup_copies.check_copies(str(tmp_path), CLUSTER, {data.name: digest})
    assert error.value.code == "bad_copy"
    assert list(place.iterdir()) == []


def test_names_do_not_lead_out_of_the_folder_of_the_swarm() -> None:
    for cluster, name in (
        ("../x", f"{NAME}.tar.age"),
        ("", f"{NAME}.tar.age"),
        (CLUSTER, "../../etc/passwd"),
    ):
        with pytest.raises(SwarmError) as error:
            backup_copies.check_names(cluster, {name: ""})
        assert error.value.code == "bad_option"


def test_check_mode_counts_the_files_that_are_to_come(tmp_path: Path) -> None:
    (tmp_path / CLUSTER).mkdir()
    for name in (f"{NAME}.tar.age", f"{NAME}.meta.json", "notes"):
        (tmp_path / CLUSTER / name).touch()
    new = "raft-20261130T074500Z-m2.tar.age"
    args = (str(tmp_path), CLUSTER, 1_796_000_000.0, 1, 0)
    assert backup_copies.prune(*args, coming=[]) == []
    assert backup_copies.prune(*args, coming=[new]) == [f"{NAME}.tar.age"]
    assert len(list((tmp_path / CLUSTER).iterdir())) == 3
    for name in (new, new.replace(".tar.age", ".meta.json")):
        (tmp_path / CLUSTER / name).touch()
    assert backup_copies.prune(*args) == [f"{NAME}.tar.age"]
    assert sorted(path.name for path in (tmp_path / CLUSTER).iterdir()) == [
        "notes",
        new.replace(".tar.age", ".meta.json"),
        new,
    ]


# The record


class Engine:
    """Configs, which change only with the version that was read."""

    def __init__(self) -> None:
        self.config: dict[str, Any] | None = None
        self.before_write: Any = None

    def get(self, _path: str, _attempt: str, **_query: Any) -> list[dict[str, Any]]:
        return [dict(self.config)] if self.config else []

    def _interfere(self) -> None:
        work, self.before_write = self.before_write, None
        if work:
            work()

    def create(self, _kind: str, spec: dict[str, Any]) -> str:
        self._interfere()
        if self.config is not None:
            raise SwarmError("conflict", "it exists")
        self.config = {"ID": "c", "Version": {"Index": 1}, "Spec": spec}
        return "c"

    def relabel(self, _kind: str, document: dict[str, Any], labels: dict[str, str]) -> None:
        self._interfere()
        assert self.config is not None
        if document["Version"] != self.config["Version"]:
            raise SwarmError("out_of_sequence", "update out of sequence")
        version = {"Index": document["Version"]["Index"] + 1}
        self.config = {
            "ID": "c",
            "Version": version,
            "Spec": {**document["Spec"], "Labels": labels},
        }


@pytest.mark.parametrize("exists", [False, True])
def test_of_two_who_claim_together_one_succeeds(exists: bool) -> None:
    engine = Engine()
    if exists:
        backup.claim(engine, Record(DONE, "a", "a", 10.0))
    first, second = (Record(RUNNING, who, who, 10_000.0) for who in "ab")
    engine.before_write = lambda: backup.claim(engine, first)
    with pytest.raises(SwarmError) as error:
        backup.claim(engine, second)
    assert error.value.code == "in_progress"
    assert error.value.details["name"] == "a"
    assert backup.find_record(engine)[1] == first


def test_the_record_of_a_lost_run_is_taken_over_and_closed_by_its_owner_alone() -> None:
    engine = Engine()
    backup.claim(engine, Record(RUNNING, "a", "a", 10.0))
    # The same host again: its process before is gone.
    backup.claim(engine, Record(RUNNING, "a", "a", 11.0))
    backup.close_record(engine, "b", DONE)
    assert backup.find_record(engine)[1] == Record(RUNNING, "a", "a", 11.0)
    backup.close_record(engine, "a", DONE)
    assert backup.find_record(engine)[1] == Record(DONE, "a", "a", 11.0)
    backup.claim(engine, Record(RUNNING, "b", "b", 12.0))


# What is installed

OPTIONS = {"dir": "/b", "recipients": ["age1x"], "keep_count": 7}


def files(schedule: str = "daily") -> dict[str, HostFile]:
    return wanted_files(b"code", OPTIONS, schedule, "/usr/bin/python3")


def test_a_bare_manager_gets_everything_and_then_nothing() -> None:
    wanted = files()
    nothing = dict.fromkeys(wanted, HostFile(None))
    plan = plan_install(nothing, wanted, TIMER, timer_runs=False, needs_reload=False)
    assert plan.write == tuple(wanted)
    assert (plan.timer_action, plan.reload) == ("start", True)
    assert not plan_install(wanted, wanted, TIMER, timer_runs=True, needs_reload=False).changes


@pytest.mark.parametrize("reload", [True, False])
def test_what_a_killed_run_has_left_is_completed(reload: bool) -> None:
    wanted = files()
    plan = plan_install(wanted, wanted, TIMER, timer_runs=False, needs_reload=reload)
    assert plan.timer_action == "start"
    assert (
        plan_install(wanted, wanted, TIMER, timer_runs=True, needs_reload=True).timer_action
        == "restart"
    )


def test_a_timer_that_is_not_wanted_any_more_is_removed() -> None:
    plan = plan_install(files(), files(""), TIMER, timer_runs=True, needs_reload=False)
    assert plan.remove == (f"{UNIT_DIR}/{TIMER}",)
    assert plan.timer_action == "stop"
    assert plan.write == ()
    assert not plan_install(
        files(""), files(""), TIMER, timer_runs=False, needs_reload=False
    ).changes


def test_a_new_time_restarts_the_timer_and_new_settings_do_not() -> None:
    plan = plan_install(files(), files("weekly"), TIMER, timer_runs=True, needs_reload=False)
    assert (plan.write, plan.timer_action) == ((f"{UNIT_DIR}/{TIMER}",), "restart")
    other = wanted_files(b"new", {**OPTIONS, "keep_count": 3}, "daily", "/usr/bin/python3")
    plan = plan_install(files(), other, TIMER, timer_runs=True, needs_reload=False)
    assert (plan.write, plan.timer_action, plan.reload) == ((CODE, CONFIG), "", False)


def test_units_are_what_systemd_reads() -> None:
    assert "OnCalendar=*-*-* 02:30\n" in calendar_timer("Schedule", " *-*-* 02:30 ")
    assert "OnUnitInactiveSec=30s\n" in interval_timer("Schedule", 30)
    assert quoted('a"b\\c$d%e') == '"a\\"b\\\\c$$d%%e"'
    text = service_text("/opt/a%b/python", "timer")
    assert (
        'ExecStart="/opt/a%%b/python" -I /usr/local/lib/flotilla.swarm/backup.pyz timer\n' in text
    )
    # What brings the engine back after a kill.
    assert {"Restart=on-abnormal", "FileDescriptorStoreMax=1", "StartLimitIntervalSec=0"} <= set(
        text.splitlines()
    )


def test_the_code_for_hosts_is_always_the_same_and_needs_no_ansible(tmp_path: Path) -> None:
    code = host_code("_lifecycle/backup_service")
    assert code == host_code("_lifecycle/backup_service")
    path = tmp_path / "backup.pyz"
    path.write_bytes(code)
    with zipfile.ZipFile(path) as content:
        assert "flotilla_swarm/_lifecycle/export.py" in content.namelist()
        assert not [
            name for name in content.namelist() if b"ansible.module_utils" in content.read(name)
        ]
    check = "import sys; sys.path.insert(0, sys.argv[1]); import flotilla_swarm._lifecycle.backup_service; print(sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", check, str(path)], capture_output=True, text=True, check=True
    )
    assert "'ansible" not in done.stdout
