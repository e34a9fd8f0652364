# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the documentation says is true: commands, variables, plays, inventories and quoted messages exist."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import course
import documents
import pytest
import variable_docs
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PLAYBOOKS = {path.stem for path in ROOT.glob("playbooks/*.yml")}
VARIABLES = variable_docs.variables()
GROUPS = {"swarm_managers", "swarm_workers", "swarm_registry", "swarm_builders"}
EVERYWHERE = documents.pages("*.md", "docs/**/*.md", "roles/*/README.md")
GUIDES = documents.pages(
    *("docs/get_started.md", "docs/probe.md", "docs/report.md"),
    *("docs/howto/*.md", "docs/runbooks/*.md", "docs/symptoms/*.md"),
)
OURS = re.compile(r"\b((?:swarm|docker_engine|registry)_[a-z_]+)\b")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def playbook_of(words: list[str]) -> str:
    """The name of the playbook that a command runs."""
    for word in words:
        match = re.fullmatch(r"flotilla\.swarm\.(\w+)|(?:\S*/)?playbooks/(\w+)\.yml", word)
        if match:
            return match[1] or match[2]
    return ""


def given_to(words: list[str]) -> Iterator[str]:
    """The variables that a command sets with -e."""
    for flag, value in zip(words, words[1:]):
        if flag == "-e" and value.startswith("{"):
            yield from yaml.safe_load(value)
        elif flag == "-e" and not value.startswith("@"):
            yield value.partition("=")[0]


def test_each_module_and_role_has_a_line_in_the_contents() -> None:
    text = (ROOT / "docs" / "contents.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")}
    assert {name for name in modules if f"`{name}`" not in text} == set()
    roles = {path.name for path in (ROOT / "roles").iterdir()}
    assert {name for name in roles if f"(../roles/{name}/README.md)" not in text} == set()


@pytest.mark.parametrize("page", EVERYWHERE, ids=name_of)
def test_playbooks_and_variables_of_commands_exist(page: Path) -> None:
    wrong = []
    # Playbooks that the page shows.
    shown = set(re.findall(r"^```yaml\n# (\w+\.yml)$", page.read_text("utf-8"), re.MULTILINE))
    for command in documents.playbook_commands(page):
        # What follows the command in a table of cases is a remark.
        words = shlex.split(command.split("   ")[0].partition(" #")[0].partition(" | ")[0])
        if playbook_of(words) not in PLAYBOOKS and not shown & set(words):
            wrong.append(f"no such playbook: {command}")
        wrong += [
            f"no such variable: {name}: {command}"
            for name in given_to(words)
            if name not in VARIABLES and not name.startswith("ansible_")
        ]
    assert not wrong


def is_run_by(scenario: str, command: str) -> bool:
    """Whether the tests of a scenario run this command, or this playbook with these variables."""
    folder = ROOT / "molecule" / scenario
    text = "\n".join(path.read_text("utf-8") for path in folder.rglob("*.*") if path.is_file())
    words = shlex.split(command)
    playbook = playbook_of(words)
    if not playbook:
        return command in text
    # A test can make the name of a variable of a prefix and the name of an argument.
    joints = re.findall(r"\b(\w+_)\{", text)
    return bool(re.search(rf"\b{playbook}\b", text)) and all(
        re.search(rf"\b{name}\b", text)
        or any(
            name.startswith(joint) and re.search(rf"\b{name[len(joint) :]}=", text)
            for joint in joints
        )
        for name in given_to(words)
    )


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_commands_of_guides_are_run_by_a_test_or_say_why_not(page: Path) -> None:
    """The course follows the page word by word, or the block names the scenario that runs it, or says why nothing does."""
    followed = []
    if page in course.guides():
        steps = course.parse_lesson(page).steps
        followed = [step.text for step in steps if isinstance(step, course.Command)]
    wrong: list[str] = []
    inside: list[str] = []
    for block in documents.blocks(page):
        if block.kind != "console":
            continue
        found = documents.commands(block.text)
        assert found, f"{block}: no command"
        inside += found
        if block.reason:
            continue
        wrong += [
            f"{block}: {command}"
            for command in found
            if (
                not is_run_by(block.scenario, command)
                if block.scenario
                else command not in followed
            )
        ]
    wrong += [
        f"not in a block of commands: {command}"
        for command in documents.playbook_commands(page)
        if command not in inside
    ]
    assert not wrong


@pytest.mark.parametrize("page", EVERYWHERE, ids=name_of)
def test_variables_in_examples_exist(page: Path) -> None:
    wrong = []
    for block, document in documents.documents(page):
        tops = [document] if isinstance(document, dict) else []
        # The variables of an inventory are below its groups and hosts.
        text = block.text if documents.is_inventory(document) else ""
        keys = {key for top in tops for key in top} | set(re.findall(r"([a-z_]+):", text))
        wrong += [
            f"{block}: {key}"
            for key in sorted(map(str, keys))
            if OURS.fullmatch(key) and key not in VARIABLES and key not in GROUPS
        ]
    assert not wrong


def test_plays_that_pages_show_pass_the_syntax_check(tmp_path: Path) -> None:
    shown = list(documents.shown(documents.is_play))
    assert shown
    files = []
    for number, block in enumerate(shown):
        files.append(tmp_path / f"{number}.yml")
        files[-1].write_text(block.text, encoding="utf-8")
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(
        "{swarm_managers: {hosts: {m1: {}}}, swarm_workers: {hosts: {w1: {}}}}", encoding="utf-8"
    )
    inside = ROOT.parts[-3] == "ansible_collections"
    collections = str(ROOT.parents[2] if inside else ROOT / ".cache" / "collections")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "--syntax-check", "-i", hosts, *files],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_inventories_that_pages_show_can_be_read(tmp_path: Path) -> None:
    from ansible.inventory.manager import InventoryManager
    from ansible.parsing.dataloader import DataLoader

    shown = list(documents.shown(documents.is_inventory))
    assert shown
    for number, block in enumerate(shown):
        path = tmp_path / f"{number}.yml"
        path.write_text(block.text, encoding="utf-8")
        inventory = InventoryManager(loader=DataLoader(), sources=[str(path)])
        assert inventory.get_hosts(), block
        names = {name for name in inventory.groups if name.startswith("swarm_")}
        assert names <= GROUPS, block


