#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_builds_report
short_description: Show the states of all builds as one table
description:
  - Makes one state of what each builder says about a source, and shows all sources as a table or as one line of JSON.
  - Fails if a source needs somebody, which is so if its state is V(failed), V(error) or V(invalid), or if no builder answers.
  - Runs on the controller and connects to no host.
author:
  - The Flotilla authors (@flotilla-swarm)
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
options:
  found:
    description: The result of M(flotilla.swarm.swarm_builds_info) on each builder, by the name of the host. It is empty for a host
      that did not answer.
    type: dict
    required: true
  format:
    description: What to print. V(json) is one line that begins with a brace.
    type: str
    choices: [table, json]
    default: table
seealso:
  - module: flotilla.swarm.swarm_builds_info
"""

EXAMPLES = r"""
- name: Show the states of all builds
  flotilla.swarm.swarm_builds_report:
    found: "{{ dict(ansible_play_hosts_all | zip(results)) }}"
  run_once: true
"""

RETURN = r"""
sources:
  description: The sources by name, with the keys of C(sources) of M(flotilla.swarm.swarm_builds_info).
  type: list
  elements: dict
  returned: always
  sample: [{source: shop, state: built, image: "registry.example:5000/shop:2f1c0a9d1d4b"}]
wrong:
  description: The names of the sources that need somebody.
  type: list
  elements: str
  returned: always
  sample: []
notes:
  description: The warnings, as sentences.
  type: list
  elements: str
  returned: always
  sample: ["builder-b does not answer: its builds are not known"]
lines:
  description: The table as lines of text.
  type: list
  elements: str
  returned: always
  sample: [SOURCE  STATE]
failure:
  description: Why the module failed. The code is V(build_failed), V(no_answer) or V(bad_option).
  type: dict
  returned: failure
  sample: {code: build_failed, details: {sources: [shop]}}
"""
