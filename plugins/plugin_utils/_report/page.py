# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The page of a verdict, on the controller: the option `page`, what the inventory knows of the hosts, and the files."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ...module_utils._common.errors import shown
from ...module_utils._common.words import text
from ...module_utils._model.documents import dig
from ...module_utils._report.cleaning import clean
from ...module_utils._report.content import Aside, Content, make_content
from ...module_utils._report.history import Point, next_lines, read_past
from ...module_utils._report.language import LANGUAGES
from ...module_utils._report.summary import as_data, as_markdown
from .html import render_html

_OPTIONS = ("path", "history", "language", "plan")
# A history is a few hundred bytes a report, and one state of the swarm. What is larger is something else.
_LARGEST_HISTORY = 64 * 1024**2


@dataclass(frozen=True)
class PageOptions:
    """Where the page goes, and what it needs besides the verdict."""

    path: Path
    history: Path | None
    language: str = "en"
    plan: Mapping[str, Any] = field(default_factory=dict)


def page_options(args: Mapping[str, Any]) -> PageOptions | None:
    """The option `page` of a task; None without it or without a path."""
    given = args.get("page")
    if not given:
        return None
    if not isinstance(given, Mapping):
        raise _wrong(
            f"page is {shown(given)}: it must be a dictionary such as {{path: swarm.html}}"
        )
    unknown = sorted(set(given) - set(_OPTIONS))
    if unknown:
        raise _wrong(f"page has no option {unknown[0]}: use {', '.join(_OPTIONS)}")
    path, history = given.get("path"), given.get("history")
    if not path:
        return None
    for name, value in (("path", path), ("history", history)):
        if value is not None and not isinstance(value, str):
            raise _wrong(f"page.{name} is {shown(value)}: it must be the path of a file")
    if not path.endswith((".html", ".htm")):
        raise _wrong(f"page.path is {shown(path)}: it must end with .html, such as swarm.html")
    language = given.get("language") or "en"
    if language not in LANGUAGES:
        raise _wrong(f"page.language is {shown(language)}: it must be {' or '.join(LANGUAGES)}")
    plan = given.get("plan") or {}
    if not isinstance(plan, Mapping):
        raise _wrong(f"page.plan is {shown(plan)}: it must be a result of swarm_plan")
    target = Path(path).expanduser().absolute()
    # Without one, the history is beside the page; an empty one is none.
    line = target.with_suffix(".history.jsonl") if history is None else None
    if history:
        line = Path(history).expanduser().absolute()
    if target.is_dir():
        raise _wrong(f"page.path is {shown(path)}: it is a directory, it must be a file")
    return PageOptions(target, line, language, plan)


def _wrong(what: str) -> AnsibleActionFail:
    return AnsibleActionFail(f"Could not make the page: {what}.")


def for_the_module(args: Mapping[str, Any], options: PageOptions | None) -> dict[str, Any]:
    """The arguments for the host: it only has to know that there will be a page."""
    rest = {name: value for name, value in args.items() if name != "page"}
    return rest if options is None else {**rest, "page": {"path": options.path.name}}


def write_page(
    options: PageOptions | None,
    health: dict[str, Any],
    args: Mapping[str, Any],
    task_vars: Mapping[str, Any],
) -> None:
    """Write the page, its data, its summary and the history. `health` loses its picture and gets `page`, the path of the page."""
    if options is None or "verdict" not in health:
        return
    known = dict(known_hosts(health, args, task_vars))
    try:
        lines = _read_lines(options.history)
        now = float(dig(health, "picture", "now") or time.time())
        asides = tuple(hosts_beside(task_vars))
        content = make_content(health, known, options.plan, read_past(lines), now, asides)
        _write(options, content, lines)
    except OSError as error:
        where = error.filename or options.path
        raise AnsibleActionFail(
            f"Could not write the page: {where}: {error.strerror or error}. Set swarm_report_path to a file that can be written."
        ) from error
    finally:
        health.pop("picture", None)
    health["page"] = str(options.path)


def _write(options: PageOptions, content: Content, lines: list[str]) -> None:
    options.path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(as_data(content), separators=(",", ":"), ensure_ascii=False)
    write_file(options.path.with_suffix(".json"), data)
    write_file(options.path.with_suffix(".md"), as_markdown(content, options.language))
    write_file(options.path, render_html(content, options.language))
    if options.history is not None:
        options.history.parent.mkdir(parents=True, exist_ok=True)
        point = Point(content.made_at, content.verdict)
        reasons = [f"{each.name}: {each.status}" for each in content.reasons]
        rows = next_lines(lines, point, reasons, content.state)
        write_file(options.history, "".join(f"{row}\n" for row in rows))


def write_file(path: Path, content: str) -> None:
    """Replace a file at once: who reads it finds the old content or the new one. A link stays a link."""
    path = path.resolve()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(content)
        mode = 0o644
        if path.exists():
            mode = path.stat().st_mode & 0o777
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read_lines(path: Path | None) -> list[str]:
    if path is None or not path.exists():
        return []
    if not path.is_file() or path.stat().st_size > _LARGEST_HISTORY:
        raise AnsibleActionFail(
            f"Could not read the history of reports: {path} is not one. Set swarm_report_history to another file."
        )
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def known_hosts(
    health: Mapping[str, Any], args: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is known of hosts that the managers do not tell of: those that did not answer, and all if no manager answers.

    Variables of hosts are read for these only, because that takes Ansible a while.
    """
    observed = args.get("observed")
    observed = observed if isinstance(observed, Mapping) else {}
    unreachable = args.get("unreachable") or []
    silent = unreachable if isinstance(unreachable, list) else []
    names = [*observed, *(name for name in silent if name not in observed)]
    hostvars, groups = task_vars.get("hostvars") or {}, task_vars.get("groups") or {}
    managers = groups.get(task_vars.get("swarm_managers_group") or "swarm_managers") or []
    for name in names:
        if health["nodes"] and name not in silent:
            continue
        said = observed.get(name)
        zone = hostvars[name].get("swarm_zone") if name in hostvars else None
        yield (
            str(name),
            {
                "zone": zone if isinstance(zone, (str, int)) else "",
                "role": "manager" if name in managers else "worker",
                "silent": name in silent,
                "hostname": dig(said, "host", "hostname"),
                "state": dig(said, "swarm", "state"),
                "member_role": dig(said, "swarm", "role"),
                "engine": dig(said, "engine", "version"),
            },
        )


def hosts_beside(task_vars: Mapping[str, Any]) -> Iterator[Aside]:
    """The registries and builders of the inventory. Only site.yml asks the registries, and knows which does not answer."""
    groups, hostvars = task_vars.get("groups") or {}, task_vars.get("hostvars") or {}
    for role, group in ((text("Registry"), "swarm_registry"), (text("Builder"), "swarm_builders")):
        for host in groups.get(group) or []:
            said = hostvars[host].get("__swarm_registry") if host in hostvars else None
            yield Aside(role, clean(str(host)), bool(dig(said, "unreachable")))
