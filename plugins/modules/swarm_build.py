#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_build
short_description: Build an image from source now
description:
  - Has the newest commit of a source built, tested and pushed now, also if it has been built before, or has failed.
  - Run it on all builders at the same time. One of them acts, and the others do nothing. The service of the builder does the work, so
    a killed run of Ansible does not stop it.
  - Prints the plan and the result.
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run builds the commit again.
options:
  source:
    description: The name of the source.
    type: str
    required: true
  among:
    description:
      - The names of the builders that answer to this run. The first of them in the order of the source acts.
      - If it is not set, all builders count.
    type: list
    elements: str
  wait_timeout:
    description: Seconds to wait for the end of the build. It goes on after that.
    type: int
    default: 7200
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_builder_timer
  - module: flotilla.swarm.swarm_builds_info
"""

EXAMPLES = r"""
- name: Build the shop
  flotilla.swarm.swarm_build:
    source: shop
    among: "{{ ansible_play_hosts }}"
"""

RETURN = r"""
acting:
  description: The builder that acts.
  type: str
  returned: always
  sample: builder-a
plan:
  description: What is built, as lines of text. It is empty on a builder that does not act.
  type: list
  elements: str
  returned: always
  sample: [PLAN  build shop on builder-a]
notes:
  description: What else is of interest, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
source:
  description: The name of the source.
  type: str
  returned: always
  sample: shop
state:
  description: The state of the source after the run, see M(flotilla.swarm.swarm_builds_info). It is empty in check mode.
  type: str
  returned: always
  sample: built
cause:
  description: Why it could not be built.
  type: str
  returned: always
  sample: ""
commit:
  description: The commit that is built.
  type: str
  returned: always
  sample: 2f1c0a9d1d4b6b0f6a3a4c2b5e8d7f9a0b1c2d3e
ref:
  description: The branch or the tag that it is of.
  type: str
  returned: always
  sample: refs/heads/main
subject:
  description: The first line of the message of the commit.
  type: str
  returned: always
  sample: Sell teapots
builder:
  description: The builder that has built it.
  type: str
  returned: always
  sample: builder-a
image:
  description: The image with its first tag.
  type: str
  returned: always
  sample: registry.example:5000/shop:2f1c0a9d1d4b
images:
  description: The image with each of its tags.
  type: list
  elements: str
  returned: always
  sample: ["registry.example:5000/shop:2f1c0a9d1d4b"]
digest:
  description: The digest of the image.
  type: str
  returned: always
  sample: sha256:0a2640b56af1a02304f3361a753c3ad14ec00353465dacf3a9c7983f659896ca
seconds:
  description: How long it took.
  type: float
  returned: always
  sample: 41.5
steps:
  description: The seconds of each step.
  type: dict
  returned: always
  sample: {fetch: 0.4, checkout: 0.2, build: 33.1, test: 2.0, push: 5.8}
log:
  description: The last lines of the log of a failed build.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(build_failed), V(not_found), V(no_branch), V(git_unreachable), V(no_git), V(not_installed), V(systemctl_failed),
      V(timeout), V(not_root), V(os_error) or V(bad_option).
  type: dict
  returned: failure
  sample: {code: build_failed, details: {source: shop, commit: 2f1c0a9d1d4b6b0f6a3a4c2b5e8d7f9a0b1c2d3e}}
"""

from ..module_utils._builder.request import Outcome, ask
from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError, failure_of
from ..module_utils._common.waiting import bounded


def main() -> None:
    module = Module(
        argument_spec=dict(
            source=dict(type="str", required=True),
            among=dict(type="list", elements="str"),
            wait_timeout=dict(type="int", default=7200),
        ),
        limits=dict(wait_timeout=1),
        supports_check_mode=True,
    )
    given = module.params
    outcome = Outcome()
    try:
        ask(
            given["source"],
            given["among"],
            module.check_mode,
            given["wait_timeout"],
            bounded(module.run_command, 60),
            outcome,
        )
    except (SwarmError, OSError) as error:
        failure = failure_of("build", error)
        module.fail_json(msg=failure.message, failure=failure.as_failure(), **vars(outcome))
    module.exit_json(**vars(outcome))


if __name__ == "__main__":
    main()
