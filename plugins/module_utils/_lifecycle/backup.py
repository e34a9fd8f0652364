# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Makes a backup on the manager that it runs on: export, drain, stop, archive, start, unlock, back into service, read back.

It needs no Ansible and no controller. A note on the host says what has to be put right if it is killed. A config in the swarm, with
the record of the latest backup in a label, keeps two managers from stopping together: the engine accepts a change of it only with
the version that was read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Callable

from .._api.client import EngineClient, local_client
from .._common.errors import SwarmError, failure_of
from .._common.waiting import INTERVAL, Clock, poll, retry
from .._engine.overlays import overlays_come
from .._engine.unit import EngineUnit
from .._host.engine import pause_before_unlock
from .._host.files import DATA_ROOT, text_of, write_whole
from .._model.documents import parse_member, parse_node
from .._model.labels import BACKUP_LABEL, name_of
from .._nodes import maintenance
from . import age, export
from .backup_copies import names_in, prune, sha256_of
from .backup_files import EXPORT, RAFT, BackupName, meta_of
from .backup_plan import (
    DONE,
    FAILED,
    RUNNING,
    BackupPlan,
    HostView,
    Record,
    Wanted,
    margin_objection,
    name_for,
    parse_record,
    plan_backup,
)
from .raft_files import size_of
from .raft_key import is_sealed, open_key
from .raft_tar import FOLDER, KEY_FILE, check_contents, read_tar, write_tar

STATE_DIR = "/var/lib/flotilla.swarm"
RUN_DIR = "/run/flotilla.swarm"
NOTE = f"{STATE_DIR}/backup.json"
RECORD = "flotilla.swarm.backup"
# Seconds until the engine is back; to put the node back into service; to read and encrypt the state of the stopped engine.
BACK_LIMIT, ACTIVE_LIMIT, ARCHIVE_LIMIT = 300, 60, 300
_STARTS = 3
_RETRIES = 6
# Why an engine that answers is not back. A manager has the role of a worker for a moment after its start.
_LEFT, _DEMOTED = "it has left its swarm", "it is a worker now"
_TASK_LABEL = "com.docker.swarm.task.id"
_STARTS_AGAIN = ("always", "unless-stopped")


@dataclass(frozen=True)
class Note:
    """What has to be put right on this host if the run does not do it."""

    node_id: str
    docker_host: str
    stopped: bool = False
    drained: bool = False


class Stopped(BaseException):
    """Systemd ends the run: what was begun is put right on the way out."""


def stop_on_term() -> None:
    """Turn the signal that ends a service into an exception."""

    def stop(_number: int, _frame: Any) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, stop)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Put the end of the service off while the block puts things right: without it, the manager could stay locked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Observe


def connect(docker_host: str) -> EngineClient:
    """A connection to the engine of this host."""
    return local_client(docker_host, 60)


def observe(client: Any, wanted: Wanted) -> tuple[HostView, dict[str, Any]]:
    """What this manager knows of the swarm and of itself, and what its engine says of itself. Raises not_manager and others."""
    info = client.info()
    member = parse_member(info)
    documents = client.nodes()
    nodes = tuple(map(parse_node, documents))
    swarm = client.swarm()
    cluster_id, node_id = str(swarm.get("ID") or ""), member.node_id or ""
    me = next((node for node in nodes if node.id == node_id), None)
    if me is None:
        raise SwarmError(
            "not_ready",
            "Could not back up the swarm: this manager is not among its nodes yet. Run again.",
        )
    drain = None
    if me.availability != "drain":
        snapshot = maintenance.parse_snapshot(documents, client.services(), client.tasks())
        accepted = set(wanted.accepted_risks) & set(maintenance.MAINTENANCE_RISKS)
        drain = maintenance.plan_maintenance(snapshot, [node_id], maintenance.DRAINED, accepted)
    containers, stays_stopped = _containers(client)
    names = names_in(os.path.join(wanted.folder, cluster_id))
    encryption = (swarm.get("Spec") or {}).get("EncryptionConfig") or {}
    autolock = bool(encryption.get("AutoLockManagers"))
    view = HostView(
        cluster_id, node_id, nodes, autolock, drain, containers, stays_stopped, tuple(names)
    )
    return view, info


