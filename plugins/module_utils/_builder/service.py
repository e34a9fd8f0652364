# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What systemd runs on a builder, again and again: look at each source, and build what is new or asked for.

If nothing is new, a run asks each repository once for its branch, and does nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .._common.errors import SwarmError, failure_of
from .._git.repository import Repository
from .._host.files import names_in, read, text_of, write_whole
from .._host.journal import say
from .._host.locks import alone
from .._notify.events import Event
from .._notify.send import parse_notify, send
from .._registry.api import RegistryClient, ca_of, login_of
from .._registry.reference import parse_image
from .._stack import compose_file
from . import work
from .plan import (
    ADOPT,
    BUILDING,
    ENDS,
    ERROR,
    FAILED,
    INVALID,
    UNCHANGED,
    WAIT,
    WAITING,
    Build,
    Claim,
    Head,
    after_error,
    as_record,
    choose,
    claim_tag,
    claim_until,
    is_idle,
    is_paused,
    latest_good,
    matters,
    next_move,
    noticed,
    parse_claim,
    parse_record,
)
from .settings import LOCK, STATE_DIR, STOPPED, Settings
from .sources import Source, parse_sources
from .state import Row, answered, load_rows, load_settings, requests, save_rows
from .work import Local, Note, Work

_GIT = f"{STATE_DIR}/git"
_SOURCES = f"{STATE_DIR}/sources.json"
# The row of the file with the sources itself.
FILE_ROW = "sources.yml"
# Runs in one, so that what is asked for meanwhile does not wait for the timer.
_ROUNDS = 20
# Bytes of the file with the sources.
_LARGEST_SOURCES = 512 << 10


def _stop(_number: int, _frame: object) -> None:
    raise SystemExit(STOPPED)


def main() -> int:
    """Run as a service; returns the exit code."""
    busy = SwarmError("in_progress", "another run is at work on this host")
    # So that a run that is stopped withdraws its claim, and another builder need not wait.
    signal.signal(signal.SIGTERM, _stop)
    try:
        with alone(LOCK, busy):
            settings = load_settings()
            tick = Tick(settings)
            for _round in range(_ROUNDS):
                asked = tick.run()
                # What still waits for another builder waits for the timer.
                if not requests().items() - asked.items():
                    break
    except (SwarmError, OSError) as error:
        failure = failure_of("look for new commits", error)
        if failure is not busy:
            say(failure.message)
            return 1
    return 0


def repository_of(
    settings: Settings, name: str, folder: str, label: str, megabytes: int = 64
) -> Repository:
    """A repository of the settings, with a copy of its own on this host."""
    return Repository(
        label, os.path.join(_GIT, folder), settings.repositories[name], megabytes << 20
    )


def known_sources(settings: Settings) -> tuple[list[Source], dict[str, str]]:
    """The sources of the inventory and of the file as it was last read, and what is wrong with others."""
    known = settings.repositories
    found, wrong = parse_sources(settings.sources, known) if settings.sources else ([], {})
    if settings.sources_repository:
        more, others = parse_sources(_last_file()[1], known)
        names = {source.name for source in found}
        for source in more:
            if source.name in names:
                others[source.name] = (
                    "the inventory has a source with this name; rename one of them"
                )
        found += [source for source in more if source.name not in names]
        wrong.update(others)
    return found, wrong


def _last_file() -> tuple[str, Any]:
    """The file with the sources, as it was last read: its commit and its content."""
    try:
        found = json.loads(read(_SOURCES) or b"")
        return str(found["commit"]), found["document"]
    except (ValueError, KeyError, TypeError):
        return "", {"sources": []}


def _parse(data: bytes) -> dict[str, Any]:
    """The file with the sources; raises bad_yaml or bad_encoding."""
    try:
        return compose_file.read(compose_file.decoded(data)).document
    except SwarmError as error:
        why = error.message.replace("a Compose file", "a dictionary with the key sources")
        raise SwarmError(
            error.code, f"Could not read the sources: {FILE_ROW} {why}. Correct and commit it."
        ) from error


