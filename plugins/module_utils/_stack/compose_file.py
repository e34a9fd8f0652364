# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""A Compose file as text: its content, and the text that Docker's CLI accepts. No I/O.

The CLI interprets the file. This module reads it once, event by event, with libyaml if it is available. So each value has its
place in the text, and deep nesting or aliases of aliases cost no more than the length of the file.
"""

from __future__ import annotations

import bisect
import codecs
import functools
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError

# Levels of nesting. The Compose format has less than ten.
DEEPEST = 100
# Values with all aliases written out. Docker's CLI stops at about as many (go-yaml: "document contains excessive aliasing").
LARGEST, _TIMES = 400_000, 10

_NULLS = ("", "~", "null", "Null", "NULL")


@functools.cache
def yaml_library() -> Any:
    """PyYAML, which a host does not need for anything else; raises no_yaml."""
    try:
        import yaml
    except ImportError as error:
        raise SwarmError(
            "no_yaml",
            f"Could not read YAML: {sys.executable} of this host lacks PyYAML. Install the package python3-yaml.",
        ) from error
    return yaml


@dataclass
class _Node:
    start: int
    end: int
    # How many values there are, aliases written out.
    size: int = 1
    data: Any = None
    # Of a mapping: its keys and values, and what is merged into it.
    pairs: list[tuple[str, _Node]] = field(default_factory=list)
    merged: list[_Node] = field(default_factory=list)
    # Of a scalar: its text, which as a key is its name.
    name: str = ""
    # Of an alias: what it stands for.
    target: _Node | None = None
    is_merge: bool = False
    children: list[_Node] = field(default_factory=list)

    @property
    def real(self) -> _Node:
        return self.target or self


@dataclass(frozen=True)
class ComposeFile:
    """The content of a Compose file, and the text that the CLI accepts."""

    text: str
    document: dict[str, Any]


def decoded(data: bytes) -> str:
    """The text, from the encodings that the CLI accepts: UTF-8, and UTF-16 with a byte order mark."""
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SwarmError(
            "bad_encoding",
            f"is not UTF-8: line {line} has the byte 0x{data[error.start]:02x}. Save it as UTF-8",
        ) from error


# Ansible templates the variables of a task repeatedly, and runs the lookup each time. The text is the whole key of the cache.
@functools.lru_cache(maxsize=16)
def read(text: str) -> ComposeFile:
    """Read the text. Conditions in `depends_on`, which the CLI does not accept, become lists. Nothing else changes."""
    text = text.removeprefix("\ufeff")
    root, aliases = _checked_tree(text)
    if root is None or not isinstance(root.real.data, dict):
        raise SwarmError("bad_yaml", "is not a Compose file")
    return ComposeFile(_listed(text, root, aliases), root.real.data)


def _checked_tree(text: str) -> tuple[_Node | None, list[_Node]]:
    """The tree of the text, and its aliases; raises bad_yaml with the place of what is wrong."""
    yaml = yaml_library()
    try:
        return _tree(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SwarmError("bad_yaml", f"is not YAML: {where}{error.problem}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise SwarmError("bad_yaml", "is not YAML: it has characters that YAML forbids") from error


def named_files(text: str) -> list[str]:
    """All paths in the text that its reader could take for files: whatever is below a key `file` or `env_file`, at any place.

    Readers of YAML differ in what wins when a key is merged and given. So this returns all that could. It raises bad_yaml for a
    value that is encoded, because only the reader knows what it says.
    """
    yaml = yaml_library()
    text = text.removeprefix("\ufeff")
    root, _aliases = _checked_tree(text)
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if str(getattr(event, "tag", None) or "").endswith("binary"):
            line = event.start_mark.line + 1
            raise SwarmError("bad_yaml", f"has a !!binary value in line {line}: write it as text")
    found: list[str] = []
    seen: set[int] = set()
    left = [root] if root else []
    while left:
        node = left.pop().real
        if id(node) in seen:
            continue
        seen.add(id(node))
        left += node.merged
        for name, value in node.pairs:
            left.append(value)
            if name in ("file", "env_file"):
                found += _strings(value.data)
    return sorted(set(found))


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        data = [*data.values()]
    if isinstance(data, list):
        for item in data:
            yield from _strings(item)
    elif isinstance(data, str):
        yield data


# --- From events to a tree ------------------------------------------------------------------------------


def _tree(text: str) -> tuple[_Node | None, list[_Node]]:
    """The tree of the text, and its aliases."""
    yaml = yaml_library()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root: _Node | None = None
    anchors: dict[str, _Node] = {}
    aliases: list[_Node] = []
    # Collections that have begun, each with the event that began it.
    begun: list[tuple[_Node, Any]] = []
    written = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.DocumentStartEvent) and root is not None:
            raise SwarmError("bad_yaml", "has more than one YAML document")
        if isinstance(event, yaml.NodeEvent):
            written += 1
            start: Any = event.start_mark
            end: Any = event.end_mark
            node = _Node(start.index, end.index)
        if isinstance(event, yaml.AliasEvent):
            node.target = _target(event, anchors, begun)
            node.size, node.data = node.target.size, node.target.data
            aliases.append(node)
        elif isinstance(event, yaml.ScalarEvent):
            node.name, node.data = event.value, _scalar(event)
            node.is_merge = event.implicit[0] and event.value == "<<"
            if event.anchor:
                anchors[event.anchor] = node
        elif isinstance(event, yaml.CollectionStartEvent):
            if len(begun) == DEEPEST:
                raise SwarmError("bad_yaml", f"is nested deeper than {DEEPEST} levels")
            begun.append((node, event))
            if event.anchor:
                anchors[event.anchor] = node
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            node, start = begun.pop()
            _finish(node, event, start)
            if node.size > max(LARGEST, _TIMES * written):
                raise SwarmError("bad_yaml", "has too many aliases of aliases")
        else:
            continue
        if begun:
            begun[-1][0].children.append(node)
        else:
            root = node
    return root, aliases


def _target(event: Any, anchors: dict[str, _Node], begun: list[tuple[_Node, Any]]) -> _Node:
    target = anchors.get(event.anchor)
    line = event.start_mark.line + 1
    if target is None:
        raise SwarmError("bad_yaml", f"is not YAML: line {line}: unknown anchor {event.anchor}")
    if any(target is node for node, _start in begun):
        raise SwarmError(
            "bad_yaml", f"is not YAML: line {line}: anchor {event.anchor} contains itself"
        )
    return target


def _scalar(event: Any) -> Any:
    """The value as text. Only null and boolean values keep their type, because nothing else is needed."""
    if event.implicit[0]:
        if event.value in _NULLS:
            return None
        truths: dict[str, bool] = yaml_library().SafeLoader.bool_values
        return truths.get(event.value.lower(), event.value)
    return event.value


def _finish(node: _Node, event: Any, start: Any) -> None:
    children, node.children = node.children, []
    node.size += sum(child.size for child in children)
    # The end event of a block is where the next line begins, behind comments.
    node.end = event.end_mark.index if start.flow_style or not children else children[-1].end
    if isinstance(event, yaml_library().SequenceEndEvent):
        node.data = [child.data for child in children]
        # It can be the value of a merge key.
        node.merged = [child.real for child in children]
        return
    own: dict[str, Any] = {}
    for key, value in zip(children[::2], children[1::2]):
        if key.real.is_merge:
            of_a_list = isinstance(value.data, list)
            node.merged += value.real.merged if of_a_list else [value.real]
        elif not isinstance(key.data, (dict, list)):
            node.pairs.append((key.real.name, value))
            own[key.real.name] = value.data
    node.data = {}
    for source in reversed(node.merged):
        if isinstance(source.data, dict):
            node.data.update(source.data)
    node.data.update(own)


# --- Images -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImagePlace:
    """An image of a service, and the part of the text that has it, with quotes and an anchor if there are any."""

    service: str
    image: str
    start: int
    end: int


def image_places(text: str) -> list[ImagePlace]:
    """The images of all services; one that several services share by an alias is there for each of them. Raises bad_yaml."""
    read(text)
    shift = len(text) - len(text.removeprefix("\ufeff"))
    root, _aliases = _tree(text[shift:])
    found = []
    for services in _values(root.real, "services") if root else ():
        for one in _with_sources(services.real):
            for name, service in one.pairs:
                data = service.real.data
                image = data.get("image") if isinstance(data, dict) else None
                for value in _values(service.real, "image") if isinstance(image, str) else ():
                    # What a merged mapping has counts only if the service does not have it.
                    if value.data == image:
                        real = value.real
                        found.append(ImagePlace(name, image, real.start + shift, real.end + shift))
                        break
    return found


# --- Conditions -------------------------------------------------------------------------------------------


def _listed(text: str, root: _Node, aliases: list[_Node]) -> str:
    """The text with `depends_on` as lists. Only these places change, because YAML can be read in more than one way."""
    places = {
        (value.start, value.end): json.dumps(list(value.data))
        for services in _values(root.real, "services")
        for service in _members(services.real)
        for value in _values(service.real, "depends_on")
        if isinstance(value.data, dict)
    }
    # A place inside another one is replaced with it.
    outer: list[tuple[int, int]] = []
    for place in sorted(places):
        if not outer or place[0] >= outer[-1][1]:
            outer.append(place)
    lost = [
        alias
        for alias in aliases
        if _within(outer, alias.real.start) and not _within(outer, alias.start)
    ]
    if lost:
        line = text.count("\n", 0, lost[0].start) + 1
        raise SwarmError(
            "bad_depends_on",
            f"uses in line {line} an anchor of a depends_on with conditions, which Docker's CLI does not take: define the"
            " anchor outside of it",
        )
    pieces, position = [], 0
    for start, end in outer:
        old = text[start:end]
        pieces += [text[position:start], places[start, end], old[len(old.rstrip()) :]]
        position = end
    return "".join([*pieces, text[position:]])


def _within(places: list[tuple[int, int]], index: int) -> bool:
    number = bisect.bisect_right(places, (index, sys.maxsize)) - 1
    return number >= 0 and index < places[number][1]


def _with_sources(node: _Node) -> Iterator[_Node]:
    """A mapping and everything that is merged into it, each once."""
    seen: set[int] = set()
    left = [node]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            left += one.merged


def _values(node: _Node, name: str) -> Iterable[_Node]:
    return [v for one in _with_sources(node) for key, v in one.pairs if key == name]


def _members(node: _Node) -> Iterable[_Node]:
    return [value for one in _with_sources(node) for _key, value in one.pairs]