# --- quoted messages --------------------------------------------------------------------------------

# A page writes ... for what differs from case to case. These stand for it too: hosts, numbers, IDs.
GAP = re.compile(r"\.\.\.|\b[mw]\d\b(?:, [mw]\d\b)*|\b\d[\d.]*\b")


def texts_in(path: Path) -> Iterator[str]:
    """The texts of a Python file, with ... for what is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{[^{}]*\}", "...", node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values
            )


def all_texts() -> str:
    found = [text for path in ROOT.glob("plugins/**/*.py") for text in texts_in(path)]
    for pattern in ("playbooks/**/*.yml", "roles/*/tasks/*.yml"):
        for path in ROOT.glob(pattern):
            found.append(re.sub(r"\{\{.*?\}\}", "...", path.read_text(encoding="utf-8")))
    return "\n".join(" ".join(text.split()) for text in found)


TEXTS = all_texts()


def quoted(page: Path) -> Iterator[str]:
    """The messages in the first cells of the tables of a page, and after the word verdict."""
    for line in page.read_text(encoding="utf-8").splitlines():
        cell = line.split("|")[1] if line.startswith("| ") and line.count("|") > 2 else ""
        if cell or re.match(r"(\| )?[Vv]erdict: `", line):
            yield from re.findall(r"`([^`]* [^`]* [^`]*)`", cell or line)


@pytest.mark.parametrize("page", documents.pages("docs/**/*.md"), ids=name_of)
def test_quoted_messages_exist_in_the_code(page: Path) -> None:
    unknown = [
        message
        for message in quoted(page)
        if not message.startswith(("docker ", "systemctl ", "flotilla.", "remove-node.yml"))
        for piece in GAP.split(message)
        if len(piece.strip()) > 3 and " ".join(piece.split()) not in TEXTS
    ]
    assert not unknown


# --- the index of variables -------------------------------------------------------------------------


def test_the_tables_of_variables_are_up_to_date() -> None:
    for page, text in variable_docs.pages().items():
        assert page.read_text(encoding="utf-8") == text, page


@pytest.mark.parametrize(
    "page", documents.pages("docs/howto/*.md", "docs/runbooks/*.md"), ids=name_of
)
def test_the_page_of_a_playbook_has_its_variables(page: Path) -> None:
    """In a table, or by a link to the role whose variables they are."""
    text = page.read_text(encoding="utf-8")
    assert variable_docs.ASKED.search(text) or re.search(
        r"\]\((\.\./)+(roles/\w+/README|variables)\.md\)", text
    )


@pytest.mark.parametrize("name", sorted(PLAYBOOKS))
def test_every_variable_that_a_playbook_reads_is_in_the_index(name: str) -> None:
    lines = (ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    # Names in templates and conditions; those of modules, files and internal variables are others.
    read = set(
        re.findall(
            r"(?<![\w.'/&*])((?:swarm|docker_engine|registry)_[a-z_]+)(?= *[|!=)}.\s,])", text
        )
    )
    modules = {path.stem for path in ROOT.glob("plugins/modules/*.py")}
    roles = {path.name for path in ROOT.glob("roles/*")}
    assert read - set(VARIABLES) - GROUPS - modules - roles == set()


@pytest.mark.parametrize("name", sorted(PLAYBOOKS))
def test_every_variable_in_the_comment_of_a_playbook_is_read(name: str) -> None:
    rows = variable_docs.rows_of(ROOT / "playbooks" / f"{name}.yml")
    code = "\n".join(
        line
        for pattern in ("playbooks/**/*.yml", "roles/*/tasks/*.yml", "plugins/**/*.py")
        for path in ROOT.glob(pattern)
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    assert [each for each in rows if not re.search(rf"\b{each}\b", code)] == []


# --- the pages --------------------------------------------------------------------------------------


def test_names_of_tarballs_have_the_version_of_the_collection() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    for path in [*EVERYWHERE, ROOT / "execution-environment.yml"]:
        found = re.findall(r"flotilla-swarm-([\d.]+)\.tar", path.read_text(encoding="utf-8"))
        assert set(found) <= {version}, path


def test_the_index_has_every_page() -> None:
    linked = set(
        re.findall(r"\]\(([\w/.-]+\.md)\)", (DOCS / "index.md").read_text(encoding="utf-8"))
    )
    pages = {str(path.relative_to(DOCS)) for path in DOCS.glob("**/*.md")}
    assert pages - linked == {"index.md"}


def test_every_playbook_has_a_page() -> None:
    text = (DOCS / "howto" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`flotilla\.swarm\.(\w+)`", text)) == PLAYBOOKS


@pytest.mark.parametrize("page", documents.pages("docs/ko/*.md"), ids=name_of)
def test_a_translation_shows_the_same_commands_and_examples(page: Path) -> None:
    def shown(path: Path) -> list[tuple[str, str]]:
        return [
            (block.kind, re.sub(r" +#.*", "", block.text))
            for block in documents.blocks(path)
            if block.kind
        ]

    assert shown(page) == shown(DOCS / page.name)
