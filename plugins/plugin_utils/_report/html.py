# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The page as one file of HTML, from its content. It loads nothing and needs no script."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ...module_utils._common.words import Text, count_of, text
from ...module_utils._health.picture import FAILED, OUTDATED, RUNNING, STARTING, UNHEARD, WAITING
from ...module_utils._report.content import Content, Host, Service, kinds_of
from ...module_utils._report.language import about, ago, moment_text, say, speaks
from ...module_utils._report.states import BAD, GOOD, UNSURE, WARN
from ...module_utils._report.words import KIND_WORDS, STATUS_WORDS, VERDICT_STATES, VERDICT_WORDS

_HERE = Path(__file__).parent
# A page with at most this many hosts or services shows all of them at once. Others show what needs attention.
FEW_HOSTS, FEW_SERVICES = 60, 60
# Characters of a name. An engine accepts 63 for services and hosts; zones can be longer.
_LONGEST = 64
# Dots in a row.
_COLUMNS = 12
_STEP = 10
# What a dot is, from the middle of its place: a stroke with a round or square cap, a ring, or a cross.
_POINT = "h0"
_RING = "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0"
_CROSS = "m-3-3l6 6m0-6l-6 6"
_DASHES = "m-3 0h6"
_FORMS = {
    RUNNING: _POINT,
    OUTDATED: _POINT,
    STARTING: _RING,
    WAITING: _DASHES,
    UNHEARD: _DASHES,
    FAILED: _CROSS,
}
_ICONS = {
    GOOD: '<circle cx="12" cy="12" r="11" fill="#14613a"/><path d="M6.5 12.5l4 4 7-8"/>',
    WARN: '<path d="M12 1.5L23.5 22.5H.5z" fill="#b87700"/><path d="M12 9v6.5M12 19v.1"/>',
    UNSURE: '<path d="M12 .5L23.5 12 12 23.5.5 12z" fill="#4a4987"/><path d="M7 12h.1M12 12h.1M17 12h.1"/>',
    BAD: '<path d="M7 1h10l6 6v10l-6 6H7l-6-6V7z" fill="#a3221b"/><path d="M7.5 7.5l9 9M16.5 7.5l-9 9"/>',
}


def render_html(content: Content, language: str) -> str:
    """The page in a language."""
    template = _template()
    style = _style()
    state = VERDICT_STATES[content.verdict]
    words = partial(say, language=language)
    few = content.hosts <= FEW_HOSTS

    def translated(template: str, **values: Any) -> str:
        return words(text(template, **values))

    def fold(hosts: Sequence[Host]) -> tuple[list[Host], list[Host]]:
        if few:
            return list(hosts), []
        shown = [host for host in hosts if host.state != GOOD or host.steps or host.leader]
        return shown, [host for host in hosts if host not in shown]

    def divide(services: Sequence[Service]) -> tuple[list[Service], list[Service]]:
        bad = [service for service in services if service.state != GOOD]
        return bad, [service for service in services if service.state == GOOD]

    return template.render(
        c=content,
        language=language,
        state=state,
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        icon=_icon(state),
        verdict_word=words(VERDICT_WORDS[content.verdict]),
        balance=[(words(a), words(b), words(c)) for a, b, c in balance_of(content)],
        shows_shares=bool(content.capacity and content.capacity.reserving),
        opens=content.services <= FEW_SERVICES,
        _=translated,
        speaks=partial(speaks, language=language),
        about=partial(about, language=language),
        t=words,
        status_word=lambda status: words(STATUS_WORDS[status]),
        kind_word=lambda kind: words(KIND_WORDS[kind]),
        tasks_of=partial(count_of, noun="task"),
        hosts_of=partial(count_of, noun="host"),
        managers_of=partial(count_of, noun="manager"),
        services_of=partial(count_of, noun="service"),
        total=lambda tasks: sum(count for _kind, count in tasks),
        dots=partial(_dots, words),
        sample=_sample,
        stacked=partial(_stacked, words),
        tiles=_tiles,
        bar=_bar,
        num=number,
        when=lambda at: _when(words, at, content.made_at),
        iso=_iso,
        clock=moment_text,
        fold=fold,
        divide=divide,
        history=partial(_history, words, content),
    )


@lru_cache(maxsize=1)
def _template() -> Any:
    # No loader: the page includes nothing. Jinja2 must never see what a template in a variable says.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    environment.filters["n"] = "{:,}".format
    environment.filters["short"] = short
    return environment.from_string((_HERE / "page.html.j2").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _style() -> str:
    return (_HERE / "page.css").read_text(encoding="utf-8").replace("\n", "")


def _icon(state: str) -> str:
    shape = _ICONS[state].replace("fill=", 'stroke="none" fill=')
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#fff" stroke-width="3"'
        f' stroke-linecap="round">{shape}</svg>'
    )
    return base64.b64encode(svg.encode()).decode()


def number(value: float) -> str:
    """A number as people read it: 1.5, 2, 1,024."""
    return f"{value:,.1f}".removesuffix(".0")


def short(words: str) -> str:
    """A name without its middle, if it is longer than any host or service is called."""
    return (
        words if len(words) <= _LONGEST else f"{words[: _LONGEST // 2]}…{words[-_LONGEST // 4 :]}"
    )


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat(timespec="seconds")


def _when(words: Any, at: float | None, now: float) -> Markup:
    if at is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(_iso(at), words(ago(at, now)))


