# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Removes from one host what the plan names: by ID and without force, so that the engine still refuses what is in use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from .._api.client import EngineClient
from .._api.reader import EngineReader
from .._common.errors import SwarmError
from .._common.waiting import poll
from .._model.documents import dig, id_of, moment
from .clean_up_plan import (
    BUILD_CACHE,
    CONTAINERS,
    IMAGES,
    VOLUMES,
    CacheRecord,
    CleanUpPlan,
    CleanUpStep,
    HostContainer,
    HostImage,
    HostUse,
    HostVolume,
)
from .references import SwarmReferences, swarm_references

TASK_LABEL = "com.docker.swarm.task.id"
# Failures of one removal that say nothing about the next one.
_OF_ONE_OBJECT = ("conflict", "engine_error")
# Seconds to wait for another client that reads the disk usage.
_DISK_USAGE = 120
# Times before this are placeholders: the engine has the year 1 for an image without a date.
_EARLIEST = 1.0


@dataclass(frozen=True)
class Refusal:
    """An object that the engine did not remove, and why, in its words."""

    kind: str
    name: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "name": self.name, "reason": self.reason}


# Observe


def read_references(client: EngineClient | EngineReader) -> tuple[SwarmReferences, list[str]]:
    """What the swarm refers to, and the IDs of its nodes. The client must be that of a manager."""
    nodes = client.nodes()
    # Services come last: what is created meanwhile is then among them rather than missing.
    tasks = [_task(document) for document in client.each("/tasks", "list the tasks")]
    configs = client.get("/configs", "list the configs")
    services = client.get("/services", "list the services")
    found = swarm_references(services or [], configs or [], tasks, nodes)
    return found, sorted(map(id_of, nodes))


def _task(document: dict[str, Any]) -> dict[str, Any]:
    """What matters of a task: a swarm can have 20,000 of them."""
    container = dig(document, "Spec", "ContainerSpec") or {}
    parts = {key: document.get(key) for key in ("ID", "NodeID", "ServiceID", "Slot")}
    spec = {"ContainerSpec": {key: container.get(key) for key in ("Image", "Mounts")}}
    return {**parts, "Status": {"State": dig(document, "Status", "State")}, "Spec": spec}


def read_use(client: EngineClient, on_this_host: bool) -> tuple[HostUse, str]:
    """What takes room on the host of the engine, and the folder of its data. If the engine is `on_this_host`, its own files
    say when an image was pulled."""
    info = client.info()
    root = str(info.get("DockerRootDir") or "")
    folder = os.path.join(root, "image", str(info.get("Driver")), "imagedb", "content", "sha256")
    usage = _disk_usage(client)
    every = client.get("/images/json", "list the images", all=True) or []
    shared = {id_of(image): image for image in usage.get("Images") or []}
    images = [
        _image(client, image, shared.get(id_of(image)), folder if on_this_host else "")
        for image in every
    ]
    containers = [_container(client, each) for each in usage.get("Containers") or []]
    volumes = [_volume(each, on_this_host) for each in usage.get("Volumes") or []]
    cache = [_record(each) for each in usage.get("BuildCache") or []]
    found = HostUse(tuple(images), tuple(filter(None, containers)), tuple(volumes), tuple(cache))
    return found, root


def _disk_usage(client: EngineClient) -> dict[str, Any]:
    """The engine computes it for one client at a time, and engines before 23 refuse the second one."""
    found: dict[str, Any] = {}

    def read() -> SwarmError | None:
        try:
            found.update(client.get("/system/df", "read the disk usage") or {})
        except SwarmError as error:
            if "already running" not in error.message:
                raise
            return error
        return None

    busy, _done = poll(read, lambda error: error is None, _DISK_USAGE)
    if busy is not None:
        raise busy
    return found


