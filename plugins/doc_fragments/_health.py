# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The options of a health verdict."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  accept:
    description: The verdicts that are accepted. With any other verdict, the module fails or reports it.
    type: list
    elements: str
    choices: [healthy, degraded, unknown, failed]
    default: [healthy, degraded]
  thresholds:
    description: The limits from which on a check is V(degraded).
    type: dict
    suboptions:
      ca_days:
        description: The CA expires in fewer days than this.
        type: int
        default: 30
      certificate_days:
        description:
          - The certificate of this manager expires in fewer days than this.
          - The engine renews the certificate by itself. The check therefore also requires that four fifths of its validity are over.
        type: int
        default: 7
      clock_skew:
        description: The clock of a host differs from most others by more seconds than this.
        type: float
        default: 5.0
      disk_free_percent:
        description: The disk with the engine's data has less free space than this, in percent.
        type: int
        default: 10
      network_percent:
        description: The used addresses of a network have reached this percentage.
        type: int
        default: 80
      pending_seconds:
        description: A task has waited for a node for more seconds than this. A task that the scheduler has rejected counts at once.
        type: int
        default: 30
      restarts:
        description:
          - The number of failed tasks of one replica within O(thresholds.restart_window).
          - The status is V(failed), not V(degraded), until the replica has run for 30 seconds, and for three times as long as
            between its failures.
          - The engine keeps five tasks of each replica, unless the setting C(task_history_retention_limit) of the swarm differs.
        type: int
        default: 3
      restart_window:
        description: The time in which failed tasks count, in seconds.
        type: int
        default: 600
  observed:
    description:
      - The result of M(flotilla.swarm.swarm_host_info) on each host, by the name of the host.
      - A manager knows the clocks, disks and kernels of other hosts only from here.
    type: dict
    default: {}
  unreachable:
    description: The hosts that did not answer. The verdict names them.
    type: list
    elements: str
    default: []
  page:
    description:
      - Write a page of the swarm on the controller, as one HTML file that loads nothing and needs no script.
      - The same as data and a summary in Markdown are written beside it, with the endings C(.json) and C(.md).
      - The page is made of the answers that the verdict is made of, and of the list of configs. It is also written in check mode, and
        does not count as a change.
    type: dict
    suboptions:
      path:
        description: The file on the controller. It ends with C(.html), and is replaced at once. No page is written if it is empty.
        type: str
        required: true
      history:
        description:
          - A file with one line for each page. The page shows the verdicts over time, and what has changed since the last one.
          - It is beside the page, with the ending C(.history.jsonl), unless given. There is no history if it is empty.
        type: str
      language:
        description: The language of the page, English or Korean.
        type: str
        choices: [en, ko]
        default: en
      plan:
        description: A result of M(flotilla.swarm.swarm_plan). The page shows it on its map.
        type: dict
        default: {}
"""
