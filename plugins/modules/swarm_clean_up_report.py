#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_clean_up_report
short_description: Show the clean-up of all hosts as one table
description:
  - Shows what M(flotilla.swarm.swarm_clean_up) would remove from each host, or has removed, with sizes and their sum.
  - Names the hosts that are left alone, and the tasks and containers that may run unseen.
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
  observed:
    description: The result of M(flotilla.swarm.swarm_host_info) on each host, by the name of the host. It is empty for a host that
      did not answer.
    type: dict
    required: true
  found:
    description: The result of M(flotilla.swarm.swarm_clean_up) on each host, by the name of the host.
    type: dict
    default: {}
  references:
    description:
      - The result of M(flotilla.swarm.swarm_references). A host that is not one of its C(nodes) is left alone.
      - If it is empty, all hosts with an engine count.
    type: dict
    default: {}
  title:
    description: The title of the table.
    type: str
    default: clean-up
  done:
    description: Whether the results are those of the removal.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the plan
  flotilla.swarm.swarm_clean_up_report:
    observed: "{{ dict(ansible_play_hosts_all | zip(observed)) }}"
    found: "{{ dict(ansible_play_hosts_all | zip(found)) }}"
    references: "{{ references }}"
  run_once: true
"""

RETURN = r"""
plan:
  description: The table as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  clean-up
    - "  - w1  images  2  3.96 MB  registry.example.com/shop:1, registry.example.com/shop:2"
hosts:
  description: The hosts with something to remove. If O(done=true), those from which something was removed.
  type: list
  elements: str
  returned: always
  sample: [w1]
totals:
  description: The numbers and bytes of all hosts together, by kind, with C(count) and C(bytes).
  type: dict
  returned: always
  sample: {images: {count: 2, bytes: 3965102}}
notes:
  description: The warnings, as sentences.
  type: list
  elements: str
  returned: always
  sample: ["w2 does not answer: it is not cleaned up"]
failure:
  description: Why the module failed. The code is V(bad_option), for an option with a wrong value.
  type: dict
  returned: failure
  sample: {code: bad_option, details: {}}
"""
