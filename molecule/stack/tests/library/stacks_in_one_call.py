# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many stacks in one call: what swarm_stack does with each, and the writes that its plan was made of."""

from __future__ import annotations

import base64
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import docker_argument_spec
from ansible_collections.flotilla.swarm.plugins.module_utils._capture import Run, Write
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._stack import Live
from ansible_collections.flotilla.swarm.plugins.module_utils._stack_deploy import Stack


class Recorded(Stack):
    """Keeps what the CLI would have written when the plan was made."""

    writes: list[dict[str, Any]]

    def cli(
        self, live: Live, forward: Callable[[Write], bool] | None, only: int | None = None
    ) -> Run:
        run = super().cli(live, forward, only)
        if forward is None and only is None:
            self.writes = [
                {"kind": w.kind, "action": w.action, "name": w.name, "spec": w.spec}
                for w in run.writes
            ]
        return run


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
    result: dict[str, Any] = dict(changed=False, applied=[], services=[])
    try:
        stack = Recorded(options, inputs, result)
        stack.run(check_mode)
        result["writes"] = stack.writes if options["state"] == "present" else []
    except SwarmError as error:
        result["error"] = error.message
    return name, result


def main() -> None:
    module = AnsibleModule(
        argument_spec=docker_argument_spec(
            stacks=dict(type="str", required=True),
        ),
        supports_check_mode=True,
    )
    # Packed, since an argument has a limit, and for Ansible the braces of Go's templates are its own.
    stacks = json.loads(zlib.decompress(base64.b64decode(module.params.pop("stacks"))))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda one: handle(module.params, module.check_mode, one), stacks))
    module.exit_json(stacks=dict(done), in_order=[result for _name, result in done])


if __name__ == "__main__":
    main()