def _image(
    client: EngineClient, listed: dict[str, Any], sized: dict[str, Any] | None, folder: str
) -> HostImage:
    image_id = id_of(listed)
    times = [float(listed.get("Created") or 0)]
    stored = _changed(os.path.join(folder, image_id.rpartition(":")[2])) if folder else None
    if stored is None:
        # Another image store, or an engine elsewhere. It may also be gone by now.
        document = _existing(lambda: client.get(f"/images/{image_id}/json", "inspect an image"))
        stored = moment(dig(document, "Metadata", "LastTagTime"))
    times.append(stored or 0.0)
    return HostImage(
        id=image_id,
        tags=_names(listed.get("RepoTags")),
        digests=_names(listed.get("RepoDigests")),
        parent=str(listed.get("ParentId") or ""),
        size=int(listed.get("Size") or 0),
        shared=max(0, int((sized or {}).get("SharedSize") or 0)),
        since=max(times) if max(times) > _EARLIEST else None,
        hidden=sized is None,
    )


def _names(values: Any) -> tuple[str, ...]:
    """Names of an image; those of a nameless one are <none>:<none> and <none>@<none>."""
    return tuple(str(value) for value in values or [] if not str(value).startswith("<none>"))


def _container(client: EngineClient, listed: dict[str, Any]) -> HostContainer | None:
    container_id, state = id_of(listed), str(listed.get("State") or "")
    since = float(listed.get("Created") or 0) or None
    if state not in ("running", "paused", "restarting"):
        path = f"/containers/{container_id}/json"
        document = _existing(lambda: client.get(path, "inspect a container"))
        if document is None:
            return None
        state = str(dig(document, "State", "Status") or state)
        ended = moment(dig(document, "State", "FinishedAt")) or 0.0
        since = ended if ended > _EARLIEST else since
    mounts = listed.get("Mounts") or []
    return HostContainer(
        id=container_id,
        name=str((listed.get("Names") or [container_id[:12]])[0]).lstrip("/"),
        image=str(listed.get("ImageID") or ""),
        state=state,
        task=str((listed.get("Labels") or {}).get(TASK_LABEL) or ""),
        size=int(listed.get("SizeRw") or 0),
        volumes=tuple(str(each["Name"]) for each in mounts if each.get("Name")),
        since=since,
    )


def _volume(listed: dict[str, Any], on_this_host: bool) -> HostVolume:
    times = [moment(listed.get("CreatedAt")) or 0.0]
    driver = str(listed.get("Driver") or "")
    # Of a volume with options, this would be a mount point.
    if on_this_host and driver == "local" and not listed.get("Options"):
        times.append(_changed(str(listed.get("Mountpoint") or "")) or 0.0)
    return HostVolume(
        name=str(listed.get("Name")),
        driver=driver,
        size=max(0, int(dig(listed, "UsageData", "Size") or 0)),
        since=max(times) if max(times) > _EARLIEST else None,
    )


def _record(listed: dict[str, Any]) -> CacheRecord:
    size = 0 if listed.get("Shared") else int(listed.get("Size") or 0)
    used = moment(listed.get("LastUsedAt")) or moment(listed.get("CreatedAt"))
    return CacheRecord(id_of(listed), size, bool(listed.get("InUse")), used)


