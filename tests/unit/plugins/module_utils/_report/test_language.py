# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every sentence of the page is in the catalogue, with the same placeholders."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import (
    abbreviate,
    as_is,
    count_of,
    either,
    joined,
    packed,
    quoted,
    text,
    tolerates,
    unpacked,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report import language
from ansible_collections.flotilla.swarm.plugins.module_utils._report.korean import KOREAN

PLUGINS = Path(language.__file__).resolve().parents[2]
TEMPLATE = PLUGINS / "plugin_utils" / "_report" / "page.html.j2"
# Whose texts stand on the page.
SOURCES = [
    PLUGINS / "module_utils" / "_common" / "words.py",
    *(
        PLUGINS / "module_utils" / "_cluster" / f"{name}.py"
        for name in ("membership", "node_labels", "run_plan", "steps")
    ),
    PLUGINS / "action" / "swarm_plan.py",
    PLUGINS / "module_utils" / "_engine" / "plan.py",
    PLUGINS / "module_utils" / "_engine" / "preflight.py",
    PLUGINS / "module_utils" / "_scheduler" / "losses.py",
    PLUGINS / "module_utils" / "_services" / "convergence.py",
    *sorted((PLUGINS / "module_utils" / "_health").glob("*.py")),
    *sorted((PLUGINS / "module_utils" / "_report").glob("*.py")),
    *sorted((PLUGINS / "plugin_utils" / "_report").glob("*.py")),
]


def constants(node: ast.expr) -> Iterator[str]:
    """The strings that an argument can be."""
    if isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def of_calls(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", "")
        if "refuse" in (name, getattr(node.func, "attr", "")) or (name == "text" and node.args):
            yield from constants(node.args[0])
        elif name == "count_of" and len(node.args) > 1:
            (noun,) = constants(node.args[1])
            yield from (f"{{count}} {noun}", f"{{count}} {noun}s")
        elif name == "partial" and getattr(node.args[0], "id", "") == "count_of":
            for keyword in node.keywords:
                for noun in constants(keyword.value):
                    yield from (f"{{count}} {noun}", f"{{count}} {noun}s")


def templates_in_loops(tree: ast.Module) -> Iterator[str]:
    """Templates that a loop hands to text(): tuples of which the first is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            for entry in getattr(node.iter, "elts", ()):
                for each in getattr(entry, "elts", ()):
                    if isinstance(each, ast.Constant) and "{" in str(each.value):
                        yield str(each.value)


def all_templates() -> set[str]:
    found: set[str] = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {*of_calls(tree), *templates_in_loops(tree)}
    found |= set(re.findall(r"""\b_\("((?:[^"\\]|\\.)*)\"""", TEMPLATE.read_text(encoding="utf-8")))
    # Plans show sentences about hosts without a full stop.
    found = {each.rstrip(".") if each.startswith("{host}: ") else each for each in found}
    return {template for template in found if language.has_words(template)}


def placeholders(template: str) -> set[str]:
    return {
        f"{name}:{form}" for _text, name, form, _how in string.Formatter().parse(template) if name
    }


def test_every_sentence_has_a_translation_and_every_translation_a_sentence() -> None:
    found = all_templates()
    assert len(found) > 150
    assert sorted(found - KOREAN.keys()) == []
    assert sorted(KOREAN.keys() - found) == []


@pytest.mark.parametrize("english", sorted(KOREAN))
def test_a_translation_has_the_placeholders_of_its_sentence(english: str) -> None:
    korean = KOREAN[english]
    assert placeholders(korean) == placeholders(english)
    assert korean.strip()
    assert korean != english or korean == "CPU"


def test_no_text_of_a_template_is_outside_of_the_catalogue() -> None:
    """What stands between two tags must be an expression, a sign, or a word that needs no translation."""
    source = re.sub(r"\{#.*?#\}", "", TEMPLATE.read_text(encoding="utf-8"), flags=re.DOTALL)
    source = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.DOTALL)
    source = re.sub(r"<style>.*?</style>|<[^>]*>", "\n", source, flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z]{2,}", source))
    assert words <= {"GiB"}


def test_texts_are_the_same_after_the_way_from_a_host() -> None:
    there = text(
        "{reachable} of {managers} managers reachable, {tolerates}",
        reachable=2,
        managers=3,
        tolerates=tolerates(1),
    )
    back = unpacked(packed(there))
    assert back == there == "2 of 3 managers reachable, tolerates 1 failure"
    assert language.say(back, "ko") == language.say(there, "ko") != there
    assert language.say(back, "en") == there


def test_names_with_braces_are_names() -> None:
    evil = "{0.__class__} {names} {"
    for words in (as_is(evil), abbreviate([evil] * 8), joined([evil, evil], "; "), either([evil])):
        assert evil in words
        assert evil in language.say(words, "ko")
        assert unpacked(packed(words)) == words


def test_words_in_english_only_have_a_sentence_that_says_what_they_are_about() -> None:
    words = quoted(
        "m1: swarm_labels is 5",
        text("A value in the inventory or of a variable cannot be used. Correct it and run again."),
    )
    for each in (words, unpacked(packed(words))):
        assert each == "m1: swarm_labels is 5"
        assert language.speaks(each, "en")
        assert not language.speaks(each, "ko")
        assert language.about(each, "en") == ""
        assert language.about(each, "ko").startswith("인벤토리나 변수의 값을")
        assert language.explained(each, "en") == each
        assert language.explained(each, "ko").endswith('"m1: swarm_labels is 5"')
    assert language.about("plain", "ko") == ""


def test_numbers_of_things() -> None:
    assert count_of(1, "manager") == "1 manager"
    assert count_of(2, "manager") == "2 managers"
    assert language.say(count_of(2, "manager"), "ko") == "매니저 2대"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (900000, "10 d ago"),
    ],
)
def test_ages(seconds: float, words: str) -> None:
    assert language.ago(1000.0, 1000.0 + seconds) == words
    assert language.ago(None, 5) == ""
