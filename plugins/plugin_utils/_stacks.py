# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A stack as users write it, as the options that the module swarm_stack takes, and as a hash of what it asks for."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils import _stack_options
from ansible_collections.flotilla.swarm.plugins.module_utils._compose import with_profile
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_options import (
    STACK_OPTIONS,
    options_of,
)

# What the lookup stack_source makes of the files on the controller.
OF_FILES = ("definition", "files", "environment", "rotate", "depends_on", "ignored_keys")


def module_options(
    stack: dict[str, Any], profile: str, source: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """The options, with what `source` reads of a stack that is to be there."""
    merged = with_profile(stack, profile)
    options = {
        name: value
        for name, value in merged.items()
        if name in STACK_OPTIONS and name not in ("compose", *OF_FILES)
    }
    if merged.get("state", "present") == "present":
        found = source(stack)
        options.update({name: found[name] for name in OF_FILES})
    return options


# How a run waits and what it returns, which says nothing about what is asked.
_MANNER = ("wait", "wait_timeout", "settle", "log_lines", "_asked")


def asked(options: Mapping[str, Any]) -> str:
    """A hash of what is asked of a stack, and of who would carry it out.

    It is empty where that does not follow from the options: files on the host may change, what a tag stands for is up
    to its registry, and nothing follows from options that are wrong.
    """
    given = {name: value for name, value in options.items() if name in STACK_OPTIONS}
    try:
        checked = options_of(given)
    except SwarmError:
        return ""
    if checked["compose"] or checked["resolve_image"] == "always":
        return ""
    told = {name: value for name, value in checked.items() if name not in _MANNER}
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(_our_code() + text.encode()).hexdigest()


@functools.cache
def _our_code() -> bytes:
    """A hash of this collection's own code: another release may make something else of the same."""
    found = hashlib.sha256()
    for path in sorted(Path(_stack_options.__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.digest()
