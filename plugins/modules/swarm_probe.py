#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_probe
short_description: Probe the network between all nodes
description:
  - Tries what a swarm needs between each pair of nodes. Between the hosts, these are its ports and ESP. In overlay networks, these are the
    addresses of tasks, their names, virtual IPs, the size of packets, round trips and loss. A published port is asked on every node.
  - For this, it runs a small service on all nodes in the network of the hosts, and one in each overlay network. All nodes work at once, so
    the time does not grow with the number of nodes. A sound network takes about as long as the services need to start and to end.
  - Each fault becomes one finding with one cause and with what to do about it. See C(docs/probe.md) for the list.
  - Everything that it creates has a name that begins with C(flotilla-probe), and is removed at the end. The next run removes what is left
    of a run that was killed. A second run at the same time is refused.
  - The playbook C(flotilla.swarm.probe_network) calls this module on one manager, and M(flotilla.swarm.swarm_probe_node) on all nodes.
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._docker
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: The result has everything.
  idempotent:
    support: full
options:
  state:
    description:
      - V(probed) probes the network, and removes everything.
      - V(locked) only begins a run, so that no other one can. Prepare the nodes after it, and call the module again with the same O(run).
      - V(started) leaves everything in place after the probe, so that M(flotilla.swarm.swarm_probe_node) can read the entries of the
        nodes. RV(collected) has what the probers have found.
      - V(absent) removes everything, and with O(collected) also returns the findings.
    type: str
    choices: [probed, locked, started, absent]
    default: probed
  nodes:
    description:
      - What M(flotilla.swarm.swarm_probe_node) has returned on each node.
      - Only nodes in this list run a prober. The others are in RV(not_probed).
    type: list
    elements: dict
    default: []
  overlays:
    description: The temporary overlay networks. C(plain) is not encrypted.
    type: list
    elements: str
    choices: [plain, encrypted]
    default: [plain, encrypted]
  networks:
    description:
      - Existing overlay networks to probe, by their names. Only the probers join them, for the time of the probe.
      - On all nodes that are in one of them, the entries for all of its tasks are compared with where the tasks are.
    type: list
    elements: str
    default: []
  mesh:
    description: Whether to try virtual IPs and a published port. These need IPVS in the kernels.
    type: bool
    default: true
  port:
    description: The port to publish. With V(0), the swarm chooses a free one.
    type: int
    default: 0
  window:
    description: The seconds that probers try to reach the others after all of them have started.
    type: int
    default: 20
  limit:
    description: The longest time of the probe in seconds.
    type: int
    default: 600
  keep_lock:
    description: With O(state=absent), the run does not end, and no other one can begin, until it is called again without this.
    type: bool
    default: false
  run:
    description:
      - The ID of the run, up to 8 letters and digits. With the same one, O(state=absent) removes what a killed O(state=started) has left.
      - If empty, a random one.
    type: str
    default: ""
  collected:
    description: What the module has returned in RV(collected) with O(state=started).
    type: str
    default: ""
seealso:
  - module: flotilla.swarm.swarm_probe_node
  - module: flotilla.swarm.swarm_health
"""

EXAMPLES = r"""
- name: Prepare every node
  flotilla.swarm.swarm_probe_node:
  register: prepared

- name: Probe the network
  flotilla.swarm.swarm_probe:
    nodes: "{{ ansible_play_hosts | map('extract', hostvars, 'prepared') }}"
  run_once: true
  delegate_to: m1
  register: probe

- name: Fail if something is wrong
  ansible.builtin.assert:
    that: not probe.findings
  run_once: true
"""

RETURN = r"""
plan:
  description: What it creates, as lines of text.
  type: list
  elements: str
  returned: always
  sample: ["PLAN  probe 3 nodes, acting on m1", "  + create   network flotilla-probe-plain"]
matrix:
  description: What works between which nodes, and the findings, as lines of text.
  type: list
  elements: str
  returned: always
findings:
  description: What is wrong, one entry for each fault.
  type: list
  elements: dict
  returned: always
  contains:
    cause:
      description: >-
        V(unreachable), V(one_way), V(blocked_port), V(esp_dropped), V(kernel_without), V(checksum_offload), V(mtu), V(stale_entry),
        V(dns_no_answer), V(dns_stale), V(nxdomain), V(mixed_versions), V(overlapping_subnets), V(loss), V(mesh), V(vip) or
        V(unexplained).
      type: str
    nodes:
      description: The names of the nodes that the fault has in common.
      type: list
      elements: str
    direction:
      description: The direction in words. Empty where there is none.
      type: str
    network:
      description: The name of the overlay network. Empty for a fault between hosts.
      type: str
    what:
      description: What is wrong.
      type: str
    advice:
      description: What to do.
      type: str
    data:
      description: The data of the finding, such as C(pairs), C(port) or C(mtu).
      type: dict
  sample:
    - cause: blocked_port
      nodes: [m3]
      direction: to m3 from all others
      network: ""
      what: 4789/udp does not pass to m3 from all others
      advice: open 4789/udp in this direction, in the firewalls of the hosts and in those between them
      data: {port: 4789/udp, pairs: [[m1, m3], [m2, m3]]}
pairs:
  description:
    - What was measured, by pair of nodes, with C(from), C(to), C(ports) and C(networks).
    - Of more than 2,500 pairs, those between which something does not work.
  type: list
  elements: dict
  returned: always
probed:
  description: The names of the nodes that were probed.
  type: list
  elements: str
  returned: always
  sample: [m1, m2, m3]
not_probed:
  description: Why nodes had no prober or did not report, by their names.
  type: dict
  returned: always
  sample: {w2: "its availability is drain, so no task of a global service runs there"}
networks:
  description: The IDs of the networks that were probed, by their names.
  type: dict
  returned: always
  sample: {flotilla-probe-plain: p9b6gi0y2n7m}
collected:
  description: What the probers have found, for O(collected). Empty unless O(state=started).
  type: str
  returned: always
seconds:
  description: How long the probe took.
  type: float
  returned: always
  sample: 14.2
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(bad_option), V(busy), V(not_found), V(not_removed), or one of the engine.
  type: dict
  returned: failure
  sample: {code: busy, details: {}}
"""

from ..module_utils._api.client import EngineClient
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._probe.carry_out import carry_out
from ..module_utils._probe.report import empty_result


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            state=dict(
                type="str", choices=["probed", "locked", "started", "absent"], default="probed"
            ),
            nodes=dict(type="list", elements="dict", default=[]),
            overlays=dict(
                type="list",
                elements="str",
                choices=["plain", "encrypted"],
                default=["plain", "encrypted"],
            ),
            networks=dict(type="list", elements="str", default=[]),
            mesh=dict(type="bool", default=True),
            port=dict(type="int", default=0),
            window=dict(type="int", default=20),
            limit=dict(type="int", default=600),
            keep_lock=dict(type="bool", default=False),
            run=dict(type="str", default=""),
            collected=dict(type="str", default=""),
        ),
        limits=dict(port=(0, 65535), window=(5, 600), limit=(30, 3600)),
        supports_check_mode=True,
    )
    # It can be megabytes, which nobody wants to see among the arguments of the module.
    collected = module.params.pop("collected")
    result = empty_result()
    try:
        client = EngineClient(module.params)
        carry_out(client, module.params, collected, module.check_mode, result)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
