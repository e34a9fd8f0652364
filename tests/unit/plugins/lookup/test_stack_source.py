# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compose files are read on the controller."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.flotilla.swarm.plugins.lookup.stack_source import LookupModule

OPTIONS = ("environment", "env_files", "rotate", "files", "profiles", "compose")


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    loader = DataLoader()
    loader.set_basedir(str(tmp_path))

    def run(stack: Any, profile: str = "") -> dict[str, Any]:
        variables = {"inventory_dir": str(tmp_path / "inventory")}
        lookup = LookupModule(loader=loader)
        # The plugin loader would do this.
        monkeypatch.setattr(lookup, "set_options", lambda **kwargs: None)
        monkeypatch.setattr(lookup, "get_option", {"profile": profile}.__getitem__)
        found: dict[str, Any] = lookup.run([stack], variables)[0]
        return found

    return run


def test_files_go_along(tmp_path: Path, look: Any) -> None:
    folder = tmp_path / "inventory" / "stacks"
    folder.mkdir(parents=True)
    folder.joinpath("a.yml").write_text(
        "services: {web: {image: 'w:{{.X}}'}}\nsecrets: {k: {file: ./k}}\n"
    )
    folder.joinpath("b.yml").write_text("configs: {c: {file: ../c}}\n")
    folder.joinpath("k").write_bytes(b"\xff\x00")
    folder.parent.joinpath("c").write_text("c")
    found = look({"name": "s", "compose": ["stacks/a.yml", "stacks/b.yml"]})
    assert found["definition"][0] == folder.joinpath("a.yml").read_text()
    assert {path: base64.b64decode(text) for path, text in found["files"].items()} == {
        "./k": b"\xff\x00",
        "../c": b"c",
    }
    assert found["plan"][1:] == [
        "  + network  s_default  overlay",
        "  + secret   s_k",
        "  + config   s_c",
        "  + service  s_web      image w:{{.X}}, 1 replica",
    ]


def test_what_is_rotated_is_what_the_stack_may_name(tmp_path: Path, look: Any) -> None:
    for name in ("k", "n"):
        tmp_path.joinpath("inventory").mkdir(exist_ok=True)
        tmp_path.joinpath("inventory", name).write_text(name)
    secrets = {
        "k": {"file": "./${K}"},
        "named": {"file": "./n", "name": "mine"},
        "outside": {"external": True},
        "absolute": {"file": "/etc/hostname"},
    }
    stack = {
        "name": "s",
        "definition": {"services": {"web": {"image": "w"}}, "secrets": secrets},
        "environment": {"K": "k"},
    }
    assert look(stack)["rotate"] == {}
    found = look({**stack, "rotate": True})
    assert found["rotate"] == {"secrets": {"k": "./k"}}
    assert [line.split()[2] for line in found["plan"] if " secret " in line] == [
        "mine",
        "s_absolute",
        "s_k-...",
    ]


def test_an_inline_definition(look: Any) -> None:
    found = look({"name": "s", "definition": {"services": {"web": {"image": "w"}}}})
    assert found["definition"] == ['{"services": {"web": {"image": "w"}}}']
    assert found["files"] == {}


WITH_CONDITIONS = """
services:
  web:
    depends_on:
      db:
        condition: service_healthy   # waits

      cache: {condition: service_started}
    # a comment
    ports: ["22:22"]
  api: {depends_on: {db: {condition: service_healthy}}, tty: true}
  cache:
    depends_on: [db]
  db:
"""
WITH_LISTS = """
services:
  web:
    depends_on:
      ["db", "cache"]
    # a comment
    ports: ["22:22"]
  api: {depends_on: ["db"], tty: true}
  cache:
    depends_on: [db]
  db:
"""


def test_conditions_are_taken_out_and_what_depends_on_what_is_told(look: Any) -> None:
    found = look({"name": "s", "definition": WITH_CONDITIONS})
    assert yaml.safe_load(found["definition"][0]) == yaml.safe_load(WITH_LISTS)
    assert '    ports: ["22:22"]\n' in found["definition"][0]
    assert found["depends_on"] == {
        "web": {"cache": "service_started", "db": "service_healthy"},
        "api": {"db": "service_healthy"},
        "cache": {"db": ""},
    }
    assert found["ignored_keys"] == ["depends_on"]
    # Nothing to take out: not a letter changes.
    assert look({"name": "s", "definition": WITH_LISTS})["definition"] == [WITH_LISTS]
    assert "    # a comment\n" in found["definition"][0]


