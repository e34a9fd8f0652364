# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""Where shipped images come from: an archive, or the engine of the controller or of a build host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from .._common.errors import SwarmError
from .._registry.reference import image_problem, parse_image
from .archive import Image, LayerFolder, read_archive
from .engine import ImageStore


def describe(names: Sequence[str], archive: str, docker_host: str) -> list[Image]:
    """The images. Raises bad_option, not_found, bad_archive, OSError and the failures of the engine."""
    return _read(names, archive, docker_host, None, ())


def extract(
    names: Sequence[str], archive: str, docker_host: str, into: LayerFolder, wanted: Iterable[str]
) -> None:
    """The wanted layers of the images, as files. Raises the same."""
    _read(names, archive, docker_host, into, wanted)


def _read(
    names: Sequence[str],
    archive: str,
    docker_host: str,
    into: LayerFolder | None,
    wanted: Iterable[str],
) -> list[Image]:
    for name in names:
        problem = image_problem(name)
        if problem:
            raise SwarmError("bad_option", f"Could not read image {name[:200]!r}: it {problem}.")
    if not names and not archive:
        raise SwarmError(
            "bad_option",
            "Could not read the images: none is named. Set swarm_ship_images, for example [shop:2], or swarm_ship_archive.",
        )
    with _opened(names, archive, docker_host) as (stream, what):
        images = read_archive(stream, what, into, wanted)
    if not archive:
        # The engine names an image by its tag. One that was asked for by its digest has none.
        return images
    found = [image for image in images if not names or _is_one_of(image, names)]
    absent = [name for name in names if not any(_is_one_of(each, [name]) for each in images)]
    if absent:
        known = ", ".join(sorted(name for image in images for name in image.names)) or "none"
        raise SwarmError(
            "not_found",
            f"Could not read the images: {archive} has no {', '.join(absent)}. Its images are {known}.",
        )
    return found


def _is_one_of(image: Image, names: Sequence[str]) -> bool:
    wanted = {str(parse_image(name)) for name in names}
    return any(str(parse_image(name)) in wanted for name in image.names)


@contextlib.contextmanager
def _opened(
    names: Sequence[str], archive: str, docker_host: str
) -> Iterator[tuple[IO[bytes], str]]:
    if archive:
        with open(archive, "rb") as file:
            yield file, archive
        return
    store = ImageStore(docker_host)
    absent = [name for name in names if store.find(name) is None]
    if absent:
        raise SwarmError(
            "not_found",
            f"Could not read the images: the engine at {docker_host} has no {', '.join(absent)}. Build or pull it there first.",
        )
    with store.save(names) as stream:
        yield stream, f"the images of {docker_host}"
