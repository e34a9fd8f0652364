#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_builder_timer
short_description: Install the service and the timer of builds on a host
description:
  - Installs what a builder needs on a host, which are the code, its settings, its keys, a service of systemd and a timer. The timer
    starts the service, which looks for new commits, and builds, tests and pushes an image for each.
  - Set the same settings on all builders. They share only git and the registry. For each source, one of them is the first, and the
    others take over if it does not build.
  - Without O(repositories), there is no timer, and an existing one is removed. Images and records in the registry stay.
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
  name:
    description: The name of this builder. It is one of O(builders), and never another one's.
    type: str
    required: true
  builders:
    description: The names of all builders. Only their set matters, not their order.
    type: list
    elements: str
    required: true
  repositories:
    description:
      - The repositories of sources. Each is a dictionary with C(name), C(url) and what it needs of C(deploy_key), C(known_hosts),
        C(username), C(password) and C(ca).
      - The keys and passwords are written to files that only root can read. A source names the repository, so a list of sources from
        git cannot send a key to another server.
    type: list
    elements: dict
    default: []
  sources:
    description:
      - The sources to build. Each is a dictionary with C(name), C(repository), C(image), and what is not the default of C(branch),
        C(tag_pattern), C(paths), C(context), C(dockerfile), C(target), C(args), C(test), C(test_network), C(tags), C(platforms),
        C(timeout), C(memory_mb) and C(size_mb).
      - See the runbook of builds for what they mean.
    type: list
    elements: dict
    default: []
  sources_repository:
    description: The name of the repository that has a file with more sources. If empty, there is no such file.
    type: str
    default: ""
  sources_branch:
    description: The branch of O(sources_repository).
    type: str
    default: main
  sources_path:
    description: The file in O(sources_repository), a YAML file with the key C(sources).
    type: str
    default: sources.yml
  interval:
    description: Seconds between the end of a run and the next one. If V(0), there is no timer, and only playbooks build.
    type: int
    default: 60
  takeover:
    description: Seconds that a builder waits for the one before it, before it builds a commit itself.
    type: int
    default: 600
  keep_logs:
    description: How many logs of builds to keep on this host. Each has up to 1 MB.
    type: int
    default: 50
  notify:
    description: Who gets notifications of failed builds, see C(swarm_builder_notify) of the role.
    type: dict
    default: {}
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_build
  - module: flotilla.swarm.swarm_builds_info
"""

EXAMPLES = r"""
- name: Build what is pushed to main
  flotilla.swarm.swarm_builder_timer:
    name: "{{ inventory_hostname }}"
    builders: "{{ groups['swarm_builders'] }}"
    repositories:
      - name: shop
        url: ssh://git@git.example/shop.git
        deploy_key: "{{ vault_shop_deploy_key }}"
        known_hosts: "{{ git_known_hosts }}"
    sources:
      - name: shop
        repository: shop
        image: registry.example:5000/shop
        test: [/app/bin/test]
"""

RETURN = r"""
steps:
  description: What changes, in order.
  type: list
  elements: str
  returned: always
  sample: [write /etc/flotilla.swarm/builder.json, start flotilla-swarm-builder.timer]
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [write /etc/flotilla.swarm/builder.json]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(no_pipelining), V(systemctl_failed), V(not_root) or V(os_error).
  type: dict
  returned: failure
  sample: {code: bad_option, details: {}}
"""

import base64
import sys
from typing import Any

from ..module_utils._builder.settings import (
    CONFIG,
    TIMER,
    parse_settings,
    settings_and_keys,
    wanted_files,
)
from ..module_utils._builder.state import keys_present
from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import bounded
from ..module_utils._host.service import apply, observe
from ..module_utils._host.units import diff_of


def main() -> None:
    module = Module(
        argument_spec=dict(
            name=dict(type="str", required=True),
            builders=dict(type="list", elements="str", required=True),
            repositories=dict(type="list", elements="dict", default=[], no_log=True),
            sources=dict(type="list", elements="dict", default=[]),
            sources_repository=dict(type="str", default=""),
            sources_branch=dict(type="str", default="main"),
            sources_path=dict(type="str", default="sources.yml"),
            interval=dict(type="int", default=60),
            takeover=dict(type="int", default=600),
            keep_logs=dict(type="int", default=50),
            notify=dict(type="dict", default={}, no_log=True),
        ),
        limits=dict(interval=(0, 86400), takeover=(1, 86400), keep_logs=(1, 10000), builders=0),
        private=("_code",),
        supports_check_mode=True,
    )
    given = {**module.params, **module.take_out("repositories", "notify")}
    interval = given.pop("interval")
    run = bounded(module.run_command, 60)
    result: dict[str, Any] = dict(changed=False, steps=[], applied=[], diff={})
    try:
        settings, keys = settings_and_keys(given)
        parse_settings(settings)
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
