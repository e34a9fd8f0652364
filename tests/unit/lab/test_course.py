# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lessons of the course, and how what a command prints is held against them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import course
import pytest

COURSE = Path(course.__file__).resolve().parents[1] / "docs" / "course"
GET_STARTED = COURSE.parent / "get_started.md"
LESSONS = sorted((COURSE / "en").glob("[0-9][0-9]-*.md"))


@pytest.mark.parametrize(
    ("expected", "printed", "missing"),
    [
        ([], "anything", ""),
        (["a"], "a\n", ""),
        (["a"], "b\n", "a"),
        (["a"], "a\nb\n", "nothing more, but there is: b"),
        (["a", "..."], "a\nb\n", ""),
        (["...", "b"], "a\nb\n", ""),
        (["...", "b", "..."], "a\nb\nc\n", ""),
        (["a", "c"], "a\nb\nc\n", "c"),
        (["...", "c", "...", "b"], "b\nc\n", "b"),
        (["join  w1 ... zone a"], "  join   w1   worker, zone a", ""),
        (["ok 3 of 3"], "\x1b[0;32mok 3 of 3\x1b[0m", ""),
        (["1.2.3"], "1x2x3", "1.2.3"),
        (["..."], "", ""),
    ],
)
def test_what_is_printed_is_held_against_the_text(
    expected: list[str], printed: str, missing: str
) -> None:
    assert course.differs(expected, printed) == missing


def test_a_lesson_has_files_and_commands_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "01-x.md"
    path.write_text(
        "# 1. Title\n<!-- start: bare -->\n```yaml\n# hosts.yml\nall: {}\n```\n```yaml\nshown: only\n```\n"
        "```console\n$ one \\\n    two\nout\n\n$ three\n```\n"
        "<!-- not run: it takes a day -->\n\n```console\n$ four\n```\n"
        "<!-- run by scenario: bare -->\n\n```console\n$ five\n```\n"
        "- In a list\n\n  <!-- first: zero -->\n\n  ```console\n  $ six\n  ```\n"
    )
    lesson = course.parse_lesson(path)
    assert (lesson.title, lesson.start, lesson.own_kernels) == ("1. Title", "bare", False)
    assert lesson.steps == (
        course.File("hosts.yml", "# hosts.yml\nall: {}\n"),
        course.Command("one two", ("out",)),
        course.Command("three", ()),
        course.Command("zero", ()),
        course.Command("six", ()),
    )


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_can_be_read_and_is_the_same_in_korean(path: Path) -> None:
    lesson = course.parse_lesson(path)
    assert any(isinstance(step, course.Command) for step in lesson.steps)
    korean = course.parse_lesson(COURSE / "ko" / path.name)
    assert korean.steps == lesson.steps
    assert (korean.start, korean.own_kernels) == (lesson.start, lesson.own_kernels)
    assert lesson.title.startswith(f"{int(path.name[:2])}. ")
    assert korean.title.startswith(f"{int(path.name[:2])}. ")
    # Written by itself, and not a copy.
    assert re.search("[가-힣]", korean.title)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_commands_of_a_lesson_are_commands_of_bash(path: Path) -> None:
    for step in course.parse_lesson(path).steps:
        if isinstance(step, course.Command):
            done = subprocess.run(
                ["bash", "-n", "-c", step.text], capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), step.text


def test_a_lesson_about_the_kernel_is_on_a_lab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PREFIX", "course")
    monkeypatch.setenv("LAB_SUBNET", "192.0.2.0/24")
    (lesson,) = course.lessons(["11"])
    labs = {}
    for own_kernels in (lesson.own_kernels, False):
        with course.hosts(own_kernels):
            labs[own_kernels] = course.read_lab()
    assert [labs[kind].own_kernels for kind in (True, False)] == [True, False]
    assert [labs[kind].prefix for kind in (True, False)] == ["course-kernels", "course"]
    assert course.swarm_of(labs[True]) == (
        "all:\n  children:\n    swarm_managers:\n      hosts:\n        m1: {swarm_zone: a}\n"
        "        m2: {swarm_zone: b}\n        m3: {swarm_zone: c}\n"
    )
    assert course.swarm_of(labs[False]).endswith("w2: {swarm_zone: b}\n")


def test_both_languages_have_the_same_lessons() -> None:
    names = {
        language: {path.name for path in (COURSE / language).iterdir()} for language in ("en", "ko")
    }
    assert names["en"] == names["ko"]


def test_get_started_is_followed_like_a_lesson() -> None:
    lesson = course.parse_lesson(GET_STARTED)
    names = [step.name for step in lesson.steps if isinstance(step, course.File)]
    commands = [step.text for step in lesson.steps if isinstance(step, course.Command)]
    assert "hosts.yml" in names
    assert "ansible-playbook -i hosts.yml flotilla.swarm.site" in commands
    # What is marked as not run.
    assert not [text for text in commands if text.startswith("pip ")]
    assert [each.path for each in course.lessons(["get_started", "1"])] == [LESSONS[0], GET_STARTED]
    assert GET_STARTED in course.guides()
