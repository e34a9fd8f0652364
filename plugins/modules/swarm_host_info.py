#!/usr/bin/python

# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_host_info
short_description: Observe everything the roles need to know of one host, in one call
description:
  - Reads the state of the host, of its Docker engine and of its membership in a swarm.
  - Works on a host that has nothing yet, neither an engine nor the Docker SDK for Python. It reads files, and it asks
    the engine through its unix socket.
  - On a manager that sees a leader, the nodes and the settings of the swarm are returned too.
  - Where an engine is just leaving its swarm, that is waited for, for at most ten seconds.
  - A host that says nothing for O(observe_timeout) seconds, or whose engine does not, is treated like one that cannot be
    reached. Its engine hangs, or a disk does.
extends_documentation_fragment:
  - flotilla.swarm._attributes
  - flotilla.swarm._attributes.actiongroup_swarm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details: It changes nothing.
  idempotent:
    support: full
options:
  docker_host:
    description:
      - The unix socket on which the engine listens.
      - If not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  timeout:
    description:
      - Seconds to wait for one answer of an engine that is known to be alive.
      - An engine that has just lost the leader of its swarm takes up to 20 seconds to say so.
    type: int
    default: 30
  observe_timeout:
    description:
      - Seconds in which the host must have read its files, and in which its engine must have given a first answer.
      - An election or a leave that is under way is waited for all the same, as long as the engine answers.
    type: int
    default: 15
  join_tokens:
    description:
      - Return the tokens with which hosts join the swarm, in RV(join_tokens).
      - Use it only in a task with C(no_log=true). Whoever has a token can join the swarm.
    type: bool
    default: false
author:
  - The Flotilla authors (@flotilla-swarm)
"""

EXAMPLES = r"""
- name: Observe every host
  flotilla.swarm.swarm_host_info:
  register: host

- name: Say which hosts are managers
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }} is a manager of swarm {{ host.swarm.cluster_id }}"
  when: host.swarm.role == 'manager'
"""

RETURN = r"""
host:
  description: The host itself. See the keys of the sample; what cannot be read is V(null).
  type: dict
  returned: always
  sample:
    hostname: m1
    root: true
    os: {family: Debian, distribution: debian, release: "12", codename: bookworm, arch: x86_64}
    kernel: 6.1.0-13-amd64
    systemd: true
    cpus: 4
    memory_bytes: 8326934528
    routes: [192.0.2.0/24]
    listening: {tcp: [22], udp: []}
    engine_listening: {tcp: [], udp: []}
    kernel_listening: {tcp: [], udp: []}
    boot_id: 6a8e2f52-4419-4a2b-9b52-a1c0f3a4f7c7-2
    reboot_required: false
    reboot_note: null
engine:
  description: The Docker engine on the host.
  type: dict
  returned: always
  contains:
    installed:
      description: Whether there is a C(dockerd) on the host.
      type: bool
    running:
      description: Whether an engine answers.
      type: bool
    version:
      description: Its version; V(null) where none answers.
      type: str
    cli_version:
      description: The version of the C(docker) command; V(null) where there is none.
      type: str
    sdk_version:
      description: The version of the Docker SDK for Python of the interpreter that ran the module; V(null) without
        one.
      type: str
    name:
      description: The host name as the engine knows it.
      type: str
    docker_root:
      description: Where the engine keeps its data.
      type: str
    live_restore:
      description: Whether live restore is on, with which an engine refuses swarm mode.
      type: bool
    warnings:
      description: What the engine warns of.
      type: list
      elements: str
    error:
      description: Why no engine answers; V(null) where one does.
      type: str
  sample: {installed: true, running: true, version: 26.1.5, cli_version: 26.1.5, sdk_version: 7.1.0}
