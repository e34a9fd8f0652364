# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The variables of our roles, as each host has them: its own value, else the role's default."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROLES = Path(__file__).resolve().parents[2] / "roles"


@cache
def role_defaults(role: str) -> dict[str, Any]:
    """A role's defaults, straight from its file: there is no second place that says them."""
    with open(ROLES / role / "defaults" / "main.yml", encoding="utf-8") as stream:
        return yaml.safe_load(stream) or {}


@cache
def role_options(role: str) -> dict[str, Any]:
    """A role's argument spec, as Ansible itself checks it."""
    with open(ROLES / role / "meta" / "argument_specs.yml", encoding="utf-8") as stream:
        return yaml.safe_load(stream)["argument_specs"]["main"].get("options") or {}


@cache
def known_names() -> frozenset[str]:
    """Every variable that one of our roles takes."""
    return frozenset(name for path in ROLES.iterdir() for name in role_defaults(path.name))


def role_inputs(role: str, variables: Any, template: Any) -> dict[str, Any]:
    """The inputs of a role for the host with these variables."""
    inputs = {}
    for name, default in role_defaults(role).items():
        inputs[name] = variables[name] if name in variables else template(default)
    return inputs


def role_problems(role: str, inputs: dict[str, Any]) -> list[str]:
    """What is wrong with the types of a role's inputs, in Ansible's own words."""
    result = ArgumentSpecValidator(role_options(role)).validate(inputs)
    return [str(message) for message in result.error_messages]
