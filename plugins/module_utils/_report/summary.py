# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The content of the page for machines, and as a summary in Markdown for a chat or a change request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from .._common.words import Text, text
from .content import Content, Finding
from .language import explained, moment_text, say
from .states import GOOD
from .words import STATUS_WORDS, VERDICT_WORDS

# Of a summary, whatever the swarm.
MOST_LINES = 40
# Of one line of it, in characters.
LONGEST = 400
_SIGNS = {"good": "✅", "warn": "⚠️", "unsure": "❔", "bad": "❌"}


def as_data(value: Any) -> Any:
    """The content as plain data with English texts. The state for the next report is not in it."""
    if isinstance(value, Text):
        return str(value)
    if is_dataclass(value):
        return {
            each.name: as_data(getattr(value, each.name))
            for each in fields(value)
            if each.name != "state" or not isinstance(getattr(value, each.name), Mapping)
        }
    if isinstance(value, Mapping):
        return {str(key): as_data(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(each) for each in value]
    return value


def as_markdown(content: Content, language: str) -> str:
    """A summary of at most MOST_LINES lines."""
    lines = list(_head(content, language))
    room = MOST_LINES - len(lines)
    for title, rows in _parts(content, language):
        if room < 3 or not rows:
            continue
        shown = rows if len(rows) + 2 <= room else rows[: room - 3]
        lines += ["", title, *shown]
        room -= len(shown) + 2
        if len(shown) < len(rows):
            more = say(text("and {count} more", count=len(rows) - len(shown)), language)
            lines.append(f"- {more}")
            room -= 1
    return "\n".join(line[:LONGEST] for line in lines) + "\n"


def escaped(words: object) -> str:
    """Words that others have chosen, on one line and without any meaning for Markdown or HTML."""
    line = " ".join(str(words).split())
    for each in "\\`*_[]<>|#~@!":
        line = line.replace(each, f"\\{each}")
    # Raw HTML may be let through even when it is escaped.
    return line.replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\@", "@\u200b")


def _head(content: Content, language: str) -> Iterator[str]:
    worst = {"healthy": "good", "degraded": "warn", "unknown": "unsure", "failed": "bad"}
    word = say(VERDICT_WORDS[content.verdict], language)
    yield f"## {_SIGNS[worst[content.verdict]]} {word}: {escaped(say(content.headline, language))}"
    yield ""
    about = [
        f"{say(label, language)}: **{say(value, language)}**" for label, value in content.facts
    ]
    about.append(moment_text(content.made_at))
    yield " · ".join(about)


def _parts(content: Content, language: str) -> Iterator[tuple[str, Sequence[str]]]:
    def title(words: Text) -> str:
        return f"**{say(words, language)}**"

    if content.plan is not None and content.plan.refusals:
        refusals = [
            f"- {_SIGNS['bad']} {escaped(explained(e, language))}" for e in content.plan.refusals
        ]
        yield title(text("The plan is refused")), refusals
    yield title(text("What to do")), [_reason(each, language) for each in content.reasons]
    if content.plan is not None and not content.plan.refusals:
        steps = [
            f"- `{step.sign}` {say(step.word, language)} **{escaped(step.host)}** {escaped(say(step.detail, language))}"
            for step in content.plan.steps
        ]
        yield title(text("Plan")), steps or [f"- {say(text('Nothing would change.'), language)}"]
    yield title(text("Applications")), list(_applications(content, language))
    yield title(text("If a zone is lost")), list(_losses(content, language))
    yield (
        title(text("Changes")),
        [f"- {escaped(say(each, language))}" for each in content.changes],
    )
    yield title(text("Services")), list(_services(content, language))


def _reason(each: Finding, language: str) -> str:
    advice = f" → {escaped(say(each.advice, language))}" if each.advice else ""
    head = f"{say(each.title, language)} ({say(STATUS_WORDS[each.status], language)})"
    return f"- {_SIGNS[each.state]} **{head}** {escaped(explained(each.message, language))}{advice}"


def _applications(content: Content, language: str) -> Iterator[str]:
    """Those that need attention."""
    for each in content.applications:
        if each.state != GOOD:
            words = [say(word, language) for word in (each.sync, each.health) if word is not None]
            cause = f": {escaped(explained(each.cause, language))}" if each.cause else ""
            yield f"- {_SIGNS[each.state]} {escaped(each.name)} {', '.join(words)}{cause}"


def _losses(content: Content, language: str) -> Iterator[str]:
    for loss in content.losses:
        if loss.state == GOOD:
            continue
        words = [say(text("does not answer now"), language)] if loss.gone else []
        if not loss.keeps_quorum:
            words.append(say(text("the quorum is lost"), language))
        stopped = [*loss.homeless, *(name for name in loss.stopped if name not in loss.homeless)]
        if stopped:
            names = ", ".join(escaped(name) for name in stopped[:4])
            rest = len(stopped) - 4
            more = f" {say(text('and {count} more', count=rest), language)}" if rest > 0 else ""
            words.append(f"{say(text('without a task:'), language)} {names}{more}")
        words += [say(each, language) for each in loss.short]
        yield f"- {_SIGNS[loss.state]} {escaped(loss.zone)}: {'; '.join(words)}"


def _services(content: Content, language: str) -> Iterable[str]:
    """Those that are not as asked."""
    for stack in content.stacks:
        for row in stack.services:
            if row.state != GOOD:
                full = f"{stack.name}_{row.name}" if stack.name else row.name
                reason = f": {escaped(say(row.reason, language))}" if row.reason else ""
                yield (
                    f"- {_SIGNS[row.state]} {escaped(full)} {row.running}/{row.wanted}"
                    f" {say(row.words, language)}{reason}"
                )
