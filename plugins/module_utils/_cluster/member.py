# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A host's own membership as a state machine: observe, plan, apply, verify."""

from __future__ import annotations

import re
from typing import Any

from .._api.client import EngineClient
from .._api.reader import EngineReader, failed, message_of, unreachable
from .._api.unix import post
from .._common.errors import SwarmError
from .._common.waiting import Clock, poll, retry
from .._engine.overlays import LIMIT, overlays_come
from .._host.engine import join_note, pause_before_unlock
from .._model.documents import SWARM_PORT, Member, parse_member, parse_node
from .settings import apply_settings, plan_settings, read_settings

LEAVE_UNFINISHED = "leave the swarm that it has not finished joining"
# Seconds. The engine answers once it has a leader, and never if it gets none (moby: daemon/cluster/swarm.go, UnlockSwarm). When the
# managers of a swarm are unlocked at the same time, that takes less.
UNLOCK_ANSWER = 15
# As `docker swarm unlock-key` prints it: 32 bytes in Base64 (swarmkit: manager/encryption).
UNLOCK_KEY = re.compile(r"SWMKEY-1-[A-Za-z0-9+/]{43}")
NO_KEY = "what was given is no unlock key, which is SWMKEY-1- and 43 characters"


def observe(params: dict[str, Any], tolerant: bool = False) -> Member:
    """The host's membership; with `tolerant`, an engine that does not answer has the state unknown, and nothing is
    raised."""
    try:
        info = _reader(params).info()
    except SwarmError as error:
        if not tolerant:
            raise
        return Member(state="unknown", error=error.message)
    return parse_member(info, join_note(info.get("DockerRootDir")))


def plan(member: Member, params: dict[str, Any]) -> list[str]:
    """What to do, in words; nothing where the host is as desired. Pure. `params` are those of the module swarm_member.

    Raises no_unlock_key, wrong_unlock_key, locked, swarm_error, foreign_swarm, engine_unreachable, other_node or is_manager.
    """
    state = params["state"]
    if state == "unlocked":
        if member.state != "locked":
            return []
        if not params["unlock_key"]:
            raise SwarmError(
                "no_unlock_key",
                "Could not unlock the swarm on this host: no unlock_key was given (in playbooks: swarm_unlock_key). A manager"
                " that is not locked shows it with 'docker swarm unlock-key'.",
            )
        if not is_unlock_key(params["unlock_key"]):
            raise _wrong_key(NO_KEY)
        return ["unlock"]
    if state == "left":
        return _plan_leave(member, params)
    if member.state == "locked":
        raise SwarmError(
            "locked",
            f"Could not make this host {_goal_of(params)}: its swarm is locked. Unlock it first (state: unlocked).",
        )
    if member.join_failed and state == "joined":
        return [LEAVE_UNFINISHED, f"join as {params['role']}"]
    if member.state == "error":
        raise SwarmError(
            "swarm_error",
            f"Could not make this host {_goal_of(params)}: its engine reports a swarm error"
            f" ({member.error or 'no reason given'}). Fix the cause, or let the host leave (state: left, force: true).",
        )
    if member.state in ("active", "pending"):
        _check_same_swarm(member, params)
        return []
    if state == "initialized":
        return ["initialise a swarm"]
    return [f"join as {params['role']}"]


def is_unlock_key(text: str) -> bool:
    """Whether a text has the form of an unlock key. Pure."""
    return UNLOCK_KEY.fullmatch(text.strip()) is not None


def _wrong_key(why: str) -> SwarmError:
    return SwarmError(
        "wrong_unlock_key",
        f"Could not unlock the swarm on this host: {why}. A manager that is not locked shows the key with 'docker swarm"
        " unlock-key'; a manager that was away during a rotation needs the key from before it.",
    )


def _goal_of(params: dict[str, Any]) -> str:
    goals = {"initialized": "the first manager", "unlocked": "active"}
    return goals.get(params["state"], f"a {params['role']}")


def _plan_leave(member: Member, params: dict[str, Any]) -> list[str]:
    expected = params["node_id"]
    if member.state == "unknown":
        raise SwarmError(
            "engine_unreachable",
            "Could not make this host leave its swarm: its engine does not say whether it is"
            f" {f'node {expected}' if expected else 'in one'} ({(member.error or 'no reason given').rstrip('.')}). Nothing was"
            " changed. Start its engine, and try again.",
        )
    if expected and member.node_id != expected:
        raise SwarmError(
            "other_node",
            f"Could not make this host leave its swarm: it must be node {expected}, but it is"
            f" {f'node {member.node_id}' if member.in_swarm else 'in no swarm'}. Nothing was changed. Check node_id and the"
            " address of the host.",
            node_id=member.node_id,
        )
    if not member.in_swarm:
        return []
    if member.role == "manager" and not params["force"]:
        raise SwarmError(
            "is_manager",
            "Could not make this host leave its swarm: it is a manager, and the swarm may lose its quorum. Demote it"
            " first on another manager, or set force: true.",
        )
    return ["leave the swarm"]


