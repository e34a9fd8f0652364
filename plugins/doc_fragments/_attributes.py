# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The attributes of every module: check mode, diff mode, idempotency and the action group."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode. Returns what it would change, and changes nothing.
  diff_mode:
    description: In diff mode, returns what changed, or in check mode what would change.
  idempotent:
    description: A second run with the same input changes nothing.
"""

    ACTIONGROUP_SWARM = r"""
options: {}
attributes:
  action_group:
    description: Set defaults for this module with C(group/flotilla.swarm.swarm) in C(module_defaults).
    support: full
    membership:
      - flotilla.swarm.swarm
"""
