# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the site of the documentation: the Markdown files of docs/, and what antsibull-docs makes of modules and roles.

    build.py OUTPUT

The Markdown files stay readable on GitHub. So this script writes a copy for Sphinx, in which docs/index.md has the navigation as
Sphinx wants it, and links to files outside of docs/ go to the site or to the repository. A warning of any tool is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

SITE = Path(__file__).resolve().parent
DOCS = SITE.parent
ROOT = DOCS.parent
COLLECTION = "flotilla.swarm"
# Where antsibull-docs writes, below the sources.
PLUGINS = "reference/plugins"
ANSIBLE_DOCS = "https://docs.ansible.com/ansible/latest"
ANSIBLE = {
    "common_return_values": "reference_appendices/common_return_values",
    "action_plugins": "plugins/action",
    r"ansible_collections\.ansible\.builtin\.(\w+)": r"collections/ansible/builtin/\2",
}
LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")


def repository() -> str:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    return f"{galaxy['repository']}/blob/main"


def page_of_plugin(target: Path) -> str | None:
    """The page of the site about a file of the collection."""
    parts = target.relative_to(ROOT).parts
    if parts == ("plugins", "modules"):
        return f"{PLUGINS}/index.rst"
    if parts[:2] == ("plugins", "modules"):
        return f"{PLUGINS}/{target.stem}_module.rst"
    if parts[0] == "roles" and len(parts) > 1:
        return f"{PLUGINS}/{parts[1]}_role.rst"
    return None


def relinked(path: Path, text: str, base: str) -> str:
    """The text of a file of docs/, with links that work on the site."""

    def replace(match: re.Match[str]) -> str:
        before, link, anchor, after = match[1], match[2], match[3] or "", match[4]
        if ":" in link:
            return match[0]
        target = (path.parent / link).resolve()
        if target.is_relative_to(DOCS):
            return match[0]
        page = page_of_plugin(target)
        if page:
            return f"{before}{os.path.relpath(DOCS / page, path.parent)}{after}"
        return f"{before}{base}/{target.relative_to(ROOT)}{anchor}{after}"

    return LINK.sub(replace, text)


def with_navigation(text: str, base: str) -> str:
    """docs/index.md with a toctree for each section: the links of its list."""
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    trees = []
    for title, body in zip(sections[1::2], sections[2::2]):
        links = re.findall(r"^- \[([^]]*)\]\(([^)]+?)(?:\.md|\.rst)?\)", body, re.MULTILINE)
        listed = "\n".join(f"{name} <{link}>" for name, link in links if base not in link)
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{listed}\n```\n")
    return text + "\n" + "\n".join(trees)


def write_sources(sources: Path) -> int:
    base = repository()
    pages = 0
    for path in sorted(DOCS.rglob("*")):
        place = path.relative_to(DOCS)
        if path.is_dir() or place.parts[0] in ("site", "docsite"):
            continue
        target = sources / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".md":
            shutil.copy(path, target)
            continue
        text = relinked(path, path.read_text(encoding="utf-8"), base)
        if place == Path("index.md"):
            text = with_navigation(text, base)
        target.write_text(text, encoding="utf-8")
        pages += 1
    return pages


def link_ansible(page: Path) -> None:
    """Links of antsibull-docs to Ansible's own documentation, which is another site."""
    text = page.read_text(encoding="utf-8")
    for label, place in ANSIBLE.items():
        target = f"{ANSIBLE_DOCS}/{place}.html"
        text = re.sub(rf":ref:`([^`<]+?) <{label}>`", rf"`\1 <{target}>`__", text)
    # A role that is listed under "See also" has no title there.
    text = re.sub(r":ref:`(ansible_collections\.([\w.]+)_role)`", r":ref:`role \2 <\1>`", text)
    page.write_text(text, encoding="utf-8")


def run(*command: str) -> None:
    # Tools of the same virtual environment call each other by name.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    if done.returncode or "WARNING" in done.stderr + done.stdout:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def main(output: Path) -> None:
    sources = output.parent / "sources"
    for folder in (sources, output):
        shutil.rmtree(folder, ignore_errors=True)
    own = write_sources(sources)
    plugins = sources / PLUGINS
    # antsibull-docs refuses a folder that others can write.
    plugins.mkdir(parents=True, mode=0o755)
    run(
        *("antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error"),
        *("--no-add-antsibull-docs-version", "--dest-dir", str(plugins), COLLECTION),
    )
    (plugins / "environment_variables.rst").unlink(missing_ok=True)
    made = sorted(plugins.glob("*.rst"))
    for page in made:
        link_ansible(page)
    run(
        *("sphinx-build", "--builder", "html", "--nitpicky", "--fail-on-warning", "--keep-going"),
        *("--quiet", "-c", str(SITE), str(sources), str(output)),
    )
    print(f"{own + len(made)} pages, {len(made)} of them about modules, plugins and roles")
    print(f"open {output / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
