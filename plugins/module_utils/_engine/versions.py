# Copyright (c) 2026 The Flotilla authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: it can change without notice.

"""Package versions: Debian's order (deb-version(7); RPM's is the same where the two meet) and pins."""

from __future__ import annotations

import re

OLDEST_ENGINE = "20.10"


def upstream(version: str) -> str:
    """The engine's version in that of a package, such as 28.5.2 in 5:28.5.2-1~debian.12~bookworm."""
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return match.group(1) if match else version


def matches(version: str, pin: str) -> bool:
    """Whether a package's version fits a pin: the whole version, or its leading numbers; an empty pin fits all."""
    if not pin or version == pin:
        return True
    if not re.fullmatch(r"\d+(?:\.\d+)*", pin):
        return False
    wanted = pin.split(".")
    return upstream(version).split(".")[: len(wanted)] == wanted


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as `left` is older than, equal to or newer than `right`."""
    left_epoch, left_rest = _epoch(left)
    right_epoch, right_rest = _epoch(right)
    if left_epoch != right_epoch:
        return left_epoch - right_epoch
    left_upstream, _dash, left_revision = (
        left_rest.rpartition("-") if "-" in left_rest else (left_rest, "", "")
    )
    right_upstream, _dash, right_revision = (
        right_rest.rpartition("-") if "-" in right_rest else (right_rest, "", "")
    )
    return _compare_part(left_upstream, right_upstream) or _compare_part(
        left_revision, right_revision
    )


def is_older(version: str, pin: str) -> bool:
    """Whether a version is older than a pin; of a pin of leading numbers, only those are compared."""
    if matches(version, pin):
        return False
    if re.fullmatch(r"\d+(?:\.\d+)*", pin):
        return compare(upstream(version), pin) < 0
    return compare(version, pin) < 0


def _epoch(version: str) -> tuple[int, str]:
    epoch, separator, rest = version.partition(":")
    return (int(epoch), rest) if separator and epoch.isdigit() else (0, version)


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _compare_part(left: str, right: str) -> int:
    while left or right:
        left_text = re.match(r"[^0-9]*", left).group()  # type: ignore[union-attr]
        right_text = re.match(r"[^0-9]*", right).group()  # type: ignore[union-attr]
        for at in range(max(len(left_text), len(right_text))):
            # The end of a part sorts after a tilde and before everything else.
            left_order = _order(left_text[at]) if at < len(left_text) else 0
            right_order = _order(right_text[at]) if at < len(right_text) else 0
            if left_order != right_order:
                return left_order - right_order
        left, right = left[len(left_text) :], right[len(right_text) :]
        left_digits = re.match(r"[0-9]*", left).group()  # type: ignore[union-attr]
        right_digits = re.match(r"[0-9]*", right).group()  # type: ignore[union-attr]
        difference = int(left_digits or "0") - int(right_digits or "0")
        if difference:
            return difference
        left, right = left[len(left_digits) :], right[len(right_digits) :]
    return 0
