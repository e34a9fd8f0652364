# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This plugin util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A stack of the user, as the options of the module swarm_stack, and as a hash of its desired state."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..module_utils._common.errors import SwarmError
from ..module_utils._registry.inventory import with_logins
from ..module_utils._stack import options as stack_options
from ..module_utils._stack.checked_options import options_of
from ..module_utils._stack.compose import with_profile
from ..module_utils._stack.options import STACK_OPTIONS

# The options that the lookup stack_source reads from files on the controller.
OF_FILES = ("definition", "files", "environment", "rotate", "depends_on", "ignored_keys")


def module_options(
    stack: dict[str, Any],
    profile: str,
    source: Callable[[dict[str, Any]], dict[str, Any]],
    registries: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The options of a stack, as the role swarm_stack gives them. For a stack with the state present, `source` reads its files.

    `registries` are those of the inventory.
    """
    merged = with_profile(stack, profile)
    logins = with_logins(merged.get("registries") or (), registries)
    if logins:
        merged = {**merged, "registries": logins}
    options = {
        name: value
        for name, value in merged.items()
        if name in STACK_OPTIONS and name not in ("compose", *OF_FILES)
    }
    if merged.get("state", "present") == "present":
        found = source(stack)
        options.update({name: found[name] for name in OF_FILES})
    return options


# The options that say how a run waits and what it returns. They are not part of the desired state.
_MANNER = ("wait", "wait_timeout", "settle", "log_lines")


def asked(options: Mapping[str, Any]) -> str:
    """A hash of the desired state of a stack and of the code that would apply it.

    It is empty if the options alone do not determine the desired state: files on the host can change, the registry decides what
    a tag means, and wrong options mean nothing.
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
    """A hash of this collection's own code, because another release can give the same options another meaning."""
    found = hashlib.sha256()
    for path in sorted(Path(stack_options.__file__).parents[1].rglob("*.py")):
        found.update(path.read_bytes())
    return found.digest()
