# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One state from what all builders say."""

from __future__ import annotations

import itertools
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._builder.report import (
    ago,
    merge,
    report,
    verdict,
)

OLD, NEW = "a" * 40, "b" * 40
NOW = 1_796_000_000.0


def row(reporter: str, state: str, commit: str = NEW, **more: Any) -> dict[str, Any]:
    seen = NOW - (10 if commit == NEW else 100)
    return {
        "source": "shop", "reporter": reporter, "builder": reporter, "state": state, "commit": commit, "seen_at": seen,
        "since": NOW - 5, "cause": "", "image": "registry.lab/shop:1", "at": NOW - 5, "seconds": 7.4, **more,
    }  # fmt: skip


def test_the_newest_commit_counts_and_of_that_the_furthest() -> None:
    cases = [
        (("built", NEW), ("waiting", NEW), "built"),
        (("built", OLD), ("waiting", NEW), "waiting"),
        (("built", OLD), ("error", NEW), "error"),
        (("built", NEW), ("error", NEW), "built"),
        (("building", NEW), ("waiting", NEW), "building"),
        (("building", OLD), ("failed", NEW), "failed"),
        (("error", NEW), ("waiting", NEW), "error"),
    ]
    for first, second, expected in cases:
        rows = [row("b1", first[0], first[1]), row("b2", second[0], second[1])]
        for order in itertools.permutations(rows):
            assert merge(order)["state"] == expected


def test_a_builder_that_is_away_is_noted_and_what_is_wrong_is_listed() -> None:
    found: dict[str, dict[str, Any]] = {
        "b1": {
            "builder": "b1",
            "looked_at": NOW,
            "sources": [row("b1", "failed", cause="it broke")],
        },
        "b2": {"builder": "", "sources": [], "msg": "Could not read the settings.", "failure": {}},
        "b3": {"builder": "b3", "looked_at": 0, "sources": []},
    }
    made = report(found, ["b4"], NOW)
    assert made.wrong == ("shop",)
    assert any("b4 does not answer" in note for note in made.notes)
    assert any("b3 has not looked" in note for note in made.notes)
    assert "it broke" in "\n".join(made.lines)
    assert "5 s ago" in made.lines[1]
    assert report({}, [], NOW).lines == ("no sources",)


def test_times() -> None:
    assert [ago(n) for n in (-1, 0, 59, 60, 3600, 90_000)] == [
        "0 s ago", "0 s ago", "59 s ago", "1 min ago", "1 h ago", "1 d ago",
    ]  # fmt: skip


def test_the_verdict_of_a_build() -> None:
    result = {"source": "shop", "state": "built", "image": "i:1", "digest": "sha256:x", "builder": "b1", "commit": NEW,
              "subject": "Sell", "steps": {"build": 1.5}, "log": []}  # fmt: skip
    assert verdict(result)[0] == "OK    shop: i:1@sha256:x, by b1"
    lines = verdict({**result, "state": "failed", "cause": "it broke", "log": ["last line"]})
    assert lines[0] == "FAIL  shop: it broke"
    assert lines[-1] == "      | last line"
    assert verdict({"state": ""}) == []
