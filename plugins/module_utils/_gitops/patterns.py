# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Regular expressions of others, which must not take forever: a pattern can take a time that grows with a power of 2."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from .._common.errors import SwarmError

# Seconds of this process, for all tags of an image.
_LONGEST = 2.0


def pattern_problem(pattern: str) -> str:
    """What is wrong with a regular expression; empty if nothing is."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return ""


def bounded_matches(
    pattern: str, texts: Iterable[str], group: str, seconds: float = _LONGEST
) -> dict[str, str]:
    """The texts that have the pattern, each with the part that the group has: that of this name, else the first one, else all of it.

    Raises no_update.
    """
    found = {}
    compiled = re.compile(pattern)
    which: str | int = group if group in compiled.groupindex else min(compiled.groups, 1)
    with _limit(pattern, seconds):
        for text in texts:
            match = compiled.fullmatch(text)
            if match is not None:
                found[text] = match[which] or ""
    return found


@contextmanager
def _limit(pattern: str, seconds: float) -> Iterator[None]:
    """Interrupt the block after this time of the processor. The engine of regular expressions lets signals in."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise SwarmError(
            "no_update",
            f"the pattern {pattern} takes more than {seconds:g} s; remove a repetition in a repetition",
        )

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
