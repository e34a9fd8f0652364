# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Archives of images, as `docker save` writes them: what is in them, their layers as files, and smaller ones for `docker load`.

`docker load` reads a layer from its archive only if the engine does not have it in the same place of an image (moby:
image/tarexport/load.go). So an archive can lack the layers that an engine has. A layer is known by the hash of its content, its diff
ID, and every layer is checked against it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from .._common.errors import SwarmError

# Bytes of a document in an archive, and of what is read at once.
_LARGEST, PIECE = 4 << 20, 1 << 20
_DIFF_ID = re.compile(r"sha256:([0-9a-f]{64})")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Layer:
    """A layer, with the size of its content."""

    diff_id: str
    size: int


@dataclass(frozen=True)
class Image:
    """An image of an archive."""

    id: str  # the hash of its configuration
    names: tuple[str, ...]
    os: str
    architecture: str
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """The size of its layers together."""
        return sum(layer.size for layer in self.layers)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.names[0] if self.names else self.id[7:19]

    def as_dict(self) -> dict[str, Any]:
        """The image as data, for a module's result."""
        return {
            "id": self.id,
            "name": self.name,
            "names": list(self.names),
            "os": self.os,
            "architecture": self.architecture,
            "size": self.size,
            "config": base64.b64encode(self.config).decode(),
            "layers": [{"diff_id": layer.diff_id, "size": layer.size} for layer in self.layers],
        }


