# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What may be asked of a verdict."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  accept:
    description: The verdicts with which the module succeeds.
    type: list
    elements: str
    choices: [healthy, degraded, unknown, failed]
    default: [healthy, degraded]
  thresholds:
    description: From where on something is V(degraded).
    type: dict
    suboptions:
      ca_days:
        description: Fewer days than these until the CA expires.
        type: int
        default: 30
      certificate_days:
        description:
          - Fewer days than these until this manager's certificate expires.
          - The engine renews it itself, so it counts only where four fifths of its time are over as well.
        type: int
        default: 7
      clock_skew:
        description: More seconds than these between a host's clock and most others'.
        type: float
        default: 5.0
      disk_free_percent:
        description: Less of the disk than this is free where an engine keeps its data.
        type: int
        default: 10
      network_percent:
        description: So much of a network's addresses are taken.
        type: int
        default: 80
      pending_seconds:
        description: A task has been waiting for a node for longer than this. One that the scheduler has refused counts at
          once.
        type: int
        default: 30
      restarts:
        description:
          - So many tasks of one replica have failed within O(thresholds.restart_window).
          - This is V(failed), and not only V(degraded), until the replica has run for three times as long as it did
            between its failures, and for 30 seconds.
          - The engine remembers five tasks of each replica, unless its task history says otherwise.
        type: int
        default: 3
      restart_window:
        description: Seconds.
        type: int
        default: 600
  observed:
    description:
      - What M(flotilla.swarm.swarm_host_info) returned on each host, by name. Clocks, disks and kernels of other hosts
        are known from there alone.
    type: dict
    default: {}
  unreachable:
    description: Hosts that the caller could not reach, to be named in the verdict.
    type: list
    elements: str
    default: []
"""