def test_files_in_the_encodings_of_the_cli(tmp_path: Path, look: Any) -> None:
    """What Docker's CLI takes is taken, and what it refuses is refused, not spoilt."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    text = "services: {web: {image: w, environment: {A: 'h\u00e9llo \u2713 \U0001f600', B: ''}}}\n"
    stack = {"name": "s", "compose": ["a.yml"]}
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        folder.joinpath("a.yml").write_bytes(text.encode(encoding))
        assert look(stack)["definition"] == [text]
    folder.joinpath("a.yml").write_bytes(b"services: {}\nx: h\xe9llo\n")
    with pytest.raises(AnsibleLookupError, match=r"a\.yml is not UTF-8: line 2 has the byte 0xe9"):
        look(stack)
    folder.joinpath("a.yml").write_bytes(text.encode("utf-16-le"))
    with pytest.raises(AnsibleLookupError, match=r"a\.yml is not "):
        look(stack)
    folder.joinpath("a.yml").write_text(text)
    folder.joinpath("a.env").write_bytes(b"A=\xe9\n")
    with pytest.raises(AnsibleLookupError, match=r"a\.env is not UTF-8: line 1"):
        look({**stack, "env_files": ["a.env"]})
    folder.joinpath("a.env").write_bytes("A=\u00e9\n".encode("utf-8-sig"))
    assert look({**stack, "env_files": ["a.env"]})["environment"] == {"A": "\u00e9"}


def test_a_missing_file_is_named_without_words_of_ansible(tmp_path: Path, look: Any) -> None:
    with pytest.raises(AnsibleLookupError) as error:
        look({"name": "s", "definition": {"secrets": {"k": {"file": "none"}}}})
    assert "Stack s: there is no file " in str(error.value)
    assert "remote_src" not in str(error.value)


@pytest.mark.parametrize(
    ("stack", "words"),
    [
        ("s", "a dictionary with a name"),
        ({"name": "s"}, "either compose or definition"),
        ({"name": "s", "compose": ["a"], "definition": {"a": 1}}, "either compose or definition"),
        ({"name": "s", "compose": ["none.yml"]}, "neither beside the playbook"),
        ({"name": "s", "definition": "a: ["}, "is not YAML"),
        ({"name": "s", "definition": "text"}, "is not a Compose file"),
        ({"name": "s", "definition": {"secrets": {"k": {"file": "none"}}}}, "there is no file"),
    ],
)
def test_what_is_wrong_is_said(look: Any, stack: Any, words: str) -> None:
    with pytest.raises(AnsibleLookupError, match=words):
        look(stack)


def test_a_profile_adds_files_and_changes_variables(tmp_path: Path, look: Any) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    folder.joinpath("a.yml").write_text("services: {web: {image: 'w:${TAG}'}}\n")
    folder.joinpath("b.yml").write_text("services: {web: {deploy: {replicas: 4}}}\n")
    folder.joinpath("a.env").write_text("TAG=1\nexport NAME='a b'\n\n# no more\n")
    stack = {
        "name": "s",
        "compose": ["a.yml"],
        "env_files": ["a.env"],
        "environment": {"DEBUG": True},
        "profiles": {"production": {"compose": ["b.yml"], "environment": {"TAG": 2}}},
    }
    plain = look(stack)
    assert plain["environment"] == {"TAG": "1", "NAME": "a b", "DEBUG": "true"}
    assert len(plain["definition"]) == 1
    found = look(stack, "production")
    assert found["environment"] == {"TAG": "2", "NAME": "a b", "DEBUG": "true"}
    assert len(found["definition"]) == 2
    with pytest.raises(AnsibleLookupError, match=r"does not have it\. Choose one of production"):
        look(stack, "prodution")
    # A stack that has none is the same everywhere.
    assert look({"name": "t", "compose": ["a.yml"]}, "production")["environment"] == {}


def test_an_env_file_that_is_none_is_not_shown(tmp_path: Path, look: Any) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    folder.joinpath("a.yml").write_text("services: {web: {image: w}}\n")
    folder.joinpath("a.env").write_text("A=1\nhunter2\n")
    with pytest.raises(AnsibleLookupError, match=r"a\.env, line 2, is not NAME=value") as error:
        look({"name": "s", "compose": ["a.yml"], "env_files": ["a.env"]})
    assert "hunter2" not in str(error.value)


def test_content_may_come_from_elsewhere_than_a_file(tmp_path: Path, look: Any) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    folder.joinpath("a.yml").write_text(
        "services: {web: {image: w}}\nsecrets: {k: {file: ./keys/k}, l: {file: l}}\n"
    )
    folder.joinpath("l").write_text("from the file")
    found = look({"name": "s", "compose": ["a.yml"], "files": {"keys/k": "from a lookup"}})
    assert {path: base64.b64decode(text) for path, text in found["files"].items()} == {
        "./keys/k": b"from a lookup",
        "l": b"from the file",
    }


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab.$/{", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "services",
                        "web",
                        "image",
                        "deploy",
                        "replicas",
                        "mode",
                        "depends_on",
                        "condition",
                    ),
                    *(
                        "secrets",
                        "configs",
                        "networks",
                        "file",
                        "name",
                        "external",
                        "env_file",
                        "build",
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)

SECTION = st.dictionaries(st.sampled_from(["web", "k"]), ANYTHING, max_size=2) | ANYTHING
DOCUMENTS = ANYTHING | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("services", "secrets", "configs", "networks"), SECTION)
)


@settings(suppress_health_check=list(HealthCheck))
@given(document=DOCUMENTS, stack=st.dictionaries(st.sampled_from(OPTIONS), ANYTHING, max_size=3))
def test_whatever_is_given_it_is_read_or_refused(document: Any, stack: Any, look: Any) -> None:
    """No input gives a traceback: what cannot be read is refused in a sentence."""
    for definition in (document, yaml.safe_dump(document)):
        with contextlib.suppress(AnsibleLookupError):
            look({"name": "s", "definition": definition, **stack})
