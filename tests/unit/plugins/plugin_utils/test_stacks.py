# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stack as the options of the module, by the controller and by the role, and the hash of what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.flotilla.swarm.plugins.module_utils._stack.options import (
    PRIVATE,
    STACK_OPTIONS,
)
from ansible_collections.flotilla.swarm.plugins.plugin_utils import _stacks
from ansible_collections.flotilla.swarm.plugins.plugin_utils._stacks import (
    OF_FILES,
    asked,
    module_options,
)

ROLE = Path(_stacks.__file__).parents[2] / "roles" / "swarm_stack"
SOURCE: dict[str, Any] = {
    "definition": ["services: {}"],
    "files": {},
    "environment": {"A": "1"},
    "rotate": {},
    "depends_on": {},
    "ignored_keys": [],
    "plan": ["create network"],
}
STACK = module_options({"name": "shop", "compose": ["shop.yml"]}, "", lambda _stack: SOURCE)

# One other value of each option that says something of what is asked.
OTHERS: dict[str, Any] = {
    "name": "blog",
    "state": "absent",
    "definition": ["services: {web: {image: web}}"],
    "files": {"key": "a2V5"},
    "environment": {"A": "2"},
    "resolve_image": "never",
    "rotate": {"secrets": {"key": "key.txt"}},
    "prune": True,
    "keep_revisions": 0,
    "revision": 3,
    "on_failure": "rollback",
    "waves": True,
    "depends_on": {"web": ["db"]},
    "strict": True,
    "ignored_keys": ["build"],
    "replace_networks": True,
    "with_registry_auth": True,
    "registries": [{"registry": "r", "username": "u", "password": "p"}],
}
# How a run waits, and what it returns of failures.
MANNER = {"wait": False, "wait_timeout": 1, "settle": 0, "log_lines": 1}


def test_every_option_is_looked_at_here() -> None:
    assert {*OTHERS, *MANNER} == STACK_OPTIONS.keys() - {"compose"}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_another_value_of_an_option_asks_for_something_else(name: str) -> None:
    other = asked({**STACK, name: OTHERS[name]})
    assert len(other) == 64
    assert other != asked(STACK)


@pytest.mark.parametrize("name", sorted(MANNER))
def test_how_a_run_waits_is_not_what_is_asked(name: str) -> None:
    assert asked({**STACK, name: MANNER[name]}) == asked(STACK)


def test_defaults_texts_and_the_connection_make_no_difference() -> None:
    """Before ansible-core 2.19 a template gives text."""
    told = {
        **STACK,
        "prune": "false",
        "keep_revisions": "5",
        "state": "present",
        "docker_host": "unix:///run/other.sock",
        "timeout": 7,
        "registries": None,
    }
    assert asked(told) == asked(STACK)


@pytest.mark.parametrize(
    "options",
    [
        {"resolve_image": "always"},
        {"definition": None, "compose": ["/root/shop.yml"]},
        {"keep_revisions": "many"},
        {"state": "elsewhere"},
    ],
)
def test_what_does_not_follow_from_the_options_has_no_hash(options: dict[str, Any]) -> None:
    assert asked({**STACK, **options}) == ""


def test_a_profile_and_a_removal() -> None:
    stack = {
        "name": "shop",
        "compose": ["shop.yml"],
        "wait_timeout": 60,
        "profiles": {"prod": {"prune": True, "state": "absent"}},
    }
    assert module_options(stack, "", lambda _stack: SOURCE) == {
        **{name: SOURCE[name] for name in OF_FILES},
        "name": "shop",
        "wait_timeout": 60,
    }
    assert module_options(stack, "prod", lambda _stack: {}) == {
        "name": "shop",
        "wait_timeout": 60,
        "prune": True,
        "state": "absent",
    }


def test_the_role_gives_the_module_the_same_options() -> None:
    """The role names them one by one, for Ansible to show what it passes on."""
    task = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text(encoding="utf-8"))[0]
    given: dict[str, str] = task["flotilla.swarm.swarm_stack"]
    assert given.keys() == STACK_OPTIONS.keys() - {"compose"}
    of_files = {name for name, value in given.items() if "__swarm_stack_source" in value}
    assert of_files == set(OF_FILES)
    assert set(PRIVATE) - {"registries"} <= of_files
