#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_builds_info
short_description: Read the states of builds on a builder
description:
  - Returns the state of each source on this builder, as its last run has left it. Asks neither git nor the registry.
  - M(flotilla.swarm.swarm_builds_report) makes one table of the results of all builders.
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
author:
  - The Flotilla authors (@flotilla-swarm)
seealso:
  - module: flotilla.swarm.swarm_builds_report
  - module: flotilla.swarm.swarm_build
"""

EXAMPLES = r"""
- name: Read the states of builds
  flotilla.swarm.swarm_builds_info:
  register: builds
"""

RETURN = r"""
builder:
  description: The name of this builder.
  type: str
  returned: always
  sample: builder-a
looked_at:
  description: When this builder last looked for commits, in seconds since 1970. It is V(0) if it has not since the host was started.
  type: float
  returned: always
  sample: 1796000000.0
sources:
  description: The sources, in their order.
  type: list
  elements: dict
  returned: always
  contains:
    source:
      description: The name of the source.
      type: str
    reporter:
      description: The builder whose view this is.
      type: str
    repository:
      description: The name of the repository.
      type: str
    ref:
      description: The branch, or the pattern of tags.
      type: str
    rank:
      description: The place of this builder in the order of builders for the source. The first one has V(0).
      type: int
    state:
      description:
        - The state is V(built), V(failed), V(unchanged) (no path that matters has changed), V(waiting), V(building), V(error) (this
          builder cannot look or build now, and tries again) or V(invalid) (the source has a wrong value).
      type: str
    cause:
      description: Why, for V(failed), V(waiting), V(error) and V(invalid).
      type: str
    since:
      description: Since when, in seconds since 1970.
      type: float
    seen_at:
      description: When the newest commit was first seen, in seconds since 1970.
      type: float
    commit:
      description: The newest commit.
      type: str
    built_commit:
      description: The commit of the latest build that has ended.
      type: str
    image:
      description: The image of the latest build that has ended, with its first tag.
      type: str
    images:
      description: This image with each of its tags.
      type: list
      elements: str
    digest:
      description: Its digest.
      type: str
    builder:
      description: The builder that has built it, or the reporter while there is no end.
      type: str
    at:
      description: When that build has ended, in seconds since 1970.
      type: float
    seconds:
      description: How long it took.
      type: float
    steps:
      description: The seconds of each step of it.
      type: dict
    subject:
      description: The first line of the message of its commit.
      type: str
    author:
      description: The author of its commit.
      type: str
    log:
      description: The path of its log on this host.
      type: str
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(not_installed) or V(bad_option).
  type: dict
  returned: failure
  sample: {code: not_installed, details: {}}
"""

from typing import Any

from ..module_utils._builder.request import states
from ..module_utils._common.argspec import Module
from ..module_utils._common.errors import SwarmError


def main() -> None:
    module = Module(argument_spec={}, supports_check_mode=True)
    result: dict[str, Any] = dict(changed=False, builder="", looked_at=0.0, sources=[])
    try:
        result.update(states())
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
