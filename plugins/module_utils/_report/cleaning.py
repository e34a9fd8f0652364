# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Words that others have chosen, as a page can show them: names, images, and what an engine says. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .._common.words import Text, text
from .._spec.redaction import hide


@lru_cache(maxsize=100_000)
def clean(words: str) -> str:
    """Words without credentials, and without characters that control a display, such as those that turn its direction."""
    hidden = hide(words)
    if hidden.isprintable():
        return hidden
    return "".join(each if each.isprintable() else " " for each in hidden)


def clean_text(found: Text) -> Text:
    """A text whose values are clean."""
    return text(found.template, **{name: _value(value) for name, value in found.values.items()})


def _value(value: Any) -> Any:
    if isinstance(value, Text):
        return clean_text(value)
    return clean(value) if isinstance(value, str) else value
