# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""YAML that a repository gives to a host. Pure."""

from __future__ import annotations

import json
from typing import Any

from .._common.errors import SwarmError
from .._git.repository import printable

# Bytes, and levels of lists and dictionaries: the reader needs much time for many of either.
LARGEST_SOURCES, _DEEPEST = 128 << 10, 20


def parse_yaml(data: bytes, name: str) -> Any:
    """The document of a file; raises bad_yaml. Aliases are refused, because a few of them can make a document that fills the memory."""
    try:
        import yaml
    except ImportError:
        raise SwarmError(
            "bad_yaml",
            f"Could not read {name}: the Python library yaml is missing on this host. Install the package python3-yaml.",
        ) from None
    try:
        text = data.decode("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise _bad(name, f"it has more than {_DEEPEST} levels of lists and dictionaries")
            if isinstance(event, yaml.AliasEvent):
                raise _bad(name, "it has an alias, such as *name; write the value again")
        # As the inventory gives it: dates are text, and keys are strings.
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _bad(name, printable(str(error))) from None


def _bad(name: str, why: str) -> SwarmError:
    return SwarmError("bad_yaml", f"Could not read {name}: {why.rstrip('.')}.")
