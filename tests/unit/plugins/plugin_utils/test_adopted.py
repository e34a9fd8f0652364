# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of an adoption: their text, and how they replace those of an earlier one."""

from __future__ import annotations

import base64
import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._lifecycle.adoption import (
    Adoption,
    ComposeFile,
)
from ansible_collections.flotilla.swarm.plugins.plugin_utils._adopted import (
    Target,
    as_yaml,
    compose_text,
    contents,
    inventory_text,
)

VALUES = st.text(max_size=12) | st.sampled_from(
    [
        "yes",
        "NO",
        "null",
        "1e3",
        "0o7",
        "1_0",
        "12:30",
        "~",
        "",
        "=",
        "<<",
        "a: b",
        "- a",
        "#",
        "a\n b\nc",
        "\ta",
        " a",
        "a\n",
    ]
)


@given(st.dictionaries(VALUES, VALUES | st.lists(VALUES, max_size=2) | st.integers(), max_size=4))
def test_yaml_gives_back_what_was_written(document: dict[str, Any]) -> None:
    assert yaml.safe_load(as_yaml(document)) == document


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "1e3",
        "0o7",
        "0x1f",
        "1_000",
        "12:30",
        "null",
        "y",
        "1.5",
        "NaN",
        ".inf",
        "2001-01-01",
    ],
)
def test_what_any_parser_takes_for_something_else_is_in_quotes(text: str) -> None:
    assert as_yaml({"a": text}) == f'a: "{text}"\n'


def test_templates_are_no_templates_in_the_inventory() -> None:
    text = inventory_text({"all": {"vars": {"a": "{{ x }}", "b": "{% y %}", "c": "{ z }"}}})
    assert 'a: !unsafe "{{ x }}"' in text
    assert 'b: !unsafe "{% y %}"' in text
    assert 'c: "{ z }"' in text


def test_a_compose_file_shows_modes_in_octal_and_scripts_in_lines() -> None:
    document = {
        "version": "3.8",
        "services": {
            "web": {
                "command": ["sh", "-c", "set -e\necho a\n"],
                "secrets": ["a", {"source": "b", "mode": 0o440}],
            }
        },
    }
    text = compose_text(document)
    assert "mode: 0440" in text
    assert "- |\n" in text
    assert yaml.safe_load(text) == document


def adoption(text: str = "a") -> dict[str, bytes]:
    document = {"version": "3.8", "services": {"web": {"image": text}}}
    found = Adoption(
        inventory={"all": {}},
        compose=(ComposeFile("stacks/shop.yml", "shop", document, True),),
        data={"stacks/shop/app": base64.b64encode(b"\x00data").decode()},
        notes="# notes\n",
    )
    return contents(found, "id")


def refusal(target: Target, files: dict[str, bytes], cluster_id: str = "id") -> SwarmError:
    with pytest.raises(SwarmError) as caught:
        target.write(files, cluster_id)
    assert caught.value.code in ("not_empty", "adopting")
    return caught.value


def test_a_new_folder_is_written_for_the_user_alone(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "a" / "new"))
    assert target.differs(adoption(), "id")
    assert not target.path.exists()
    assert target.write(adoption(), "id")
    assert (target.path / "stacks" / "shop" / "app").read_bytes() == b"\x00data"
    for path in [target.path, *target.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert [path.name for path in target.path.parent.iterdir()] == ["new"]
    assert not target.write(adoption(), "id")


def test_an_unchanged_adoption_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = Target(str(tmp_path / "new"))
    target.write(adoption(), "id")
    files = adoption("b")
    del files["stacks/shop/app"]
    smaller = contents(Adoption(inventory={"all": {}}, notes="less\n"), "id")
    assert target.write(smaller, "id")
    assert sorted(path.name for path in target.path.iterdir()) == [
        ".adopted.json",
        "NOTES.md",
        "hosts.yml",
    ]


@pytest.mark.parametrize("edit", ["change", "add", "remove", "link", "marker"])
def test_a_folder_that_somebody_has_edited_is_refused(tmp_path: Path, edit: str) -> None:
    target = Target(str(tmp_path / "new"))
    target.write(adoption(), "id")
    hosts = target.path / "hosts.yml"
    if edit == "change":
        hosts.write_text("mine")
    elif edit == "add":
        (target.path / "mine").write_text("")
    elif edit == "remove":
        hosts.unlink()
    elif edit == "link":
        hosts.unlink()
        hosts.symlink_to("/nowhere")
    else:
        (target.path / ".adopted.json").write_text("[")
    before = sorted(target.path.rglob("*"))
    refusal(target, adoption("b"))
    with pytest.raises(SwarmError):
        target.differs(adoption("b"), "id")
    assert sorted(target.path.rglob("*")) == before


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    assert (
        "no adoption has written it" in refusal(Target(str(tmp_path / "full")), adoption()).message
    )
    (tmp_path / "file").write_text("mine")
    assert "it is a file" in refusal(Target(str(tmp_path / "file")), adoption()).message
    target = Target(str(tmp_path / "new"))
    target.write(adoption(), "id")
    assert "another swarm" in refusal(target, adoption(), "other").message


def test_an_empty_folder_and_a_link_to_one_are_written(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert Target(str(tmp_path / "link")).write(adoption(), "id")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "hosts.yml").exists()


def test_the_root_of_the_file_system_is_no_folder_for_an_adoption() -> None:
    with pytest.raises(SwarmError) as caught:
        Target("/")
    assert caught.value.code == "bad_option"


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target(str(tmp_path / "new"))
    target.write(adoption(), "id")

    def closed(*_args: Any) -> None:
        raise PermissionError(13, "Permission denied")

    # By hand, because root can read every folder.
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", closed)
        with pytest.raises(PermissionError):
            target.write(adoption("b"), "id")
    assert (target.path / "hosts.yml").exists()


def test_a_file_system_without_locks_is_not_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_args: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OSError, match="No locks available"):
        Target(str(tmp_path / "new")).write(adoption(), "id")


@pytest.mark.parametrize("path", ["stacks/../../mine", "/etc/mine", ".."])
def test_a_manager_names_no_file_outside_the_folder(path: str) -> None:
    found = Adoption(inventory={"all": {}}, data={path: base64.b64encode(b"x").decode()})
    with pytest.raises(SwarmError) as caught:
        contents(found, "id")
    assert caught.value.code == "bad_files"


@pytest.mark.parametrize("moment", ["writing", "between", "removing"])
def test_the_next_run_completes_a_killed_one(tmp_path: Path, moment: str) -> None:
    target = Target(str(tmp_path / "new"))
    target.write(adoption(), "id")
    new, old = tmp_path / ".new.adopt-new", tmp_path / ".new.adopt-old"
    if moment == "writing":
        new.mkdir()
        (new / "hosts.yml").write_text("half")
    else:
        target.path.rename(old)
        new.mkdir()
        if moment == "removing":
            new.rmdir()
            Target(str(tmp_path / "other")).write(adoption("b"), "id")
            (tmp_path / "other").rename(target.path)
    assert target.write(adoption("b"), "id") == (moment != "removing")
    assert (
        b'"b"' in (target.path / "stacks" / "shop.yml").read_bytes()
        or b"b\n" in (target.path / "stacks" / "shop.yml").read_bytes()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert refusal(Target(str(tmp_path / "new")), adoption()).code == "adopting"
    finally:
        os.close(handle)
    assert Target(str(tmp_path / "new")).write(adoption(), "id")
