#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_ship_source
short_description: Describe images that are to be shipped to nodes
description:
  - Reads images of the engine of this host, or of an archive, and returns what M(flotilla.swarm.swarm_ship) needs to know of them.
  - The playbook C(flotilla.swarm.ship_images) calls it on the controller or on a build host.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
    details: It reads as in a real run and changes nothing.
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  images:
    description: The names of the images. With O(archive), it selects among its images. If empty, all images of the archive.
    type: list
    elements: str
    default: []
  archive:
    description: An archive of C(docker save), which can be compressed with gzip.
    type: path
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Describe an image of the controller
  flotilla.swarm.swarm_ship_source:
    images: ["shop:2"]
  delegate_to: localhost
"""

RETURN = r"""
images:
  description: The images with their layers.
  type: list
  elements: dict
  returned: always
  contains:
    id:
      description: The ID of the image.
      type: str
    name:
      description: Its first name.
      type: str
    names:
      description: Its names.
      type: list
      elements: str
    os:
      description: Its operating system.
      type: str
    architecture:
      description: Its architecture.
      type: str
    size:
      description: The bytes of its layers.
      type: int
    config:
      description: Its configuration in Base64.
      type: str
    layers:
      description: Its layers, each with C(diff_id) and C(size).
      type: list
      elements: dict
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(not_found), V(bad_archive), V(os_error), V(not_root), or one of the engine.
  type: dict
  returned: failure
  sample: {code: not_found, details: {}}
"""

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._images.source import describe


def main() -> None:
    module = Module(
        argument_spec=dict(
            images=dict(type="list", elements="str", default=[]),
            archive=dict(type="path"),
            docker_host=docker_argument_spec()["docker_host"],
        ),
        supports_check_mode=True,
    )
    params = module.params
    try:
        images = describe(params["images"], params["archive"] or "", params["docker_host"])
    except (SwarmError, OSError) as error:
        failure = failure_of("read the images", error)
        module.fail_json(
            msg=failure.message, failure=failure.as_failure(), changed=False, images=[]
        )
    module.exit_json(changed=False, images=[image.as_dict() for image in images])


if __name__ == "__main__":
    main()
