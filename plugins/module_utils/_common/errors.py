# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The exception that modules turn into a failed result, and how its messages show values."""

from __future__ import annotations

import os
import re
from typing import Any

# Codes of failures that can pass: something else wrote at the same time, or the managers were electing a new leader.
TRANSIENT = ("out_of_sequence", "no_quorum", "timeout")


class SwarmError(Exception):
    """A failure: what was attempted, on what, what is wrong, what to do.

    `code` is one of those in docs/results.md, and `details` is data that goes with it.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_failure(self) -> dict[str, Any]:
        """The key `failure` of a module's result."""
        return {"code": self.code, "details": self.details}


# Characters; of what is longer, the beginning and the end are enough.
_LONGEST_WORD, _LONGEST_PART = 200, 1500


def shorten(text: str) -> str:
    """A message without the middle of words, and of reasons, that are too long to read.

    Reasons are separated by semicolons; however long they are together, none is left out.
    """
    words = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _cut(word.group(), 60, 20), text)
    return "; ".join(
        _cut(part, 1000, 400) if len(part) > _LONGEST_PART else part for part in words.split("; ")
    )


def _cut(text: str, head: int, tail: int) -> str:
    return f"{text[:head]} ... ({len(text) - head - tail} characters left out) ... {text[-tail:]}"


def shown(value: Any, most: int = 40) -> str:
    """A value in a message, up to `most` characters long, and as YAML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        return sort_of(value)
    text = str(value)
    text = text if len(text) <= most else f"{text[:most]}..."
    return f"'{text}'" if isinstance(value, str) else text


def sort_of(value: Any) -> str:
    """The type of a value, in a message that must not show it."""
    if isinstance(value, dict):
        return "a dictionary"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return shown(value)
    return "a string" if isinstance(value, str) else "a number"


def failure_of(attempt: str, error: SwarmError | OSError) -> SwarmError:
    """The failure of a module that works on a host's files; an OSError gets code not_root or os_error."""
    if isinstance(error, SwarmError):
        return error
    folder, name = os.path.split(str(error.filename or ""))
    # A temporary file has a random name, so the message has its folder.
    where = folder if name.startswith(".flotilla-") else str(error.filename or "the host's files")
    if isinstance(error, PermissionError):
        return SwarmError(
            "not_root",
            f"Could not {attempt}: this user cannot read or write {where}; run the task as root (become: true).",
        )
    return SwarmError(
        "os_error",
        f"Could not {attempt}: {where}: {error.strerror or 'the operating system reports an error'}.",
    )