swarm:
  description: The host's place in a swarm.
  type: dict
  returned: always
  contains:
    state:
      description: >-
        V(inactive) (in no swarm), V(pending) (joining), V(active), V(locked) (waits for the unlock key), V(error),
        or V(unknown)
        (an engine is there and does not answer).
      type: str
    role:
      description: V(manager) or V(worker); V(null) outside a swarm.
      type: str
    node_id:
      description: The ID under which the swarm knows the host.
      type: str
    cluster_id:
      description: The ID of the swarm. Only a manager that sees a leader knows it.
      type: str
    node_addr:
      description: The address that the host advertises.
      type: str
    remote_managers:
      description: The managers that the host knows, each with RV(ignore:node_id) and RV(ignore:addr).
      type: list
      elements: dict
    error:
      description: What the engine says is wrong.
      type: str
    join_failed:
      description: It began to join a swarm and never got there. Its engine tries the same address for ever.
      type: bool
    joined_by:
      description:
        - The manager's address by which it joined. Until its engine is restarted it also asks there, and nowhere
          else, to become a manager.
        - V(null) after a restart, and where the swarm was initialised.
      type: str
    nodes:
      description: The nodes of the swarm as this manager sees them; V(null) where the host cannot tell.
      type: list
      elements: dict
    settings:
      description: The settings of the swarm, named like the options of M(flotilla.swarm.swarm_settings).
      type: dict
  sample: {state: active, role: worker, node_id: 4wyc7i0q9iegkhgbnx6ydrzjv}
clock:
  description: How the host's clock compares with the controller's.
  type: dict
  returned: always
  contains:
    skew:
      description: Seconds the host is ahead of the controller, less what the call itself may account for; V(0.0)
        means no skew was seen.
      type: float
  sample: {skew: 0.0}
