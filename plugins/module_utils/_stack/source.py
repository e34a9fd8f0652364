# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""The Compose files of a stack, and the files that they name, as the options of swarm_stack. No I/O of its own: the caller reads.

The files can be on the controller, for a playbook, or in a git repository, for GitOps.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._common.errors import SwarmError
from .compose import file_references, rotatable, silently_ignored, variable, variables_in
from .compose_file import decoded, read
from .waves import dependencies

# What a file is read as.
COMPOSE, ENV_FILE, REFERENCED = "compose", "env_files", "files"
# The content of a file, given what it is read as, and its path as the stack or a Compose file names it.
Read = Callable[[str, str], bytes]


@dataclass(frozen=True)
class Source:
    """The inputs of one stack."""

    definition: tuple[str, ...]
    environment: dict[str, str]
    files: dict[str, bytes]  # by their paths in the Compose files
    rotate: dict[str, dict[str, str]]
    depends_on: dict[str, Any]
    ignored_keys: tuple[str, ...]
    documents: tuple[dict[str, Any], ...]  # the content of the Compose files

    def options(self) -> dict[str, Any]:
        """The options of swarm_stack."""
        return {
            "definition": list(self.definition),
            "environment": self.environment,
            "files": {
                path: base64.b64encode(data).decode("ascii") for path, data in self.files.items()
            },
            "rotate": self.rotate,
            "depends_on": self.depends_on,
            "ignored_keys": list(self.ignored_keys),
        }


def source_of(stack: Mapping[str, Any], read_file: Read) -> Source:
    """The inputs of a stack; raises SwarmError with the file and what is wrong with it.

    `stack` has `name`, and `compose` or `definition`. It can have `environment`, `env_files`, `files` and `rotate`.
    """
    given = stack.get("definition")
    if given:
        sources = [("definition", json.dumps(given) if isinstance(given, dict) else str(given))]
    else:
        paths = [str(path) for path in stack["compose"]]
        sources = [(path, _text(stack, path, read_file(COMPOSE, path))) for path in paths]
    composed = []
    for path, text in sources:
        try:
            composed.append(read(text))
        except SwarmError as error:
            raise _named(stack, path, error) from None
    documents = [file.document for file in composed]
    environment: dict[str, str] = {}
    for path in map(str, stack.get("env_files") or []):
        text = _text(stack, path, read_file(ENV_FILE, path))
        environment.update(variables_in(path, text))
    inherited = stack.get("environment") or {}
    environment.update({key: variable(value) for key, value in inherited.items()})
    inline = {
        posixpath.normpath(str(path)): variable(content).encode()
        for path, content in (stack.get("files") or {}).items()
    }
    files = {}
    for path in file_references(documents, environment):
        content = inline.get(posixpath.normpath(path))
        files[path] = read_file(REFERENCED, path) if content is None else content
    return Source(
        definition=tuple(file.text for file in composed),
        environment=environment,
        files=files,
        rotate=rotatable(documents, environment) if stack.get("rotate") else {},
        depends_on=dependencies(documents),
        ignored_keys=tuple(silently_ignored(documents)),
        documents=tuple(documents),
    )


def _text(stack: Mapping[str, Any], path: str, data: bytes) -> str:
    try:
        return decoded(data)
    except SwarmError as error:
        raise _named(stack, path, error) from None


def _named(stack: Mapping[str, Any], path: str, error: SwarmError) -> SwarmError:
    """The failure with the stack and the file in front of its clause."""
    return SwarmError(error.code, f"Stack {stack['name']}: {path} {error.message}.")
