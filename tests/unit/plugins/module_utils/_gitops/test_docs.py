# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples of docs/runbooks/gitops_apps.md are read without a problem, and its tables have all keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.app import (
    children_of,
    parse_app,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._gitops.settings import (
    parse_may,
    parse_settings,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._notify.events import Event, as_json
from ansible_collections.flotilla.swarm.plugins.module_utils._notify.send import parse_notify
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.compose_file import read

PAGE = Path(__file__).resolve().parents[5] / "docs" / "runbooks" / "gitops_apps.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PREFIX = "swarm_gitops_"
FILES = {"token", "ca", "apprise"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n")[0])
def test_every_example_is_right(block: str) -> None:
    document = yaml.safe_load(block)
    settings = {
        key[len(PREFIX) :]: value for key, value in document.items() if key.startswith(PREFIX)
    }
    if settings:
        assert len(settings) == len(document)
        notify = settings.pop("notify", {})
        parse_settings(settings)
        problems: list[str] = []
        # The role writes what is secret into files.
        files = {f"{key}_file": "/etc/x" for key in FILES & notify.keys()}
        rest = {key: value for key, value in notify.items() if key not in FILES}
        parse_notify({**rest, **files}, "notify", problems)
        assert problems == []
        return
    # As the managers read it.
    given = read(block).document
    if children_of(given, "apps", "deploy") is None:
        parse_app({"env_files": [".env"], **given}, "apps/shop", "deploy")


def keys_after(heading: str) -> set[str]:
    """The keys in the first table after a heading."""
    section = TEXT.split(f"\n{heading}\n")[1]
    rows = re.findall(r"^\| (`.*?) \|", section.split("\n#")[0], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def known(words: str) -> set[str]:
    return set(words.partition("known are ")[2].rstrip(". ").split(", "))


def raised(document: Any) -> str:
    with pytest.raises(SwarmError) as caught:
        parse_app(document, "apps/shop", "deploy")
    return caught.value.message.partition(". Correct it")[0]


def test_the_tables_have_all_keys() -> None:
    odd = {"qqqqqqqq": 1}
    assert keys_after("## app.yml") == known(raised(odd)) - {"apps"}
    assert keys_after("### Checks") == known(
        raised({"checks": [{"name": "a", "image": "a", **odd}]})
    )
    policy = {"image": "a", "versions": "1", **odd}
    assert keys_after("## Image updates") == known(raised({"images": [policy]}))
    assert keys_after("## Windows") == known(raised({"windows": [odd]}))
    problems: list[str] = []
    parse_may(odd, "may", problems)
    assert keys_after("## What applications may use") == known(problems[0])
    problems = []
    parse_notify(odd, "notify", problems)
    own = keys_after("## Notifications")
    assert own == {key.removesuffix("_file") for key in known(problems[0])} - {"memory"}
    assert own >= FILES


def test_the_keys_of_the_webhook_are_listed() -> None:
    sentence = TEXT.split("The document of the webhook has ")[1].split("for people")[0]
    keys = set(yaml.safe_load(as_json(Event("failed", "shop"))))
    assert set(re.findall(r"`(\w+)`", sentence)) == keys
