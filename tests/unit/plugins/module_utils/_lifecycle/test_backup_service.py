# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service of backups and the module that asks for one, where both meet, where one is killed, and what a kill leaves on a host."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._common.waiting import poll
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle import (
    age,
    backup,
    backup_request,
    backup_service,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.backup_plan import Wanted
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.raft_tar import read_tar

OPTIONS = {
    "dir": "/b",
    "recipients": ["age1x"],
    "keep_count": 7,
    "keep_days": 0,
    "accepted_risks": [],
    "drain_timeout": 300,
    "docker_host": "unix:///nowhere.sock",
}
NODE = "me"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of the service, and a systemctl that says what the file `states` has."""
    for module in (backup, backup_service, backup_request):
        monkeypatch.setattr(module, "RUN_DIR", str(tmp_path))
    monkeypatch.setattr(backup, "STATE_DIR", str(tmp_path))
    monkeypatch.setattr(backup_service, "STATE_DIR", str(tmp_path))
    monkeypatch.setattr(backup, "NOTE", str(tmp_path / "backup.json"))
    monkeypatch.setattr(backup_service, "LOCK", str(tmp_path / "backup.lock"))
    for module in (backup_service, backup_request):
        monkeypatch.setattr(module, "ASKING", str(tmp_path / "backup-asking.lock"))
        monkeypatch.setattr(module, "MEETING", str(tmp_path / "backup.sock"))
        monkeypatch.setattr(module, "LAST", str(tmp_path / "backup-last.json"))
    monkeypatch.setattr(backup_request, "CODE", __file__)
    monkeypatch.setattr(backup_request, "UNIT_DIR", str(tmp_path))
    (tmp_path / backup_request.NOW_SERVICE).touch()
    (tmp_path / "states").write_text("inactive\ninactive\n")
    script = f'echo "$*" >> {tmp_path}/calls; cat {tmp_path}/states'
    program(tmp_path, "systemctl", script, monkeypatch)
    return tmp_path


def wanted() -> Wanted:
    return Wanted(folder="/b", recipients=("age1x",), docker_host="unix:///nowhere.sock")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"dir": "/b", "recipients": 3}'])
def test_settings_that_cannot_be_read_are_a_line_in_the_journal(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr(backup_service, "CONFIG", str(host / "settings.json"))
    (host / "settings.json").write_text(text)
    assert backup_service.main("timer") == 1
    assert "Run the role flotilla.swarm.swarm_backup" in capsys.readouterr().out


def ask_while(work: Any, clock: Any) -> dict[str, Any]:
    """What the module is told while `work` does what the service does."""
    found: dict[str, Any] = {}

    def ask() -> None:
        found.update(backup_request._ask({"wanted": OPTIONS, "unlock_key": ""}, clock))

    module = threading.Thread(target=ask)
    module.start()
    deadline = time.monotonic() + 20
    while not os.path.exists(backup_service.MEETING):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    work()
    module.join(20)
    return found


def test_the_module_is_told_at_once_that_the_timer_is_at_work(host: Path, clock: Any) -> None:
    with backup_service.alone():
        answer = ask_while(lambda: backup_service.main("now"), clock)
    assert answer["failure"]["code"] == "in_progress"
    assert answer["done"] == []
    # The answer of the timer's backup, for which others wait, stays.
    assert not (host / "backup-last.json").exists()


def test_of_two_modules_that_ask_together_one_is_told(host: Path, clock: Any) -> None:
    with (
        backup_service.alone(backup_service.ASKING),
        pytest.raises(SwarmError) as error,
    ):
        backup_request._ask({"wanted": OPTIONS, "unlock_key": ""}, clock)
    assert error.value.code == "in_progress"
    assert not (host / "calls").exists()


@pytest.mark.parametrize(
    ("states", "at_work"),
    [
        ("inactive\nfailed\n", False),
        ("inactive\nactive\n", True),
        # Killed, and about to start again with the unlock key that it alone has.
        ("activating\ninactive\n", True),
        ("deactivating\ninactive\n", True),
    ],
)
def test_a_killed_service_that_systemd_starts_again_is_at_work(
    host: Path, states: str, at_work: bool
) -> None:
    (host / "states").write_text(states)
    assert backup_request._at_work() is at_work


def test_a_backup_that_ends_between_two_looks_is_adopted(
    host: Path, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    (host / "backup.json").write_text(json.dumps({"node_id": NODE, "docker_host": "x"}))

    def at_work(*_units: str) -> bool:
        # It has ended when systemd is asked again.
        ended = (host / "backup-last.json").exists()
        (host / "backup-last.json").write_text(
            json.dumps(
                {
                    "result": {"deleted": [], "seconds": 1.0, "stopped_seconds": None},
                    "done": ["write x"],
                    "ended": 1.0,
                }
            )
        )
        return not ended

    monkeypatch.setattr(backup_request, "_at_work", at_work)
    outcome = backup_request.Outcome()
    backup_request.back_up(OPTIONS, wanted(), None, "", False, outcome, clock)
    assert outcome.applied == ["write x"]
    assert outcome.changed


def test_the_module_waits_for_a_service_that_is_about_to_end(
    host: Path, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    seen: list[tuple[str, ...]] = []

    def at_work(*units: str) -> bool:
        seen.append(units)
        return len(seen) < 3

    monkeypatch.setattr(backup_request, "_at_work", at_work)
    monkeypatch.setattr(backup_request, "_MEET", 0.1)
    with pytest.raises(SwarmError) as error:
        backup_request._ask({"wanted": OPTIONS, "unlock_key": ""}, clock)
    assert error.value.code == "no_answer"
    assert seen == [(backup_request.NOW_SERVICE,)] * 3
    assert (host / "calls").read_text() == f"start --no-block -- {backup_request.NOW_SERVICE}\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [("exec sleep 30", "does not answer"), ("echo no such unit >&2; exit 5", "no such unit")],
)
def test_systemd_that_hangs_or_refuses_is_a_failure_and_no_traceback(
    host: Path, monkeypatch: pytest.MonkeyPatch, clock: Any, script: str, words: str
) -> None:
    program(host, "systemctl", script, monkeypatch)
    monkeypatch.setattr(backup_request, "_SYSTEMD", 0.2)
    with pytest.raises(SwarmError, match=words) as error:
        backup_request._ask({"wanted": OPTIONS, "unlock_key": ""}, clock)
    assert error.value.code == "systemctl_failed"
    assert not (host / "backup.sock").exists()


class Engine:
    """An engine whose host is in the swarm as `member` says."""

    def __init__(self, member: dict[str, Any]) -> None:
        self.member = member

    def info(self) -> dict[str, Any]:
        return {"Swarm": self.member}

    def nodes(self) -> list[dict[str, Any]]:
        raise SwarmError("not_manager", "Could not list the nodes: this node is not a manager.")

    def get(self, _path: str, attempt: str, **_query: Any) -> Any:
        raise SwarmError("not_manager", f"Could not {attempt}: this node is not a manager.")


@pytest.mark.parametrize("stopped", [True, False])
@pytest.mark.parametrize(
    "member",
    [
        {"LocalNodeState": "inactive"},
        {"LocalNodeState": "active", "NodeID": "other", "ControlAvailable": True},
        {"LocalNodeState": "active", "NodeID": NODE, "ControlAvailable": False},
    ],
)
def test_a_host_that_has_left_its_swarm_has_nothing_to_put_right(
    host: Path, monkeypatch: pytest.MonkeyPatch, clock: Any, member: dict[str, Any], stopped: bool
) -> None:
    monkeypatch.setattr(backup, "connect", lambda _docker_host: Engine(member))
    (host / "backup.json").write_text(
        json.dumps({"node_id": NODE, "docker_host": "x", "stopped": stopped, "drained": True})
    )
    said: list[str] = []
    assert backup.BackupRun(wanted(), said.append, clock=clock).resume()
    assert not (host / "backup.json").exists()
    assert "not that manager any more" in said[-1]


def program(place: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of this name, before all others."""
    path = place / "programs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def test_while_the_engine_is_stopped_nothing_is_written_into_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be a share, and one that hangs would keep the engine stopped."""
    program(tmp_path, "age", "cat", monkeypatch)
    (tmp_path / "swarm").mkdir()
    (tmp_path / "swarm" / "state.json").write_text("[]")
    # Without the folder /b.
    run = backup.BackupRun(wanted(), lambda _line: None)
    encrypted, written = run._archive("age1y", str(tmp_path))
    assert read_tar(encrypted).sizes == written == {"swarm": -1, "swarm/state.json": 2}
    program(tmp_path, "age", "echo the key is bad >&2; exit 1", monkeypatch)
    with pytest.raises(SwarmError) as error:
        run._archive("age1y", str(tmp_path))
    assert error.value.code == "age_failed"
    assert error.value.message == "Could not encrypt the raft backup: the key is bad."


def test_age_is_ended_with_what_writes_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, pid_file = "", tmp_path / "pid"
    program(tmp_path, "age", f"echo $$ > {pid_file}; exec sleep 300", monkeypatch)

    def age_runs() -> bool:
        """Not where it has ended, and nobody has asked for its exit code."""
        stat = Path(f"/proc/{pid}/stat")
        return stat.exists() and ") Z " not in stat.read_text()

    def write(_stream: Any) -> None:
        nonlocal pid
        while not (pid := pid_file.read_text().strip() if pid_file.exists() else ""):
            time.sleep(0.01)
        raise OSError(5, "the disk fails")

    with pytest.raises(OSError, match="the disk fails"):
        age.encrypt(str(tmp_path / "file"), ["age1x"], write)
    _seen, ended = poll(lambda: not age_runs(), bool, 20, 0.05)
    assert ended
    assert not (tmp_path / "file").exists()