join_tokens:
  description: The join tokens, C(manager) and C(worker).
  type: dict
  returned: when O(join_tokens=true)
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.flotilla.swarm.plugins.module_utils._argspec import (
    DEFAULT_DOCKER_HOST,
    Module,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._errors import SwarmError
from ansible_collections.flotilla.swarm.plugins.module_utils._host import (
    join_note,
    left_over,
    observe_host,
    observe_ports,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._model import (
    Member,
    parse_member,
    parse_node,
)
from ansible_collections.flotilla.swarm.plugins.module_utils._reader import EngineReader
from ansible_collections.flotilla.swarm.plugins.module_utils._settings import read_settings
from ansible_collections.flotilla.swarm.plugins.module_utils._wait import poll, within

# Seconds. swarmkit's election takes 10 to 20 ticks of one second (manager/state/raft/raft.go, ElectionTick), and another
# round where two stood and neither won. On busy hosts it was seen to take 53 s.
ELECTION = 60
# Seconds. An engine says that it is in no swarm before it has taken leave of its peers, for which it takes five
# (libnetwork/networkdb, broadcastTimeout) and one more, and time of its own on a busy host.
LEAVE = 10
# The packages that hold the docker command. Debian's docker.io does so up to bookworm.
CLI_PACKAGES = ("docker-ce-cli", "docker-cli", "docker.io", "moby-engine", "docker")


def sdk_version() -> str | None:
    """The SDK's version from its metadata: importing it would double the cost of observing."""
    for folder in sys.path:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            found = re.match(r"docker-(\d[\w.]*?)(?:-py[\d.]+)?\.(?:dist|egg)-info$", name)
            if found:
                return found.group(1)
    return None


def cli_version(packages: dict[str, str]) -> str | None:
    """The version of the docker command: that of its package, or what the command itself says."""
    path = shutil.which("docker")
    if path is None:
        return None
    package = next((packages[name] for name in CLI_PACKAGES if name in packages), None)
    if package is not None and path == "/usr/bin/docker":
        return re.sub(r"^\d+:|-[^-]*$", "", package)
    try:
        # It asks the engine, even for its own version, and waits for it as long as it takes.
        words = subprocess.run(
            [path, "--version"],
            env={"DOCKER_HOST": "unix:///nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"version ([^\s,]+)", words)
    return found.group(1) if found else None


def settled_info(reader: EngineReader, alive: Callable[[], None]) -> dict[str, Any]:
    """What the engine says of itself, once an election that is under way is over.

    A manager without a leader knows no cluster. After the leader has died that is so for some seconds, and
    only if it stays so has the swarm lost its quorum.
    """

    def settled(info: dict[str, Any]) -> bool:
        alive()
        member = parse_member(info)
        return member.state != "active" or member.role != "manager" or bool(member.cluster_id)

    return poll(reader.info, settled, ELECTION, 1.0)[0]


def observe(params: dict[str, Any], alive: Callable[[float], None]) -> dict[str, Any]:
    host = observe_host()
    alive(2 * params["observe_timeout"])

    def answered() -> None:
        alive(params["timeout"] + params["observe_timeout"])

    engine: dict[str, Any] = {
        "installed": shutil.which("dockerd", path="/usr/bin:/usr/sbin:/usr/local/bin") is not None,
        "running": False,
        "version": None,
        "cli_version": cli_version(host["packages"]),
        "sdk_version": sdk_version(),
        "name": None,
        "docker_root": None,
        "live_restore": None,
        "warnings": [],
        "error": None,
    }
    member = Member(state="inactive")
    swarm: dict[str, Any] = {"nodes": None, "settings": None}
    tokens = {"manager": None, "worker": None}
    reader = EngineReader(params["docker_host"], params["timeout"])
    try:
        reader.ping(params["observe_timeout"])
        answered()
        info = settled_info(reader, answered)
    except SwarmError as error:
        if error.code == "no_answer":
            raise
        engine["error"] = error.message
        # The engine is meant to run and does not answer: it may be a member. Nothing may be
        # concluded from its silence, unlike from that of a host on which there is no engine.
        root = (host.get("daemon_config") or {}).get("data-root") or "/var/lib/docker"
        joined = os.path.join(root, "swarm", "state.json")
        # Nor may it be from what only root could see.
        if engine["installed"] and (not host["root"] or os.path.exists(joined)):
            member = Member(state="unknown", error=error.message)
    else:
        engine.update(
            running=True,
            version=info.get("ServerVersion"),
            name=info.get("Name"),
            docker_root=info.get("DockerRootDir"),
            live_restore=info.get("LiveRestoreEnabled"),
            warnings=list(info.get("Warnings") or []),
        )
        member = parse_member(info, join_note(info.get("DockerRootDir")))
        if member.cluster_id:
            try:
                document = reader.swarm()
                answered()
                nodes = [parse_node(node).as_dict() for node in reader.nodes()]
                answered()
                spec = document.get("Spec") or {}
                swarm = {"nodes": nodes, "settings": read_settings(spec)}
                found = document.get("JoinTokens") or {}
                tokens = {"manager": found.get("Manager"), "worker": found.get("Worker")}
            except SwarmError as error:
                swarm["error"] = error.message
    result = {
        "host": host,
        "engine": engine,
        "swarm": {**member.as_dict(), **swarm},
        "clock": {"skew": 0.0},
    }
    if left_over(result):
        poll(
            lambda: result["host"].update(observe_ports()),
            lambda _nothing: not left_over(result),
            LEAVE,
        )
    if params["join_tokens"]:
        result["join_tokens"] = tokens
    return result


def main() -> None:
    module = Module(
        argument_spec=dict(
            docker_host=dict(
                type="str",
                default=DEFAULT_DOCKER_HOST,
                fallback=(env_fallback, ["DOCKER_HOST"]),
                aliases=["docker_url"],
            ),
            timeout=dict(type="int", default=30),
            observe_timeout=dict(type="int", default=15),
            join_tokens=dict(type="bool", default=False, no_log=False),
        ),
        limits=dict(observe_timeout=1),
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = within(params["observe_timeout"], lambda alive: observe(params, alive))
        module.exit_json(changed=False, **found)
    except SwarmError as error:
        module.fail_json(msg=error.message, failure=error.as_failure())


if __name__ == "__main__":
    main()