@dataclass
class Tick:
    """The runs of one process."""

    settings: Settings
    sources: dict[str, Source] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    note: Note | None = None
    _refs: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def run(self) -> dict[str, str]:
        """Look at each source once, and return what was asked for. What fails for one source does not stop the others."""
        before = load_rows()
        self.rows, self._refs = dict(before), {}
        self.note = self._resume() if work.in_progress() else None
        trouble = self._read_file()
        found, wrong = known_sources(self.settings)
        self.sources = {source.name: source for source in found}
        asked = requests()
        if trouble:
            self._put(FILE_ROW, state=ERROR, cause=trouble)
        for name, why in wrong.items():
            self._put(name, state=INVALID, cause=why)
        self._forget({*self.sources, *wrong, *([FILE_ROW] if trouble else [])})
        for source in found:
            self._look(source, asked.get(source.name, ""))
        if self.note and self.note.tested:
            waits = (
                self.sources.get(self.note.source)
                and self._row(self.note.source).head == self.note.commit
            )
            if not waits:
                work.discard(self.note, self._row(self.note.source).local)
                self.note = None
        for name in set(asked) - set(self.sources):
            answered(name, asked[name])
        if self.rows != before:
            save_rows(self.rows)
        # When this host has last looked, for those who ask for the state.
        os.utime(LOCK)
        return asked

    def _resume(self) -> Note | None:
        """Go on after a kill. Without the engine, no build can begin."""
        try:
            return work.resume(lambda name: self._row(name).local)
        except SwarmError as error:
            note = work.read_note()
            if note:
                self._put(note.source, state=ERROR, cause=error.message)
                save_rows(self.rows)
            raise

    # Rows

    def _row(self, name: str) -> Row:
        return self.rows.get(name) or Row()

    def _put(self, name: str, **changes: Any) -> Row:
        """Change a row. Its time is that of its last change of state or cause."""
        row = self._row(name)
        new = replace(row, **changes)
        if (new.state, new.cause, new.head) != (row.state, row.cause, row.head):
            new = replace(new, since=time.time())
            if new.state:
                commit = f" {new.head[:12]}" if new.head else ""
                said = f": {new.cause}" if new.cause else ""
                say(f"{name}: {new.state}{commit}{said}")
        self.rows[name] = new
        return new

    def _forget(self, names: set[str]) -> None:
        """Drop what belongs to sources that are no more."""
        for name in set(self.rows) - names:
            if self.rows[name].local != Local():
                work.replace_local(self.rows[name].local, Local())
            del self.rows[name]
        for name in set(names_in(_GIT)) - {f"{each}.git" for each in names} - {"_sources.git"}:
            shutil.rmtree(os.path.join(_GIT, name), ignore_errors=True)

    # The file with the sources

    def _read_file(self) -> str:
        """Read the file with the sources again if its repository has changed; what is wrong, or nothing."""
        settings = self.settings
        if not settings.sources_repository:
            return ""
        repository = repository_of(
            settings, settings.sources_repository, "_sources.git", "the repository of sources"
        )
        try:
            commit = repository.remote_head(settings.sources_branch)
            if commit != _last_file()[0]:
                repository.fetch(f"refs/heads/{settings.sources_branch}", commit)
                document = _parse(repository.read(commit, settings.sources_path, _LARGEST_SOURCES))
                os.makedirs(STATE_DIR, mode=0o700, exist_ok=True)
                text = json.dumps({"commit": commit, "document": document})
                write_whole(_SOURCES, text.encode())
        except (SwarmError, OSError) as error:
            return failure_of("read the sources", error).message + " The last sources stay."
        return ""

    # One source

    def _look(self, source: Source, asked: str) -> None:
        row = self._row(source.name)
        try:
            self._handle(source, asked)
        except (SwarmError, OSError) as error:
            failure = failure_of(f"build {source.name}", error)
            memory = after_error(self._row(source.name).memory, time.time())
            # Asking git is cheap, and has no pause.
            if failure.code in ("git_unreachable", "no_branch"):
                memory = row.memory
            self._put(source.name, state=ERROR, cause=failure.message, memory=memory)
            if asked:
                self._answer(source, asked)

    def _answer(self, source: Source, asked: str) -> None:
        self._put(source.name, request=asked)
        save_rows(self.rows)
        answered(source.name, asked)

    def _head(self, source: Source) -> Head:
        repository = repository_of(
            self.settings, source.repository, f"{source.name}.git", source.name, source.size_mb * 4
        )
        key = (source.repository, source.ref)
        if key not in self._refs:
            self._refs[key] = repository.remote_refs(source.ref)
        head = choose(source, self._refs[key])
        if head is None:
            what = f"tag {source.tag_pattern}" if source.tag_pattern else f"branch {source.branch}"
            raise SwarmError(
                "no_branch",
                f"Could not find a commit of {source.name}: repository {source.repository} has no {what}. Push one, or correct the source.",
            )
        return head

    def _handle(self, source: Source, asked: str) -> None:
        row, now = self._row(source.name), time.time()
        head = self._head(source)
        # After an error, the state of a commit that needs nothing is read again.
        if is_idle(row.memory, head, bool(asked)) and row.state in ENDS and row.build:
            return
        memory = noticed(row.memory, head, now)
        if memory != row.memory:
            row = self._put(
                source.name, memory=memory, head=head.commit, state=WAITING, cause="a new commit"
            )
        if is_paused(memory, now, bool(asked)):
            return
        desk = Desk.of(source, self.settings)
        document = desk.record()
        record = parse_record(document)
        # A killed run can have written the record without an answer.
        left = bool(asked) and not (record and record.request == asked)
        move = next_move(
            source, head, memory, self.settings.name, self.settings.builders, self.settings.takeover,
            record, desk.claims(), now, left,
        )  # fmt: skip
        mine = self.note if self.note and self.note.source == source.name else None
        if move.kind == WAIT:
            if mine:
                desk.withdraw(head.commit)
            self._put(source.name, state=WAITING, cause=move.why)
            return
        if move.kind == ADOPT and record:
            self._adopt(source, record, mine, desk)
        else:
            self._build(source, head, mine, desk, asked)
        if asked:
            self._answer(source, asked)

    def _adopt(self, source: Source, record: Build, mine: Note | None, desk: Desk) -> None:
        """Take over the record of a build. If a kill came after the record of this builder, this is the end of its build."""
        local = self._row(source.name).local
        if (
            mine
            and mine.tested
            and mine.commit == record.commit
            and record.builder == self.settings.name
        ):
            now = Local(mine.names, mine.images)
            work.replace_local(local, now)
            local = now
            work.finish()
            self.note = None
        if mine:
            desk.withdraw(record.commit)
        self._end(source, record, local, self._row(source.name).log)

    def _end(self, source: Source, build: Build, local: Local, log: str) -> None:
        memory = replace(
            self._row(source.name).memory, handled=build.commit, failures=0, not_before=0.0
        )
        self._put(
            source.name,
            state=build.state,
            cause=build.cause,
            build=build,
            memory=memory,
            local=local,
            log=log,
        )
        save_rows(self.rows)

    def _build(self, source: Source, head: Head, mine: Note | None, desk: Desk, asked: str) -> None:
        if not desk.claim(head.commit):
            self._put(
                source.name, state=WAITING, cause="another builder has begun at the same moment"
            )
            return
        # Another builder can have come to its end since.
        document = desk.record()
        record = parse_record(document)
        if record and record.commit == head.commit and not asked:
            self._adopt(source, record, mine or Note(source.name, head.commit), desk)
            return
        row = self._put(source.name, state=BUILDING, cause="")
        save_rows(self.rows)
        repository = repository_of(
            self.settings, source.repository, f"{source.name}.git", source.name, source.size_mb * 4
        )
        try:
            good = latest_good(document)
            if good and not asked and self._is_unchanged(source, repository, head, good):
                build = replace(
                    good, commit=head.commit, state=UNCHANGED, builder=self.settings.name, at=time.time(), seconds=0.0,
                    ref=head.ref, request=asked,
                )  # fmt: skip
                local, log = row.local, row.log
            else:
                tested = mine if mine and mine.tested and mine.commit == head.commit else None
                made = Work(
                    source, head, repository, desk.client, self.settings.name, row.local, self.settings.keep_logs,
                    desk.check_claim, say,
                ).make(tested, asked)  # fmt: skip
                build, local, log = made.build, made.local, made.log
            desk.put_record(as_record(build, document))
        except BaseException:
            with contextlib.suppress(SwarmError):
                desk.withdraw(head.commit)
            raise
        self._end(source, build, local, log)
        note = work.read_note()
        if build.state == FAILED and note:
            work.discard(note, local)
        else:
            work.replace_local(row.local, local)
            work.finish()
        self.note = None
        with contextlib.suppress(SwarmError):
            desk.withdraw(head.commit)
        if build.state == FAILED:
            self._notify(source, build)

    def _is_unchanged(
        self, source: Source, repository: Repository, head: Head, good: Build
    ) -> bool:
        """Whether no path that matters differs from the latest commit with an image."""
        if not source.paths:
            return False
        repository.fetch(head.ref, head.commit)
        return repository.has(good.commit) and not matters(
            source, repository.changed_paths(good.commit, head.commit)
        )

    def _notify(self, source: Source, build: Build) -> None:
        """Tell people that a build has failed. It never raises, and never takes long."""
        if not self.settings.notify:
            return
        problems: list[str] = []
        try:
            document = json.loads(text_of(self.settings.notify))
            config = parse_notify(document, "swarm_builder_notify", problems)
        except ValueError:
            problems.append(f"{self.settings.notify} is damaged")
        if problems:
            say(
                f"Could not notify anybody: {'; '.join(problems)}. Correct it and run the role again."
            )
            return
        event = Event(
            "build_failed",
            source.name,
            build.cause,
            build.commit,
            build.subject,
            build.author,
            build.at,
        )
        for line in send(config, [event]):
            say(line)


