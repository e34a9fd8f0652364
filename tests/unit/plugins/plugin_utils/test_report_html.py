# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page as HTML: nothing in a name does harm, nothing is loaded, and a large one is small enough."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from recorded import Answers, health_of, swarm_of

from ansible_collections.flotilla.swarm.plugins.module_utils._common.words import (
    packed,
    quoted,
    text,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.cleaning import clean
from ansible_collections.flotilla.swarm.plugins.module_utils._report.content import (
    Aside,
    make_content,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._report.history import Past, Point
from ansible_collections.flotilla.swarm.plugins.plugin_utils._report.html import render_html

NOW = 1795381200.0
NAMES = {
    "script": "<script>alert(document.domain)</script>",
    "attribute": '"><img src=https://evil.example/x onerror=alert(1)>',
    "style": "</style></title></svg><style>*{display:none}</style>",
    "template": "{{ 7*7 }}{% raw %}${7*7}#{7*7}",
    "long": "x" * 300,
    "right-to-left": "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "emoji": "🚀🇰🇷👩‍💻",
    "entity": "&lt;b&gt;&#x3c;&amp",
    "surrogate": "\ud800\x00\x1b[31m",
    "javascript": "javascript:alert(1)",
    "quotes": "a'b\"c`d",
}
# The elements of the template. Anything else has come from a name.
ELEMENTS = set(
    "html head meta title link style body svg symbol circle path rect use a header div h1 h2 h3 h4 p dl dt dd time nav ul li"
    " main section ol span b small q details summary table caption thead tbody tr th td bdi footer figure figcaption".split()
)
URLS = (
    "href",
    "src",
    "action",
    "data",
    "poster",
    "srcset",
    "xlink:href",
    "formaction",
    "background",
)


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.urls: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in URLS:
                self.urls.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def assert_harmless(page: str) -> Reader:
    reader = Reader(page)
    assert reader.open == [], "an element is not closed"
    assert reader.elements <= ELEMENTS, reader.elements - ELEMENTS
    assert not {name for name in reader.attributes if name.startswith("on") or name == "style"}
    inside = [url for url in reader.urls if not url.startswith(("#", "data:image/svg+xml;base64,"))]
    assert inside == []
    # What a link points at exists, and no ID is there twice.
    assert {url[1:] for url in reader.urls if url.startswith("#")} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    page.encode("utf-8")
    return reader


def named(name: str, nodes: int = 6) -> Answers:
    """A swarm in which everything that people can name has this name."""
    answers = swarm_of(nodes, 3, 9)

    def of_nodes(found: list[dict[str, Any]]) -> None:
        for node in found:
            node["Description"]["Hostname"] = name
            node["Spec"]["Labels"] = {"zone": name, "flotilla.swarm.host": name}
            node["Description"]["Engine"]["EngineVersion"] = name
        found[-1]["Status"]["State"] = "down"

    def of_services(found: list[dict[str, Any]]) -> None:
        for service in found:
            service["Spec"]["Name"] = name
            service["Spec"]["Labels"] = {"com.docker.stack.namespace": name}
            service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = name
            service["Endpoint"]["Ports"] = [
                {"PublishedPort": name, "TargetPort": name, "Protocol": name, "PublishMode": name}
            ]
            service["UpdateStatus"] = {"State": "paused", "Message": name}

    def of_tasks(found: list[dict[str, Any]]) -> None:
        for task in found[:3]:
            task["NodeID"] = ""
            task["Status"] = {"State": "pending", "Err": name, "Timestamp": name}

    answers.edit("/nodes", of_nodes)
    answers.edit("/services", of_services)
    answers.edit("/tasks", of_tasks)
    answers.edit("/networks", lambda found: [each.update(Name=name) for each in found])
    answers.edit("/info", lambda info: info["Swarm"]["Cluster"].update(ID=name))

    def of_configs(found: list[dict[str, Any]]) -> None:
        state = {"format": 1, "sync": name, "health": name, "cause": name, "message": name}
        backup = {"state": name, "node_id": name, "name": name, "started": 1.0}
        for config in found:
            config["Spec"]["Labels"] = {
                "com.docker.stack.namespace": name,
                "flotilla.swarm.revision": "1",
                "flotilla.swarm.revision.turn": "1",
                "flotilla.swarm.gitops.app": name,
                "flotilla.swarm.gitops": json.dumps(state),
                "flotilla.swarm.backup": json.dumps(backup),
            }

    answers.edit("/configs", of_configs)
    return answers


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_do_no_harm(name: str, language: str) -> None:
    health = health_of(named(name), unreachable=[name, "m9"])
    plan = {
        "steps": [
            {"action": "join", "host": name, "text": name, "note": name},
            {"action": "remove", "host": f"{name}2", "text": name},
            {"action": name, "host": "x", "text": "", "row": name},
        ],
        "nodes": [{"name": name, "role": name, "labels": {"zone": name}}],
        "held": [{"name": name, "action": "join", "why": name}],
        "warnings_of_plan": [name],
    }
    past = Past(
        (Point(1.0, "healthy"),),
        1.0,
        {"nodes": {name: ["worker"] * 5}, "services": {name: [name] * 4}},
    )
    hosts = {"m9": {"zone": name, "hostname": name, "engine": name, "silent": True}}
    aside = Aside(text("Registry"), clean(name), silent=True)
    content = make_content(health, hosts, plan, past, NOW, [aside])
    about = text("The acting manager could not check the plan. Correct the cause and run again.")
    plan = {
        "refusals": [name, f"m1: {name}"],
        "words": {"refusals": [packed(quoted(name, about)), f"m1: {name}"]},
    }
    refused = render_html(make_content(health, hosts, plan, past, NOW), language)
    assert_harmless(refused)
    assert ('<q lang="en">' in refused) == (language == "ko")
    page = render_html(content, language)
    reader = assert_harmless(page)
    assert "\u202e" not in page
    assert "\x00" not in page
    # It is shown as it is, and not left out.
    if name.isprintable():
        assert name[:32] in reader.words


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("verdict", ["healthy", "degraded", "unknown", "failed"])
def test_every_verdict_has_a_page(verdict: str, language: str) -> None:
    health = {**health_of(swarm_of(3, 1, 3)), "verdict": verdict}
    points = tuple(
        Point(float(n), each) for n, each in enumerate(("failed", "unknown", "degraded"))
    )
    page = render_html(make_content(health, {}, {}, Past(points, 1.0), NOW), language)
    reader = assert_harmless(page)
    assert page.count("<h1>") == 1
    assert f'<html lang="{language}">' in page
    assert {"header", "nav", "main", "footer"} <= reader.elements


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    page = render_html(make_content(health_of(swarm_of(3, 1, 3)), {}, {}, Past(), NOW), "en")
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found
    assert found.group(1).startswith(
        "default-src &#39;none&#39;; style-src &#39;sha256-"
    ) or found.group(1).startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in found.group(1)
    assert "script-src" not in found.group(1)


def test_every_picture_says_in_words_what_it_shows() -> None:
    page = render_html(make_content(health_of(swarm_of(3, 2, 9)), {}, {}, Past(), NOW), "ko")
    for svg in re.findall(r"<svg[^>]*>", page):
        assert 'aria-hidden="true"' in svg or ('role="img"' in svg and 'aria-label="' in svg)
    assert 'aria-label="3 실행 중"' in page


def test_a_large_swarm_has_a_page_below_five_megabytes() -> None:
    content = make_content(health_of(swarm_of(300, 3000, 20000)), {}, {}, Past(), NOW)
    page = render_html(content, "ko")
    assert len(page.encode()) < 5_000_000
    # All hosts have their first twelve dots, and the legend has one.
    assert sum(page.count(f"M{n % 12 * 10 + 5} {n // 12 * 10 + 5}h0") for n in range(12)) == 3601
    # Closed until somebody opens them.
    assert re.search(r"<details class=\"stack good\">", page)
    assert page.count('<details class="fold">') == 3
