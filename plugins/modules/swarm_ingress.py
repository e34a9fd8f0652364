#!/usr/bin/python
# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_ingress
short_description: Change the ingress network of a swarm
description:
  - The ingress network carries the requests to published ports between the nodes. An engine cannot change a network, so the module
    removes the ingress network and creates it again.
  - The engine refuses to remove it while a service has a port in it. The module takes these ports away, waits until the tasks
    have left the network, recreates it, and gives the services back exactly what they had.
  - A service keeps running, and other services reach it. Its tasks are replaced twice, by its own update settings, and its restart
    count rises by two. Its published ports do not answer in between.
  - Run it on a manager.
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
  subnet:
    description: The IPv4 network of the ingress network, for example V(10.255.0.0/24). If not set, it stays as it is.
    type: str
  gateway:
    description: The gateway in O(subnet). If not set, the first address.
    type: str
  mtu:
    description:
      - The size of the largest packet between the hosts in bytes, from 576 to 65535. If not set, it stays as it is.
      - The engine subtracts what VXLAN and encryption add, 50 and 26 bytes.
    type: int
  encrypted:
    description: Whether the traffic of the ingress network between the hosts is encrypted. If not set, it stays as it is.
    type: bool
  interrupt:
    description:
      - Allow services to be without their published ports while the network is recreated.
      - Without it, the module refuses to recreate the network if a service has a port in it, and names the service.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for each part, such as the update of the services.
    type: int
    default: 300
notes:
  - While the network is recreated, the label C(flotilla.swarm.ingress) of the swarm and of the services keeps what was changed. So
    the next call finishes an interrupted one, whatever its options are.
  - A swarm whose ingress network somebody has removed gets one only if O(subnet), O(mtu) or O(encrypted) is set.
seealso:
  - module: flotilla.swarm.swarm_network_plan
"""

EXAMPLES = r"""
- name: Encrypt the requests to published ports between the hosts
  flotilla.swarm.swarm_ingress:
    encrypted: true
    interrupt: true
"""

RETURN = r"""
plan:
  description: The plan as lines of text.
  type: list
  elements: str
  returned: always
  sample:
    - PLAN  ingress, acting on m1
    - "  ~ pause     shop_web  8080->80/tcp   without its ports for about 40 s"
    - "  ~ recreate  ingress  mtu 1500 -> 1400"
    - "  ~ resume    shop_web  8080->80/tcp"
steps:
  description: The plan as data, in order.
  type: list
  elements: dict
  returned: always
  contains:
    action:
      description: What is done. One of V(pause), V(recreate), V(create) and V(resume).
      type: str
      sample: pause
    object:
      description: The name of the service or of the network.
      type: str
      sample: shop_web
    ports:
      description: The published ports of the service.
      type: str
      sample: 8080->80/tcp
    seconds:
      description: About how long the service is without its ports.
      type: int
      sample: 40
    changes:
      description: What changes of the network.
      type: list
      elements: str
      sample: [mtu 1500 -> 1400]
done:
  description: What was written, in order, also after a failure.
  type: list
  elements: str
  returned: always
  sample: [pause shop_web, remove the ingress network, create the ingress network, resume shop_web, write again shop_web]
notes:
  description: What is left to a person, as sentences, such as an engine that must be restarted.
  type: list
  elements: str
  returned: always
  sample: []
failure:
  description:
    - Why the module failed. C(code) never changes for the same cause, C(details) has the data.
    - The code is V(refused), V(timeout), V(rolled_back), V(not_converged), V(not_found), or one of the engine.
  type: dict
  returned: failure
  sample:
    code: refused
    details: {}
"""

import platform
from typing import Any

from ..module_utils._api.client import EngineClient
from ..module_utils._common.argspec import Module, docker_argument_spec
from ..module_utils._common.errors import SwarmError
from ..module_utils._model.mtu import LARGEST_MTU, LEAST_MTU
from ..module_utils._network.ingress import IngressRecreation, observe_ingress
from ..module_utils._network.ingress_plan import IngressWish, plan_ingress


def main() -> None:
    module = Module(
        argument_spec=docker_argument_spec(
            subnet=dict(type="str"),
            gateway=dict(type="str"),
            mtu=dict(type="int"),
            encrypted=dict(type="bool"),
            interrupt=dict(type="bool", default=False),
            wait_timeout=dict(type="int", default=300),
        ),
        limits=dict(mtu=(LEAST_MTU, LARGEST_MTU), wait_timeout=1),
        supports_check_mode=True,
    )
    given = module.params
    result: dict[str, Any] = dict(changed=False, plan=[], steps=[], done=[], notes=[], diff={})
    wish = IngressWish(
        given["subnet"] or None, given["gateway"] or None, given["mtu"], given["encrypted"]
    )
    try:
        client = EngineClient(given)
        plan = plan_ingress(observe_ingress(client), wish, given["interrupt"])
        result["plan"] = plan.lines(platform.node())
        if plan.refusals:
            raise SwarmError("refused", f"Nothing was changed: {'; '.join(plan.refusals)}.")
        if plan.changed:
            result.update(
                changed=True,
                steps=plan.steps(),
                diff={"prepared": "\n".join(result["plan"]) + "\n"},
            )
            if not module.check_mode:
                recreation = IngressRecreation(client, plan, result["done"], given["wait_timeout"])
                result["notes"] = recreation.notes
                recreation.run()
        for note in result["notes"]:
            module.warn(note)
    except SwarmError as error:
        result["changed"] = bool(result["done"])
        module.fail_json(msg=error.message, failure=error.as_failure(), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
