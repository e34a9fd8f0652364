# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many stacks in one call: the result of swarm_stack for each, and the writes behind its plan."""

from __future__ import annotations

import base64
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.flotilla.swarm.plugins.module_utils._common.argspec import (
    docker_argument_spec,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._common.errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack.deploy import (
    Deployment,
    StackOutcome,
)


def handle(
    params: dict[str, Any], check_mode: bool, given: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    defaults: dict[str, Any] = dict(
        state="present",
        compose=None,
        keep_revisions=0,
        revision=None,
        on_failure="stop",
        resolve_image="changed",
        rotate=None,
        prune=False,
        replace_networks=False,
        with_registry_auth=False,
        wait=False,
        wait_timeout=120,
        settle=0,
        waves=False,
        depends_on=None,
        strict=False,
        ignored_keys=[],
        log_lines=0,
    )
    name = given.pop("name")
    options = {**defaults, **params, **given.pop("options", {}), "name": name}
    inputs = {"definition": None, "files": None, "environment": None, "registries": None, **given}
    outcome, trouble = StackOutcome(name), {}
    try:
        Deployment(options, inputs, outcome).run(check_mode)
    except SwarmError as error:
        trouble = {"error": error.message}
    writes = [
        {"kind": w.kind, "action": w.action, "name": w.name, "spec": w.spec}
        for w in outcome.plan.writes
    ]
    return name, {**outcome.as_result(bool(trouble)), "writes": writes, **trouble}


def main() -> None:
    module = AnsibleModule(
        argument_spec=docker_argument_spec(
            stacks=dict(type="str", required=True),
        ),
        supports_check_mode=True,
    )
    # Packed, because an argument has a size limit, and because Ansible would interpret the braces of Go templates.
    stacks = json.loads(zlib.decompress(base64.b64decode(module.params.pop("stacks"))))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda one: handle(module.params, module.check_mode, one), stacks))
    module.exit_json(stacks=dict(done), in_order=[result for _name, result in done])


if __name__ == "__main__":
    main()
