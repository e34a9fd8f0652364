# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""One build on this host: check out, build, test and push a commit.

A note on the disk says what is in progress. After a kill, the next run reads it, removes what was left behind, and goes on with an
image that was already tested.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from .._common.errors import SwarmError
from .._git.repository import Repository, printable, redacted
from .._host.commands import run
from .._host.files import DATA_ROOT, free_bytes, names_in, read, write_whole
from .._registry.api import RegistryClient
from .._registry.reference import RECORD_PREFIX, parse_image
from . import engine
from .engine import KEPT_LOG, BuildFailed
from .plan import BUILT, FAILED, Build, Head
from .settings import STATE_DIR
from .sources import Source, image_tags

LOGS = f"{STATE_DIR}/logs"
_NOTE = f"{STATE_DIR}/work.json"
_WORK = f"{STATE_DIR}/work"
_TREE, _TAR, _ID, _LOG = (f"{_WORK}/{name}" for name in ("tree", "tree.tar", "image", "log"))
# Bytes that must stay free on the disks of the checkout and of the engine.
_SPARE = 512 << 20
_EXTRACT = 300.0


@dataclass(frozen=True)
class Note:
    """What is in progress. Once everything is tested, only the push is left."""

    source: str
    commit: str
    tested: bool = False
    images: tuple[str, ...] = ()  # one for each platform, and then those of the steps
    names: tuple[str, ...] = ()  # that it gets
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Local:
    """What the engine of this host keeps of a source: the names of its latest image, and the images that speed up the next build."""

    names: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """The end of a build, and what stays here."""

    build: Build
    local: Local
    log: str


