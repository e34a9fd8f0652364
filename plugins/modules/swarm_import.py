#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_import
short_description: Give a swarm what an export has
description:
  - Creates the networks, configs, secrets and services of an export of M(flotilla.swarm.swarm_export), and sets settings, labels
    and availability of nodes. Any swarm can get an export, usually a new one.
  - Objects are known by name. References of services get the IDs of the swarm. Nodes are known by the names of their hosts in
    the inventory, also in constraints with C(node.id).
  - What exists and is equal needs nothing, so the next call finishes an interrupted one. If something exists and differs, the
    module names it, and changes nothing.
  - An export does not have the data of secrets. O(secrets) gives it. If the data of a secret that a service uses is missing, the
    module names all such secrets, and changes nothing.
  - The module does not change roles of nodes, and the node labels that come from the inventory. M(flotilla.swarm.swarm_nodes)
    does so.
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
  file:
    description: The path of the encrypted file of the export on the host.
    type: path
    required: true
  identity:
    description:
      - The identity of age that can read the file, for example the content of the file that C(age-keygen) has written.
      - The module gives it to age on the standard input. It is in no file and in no argument list.
      - The task requires pipelining. Without it, Ansible would write the identity into a file on the host.
    type: str
    required: true
  secrets:
    description:
      - "The data of secrets, by name. A value is a string, or a dictionary such as V({base64: aGVsbG8=})."
      - The data must be exact. A final newline counts.
      - Requires pipelining too.
    type: dict
    default: {}
  keep_settings:
    description: The settings of the swarm, by their names in M(flotilla.swarm.swarm_settings), that stay as they are.
    type: list
    elements: str
    default: []
  keep_availability:
    description: The hosts whose nodes keep their availability, by their names in the inventory.
    type: list
    elements: str
    default: []
  jobs:
    description:
      - What to do with jobs that do not exist. A job runs when it is created.
      - V(run) creates them. V(skip) leaves them out. If not set, the module refuses an export with such jobs.
    type: str
    choices: [run, skip]
  new_swarm:
    description:
      - Plan for a new swarm of these hosts, before it is made. The module does not ask an engine, and works only in check mode.
    type: list
    elements: str
author:
  - The Flotilla authors (@flotilla-swarm)
notes:
  - The module must run on a manager of a swarm that has a leader.
  - The package C(age) must be installed on that host.
  - The module does not wait until the tasks of services run. M(flotilla.swarm.swarm_health) can.
  - The engine does not tell logins of registries, so services have none afterwards. A deploy of the stack with
    C(with_registry_auth) sets it.
"""

EXAMPLES = r"""
- name: Give this swarm what the export has
  flotilla.swarm.swarm_import:
    file: /root/export-20261129T074500Z-m1.json.age
    identity: "{{ lookup('ansible.builtin.file', 'backup.identity') }}"
    secrets:
      shop_token: "{{ vault_shop_token }}"
  delegate_to: m1
  run_once: true
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  import of swarm w5n3ox, taken 2026-11-29 07:45 UTC, acting on m1
    - "  + network  shop_default  overlay"
    - "  + secret   shop_token    used by shop_web"
steps:
  description:
    - The plan as data, in order.
    - One entry for each object that is created or changed.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: V(create) or V(change).
      type: str
    kind:
      description: V(setting), V(node), V(network), V(secret), V(config) or V(service).
      type: str
    name:
      description: The name of the object.
      type: str
    what:
      description: What it will be, in short.
      type: str
  sample: [{action: create, kind: service, name: shop_web, what: "registry.example/web:1, 3 replicas"}]
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [network shop_default, secret shop_token]
notes:
  description: What the export has and the swarm does not get, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
missing_secrets:
  description: The secrets whose data is missing.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(no_age), V(age_failed), V(wrong_identity), V(bad_backup), V(bad_option), V(no_pipelining),
      V(out_of_sequence), V(no_sdk), V(not_manager), V(not_in_swarm), V(locked), V(no_quorum), or another one for an error of the
      engine.
  type: dict
  returned: failure
  sample: {code: refused, details: {missing_secrets: [shop_token]}}
"""

import platform
from typing import Any

from ..module_utils._api.client import EngineClient
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.export import list_swarm
from ..module_utils._lifecycle.import_plan import RUN, SKIP, Wishes, new_swarm, plan_import
from ..module_utils._lifecycle.importing import (
    carry_out,
    read_export,
    refuse,
    secret_data,
    title_of,
)


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            file=dict(type="path", required=True),
            identity=dict(type="str", required=True, no_log=True),
            secrets=dict(type="dict", default={}, no_log=True),
            keep_settings=dict(type="list", elements="str", default=[]),
            keep_availability=dict(type="list", elements="str", default=[]),
            jobs=dict(type="str", choices=[RUN, SKIP]),
            new_swarm=dict(type="list", elements="str"),
        ),
        supports_check_mode=True,
    )
    hidden = module.take_out("identity", "secrets")
    given = module.params
    result: dict[str, Any] = dict(
        changed=False, plan=[], steps=[], applied=[], notes=[], missing_secrets=[]
    )
    try:
        secrets = secret_data(hidden["secrets"])
        wishes = Wishes(
            {name: len(data) for name, data in secrets.items()},
            given["keep_settings"],
            given["keep_availability"],
            given["jobs"],
        )
        client = None
        if given["new_swarm"] is None:
            client = EngineClient(given)
            live = list_swarm(client)
        elif module.check_mode:
            live = new_swarm(given["new_swarm"])
        else:
            raise SwarmError(
                "bad_option",
                "Could not import the export: new_swarm is set, and this is no check mode. Remove new_swarm.",
            )
        export = read_export(given["file"], hidden["identity"])
        plan = plan_import(export, live, wishes)
        result.update(
            plan=plan.lines(title_of(export), platform.node()),
            steps=[step.as_dict() for step in plan.steps],
            notes=list(plan.notes),
            missing_secrets=list(plan.missing),
        )
        refuse(plan)
        result["changed"] = bool(plan.steps)
        if client is not None and not module.check_mode:
            carry_out(export, client, wishes, secrets, plan, result["applied"])
    except SwarmError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
