# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What modules ask a builder: the states of its sources, and a build now.

The service does the work, so nothing depends on the module or on the connection of the controller.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._common.words import abbreviate
from .plan import BUILT, ENDS, UNCHANGED, Build, choose, ranked
from .service import FILE_ROW, known_sources, repository_of
from .settings import LOCK, SERVICE, Settings
from .sources import Source
from .state import Row, load_rows, load_settings, write_request

# A command and its (exit code, output, errors).
Runner = Callable[..., tuple[int, str, str]]
_LAST_LINES = 20


@dataclass
class Outcome:
    """What the module swarm_build returns."""

    changed: bool = False
    acting: str = ""
    plan: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source: str = ""
    state: str = ""
    cause: str = ""
    commit: str = ""
    ref: str = ""
    subject: str = ""
    builder: str = ""
    image: str = ""
    images: list[str] = field(default_factory=list)
    digest: str = ""
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


def states() -> dict[str, Any]:
    """The states of all sources of this host. Raises not_installed or bad_option."""
    settings = load_settings()
    sources, wrong = known_sources(settings)
    rows = load_rows()
    names = [source.name for source in sources]
    found = [_state(source, rows.get(source.name) or Row(), settings) for source in sources]
    for name in sorted({*wrong, *({FILE_ROW} & rows.keys())} - set(names)):
        row = rows.get(name) or Row(state="invalid", cause=wrong.get(name, ""))
        found.append(_row_state(name, row, settings))
    try:
        looked_at = os.stat(LOCK).st_mtime
    except OSError:
        looked_at = 0.0
    return {"builder": settings.name, "looked_at": looked_at, "sources": found}


def _state(source: Source, row: Row, settings: Settings) -> dict[str, Any]:
    order = ranked(source.name, {*settings.builders, settings.name})
    return {
        **_row_state(source.name, row, settings),
        "repository": source.repository,
        "ref": source.ref,
        "rank": order.index(settings.name),
    }


def _row_state(name: str, row: Row, settings: Settings) -> dict[str, Any]:
    build = row.build or Build("", "")
    # The row of a new commit says who is at work on it, and the image is still the one before.
    done = row.state in ENDS
    return {
        "source": name,
        "reporter": settings.name,
        "repository": "",
        "ref": "",
        "rank": 0,
        "state": row.state or "waiting",
        "cause": row.cause,
        "since": row.since,
        "seen_at": row.memory.seen_at,
        "commit": row.head,
        "image": build.image,
        "images": list(build.images),
        "digest": build.digest,
        "builder": build.builder if done else settings.name,
        "at": build.at,
        "seconds": build.seconds,
        "steps": dict(build.steps),
        "subject": build.subject,
        "author": build.author,
        "built_commit": build.commit,
        "log": row.log,
    }


def ask(
    name: str,
    among: Collection[str] | None,
    check: bool,
    timeout: float,
    run: Runner,
    outcome: Outcome,
    clock: Clock | None = None,
) -> None:
    """Have the source built now, if this is the builder for it. `among` has the names of the builders that the caller reaches."""
    settings = load_settings()
    sources, wrong = known_sources(settings)
    by_name = {source.name: source for source in sources}
    if name not in by_name:
        raise _unknown(name, by_name, wrong)
    source = by_name[name]
    outcome.source = name
    candidates = [each for each in settings.builders if among is None or each in among]
    order = ranked(name, candidates or [settings.name])
    outcome.acting = order[0]
    if order[0] != settings.name:
        return
    head = choose(source, _refs(settings, source))
    if head is None:
        raise SwarmError(
            "no_branch",
            f"Could not build {name}: repository {source.repository} has nothing that matches {source.ref}. Push it, or correct the source.",
        )
    outcome.commit, outcome.ref = head.commit, head.ref
    outcome.plan = [
        f"PLAN  build {name} on {settings.name}",
        f"  + build  {head.commit[:12]}  of {head.ref}",
        f"  + push   {source.image}  with the tags {', '.join(source.tags)}",
    ]
    outcome.changed = True
    if check:
        return
    outcome.changed = False
    request = secrets.token_hex(8)
    write_request(name, request)
    _start(run)
    outcome.changed = True

    def look() -> Row:
        row = load_rows().get(name) or Row()
        if row.request != request:
            # It can have been at its end, or wait for another builder until its next start.
            _start(run)
        return row

    row, done = poll(look, lambda row: row.request == request, timeout, 2.0, clock)
    if not done:
        raise SwarmError(
            "timeout",
            f"Could not wait for the build of {name}: it has not ended within {timeout:g} s. It goes on. See journalctl -u {SERVICE} on"
            f" {settings.name}.",
        )
    _take(row, outcome, settings)


def _refs(settings: Settings, source: Source) -> dict[str, str]:
    return repository_of(
        settings, source.repository, f"{source.name}.git", source.name
    ).remote_refs(source.ref)


def _unknown(name: str, known: Collection[str], wrong: Mapping[str, str]) -> SwarmError:
    if name in wrong:
        return SwarmError("bad_option", f"Could not build {name}: {wrong[name]}.")
    return SwarmError(
        "not_found",
        f"Could not build {name}: there is no such source. The sources are {abbreviate(sorted(known)) or 'none'}.",
    )


def _start(run: Runner) -> None:
    """Start the service, unless it runs."""
    code, _output, errors = run(["systemctl", "start", "--no-block", "--", SERVICE])
    if code:
        raise SwarmError(
            "systemctl_failed", f"Could not start {SERVICE}: {errors.strip() or 'it fails'}."
        )


def _take(row: Row, outcome: Outcome, settings: Settings) -> None:
    """The answer of the service."""
    build = row.build if row.state in ENDS else None
    outcome.state, outcome.cause = row.state, row.cause
    outcome.builder = settings.name
    if build:
        outcome.commit, outcome.ref, outcome.subject = build.commit, build.ref, build.subject
        outcome.builder, outcome.image, outcome.digest = build.builder, build.image, build.digest
        outcome.images, outcome.steps = list(build.images), dict(build.steps)
        outcome.seconds = build.seconds
    if row.state not in (BUILT, UNCHANGED):
        outcome.log = _last_lines(row.log) if build else []
        raise SwarmError(
            "build_failed",
            f"Could not build {outcome.source}: {row.cause.rstrip('.')}. The log is {row.log or f'in journalctl -u {SERVICE}'} on"
            f" {settings.name}.",
            source=outcome.source,
            commit=outcome.commit,
        )


def _last_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    plain = ("".join(c if c.isprintable() else " " for c in line)[:500] for line in lines)
    return list(plain)[-_LAST_LINES:]
