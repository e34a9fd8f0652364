# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The options of swarm_stack, and the keys of its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The options that can hold credentials.
PRIVATE = ("definition", "files", "environment", "registries")

STACK_OPTIONS: dict[str, Any] = dict(
    name=dict(type="str", required=True),
    state=dict(type="str", choices=["present", "absent", "rolled_back"], default="present"),
    compose=dict(type="list", elements="path"),
    definition=dict(type="raw", no_log=True),
    files=dict(type="dict", no_log=True),
    environment=dict(type="dict", no_log=True),
    resolve_image=dict(type="str", choices=["always", "changed", "never"], default="changed"),
    rotate=dict(
        type="dict",
        options=dict(secrets=dict(type="dict", no_log=False), configs=dict(type="dict")),
    ),
    prune=dict(type="bool", default=False),
    keep_revisions=dict(type="int", default=5),
    revision=dict(type="int"),
    on_failure=dict(type="str", choices=["stop", "rollback"], default="stop"),
    waves=dict(type="bool", default=False),
    depends_on=dict(type="dict"),
    strict=dict(type="bool", default=False),
    ignored_keys=dict(type="list", elements="str", no_log=False),
    replace_networks=dict(type="bool", default=False),
    with_registry_auth=dict(type="bool", default=False),
    registries=dict(
        type="list",
        elements="dict",
        no_log=True,
        options=dict(
            registry=dict(type="str", required=True),
            username=dict(type="str", required=True),
            password=dict(type="str", required=True, no_log=True),
        ),
    ),
    wait=dict(type="bool", default=True),
    wait_timeout=dict(type="int", default=300),
    settle=dict(type="int", default=5),
    log_lines=dict(type="int", default=5),
)
STACK_RULES: dict[str, Any] = dict(
    mutually_exclusive=[("compose", "definition")],
    required_if=[("state", "present", ("compose", "definition"), True)],
)
# What each state means, after "Could not".
ATTEMPT = {"present": "deploy", "absent": "remove", "rolled_back": "roll back"}
STACK_LIMITS: Mapping[str, Any] = dict(compose=1, wait_timeout=1, revision=1)


def nothing_done(name: str) -> dict[str, Any]:
    """The result of swarm_stack before it has done anything: all of its keys."""
    return dict(
        changed=False,
        stack=name,
        plan=[],
        steps=[],
        applied=[],
        put_back=[],
        revisions=[],
        waves=[],
        leftovers=[],
        ignored=[],
        notes=[],
        services=[],
        diff={},
    )
