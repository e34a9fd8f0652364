#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_pull
short_description: Pull images on a node before a rollout
description:
  - Pulls the images that the engine lacks, by their digest, so that all nodes get the same. Then it gives each its tag.
  - The login of a registry is part of the request to the engine, and in no file.
  - The playbook C(flotilla.swarm.pull_images) calls this module on the nodes that can run the images.
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
    description: The digests of the images, by their names. The digest can be empty if the name has one.
    type: dict
    required: true
  registries:
    description: Logins of registries, see O(flotilla.swarm.swarm_stack#module:registries).
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: The registry, as in front of the name of an image. For Docker Hub, V(https://index.docker.io/v1/).
        type: str
        required: true
      username:
        description: The name of the user.
        type: str
        required: true
      password:
        description: The password or a token.
        type: str
        required: true
  docker_host:
    description: The unix socket of the engine on the host.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_image_targets
"""

EXAMPLES = r"""
- name: Pull an image
  flotilla.swarm.swarm_pull:
    images:
      registry.example.com:5000/shop:2: sha256:5da03f46ccea4c534e2ad83673bca74a1003e85f79aa2b37df267690cdf1baed
"""

RETURN = r"""
missing:
  description: The images that the engine lacked.
  type: list
  elements: str
  returned: always
  sample: ["registry.example.com:5000/shop:2"]
present:
  description: The images that the engine had.
  type: list
  elements: str
  returned: always
  sample: []
pulled:
  description: The images that were pulled, also after a failure.
  type: list
  elements: str
  returned: always
  sample: ["registry.example.com:5000/shop:2"]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(pull_failed), or one of the engine.
  type: dict
  returned: failure
  sample: {code: pull_failed, details: {}}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._images.engine import ImageStore
from ..module_utils._images.pull import check_pinned, lacks, pinned, pull
from ..module_utils._stack.options import STACK_OPTIONS


def main() -> None:
    module = Module(
        argument_spec=dict(
            images=dict(type="dict", required=True),
            registries={**STACK_OPTIONS["registries"], "default": []},
            docker_host=docker_argument_spec()["docker_host"],
        ),
        supports_check_mode=True,
    )
    registries = module.take_out("registries")["registries"]
    result: dict[str, Any] = dict(changed=False, missing=[], present=[], pulled=[])
    try:
        given = {str(name): str(digest or "") for name, digest in module.params["images"].items()}
        images = [pinned(name, digest) for name, digest in given.items()]
        check_pinned(images)
        store = ImageStore(module.params["docker_host"])
        missing = [image for image in images if lacks(store, image)]
        result["missing"] = [image.name for image in missing]
        result["present"] = [image.name for image in images if image not in missing]
        result["changed"] = bool(missing)
        if missing and not module.check_mode:
            pull(store, missing, registries, result["pulled"])
    except SwarmError as error:
        result["changed"] = bool(result["pulled"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
