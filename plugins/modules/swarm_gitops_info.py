#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_gitops_info
short_description: Read the statuses of the applications that GitOps deploys
description:
  - Reads the statuses from the swarm, so any manager can answer, also if the git server does not. The health is that of the services now.
  - A repository or a folder that cannot be used is a row of its own. Its name has a C(/).
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  format:
    description: What to print on the controller. V(none) prints nothing.
    type: str
    choices: [table, json, none]
    default: none
seealso:
  - module: flotilla.swarm.swarm_gitops
"""

EXAMPLES = r"""
- name: Read the statuses of the applications
  flotilla.swarm.swarm_gitops_info:
    format: table
  register: gitops

- name: Fail unless all applications are well
  ansible.builtin.assert:
    that: gitops.well
"""

RETURN = r"""
apps:
  description: The applications, and the repositories and folders that cannot be used, in the order of their names.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the application, which is that of its stack.
      type: str
      sample: shop
    application:
      description: Whether this is an application, and not a repository or a folder that cannot be used.
      type: bool
      sample: true
    sync:
      description: V(Synced), V(OutOfSync), V(Unknown) or V(Suspended).
      type: str
      sample: Synced
    health:
      description: V(Healthy), V(Progressing), V(Degraded) or V(Missing). Null if this is no application.
      type: str
      sample: Healthy
    cause:
      description: Why the application has these statuses. Empty if nothing is wrong.
      type: str
      sample: ""
    since:
      description: Since when it has these statuses, in seconds since 1970.
      type: float
      sample: 1795967491.9
    repository:
      description: The name of its repository.
      type: str
      sample: deploy
    folder:
      description: Its folder in the repository.
      type: str
      sample: apps/shop
    commit:
      description: The commit that was deployed last.
      type: str
      sample: 1e92ce432eb19881d5966f48619a17badfbb176f
    message:
      description: The first line of the message of the commit.
      type: str
      sample: Shop 1.4
    author:
      description: The author of the commit.
      type: str
      sample: Ada
    deployed:
      description: When it was deployed, in seconds since 1970.
      type: float
      sample: 1795967491.9
    revision:
      description: The number of the revision of the stack.
      type: int
      sample: 4
    suspended:
      description: Who has suspended the application, when, and why. Null if nobody has.
      type: dict
      sample: {by: ada@control, at: 1795967491.9, why: maintenance}
    failed:
      description: The deploy that has failed, with its commit and cause. Null if the last one has succeeded.
      type: dict
      sample: {commit: 1e92ce432eb19881d5966f48619a17badfbb176f, cause: ..., attempts: 1}
    deploying:
      description: Whether a deploy is in progress.
      type: bool
      sample: false
table:
  description: The same as text.
  type: str
  returned: always
  sample: ""
well:
  description: Whether all applications are Healthy, and Synced or Suspended, and all repositories can be used.
  type: bool
  returned: always
  sample: true
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(not_manager), V(not_in_swarm), V(no_quorum), V(engine_unreachable), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: no_quorum, details: {}}
"""

import time
from typing import Any

from ..module_utils._api.client import client_for_reading
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._gitops.status import read_statuses
from ..module_utils._gitops.table import exit_code, render, rows


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            format=dict(type="str", choices=["table", "json", "none"], default="none")
        ),
        supports_check_mode=True,
    )
    result: dict[str, Any] = dict(changed=False, apps=[], table="", well=False)
    try:
        states = read_statuses(client_for_reading(module.params))
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    result.update(apps=rows(states), table=render(states, time.time()), well=not exit_code(states))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
