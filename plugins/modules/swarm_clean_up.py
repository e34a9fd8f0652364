#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_clean_up
short_description: Remove unused images, containers, build cache and volumes from a host of a swarm
description:
  - Removes what no container uses, no spec of the swarm refers to, and is older than O(older_than).
  - C(docker system prune) removes the image of the previous spec of a service, and a rollback then fails where the registry does
    not have it any more. This module keeps what O(references) lists.
  - Removes objects by their ID and without force. If the engine keeps one, because a container uses it meanwhile, the module
    returns it in RV(refused) and does not fail.
  - The playbook C(flotilla.swarm.clean_up) calls this module on all hosts.
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  kinds:
    description:
      - What to remove.
      - V(containers), containers that have stopped. A container of a task goes only if the swarm does not list the task any more.
      - V(images), images that no container uses.
      - V(build_cache), records of the build cache that are not in use.
      - V(volumes), volumes of the driver C(local) that no container mounts. Their data is lost.
    type: list
    elements: str
    choices: [containers, images, build_cache, volumes]
    default: [containers, images, build_cache]
  older_than:
    description:
      - Hours. What is younger stays.
      - The age of a container counts from its end, that of an image from the later of build and pull, that of the build cache from
        its last use, and that of a volume from the last change of its top folder.
      - The limit protects an image that was pulled for a deploy that has not begun yet.
    type: float
    default: 24.0
  references:
    description:
      - What the swarm refers to, from M(flotilla.swarm.swarm_references).
      - Required for all kinds except V(build_cache).
    type: dict
    suboptions:
      images:
        description: The images to keep, as specs name them.
        type: list
        elements: str
        required: true
      volumes:
        description: The volumes to keep, as specs name them.
        type: list
        elements: str
        required: true
      tasks:
        description: The IDs of the tasks of this node.
        type: list
        elements: str
        required: true
notes:
  - The module can run on any host with an engine. It does not need a manager.
"""

EXAMPLES = r"""
- name: List what the swarm refers to
  flotilla.swarm.swarm_references:
  register: references
  delegate_to: m1
  run_once: true

- name: Remove unused images
  flotilla.swarm.swarm_clean_up:
    kinds: [images]
    references:
      images: "{{ references.images }}"
      volumes: "{{ references.volumes }}"
      tasks: "{{ references.tasks[node_id] | default([]) }}"
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - "PLAN  clean-up of w1: 1 image, 1.98 MB"
    - "  - image               registry.example.com/shop:1  1.98 MB"
steps:
  description: The objects to remove, in order, with C(kind), C(id), C(name), C(names) and C(size) in bytes.
  type: list
  elements: dict
  returned: always
  sample: []
applied:
  description: The objects that were removed, in order, also after a failure.
  type: list
  elements: dict
  returned: always
  sample: []
refused:
  description: The objects that the engine has kept, with C(kind), C(name) and C(reason).
  type: list
  elements: dict
  returned: always
  sample: []
kept:
  description: The number of objects that stay, by kind and reason.
  type: dict
  returned: always
  sample: {images: {a spec refers to it: 4, used by a container: 2}}
not_selected:
  description: What is unused but not of O(kinds), with C(count) and C(bytes), by kind.
  type: dict
  returned: always
  sample: {volumes: {count: 3, bytes: 1200000}}
orphans:
  description: The names of running containers of tasks that the swarm does not know. The module does not stop them.
  type: list
  elements: str
  returned: always
  sample: []
free:
  description: The free bytes of the disk with the engine's data, C(before) and C(after).
  type: dict
  returned: always
  sample: {before: 75100000000, after: 75300000000}
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(no_references), V(bad_option), V(engine_unreachable), V(no_sdk), or another one for an error of the engine.
  type: dict
  returned: failure
  sample: {code: no_references, details: {}}
"""

import platform
import time
from typing import Any

from ..module_utils._api.client import EngineClient
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.clean_up import Refusal, clean_up, free_bytes, read_use
from ..module_utils._lifecycle.clean_up_plan import (
    BUILD_CACHE,
    KINDS,
    CleanUpStep,
    CleanUpWish,
    plan_clean_up,
)


def main() -> None:
    references = {
        name: dict(type="list", elements="str", required=True)
        for name in ("images", "volumes", "tasks")
    }
    module = Module(
        argument_spec=docker_argument_spec(
            kinds=dict(
                type="list",
                elements="str",
                choices=list(KINDS),
                default=["containers", "images", "build_cache"],
            ),
            older_than=dict(type="float", default=24.0),
            references=dict(type="dict", options=references),
        ),
        limits=dict(kinds=1),
        supports_check_mode=True,
    )
    given = module.params
    result: dict[str, Any] = dict(
        changed=False,
        plan=[],
        steps=[],
        applied=[],
        refused=[],
        kept={},
        not_selected={},
        orphans=[],
        free={"before": None, "after": None},
        diff={},
    )
    applied: list[CleanUpStep] = []
    refused: list[Refusal] = []
    root = ""
    try:
        wish = _wish(given)
        client = EngineClient(given)
        local = given["docker_host"].startswith("unix://")
        found, root = read_use(client, local)
        root = root if local else ""
        plan = plan_clean_up(found, wish, time.time())
        free = free_bytes(root)
        result.update(
            plan=plan.lines(platform.node()),
            steps=[step.as_dict() for step in plan.steps],
            kept={kind: dict(reasons) for kind, reasons in plan.kept.items()},
            not_selected=_known(plan.not_selected, given["references"] is not None),
            orphans=list(plan.orphans) if given["references"] is not None else [],
            free={"before": free, "after": free},
        )
        if plan.steps:
            result.update(changed=True, diff={"prepared": "\n".join(result["plan"]) + "\n"})
            if not module.check_mode:
                clean_up(client, plan, wish.older_than, applied, refused)
                _finish(result, applied, refused, root)
    except SwarmError as error:
        _finish(result, applied, refused, root)
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


def _wish(given: dict[str, Any]) -> CleanUpWish:
    references = given["references"]
    dependent = [kind for kind in given["kinds"] if kind != BUILD_CACHE]
    if references is None:
        if dependent:
            raise SwarmError(
                "no_references",
                f"Could not clean up {', '.join(dependent)}: without references, what a rollback needs is not known. Set"
                " references to the result of swarm_references, or set kinds to [build_cache].",
            )
        references = {"images": [], "volumes": [], "tasks": []}
    return CleanUpWish(
        tuple(given["kinds"]),
        given["older_than"] * 3600,
        tuple(references["images"]),
        tuple(references["volumes"]),
        tuple(references["tasks"]),
    )


def _known(not_selected: Any, with_references: bool) -> dict[str, Any]:
    """Without references, only the build cache is known to be unused."""
    return {
        kind: dict(entry)
        for kind, entry in not_selected.items()
        if with_references or kind == BUILD_CACHE
    }


def _finish(
    result: dict[str, Any], applied: list[CleanUpStep], refused: list[Refusal], root: str
) -> None:
    result.update(
        changed=bool(applied),
        applied=[step.as_dict() for step in applied],
        refused=[each.as_dict() for each in refused],
        free={**result["free"], "after": free_bytes(root) if root else None},
    )


if __name__ == "__main__":
    main()
