# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a recovery has to know of one host, read without changing or starting anything, with the standard library."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from typing import Any

from .._api.reader import EngineReader
from .._common.errors import SwarmError, shown
from .._common.waiting import Clock
from .._host.engine import engine_is_active
from .._host.files import free_bytes, text_of
from .._host.network import addresses
from .._model.documents import dig, parse_member, parse_node, quorum_of
from .raft_files import NodeFiles, key_file, read_node, swarm_folder
from .raft_key import open_key

# Kept on the manager to recover from while its steps are carried out.
NOTE = "/var/lib/flotilla.swarm/recover.json"
# Seconds. A leader that has lost its quorum steps down after 20 s (seen with 20.10 and 26.1; swarmkit: ElectionTick).
STEP_DOWN = 60


def observe_recovery(
    params: dict[str, Any], alive: Callable[[float], None], clock: Clock | None = None
) -> dict[str, Any]:
    """The result of swarm_recover_info, whose options are `params`; `alive` is as in swarm_host_info.

    Raises bad_option. What cannot be read is in the result.
    """
    place = params["copy_folder"]
    if not os.path.isabs(place):
        raise SwarmError(
            "bad_option",
            f"Could not observe the host: copy_folder is {shown(place)}, it must be an absolute path such as /var/lib/recover.",
        )
    patience = params["timeout"] + params["observe_timeout"]
    alive(2 * params["observe_timeout"])
    engine = engine_of(params, lambda: alive(patience), clock)
    # After the engine, so that the files are those of a log at rest.
    files = read_node(swarm_folder(engine["docker_root"]))
    alive(patience)
    return {
        "root": os.geteuid() == 0,
        "engine": engine,
        "files": files.as_dict() if files else None,
        "key": key_state(files, params.get("unlock_key")),
        "note": read_note(files.cluster_id if files else None),
        "libraries": has_libraries(),
        "free_bytes": free_or_unknown(place),
        "addresses": [each["address"] for each in addresses()],
    }


def engine_of(
    params: dict[str, Any], alive: Callable[[], None], clock: Clock | None = None
) -> dict[str, Any]:
    """The engine and its place in the swarm. A leader without a quorum is waited for until it steps down."""
    clock = clock or Clock()
    seen: dict[str, Any] = {
        "active": engine_is_active(),
        "answers": False,
        "state": "unknown",
        "control": False,
        "leader": False,
        "nodes": [],
        "remote_managers": [],
        "docker_root": None,
        "error": None,
    }
    reader = EngineReader(params["docker_host"], params["timeout"])
    began = clock.now()
    try:
        reader.ping(params["observe_timeout"])
        while True:
            alive()
            info = reader.info()
            seen["docker_root"] = info.get("DockerRootDir")
            led, nodes = _leadership(reader, info)
            waited = clock.now() - began
            if led is True or (led is None and waited >= STEP_DOWN):
                seen.update(leader=True, nodes=nodes)
                break
            if led is False and (
                waited >= params["election_timeout"] or not dig(info, "Swarm", "ControlAvailable")
            ):
                break
            clock.sleep(1.0)
    except SwarmError as error:
        seen["error"] = error.message
        return seen
    member = parse_member(info)
    seen.update(
        answers=True,
        state=member.state,
        control=bool(dig(info, "Swarm", "ControlAvailable")),
        remote_managers=member.remote_managers,
        error=member.error,
    )
    return seen


def _leadership(reader: EngineReader, info: dict[str, Any]) -> tuple[bool | None, list[str]]:
    """Whether this manager sees a leader with a quorum, None for one without, and the IDs of the nodes."""
    if not parse_member(info).cluster_id:
        return False, []
    try:
        nodes = [parse_node(node) for node in reader.nodes()]
    except SwarmError:
        return None, []
    voters = [node for node in nodes if node.manager_addr or node.reachability]
    reachable = sum(node.reachability == "reachable" for node in voters)
    led = reachable >= quorum_of(len(voters)) and bool(voters)
    return (True if led else None), [node.id for node in nodes]


def key_state(files: NodeFiles | None, unlock_key: str | None) -> str:
    """What the unlock key does to the key file: opens, wrong, no_crypto, or why that is not known; empty if it is not needed."""
    if files is None or not files.sealed or not unlock_key:
        return ""
    try:
        open_key(text_of(key_file(files.folder)), unlock_key)
    except SwarmError as error:
        if error.code == "wrong_unlock_key":
            return "wrong"
        return "no_crypto" if error.code == "no_crypto" else error.message.rstrip(".")
    return "opens"


def read_note(cluster_id: str | None) -> dict[str, Any]:
    """The note of an interrupted recovery of that swarm; empty if there is none."""
    try:
        note = json.loads(text_of(NOTE) or "{}")
    except ValueError:
        return {}
    known = isinstance(note, dict) and cluster_id is not None
    return note if known and note.get("cluster_id") == cluster_id else {}


def has_libraries() -> bool:
    """Whether this interpreter has what opens a key file."""
    try:
        return all(importlib.util.find_spec(name) for name in ("nacl", "cryptography"))
    except (ImportError, ValueError):
        return False


def free_or_unknown(folder: str) -> int | None:
    """The free bytes where the folder is, or will be; None if unknown."""
    try:
        return free_bytes(folder)
    except OSError:
        return None
