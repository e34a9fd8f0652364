# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Gives a host the images that it lacks: from layers that the controller has brought, and from those that another host serves."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from .._common.errors import SwarmError, failure_of
from .._host.locks import alone
from .archive import PIECE, Image, LayerFolder, write_archive
from .engine import ImageStore
from .folders import LOCK, SPOOL, prepare, require_space

# Seconds that a server can be silent, and that another run on this host can take.
_SILENCE, _TURN = 60.0, 5.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class Source:
    """A host that serves layers. Its certificate is known by its fingerprint."""

    address: str
    port: int
    fingerprint: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Needs:
    """What a host lacks of the images. `first` has, by image, how many of its first layers the engine has."""

    present: tuple[str, ...]  # names of images
    images: tuple[Image, ...] = ()
    first: Mapping[str, int] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)  # to bring here, with their sizes
    spooled: Mapping[str, int] = field(default_factory=dict)  # brought by an interrupted run


def plan_needs(
    images: Sequence[Image],
    present: Sequence[Image],
    chains: set[tuple[str, ...]],
    spooled: Mapping[str, int],
) -> Needs:
    """What a host lacks, given the layers that its images begin with, and those that are in its folder already."""
    missing = [image for image in images if image not in present]
    first, layers = {}, {}
    for image in missing:
        ids = tuple(layer.diff_id for layer in image.layers)
        first[image.id] = max((n for n in range(len(ids) + 1) if ids[:n] in chains), default=0)
        layers.update({layer.diff_id: layer.size for layer in image.layers[first[image.id] :]})
    there = {each: size for each, size in layers.items() if spooled.get(each) == size}
    return Needs(
        present=tuple(image.name for image in present),
        images=tuple(missing),
        first=first,
        layers={each: size for each, size in layers.items() if each not in there},
        spooled=there,
    )


def observe(store: ImageStore, images: Sequence[Image]) -> Needs:
    """What this host lacks. Raises the failures of the engine."""
    present = [image for image in images if store.has(image)]
    chains: set[tuple[str, ...]] = set()
    if len(present) < len(images) and store.reads_partial_archives():
        chains = store.chains()
    return plan_needs(images, present, chains, LayerFolder(SPOOL).present())


def bring(
    store: ImageStore,
    images: Sequence[Image],
    incoming: Mapping[str, str],
    source: Source | None,
    keep: bool,
    done: dict[str, Any],
) -> Needs:
    """Load what this host lacks. `incoming` are files of layers from the controller, and `done` counts the bytes.

    With `keep`, the layers stay for others. Raises busy, no_space, bad_archive, fetch_failed, load_failed and those of the engine.
    """
    busy = SwarmError(
        "busy", "Could not load the images: another run loads images on this host. Run again."
    )
    with alone(LOCK, busy, _TURN):
        try:
            prepare()
            folder = LayerFolder(SPOOL)
            needs = observe(store, images)
            folder.keep({**needs.layers, **needs.spooled})
            size = sum(needs.layers.values())
            # The engine writes them a second time.
            require_space(SPOOL, size, "load the images")
            for diff_id, path in incoming.items():
                with contextlib.suppress(FileNotFoundError):
                    if diff_id in needs.layers:
                        done["bytes"] += folder.add(_content(path), diff_id).size
                    os.unlink(path)
            left = {each: n for each, n in needs.layers.items() if each not in folder.present()}
            if left:
                _fetch(left, source, folder, done)
            if needs.images:
                store.load(write_archive(needs.images, folder, needs.first))
                done["loaded"] += [image.name for image in needs.images]
                _check(store, needs.images)
            if not keep:
                folder.keep(())
        except OSError as error:
            raise failure_of("load the images", error) from error
    return needs


def _check(store: ImageStore, images: Sequence[Image]) -> None:
    absent = [image.name for image in images if not store.has(image)]
    if absent:
        raise SwarmError(
            "load_failed",
            f"Could not load the images: the engine has taken the archive, and does not have {', '.join(absent)}. Run again.",
        )


def _content(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece


# From another host


def _fetch(
    layers: Mapping[str, int], source: Source | None, folder: LayerFolder, done: dict[str, Any]
) -> None:
    if source is None:
        raise SwarmError(
            "fetch_failed",
            f"Could not load the images: {len(layers)} of their layers have not arrived. Run again.",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate is for this run alone, and the fingerprint is what proves it.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for diff_id, size in layers.items():
        problem = ""
        for _attempt in range(_ATTEMPTS):
            try:
                folder.add(_pieces(context, source, diff_id, size, done), diff_id)
                problem = ""
                break
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.filename:
                    raise
                problem = str(error) or "it broke off"
        if problem:
            raise SwarmError(
                "fetch_failed",
                f"Could not fetch layer {diff_id[7:19]} from {source.address}:{source.port}: {problem.rstrip('.')}. Check that this host"
                " reaches that port (swarm_ship_port), and run again: what has arrived is not sent again.",
            )


def _pieces(
    context: ssl.SSLContext, source: Source, diff_id: str, size: int, done: dict[str, Any]
) -> Iterator[bytes]:
    """The content of a layer. Nothing is sent before the certificate is known to be the right one."""
    with (
        socket.create_connection((source.address, source.port), _SILENCE) as plain,
        context.wrap_socket(plain) as tls,
    ):
        certificate = tls.getpeercert(binary_form=True) or b""
        if sha256(certificate).hexdigest() != source.fingerprint:
            raise ConnectionError(
                "another host answers there: its certificate is not that of this run"
            )
        connection = http.client.HTTPConnection(source.address, source.port, timeout=_SILENCE)
        connection.sock = tls
        headers = {"Authorization": f"Bearer {source.token}"}
        connection.request("GET", f"/layer/{diff_id[7:]}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise ConnectionError(f"it answers with the status {answer.status}")
        found = 0
        while piece := answer.read(PIECE):
            found += len(piece)
            done["bytes"] += len(piece)
            if found > size:
                break
            yield piece
        if found != size:
            raise ConnectionError(f"{found} of {size} bytes arrived")
