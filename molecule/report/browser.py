# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens pages in Chromium and prints what it finds, as JSON by page:

    browser.py CHROMIUM SHOTS PAGE[:axe][:dark] ...

For each page in the light theme, and in the dark one where asked for: messages of the console, requests, what is wider than the window
at five widths, and what axe-core finds; in the dark theme the contrast, because nothing else differs. Pictures of each are in the
folder SHOTS. One window looks at all pages, and changes the theme where it is. It runs in its own virtual environment, see browser.sh.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

WIDTHS = (360, 768, 1280, 1920, 2560)
# The elements that stick out of the window. What is only for screen readers is not seen, and the browser must not lay out what is
# folded, which on a large page is nearly everything.
STICKS_OUT = """() => {
    const wide = document.documentElement.clientWidth;
    const found = document.documentElement.scrollWidth > wide ? ["the page"] : [];
    const hidden = ".sr, details:not([open]) > :not(summary)";
    const seen = each => each.matches(hidden) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT, seen);
    for (let each = walk.nextNode(); each; each = walk.nextNode()) {
        const box = each.getBoundingClientRect();
        if (box.width && box.right > wide + 1)
            found.push(each.tagName + "." + each.getAttribute("class") + " " + (each.textContent || "").slice(0, 60));
        if (found.length > 5) break;
    }
    return found;
}"""
STYLED = "() => getComputedStyle(document.querySelector('h1')).fontWeight"


def looks(
    page: Page, path: Path, shots: Path, themes: tuple[str, ...], axe: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is seen of a page, by theme."""
    said: dict[str, list[str]] = {"console": [], "requests": []}
    listeners: dict[Any, Callable[[Any], None]] = {
        "console": lambda message: said["console"].append(message.text),
        "pageerror": lambda error: said["console"].append(str(error)),
        "request": lambda request: said["requests"].append(request.url),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    started = time.monotonic()
    page.emulate_media(color_scheme="light")
    page.goto(path.as_uri())
    loaded = round(time.monotonic() - started, 2)
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        yield theme, {"loaded": loaded, **look(page, path, shots, theme, axe), **said}
    for event, listener in listeners.items():
        page.remove_listener(event, listener)


def look(page: Page, path: Path, shots: Path, theme: str, axe: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"sticks_out": {}, "violations": []}
    found["styled"] = page.evaluate(STYLED)
    # The theme changes no size.
    for width in WIDTHS if theme == "light" else ():
        page.set_viewport_size({"width": width, "height": 900})
        sticks_out = page.evaluate(STICKS_OUT)
        if sticks_out:
            found["sticks_out"][width] = sticks_out
    page.set_viewport_size({"width": 1280, "height": 900})
    page.screenshot(path=shots / f"{path.stem}_{theme}.png", full_page=True)
    if theme == "light":
        found.update(keyboard(page))
    if axe:
        started = time.monotonic()
        # Of rules that pass, nobody needs the elements.
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if theme == "dark":
            options["runOnly"] = ["color-contrast"]
        response = Axe().run(page, options=options).response
        found["axe"] = round(time.monotonic() - started, 1)
        found["rules"] = len(response["passes"])
        found["violations"] = [
            f"{each['id']}: {node['html'][:200]}: {node.get('failureSummary', '')[:300]}"
            for each in response["violations"]
            for node in each["nodes"][:3]
        ]
    return found


def keyboard(page: Page) -> dict[str, Any]:
    """Where the first key leads, and whether a key opens what is closed."""
    page.keyboard.press("Tab")
    first = page.evaluate("() => document.activeElement.getAttribute('href')")
    closed = page.locator("details:not([open]) > summary").first
    if not closed.count():
        return {"first_key": first, "opens": True}
    closed.focus()
    parent = closed.evaluate_handle("summary => summary.parentElement")
    page.keyboard.press("Enter")
    opens = parent.evaluate("details => details.open")
    page.keyboard.press("Enter")
    return {"first_key": first, "opens": opens}


def main(chromium: str, shots: str, *pages: str) -> None:
    Path(shots).mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context().new_page()
        for given in pages:
            name, *words = given.split(":")
            themes = ("light", "dark") if "dark" in words else ("light",)
            for theme, seen in looks(page, Path(name), Path(shots), themes, "axe" in words):
                found[f"{Path(name).stem} {theme}"] = seen
        version = browser.version
        browser.close()
    print(json.dumps({"browser": version, "pages": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
