#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_ship
short_description: Load images into the engine of a node without a registry
description:
  - Loads the images that the engine lacks. Layers that the engine has already are not sent again.
  - The layers come from the controller, with O(archive) or O(names), or from a host that serves them, with O(server). See
    M(flotilla.swarm.swarm_ship_server).
  - Every layer is checked against its hash. What an interrupted run has brought is used by the next one.
  - An engine with the image store of containerd gets complete images, because it cannot read an archive without all layers.
  - The playbook C(flotilla.swarm.ship_images) calls this module on all nodes that can run the images.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The result has what is missing.
  idempotent:
    support: full
options:
  images:
    description: The images, as M(flotilla.swarm.swarm_ship_source) returns them.
    type: list
    elements: dict
    required: true
  missing:
    description: The layers that the controller brings, as this module returns them in RV(layers) in check mode.
    type: dict
    default: {}
  archive:
    description: An archive on the controller, from which it brings O(missing).
    type: path
  names:
    description: The names of images of the engine of the controller, from which it brings O(missing).
    type: list
    elements: str
    default: []
  controller_host:
    description: The unix socket of the engine of the controller.
    type: str
    default: unix:///var/run/docker.sock
  server:
    description: The host that serves the layers.
    type: dict
    suboptions:
      address:
        description: Its address.
        type: str
        required: true
      port:
        description: Its port.
        type: int
        required: true
      fingerprint:
        description: The SHA-256 fingerprint of its certificate.
        type: str
        required: true
  token:
    description: The token for O(server).
    type: str
  keep:
    description: Keep the layers on the disk, to serve them to others.
    type: bool
    default: false
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_ship_source
  - module: flotilla.swarm.swarm_ship_server
"""

EXAMPLES = r"""
- name: Describe the image
  flotilla.swarm.swarm_ship_source:
    archive: shop.tar
  delegate_to: localhost
  run_once: true
  register: source

- name: Find the layers that each node lacks
  flotilla.swarm.swarm_ship:
    images: "{{ source.images }}"
  check_mode: true
  register: found

- name: Bring them from the controller
  flotilla.swarm.swarm_ship:
    images: "{{ source.images }}"
    missing: "{{ found.layers }}"
    archive: shop.tar
"""

RETURN = r"""
present:
  description: The images that the engine had.
  type: list
  elements: str
  returned: always
  sample: ["base:1"]
missing:
  description: The images that the engine lacked.
  type: list
  elements: str
  returned: always
  sample: ["shop:2"]
layers:
  description: The layers to bring, with their sizes.
  type: dict
  returned: always
  sample: {"sha256:8d3ac3489996423f53d6087c81180006263b79f206d3fdec9e66f0e27ceb8759": 30002688}
loaded:
  description: The images that were loaded.
  type: list
  elements: str
  returned: always
  sample: ["shop:2"]
bytes:
  description: The bytes of layers that have come to this host. In check mode, those that would come.
  type: int
  returned: always
  sample: 30002688
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(bad_archive), V(busy), V(no_space), V(fetch_failed), V(load_failed), V(os_error), V(not_root), or one
      of the engine.
  type: dict
  returned: failure
  sample: {code: fetch_failed, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._images.archive import parse_described
from ..module_utils._images.bring import Source, bring, observe
from ..module_utils._images.engine import ImageStore


def main() -> None:
    module = Module(
        argument_spec=dict(
            images=dict(type="list", elements="dict", required=True),
            missing=dict(type="dict", default={}),
            archive=dict(type="path"),
            names=dict(type="list", elements="str", default=[]),
            controller_host=dict(type="str", default="unix:///var/run/docker.sock"),
            server=dict(
                type="dict",
                options=dict(
                    address=dict(type="str", required=True),
                    port=dict(type="int", required=True),
                    fingerprint=dict(type="str", required=True),
                ),
            ),
            token=dict(type="str", no_log=True),
            keep=dict(type="bool", default=False),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        private=("_incoming",),
        limits=dict(port=(1, 65535)),
        required_together=[("server", "token")],
        supports_check_mode=True,
    )
    token = module.take_out("token")["token"]
    params = module.params
    done: dict[str, Any] = {"loaded": [], "bytes": 0}
    result: dict[str, Any] = dict(changed=False, present=[], missing=[], layers={})
    server = params["server"]
    try:
        images = [parse_described(each) for each in params["images"]]
        store = ImageStore(params["docker_host"])
        needs = observe(store, images)
        result.update(
            changed=bool(needs.images),
            present=list(needs.present),
            missing=[image.name for image in needs.images],
            layers=dict(needs.layers),
        )
        if module.check_mode:
            done["bytes"] = sum(needs.layers.values())
        elif needs.images or params["keep"]:
            source = Source(token=token, **server) if server else None
            incoming = module.private["_incoming"] or {}
            bring(store, images, incoming, source, params["keep"], done)
    except SwarmError as error:
        result["changed"] = bool(done["loaded"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result, **done)
    module.exit_json(**result, **done)


if __name__ == "__main__":
    main()
