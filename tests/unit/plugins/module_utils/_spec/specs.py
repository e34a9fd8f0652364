# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service as the CLI sends it, and as the engine gives it back: for the tests of specs and of stacks."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.flotilla.swarm.plugins.module_utils._model.labels import STACK_LABEL

NETWORKS = {"id-of-default": "s_default", "id-of-front": "s_front"}


def sent(**container: Any) -> dict[str, Any]:
    """A service as the CLI sends it."""
    return {
        "Name": "s_web",
        "Labels": {STACK_LABEL: "s", "com.docker.stack.image": "web:1"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "web:1",
                "Privileges": {"SELinuxContext": None},
                **container,
            },
            "Resources": {},
            "Placement": {},
            "Networks": [{"Target": "s_default", "Aliases": ["web"]}],
            "ForceUpdate": 0,
        },
        "Mode": {"Replicated": {}},
        "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]},
    }


def stored(spec: dict[str, Any]) -> dict[str, Any]:
    """What an engine (20.10 and 26.1 alike) gives back of it: defaults filled in, IDs for names."""
    spec = copy.deepcopy(spec)
    template = spec["TaskTemplate"]
    template["Runtime"] = "container"
    template["ContainerSpec"]["Isolation"] = "default"
    ids = {name: key for key, name in NETWORKS.items()}
    for network in template.get("Networks") or []:
        network["Target"] = ids[network["Target"]]
    for mount in template["ContainerSpec"].get("Mounts") or []:
        if mount.get("BindOptions"):
            mount["BindOptions"].setdefault("Propagation", "rprivate")
    endpoint = spec.setdefault("EndpointSpec", {})
    endpoint.setdefault("Mode", "vip")
    for port in endpoint.get("Ports") or []:
        port.setdefault("Protocol", "tcp")
        port.setdefault("PublishMode", "ingress")
    if "Replicated" in spec["Mode"]:
        spec["Mode"]["Replicated"].setdefault("Replicas", 1)
    for key in ("UpdateConfig", "RollbackConfig"):
        if key in spec:
            spec[key]["FailureAction"] = spec[key].get("FailureAction") or "pause"
            spec[key]["Order"] = spec[key].get("Order") or "stop-first"
    return spec