def _check_same_swarm(member: Member, params: dict[str, Any]) -> None:
    desired = params["cluster_id"]
    if desired and member.cluster_id and member.cluster_id != desired:
        raise SwarmError(
            "foreign_swarm",
            f"Could not make this host {_goal_of(params)}: it is a manager of another swarm ({member.cluster_id} instead"
            f" of {desired}). Let it leave that swarm first (state: left).",
            cluster_id=member.cluster_id,
        )
    known = {peer["addr"] for peer in member.remote_managers}
    asked = {with_port(address) for address in params["remote_addrs"]}
    if member.role == "worker" and known and asked and not known & asked:
        raise SwarmError(
            "foreign_swarm",
            f"Could not make this host {_goal_of(params)}: it is in another swarm, with the managers"
            f" {', '.join(sorted(known))}. Let it leave that swarm first (state: left).",
            remote_managers=sorted(known),
        )


def with_port(address: str) -> str:
    """ADDRESS:PORT, with the port of managers where none is given."""
    host, colon, port = address.rpartition(":")
    return address if colon and port.isdigit() and host else f"{address}:{SWARM_PORT}"


def init_body(params: dict[str, Any]) -> dict[str, Any]:
    """What `docker swarm init` sends: a listen address always, the rest only when given. Raises bad_setting."""
    spec: dict[str, Any] = {}
    if params["settings"]:
        steps = plan_settings(read_settings({}), params["settings"])
        spec = apply_settings({}, steps)
    body: dict[str, Any] = {"ListenAddr": params["listen_addr"], "Spec": spec}
    body.update(_addresses(params))
    for key, option in (
        ("DataPathPort", "data_path_port"),
        ("DefaultAddrPool", "default_addr_pool"),
        ("SubnetSize", "subnet_size"),
    ):
        if params[option]:
            body[key] = params[option]
    return body


def _addresses(params: dict[str, Any]) -> dict[str, str]:
    return {
        key: params[option]
        for key, option in (
            ("AdvertiseAddr", "advertise_addr"),
            ("DataPathAddr", "data_path_addr"),
        )
        if params[option]
    }


def change_member(
    params: dict[str, Any], check_mode: bool, clock: Clock | None = None
) -> tuple[Member, Member, list[str]]:
    """The membership before and after, and the steps between, in words.

    Raises what `plan` raises, no_join_token, timeout, and what the engine refuses.
    """
    joins = params["state"] in ("initialized", "joined")
    before = observe(params, tolerant=params["state"] == "left" or (joins and check_mode))
    if before.state == "unknown" and joins:
        # Only in check mode: the run itself would have installed the engine by now.
        before = Member(state="inactive", error=before.error)
    if not check_mode and _is_demoted(before, params):
        # The managers have demoted it; its own engine learns of it with its next certificate
        # (swarmkit: node/node.go, the role in the certificate decides).
        before, _done = poll(
            lambda: observe(params, tolerant=True),
            lambda member: member.role != "manager",
            params["wait_timeout"],
            0.5,
            clock,
        )
    steps = plan(before, params)
    if check_mode:
        return before, before, steps
    if LEAVE_UNFINISHED in steps:
        EngineClient(params).leave(force=True)
    if steps:
        _apply(params, clock)
    return before, _verify(before if not steps else None, params, clock), steps


def _is_demoted(member: Member, params: dict[str, Any]) -> bool:
    return (
        params["state"] == "left"
        and not params["force"]
        and bool(params["node_id"])
        and member.node_id == params["node_id"]
        and member.role == "manager"
    )


def _join(client: EngineClient, params: dict[str, Any], clock: Clock | None) -> None:
    body = {
        "ListenAddr": params["listen_addr"],
        "RemoteAddrs": [with_port(address) for address in params["remote_addrs"]],
        "JoinToken": params["join_token"],
        **_addresses(params),
    }

    def join() -> None:
        try:
            client.join(body)
        except SwarmError as error:
            if error.code == "already_in_swarm":
                # Another run was quicker.
                _check_same_swarm(observe(params, tolerant=True), params)
            # The engine goes on joining after its own 20 s (moby: daemon/cluster/swarm.go, Join);
            # whether it gets there is for the verification to find out.
            elif "will continue in the background" not in error.message:
                raise

    retry(join, params["wait_timeout"], clock=clock)


