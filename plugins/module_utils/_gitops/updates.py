# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Image updates: which tag or digest a policy wants, and the Compose and env files with it. Pure.

The caller asks the registry. What changes is the reference of the image, at its place. All other bytes of a file stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .._common.fields import Fields

SEMVER, NUMBER, NAME = "semver", "number", "name"


@dataclass(frozen=True)
class ImagePolicy:
    """Which tag of an image an application wants: by `versions`, by `pattern` and `order`, or the digest of `digest_of`."""

    image: str  # the repository with its registry, without tag and digest
    versions: str = ""  # a range such as ">=1.2 <2"
    pattern: str = ""  # a regular expression for the whole tag
    order: str = SEMVER
    digest_of: str = ""  # a tag
    # The tag is the value of this variable in an env file, and not in the Compose files.
    variable: str = ""
    file: str = ""


@dataclass(frozen=True)
class Answer:
    """What a registry says about the image of a policy: its tags, or the digest of a tag; or why it says nothing."""

    tags: tuple[str, ...] = ()
    digest: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Update:
    """One image of one service, before and after."""

    subject: str  # the service, such as shop_web
    image: str
    old: str
    new: str

    def line(self) -> str:
        """The line of the commit's message."""
        return f"Update {self.subject}: {self.image} {self.old} -> {self.new}"


@dataclass(frozen=True)
class Updates:
    """What a commit would change: the new texts of files by path, a line for each update, and what could not be done."""

    texts: Mapping[str, str] = field(default_factory=dict)
    updates: tuple[Update, ...] = ()
    problems: tuple[str, ...] = ()

    def message(self) -> str:
        """The message of the commit; several updates are one commit."""
        lines = list(dict.fromkeys(update.line() for update in self.updates))
        return (
            lines[0] if len(lines) == 1 else "\n".join([f"Update {len(lines)} images", "", *lines])
        )


def plan_updates(
    stack: str,
    policies: Iterable[ImagePolicy],
    texts: Mapping[str, str],
    answers: Mapping[ImagePolicy, Answer],
) -> Updates:
    """The updates of one application. `texts` has its Compose files, and the env files that policies name, by path."""
    return Updates()


def parse_policies(
    fields: Fields,
    folder: str,
    path_in: Callable[[str, str], str | None],
    problems: list[str],
) -> tuple[ImagePolicy, ...]:
    """The policies in the key `images` of an app.yml."""
    return ()
