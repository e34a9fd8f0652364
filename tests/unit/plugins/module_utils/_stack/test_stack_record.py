# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a stack that was as asked, and whether it tells everything apart that makes a difference."""

from __future__ import annotations

import copy
import json
import stat
from pathlib import Path
from typing import Any, Callable, cast

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import (
    REVISION_LABEL,
    REVISION_TURN_LABEL,
    STACK_LABEL,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import record as records
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.objects import (
    PATHS,
    latest_numbers,
    read_all,
    state_hash,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.record import (
    as_recorded,
    recall,
    record,
)

Found = dict[str, list[dict[str, Any]]]


def thing(name: str, stack: str | None, **labels: str) -> dict[str, Any]:
    owner = {STACK_LABEL: stack} if stack else {}
    return {
        "ID": f"id-{name}",
        "Version": {"Index": 1},
        "UpdatedAt": "2026-11-28T05:00:00Z",
        "Spec": {"Name": name, "Labels": {**owner, **labels}},
    }


def network(name: str, stack: str | None, scope: str = "swarm") -> dict[str, Any]:
    labels = {STACK_LABEL: stack} if stack else {}
    return {"Id": f"id-{name}", "Name": name, "Scope": scope, "Labels": labels}


FOUND: Found = {
    "service": [thing("shop_web", "shop"), thing("blog_web", "blog")],
    "network": [network("shop_default", "shop"), network("shared", None), network("bridge", None, "local")],
    "secret": [thing("key", None)],
    "config": [thing("shop.revision.1", "shop", **{REVISION_LABEL: "1"}), thing("blog.revision.1", "blog", **{REVISION_LABEL: "1"})],
}  # fmt: skip


def changed(how: Callable[[Found], Any]) -> Found:
    found = copy.deepcopy(FOUND)
    how(found)
    return found


@pytest.mark.parametrize(
    "how",
    [
        lambda found: found["service"][0]["Version"].update(Index=2),
        lambda found: found["service"][0].update(UpdatedAt="2026-11-28T06:00:00Z"),
        lambda found: found["service"][0].update(ID="another"),
        lambda found: found["service"].append(thing("shop_db", "shop")),
        lambda found: found["service"].pop(0),
        lambda found: found["service"][1]["Spec"]["Labels"].update({STACK_LABEL: "shop"}),
        lambda found: found["network"][0].update(Id="another"),
        lambda found: found["network"][1].update(Id="another"),
        lambda found: found["network"].append(network("more", "blog")),
        lambda found: found["secret"][0].update(ID="another"),
        lambda found: found["secret"].clear(),
        lambda found: found["config"][0]["Version"].update(Index=2),
        lambda found: found["config"].append(thing("settings", "blog")),
    ],
)
def test_what_a_stack_is_made_of_or_can_name_makes_a_difference(how: Any) -> None:
    assert state_hash("shop", changed(how)) != state_hash("shop", FOUND)


@pytest.mark.parametrize(
    "how",
    [
        lambda found: found["service"].reverse(),
        lambda found: found["service"][1]["Version"].update(Index=2),
        lambda found: found["service"].pop(1),
        lambda found: found["secret"][0]["Version"].update(Index=2),
        # The engine makes a new one at each start.
        lambda found: found["network"][2].update(Id="another"),
        # They are in no list: whoever plans the stack asks for them one by one.
        lambda found: found["network"].append(network("host", None)),
        lambda found: found["config"].pop(1),
        lambda found: found["config"].append(
            thing("blog.revision.2", "blog", **{REVISION_LABEL: "2"})
        ),
    ],
)
def test_what_is_others_makes_none(how: Any) -> None:
    assert state_hash("shop", changed(how)) == state_hash("shop", FOUND)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    where = tmp_path / "state" / "stacks"
    monkeypatch.setattr(records, "FOLDER", str(where))
    return where


@pytest.mark.parametrize("name", ["shop", "../shop", "a/b", ".", "s" * 100])
def test_what_was_as_asked_is_known_again(folder: Path, name: str) -> None:
    record(name, "asked", "found", ["build"])
    assert recall(name, "asked", "found") == ["build"]
    assert recall(name, "asked", "other") is None
    assert recall(name, "other", "found") is None
    assert recall(name, "", "found") is None
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    record(name, "asked", "later", [])
    assert recall(name, "asked", "found") is None
    assert recall(name, "asked", "later") == []


def test_another_cli_may_make_something_else_of_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = tmp_path / "bin" / "docker"
    cli.parent.mkdir()
    cli.touch(0o755)
    monkeypatch.setenv("PATH", str(cli.parent))
    record("shop", "asked", "found", [])
    assert recall("shop", "asked", "found") == []
    cli.write_text("new")
    assert recall("shop", "asked", "found") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"text"', "{}", '{"ignored": []}', "\xff"]
)
def test_a_broken_record_is_none(folder: Path, content: str) -> None:
    record("shop", "asked", "found", [])
    (file,) = folder.iterdir()
    file.write_text(content, encoding="latin-1")
    assert recall("shop", "asked", "found") is None
    record("shop", "asked", "found", [])
    assert recall("shop", "asked", "found") == []


def test_where_nothing_can_be_kept_nothing_is_known(folder: Path) -> None:
    folder.parent.write_text("a file")
    record("shop", "asked", "found", [])
    assert recall("shop", "asked", "found") is None


def test_nothing_is_kept_of_what_says_nothing(folder: Path) -> None:
    record("shop", "", "found", [])
    assert not folder.exists()


def test_a_stack_is_as_asked_while_it_is_the_same_and_runs(folder: Path) -> None:
    stack = {"name": "shop", "asked": "asked"}

    def seen(found: Found, **states: str) -> tuple[bool, str]:
        result = as_recorded(stack, found, states)
        assert list(result) == ["name", "as_asked", "reason", "ignored"]
        return result["as_asked"], str(result["reason"])

    assert seen(FOUND)[0] is False
    record("shop", "asked", state_hash("shop", FOUND), [])
    assert seen(FOUND) == (True, "None")
    assert seen(FOUND, shop_web="converged", blog_web="failed") == (True, "None")
    assert seen(FOUND, shop_web="waiting") == (False, "not all tasks of shop_web run as asked")
    other = changed(lambda found: found["service"].pop(0))
    assert seen(other)[0] is False
    assert "have changed since" in seen(other)[1]


def test_a_record_holds_hashes_and_no_definition(folder: Path) -> None:
    record("shop", "0" * 64, "1" * 64, ["build"])
    (file,) = folder.iterdir()
    assert set(json.loads(file.read_text())) == {"asked", "found", "cli", "ignored"}


def test_what_is_read_of_a_document_makes_the_same_fingerprint() -> None:
    """swarm_stack has whole documents, swarm_verify reads the parts."""

    class Reader:
        def each(self, path: str, _attempt: str) -> list[dict[str, Any]]:
            kind = next(kind for kind, where in PATHS.items() if where == path)
            more = {"Endpoint": {}, "CreatedAt": "", "Driver": "overlay"}
            return [{**document, **more} for document in FOUND[kind]]

    found = read_all(cast(Any, Reader()))
    assert state_hash("shop", found) == state_hash("shop", FOUND)
    assert "Endpoint" not in found["service"][0]


def test_the_latest_revision_of_each_stack() -> None:
    def config(stack: str, number: str, turn: str) -> dict[str, Any]:
        labels = {STACK_LABEL: stack, REVISION_LABEL: number, REVISION_TURN_LABEL: turn}
        return {"Spec": {"Name": "x", "Labels": labels}}

    # A rollback makes an older number the latest.
    configs = [config("shop", "1", "3"), config("shop", "2", "2"), config("db", "7", "7")]
    configs += [{"Spec": {"Labels": {STACK_LABEL: "web"}}}, {}, config("web", "x", "1")]
    assert latest_numbers(configs) == {"shop": 1, "db": 7}