def parse_described(document: Mapping[str, Any]) -> Image:
    """The image in data of `as_dict`; raises bad_archive."""
    try:
        config = base64.b64decode(document["config"], validate=True)
        sizes = {str(each["diff_id"]): int(each["size"]) for each in document["layers"]}
        names = [str(name) for name in document["names"]]
        return _image(config, names, sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise bad("the description of an image", f"it is not complete ({error})") from error


def bad(what: str, why: str) -> SwarmError:
    """The failure bad_archive."""
    return SwarmError(
        "bad_archive", f"Could not read {what}: {why}. Write it again with docker save."
    )


class LayerFolder:
    """Layers as files of a folder, by their hash."""

    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, diff_id: str) -> str:
        """The path of a layer; raises bad_archive for what is no diff ID."""
        found = _DIFF_ID.fullmatch(diff_id)
        if not found:
            raise bad("a layer", f"{diff_id[:80]} is no diff ID")
        return os.path.join(self.path, found.group(1))

    def present(self) -> dict[str, int]:
        """The layers that are complete, with their sizes."""
        try:
            names = [name for name in os.listdir(self.path) if re.fullmatch("[0-9a-f]{64}", name)]
        except FileNotFoundError:
            return {}
        return {f"sha256:{name}": os.stat(os.path.join(self.path, name)).st_size for name in names}

    def add(self, pieces: Iterable[bytes], wanted: str = "") -> Layer:
        """Write a layer, and give it its name when it is complete. Raises bad_archive if it is not `wanted`."""
        partial = os.path.join(self.path, f".partial-{os.getpid()}")
        digest, size = hashlib.sha256(), 0
        try:
            with open(partial, "wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    size += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            layer = Layer(f"sha256:{digest.hexdigest()}", size)
            if wanted and layer.diff_id != wanted:
                raise bad(f"layer {wanted[7:19]}", "its content has another hash")
            os.rename(partial, self.file(layer.diff_id))
        finally:
            if os.path.exists(partial):
                os.unlink(partial)
        return layer

    def keep(self, diff_ids: Iterable[str]) -> None:
        """Remove everything else, also what an interrupted run has left."""
        wanted = {os.path.basename(self.file(diff_id)) for diff_id in diff_ids}
        for name in os.listdir(self.path):
            if name not in wanted:
                os.unlink(os.path.join(self.path, name))


# Read


def read_archive(
    stream: IO[bytes], what: str, into: LayerFolder | None = None, wanted: Iterable[str] = ()
) -> list[Image]:
    """The images of an archive, read once from its beginning to its end. The wanted layers go into a folder.

    Raises bad_archive, and OSError.
    """
    documents: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    keep = set(wanted)
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    continue
                head = content.read(2)
                document = head[:1] in (b"{", b"[") and not member.name.endswith("layer.tar")
                if document and member.size <= _LARGEST:
                    documents[os.path.normpath(member.name)] = head + content.read()
                elif _is_layer(member.name):
                    layer = _take(_pieces(content, head), into, keep)
                    sizes[layer.diff_id] = layer.size
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise bad(what, f"it is not a complete tar archive ({error})") from error
    return _images(documents, sizes, what)


def _is_layer(name: str) -> bool:
    """Whether a file of an archive can be a layer: there are two layouts, and engines from 25 on write the second one."""
    return "blobs/sha256/" in name or name.endswith((".tar", ".tar.gz"))


def _pieces(content: IO[bytes], head: bytes) -> Iterator[bytes]:
    """The content of a layer, which other programs than Docker can have compressed."""
    source: Any = _Rejoined(head, content)
    if head == _GZIP:
        source = gzip.GzipFile(fileobj=source)
    while piece := source.read(PIECE):
        yield piece


class _Rejoined(io.RawIOBase):
    """A file whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._rest.read(size)


def _take(pieces: Iterator[bytes], into: LayerFolder | None, keep: set[str]) -> Layer:
    """The layer, in the folder if it is to be kept. Its hash is known only at its end."""
    if into is None:
        digest, size = hashlib.sha256(), 0
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
        return Layer(f"sha256:{digest.hexdigest()}", size)
    layer = into.add(pieces)
    if layer.diff_id not in keep:
        os.unlink(into.file(layer.diff_id))
    return layer


def _images(documents: Mapping[str, bytes], sizes: Mapping[str, int], what: str) -> list[Image]:
    try:
        manifest = json.loads(documents["manifest.json"])
        return [
            _image(
                documents[os.path.normpath(str(each["Config"]))],
                [str(name) for name in each.get("RepoTags") or []],
                sizes,
            )
            for each in manifest
        ]
    except KeyError as error:
        raise bad(what, f"it has no {error.args[0]}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise bad(what, "its manifest.json is not that of docker save") from error


def _image(config: bytes, names: list[str], sizes: Mapping[str, int]) -> Image:
    document = json.loads(config)
    diff_ids = [str(each) for each in document["rootfs"]["diff_ids"]]
    return Image(
        id=f"sha256:{hashlib.sha256(config).hexdigest()}",
        names=tuple(names),
        os=str(document.get("os") or "linux"),
        architecture=str(document.get("architecture") or ""),
        config=config,
        layers=tuple(Layer(diff_id, sizes[diff_id]) for diff_id in diff_ids),
    )


# Write


def write_archive(
    images: Iterable[Image], layers: LayerFolder, without: Mapping[str, int]
) -> Iterator[bytes]:
    """An archive for docker load. `without` has, by image, how many of its first layers the engine has."""
    images = list(images)
    manifest = [
        {
            "Config": f"{image.id[7:]}.json",
            "RepoTags": list(image.names),
            "Layers": [f"{layer.diff_id[7:]}.tar" for layer in image.layers],
        }
        for image in images
    ]
    yield from _member("manifest.json", json.dumps(manifest).encode())
    written = set()
    for image in images:
        yield from _member(f"{image.id[7:]}.json", image.config)
        for layer in image.layers[without.get(image.id, 0) :]:
            if layer.diff_id not in written:
                written.add(layer.diff_id)
                yield _header(f"{layer.diff_id[7:]}.tar", layer.size)
                with open(layers.file(layer.diff_id), "rb") as file:
                    while piece := file.read(PIECE):
                        yield piece
                yield _padding(layer.size)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content
    yield _padding(len(content))


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)