@dataclass
class Desk:
    """The records of a source in the registry, as this builder sees and writes them."""

    source: Source
    builder: str
    others: tuple[str, ...]
    client: RegistryClient
    until: float = 0.0
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, source: Source, settings: Settings) -> Desk:
        """For a source of these settings. Raises bad_login."""
        registry = parse_image(source.image).registry
        client = RegistryClient(registry, login_of(registry), ca_of(registry))
        others = tuple(name for name in settings.builders if name != settings.name)
        return cls(source, settings.name, others, client)

    @property
    def _place(self) -> str:
        return parse_image(self.source.image).repository

    def record(self) -> dict[str, Any] | None:
        """The record of the latest build."""
        return self.client.record(self._place, self.source.record_tag)

    def put_record(self, record: dict[str, Any]) -> None:
        """Write the record of a build."""
        self.client.put_record(self._place, self.source.record_tag, record)

    def claims(self) -> list[Claim]:
        """The claims of the other builders."""
        found = (
            parse_claim(self.client.record(self._place, claim_tag(self.source.name, other)))
            for other in self.others
        )
        return [claim for claim in found if claim]

    def claim(self, commit: str) -> bool:
        """Say that this builder builds a commit, and then look at the others; whether nobody else does."""
        now = self.clock()
        self.until = claim_until(self.source, now)
        self._write(commit)
        if any(claim.fresh(now) for claim in self.claims()):
            self.withdraw(commit)
            return False
        return True

    def check_claim(self) -> None:
        """Raise taken_over if the claim has become stale, for example while this host was frozen."""
        if self.clock() >= self.until or any(claim.fresh(self.clock()) for claim in self.claims()):
            raise SwarmError(
                "taken_over",
                f"Could not push {self.source.name}: the build took longer than its limits, and another builder may have taken over."
                " The next look finds its result.",
            )

    def withdraw(self, commit: str) -> None:
        """Say that this builder builds nothing of this source."""
        self.until = 0.0
        self._write(commit)

    def _write(self, commit: str) -> None:
        tag = claim_tag(self.source.name, self.builder)
        claim = {"builder": self.builder, "commit": commit, "until": self.until}
        self.client.put_record(self._place, tag, claim)


if __name__ == "__main__":
    raise SystemExit(main())
