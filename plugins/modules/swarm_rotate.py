#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_rotate
short_description: Rotate the join tokens, the unlock key and the CA of a swarm
description:
  - Rotates what O(rotate) names, and puts it into the escrow, encrypted by age for O(recipients). No key or token is in the result,
    in a log, in an argument list, or in a file in clear.
  - The controller makes the key of a new CA. The key is in the escrow before the swarm gets it. Then the module waits until every
    node has a certificate of the new CA, and prints the progress. If the time ends first, the rotation goes on, and the next run
    waits for it.
  - The engine itself makes an unlock key and a join token. So the present unlock key is in the escrow before the rotation, and the
    new one right after it, in the same call. If the run is killed between the two, a manager that is not locked still shows the
    new key, and the next rotation puts it into the escrow before anything else.
  - Every call rotates again. It must run on a manager of the swarm.
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
    support: none
    details: A rotation makes something new each time. Where nothing is to be rotated, and where a rotation of the CA is in progress,
      the module changes nothing.
requirements:
  - the program C(age) on the manager, with O(recipients)
options:
  rotate:
    description:
      - What to rotate. The module keeps this order.
      - V(unlock-key), what unlocks the managers of a swarm with autolock. Without autolock there is nothing to rotate.
      - V(ca), the CA that signs the certificates of all nodes. It also gives new join tokens.
      - V(worker-token) and V(manager-token), what lets hosts join. The present tokens stop working.
    type: list
    elements: str
    choices: [unlock-key, ca, worker-token, manager-token]
    required: true
  recipients:
    description: The public keys of age, or of ssh, that can read the escrow.
    type: list
    elements: str
    default: []
  escrow_path:
    description: The folder of the escrow on the manager. Each swarm has a folder in it, with its ID as the name.
    type: path
    default: /var/lib/flotilla.swarm/escrow
  escrow_dir:
    description: A folder on the controller for a copy of the escrow. A relative path begins at the folder of the playbook.
    type: str
  without_escrow:
    description: Allow a new unlock key or CA that is kept nowhere but in the swarm. The engine then makes the CA itself.
    type: bool
    default: false
  accepted_risks:
    description:
      - The risks to accept. The module does not refuse an accepted risk, and warns about it.
      - V(down_nodes), a node is down. The rotation of the CA does not end until the node is back or removed.
      - V(unreachable_managers), a manager is not reachable. After a restart, the present unlock key unlocks it, and not the new one.
    type: list
    elements: str
    choices: [down_nodes, unreachable_managers]
    default: []
  wait_timeout:
    description: Seconds to wait until all nodes have a certificate of the new CA, and until all managers are reachable.
    type: int
    default: 300
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Rotate both join tokens
  flotilla.swarm.swarm_rotate:
    rotate: [worker-token, manager-token]
  delegate_to: m1
  run_once: true

- name: Rotate the unlock key and the CA
  flotilla.swarm.swarm_rotate:
    rotate: [unlock-key, ca]
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
    escrow_dir: escrow
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
    - PLAN  rotate, swarm 9rneu7, acting on m1
    - "  ~ unlock-key     new key for 3 managers; the present and the new key: escrowed for 1 recipient"
steps:
  description: The plan as data, in order.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description: One of the choices of O(rotate).
      type: str
    action:
      description: V(rotate), or V(wait) for a rotation of the CA that is in progress.
      type: str
    text:
      description: What it means.
      type: str
escrowed:
  description: The files of the escrow that this call has written, also after a failure.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description: One of the choices of O(rotate).
      type: str
    which:
      description: V(new), or V(old) for the unlock key from before the rotation.
      type: str
    path:
      description: The file on the manager.
      type: str
    copy:
      description: The file on the controller. V(null) without O(escrow_dir).
      type: str
  sample:
    - kind: ca
      which: new
      path: /var/lib/flotilla.swarm/escrow/9rneu7/ca-20261129T081500Z-m1-new.age
      copy: null
nodes:
  description: How many nodes there are, how many of them have a certificate of the present CA, and which do not.
  type: dict
  returned: always
  sample: {total: 5, done: 5, behind: []}
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(bad_option), V(no_pipelining), V(no_age), V(age_failed), V(os_error), V(not_root), V(timeout),
      V(host_unreachable), or another one for an error of the engine.
  type: dict
  returned: failure
  sample:
    code: refused
    details: {}
"""

from typing import Any

from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._lifecycle.rotate import Rotation, follows, progress_lines, progress_of
from ..module_utils._lifecycle.rotate_plan import CA, KINDS, ROTATE_RISKS, UNLOCK_KEY


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            rotate=dict(type="list", elements="str", choices=list(KINDS), required=True),
            recipients=dict(type="list", elements="str", default=[]),
            escrow_path=dict(type="path", default="/var/lib/flotilla.swarm/escrow"),
            escrow_dir=dict(type="str"),
            without_escrow=dict(type="bool", default=False),
            accepted_risks=dict(
                type="list", elements="str", choices=list(ROTATE_RISKS), default=[]
            ),
            wait_timeout=dict(type="int", default=300),
        ),
        limits=dict(rotate=1, wait_timeout=1),
        private=["_stage"],
        supports_check_mode=True,
    )
    stage = module.private["_stage"] or {"name": "plan"}
    result: dict[str, Any] = dict(changed=False, plan=[], steps=[], escrowed=[], nodes={}, diff={})
    rotation = None
    try:
        rotation = Rotation(module.params)
        result["_stage"] = run_stage(rotation, stage, module.params, result)
    except SwarmError as error:
        result["escrowed"] = rotation.escrowed if rotation else []
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


def run_stage(
    rotation: Rotation, stage: dict[str, Any], params: dict[str, Any], result: dict[str, Any]
) -> dict[str, Any]:
    """Fill the result of one stage. Returns what the action plugin alone reads."""
    name = stage["name"]
    if name == "plan":
        plan, acting, facts = rotation.plan()
        kinds = [step.kind for step in plan.steps if step.action == "rotate"]
        result.update(
            plan=plan.lines(acting),
            steps=[step.as_dict() for step in plan.steps],
            nodes=progress_of(facts),
        )
        if plan.refusals:
            raise SwarmError("refused", f"Nothing was rotated: {'; '.join(plan.refusals)}.")
        if kinds:
            result.update(changed=True, diff={"prepared": "\n".join(result["plan"]) + "\n"})
        return {
            "kinds": kinds,
            "waits": any(step.action == "wait" for step in plan.steps),
            "makes_ca": CA in kinds and bool(params["recipients"]),
            "acting": acting,
        }
    if name == "wait":
        facts = rotation.wait(float(stage["seconds"]))
        result["nodes"] = progress_of(facts)
        over = not facts.rotating and not result["nodes"]["behind"]
        return {
            "over": over,
            "progress": progress_lines(facts),
            "ours": follows(facts, stage["ca"]),
        }
    if name == "escrow":
        rotation.secure(stage["kinds"], stage["ca"], stage["acting"])
    else:
        kind = stage["kind"]
        rotation.rotate(kind, stage["ca"], stage["acting"])
        result["changed"] = True
        if kind == UNLOCK_KEY:
            rotation.settle(float(params["wait_timeout"]))
    result["escrowed"] = rotation.escrowed
    return {}


if __name__ == "__main__":
    main()
