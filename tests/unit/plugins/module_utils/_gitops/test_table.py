# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statuses of applications, as they are read."""

from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.state import (
    DEGRADED,
    HEALTHY,
    OUT_OF_SYNC,
    SUSPENDED,
    SYNCED,
    UNKNOWN,
    AppState,
    Attempt,
    Suspension,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.table import (
    MOST_ROWS,
    exit_code,
    render,
    rows,
)

NOW = 1_800_000_000.0
SHOP = AppState(
    "shop",
    "deploy",
    "apps/shop",
    ("deploy",),
    sync=SYNCED,
    health=HEALTHY,
    since=NOW - 7300,
    commit="1234567890" * 4,
    message="Raise the number of replicas",
    author="Ann",
    deployed=NOW - 7300,
    desired="x",
    revision=4,
)
BLOG = replace(
    SHOP,
    name="blog",
    folder="apps/blog",
    sync=OUT_OF_SYNC,
    health=DEGRADED,
    since=NOW - 90,
    cause="the deploy of commit abcdefabcdef failed and was rolled back: blog_web: crash",
    health_cause="blog_web: 0 of 1 task as asked",
    failed=Attempt("y", "abcdef" * 7, NOW - 90, 2, "blog_web: crash", True),
)
DOWN = AppState("deploy/", "deploy", sync=UNKNOWN, cause="it does not answer", since=NOW - 30)


def test_a_table_of_a_healthy_and_a_degraded_application() -> None:
    assert render([SHOP, BLOG], NOW) == (
        "APPLICATIONS\n"
        "  application   sync        health     commit     since   message\n"
        "  blog          OutOfSync   Degraded   12345678   1 min   Raise the number of replicas\n"
        "  shop          Synced      Healthy    12345678   2 h     Raise the number of replicas\n"
        "\n"
        "CAUSES\n"
        "  blog: the deploy of commit abcdefabcdef failed and was rolled back: blog_web: crash; blog_web: 0 of 1 task as asked"
    )


def test_the_exit_code() -> None:
    assert exit_code([]) == 0
    assert exit_code([SHOP]) == 0
    assert exit_code([SHOP, replace(SHOP, sync=SUSPENDED)]) == 0
    assert exit_code([SHOP, BLOG]) == 1
    assert exit_code([replace(SHOP, health=DEGRADED)]) == 1
    assert exit_code([replace(SHOP, sync=OUT_OF_SYNC)]) == 1
    assert exit_code([SHOP, DOWN]) == 1


def test_what_comes_from_a_repository_that_cannot_be_used_is_unknown() -> None:
    held = replace(SHOP, name="held", sync=SUSPENDED, suspended=Suspension("ann", 1.0, "x"))
    other = replace(SHOP, name="other", sources=("team",), repository="team")
    found = {row["name"]: row for row in rows([SHOP, held, other, DOWN])}
    assert {name: row["sync"] for name, row in found.items()} == {
        "shop": UNKNOWN,
        "held": SUSPENDED,
        "other": SYNCED,
        "deploy/": UNKNOWN,
    }
    assert found["shop"]["cause"] == "repository deploy: it does not answer"
    assert found["shop"]["since"] == NOW - 30
    assert (found["deploy/"]["application"], found["deploy/"]["health"]) == (False, None)
    assert "  deploy/       Unknown   -         -          30 s" in render([SHOP, DOWN], NOW)
    json.dumps(list(found.values()))


def test_a_long_table_has_only_what_needs_attention() -> None:
    many = [replace(SHOP, name=f"a{number:03}") for number in range(MOST_ROWS + 20)]
    text = render([*many, BLOG], NOW)
    assert len(text.splitlines()) == 7
    assert f"  and {MOST_ROWS + 20} more" in text


def test_an_empty_table_and_an_old_state() -> None:
    assert render([], NOW).splitlines()[0] == "APPLICATIONS"
    assert "2026-11-" in render([replace(SHOP, since=NOW - 50 * 86400)], NOW)
    assert "0 s" in render([replace(SHOP, since=NOW + 50)], NOW)
