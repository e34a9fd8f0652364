# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The languages of the page: English as it is written, and the catalogue of Korean. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from .._common.words import Text, text
from .korean import KOREAN

LANGUAGES = ("en", "ko")
_CATALOGUES: Mapping[str, Mapping[str, str]] = {"ko": KOREAN}


def has_words(template: str) -> bool:
    """Whether a template has anything to translate: letters outside of its placeholders."""
    outside, depth = [], 0
    for each in template:
        depth += (each == "{") - (each == "}")
        if not depth and each.isalpha():
            outside.append(each)
    return bool(outside)


def say(words: object, language: str) -> str:
    """A text in a language. What is no text is the same in every language."""
    if not isinstance(words, Text) or language not in _CATALOGUES:
        return str(words)
    template = _CATALOGUES[language].get(words.template, words.template)
    values: dict[str, Any] = {
        name: say(value, language) if isinstance(value, Text) else value
        for name, value in words.values.items()
    }
    return template.format_map(values)


def speaks(words: object, language: str) -> bool:
    """Whether a text is in this language: English is, and what the catalogue has. What an engine says is not."""
    if language not in _CATALOGUES:
        return True
    if not isinstance(words, Text):
        return False
    if "about" in words.values:
        return False
    inside = [value for value in words.values.values() if isinstance(value, Text)]
    if not has_words(words.template):
        return any(speaks(value, language) for value in inside)
    return words.template in _CATALOGUES[language]


def about(words: object, language: str) -> str:
    """What English words are about, in a language that they are not in; empty if nobody has said it."""
    if speaks(words, language) or not isinstance(words, Text):
        return ""
    return say(words.values.get("about", ""), language)


def explained(words: object, language: str) -> str:
    """A text in a language, on one line. Before English words stands what they are about."""
    first = about(words, language)
    return f'{first} "{words}"' if first else say(words, language)


def moment_text(at: float | None, seconds: bool = False) -> str:
    """A time of day in UTC, as both languages write it."""
    if at is None:
        return ""
    form = "%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC"
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime(form)


def ago(at: float | None, now: float) -> Text:
    """How long ago something was."""
    if at is None:
        return text("{words}", words="")
    seconds = max(0, int(now - at))
    for size, template in (
        (86400, "{count} d ago"),
        (3600, "{count} h ago"),
        (60, "{count} min ago"),
    ):
        if seconds >= size:
            return text(template, count=seconds // size)
    return text("just now")
