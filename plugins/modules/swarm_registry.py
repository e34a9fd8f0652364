#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_registry
short_description: Set up an image registry as a service of a host
description:
  - Configures the program C(docker-registry) of Debian, with TLS, users, a garbage collection by a timer, and optionally a
    pull-through mirror. The role P(flotilla.swarm.registry#role) calls it, and installs the packages.
  - Without a certificate of your own, the host has a certificate authority. Its key stays on the host, and RV(ca) is its certificate.
    A timer renews the certificate of the registry every day that it is due. A run of this module renews the authority.
  - If packages are missing, the module only masks the service of Debian's package, which would start without TLS and without users,
    and returns the packages in RV(missing).
  - A changed user needs no restart. A run that changes nothing also asks the registry, and restarts it if it does not answer.
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
    description: The host name or IPv4 address of the registry in the names of images. All engines must reach the host by it.
    type: str
    required: true
  port:
    description: The port of the registry.
    type: int
    default: 5000
  users:
    description:
      - Who can log in. Each user can pull and push. Users that are not listed are removed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the user.
        type: str
        required: true
      password:
        description: The password, 72 bytes at most. The host keeps only a hash by bcrypt.
        type: str
        required: true
  login:
    description: The user whose login the engines get. If not set, it is the first one.
    type: str
  storage:
    description: The folder of the images on the host.
    type: path
    default: /var/lib/docker-registry
  certificate:
    description:
      - The certificate of the registry with its chain, in PEM, or the path of a file on the controller.
      - If not set, the host issues one with an authority of its own.
    type: str
  certificate_key:
    description: The key of O(certificate), in PEM, or the path of a file on the controller, which Ansible Vault can encrypt.
    type: str
  ca_certificate:
    description:
      - The certificate of the authority that engines must trust for O(certificate), in PEM, or the path of a file on the controller.
      - If not set, engines must know the authority already, as with a public one.
    type: str
  mirror_of:
    description:
      - The URL of a registry to mirror, for example V(https://registry-1.docker.io). If empty, there is no mirror.
      - It must be a registry that needs no login, or gives tokens, as Docker Hub does. C(docker-registry) cannot log in to one that
        asks for the password itself, such as another one of this role, and answers C(manifest unknown) then.
      - A mirror has no users. Engines cannot send a password to one. With O(mirror_username), everybody who reaches its port can pull
        what this user can.
    type: str
    default: ""
  mirror_port:
    description: The port of the mirror.
    type: int
    default: 5001
  mirror_storage:
    description: The folder of the mirror.
    type: path
    default: /var/lib/docker-registry-mirror
  mirror_username:
    description: The user for the mirrored registry.
    type: str
  mirror_password:
    description: The password for the mirrored registry.
    type: str
  gc_schedule:
    description:
      - When to collect garbage, as a calendar event of C(systemd.time(7)). If empty, there is no timer, and an existing one is removed.
      - The registry is read-only while it runs, and restarts before and after it.
    type: str
    default: "*-*-* 03:30"
  gc_untagged:
    description:
      - Also remove manifests that no tag refers to.
      - Swarm pins images by their digest. If a tag moves on, the services that run the old image need its manifest without the tag.
    type: bool
    default: false
  gc_timeout:
    description: Seconds that a garbage collection can take. After that, it is ended, and the next one continues.
    type: int
    default: 7200
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - ref: ansible_collections.flotilla.swarm.registry_role
    description: The role that installs the packages and calls this module.
"""

EXAMPLES = r"""
- name: Set up a registry
  flotilla.swarm.swarm_registry:
    name: registry.example.com
    users:
      - name: swarm
        password: "{{ vault_registry_password }}"
"""

RETURN = r"""
address:
  description: The registry as in the names of images.
  type: str
  returned: always
  sample: registry.example.com:5000
ca:
  description: The certificate of the authority that engines must trust. Empty in check mode if a run would make a new one.
  type: str
  returned: always
trust:
  description: The same by each address for which engines must trust it. Empty if engines know the authority already.
  type: dict
  returned: always
  sample: {"registry.example.com:5000": "-----BEGIN CERTIFICATE-----..."}
mirror:
  description: The URL of the mirror of Docker Hub for engines. Empty if there is none.
  type: str
  returned: always
  sample: https://registry.example.com:5001
missing:
  description: The packages that are missing.
  type: list
  elements: str
  returned: always
  sample: [docker-registry, apache2-utils]
steps:
  description: What changes, in order.
  type: list
  elements: str
  returned: always
  sample: ["set the password of user swarm"]
applied:
  description: What was done, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: ["set the password of user swarm"]
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(conflict), V(openssl_failed), V(htpasswd_failed), V(systemctl_failed), V(registry_failed),
      V(not_root) or V(os_error).
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
from ..module_utils._host.service import check_schedule
from ..module_utils._registry.plan import plan_registry
from ..module_utils._registry.settings import parse_wanted
from ..module_utils._registry.setup import RegistrySetup


def main() -> None:
    module = Module(
        argument_spec=dict(
            name=dict(type="str", required=True),
            port=dict(type="int", default=5000),
            users=dict(
                type="list",
                elements="dict",
                required=True,
                no_log=True,
                options=dict(
                    name=dict(type="str", required=True),
                    password=dict(type="str", required=True, no_log=True),
                ),
            ),
            login=dict(type="str"),
            storage=dict(type="path", default="/var/lib/docker-registry"),
            certificate=dict(type="str"),
            certificate_key=dict(type="str", no_log=True),
            ca_certificate=dict(type="str"),
            mirror_of=dict(type="str", default=""),
            mirror_port=dict(type="int", default=5001),
            mirror_storage=dict(type="path", default="/var/lib/docker-registry-mirror"),
            mirror_username=dict(type="str"),
            mirror_password=dict(type="str", no_log=True),
            gc_schedule=dict(type="str", default="*-*-* 03:30"),
            gc_untagged=dict(type="bool", default=False),
            gc_timeout=dict(type="int", default=7200),
        ),
        private=("_code",),
        supports_check_mode=True,
    )
    private = module.take_out("users", "certificate_key", "mirror_password")
    run = bounded(module.run_command, 120)
    result: dict[str, Any] = dict(
        changed=False,
        address="",
        ca="",
        trust={},
        mirror="",
        missing=[],
        steps=[],
        applied=[],
        diff={},
    )
    try:
        wanted = parse_wanted({**module.params, **private})
        result.update(address=wanted.address, mirror=wanted.engine_mirror)
        check_schedule(
            run,
            wanted.gc_schedule,
            "the garbage collection of the registry",
            "registry_gc_schedule",
        )
        code = base64.b64decode(module.private["_code"] or "")
        setup = RegistrySetup(run, wanted, code, sys.executable)
        plan = plan_registry(setup.observe(), wanted)
        result.update(changed=bool(plan.steps), steps=plan.steps, missing=list(plan.install))
        if plan.steps:
            result["diff"] = {"prepared": "\n".join([*plan.steps, ""])}
        if plan.steps and not module.check_mode:
            setup.apply(plan, result["applied"])
            if not plan.install:
                setup.verify()
        result["ca"] = "" if plan.new_ca and module.check_mode else setup.authority()
        result["trust"] = wanted.trust(result["ca"])
    except SwarmError as error:
        result["changed"] = bool(result["applied"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