def _apply(params: dict[str, Any], clock: Clock | None) -> None:
    state = params["state"]
    if state == "unlocked":
        (clock or Clock()).sleep(pause_before_unlock())
        _unlock(params, params["unlock_key"].strip())
        return
    client = EngineClient(params)
    if state == "left":
        client.leave(params["force"])
    elif state == "initialized":
        client.init(init_body(params))
    else:
        if not params["join_token"] or not params["remote_addrs"]:
            raise SwarmError(
                "no_join_token",
                f"Could not join the swarm as {params['role']}: set join_token, and remote_addrs to the addresses of"
                " managers, such as [192.0.2.10].",
            )
        _join(client, params, clock)


def _unlock(params: dict[str, Any], key: str) -> None:
    """Send the key. An engine that has taken it and waits for a leader does not answer; whether there will be one is for the
    verification to find out."""
    limit = min(UNLOCK_ANSWER, params["timeout"])
    try:
        _send_key(params, key, limit)
    except SwarmError as error:
        words = str(error.details.get("engine", ""))
        if "invalid key" in words:
            raise _wrong_key("the key given is not its key") from error
        if "not locked" in words:
            # Another run was quicker.
            return
        if error.code != "engine_unreachable":
            raise
        if observe(params, tolerant=True).state in ("locked", "unknown"):
            raise SwarmError(
                "timeout",
                f"Could not unlock the swarm on this host: its engine has not answered within {limit} s. Check its log"
                " (journalctl -u docker), restart the engine, and try again.",
            ) from error


def _send_key(params: dict[str, Any], key: str, limit: float) -> None:
    where = params["docker_host"]
    if not where.startswith("unix://"):
        EngineClient({**params, "timeout": limit}).unlock(key)
        return
    # Without the SDK, which a run installs only after it has seen the swarm.
    attempt = "unlock the swarm"
    try:
        status, text = post(where[len("unix://") :], "/swarm/unlock", {"UnlockKey": key}, limit)
    except OSError as error:
        raise unreachable(attempt, where, error) from error
    if status >= 400:
        raise failed(attempt, message_of(text), status)


def _verify(settled: Member | None, params: dict[str, Any], clock: Clock | None = None) -> Member:
    desired = "inactive" if params["state"] == "left" else "active"

    def is_final(member: Member) -> bool:
        if member.state in ("error", "locked") and desired == "active":
            return True
        return member.state == desired and (member.role != "manager" or _reachable(params, member))

    if settled is not None and settled.state != "pending":
        return settled
    if params["state"] == "unlocked" and params["wait_timeout"] == 0:
        return observe(params, tolerant=True)
    member, done = poll(
        lambda: observe(params, tolerant=True), is_final, params["wait_timeout"], 0.5, clock
    )
    if params["state"] == "unlocked" and member.state == "pending":
        raise SwarmError(
            "timeout",
            f"Could not bring this manager back: it is unlocked, but after {params['wait_timeout']} s it has no leader. Unlock"
            " or start more than half of the managers of its swarm.",
            state=member.state,
        )
    if not done or member.state != desired:
        goal = _goal_of(params) if desired == "active" else "leave"
        waited = "" if done else f"after {params['wait_timeout']} s "
        raise SwarmError(
            "timeout" if not done else "swarm_error",
            f"Could not make this host {goal}: {waited}its engine reports the state {member.state}"
            f"{f' ({member.error})' if member.error else ''}. Check that this host reaches the managers on port"
            f" {SWARM_PORT}, and the log of its engine (journalctl -u docker).",
            state=member.state,
        )
    return member


def needs_restart(
    params: dict[str, Any], member: Member, check_mode: bool, clock: Clock | None = None
) -> bool | None:
    """Whether the engine of an unlocked manager has come up without its overlay networks; None if nobody looked.

    Right after its unlock, it is given `LIMIT` seconds, and it is not asked where the caller does not wait for a leader.
    """
    waits = params["wait_timeout"] > 0
    if params["state"] != "unlocked" or member.state != "active" or check_mode or not waits:
        return None
    limit = min(LIMIT, params["wait_timeout"])
    return not overlays_come(_reader(params), clock, limit)


def _reader(params: dict[str, Any]) -> EngineReader | EngineClient:
    """Through a socket without the SDK: in check mode that may not be installed yet."""
    if params["docker_host"].startswith("unix://"):
        return EngineReader(params["docker_host"], params["timeout"])
    return EngineClient(params)


def _reachable(params: dict[str, Any], member: Member) -> bool:
    """Whether this manager is in touch with a leader and counted as reachable by it."""
    if not member.cluster_id:
        return False
    try:
        nodes = [parse_node(node) for node in EngineClient(params).nodes()]
    except SwarmError:
        return False
    return any(node.id == member.node_id and node.ready for node in nodes)
