# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What the modules share that change services step by step."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  pause:
    description: Seconds to wait between two steps, after the services of a step have converged.
    type: int
    default: 0
  wait_timeout:
    description: Seconds that the services of one step have to converge.
    type: int
    default: 300
  settle:
    description:
      - Seconds that a new task must run before it counts. A container that crashes at once also runs for a moment.
    type: int
    default: 5
notes:
  - The module must run on a manager of the swarm.
  - The controller shows the progress while the module runs.
"""
