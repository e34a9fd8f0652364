# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an end of a build means, and what a checkout must not lead to. The builds themselves are in the scenario pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._builder import engine, state, work
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.engine import (
    BuildFailed,
    step_images,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.plan import Build, Memory
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.sources import Source
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.state import Row
from ansible_collections.flotilla.swarm.plugins.module_utils._builder.work import Local, Note
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._host.commands import Done

SHOP = Source("shop", "shop", "registry.lab:5000/shop")


@pytest.mark.parametrize(
    ("what", "done", "kind", "words"),
    [
        ("the build", Done(1, b"", "x\nThe command '/bin/sh -c false' returned a non-zero code: 1\n"), BuildFailed, "code: 1"),
        ("the build", Done(1, b"", "The command 'x' returned a non-zero code: 137"), BuildFailed, "memory_mb is 2048"),
        ("the build", Done(1, b"", 'process "/bin/sh -c x" did not complete successfully: exit code: 137'), BuildFailed, "killed"),
        ("the build", Done(1, b"", "dockerfile parse error line 1: unknown instruction: FORM"), BuildFailed, "FORM"),
        ("the build", Done(1, b"", "manifest for registry.lab/x:1 not found: manifest unknown"), BuildFailed, "not found"),
        ("the build", Done(1, b"", "write /x: no space left on device"), SwarmError, "no space"),
        ("the build", Done(1, b"", 'Get "https://registry.lab/v2/": dial tcp: connect: connection refused'), SwarmError, "refused"),
        ("the build", Done(1, b"", "error during connect: Post: EOF"), SwarmError, "connect"),
        ("the build", Done(-9, b"", ""), SwarmError, "signal 9"),
        ("the build", Done(-9, b"", "", "time"), BuildFailed, "did not end within 1800 s"),
        ("the build", Done(-9, b"", "", "output"), BuildFailed, "16 MB of output"),
        ("the test", Done(1, b"", "connection refused"), BuildFailed, "the test command ended with code 1"),
        ("the test", Done(137, b"", ""), BuildFailed, "memory_mb is 2048"),
        ("the test", Done(125, b"", "docker: error during connect: EOF"), SwarmError, "Could not test shop"),
        ("the test", Done(127, b"", 'exec: "/bin/x": no such file'), BuildFailed, "code 127"),
    ],
)  # fmt: skip
def test_what_is_the_commit_s_fault_and_what_is_not(
    what: str, done: Done, kind: type, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "check_engine", lambda: None)
    found = engine._failure(done, SHOP, what)
    assert isinstance(found, kind)
    assert words in str(found)
    assert "\n" not in str(found)


def test_an_engine_that_is_gone_is_never_the_commit_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone() -> None:
        raise SwarmError("engine_unreachable", "gone")

    monkeypatch.setattr(engine, "check_engine", gone)
    with pytest.raises(SwarmError):
        engine._failure(Done(137, b"", ""), SHOP, "the test")


def test_nothing_leads_out_of_a_checkout(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "app").mkdir(parents=True)
    (tree / "app" / "Dockerfile").touch()
    (tree / "inside").symlink_to("app")
    (tree / "outside").symlink_to("/etc")
    (tree / "above").symlink_to("../tree-2")
    (tmp_path / "tree-2").mkdir()
    assert engine._inside(str(tree), "inside", "inside", "context") == str(tree / "app")
    assert engine._inside(str(tree), "app/Dockerfile", "Dockerfile", "dockerfile").endswith(
        "app/Dockerfile"
    )
    for path, what in (
        ("outside", "context"),
        ("above", "context"),
        ("outside/passwd", "dockerfile"),
    ):
        with pytest.raises(BuildFailed, match="leads out of the repository"):
            engine._inside(str(tree), path, path, what)
    for path, what in (("none", "context"), ("app", "dockerfile"), ("app/Dockerfile", "context")):
        with pytest.raises(BuildFailed, match="the commit has no"):
            engine._inside(str(tree), path, path, what)


def test_the_images_of_steps_come_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "Step 1\n ---> 0123456789ab\n ---> Running in aaaaaaaaaaaa\n ---> fedcba987654\n ---> 0123456789ab\n"
    )
    assert step_images(str(log)) == ["0123456789ab", "fedcba987654"]
    assert step_images("/nowhere") == []


def test_an_id_and_its_beginning_are_the_same_image() -> None:
    assert engine._same("sha256:0123456789abcdef", "0123456789ab")
    assert not engine._same("sha256:0123456789abcdef", "")
    assert not engine._same("sha256:0123456789abcdef", "sha256:0123456789abcdee")


def test_what_is_kept_on_the_host_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_NOTE", str(tmp_path / "work.json"))
    monkeypatch.setattr(work, "_WORK", str(tmp_path / "work"))
    monkeypatch.setattr(state, "_STATE", str(tmp_path / "state.json"))
    monkeypatch.setattr(state, "_REQUESTS", str(tmp_path / "requests"))
    monkeypatch.setattr(state, "STATE_DIR", str(tmp_path))
    note = Note("shop", "a" * 40, True, ("sha256:x", "y"), ("registry.lab/shop:1",), {"build": 1.5})
    assert not work.in_progress()
    work.write_note(note)
    assert work.read_note() == note
    assert work.in_progress()
    build = Build("a" * 40, "built", "i:1", ("i:1",), steps={"build": 1.0})
    row = Row(
        "built",
        "",
        1.0,
        "a" * 40,
        "/log",
        build,
        "r",
        Memory("a", "b", 2.0, 3, 4.0),
        Local(("n",), ("i",)),
    )
    state.save_rows({"shop": row})
    assert state.load_rows() == {"shop": row}
    for text in ("", "[]", '{"shop": 3}', '{"shop": {"since": "x"}}', "\0"):
        (tmp_path / "state.json").write_text(text)
        (tmp_path / "work.json").write_text(text)
        assert state.load_rows() == {}
        assert work.read_note() is None
    state.write_request("shop", "1")
    assert state.requests() == {"shop": "1"}
    state.answered("shop", "0")
    assert state.requests() == {"shop": "1"}
    state.answered("shop", "1")
    assert state.requests() == {}