def _containers(client: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The containers outside the swarm that run, and those of them that Docker does not start again."""
    names, stopped = [], []
    for container in client.get("/containers/json", "list the containers"):
        if _TASK_LABEL in (container.get("Labels") or {}):
            continue
        name = (container.get("Names") or [container["Id"][:12]])[0].lstrip("/")
        names.append(name)
        with contextlib.suppress(SwarmError):
            found = client.get(f"/containers/{container['Id']}/json", f"read container {name}")
            policy = (found["HostConfig"].get("RestartPolicy") or {}).get("Name")
            if policy not in _STARTS_AGAIN:
                stopped.append(name)
    return tuple(sorted(names)), tuple(sorted(stopped))


def data_root_of(info: dict[str, Any]) -> str:
    """Where the engine keeps its data."""
    return str(info.get("DockerRootDir") or DATA_ROOT)


def check_key_given(key: str, data_root: str) -> None:
    """Raise wrong_unlock_key if this key does not open the key file of this manager; nothing has stopped for it."""
    path = os.path.join(data_root, KEY_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            pem = file.read()
    except OSError as error:
        raise failure_of("read the key file of this manager", error) from error
    if is_sealed(pem):
        open_key(pem, key)


def preflight(wanted: Wanted, data_root: str) -> None:
    """What would fail after the engine has stopped, and can be known before. Raises bad_option, no_age, no_space and others."""
    export.refuse_recipients(wanted.recipients)
    export.refuse_folder(wanted.folder)
    place = wanted.folder
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    disk = os.statvfs(place)
    free, needed = disk.f_bavail * disk.f_frsize, size_of(os.path.join(data_root, FOLDER))
    if free < needed:
        raise SwarmError(
            "no_space",
            f"Could not back up into {wanted.folder}: it has {free >> 20} MB free, and the backup can take {needed >> 20} MB. Free"
            " space, or set swarm_backup_dir to another place.",
            free=free,
            needed=needed,
        )


# The record in the swarm


def find_record(client: Any) -> tuple[dict[str, Any] | None, Record | None]:
    """The config that has the record, and the record."""
    found = client.get("/configs", "read the record of backups", filters={"name": RECORD})
    for document in found or []:
        spec = document.get("Spec") or {}
        if spec.get("Name") == RECORD:
            return document, parse_record((spec.get("Labels") or {}).get(BACKUP_LABEL))
    return None, None


def claim(client: Any, record: Record) -> None:
    """Write this record unless a backup is in progress; raises in_progress. Of two who try together, one succeeds."""
    for _attempt in range(_RETRIES):
        document, before = find_record(client)
        # One process a host makes backups, so a record of this node is that of a run that was lost.
        if before and before.fresh(record.started) and before.node_id != record.node_id:
            raise SwarmError(
                "in_progress",
                f"Could not back up the swarm: {before.name} is making a backup. Wait until it has ended, and run again.",
                node_id=before.node_id,
                name=before.name,
            )
        if _write_record(client, document, record):
            return
    raise SwarmError(
        "in_progress",
        "Could not back up the swarm: other managers write the record of backups at the same time. Run again.",
    )


def _write_record(client: Any, document: dict[str, Any] | None, record: Record) -> bool:
    """Whether it was written; False where somebody else was quicker."""
    labels = {BACKUP_LABEL: record.as_text()}
    try:
        if document is None:
            data = base64.b64encode(b"The label of this config says who made the latest backup.\n")
            client.create(
                "config", {"Name": RECORD, "Labels": labels, "Data": data.decode("ascii")}
            )
        else:
            client.relabel("config", document, labels)
    except SwarmError as error:
        if error.code not in ("conflict", "out_of_sequence", "not_found"):
            raise
        return False
    return True


def close_record(client: Any, node_id: str, state: str) -> None:
    """Note the end of the backup of this node, if it is still the one in the record."""
    for _attempt in range(_RETRIES):
        document, record = find_record(client)
        if record is None or record.node_id != node_id or record.state != RUNNING:
            return
        if _write_record(client, document, replace(record, state=state)):
            return


# Apply


class BackupRun:
    """One backup on this manager. `say` gets short lines for the journal."""

    def __init__(
        self,
        wanted: Wanted,
        say: Callable[[str], None],
        keep_key: Callable[[str], None] = lambda key: None,
        clock: Clock | None = None,
    ) -> None:
        """`keep_key` gets the unlock key before the engine stops, and must keep it from being lost with this process."""
        self._wanted = wanted
        self._say = say
        self._keep_key = keep_key
        self._clock = clock or Clock()
        self._unit = EngineUnit(_command, self._clock)
        self._key = ""  # only in memory, and never part of a result
        self.done: list[str] = []
        self.stopped_seconds: float | None = None

    def resume(self, key: str = "") -> bool:
        """Put right what a killed run has left on this host. Returns whether there was anything. Raises locked, not_back, ..."""
        note = read_note()
        if note is None:
            return False
        self._say("puts right what an interrupted backup has left")
        self._key = self._key or key
        try:
            if note.stopped:
                self._bring_back(note.docker_host, note.node_id)
            else:
                self._wait_until_back(note.docker_host, note.node_id)
        except SwarmError as error:
            if error.code != "not_manager":
                raise
            _remove_note()
            self._say("this host is not that manager any more, and has nothing to put right")
            return True
        client = connect(note.docker_host)
        if note.drained:
            self._activate(client, note.node_id)
        retry(lambda: close_record(client, note.node_id, FAILED), ACTIVE_LIMIT, clock=self._clock)
        _remove_note()
        self._say("the engine runs, and the node is in service")
        return True

    def run(
        self, given_key: str = "", with_raft: bool = True, closes_slot: bool = True
    ) -> dict[str, Any]:
        """Make the backup. Raises refused, in_progress, wrong_unlock_key and others; whatever fails, the engine runs afterwards.

        Without `closes_slot`, the next manager whose timer has elapsed makes one too.
        """
        began = self._clock.now()
        client = connect(self._wanted.docker_host)
        view, info = observe(client, self._wanted)
        plan = plan_backup(view, self._wanted, time.time(), with_raft)
        refuse(plan)
        preflight(self._wanted, data_root_of(info))
        if given_key and view.autolock:
            check_key_given(given_key, data_root_of(info))
        me = view.me
        found: dict[str, Any] = {}
        complete = False
        # Before the record, which nobody else would close if this run is killed.
        _write_note(Note(me.id, self._wanted.docker_host))
        try:
            claim(client, Record(RUNNING, me.id, name_of(me), time.time()))
            self._say(plan.title)
            # Both have the same time in their names.
            when = time.time()
            found["export"] = self._export(client, view, when)
            if with_raft:
                found["raft"] = self._raft(client, view, info, given_key, when)
            complete = closes_slot
        finally:
            # The engine may just be back, so a manager that does not answer yet is asked again.
            with contextlib.suppress(SwarmError):
                state = DONE if complete else FAILED
                retry(lambda: close_record(client, me.id, state), ACTIVE_LIMIT, clock=self._clock)
            note = read_note()
            if note is not None and not (note.stopped or note.drained):
                _remove_note()
        found["deleted"] = self.prune(view.cluster_id)
        found["seconds"] = round(self._clock.now() - began, 1)
        found["stopped_seconds"] = self.stopped_seconds
        return found

    def prune(self, cluster_id: str) -> list[str]:
        """Delete the backups that need not be kept."""
        found = prune(
            self._wanted.folder,
            cluster_id,
            time.time(),
            self._wanted.keep_count,
            self._wanted.keep_days,
        )
        for name in found:
            self._say(f"deleted {name}")
        self.done += [f"delete {name}" for name in found]
        return found

    def _export(self, client: Any, view: HostView, when: float) -> dict[str, Any]:
        taken = export.take_export(client)
        name = name_for(EXPORT, name_of(view.me), when)
        written = export.write_export(
            taken, self._wanted.folder, self._wanted.recipients, name, self._clock
        )
        self.done.append(f"write {name.data}")
        self._say(f"wrote {written.path}")
        return {"path": written.path, "meta_path": written.meta_path, "meta": written.meta}

    def _raft(
        self, client: Any, view: HostView, info: dict[str, Any], given_key: str, when: float
    ) -> dict[str, Any]:
        me = view.me
        name = name_for(RAFT, name_of(me), when)
        place = os.path.join(self._wanted.folder, view.cluster_id)
        partial = os.path.join(place, f".partial-{name.data}")
        identity, own = age.new_identity()
        self._key = _unlock_key_of(client) if view.autolock else ""
        if self._key:
            self._keep_key(self._key)
        try:
            with export.alone_in(place, self._clock):
                try:
                    with self._out_of_service(client, view):
                        self._say(f"stops the engine of {name_of(me)}")
                        with self._engine_stopped(me.id):
                            encrypted, written = self._archive(own, data_root_of(info))
                        self._say(f"the engine is back after {self.stopped_seconds} s")
                    write_whole(partial, encrypted)
                    sealed = self._check(partial, identity, written, given_key)
                    return self._publish(partial, place, name, view, info, sealed)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(partial)
        except OSError as error:
            raise failure_of(f"write the raft backup into {place}", error) from error

    @contextlib.contextmanager
    def _out_of_service(self, client: Any, view: HostView) -> Iterator[None]:
        """Drain the node while the block runs, unless it is drained already."""
        steps = view.drain.steps if view.drain is not None else []
        if view.drain is None or not steps:
            yield
            return
        _write_note(replace(_noted(), drained=True))
        try:
            maintenance.maintain(
                client, view.drain, self.done, self._wanted.drain_timeout, self._clock
            )
            yield
        finally:
            # A manager that does not come back keeps its note, and the next run completes this one.
            with shielded():
                self._activate(client, view.node_id)
                self.done.append(f"activate {name_of(view.me)}")
                _write_note(replace(_noted(), drained=False))

    def _activate(self, client: Any, node_id: str) -> None:
        def work() -> None:
            snapshot = maintenance.observe(client)
            plan = maintenance.plan_maintenance(snapshot, [node_id], maintenance.BACK, ())
            maintenance.maintain(client, plan, [], ACTIVE_LIMIT, self._clock)

        retry(work, ACTIVE_LIMIT, clock=self._clock)

    @contextlib.contextmanager
    def _engine_stopped(self, node_id: str) -> Iterator[None]:
        """Stop the engine while the block runs. Whatever happens in it, the engine is started, unlocked and waited for."""
        docker_host = self._wanted.docker_host
        client = connect(docker_host)
        nodes = [parse_node(document) for document in client.nodes()]
        objection = margin_objection(nodes, node_id)
        if objection and "quorum" not in self._wanted.accepted_risks:
            raise SwarmError(
                "refused",
                f"Could not stop the engine: {objection}. Bring managers back, and run again.",
            )
        _write_note(replace(_noted(), stopped=True))
        began = self._clock.now()
        try:
            self._unit.stop()
            yield
        finally:
            with shielded():
                self._bring_back(docker_host, node_id)
                self.stopped_seconds = round(self._clock.now() - began, 1)
                _write_note(replace(_noted(), stopped=False))

    def _bring_back(self, docker_host: str, node_id: str) -> None:
        """Start the engine until it is whole: an engine that is unlocked may lack its overlay networks (`pause_before_unlock`)."""
        for attempt in range(_STARTS):
            if attempt:
                self._say("its overlay networks do not come up: restarts the engine")
                self._unit.stop()
            self._unit.start()
            self._wait_until_back(docker_host, node_id)
            if overlays_come(connect(docker_host), self._clock):
                return
        raise SwarmError(
            "not_back",
            "Could not bring the engine of this manager back: it has no overlay networks. Restart it, and see journalctl -u docker on it.",
        )

    def _wait_until_back(self, docker_host: str, node_id: str) -> None:
        """The engine answers, is unlocked, and the other managers reach it."""

        def look() -> str:
            try:
                client = connect(docker_host)
                member = parse_member(client.info())
                state = member.state
                if state == "inactive" or member.node_id not in (None, node_id):
                    return _LEFT
                if state == "locked":
                    if not self._key:
                        return "locked"
                    self._clock.sleep(pause_before_unlock())
                    client.unlock(self._key)
                    return "it is being unlocked"
                if state != "active":
                    return f"it is {state} in its swarm"
                if member.role != "manager":
                    return _DEMOTED
                nodes = [parse_node(document) for document in client.nodes()]
            except SwarmError as error:
                return error.message
            me = next((node for node in nodes if node.id == node_id), None)
            return "" if me is not None and me.ready else "the other managers do not reach it"

        why, _done = poll(
            look, lambda seen: seen in ("", "locked", _LEFT), BACK_LIMIT, INTERVAL, self._clock
        )
        if why in (_LEFT, _DEMOTED):
            raise SwarmError(
                "not_manager",
                f"Could not put this manager back into service: {why}. Run site.yml, and then the backup again.",
            )
        if why == "locked":
            raise SwarmError(
                "locked",
                "Could not put this manager back into service: it is locked, and its unlock key is lost with an interrupted run. Set"
                " swarm_unlock_key, or run 'docker swarm unlock' on it, and run again.",
            )
        if why:
            raise SwarmError(
                "not_back",
                f"Could not bring the engine of this manager back within {BACK_LIMIT} s: {why}. See journalctl -u docker on it.",
            )

    def _archive(self, own: str, data_root: str) -> tuple[bytes, dict[str, int]]:
        """The archive, encrypted, and what is in it. In memory: a share that hangs must not keep the engine stopped."""
        written: dict[str, int] = {}

        def write(stream: Any) -> None:
            written.update(write_tar(data_root, stream))

        recipients = [*self._wanted.recipients, own]
        return age.encrypt_in_memory("the raft backup", recipients, write, ARCHIVE_LIMIT), written

    def _check(self, partial: str, identity: str, written: dict[str, int], given_key: str) -> bool:
        """Read the file back: it is complete, and the unlock key opens it. Returns whether a restore needs the key."""
        found = read_tar(age.decrypt(partial, identity))
        check_contents(found.sizes, written)
        sealed = is_sealed(found.key_file)
        if sealed:
            open_key(found.key_file, given_key or self._key)
        return sealed

    def _publish(
        self,
        partial: str,
        place: str,
        name: BackupName,
        view: HostView,
        info: dict[str, Any],
        sealed: bool,
    ) -> dict[str, Any]:
        path, meta_path = os.path.join(place, name.data), os.path.join(place, name.meta)
        meta = meta_of(
            name,
            cluster_id=view.cluster_id,
            address=parse_member(info).node_addr or "",
            engine_version=str(info.get("ServerVersion") or ""),
            sha256=sha256_of(partial),
            size=os.path.getsize(partial),
            recipients=list(self._wanted.recipients),
            autolock=view.autolock,
        )
        meta["key_needed"] = sealed
        # The state in the archive has the drain, which a restore ends.
        meta["drained"] = bool(view.drain and view.drain.steps)
        os.rename(partial, path)
        write_whole(meta_path, (json.dumps(meta, indent=2, sort_keys=True) + "\n").encode())
        self.done.append(f"write {name.data}")
        self._say(f"wrote {path} and read it back")
        return {"path": path, "meta_path": meta_path, "meta": meta}


def refuse(plan: BackupPlan) -> None:
    """Raise refused if the plan is."""
    if plan.refusals:
        raise SwarmError("refused", f"Nothing was changed: {'; '.join(plan.refusals)}.")


def _unlock_key_of(client: Any) -> str:
    answer = client.get("/swarm/unlockkey", "read the key that unlocks this manager")
    return str((answer or {}).get("UnlockKey") or "")


def _command(args: list[str]) -> tuple[int, str, str]:
    """Run a command that ends by itself: its exit code, output and errors."""
    done = subprocess.run(
        args, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


# The note on the host


def read_note() -> Note | None:
    """The note of a run that is in progress or was killed."""
    try:
        found = json.loads(text_of(NOTE) or "null")
        return None if found is None else Note(**found)
    except (ValueError, TypeError):
        return None


def _noted() -> Note:
    note = read_note()
    if note is None:
        raise AssertionError("a backup in progress has a note")
    return note


def _write_note(note: Note) -> None:
    os.makedirs(STATE_DIR, mode=0o755, exist_ok=True)
    write_whole(NOTE, json.dumps(asdict(note)).encode())


def _remove_note() -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(NOTE)
