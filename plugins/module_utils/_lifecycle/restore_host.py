# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Puts a raft backup in the place of the state of this host, and makes the host the only manager of that swarm.

Nothing is changed until the backup was decrypted and read as a whole. What was there before is moved aside and never deleted. A
note says how far the host has got, so that the next run finishes an interrupted one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .._api.client import EngineClient
from .._api.reader import EngineReader
from .._cluster.settings import change_settings
from .._common.errors import SwarmError
from .._common.waiting import Clock, poll, retry
from .._engine.config import Runner
from .._engine.overlays import overlays_come
from .._engine.unit import EngineUnit
from .._engine.versions import compare, upstream
from .._host import locks
from .._host.engine import daemon_config
from .._host.files import DATA_ROOT, existing_part, free_bytes, text_of, write_whole
from .._host.network import addresses
from .._model.documents import Member, parse_member, parse_node
from .._model.labels import name_of
from .age import decrypt
from .backup import close_record
from .backup_plan import DONE
from .raft_key import is_sealed, open_key
from .restore_plan import BEGUN, RESTORED, UNPACKED

NOTE = "/var/lib/flotilla.swarm/restore.json"
AT_WORK = "/run/flotilla.swarm/restore.lock"
_KEY = "certificates/swarm-node.key"
# What the state of a manager has, without which the backup is of something else.
_PARTS = (_KEY, "certificates/swarm-node.crt", "certificates/swarm-root-ca.crt", "state.json")
_NEW = ".flotilla-restore-new"
_ASIDE = "swarm.before-restore-"
STOP, UNPACK, START = "stop the engine", "unpack the backup", "start the engine"
RESTART = "restart the engine, because it started without overlay networks"
FORCE, LOCK = "force a new cluster", "turn on autolock, with a new unlock key"
REMOVE = "remove the nodes of the other managers"
# Seconds for a forced new cluster, whose node starts again.
_FORCE = 120.0


@dataclass(frozen=True)
class Wanted:
    """The backup, as its meta file describes it."""

    file: str
    cluster_id: str
    sha256: str
    address: str
    engine_version: str
    autolock: bool  # whether autolock was on
    older_engine: bool = False  # whether an older engine is accepted


@dataclass(frozen=True)
class HostState:
    """What this host is now."""

    running: bool
    version: str | None
    member: Member
    swarm_dir: str
    has_state: bool  # whether a swarm's state lies there
    phase: str  # how far an interrupted restore of this backup has got; empty if there is none
    addresses: tuple[str, ...]
    systemd: bool = True


def alone(seconds: float, clock: Clock | None = None) -> AbstractContextManager[None]:
    """Hold this host: the module of a run whose controller was killed can still be at work. Raises in_progress after a while."""
    otherwise = SwarmError(
        "in_progress",
        f"Could not restore the backup on this host: another run has been restoring one for {seconds:.0f} s. Wait until it has"
        " ended, and run again.",
    )
    return locks.alone(AT_WORK, otherwise, seconds, clock)


# Observe -----------------------------------------------------------------------------------------------


def observe(docker_host: str, timeout: float, wanted: Wanted) -> HostState:
    """The state of this host; an engine that does not answer is a value."""
    member, version, running = Member(state="unknown"), None, False
    root = (daemon_config()[0] or {}).get("data-root") or DATA_ROOT
    reader = EngineReader(docker_host, timeout)
    with contextlib.suppress(SwarmError):
        info = reader.info()
        member, version, running = parse_member(info), info.get("ServerVersion"), True
        root = info.get("DockerRootDir") or root
    place = os.path.join(str(root), "swarm")
    return HostState(
        running=running,
        version=version,
        member=member,
        swarm_dir=place,
        has_state=os.path.isdir(place) and bool(os.listdir(place)),
        phase=_phase(wanted),
        addresses=tuple(str(each["address"]) for each in addresses()),
        systemd=os.path.isdir("/run/systemd/system"),
    )


def _phase(wanted: Wanted) -> str:
    try:
        note = json.loads(text_of(NOTE) or "{}")
        return str(note.get("phase") or "") if note.get("sha256") == wanted.sha256 else ""
    except (ValueError, AttributeError):
        return ""


# Plan --------------------------------------------------------------------------------------------------