def read_note() -> Note | None:
    """The note of a build that is in progress or was killed."""
    try:
        found = json.loads(read(_NOTE) or b"")
        return Note(
            str(found["source"]),
            str(found["commit"]),
            bool(found["tested"]),
            tuple(map(str, found["images"])),
            tuple(map(str, found["names"])),
            {str(name): float(seconds) for name, seconds in found["steps"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def write_note(note: Note) -> None:
    """Say what is in progress, before it begins."""
    os.makedirs(_WORK, mode=0o700, exist_ok=True)
    write_whole(_NOTE, json.dumps(asdict(note)).encode())


def in_progress() -> bool:
    """Whether a build has left something here."""
    return os.path.exists(_NOTE) or os.path.exists(_WORK)


def resume(before: Callable[[str], Local]) -> Note | None:
    """Remove what a killed build has left behind, and return its note. If it is tested, its images are still there.

    `before` has what stays of a source.
    """
    note = read_note()
    if note is None:
        finish()
        return None
    engine.check_engine()
    engine.remove_container(note.source)
    if note.tested and engine.exists(note.images[0]):
        shutil.rmtree(_TREE, ignore_errors=True)
        return note
    discard(note, before(note.source))
    return Note(note.source, note.commit)


def discard(note: Note, keep: Local) -> None:
    """Remove everything of a build, the note last."""
    built = (read(_ID) or b"").decode("ascii", "replace").strip()
    # A name that moves can still be that of the image before, which only speeds up builds.
    engine.remove_names(note.names)
    images = [*([built] if built else []), *note.images, *engine.step_images(_LOG)]
    engine.remove_images(images, keep.images)
    finish()


def finish() -> None:
    """Remove the files of a build, the note last. Its image stays."""
    shutil.rmtree(_WORK, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NOTE)


def replace_local(before: Local, now: Local) -> None:
    """Remove from the engine what the latest image of a source replaces."""
    engine.remove_names(name for name in before.names if name not in now.names)
    engine.remove_images(before.images, now.images)


def check_space(more: int = 0) -> None:
    """Raise no_space unless the disks have room for a build."""
    for folder in (STATE_DIR, DATA_ROOT):
        free = free_bytes(folder)
        if free < _SPARE + more:
            raise SwarmError(
                "no_space",
                f"Could not build: {folder} has {free >> 20} MB free, and a build needs {(_SPARE + more) >> 20} MB."
                " Free space on this host.",
            )


@dataclass
class Work:
    """A build of a commit. `check_claim` raises if another builder has taken over; it is asked before anything is pushed."""

    source: Source
    head: Head
    repository: Repository
    client: RegistryClient
    builder: str
    before: Local
    keep_logs: int
    check_claim: Callable[[], None]
    say: Callable[[str], None]
    steps: dict[str, float] = field(default_factory=dict)

    def make(self, tested: Note | None, request: str) -> Made:
        """Build the commit, or go on with the image that is tested already. Raises SwarmError if this host or a server fails."""
        began = time.time()
        cause = digest = ""
        note = tested or Note(self.source.name, self.head.commit)
        with self._step("fetch"):
            self.repository.fetch(self.head.ref, self.head.commit)
            commit = self.repository.commit(self.head.commit)
        tags = image_tags(self.source, self.head.commit, self.head.tag, commit.at)
        names = tuple(f"{self.source.image}:{tag}" for tag in tags)
        try:
            if tested:
                self.steps.update(tested.steps)
            else:
                note = self._build(names)
            with self._step("push"):
                self.check_claim()
                self._push(note, names)
                digest = self._verify(names[0])
        except BuildFailed as failed:
            cause, names = str(failed), ()
        build = Build(
            commit=self.head.commit,
            state=FAILED if cause else BUILT,
            image=names[0] if names else "",
            images=names,
            digest=digest,
            builder=self.builder,
            at=time.time(),
            seconds=round(time.time() - began, 1),
            cause=cause,
            ref=self.head.ref,
            subject=commit.subject,
            author=commit.author,
            steps={name: round(seconds, 1) for name, seconds in self.steps.items()},
            request=request,
        )
        local = self.before if cause else Local(self.local_names(names), note.images)
        return Made(build, local, self._keep_log())

    def _build(self, names: tuple[str, ...]) -> Note:
        if self.source.platforms and not engine.has_buildx():
            raise SwarmError(
                "no_buildx",
                f"Could not build {self.source.name}: platforms needs buildx, which this host does not have. Install the package"
                " docker-buildx (Debian 13 or newer), or remove platforms.",
            )
        engine.check_engine()
        write_note(Note(self.source.name, self.head.commit))
        with self._step("checkout"):
            self._check_out()
        with self._step("build"):
            images = self._build_images()
        shutil.rmtree(_TREE, ignore_errors=True)
        if self.source.test:
            with self._step("test"):
                engine.test(self.source, self._image_to_test(images), _LOG)
        note = Note(
            self.source.name,
            self.head.commit,
            True,
            (*images, *engine.step_images(_LOG)),
            self.local_names(names),
            dict(self.steps),
        )
        write_note(note)
        return note

    def _build_images(self) -> list[str]:
        labels = list(self._labels())
        images: list[str] = []
        for platform in self.source.platforms or ("",):
            images.append(engine.build(self.source, _TREE, labels, _LOG, _ID, platform))
            if platform:
                write_note(Note(self.source.name, self.head.commit, images=tuple(images)))
        return images

    def _image_to_test(self, images: list[str]) -> str:
        """Only an image for the platform of this host can be tested on it."""
        if not self.source.platforms:
            return images[0]
        own = engine.own_platform()
        if own not in self.source.platforms:
            raise BuildFailed(
                f"its test runs on {own}, which platforms does not have; add it, or remove test"
            )
        return images[self.source.platforms.index(own)]

    def local_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names of the images on this host. Each platform has one of its own, also in the registry."""
        if not self.source.platforms:
            return names
        tag = f"{RECORD_PREFIX}part-{parse_image(names[0]).tag}"[:100]
        return tuple(
            f"{self.source.image}:{tag}-{platform.replace('/', '-')}"
            for platform in self.source.platforms
        )

    def _push(self, note: Note, names: tuple[str, ...]) -> None:
        if not self.source.platforms:
            engine.push(note.images[0], names, _LOG)
            return
        parts = self.local_names(names)
        for image, part in zip(note.images, parts):
            engine.push(image, [part], _LOG)
        self.client.put_index(
            parse_image(parts[0]).repository,
            {
                platform: parse_image(part).tag
                for platform, part in zip(self.source.platforms, parts)
            },
            [parse_image(name).tag for name in names],
        )

    def _check_out(self) -> None:
        folder = "" if self.source.context == "." else self.source.context
        size = sum(entry.size for entry in self.repository.files(self.head.commit, folder))
        limit = self.source.size_mb << 20
        if size > limit:
            raise BuildFailed(
                f"the checkout has {size / (1 << 20):.1f} MB, and size_mb is {self.source.size_mb}"
            )
        check_space(2 * size)
        os.makedirs(_TREE, mode=0o700)
        self.repository.archive(self.head.commit, _TAR, folder)
        done = run(
            ["tar", "--extract", "--no-same-owner", f"--file={_TAR}", f"--directory={_TREE}"],
            _EXTRACT,
        )
        os.unlink(_TAR)
        if not done.ok:
            raise SwarmError(
                "os_error",
                f"Could not check out {self.source.name}: {printable(done.why)}.",
            )

    def _labels(self) -> Iterator[str]:
        now = datetime.datetime.now(datetime.timezone.utc)
        prefix = "org.opencontainers.image"
        yield f"{prefix}.source={redacted(self.repository.access.url)}"
        yield f"{prefix}.revision={self.head.commit}"
        yield f"{prefix}.created={now.strftime('%Y-%m-%dT%H:%M:%SZ')}"
        if self.head.tag:
            yield f"{prefix}.version={self.head.tag}"

    def _verify(self, name: str) -> str:
        """The digest of what was pushed. It must be this commit."""
        image = parse_image(name)
        digest = self.client.digest(image.repository, image.tag)
        found = self.client.config(image.repository, digest) if digest else None
        labels = ((found or {}).get("config") or {}).get("Labels") or {}
        if labels.get("org.opencontainers.image.revision") != self.head.commit:
            raise SwarmError(
                "push_failed",
                f"Could not push {name}: the registry has another image under this name. Check who else pushes it.",
            )
        return digest or ""

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.say(f"{self.source.name}: {name} of commit {self.head.commit[:12]}")
        began = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + time.monotonic() - began

    def _keep_log(self) -> str:
        """Keep the end of the log, and of the logs only the newest."""
        path = f"{LOGS}/{self.source.name}-{self.head.commit[:12]}.log"
        os.makedirs(LOGS, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), open(_LOG, "rb") as file:
            file.seek(max(0, os.path.getsize(_LOG) - KEPT_LOG))
            write_whole(path, file.read())
        paths = [os.path.join(LOGS, name) for name in names_in(LOGS)]
        for old in sorted(paths, key=os.path.getmtime, reverse=True)[self.keep_logs :]:
            os.unlink(old)
        return path