def _changed(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _existing(read: Callable[[], Any]) -> dict[str, Any] | None:
    """What `read` returns; None if the object is gone by now."""
    try:
        return dict(read())
    except SwarmError as error:
        if error.code != "not_found":
            raise
        return None


def free_bytes(root: str) -> int | None:
    """The free bytes of the disk with the engine's data."""
    try:
        stat = os.statvfs(root)
    except OSError:
        return None
    return stat.f_bavail * stat.f_frsize


# Apply


def clean_up(
    client: EngineClient,
    plan: CleanUpPlan,
    older_than: float,
    applied: list[CleanUpStep],
    refused: list[Refusal],
) -> None:
    """Remove what the plan names. Adds to `applied` what was removed, and to `refused` what the engine keeps."""
    for step in plan.steps:
        if step.kind != BUILD_CACHE:
            _attempt(step, partial(_remove, client, step), applied, refused)
    records = [step for step in plan.steps if step.kind == BUILD_CACHE]
    if records:
        _prune_cache(client, records, older_than, applied, refused)
    _verify(client, applied, refused)


def _attempt(
    step: CleanUpStep,
    work: Callable[[], bool],
    applied: list[CleanUpStep],
    refused: list[Refusal],
) -> None:
    try:
        if work():
            applied.append(step)
    except SwarmError as error:
        # Somebody else was quicker: the object is gone, but this run has not removed it.
        if error.code in _OF_ONE_OBJECT:
            reason = str(error.details.get("engine") or error.message)
            refused.append(Refusal(step.kind, step.name, reason))
        elif error.code != "not_found":
            raise


def _remove(client: EngineClient, step: CleanUpStep) -> bool:
    """Remove one object, and tell whether it was this that removed it."""
    if step.kind == CONTAINERS:
        client.call("DELETE", f"/containers/{step.id}", f"remove container {step.name}")
    elif step.kind == VOLUMES:
        path = f"/volumes/{quote(step.id, safe='')}"
        client.call("DELETE", path, f"remove volume {step.name}")
    else:
        return _remove_image(client, step)
    return True


def _remove_image(client: EngineClient, step: CleanUpStep) -> bool:
    """Without force, the engine does not remove an image of several repositories or tags by its ID, so its names go first.

    A name can have moved to another image since it was read.
    """
    tags = [name for name in step.names if "@" not in name]
    repositories = {name.partition("@")[0] for name in step.names if "@" in name}
    simple = len(tags) <= 1 and len(repositories) <= 1
    removed = False
    for name in () if simple else (*tags, *(name for name in step.names if "@" in name)):
        path = f"/images/{quote(name, safe='/:@')}"
        document = _existing(partial(client.get, f"{path}/json", "inspect an image"))
        if document is not None and id_of(document) == step.id:
            client.call("DELETE", path, f"remove image {name}")
            removed = True
    try:
        client.call("DELETE", f"/images/{step.id}", f"remove image {step.name}")
    except SwarmError as error:
        # It went with its last name.
        if error.code != "not_found" or not removed:
            raise
    return True


def _prune_cache(
    client: EngineClient,
    records: list[CleanUpStep],
    older_than: float,
    applied: list[CleanUpStep],
    refused: list[Refusal],
) -> None:
    query = {"all": "true"}
    if older_than > 0:
        query["filters"] = json.dumps({"until": [f"{older_than:.0f}s"]})
    try:
        answer = client.call("POST", "/build/prune", "remove the build cache", query=query)
    except SwarmError as error:
        if error.code not in _OF_ONE_OBJECT:
            raise
        reason = str(error.details.get("engine") or error.message)
        refused.append(Refusal(BUILD_CACHE, "build cache", reason))
        return
    deleted = set(dig(answer, "CachesDeleted") or [])
    applied.extend(record for record in records if record.id in deleted)


# Verify


def _verify(client: EngineClient, applied: list[CleanUpStep], refused: list[Refusal]) -> None:
    """Move what is still there from `applied` to `refused`: somebody may have created it again."""
    readers: dict[str, Callable[[], Iterable[str]]] = {
        CONTAINERS: lambda: _ids(client.get("/containers/json", "list the containers", all=True)),
        IMAGES: lambda: _ids(client.get("/images/json", "list the images", all=True)),
        VOLUMES: lambda: [
            str(volume.get("Name"))
            for volume in dig(client.get("/volumes", "list the volumes"), "Volumes") or []
        ],
    }
    for kind, read in readers.items():
        if any(step.kind == kind for step in applied):
            there = set(read())
            for step in [step for step in applied if step.kind == kind and step.id in there]:
                applied.remove(step)
                refused.append(Refusal(kind, step.name, "it is there again, or still"))


def _ids(documents: Any) -> list[str]:
    return [id_of(document) for document in documents or []]
