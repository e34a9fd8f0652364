# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Everything that a run has to know of one host: the host, its engine and its place in a swarm."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._host.engine import join_note
from .._host.facts import observe_host
from .._host.network import left_over, observe_ports
from .._model.documents import Member, Node, all_heard, parse_member, parse_node
from .settings import read_settings

# Seconds. swarmkit's election takes 10 to 20 ticks of one second (manager/state/raft/raft.go, ElectionTick), and
# another round where two stood and neither won. On busy hosts it was seen to take 53 s.
ELECTION = 60
# Seconds for a new leader to hear from the nodes: twice what it takes by default.
REGISTRATION = 60
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


def settled_nodes(
    read: Callable[[], list[dict[str, Any]]], alive: Callable[[], None], clock: Clock | None = None
) -> list[Node]:
    """The nodes in the documents that `read` returns, once a new leader has heard from them: a plan needs their states."""

    def settled(nodes: list[Node]) -> bool:
        alive()
        return all_heard(nodes)

    return poll(lambda: [*map(parse_node, read())], settled, REGISTRATION, 1.0, clock)[0]


def observe(params: dict[str, Any], alive: Callable[[float], None]) -> dict[str, Any]:
    """The result of the module swarm_host_info, whose parameters are `params`.

    `alive` is told after each part for how many seconds the next one may be silent. Raises no_answer where the engine
    hangs; any other failure of the engine is in the result.
    """
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
                nodes = [node.as_dict() for node in settled_nodes(reader.nodes, answered)]
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
