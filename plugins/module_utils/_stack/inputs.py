# Copyright (c) 2026, the Flotilla authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to flotilla.swarm: it may change in any release. Do not use it elsewhere.

"""What a user gives for a stack: Compose files, other files and logins, laid out for the CLI."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._common.errors import SwarmError, shown, sort_of
from .._host.logins import auth_of
from .compose import variable
from .waves import without_conditions

# Bytes of NAME=value that Linux gives to a program (MAX_ARG_STRLEN).
LONGEST_VARIABLE = 128 * 1024 - 1


@dataclass(frozen=True)
class Inputs:
    """The options that can hold credentials, and so are not among the parameters that Ansible logs."""

    # Compose files that are not on the host, as dictionaries or text.
    definitions: tuple[Any, ...] = ()
    # Contents by path, in Base64.
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    registries: list[dict[str, str]] = field(default_factory=list)
    # A hash of all inputs, empty where it does not identify them.
    asked: str = ""

    def documents(self) -> list[dict[str, Any] | None]:
        """The definitions as dictionaries, None for those in YAML: a host has no parser for it."""
        return [json_object(entry) for entry in self.definitions] or [None]


def read_inputs(stack: str, given: Mapping[str, Any]) -> Inputs:
    """The inputs in the options of swarm_stack; raises bad_name and bad_environment."""
    definition = given["definition"]
    if definition is not None and not isinstance(definition, list):
        definition = [definition]
    environment = {name: variable(value) for name, value in (given["environment"] or {}).items()}
    check_inputs(stack, environment)
    return Inputs(
        definitions=tuple(definition or ()),
        files=dict(given["files"] or {}),
        environment=environment,
        registries=list(given["registries"] or []),
        asked=str(given.get("_asked") or ""),
    )


def check_inputs(stack: str, environment: dict[str, str]) -> None:
    """Refuse what no command line and no environment can hold, with bad_name or bad_environment; the engine checks the rest."""
    if not re.fullmatch(r"[^-\0][^\0]*", stack):
        raise SwarmError(
            "bad_name",
            f"Could not use the name {shown(stack)} for a stack: it must begin with a letter or a digit, such as shop.",
        )
    for name, value in sorted(environment.items()):
        size = len(f"{name}={value}".encode("utf-8", "surrogateescape"))
        problem = ""
        if not name or "=" in name or "\0" in name:
            problem = "its name must consist of letters, digits and underscores"
        elif "\0" in value:
            problem = "its value has a NUL character; remove it"
        elif size > LONGEST_VARIABLE:
            problem = f"it has {size} bytes, and Linux allows {LONGEST_VARIABLE}; use a config or a secret instead"
        if problem:
            raise SwarmError(
                "bad_environment",
                f"Could not give stack {stack} the variable {shown(name)}: {problem}.",
            )


def compose_texts(definitions: Iterable[Any], version: str) -> list[str]:
    """The Compose files as text; a dictionary without a version gets `version`. Raises bad_definition."""
    texts = []
    for entry in definitions:
        document = json_object(entry)
        if document is not None:
            document = without_conditions(document)
            texts.append(json.dumps({"version": version, **document} if version else document))
        elif isinstance(entry, str):
            texts.append(entry)
        else:
            raise SwarmError(
                "bad_definition",
                f"Could not read definition, which has {sort_of(entry)}: it must be a dictionary or a string, or a list of these.",
            )
    return texts


def json_object(entry: Any) -> dict[str, Any] | None:
    """A dictionary, also one that is given as JSON; None for anything else."""
    if isinstance(entry, str) and entry.lstrip().startswith("{"):
        try:
            entry = json.loads(entry)
        except ValueError:
            return None
    return entry if isinstance(entry, dict) else None


def write_files(directory: str, files: dict[str, str]) -> str:
    """Write the files, and return the folder that their relative paths start from; raises bad_files."""
    paths = {os.path.normpath(str(path)): content for path, content in files.items()}
    up = max((path.split("/").count("..") for path in paths), default=0)
    folder = os.path.join(directory, *["d"] * up)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path, content in paths.items():
        target = os.path.normpath(os.path.join(folder, path))
        if "\0" in path or not target.startswith(directory + os.sep):
            raise SwarmError(
                "bad_files",
                f"Could not write files: {path} is not a relative path. Use one such as conf/app.yml.",
            )
        try:
            data = base64.b64decode(content, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise SwarmError(
                "bad_files",
                f"Could not write files: the content of {path} is not Base64. Encode it with the filter b64encode.",
            ) from error
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        write_private(target, data)
    return folder


def write_login(directory: str, registries: list[dict[str, str]]) -> dict[str, str]:
    """Write a configuration of the CLI with these logins and the user's own; returns the variable that names its folder.

    Raises bad_login if the user's own configuration is not JSON.
    """
    own = os.path.join(os.path.expanduser("~"), ".docker", "config.json")
    try:
        document = json.loads(read_file(own))
    except FileNotFoundError:
        document = {}
    except ValueError as error:
        raise SwarmError(
            "bad_login",
            f"Could not read the logins in {own}: it is not JSON ({error}). Correct or remove the file.",
        ) from error
    auths = document.setdefault("auths", {})
    for entry in registries:
        auths[entry["registry"]] = {"auth": auth_of(entry["username"], entry["password"])}
    # A credentials store would take precedence over these entries.
    document.pop("credsStore", None)
    folder = os.path.join(directory, "login")
    os.mkdir(folder, mode=0o700)
    write_private(os.path.join(folder, "config.json"), json.dumps(document).encode())
    return {"DOCKER_CONFIG": folder}


def read_file(path: str) -> bytes:
    """The content of a file; raises OSError."""
    with open(path, "rb") as file:
        return file.read()


def write_private(path: str, data: bytes) -> None:
    """Create a file that only this user can read; raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
