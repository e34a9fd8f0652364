# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The one exception that modules turn into a failed result, and how values stand in its sentences."""

from __future__ import annotations

import os
import re
from typing import Any


class SwarmError(Exception):
    """Something that stops a module, in one sentence that says what to do.

    `code` is for machines and never changes for the same cause; `details` is data that goes with it.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_failure(self) -> dict[str, Any]:
        return {"code": self.code, "details": self.details}


# Of what is longer, this much from its beginning and its end says enough.
_LONGEST_WORD, _LONGEST_PART = 200, 1500


def abbreviate(text: str) -> str:
    """A text without the middle of words and of parts that are too long to read.

    The parts are those of a list of reasons: many of them may be long together, and none is left out.
    """
    words = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _cut(word.group(), 60, 20), text)
    return "; ".join(
        _cut(part, 1000, 400) if len(part) > _LONGEST_PART else part for part in words.split("; ")
    )


def _cut(text: str, head: int, tail: int) -> str:
    return f"{text[:head]} ... ({len(text) - head - tail} characters left out) ... {text[-tail:]}"


def shown(value: Any, most: int = 40) -> str:
    """A value in a message: short, and as people write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        return sort_of(value)
    text = str(value)
    text = text if len(text) <= most else f"{text[:most]}..."
    return f"'{text}'" if isinstance(value, str) else text


def sort_of(value: Any) -> str:
    """What kind of value it is, in a message that must not repeat it."""
    if isinstance(value, dict):
        return "a dictionary"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return shown(value)
    return "a text" if isinstance(value, str) else "a number"


def failure_of(attempt: str, error: SwarmError | OSError) -> SwarmError:
    """A failure of a module that works on a host's files: the system's refusals are told in words."""
    if isinstance(error, SwarmError):
        return error
    folder, name = os.path.split(str(error.filename or ""))
    # Ours are there for a moment and have a name that nobody knows.
    where = folder if name.startswith(".flotilla-") else str(error.filename or "the host's files")
    if isinstance(error, PermissionError):
        return SwarmError(
            "not_root",
            f"Could not {attempt}: this user may not read or write {where}; run the task as root (become: true).",
        )
    return SwarmError(
        "os_error",
        f"Could not {attempt}: the system says of {where}: {error.strerror or 'it failed'}.",
    )
