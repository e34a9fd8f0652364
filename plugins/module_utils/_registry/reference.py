# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The names of images: their parts, and whether a registry accepts them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The registry that an image name without one means, in both of its spellings, and its namespace of official images
# (distribution/reference: normalize.go).
HUB = "docker.io"
_OLD_HUB, _OFFICIAL = "index.docker.io", "library"
# Tags that begin so are records of this collection, and no images.
RECORD_PREFIX = "flotilla-"
# The grammar of distribution/reference: regexp.go.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY = re.compile(_HOST)
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,128}")
_LONGEST_NAME = 255


@dataclass(frozen=True)
class ImageName:
    """The parts of a reference to an image, as the engine completes them."""

    registry: str
    repository: str  # within the registry
    tag: str = ""
    digest: str = ""  # with its algorithm

    @property
    def name(self) -> str:
        """The repository with its registry."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse_image(text: str) -> ImageName:
    """A reference, normalised as the engine does: `nginx` is `docker.io/library/nginx:latest`."""
    name, _at, digest = text.strip().partition("@")
    head, slash, rest = name.partition("/")
    # The first part is a registry if it looks like a host.
    if slash and ("." in head or ":" in head or head == "localhost" or head.lower() != head):
        registry, path = (HUB if head == _OLD_HUB else head), rest
    else:
        registry, path = HUB, name
    path, _colon, tag = path.partition(":")
    if registry == HUB and "/" not in path:
        path = f"{_OFFICIAL}/{path}"
    return ImageName(registry, path, tag or ("" if digest else "latest"), digest)


def image_problem(text: str) -> str:
    """Why no registry accepts a reference, in words that follow its name; empty if one can."""
    if text != text.strip() or text.endswith((":", "@")):
        return "has an empty tag or digest, or spaces around it"
    image = parse_image(text)
    if not _REGISTRY.fullmatch(image.registry):
        return "has no valid registry before its first slash, such as registry.example:5000"
    if not is_repository(image.repository) or len(image.name) > _LONGEST_NAME:
        return (
            "has no valid repository: use up to 255 lower-case letters, digits and . _ - / between"
        )
    if image.tag and not is_tag(image.tag):
        return "has no valid tag: use up to 128 letters, digits and . _ -"
    if image.digest and not is_digest(image.digest):
        return "has no valid digest, such as sha256: and 64 hexadecimal digits"
    return ""


def is_registry(text: str) -> bool:
    """Whether this is a host, with or without a port."""
    return bool(_REGISTRY.fullmatch(text))


def is_repository(text: str) -> bool:
    """Whether this can be the name of a repository within a registry."""
    return len(text) <= _LONGEST_NAME and bool(_REPOSITORY.fullmatch(text))


def is_tag(text: str) -> bool:
    """Whether this can be a tag."""
    return bool(_TAG.fullmatch(text))


def is_digest(text: str) -> bool:
    """Whether this is a digest with its algorithm."""
    return bool(_DIGEST.fullmatch(text))
