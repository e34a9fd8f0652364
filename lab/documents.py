# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The blocks of the Markdown files: commands, plays and inventories that a page shows, for the course, the tests and ansible-lint.

documents.py PLAYS INVENTORIES writes every play and every inventory that a page shows into a file of these folders, for ansible-lint.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
# Comments right before a block of commands. A reader does not see them.
REMARK = re.compile(r"<!-- (not run|run by scenario|first): (.+) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    kind: str
    text: str
    # Why no test runs the commands; empty if one does.
    reason: str
    # The scenario whose tests run these playbooks with these variables, on hosts that the course does not have.
    scenario: str
    # A command that brings the swarm into the state that the block is about.
    first: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages(*patterns: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, without the indentation of the list that they are in."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        width = len(match["indent"])
        lines = [line[width:] for line in match["text"].splitlines()]
        remark = REMARK.search(text[: match.start()])
        said = {remark[1]: remark[2]} if remark else {}
        yield Block(
            page,
            text.count("\n", 0, match.start()) + 1,
            match["kind"],
            "\n".join(lines) + "\n",
            reason=said.get("not run", ""),
            scenario=said.get("run by scenario", ""),
            first=said.get("first", ""),
        )


def commands(text: str) -> list[str]:
    """The commands of a block: what follows a dollar sign, with the lines that continue it."""
    joined = re.sub(r"\\\n\s*", "", text)
    return re.findall(r"^\$ (.+)$", joined, re.MULTILINE)


def playbook_commands(page: Path) -> Iterator[str]:
    """Every command line of a page that runs a playbook, in blocks of any kind."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    for match in re.finditer(r"^[ \d.]*(?:\$ )?(ansible-playbook .+)$", text, re.MULTILINE):
        yield match[1]


def documents(page: Path) -> Iterator[tuple[Block, Any]]:
    """The YAML blocks of a page, and what is in them."""
    for block in blocks(page):
        if block.kind == "yaml":
            yield block, yaml.safe_load(block.text)


def is_play(document: Any) -> bool:
    return isinstance(document, list) and bool(document) and "hosts" in document[0]


def is_inventory(document: Any) -> bool:
    return isinstance(document, dict) and any(
        isinstance(group, dict) and {"hosts", "children"} & group.keys()
        for group in document.values()
    )


def shown(what: Callable[[Any], bool]) -> Iterator[Block]:
    """The YAML blocks of all pages that are plays, or inventories."""
    for page in pages("*.md", "docs/**/*.md", "roles/*/README.md"):
        yield from (block for block, document in documents(page) if what(document))


if __name__ == "__main__":
    for folder, what in zip(sys.argv[1:], (is_play, is_inventory)):
        for number, block in enumerate(shown(what), 1):
            (Path(folder) / f"shown_{number}.yml").write_text(f"---\n{block.text}", "utf-8")
