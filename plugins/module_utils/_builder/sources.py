# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The sources that a builder follows: where the code is, how an image is built and tested, and what it is called. Pure."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .._common.errors import shown
from .._common.fields import Fields
from .._common.words import abbreviate
from .._git.repository import REF
from .._registry.reference import HUB, RECORD_PREFIX, image_problem, is_tag, parse_image
from .._spec.redaction import is_credential

# Short, because it is a part of a tag in the registry.
NAME = r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?"
MOST_SOURCES = 200
# A pattern of tags: a ref with * and ?.
_PATTERN = r"(?!-)[A-Za-z0-9._+*?/-]{1,200}"
_PLATFORM = r"linux/[a-z0-9]+(?:/v[0-9]+)?"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NO_TAG = re.compile(r"[^A-Za-z0-9_.-]")
# What a tag template can have, with what it is expanded to when it is checked.
_SAMPLE = {"commit": "0" * 12, "date": "20260101-000000", "branch": "main"}
_SAMPLE_OF_TAG = {"tag": "v1.0.0", "version": "1.0.0"}


@dataclass(frozen=True)
class Source:
    """One image that is built from one branch, or from the tags that match a pattern."""

    name: str
    repository: str  # its name in the settings of the builder, which have its address and its keys
    image: str  # with its registry, without a tag
    branch: str = "main"
    tag_pattern: str = ""  # instead of the branch
    paths: tuple[str, ...] = ()  # only changes below these count; all if empty
    context: str = "."
    dockerfile: str = "Dockerfile"  # relative to the context
    target: str = ""
    args: tuple[tuple[str, str], ...] = ()
    test: tuple[str, ...] = ()
    test_network: bool = False
    tags: tuple[str, ...] = ("{commit}",)
    platforms: tuple[str, ...] = ()
    timeout: int = 1800  # seconds for the build, and for the test
    memory_mb: int = 2048
    size_mb: int = 256

    @property
    def ref(self) -> str:
        """What to ask the server for."""
        return f"refs/tags/{self.tag_pattern}" if self.tag_pattern else f"refs/heads/{self.branch}"

    @property
    def record_tag(self) -> str:
        """The tag of the record of the latest build, in the repository of the image."""
        return f"{RECORD_PREFIX}build-{self.name}"


def parse_sources(
    document: Any, repositories: Collection[str]
) -> tuple[list[Source], dict[str, str]]:
    """The sources of a list, or of a dictionary with the key sources; and what is wrong with others, by name or position."""
    if isinstance(document, Mapping):
        unknown = [str(key) for key in document if key != "sources"]
        if unknown:
            return [], {
                "sources.yml": f"{shown(unknown[0])} is not a key of it; it has only the key sources"
            }
        document = document.get("sources")
    if not isinstance(document, list):
        return [], {"sources.yml": f"sources is {shown(document)}, it must be a list"}
    if len(document) > MOST_SOURCES:
        return [], {"sources.yml": f"it has {len(document)} sources, {MOST_SOURCES} are allowed"}
    found: dict[str, Source] = {}
    wrong: dict[str, str] = {}
    for number, entry in enumerate(document):
        problems: list[str] = []
        source = parse_source(entry, repositories, problems)
        label = source.name or f"sources[{number}]"
        if source.name in found or (source.name and source.name in wrong):
            # Neither of the two is what its author expects.
            found.pop(source.name, None)
            wrong[label] = "two sources have this name; rename one of them"
        elif problems:
            wrong[label] = "; ".join(problems)
        else:
            found[source.name] = source
    return list(found.values()), wrong


