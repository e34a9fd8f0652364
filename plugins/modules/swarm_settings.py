#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_settings
short_description: Change settings of a swarm, and nothing else
description:
  - Reads the whole specification of the swarm, changes the settings that are named, and writes the whole back. What
    is
    not named stays as it is.
  - Runs on a manager.
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  autolock_managers:
    description:
      - Whether a manager needs the unlock key after a restart of its engine.
      - Turning it on makes a key, which this module does not return. See it with C(docker swarm unlock-key), and
        keep it.
    type: bool
  dispatcher_heartbeat_period:
    description: How often a node says that it is alive, for example V(5s). After about three missed ones it counts
      as down.
    type: str
  election_tick:
    description: Ticks without a leader before an election. Must be greater than O(heartbeat_tick).
    type: int
  heartbeat_tick:
    description: Ticks between two heartbeats of the leader.
    type: int
  keep_old_snapshots:
    description: Snapshots to keep beyond the current one.
    type: int
  labels:
    description: Labels of the swarm. Others stay; the value V(null) removes a label.
    type: dict
  log_entries_for_slow_followers:
    description: Log entries to keep for managers that are behind.
    type: int
  node_cert_expiry:
    description: How long the certificate of a node is valid, for example V(90d) or V(2160h).
    type: str
  snapshot_interval:
    description: Log entries between two snapshots.
    type: int
  task_history_retention_limit:
    description: Old tasks to keep for each slot of a service.
    type: int
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Keep a short task history, whatever else is set
  flotilla.swarm.swarm_settings:
    task_history_retention_limit: 3

- name: Lock managers after a restart, and let certificates live for 30 days
  flotilla.swarm.swarm_settings:
    autolock_managers: true
    node_cert_expiry: 30d
"""

RETURN = r"""
settings:
  description: All settings afterwards, by the names of the options; in check mode what they would be.
  type: dict
  returned: always
  sample:
    autolock_managers: true
    dispatcher_heartbeat_period: 5s
    labels: {}
    node_cert_expiry: 90d
    task_history_retention_limit: 5
steps:
  description: The settings that changed, or would change in check mode.
  type: list
  elements: dict
  returned: always
  contains:
    setting:
      description: The name of the option.
      type: str
    before:
      description: The value before.
      type: raw
    after:
      description: The value after.
      type: raw
  sample: [{setting: task_history_retention_limit, before: 5, after: 3}]
failure:
  description: Why the module failed.
  type: dict
  returned: on failure
  contains:
    code:
      description: >-
        One of V(engine_unreachable), V(no_sdk), V(not_manager), V(not_in_swarm), V(locked), V(no_quorum),
        V(bad_setting),
        V(out_of_sequence) or V(engine_error).
      type: str
    details:
      description: Data that goes with the code.
      type: dict
"""

from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    Module,
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._client import EngineClient
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._settings import (
    SETTINGS,
    change_settings,
)


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            autolock_managers=dict(type="bool"),
            dispatcher_heartbeat_period=dict(type="str"),
            election_tick=dict(type="int"),
            heartbeat_tick=dict(type="int"),
            keep_old_snapshots=dict(type="int"),
            labels=dict(type="dict"),
            log_entries_for_slow_followers=dict(type="int"),
            node_cert_expiry=dict(type="str"),
            snapshot_interval=dict(type="int"),
            task_history_retention_limit=dict(type="int"),
        ),
        supports_check_mode=True,
    )
    wanted = {name: module.params[name] for name in SETTINGS}
    try:
        client = EngineClient(module.params)
        _before, after, steps = change_settings(client, wanted, module.check_mode)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), settings={}, steps=[])
    result: dict[str, Any] = {"changed": bool(steps), "settings": after, "steps": steps}
    if module._diff:
        result["diff"] = {
            side: {step["setting"]: step[side] for step in steps} for side in ("before", "after")
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