def plan(state: HostState, wanted: Wanted) -> list[str]:
    """The steps in words; none where the restore is complete. Pure. Raises refused."""
    done = state.phase and state.member.cluster_id == wanted.cluster_id
    if state.phase == RESTORED and done:
        return []
    refusals = []
    if state.member.cluster_id and not done:
        refusals.append(
            f"this host is in swarm {state.member.cluster_id}, which has a leader; reset it first"
        )
    if wanted.address not in state.addresses:
        refusals.append(
            f"it has not the address {wanted.address} of the manager that the backup is of"
        )
    older = state.version and compare(upstream(state.version), upstream(wanted.engine_version)) < 0
    if older and not wanted.older_engine:
        refusals.append(
            f"its engine {state.version} is older than {wanted.engine_version}, of which the backup is"
        )
    if not state.systemd:
        refusals.append("it has no systemd, by which the engine is stopped and started")
    if refusals:
        raise SwarmError(
            "refused", f"Could not restore the backup on this host: {'; '.join(refusals)}."
        )
    steps = []
    if state.phase != UNPACKED and not done:
        steps.append(STOP)
        if state.has_state:
            steps.append(f"move {state.swarm_dir} aside")
        steps.append(UNPACK)
    if not done:
        steps += [START, FORCE]
    return [*steps, *([LOCK] if wanted.autolock else []), REMOVE]


# Check -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """A backup in memory, and the key file of the node, opened."""

    archive: bytes
    prefix: str
    key: str
    size: int  # of all files, unpacked


