# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the repositories say: their heads, the applications in them, and why one cannot be used.

A copy of each repository, and what was read from its commit, are on the host alone. Any of it can be made again, so another manager that
becomes the leader needs nothing from this one. Which commit was accepted is in the swarm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .._common.errors import SwarmError, failure_of
from .._git.repository import Repository
from .._host.files import write_whole
from .access import STATE_DIR, repository_of
from .app import APP_FILE, App
from .catalog import Tree
from .settings import RepositorySettings

if TYPE_CHECKING:
    from .inputs import Inputs

# Seconds until a server that has not answered is asked again: each attempt can take long, and others wait meanwhile.
_AGAIN = 60.0
# Changes when this package reads the same commit in another way.
_FORMAT = 1
# Bytes of an app.yml.
_LARGEST_APP = 256 << 10


@dataclass
class Known:
    """What this host has read from one commit. It is on the disk, and has no data of secrets."""

    key: str = ""  # changes with the code and the settings
    commit: str = ""
    message: str = ""
    author: str = ""
    folders: list[str] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)  # app.yml by folder
    problems: dict[str, str] = field(default_factory=dict)
    desired: dict[str, str] = field(default_factory=dict)  # by the name of the application
    # When the server has not answered, and how that was put.
    silent_at: float = 0.0
    silence: str = ""


@dataclass
class Look:
    """A repository as it is now."""

    settings: RepositorySettings
    repository: Repository
    known: Known
    signing_key: str = ""  # the file of the key for commits of image updates
    head: str = ""  # the commit that is used; empty if there is none
    trouble: str = ""  # why a newer one, or any, cannot be used

    def tree(self) -> Tree | None:
        """The applications in it."""
        if not self.head or self.known.commit != self.head:
            return None
        return Tree(self.known.folders, self._document)

    def _document(self, folder: str) -> Any:
        """The app.yml of a folder, from the memory of this host if possible."""
        known = self.known
        if folder not in known.documents and folder not in known.problems:
            # An idle run knows all of them, and reads no YAML.
            from .._stack.compose_file import decoded
            from .._stack.compose_file import read as read_compose

            path = os.path.join(folder, APP_FILE)
            try:
                data = self.repository.read(self.head, path, _LARGEST_APP)
                try:
                    text = decoded(data)
                    # A file that says nothing is an application with nothing but defaults.
                    says = any(line.strip()[:1] not in ("", "#") for line in text.splitlines())
                    known.documents[folder] = read_compose(text).document if says else {}
                except SwarmError as error:
                    words = error.message.replace("is not a Compose file", "is not a dictionary")
                    raise SwarmError(
                        "bad_app",
                        f"Could not read an application: {path} of {self.settings.name} {words}.",
                    ) from None
            except SwarmError as error:
                known.problems[folder] = error.message
        if folder in known.problems:
            raise SwarmError("bad_app", known.problems[folder])
        return known.documents[folder]


