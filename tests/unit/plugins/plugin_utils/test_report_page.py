# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option `page` and the files on the controller."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from recorded import health_of, swarm_of

from ansible_collections.flotilla.swarm.plugins.plugin_utils._health import unreachable
from ansible_collections.flotilla.swarm.plugins.plugin_utils._report.page import (
    PageOptions,
    for_the_module,
    hosts_beside,
    known_hosts,
    page_options,
    write_file,
    write_page,
)


def made(path: Path, health: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    health = health_of(swarm_of(3, 1, 3)) if health is None else health
    write_page(page_options({"page": {"path": str(path), **options}}), health, {}, {})
    return health


def test_a_page_and_what_is_beside_it(tmp_path: Path) -> None:
    health = made(tmp_path / "new" / "swarm.html")
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == [
        "swarm.history.jsonl",
        "swarm.html",
        "swarm.json",
        "swarm.md",
    ]
    assert health["page"] == str(tmp_path / "new" / "swarm.html")
    # It is large, and only the page needs it.
    assert "picture" not in health
    assert json.loads((tmp_path / "new" / "swarm.json").read_text())["verdict"] == "healthy"


def test_a_second_page_knows_the_first(tmp_path: Path) -> None:
    made(tmp_path / "a.html", history=str(tmp_path / "line"))
    answers = swarm_of(3, 1, 3)
    answers.edit("/nodes", lambda nodes: nodes[2]["Spec"].update(Availability="drain"))
    made(tmp_path / "a.html", health_of(answers), history=str(tmp_path / "line"), language="ko")
    assert "h2: 가용성 active → drain" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len((tmp_path / "line").read_text().splitlines()) == 2
    assert not (tmp_path / "a.history.jsonl").exists()


def test_without_a_history(tmp_path: Path) -> None:
    made(tmp_path / "a.html", history="")
    assert not list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("swarm.html", "must be a dictionary"),
        ({"path": "swarm.txt"}, "must end with .html"),
        ({"path": 5}, "page.path is 5: it must be the path of a file"),
        ({"path": "a.html", "history": ["x"]}, "page.history is"),
        ({"path": "a.html", "language": "de"}, "it must be en or ko"),
        ({"path": "a.html", "plan": "x"}, "page.plan is"),
        ({"path": "a.html", "colour": "red"}, "page has no option colour"),
        ({"path": "/tmp/x.html/../../tmp/.html"}, "directory"),
    ],
)
def test_bad_options(page: Any, words: str, tmp_path: Path) -> None:
    if words == "directory":
        (tmp_path / "x.html").mkdir()
        page = {"path": str(tmp_path / "x.html")}
    with pytest.raises(AnsibleActionFail) as caught:
        page_options({"page": page})
    assert words in str(caught.value)
    assert str(caught.value).startswith("Could not make the page: ")


def test_no_page_is_asked_for() -> None:
    assert page_options({}) is None
    assert page_options({"page": None}) is None
    assert page_options({"page": {"path": ""}}) is None
    assert for_the_module({"page": {"path": ""}, "accept": ["healthy"]}, None) == {
        "accept": ["healthy"]
    }


def test_a_host_learns_only_that_there_is_a_page() -> None:
    options = PageOptions(Path("/srv/secret place/a.html"), None, "ko", {"steps": []})
    args = for_the_module({"page": {"path": "x", "plan": {"steps": [1]}}}, options)
    assert args == {"page": {"path": "a.html"}}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "real.html"
    target.write_text("old")
    target.chmod(0o600)
    link = tmp_path / "link.html"
    link.symlink_to(target)
    with link.open() as reader:
        write_file(link, "new \ud800")
        assert reader.read() == "old"
    assert target.read_text() == "new ?"
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.html", "real.html"]


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match=r"Could not write the page: .*swarm_report_path"):
        made(tmp_path / "file" / "a.html")


def test_a_history_that_is_something_else(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="is not one"):
        made(tmp_path / "a.html", history=str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(AnsibleActionFail, match="is not one"):
        made(tmp_path / "a.html", history=str(tmp_path / "pipe"))


def test_a_manager_that_cannot_be_reached_has_a_page(tmp_path: Path) -> None:
    args = {
        "page": {"path": "x"},
        "accept": ["failed"],
        "observed": {"m1": {"swarm": {"state": "active", "role": "manager"}}},
        "unreachable": ["m2"],
    }
    health = unreachable(args, "no route to host")
    options = page_options({"page": {"path": str(tmp_path / "a.html"), "history": ""}})
    variables = {
        "groups": {"swarm_managers": ["m1", "m2"]},
        "hostvars": {"m1": {"swarm_zone": "a"}, "m2": {"swarm_zone": "b"}},
    }
    write_page(options, health, args, variables)
    page = (tmp_path / "a.html").read_text()
    assert "No manager could be asked." in page
    assert "no answer" in page
    assert "no route to host" in page


def test_variables_are_read_only_for_hosts_that_managers_do_not_tell_of() -> None:
    health = health_of(swarm_of(3, 1, 3))

    class Variables(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            assert name == "h9"
            return {"swarm_zone": "z"}

        def __contains__(self, name: object) -> bool:
            return True

    args = {"observed": {"h0": {}, "h1": {}}, "unreachable": ["h9"]}
    found = dict(known_hosts(health, args, {"hostvars": Variables(h9={}), "groups": {}}))
    assert list(found) == ["h9"]
    assert (found["h9"]["zone"], found["h9"]["silent"]) == ("z", True)


def test_hosts_beside_the_swarm() -> None:
    variables = {
        "groups": {"swarm_registry": ["r1", "r2"], "swarm_builders": ["b1"]},
        "hostvars": {"r1": {"__swarm_registry": {"unreachable": True}}, "r2": {}, "b1": {}},
    }
    found = [(str(each.role), each.host, each.silent) for each in hosts_beside(variables)]
    assert found == [("Registry", "r1", True), ("Registry", "r2", False), ("Builder", "b1", False)]
    assert list(hosts_beside({})) == []