def balance_of(content: Content) -> list[tuple[Text, Text, Text]]:
    """What a plan changes as a whole: label, now, after."""
    plan = content.plan
    if plan is None:
        return []
    hosts = [host for zone in content.zones for host in zone.hosts]
    present = [host for host in hosts if not any(s.action in ("join", "init") for s in host.steps)]
    removed = {step.host for step in plan.steps if step.action == "remove"}
    after: dict[str, tuple[str, str]] = {}
    for host in present:
        if host.name not in removed:
            after[host.name] = (host.zone, host.role)
    for step in plan.steps:
        wanted = plan.wanted.get(step.host)
        if wanted and step.action in ("join", "init", "promote", "demote", "rejoin", "labels"):
            after[step.host] = wanted
    rows = []
    now_roles = [host.role for host in present]
    then_roles = [role for _zone, role in after.values()]
    for label, role in ((text("Managers"), "manager"), (text("Workers"), "worker")):
        rows.append((label, _n(now_roles.count(role)), _n(then_roles.count(role))))
    rows.append(
        (
            text("Tolerates"),
            _tolerated(now_roles.count("manager")),
            _tolerated(then_roles.count("manager")),
        )
    )
    zones = sorted({host.zone for host in present} | {zone for zone, _role in after.values()})
    for zone in zones:
        label = text("Hosts in zone {zone}", zone=zone) if zone else text("Hosts without a zone")
        rows.append(
            (
                label,
                _n(sum(host.zone == zone for host in present)),
                _n(sum(where == zone for where, _role in after.values())),
            )
        )
    return rows


def _n(count: int) -> Text:
    return text("{count}", count=count)


def _tolerated(managers: int) -> Text:
    return count_of(max(0, (managers - 1) // 2), "failure")


# Pictures


def _words_of(words: Any, tasks: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {words(KIND_WORDS[kind])}" for kind, count in tasks)


def _dots(words: Any, tasks: Sequence[tuple[str, int]]) -> Markup:
    """Tasks as dots, one path for each kind."""
    total = sum(count for _kind, count in tasks)
    columns = min(total, _COLUMNS)
    rows = -(-total // _COLUMNS)
    paths, place = [], 0
    for kind, count in tasks:
        form = _FORMS[kind]
        points = "".join(
            f"M{n % _COLUMNS * _STEP + 5} {n // _COLUMNS * _STEP + 5}{form}"
            for n in range(place, place + count)
        )
        place += count
        paths.append(f'<path class="k-{kind}" d="{points}"/>')
    width, height = columns * _STEP, rows * _STEP
    # Few tasks are larger.
    size = 1.7 if total <= _COLUMNS else 1.3
    return Markup(
        f'<svg class="dots" width="{width * size:g}" height="{height * size:g}" viewBox="0 0 {width} {height}"'
        f' role="img" aria-label="{{}}">{"".join(paths)}</svg>'
    ).format(_words_of(words, tasks))


@lru_cache(maxsize=16)
def _sample(kind: str) -> Markup:
    return Markup(
        f'<svg class="key" viewBox="0 0 10 10" aria-hidden="true"><path class="k-{kind}" d="M5 5{_FORMS[kind]}"/></svg>'
    )


@lru_cache(maxsize=1024)
def _bar_of(percent: int) -> Markup:
    full = ' class="full"' if percent >= 85 else ""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect{full} width="{percent}" height="8"/></svg>'
    )


def _bar(percent: float) -> Markup:
    """How full something is. The numbers stand beside it."""
    return _bar_of(round(percent))


def _stacked(words: Any, hosts: Sequence[Host]) -> Markup:
    """The tasks of folded hosts, in words."""
    tasks = kinds_of(each for host in hosts for each in host.tasks)
    return Markup(" <small>{}</small>").format(_words_of(words, tasks)) if tasks else Markup("")


def _tiles(hosts: Sequence[Host]) -> Markup:
    """Folded hosts as a field of tiles. Their number stands beside it."""
    columns, step = 20, 12
    points = "".join(
        f"M{n % columns * step + 6} {n // columns * step + 6}h0" for n in range(len(hosts))
    )
    width, height = min(len(hosts), columns) * step, -(-len(hosts) // columns) * step
    return Markup(
        f'<svg class="tiles" width="{width}" height="{height}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path d="{points}"/></svg>'
    )


_LANES = {GOOD: 8, UNSURE: 24, WARN: 24, BAD: 40}
_POINTS = {
    GOOD: "M{x} {y}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    WARN: "M{x} {y}m0-6l6.5 11h-13z",
    UNSURE: "M{x} {y}m0-6.5l6.5 6.5-6.5 6.5-6.5-6.5z",
    BAD: "M{x} {y}m-5.5-5.5h11v11h-11z",
}


def _history(words: Any, content: Content) -> Markup:
    """The line of verdicts, the latest at the right; what is worse is lower."""
    points = content.history
    counts: dict[str, int] = {}
    paths = []
    for place, point in enumerate(points):
        state = VERDICT_STATES[point.verdict]
        counts[point.verdict] = counts.get(point.verdict, 0) + 1
        d = _POINTS[state].format(x=place * 16 + 9, y=_LANES[state])
        paths.append(f'<path class="p-{state}" d="{d}"/>')
    width = max(len(points), 20) * 16 + 2
    said = ", ".join(f"{words(VERDICT_WORDS[name])} {count}" for name, count in counts.items())
    label = words(
        text(
            "The last {count} reports, the latest at the right: {verdicts}",
            count=len(points),
            verdicts=said,
        )
    )
    first, last = moment_text(points[0].at), moment_text(points[-1].at)
    rails = "".join(f'<path class="rail" d="M0 {y}H{width}"/>' for y in (8, 24, 40))
    return Markup(
        f'<figure><svg class="line" width="{width}" height="48" viewBox="0 0 {width} 48" role="img" aria-label="{{}}">{rails}{"".join(paths)}</svg>'
        '<figcaption class="quiet">{} – {} · {}</figcaption></figure>'
    ).format(label, first, last, said)
