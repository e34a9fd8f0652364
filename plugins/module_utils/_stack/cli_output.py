# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The output of `docker stack deploy`: its notes on the Compose files, and why it stopped. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .._common.errors import SwarmError
from .._spec.redaction import hide

_PROGRESS = re.compile(
    r"^(Creating|Updating) (network|secret|config|service) |^Since --detach|^In a future release"
)

# What the CLI logs, with the time, which differs in every plan.
_LOGGED = re.compile(r'^time="[^"]*" level=\w+ msg=("(?:[^"\\]|\\.)*"|\S+)|^[A-Z]{4}\[\d+\] (.*)$')

_DECODING = re.compile(r"^\d+ error\(s\) decoding:$")


def cli_notes(output: str) -> list[str]:
    """The CLI's sentences: keys that it ignores, images that it cannot resolve, and why it stopped; credentials are hidden.

    It wraps long sentences and ends them with an empty line. Log messages, and errors about a single value, are one line each.
    """
    notes: list[list[str]] = [[]]
    for line in map(str.strip, output.splitlines()):
        logged = _LOGGED.match(line)
        if logged:
            quoted, plain = logged.groups()
            text = plain or quoted.strip('"').replace('\\"', '"').replace("\\n", " ")
            notes += [[text.strip()], []]
        elif not line or _PROGRESS.match(line) or _DECODING.match(line):
            notes.append([])
        elif line.startswith("* "):
            notes.append([line[2:]])
        else:
            notes[-1].append(line)
    return [hide(" ".join(lines)) for lines in notes if lines]


_NOTE = re.compile(
    r"^Ignoring (unsupported|deprecated) options:|^image .* could not be accessed on a registry"
    r"|^\w+: (Setting|Exposing|Attaching|Linking|Use|Volume|Memory|CPU|Disabling)\b"
)


def cli_reasons(output: str) -> list[str]:
    """Why the CLI stopped, without its notes. It prints several reasons in no fixed order."""
    logged = {
        note for line in output.splitlines() if _LOGGED.match(line) for note in cli_notes(line)
    }
    return [note for note in cli_notes(output) if note not in logged and not _NOTE.match(note)]


def cli_failure(
    stack: str,
    attempt: str,
    output: str,
    refusals: Iterable[tuple[str, str, str]],
    reasons: Iterable[str] = (),
) -> SwarmError:
    """The failure of a run of the CLI: code refused in the engine's words, or cli_failed in the CLI's.

    `refusals` are kind, name and message of each write that the engine refuses.
    """
    refused = sorted({f"{kind} {name}: {hide(message)}" for kind, name, message in refusals})
    words = refused or sorted(reasons) or cli_reasons(output)[-4:] or ["no reason given"]
    if any("only updates to Labels" in line for line in refused):
        words.append(
            "the data of a secret or config cannot change: name it in rotate, or give the new data a new name"
        )
    if any("unsupported Compose file version" in line for line in words):
        words.append('this CLI requires a line version: "3.8" in each Compose file')
    code = "refused" if refused else "cli_failed"
    where = "the engine refuses" if refused else "docker stack deploy says"
    return SwarmError(
        code,
        f"Could not {attempt} stack {stack}: {where}: {'; '.join(words)}",
        refused=refused,
        output=cli_notes(output),
    )


def forbidden(
    stack: str, attempt: str, objections: Iterable[str], also: SwarmError | None
) -> SwarmError:
    """The failure of a plan that something speaks against, and what else is wrong with it."""
    words = sorted(set(objections))
    text = f"Could not {attempt} stack {stack}: {'; '.join(words)}"
    if also is not None:
        text = f"{text}; {also.message.partition(': ')[2]}"
    return SwarmError("forbidden", text, forbidden=words)
