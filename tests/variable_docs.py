# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/variables.md: every variable of the playbooks and roles, from the comments of the playbooks and the argument_specs.
It also writes the variables of a playbook into its page of docs, where a comment asks for them.

With --check it writes nothing, and fails if the page is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from role_docs import default_of, markdown, with_table, write_pages

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "variables.md"
# In the page of a playbook.
ASKED = re.compile(r"<!-- variables of (\w+): written by tests/variable_docs.py -->")
# A line of the table in the comment of a playbook: a name, perhaps the default, and the meaning, in columns.
ROW = re.compile(r"^#( {5})([a-z][a-z_]+)(  +)(\S.*)$")

HEAD = """# All variables

Every variable of the playbooks and roles, by name. Set a variable in the inventory (`group_vars`, `host_vars`) if it describes your
cluster, and with `-e` if it is for one run. A misspelt name that begins with `swarm_` or `docker_engine_` fails the plan of `site.yml`.

`tests/lint.sh --fix` writes this page from the comments of the playbooks and the argument specs of the roles.

| variable | default | used by | meaning |
|---|---|---|---|
"""


@dataclass
class Variable:
    default: str = ""
    meaning: str = ""
    users: list[str] = field(default_factory=list)


def comment_of(playbook: Path) -> Iterator[str]:
    """The lines of the comment at the top of a playbook."""
    for line in playbook.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            yield line
        elif line != "---":
            return


def rows_of(playbook: Path) -> dict[str, tuple[str, str]]:
    """The default and the meaning of each variable in the comment of a playbook."""
    rows: dict[str, tuple[str, str]] = {}
    name = ""
    for line in comment_of(playbook):
        match = ROW.match(line)
        if match:
            name = match[2]
            cells = re.split(r" {2,}", match[4], maxsplit=1)
            rows[name] = (cells[0], cells[1]) if len(cells) == 2 else ("", cells[0])
        elif name and line.startswith("#" + " " * 20):
            default, meaning = rows[name]
            rows[name] = (default, f"{meaning} {' '.join(line[1:].split())}")
        else:
            name = ""
    return rows


def default_in_markdown(default: str) -> str:
    return default if default.startswith("(") or not default else f"`{default}`"


def variables() -> dict[str, Variable]:
    """All variables by name. What a role says of a variable is more exact than what a playbook says."""
    found: dict[str, Variable] = {}
    for specs in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        role = specs.parts[-3]
        spec = yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"]["main"]
        for name, option in (spec.get("options") or {}).items():
            lines = option["description"]
            first = lines if isinstance(lines, str) else lines[0]
            found[name] = Variable(markdown(default_of(option)), markdown(first))
            found[name].users.append(f"[role {role}](../roles/{role}/README.md)")
    of_roles = set(found)
    for playbook in sorted(ROOT.glob("playbooks/*.yml")):
        for name, (default, meaning) in rows_of(playbook).items():
            shown = default_in_markdown(default)
            variable = found.setdefault(name, Variable(shown, markdown(meaning)))
            if set(playbook.stem.split("_")) & set(name.split("_")) and name not in of_roles:
                # swarm_report_path is the variable of report.yml, which other playbooks take too.
                variable.default, variable.meaning = shown, markdown(meaning)
            variable.users.append(f"[{playbook.stem}](../playbooks/{playbook.name})")
    return found


def page() -> str:
    return HEAD + "".join(
        f"| `{name}` | {each.default} | {', '.join(each.users)} | {each.meaning} |\n"
        for name, each in sorted(variables().items())
    )


def pages() -> dict[Path, str]:
    """Every page that has a table of this script, as it must be."""
    found = {PAGE: page()}
    for path in sorted(ROOT.glob("docs/**/*.md")):
        text = path.read_text(encoding="utf-8")
        for match in ASKED.finditer(text):
            rows = "\n".join(
                f"| `{name}` | {default_in_markdown(default)} | {markdown(meaning)} |"
                for name, (default, meaning) in rows_of(
                    ROOT / "playbooks" / f"{match[1]}.yml"
                ).items()
            )
            table = f"| variable | default | meaning |\n|---|---|---|\n{rows}"
            found[path] = with_table(found.get(path, text), match[0], table)
    return found


if __name__ == "__main__":
    sys.exit(write_pages(pages()))
