#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_gitops_timer
short_description: Install the service and the timer of GitOps on a manager
description:
  - Installs what GitOps needs on a manager, which are the code, its settings, its keys, a service of systemd and a timer. The timer starts
    the service, which looks at the repositories and at the swarm, and deploys what differs.
  - Set the same timer on all managers. The leader of the swarm acts, and the others do nothing. A lock in the swarm keeps two managers
    from acting together.
  - Without O(repositories), there is no timer, and an existing one is removed. The stacks stay.
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  repositories:
    description:
      - The repositories with applications, and what these can use. See C(swarm_gitops_repositories) of the role
        P(flotilla.swarm.swarm_gitops#role).
      - The keys and passwords of a repository are written to files that only root can read.
    type: list
    elements: dict
    default: []
  apps:
    description: What the inventory sets for single applications, by their names. See C(swarm_gitops_apps) of the role.
    type: dict
    default: {}
  windows:
    description: When applications can be deployed. See C(swarm_gitops_windows) of the role.
    type: list
    elements: dict
    default: []
  max_removals:
    description: How many applications that are no longer in git can be removed at once. More are refused.
    type: int
    default: 1
  interval:
    description: Seconds between the end of a look and the next one.
    type: int
    default: 30
  image_interval:
    description: Seconds between two questions to the registries about image updates.
    type: int
    default: 300
  vault_passwords:
    description: The passwords of files that are encrypted with Ansible Vault. Each is tried.
    type: list
    elements: str
    default: []
  age_key:
    description: An identity of age, for files that are encrypted with SOPS.
    type: str
    default: ""
  notify:
    description: Who gets notifications. See C(swarm_gitops_notify) of the role.
    type: dict
    default: {}
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_gitops
  - module: flotilla.swarm.swarm_gitops_info
"""

EXAMPLES = r"""
- name: Deploy what a repository says
  flotilla.swarm.swarm_gitops_timer:
    repositories:
      - name: shop
        url: ssh://git@git.example/shop/deploy.git
        deploy_key: "{{ vault_deploy_key }}"
        known_hosts: git.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGYHBkwTyO8vXo1yh0S9mMUKqBQzUzDgVTBnI3IXYvGA
"""

RETURN = r"""
steps:
  description: What changes, in order.
  type: list
  elements: str
  returned: always
  sample: [write /etc/flotilla.swarm/gitops.json, start flotilla-swarm-gitops.timer]
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [write /etc/flotilla.swarm/gitops.json]
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

from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import bounded
from ..module_utils._gitops.access import keys_present
from ..module_utils._gitops.settings import parse_settings
from ..module_utils._gitops.units import CONFIG, TIMER, settings_and_keys, wanted_files
from ..module_utils._host.service import apply, observe
from ..module_utils._host.units import diff_of

PRIVATE = ("repositories", "vault_passwords", "age_key", "notify")


def main() -> None:
    module = Module(
        argument_spec=dict(
            repositories=dict(type="list", elements="dict", default=[], no_log=True),
            apps=dict(type="dict", default={}),
            windows=dict(type="list", elements="dict", default=[]),
            max_removals=dict(type="int", default=1),
            interval=dict(type="int", default=30),
            image_interval=dict(type="int", default=300),
            vault_passwords=dict(type="list", elements="str", default=[], no_log=True),
            age_key=dict(type="str", default="", no_log=True),
            notify=dict(type="dict", default={}, no_log=True),
        ),
        limits=dict(interval=(1, 86400), image_interval=(10, 604800)),
        private=("_code",),
        supports_check_mode=True,
    )
    given = {**module.params, **module.take_out(*PRIVATE)}
    interval = given.pop("interval")
    run = bounded(module.run_command, 60)
    result: dict[str, Any] = dict(changed=False, steps=[], applied=[], diff={})
    try:
        parse_settings(given)
        settings, keys = settings_and_keys(given)
        code = base64.b64decode(module.private["_code"] or "")
        seconds = interval if settings["repositories"] else 0
        wanted = wanted_files(code, settings, keys, keys_present(), seconds, sys.executable)
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
