#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_backup_timer
short_description: Install the service and the timer of backups on a manager
description:
  - Installs what M(flotilla.swarm.swarm_backup) needs on a manager, which are the code, its settings and two services of systemd. With
    O(schedule), a timer makes backups without the controller.
  - Set the same timer on all managers. When it elapses, one manager acts, and the others do nothing. A record in the swarm keeps two
    managers from stopping their engines together.
  - The timer makes a logical export even if a raft backup is refused, for example because a manager is down.
extends_documentation_fragment:
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
  schedule:
    description:
      - When to make backups, as a calendar event of C(systemd.time(7)), for example V(*-*-* 02:30).
      - If empty, there is no timer, and an existing one is removed.
    type: str
    default: ""
  dir:
    description: See O(flotilla.swarm.swarm_backup#module:dir).
    type: path
    default: /var/backups/flotilla.swarm
  recipients:
    description: See O(flotilla.swarm.swarm_backup#module:recipients).
    type: list
    elements: str
    required: true
  keep_count:
    description: See O(flotilla.swarm.swarm_backup#module:keep_count).
    type: int
    default: 7
  keep_days:
    description: See O(flotilla.swarm.swarm_backup#module:keep_days).
    type: int
    default: 0
  accepted_risks:
    description: See O(flotilla.swarm.swarm_backup#module:accepted_risks).
    type: list
    elements: str
    choices: [quorum, other_containers, homeless_services, lack_of_room, local_data]
    default: []
  drain_timeout:
    description: See O(flotilla.swarm.swarm_backup#module:drain_timeout).
    type: int
    default: 300
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_backup
"""

EXAMPLES = r"""
- name: Make a backup every night
  flotilla.swarm.swarm_backup_timer:
    schedule: "*-*-* 02:30"
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
"""

RETURN = r"""
steps:
  description: What changes, in order.
  type: list
  elements: str
  returned: always
  sample: [write /etc/flotilla.swarm/backup.json, start flotilla-swarm-backup.timer]
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [write /etc/flotilla.swarm/backup.json]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(systemctl_failed), V(not_root) or V(os_error).
  type: dict
  returned: failure
  sample: {code: bad_option, details: {}}
"""

import base64
import sys
from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import bounded
from ..module_utils._host.service import apply, check_schedule, observe
from ..module_utils._host.units import diff_of
from ..module_utils._lifecycle.backup_plan import BACKUP_RISKS, check_form
from ..module_utils._lifecycle.backup_units import CONFIG, TIMER, wanted_files


def main() -> None:
    module = Module(
        argument_spec=dict(
            schedule=dict(type="str", default=""),
            dir=dict(type="path", default="/var/backups/flotilla.swarm"),
            recipients=dict(type="list", elements="str", required=True),
            keep_count=dict(type="int", default=7),
            keep_days=dict(type="int", default=0),
            accepted_risks=dict(
                type="list", elements="str", choices=list(BACKUP_RISKS), default=[]
            ),
            drain_timeout=dict(type="int", default=300),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        limits=dict(keep_count=1, drain_timeout=1, recipients=0),
        private=("_code",),
        supports_check_mode=True,
    )
    options = dict(module.params)
    schedule = options.pop("schedule")
    run = bounded(module.run_command, 60)
    result: dict[str, Any] = dict(changed=False, steps=[], applied=[], diff={})
    try:
        check_form(options)
        check_schedule(run, schedule, "backups", "swarm_backup_schedule")
        code = base64.b64decode(module.private["_code"] or "")
        wanted = wanted_files(code, options, schedule, sys.executable)
        plan = observe(run, wanted, TIMER)
        result.update(changed=plan.changes, steps=plan.steps, diff=diff_of(plan, wanted, CONFIG))
        if plan.changes and not module.check_mode:
            apply(run, plan, wanted, result["applied"])
    except SwarmError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
