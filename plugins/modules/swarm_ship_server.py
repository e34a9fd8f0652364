#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_ship_server
short_description: Serve the layers of images to other nodes for a while
description:
  - Serves layers of images over TLS, with a certificate of its own for this run, and only to those who have O(token).
  - Systemd runs the service. It ends after O(longest), after two minutes without a request, or with O(state=absent), and its files
    are removed then, also if it is killed.
  - The playbook C(flotilla.swarm.ship_images) calls it on the node that the controller has brought the images to, or on a build host.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It leaves nothing behind.
  idempotent:
    support: partial
    details: With O(state=present), the module always starts a new service.
options:
  state:
    description:
      - V(present) starts the service.
      - V(absent) ends it and removes its files.
    type: str
    choices: [present, absent]
    default: present
  names:
    description: The images that have the layers.
    type: list
    elements: str
    default: []
  layers:
    description: The layers to serve, with their sizes.
    type: dict
    default: {}
  token:
    description: What the other nodes must know. Use a new random text for each run.
    type: str
  port:
    description: The port. The other nodes must reach it.
    type: int
    default: 5055
  longest:
    description: Seconds after which the service ends.
    type: int
    default: 3600
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_ship
"""

EXAMPLES = r"""
- name: Serve an image
  flotilla.swarm.swarm_ship_server:
    names: ["shop:2"]
    layers: "{{ found.layers }}"
    token: "{{ token }}"
  register: server

- name: End the service
  flotilla.swarm.swarm_ship_server:
    state: absent
"""

RETURN = r"""
port:
  description: The port of the service.
  type: int
  returned: always
  sample: 5055
fingerprint:
  description: The SHA-256 fingerprint of its certificate. Empty in check mode, and with O(state=absent).
  type: str
  returned: always
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(busy), V(no_space), V(serve_failed), V(openssl_failed), V(bad_archive), V(os_error), V(not_root), or
      one of the engine.
  type: dict
  returned: failure
  sample: {code: serve_failed, details: {}}
"""

import base64
import sys
from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._common.waiting import bounded
from ..module_utils._images.engine import ImageStore
from ..module_utils._images.serving import is_there, start, stop


def main() -> None:
    module = Module(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent"], default="present"),
            names=dict(type="list", elements="str", default=[]),
            layers=dict(type="dict", default={}),
            token=dict(type="str", no_log=True),
            port=dict(type="int", default=5055),
            longest=dict(type="int", default=3600),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        private=("_code",),
        limits=dict(port=(1, 65535), longest=60),
        required_if=[("state", "present", ("token",))],
        supports_check_mode=True,
    )
    token = module.take_out("token")["token"]
    params = module.params
    run = bounded(module.run_command, 120)
    result: dict[str, Any] = dict(changed=False, port=params["port"], fingerprint="")
    try:
        if params["state"] == "absent":
            result["changed"] = is_there(run)
            if result["changed"] and not module.check_mode:
                stop(run)
            module.exit_json(**result)
        store = ImageStore(params["docker_host"])
        store.check()
        if module.check_mode:
            result["changed"] = True
        else:
            served = start(
                run,
                store,
                base64.b64decode(module.private["_code"] or ""),
                sys.executable,
                params["names"],
                {str(key): int(value) for key, value in params["layers"].items()},
                token,
                params["port"],
                params["longest"],
            )
            result.update(changed=True, fingerprint=served.fingerprint)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
