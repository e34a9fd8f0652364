# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The keys of a dictionary that a person wrote into a file or the inventory: each is checked, and all problems are named together.
Pure.

YAML is read in more than one way here: Ansible gives numbers, and the reader of Compose files gives their text. Both are accepted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from .errors import shown

# What no file of this kind needs: characters of one text, and entries of one list or dictionary.
LONGEST_TEXT, MOST_ENTRIES = 4096, 1000
_NUMBER = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Fields:
    """Reads one dictionary key by key. What is wrong with a value goes to `problems`, and the default takes its place."""

    def __init__(self, document: Any, where: str, problems: list[str]) -> None:
        """`where` is the name of the dictionary in messages, such as `retry`; empty for a whole file."""
        self._given: Mapping[Any, Any] = document if isinstance(document, Mapping) else {}
        self._where = f"{where}." if where else ""
        self._problems = problems
        self._known: list[str] = []
        if document is not None and not isinstance(document, Mapping):
            problems.append(f"{where or 'the file'} is {shown(document)}, it must be a dictionary")

    def name(self, key: str) -> str:
        """The name of a key in messages."""
        return f"{self._where}{key}"

    def wrong(self, key: str, words: str) -> None:
        """Report what is wrong with the value of a key."""
        self._problems.append(f"{self.name(key)} {words}")

    def given(self, key: str) -> Any:
        """The value as it is written; None where the key is missing or empty."""
        if key not in self._known:
            self._known.append(key)
        return self._given.get(key)

    def text(
        self,
        key: str,
        default: str = "",
        form: str = ".*",
        example: str = "",
        longest: int = 255,
        private: bool = False,
    ) -> str:
        """A string that has the `form`, a regular expression for all of it; `example` is one that has it. No message has a value that
        is `private`."""
        value = self.given(key)
        if value is None:
            return default
        return self._checked(self.name(key), value, form, example, longest, private) or default

    def _checked(
        self,
        name: str,
        value: Any,
        form: str,
        example: str,
        longest: int,
        private: bool = False,
    ) -> str:
        """The text of a value; empty where it is wrong."""
        such = f", such as {example}" if example else ""
        if isinstance(value, (bool, Mapping, list, tuple)):
            self._problems.append(f"{name} is {shown(value)}, it must be a string{such}")
            return ""
        text = str(value)
        if len(text) > longest:
            self._problems.append(
                f"{name} has {len(text)} characters, {longest} are allowed; shorten it"
            )
        elif _CONTROL.search(text):
            self._problems.append(f"{name} has a control character; remove it")
        elif not re.fullmatch(form, text, re.DOTALL):
            use = f"; use one such as {example}" if example else ""
            what = "has a value" if private else f"is {shown(text)},"
            self._problems.append(f"{name} {what} which is not allowed{use}")
        else:
            return text
        return ""

    def texts(
        self, key: str, default: tuple[str, ...] = (), form: str = ".+", example: str = ""
    ) -> tuple[str, ...]:
        """A list of strings that each have the `form`."""
        found = [
            self._checked(name, value, form, example, LONGEST_TEXT)
            for name, value in self.entries(key)
        ]
        return tuple(filter(None, found)) if self.given(key) is not None else default

    def entries(self, key: str) -> list[tuple[str, Any]]:
        """A list of anything: each entry with its name in messages."""
        value = self.given(key)
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self.wrong(key, f"is {shown(value)}, it must be a list")
            return []
        if len(value) > MOST_ENTRIES:
            self.wrong(key, f"has {len(value)} entries, {MOST_ENTRIES} are allowed")
            return []
        return [(f"{self.name(key)}[{number}]", entry) for number, entry in enumerate(value)]

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.given(key)
        if value is None:
            return default
        text = "" if isinstance(value, bool) else str(value).strip()
        if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
            self.wrong(key, f"is {shown(value)}, it must be a whole number from {low} to {high}")
            return default
        return int(text)

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.given(key)
        if value is None:
            return default
        found = _BOOLEANS.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(found, bool):
            self.wrong(key, f"is {shown(value)}, it must be true or false")
            return default
        return found

    def choice(self, key: str, default: str, choices: Collection[str]) -> str:
        """One of several words."""
        value = self.given(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            self.wrong(key, f"is {shown(value)}, it must be {' or '.join(choices)}")
            return default
        return value

    def variables(self, key: str) -> dict[str, str]:
        """Environment variables; numbers and booleans become text as YAML writes them."""
        value = self.given(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping) or len(value) > MOST_ENTRIES:
            self.wrong(key, f"is {shown(value)}, it must be a dictionary of variables")
            return {}
        found = {}
        for name, content in value.items():
            text = (
                str(content).lower()
                if isinstance(content, bool)
                else str("" if content is None else content)
            )
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", str(name)):
                self.wrong(key, f"has the name {shown(str(name))}, it must be one such as TAG")
            elif isinstance(content, (Mapping, list, tuple)):
                self.wrong(f"{key}.{name}", f"is {shown(content)}, it must be a string")
            elif "\0" in text or len(text) > 32768:
                self.wrong(f"{key}.{name}", "is too long or has a NUL character")
            else:
                found[str(name)] = text
        return found

    def finish(self) -> None:
        """Report the keys that nobody has read, each with the known key that is nearest to it."""
        for key in self._given:
            if not isinstance(key, str) or key not in self._known:
                near = difflib.get_close_matches(str(key), self._known, 1)
                hint = (
                    f"; did you mean {near[0]}?"
                    if near
                    else f"; known are {', '.join(self._known)}"
                )
                self.wrong(str(key)[:60], f"is not a key that this file can have{hint}")
