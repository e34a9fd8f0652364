#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_export
short_description: Export a swarm as an encrypted file
description:
  - Writes the settings, nodes, networks, configs, secrets and services of a swarm into one encrypted file. Revisions of stacks
    are configs, so they are part of it.
  - Secrets are exported by name, with the services that use them. The engine does not return their data.
  - Any new swarm can be given an export, see M(flotilla.swarm.swarm_import). It needs neither the old addresses nor the unlock
    key.
  - The program age encrypts the file. The module reads the file back with a key that exists for this call only, and writes the
    meta file last. A backup without its meta file is not complete.
  - The module reads the swarm until nothing has changed between two reads. What a drain or a rebalance in progress has put into
    specs for a while is left out.
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
    support: none
    details: Each call writes a new file.
options:
  path:
    description:
      - The directory for backups on the host. It gets a directory for each swarm, named by its ID.
      - It is created with mode V(0700) if it does not exist.
    type: path
    required: true
  recipients:
    description:
      - The recipients of age that can read the file, for example V(age1...). C(age-keygen) makes an identity and prints its
        recipient.
      - Keys of ssh of the types ed25519 and RSA are recipients too.
    type: list
    elements: str
    required: true
  host:
    description:
      - The name of the host in the inventory. It is part of the file name.
      - If not set, the hostname is used.
    type: str
author:
  - The Flotilla authors (@flotilla-swarm)
notes:
  - The module must run on a manager of a swarm that has a leader.
  - The package C(age) must be installed on that host.
"""

EXAMPLES = r"""
- name: Export the swarm
  flotilla.swarm.swarm_export:
    path: /var/backups/swarm
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    host: m1
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
    - PLAN  export of swarm w5n3ox, acting on m1
    - "  + 5 nodes     roles, labels and availability"
    - "  + 3 networks  settings and subnets"
steps:
  description:
    - The plan as data.
    - The number of objects by kind.
  type: dict
  returned: always
  sample: {nodes: 5, networks: 3, configs: 4, secrets: 2, services: 7}
file:
  description: The path of the encrypted file. Empty after a failure.
  type: str
  returned: always
  sample: /var/backups/swarm/w5n3oxy1wp4f9908xa9fd7kyr/export-20261129T074500Z-m1.json.age
meta_file:
  description: The path of the meta file. Empty after a failure.
  type: str
  returned: always
  sample: /var/backups/swarm/w5n3oxy1wp4f9908xa9fd7kyr/export-20261129T074500Z-m1.meta.json
meta:
  description: The content of the meta file. Empty in check mode and after a failure.
  type: dict
  returned: always
  sample: {kind: export, size: 21034, taken: 20261129T074500Z}
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(no_age), V(age_failed), V(bad_option), V(busy), V(out_of_sequence), V(not_manager), V(not_in_swarm),
      V(locked), V(no_quorum), V(not_root), V(os_error), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: no_age, details: {}}
"""

import os
import platform
from typing import Any

from ..module_utils._api.client import client_for_reading
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.export import (
    name_for,
    refuse_folder,
    refuse_recipients,
    take_export,
    write_export,
)
from ..module_utils._lifecycle.export_content import counts_of, export_lines


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            path=dict(type="path", required=True),
            recipients=dict(type="list", elements="str", required=True),
            host=dict(type="str"),
        ),
        limits=dict(recipients=0),
        supports_check_mode=True,
    )
    given = module.params
    host = given["host"] or platform.node()
    result: dict[str, Any] = dict(
        changed=False, plan=[], steps={}, file="", meta_file="", meta={}, diff={}
    )
    try:
        taken = take_export(client_for_reading(given))
        refuse_recipients(given["recipients"])
        refuse_folder(given["path"])
        name = name_for(host)
        place = os.path.join(given["path"], taken.content["cluster_id"])
        file, meta_file = (os.path.join(place, each) for each in (name.data, name.meta))
        result.update(
            plan=export_lines(taken.content, file, len(given["recipients"]), host),
            steps=counts_of(taken.content),
        )
        if not module.check_mode:
            written = write_export(taken, given["path"], given["recipients"], name)
            result.update(meta=written.meta)
        result.update(changed=True, file=file, meta_file=meta_file)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
