# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the table of variables in each role's README from its argument_specs.

With --check it writes nothing, says which are out of date, and fails if there are any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
START = "<!-- variables: written by tests/role_docs.py -->"
END = "<!-- end of variables -->"


def markdown(text: str) -> str:
    """Ansible's markup as Markdown, in one line that a table can hold."""
    text = re.sub(r"\b[OVCE]\(([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\bRV\(([^)]*)\)", r"`\1`", text)
    text = re.sub(r"\b[MPR]\(([^),#]*)[^)]*\)", r"`\1`", text)
    text = re.sub(r"\bB\(([^)]*)\)", r"**\1**", text)
    text = re.sub(r"\bI\(([^)]*)\)", r"*\1*", text)
    return " ".join(text.split()).replace("|", "\\|")


def default_of(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    default = option.get("default")
    if default is None:
        return ""
    if isinstance(default, str):
        return f"`{default}`" if default else '`""`'
    text = yaml.safe_dump(default, default_flow_style=True, width=10**6)
    return f"`{text.strip().removesuffix('...').strip()}`"


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if kind == "list" and option.get("elements"):
            kind = f"list of {option['elements']}"
        description = option.get("description", "")
        lines = [description] if isinstance(description, str) else list(description)
        if option.get("choices"):
            choices = ", ".join(
                f"`{choice}`" if choice != "" else '`""`' for choice in option["choices"]
            )
            lines.append(f"One of {choices}.")
        text = " ".join(markdown(line) for line in lines)
        yield f"| `{prefix}{name}` | {kind} | {markdown(default_of(option))} | {text} |"
        yield from rows(option.get("options") or {}, f"{prefix}{name}.")


def table(role: Path) -> str:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    found = list(rows(specs["argument_specs"]["main"].get("options") or {}))
    if not found:
        return "This role has no variables of its own."
    return "\n".join(["| variable | type | default | |", "|---|---|---|---|", *found])


def with_table(text: str, start: str, table: str) -> str:
    """A page with this table between two comments; empty if they are missing."""
    before, found, rest = text.partition(start)
    _old, end, after = rest.partition(END)
    return f"{before}{start}\n\n{table}\n\n{END}{after}" if found and end else ""


def write_pages(pages: Mapping[Path, str]) -> int:
    """Write the pages that are out of date, or with --check only name them; the exit code."""
    stale = [path for path, new in pages.items() if path.read_text(encoding="utf-8") != new]
    check = "--check" in sys.argv[1:]
    for path in stale:
        if not check:
            path.write_text(pages[path], encoding="utf-8")
        state = "out of date, run tests/lint.sh --fix" if check else "written"
        print(f"{path.relative_to(ROOT)}: {state}")
    return 1 if stale and check else 0


def main() -> int:
    pages = {
        readme: with_table(readme.read_text(encoding="utf-8"), START, table(readme.parent))
        for readme in sorted(ROOT.glob("roles/*/README.md"))
    }
    missing = [path for path, new in pages.items() if not new]
    for path in missing:
        print(f"{path.relative_to(ROOT)}: no place for the table: {START} ... {END}")
    return 1 if missing else write_pages(pages)


if __name__ == "__main__":
    sys.exit(main())
