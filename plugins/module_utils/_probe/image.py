# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The image of the probers, made on each node: links to the node's own /usr, which a task mounts. So it has no code, needs no registry,
and is right for every architecture."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from .._common.errors import SwarmError
from .._common.waiting import Clock, poll
from .._images.engine import ImageStore
from .._model.documents import dig
from .._model.labels import PROBE_LABEL
from .request import IMAGE

_LINKED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_EMPTY = ("dev", "etc", "proc", "run", "sys", "tmp", "usr")
# Label of the image: the interpreter that it links to.
_PYTHON_LABEL = f"{PROBE_LABEL}.python"
# Seconds until the containers of the probe have gone, after their services have.
_GONE = 60.0


@dataclass(frozen=True)
class NodeRoot:
    """What the image of a node links to. `reason` is why there can be none; empty if there can."""

    python: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""


def node_root(root: str = "") -> NodeRoot:
    """What the image of this host links to. `root` precedes every path, for tests."""
    links = {}
    for name in _LINKED:
        path = f"{root}/{name}"
        if os.path.lexists(path):
            target = os.path.relpath(os.path.realpath(path), root or "/")
            if not target.startswith("usr/"):
                return NodeRoot(reason=f"its /{name} is not part of /usr")
            links[name] = target
    python = _python(root)
    if not python:
        return NodeRoot(reason="it has no /usr/bin/python3, and the probers run with it")
    return NodeRoot(python, links)


def _python(root: str) -> str | None:
    """The interpreter that runs this, if it is part of /usr, or else that of the system."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"{sys.base_prefix}/bin/{name}", "/usr/bin/python3"):
        path = os.path.realpath(f"{root}{candidate}")
        if os.access(path, os.X_OK) and path.startswith(f"{root}/usr/"):
            return path[len(root) :]
    return None


def archive_of(node: NodeRoot) -> bytes:
    """The file system of the image."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in _EMPTY:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, target in {**node.links, "python": node.python}.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(link)
    return content.getvalue()


def is_present(store: ImageStore, node: NodeRoot) -> bool:
    """Whether the engine has the image, with the interpreter that the host has now."""
    found = store.find(IMAGE)
    return dig(found, "Config", "Labels", _PYTHON_LABEL) == node.python


def make(store: ImageStore, node: NodeRoot) -> None:
    """Make the image. Raises load_failed and the failures of the engine."""
    repository, _colon, tag = IMAGE.rpartition(":")
    store.make(repository, tag, archive_of(node), f"LABEL {_PYTHON_LABEL}={node.python}")


def remove(store: ImageStore, clock: Clock | None = None) -> bool:
    """Remove the image when the containers of the probe have gone; whether there was one. Raises not_removed."""
    if store.find(IMAGE) is None:
        return False
    left, gone = poll(lambda: store.containers(PROBE_LABEL), lambda ids: not ids, _GONE, 1.0, clock)
    if gone:
        try:
            store.remove(IMAGE)
        except SwarmError as error:
            if error.code not in ("not_found", "conflict"):
                raise
    if store.find(IMAGE) is not None:
        ids = ", ".join(each[:12] for each in left) or "a container"
        raise SwarmError(
            "not_removed",
            f"Could not remove the image {IMAGE}: {ids} of the probe still uses it. Run the playbook probe_network.yml again.",
        )
    return True
