# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Events, as people and as programs read them. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone

# What happened, after the subject.
_WORDS = {
    "deployed": "is deployed",
    "healed": "was changed by hand, and is as in git again",
    "failed": "could not be deployed",
    "rolled_back": "was rolled back",
    "drift": "was changed by hand",
    "removed": "was removed",
    "trouble": "cannot be read from git",
    "built": "is built",
    "build_failed": "could not be built",
}
# Characters. What people read ends there; a status has the rest.
_LONGEST = 1500


@dataclass(frozen=True)
class Event:
    """Something that somebody wants to know. It has no secret: who writes the cause has hidden them."""

    kind: str  # one of those above, or another word
    subject: str  # the application, repository or source
    cause: str = ""
    commit: str = ""
    message: str = ""  # the subject of the commit
    author: str = ""
    at: float = 0.0  # seconds since 1970
    swarm: str = ""  # whose it is, for receivers of several swarms
    suppressed: int = 0  # events that nobody got since the last one of this kind and subject

    @property
    def key(self) -> str:
        """What is counted together."""
        return f"{self.kind} {self.subject}"

    @property
    def same(self) -> str:
        """What is no news for a while. Another commit is."""
        return f"{self.key} {self.commit}"


def title(event: Event) -> str:
    """One line."""
    where = f"{_line(event.swarm)}: " if event.swarm else ""
    return f"{where}{_line(event.subject)} {_WORDS.get(event.kind, event.kind.replace('_', ' '))}"[
        :200
    ]


def body(event: Event) -> str:
    """The rest."""
    lines = [_line(event.cause)]
    if event.commit:
        by = f" by {_line(event.author)}" if event.author else ""
        lines.append(f"Commit {event.commit[:12]}{by}: {_line(event.message)}")
    if event.at:
        when = datetime.fromtimestamp(event.at, tz=timezone.utc)
        lines.append(f"At {when.strftime('%Y-%m-%d %H:%M:%S')} UTC")
    if event.suppressed:
        lines.append(f"{event.suppressed} more like this were not sent")
    return "\n".join(line for line in lines if line)


def as_json(event: Event) -> bytes:
    """The body of a request to a webhook."""
    found = {
        **vars(event),
        "cause": event.cause[:_LONGEST],
        "title": title(event),
        "text": body(event),
    }
    return json.dumps(found, sort_keys=True).encode()


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_LONGEST]).split())
