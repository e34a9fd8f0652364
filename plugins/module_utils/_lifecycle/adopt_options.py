# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The options of the module swarm_adopt, and the keys of its result. No I/O."""

from __future__ import annotations

from typing import Any

from .._common.argspec import Limits, docker_argument_spec

ADOPT_OPTIONS: dict[str, Any] = dict(
    docker_host=docker_argument_spec()["docker_host"],
    timeout=dict(type="int", default=60),
    to=dict(type="path", required=True),
    observed=dict(type="dict", default={}),
)
ADOPT_LIMITS: Limits = {}


def nothing_done() -> dict[str, Any]:
    """The result of swarm_adopt before it has done anything: all of its keys."""
    return dict(
        changed=False,
        to="",
        cluster_id="",
        files=[],
        stacks=[],
        not_managed=[],
        hosts={},
        remarks=[],
        plan=[],
    )
