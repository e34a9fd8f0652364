#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_network_host
short_description: Observe the networks of a host, and set the MTU of its docker_gwbridge
description:
  - Returns what M(flotilla.swarm.swarm_network_plan) must know of a host. It works on a host without an engine.
  - With O(gwbridge_mtu), the module also sets the MTU of the network C(docker_gwbridge), by which the containers of a host reach what
    is outside of overlay networks. Each host has its own, and a swarm does not change it.
  - A network cannot be changed, so the module removes it and creates it again. It refuses that if a container uses it.
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
    support: full
  idempotent:
    support: full
options:
  gwbridge_mtu:
    description:
      - The MTU of C(docker_gwbridge) in bytes, from 576 to 65535. If not set, the module changes nothing.
      - If RV(restart) is true afterwards, restart the engine, for example with M(flotilla.swarm.docker_engine_restart).
    type: int
seealso:
  - module: flotilla.swarm.swarm_network_plan
"""

EXAMPLES = r"""
- name: Set the MTU of docker_gwbridge on a drained host
  flotilla.swarm.swarm_network_host:
    gwbridge_mtu: 1400
"""

RETURN = r"""
interfaces:
  description: The interfaces of the host, without those of the engine.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the interface.
      type: str
    mtu:
      description: Its MTU in bytes.
      type: int
    addresses:
      description: Its addresses.
      type: list
      elements: str
    default:
      description: Whether the default route leaves by it.
      type: bool
    driver:
      description: Its driver.
      type: str
    tx_checksum:
      description: Whether the card computes the checksums of outgoing packets.
      type: bool
  sample: [{name: eth0, mtu: 1500, addresses: [192.0.2.11], default: true, driver: vmxnet3, tx_checksum: true}]
gwbridge:
  description: The network C(docker_gwbridge) as it was before the call. V(null) if there is none.
  type: dict
  returned: always
  contains:
    mtu:
      description: Its MTU in bytes.
      type: int
    containers:
      description: How many containers use it.
      type: int
    ingress:
      description: Whether the ingress network uses it.
      type: bool
  sample: {mtu: 1500, containers: 2, ingress: true}
unplugged:
  description: Whether the ingress network of the host is not connected to C(docker_gwbridge), and the engine must restart for that.
  type: bool
  returned: always
  sample: false
networks:
  description: The overlay networks of the swarm. V(null) on a host that is not a manager.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The name of the network.
      type: str
    mtu:
      description: The size of a packet between the hosts that the network expects. The engine assumes 1500.
      type: int
    has_mtu:
      description: Whether the network itself says so.
      type: bool
    encrypted:
      description: Whether it is encrypted.
      type: bool
    ingress:
      description: Whether it is the ingress network.
      type: bool
    stack:
      description: The stack that it belongs to.
      type: str
    subnets:
      description: Its subnets.
      type: list
      elements: str
  sample: [{name: shop_default, mtu: 1500, has_mtu: false, encrypted: false, ingress: false, stack: shop, subnets: [10.0.1.0/24]}]
offload_service:
  description: The interface whose checksum offload a service of the role turns off when the host starts. V(null) if none does.
  type: str
  returned: always
ethtool:
  description: Whether the program ethtool is installed.
  type: bool
  returned: always
  sample: true
ingress_note:
  description: What an interrupted call of M(flotilla.swarm.swarm_ingress) has left. V(null) if there is nothing.
  type: str
  returned: always
restart:
  description: Whether the engine must restart, so that the ingress network of the host is connected to the new C(docker_gwbridge).
  type: bool
  returned: always
  sample: false
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(in_use), or one of the engine.
  type: dict
  returned: failure
  sample:
    code: in_use
    details: {}
"""

from typing import Any

from ..module_utils._api.client import EngineClient, client_for_reading
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._model.mtu import LARGEST_MTU, LEAST_MTU
from ..module_utils._network.host import change_gwbridge, observe_networks
from ..module_utils._network.plan import GWBRIDGE, gwbridge_differs


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(gwbridge_mtu=dict(type="int")),
        limits=dict(gwbridge_mtu=(LEAST_MTU, LARGEST_MTU)),
        supports_check_mode=True,
    )
    mtu = module.params["gwbridge_mtu"]
    result: dict[str, Any] = dict(
        changed=False,
        interfaces=[],
        gwbridge=None,
        unplugged=False,
        networks=None,
        ingress_note=None,
        offload_service=None,
        ethtool=False,
        restart=False,
    )
    try:
        try:
            result.update(observe_networks(client_for_reading(module.params)))
        except SwarmError as error:
            # A host that is to get an engine has none yet.
            if error.code != "engine_unreachable" or mtu is not None:
                raise
            result.update(observe_networks(None))
        if mtu is not None:
            result["restart"] = result["unplugged"]
        if mtu is not None and gwbridge_differs(result["gwbridge"], mtu):
            before = (result["gwbridge"] or {}).get("mtu")
            result.update(
                changed=True,
                restart=result["unplugged"] or bool((result["gwbridge"] or {}).get("ingress")),
                diff={
                    "before": {f"{GWBRIDGE}.mtu": before},
                    "after": {f"{GWBRIDGE}.mtu": mtu},
                },
            )
            if not module.check_mode:
                change_gwbridge(EngineClient(module.params), mtu)
    except SwarmError as error:
        module.fail_json(
            msg=error.message, failure=error.as_failure(), **{**result, "changed": False}
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
