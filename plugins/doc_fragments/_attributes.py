# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What every module says of check mode, diff mode and its action group."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the status it would have, without changing anything.
  diff_mode:
    description: Returns what changed, or what would change in C(check_mode), when in diff mode.
  idempotent:
    description: A second run with the same input changes nothing.
"""

    ACTIONGROUP_SWARM = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/flotilla.swarm.swarm) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - flotilla.swarm.swarm
"""