def parse_source(document: Any, repositories: Collection[str], problems: list[str]) -> Source:
    """One source, of one of these repositories; what is wrong goes to `problems`."""
    read = Fields(document, "", problems)
    source = Source(
        name=read.text("name", form=NAME, example="shop", longest=40),
        repository=read.text("repository", form=NAME, example="shop"),
        image=read.text("image"),
        branch=read.text("branch", "main"),
        tag_pattern=read.text("tag_pattern", form=_PATTERN, example="v*"),
        paths=tuple(_clean(path) for path in read.texts("paths", example="app")),
        context=_clean(read.text("context", ".")),
        dockerfile=_clean(read.text("dockerfile", "Dockerfile")),
        target=read.text("target", form=r"[A-Za-z0-9][A-Za-z0-9_.-]*", example="release"),
        args=tuple(sorted(read.variables("args").items())),
        test=read.texts("test"),
        test_network=read.flag("test_network", False),
        tags=read.texts("tags", ("{commit}",), example="{commit}"),
        platforms=read.texts("platforms", form=_PLATFORM, example="linux/arm64"),
        timeout=read.number("timeout", 1800, 1, 86400),
        memory_mb=read.number("memory_mb", 2048, 32, 1 << 20),
        size_mb=read.number("size_mb", 256, 1, 1 << 16),
    )
    both = read.given("branch") is not None and source.tag_pattern
    read.finish()
    for key in ("name", "repository", "image"):
        if not getattr(source, key) and read.given(key) is None:
            read.wrong(key, "is missing, set it")
    if both:
        read.wrong("branch", "and tag_pattern are both set, remove one of them")
    if source.repository and source.repository not in repositories:
        known = abbreviate(sorted(repositories)) or "none"
        read.wrong(
            "repository",
            f"is {shown(source.repository)}, which the builder does not know; its repositories are {known}",
        )
    if not is_branch(source.branch):
        read.wrong("branch", f"is {shown(source.branch)}, which is not the name of a branch")
    if source.image:
        _check_image(source.image, read)
    for key, paths in (
        ("paths", source.paths),
        ("context", (source.context,)),
        ("dockerfile", (source.dockerfile,)),
    ):
        for path in paths:
            if path.startswith("/") or path.partition("/")[0] == ".." or "\\" in path:
                read.wrong(
                    key, f"has {shown(path)}, it must be a path within the repository, such as app"
                )
    for name, _value in source.args:
        if is_credential(name):
            read.wrong(
                f"args.{name}",
                "looks like a credential, and the image and its history would show it; fetch it in another way, or rename it",
            )
    _check_tags(source, read)
    return source


def is_branch(name: str) -> bool:
    """Whether git accepts this as the name of a branch."""
    return bool(REF.fullmatch(name))


def _clean(path: str) -> str:
    """A path without empty parts and dots. The `..` of it that stay are refused."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."


def _check_image(image: str, read: Fields) -> None:
    name = parse_image(image)
    wrong = image_problem(image)
    if wrong:
        read.wrong("image", f"is {shown(image)}, which {wrong}")
    elif name.registry == HUB and not image.startswith(HUB):
        read.wrong(
            "image",
            f"is {shown(image)}, it must begin with a registry, such as registry.example:5000/shop",
        )
    elif name.digest or ":" in image.rpartition("/")[2]:
        read.wrong("image", f"is {shown(image)}, it must have no tag and no digest; set tags")


def _check_tags(source: Source, read: Fields) -> None:
    known = {**_SAMPLE, **(_SAMPLE_OF_TAG if source.tag_pattern else {})}
    if not source.tags:
        read.wrong("tags", "is empty, it must have an entry, or be omitted")
    if len(source.tags) > 10:
        read.wrong("tags", f"has {len(source.tags)} entries, 10 are allowed")
    for template in source.tags:
        unknown = [name for name in _PLACEHOLDER.findall(template) if name not in known]
        if unknown:
            read.wrong(
                "tags",
                f"has {{{shown(unknown[0])[1:-1]}}}, it can have {', '.join(f'{{{name}}}' for name in known)}",
            )
            continue
        tag = _expand(template, known)
        if not is_tag(tag) or tag.startswith(RECORD_PREFIX):
            read.wrong(
                "tags",
                f"has {shown(template)}, which makes {shown(tag)}: that is not a tag, or is reserved",
            )


def _expand(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: _NO_TAG.sub("-", values[found.group(1)]), template)


def image_tags(source: Source, commit: str, tag: str, committed: int) -> list[str]:
    """The tags of the image of a commit, which does not change them: its builder and its time have no part in them.

    `tag` is that of git, and `committed` the time of the commit in seconds since 1970. Tags that are too long are cut.
    """
    at = datetime.datetime.fromtimestamp(committed, datetime.timezone.utc)
    values = {
        "commit": commit[:12],
        "date": at.strftime("%Y%m%d-%H%M%S"),
        "branch": source.branch,
        "tag": tag,
        "version": re.sub(r"^v(?=[0-9])", "", tag),
    }
    return list(dict.fromkeys(_expand(template, values)[:128] for template in source.tags))
