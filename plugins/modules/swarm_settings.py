#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_settings
short_description: Change settings of a swarm
description:
  - Reads the whole spec of the swarm, changes the named settings, and writes the spec back. Settings that are not named stay as
    they are.
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
      - Turning it on creates a key. This module does not return the key. Read it with C(docker swarm unlock-key), and keep it.
    type: bool
  dispatcher_heartbeat_period:
    description: The time between two heartbeats of a node, for example V(5s). A node that misses about three heartbeats is down.
    type: str
  election_tick:
    description: The number of ticks without a leader before an election. It must be greater than O(heartbeat_tick).
    type: int
  heartbeat_tick:
    description: The number of ticks between two heartbeats of the leader.
    type: int
  keep_old_snapshots:
    description: The number of snapshots to keep in addition to the current one.
    type: int
  labels:
    description: Labels of the swarm. V(null) removes a label. Labels that are not named stay.
    type: dict
  log_entries_for_slow_followers:
    description: The number of log entries to keep for managers that are behind.
    type: int
  node_cert_expiry:
    description: How long the certificate of a node is valid, for example V(90d) or V(2160h).
    type: str
  snapshot_interval:
    description: The number of log entries between two snapshots.
    type: int
  task_history_retention_limit:
    description: The number of old tasks to keep for each slot of a service.
    type: int
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Shorten the task history
  flotilla.swarm.swarm_settings:
    task_history_retention_limit: 3

- name: Turn on autolock, and limit certificates to 30 days
  flotilla.swarm.swarm_settings:
    autolock_managers: true
    node_cert_expiry: 30d
"""

RETURN = r"""
settings:
  description: All settings after the call, by option name. In check mode, as they would be.
  type: dict
  returned: always
  sample:
    autolock_managers: true
    dispatcher_heartbeat_period: 5s
    labels: {}
    node_cert_expiry: 90d
    task_history_retention_limit: 5
steps:
  description:
    - The plan as data, in order.
    - One entry for each setting that changes.
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
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(engine_unreachable), V(no_sdk), V(not_manager), V(not_in_swarm), V(locked), V(no_quorum), V(bad_setting),
      V(out_of_sequence) or V(engine_error).
  type: dict
  returned: failure
  sample: {code: bad_setting, details: {}}
"""

from typing import Any

from ..module_utils._api.client import EngineClient
from ..module_utils._cluster.settings import SETTINGS, change_settings
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError


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
    result: dict[str, Any] = {
        "changed": bool(steps),
        "settings": after,
        "steps": [step.as_data() for step in steps],
    }
    if module._diff:
        result["diff"] = {
            "before": {step.setting: step.before for step in steps},
            "after": {step.setting: step.after for step in steps},
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
