#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_gitops
short_description: Sync, roll back, suspend or resume an application that GitOps deploys
description:
  - Does for one application what an operator asks for. The timer, which M(flotilla.swarm.swarm_gitops_timer) installs, does the rest.
  - Run it on all managers. The leader of the swarm acts, and the others do nothing. It waits while the timer is at work.
  - An application that is not in git any more is removed by O(state=synced).
author:
  - The Flotilla authors (@flotilla-swarm)
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
  app:
    description: The name of the application.
    type: str
    required: true
  state:
    description:
      - V(synced) deploys the latest commit, also if sync is manual, if a deploy of it has failed, or if the swarm differs from git. It takes
        over a stack that was deployed in another way.
      - V(rolled_back) restores a revision of the stack, and suspends the application. Otherwise the next look would deploy the commit again.
      - V(suspended) leaves the application as it is, until it is resumed.
      - V(resumed) ends that.
    type: str
    choices: [synced, rolled_back, suspended, resumed]
    default: synced
  revision:
    description: The revision of O(state=rolled_back). If not set, the newest one that differs from what runs.
    type: int
  reason:
    description: Why the application is suspended. The statuses show it.
    type: str
    default: ""
  ignore_windows:
    description: Deploy also outside of the windows of the application.
    type: bool
    default: false
  accept_rewrite:
    description:
      - Accept that the history of the branch of the repository was rewritten. Without this, a commit whose history does not have the
        commit before is not used.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait while another run is at work on the leader.
    type: int
    default: 600
seealso:
  - module: flotilla.swarm.swarm_gitops_info
"""

EXAMPLES = r"""
- name: Deploy the latest commit of an application
  flotilla.swarm.swarm_gitops:
    app: shop

- name: Go back to a revision
  flotilla.swarm.swarm_gitops:
    app: shop
    state: rolled_back
    revision: 4

- name: Leave an application as it is
  flotilla.swarm.swarm_gitops:
    app: shop
    state: suspended
    reason: the database is moved
"""

RETURN = r"""
app:
  description: The name of the application.
  type: str
  returned: always
  sample: shop
acting:
  description: The leader of the swarm, which acts. Empty on the other managers.
  type: str
  returned: always
  sample: m1
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample: ["PLAN  stack shop, acting on m1", "  ~ service  shop_web  image  shop:1 -> shop:2"]
applied:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [state shop, "deploy shop: service shop_web", state shop]
status:
  description: The application afterwards, as in RV(flotilla.swarm.swarm_gitops_info#module:apps). In check mode, as it would be.
  type: dict
  returned: always
  sample: {name: shop, sync: Synced, health: Healthy}
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - V(unknown_app), no repository has the application. V(sync_refused), it is suspended, a window is closed, or its repository cannot be
      used. V(in_progress), another run is at work. V(forbidden), it uses what it may not. V(not_converged) and V(check_failed), the deploy
      has failed, and was rolled back if the application says so. V(not_installed), the role was not run on the leader. Other codes are
      those of M(flotilla.swarm.swarm_stack) and of the engine.
  type: dict
  returned: failure
  sample: {code: sync_refused, details: {}}
"""

from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._gitops.decide import RESUME, ROLLBACK, SUSPEND, SYNC, Request
from ..module_utils._gitops.request import Outcome, carry_out

KINDS = {"synced": SYNC, "rolled_back": ROLLBACK, "suspended": SUSPEND, "resumed": RESUME}


def main() -> None:
    module = Module(
        argument_spec=dict(
            app=dict(type="str", required=True),
            state=dict(type="str", choices=list(KINDS), default="synced"),
            revision=dict(type="int"),
            reason=dict(type="str", default=""),
            ignore_windows=dict(type="bool", default=False),
            accept_rewrite=dict(type="bool", default=False),
            wait_timeout=dict(type="int", default=600),
        ),
        limits=dict(revision=1),
        private=("_by",),
        supports_check_mode=True,
    )
    params = module.params
    request = Request(
        KINDS[params["state"]],
        by=str(module.private["_by"] or ""),
        why=params["reason"],
        revision=params["revision"] or 0,
        force=params["ignore_windows"],
    )
    outcome = Outcome(params["app"])
    try:
        carry_out(
            params["app"],
            request,
            params["accept_rewrite"],
            params["wait_timeout"],
            module.check_mode,
            outcome,
        )
    except (SwarmError, OSError) as caught:
        error = failure_of(f"work on application {params['app']}", caught)
        outcome.changed = bool(outcome.applied)
        module.fail_json(msg=error.message, failure=error.as_failure(), **outcome.as_result())
    module.exit_json(**outcome.as_result())


if __name__ == "__main__":
    main()