def check(wanted: Wanted, identity: str, unlock_key: str) -> Content:
    """Decrypt and read the whole backup, in memory.

    Raises no_age, age_failed, wrong_identity, bad_backup, no_unlock_key, wrong_unlock_key, bad_key_file or no_crypto.
    """
    try:
        with open(wanted.file, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        raise _bad(wanted, f"{error.strerror}") from error
    if digest != wanted.sha256:
        raise _bad(wanted, "it has another hash than its meta file says")
    archive = decrypt(wanted.file, identity)
    prefix, pem, size = _read(archive, wanted)
    if is_sealed(pem):
        if not unlock_key:
            raise SwarmError(
                "no_unlock_key",
                "Could not open the backup: autolock was on when it was taken, and no unlock key was given. Set swarm_unlock_key to"
                " the unlock key of that time.",
            )
        pem = open_key(pem, unlock_key)
    return Content(archive, prefix, pem, size)


def refuse_without_room(state: HostState, content: Content) -> None:
    """Raise no_space before the engine is stopped, if the files do not fit beside the old ones."""
    root = existing_part(os.path.dirname(state.swarm_dir))
    free = free_bytes(root)
    if free < content.size:
        raise SwarmError(
            "no_space",
            f"Could not restore the backup on this host: {root} has {free >> 20} MB free, and the backup has {content.size >> 20} MB."
            " Free space there, and run again.",
            free=free,
            needed=content.size,
        )


def _read(archive: bytes, wanted: Wanted) -> tuple[str, str, int]:
    """The prefix of the names in the archive, the key file in it, and the bytes of all files; every member is read."""
    pem = None
    names = []
    size = 0
    # Two blocks of zeros. Python takes an archive that is cut off for one that ends.
    if archive[-2 * tarfile.BLOCKSIZE :].strip(b"\0") or not archive:
        raise _bad(wanted, "its end is missing")
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                problem = unsafe(member)
                if problem:
                    raise _bad(wanted, f"{member.name} in it {problem}")
                names.append(member.name)
                size += member.size
                stream = tar.extractfile(member) if member.isfile() else None
                content = b""
                while stream is not None and (piece := stream.read(1 << 20)):
                    content = content + piece if member.name.endswith(_KEY) else b""
                if member.name.endswith(_KEY):
                    pem = content.decode("ascii", "replace")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise _bad(wanted, "it is no complete tar archive") from error
    prefix = prefix_of(names)
    if prefix is None or pem is None:
        raise _bad(wanted, f"it lacks {', '.join(_PARTS)} of a manager")
    return prefix, pem, size


def unsafe(member: tarfile.TarInfo) -> str | None:
    """Why a member of an archive is not unpacked, None if it is. Pure."""
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        return "has a path that leaves the directory"
    # Sockets of a swarm that ran are of no use.
    if not (member.isfile() or member.isdir() or member.isfifo()):
        return "is no file"
    return None


def prefix_of(names: list[str]) -> str | None:
    """What precedes the names of a manager's state in an archive, such as `swarm/`; None if a part of it is missing. Pure."""
    found = [name[: -len(_KEY)] for name in names if name.endswith(_KEY)]
    if len(found) != 1:
        return None
    (prefix,) = found
    return prefix if {prefix + part for part in _PARTS} <= set(names) else None


def _bad(wanted: Wanted, why: str) -> SwarmError:
    name = os.path.basename(wanted.file)
    return SwarmError(
        "bad_backup", f"Could not read the backup {name}: {why}. Give another copy of it, or another backup."
    )  # fmt: skip


def force_body(state: str) -> dict[str, Any]:
    """The body of POST /swarm/init that forces a new cluster, given docker-state.json: the addresses stay. Pure."""
    try:
        kept = json.loads(state or "{}")
    except ValueError:
        kept = {}
    kept = kept if isinstance(kept, dict) else {}
    return {
        "ListenAddr": str(kept.get("ListenAddr") or "0.0.0.0:2377"),
        "AdvertiseAddr": str(kept.get("AdvertiseAddr") or kept.get("LocalAddr") or ""),
        "DataPathAddr": str(kept.get("DataPathAddr") or ""),
        "ForceNewCluster": True,
        "Spec": {},
    }


# Apply -------------------------------------------------------------------------------------------------


class Restore:
    """One restore on this host. `done` gets each step that was carried out."""

    def __init__(
        self,
        params: dict[str, Any],
        wanted: Wanted,
        run: Runner,
        done: list[str],
        clock: Clock | None = None,
    ) -> None:
        self._params, self._wanted, self._done = params, wanted, done
        self._clock = clock
        self._unit = EngineUnit(run, clock)
        self._reader = EngineReader(params["docker_host"], params["timeout"])

    def carry_out(self, state: HostState, steps: list[str], content: Content) -> None:
        """Carry out the plan; raises not_stopped, systemctl_failed, not_back, timeout, other_swarm or what the engine refuses."""
        if UNPACK in steps:
            self._remember(BEGUN)
            self._unit.stop()
            self._done.append(STOP)
            self._unpack(state, content)
            self._remember(UNPACKED)
            self._done.append(UNPACK)
        if START in steps:
            self._unit.start_and_wait(self._params["docker_host"], self._params["wait_timeout"])
            self._done.append(START)
        if FORCE in steps and not self._member().cluster_id:
            self._force(state.swarm_dir)
            self._done.append(FORCE)
        self._verify()
        self._ensure_overlays(EngineClient(self._params), state.swarm_dir)
        client = EngineClient(self._params)
        if LOCK in steps:
            self._lock(client, state.swarm_dir)
        self._remove_managers(client)
        # The state is that of a moment within the backup, and the record would keep the other managers from making one.
        own = self._member().node_id or ""
        retry(
            lambda: close_record(client, own, DONE), self._params["wait_timeout"], clock=self._clock
        )
        self._remember(RESTORED)

    def _ensure_overlays(self, client: EngineClient, swarm_dir: str) -> None:
        """Restart an engine that has started without a leader, and so without its overlay networks: it rejects all tasks in them."""
        # A manager that is locked again has been here before.
        if is_sealed(text_of(os.path.join(swarm_dir, _KEY))) or overlays_come(client, self._clock):
            return
        self._unit.stop()
        self._unit.start_and_wait(self._params["docker_host"], self._params["wait_timeout"])
        self._verify()
        self._done.append(RESTART)

    def _remember(self, phase: str) -> None:
        os.makedirs(os.path.dirname(NOTE), mode=0o755, exist_ok=True)
        note = {
            "cluster_id": self._wanted.cluster_id,
            "sha256": self._wanted.sha256,
            "phase": phase,
        }
        write_whole(NOTE, json.dumps(note).encode())

    def _unpack(self, state: HostState, content: Content) -> None:
        """Beside the old state first, so that the directory is there as a whole or not at all."""
        root = os.path.dirname(state.swarm_dir)
        new = os.path.join(root, _NEW)
        shutil.rmtree(new, ignore_errors=True)
        os.mkdir(new, 0o700)
        with tarfile.open(fileobj=io.BytesIO(content.archive)) as tar:
            for member in tar:
                name = member.name[len(content.prefix) :]
                if not member.name.startswith(content.prefix) or not name or member.isfifo():
                    continue
                path = os.path.join(new, name)
                if member.isdir():
                    os.makedirs(path, mode=0o700, exist_ok=True)
                    continue
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                stream = tar.extractfile(member)
                if stream is None:
                    raise AssertionError("a regular file has content")
                with open(path, "wb") as file:
                    os.fchmod(file.fileno(), member.mode & 0o755)
                    shutil.copyfileobj(stream, file)
                    file.flush()
                    os.fsync(file.fileno())
        key = os.path.join(new, _KEY)
        with open(key, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content.key.encode())
            file.flush()
            os.fsync(file.fileno())
        if os.path.isdir(state.swarm_dir):
            self._move_aside(state.swarm_dir)
        os.rename(new, state.swarm_dir)
        _sync(root)

    def _move_aside(self, place: str) -> None:
        """Keep what was there. An empty directory is made by every engine at its start."""
        if not os.listdir(place):
            os.rmdir(place)
            return
        number = 1
        root = os.path.dirname(place)
        while os.path.lexists(aside := os.path.join(root, f"{_ASIDE}{number}")):
            number += 1
        os.rename(place, aside)
        self._done.append(f"move {place} to {aside}")

    def _member(self) -> Member:
        return parse_member(self._reader.info())

    def _force(self, swarm_dir: str) -> None:
        client = EngineClient({**self._params, "timeout": _FORCE})
        body = force_body(text_of(os.path.join(swarm_dir, "docker-state.json")))
        body["AdvertiseAddr"] = body["AdvertiseAddr"] or self._wanted.address
        retry(lambda: client.init(body), self._params["wait_timeout"], clock=self._clock)

    def _lock(self, client: EngineClient, swarm_dir: str) -> None:
        """Turn on autolock, and wait until the key file is locked. The new key stays in the engine."""
        _before, _after, changes = change_settings(client, {"autolock_managers": True}, False)
        if changes:
            self._done.append(LOCK)
        path = os.path.join(swarm_dir, _KEY)
        _seen, sealed = poll(
            lambda: is_sealed(text_of(path)), bool, self._params["wait_timeout"], 0.2, self._clock
        )
        if not sealed:
            raise SwarmError(
                "timeout",
                f"Could not turn on autolock again: after {self._params['wait_timeout']} s, {path} is still in clear. Run again.",
            )

    def _remove_managers(self, client: EngineClient) -> None:
        """Their hosts join again as new nodes. Raft does not have them any more, but the list of nodes has."""
        own = self._member().node_id
        for node in map(parse_node, client.nodes()):
            if node.role == "manager" and node.id != own and node.reachability != "reachable":
                with contextlib.suppress(SwarmError):
                    client.remove_node(node.id)
                    self._done.append(f"remove node {name_of(node)}")

    def _verify(self) -> None:
        member, leads = poll(
            self._member, lambda seen: bool(seen.cluster_id), self._params["wait_timeout"], 0.5, self._clock
        )  # fmt: skip
        if not leads:
            raise SwarmError(
                "timeout",
                f"Could not make this host the only manager: after {self._params['wait_timeout']} s it has no leader"
                f" ({member.error or member.state}). See journalctl -u docker, and run again.",
            )
        if member.cluster_id != self._wanted.cluster_id:
            raise SwarmError(
                "other_swarm",
                f"Could not restore the swarm: the host is in swarm {member.cluster_id} now, and not in {self._wanted.cluster_id}.",
            )


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def missing_tools(locked: bool) -> list[str]:
    """The packages that the restore needs and this host lacks."""
    missing = [] if shutil.which("age") else ["age"]
    if locked:
        from importlib.util import find_spec

        modules = {"nacl": "python3-nacl", "cryptography": "python3-cryptography"}
        missing += [package for module, package in modules.items() if find_spec(module) is None]
    return missing


def refuse_without_sdk() -> None:
    """Raise no_sdk before the engine is stopped."""
    from importlib.util import find_spec

    if find_spec("docker") is None:
        raise SwarmError(
            "no_sdk",
            f"Could not restore the backup on this host: {sys.executable} lacks the Docker SDK for Python, which is needed after the"
            " engine has started. Run the role flotilla.swarm.docker_engine there, or install the package python3-docker.",
        )