class Repositories:
    """All repositories of the settings, as this host reads them."""

    def __init__(self, document: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self._document = document
        self._say = say
        self._key = _key(document)
        self._entries = {str(entry["name"]): entry for entry in document.get("repositories") or []}

    def look(self, settings: RepositorySettings, accepted: str, rewrite: bool, now: float) -> Look:
        """Ask the server for its head, and have that commit here. `accepted` is the latest commit that was used.

        With `rewrite`, a commit is accepted whose history does not have that one.
        """
        entry = self._entries[settings.name]
        key = str(entry.get("signing_key") or "")
        known = self._remembered(settings.name)
        look = Look(settings, repository_of(entry), known, key, accepted)
        silent = look.known.silence and 0 <= now - look.known.silent_at < _AGAIN
        if silent and not rewrite:
            look.trouble = look.known.silence
        else:
            self._ask(look, accepted, rewrite, now)
        if look.head and (look.known.commit != look.head or look.known.key != self._key):
            self._read(look)
        return look

    def _ask(self, look: Look, accepted: str, rewrite: bool, now: float) -> None:
        repository, settings = look.repository, look.settings
        silence = ""
        try:
            head = repository.remote_head(settings.branch)
            if head != accepted:
                repository.fetch(f"refs/heads/{settings.branch}", head)
                self._accept(look, accepted, head, rewrite)
                look.head = head
        except SwarmError as error:
            look.trouble = error.message
            if error.code == "git_unreachable":
                silence = error.message
        if silence != look.known.silence:
            if silence:
                self._say(silence)
            else:
                self._say(f"{repository.name} answers again")
        if silence or look.known.silence:
            look.known.silence, look.known.silent_at = silence, now if silence else 0.0
            self._remember(settings.name, look.known)

    def _accept(self, look: Look, accepted: str, head: str, rewrite: bool) -> None:
        """Raise unless the history of the new head has the accepted commit, and all new commits are signed if they must be."""
        repository, settings = look.repository, look.settings
        rewritten = bool(accepted) and not repository.is_ancestor(accepted, head)
        if rewritten and not rewrite:
            raise SwarmError(
                "rewritten",
                f"Could not use commit {head[:12]} of {repository.name}: the history of its branch {settings.branch} was rewritten and no"
                f" longer has commit {accepted[:12]}. If that is right, run gitops_sync.yml with accept_rewrite=true.",
            )
        if settings.signed:
            signers = str(self._entries[settings.name]["allowed_signers"])
            repository.check_signatures("" if rewritten else accepted, head, signers)

    def _read(self, look: Look) -> None:
        """Read what this host does not know of the commit that is used."""
        try:
            look.repository.fetch(f"refs/heads/{look.settings.branch}", look.head)
            commit = look.repository.commit(look.head)
            paths = [
                entry.path for entry in look.repository.files(look.head) if entry.kind == "blob"
            ]
        except SwarmError as error:
            look.trouble = look.trouble or error.message
            return
        folders = sorted(
            os.path.dirname(path) for path in paths if os.path.basename(path) == APP_FILE
        )
        look.known = Known(self._key, look.head, commit.subject, commit.author, folders)

    def inputs(self, look: Look, app: App) -> Inputs:
        """What is deployed, read from the commit; raises SwarmError with what is wrong."""
        # As above.
        from .access import decryption_keys
        from .inputs import load

        def read(path: str) -> bytes:
            return look.repository.read(look.head, path)

        try:
            keys = decryption_keys(self._document)
        except OSError as error:
            raise failure_of("read the keys of GitOps", error) from error
        return load(app, read, keys)

    def desired(self, look: Look, app: App) -> tuple[str, str]:
        """The hash of what is deployed, or why it cannot be read."""
        known = look.known
        if app.name not in known.desired:
            try:
                known.desired[app.name] = self.inputs(look, app).desired
            except SwarmError as error:
                # It is not remembered: with another key or program on the manager, the same commit can be read.
                return "", error.message
        return known.desired[app.name], ""

    def keep(self, looks: Mapping[str, Look]) -> None:
        """Remember what was read, for the next run of this host."""
        for name, look in looks.items():
            if look.known != self._remembered(name):
                self._remember(name, look.known)

    # The memory of this host

    def _remembered(self, name: str) -> Known:
        try:
            with open(os.path.join(STATE_DIR, f"{name}.json"), encoding="utf-8") as file:
                return Known(**json.load(file))
        except (OSError, ValueError, TypeError):
            return Known()

    def _remember(self, name: str, known: Known) -> None:
        """A disk that is full costs time, and nothing else."""
        with contextlib.suppress(OSError):
            os.makedirs(STATE_DIR, mode=0o700, exist_ok=True)
            write_whole(os.path.join(STATE_DIR, f"{name}.json"), json.dumps(asdict(known)).encode())


def _key(document: Mapping[str, Any]) -> str:
    """What else decides what is read: the settings, and this code."""
    about = json.dumps([_FORMAT, document], sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()
