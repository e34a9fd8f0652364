#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_network_plan
short_description: Plan the MTU, the ingress network and the checksum offload of a swarm
description:
  - Plans what the networks that lie under all stacks must be, from what the hosts report, and prints the plan.
  - Runs on the controller and changes nothing. The role P(flotilla.swarm.swarm#role) carries out the plan.
author:
  - The Flotilla authors (@flotilla-swarm)
extends_documentation_fragment:
  - flotilla.swarm._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  observed:
    description: The results of M(flotilla.swarm.swarm_host_info) by host.
    type: dict
    required: true
  networks:
    description: The results of M(flotilla.swarm.swarm_network_host) by host.
    type: dict
    required: true
  addresses:
    description: The address or interface of the data path by host, if the inventory has one.
    type: dict
    default: {}
  mtu:
    description:
      - The largest packet between the hosts in bytes, or V(auto) for the smallest MTU of the interfaces of the data path.
      - If empty, no MTU is planned.
    type: str
    default: ""
  ingress:
    description: What the ingress network must be. What is not set stays as it is.
    type: dict
    default: {}
    suboptions:
      subnet:
        description: Its IPv4 network.
        type: str
      gateway:
        description: Its gateway.
        type: str
      mtu:
        description: Its MTU, if it differs from O(mtu).
        type: int
      encrypted:
        description: Whether it is encrypted.
        type: bool
  fix_offload:
    description: Whether to plan that network cards compute no checksums, if their driver is one of O(offload_drivers).
    type: bool
    default: false
  offload_drivers:
    description: Drivers of network cards that are known to compute wrong checksums of VXLAN packets.
    type: list
    elements: str
    default: [vmxnet3]
  missing:
    description: The names of other hosts of the swarm, which were not asked.
    type: list
    elements: str
    default: []
  joining:
    description: Plan only what must be there before hosts join.
    type: bool
    default: false
seealso:
  - module: flotilla.swarm.swarm_network_host
  - module: flotilla.swarm.swarm_ingress
"""

EXAMPLES = r"""
- name: Plan the networks of the hosts
  flotilla.swarm.swarm_network_plan:
    observed: "{{ hosts_seen }}"
    networks: "{{ networks_seen }}"
    mtu: auto
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  networks of the hosts, up to 1400 bytes a packet between the hosts
    - "  ~ gwbridge  w1  mtu 1500 -> 1400"
    - "  = 3 hosts as they should be"
mtu:
  description: The largest packet between the hosts in bytes. V(null) if it is not managed, or not known in this run.
  type: int
  returned: always
  sample: 1400
gwbridge:
  description: The MTU of docker_gwbridge, for each host on which it changes.
  type: dict
  returned: always
  sample: {w1: 1400}
offload:
  description: The interface whose checksum offload must be off, by host.
  type: dict
  returned: always
  sample: {w1: eth0}
ingress:
  description: The options of M(flotilla.swarm.swarm_ingress). V(null) if the ingress network is as it should be.
  type: dict
  returned: always
  sample: {subnet: null, gateway: null, mtu: 1400, encrypted: null}
notes:
  description: What cannot be changed now, and what to do, as sentences.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description: Why the module failed. C(code) never changes for the same cause, C(details) has the data.
  type: dict
  returned: failure
  sample:
    code: refused
    details: {}
"""
